//! Two associations that do everything at random over a bad network, against a model that knows what must arrive, in which
//! order, and in which life of its stream.
//!
//! `SEEDS=100000 cargo test -p dunlin-sctp --release --test model` runs more of them; `SEED=7` runs one.

#![allow(clippy::print_stdout)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use common::*;
use dunlin_sctp::{
    CloseReason, Config, CongestionControl, Event, Ppid, Reconfiguration, Reliability, Scheduler,
    SendOptions, StreamId, Tsn,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const STREAMS: u16 = 6;
/// Seeds that failed once.
const FOUND: [u64; 3] = [60_843, 102_079, 203_241];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// The content of a message: its number, and bytes that follow from it.
fn content(id: u32, len: usize) -> Bytes {
    let mut state = id.wrapping_mul(0x9e37_79b9) | 1;
    let mut data = id.to_be_bytes().to_vec();
    data.resize_with(len, || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    data.into()
}

/// A message that was accepted.
#[derive(Debug, Clone, Copy)]
struct Sent {
    side: usize,
    stream: u16,
    len: usize,
    ordered: bool,
    reliable: bool,
    /// How often the stream had been reset.
    life: u32,
}

struct Model {
    rng: StdRng,
    sizes: StdRng,
    world: World,
    sent: Vec<Sent>,
    /// Resets of each side's streams that are done, as the sender sees it.
    lives: BTreeMap<(usize, u16), u32>,
    /// How many events of each side have been looked at.
    looked: [usize; 2],
    shuts_down: bool,
}

/// Marks some of what may be marked, or swallows it.
fn router(seed: u64) -> Option<Router> {
    let mut rng = StdRng::seed_from_u64(seed);
    let swallows = rng.random_bool(0.1);
    let share = rng.random_range(0.0..0.2);
    Some(Box::new(move |_, _, ect| match ect {
        true if swallows => Fate::Dropped,
        true if rng.random_bool(share) => Fate::Marked,
        _ => Fate::Passes,
    }))
}

fn config(rng: &mut StdRng, max_message: usize, tsn: u32) -> Config {
    let mut config = Config::default();
    config.initial_tsn = Some(Tsn(tsn));
    config.streams = STREAMS;
    config.interleaving = rng.random_bool(0.7);
    config.zero_checksum = rng.random_bool(0.7);
    config.scheduler = [
        Scheduler::FirstCome,
        Scheduler::RoundRobin,
        Scheduler::WeightedFair,
        Scheduler::Priority,
    ][rng.random_range(0..4)];
    if rng.random_bool(0.3) {
        config.congestion = CongestionControl::Cubic;
    }
    config.max_receive_message_size = max_message;
    config.receive_window = [3 * max_message, 5 << 20][rng.random_range(0..2)];
    config.max_retransmits = Some(30);
    // T5-shutdown-guard is five times that: what waits may take long.
    config.rto_max = Duration::from_secs(120);
    config.max_init_retransmits = None;
    config.max_gaps = [4, 1024][rng.random_range(0..2)];
    config.sack_delay = millis(rng.random_range(0..200));
    config
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let max_message = [2000, 20_000, 100_000][rng.random_range(0..3)];
        let configs = [0, 1].map(|_| {
            let tsn = match rng.random_range(0..3) {
                0 => u32::MAX - rng.random_range(0..200u32),
                1 => (1 << 31) - rng.random_range(0..100u32),
                _ => rng.random(),
            };
            config(&mut rng, max_message, tsn)
        });
        let [mut a, mut b] = configs;
        // Of its own, so that seeds mean what they always meant.
        let mut sizes = StdRng::seed_from_u64(!seed);
        for config in [&mut a, &mut b] {
            config.max_path_datagram = [0, 3000, 9000, 16_000][sizes.random_range(0..4)];
        }
        let mut world = World::with(a, b, rng.random());
        world.record = false;
        world.router = router(sizes.random());
        let bad = rng.random_bool(0.8);
        for link in &mut world.links {
            if bad {
                link.loss = rng.random_range(0.0..0.2);
                link.duplicate = rng.random_range(0.0..0.1);
                link.reorder = rng.random_range(0.0..0.4);
                link.jitter = millis(rng.random_range(1..100));
            }
            link.delay = millis(rng.random_range(0..80));
            if rng.random_bool(0.3) {
                link.rate = 10f64.powf(rng.random_range(5.5..8.0));
            }
        }
        Self {
            rng,
            world,
            sent: Vec::new(),
            lives: BTreeMap::new(),
            sizes,
            looked: [0, 0],
            shuts_down: false,
        }
    }

    /// Lets time pass, and notes what the senders learn about their streams.
    fn run(&mut self, time: Duration) {
        self.world.run(time);
        for side in [A, B] {
            for event in &self.world.events[side][self.looked[side]..] {
                match event {
                    Event::StreamResetDone(stream) => {
                        *self.lives.entry((side, stream.0)).or_default() += 1;
                    }
                    Event::StreamResetFailed(stream) => {
                        assert!(self.shuts_down, "the reset of {stream} failed");
                    }
                    _ => {}
                }
            }
            self.looked[side] = self.world.events[side].len();
        }
    }

    fn send(&mut self, side: usize, max_message: usize) {
        // Who does not look at events does not know in which life its streams are.
        if !self.world.reads[side] {
            return;
        }
        let rng = &mut self.rng;
        let stream = rng.random_range(0..STREAMS);
        let len = match rng.random_range(0..3) {
            0 => rng.random_range(4..60),
            1 => rng.random_range(1000..1400),
            _ => rng.random_range(4..max_message),
        };
        let reliability = match rng.random_range(0..6) {
            0 => Reliability::MaxRetransmits(rng.random_range(0..3)),
            1 => Reliability::MaxLifetime(millis(rng.random_range(0..1500))),
            _ => Reliability::Reliable,
        };
        let unordered = rng.random_bool(0.3);
        let id = self.sent.len() as u32;
        let options = SendOptions {
            unordered,
            reliability,
        };
        // What the sender has not been told yet happens to messages that it does not accept.
        self.run(Duration::ZERO);
        let (now, data) = (self.world.now, content(id, len));
        let end = &mut self.world.ends[side];
        if end.send(now, StreamId(stream), Ppid(53), data, options).is_ok() {
            self.sent.push(Sent {
                side,
                stream,
                len,
                ordered: !unordered,
                reliable: reliability == Reliability::Reliable,
                life: self.lives.get(&(side, stream)).copied().unwrap_or(0),
            });
        }
    }

    fn act(&mut self, max_message: usize) {
        let side = self.rng.random_range(0..2);
        let stream = StreamId(self.rng.random_range(0..STREAMS));
        match self.rng.random_range(0..100) {
            0..70 => self.send(side, max_message),
            70..76 => self.world.ends[side].reset_stream(stream),
            76..80 => self.world.ends[side].reset_incoming(&[stream]),
            80 => self.world.ends[side].reset_incoming(&[]),
            81 => self.world.ends[side].reset_association(),
            82 => self.world.ends[side].add_streams(1),
            83 => self.world.ends[side].add_incoming_streams(1),
            84..88 => {
                let priority = self.rng.random_range(0..2000);
                self.world.ends[side].set_priority(stream, priority);
            }
            88..92 => self.world.reads[side] ^= true,
            92 => {
                let bytes = self.rng.random_range(300..1300);
                self.world.ends[side].set_max_datagram(bytes);
            }
            93 => {
                // Nothing gets through for a while.
                self.world.filter = Some(Box::new(|_, _| false));
                let time = self.rng.random_range(0..2000);
                self.run(millis(time));
                self.world.filter = None;
                // Afterwards the path is another one, and sometimes ICE knows.
                for link in &mut self.world.links {
                    link.mtu = [1400, 5000, usize::MAX][self.sizes.random_range(0..3)];
                }
                if self.sizes.random_bool(0.3) {
                    let now = self.world.now;
                    self.world.ends[side].handle_path_change(now, 16_000);
                }
            }
            _ => {
                let time = self.rng.random_range(0..500);
                self.run(millis(time));
            }
        }
    }

    /// Everything that a side received, against what the other sent.
    fn check(&self, side: usize) {
        let mut resets: BTreeMap<u16, u32> = BTreeMap::new();
        let mut last: BTreeMap<u16, u32> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for event in &self.world.events[side] {
            match event {
                Event::StreamsReset { streams } => {
                    for stream in streams {
                        *resets.entry(stream.0).or_default() += 1;
                    }
                }
                Event::Message { stream, data, .. } => {
                    let id = u32_at(data, 0);
                    let sent = self.sent[id as usize];
                    assert_eq!((sent.side, sent.stream), (1 - side, stream.0), "message {id}");
                    assert_eq!(*data, content(id, sent.len), "message {id}");
                    assert!(seen.insert(id), "message {id} came twice");
                    let life = resets.get(&stream.0).copied().unwrap_or(0);
                    assert_eq!(life, sent.life, "message {id} came in another life: {sent:?}");
                    if sent.ordered {
                        let before = last.insert(stream.0, id);
                        assert!(before < Some(id), "message {id} came after {before:?}");
                    }
                }
                Event::Restarted => panic!("restarted"),
                _ => {}
            }
        }
        let missing = self.missing(side);
        assert!(missing.is_empty(), "never came: {missing:?}");
    }

    /// The messages that a side must get and has not got.
    fn missing(&self, side: usize) -> Vec<(usize, Sent)> {
        let came: BTreeSet<usize> = self.world.events[side]
            .iter()
            .filter_map(|event| match event {
                Event::Message { data, .. } => Some(u32_at(data, 0) as usize),
                _ => None,
            })
            .collect();
        let sent = self.sent.iter().copied().enumerate();
        sent.filter(|(id, sent)| sent.side == 1 - side && sent.reliable && !came.contains(id))
            .collect()
    }

    fn finish(&mut self) {
        self.world.reads = [true, true];
        let until = self.world.now + Duration::from_secs(100_000);
        let quiet = |model: &Model| {
            model.world.ends.iter().all(|end| {
                let stats = end.stats();
                stats.bytes_in_flight == 0 && end.total_buffered() == 0
            })
        };
        let missing = |model: &Model| [A, B].iter().any(|&side| !model.missing(side).is_empty());
        while (!quiet(self) || missing(self)) && self.world.now < until {
            self.run(millis(500));
        }
        // The last acknowledgements, resets and their answers.
        self.run(Duration::from_secs(60));
        assert!(
            quiet(self),
            "{:?} {:?}",
            self.world.ends[A].stats(),
            self.world.ends[B].stats()
        );
    }

    /// One side shuts down while things are under way: what was accepted still arrives.
    fn shut_down(&mut self) {
        let side = self.rng.random_range(0..2);
        self.shuts_down = true;
        self.world.ends[side].shutdown(self.world.now);
        if self.rng.random_bool(0.2) {
            self.world.ends[1 - side].shutdown(self.world.now);
        }
        self.world.reads = [true, true];
        let until = self.world.now + Duration::from_secs(100_000);
        let over = |model: &Model, side: usize| {
            let last = model.world.events[side].last();
            matches!(last, Some(Event::Closed(_)))
        };
        while !(over(self, A) && over(self, B)) && self.world.now < until {
            self.run(Duration::from_secs(1));
        }
        let last = [A, B].map(|side| match self.world.events[side].last() {
            Some(Event::Closed(reason)) => Some(reason.clone()),
            _ => None,
        });
        let graceful = Some(CloseReason::Shutdown);
        // The last packet of a shutdown may be lost, and nobody is there any more to send it again.
        let alone = Some(CloseReason::Unreachable);
        assert!(last.contains(&graceful), "{last:?}");
        assert!(
            last.iter().all(|end| *end == graceful || *end == alone),
            "{last:?}"
        );
        for end in &self.world.ends {
            assert_eq!(end.poll_timeout(), None);
        }
    }
}

fn run(seed: u64) {
    let mut model = Model::new(seed);
    let max_message = [2000, 20_000, 100_000][StdRng::seed_from_u64(seed).random_range(0..3)];
    model.world.ends[A].connect(model.world.now);
    if model.rng.random_bool(0.5) {
        let wait = model.rng.random_range(0..200);
        model.run(millis(wait));
        model.world.ends[B].connect(model.world.now);
    }
    while !model.world.ends.iter().all(|end| end.is_connected()) {
        if model.rng.random_bool(0.3) {
            model.send(A, max_message);
        }
        model.run(millis(50));
    }
    for _ in 0..model.rng.random_range(5..80) {
        model.act(max_message);
        if model.rng.random_bool(0.5) {
            let time = model.rng.random_range(0..60);
            model.run(millis(time));
        }
    }
    if model.rng.random_bool(0.3) {
        model.shut_down();
    } else {
        model.finish();
    }
    for side in [A, B] {
        model.check(side);
        // Only a reset of the association may be refused: by a peer that wants one as well, or too soon after the last.
        for event in &model.world.events[side] {
            if let Event::ReconfigurationFailed(what) = event {
                let may_fail = [Reconfiguration::AssociationReset];
                assert!(may_fail.contains(what) || model.shuts_down, "{what:?}");
            }
        }
    }
}

#[test]
fn whatever_happens_the_model_knows_what_arrives() {
    if let Some(seed) = number("SEED") {
        return run(seed);
    }
    let seeds = number("SEEDS").unwrap_or(300);
    let from = number("FROM").unwrap_or(0);
    for seed in FOUND.into_iter().chain(from..from + seeds) {
        if std::panic::catch_unwind(|| run(seed)).is_err() {
            panic!("failed: SEED={seed} cargo test -p dunlin-sctp --test model");
        }
    }
}
