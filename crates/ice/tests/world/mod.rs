//! A tiny network in virtual time: agents on addresses, links with delay and loss, address-translating NATs and a
//! STUN server.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub mod turn;

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_ice::{
    Agent, Candidate, Config, Event, FailureReport, Renomination, Role, ServerError, State, TcpFrames,
};
use dunlin_net::{Path, Transmit, Transport};
use dunlin_stun::{Class, Message, Writer};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use turn::Turn;

pub const A: usize = 0;
pub const B: usize = 1;

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[allow(clippy::disallowed_methods)]
pub fn base_instant() -> Instant {
    Instant::now()
}

pub struct Node {
    pub agent: Agent,
    pub events: Vec<Event>,
    pub states: Vec<State>,
    pub received: Vec<Vec<u8>>,
    pub failure: Option<FailureReport>,
    /// Candidates that were not signalled yet.
    pub fresh: Vec<Candidate>,
}

/// A NAT with endpoint-independent mapping; filtering by address or none.
pub struct Nat {
    inside: IpAddr,
    outside: IpAddr,
    filters: bool,
    mappings: BTreeMap<u16, u16>,
    /// Who was sent something, and may answer.
    pub contacted: BTreeSet<IpAddr>,
}

struct Flight {
    at: Instant,
    order: u64,
    path: Path,
    data: Vec<u8>,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Flight {}
impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Flight {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

pub struct World {
    pub start: Instant,
    pub now: Instant,
    pub nodes: Vec<Node>,
    pub nats: Vec<Nat>,
    /// The sockets of each node.
    pub hosts: [Vec<SocketAddr>; 2],
    pub stun_server: Option<SocketAddr>,
    pub turn: Vec<Turn>,
    /// The parents open no connections: why.
    pub no_connections: Option<ServerError>,
    /// What else the world carries besides UDP: pairs of ends.
    pub connections: Vec<Path>,
    /// TCP sockets that listen for peers.
    pub listeners: Vec<SocketAddr>,
    ports: u16,
    /// UDP does not leave these addresses.
    pub udp_blocked: BTreeSet<IpAddr>,
    pub delay: Duration,
    pub jitter: Duration,
    pub loss: f64,
    /// Ways on which datagrams vanish: from, to.
    pub mute: BTreeSet<(IpAddr, IpAddr)>,
    /// Addresses whose datagrams vanish, as source or destination.
    pub dead: BTreeSet<IpAddr>,
    /// What went over the wire: time, source, destination, bytes.
    pub log: Vec<(Duration, SocketAddr, SocketAddr, Vec<u8>)>,
    pub keep_log: bool,
    rng: StdRng,
    wire: BinaryHeap<Flight>,
    sent: u64,
    out: Vec<u8>,
}

impl World {
    pub fn new(seed: u64, configs: [Config; 2]) -> Self {
        let start = base_instant();
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let mut node_seed = bytes;
        let nodes = configs.into_iter().map(|config| {
            node_seed[31] += 1;
            Node {
                agent: Agent::new(config, node_seed, start),
                events: Vec::new(),
                states: Vec::new(),
                received: Vec::new(),
                failure: None,
                fresh: Vec::new(),
            }
        });
        World {
            start,
            now: start,
            nodes: nodes.collect(),
            nats: Vec::new(),
            hosts: [Vec::new(), Vec::new()],
            stun_server: None,
            turn: Vec::new(),
            no_connections: None,
            connections: Vec::new(),
            listeners: Vec::new(),
            ports: 30_000,
            udp_blocked: BTreeSet::new(),
            delay: ms(10),
            jitter: Duration::ZERO,
            loss: 0.0,
            mute: BTreeSet::new(),
            dead: BTreeSet::new(),
            log: Vec::new(),
            keep_log: true,
            rng: StdRng::from_seed(bytes),
            wire: BinaryHeap::new(),
            sent: 0,
            out: Vec::new(),
        }
    }

    /// A controls, B is controlled, each with one address on the same network.
    pub fn simple(seed: u64) -> Self {
        let mut world = World::new(seed, [config(Role::Controlling), config(Role::Controlled)]);
        world.add(A, "10.0.0.1:1000");
        world.add(B, "10.0.0.2:2000");
        world
    }

    /// The same with two addresses each; every pair has been found to work, and the best few are kept.
    pub fn with_two_ways() -> Self {
        let mut world = World::simple(3);
        world.add(A, "10.0.1.1:1000");
        world.add(B, "10.0.1.2:2000");
        for node in &mut world.nodes {
            node.agent.set_remote_renomination(Some(Renomination::Draft));
        }
        // All are checked before one is chosen.
        world.dead.insert(addr("10.0.0.1:1").ip());
        world.signal();
        assert!(world.run(ms(5000), World::both_completed));
        world.dead.clear();
        world.run_for(ms(10_000));
        world
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub fn add(&mut self, node: usize, address: &str) {
        self.hosts[node].push(addr(address));
        self.nodes[node]
            .agent
            .add_local_address(self.now, addr(address), Transport::Udp)
            .unwrap();
        self.drain();
    }

    /// A TCP socket that listens.
    pub fn listen(&mut self, node: usize, address: &str) {
        self.listeners.push(addr(address));
        self.nodes[node]
            .agent
            .add_local_address(self.now, addr(address), Transport::Tcp)
            .unwrap();
        self.drain();
    }

    /// Ends a connection for both ends.
    pub fn disconnect(&mut self, path: Path) {
        self.connections
            .retain(|known| *known != path && *known != path.reversed());
        for (node, path) in [(A, path), (A, path.reversed()), (B, path), (B, path.reversed())] {
            let gone = ServerError::Lost("closed".to_owned());
            self.nodes[node].agent.relay_path_lost(self.now, path, gone);
        }
        self.drain();
    }

    /// Whether a path is a connection between peers.
    fn is_to_peer(&self, path: Path) -> bool {
        let ends = [path.local, path.remote];
        path.transport == Transport::Tcp && ends.iter().any(|end| self.listeners.contains(end))
    }

    pub fn nat(&mut self, inside: &str, outside: &str, filters: bool) {
        self.nats.push(Nat {
            inside: inside.parse().unwrap(),
            outside: outside.parse().unwrap(),
            filters,
            mappings: BTreeMap::new(),
            contacted: BTreeSet::new(),
        });
    }

    /// `to` learns the credentials of `from`.
    pub fn tell_credentials(&mut self, from: usize, to: usize) {
        self.tell_credentials_lite(from, to, false);
    }

    pub fn tell_credentials_lite(&mut self, from: usize, to: usize, lite: bool) {
        let credentials = self.nodes[from].agent.local_credentials().clone();
        self.nodes[to].agent.set_remote_credentials(credentials, lite);
        self.drain();
    }

    /// `to` learns the candidates of `from` that were not told yet.
    pub fn tell_candidates(&mut self, from: usize, to: usize) {
        self.drain();
        for candidate in std::mem::take(&mut self.nodes[from].fresh) {
            let line = candidate.to_string();
            self.nodes[to]
                .agent
                .add_remote_candidate(self.now, line.parse().unwrap())
                .unwrap();
        }
        self.drain();
    }

    /// Both descriptions with all candidates so far.
    pub fn signal(&mut self) {
        self.tell_credentials(A, B);
        self.tell_candidates(A, B);
        self.tell_credentials(B, A);
        self.tell_candidates(B, A);
    }

    /// The same between agents that may refuse.
    pub fn signal_leniently(&mut self) {
        for (from, to) in [(A, B), (B, A)] {
            self.tell_credentials(from, to);
            for candidate in std::mem::take(&mut self.nodes[from].fresh) {
                let _refused = self.nodes[to].agent.add_remote_candidate(self.now, candidate);
            }
        }
        self.drain();
    }

    /// Sends application data.
    pub fn say(&mut self, node: usize, data: &[u8]) -> bool {
        let mut out = Vec::new();
        let sent = self.nodes[node].agent.send(&mut out, |out| {
            out.extend_from_slice(data);
            true
        });
        match sent {
            Some(transmit) => {
                self.transmit(transmit, out);
                true
            }
            None => false,
        }
    }

    pub fn is_done(&self, node: usize) -> bool {
        self.nodes[node].agent.state() == State::Completed
    }

    pub fn both_completed(&self) -> bool {
        self.is_done(A) && self.is_done(B)
    }

    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.run_until(end, |_| false);
        self.now = end;
    }

    /// Runs until `done` or `limit` has passed; whether `done` was reached.
    pub fn run(&mut self, limit: Duration, done: impl Fn(&World) -> bool) -> bool {
        let end = self.now + limit;
        let reached = self.run_until(end, done);
        if !reached {
            self.now = end;
        }
        reached
    }

    fn run_until(&mut self, end: Instant, done: impl Fn(&World) -> bool) -> bool {
        self.drain();
        loop {
            if done(self) {
                return true;
            }
            let timers = self.nodes.iter().filter_map(|node| node.agent.poll_timeout());
            let arrival = self.wire.peek().map(|flight| flight.at);
            let servers = self.turn.iter().filter_map(|turn| turn.server.poll_timeout());
            let Some(next) = timers
                .chain(arrival)
                .chain(servers)
                .min()
                .map(|at| at.max(self.now))
                .filter(|at| *at <= end)
            else {
                return false;
            };
            self.now = next;
            if arrival.is_some_and(|at| at <= next) {
                let flight = self.wire.pop().unwrap();
                self.deliver(flight.path, flight.data);
            } else {
                for index in 0..self.turn.len() {
                    let out = self.turn[index].handle_timeout(next);
                    self.send_all(out);
                }
                for index in 0..self.nodes.len() {
                    let agent = &mut self.nodes[index].agent;
                    if agent.poll_timeout().is_some_and(|at| at <= next) {
                        agent.handle_timeout(next);
                        self.drain();
                        // Law 3: no busy loop.
                        let after = self.nodes[index].agent.poll_timeout();
                        assert!(
                            after.is_none_or(|at| at > next),
                            "busy loop at {:?}",
                            next - self.start
                        );
                    }
                }
            }
            self.drain();
        }
    }

    /// Hands everything that the agents want to say to the network.
    pub fn drain(&mut self) {
        for index in 0..self.nodes.len() {
            loop {
                let mut out = std::mem::take(&mut self.out);
                out.clear();
                let Some(transmit) = self.nodes[index].agent.poll_transmit(self.now, &mut out) else {
                    assert!(out.is_empty(), "nothing to send, yet bytes were appended");
                    self.out = out;
                    break;
                };
                assert!(!out.is_empty() && out.len() < 600, "{} bytes", out.len());
                self.transmit(transmit, out);
            }
            while let Some(event) = self.nodes[index].agent.poll_event() {
                self.obey(index, &event);
                let node = &mut self.nodes[index];
                match &event {
                    Event::LocalCandidate(candidate) => node.fresh.push(candidate.clone()),
                    Event::State(state) => node.states.push(*state),
                    Event::Failed(report) => node.failure = Some(report.clone()),
                    _ => {}
                }
                node.events.push(event);
            }
            if self.nodes[index].agent.poll_timeout() == Some(self.now) && self.has_output(index) {
                return self.drain();
            }
        }
    }

    /// Whether obeying events made something to send.
    fn has_output(&mut self, index: usize) -> bool {
        let mut out = Vec::new();
        let transmit = self.nodes[index].agent.poll_transmit(self.now, &mut out);
        if let Some(transmit) = transmit {
            self.transmit(transmit, out);
        }
        transmit.is_some()
    }

    /// Does what an agent asks of its parent: UDP goes out by the first socket.
    fn obey(&mut self, index: usize, event: &Event) {
        let now = self.now;
        match event {
            Event::OpenPath(open) if open.peer_from.is_some() => {
                let local = open.peer_from.unwrap();
                let blocked = self.dead.contains(&local) || self.dead.contains(&open.server.ip());
                let agent = &mut self.nodes[index].agent;
                if blocked || !self.listeners.contains(&open.server) {
                    let error = ServerError::Connect("refused".to_owned());
                    return agent.relay_path_failed(now, open.id, error);
                }
                self.ports += 1;
                let path = Path {
                    local: SocketAddr::new(local, self.ports),
                    remote: open.server,
                    transport: Transport::Tcp,
                };
                self.connections.extend([path, path.reversed()]);
                agent.relay_path_opened(now, open.id, path);
            }
            Event::OpenPath(open) => {
                let host = self.hosts[index]
                    .iter()
                    .find(|host| host.is_ipv4() == open.server.is_ipv4());
                let agent = &mut self.nodes[index].agent;
                let Some(host) = host else {
                    let error = ServerError::Connect("no route".to_owned());
                    return agent.relay_path_failed(now, open.id, error);
                };
                let mut path = Path::udp(*host, open.server);
                if open.another && open.transport == Transport::Udp {
                    self.ports += 1;
                    path.local.set_port(self.ports);
                    self.hosts[index].push(path.local);
                }
                if open.transport != Transport::Udp {
                    if let Some(error) = self.no_connections.clone() {
                        return agent.relay_path_failed(now, open.id, error);
                    }
                    path.transport = open.transport;
                    self.ports += 1;
                    path.local.set_port(self.ports);
                    self.connections.push(path);
                }
                agent.relay_path_opened(now, open.id, path);
            }
            Event::ClosePath(path) => self.connections.retain(|connection| connection != path),
            _ => {}
        }
    }

    fn send_all(&mut self, out: Vec<turn::Outbound>) {
        for (path, data) in out {
            self.transmit(Transmit::new(path), data);
        }
    }

    /// Adds a TURN server.
    pub fn add_turn(&mut self, address: &str, change: impl FnOnce(&mut dunlin_turn::server::Config)) {
        self.turn.push(Turn::new(addr(address), self.start, change));
    }

    /// Puts a datagram on the wire, through the sender's NAT if it has one.
    pub fn transmit(&mut self, transmit: Transmit, data: Vec<u8>) {
        let Path {
            local: mut source,
            remote: target,
            transport,
        } = transmit.path;
        if transport != Transport::Udp {
            // A connection: nothing is lost, and the NATs in between do not matter.
            return self.fly(self.now + self.delay, transmit.path.reversed(), data);
        }
        if self.udp_blocked.contains(&source.ip()) || self.udp_blocked.contains(&target.ip()) {
            return;
        }
        if self.dead.contains(&source.ip()) || self.dead.contains(&target.ip()) {
            return;
        }
        if self.mute.contains(&(source.ip(), target.ip())) {
            return;
        }
        // Private networks behind NATs are separate.
        let private = |ip: IpAddr| self.nats.iter().any(|nat| nat.inside == ip);
        if private(target.ip()) {
            return;
        }
        if let Some(nat) = self.nats.iter_mut().find(|nat| nat.inside == source.ip()) {
            let next = 40_000 + nat.mappings.len() as u16;
            let port = *nat.mappings.entry(source.port()).or_insert(next);
            nat.contacted.insert(target.ip());
            source = SocketAddr::new(nat.outside, port);
        }
        if self.keep_log {
            self.log
                .push((self.now - self.start, source, target, data.clone()));
        }
        if self.loss > 0.0 && self.rng.random_bool(self.loss) {
            return;
        }
        let jitter = self.jitter.mul_f64(self.rng.random_range(0.0..=1.0));
        self.inject_at(self.now + self.delay + jitter, source, target, data);
    }

    /// A datagram from nowhere.
    pub fn inject(&mut self, source: SocketAddr, target: SocketAddr, data: Vec<u8>) {
        self.inject_at(self.now, source, target, data);
    }

    fn inject_at(&mut self, at: Instant, source: SocketAddr, target: SocketAddr, data: Vec<u8>) {
        self.fly(at, Path::udp(target, source), data);
    }

    fn fly(&mut self, at: Instant, path: Path, data: Vec<u8>) {
        self.sent += 1;
        let order = self.sent;
        self.wire.push(Flight {
            at,
            order,
            path,
            data,
        });
    }

    fn deliver(&mut self, mut path: Path, data: Vec<u8>) {
        if let Some(turn) = self.turn.iter_mut().find(|turn| turn.owns(path.local)) {
            let out = turn.deliver(self.now, path, &data);
            return self.send_all(out);
        }
        if Some(path.local) == self.stun_server {
            return self.answer_as_stun_server(path, &data);
        }
        if let Some(nat) = self.nats.iter().find(|nat| nat.outside == path.local.ip()) {
            let inside = nat
                .mappings
                .iter()
                .find(|(_, outside)| **outside == path.local.port());
            let Some((port, _)) = inside else { return };
            if nat.filters && !nat.contacted.contains(&path.remote.ip()) {
                return;
            }
            path.local = SocketAddr::new(nat.inside, *port);
        }
        let connected = self.connections.contains(&path);
        let mut data = data;
        if self.is_to_peer(path) {
            let mut frames = TcpFrames::default();
            frames.buffer().extend_from_slice(&data);
            data = frames.take().expect("a whole frame").to_vec();
            assert!(frames.buffer().is_empty(), "one frame for each datagram");
        }
        let owner = self.hosts.iter().position(|hosts| match path.transport {
            Transport::Udp => hosts.contains(&path.local),
            _ => connected && hosts.iter().any(|host| host.ip() == path.local.ip()),
        });
        let Some(node) = owner.map(|owner| &mut self.nodes[owner]) else {
            return;
        };
        if let Some(data) = node
            .agent
            .handle_datagram(self.now, path, BytesMut::from(&data[..]))
        {
            node.received.push(data.to_vec());
        }
    }

    fn answer_as_stun_server(&mut self, path: Path, data: &[u8]) {
        let Ok(request) = Message::parse(data) else { return };
        if request.class() == Class::Request {
            let mut out = Vec::new();
            Writer::success(&mut out, &request)
                .xor_mapped_address(path.remote)
                .fingerprint();
            self.transmit(Transmit::new(path), out);
        }
    }
}

pub fn config(role: Role) -> Config {
    let mut config = Config::default();
    config.role = role;
    config
}
