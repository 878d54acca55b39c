//! Two associations, a link between them in virtual time, and a dissector of its own, so that a test reads like a
//! message diagram and does not trust the crate's parser.
#![allow(dead_code, unreachable_pub)]

pub mod wire;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_sctp::{Association, Config, Event, Ppid, SendOptions, StreamId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub const A: usize = 0;
pub const B: usize = 1;

pub fn start() -> Instant {
    #[allow(clippy::disallowed_methods)]
    Instant::now()
}

/// How many seeds a property is tried with: `PROPTEST_CASES` if set.
pub fn cases(usual: u32) -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(usual)
}

pub fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// One direction of the link.
pub struct Link {
    pub delay: Duration,
    /// Bits per second; 0 is without limit.
    pub rate: f64,
    /// How long the queue at the bottleneck may be.
    pub queue: Duration,
    pub loss: f64,
    /// Larger packets do not get through.
    pub mtu: usize,
    pub duplicate: f64,
    /// The share of packets that are held up by up to `jitter`.
    pub reorder: f64,
    pub jitter: Duration,
    free_at: Option<Instant>,
    under_way: VecDeque<(Instant, Bytes, bool)>,
    pub sent: u64,
    pub dropped: u64,
}

impl Link {
    pub fn new(delay: Duration) -> Self {
        Self {
            delay,
            rate: 0.0,
            queue: Duration::MAX,
            loss: 0.0,
            mtu: usize::MAX,
            duplicate: 0.0,
            reorder: 0.0,
            jitter: Duration::ZERO,
            free_at: None,
            under_way: VecDeque::new(),
            sent: 0,
            dropped: 0,
        }
    }

    fn push(&mut self, now: Instant, packet: Bytes, ce: bool, rng: &mut StdRng) {
        self.sent += 1;
        if packet.len() > self.mtu {
            self.dropped += 1;
            return;
        }
        let mut leaves = now;
        if self.rate > 0.0 {
            let begins = self.free_at.map_or(now, |at| at.max(now));
            if begins - now > self.queue {
                self.dropped += 1;
                return;
            }
            // IPv6, UDP and DTLS headers travel too.
            leaves = begins + Duration::from_secs_f64((packet.len() + 57) as f64 * 8.0 / self.rate);
            self.free_at = Some(leaves);
        }
        if self.loss > 0.0 && rng.random_bool(self.loss) {
            self.dropped += 1;
            return;
        }
        let copies = 1 + usize::from(self.duplicate > 0.0 && rng.random_bool(self.duplicate));
        for _ in 0..copies {
            let mut arrives = leaves + self.delay;
            if self.reorder > 0.0 && rng.random_bool(self.reorder) {
                arrives += self.jitter.mul_f64(rng.random_range(0.0..1.0));
            }
            let at = self.under_way.partition_point(|(other, ..)| *other <= arrives);
            self.under_way.insert(at, (arrives, packet.clone(), ce));
        }
    }
}

/// What to do with a packet on its way.
pub type Filter = Box<dyn FnMut(usize, &[u8]) -> bool>;

/// What a router does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Passes,
    Dropped,
    /// With the mark CE.
    Marked,
}

/// Given the side that sent it, the packet, and whether that has ECT.
pub type Router = Box<dyn FnMut(usize, &[u8], bool) -> Fate>;

pub struct World {
    pub now: Instant,
    pub started: Instant,
    pub ends: [Association; 2],
    /// `links[A]` carries what A sends.
    pub links: [Link; 2],
    pub events: [Vec<Event>; 2],
    /// The message diagram: `A> INIT`.
    pub diagram: Vec<String>,
    pub record: bool,
    /// Says whether a packet, of this side, gets through.
    pub filter: Option<Filter>,
    /// Marks; with it the diagram tells of marks, too.
    pub router: Option<Router>,
    pub rng: StdRng,
    /// Off: events stay in the association, as with a reader that has stopped.
    pub reads: [bool; 2],
    /// Sizes seen on the wire, at most.
    pub largest: usize,
}

impl World {
    pub fn new(config: Config) -> Self {
        Self::with(config.clone(), config, 1)
    }

