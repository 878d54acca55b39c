//! What is counted of each pair (W3C webrtc-stats, RTCIceCandidatePairStats), and how often pairs in reserve are asked.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use dunlin_ice::{CheckState, PairStats};
use std::time::Duration;
use world::{A, B, World, addr, ms};

fn pairs(world: &World, node: usize) -> Vec<PairStats> {
    world.nodes[node].agent.pair_stats()
}

fn selected(world: &World, node: usize) -> PairStats {
    world.nodes[node].agent.selected_pair_stats().unwrap()
}

fn in_reserve(world: &World, node: usize) -> Vec<PairStats> {
    let mut pairs = pairs(world, node);
    pairs.retain(|pair| !pair.selected && pair.state == CheckState::Succeeded);
    pairs
}

#[test]
fn a_pair_counts_its_checks_its_answers_and_what_was_sent_on_it() {
    let mut world = World::simple(1);
    world.signal();
    assert!(world.run(ms(1000), World::both_completed));
    assert!(world.say(A, b"\x80four") && world.say(A, b"\x80!") && world.say(B, b"\x80me"));
    world.run_for(ms(60_000));
    let [a, b] = [A, B].map(|node| selected(&world, node));
    for (ours, theirs) in [(&a, &b), (&b, &a)] {
        assert!(ours.state == CheckState::Succeeded && ours.nominated && ours.selected);
        assert_eq!(ours.packets_sent, theirs.packets_received);
        assert_eq!(ours.bytes_sent, theirs.bytes_received);
        // 60 seconds at 4 to 6 seconds.
        assert!((10..=15).contains(&ours.consent_requests_sent), "{ours:?}");
        assert_eq!(
            ours.requests_sent + ours.consent_requests_sent,
            theirs.requests_received
        );
        assert_eq!(theirs.requests_received, theirs.responses_sent);
        assert_eq!(theirs.responses_sent, ours.responses_received);
        // Nothing was sent twice, so that every response shows a round trip.
        let answers = ours.responses_received as u32;
        assert_eq!(ours.current_round_trip_time, Some(ms(20)));
        assert_eq!(ours.total_round_trip_time, ms(20) * answers);
        assert!(ours.last_packet_sent.is_some() && ours.last_packet_received.is_some());
        assert!(
            ours.last_packet_sent < theirs.last_packet_received,
            "ten milliseconds later"
        );
    }
    assert_eq!(
        (a.packets_sent, a.bytes_sent, b.packets_sent, b.bytes_sent),
        (2, 7, 1, 3)
    );
    assert_eq!(a.priority, b.priority);
    let now = world.now;
    world.nodes[A].agent.datagram_discarded(now, 5);
    let a = selected(&world, A);
    assert_eq!((a.packets_discarded_on_send, a.bytes_discarded_on_send), (1, 5));
    assert_eq!(a.packets_sent, 2, "a discarded one stays among those sent");
}

/// "The total number of connectivity check requests sent (not including retransmissions)."
#[test]
fn a_retransmission_is_no_other_request_and_shows_no_round_trip() {
    let mut world = World::simple(2);
    world.dead.insert(addr("10.0.0.2:1").ip());
    world.signal();
    world.run_for(ms(1200));
    let a = &pairs(&world, A)[0];
    assert_eq!((a.requests_sent, a.responses_received), (1, 0));
    assert_eq!(a.state, CheckState::InProgress);
    assert!(world.nodes[A].agent.stats().checks_sent >= 2);
    assert!(a.last_packet_sent.is_none() && a.current_round_trip_time.is_none());
    assert_eq!(a.total_round_trip_time, Duration::ZERO);
}

#[test]
fn what_was_sent_stays_with_the_pair_it_was_sent_on() {
    let mut world = World::with_two_ways();
    let before = selected(&world, A);
    for _ in 0..5 {
        assert!(world.say(A, b"\x80one"));
    }
    assert_eq!(selected(&world, A).packets_sent, before.packets_sent + 5);
    let lost = world.nodes[A].agent.selected_path().unwrap().local;
    let now = world.now;
    world.hosts[A].retain(|host| *host != lost);
    world.nodes[A]
        .agent
        .remove_local_address(now, lost, dunlin_net::Transport::Udp);
    assert!(world.run(ms(2000), World::both_completed));
    assert!(world.say(A, b"\x80two"));
    let sent: u64 = pairs(&world, A).iter().map(|pair| pair.packets_sent).sum();
    assert_eq!(sent, 1, "the five went with their pair");
    assert_eq!(world.nodes[A].agent.stats().datagrams_sent, 6);
}

/// RFC 8445, section 11: 15 seconds are enough for NATs.
#[test]
fn pairs_in_reserve_are_asked_a_third_as_often_and_survive_an_outage_of_ten_seconds() {
    let mut world = World::with_two_ways();
    world.run_for(ms(20_000));
    let before: Vec<u64> = in_reserve(&world, A)
        .iter()
        .map(|pair| pair.consent_requests_sent)
        .collect();
    assert!(!before.is_empty());
    let in_use = selected(&world, A).consent_requests_sent;
    world.run_for(ms(120_000));
    for (pair, before) in in_reserve(&world, A).iter().zip(&before) {
        assert!(
            (6..=10).contains(&(pair.consent_requests_sent - before)),
            "{pair:?}"
        );
    }
    assert!((20..=30).contains(&(selected(&world, A).consent_requests_sent - in_use)));
    // Whenever the outage begins, one check at least is answered before consent ends.
    for _ in 0..20 {
        let reserve = in_reserve(&world, A).len();
        let silent: Vec<_> = in_reserve(&world, A)
            .iter()
            .filter_map(|pair| Some(pair.remote.address.socket()?.ip()))
            .collect();
        for ip in &silent {
            world.mute.insert((addr("10.0.1.1:1").ip(), *ip));
            world.mute.insert((addr("10.0.0.1:1").ip(), *ip));
        }
        let in_use = selected(&world, A);
        world.mute.remove(&(
            in_use.local.address.socket().unwrap().ip(),
            in_use.remote.address.socket().unwrap().ip(),
        ));
        world.run_for(ms(10_000));
        world.mute.clear();
        world.run_for(ms(37_300));
        assert_eq!(in_reserve(&world, A).len(), reserve);
    }
}

/// When the pair in use goes, the one that takes its place is asked at once.
#[test]
fn a_pair_that_is_taken_out_of_the_reserve_has_to_answer_at_once() {
    let mut world = World::with_two_ways();
    world.run_for(ms(21_000));
    let lost = world.nodes[A].agent.selected_path().unwrap().local;
    let now = world.now;
    world.hosts[A].retain(|host| *host != lost);
    world.keep_log = true;
    world.log.clear();
    world.nodes[A]
        .agent
        .remove_local_address(now, lost, dunlin_net::Transport::Udp);
    let asked = selected(&world, A).consent_requests_sent;
    world.run_for(ms(100));
    assert!(selected(&world, A).consent_requests_sent + selected(&world, A).requests_sent > asked);
    assert!(!world.log.is_empty());
}
