//! Which candidates come first (RFC 8445, section 5.1.2; RFC 8421, section 4).
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use dunlin_ice::{Agent, Candidate, Config, Kind, Role};
use dunlin_net::Transport;
use std::collections::BTreeSet;
use world::{A, B, World, addr, base_instant, config, ms};

/// Host candidates, best first.
fn hosts(addresses: &[&str]) -> Vec<Candidate> {
    let now = base_instant();
    let mut agent = Agent::new(Config::default(), [7; 32], now);
    for address in addresses {
        agent
            .add_local_address(now, addr(address), Transport::Udp)
            .unwrap();
    }
    let mut candidates: Vec<Candidate> = agent.local_candidates().cloned().collect();
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.priority));
    candidates
}

fn addresses(candidates: &[Candidate]) -> Vec<String> {
    let sockets = candidates
        .iter()
        .filter_map(|candidate| candidate.address.socket());
    sockets.map(|socket| socket.ip().to_string()).collect()
}

/// RFC 8421, section 4: "a sequence of candidates belonging to the same address family will be intermingled with candidates
/// from an alternate IP family", and "Implementations should prioritize IPv6 candidates by putting some of them first".
#[test]
fn ipv6_and_ipv4_take_turns_in_whatever_order_they_are_added() {
    let six = ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1"];
    let four = ["192.0.2.1:1", "192.0.2.2:1"];
    let wanted = [
        "2001:db8::1",
        "192.0.2.1",
        "2001:db8::2",
        "192.0.2.2",
        "2001:db8::3",
    ];
    assert_eq!(addresses(&hosts(&[&six[..], &four].concat())), wanted);
    assert_eq!(addresses(&hosts(&[&four[..], &six].concat())), wanted);
}

#[test]
fn addresses_that_lead_nowhere_else_come_last() {
    let all = ["127.0.0.1:1", "[fe80::1]:1", "192.0.2.1:1", "[2001:db8::1]:1"];
    let sorted = addresses(&hosts(&all));
    assert_eq!(sorted[..2], ["2001:db8::1", "192.0.2.1"]);
}

/// RFC 8445, section 5.1.2.1: "priority = (2^24)*(type preference) + (2^8)*(local preference) + (2^0)*(256 - component ID)",
/// and the local preference "MUST be an integer from 0 (lowest preference) to 65535 (highest preference) inclusive".
#[test]
fn priorities_are_composed_as_the_rfc_has_it_and_each_is_unique() {
    let many: Vec<String> = (1..=16)
        .flat_map(|n| [format!("192.0.2.{n}:1"), format!("[2001:db8::{n}]:1")])
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let candidates = hosts(&many);
    assert_eq!(candidates.len(), 32);
    assert_eq!(candidates[0].priority, (126 << 24) + (65_535 << 8) + 255);
    let mut seen = BTreeSet::new();
    for candidate in &candidates {
        assert_eq!((candidate.priority >> 24, candidate.priority & 0xff), (126, 255));
        assert!(seen.insert(candidate.priority));
    }
}

/// RFC 8445, section 5.1.2.1: "The type preference for peer-reflexive candidates MUST be higher than that of server-reflexive
/// candidates"; a check carries the priority of the local candidate "but with the candidate type preference of peer-reflexive
/// candidates" (section 7.1.1).
#[test]
fn kinds_rank_as_recommended_and_a_learned_candidate_has_the_priority_of_the_check() {
    let ranks = [
        Kind::Host,
        Kind::PeerReflexive,
        Kind::ServerReflexive,
        Kind::Relayed,
    ]
    .map(Kind::type_preference);
    assert_eq!(ranks, [126, 110, 100, 0]);

    let mut world = World::new(1, [config(Role::Controlling), config(Role::Controlled)]);
    world.nat("10.1.0.1", "203.0.113.1", true);
    world.add(A, "10.1.0.1:1000");
    world.add(B, "192.0.2.9:2000");
    world.signal();
    assert!(world.run(ms(5000), World::both_completed));
    let learned = world.nodes[B].agent.selected_pair().unwrap().remote.clone();
    assert_eq!(learned.kind, Kind::PeerReflexive);
    let host = world.nodes[A].agent.local_candidates().next().unwrap().priority;
    assert_eq!(learned.priority, (110 << 24) + (host & 0x00ff_ffff));
    let own = world.nodes[A].agent.selected_pair().unwrap().local.clone();
    assert_eq!((own.kind, own.priority), (Kind::PeerReflexive, learned.priority));
}
