//! Losses, and what only looks like one: probes, reordering, delays, acknowledgements out of order.

#![allow(clippy::disallowed_types)]

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::*;
use dunlin_sctp::{Config, CongestionControl};

const RTT: Duration = Duration::from_millis(100);

fn connected(control: CongestionControl) -> World {
    let mut config = Config::default();
    config.congestion = control;
    let mut world = World::new(config);
    for link in &mut world.links {
        link.delay = RTT / 2;
    }
    world.ends[A].connect(world.now);
    world.run(millis(1000));
    world.diagram.clear();
    world.events = [Vec::new(), Vec::new()];
    world
}

/// Loses the packets with DATA that A sends, by their number.
fn lose(world: &mut World, lost: &'static [usize]) {
    let mut count = 0;
    world.filter = Some(Box::new(move |side, packet| {
        let data = side == A && has_data(packet);
        count += usize::from(data);
        !(data && lost.contains(&count))
    }));
}

#[test]
fn one_small_message_takes_half_a_round_trip_and_lost_once_two_and_a_half() {
    for warm in [false, true] {
        for lost in [false, true] {
            let mut world = connected(CongestionControl::Bbr);
            if warm {
                world.send(A, 1, "first");
                world.run(millis(2000));
                world.events = [Vec::new(), Vec::new()];
            }
            if lost {
                lose(&mut world, &[1]);
            }
            let sent = world.now;
            world.send(A, 1, "hello");
            world.run_until_received(B, 1, millis(5000));
            let limit = if lost { RTT * 5 / 2 } else { RTT / 2 };
            assert!(world.now - sent <= limit, "{warm} {lost} {:?}", world.now - sent);
            assert_eq!(world.ends[A].stats().timeouts, 0);
        }
    }
}

#[test]
fn a_whole_flight_but_its_first_packet_is_found_lost_by_one_probe() {
    let mut world = connected(CongestionControl::Bbr);
    lose(&mut world, &[2, 3, 4, 5, 6, 7]);
    let sent = world.now;
    world.send(A, 1, vec![1; 8000]);
    world.run_until_received(B, 1, millis(5000));
    let stats = world.ends[A].stats();
    assert_eq!((stats.timeouts, stats.probes), (0, 1), "{:#?}", world.diagram);
    assert!(world.now - sent < RTT * 6, "{:?}", world.now - sent);
}

#[test]
fn a_retransmission_that_is_lost_is_sent_again_without_a_timeout() {
    let mut world = connected(CongestionControl::Bbr);
    // The first packet, and its retransmission, which follows the twelve others.
    lose(&mut world, &[1, 14]);
    world.send(A, 1, vec![1; 15_000]);
    world.run_until_received(B, 1, millis(5000));
    let stats = world.ends[A].stats();
    assert_eq!(stats.timeouts, 0, "{:#?}", world.diagram);
}

/// F-RTO: A's packets are held up for longer than RTO, and all of them arrive.
#[test]
fn a_timeout_is_taken_back_when_what_was_sent_before_it_arrives() {
    let mut world = connected(CongestionControl::Cubic);
    for _ in 0..20 {
        world.send(A, 1, vec![1; 20_000]);
    }
    world.run(RTT * 4);
    let window = world.ends[A].stats().congestion_window;
    for link in &mut world.links {
        link.delay = RTT * 6;
    }
    world.send(A, 1, vec![2; 200_000]);
    world.run_until_received(B, 21, millis(10_000));
    world.run(millis(5000));
    let stats = world.ends[A].stats();
    assert!(stats.timeouts >= 1 && stats.spurious_recoveries >= 1, "{stats:?}");
    assert!(stats.congestion_window * 2 > window, "{window} {stats:?}");
}

#[test]
fn reordering_is_learnt_and_then_costs_no_retransmissions() {
    let mut world = connected(CongestionControl::Bbr);
    world.links[A].reorder = 0.05;
    world.links[A].jitter = RTT / 2;
    world.links[A].rate = 20e6;
    for _ in 0..40 {
        world.send(A, 1, vec![1; 50_000]);
    }
    world.run_until_received(B, 20, millis(20_000));
    let before = world.ends[A].stats();
    world.run_until_received(B, 40, millis(20_000));
    let after = world.ends[A].stats();
    let resent = after.retransmissions - before.retransmissions;
    let sent = after.packets_sent - before.packets_sent;
    assert!(resent * 100 < sent, "{resent} of {sent}");
    assert_eq!(after.timeouts, 0);
}

/// ```text
/// A ──data──✗ … ✗       20 s of silence: T3-rtx grows to 10 s
/// A ──again, HEARTBEAT──▶ B
/// A ◀──HEARTBEAT ACK, SACK── B
/// A ──more──✗           lost once more: found after RTO, and not after 10 s
/// ```
#[test]
fn after_an_outage_the_next_loss_waits_for_a_round_trip_and_not_for_as_long_as_the_outage() {
    let mut world = connected(CongestionControl::Bbr);
    world.send(A, 1, "first");
    world.run(millis(2000));
    let down = Rc::new(Cell::new(true));
    let is_down = Rc::clone(&down);
    let mut count = 0;
    world.filter = Some(Box::new(move |side, packet| {
        let data = side == A && has_data(packet);
        count += usize::from(data && !is_down.get());
        side != A || !(is_down.get() || data && (2..=5).contains(&count))
    }));
    let sent = world.now;
    world.send(A, 1, vec![1; 30_000]);
    world.run(millis(20_000));
    down.set(false);
    world.run_until_received(B, 2, millis(40_000));
    let took = world.now - sent;
    assert!(took < Duration::from_secs(26), "{took:?}");
}
