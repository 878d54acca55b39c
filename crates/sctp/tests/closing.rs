//! How streams and associations end: RE-CONFIG (RFC 6525), SHUTDOWN and ABORT (RFC 9260, section 9).

#![allow(clippy::disallowed_types, clippy::print_stdout)]

mod common;

use std::time::Duration;

use common::*;
use dunlin_sctp::{CloseReason, Config, Event, Reliability, SendError, SendOptions, StreamId, Tsn};
use proptest::prelude::*;

fn done(stream: u16) -> Event {
    Event::StreamResetDone(StreamId(stream))
}

fn reset(streams: &[u16]) -> Event {
    Event::StreamsReset {
        streams: streams.iter().map(|&stream| StreamId(stream)).collect(),
    }
}

#[test]
fn a_stream_is_reset_after_its_data_and_can_be_used_anew() {
    let mut world = World::connected(Config::default());
    world.send(A, 1, "one");
    world.send(A, 1, "two");
    world.ends[A].reset_stream(StreamId(1));
    let refused = world.ends[A].send(
        world.now,
        StreamId(1),
        dunlin_sctp::Ppid(51),
        "no".into(),
        SendOptions::default(),
    );
    assert!(matches!(refused, Err(SendError::StreamClosing { .. })));
    world.run(millis(500));
    assert_eq!(world.texts(B), ["one", "two"]);
    assert_eq!(world.notices(B), [reset(&[1])]);
    assert_eq!(world.notices(A), [done(1)]);
    let steps: Vec<&str> = world.diagram.iter().map(String::as_str).collect();
    assert_eq!(
        steps,
        [
            "A> I-DATA(1 m0 f0 BE 3) + I-DATA(1 m1 f0 IBE 3)",
            "B> SACK",
            "A> RE-CONFIG reset",
            "B> SACK + RE-CONFIG result 1"
        ]
    );
    // The stream begins again with SSN 0, both ways.
    world.diagram.clear();
    world.send(A, 1, "three");
    world.run(millis(500));
    assert_eq!(world.diagram[0], "A> I-DATA(1 m0 f0 IBE 5)");
    assert_eq!(world.texts(B), ["one", "two", "three"]);
}

#[test]
fn both_sides_reset_at_once_as_data_channels_do() {
    let mut world = World::connected(Config::default());
    for side in [A, B] {
        for stream in 0..5 {
            world.send(side, stream, "bye");
            world.ends[side].reset_stream(StreamId(stream));
        }
    }
    world.run(millis(1000));
    for side in [A, B] {
        let notices = world.notices(side);
        for stream in 0..5 {
            assert_eq!(notices.iter().filter(|event| **event == done(stream)).count(), 1);
        }
        assert!(notices.contains(&reset(&[0, 1, 2, 3, 4])), "{notices:?}");
        assert_eq!(world.texts(side).len(), 5);
    }
}

#[test]
fn a_reset_survives_the_loss_of_any_packet() {
    for lost in 0..12 {
        let mut world = World::connected(Config::default());
        let mut count = 0;
        world.filter = Some(Box::new(move |_, _| {
            count += 1;
            count - 1 != lost
        }));
        world.send(A, 1, vec![1; 3000]);
        world.ends[A].reset_stream(StreamId(1));
        world.ends[B].reset_stream(StreamId(1));
        world.run(millis(5000));
        assert_eq!(world.notices(A).len(), 2, "{lost} {:#?}", world.diagram);
        assert_eq!(world.notices(B).len(), 2, "{lost} {:#?}", world.diagram);
    }
}

#[test]
fn a_thousand_streams_are_reset_in_a_few_requests() {
    let mut world = World::connected(Config::default());
    for stream in 0..1000 {
        world.ends[A].reset_stream(StreamId(stream));
    }
    world.run(millis(2000));
    assert_eq!(world.notices(A).len(), 1000);
    let requests = world
        .diagram
        .iter()
        .filter(|line| line.contains("RE-CONFIG reset"))
        .count();
    assert!(requests <= 2, "{requests}");
    assert!(world.largest <= 1191);
}

/// THREATS 12: the peer never answers a reset.
#[test]
fn a_peer_that_never_answers_a_reset_is_not_waited_for_forever() {
    let mut world = World::connected(Config::default());
    world.filter = Some(Box::new(|side, packet| !(side == B && has_chunk(packet, 130))));
    world.ends[A].reset_stream(StreamId(1));
    world.run(millis(300_000));
    assert_eq!(world.notices(A), [Event::StreamResetFailed(StreamId(1))]);
    let requests = world
        .diagram
        .iter()
        .filter(|line| line.contains("RE-CONFIG reset"))
        .count();
    assert_eq!(requests, 21);
    assert!(world.ends[A].is_connected());
}

