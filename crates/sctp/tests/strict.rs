//! Rules whose breach nobody notices at once, and settings at the ends of what their types can hold.

mod common;

use std::time::Duration;

use common::*;
use dunlin_sctp::{CloseReason, Config, CongestionControl, Event, Reliability, SendOptions, StreamId};

/// RFC 9260, section 8.4: "If the OOTB packet contains an ABORT chunk, the receiver MUST silently discard the OOTB packet",
/// wherever that chunk stands.
#[test]
fn out_of_the_blue_an_abort_anywhere_in_a_packet_silences() {
    let mut world = World::new(Config::default());
    let packet = Forge::new(0xdead).chunk(3, 0, &[0; 12]).chunk(6, 0, &[]).sealed();
    world.inject(B, packet);
    assert_eq!(world.take_packet(B), None);
    let packet = Forge::new(0xdead).chunk(8, 0, &[]).chunk(6, 0, &[]).sealed();
    world.inject(B, packet);
    assert_eq!(world.take_packet(B), None);
    assert_eq!(world.ends[B].stats().drops.out_of_the_blue, 2);
    // Section 8.5: what has the tag 0, and is no INIT, is silently discarded.
    for kind in (0..=15).chain([64, 130, 192]).filter(|kind| *kind != 1) {
        world.inject(B, Forge::new(0).chunk(kind, 0, &[0; 16]).sealed());
        assert_eq!(world.take_packet(B), None, "chunk {kind}");
    }
}

/// Sections 8.4 and 9.2: whoever has ended answers a SHUTDOWN ACK that comes again with a SHUTDOWN COMPLETE, out of the blue.
#[test]
fn a_lost_shutdown_complete_is_sent_again_by_who_has_ended() {
    for both in [false, true] {
        let mut world = World::connected(Config::default());
        let mut lost = 0;
        world.filter = Some(Box::new(move |_, packet| {
            let drop = has_chunk(packet, 14) && lost < 2;
            lost += u32::from(drop);
            !drop
        }));
        world.ends[A].shutdown(world.now);
        if both {
            world.ends[B].shutdown(world.now);
        }
        world.run(millis(10_000));
        for side in [A, B] {
            let notices = world.notices(side);
            assert_eq!(
                notices,
                [Event::Closed(CloseReason::Shutdown)],
                "{:#?}",
                world.diagram
            );
        }
    }
}

/// Nothing but that wakes the dead, and it takes no more than an answer of the same size.
#[test]
fn who_has_ended_answers_nothing_else() {
    let mut world = World::connected(Config::default());
    world.ends[A].abort(world.now, "");
    world.run(millis(100));
    for kind in (0..=15)
        .chain([64, 128, 130, 132, 192, 193, 194])
        .filter(|kind| *kind != 8)
    {
        world.inject(A, Forge::new(7).chunk(kind, 0, &[0; 16]).sealed());
        assert_eq!(world.take_packet(A), None, "chunk {kind}");
    }
    world.inject(A, Forge::new(7).chunk(8, 0, &[]).sealed());
    let answer = world.take_packet(A).unwrap();
    // Reflected tag, T bit.
    assert_eq!(
        (dissect(&answer).as_str(), u32_at(&answer, 4), answer[13]),
        ("SHUTDOWN COMPLETE", 7, 1)
    );
}

/// `poll_timeout` is a time already past while packets wait, the last one, too.
#[test]
fn the_last_packet_is_announced() {
    let mut world = World::connected(Config::default());
    world.ends[A].abort(world.now, "enough");
    assert!(world.ends[A].has_output());
    assert_eq!(world.ends[A].poll_timeout(), Some(world.now));
    assert_eq!(dissect(&world.take_packet(A).unwrap()), "ABORT");
    assert_eq!(world.take_packet(A), None);
    assert!(!world.ends[A].has_output());
    assert_eq!(world.ends[A].poll_timeout(), None);
}

/// "For ever" is a fair thing to say of a time, and "at once" is, too: no sum of times may overflow, and nothing may spin.
#[test]
fn times_without_end_and_times_of_nothing_are_taken() {
    for time in [Duration::MAX, Duration::from_secs(u64::MAX / 2), Duration::ZERO] {
        for congestion in [CongestionControl::Bbr, CongestionControl::Cubic] {
            let mut config = Config::default();
            config.congestion = congestion;
            config.rto_min = time;
            if !time.is_zero() {
                (config.rto_initial, config.rto_max) = (time, time);
            }
            (config.sack_delay, config.heartbeat_interval) = (time, Some(time));
            config.cookie_lifetime = time.max(millis(1000));
            config.max_path_datagram = 1472;
            let mut world = World::connected(config);
            let options = SendOptions {
                reliability: Reliability::MaxLifetime(time),
                ..SendOptions::default()
            };
            world.send_with(A, 1, vec![1; 100_000], options);
            world.send(A, 2, vec![2; 100_000]);
            world.run(millis(20_000));
            assert!(
                world.messages(B).iter().any(|(stream, _)| *stream == 2),
                "{time:?}"
            );
            // A chunk is lost, and with it the peer for a while.
            world.filter = Some(Box::new(|_, _| false));
            world.send(A, 3, vec![3; 100]);
            world.ends[A].reset_stream(StreamId(2));
            world.run(millis(3000));
            world.ends[A].handle_path_change(world.now, 1472);
            world.filter = None;
            world.run(millis(30_000));
            world.ends[A].shutdown(world.now);
            world.run(millis(30_000));
        }
    }
}

/// Time goes on for as long as it likes.
#[test]
fn an_association_of_years_still_works() {
    let day = Duration::from_secs(24 * 3600);
    let mut config = Config::default();
    // Nothing happens in between.
    config.heartbeat_interval = None;
    for congestion in [CongestionControl::Bbr, CongestionControl::Cubic] {
        config.congestion = congestion;
        let mut world = World::connected(config.clone());
        for days in [1, 24, 25, 49, 50, 51, 365, 4000] {
            world.run(day * days);
            world.events = [Vec::new(), Vec::new()];
            for side in [A, B] {
                world.send(side, 1, vec![1; 200_000]);
                world.send(side, 2, "small");
            }
            world.run(millis(5000));
            for side in [A, B] {
                assert_eq!(world.messages(side).len(), 2, "{days} {congestion:?}");
            }
        }
    }
}

/// Counts of nothing are brought up to what works.
#[test]
fn counts_of_nothing_still_connect_and_carry() {
    let mut config = Config::default();
    (config.max_datagram, config.streams, config.max_streams) = (0, 0, 0);
    (config.initial_window, config.max_gaps, config.max_pending_replies) = (0, 0, 0);
    (config.max_outstanding, config.receive_window) = (0, 0);
    let mut world = World::connected(config);
    world.links[A].loss = 0.05;
    for _ in 0..20 {
        world.send(A, 0, vec![7; 5000]);
    }
    world.run(millis(60_000));
    assert_eq!(world.messages(B).len(), 20);
}
