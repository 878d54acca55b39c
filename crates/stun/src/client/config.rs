//! What a client is told at its start, what it tells, and what it counts.

use std::net::SocketAddr;
use std::time::Duration;

use dunlin_net::Path;

use crate::long_term::{ChallengeError, Credentials};
use crate::transaction::Retransmission;

/// What a [`Client`](super::Client) is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// From our socket to the server, and over what.
    pub path: Path,
    /// Milliseconds matter: the first retransmission interval. Default 500 ms, the least that RFC 8489, section 6.2.1
    /// allows over the Internet.
    pub initial_rto: Duration,
    /// Rc: requests sent before giving up. Default 7 (RFC 8489, section 6.2.1).
    pub max_requests: u32,
    /// Rm: RTOs to wait after the last request. Default 16 (RFC 8489, section 6.2.1).
    pub final_wait_factor: u32,
    /// Ti: how long to wait for an answer over TCP and TLS. Default 39.5 s (RFC 8489, section 6.2.2).
    pub reliable_timeout: Duration,
    /// Asks again this long after each answer, which keeps a NAT's binding and notices a new address. Default 15 s
    /// (RFC 8445, section 11: "Tr SHOULD be configurable and SHOULD have a default of 15 seconds"). `None`: ask once.
    pub refresh: Option<Duration>,
    /// What to answer a server that asks who we are (RFC 8489, section 9.2). Default: nothing, its 401 is a refusal.
    pub credentials: Option<Credentials>,
}

impl Config {
    /// The defaults for a server at the far end of `path`.
    #[must_use]
    pub fn new(path: Path) -> Self {
        Self {
            path,
            initial_rto: Retransmission::MIN_RTO,
            max_requests: Retransmission::MAX_REQUESTS,
            final_wait_factor: Retransmission::FINAL_WAIT_FACTOR,
            reliable_timeout: Retransmission::RELIABLE_TIMEOUT,
            refresh: Some(Duration::from_secs(15)),
            credentials: None,
        }
    }
}

/// What a [`Client`](super::Client) has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The socket's address as the server sees it: the first time, and whenever it changes.
    MappedAddress(SocketAddr),
    /// There is no answer to be had. The client has ended.
    Failed(Failure),
}

/// Why a [`Client`](super::Client) ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// All requests stayed without an answer: no such server, or UDP is blocked.
    #[error("the STUN server did not answer any of {0} requests; is UDP blocked, or the address wrong?")]
    Timeout(u32),
    /// The server refused.
    #[error("the STUN server refused with error {0}")]
    Refused(u16),
    /// The credentials are wrong, or there are none and the server wants some.
    #[error("the STUN server does not accept the username and password")]
    WrongCredentials,
    /// The server's challenge must not be answered.
    #[error("the STUN server's challenge was not answered: {0}")]
    Challenge(#[from] ChallengeError),
    /// The server asks to use another one (RFC 8489, section 10). The client does not follow by itself.
    #[error("the STUN server sends us to {0}")]
    Redirected(SocketAddr),
    /// Answers came, but none was authentic.
    #[error("the STUN server's answers were not authentic: is somebody tampering?")]
    Tampered,
    /// The answer had no address, or attributes that must be understood and are not.
    #[error("the STUN server's answer was not understood")]
    NotUnderstood,
}

/// What a [`Client`](super::Client) has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Requests sent, retransmissions included.
    pub requests_sent: u64,
    /// Responses that ended a transaction.
    pub responses_received: u64,
    /// Dropped: it came on another path.
    pub dropped_other_path: u64,
    /// Dropped: not a STUN message, or its fingerprint is wrong.
    pub dropped_malformed: u64,
    /// Dropped: not the response to the request under way.
    pub dropped_unexpected: u64,
    /// Dropped: a response without the message integrity that our credentials make.
    pub dropped_unauthentic: u64,
    /// The last round-trip time that was measured.
    pub round_trip: Option<Duration>,
}
