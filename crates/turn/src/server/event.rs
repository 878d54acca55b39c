//! What a server asks of its parent, and tells it.

use std::net::SocketAddr;

use dunlin_net::Path;
use dunlin_stun::AddressFamily;

use super::table::Key;
use crate::attribute::{ConnectionId, RequestedTransport, ReservationToken};

/// A relay: one socket of the parent for one relayed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId(pub(super) Key);

impl RelayId {
    /// A small number, unique among the relays that exist: an index into the parent's table.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.index as usize
    }
}

/// Which port a relay is to have. The parent picks it at random (RFC 8656, section 7.2 recommends 49152 to 65535).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortPolicy {
    /// Any.
    Any,
    /// An even one.
    Even,
    /// An even one whose successor is free too: that is opened for this other relay, and its address is known by that.
    EvenAndNext(RelayId),
    /// With [`reservations_outside`](super::Config::reservations_outside): an even one whose successor is free too, which
    /// the parent keeps under this token for 30 s.
    EvenAndReserve(ReservationToken),
    /// The one that is kept under this token; if none is, the relay fails.
    Reserved(ReservationToken),
}

/// What a [`Server`](super::Server) asks of its parent, and tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Open a socket, and answer with [`relay_opened`](super::Server::relay_opened) or
    /// [`relay_failed`](super::Server::relay_failed) within ten seconds.
    OpenRelay {
        /// The relay.
        relay: RelayId,
        /// IPv4 or IPv6.
        family: AddressFamily,
        /// Its port.
        port: PortPolicy,
        /// UDP, or TCP: then listen, and let outgoing connections leave from the same address.
        transport: RequestedTransport,
    },
    /// Close it; datagrams that still come in for it are dropped.
    CloseRelay(RelayId),
    /// Connect from this relay to the peer (RFC 6062), and answer with
    /// [`peer_connected`](super::Server::peer_connected) or [`peer_failed`](super::Server::peer_failed).
    ConnectPeer {
        /// From which relayed address.
        relay: RelayId,
        /// The connection's name.
        connection: ConnectionId,
        /// To whom.
        peer: SocketAddr,
    },
    /// From here on the bytes of this client's connection and those of the peer's connection are each other's; what
    /// the peer sent before comes first.
    BindConnection {
        /// The peer's connection.
        connection: ConnectionId,
        /// The client's.
        client: Path,
    },
    /// Close both ends of this connection, if they are open.
    CloseConnection(ConnectionId),
    /// For the log: an allocation was made.
    Allocated {
        /// From where.
        client: Path,
        /// By whom.
        username: Vec<u8>,
        /// The address; that of the other family is not told.
        relayed: SocketAddr,
    },
    /// For the log: an allocation has ended.
    Released {
        /// From where it was used.
        client: Path,
        /// By whom.
        username: Vec<u8>,
        /// Why.
        reason: Release,
        /// Bytes to peers and to the client.
        bytes: [u64; 2],
    },
    /// [`drain`](super::Server::drain) has come to its end.
    Drained,
}

/// Why an allocation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The client gave it back.
    Client,
    /// The client did not refresh it.
    Expired,
    /// The client's connection was closed.
    ConnectionLost,
    /// The parent did not open a relay.
    NoRelay,
    /// The server was closed.
    Closed,
}
