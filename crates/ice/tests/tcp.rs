//! ICE over TCP (RFC 6544), in virtual time.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use dunlin_ice::{Candidate, Event, Outcome, Protocol, Role, State, TcpType, TransportPolicy};
use dunlin_net::{Path, Transport};
use world::{A, B, World, addr, config, ms};

const LISTENER: &str = "10.0.0.2:443";

/// UDP is blocked, there is no TURN server; B listens for TCP.
fn udp_is_blocked(seed: u64) -> World {
    let mut world = World::simple(seed);
    world.udp_blocked.insert(addr("10.0.0.1:1").ip());
    world.listen(B, LISTENER);
    world
}

fn path_of(world: &World, node: usize) -> Path {
    world.nodes[node].agent.selected_path().expect("a path")
}

fn asked(world: &World, node: usize) -> usize {
    let events = world.nodes[node].events.iter();
    events.filter(|event| matches!(event, Event::OpenPath(_))).count()
}

#[test]
fn without_udp_and_without_turn_the_peer_that_listens_is_reached() {
    for controlling in [A, B] {
        let mut world = udp_is_blocked(1);
        world.nodes[A]
            .agent
            .set_role([Role::Controlling, Role::Controlled][controlling]);
        world.nodes[B]
            .agent
            .set_role([Role::Controlled, Role::Controlling][controlling]);
        world.signal();
        let works = |w: &World| w.nodes.iter().all(|node| node.agent.selected_path().is_some());
        assert!(world.run(ms(2000), works));
        // UDP's start, and a round trip of 20 ms for each side.
        assert!(world.elapsed() <= ms(540), "{:?}", world.elapsed());
        // The choice waits for UDP a little longer.
        assert!(world.run(ms(600), World::both_completed));
        let path = path_of(&world, A);
        assert_eq!((path.transport, path.remote), (Transport::Tcp, addr(LISTENER)));
        assert_eq!(path, path_of(&world, B).reversed());
        assert!(world.say(A, b"\x80there") && world.say(B, b"\x80back"));
        world.run_for(ms(20));
        assert_eq!(world.nodes[A].received, [b"\x80back"]);
        assert_eq!(world.nodes[B].received, [b"\x80there"]);
        // Consent is kept as over UDP.
        world.run_for(ms(120_000));
        assert!(world.both_completed());
        assert_eq!(world.nodes[A].agent.stats().drops.total(), 0);
    }
}

#[test]
fn the_listeners_candidate_is_passive_and_below_all_of_udp() {
    let mut world = udp_is_blocked(2);
    world.drain();
    let [udp, tcp]: [Candidate; 2] = world.nodes[B]
        .agent
        .local_candidates()
        .cloned()
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!(
        (udp.protocol, tcp.protocol.clone()),
        (Protocol::Udp, Protocol::Tcp)
    );
    assert_eq!(
        (tcp.tcp_type, tcp.address.socket()),
        (Some(TcpType::Passive), Some(addr(LISTENER)))
    );
    // RFC 6544, section 4.2: passive is 4, a single address 8191.
    assert_eq!(tcp.priority, (90 << 24) + ((4 * 8192 + 8191) << 8) + 255);
    assert!(tcp.to_string().contains(" tcp ") && tcp.to_string().ends_with(" typ host tcptype passive"));
    assert!(udp.priority > tcp.priority && udp.foundation != tcp.foundation);
}

#[test]
fn where_udp_works_no_connection_is_opened() {
    let mut world = World::simple(3);
    world.listen(B, LISTENER);
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
    world.run_for(ms(10_000));
    assert_eq!(path_of(&world, A).transport, Transport::Udp);
    assert_eq!(asked(&world, A), 0);
}

#[test]
fn udp_that_comes_to_life_before_the_choice_wins_and_the_connection_is_closed() {
    let mut configs = [config(Role::Controlling), config(Role::Controlled)];
    // The better pairs are still being checked when TCP works.
    configs[A].nomination_wait_host = ms(20_000);
    let mut world = World::new(4, configs);
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    world.udp_blocked.insert(addr("10.0.0.1:1").ip());
    world.listen(B, LISTENER);
    world.signal();
    assert!(world.run(ms(2000), |w| w.nodes[A].agent.state() == State::Connected));
    assert_eq!(path_of(&world, A).transport, Transport::Tcp);
    world.udp_blocked.clear();
    assert!(world.run(ms(20_000), World::both_completed));
    assert_eq!(path_of(&world, A).transport, Transport::Udp);
    world.run_for(ms(10_000));
    assert!(world.connections.is_empty(), "{:?}", world.connections);
}

