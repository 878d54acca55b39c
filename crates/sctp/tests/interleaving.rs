//! I-DATA and the schedulers (RFC 8260): who uses it, what it buys, what breaks it.

mod common;

use bytes::Bytes;
use common::*;
use dunlin_sctp::{CloseReason, Config, Event, Ppid, Reliability, Scheduler, SendOptions, StreamId, Tsn};

const LARGE: usize = 256 << 10;

fn with(scheduler: Scheduler, interleaving: bool) -> Config {
    let mut config = Config::default();
    config.scheduler = scheduler;
    config.interleaving = interleaving;
    config.initial_tsn = Some(Tsn(1000));
    config
}

/// B is the victim of packets made by hand; both sides' TSNs begin at 1000.
fn victim(interleaving: bool) -> (World, Forge) {
    let mut world = World::connected(with(Scheduler::default(), interleaving));
    world.send(A, 9, "what is your tag?");
    let tag = u32_at(&world.take_packet(A).unwrap(), 4);
    (world, Forge::new(tag))
}

#[test]
fn it_is_used_where_both_sides_want_it_and_only_there() {
    for (a, b) in [(true, true), (true, false), (false, true), (false, false)] {
        for both in [false, true] {
            let configs = [a, b].map(|wants| with(Scheduler::default(), wants));
            let [first, second] = configs;
            let mut world = World::with(first, second, 5);
            world.filter = Some(Box::new(move |_, packet| {
                assert!(
                    !has_chunk(packet, if a && b { 0 } else { 64 }),
                    "{}",
                    dissect(packet)
                );
                true
            }));
            world.ends[A].connect(world.now);
            if both {
                world.ends[B].connect(world.now);
            }
            for side in [A, B] {
                world.send(side, 1, vec![7; 5000]);
            }
            world.run(millis(1000));
            for side in [A, B] {
                assert_eq!(world.messages(side).len(), 1);
                assert_eq!(world.ends[side].interleaves(), Some(a && b));
            }
        }
    }
}

#[test]
fn the_wrong_kind_of_chunk_is_a_violation() {
    type Violation = (bool, fn(Forge) -> Forge);
    let violations: [Violation; 4] = [
        (true, |forge| forge.data(3, 1000, 1, 0, b"data")),
        (true, |forge| forge.chunk(192, 0, &1000u32.to_be_bytes())),
        (false, |forge| forge.i_data(3, 1000, 1, 0, 53, b"data")),
        (false, |forge| forge.chunk(194, 0, &1000u32.to_be_bytes())),
    ];
    for (i, (interleaving, chunk)) in violations.into_iter().enumerate() {
        let (mut world, forge) = victim(interleaving);
        world.inject(B, chunk(forge).packet);
        let answer = world.take_packet(B).unwrap();
        if i == 3 {
            // Who does not want I-DATA at all does not know the chunk either: RFC 3758, section 3.3.1.
            assert!(dissect(&answer).contains("ERROR 6"), "{}", dissect(&answer));
            assert!(world.ends[B].is_connected());
            continue;
        }
        let (kind, _, value) = chunks(&answer)[0];
        assert_eq!((kind, u16_at(value, 0)), (6, 13), "{i}");
        let end = std::iter::from_fn(|| world.ends[B].poll_event()).last();
        assert!(matches!(
            end,
            Some(Event::Closed(CloseReason::ProtocolViolation(_)))
        ));
    }
}

#[test]
fn a_large_message_does_not_hold_up_a_small_one() {
    for scheduler in [
        Scheduler::RoundRobin,
        Scheduler::WeightedFair,
        Scheduler::Priority,
    ] {
        for interleaving in [true, false] {
            let mut world = World::connected(with(scheduler, interleaving));
            world.record = false;
            world.links[A].rate = 10e6;
            world.ends[A].set_priority(StreamId(2), 1024);
            world.send(A, 1, vec![1; LARGE]);
            world.run(millis(60));
            let asked = world.now;
            world.send(A, 2, "small");
            let first = if interleaving { 1 } else { 2 };
            world.run_until_received(B, first, millis(3000));
            let took = world.now - asked;
            if interleaving {
                assert_eq!(world.texts(B), ["small"]);
                assert!(took < millis(60), "{scheduler:?} {took:?}");
            } else {
                // 2 Mbit at 10 Mbit/s come first.
                assert!(took > millis(100), "{scheduler:?} {took:?}");
            }
            world.run_until_received(B, 2, millis(3000));
        }
    }
}

