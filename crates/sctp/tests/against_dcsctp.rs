//! Our association against the one of Chromium: the crate `dcsctp`, in virtual time, over networks that lose, duplicate and
//! reorder; with I-DATA and without, with zero checksums and without, opened by either side or both at once. Every reliable
//! message arrives once, unharmed and in order, both ways, messages of pieces as well; of the others nothing arrives twice
//! or harmed.
//!
//! `SEEDS=10000 cargo test -p dunlin-sctp --release --test against_dcsctp` runs more of them; `SEED=7` runs one.

mod common;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{millis, start, u32_at};
use dcsctp::api as other;
use dunlin_sctp::{Association, Config, Event, Ppid, Reliability, SendOptions, StreamId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const STREAMS: u16 = 5;

struct World {
    started: Instant,
    now: Instant,
    rng: StdRng,
    ours: Association,
    events: Vec<Event>,
    theirs: Box<dyn other::DcSctpSocket>,
    their_events: Vec<other::SocketEvent>,
    their_messages: Vec<(u16, Bytes)>,
    loss: f64,
    duplicate: f64,
    reorder: f64,
    delay: Duration,
    /// When, to us or to them, what.
    wire: VecDeque<(Instant, bool, Bytes)>,
}

fn config(interleaving: bool, zero_checksum: bool) -> Config {
    let mut config = Config::default();
    config.interleaving = interleaving;
    config.zero_checksum = zero_checksum;
    config.max_init_retransmits = None;
    config.max_retransmits = None;
    config
}

impl World {
    fn new(seed: u64, interleaving: bool, zero_checksum: bool) -> Self {
        let started = start();
        let mut rng = StdRng::seed_from_u64(seed);
        let method = other::ZERO_CHECKSUM_ALTERNATE_ERROR_DETECTION_METHOD_LOWER_LAYER_DTLS;
        let options = other::Options {
            mtu: 1191,
            enable_message_interleaving: interleaving,
            max_retransmissions: None,
            max_init_retransmits: None,
            zero_checksum_alternate_error_detection_method: if zero_checksum {
                method
            } else {
                other::Options::default().zero_checksum_alternate_error_detection_method
            },
            ..other::Options::default()
        };
        Self {
            started,
            now: started,
            ours: Association::new(config(interleaving, zero_checksum), rng.random(), started),
            rng,
            events: Vec::new(),
            theirs: dcsctp::new_socket("theirs", &options),
            their_events: Vec::new(),
            their_messages: Vec::new(),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            delay: millis(10),
            wire: VecDeque::new(),
        }
    }

    fn their_time(&self) -> other::SocketTime {
        other::SocketTime::zero() + (self.now - self.started)
    }

    fn push(&mut self, to_us: bool, packet: Bytes) {
        if self.rng.random_bool(self.loss) {
            return;
        }
        for _ in 0..1 + usize::from(self.rng.random_bool(self.duplicate)) {
            let mut arrives = self.now + self.delay;
            if self.rng.random_bool(self.reorder) {
                arrives += self.delay.mul_f64(self.rng.random_range(0.0..2.0));
            }
            let at = self.wire.partition_point(|(other, ..)| *other <= arrives);
            self.wire.insert(at, (arrives, to_us, packet.clone()));
        }
    }

    fn drain(&mut self) {
        let mut packet = Vec::new();
        while self.ours.poll_transmit(self.now, &mut packet) {
            self.push(false, std::mem::take(&mut packet).into());
        }
        while let Some(event) = self.ours.poll_event() {
            self.events.push(event);
        }
        while let Some(message) = self.theirs.get_next_message() {
            self.their_messages
                .push((message.stream_id.0, message.payload.into()));
        }
        while let Some(event) = self.theirs.poll_event() {
            match event {
                other::SocketEvent::SendPacket(packet) => self.push(true, packet.into()),
                other => self.their_events.push(other),
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.drain();
            let due = self.theirs.poll_timeout();
            let theirs = (due != other::SocketTime::infinite_future())
                .then(|| self.started + (due - other::SocketTime::zero()));
            let arrival = self.wire.front().map(|(at, ..)| *at);
            let next = [self.ours.poll_timeout(), theirs, arrival]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.theirs.advance_time(self.their_time());
            while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
                let Some((_, to_us, packet)) = self.wire.pop_front() else {
                    break;
                };
                if to_us {
                    self.ours.handle_datagram(self.now, packet);
                } else {
                    self.theirs.handle_input(&packet);
                }
                self.drain();
            }
            self.ours.handle_timeout(self.now);
        }
    }

    fn connect(&mut self, we_begin: bool, they_begin: bool) {
        self.theirs.advance_time(self.their_time());
        if we_begin {
            self.ours.connect(self.now);
        }
        if they_begin {
            self.theirs.connect();
        }
        for _ in 0..1000 {
            if self.ours.is_connected() && self.theirs.state() == other::SocketState::Connected {
                return;
            }
            self.run(millis(100));
        }
        panic!("not connected");
    }

    fn send(&mut self, by_us: bool, stream: u16, data: Bytes, options: SendOptions) -> bool {
        if by_us {
            return self
                .ours
                .send(self.now, StreamId(stream), Ppid(53), data, options)
                .is_ok();
        }
        let mut theirs = other::SendOptions {
            unordered: options.unordered,
            ..other::SendOptions::default()
        };
        match options.reliability {
            Reliability::Reliable => {}
            Reliability::MaxRetransmits(count) => theirs.max_retransmissions = Some(count),
            Reliability::MaxLifetime(time) => theirs.lifetime = Some(time),
        }
        self.theirs.advance_time(self.their_time());
        let message = other::Message::new(other::StreamId(stream), other::PpId(53), data.to_vec());
        self.theirs.send(message, &theirs).is_ok()
    }

    fn received(&self) -> Vec<(u16, Bytes)> {
        let message = |event: &Event| match event {
            Event::Message { stream, data, .. } => Some((stream.0, data.clone())),
            _ => None,
        };
        self.events.iter().filter_map(message).collect()
    }
}

fn content(id: u32, len: usize) -> Bytes {
    let byte = |i: usize| (i as u32 ^ id).wrapping_mul(0x9e37_79b1).to_be_bytes()[0];
    let mut data: Vec<u8> = (0..len).map(byte).collect();
    data[..4].copy_from_slice(&id.to_be_bytes());
    data.into()
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    by_us: bool,
    stream: u16,
    len: usize,
    options: SendOptions,
}

/// What arrived on one side, against what the other sent.
fn check(sent: &[Sent], got: &[(u16, Bytes)], by_us: bool) {
    let name = if by_us { "to them" } else { "to us" };
    let mut last: BTreeMap<u16, u32> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (stream, data) in got {
        let id = u32_at(data, 0);
        let message = sent[id as usize];
        let facts = (message.by_us, message.stream, message.len);
        assert_eq!(facts, (by_us, *stream, data.len()), "{name}: {id}");
        assert!(
            *data == content(id, message.len),
            "{name}: message {id} was changed"
        );
        assert!(seen.insert(id), "{name}: message {id} came twice");
        if !message.options.unordered {
            let before = last.insert(*stream, id);
            assert!(before < Some(id), "{name}: message {id} came after {before:?}");
        }
    }
    for (id, message) in sent.iter().enumerate() {
        let must = message.by_us == by_us && message.options.reliability == Reliability::Reliable;
        assert!(
            !must || seen.contains(&(id as u32)),
            "{name}: message {id} never came: {message:?}"
        );
    }
}

fn random(seed: u64) {
    let mut dice = StdRng::seed_from_u64(seed);
    let interleaving = dice.random_bool(0.5);
    let mut world = World::new(seed, interleaving, dice.random_bool(0.5));
    world.delay = millis(dice.random_range(1..50));
    if dice.random_bool(0.8) {
        world.loss = dice.random_range(0.0..0.08);
        world.duplicate = dice.random_range(0.0..0.05);
        world.reorder = dice.random_range(0.0..0.3);
    }
    let who = dice.random_range(0..3);
    world.connect(who != 0, who != 1);
    let mut sent: Vec<Sent> = Vec::new();
    for _ in 0..dice.random_range(10..80) {
        let by_us = dice.random_bool(0.5);
        let stream = dice.random_range(0..STREAMS);
        let len = match dice.random_range(0..4) {
            0 => dice.random_range(4..20),
            1 => dice.random_range(1100..1300),
            2 => dice.random_range(4..10_000),
            _ => dice.random_range(4..150_000),
        };
        let options = SendOptions {
            unordered: dice.random_bool(0.3),
            reliability: match dice.random_range(0..6) {
                // It gives up the unsent rest of a message without a TSN for its end: no FORWARD TSN says so. With DATA
                // the next message then begins right behind the middle of this one, which RFC 9260, section 6.9, forbids;
                // with I-DATA the ordered messages behind it wait for ever.
                _ if !by_us && len > 1000 => Reliability::Reliable,
                0 => Reliability::MaxRetransmits(dice.random_range(0..3)),
                1 => Reliability::MaxLifetime(millis(dice.random_range(1..500))),
                _ => Reliability::Reliable,
            },
        };
        let data = content(sent.len() as u32, len);
        let now = world.now;
        let in_pieces = by_us && options.reliability == Reliability::Reliable && dice.random_bool(0.3);
        let taken = if in_pieces {
            let begun = world.ours.begin_message(now, StreamId(stream), Ppid(53), options);
            let pieces: Vec<_> = data.chunks(20_000).collect();
            for (i, piece) in pieces.iter().enumerate() {
                let (piece, last) = (data.slice_ref(piece), i + 1 == pieces.len());
                let now = world.now;
                let handed_over = world.ours.send_piece(now, StreamId(stream), piece, last).is_ok();
                assert!(handed_over, "{:?} {:?}", world.events.last(), world.their_events);
                world.run(millis(dice.random_range(0..30)));
            }
            begun.is_ok()
        } else {
            world.send(by_us, stream, data, options)
        };
        if taken {
            sent.push(Sent {
                by_us,
                stream,
                len,
                options,
            });
        }
        if dice.random_bool(0.6) {
            world.run(millis(dice.random_range(0..100)));
        }
    }
    world.run(Duration::from_secs(600));
    assert!(world.ours.is_connected() && world.theirs.state() == other::SocketState::Connected);
    check(&sent, &world.their_messages, true);
    check(&sent, &world.received(), false);
    assert_eq!(world.ours.stats().bytes_in_flight, 0);
}

#[test]
fn messages_of_all_kinds_cross_bad_networks_both_ways() {
    let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(60),
    };
    for seed in seeds {
        if std::panic::catch_unwind(|| random(seed)).is_err() {
            panic!("failed: SEED={seed} cargo test -p dunlin-sctp --test against_dcsctp");
        }
    }
}

