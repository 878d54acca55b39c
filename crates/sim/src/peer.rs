//! Who takes part in scenarios: peer connections and the boxes between them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::{Path, Transmit, Transport};
use dunlin_peerconnection::{Event, PeerConnection};

use crate::nat::Nat;
use crate::node::Node;
use crate::stun_server::StunServer;
use crate::turn_server::TurnServer;

/// A peer connection, and what its parent does for it: it opens ways to TURN servers.
pub struct Peer {
    /// The connection.
    pub connection: PeerConnection,
    /// Its socket.
    host: SocketAddr,
    /// The local port of the last connection to a TURN server.
    port: u16,
    events: VecDeque<Event>,
}

impl Peer {
    /// A connection whose UDP goes out from `host`.
    #[must_use]
    pub fn new(connection: PeerConnection, host: SocketAddr) -> Self {
        Self {
            connection,
            host,
            port: 30_000,
            events: VecDeque::new(),
        }
    }

    fn obey(&mut self, now: Instant) {
        while let Some(event) = self.connection.poll_event() {
            let Event::OpenPath(open) = event else {
                self.events.push_back(event);
                continue;
            };
            let mut path = Path::udp(self.host, open.server);
            if open.transport != Transport::Udp {
                self.port += 1;
                path.local.set_port(self.port);
                path.transport = open.transport;
            }
            self.connection.relay_path_opened(now, open.id, path);
        }
    }
}

/// A participant of a scenario.
pub enum Party {
    /// A peer connection.
    Peer(Box<Peer>),
    /// A TURN server.
    Turn(Box<TurnServer>),
    /// A STUN server.
    Stun(StunServer),
    /// A NAT.
    Nat(Nat),
}

impl Party {
    /// The peer connection.
    ///
    /// # Panics
    /// When it is none.
    pub fn peer(&mut self) -> &mut PeerConnection {
        match self {
            Party::Peer(peer) => &mut peer.connection,
            Party::Stun(_) | Party::Nat(_) | Party::Turn(_) => panic!("this is no peer"),
        }
    }
}

impl std::fmt::Debug for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Party::Peer(_) => "Peer",
            Party::Turn(_) => "Turn",
            Party::Stun(_) => "Stun",
            Party::Nat(_) => "Nat",
        })
    }
}

impl Node for Party {
    type Event = Event;

    fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        match self {
            Party::Peer(peer) => peer.connection.handle_datagram(now, path, data),
            Party::Turn(server) => server.handle_datagram(now, path, data),
            Party::Stun(server) => server.handle_datagram(now, path, data),
            Party::Nat(nat) => nat.handle_datagram(now, path, data),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Party::Peer(peer) => peer.connection.handle_timeout(now),
            Party::Turn(server) => server.handle_timeout(now),
            Party::Stun(server) => server.handle_timeout(now),
            Party::Nat(nat) => nat.handle_timeout(now),
        }
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        match self {
            Party::Peer(peer) => {
                peer.obey(now);
                peer.connection.poll_transmit(now, out)
            }
            Party::Turn(server) => server.poll_transmit(now, out),
            Party::Stun(server) => server.poll_transmit(now, out),
            Party::Nat(nat) => nat.poll_transmit(now, out),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        match self {
            Party::Peer(peer) => {
                let event = peer.events.pop_front();
                event.or_else(|| peer.connection.poll_event())
            }
            Party::Turn(server) => server.poll_event().map(|never| match never {}),
            Party::Stun(server) => server.poll_event().map(|never| match never {}),
            Party::Nat(nat) => nat.poll_event().map(|never| match never {}),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Party::Peer(peer) => peer.connection.poll_timeout(),
            Party::Turn(server) => server.poll_timeout(),
            Party::Stun(server) => server.poll_timeout(),
            Party::Nat(nat) => nat.poll_timeout(),
        }
    }
}
