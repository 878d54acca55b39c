//! The world: one heap of (virtual time, tie-break, datagram), and the nodes between which the datagrams travel.
//!
//! Time jumps from one happening to the next. After every call into a node the world drains it and holds it to the
//! laws: no busy loop, a datagram per `poll_transmit`, no datagram over the limit. A breach is a panic.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transmit, Transport};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::datagram::nominal_size;
use crate::link::{Carried, Fate, Link, LinkState};
use crate::node::{Node, NodeId};
use crate::trace::Trace;

/// More steps than this at one moment of virtual time are a busy loop.
const MAX_STEPS_AT_ONCE: u32 = 20_000;
/// More datagrams than this from one drain are a busy loop.
const MAX_DATAGRAMS_AT_ONCE: u32 = 50_000;
/// How many of the last datagrams are remembered for replays and mutations.
const RECENT: usize = 64;

/// A moment to count virtual time from. Nothing measures real time.
#[allow(
    clippy::disallowed_methods,
    reason = "there is no other way to make an Instant; only differences are used"
)]
pub fn epoch() -> Instant {
    // Far enough from the clock's own zero for laws that step back in time.
    Instant::now() + Duration::from_secs(86_400)
}

/// How the world treats its nodes beyond what is needed. None of it may change what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manners {
    /// Calls every verb more often than needed, at times when nothing is due.
    pub spurious_calls: bool,
    /// Tells the right time first, and then makes the call that counts with a time in the past.
    pub stale_clock: bool,
}

/// A virtual network with its nodes.
#[derive(Debug)]
pub struct World<N: Node> {
    start: Instant,
    now: Instant,
    rng: StdRng,
    places: Vec<Place<N>>,
    in_flight: BinaryHeap<Reverse<Flight>>,
    sequence: u64,
    events: VecDeque<(NodeId, N::Event)>,
    trace: Trace,
    recent: VecDeque<(NodeId, Path, Vec<u8>)>,
    steps_at_once: u32,
    out: Vec<u8>,
    /// How nodes are called.
    pub manners: Manners,
    /// No node may send a larger datagram, but for a few probes of its paths (RFC 8899), which the links do not carry.
    pub max_datagram: usize,
    /// How many larger ones may be sent.
    pub max_probes: usize,
    /// How many have been.
    probes: usize,
}

/// A node and where it lives.
#[derive(Debug)]
struct Place<N> {
    node: N,
    addresses: Vec<IpAddr>,
    /// The router that everything from and to other networks passes.
    gateway: Option<NodeId>,
    uplink: LinkState,
    downlink: LinkState,
    /// When the last STUN response that nothing had changed arrived.
    answered: Option<Instant>,
}

/// A datagram on a link.
#[derive(Debug)]
struct Flight {
    at: Instant,
    tie: u32,
    sequence: u64,
    leg: Leg,
    to: NodeId,
    /// As the receiver sees it.
    path: Path,
    data: Vec<u8>,
    /// Whether no bit has flipped so far.
    intact: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leg {
    /// Behind the sender's uplink, before the receiver's downlink.
    Core,
    /// Behind both.
    Door,
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.tie, self.sequence).cmp(&(other.at, other.tie, other.sequence))
    }
}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Flight {}

impl<N: Node> World<N> {
    /// An empty world.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let start = epoch();
        Self {
            start,
            now: start,
            rng: StdRng::from_seed(seed),
            places: Vec::new(),
            in_flight: BinaryHeap::new(),
            sequence: 0,
            events: VecDeque::new(),
            trace: Trace::new(),
            recent: VecDeque::new(),
            steps_at_once: 0,
            out: Vec::new(),
            manners: Manners::default(),
            max_datagram: usize::MAX,
            probes: 0,
            max_probes: 0,
        }
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The virtual time since the world began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The world's own randomness, for scenarios.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// The record of the run.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The record of the run, to keep datagrams or add to the hash.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Puts a node into the world, with these addresses, and a link of this kind in each direction.
    pub fn add(&mut self, node: N, addresses: &[IpAddr], link: &Link) -> NodeId {
        let id = NodeId(self.places.len());
        self.places.push(Place {
            node,
            addresses: addresses.to_vec(),
            gateway: None,
            uplink: LinkState::new(link.clone(), self.now),
            downlink: LinkState::new(link.clone(), self.now),
            answered: None,
        });
        self.drain(id);
        id
    }

    /// Puts a node behind a router: only nodes behind the same router, and the router, reach it directly.
    pub fn put_behind(&mut self, node: NodeId, gateway: NodeId) {
        self.places[node.0].gateway = Some(gateway);
    }

    /// Replaces a node's addresses: its interface changed.
    pub fn readdress(&mut self, node: NodeId, addresses: &[IpAddr]) {
        self.places[node.0].addresses = addresses.to_vec();
    }

    /// The link from a node into the network.
    pub fn uplink(&mut self, node: NodeId) -> &mut Link {
        &mut self.places[node.0].uplink.link
    }

