//! Requests under way: what each asks, its bytes, and when they are sent again (RFC 8489, section 6.2).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use dunlin_net::{Path, Transport};
use dunlin_stun::{Method, Retransmission, TransactionId};

use super::Config;
use crate::ChannelNumber;
use crate::attribute::ConnectionId;

/// How many challenges a request answers: one 401 and some 438.
pub(super) const MAX_CHALLENGES: u32 = 4;

/// What a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Request {
    Allocate,
    Refresh,
    Deallocate,
    /// A Refresh with our ticket, over a new path.
    Move,
    Permit(IpAddr),
    Bind(ChannelNumber, SocketAddr),
    Connect(SocketAddr),
    BindConnection(ConnectionId, Path),
}

impl Request {
    pub(super) fn method(self) -> Method {
        match self {
            Request::Allocate => Method::ALLOCATE,
            Request::Refresh | Request::Deallocate | Request::Move => Method::REFRESH,
            Request::Permit(_) => Method::CREATE_PERMISSION,
            Request::Bind(..) => Method::CHANNEL_BIND,
            Request::Connect(_) => Method::CONNECT,
            Request::BindConnection(..) => Method::CONNECTION_BIND,
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: TransactionId,
    pub(super) request: Request,
    pub(super) path: Path,
    /// The request as it was signed: a retransmission is the same bytes.
    pub(super) bytes: Vec<u8>,
    pub(super) retransmission: Retransmission,
    /// It is due.
    pub(super) send: bool,
    /// Which of our answers to challenges signed it; 0 for none.
    pub(super) signed_with: u32,
    /// Challenges that this request has met.
    pub(super) challenges: u32,
    /// An answer without integrity was dropped; its error code, or 0.
    pub(super) unauthentic: Option<u16>,
}

/// Whether requests on this path get there without being repeated.
pub(super) fn is_reliable(path: Path) -> bool {
    matches!(path.transport, Transport::Tcp | Transport::Tls)
}

/// The schedule of a request that is sent now.
pub(super) fn schedule(config: &Config, request: Request, path: Path, now: Instant) -> Retransmission {
    let rto = config.initial_rto.max(std::time::Duration::from_millis(1));
    match request {
        // Leaving is not worth 39.5 s: what is not deleted expires. Over TCP "there are no retransmissions at the STUN
        // protocol level" (RFC 8489, section 6.2.2), so that the whole time is one wait.
        Request::Deallocate if is_reliable(path) => Retransmission::reliable(now, rto.saturating_mul(7)),
        Request::Deallocate => Retransmission::with_limits(now, rto, 3, 4),
        _ if is_reliable(path) => Retransmission::reliable(now, config.reliable_timeout),
        _ => Retransmission::with_limits(now, rto, config.max_requests, config.final_wait_factor.max(1)),
    }
}
