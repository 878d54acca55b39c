//! Thousands of random worlds: loss, jitter, NATs, any signalling order. Every one must connect, agree, carry data
//! and come to rest; the same seed must give the same bytes.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use dunlin_ice::{Kind, Renomination, Role, State};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use world::{A, B, World, addr, config, ms};

/// A world out of a seed: roles, addresses, NATs, STUN, loss, delay.
fn random_world(seed: u64) -> World {
    let mut rng = StdRng::seed_from_u64(seed);
    let role = |flip: bool| if flip { Role::Controlling } else { Role::Controlled };
    let a = rng.random_bool(0.5);
    // One in five claims the same role on both sides.
    let b = if rng.random_bool(0.2) { a } else { !a };
    let mut configs = [config(role(a)), config(role(b))];
    let stun = rng.random_bool(0.5);
    for config in configs.iter_mut().filter(|_| stun) {
        config.stun_servers = vec![addr("198.51.100.1:3478")];
    }
    let mut world = World::new(seed, configs);
    let dialects = [None, Some(Renomination::Deployed), Some(Renomination::Draft)];
    let dialect = dialects[seed as usize % 3];
    for node in &mut world.nodes {
        node.agent.set_remote_renomination(dialect);
        node.agent
            .set_remote_pacing(seed.is_multiple_of(2).then_some(ms(10)));
    }
    world.stun_server = Some(addr("198.51.100.1:3478"));
    world.loss = [0.0, 0.02, 0.1, 0.2][rng.random_range(0..4)];
    world.delay = ms([0, 1, 10, 80, 300][rng.random_range(0..5)]);
    world.jitter = ms([0, 1, 30, 200][rng.random_range(0..4)]);
    // At most one NAT without STUN: two need it.
    let nats = rng.random_range(0..if stun { 3 } else { 2 });
    for node in 0..nats {
        world.nat(
            &format!("10.{}.0.1", node + 1),
            &format!("203.0.113.{}", node + 1),
            rng.random_bool(0.5),
        );
    }
    for (node, port) in [(A, 1000), (B, 2000)] {
        for extra in 0..rng.random_range(0..4) {
            world.add(node, &format!("[2001:db8::{}:{extra}]:{port}", node + 1));
        }
        world.add(node, &format!("10.{}.0.1:{port}", node + 1));
    }
    // Half of the worlds have IPv6 that leads nowhere.
    if rng.random_bool(0.5) {
        for extra in 0..4 {
            world.dead.insert(format!("2001:db8::1:{extra}").parse().unwrap());
        }
    }
    world
}

/// Signals everything, each step at a random time and in a random order.
fn signal_at_random(world: &mut World, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5157);
    let mut steps: Vec<u8> = vec![0, 1, 2, 3];
    while !steps.is_empty() {
        match steps.swap_remove(rng.random_range(0..steps.len())) {
            0 => world.tell_credentials(A, B),
            1 => world.tell_credentials(B, A),
            2 => world.tell_candidates(A, B),
            _ => world.tell_candidates(B, A),
        }
        world.run_for(ms([0, 0, 5, 700][rng.random_range(0..4)]));
    }
    // Candidates that came since, and still come: answers of the STUN server get lost too.
    for _ in 0..400 {
        world.tell_candidates(A, B);
        world.tell_candidates(B, A);
        if world.run(ms(100), World::both_completed) {
            break;
        }
    }
    for node in &mut world.nodes {
        node.agent.end_of_remote_candidates(world.now);
    }
}

