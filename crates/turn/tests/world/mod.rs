//! A server, its relays and peers, and clients, in memory and virtual time: every datagram takes 10 ms, and some are lost.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transport};
use dunlin_stun::AddressFamily;
use dunlin_stun::long_term::Credentials;
use dunlin_turn::client::{self, Client, Received};
use dunlin_turn::server::{self, HEADROOM, PortPolicy, Prefix, RelayId, Server, TAILROOM, User};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub(crate) const DELAY: Duration = Duration::from_millis(10);
pub(crate) const SERVER: &str = "203.0.113.1:3478";

pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a base to count virtual time from")]
pub(crate) fn base() -> Instant {
    Instant::now()
}

pub(crate) fn credentials(name: &str) -> Credentials {
    Credentials {
        username: name.to_owned(),
        password: format!("secret of {name}"),
    }
}

/// A client's path to the server.
pub(crate) fn path(local: &str, transport: Transport) -> Path {
    let mut path = Path::udp(at(local), at(SERVER));
    path.transport = transport;
    path
}

pub(crate) fn server_config() -> server::Config {
    let mut config = server::Config::default();
    config.realm = "example.org".to_owned();
    config.users = ["george", "paul", "ringo"]
        .map(credentials)
        .map(|credentials| User {
            username: credentials.username,
            password: credentials.password,
        })
        .into();
    config.access.own = vec![at(SERVER).ip()];
    config.ipv6 = true;
    config
}

pub(crate) fn client_config(local: &str) -> client::Config {
    client::Config::new(path(local, Transport::Udp), credentials("george"))
}

/// What is on its way, by whom it goes to.
enum Flight {
    Server(Path, Vec<u8>),
    Client(Path, Vec<u8>),
    Peer(SocketAddr, SocketAddr, Vec<u8>),
    Relay(RelayId, SocketAddr, Vec<u8>),
}

pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) server: Server,
    pub(crate) clients: Vec<Client>,
    /// What each client has received from peers.
    pub(crate) received: Vec<Vec<(SocketAddr, Vec<u8>)>>,
    pub(crate) client_events: Vec<Vec<client::Event>>,
    /// What came to peers: to whom, from which relayed address, what.
    pub(crate) at_peers: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    pub(crate) server_events: Vec<server::Event>,
    pub(crate) relays: BTreeMap<RelayId, SocketAddr>,
    /// Percent of the datagrams between clients and server that are lost.
    pub(crate) loss: u32,
    /// The parent opens no more relays.
    pub(crate) no_relays: bool,
    pub(crate) datagrams: usize,
    flights: VecDeque<(Instant, Flight)>,
    next_port: u16,
    rng: StdRng,
}

impl World {
    pub(crate) fn new(config: server::Config) -> Self {
        let now = base();
        Self {
            now,
            server: Server::new(config, [9; 32], now),
            clients: Vec::new(),
            received: Vec::new(),
            client_events: Vec::new(),
            at_peers: Vec::new(),
            server_events: Vec::new(),
            relays: BTreeMap::new(),
            loss: 0,
            no_relays: false,
            datagrams: 0,
            flights: VecDeque::new(),
            next_port: 50_000,
            rng: StdRng::seed_from_u64(5),
        }
    }

    /// Adds a client, and answers with its number.
    pub(crate) fn add(&mut self, config: client::Config) -> usize {
        let number = self.clients.len();
        self.clients
            .push(Client::new(config, [number as u8; 32], self.now));
        self.received.push(Vec::new());
        self.client_events.push(Vec::new());
        number
    }

    /// A world with one client that has its allocation.
    pub(crate) fn allocated() -> (Self, SocketAddr) {
        let mut world = Self::new(server_config());
        world.add(client_config("192.0.2.1:5000"));
        world.run(Duration::from_secs(1));
        let relayed = world.clients[0].relayed_addresses().next();
        (world, relayed.expect("an allocation"))
    }

    /// Lets a client send to a peer; answers with the size of the datagram.
    pub(crate) fn send(&mut self, client: usize, peer: SocketAddr, data: &[u8]) -> Option<usize> {
        let mut out = Vec::new();
        let transmit = self.clients[client].send(&mut out, peer, |out| {
            out.extend_from_slice(data);
            true
        })?;
        let len = out.len();
        self.fly(Flight::Server(transmit.path.reversed(), out));
        Some(len)
    }

    /// Lets a peer send to a relayed address.
    pub(crate) fn peer_sends(&mut self, peer: SocketAddr, relayed: SocketAddr, data: &[u8]) {
        let relay = self.relays.iter().find(|(_, address)| **address == relayed);
        let Some((relay, _)) = relay else { return };
        self.fly(Flight::Relay(*relay, peer, data.to_vec()));
    }