/// A message that we give up in the middle: they keep nothing of it, and the stream goes on.
#[test]
fn they_drop_what_we_give_up() {
    for interleaving in [true, false] {
        for wait in [0, 15, 500] {
            let mut world = World::new(wait, interleaving, true);
            world.connect(true, true);
            let (now, stream) = (world.now, StreamId(1));
            world
                .ours
                .begin_message(now, stream, Ppid(53), SendOptions::default())
                .unwrap();
            world
                .ours
                .send_piece(now, stream, content(0, 40_000), false)
                .unwrap();
            world.run(millis(wait));
            let now = world.now;
            world.ours.abandon_message(now, stream);
            assert!(world.send(true, 1, content(1, 100), SendOptions::default()));
            world.run(Duration::from_secs(20));
            assert_eq!(
                world.their_messages,
                [(1, content(1, 100))],
                "{interleaving} {wait}"
            );
        }
    }
}

/// Streams closed by either side while messages are under way: those arrive, then the stream can be used anew.
#[test]
fn either_side_resets_streams_and_uses_them_anew() {
    for seed in 0..30 {
        for by_us in [true, false] {
            let mut world = World::new(seed, seed % 2 == 0, true);
            world.connect(true, true);
            world.loss = [0.0, 0.05, 0.1][seed as usize % 3];
            for round in 0..3 {
                let name = format!("seed {seed}, by us {by_us}, round {round}");
                let (before, their_before) = (world.events.len(), world.their_events.len());
                world.their_messages.clear();
                for id in 0..5 {
                    let taken = world.send(by_us, 1, content(id, 3000), SendOptions::default());
                    assert!(taken, "{name}");
                }
                if by_us {
                    world.ours.reset_stream(StreamId(1));
                } else {
                    // It discards what it has not begun to send.
                    while world.theirs.buffered_amount(other::StreamId(1)) > 0 {
                        world.run(millis(10));
                    }
                    world.theirs.reset_streams(&[other::StreamId(1)]).unwrap();
                }
                world.run(Duration::from_secs(60));
                let got = if by_us {
                    world.their_messages.clone()
                } else {
                    world.received()[5 * round..].to_vec()
                };
                let expected: Vec<_> = (0..5).map(|id| (1, content(id, 3000))).collect();
                assert!(got == expected, "{name}: {} messages", got.len());
                let ours = &world.events[before..];
                let theirs = &world.their_events[their_before..];
                if by_us {
                    assert!(ours.contains(&Event::StreamResetDone(StreamId(1))), "{name}");
                    let seen = |event: &other::SocketEvent| {
                        matches!(event, other::SocketEvent::OnIncomingStreamReset(_))
                    };
                    assert!(theirs.iter().any(seen), "{name}");
                } else {
                    assert!(
                        ours.iter()
                            .any(|event| matches!(event, Event::StreamsReset { .. })),
                        "{name}"
                    );
                    let done = |event: &other::SocketEvent| {
                        matches!(event, other::SocketEvent::OnStreamsResetPerformed(_))
                    };
                    assert!(theirs.iter().any(done), "{name}");
                }
            }
        }
    }
}

