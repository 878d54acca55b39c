//! Checks that are sent before their time, and in another order than that of priorities: what both are worth is measured in
//! the simulator, between NATs of all kinds. Here: that they stay within bounds.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use std::net::SocketAddr;
use std::time::Duration;

use dunlin_ice::{Config, Role};
use dunlin_stun::{Class, IntegrityKey, Message, Method, TransactionId, Writer};
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

/// A check of A, who controls, for B.
fn check(world: &World, id: u8) -> Vec<u8> {
    let [a, b] = [A, B].map(|node| world.nodes[node].agent.local_credentials().clone());
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([id; 12]));
    writer
        .username(format!("{}:{}", b.ufrag(), a.ufrag()).as_bytes())
        .priority(1_862_270_975);
    match world.nodes[B].agent.role() {
        Role::Controlled => writer.ice_controlling(7),
        Role::Controlling => writer.ice_controlled(7),
    };
    writer
        .integrity(&IntegrityKey::short_term(b.password()))
        .fingerprint();
    out
}

/// RFC 8445, section 14.3: the default RTO is 500 ms.
const PATIENT: [u64; 4] = [0, 500, 1500, 3500];

/// It waits for an eighth of the time that has passed, at least for Ta and at most for 48 ms.
#[test]
fn the_answerer_sends_a_check_again_ever_more_slowly_and_not_for_long() {
    let sent = times(Role::Controlled, PUBLIC);
    assert_eq!(sent[..4], [ms(0), ms(10), ms(20), ms(30)]);
    let repeats: Vec<Duration> = sent
        .iter()
        .copied()
        .filter(|at| !PATIENT.map(ms).contains(at))
        .collect();
    assert_eq!(repeats.len(), 64);
    for two in repeats.windows(2) {
        let (waited, due) = (two[1] - two[0], (two[0] / 8).clamp(ms(10), ms(48)));
        // What is sent again for its RTO keeps its distance from both sides.
        assert!(
            waited >= due && waited < due + ms(20),
            "{waited:?} at {:?}",
            two[0]
        );
    }
    assert_eq!(sent.last(), Some(&ms(3500)));
    assert!(repeats.last() < Some(&ms(3000)));
}

/// Where candidates are told one by one, the offerer may be the first to send as well.
#[test]
fn the_offerer_sends_a_check_again_every_48_ms() {
    let sent = times(Role::Controlling, PUBLIC);
    assert_eq!(sent[..4], [ms(1), ms(49), ms(97), ms(145)]);
    assert_eq!(sent.len(), PATIENT.len() + 64);
}

/// The answerer's NAT may have another port for us than for the server. The check that comes from there comes with the answer, or
/// a moment later, and is not to wait for one that leads nowhere.
#[test]
fn the_offerer_lets_the_check_go_first_that_comes_with_the_answer() {
    let mut world = alone(Role::Controlling);
    let pacing = Some(Config::default().pacing);
    world.nodes[B].agent.set_remote_pacing(pacing);
    world.tell_credentials(A, B);
    let (now, agent) = (world.now, &mut world.nodes[B].agent);
    agent.add_remote_candidate(now, PUBLIC.parse().unwrap()).unwrap();
    let (start, other_port) = (world.elapsed(), addr("203.0.113.9:4444"));
    world.run_for(Duration::from_micros(500));
    let check = check(&world, 1);
    world.inject(other_port, addr("10.2.0.1:2000"), check);
    world.run_for(ms(20));
    let is_check = |data: &[u8]| Message::parse(data).is_ok_and(|message| message.class() == Class::Request);
    let checks = world.log.iter().filter(|(.., data)| is_check(data));
    let sent: Vec<(Duration, SocketAddr)> = checks.map(|(at, _, target, _)| (*at - start, *target)).collect();
    let half = Duration::from_micros(500);
    assert_eq!(
        sent,
        [(half, other_port), (half + ms(10), addr("203.0.113.9:4000"))]
    );
}

#[test]
fn private_addresses_are_asked_again_after_the_rto() {
    for role in [Role::Controlled, Role::Controlling] {
        assert_eq!(times(role, PRIVATE), PATIENT.map(ms));
    }
}

/// A relay has no permission for the offerer before its owner has heard of it.
#[test]
fn the_offerer_repeats_its_checks_of_a_relay() {
    assert_eq!(times(Role::Controlling, RELAYED)[..3], [ms(0), ms(10), ms(20)]);
}

/// Two ports of one address are likely to be one peer's: another address has every second turn.
#[test]
fn addresses_take_turns_and_not_ports() {
    let other_port = PUBLIC
        .replace("candidate:1", "candidate:4")
        .replace("4000", "4001");
    let relay = RELAYED.replace("203.0.113.9", "203.0.113.8");
    let mut world = alone(Role::Controlled);
    world.nodes[B]
        .agent
        .set_remote_pacing(Some(Config::default().pacing));
    world.tell_credentials(A, B);
    for line in [PUBLIC, &other_port, &relay] {
        let (now, agent) = (world.now, &mut world.nodes[B].agent);
        agent.add_remote_candidate(now, line.parse().unwrap()).unwrap();
    }
    world.run_for(ms(95));
    let to_relay = |(.., target, _): &&(_, _, SocketAddr, _)| *target == addr("203.0.113.8:4000");
    assert_eq!(world.log.len(), 10);
    assert_eq!(
        world.log.iter().filter(to_relay).count(),
        4,
        "the first three in turn, then every second"
    );
}

/// A check of the peer that is sent again is answered again, and triggers nothing while our own is under way.
#[test]
fn a_check_that_comes_again_triggers_no_other() {
    let mut world = alone(Role::Controlled);
    world.tell_credentials(A, B);
    let peer = addr("203.0.113.9:4000");
    let sent = |world: &World, class| {
        let of_class = |data: &[u8]| Message::parse(data).is_ok_and(|message| message.class() == class);
        let to_peer = world.log.iter().filter(|(.., target, _)| *target == peer);
        to_peer.filter(|(.., data)| of_class(data)).count()
    };
    for (wait, id, answers, checks) in [
        (0, 1, 1, 1),
        (30, 1, 2, 1),
        (30, 1, 3, 1),
        (10, 2, 4, 2),
        (30, 2, 5, 2),
        (80, 2, 6, 3),
    ] {
        world.run_for(ms(wait));
        let check = check(&world, id);
        world.inject(peer, addr("10.2.0.1:2000"), check);
        world.run_for(ms(6));
        let counted = [Class::Success, Class::Request].map(|class| sent(&world, class));
        assert_eq!(counted, [answers, checks], "after {:?}", world.elapsed());
    }
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

/// As long as no server has told us our own public address, a private one that is no neighbour of ours is most likely that of
/// another network.
#[test]
fn before_a_server_has_answered_neighbours_come_first_and_others_second() {
    for (own, first_is_public) in [("10.2.0.1:2000", true), ("10.9.0.2:2000", false)] {
        let mut asking = config(Role::Controlled);
        asking.stun_servers = vec![addr("198.51.100.1:3478")];
        let mut world = World::new(5, [config(Role::Controlling), asking]);
        world.keep_log = true;
        world.add(A, "10.0.0.1:1000");
        world.add(B, own);
        let sent = asked(world, &[PRIVATE, PUBLIC]);
        assert_eq!(
            [sent[0].1, sent[1].1],
            [first_is_public, !first_is_public],
            "{own}"
        );
    }
}