    pub fn with(a: Config, b: Config, seed: u64) -> Self {
        let now = start();
        let mut rng = StdRng::seed_from_u64(seed);
        let (first, second) = (rng.random(), rng.random());
        Self {
            now,
            started: now,
            ends: [Association::new(a, first, now), Association::new(b, second, now)],
            links: [Link::new(millis(10)), Link::new(millis(10))],
            events: [Vec::new(), Vec::new()],
            diagram: Vec::new(),
            record: true,
            filter: None,
            router: None,
            rng,
            reads: [true, true],
            largest: 0,
        }
    }

    /// Two ends that are connected already.
    pub fn connected(config: Config) -> Self {
        let mut world = Self::new(config);
        world.connect();
        world
    }

    pub fn connect(&mut self) {
        self.ends[A].connect(self.now);
        self.run(millis(200));
        assert!(
            self.ends.iter().all(Association::is_connected),
            "{:#?}",
            self.diagram
        );
        self.events = [Vec::new(), Vec::new()];
        self.diagram.clear();
    }

    pub fn send(&mut self, side: usize, stream: u16, data: impl Into<Bytes>) {
        self.send_with(side, stream, data, SendOptions::default());
    }

    pub fn send_with(&mut self, side: usize, stream: u16, data: impl Into<Bytes>, options: SendOptions) {
        self.ends[side]
            .send(self.now, StreamId(stream), Ppid(53), data.into(), options)
            .unwrap();
    }

    /// Sends what is due and takes the events.
    pub fn pump(&mut self) {
        for side in [A, B] {
            loop {
                let mut packet = Vec::new();
                let end = &mut self.ends[side];
                if !end.poll_transmit(self.now, &mut packet) {
                    break;
                }
                self.largest = self.largest.max(packet.len());
                let ect = end.ecn_capable();
                let fate = match &mut self.router {
                    Some(router) => router(side, &packet, ect),
                    None => Fate::Passes,
                };
                assert!(ect || fate != Fate::Marked, "only packets with ECT are marked");
                let passes =
                    self.filter.as_mut().is_none_or(|filter| filter(side, &packet)) && fate != Fate::Dropped;
                if self.record {
                    let name = ["A>", "B>"][side];
                    let lost = if passes { "" } else { " (lost)" };
                    let mark = match fate {
                        Fate::Marked => " [CE]",
                        _ if ect && self.router.is_some() => " [ECT]",
                        _ => "",
                    };
                    self.diagram
                        .push(format!("{name} {}{mark}{lost}", dissect(&packet)));
                }
                if passes {
                    self.links[side].push(self.now, packet.into(), fate == Fate::Marked, &mut self.rng);
                }
            }
            while self.reads[side]
                && let Some(event) = self.ends[side].poll_event()
            {
                self.events[side].push(event);
            }
        }
    }

    /// The tags that packets for A and for B carry, as seen on the wire. Nothing is under way before, nor after.
    pub fn tags(&mut self) -> [u32; 2] {
        self.send(A, 9, "tag of b");
        let to_b = u32_at(&self.take_packet(A).unwrap(), 4);
        self.send(B, 9, "tag of a");
        let to_a = u32_at(&self.take_packet(B).unwrap(), 4);
        // What was taken is sent again, and arrives.
        self.run(millis(2000));
        self.events = [Vec::new(), Vec::new()];
        self.diagram.clear();
        [to_a, to_b]
    }

