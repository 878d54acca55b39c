//! A peer that lies (THREATS 10 to 12): forged tags, SACKs for what was not sent, FORWARD TSNs into the blue, floods of
//! tiny fragments, and random bytes in every state. Nothing panics, everything is counted, memory stays bounded.

#![allow(clippy::disallowed_types)]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use dunlin_sctp::{Association, CloseReason, Config, Event, Ppid, Reliability, SendOptions, StreamId, Tsn};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// B is the victim: its TSNs and A's begin at 1000, and `tag` is what packets for B carry.
struct Victim {
    world: World,
    tag: u32,
}

impl Victim {
    fn new(config: Config) -> Self {
        let mut config = config;
        config.interleaving = false;
        config.initial_tsn = Some(Tsn(1000));
        let mut world = World::connected(config);
        world.send(A, 9, "what is your tag?");
        let tag = u32_at(&world.take_packet(A).unwrap(), 4);
        // What was taken from A never arrives: TSN 1000 is the first to come.
        Self { world, tag }
    }

    fn forge(&self) -> Forge {
        Forge::new(self.tag)
    }

    fn give(&mut self, forge: Forge) {
        self.world.inject(B, forge.packet);
    }

    fn end(&mut self) -> &mut Association {
        &mut self.world.ends[B]
    }

    fn answer(&mut self) -> Option<String> {
        self.world.take_packet(B).map(|packet| dissect(&packet))
    }

    fn is_fine(&self) -> bool {
        self.world.ends[B].is_connected()
    }
}

#[test]
fn a_wrong_verification_tag_is_dropped_whatever_the_chunk() {
    let mut victim = Victim::new(Config::default());
    for kind in 0..=255u8 {
        if kind == 1 || kind == 10 {
            continue;
        }
        let forge = Forge::new(victim.tag ^ 1).chunk(kind, 0, &[0; 16]);
        victim.give(forge);
        let forge = Forge::new(0).chunk(kind, 0, &[0; 16]);
        victim.give(forge);
        assert_eq!(victim.answer(), None, "chunk {kind}");
    }
    // An ABORT with the T bit needs the peer's tag, which is not ours.
    let forge = victim.forge().chunk(6, 1, &[]);
    victim.give(forge);
    assert!(victim.is_fine());
    assert_eq!(victim.end().stats().drops.wrong_tag, 254 * 2 + 1);
}

#[test]
fn a_sack_that_lies_is_dropped_whole() {
    let mut victim = Victim::new(Config::default());
    for _ in 0..10 {
        victim.world.send(B, 1, vec![7; 1000]);
    }
    while victim.answer().is_some() {}
    let in_flight = victim.end().stats().bytes_in_flight;
    assert!(in_flight > 9000);
    let lies: [(u32, &[(u16, u16)]); 8] = [
        (1010, &[]),
        (1000 + (1 << 30), &[]),
        (999, &[(2, 12)]),
        (999, &[(3, 2)]),
        (999, &[(2, 4), (4, 6)]),
        (999, &[(6, 7), (2, 3)]),
        (999, &[(0, 0)]),
        (999, &[(1, 65535)]),
    ];
    for (i, (cumulative, blocks)) in lies.into_iter().enumerate() {
        let forge = victim.forge().sack(cumulative, 1 << 20, blocks);
        victim.give(forge);
        let stats = victim.end().stats();
        assert_eq!(
            (stats.drops.lying_sack, stats.bytes_in_flight),
            (i as u64 + 1, in_flight)
        );
    }
    let forge = victim.forge().sack(900, 0, &[]);
    victim.give(forge);
    assert_eq!(victim.end().stats().drops.old_sack, 1);
    // An honest one still counts.
    let forge = victim.forge().sack(1004, 1 << 20, &[(2, 3)]);
    victim.give(forge);
    assert!(victim.end().stats().bytes_in_flight < in_flight / 2);
}

/// pion/sctp #469: gap blocks that made an endless loop; here the largest SACK there can be costs nothing.
#[test]
fn huge_sacks_and_reneging_cost_little_and_break_nothing() {
    let mut victim = Victim::new(Config::default());
    for _ in 0..1000 {
        victim.world.send(B, 1, vec![7; 1000]);
    }
    while victim.answer().is_some() {}
    for round in 0..2000u32 {
        let blocks: Vec<(u16, u16)> = (1..5).map(|i| (i * 2, i * 2 + (round % 2) as u16 % 2)).collect();
        let blocks = if round % 3 == 0 {
            &blocks[..0]
        } else {
            &blocks[..1]
        };
        let forge = victim.forge().sack(999, u32::MAX, blocks);
        victim.give(forge);
        while victim.answer().is_some() {}
    }
    assert!(victim.is_fine());
    let forge = victim.forge().sack(1003, u32::MAX, &[]);
    victim.give(forge);
    assert!(victim.end().stats().bytes_in_flight < 100_000_000);
}

