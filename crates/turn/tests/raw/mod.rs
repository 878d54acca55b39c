//! A raw client, which asks a server whatever it likes. Every answer must be signed.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dunlin_net::{Path, Transport};
use dunlin_stun::long_term::Authenticator;
use dunlin_stun::{AddressFamily, Class, Message, Method, TransactionId, Writer, attribute};
use dunlin_turn::attribute::{AdditionalAddressFamily, ConnectionId, Lifetime, RequestedTransport};
use dunlin_turn::server::{Config, Event, PortPolicy, RelayId, Server, Stats};

use crate::world::{SERVER, at, base, credentials, ip, path};

pub(crate) const HOME: &str = "192.0.2.1:5000";
pub(crate) const PEER: &str = "198.51.100.7:7000";
pub(crate) const PEER6: &str = "[2001:db8:1::7]:7000";

pub(crate) type Write<'a> = &'a dyn Fn(&mut Writer<'_>);

/// A server, and whoever asks it.
pub(crate) struct Raw {
    pub(crate) server: Server,
    pub(crate) now: Instant,
    pub(crate) user: &'static str,
    pub(crate) ids: u32,
    pub(crate) relays: Vec<RelayId>,
    pub(crate) connections: Vec<ConnectionId>,
    pub(crate) events: Vec<Event>,
    /// The family of relays that the parent cannot open.
    pub(crate) no_sockets: Option<AddressFamily>,
}

/// An answer: its error code, if it is one, and its bytes.
pub(crate) struct Answer {
    pub(crate) code: Option<u16>,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).unwrap()
    }
}

impl Raw {
    pub(crate) fn new(config: Config) -> Self {
        let now = base();
        Self {
            server: Server::new(config, [9; 32], now),
            now,
            user: "george",
            ids: 0,
            relays: Vec::new(),
            connections: Vec::new(),
            events: Vec::new(),
            no_sockets: None,
        }
    }

    /// With an allocation at HOME.
    pub(crate) fn allocated(config: Config, write: Write<'_>) -> Self {
        let mut raw = Self::new(config);
        assert_eq!(raw.ask(home(), Method::ALLOCATE, write).code, None);
        raw
    }

    pub(crate) fn id(&mut self) -> TransactionId {
        self.ids += 1;
        let mut id = [3; 12];
        id[..4].copy_from_slice(&self.ids.to_be_bytes());
        TransactionId(id)
    }

    /// Asks with a fresh nonce; there must be an answer.
    pub(crate) fn ask(&mut self, path: Path, method: Method, write: Write<'_>) -> Answer {
        let id = self.id();
        self.ask_as(id, path, method, write).expect("an answer")
    }

    pub(crate) fn ask_as(
        &mut self,
        id: TransactionId,
        path: Path,
        method: Method,
        write: Write<'_>,
    ) -> Option<Answer> {
        let mut out = Vec::new();
        Writer::new(&mut out, Class::Request, method, self.id());
        let challenge = self.exchange(path, &out).expect("a challenge");
        let auth =
            Authenticator::answer(&credentials(self.user), &Message::parse(&challenge).unwrap()).unwrap();
        out.clear();
        let mut writer = Writer::new(&mut out, Class::Request, method, id);
        write(&mut writer);
        auth.authenticate(&mut writer);
        let bytes = self.exchange(path, &out)?;
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(auth.verify(&message), Ok(()), "it is signed");
        assert_eq!((message.method(), message.transaction_id()), (method, id));
        let code = message.error_code().map(|error| error.code);
        assert_eq!(code.is_some(), message.class() == Class::Error);
        Some(Answer { code, bytes })
    }

    /// Hands a packet in, obeys the server, and takes the answer out.
    pub(crate) fn exchange(&mut self, path: Path, packet: &[u8]) -> Option<Vec<u8>> {
        let forward = self.server.handle_packet(self.now, path.reversed(), packet);
        assert_eq!(forward, None);
        self.obey();
        let mut out = Vec::new();
        self.server.poll_transmit(self.now, &mut out).map(|transmit| {
            assert_eq!(transmit.path, path.reversed());
            out
        })
    }