#[test]
fn a_connection_that_ends_is_made_again_after_a_restart() {
    let mut world = udp_is_blocked(5);
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
    let path = path_of(&world, A);
    world.disconnect(path);
    assert_eq!(world.nodes[A].agent.selected_path(), None);
    assert_eq!(world.nodes[A].agent.state(), State::Disconnected);
    for node in [A, B] {
        world.nodes[node].agent.restart(world.now);
    }
    world.signal();
    assert!(world.run(ms(5000), World::both_completed));
    assert_ne!(path_of(&world, A), path);
}

#[test]
fn a_connection_that_ends_is_made_again_without_a_restart() {
    let mut world = udp_is_blocked(6);
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
    let path = path_of(&world, A);
    world.disconnect(path);
    assert!(world.run(ms(5000), World::both_completed));
    assert_ne!(path_of(&world, A), path);
}

#[test]
fn a_restart_stays_on_the_connection_until_there_is_another_path() {
    let mut world = udp_is_blocked(7);
    world.signal();
    assert!(world.run(ms(2000), World::both_completed));
    world.run_for(ms(5000));
    for node in [A, B] {
        world.nodes[node].agent.restart(world.now);
    }
    assert!(world.say(A, b"\x80still"));
    world.signal();
    assert!(world.run(ms(5000), World::both_completed));
    assert_eq!(path_of(&world, A).transport, Transport::Tcp);
    world.run_for(ms(5000));
    assert!(world.both_completed() && world.nodes[B].received.len() == 1);
}

#[test]
fn a_refused_connection_is_in_the_report() {
    let mut world = udp_is_blocked(8);
    world.listeners.clear();
    world.signal();
    assert!(world.run(ms(90_000), |w| w.nodes[A].failure.is_some()));
    let report = world.nodes[A].failure.clone().unwrap();
    let refused = report
        .tried
        .pairs
        .iter()
        .find(|pair| pair.outcome == Outcome::NotConnected);
    assert_eq!(refused.map(|pair| pair.remote), Some(addr(LISTENER)));
    assert!(
        format!("{report:#}").contains("10.0.0.1:0 to 10.0.0.2:443: no TCP connection could be made"),
        "{report:#}"
    );
}

#[test]
fn whoever_wants_relays_only_connects_to_nobody() {
    let mut configs = [config(Role::Controlling), config(Role::Controlled)];
    configs[A].transport_policy = TransportPolicy::Relay;
    let mut world = World::new(9, configs);
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    world.listen(B, LISTENER);
    world.signal();
    world.run_for(ms(30_000));
    assert_eq!(asked(&world, A), 0);
}

#[test]
fn a_lite_server_is_reached_over_tcp_behind_a_1_to_1_nat() {
    let mut configs = [config(Role::Controlling), config(Role::Controlled)];
    configs[B].lite = true;
    configs[B].external_ips = vec!["203.0.113.9".parse().unwrap()];
    let mut world = World::new(10, configs);
    world.add(A, "10.0.0.1:1000");
    world.listen(B, "192.168.0.2:443");
    let [candidate]: [Candidate; 1] = world.nodes[B].fresh.clone().try_into().unwrap();
    assert_eq!(candidate.address.socket(), Some(addr("203.0.113.9:443")));
    assert!(is_lite_and_passive(&world, &candidate));
}

fn is_lite_and_passive(world: &World, candidate: &Candidate) -> bool {
    world.nodes[B].agent.role() == Role::Controlled && candidate.tcp_type == Some(TcpType::Passive)
}

#[test]
fn a_flood_of_candidates_makes_a_bounded_number_of_connections() {
    let mut world = udp_is_blocked(11);
    world.tell_credentials(B, A);
    for port in 1..=60 {
        let line = format!("1 1 tcp 1518280447 10.0.0.2 {port} typ host tcptype passive");
        let _bound = world.nodes[A]
            .agent
            .add_remote_candidate(world.now, line.parse().unwrap());
    }
    world.run_for(ms(30_000));
    assert_eq!(asked(&world, A), 16);
}