    /// The link from the network to a node.
    pub fn downlink(&mut self, node: NodeId) -> &mut Link {
        &mut self.places[node.0].downlink.link
    }

    /// A node, to look at.
    #[must_use]
    pub fn node(&self, node: NodeId) -> &N {
        &self.places[node.0].node
    }

    /// Gives a node a command, and drains it.
    pub fn command<T>(&mut self, node: NodeId, command: impl FnOnce(&mut N, Instant) -> T) -> T {
        let result = command(&mut self.places[node.0].node, self.now);
        self.drain(node);
        result
    }

    /// The last datagrams that were sent: who gets them, on which path as the receiver sees it, and their bytes.
    pub fn recent(&self) -> impl ExactSizeIterator<Item = &(NodeId, Path, Vec<u8>)> {
        self.recent.iter()
    }

    /// Hands a node a datagram that no node sent.
    pub fn inject(&mut self, to: NodeId, path: Path, data: &[u8]) {
        self.trace
            .record(self.elapsed(), path.reversed(), Fate::Injected, data);
        self.hand_over(to, path, data);
    }

    /// How long ago a STUN response reached this node unharmed.
    #[must_use]
    pub fn last_answered(&self, node: NodeId) -> Option<Duration> {
        self.places[node.0].answered.map(|at| self.now - at)
    }