fn with_tsn(tsn: u32) -> Config {
    let mut config = Config::default();
    config.initial_tsn = Some(Tsn(tsn));
    // DATA chunks are made by hand here.
    config.interleaving = false;
    config
}

fn response(number: u32, result: u32) -> Vec<u8> {
    let mut value = vec![0, 16, 0, 12];
    value.extend(number.to_be_bytes());
    value.extend(result.to_be_bytes());
    value
}

fn outgoing_reset(number: u32, last_tsn: u32, streams: &[u16]) -> Vec<u8> {
    let mut value = vec![0, 13, 0, 16 + 2 * streams.len() as u8];
    value.extend(number.to_be_bytes());
    value.extend(0u32.to_be_bytes());
    value.extend(last_tsn.to_be_bytes());
    streams
        .iter()
        .for_each(|stream| value.extend(stream.to_be_bytes()));
    value
}

/// RFC 6525, Table 3.
#[test]
fn every_result_of_a_reset_is_understood() {
    for result in 0..8 {
        let mut world = World::connected(with_tsn(100));
        let tags = world.tags();
        world.filter = Some(Box::new(|side, packet| !(side == B && has_chunk(packet, 130))));
        world.ends[A].reset_stream(StreamId(1));
        world.run(millis(30));
        // The number of the first request is the initial TSN.
        world.inject(
            A,
            Forge::new(tags[A]).chunk(130, 0, &response(100, result)).packet,
        );
        world.run(millis(10));
        match result {
            0 | 1 => assert_eq!(world.notices(A), [done(1)]),
            4 | 6 => {
                assert_eq!(world.notices(A), []);
                world.filter = None;
                world.run(millis(2000));
                assert_eq!(world.notices(A), [done(1)]);
            }
            _ => assert_eq!(world.notices(A), [Event::StreamResetFailed(StreamId(1))]),
        }
    }
}

#[test]
fn in_progress_forever_is_a_refusal_in_the_end() {
    let mut world = World::connected(with_tsn(100));
    let tags = world.tags();
    world.filter = Some(Box::new(|side, packet| !(side == B && has_chunk(packet, 130))));
    world.ends[A].reset_stream(StreamId(1));
    for _ in 0..100 {
        world.run(millis(1000));
        world.inject(A, Forge::new(tags[A]).chunk(130, 0, &response(100, 6)).packet);
    }
    world.run(millis(10));
    assert_eq!(world.notices(A), [Event::StreamResetFailed(StreamId(1))]);
    assert!(world.ends[A].is_connected());
}

#[test]
fn a_reset_that_overtakes_data_waits_for_it() {
    let mut world = World::connected(with_tsn(100));
    let tags = world.tags();
    // A has sent TSN 100. Two messages more will come: 101 and 102; the reset names 102 and comes first.
    world.inject(
        B,
        Forge::new(tags[B])
            .chunk(130, 0, &outgoing_reset(100, 102, &[1]))
            .packet,
    );
    world.pump();
    assert_eq!(world.diagram, ["B> SACK + RE-CONFIG result 6"]);
    // After the reset a new message of the same stream; it must not be delivered before the old ones.
    world.inject(B, Forge::new(tags[B]).data(3, 103, 1, 0, b"new").packet);
    world.inject(B, Forge::new(tags[B]).data(3, 102, 1, 1, b"two").packet);
    world.pump();
    assert_eq!(world.texts(B), Vec::<String>::new());
    world.inject(B, Forge::new(tags[B]).data(3, 101, 1, 0, b"one").packet);
    world.pump();
    assert_eq!(world.texts(B), ["one", "two", "new"]);
    assert_eq!(world.notices(B), [reset(&[1])]);
    let at = world.events[B].iter().position(|event| *event == reset(&[1]));
    assert_eq!(at, Some(2), "{:?}", world.events[B]);
    assert!(
        world.diagram.last().unwrap().contains("RE-CONFIG result 1"),
        "{:#?}",
        world.diagram
    );
    // A retransmission of the request gets the same answer, and nothing is reset twice.
    world.diagram.clear();
    world.inject(
        B,
        Forge::new(tags[B])
            .chunk(130, 0, &outgoing_reset(100, 102, &[1]))
            .packet,
    );
    world.inject(
        B,
        Forge::new(tags[B])
            .chunk(130, 0, &outgoing_reset(101, 102, &[1]))
            .packet,
    );
    world.inject(
        B,
        Forge::new(tags[B])
            .chunk(130, 0, &outgoing_reset(99, 102, &[1]))
            .packet,
    );
    world.pump();
    assert_eq!(
        world.diagram,
        ["B> SACK + RE-CONFIG result 1 + RE-CONFIG result 1 + RE-CONFIG result 5"]
    );
    assert_eq!(world.notices(B).len(), 1);
}