/// Messages of all sizes pass one that is larger than all that the peer could hold.
#[test]
fn an_endless_message_holds_up_no_other() {
    let mut config = with(Scheduler::WeightedFair, true);
    config.max_message_size = usize::MAX;
    config.max_receive_message_size = 64 << 20;
    config.max_send_buffer = 100 << 20;
    let mut world = World::connected(config);
    world.record = false;
    world.links[A].rate = 10e6;
    world.send(A, 1, vec![1; 60 << 20]);
    for (i, len) in [500, 2000, 20_000, 100_000].into_iter().enumerate() {
        world.run(millis(100));
        let asked = world.now;
        world.send(A, 2, vec![2; len]);
        world.run_until_received(B, i + 1, millis(3000));
        let alone = millis(60 + len as u64 * 8 / 10_000);
        assert!(world.now - asked < alone * 2, "{len} {:?}", world.now - asked);
    }
}

#[test]
fn first_come_is_first_served() {
    let mut world = World::connected(with(Scheduler::FirstCome, true));
    for (stream, len) in [(5, 3000), (2, 10), (5, 10), (1, 5000), (2, 7)] {
        world.send(A, stream, vec![stream as u8; len]);
    }
    world.run(millis(500));
    let streams: Vec<u16> = world.messages(B).iter().map(|message| message.0).collect();
    assert_eq!(streams, [5, 2, 5, 1, 2]);
}

#[test]
fn fragments_take_turns() {
    let mut world = World::connected(with(Scheduler::RoundRobin, true));
    for stream in 1..=3 {
        world.send(A, stream, vec![7; 3000]);
    }
    world.run(millis(500));
    let data: Vec<&str> = world
        .diagram
        .iter()
        .filter(|line| line.starts_with("A> I-DATA"))
        .map(String::as_str)
        .collect();
    assert_eq!(
        data[..4],
        [
            "A> I-DATA(1 m0 f0 B 1156)",
            "A> I-DATA(2 m0 f0 B 1156)",
            "A> I-DATA(3 m0 f0 B 1156)",
            "A> I-DATA(1 m0 f1  1156)",
        ]
    );
    assert_eq!(world.messages(B).len(), 3);
}

/// Bytes that each stream got through a bottleneck, while all had more to send.
fn shares(scheduler: Scheduler, interleaving: bool, priorities: &[(u16, u16)]) -> Vec<usize> {
    let mut world = World::connected(with(scheduler, interleaving));
    world.record = false;
    world.links[A].rate = 10e6;
    for &(stream, priority) in priorities {
        world.ends[A].set_priority(StreamId(stream), priority);
        for _ in 0..60 {
            world.send(A, stream, vec![7; if stream == 1 { 40_000 } else { 5000 }]);
            if stream == 1 && world.ends[A].buffered_amount(StreamId(1)) > 2_000_000 {
                break;
            }
        }
        while world.ends[A].buffered_amount(StreamId(stream)) < 2_000_000 {
            world.send(A, stream, vec![7; 5000]);
        }
    }
    let before: Vec<usize> = priorities
        .iter()
        .map(|(stream, _)| world.ends[A].buffered_amount(StreamId(*stream)))
        .collect();
    world.run(millis(1500));
    priorities
        .iter()
        .zip(before)
        .map(|((stream, _), before)| before - world.ends[A].buffered_amount(StreamId(*stream)))
        .collect()
}

#[test]
fn weights_divide_the_bytes_whatever_the_size_of_the_messages() {
    for interleaving in [true, false] {
        let shares = shares(
            Scheduler::WeightedFair,
            interleaving,
            &[(1, 128), (2, 256), (3, 512), (4, 1024)],
        );
        let total: usize = shares.iter().sum();
        assert!(total > 1_000_000, "{shares:?}");
        for (i, share) in shares.iter().enumerate() {
            let due = f64::from(128 << i) / 1920.0;
            let is = *share as f64 / total as f64;
            assert!((is - due).abs() < 0.05, "{interleaving} {i} {is} {due}");
        }
    }
}

#[test]
fn a_higher_priority_goes_first_and_equals_share() {
    let shares = shares(Scheduler::Priority, true, &[(1, 128), (2, 1024), (3, 1024)]);
    assert_eq!(shares[0], 0, "{shares:?}");
    assert!(shares[1].abs_diff(shares[2]) < 10_000, "{shares:?}");
}

#[test]
fn a_priority_may_change_while_messages_wait() {
    let mut world = World::connected(with(Scheduler::Priority, true));
    world.record = false;
    world.links[A].rate = 10e6;
    for stream in [1, 2] {
        world.send(A, stream, vec![7; LARGE]);
    }
    world.run(millis(50));
    world.ends[A].set_priority(StreamId(2), 512);
    let first = world.ends[A].buffered_amount(StreamId(1));
    world.run_until_received(B, 1, millis(3000));
    assert_eq!(world.messages(B)[0].0, 2);
    assert!(first - world.ends[A].buffered_amount(StreamId(1)) < 50_000);
}

