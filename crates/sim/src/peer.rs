//! Who takes part in scenarios: peer connections and the boxes between them.

use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};
use dunlin_peerconnection::{Event, PeerConnection};

use crate::nat::Nat;
use crate::node::Node;
use crate::stun_server::StunServer;

/// A participant of a scenario.
pub enum Party {
    /// A peer connection.
    Peer(Box<PeerConnection>),
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
            Party::Peer(peer) => peer,
            Party::Stun(_) | Party::Nat(_) => panic!("this is no peer"),
        }
    }
}

impl std::fmt::Debug for Party {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Party::Peer(_) => "Peer",
            Party::Stun(_) => "Stun",
            Party::Nat(_) => "Nat",
        })
    }
}

impl Node for Party {
    type Event = Event;

    fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        match self {
            Party::Peer(peer) => peer.handle_datagram(now, path, data),
            Party::Stun(server) => server.handle_datagram(now, path, data),
            Party::Nat(nat) => nat.handle_datagram(now, path, data),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Party::Peer(peer) => peer.handle_timeout(now),
            Party::Stun(server) => server.handle_timeout(now),
            Party::Nat(nat) => nat.handle_timeout(now),
        }
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        match self {
            Party::Peer(peer) => peer.poll_transmit(now, out),
            Party::Stun(server) => server.poll_transmit(now, out),
            Party::Nat(nat) => nat.poll_transmit(now, out),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        match self {
            Party::Peer(peer) => peer.poll_event(),
            Party::Stun(server) => server.poll_event().map(|never| match never {}),
            Party::Nat(nat) => nat.poll_event().map(|never| match never {}),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Party::Peer(peer) => peer.poll_timeout(),
            Party::Stun(server) => server.poll_timeout(),
            Party::Nat(nat) => nat.poll_timeout(),
        }
    }
}