#[test]
fn requests_for_what_is_not_offered_are_denied_and_incoming_resets_are_obeyed() {
    let mut world = World::connected(with_tsn(100));
    let tags = world.tags();
    let request = |kind: u8, number: u32, rest: &[u8]| {
        let mut value = vec![0, kind, 0, 8 + rest.len() as u8];
        value.extend(number.to_be_bytes());
        value.extend(rest);
        value
    };
    // Add outgoing, add incoming: there are 65,535 already.
    for (number, kind) in [(100, 17), (101, 18)] {
        world.inject(
            B,
            Forge::new(tags[B])
                .chunk(130, 0, &request(kind, number, &[0, 1, 0, 0]))
                .packet,
        );
        world.pump();
        assert_eq!(world.diagram.pop().unwrap(), "B> SACK + RE-CONFIG result 2");
    }
    // B has sent on stream 9 only.
    world.inject(
        B,
        Forge::new(tags[B])
            .chunk(130, 0, &request(14, 102, &[0, 8]))
            .packet,
    );
    world.pump();
    assert_eq!(world.diagram.pop().unwrap(), "B> SACK + RE-CONFIG result 0");
    world.inject(
        B,
        Forge::new(tags[B])
            .chunk(130, 0, &request(14, 103, &[0, 9]))
            .packet,
    );
    world.pump();
    assert_eq!(
        world.diagram.pop().unwrap(),
        "B> SACK + RE-CONFIG result 1 + RE-CONFIG reset"
    );
}

#[test]
fn a_peer_without_re_config_fails_the_reset_at_once() {
    let mut world = World::new(Config::default());
    // The INIT is stripped of its parameters on the way.
    world.ends[A].connect(world.now);
    let init = world.take_packet(A).unwrap();
    let stripped = Forge::new(0).chunk(1, 0, &init[16..32]).sealed();
    world.inject(B, stripped);
    world.run(millis(500));
    assert!(world.ends[B].is_connected());
    world.ends[B].reset_stream(StreamId(3));
    world.run(millis(500));
    assert!(world.notices(B).contains(&Event::StreamResetFailed(StreamId(3))));
    // Nor does it know FORWARD TSN: every message is reliable.
    world.filter = Some(Box::new(|side, packet| !(side == B && has_data(packet))));
    world.send_with(
        B,
        1,
        "once",
        SendOptions {
            unordered: false,
            reliability: Reliability::MaxRetransmits(0),
        },
    );
    world.run(millis(3000));
    world.filter = None;
    world.run(millis(10_000));
    assert_eq!(world.texts(A), ["once"]);
}

#[test]
fn a_shutdown_delivers_everything_first() {
    let mut world = World::connected(Config::default());
    world.links[A].loss = 0.1;
    for _ in 0..10 {
        world.send(A, 1, vec![1; 20_000]);
        world.send(B, 1, vec![2; 20_000]);
    }
    world.run(millis(25));
    world.ends[A].shutdown(world.now);
    let refused = world.ends[A].send(
        world.now,
        StreamId(1),
        dunlin_sctp::Ppid(51),
        "no".into(),
        SendOptions::default(),
    );
    assert!(matches!(refused, Err(SendError::Closed { .. })));
    world.run(millis(30_000));
    assert_eq!((world.messages(A).len(), world.messages(B).len()), (10, 10));
    for side in [A, B] {
        assert_eq!(world.notices(side), [Event::Closed(CloseReason::Shutdown)]);
        assert_eq!(world.ends[side].poll_timeout(), None);
    }
}

