//! Candidates that hide their address behind a name (draft-ietf-mmusic-mdns-ice-candidates).
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use dunlin_ice::{DropReason, Event, RemoteFilter, Role, TransportPolicy};
use dunlin_net::Transport;
use world::turn::with_turn;
use world::{A, B, World, addr, config, ms};

const NAME: &str = "3c0bd27e-9f4e-4dc1-8a4b-6e8d5ab0d9a1.local";

/// B's host candidate under a name.
fn hidden() -> String {
    format!("candidate:1 1 udp 2122260223 {NAME} 2000 typ host")
}

fn names_asked(world: &World) -> usize {
    let events = world.nodes[A].events.iter();
    events
        .filter(|event| matches!(event, Event::ResolveName(name) if name == NAME))
        .count()
}

/// A knows B by its name only, and B knows nothing of A's addresses.
fn hiding_peer(mut world: World) -> World {
    world.tell_credentials(A, B);
    world.tell_credentials(B, A);
    let now = world.now;
    let agent = &mut world.nodes[A].agent;
    agent
        .add_remote_candidate(now, hidden().parse().unwrap())
        .unwrap();
    world.drain();
    world
}

#[test]
fn a_name_that_is_resolved_is_as_good_as_an_address() {
    let mut world = hiding_peer(World::simple(1));
    assert_eq!(names_asked(&world), 1);
    world.run_for(ms(300));
    assert_eq!(world.nodes[A].agent.stats().checks_sent, 0);
    let now = world.now;
    world.nodes[A]
        .agent
        .name_resolved(now, NAME, addr("10.0.0.2:1").ip());
    assert!(world.run(ms(200), World::both_completed));
    assert_eq!(world.nodes[A].agent.stats().drops.total(), 0);
}

#[test]
fn one_name_of_several_candidates_is_asked_for_once() {
    let mut world = hiding_peer(World::simple(2));
    let now = world.now;
    let over_tcp = format!("candidate:2 1 tcp 1518280447 {NAME} 9000 typ host tcptype passive");
    for line in [hidden(), over_tcp] {
        world.nodes[A]
            .agent
            .add_remote_candidate(now, line.parse().unwrap())
            .unwrap();
    }
    world.drain();
    assert_eq!(names_asked(&world), 1);
    world.nodes[A]
        .agent
        .name_resolved(now, NAME, addr("10.0.0.2:1").ip());
    assert_eq!(world.nodes[A].agent.remote_candidates().count(), 2);
    assert_eq!(
        world.nodes[A]
            .agent
            .stats()
            .drops
            .get(DropReason::CandidateDuplicate),
        1
    );
}

#[test]
fn a_name_that_nobody_has_is_in_the_report_in_words() {
    let mut world = hiding_peer(World::simple(3));
    // B cannot be heard either.
    world.dead.insert(addr("10.0.0.2:1").ip());
    let now = world.now;
    world.nodes[A].agent.name_not_resolved(now, NAME);
    assert!(world.run(ms(90_000), |w| w.nodes[A].failure.is_some()));
    let report = world.nodes[A].failure.clone().unwrap();
    assert_eq!(
        (report.tried.unresolved_names, report.tried.ignored_remote),
        (1, 1)
    );
    assert!(
        report
            .to_string()
            .contains("nobody on this network answers to them"),
        "{report}"
    );
}

#[test]
fn who_wants_relays_only_or_no_names_asks_nobody() {
    for change in [0, 1] {
        let mut configs = [config(Role::Controlling), config(Role::Controlled)];
        match change {
            0 => configs[A].transport_policy = TransportPolicy::Relay,
            _ => configs[A].resolve_names = false,
        }
        let mut world = World::new(4, configs);
        world.add(A, "10.0.0.1:1000");
        world.add(B, "10.0.0.2:2000");
        let world = hiding_peer(world);
        assert_eq!(names_asked(&world), 0);
        assert_eq!(
            world.nodes[A].agent.stats().drops.get(DropReason::CandidateName),
            1
        );
    }
}

#[test]
fn the_filter_judges_the_address_behind_the_name() {
    // THREATS 24: a name must not lead where an address may not.
    let mut configs = [config(Role::Controlling), config(Role::Controlled)];
    configs[A].remote_filter = RemoteFilter::public_only();
    let mut world = World::new(5, configs);
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    let mut world = hiding_peer(world);
    let now = world.now;
    world.nodes[A]
        .agent
        .name_resolved(now, NAME, addr("10.0.0.2:1").ip());
    world.run_for(ms(2000));
    let stats = world.nodes[A].agent.stats();
    assert_eq!(
        (stats.checks_sent, stats.drops.get(DropReason::CandidateDenied)),
        (0, 1)
    );
}

#[test]
fn no_turn_server_learns_an_address_that_the_peer_hides() {
    const SERVER: &str = "203.0.113.7:3478";
    let mut world = World::new(
        6,
        [
            with_turn(config(Role::Controlling), SERVER, Transport::Udp),
            config(Role::Controlled),
        ],
    );
    world.add_turn(SERVER, |_| {});
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    world.dead.insert(addr("10.0.0.2:1").ip());
    world.run_for(ms(1000));
    let mut world = hiding_peer(world);
    let now = world.now;
    world.nodes[A]
        .agent
        .name_resolved(now, NAME, addr("10.0.0.2:1").ip());
    world.run_for(ms(3000));
    let pairs = world.nodes[A].agent.report().pairs;
    assert!(
        !pairs.is_empty() && pairs.iter().all(|pair| !pair.relayed),
        "{pairs:?}"
    );
}

#[test]
fn a_flood_of_names_asks_for_a_few() {
    let mut world = World::simple(7);
    world.tell_credentials(B, A);
    let now = world.now;
    for number in 0..100 {
        let line = format!("1 1 udp 1 3c0bd27e-9f4e-4dc1-8a4b-6e8d5ab0d{number:03}.local 5 typ host");
        world.nodes[A]
            .agent
            .add_remote_candidate(now, line.parse().unwrap())
            .unwrap();
    }
    world.drain();
    let asked = world.nodes[A]
        .events
        .iter()
        .filter(|event| matches!(event, Event::ResolveName(_)));
    assert_eq!(asked.count(), 16);
}
