//! A bottleneck in virtual time, and the flows that share it: associations of ours, and a paced stream of datagrams.
#![allow(dead_code, unreachable_pub)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_sctp::{Association, Config, CongestionControl, Event, Ppid, SendOptions, Stats, StreamId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub mod aqm;
use aqm::{Aqm, CoDel, Ect};

/// IPv6, UDP and DTLS headers travel too.
pub const OVERHEAD: usize = 57;
/// Bytes of messages in a full packet, and what that packet takes of the link.
pub const PAYLOAD: f64 = 1160.0;
pub const PACKET: f64 = 1191.0 + OVERHEAD as f64 - 3.0;
const MESSAGE: usize = 65_536;
/// What an application keeps queued.
const QUEUED: usize = 2 << 20;

/// How packets are lost behind the bottleneck, both ways.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    None,
    /// Each for itself.
    Random(f64),
    /// Gilbert and Elliott: bursts of five packets on average, in which half are lost; this share of all.
    Bursts(f64),
}

/// One path.
#[derive(Debug, Clone, Copy)]
pub struct Path {
    /// Bits per second.
    pub rate: f64,
    /// How long the queue may be.
    pub queue: Duration,
    pub rtt: Duration,
    pub loss: Loss,
    /// The share of packets that come up to a quarter of a round trip later than others.
    pub reorder: f64,
    /// Delay that varies by this much, redrawn each millisecond, without reordering.
    pub jitter: Duration,
    /// Drops, without a queue, what goes beyond so many bits per second and bursts of 50 ms.
    pub policer: Option<f64>,
    /// How the bottleneck keeps its queue short.
    pub aqm: Aqm,
    /// What becomes of packets with ECT.
    pub ect: Ect,
    /// Whether the ends use ECN.
    pub ecn: bool,
    /// The receive window, in bytes: 36 MiB, so that it is the path that limits.
    pub window: usize,
}

impl Path {
    pub fn new(rate: f64, rtt: u64, loss: Loss) -> Self {
        Self {
            rate,
            queue: Duration::from_millis(50),
            rtt: Duration::from_millis(rtt),
            loss,
            reorder: 0.0,
            jitter: Duration::ZERO,
            policer: None,
            aqm: Aqm::None,
            ect: Ect::Carried,
            ecn: true,
            window: 36 << 20,
        }
    }

    /// Goodput when nothing is wasted, in bits per second.
    pub fn ideal(&self) -> f64 {
        let lost = match self.loss {
            Loss::None => 0.0,
            Loss::Random(share) | Loss::Bursts(share) => share,
        };
        self.policer.unwrap_or(self.rate) * PAYLOAD / PACKET * (1.0 - lost)
    }
}

/// Who shares the bottleneck.
#[derive(Debug, Clone, Copy)]
pub enum Flow {
    /// Sends messages from `start` on without end.
    Bulk {
        control: CongestionControl,
        start: Duration,
    },
    /// Datagrams of 1,200 bytes at this rate: audio and video of a call.
    Paced { rate: f64 },
}

pub fn bulk(control: CongestionControl) -> Flow {
    Flow::Bulk {
        control,
        start: Duration::ZERO,
    }
}

/// What became of one flow.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Bits of messages per second, since the flow began.
    pub goodput: f64,
    /// Chunks sent again, by packets sent.
    pub retransmitted: f64,
    pub stats: Stats,
    /// Time in the queue that 95 of 100 of the flow's packets stayed below.
    pub queueing_p95: Duration,
    /// Goodput of each second.
    pub seconds: Vec<f64>,
}

enum Kind {
    Bulk {
        ends: Box<[Association; 2]>,
        started: bool,
    },
    Paced {
        interval: Duration,
    },
}

struct Running {
    kind: Kind,
    start: Instant,
    received: u64,
    per_second: Vec<u64>,
    /// Packets by the queueing delay they had, in tenths of a millisecond.
    delays: Vec<u32>,
    /// When a driver looks at each end again.
    wake: [Option<Instant>; 2],
    /// For order: when the last packet each way arrives.
    last_arrival: [Option<Instant>; 2],
    burst: [bool; 2],
}

/// Something that happens to a flow: a packet arrives at an end, or a driver wakes.
struct Happening {
    at: Instant,
    order: u64,
    flow: usize,
    end: usize,
    packet: Option<Bytes>,
    ce: bool,
}