#[test]
fn a_forward_tsn_out_of_order_or_into_the_blue_does_no_harm() {
    let mut victim = Victim::new(Config::default());
    let forward = |tsn: u32, rest: &[u8]| [&tsn.to_be_bytes()[..], rest].concat();
    for (tsn, rest) in [
        (900, &[][..]),
        (999, &[0, 1, 0, 5]),
        (1000 + (1 << 31) - 2, &[]),
        (1000u32.wrapping_sub(1 << 30), &[]),
    ] {
        let forge = victim.forge().chunk(192, 0, &forward(tsn, rest));
        victim.give(forge);
    }
    let forge = victim.forge().chunk(192, 0, &[1, 2]);
    victim.give(forge);
    let drops = victim.end().stats().drops;
    assert_eq!((drops.bad_forward_tsn, drops.malformed_chunk), (1, 1));
    let forge = victim.forge().data(3, 1000, 1, 0, b"still in order");
    victim.give(forge);
    assert!(matches!(victim.end().poll_event(), Some(Event::Message { .. })));
    // One that is believable: skips stream 1 to SSN 7, and what waited comes.
    let forge = victim
        .forge()
        .data(3, 1005, 1, 8, b"eight")
        .data(3, 1004, 1, 6, b"six");
    victim.give(forge);
    assert_eq!(victim.end().poll_event(), None);
    let forge = victim.forge().chunk(192, 0, &forward(1003, &[0, 1, 0, 7]));
    victim.give(forge);
    let texts: Vec<Bytes> = std::iter::from_fn(|| victim.end().poll_event())
        .map(|event| match event {
            Event::Message { data, .. } => data,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts, ["six", "eight"]);
}

#[test]
fn a_forward_tsn_drops_half_a_message_and_what_follows_is_whole() {
    let mut victim = Victim::new(Config::default());
    // Half a message in order, a hole, a whole message beyond it and half of another.
    let forge = victim
        .forge()
        .data(2, 1000, 1, 0, b"half")
        .data(0, 1001, 1, 0, b" a mess");
    victim.give(forge);
    let forge = victim
        .forge()
        .data(3, 1004, 1, 1, b"next")
        .data(2, 1005, 1, 2, b"la");
    victim.give(forge);
    let forge = victim.forge().chunk(192, 0, &[0, 0, 0x03, 0xeb, 0, 1, 0, 0]);
    victim.give(forge);
    let forge = victim.forge().data(1, 1006, 1, 2, b"st");
    victim.give(forge);
    let texts: Vec<Bytes> = std::iter::from_fn(|| victim.end().poll_event())
        .filter_map(|event| match event {
            Event::Message { data, .. } => Some(data),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["next", "last"]);
}

#[test]
fn a_heartbeat_is_echoed_unless_the_echo_would_not_fit_and_a_made_up_answer_is_ignored() {
    let mut victim = Victim::new(Config::default());
    let forge = victim.forge().chunk(4, 0, &[0, 1, 0, 8, 1, 2, 3, 4]);
    victim.give(forge);
    assert_eq!(victim.answer().as_deref(), Some("HEARTBEAT ACK"));
    // Oversize: would not fit into a packet of ours.
    let forge = victim.forge().chunk(4, 0, &[0; 2000]);
    victim.give(forge);
    assert_eq!(victim.answer(), None);
    // A flood: a bounded number waits.
    for _ in 0..1000 {
        let forge = victim.forge().chunk(4, 0, &[0; 1000]);
        victim.give(forge);
    }
    let mut echoes = 0;
    while victim.answer().is_some() {
        echoes += 1;
    }
    assert!(echoes <= 16, "{echoes}");
    let before = victim.end().stats();
    let forge = victim.forge().chunk(5, 0, &[0, 1, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0]);
    victim.give(forge);
    let stats = victim.end().stats();
    assert_eq!(stats.drops.unknown_heartbeat, before.drops.unknown_heartbeat + 1);
    assert_eq!(stats.smoothed_rtt, before.smoothed_rtt);
}

/// pion/sctp #471: fragments beyond a gap that never closes.
#[test]
fn a_flood_of_tiny_fragments_stops_at_the_window() {
    let mut config = Config::default();
    config.receive_window = 600_000;
    config.max_gaps = 100;
    for flags in [0, 2, 4, 6] {
        let mut victim = Victim::new(config.clone());
        for i in 0..60_000u32 {
            let forge = victim.forge().data(flags, 1001 + i, 1, 0, b"x");
            victim.give(forge);
        }
        let drops = victim.end().stats().drops;
        // Each is charged for its bookkeeping: 97 bytes. Those that follow each other share nothing of that.
        let kept = 60_000 - drops.no_room;
        assert!(kept <= 600_000 / 97 + 1, "{kept} kept");
        assert!(victim.is_fine());
    }
    // Every second TSN: the number of gaps is bounded too.
    let mut victim = Victim::new(config);
    for i in 0..20_000u32 {
        let forge = victim.forge().data(7, 1001 + 2 * i, 1, 0, b"x");
        victim.give(forge);
        while victim.end().poll_event().is_some() {}
    }
    assert_eq!(victim.end().stats().drops.no_room, 19_900);
    assert!(victim.world.take_packet(B).unwrap().len() <= 1191);
}

#[test]
fn fragments_in_reverse_order_do_not_cost_their_square() {
    let mut victim = Victim::new(Config::default());
    let count = 2500u32;
    for i in (1..count).rev() {
        let flags = u8::from(i == count - 1);
        let forge = victim.forge().data(flags, 1000 + i, 1, 0, &[i as u8; 100]);
        victim.give(forge);
    }
    let forge = victim.forge().data(2, 1000, 1, 0, &[0; 100]);
    victim.give(forge);
    let Some(Event::Message { data, .. }) = victim.end().poll_event() else {
        panic!()
    };
    assert_eq!(data, (0..count).flat_map(|i| [i as u8; 100]).collect::<Vec<u8>>());
}

#[test]
fn a_message_larger_than_agreed_ends_the_association() {
    let mut config = Config::default();
    config.max_receive_message_size = 10_000;
    for in_order in [true, false] {
        let mut victim = Victim::new(config.clone());
        let first = if in_order { 1000 } else { 1001 };
        for i in 0..11 {
            let forge = victim
                .forge()
                .data(if i == 0 { 2 } else { 0 }, first + i, 1, 0, &[0; 1000]);
            victim.give(forge);
        }
        assert!(!victim.is_fine());
        assert_eq!(victim.answer().as_deref(), Some("ABORT"));
        assert!(matches!(
            victim.end().poll_event(),
            Some(Event::Closed(CloseReason::ProtocolViolation(_)))
        ));
    }
}

#[test]
fn fragments_that_contradict_each_other_end_the_association() {
    // A second beginning; a middle without a beginning; another stream; another SSN; an end of nothing.
    for second in [(2, 1, 0), (0, 2, 0), (0, 1, 1), (4, 1, 0)] {
        let mut victim = Victim::new(Config::default());
        let (flags, stream, ssn) = second;
        let forge = victim
            .forge()
            .data(2, 1000, 1, 0, b"a")
            .data(flags, 1001, stream, ssn, b"b");
        victim.give(forge);
        assert!(!victim.is_fine(), "{second:?}");
    }
    let mut victim = Victim::new(Config::default());
    let forge = victim.forge().data(1, 1000, 1, 0, b"a");
    victim.give(forge);
    assert!(!victim.is_fine());
}

#[test]
fn data_without_data_is_answered_with_an_abort() {
    let mut victim = Victim::new(Config::default());
    let forge = victim.forge().data(3, 1000, 1, 0, b"");
    victim.give(forge);
    let packet = victim.world.take_packet(B).unwrap();
    let (kind, _, value) = chunks(&packet)[0];
    assert_eq!((kind, u16_at(value, 0), u32_at(value, 4)), (6, 9, 1000));
}

#[test]
fn a_stream_that_does_not_exist_is_acknowledged_and_reported() {
    let mut config = Config::default();
    config.streams = 10;
    let mut victim = Victim::new(config);
    let forge = victim.forge().data(3, 1000, 10, 0, b"a");
    victim.give(forge);
    assert_eq!(victim.answer().as_deref(), Some("ERROR 1"));
    assert_eq!(victim.end().poll_event(), None);
    let forge = victim.forge().data(11, 1001, 9, 0, b"b");
    victim.give(forge);
    assert!(matches!(victim.end().poll_event(), Some(Event::Message { .. })));
}

#[test]
fn the_same_message_twice_and_old_numbers_are_delivered_once() {
    let mut victim = Victim::new(Config::default());
    let forge = victim
        .forge()
        .data(3, 1000, 1, 0, b"a")
        .data(3, 1001, 1, 0, b"again")
        .data(3, 1002, 1, 65000, b"old");
    victim.give(forge);
    let forge = victim
        .forge()
        .data(3, 1003, 1, 5, b"e")
        .data(3, 1004, 1, 5, b"e twice");
    victim.give(forge);
    assert!(matches!(victim.end().poll_event(), Some(Event::Message { .. })));
    assert_eq!(victim.end().poll_event(), None);
    assert_eq!(victim.end().stats().drops.stale_message, 3);
}

/// A receiver with 16 bits of SSN must not take what is far ahead for what is long past: the TSNs tell.
#[test]
fn sixty_thousand_messages_may_wait_behind_one_gap() {
    let mut config = Config::default();
    // The window is twice as large from the beginning.
    config.max_receive_message_size = 8 << 20;
    let mut victim = Victim::new(config);
    for i in 1..60_000u32 {
        let forge = victim.forge().data(3, 1000 + i, 1, i as u16, &i.to_be_bytes());
        victim.give(forge);
        while victim.answer().is_some() {}
    }
    assert_eq!(victim.end().poll_event(), None);
    let forge = victim.forge().data(3, 1000, 1, 0, &0u32.to_be_bytes());
    victim.give(forge);
    for i in 0..60_000u32 {
        let Some(Event::Message { data, .. }) = victim.end().poll_event() else {
            panic!("{i} is missing: {:?}", victim.end().stats().drops);
        };
        assert_eq!(u32_at(&data, 0), i);
    }
    assert_eq!(victim.end().stats().drops.stale_message, 0);
}

#[test]
fn unknown_chunks_stop_or_skip_and_report_by_their_high_bits() {
    for (kind, reported, goes_on) in [
        (0x3f, false, false),
        (0x7f, true, false),
        (0xbf, false, true),
        (0xff, true, true),
    ] {
        let mut victim = Victim::new(Config::default());
        let forge = victim
            .forge()
            .chunk(kind, 5, &[1, 2, 3])
            .data(11, 1000, 1, 0, b"a");
        victim.give(forge);
        let answer = victim.answer().unwrap_or_default();
        assert_eq!(answer.contains("ERROR 6"), reported, "{kind:#x} {answer}");
        assert_eq!(victim.end().poll_event().is_some(), goes_on);
        assert_eq!(victim.end().stats().drops.unknown_chunk, 1);
    }
}

#[test]
fn a_peer_with_a_window_of_four_gigabytes_does_not_make_us_hold_more_than_our_bound() {
    let mut config = Config::default();
    config.max_outstanding = 100_000;
    config.initial_window = 100_000;
    let mut victim = Victim::new(config);
    for _ in 0..50 {
        victim.world.send(B, 1, vec![7; 20_000]);
    }
    while victim.answer().is_some() {}
    assert!(victim.end().stats().bytes_in_flight <= 105_000);
}

/// A world in which one side has been driven to some state.
fn in_state(state: u8, seed: u64) -> World {
    let mut config = Config::default();
    config.interleaving = seed.is_multiple_of(2);
    config.initial_tsn = Some(Tsn(1000));
    let mut world = World::with(config.clone(), config, seed);
    match state {
        0 => {}
        1 => world.ends[B].connect(world.now),
        2 => {
            world.ends[B].connect(world.now);
            world.filter = Some(Box::new(|_, packet| !has_chunk(packet, 10)));
            world.run(millis(100));
            world.filter = None;
        }
        _ => {
            world.connect();
            world.send(B, 1, vec![1; 5000]);
            world.send_with(
                B,
                2,
                vec![1; 5000],
                SendOptions {
                    unordered: true,
                    reliability: Reliability::MaxRetransmits(0),
                },
            );
            world.pump();
            match state {
                4 => world.ends[B].shutdown(world.now),
                5 => world.ends[A].shutdown(world.now),
                6 => world.ends[B].reset_stream(StreamId(1)),
                7 => {
                    world.run(millis(500));
                    world.filter = Some(Box::new(|side, _| side == A));
                    world.ends[B].shutdown(world.now);
                    world.run(millis(50));
                }
                _ => {}
            }
        }
    }
    world
}

/// A chunk that is nearly right.
fn nearly_right(rng: &mut StdRng, interleaving: bool) -> (u8, u8, Vec<u8>) {
    let kinds = [
        0, 0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12, 13, 14, 130, 130, 192, 192, 15, 64, 64, 64,
        194, 194, 128, 193, 255,
    ];
    let kind = match kinds[rng.random_range(0..kinds.len())] {
        6 if rng.random_bool(0.9) => 3,
        // The wrong kind ends the association at once.
        0 if interleaving && rng.random_bool(0.98) => 64,
        192 if interleaving && rng.random_bool(0.98) => 194,
        64 if !interleaving && rng.random_bool(0.98) => 0,
        194 if !interleaving && rng.random_bool(0.98) => 192,
        kind => kind,
    };
    let mut value = vec![0; rng.random_range(0..40)];
    rng.fill_bytes(&mut value);
    // Numbers near those in use.
    for at in (0..value.len().saturating_sub(3)).step_by(4) {
        match rng.random_range(0..5) {
            0 => value[at..at + 4].copy_from_slice(&(995 + rng.random_range(0..20u32)).to_be_bytes()),
            1 => value[at..at + 4].copy_from_slice(&[0, rng.random_range(0..8), 0, rng.random_range(0..24)]),
            2 => {
                value[at..at + 4].copy_from_slice(&[0, rng.random_range(12..19), 0, rng.random_range(4..24)])
            }
            _ => {}
        }
    }
    // Whole messages mostly: anything else ends the association soon.
    let least = if kind == 64 { 17 } else { 13 };
    let flags = if (kind == 0 || kind == 64) && rng.random_bool(0.95) {
        value.resize(value.len().max(least), 1);
        3 + 4 * rng.random_range(0..4)
    } else {
        rng.random_range(0..16)
    };
    (kind, flags, value)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(1500), failure_persistence: None, ..ProptestConfig::default() })]
    /// THREATS 10: the whole association against structure-aware garbage with the right tag, in all states.
    #[test]
    fn a_liar_with_the_right_tag_cannot_break_anything(seed: u64, state in 0u8..8) {
        let mut world = in_state(state, seed);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut tag = None;
        for _ in 0..60 {
            for side in [A, B] {
                while let Some(packet) = world.take_packet(side) {
                    if side == A {
                        tag = Some(u32_at(&packet, 4)).filter(|tag| *tag != 0);
                    }
                    if rng.random_bool(0.7) {
                        let mut packet = packet;
                        if rng.random_bool(0.3) {
                            let bit = rng.random_range(0..packet.len() * 8);
                            packet[bit / 8] ^= 1 << (bit % 8);
                            packet[8..12].fill(0);
                        }
                        world.inject(1 - side, packet);
                    }
                }
            }
            let mut forge = Forge::new(tag.filter(|_| rng.random_bool(0.9)).unwrap_or(0));
            for _ in 0..rng.random_range(1..4) {
                let (kind, flags, value) = nearly_right(&mut rng, seed.is_multiple_of(2));
                forge = forge.chunk(kind, flags, &value);
            }
            if rng.random_bool(0.2) {
                let end = rng.random_range(0..=forge.packet.len());
                forge.packet.truncate(end);
            }
            let packet = if forge.packet.len() > 12 && rng.random_bool(0.3) { forge.sealed() } else { forge.packet };
            if rng.random_bool(0.2) {
                let now = world.now;
                world.ends[B].handle_marked_datagram(now, packet.into());
            } else {
                world.inject(B, packet);
            }
            if rng.random_bool(0.2) {
                let _ = world.ends[B].send(world.now, StreamId(rng.random_range(0..5)), Ppid(53), Bytes::from(vec![1; rng.random_range(1..3000)]), SendOptions::default());
            }
            if rng.random_bool(0.3) {
                world.run(Duration::from_millis(rng.random_range(0..700)));
            }
        }
        world.run(Duration::from_secs(100));
    }

    #[test]
    fn random_bytes_do_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300), state in 0u8..8) {
        let mut world = in_state(state, 1);
        world.inject(B, bytes);
        world.run(millis(100));
    }
}