    /// Goes on to the next thing that happens, unless that is after `until`; `false` when nothing does before.
    pub fn step(&mut self, until: Instant) -> bool {
        self.pump();
        let arrivals = self
            .links
            .iter()
            .filter_map(|link| link.under_way.front().map(|(at, ..)| *at));
        let timers = self.ends.iter().filter_map(Association::poll_timeout);
        let Some(next) = arrivals.chain(timers).min().filter(|next| *next <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        for side in [A, B] {
            while let Some((at, ..)) = self.links[side].under_way.front()
                && *at <= self.now
            {
                let (_, packet, ce) = self.links[side].under_way.pop_front().unwrap();
                if ce {
                    self.ends[1 - side].handle_marked_datagram(self.now, packet);
                } else {
                    self.ends[1 - side].handle_datagram(self.now, packet);
                }
                self.pump();
            }
        }
        for side in [A, B] {
            if self.ends[side].poll_timeout().is_some_and(|at| at <= self.now) {
                self.ends[side].handle_timeout(self.now);
                self.pump();
                let next = self.ends[side].poll_timeout();
                assert!(
                    next.is_none_or(|at| at > self.now),
                    "a busy loop: {next:?} at {:?}",
                    self.now
                );
            }
        }
        true
    }

    pub fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// Runs until the side has received that many messages; panics after `limit`.
    pub fn run_until_received(&mut self, side: usize, count: usize, limit: Duration) {
        let until = self.now + limit;
        while self.messages(side).len() < count {
            assert!(
                self.step(until),
                "only {} of {count} messages arrived: {:?}",
                self.messages(side).len(),
                self.ends[1 - side].stats()
            );
        }
    }

    pub fn messages(&self, side: usize) -> Vec<(u16, Bytes)> {
        self.events[side]
            .iter()
            .filter_map(|event| match event {
                Event::Message { stream, data, .. } => Some((stream.0, data.clone())),
                _ => None,
            })
            .collect()
    }

    pub fn texts(&self, side: usize) -> Vec<String> {
        self.messages(side)
            .iter()
            .map(|(_, data)| String::from_utf8_lossy(data).into_owned())
            .collect()
    }

    /// Events that are neither messages nor about the level of the queue.
    pub fn notices(&self, side: usize) -> Vec<Event> {
        self.events[side]
            .iter()
            .filter(|event| !matches!(event, Event::Message { .. } | Event::BufferedAmountLow(_)))
            .cloned()
            .collect()
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.started
    }

    /// Hands a made-up packet to one side.
    pub fn inject(&mut self, side: usize, packet: Vec<u8>) {
        self.ends[side].handle_datagram(self.now, packet.into());
    }

    /// The next packet of a side, without sending it on.
    pub fn take_packet(&mut self, side: usize) -> Option<Vec<u8>> {
        let mut packet = Vec::new();
        self.ends[side]
            .poll_transmit(self.now, &mut packet)
            .then_some(packet)
    }
}

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(bytes[at..at + 2].try_into().unwrap())
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The chunks of a packet: type, flags, value.
pub fn chunks(packet: &[u8]) -> Vec<(u8, u8, &[u8])> {
    let mut found = Vec::new();
    let mut at = 12;
    while at + 4 <= packet.len() {
        let len = usize::from(u16_at(packet, at + 2));
        assert!(
            len >= 4 && at + len <= packet.len(),
            "a malformed packet was sent: {packet:02x?}"
        );
        found.push((packet[at], packet[at + 1], &packet[at + 4..at + len]));
        at += len.next_multiple_of(4);
    }
    assert_eq!(at, packet.len(), "padding is missing: {packet:02x?}");
    found
}

/// DATA or I-DATA.
pub fn has_data(packet: &[u8]) -> bool {
    has_chunk(packet, 0) || has_chunk(packet, 64)
}

pub fn has_chunk(packet: &[u8], kind: u8) -> bool {
    chunks(packet).iter().any(|chunk| chunk.0 == kind)
}

/// A packet in words.
pub fn dissect(packet: &[u8]) -> String {
    let words = chunks(packet).into_iter().map(|(kind, flags, value)| {
        let name = match kind {
            0 | 64 => {
                let bits: String = [(8, 'I'), (4, 'U'), (2, 'B'), (1, 'E')]
                    .iter()
                    .filter(|bit| flags & bit.0 != 0)
                    .map(|bit| bit.1)
                    .collect();
                if kind == 64 {
                    let (mid, len) = (u32_at(value, 8), value.len() - 16);
                    let fsn = if flags & 2 != 0 { 0 } else { u32_at(value, 12) };
                    return format!("I-DATA({} m{mid} f{fsn} {bits} {len})", u16_at(value, 4));
                }
                return format!(
                    "DATA({} s{} {bits} {})",
                    u16_at(value, 4),
                    u16_at(value, 6),
                    value.len() - 12
                );
            }
            1 => "INIT",
            2 => "INIT ACK",
            3 => {
                let blocks: Vec<String> = (0..usize::from(u16_at(value, 8)))
                    .map(|i| format!(" {}-{}", u16_at(value, 12 + 4 * i), u16_at(value, 14 + 4 * i)))
                    .collect();
                return format!("SACK{}", blocks.concat());
            }
            4 => "HEARTBEAT",
            5 => "HEARTBEAT ACK",
            6 => "ABORT",
            7 => "SHUTDOWN",
            8 => "SHUTDOWN ACK",
            9 => return format!("ERROR {}", u16_at(value, 0)),
            10 => "COOKIE ECHO",
            11 => "COOKIE ACK",
            12 => return format!("ECNE x{}", u32_at(value, 4)),
            13 => "CWR",
            14 => "SHUTDOWN COMPLETE",
            132 => "PAD",
            130 => match u16_at(value, 0) {
                13 => "RE-CONFIG reset",
                14 => "RE-CONFIG incoming reset",
                15 => "RE-CONFIG association reset",
                16 => {
                    let results: Vec<String> = std::iter::successors(Some(0), |at| {
                        let next = at + usize::from(u16_at(value, at + 2));
                        (next < value.len()).then_some(next)
                    })
                    .map(|at| u32_at(value, at + 8).to_string())
                    .collect();
                    return format!("RE-CONFIG result {}", results.join(" "));
                }
                17 => return format!("RE-CONFIG add {}", u16_at(value, 8)),
                18 => return format!("RE-CONFIG add incoming {}", u16_at(value, 8)),
                _ => "RE-CONFIG",
            },
            192 => "FORWARD TSN",
            194 => "I-FORWARD-TSN",
            _ => "?",
        };
        name.to_owned()
    });
    words.collect::<Vec<_>>().join(" + ")
}

/// Builds packets by hand.
#[derive(Clone)]
pub struct Forge {
    pub packet: Vec<u8>,
}

impl Forge {
    pub fn new(tag: u32) -> Self {
        let mut packet = vec![0x13, 0x88, 0x13, 0x88];
        packet.extend(tag.to_be_bytes());
        packet.extend([0; 4]);
        Self { packet }
    }

