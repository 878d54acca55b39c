//! The datagrams go another way: nothing waits for what the old path has taught, and nothing is held against the new one.

#![allow(clippy::disallowed_types)]

mod common;

use std::time::Duration;

use common::*;
use dunlin_sctp::{Config, CongestionControl, Event, Reliability, SendOptions, StreamId};

const RTT: Duration = Duration::from_millis(100);

fn connected(control: CongestionControl) -> World {
    let mut config = Config::default();
    config.congestion = control;
    let mut world = World::new(config);
    set_round_trip(&mut world, RTT);
    world.connect();
    world.run(millis(1000));
    world
}

fn set_round_trip(world: &mut World, rtt: Duration) {
    for link in &mut world.links {
        link.delay = rtt / 2;
    }
}

fn set_dead(world: &mut World, dead: bool) {
    for link in &mut world.links {
        link.loss = f64::from(u8::from(dead));
    }
}

fn move_both(world: &mut World) {
    let now = world.now;
    world
        .ends
        .iter_mut()
        .for_each(|end| end.handle_path_change(now, 0));
}

#[test]
fn after_a_dead_path_what_waits_arrives_within_half_a_round_trip_of_the_new_one() {
    for control in [CongestionControl::Bbr, CongestionControl::Cubic] {
        let mut world = connected(control);
        set_dead(&mut world, true);
        world.send(A, 1, "into the void");
        world.run(millis(12_000));
        world.send(A, 1, "and another");
        let stats = world.ends[A].stats();
        assert!(stats.timeouts >= 4 && stats.rto > millis(5000), "{stats:?}");
        set_dead(&mut world, false);
        set_round_trip(&mut world, RTT * 2);
        move_both(&mut world);
        let moved = world.now;
        assert_eq!(world.ends[A].stats().rto, Config::default().rto_initial);
        world.run_until_received(B, 2, millis(5000));
        assert_eq!(world.now - moved, RTT, "{control:?}");
        assert_eq!(world.texts(B), ["into the void", "and another"]);
    }
}

/// The probe, and whatever goes with it, may be lost too: then the time-out is the first one again.
#[test]
fn a_message_lost_once_on_the_new_path_waits_for_one_initial_timeout_at_most() {
    let mut world = connected(CongestionControl::Bbr);
    set_dead(&mut world, true);
    world.send(A, 1, "into the void");
    world.run(millis(12_000));
    move_both(&mut world);
    let moved = world.now;
    world.run(millis(1));
    set_dead(&mut world, false);
    world.run_until_received(B, 1, millis(5000));
    let limit = Config::default().rto_initial + RTT / 2;
    assert!(world.now - moved <= limit, "{:?}", world.now - moved);
}

#[test]
fn a_whole_flight_that_died_with_the_path_is_found_lost_by_one_answer() {
    for control in [CongestionControl::Bbr, CongestionControl::Cubic] {
        let mut world = connected(control);
        world.links[A].rate = 20e6;
        world.links[A].queue = millis(100);
        world.record = false;
        world.send(A, 1, vec![7; 256 << 10]);
        for _ in 0..15 {
            world.send(A, 1, vec![7; 256 << 10]);
        }
        world.run(millis(700));
        let flight = world.ends[A].stats().bytes_in_flight;
        assert!(flight > 100_000, "{flight}");
        set_dead(&mut world, true);
        world.run(millis(300));
        set_dead(&mut world, false);
        let before = world.ends[A].stats();
        move_both(&mut world);
        let moved = world.now;
        world.run_until_received(B, 16, millis(10_000));
        let stats = world.ends[A].stats();
        assert_eq!(stats.timeouts, before.timeouts, "{control:?}");
        // At 20 Mbit/s all of it takes 1.8 s; what was lost is not held against the new path.
        assert!(
            world.now - moved < millis(3500),
            "{control:?} {:?}",
            world.now - moved
        );
    }
}

