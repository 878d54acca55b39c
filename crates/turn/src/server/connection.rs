//! TCP allocations (RFC 6062): the names of connections between relays and peers, until a client's connection takes
//! their bytes over. The bytes themselves are the parent's business.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dunlin_net::{Path, Transport};
use dunlin_stun::{Class, Message, Method, TransactionId, Writer, code as stun_code};
use rand::Rng;

use super::event::{Event, RelayId};
use super::relay::Owner;
use super::request::{Origin, Session};
use super::{Key, Server, Timer};
use crate::attribute::{ConnectionId, RequestedTransport};
use crate::code;

/// RFC 6062, sections 5.2 and 5.3: the time-out of a connection attempt "MUST be at least 30 seconds", and "If no
/// ConnectionBind request [...] is received after 30 seconds, the peer data connection MUST be closed."
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection between a relay and a peer.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) allocation: Key,
    peer: SocketAddr,
    expires: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The parent connects for this Connect request.
    Connecting(Box<(Origin, Session)>),
    /// It is there; the client's connection is not yet.
    Waiting,
    /// Both are there.
    Bound(Path),
}

impl Server {
    /// RFC 6062, section 5.2.
    pub(super) fn connect(&mut self, origin: Origin, request: &Message<'_>, session: Session) {
        match self.check_connect(origin, request, &session) {
            Ok((key, relay, peer)) => {
                let state = State::Connecting(Box::new((origin, session)));
                let connection = self.add_connection(key, peer, state);
                self.events.push_back(Event::ConnectPeer {
                    relay,
                    connection,
                    peer,
                });
            }
            Err(code) => self.refuse(origin, &session, code),
        }
    }

    fn check_connect(
        &mut self,
        origin: Origin,
        request: &Message<'_>,
        session: &Session,
    ) -> Result<(Key, RelayId, SocketAddr), u16> {
        let key = self.own_allocation(origin, session)?;
        let allocation = self.allocations.get(key).ok_or(code::ALLOCATION_MISMATCH)?;
        let (connections, transport) = (allocation.connections, allocation.transport);
        let peer = request.xor_peer_address().ok_or(stun_code::BAD_REQUEST)?;
        let relay = allocation
            .relay_for(peer.ip())
            .ok_or(code::PEER_ADDRESS_FAMILY_MISMATCH)?;
        if transport != RequestedTransport::TCP {
            return Err(stun_code::BAD_REQUEST);
        }
        if self.check_peer(key, peer.ip())? && !self.is_own_relay(peer) {
            self.stats.peers_refused += 1;
            return Err(code::FORBIDDEN);
        }
        let mut connected = self.connections.values();
        if connected.any(|connection| connection.allocation == key && connection.peer == peer) {
            return Err(code::CONNECTION_ALREADY_EXISTS);
        }
        if connections >= self.config.max_connections || self.events.len() >= self.config.max_events {
            return Err(code::INSUFFICIENT_CAPACITY);
        }
        Ok((key, relay, peer))
    }

    /// The parent has connected to the peer. What the peer sends is kept until
    /// [`BindConnection`](Event::BindConnection).
    pub fn peer_connected(&mut self, now: Instant, connection: ConnectionId) {
        self.now = self.now.max(now);
        let Some(found) = self.connections.get_mut(&connection) else {
            // The allocation has ended; the event that says so is under way.
            return;
        };
        let State::Connecting(asked) = std::mem::replace(&mut found.state, State::Waiting) else {
            return;
        };
        self.set_patience(connection);
        let (origin, session) = *asked;
        self.stats.granted += 1;
        self.reply(origin, &session, None, |writer| connection.write(writer));
    }

    /// The parent could not connect to the peer.
    pub fn peer_failed(&mut self, now: Instant, connection: ConnectionId) {
        self.now = self.now.max(now);
        if let Some(removed) = self.remove_connection(connection)
            && let State::Connecting(asked) = removed.state
        {
            self.refuse(asked.0, &asked.1, code::CONNECTION_TIMEOUT_OR_FAILURE);
        }
    }

    /// A peer has connected to a relay. `None`: close its connection; else keep what it sends, as for
    /// [`peer_connected`](Self::peer_connected).
    #[must_use]
    pub fn peer_accepted(&mut self, now: Instant, relay: RelayId, peer: SocketAddr) -> Option<ConnectionId> {
        self.now = self.now.max(now);
        let Owner::Allocation(key) = self.relays.get(relay.0)?.owner else {
            return None;
        };
        let allocation = self.allocations.get(key)?;
        // "If no permission for this peer has been installed for this allocation, the server MUST close the
        // connection with the peer immediately after it has been accepted."
        let full = allocation.connections >= self.config.max_connections;
        if !allocation.permits(peer.ip(), self.now) || full {
            return None;
        }
        let client = allocation.client;
        let connection = self.add_connection(key, peer, State::Waiting);
        let id = TransactionId::random(&mut self.rng);
        self.outbox.push(client, |out| {
            let mut writer = Writer::new(out, Class::Indication, Method::CONNECTION_ATTEMPT, id);
            writer.xor_peer_address(peer);
            connection.write(&mut writer);
        });
        Some(connection)
    }

