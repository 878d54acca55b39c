//! What a client has to tell, and why it ends, in words that a user can act on.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dunlin_net::Path;
use dunlin_stun::AddressFamily;
use dunlin_stun::long_term::ChallengeError;

use crate::attribute::{ConnectionId, Icmp, ReservationToken};

/// What a [`Client`](super::Client) has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The server relays for us now.
    Allocated(Allocated),
    /// Peers at this address may send to us, and we to them.
    Permitted(IpAddr),
    /// The server does not relay to this address.
    PermissionRefused {
        /// The peer.
        peer: IpAddr,
        /// Mostly 403: the server's rules forbid it. 0: its answer was not understood.
        code: u16,
    },
    /// Data to and from this peer travels with four bytes of framing from now on.
    ChannelBound(SocketAddr),
    /// There is no channel to this peer; Send indications go on.
    ChannelRefused {
        /// The peer.
        peer: SocketAddr,
        /// Mostly 403 or 508. 0: its answer was not understood.
        code: u16,
    },
    /// A datagram that the relay sent to this peer was answered with ICMP (RFC 8656, section 11.6).
    Icmp {
        /// The peer; the port is 0 where the server does not know it.
        peer: SocketAddr,
        /// What the network said.
        icmp: Icmp,
    },
    /// The allocation goes on over this path (RFC 8016).
    Moved(Path),
    /// The allocation could not be moved: it ends with the old path.
    MoveRefused(u16),
    /// The relay is connected to the peer (RFC 6062): open a connection to the server for its data, and give both to
    /// [`bind_connection`](super::Client::bind_connection) within 30 s.
    Connected {
        /// The peer.
        peer: SocketAddr,
        /// Its connection.
        connection: ConnectionId,
    },
    /// As [`Connected`](Event::Connected), but the peer asked for it.
    ConnectionAttempt {
        /// The peer.
        peer: SocketAddr,
        /// Its connection.
        connection: ConnectionId,
    },
    /// The relay could not connect to the peer.
    ConnectRefused {
        /// The peer.
        peer: SocketAddr,
        /// 403, 446 or 447. 0: its answer was not understood.
        code: u16,
    },
    /// From here on this path carries the peer's bytes and nothing else.
    ConnectionBound {
        /// The connection.
        connection: ConnectionId,
        /// The path of its data.
        path: Path,
    },
    /// This data connection was not accepted.
    ConnectionBindRefused {
        /// The connection.
        connection: ConnectionId,
        /// Mostly 400: too late.
        code: u16,
    },
    /// The client has ended.
    Closed(Failure),
}

/// An allocation, as the server describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Allocated {
    /// Where peers reach us.
    pub relayed: SocketAddr,
    /// The second such address, of the other family.
    pub additional: Option<SocketAddr>,
    /// The family that there is no address of, and the error code.
    pub missing: Option<(AddressFamily, u16)>,
    /// How the server sees us: a server-reflexive address for ICE.
    pub mapped: Option<SocketAddr>,
    /// Until the next refresh, which is the client's business.
    pub lifetime: Duration,
    /// The next port, held for 30 s.
    pub reservation: Option<ReservationToken>,
    /// Whether there is a ticket: see [`move_to`](super::Client::move_to).
    pub mobile: bool,
}

/// Why a client ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// We closed it, and the server has let go.
    #[error("closed")]
    Released,
    /// Nothing came back.
    #[error(
        "the TURN server did not answer any of {0} requests: UDP is blocked on the way, or address or port are wrong"
    )]
    NoAnswer(u32),
    /// It answered before.
    #[error("the TURN server answers no more")]
    ServerGone,
    /// The parent said so.
    #[error("the connection to the TURN server broke")]
    ConnectionLost,
    /// 401 to what our credentials signed, or 441.
    #[error("the TURN server does not accept the username and password")]
    WrongCredentials,
    /// The server's challenge must not be answered.
    #[error("the TURN server's challenge was not answered: {0}")]
    Challenge(#[from] ChallengeError),
    /// Answers came and none was authentic: somebody is tampering, or the server does not sign its errors.
    #[error("the TURN server's answers were not authentic (the last one says error {0}; 0 for none)")]
    Unauthentic(u16),
    /// 300. Make a client for that server; the same credentials are good there.
    #[error("the TURN server sends us to {server}")]
    Redirected {
        /// Where to.
        server: SocketAddr,
        /// The name that its certificate carries, over TLS and DTLS.
        domain: Option<String>,
    },
    /// 403.
    #[error("the TURN server forbids it: ask its operator")]
    Forbidden,
    /// 437 to an Allocate request: RFC 8656, section 7.4: "The client SHOULD pick another client transport address".
    #[error("the TURN server has an allocation for this address already: use another local port")]
    AddressInUse,
    /// 437 later: the server forgot us, by a restart for instance.
    #[error("the TURN server has lost the allocation: make a new one")]
    AllocationLost,
    /// 440.
    #[error("the TURN server has no relay addresses of this family")]
    FamilyNotSupported,
    /// 442.
    #[error("the TURN server does not relay over this transport")]
    TransportNotSupported,
    /// 486.
    #[error("the quota of this user is reached on the TURN server: wait a minute, or end other sessions")]
    QuotaReached,
    /// 508.
    #[error("the TURN server is full, or has no port as asked for: try again in a minute")]
    InsufficientCapacity,
    /// Another error.
    #[error("the TURN server refused with error {code} {reason:?}")]
    Refused {
        /// 300 to 699.
        code: u16,
        /// What the server says about it.
        reason: String,
    },
    /// A success without the attributes that make it one, or with some that must be understood and are not.
    #[error("the TURN server's answer was not understood")]
    NotUnderstood,
}

/// Why a command for a peer was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The client has ended.
    #[error("the client has ended")]
    Closed,
    /// There is no relayed address of the peer's family.
    #[error("the relay has no address of the peer's family")]
    Family,
    /// A bound of the [`Config`](super::Config) is reached.
    #[error("too many peers: see max_permissions and max_channels")]
    Full,
    /// The relay is connecting to this peer already, or could not within the last ten seconds.
    #[error("the relay is connecting to this peer, or could not a moment ago: wait ten seconds")]
    TooSoon,
    /// The allocation is not of the kind that this needs: TCP for connections, UDP for channels, a ticket for moving.
    #[error("the allocation is not of the kind that this needs")]
    NotSupported,
}