/// Both paths work, and the new one is faster: what is under way arrives by the old one, and is not sent twice.
#[test]
fn a_move_between_living_paths_sends_hardly_anything_again() {
    for (before, after) in [(200, 20), (20, 200)] {
        let mut world = connected(CongestionControl::Bbr);
        set_round_trip(&mut world, millis(before));
        world.links.iter_mut().for_each(|link| link.rate = 50e6);
        world.record = false;
        world.run(millis(1000));
        for _ in 0..40 {
            world.send(A, 1, vec![7; 256 << 10]);
        }
        world.run(millis(1500));
        assert!(world.messages(B).len() < 40);
        set_round_trip(&mut world, millis(after));
        move_both(&mut world);
        world.run_until_received(B, 40, millis(10_000));
        let stats = world.ends[A].stats();
        assert_eq!(stats.timeouts, 0, "{before} {after}");
        assert!(
            stats.retransmissions < stats.packets_sent / 20,
            "{before} {after} {stats:?}"
        );
        let rtt = stats.smoothed_rtt.unwrap();
        assert!(
            rtt < millis(after + 60) && rtt >= millis(after),
            "{before} {after} {rtt:?}"
        );
    }
}

#[test]
fn a_message_that_must_not_be_sent_again_is_not_given_up_for_a_move() {
    let mut world = connected(CongestionControl::Bbr);
    let options = SendOptions {
        reliability: Reliability::MaxRetransmits(0),
        ..SendOptions::default()
    };
    world.send_with(A, 1, "once", options);
    world.pump();
    move_both(&mut world);
    world.run(millis(2000));
    assert_eq!(world.texts(B), ["once"]);
    assert_eq!(world.ends[A].stats().abandoned, 0);
}

#[test]
fn on_an_idle_association_a_heartbeat_asks_at_once_and_measures_the_new_round_trip() {
    let mut world = connected(CongestionControl::Bbr);
    set_round_trip(&mut world, RTT * 3);
    let now = world.now;
    world.diagram.clear();
    world.ends[A].handle_path_change(now, 0);
    world.run(millis(1000));
    assert_eq!(world.diagram, ["A> HEARTBEAT", "B> HEARTBEAT ACK"]);
    assert_eq!(world.ends[A].stats().smoothed_rtt, Some(RTT * 3));
}

/// Each of these backs off as well: the handshake, a reset of a stream, the shutdown.
#[test]
fn a_handshake_a_reset_and_a_shutdown_begin_anew() {
    let mut world = World::new(Config::default());
    set_dead(&mut world, true);
    world.ends[A].connect(world.now);
    world.run(millis(12_000));
    set_dead(&mut world, false);
    move_both(&mut world);
    world.run(millis(50));
    assert!(world.ends[A].is_connected() && world.ends[B].is_connected());
    world.send(A, 1, "first");
    world.run(millis(500));
    for closing in [false, true] {
        world.events = [Vec::new(), Vec::new()];
        set_dead(&mut world, true);
        let now = world.now;
        if closing {
            world.ends[A].shutdown(now);
        } else {
            world.ends[A].reset_stream(StreamId(1));
        }
        world.run(millis(12_000));
        set_dead(&mut world, false);
        move_both(&mut world);
        world.run(millis(50));
        let told = |event: &Event| matches!(event, Event::StreamsReset { .. } | Event::Closed(_));
        assert!(world.events[B].iter().any(told), "{:?}", world.events);
    }
}

#[test]
fn a_move_to_where_nobody_answers_ends_as_silence_does_and_moves_in_any_state_are_legal() {
    let mut world = World::new(Config::default());
    move_both(&mut world);
    world.ends[A].connect(world.now);
    move_both(&mut world);
    world.run(millis(200));
    assert!(world.ends[A].is_connected());
    for _ in 0..3 {
        move_both(&mut world);
    }
    set_dead(&mut world, true);
    world.send(A, 1, "void");
    world.run(Duration::from_secs(300));
    assert!(
        world
            .notices(A)
            .iter()
            .any(|event| matches!(event, Event::Closed(_)))
    );
    move_both(&mut world);
    assert!(world.take_packet(A).is_none());
}