    pub fn chunk(mut self, kind: u8, flags: u8, value: &[u8]) -> Self {
        self.packet.extend([kind, flags]);
        self.packet
            .extend(u16::try_from(value.len() + 4).unwrap().to_be_bytes());
        self.packet.extend(value);
        self.packet.resize(self.packet.len().next_multiple_of(4), 0);
        self
    }

    pub fn data(self, flags: u8, tsn: u32, stream: u16, ssn: u16, data: &[u8]) -> Self {
        let mut value = tsn.to_be_bytes().to_vec();
        value.extend(stream.to_be_bytes());
        value.extend(ssn.to_be_bytes());
        value.extend(53u32.to_be_bytes());
        value.extend(data);
        self.chunk(0, flags, &value)
    }

    pub fn i_data(self, flags: u8, tsn: u32, stream: u16, mid: u32, last: u32, data: &[u8]) -> Self {
        let mut value = tsn.to_be_bytes().to_vec();
        value.extend(stream.to_be_bytes());
        value.extend([0, 0]);
        value.extend(mid.to_be_bytes());
        value.extend(last.to_be_bytes());
        value.extend(data);
        self.chunk(64, flags, &value)
    }

    pub fn sack(self, cumulative: u32, window: u32, blocks: &[(u16, u16)]) -> Self {
        let mut value = cumulative.to_be_bytes().to_vec();
        value.extend(window.to_be_bytes());
        value.extend(u16::try_from(blocks.len()).unwrap().to_be_bytes());
        value.extend([0, 0]);
        for (first, last) in blocks {
            value.extend(first.to_be_bytes());
            value.extend(last.to_be_bytes());
        }
        self.chunk(3, 0, &value)
    }

    pub fn init(self, kind: u8, tag: u32, tsn: u32, parameters: &[u8]) -> Self {
        let mut value = tag.to_be_bytes().to_vec();
        value.extend(100_000u32.to_be_bytes());
        value.extend([0xff, 0xff, 0xff, 0xff]);
        value.extend(tsn.to_be_bytes());
        value.extend(parameters);
        self.chunk(kind, 0, &value)
    }

    /// With a CRC32c.
    pub fn sealed(mut self) -> Vec<u8> {
        let crc = crc32c::crc32c(&self.packet);
        self.packet[8..12].copy_from_slice(&crc.to_le_bytes());
        self.packet
    }
}