/// A hundred messages of 256 KiB at once are 25 MiB, far more than the receive window at first: if all of them were begun, none could be
/// finished.
#[test]
fn no_more_messages_are_begun_than_the_peer_can_hold() {
    let mut config = with(Scheduler::RoundRobin, true);
    config.max_send_buffer = 100 << 20;
    let mut world = World::connected(config);
    world.record = false;
    for stream in 0..100 {
        world.send(A, stream, vec![stream as u8; LARGE]);
    }
    world.run(millis(30));
    world.send(A, 200, "small");
    world.run_until_received(B, 1, millis(100));
    world.run_until_received(B, 101, millis(30_000));
    let stats = world.ends[B].stats();
    assert_eq!(stats.drops.no_room, 0, "{stats:?}");
}

/// A peer without that sense fills the window with beginnings: what finishes them is still taken.
#[test]
fn a_window_full_of_beginnings_can_still_be_finished() {
    let mut config = with(Scheduler::RoundRobin, true);
    config.receive_window = 64 << 10;
    config.max_receive_message_size = 32 << 10;
    let mut world = World::connected(config);
    world.send(A, 9, "what is your tag?");
    let tag = u32_at(&world.take_packet(A).unwrap(), 4);
    let mut tsn = 1000;
    for fsn in 0..22u32 {
        for stream in 0..4 {
            let bits = if fsn == 0 { 2 } else { u8::from(fsn == 21) };
            let last = if fsn == 0 { 53 } else { fsn };
            let forge = Forge::new(tag).i_data(bits, tsn, stream, 0, last, &[7; 1000]);
            world.inject(B, forge.packet);
            world.pump();
            tsn += 1;
        }
    }
    assert_eq!(world.messages(B).len(), 4);
}

#[test]
fn a_reset_in_the_middle_holds_back_what_comes_after_it_and_starts_the_counters_anew() {
    let (mut world, forge) = victim(true);
    let reset = [
        &[0, 13, 0, 18][..],
        &1000u32.to_be_bytes(),
        &0u32.to_be_bytes(),
        &1003u32.to_be_bytes(),
        &[0, 1],
    ]
    .concat();
    world.inject(B, forge.clone().i_data(2, 1001, 1, 0, 53, b"first ").packet);
    world.inject(B, forge.clone().chunk(130, 0, &reset).packet);
    // After the reset: the first message again, and an unordered one. They must wait.
    world.inject(
        B,
        forge
            .clone()
            .i_data(3, 1004, 1, 0, 53, b"anew")
            .i_data(7, 1005, 1, 0, 53, b"anew, unordered")
            .i_data(3, 1003, 1, 1, 53, b"second")
            .packet,
    );
    world.pump();
    assert_eq!(world.texts(B), Vec::<String>::new());
    world.inject(
        B,
        forge
            .i_data(7, 1000, 1, 0, 53, b"unordered")
            .i_data(1, 1002, 1, 0, 1, b"message")
            .packet,
    );
    world.pump();
    let expected = ["unordered", "first message", "second", "anew", "anew, unordered"];
    assert_eq!(world.texts(B), expected);
    let streams = vec![StreamId(1)];
    let at = world.events[B].iter().position(|event| {
        *event
            == Event::StreamsReset {
                streams: streams.clone(),
            }
    });
    assert_eq!(at, Some(3));
}

#[test]
fn messages_are_given_up_in_the_middle_and_the_others_go_on() {
    for unordered in [false, true] {
        let mut config = with(Scheduler::RoundRobin, true);
        config.initial_window = 6;
        let mut world = World::connected(config);
        let mut count = 0;
        world.filter = Some(Box::new(move |side, packet| {
            let data = side == A && has_data(packet);
            count += usize::from(data);
            !(data && count == 3)
        }));
        let once = SendOptions {
            unordered,
            reliability: Reliability::MaxRetransmits(0),
        };
        world.send_with(A, 1, vec![1; 22_000], once);
        world.send(A, 2, vec![2; 22_000]);
        world.send_with(
            A,
            1,
            "after",
            SendOptions {
                unordered,
                ..SendOptions::default()
            },
        );
        world.run(millis(3000));
        let messages = world.messages(B);
        assert_eq!(messages.len(), 2, "{:#?}", world.diagram);
        assert!(messages.contains(&(1, Bytes::from("after"))));
        assert!(messages.contains(&(2, Bytes::from(vec![2; 22_000]))));
        assert_eq!(world.ends[A].stats().abandoned, 1);
        assert!(world.diagram.iter().any(|line| line.contains("I-FORWARD-TSN")));
        assert_eq!(world.ends[A].stats().bytes_in_flight, 0);
    }
}

