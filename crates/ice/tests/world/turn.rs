//! A TURN server of the world, and the parent that it needs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use dunlin_ice::{Config, TurnCredentials, TurnServer};
use dunlin_net::{Path, Transport};
use dunlin_stun::AddressFamily;
use dunlin_turn::server::{self, HEADROOM, RelayId, Server, TAILROOM, User};

pub const PASSWORD: &str = "the password";

/// The server, its address, and the addresses that it relays at.
pub struct Turn {
    pub address: SocketAddr,
    pub server: Server,
    pub relays: BTreeMap<RelayId, SocketAddr>,
    next_port: u16,
}

/// A datagram that leaves the server: from where, to whom.
pub type Outbound = (Path, Vec<u8>);

impl Turn {
    pub fn new(address: SocketAddr, now: Instant, change: impl FnOnce(&mut server::Config)) -> Self {
        let mut config = server::Config::default();
        config.users = vec![User {
            username: "user".to_owned(),
            password: PASSWORD.to_owned(),
        }];
        config.access.own = vec![address.ip()];
        config.ipv6 = true;
        // The world's networks are private ones.
        config.access.allowed = vec!["10.0.0.0/8".parse().unwrap(), "198.18.0.0/15".parse().unwrap()];
        change(&mut config);
        Self {
            address,
            server: Server::new(config, [77; 32], now),
            relays: BTreeMap::new(),
            next_port: 50_000,
        }
    }

    pub fn owns(&self, address: SocketAddr) -> bool {
        address == self.address || self.relays.values().any(|relayed| *relayed == address)
    }

    /// Takes what came to the listener or to a relayed address.
    pub fn deliver(&mut self, now: Instant, path: Path, data: &[u8]) -> Vec<Outbound> {
        let mut out = Vec::new();
        if path.local == self.address {
            let forward = self.server.handle_datagram(now, path, BytesMut::from(data));
            if let Some(forward) = forward
                && let Some(relayed) = self.relays.get(&forward.relay)
            {
                out.push((Path::udp(*relayed, forward.peer), forward.data.to_vec()));
            }
        } else if let Some((relay, _)) = self.relays.iter().find(|(_, at)| **at == path.local) {
            let mut buffer = vec![0; HEADROOM + data.len() + TAILROOM];
            let range = HEADROOM..HEADROOM + data.len();
            buffer[range.clone()].copy_from_slice(data);
            let sent = self
                .server
                .handle_relay(now, *relay, path.remote, &mut buffer, range);
            if let Some(sent) = sent {
                out.push((sent.transmit.path, buffer[sent.bytes].to_vec()));
            }
        }
        self.pump(now, &mut out);
        out
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Outbound> {
        let mut out = Vec::new();
        self.server.handle_timeout(now);
        self.pump(now, &mut out);
        out
    }

    fn pump(&mut self, now: Instant, out: &mut Vec<Outbound>) {
        while let Some(event) = self.server.poll_event() {
            match event {
                server::Event::OpenRelay { relay, family, .. } => {
                    self.next_port += 1;
                    let ip = match family {
                        AddressFamily::Ipv4 => self.address.ip(),
                        AddressFamily::Ipv6 => format!("2001:db8:77::{}", self.address.ip()).parse().unwrap(),
                    };
                    let relayed = SocketAddr::new(ip, self.next_port);
                    self.relays.insert(relay, relayed);
                    self.server.relay_opened(now, relay, relayed);
                }
                server::Event::CloseRelay(relay) => drop(self.relays.remove(&relay)),
                _ => {}
            }
        }
        let mut bytes = Vec::new();
        while let Some(transmit) = self.server.poll_transmit(now, &mut bytes) {
            out.push((transmit.path, std::mem::take(&mut bytes)));
        }
    }
}

/// A TURN server for a configuration.
pub fn turn_server(address: &str, transport: Transport, password: &str) -> TurnServer {
    TurnServer {
        address: address.parse().unwrap(),
        transport,
        name: None,
        credentials: TurnCredentials {
            username: "user".to_owned(),
            password: password.to_owned(),
        },
        url: format!("turn:{address}?transport={transport}"),
    }
}

/// The same, added to a configuration.
pub fn with_turn(mut config: Config, address: &str, transport: Transport) -> Config {
    config
        .turn_servers
        .push(turn_server(address, transport, PASSWORD));
    config
}
