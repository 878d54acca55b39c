//! What an agent has to tell, and what it says when it fails.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use dunlin_net::Path;

use crate::candidate::Candidate;
use crate::pair::Outcome;
use crate::role::Role;

/// What an agent has to tell.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A local candidate for the peer.
    LocalCandidate(Candidate),
    /// No more local candidates will come from the addresses that were added so far.
    GatheringComplete,
    /// The state changed.
    State(State),
    /// Datagrams go out on this path from now on.
    SelectedPath(Path),
    /// Both sides had the same role; this is ours now.
    RoleChanged(Role),
    /// There is no path (any more); comes right before `State(Failed)`.
    Failed(FailureReport),
}

/// RTCIceTransportState of the W3C's WebRTC, section 5.6.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Gathering, or waiting for remote candidates.
    New,
    /// Checking pairs; none works yet.
    Checking,
    /// A pair works; better ones may come.
    Connected,
    /// The pair is chosen.
    Completed,
    /// Nothing is heard at the moment. It may heal.
    Disconnected,
    /// There is no path. Only an ICE restart helps.
    Failed,
    /// Closed by `close`.
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::New => "new",
            State::Checking => "checking",
            State::Connected => "connected",
            State::Completed => "completed",
            State::Disconnected => "disconnected",
            State::Failed => "failed",
            State::Closed => "closed",
        })
    }
}

/// RTCIceGathererState of the W3C's WebRTC, section 5.6.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GatheringState {
    /// No address was added yet.
    New,
    /// STUN servers are being asked.
    Gathering,
    /// All candidates of the addresses so far are known.
    Complete,
}

/// The pair that is in use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairInfo<'a> {
    /// Our end, as the peer sees it.
    pub local: &'a Candidate,
    /// The peer's end.
    pub remote: &'a Candidate,
    /// The smoothed round-trip time of the checks.
    pub rtt: Option<Duration>,
    /// Both sides have agreed on the pair.
    pub nominated: bool,
}

/// Why there is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureReason {
    /// No pair was answered in time.
    NoPath,
    /// The path worked, then went silent for the consent time (RFC 7675, section 5.1).
    ConsentExpired,
    /// The path worked, then the peer said that it wants no more (RFC 7675, section 5.2).
    ConsentRevoked,
}

/// What was tried and what came back.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FailureReport {
    /// Why there is no path.
    pub reason: FailureReason,
    /// Our candidates.
    pub local: Vec<Candidate>,
    /// The peer's candidates.
    pub remote: Vec<Candidate>,
    /// What became of each pair.
    pub pairs: Vec<PairReport>,
    /// Remote candidates that were left out: names, TCP, denied by the filter.
    pub ignored_remote: u64,
    /// Requests that were refused because of their username or password.
    pub refused_requests: u64,
}

/// One pair of a [`FailureReport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairReport {
    /// Our base.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Checks sent, retransmissions included.
    pub requests_sent: u32,
    /// Answers received.
    pub responses_received: u32,
    /// The peer's checks received.
    pub requests_received: u32,
    /// What became of it.
    pub outcome: Outcome,
}

impl FailureReport {
    /// What such a failure usually means, as a sentence that a user can act on.
    #[must_use]
    pub fn explanation(&self) -> &'static str {
        let any = |f: fn(&PairReport) -> bool| self.pairs.iter().any(f);
        match self.reason {
            FailureReason::ConsentRevoked => "the peer ended the connection",
            FailureReason::ConsentExpired => {
                "the path worked and then went silent: the peer is gone, or its network changed; an ICE restart may help"
            }
            FailureReason::NoPath if self.local.is_empty() => {
                "this side has no address: no network interface was found or allowed"
            }
            FailureReason::NoPath
                if any(|pair| matches!(pair.outcome, Outcome::Refused(400..=401)))
                    || any(|pair| pair.outcome == Outcome::Unauthentic)
                    || self.refused_requests > 0 =>
            {
                "the peers reach each other but their usernames or passwords differ: one side has an old or another \
                 connection's description"
            }
            FailureReason::NoPath if self.pairs.is_empty() && self.ignored_remote > 0 => {
                "none of the peer's candidates could be used: they were names (.local), TCP, or denied by the filter"
            }
            FailureReason::NoPath if self.remote.is_empty() => {
                "the peer sent no candidate: look at the signalling"
            }
            FailureReason::NoPath if self.pairs.is_empty() => {
                "no local address has the same IP version as any of the peer's"
            }
            FailureReason::NoPath if any(|pair| pair.requests_received > 0) => {
                "the peer's checks arrive here but ours are not answered: a firewall blocks one direction"
            }
            FailureReason::NoPath => {
                "nothing came back from any of the peer's addresses: a firewall blocks UDP, or both sides are behind \
                 NATs that need a TURN server"
            }
        }
    }
}

impl fmt::Display for FailureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            FailureReason::NoPath => "no path was found",
            FailureReason::ConsentExpired => "consent expired",
            FailureReason::ConsentRevoked => "consent was revoked",
        };
        write!(f, "{reason}: {}", self.explanation())?;
        let (local, remote, pairs) = (self.local.len(), self.remote.len(), self.pairs.len());
        write!(f, " ({local} local and {remote} remote candidates, {pairs} pairs")?;
        for pair in self.pairs.iter().take(4) {
            write!(f, "; {} to {}: {}", pair.local, pair.remote, pair.outcome)?;
        }
        if pairs > 4 {
            f.write_str("; …")?;
        }
        f.write_str(")")
    }
}