    fn fly(&mut self, flight: Flight) {
        let lossy = matches!(flight, Flight::Server(..) | Flight::Client(..));
        if lossy && self.rng.next_u32() % 100 < self.loss {
            return;
        }
        self.flights.push_back((self.now + DELAY, flight));
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for client in &mut self.clients {
            client.handle_timeout(self.now);
        }
        loop {
            self.pump();
            let mut next = self.flights.front().map(|(due, _)| *due);
            let timers = self.clients.iter().filter_map(Client::poll_timeout);
            for timer in timers.chain(self.server.poll_timeout()) {
                next = Some(next.map_or(timer, |next| next.min(timer)));
            }
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            while self.flights.front().is_some_and(|(due, _)| *due <= self.now) {
                let (_, flight) = self.flights.pop_front().unwrap();
                self.land(flight);
            }
            for client in &mut self.clients {
                client.handle_timeout(self.now);
            }
            self.server.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn pump(&mut self) {
        for index in 0..self.clients.len() {
            let mut out = Vec::new();
            while let Some(transmit) = self.clients[index].poll_transmit(self.now, &mut out) {
                self.fly(Flight::Server(transmit.path.reversed(), std::mem::take(&mut out)));
            }
            while let Some(event) = self.clients[index].poll_event() {
                self.client_events[index].push(event);
            }
            assert!(
                self.clients[index]
                    .poll_timeout()
                    .is_none_or(|due| due > self.now),
                "law 3"
            );
        }
        while let Some(event) = self.server.poll_event() {
            self.obey(&event);
            self.server_events.push(event);
        }
        let mut out = Vec::new();
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut out) {
            self.fly(Flight::Client(transmit.path.reversed(), std::mem::take(&mut out)));
        }
    }

    fn obey(&mut self, event: &server::Event) {
        match event {
            server::Event::OpenRelay { relay, .. } if self.no_relays => {
                self.server.relay_failed(self.now, *relay);
            }
            server::Event::OpenRelay {
                relay, family, port, ..
            } => {
                self.next_port += 2;
                let ip = match family {
                    AddressFamily::Ipv4 => at(SERVER).ip(),
                    AddressFamily::Ipv6 => ip("2001:db8::1"),
                };
                let address = SocketAddr::new(ip, self.next_port);
                self.relays.insert(*relay, address);
                if let PortPolicy::EvenAndNext(next) = port {
                    self.relays.insert(*next, SocketAddr::new(ip, self.next_port + 1));
                }
                self.server.relay_opened(self.now, *relay, address);
            }
            server::Event::CloseRelay(relay) => {
                self.relays.remove(relay);
            }
            _ => {}
        }
    }

    fn land(&mut self, flight: Flight) {
        self.datagrams += 1;
        match flight {
            Flight::Server(path, data) => {
                let forward = self
                    .server
                    .handle_datagram(self.now, path, BytesMut::from(&data[..]));
                if let Some(forward) = forward {
                    let from = self.relays[&forward.relay];
                    self.fly(Flight::Peer(forward.peer, from, forward.data.to_vec()));
                }
            }
            Flight::Client(path, data) => {
                let Some(index) = self.clients.iter().position(|client| client.path() == path) else {
                    // A client that moves hears on its new path too.
                    for client in &mut self.clients {
                        let _ = client.handle_datagram(self.now, path, BytesMut::from(&data[..]));
                    }
                    return;
                };
                let received = self.clients[index].handle_datagram(self.now, path, BytesMut::from(&data[..]));
                if let Received::Relayed { peer, data } = received {
                    self.received[index].push((peer, data.to_vec()));
                }
            }
            Flight::Peer(peer, from, data) => {
                let relay = self.relays.iter().find(|(_, address)| **address == peer);
                match relay.map(|(relay, _)| *relay) {
                    Some(relay) => self.fly(Flight::Relay(relay, from, data)),
                    None => self.at_peers.push((peer, from, data)),
                }
            }
            Flight::Relay(relay, from, data) => {
                let mut buffer = vec![0xEE; HEADROOM + data.len() + TAILROOM];
                let range = HEADROOM..HEADROOM + data.len();
                buffer[range.clone()].copy_from_slice(&data);
                let sent = self
                    .server
                    .handle_relay(self.now, relay, from, &mut buffer, range);
                if let Some(sent) = sent {
                    let bytes = buffer[sent.bytes].to_vec();
                    self.fly(Flight::Client(sent.transmit.path.reversed(), bytes));
                }
            }
        }
    }

    /// The events of a client that were not looked at yet.
    pub(crate) fn events(&mut self, client: usize) -> Vec<client::Event> {
        self.pump();
        std::mem::take(&mut self.client_events[client])
    }
}

/// Allows a range.
pub(crate) fn allow(config: &mut server::Config, prefix: &str) {
    let prefix: Prefix = prefix.parse().unwrap();
    config.access.allowed.push(prefix);
}
