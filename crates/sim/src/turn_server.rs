//! A TURN server: `dunlin-turn`'s, with a parent that opens relays.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};
use dunlin_turn::Server;
use dunlin_turn::server::{Config, Event, HEADROOM, RelayId, Stats, TAILROOM, User};

use crate::node::Node;

/// Datagrams that wait to be relayed; more are dropped.
const MAX_QUEUED: usize = 1024;

/// The server, which relays at its own address.
#[derive(Debug)]
pub struct TurnServer {
    listener: SocketAddr,
    server: Server,
    relays: BTreeMap<RelayId, SocketAddr>,
    port: u16,
    queue: VecDeque<(Path, Vec<u8>)>,
}

impl TurnServer {
    /// The user that it knows.
    pub const USER: &str = "user";
    /// The user's password.
    pub const PASSWORD: &str = "the password";

    /// A server that listens here, over UDP, TCP and TLS alike.
    #[must_use]
    pub fn new(listener: SocketAddr, seed: [u8; 32], now: Instant) -> Self {
        let mut config = Config::default();
        config.users = vec![User {
            username: Self::USER.to_owned(),
            password: Self::PASSWORD.to_owned(),
        }];
        config.access.own = vec![listener.ip()];
        Self {
            listener,
            server: Server::new(config, seed, now),
            relays: BTreeMap::new(),
            port: 50_000,
            queue: VecDeque::new(),
        }
    }

    /// What it has counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.server.stats()
    }

    /// The relayed addresses at the moment.
    pub fn relayed(&self) -> impl Iterator<Item = SocketAddr> {
        self.relays.values().copied()
    }

    fn push(&mut self, path: Path, data: Vec<u8>) {
        if self.queue.len() < MAX_QUEUED {
            self.queue.push_back((path, data));
        }
    }

    /// Opens and closes relays, as the server asks.
    fn obey(&mut self, now: Instant) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::OpenRelay { relay, .. } => {
                    self.port = self.port.checked_add(1).unwrap_or(50_000);
                    let relayed = SocketAddr::new(self.listener.ip(), self.port);
                    self.relays.insert(relay, relayed);
                    self.server.relay_opened(now, relay, relayed);
                }
                Event::CloseRelay(relay) => {
                    self.relays.remove(&relay);
                }
                _ => {}
            }
        }
    }
}

impl Node for TurnServer {
    type Event = Infallible;

    fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        if path.local == self.listener {
            let forward = self.server.handle_datagram(now, path, data);
            if let Some(forward) = forward
                && let Some(relayed) = self.relays.get(&forward.relay).copied()
            {
                self.push(Path::udp(relayed, forward.peer), forward.data.to_vec());
            }
        } else if let Some((relay, _)) = self.relays.iter().find(|(_, at)| **at == path.local) {
            let mut buffer = vec![0; HEADROOM + data.len() + TAILROOM];
            let range = HEADROOM..HEADROOM + data.len();
            buffer[range.clone()].copy_from_slice(&data);
            let sent = self
                .server
                .handle_relay(now, *relay, path.remote, &mut buffer, range);
            if let Some(sent) = sent {
                self.push(sent.transmit.path, buffer[sent.bytes].to_vec());
            }
        }
        self.obey(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.server.handle_timeout(now);
        self.obey(now);
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if let Some((path, data)) = self.queue.pop_front() {
            out.extend_from_slice(&data);
            return Some(Transmit::new(path));
        }
        self.server.poll_transmit(now, out)
    }

    fn poll_event(&mut self) -> Option<Infallible> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.server.poll_timeout()
    }
}