impl PartialEq for Happening {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}
impl Eq for Happening {}
impl PartialOrd for Happening {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Happening {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

struct World {
    now: Instant,
    began: Instant,
    path: Path,
    flows: Vec<Running>,
    heap: BinaryHeap<Reverse<Happening>>,
    order: u64,
    free_at: Instant,
    tokens_at: Instant,
    rng: StdRng,
    jitter: [(Instant, Duration); 2],
    codel: CoDel,
    message: Bytes,
}

/// Runs the flows for so long after the first second, in which they connect.
pub fn run(path: Path, flows: &[Flow], time: Duration, seed: u64) -> Vec<Outcome> {
    #[allow(clippy::disallowed_methods)]
    let began = Instant::now();
    let mut rng = StdRng::seed_from_u64(seed);
    let flows = flows
        .iter()
        .map(|flow| {
            let (kind, start) = match *flow {
                Flow::Bulk { control, start } => {
                    let mut config = Config::default();
                    config.congestion = control;
                    config.receive_window = path.window;
                    config.ecn = path.ecn;
                    let mut ends = [rng.random(), rng.random()]
                        .map(|seed| Association::new(config.clone(), seed, began));
                    ends[0].connect(began);
                    (
                        Kind::Bulk {
                            ends: Box::new(ends),
                            started: false,
                        },
                        start,
                    )
                }
                Flow::Paced { rate } => {
                    let interval = Duration::from_secs_f64(1200.0 * 8.0 / rate);
                    (Kind::Paced { interval }, Duration::ZERO)
                }
            };
            // Not in step: each begins some time within a tenth of a second.
            let start = start + Duration::from_millis(rng.random_range(0..100));
            Running {
                kind,
                start: began + Duration::from_secs(1) + start,
                received: 0,
                per_second: Vec::new(),
                delays: vec![0; 20_001],
                wake: [None; 2],
                last_arrival: [None; 2],
                burst: [false; 2],
            }
        })
        .collect();
    let mut world = World {
        now: began,
        began,
        path,
        flows,
        heap: BinaryHeap::new(),
        order: 0,
        free_at: began,
        tokens_at: began,
        rng,
        jitter: [(began, Duration::ZERO); 2],
        codel: CoDel::default(),
        message: Bytes::from(vec![7; MESSAGE]),
    };
    world.run(Duration::from_secs(1) + time);
    world.outcomes(time)
}

impl World {
    fn run(&mut self, time: Duration) {
        let until = self.now + time;
        for flow in 0..self.flows.len() {
            self.schedule(self.flows[flow].start, flow, 0, None, false);
            self.pump(flow);
        }
        while let Some(Reverse(next)) = self.heap.pop()
            && next.at <= until
        {
            self.now = next.at;
            self.happen(next);
        }
    }

    fn schedule(&mut self, at: Instant, flow: usize, end: usize, packet: Option<Bytes>, ce: bool) {
        self.order += 1;
        self.heap.push(Reverse(Happening {
            at,
            order: self.order,
            flow,
            end,
            packet,
            ce,
        }));
    }

    fn happen(&mut self, next: Happening) {
        let (now, flow) = (self.now, next.flow);
        let running = &mut self.flows[flow];
        match (&mut running.kind, next.packet) {
            (Kind::Paced { interval }, None) => {
                let again = now + *interval;
                self.schedule(again, flow, 0, None, false);
                self.carry(flow, 0, Bytes::from_static(&[0; 1200 - OVERHEAD]), false);
            }
            (Kind::Paced { .. }, Some(packet)) => running.received += packet.len() as u64,
            (Kind::Bulk { ends, started }, packet) => {
                match packet {
                    Some(packet) if next.ce => ends[next.end].handle_marked_datagram(now, packet),
                    Some(packet) => ends[next.end].handle_datagram(now, packet),
                    None => {
                        if now >= running.start {
                            *started = true;
                        }
                        if running.wake[next.end].is_some_and(|at| at <= now) {
                            running.wake[next.end] = None;
                        }
                        ends[next.end].handle_timeout(now);
                    }
                }
                self.pump(flow);
            }
        }
    }

    /// Sends what is due, fills the queue, counts what came.
    fn pump(&mut self, flow: usize) {
        let now = self.now;
        for end in [0, 1] {
            let mut packets = Vec::new();
            let running = &mut self.flows[flow];
            let Kind::Bulk { ends, started } = &mut running.kind else {
                return;
            };
            if end == 0 && *started {
                while ends[0].total_buffered() < QUEUED {
                    let (message, ppid) = (self.message.clone(), Ppid(53));
                    ends[0]
                        .send(now, StreamId(1), ppid, message, SendOptions::default())
                        .expect("room");
                }
            }
            loop {
                let mut packet = Vec::with_capacity(1200);
                if !ends[end].poll_transmit(now, &mut packet) {
                    break;
                }
                packets.push((packet, ends[end].ecn_capable()));
            }
            while let Some(event) = ends[end].poll_event() {
                if let Event::Message { data, .. } = event {
                    running.received += data.len() as u64;
                    let second = (now - self.began).as_secs() as usize;
                    running
                        .per_second
                        .resize(running.per_second.len().max(second + 1), 0);
                    running.per_second[second] += data.len() as u64;
                }
            }
            // A driver's timers tick in milliseconds.
            if let Some(at) = ends[end].poll_timeout() {
                let nanos = (at.max(now) - self.began).as_nanos() as u64;
                let at = self.began + Duration::from_millis(nanos.div_ceil(1_000_000));
                if running.wake[end].is_none_or(|wake| at < wake || wake <= now) {
                    running.wake[end] = Some(at);
                    self.schedule(at.max(now), flow, end, None, false);
                }
            }
            for (packet, ect) in packets {
                self.carry(flow, end, packet.into(), ect);
            }
        }
    }

