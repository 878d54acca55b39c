//! How long it takes to connect, counted in round trips of 50 ms from the moment that both sides have the other's
//! description with all candidates.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use dunlin_ice::{Config, Kind, Renomination, Role, TransportPolicy};
use dunlin_net::Transport;
use world::turn::with_turn;
use world::{A, B, World, addr, config, ms};

const STUN: &str = "198.51.100.1:3478";
const TURN: &str = "203.0.113.7:3478";
const ROUND_TRIP: f64 = 50.0;

/// The round trips until data can flow in both directions, and until both have chosen.
fn round_trips(mut world: World) -> (World, [f64; 2]) {
    world.delay = ms(25);
    // Everything is gathered.
    world.run_for(ms(2000));
    world.signal();
    let start = world.elapsed();
    let since = |world: &World| (world.elapsed() - start).as_secs_f64() * 1e3 / ROUND_TRIP;
    let works = |w: &World| w.nodes.iter().all(|node| node.agent.selected_path().is_some());
    assert!(world.run(ms(5000), works));
    let first = since(&world);
    assert!(world.run(ms(5000), World::both_completed));
    let chosen = since(&world);
    (world, [first, chosen])
}

fn two(seed: u64, change: impl Fn(Config) -> Config) -> World {
    let configs = [Role::Controlling, Role::Controlled].map(|role| change(config(role)));
    let mut world = World::new(seed, configs);
    world.stun_server = Some(addr(STUN));
    world
}

fn kinds(world: &World) -> [Kind; 2] {
    let pair = world.nodes[A].agent.selected_pair().unwrap();
    [pair.local.kind, pair.remote.kind]
}

#[test]
fn one_network_takes_two_round_trips() {
    let mut world = two(1, |config| config);
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    let (world, [first, chosen]) = round_trips(world);
    println!("host to host: data after {first:.2}, chosen after {chosen:.2}");
    assert_eq!(kinds(&world), [Kind::Host; 2]);
    assert!(first <= 1.05 && chosen <= 2.1, "{first} {chosen}");
}

#[test]
fn two_nats_take_one_round_trip_to_data() {
    let (world, [first, chosen]) = round_trips(behind_nats(2));
    println!("NAT to NAT: data after {first:.2}, chosen after {chosen:.2}");
    assert_eq!(kinds(&world), [Kind::ServerReflexive; 2]);
    // Host candidates, which lead nowhere here, go second.
    assert!(first <= 1.05, "{first}");
}

/// Both are ours: nominations may be repeated, and Ta is 10 ms.
fn between_ours(mut world: World) -> World {
    for node in &mut world.nodes {
        node.agent.set_remote_renomination(Some(Renomination::Draft));
        node.agent.set_remote_pacing(Some(Config::default().pacing));
    }
    world
}

fn behind_nats(seed: u64) -> World {
    let mut world = two(seed, |mut config| {
        config.stun_servers = vec![addr(STUN)];
        config
    });
    world.nat("10.1.0.1", "203.0.113.1", true);
    world.nat("10.2.0.1", "203.0.113.2", true);
    world.add(A, "10.1.0.1:1000");
    world.add(B, "10.2.0.1:2000");
    world
}

/// Issue: direct, "ICE done in at most 2 RTT after the answer".
#[test]
fn between_ours_it_is_all_done_within_two_round_trips() {
    let (_, [first, chosen]) = round_trips(between_ours(behind_nats(2)));
    println!("NAT to NAT, both ours: data after {first:.2}, chosen after {chosen:.2}");
    assert!(first <= 1.05 && chosen <= 1.05, "{first} {chosen}");

    let mut world = between_ours(two(1, |config| config));
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    let (_, [first, chosen]) = round_trips(world);
    println!("host to host, both ours: data after {first:.2}, chosen after {chosen:.2}");
    assert!(first <= 1.05 && chosen <= 1.05, "{first} {chosen}");
}

/// The answerer begins half a round trip before the offerer has the answer, and the NAT before the offerer eats its
/// checks.
#[test]
fn checks_that_were_eaten_before_the_answer_cost_nothing() {
    for (name, world, bar) in [
        ("one nomination", behind_nats(2), 13.1),
        ("both ours", between_ours(behind_nats(2)), 1.05),
    ] {
        let mut world = world;
        world.delay = ms(25);
        world.run_for(ms(2000));
        world.tell_credentials(A, B);
        world.tell_candidates(A, B);
        world.run_for(ms(25));
        let answer = world.elapsed();
        world.tell_credentials(B, A);
        world.tell_candidates(B, A);
        assert!(world.run(ms(5000), World::both_completed));
        let chosen = (world.elapsed() - answer).as_secs_f64() * 1e3 / ROUND_TRIP;
        println!("NAT to NAT, {name}: chosen {chosen:.2} round trips after the answer");
        assert!(chosen <= bar, "{name}: {chosen}");
    }
}

#[test]
fn through_a_turn_server_it_takes_four_round_trips() {
    for both in [true, false] {
        let mut world = two(3, |config| {
            if !both && config.role == Role::Controlled {
                return config;
            }
            let mut config = with_turn(config, TURN, Transport::Udp);
            config.transport_policy = TransportPolicy::Relay;
            config
        });
        world.add_turn(TURN, |_| {});
        world.add(A, "10.0.1.1:1000");
        world.add(B, "192.0.2.9:2000");
        let (world, [first, chosen]) = round_trips(between_ours(world));
        println!(
            "relayed ({}): data after {first:.2}, chosen after {chosen:.2}",
            if both { 2 } else { 1 }
        );
        assert!(kinds(&world).contains(&Kind::Relayed));
        assert!(first <= 4.1 && chosen <= 4.1, "{first} {chosen}");
    }
}
