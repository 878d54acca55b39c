//! Channels at random over a bad network, against a model that knows what must arrive: opened by both sides, used, closed by
//! either, their identifiers used again.
//!
//! `SEEDS=10000 cargo test -p dunlin-peerconnection data_channel_tests::model` runs more; `SEED=7` runs one.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;

use super::{A, B, World, init};
use crate::config::Config;
use crate::data_channel::{ChannelId, DataChannelInit, Message, MessageKind};
use crate::event::Event;
use crate::state::ChannelState;

/// What the model knows of a channel: by its label, which is its number.
#[derive(Debug, Default)]
struct Known {
    ends: [Option<ChannelId>; 2],
    ordered: bool,
    reliable: bool,
    /// What each side sent, in order.
    sent: [Vec<Message>; 2],
    got: [Vec<Message>; 2],
    /// Who closed it first, if anybody did.
    closed_by: [bool; 2],
    writing: [Option<Vec<u8>>; 2],
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_happens_channels_deliver_what_was_sent() {
    let all = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(60),
    };
    for seed in all {
        if std::panic::catch_unwind(|| run(seed)).is_err() {
            panic!("failed: SEED={seed} cargo test -p dunlin-peerconnection data_channel_tests::model");
        }
    }
}

struct Model {
    world: World,
    known: BTreeMap<u32, Known>,
    looked: [usize; 2],
    next: u32,
}