#[test]
fn a_shutdown_in_pictures_and_with_any_packet_lost() {
    let mut world = World::connected(Config::default());
    world.ends[A].shutdown(world.now);
    world.run(millis(1000));
    assert_eq!(
        world.diagram,
        ["A> SHUTDOWN", "B> SHUTDOWN ACK", "A> SHUTDOWN COMPLETE"]
    );
    for both in [false, true] {
        for lost in 0..8 {
            let mut world = World::connected(Config::default());
            let mut count = 0;
            world.filter = Some(Box::new(move |_, _| {
                count += 1;
                count - 1 != lost
            }));
            world.ends[A].shutdown(world.now);
            if both {
                world.ends[B].shutdown(world.now);
            }
            world.run(millis(200_000));
            for side in [A, B] {
                let closed = world.notices(side);
                assert_eq!(
                    closed,
                    [Event::Closed(CloseReason::Shutdown)],
                    "{both} {lost} {:#?}",
                    world.diagram
                );
            }
        }
    }
}

/// Section 3.3.8: "the receiver of the SHUTDOWN chunk MUST NOT interpret the lack of a Gap Ack Block as a renege." Found by
/// the model's seed 60843, where what had arrived was sent again and again, until the shutdown took too long.
#[test]
fn a_shutdown_takes_no_gap_ack_block_back() {
    let stream = |packet: &[u8]| has_data(packet).then(|| u16_at(chunks(packet)[0].2, 4));
    let mut world = World::connected(Config::default());
    world.filter = Some(Box::new(move |_, packet| !matches!(stream(packet), Some(1 | 3))));
    for number in 0..8 {
        world.send(A, number, vec![0; 1000]);
    }
    world.run(millis(100));
    world.ends[B].shutdown(world.now);
    // From now on no SACK arrives, only the SHUTDOWNs that T2-shutdown sends; the second message does.
    world.diagram.clear();
    world.filter = Some(Box::new(move |side, packet| {
        !(side == B && has_chunk(packet, 3)) && stream(packet) != Some(3)
    }));
    world.run(millis(5000));
    let again: Vec<&String> = world
        .diagram
        .iter()
        .filter(|line| line.contains("DATA"))
        .collect();
    assert!(again.len() > 2, "{:#?}", world.diagram);
    let missing = |line: &&String| line.contains("I-DATA(1 ") || line.contains("I-DATA(3 ");
    assert!(again.iter().all(missing), "{:#?}", world.diagram);
    let alone = world.diagram.iter().filter(|line| *line == "B> SHUTDOWN").count();
    assert!(alone > 1, "{:#?}", world.diagram);
    world.filter = None;
    world.run(millis(20_000));
    assert_eq!(world.messages(B).len(), 8);
    for side in [A, B] {
        assert_eq!(world.notices(side), [Event::Closed(CloseReason::Shutdown)]);
    }
}

#[test]
fn a_shutdown_may_acknowledge_half_a_gap_ack_block_but_not_what_was_never_sent() {
    let mut world = World::connected(with_tsn(100));
    let tags = world.tags();
    // TSNs 101 to 104, a packet each.
    world.filter = Some(Box::new(|_, _| false));
    for _ in 0..4 {
        world.send(A, 1, vec![0; 1000]);
    }
    world.run(millis(20));
    let chunk = world.ends[A].stats().bytes_in_flight / 4;
    world.inject(A, Forge::new(tags[A]).sack(100, 100_000, &[(2, 3)]).packet);
    assert_eq!(world.ends[A].stats().bytes_in_flight, 2 * chunk);
    let shutdown = |tsn: u32| Forge::new(tags[A]).chunk(7, 0, &tsn.to_be_bytes()).packet;
    world.inject(A, shutdown(110));
    assert_eq!(world.ends[A].stats().drops.lying_sack, 1);
    assert_eq!(world.ends[A].stats().bytes_in_flight, 2 * chunk);
    world.inject(A, shutdown(102));
    assert_eq!(world.ends[A].stats().bytes_in_flight, chunk);
    world.diagram.clear();
    world.inject(A, shutdown(104));
    world.pump();
    assert_eq!(world.diagram, ["A> SHUTDOWN ACK (lost)"]);
}

/// The last messages expire before they are sent: no SACK says that nothing is left.
#[test]
fn a_shutdown_does_not_wait_for_what_has_expired() {
    let mut world = World::connected(Config::default());
    world.record = false;
    let options = SendOptions {
        unordered: false,
        reliability: Reliability::MaxLifetime(millis(300)),
    };
    world.links[A].rate = 1e6;
    for _ in 0..20 {
        world.send_with(A, 1, vec![7; 20_000], options);
    }
    world.ends[A].shutdown(world.now);
    world.run(millis(5000));
    for side in [A, B] {
        assert_eq!(world.notices(side), [Event::Closed(CloseReason::Shutdown)]);
    }
}

