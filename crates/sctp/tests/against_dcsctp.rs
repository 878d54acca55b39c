//! Our association against the one of Chromium: the crate `dcsctp`, in virtual time, over networks that lose, duplicate and
//! reorder; with I-DATA and without, with zero checksums and without, opened by either side or both at once. Every reliable
//! message arrives once, unharmed and in order, both ways, messages of pieces as well; of the others nothing arrives twice
//! or harmed.
//!
//! `SEEDS=10000 cargo test -p dunlin-sctp --release --test against_dcsctp` runs more of them; `SEED=7` runs one.

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::wire::{Sent, Wire, check, content, received, seeds};
use common::{millis, start};
use dcsctp::api as other;
use dunlin_sctp::{Association, Config, Event, Ppid, Reliability, SendOptions, StreamId};
use rand::RngExt;

struct World {
    started: Instant,
    now: Instant,
    ours: Association,
    events: Vec<Event>,
    theirs: Box<dyn other::DcSctpSocket>,
    their_events: Vec<other::SocketEvent>,
    their_messages: Vec<(u16, Bytes)>,
    wire: Wire,
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
        let mut wire = Wire::new(seed);
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
            ours: Association::new(config(interleaving, zero_checksum), wire.rng.random(), started),
            events: Vec::new(),
            theirs: dcsctp::new_socket("theirs", &options),
            their_events: Vec::new(),
            their_messages: Vec::new(),
            wire,
        }
    }

    fn their_time(&self) -> other::SocketTime {
        other::SocketTime::zero() + (self.now - self.started)
    }

    fn drain(&mut self) {
        let mut packet = Vec::new();
        while self.ours.poll_transmit(self.now, &mut packet) {
            self.wire
                .push(self.now, false, std::mem::take(&mut packet).into());
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
                other::SocketEvent::SendPacket(packet) => self.wire.push(self.now, true, packet.into()),
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
            let next = [self.ours.poll_timeout(), theirs, self.wire.next()]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.theirs.advance_time(self.their_time());
            while let Some((to_us, packet)) = self.wire.pop(self.now) {
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
}

fn random(seed: u64) {
    let mut dice = Wire::new(seed).rng;
    let interleaving = dice.random_bool(0.5);
    let mut world = World::new(seed, interleaving, dice.random_bool(0.5));
    world.wire.worsen();
    let who = dice.random_range(0..3);
    world.connect(who != 0, who != 1);
    let mut sent: Vec<Sent> = Vec::new();
    for _ in 0..dice.random_range(10..80) {
        let mut message = Sent::random(&mut dice);
        if !message.by_us && message.len > 1000 {
            // It gives up the unsent rest of a message without a TSN for its end: no FORWARD TSN says so. With I-DATA the
            // ordered messages behind it wait for ever. With DATA another message begins right behind the middle of this
            // one, and sometimes of a reliable one after it, which RFC 9260, section 6.9, forbids: we end the association,
            // since to go on would be to lose a reliable message without a word.
            message.options.reliability = Reliability::Reliable;
        }
        let Sent {
            by_us,
            stream,
            len,
            options,
        } = message;
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
            sent.push(message);
        }
        if dice.random_bool(0.6) {
            world.run(millis(dice.random_range(0..100)));
        }
    }
    world.run(Duration::from_secs(600));
    assert!(world.ours.is_connected() && world.theirs.state() == other::SocketState::Connected);
    check(&sent, &world.their_messages, true);
    check(&sent, &received(&world.events), false);
    assert_eq!(world.ours.stats().bytes_in_flight, 0);
}

#[test]
fn messages_of_all_kinds_cross_bad_networks_both_ways() {
    for seed in seeds(60) {
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
            world.wire.loss = [0.0, 0.05, 0.1][seed as usize % 3];
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
                    received(&world.events)[5 * round..].to_vec()
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
        let time = world.wire.rng.random_range(0..40);
        world.run(millis(time));
        let (now, fresh) = (world.now, world.wire.rng.random());
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
        assert_eq!(received(&world.events), [(3, content(2, 5000))], "seed {seed}");
    }
}

/// It reports 20 gaps at most. What it leaves out is neither taken for lost nor waited for: a link without a bound is used to
/// its window, and no more is sent again than was lost.
#[test]
fn what_their_reports_have_no_room_for_holds_nothing_up() {
    for (loss, round_trip, least) in [(0.01, 100, 9e6), (0.02, 100, 6e6), (0.02, 20, 35e6)] {
        let mut world = World::new(1, true, true);
        world.wire.delay = millis(round_trip) / 2;
        world.connect(true, true);
        world.wire.loss = loss;
        let data = content(0, 65_536);
        for _ in 0..150 {
            while world.ours.total_buffered() < 4 << 20 {
                assert!(world.send(true, 1, data.clone(), SendOptions::default()));
            }
            world.run(millis(20));
        }
        let received: usize = world.their_messages.iter().map(|(_, data)| data.len()).sum();
        let stats = world.ours.stats();
        let resent = stats.retransmissions as f64 / stats.packets_sent as f64;
        assert!(received as f64 / 3.0 > least, "{loss} {round_trip}: {received}");
        assert!(resent < loss * 1.5, "{loss} {round_trip}: {resent}");
    }
}