/// We lose everything and begin anew with the same ports (RFC 9260, section 5.2.4, action A): they notice, and go on.
#[test]
fn a_restart_is_noticed_and_survived() {
    for seed in 0..20 {
        let mut world = World::new(seed, seed % 2 == 0, true);
        world.connect(true, true);
        assert!(world.send(true, 1, content(0, 50_000), SendOptions::default()));
        let time = world.rng.random_range(0..40);
        world.run(millis(time));
        let (now, fresh) = (world.now, world.rng.random());
        world.ours = Association::new(config(seed % 2 == 0, true), fresh, now);
        world.events.clear();
        world.ours.connect(now);
        world.run(Duration::from_secs(60));
        assert!(world.ours.is_connected(), "seed {seed}");
        let restarted =
            |event: &other::SocketEvent| matches!(event, other::SocketEvent::OnConnectionRestarted());
        assert!(world.their_events.iter().any(restarted), "seed {seed}");
        world.their_messages.clear();
        assert!(world.send(true, 2, content(1, 5000), SendOptions::default()));
        assert!(world.send(false, 3, content(2, 5000), SendOptions::default()));
        world.run(Duration::from_secs(60));
        assert_eq!(world.their_messages, [(2, content(1, 5000))], "seed {seed}");
        assert_eq!(world.received(), [(3, content(2, 5000))], "seed {seed}");
    }
}