#[test]
fn an_abort_takes_its_reason_along() {
    let mut world = World::connected(Config::default());
    world.send(A, 1, "lost with it");
    world.ends[A].abort(world.now, "enough is enough");
    world.run(millis(100));
    assert_eq!(world.diagram, ["A> ABORT"]);
    assert_eq!(
        world.notices(A),
        [Event::Closed(CloseReason::Aborted {
            reason: "enough is enough".into()
        })]
    );
    let expected = CloseReason::AbortedByPeer {
        code: 12,
        reason: "enough is enough".into(),
    };
    assert_eq!(
        expected.to_string(),
        "the peer aborted the SCTP association (user-initiated abort): enough is enough"
    );
    assert_eq!(world.notices(B), [Event::Closed(expected)]);
}

#[test]
fn after_the_end_every_call_does_nothing() {
    let mut world = World::connected(Config::default());
    world.ends[A].abort(world.now, "");
    world.run(millis(100));
    let (now, mut out) = (world.now, Vec::new());
    for end in &mut world.ends {
        end.connect(now);
        end.shutdown(now);
        end.abort(now, "again");
        end.reset_stream(StreamId(1));
        end.set_max_datagram(500);
        end.set_buffered_amount_low_threshold(StreamId(1), 5);
        end.handle_timeout(now + Duration::from_secs(1000));
        end.handle_datagram(now, Forge::new(0).init(1, 7, 9, &[]).sealed().into());
        end.handle_datagram(now, Forge::new(5).chunk(4, 0, &[0, 1, 0, 4]).sealed().into());
        assert!(!end.poll_transmit(now, &mut out));
        assert_eq!(end.poll_event(), None);
        assert_eq!(end.poll_timeout(), None);
        assert!(!end.is_connected());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(300), failure_persistence: None, ..ProptestConfig::default() })]
    /// Streams are used, reset and used again under loss: within each life of a stream its messages come in order and
    /// whole, and lives do not mix.
    #[test]
    fn lives_of_streams_do_not_mix(seed: u64, loss in 0.0..0.2f64, reorder in 0.0..0.4f64, lives in 1usize..6) {
        let mut config = Config::default();
        config.max_retransmits = None;
        let mut world = World::with(config.clone(), config, seed);
        world.connect();
        for link in &mut world.links {
            (link.loss, link.reorder, link.jitter) = (loss, reorder, millis(30));
        }
        for life in 0..lives {
            for stream in 0..3u16 {
                for i in 0..5u8 {
                    world.send(A, stream, [vec![life as u8, i], vec![0; usize::from(i) * 700]].concat());
                }
                world.ends[A].reset_stream(StreamId(stream));
            }
            let before = world.notices(A).len();
            let until = world.now + Duration::from_secs(300);
            while world.notices(A).len() < before + 3 {
                prop_assert!(world.step(until), "a reset never ended {:?}", world.ends[A].stats());
            }
        }
        for stream in 0..3u16 {
            let seen: Vec<(u8, u8)> =
                world.messages(B).iter().filter(|(id, _)| *id == stream).map(|(_, data)| (data[0], data[1])).collect();
            let expected: Vec<(u8, u8)> = (0..lives as u8).flat_map(|life| (0..5).map(move |i| (life, i))).collect();
            prop_assert_eq!(seen, expected);
        }
        let resets: usize = world.notices(B).iter().map(|event| match event {
            Event::StreamsReset { streams } => streams.len(),
            _ => 0,
        }).sum();
        prop_assert_eq!(resets, lives * 3);
    }
}

/// At 20 % of loss eleven requests in a row without an answer are a matter of time: here they are the first eleven.
#[test]
fn a_reset_is_not_given_up_where_much_is_lost() {
    let mut world = World::connected(Config::default());
    let mut lost = 0;
    world.filter = Some(Box::new(move |_, packet| {
        lost += u32::from(has_chunk(packet, 130));
        !has_chunk(packet, 130) || lost > 14
    }));
    world.send(A, 1, "hello");
    world.ends[A].reset_stream(StreamId(1));
    world.run(Duration::from_secs(200));
    assert_eq!(world.notices(A), [Event::StreamResetDone(StreamId(1))]);
}