#[test]
fn random_worlds_connect_agree_and_come_to_rest() {
    // SEED replays one world, SEEDS runs that many.
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let all = 0..number("SEEDS").unwrap_or(3000);
    let mut blind = 0;
    let seeds = number("SEED").map_or(all, |seed| seed..seed + 1);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut world = random_world(seed);
        world.keep_log = false;
        signal_at_random(&mut world, seed);
        let done = world.both_completed();
        if !done && is_blind(&world) {
            blind += 1;
            continue;
        }
        let [a, b] = [A, B].map(|n| &world.nodes[n].agent);
        assert!(
            done,
            "seed {seed}: {} {} after {:?}",
            a.state(),
            b.state(),
            world.elapsed()
        );
        assert_ne!(a.role(), b.role(), "seed {seed}");
        world.loss = 0.0;
        world.run_for(ms(20_000));
        let [a, b] = [A, B].map(|n| &world.nodes[n].agent);
        assert_eq!(
            (a.state(), b.state()),
            (State::Completed, State::Completed),
            "seed {seed}"
        );
        let (there, back) = (a.selected_pair().unwrap(), b.selected_pair().unwrap());
        assert_eq!(there.local.address, back.remote.address, "seed {seed}");
        assert_eq!(there.remote.address, back.local.address, "seed {seed}");
        assert!(world.say(A, b"\x80ping") && world.say(B, b"\x80pong"));
        world.run_for(ms(1000));
        assert!(
            world.nodes.iter().all(|node| node.received.len() == 1),
            "seed {seed}"
        );
        for node in &world.nodes {
            let stats = node.agent.stats();
            let kept = 3 * usize::from(node.agent.renomination().is_some());
            assert!(
                stats.pairs <= 1 + kept && stats.pending_transactions <= 24,
                "seed {seed}: {stats:?}"
            );
            // THREATS 17: no storm either. Checks are paced, consent is rare.
            assert!(
                stats.checks_sent < 400,
                "seed {seed}: {} checks",
                stats.checks_sent
            );
        }
        // What was given up is forgotten after the 79 RTO of a transaction (RFC 8489, section 6.2.1), and with many pairs an
        // RTO is longer than its 500 ms (RFC 8445, section 14.3).
        world.run_for(ms(60_000));
        for node in &world.nodes {
            let pending = node.agent.stats().pending_transactions;
            assert!(pending <= 4, "seed {seed}: {pending} requests wait for an answer");
        }
    }
    // Every request to the STUN server was lost on the way there or back, and the peer is behind a NAT too.
    assert!(blind <= 1 + count / 5000, "{blind} of {count} had no path");
}

/// Both are behind NATs, and one has never learned how it looks from outside: there is no path, and nobody is to blame.
fn is_blind(world: &World) -> bool {
    let sees_itself = |node: usize| {
        let mut candidates = world.nodes[node].agent.local_candidates();
        candidates.any(|candidate| candidate.kind == Kind::ServerReflexive)
    };
    world.nats.len() == 2 && !(sees_itself(A) && sees_itself(B))
}

#[test]
fn the_same_seed_gives_the_same_datagrams() {
    for seed in 0..50 {
        let run = |_: u8| {
            let mut world = random_world(seed);
            signal_at_random(&mut world, seed);
            world.run_for(ms(20_000));
            world.log
        };
        assert!(run(0) == run(1), "seed {seed}");
    }
}

#[test]
fn random_restarts_outages_and_moves_never_wedge_a_session() {
    for seed in 0..300 {
        let mut rng = StdRng::seed_from_u64(seed ^ 0xabc);
        let mut world = World::simple(seed);
        world.keep_log = false;
        world.loss = 0.1;
        let dialect = (seed % 2 == 0).then_some(Renomination::Draft);
        let agree = |world: &mut World| {
            for node in &mut world.nodes {
                node.agent.set_remote_renomination(dialect);
            }
        };
        agree(&mut world);
        world.signal();
        for _ in 0..12 {
            let now = world.now;
            match rng.random_range(0..5) {
                0 | 1 => {
                    // Sometimes the first description is lost, and a second restart follows.
                    for _ in 0..rng.random_range(1..3) {
                        world.nodes[A].agent.restart(now);
                    }
                    world.run_for(ms(rng.random_range(0..2000)));
                    world.nodes[B].agent.restart(world.now);
                    agree(&mut world);
                    world.signal();
                }
                2 => {
                    world.loss = 1.0;
                    world.run_for(ms(rng.random_range(0..25_000)));
                    world.loss = 0.1;
                }
                3 => world.nodes[rng.random_range(0..2)]
                    .agent
                    .set_role(Role::Controlling),
                _ => {}
            }
            world.run_for(ms(rng.random_range(0..8000)));
        }
        world.loss = 0.0;
        let now = world.now;
        world.nodes[A].agent.restart(now);
        world.nodes[B].agent.restart(now);
        world.signal();
        assert!(world.run(ms(30_000), World::both_completed), "seed {seed}");
        world.run_for(ms(10_000));
        assert!(world.both_completed(), "seed {seed}");
        assert!(
            world.nodes.iter().all(|node| node.agent.stats().pairs == 1),
            "seed {seed}"
        );
    }
}