/// All that was sent of an abandoned message arrives, only late: the message must not stay half there, nor hold up others.
#[test]
fn the_sent_part_of_an_abandoned_message_may_arrive_after_all() {
    for unordered in [false, true] {
        let mut config = with(Scheduler::RoundRobin, true);
        config.initial_window = 4;
        let mut world = World::connected(config);
        world.links[B].delay = millis(10);
        let options = SendOptions {
            unordered,
            reliability: Reliability::MaxLifetime(millis(300)),
        };
        // The data takes half a second: T3-rtx finds the message expired meanwhile.
        world.links[A].delay = millis(700);
        world.send_with(A, 1, vec![1; 22_000], options);
        world.send_with(
            A,
            1,
            "after",
            SendOptions {
                unordered,
                ..SendOptions::default()
            },
        );
        world.run(millis(30_000));
        assert_eq!(world.texts(B), ["after"], "{:#?}", world.diagram);
        assert_eq!(world.ends[A].stats().abandoned, 1);
    }
}

#[test]
fn an_i_forward_tsn_skips_what_it_names() {
    let (mut world, forge) = victim(true);
    let skip = |tsn: u32, items: &[(u16, u8, u32)]| {
        let mut value = tsn.to_be_bytes().to_vec();
        for (stream, unordered, mid) in items {
            value.extend(stream.to_be_bytes());
            value.extend([0, *unordered]);
            value.extend(mid.to_be_bytes());
        }
        value
    };
    // Halves of messages, ordered and not, and whole ones behind them.
    let packet = forge
        .clone()
        .i_data(2, 1001, 1, 0, 53, b"half")
        .i_data(6, 1002, 1, 0, 53, b"half")
        .i_data(3, 1004, 1, 2, 53, b"two")
        .i_data(2, 1005, 2, 0, 53, b"other ")
        .packet;
    world.inject(B, packet);
    world.inject(B, forge.clone().chunk(194, 0, &[1, 2]).packet);
    world.inject(
        B,
        forge
            .clone()
            .chunk(194, 0, &skip(1000 + (1 << 31) - 2, &[]))
            .packet,
    );
    world.pump();
    assert_eq!(world.texts(B), Vec::<String>::new());
    let drops = world.ends[B].stats().drops;
    assert_eq!((drops.malformed_chunk, drops.bad_forward_tsn), (1, 1));
    let chunk = forge.clone().chunk(194, 0, &skip(1003, &[(1, 0, 1), (1, 1, 0)]));
    world.inject(B, chunk.packet);
    world.inject(B, forge.i_data(1, 1006, 2, 0, 1, b"stream").packet);
    world.pump();
    assert_eq!(world.texts(B), ["two", "other stream"]);
}

#[test]
fn an_empty_i_data_chunk_is_answered_with_an_abort() {
    let (mut world, forge) = victim(true);
    world.inject(B, forge.i_data(3, 1000, 1, 0, 53, b"").packet);
    let packet = world.take_packet(B).unwrap();
    let (kind, _, value) = chunks(&packet)[0];
    assert_eq!((kind, u16_at(value, 0), u32_at(value, 4)), (6, 9, 1000));
}

/// THREATS 11: fragments that never become messages stop at twice the window.
#[test]
fn a_flood_of_beginnings_stops_at_the_bound() {
    let mut config = with(Scheduler::default(), true);
    config.receive_window = 600_000;
    let mut world = World::connected(config);
    world.send(A, 9, "what is your tag?");
    let tag = u32_at(&world.take_packet(A).unwrap(), 4);
    for i in 0..20_000u32 {
        let forge = Forge::new(tag).i_data(6, 1000 + i, (i % 1000) as u16, i, 53, b"a");
        world.inject(B, forge.packet);
        while world.take_packet(B).is_some() {}
    }
    let drops = world.ends[B].stats().drops;
    // 193 bytes each, at least.
    assert!(20_000 - drops.no_room <= 1_200_000 / 193 + 1, "{drops:?}");
    assert!(world.ends[B].is_connected());
}

#[test]
fn streams_come_and_go_among_others_without_a_mix_up() {
    let mut world = World::connected(with(Scheduler::WeightedFair, true));
    world.record = false;
    for life in 0..5u8 {
        for stream in 0..10 {
            for i in 0..5u8 {
                world.send(A, stream, vec![life * 5 + i; 3000]);
            }
            world.ends[A].reset_stream(StreamId(stream));
            let refused = world.ends[A].send(
                world.now,
                StreamId(stream),
                Ppid(53),
                Bytes::from("no"),
                SendOptions::default(),
            );
            assert!(refused.is_err());
        }
        world.run(millis(3000));
    }
    for stream in 0..10 {
        let got: Vec<u8> = world
            .messages(B)
            .iter()
            .filter(|message| message.0 == stream)
            .map(|message| message.1[0])
            .collect();
        assert_eq!(got, (0..25).collect::<Vec<u8>>());
    }
}
