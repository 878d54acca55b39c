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
    world.inject(A, Forge::new(7).chunk(8, 0, &[]).chunk(6, 0, &[]).sealed());
    assert_eq!(world.take_packet(A), None);
    // Behind an ERROR it is as a peer in SHUTDOWN-ACK-SENT sends it (section 5.2.4, action A).
    world.inject(A, Forge::new(7).chunk(9, 0, &[]).chunk(8, 0, &[]).sealed());
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

/// A state cookie.
const COOKIE: [u8; 12] = [0, 7, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8];

/// A has sent its INIT, whose tag this is.
fn connecting(config: Config) -> (World, u32) {
    let mut world = World::new(config);
    world.ends[A].connect(world.now);
    let init = world.take_packet(A).unwrap();
    (world, u32_at(&init, 16))
}

/// RFC 9260, section 3.3.3, of an INIT ACK with a window below 1500: "MUST discard the packet, SHOULD send a packet in response
/// containing an ABORT chunk …, and MUST NOT change the state of any existing association".
#[test]
fn an_init_ack_with_a_small_window_is_refused_and_changes_nothing() {
    let (mut world, tag) = connecting(Config::default());
    let mut value = [
        &[0, 0, 0, 7][..],
        &1499_u32.to_be_bytes(),
        &[0, 5, 0, 5, 0, 0, 0, 9],
    ]
    .concat();
    value.extend(COOKIE);
    world.inject(A, Forge::new(tag).chunk(2, 0, &value).sealed());
    let answer = world.take_packet(A).unwrap();
    assert_eq!(
        (dissect(&answer).as_str(), u32_at(&answer, 4), answer[13]),
        ("ABORT", 7, 0)
    );
    // The INIT is sent again, and its answer is taken.
    world.run(millis(5000));
    assert!(world.ends.iter().all(dunlin_sctp::Association::is_connected));
}

/// The same section, of the Initiate Tag 0: "it MUST destroy the TCB and SHOULD send an ABORT chunk with the T bit set".
#[test]
fn an_init_ack_without_a_tag_is_answered_with_its_own() {
    let (mut world, tag) = connecting(Config::default());
    world.inject(A, Forge::new(tag).init(2, 0, 9, &COOKIE).sealed());
    let answer = world.take_packet(A).unwrap();
    assert_eq!(
        (dissect(&answer).as_str(), u32_at(&answer, 4), answer[13]),
        ("ABORT", tag, 1)
    );
    assert!(matches!(
        world.ends[A].poll_event(),
        Some(Event::Closed(CloseReason::ProtocolViolation(_)))
    ));
}

/// The same section, of the outbound streams: "the value MUST NOT be greater than the MIS value sent in the INIT chunk".
#[test]
fn an_init_ack_announces_no_more_streams_than_the_init_takes() {
    let mut few = Config::default();
    few.streams = 10;
    let mut world = World::with(few, Config::default(), 1);
    world.ends[A].connect(world.now);
    let init = world.take_packet(A).unwrap();
    world.inject(B, init);
    let init_ack = world.take_packet(B).unwrap();
    let (kind, _, value) = chunks(&init_ack)[0];
    assert_eq!((kind, u16_at(value, 8)), (2, 10));
}

/// A peer that finds every cookie stale is not asked for ever (section 5.2.6; Max.Init.Retransmits).
#[test]
fn a_peer_that_finds_every_cookie_stale_is_given_up() {
    let (mut world, tag) = connecting(Config::default());
    let mut rounds = 0;
    while world.ends[A].poll_event().is_none() {
        rounds += 1;
        assert!(rounds < 20, "{rounds} cookies");
        world.inject(A, Forge::new(tag).init(2, 7, 9, &COOKIE).sealed());
        while world.take_packet(A).is_some() {}
        // A stale cookie, by a second.
        let stale = [0, 3, 0, 8, 0, 15, 66, 64];
        world.inject(A, Forge::new(tag).chunk(9, 0, &stale).sealed());
        while world.take_packet(A).is_some() {}
    }
    assert_eq!(rounds, 9);
}

/// A reason that is longer than a packet is cut, and the peer hears of the end.
#[test]
fn an_abort_goes_out_however_long_its_reason_is() {
    let mut config = Config::default();
    config.max_datagram = 256;
    let mut world = World::connected(config);
    world.ends[A].abort(world.now, &"because ".repeat(100));
    world.run(millis(100));
    let [Event::Closed(CloseReason::AbortedByPeer { reason, .. })] = &world.notices(B)[..] else {
        panic!("{:#?}", world.diagram)
    };
    assert!(
        reason.starts_with("because because ") && reason.len() > 200,
        "{reason}"
    );
}