impl Model {
    fn learn(&mut self) {
        for side in [A, B] {
            let told = self.world.sides[side].told[self.looked[side]..].to_vec();
            self.looked[side] += told.len();
            for event in told {
                if let Event::DataChannel(id) = event {
                    let channel = self.world.sides[side].channels.get(id).unwrap();
                    let label = channel.label().parse().unwrap();
                    let known = self.known.get_mut(&label).unwrap();
                    assert_eq!(known.ordered, channel.init().ordered);
                    assert!(known.ends[side].replace(id).is_none(), "{label} was opened twice");
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        self.world.run(time);
        self.learn();
        for (label, known) in &mut self.known {
            for side in [A, B] {
                let Some(id) = known.ends[side] else { continue };
                while let Some(message) = self.world.receive(side, id) {
                    known.got[side].push(message);
                }
                let channel = self.world.sides[side].channels.get(id).unwrap();
                assert_eq!(channel.failure(), None, "channel {label} at {side}");
            }
        }
    }

    fn act(&mut self) {
        let side = self.world.rng.random_range(0..2);
        let labels: Vec<u32> = self
            .known
            .iter()
            .filter(|(_, known)| {
                known.ends[side].is_some_and(|id| self.world.state(side, id) == Some(ChannelState::Open))
            })
            .map(|(label, _)| *label)
            .collect();
        let action = self.world.rng.random_range(0..100);
        if labels.is_empty() || action < 12 {
            return self.open(side);
        }
        let label = labels[self.world.rng.random_range(0..labels.len())];
        let known = self.known.get_mut(&label).unwrap();
        let id = known.ends[side].unwrap();
        if action < 22 {
            known.closed_by[side] = true;
            known.writing[side] = None;
            self.world.close(side, id);
        } else if let Some(bytes) = &mut known.writing[side] {
            let last = self.world.rng.random_bool(0.3);
            if self.world.rng.random_bool(0.1) {
                known.writing[side] = None;
                let now = self.world.now;
                let end = &mut self.world.sides[side];
                end.channels.abandon_message(now, id, end.sctp.as_mut());
                return;
            }
            let piece = vec![bytes.len() as u8; self.world.rng.random_range(1..60_000)];
            bytes.extend_from_slice(&piece);
            match self.world.send_piece(side, id, Bytes::from(piece), last) {
                Ok(()) if last => {
                    let bytes = known.writing[side].take().unwrap();
                    known.sent[side].push(Message::from(bytes));
                }
                Ok(()) => {}
                // Its retransmissions were used up.
                Err(error) => {
                    assert!(!known.reliable, "{error}");
                    known.writing[side] = None;
                    let now = self.world.now;
                    let end = &mut self.world.sides[side];
                    end.channels.abandon_message(now, id, end.sctp.as_mut());
                }
            }
        } else if action < 30 {
            let channels = &mut self.world.sides[side].channels;
            channels.begin_message(id, MessageKind::Binary, None).unwrap();
            known.writing[side] = Some(Vec::new());
        } else {
            let len = match self.world.rng.random_range(0..4) {
                0 => 0,
                1 => self.world.rng.random_range(1..100),
                2 => self.world.rng.random_range(1000..1300),
                _ => self.world.rng.random_range(1..100_000),
            };
            let message = if self.world.rng.random_bool(0.5) {
                Message::from("t".repeat(len))
            } else {
                Message::from(vec![known.sent[side].len() as u8; len])
            };
            if self.world.send(side, id, message.clone()).is_ok() {
                known.sent[side].push(message);
            }
        }
    }

    fn open(&mut self, side: usize) {
        let label = self.next;
        self.next += 1;
        let rng = &mut self.world.rng;
        let mut options = DataChannelInit {
            ordered: rng.random_bool(0.7),
            ..init()
        };
        match rng.random_range(0..6) {
            0 => options.max_retransmits = Some(rng.random_range(0..3)),
            1 => options.max_packet_life_time = Some(rng.random_range(0..1000)),
            _ => {}
        }
        let mut known = Known {
            ordered: options.ordered,
            reliable: options.max_retransmits.is_none() && options.max_packet_life_time.is_none(),
            ..Known::default()
        };
        known.ends[side] = self.world.create(side, &label.to_string(), options).ok();
        if known.ends[side].is_some() {
            self.known.insert(label, known);
        }
    }

    fn finish(&mut self) {
        for known in self.known.values_mut() {
            for side in [A, B] {
                if let Some(id) = known.ends[side]
                    && known.writing[side].take().is_some()
                {
                    let now = self.world.now;
                    let end = &mut self.world.sides[side];
                    end.channels.abandon_message(now, id, end.sctp.as_mut());
                }
            }
        }
        self.run(Duration::from_secs(600));
        for (label, known) in &self.known {
            let closed = known.closed_by != [false, false];
            for side in [A, B] {
                let (sent, got) = (&known.sent[1 - side], &known.got[side]);
                let Some(id) = known.ends[side] else {
                    panic!("channel {label} never reached side {side}");
                };
                let state = self.world.state(side, id).unwrap();
                let expected = if closed {
                    ChannelState::Closed
                } else {
                    ChannelState::Open
                };
                assert_eq!(state, expected, "channel {label} at {side}: {known:?}");
                // Who closes discards what comes after that.
                if known.reliable && !known.closed_by[side] && (!closed || known.closed_by[1 - side]) {
                    let mut sorted = [sent.clone(), got.clone()];
                    if !known.ordered {
                        sorted
                            .iter_mut()
                            .for_each(|list| list.sort_by_key(|m| format!("{m:?}")));
                    }
                    assert!(
                        sorted[0] == sorted[1],
                        "channel {label} at {side}: {} of {}",
                        got.len(),
                        sent.len()
                    );
                } else if known.ordered {
                    let mut rest = sent.iter();
                    assert!(
                        got.iter().all(|message| rest.any(|other| other == message)),
                        "channel {label} at {side} got something else, or in another order"
                    );
                }
            }
        }
    }
}

fn run(seed: u64) {
    let mut config = Config::default();
    config.max_message_size = 0;
    config.receive_buffer = 2_000_000;
    config.send_buffer = 1 << 30;
    let mut world = World::new(config, seed);
    world.connect();
    world.delay = Duration::from_millis(world.rng.random_range(1..60));
    if world.rng.random_bool(0.8) {
        world.loss = world.rng.random_range(0.0..0.15);
        world.reorder = world.rng.random_range(0.0..0.5);
    }
    // Few identifiers, so that they are used again soon.
    let few = world.rng.random_range(2..12);
    for side in &mut world.sides {
        side.channels
            .refused
            .extend((few..65_535).map(dunlin_sctp::StreamId));
    }
    let mut model = Model {
        world,
        known: BTreeMap::new(),
        looked: [0, 0],
        next: 0,
    };
    for _ in 0..model.world.rng.random_range(10..150) {
        model.act();
        if model.world.rng.random_bool(0.6) {
            let time = model.world.rng.random_range(0..80);
            model.run(Duration::from_millis(time));
        }
    }
    model.finish();
}
