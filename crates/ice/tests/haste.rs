//! Checks that are sent before their time, and in another order than that of priorities: what both are worth is measured in
//! the simulator, between NATs of all kinds. Here: that they stay within bounds.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use std::time::Duration;

use dunlin_ice::{Config, Role};
use world::{A, B, World, addr, config, ms};

const PUBLIC: &str = "candidate:1 1 udp 1694498815 203.0.113.9 4000 typ srflx raddr 0.0.0.0 rport 9";
const RELAYED: &str = "candidate:2 1 udp 16777215 203.0.113.9 4000 typ relay raddr 0.0.0.0 rport 9";
const PRIVATE: &str = "candidate:3 1 udp 2130706431 10.9.0.9 4000 typ host";

/// An agent whose checks nobody answers.
fn alone(role: Role) -> World {
    let mut world = World::new(5, [config(Role::Controlling), config(role)]);
    world.keep_log = true;
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.2.0.1:2000");
    world
}

/// When it sent to 203.0.113.9 or 10.9.0.9 within five seconds.
fn asked(mut world: World, candidates: &[&str]) -> Vec<(Duration, bool)> {
    let pacing = Some(Config::default().pacing);
    world.nodes[B].agent.set_remote_pacing(pacing);
    world.tell_credentials(A, B);
    for line in candidates {
        let (now, agent) = (world.now, &mut world.nodes[B].agent);
        agent.add_remote_candidate(now, line.parse().unwrap()).unwrap();
    }
    let start = world.elapsed();
    world.run_for(ms(5000));
    let peer = [addr("203.0.113.9:4000"), addr("10.9.0.9:4000")];
    let sent = world.log.iter().filter(|(.., target, _)| peer.contains(target));
    sent.map(|(at, _, target, _)| (*at - start, *target == peer[0]))
        .collect()
}

fn times(role: Role, candidate: &str) -> Vec<Duration> {
    let sent = asked(alone(role), &[candidate]);
    sent.into_iter().map(|(at, _)| at).collect()
}

/// RFC 8445, section 14.3: the default RTO is 500 ms.
const PATIENT: [u64; 4] = [0, 500, 1500, 3500];

#[test]
fn the_answerer_sends_a_check_again_every_24_ms_but_not_for_long() {
    let sent = times(Role::Controlled, PUBLIC);
    assert_eq!(sent[..4], [ms(0), ms(24), ms(48), ms(72)]);
    assert_eq!(sent.len(), PATIENT.len() + 64);
    assert_eq!(sent.last(), Some(&ms(3500)));
    assert_eq!(sent.iter().filter(|at| **at > ms(1600)).count(), 1);
}

#[test]
fn other_checks_wait_for_their_rto() {
    let patient = PATIENT.map(ms);
    assert_eq!(times(Role::Controlled, PRIVATE), patient);
    assert_eq!(times(Role::Controlling, PUBLIC), patient);
}

/// A relay has no permission for the offerer before its owner has heard of it.
#[test]
fn the_offerer_repeats_its_checks_of_a_relay() {
    assert_eq!(times(Role::Controlling, RELAYED)[..3], [ms(0), ms(24), ms(48)]);
}

/// Ta holds for all that is repeated together.
#[test]
fn many_addresses_are_asked_no_faster_and_no_more_often() {
    let lines: Vec<String> = (1..=20u32)
        .map(|ip| {
            format!(
                "candidate:{ip} 1 udp {} 203.0.113.{} 4000 typ srflx raddr 0.0.0.0 rport 9",
                1_694_498_815 - ip,
                100 + ip
            )
        })
        .collect();
    let mut world = alone(Role::Controlled);
    world.nodes[B]
        .agent
        .set_remote_pacing(Some(Config::default().pacing));
    world.tell_credentials(A, B);
    for line in &lines {
        let (now, agent) = (world.now, &mut world.nodes[B].agent);
        agent.add_remote_candidate(now, line.parse().unwrap()).unwrap();
    }
    world.run_for(ms(490));
    let mut sent: Vec<Duration> = world.log.iter().map(|(at, ..)| *at).collect();
    sent.sort();
    assert!(sent.windows(2).all(|two| two[1] - two[0] >= ms(10)), "{sent:?}");
    world.run_for(ms(4500));
    assert_eq!(world.nodes[B].agent.stats().checks_sent, 20 * 4 + 64);
}

/// Two private networks behind two public addresses are most likely not one; behind one public address they are.
#[test]
fn a_private_address_behind_another_public_one_comes_second() {
    for (public, first_is_public) in [("203.0.113.2", true), ("203.0.113.9", false)] {
        let mut seen = config(Role::Controlled);
        seen.stun_servers = vec![addr("198.51.100.1:3478")];
        let mut world = World::new(5, [config(Role::Controlling), seen]);
        world.keep_log = true;
        world.stun_server = Some(addr("198.51.100.1:3478"));
        world.nat("10.2.0.1", public, false);
        world.add(A, "10.0.0.1:1000");
        world.add(B, "10.2.0.1:2000");
        world.run_for(ms(100));
        let sent = asked(world, &[PRIVATE, PUBLIC]);
        assert_eq!(
            [sent[0].1, sent[1].1],
            [first_is_public, !first_is_public],
            "{public}"
        );
        assert_eq!(sent[1].0 - sent[0].0, ms(10));
    }
}