    pub(crate) fn obey(&mut self) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::OpenRelay { relay, family, .. } if self.no_sockets == Some(family) => {
                    self.server.relay_failed(self.now, relay);
                }
                Event::OpenRelay {
                    relay, family, port, ..
                } => {
                    let ip = match family {
                        AddressFamily::Ipv4 => at(SERVER).ip(),
                        AddressFamily::Ipv6 => ip("2001:db8::1"),
                    };
                    self.relays.push(relay);
                    if let PortPolicy::EvenAndNext(next) = port {
                        self.relays.push(next);
                    }
                    let address = SocketAddr::new(ip, 50_000 + 2 * self.relays.len() as u16);
                    self.server.relay_opened(self.now, relay, address);
                }
                Event::ConnectPeer { connection, .. } => self.connections.push(connection),
                event => self.events.push(event),
            }
        }
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.server.handle_timeout(self.now);
        self.obey();
    }

    /// What a packet of data is counted as, when it goes nowhere.
    pub(crate) fn data(&mut self, path: Path, packet: &[u8]) -> Fate {
        let before = self.server.stats();
        let forward = self.server.handle_packet(self.now, path.reversed(), packet);
        assert!(
            self.server.poll_transmit(self.now, &mut Vec::new()).is_none(),
            "no answer"
        );
        match forward {
            Some(forward) => {
                Fate::Forwarded(forward.peer, packet[forward.data].to_vec(), forward.dont_fragment)
            }
            None => fate(before, self.server.stats()),
        }
    }

    pub(crate) fn send(&mut self, write: Write<'_>) -> Fate {
        let mut out = Vec::new();
        write(&mut Writer::new(
            &mut out,
            Class::Indication,
            Method::SEND,
            TransactionId([1; 12]),
        ));
        self.data(home(), &out)
    }
}

/// What became of data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Forwarded(SocketAddr, Vec<u8>, bool),
    Malformed,
    NoAllocation,
    NoPermission,
    Refused,
}

pub(crate) fn fate(before: Stats, after: Stats) -> Fate {
    let counted = [
        (before.dropped_malformed, after.dropped_malformed, Fate::Malformed),
        (
            before.dropped_no_allocation,
            after.dropped_no_allocation,
            Fate::NoAllocation,
        ),
        (
            before.dropped_no_permission,
            after.dropped_no_permission,
            Fate::NoPermission,
        ),
        (before.peers_refused, after.peers_refused, Fate::Refused),
    ];
    let mut counted = counted.into_iter().filter(|(before, after, _)| after > before);
    let (.., fate) = counted.next().expect("it is counted");
    assert!(counted.next().is_none(), "it is counted once");
    fate
}

pub(crate) fn home() -> Path {
    path(HOME, Transport::Udp)
}

pub(crate) fn tcp(local: &str) -> Path {
    path(local, Transport::Tcp)
}

pub(crate) fn udp(writer: &mut Writer<'_>) {
    RequestedTransport::UDP.write(writer);
}

pub(crate) fn over_tcp(writer: &mut Writer<'_>) {
    RequestedTransport::TCP.write(writer);
}

pub(crate) fn dual(writer: &mut Writer<'_>) {
    udp(writer);
    AdditionalAddressFamily(Ok(AddressFamily::Ipv6)).write(writer);
}

pub(crate) fn lifetime(seconds: u64) -> Lifetime {
    Lifetime(Duration::from_secs(seconds))
}

pub(crate) fn peer(writer: &mut Writer<'_>, peer: &str) {
    writer.xor_peer_address(at(peer));
}

pub(crate) fn bind(writer: &mut Writer<'_>, number: u16, to: &str) {
    let [a, b] = number.to_be_bytes();
    writer.attribute(attribute::CHANNEL_NUMBER, &[a, b, 0, 0]);
    peer(writer, to);
}
