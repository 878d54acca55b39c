//! What the tests against other stacks share: a network between two ends in virtual time, and messages that say which one
//! they are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_sctp::{Event, Reliability, SendOptions};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{millis, u32_at};

pub const STREAMS: u16 = 5;

/// Loses, duplicates and reorders.
pub struct Wire {
    pub rng: StdRng,
    pub loss: f64,
    pub duplicate: f64,
    pub reorder: f64,
    pub delay: Duration,
    /// When, to us or to them, what.
    under_way: VecDeque<(Instant, bool, Bytes)>,
}

impl Wire {
    pub fn new(seed: u64) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            delay: millis(10),
            under_way: VecDeque::new(),
        }
    }

    /// Becomes one of the usual kinds of bad.
    pub fn worsen(&mut self) {
        self.delay = millis(self.rng.random_range(1..50));
        if self.rng.random_bool(0.8) {
            self.loss = self.rng.random_range(0.0..0.08);
            self.duplicate = self.rng.random_range(0.0..0.05);
            self.reorder = self.rng.random_range(0.0..0.3);
        }
    }

    pub fn push(&mut self, now: Instant, to_us: bool, packet: Bytes) {
        if self.rng.random_bool(self.loss) {
            return;
        }
        for _ in 0..1 + usize::from(self.rng.random_bool(self.duplicate)) {
            let mut arrives = now + self.delay;
            if self.rng.random_bool(self.reorder) {
                arrives += self.delay.mul_f64(self.rng.random_range(0.0..2.0));
            }
            let at = self.under_way.partition_point(|(other, ..)| *other <= arrives);
            self.under_way.insert(at, (arrives, to_us, packet.clone()));
        }
    }

    /// When the next packet arrives.
    pub fn next(&self) -> Option<Instant> {
        self.under_way.front().map(|(at, ..)| *at)
    }

    /// A packet that has arrived, and whether it is for us.
    pub fn pop(&mut self, now: Instant) -> Option<(bool, Bytes)> {
        self.next().filter(|at| *at <= now)?;
        self.under_way
            .pop_front()
            .map(|(_, to_us, packet)| (to_us, packet))
    }
}

/// The seeds of a property, which `SEED` or `SEEDS` may set.
pub fn seeds(usual: u64) -> Range<u64> {
    let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(usual),
    }
}

/// A message that begins with its number.
pub fn content(id: u32, len: usize) -> Bytes {
    let byte = |i: usize| (i as u32 ^ id).wrapping_mul(0x9e37_79b1).to_be_bytes()[0];
    let mut data: Vec<u8> = (0..len).map(byte).collect();
    data[..4].copy_from_slice(&id.to_be_bytes());
    data.into()
}

/// The messages among the events.
pub fn received(events: &[Event]) -> Vec<(u16, Bytes)> {
    let message = |event: &Event| match event {
        Event::Message { stream, data, .. } => Some((stream.0, data.clone())),
        _ => None,
    };
    events.iter().filter_map(message).collect()
}

#[derive(Debug, Clone, Copy)]
pub struct Sent {
    pub by_us: bool,
    pub stream: u16,
    pub len: usize,
    pub options: SendOptions,
}

impl Sent {
    /// Any message, by either.
    pub fn random(rng: &mut StdRng) -> Self {
        let by_us = rng.random_bool(0.5);
        let stream = rng.random_range(0..STREAMS);
        let len = match rng.random_range(0..4) {
            0 => rng.random_range(4..20),
            1 => rng.random_range(1100..1300),
            2 => rng.random_range(4..10_000),
            _ => rng.random_range(4..150_000),
        };
        let options = SendOptions {
            unordered: rng.random_bool(0.3),
            reliability: match rng.random_range(0..6) {
                0 => Reliability::MaxRetransmits(rng.random_range(0..3)),
                1 => Reliability::MaxLifetime(millis(rng.random_range(1..500))),
                _ => Reliability::Reliable,
            },
        };
        Self {
            by_us,
            stream,
            len,
            options,
        }
    }
}

/// What arrived on one side, against what the other sent.
pub fn check(sent: &[Sent], got: &[(u16, Bytes)], by_us: bool) {
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