    /// Puts a packet on its way; the bottleneck is in the direction of the data.
    fn carry(&mut self, flow: usize, end: usize, packet: Bytes, ect: bool) {
        let ect = match self.path.ect {
            Ect::Bleached => false,
            Ect::Swallowed if ect => return,
            _ => ect,
        };
        let mut ce = ect && self.path.ect == Ect::AllMarked;
        let now = self.now;
        let len = packet.len() + OVERHEAD;
        let mut leaves = now;
        if end == 0 {
            if let Some(rate) = self.path.policer {
                let earliest = now.checked_sub(Duration::from_millis(50)).unwrap_or(now);
                let due = self.tokens_at.max(earliest) + Duration::from_secs_f64(len as f64 * 8.0 / rate);
                if due > now {
                    return;
                }
                self.tokens_at = due;
            }
            let begins = self.free_at.max(now);
            let waited = begins - now;
            if waited > self.path.queue {
                return;
            }
            if self.path.aqm.judges(&mut self.codel, begins, waited) {
                if !ect {
                    return;
                }
                ce = true;
            }
            let slot = ((waited.as_micros() / 100) as usize).min(20_000);
            self.flows[flow].delays[slot] += 1;
            leaves = begins + Duration::from_secs_f64(len as f64 * 8.0 / self.path.rate);
            self.free_at = leaves;
        }
        if self.is_lost(flow, end) {
            return;
        }
        let mut arrives = leaves + self.path.rtt / 2;
        if self.path.jitter > Duration::ZERO {
            let (at, delay) = &mut self.jitter[end];
            if now >= *at {
                *at = now + Duration::from_millis(1);
                *delay = self.path.jitter.mul_f64(self.rng.random_range(0.0..1.0));
            }
            arrives += *delay;
        }
        let last = &mut self.flows[flow].last_arrival[end];
        if self.path.reorder > 0.0 && self.rng.random_bool(self.path.reorder) {
            arrives += (self.path.rtt / 4).mul_f64(self.rng.random_range(0.0..1.0));
        } else {
            arrives = last.map_or(arrives, |last| last.max(arrives));
            *last = Some(arrives);
        }
        self.schedule(arrives, flow, 1 - end, Some(packet), ce);
    }

    fn is_lost(&mut self, flow: usize, end: usize) -> bool {
        match self.path.loss {
            Loss::None => false,
            Loss::Random(share) => self.rng.random_bool(share),
            Loss::Bursts(share) => {
                // The share of time in bursts is twice the loss; bursts end after five packets on average.
                let in_burst = 2.0 * share;
                let burst = &mut self.flows[flow].burst[end];
                let change = if *burst {
                    0.2
                } else {
                    0.2 * in_burst / (1.0 - in_burst)
                };
                if self.rng.random_bool(change) {
                    *burst = !*burst;
                }
                *burst && self.rng.random_bool(0.5)
            }
        }
    }

    fn outcomes(self, time: Duration) -> Vec<Outcome> {
        let until = self.began + Duration::from_secs(1) + time;
        let outcome = |running: Running| {
            let seconds = (until - running.start).as_secs_f64();
            let stats = match &running.kind {
                Kind::Bulk { ends, .. } => ends[0].stats(),
                Kind::Paced { .. } => Stats::default(),
            };
            let total: u64 = running.delays.iter().map(|&count| u64::from(count)).sum();
            let mut below = 0;
            let slot = running.delays.iter().position(|&count| {
                below += u64::from(count);
                below * 100 >= total * 95
            });
            Outcome {
                goodput: running.received as f64 * 8.0 / seconds,
                retransmitted: stats.retransmissions as f64 / stats.packets_sent.max(1) as f64,
                stats,
                queueing_p95: Duration::from_micros(slot.unwrap_or(0) as u64 * 100),
                seconds: running
                    .per_second
                    .iter()
                    .map(|&bytes| bytes as f64 * 8.0)
                    .collect(),
            }
        };
        self.flows.into_iter().map(outcome).collect()
    }
}