    /// How many of `bytes` bytes that one side of a bound connection has sent may be carried to the other now: all, but for
    /// [`Config::max_bytes_per_second`](super::Config::max_bytes_per_second). They count as carried; the parent keeps the
    /// others and asks again a moment later. `None`: the connection is gone.
    #[must_use]
    pub fn carry(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        to_peer: bool,
        bytes: usize,
    ) -> Option<usize> {
        self.now = self.now.max(now);
        let key = self.connections.get(&connection)?.allocation;
        let allocation = self.allocations.get_mut(key)?;
        let direction = usize::from(!to_peer);
        let carried = match self.config.max_bytes_per_second {
            Some(rate) => allocation.buckets[direction].take_some(bytes, rate, self.now),
            None => bytes,
        };
        allocation.bytes[direction] += carried as u64;
        match to_peer {
            true => self.stats.bytes_to_peers += carried as u64,
            false => self.stats.bytes_to_clients += carried as u64,
        }
        Some(carried)
    }

    /// A connection with a peer, or its client's data connection, was closed.
    pub fn connection_closed(&mut self, now: Instant, connection: ConnectionId) {
        self.now = self.now.max(now);
        self.remove_connection(connection);
    }

    /// RFC 6062, section 5.4.
    pub(super) fn connection_bind(&mut self, origin: Origin, request: &Message<'_>, session: &Session) {
        match self.check_connection_bind(origin, request, session) {
            Ok(connection) => {
                self.stats.granted += 1;
                self.reply(origin, session, None, |writer| connection.write(writer));
                let client = origin.path;
                self.events
                    .push_back(Event::BindConnection { connection, client });
            }
            Err(code) => self.refuse(origin, session, code),
        }
    }

    /// Whom the nonce of a ConnectionBind request may have been given to, beside its sender: the client's other connection
    /// from the same address, by which it asked for this one. Clients go on with the nonce that they have.
    pub(super) fn control_of(&self, path: Path, request: &Message<'_>) -> Option<SocketAddr> {
        if request.method() != Method::CONNECTION_BIND {
            return None;
        }
        let connection = self.connections.get(&ConnectionId::read(request)?)?;
        let client = self.allocations.get(connection.allocation)?.client.remote;
        (client.ip() == path.remote.ip()).then_some(client)
    }

    fn check_connection_bind(
        &mut self,
        origin: Origin,
        request: &Message<'_>,
        session: &Session,
    ) -> Result<ConnectionId, u16> {
        let stream = matches!(origin.path.transport, Transport::Tcp | Transport::Tls);
        // RFC 6062, section 4.3: "This connection MUST be made using a different local transport address" than a control
        // connection, which would be lost for requests.
        let stream = stream && self.by_client.get(&origin.path).is_none();
        let connection = ConnectionId::read(request).filter(|_| stream);
        let connection = connection.ok_or(stun_code::BAD_REQUEST)?;
        let found = self.connections.get_mut(&connection);
        let found = found.filter(|found| matches!(found.state, State::Waiting));
        let found = found.ok_or(stun_code::BAD_REQUEST)?;
        let owner = self
            .allocations
            .get(found.allocation)
            .ok_or(stun_code::BAD_REQUEST)?;
        if owner.username != session.username {
            return Err(code::WRONG_CREDENTIALS);
        }
        self.timers
            .remove(&(found.expires, Timer::Connection(connection)));
        found.state = State::Bound(origin.path);
        Ok(connection)
    }

    /// Nobody came for it, or the peer did not answer.
    pub(super) fn connection_expired(&mut self, connection: ConnectionId) {
        self.events.push_back(Event::CloseConnection(connection));
        let now = self.now;
        self.peer_failed(now, connection);
    }

    pub(super) fn close_connections_of(&mut self, key: Key) {
        let ours = self
            .connections
            .iter()
            .filter(|(_, found)| found.allocation == key);
        let ours: Vec<ConnectionId> = ours.map(|(connection, _)| *connection).collect();
        for connection in ours {
            self.remove_connection(connection);
            self.events.push_back(Event::CloseConnection(connection));
        }
    }

    /// "When a client data connection is closed, the server MUST close the corresponding peer data connection."
    pub(super) fn client_connection_closed(&mut self, path: Path) {
        let bound = |found: &Connection| matches!(found.state, State::Bound(client) if client == path);
        let mut connections = self.connections.iter();
        let closed = connections
            .find(|(_, found)| bound(found))
            .map(|(connection, _)| *connection);
        if let Some(connection) = closed {
            self.remove_connection(connection);
            self.events.push_back(Event::CloseConnection(connection));
        }
    }

    fn add_connection(&mut self, allocation: Key, peer: SocketAddr, state: State) -> ConnectionId {
        let (this, of) = (self.config.instance.0, self.config.instance.1.max(1));
        let start = (self.rng.next_u32() / of).saturating_sub(1) * of;
        let mut connection = ConnectionId(start + this % of);
        while self.connections.contains_key(&connection) {
            connection.0 = connection.0.checked_add(of).unwrap_or(this % of);
        }
        let expires = self.now;
        self.connections.insert(
            connection,
            Connection {
                allocation,
                peer,
                expires,
                state,
            },
        );
        if let Some(allocation) = self.allocations.get_mut(allocation) {
            allocation.connections += 1;
        }
        self.set_patience(connection);
        connection
    }

    fn set_patience(&mut self, connection: ConnectionId) {
        if let Some(found) = self.connections.get_mut(&connection) {
            self.timers
                .remove(&(found.expires, Timer::Connection(connection)));
            found.expires = self.now + PATIENCE;
            self.timers.insert((found.expires, Timer::Connection(connection)));
        }
    }

    fn remove_connection(&mut self, connection: ConnectionId) -> Option<Connection> {
        let removed = self.connections.remove(&connection)?;
        self.timers
            .remove(&(removed.expires, Timer::Connection(connection)));
        if let Some(allocation) = self.allocations.get_mut(removed.allocation) {
            allocation.connections -= 1;
        }
        Some(removed)
    }
}