    /// Whether no node waits for anything and nothing is on its way.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.in_flight.is_empty()
            && self
                .places
                .iter()
                .all(|place| place.node.poll_timeout().is_none())
    }

    /// Lets the world go on until a node reports something, but not beyond `deadline`.
    pub fn run_until(&mut self, deadline: Instant) -> Option<(NodeId, N::Event)> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let timer = self.next_timer();
            let flight = self.in_flight.peek().map(|Reverse(flight)| flight.at);
            let next = timer
                .map(|(at, _)| at)
                .into_iter()
                .chain(flight)
                .min()
                .filter(|next| *next <= deadline);
            let Some(next) = next else {
                self.advance(deadline.max(self.now));
                return None;
            };
            self.advance(next);
            match timer {
                // Timers come first, so that a datagram never finds a timer due.
                Some((at, node)) if at <= next => self.fire(node),
                _ => self.land(),
            }
        }
    }

    /// Lets the world go on for this long, and hands over what was reported.
    pub fn run_for(&mut self, duration: Duration) -> Vec<(NodeId, N::Event)> {
        let deadline = self.now + duration;
        std::iter::from_fn(|| self.run_until(deadline)).collect()
    }

    fn next_timer(&self) -> Option<(Instant, NodeId)> {
        let due =
            |(id, place): (usize, &Place<N>)| Some((place.node.poll_timeout()?.max(self.now), NodeId(id)));
        self.places.iter().enumerate().filter_map(due).min()
    }

    fn advance(&mut self, to: Instant) {
        if to > self.now {
            self.steps_at_once = 0;
            if self.manners.spurious_calls {
                let between = self.now + (to - self.now) / 2;
                self.now = between;
                for id in (0..self.places.len()).map(NodeId) {
                    self.places[id.0].node.handle_timeout(between);
                    self.drain(id);
                }
            }
            self.now = to;
        }
        self.steps_at_once += 1;
        assert!(
            self.steps_at_once < MAX_STEPS_AT_ONCE,
            "busy loop: the world does not get past {:?}",
            self.elapsed()
        );
    }

    fn fire(&mut self, id: NodeId) {
        let (now, manners) = (self.now, self.manners);
        let node = &mut self.places[id.0].node;
        node.handle_timeout(now);
        if manners.stale_clock {
            node.handle_timeout(now - Duration::from_secs(5));
        }
        self.drain(id);
        // Law 3: "After handle_timeout(t) and a full drain, poll_timeout() is None or later than t: no busy loop."
        let next = self.places[id.0].node.poll_timeout();
        assert!(
            next.is_none_or(|next| next > now),
            "busy loop: {id} wants to be called again at {:?} before now",
            next.map(|next| now - next),
        );
    }

    fn land(&mut self) {
        let Some(Reverse(flight)) = self.in_flight.pop() else {
            return;
        };
        match flight.leg {
            Leg::Core => {
                let Flight {
                    to,
                    path,
                    data,
                    intact,
                    ..
                } = flight;
                self.carry(to, Leg::Door, to, path, data, intact);
            }
            Leg::Door => {
                if flight.intact && flight.data.starts_with(&[0x01, 0x01]) {
                    self.places[flight.to.0].answered = Some(self.now);
                }
                self.trace.record(
                    self.elapsed(),
                    flight.path.reversed(),
                    Fate::Delivered,
                    &flight.data,
                );
                self.hand_over(flight.to, flight.path, &flight.data);
            }
        }
    }

    fn hand_over(&mut self, to: NodeId, path: Path, data: &[u8]) {
        let (mut now, manners) = (self.now, self.manners);
        let node = &mut self.places[to.0].node;
        if manners.stale_clock {
            node.handle_timeout(now);
            now -= Duration::from_secs(5);
        }
        node.handle_datagram(now, path, BytesMut::from(data));
        self.drain(to);
    }

    /// Takes everything that a node has to send and to say.
    fn drain(&mut self, id: NodeId) {
        let now = self.now;
        let mut sent = 0;
        loop {
            let before = sent;
            let mut out = std::mem::take(&mut self.out);
            out.clear();
            while let Some(transmit) = self.places[id.0].node.poll_transmit(now, &mut out) {
                assert!(
                    !out.is_empty(),
                    "{id} answered poll_transmit with a datagram and appended none"
                );
                self.send(id, transmit, &out);
                out.clear();
                sent += 1;
                assert!(
                    sent < MAX_DATAGRAMS_AT_ONCE,
                    "busy loop: {id} never stops sending"
                );
            }
            assert!(
                out.is_empty(),
                "{id} appended bytes and answered poll_transmit with None"
            );
            self.out = out;
            while let Some(event) = self.places[id.0].node.poll_event() {
                self.events.push_back((id, event));
            }
            if sent == before {
                break;
            }
        }
        if self.manners.spurious_calls {
            self.pester(id);
        }
    }

    /// Law 1: "Any call order is legal; extra polls change nothing."
    fn pester(&mut self, id: NodeId) {
        let now = self.now;
        let node = &mut self.places[id.0].node;
        let due = node.poll_timeout();
        assert!(
            node.poll_event().is_none(),
            "{id} reports something that it did not a moment ago"
        );
        let sent = node.poll_transmit(now, &mut self.out);
        assert!(
            sent.is_none() && self.out.is_empty(),
            "{id} sends something that it did not a moment ago"
        );
        if due.is_none_or(|due| due > now) {
            node.handle_timeout(now);
            let sent = node.poll_transmit(now, &mut self.out);
            assert!(
                sent.is_none() && self.out.is_empty(),
                "{id} sends because of a timeout that was not due"
            );
            assert_eq!(
                node.poll_timeout(),
                due,
                "{id}: a timeout that was not due moved its timer"
            );
        }
    }

    fn send(&mut self, from: NodeId, transmit: Transmit, data: &[u8]) {
        self.probes += usize::from(data.len() > self.max_datagram);
        assert!(
            data.len() <= self.max_datagram || self.probes <= self.max_probes,
            "{from} sent {} bytes on {}, more than {}",
            data.len(),
            transmit.path,
            self.max_datagram,
        );
        let Some(to) = self.route(from, transmit.path.remote.ip()) else {
            self.trace
                .record(self.elapsed(), transmit.path, Fate::Unroutable, data);
            return;
        };
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent
            .push_back((to, transmit.path.reversed(), data.to_vec()));
        self.carry(from, Leg::Core, to, transmit.path.reversed(), data.to_vec(), true);
    }

    /// Puts a datagram on the link of `place` that leads to `leg`'s end.
    fn carry(&mut self, place: NodeId, leg: Leg, to: NodeId, path: Path, mut data: Vec<u8>, intact: bool) {
        let place = &mut self.places[place.0];
        let link = if leg == Leg::Core {
            &mut place.uplink
        } else {
            &mut place.downlink
        };
        // A connection repeats what is lost and keeps the order: here it loses nothing and is never reordered.
        let carried = match path.transport {
            Transport::Udp => link.carry(self.now, nominal_size(&data), data.len(), &mut self.rng),
            _ => Carried::safely(self.now + link.link.delay),
        };
        self.trace
            .record(self.elapsed(), path.reversed(), carried.fate, &data);
        if let Some(flip) = carried.flip {
            // A fraction of the length, so that sizes that differ a little are hit in the same place.
            let bit = (u128::from(flip) * (data.len() as u128 * 8)) >> 64;
            data[bit as usize / 8] ^= 1 << (bit % 8);
        }
        let intact = intact && carried.flip.is_none();
        for at in carried.arrivals.into_iter().flatten() {
            self.sequence += 1;
            let (tie, sequence, data) = (self.rng.next_u32(), self.sequence, data.clone());
            self.in_flight.push(Reverse(Flight {
                at,
                tie,
                sequence,
                leg,
                to,
                path,
                data,
                intact,
            }));
        }
    }

    /// Who gets what `from` sends to this address.
    fn route(&self, from: NodeId, address: IpAddr) -> Option<NodeId> {
        let owner = self
            .places
            .iter()
            .position(|place| place.addresses.contains(&address))
            .map(NodeId);
        let gateway_of = |node: NodeId| self.places[node.0].gateway;
        let reachable = owner.filter(|owner| {
            let gateway = gateway_of(*owner);
            gateway.is_none() || gateway == gateway_of(from) || gateway == Some(from)
        });
        match (reachable, gateway_of(from)) {
            // From a router to those behind it.
            (Some(owner), _) if gateway_of(owner) == Some(from) => Some(owner),
            // From behind a router to the world outside.
            (Some(owner), Some(gateway)) if gateway_of(owner) != Some(gateway) => Some(gateway),
            (None, Some(gateway)) => Some(gateway),
            (reachable, _) => reachable,
        }
    }
}
