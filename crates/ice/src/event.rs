//! What an agent has to tell.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use dunlin_net::Path;

use crate::candidate::Candidate;
use crate::relay::OpenPath;
use crate::report::FailureReport;
use crate::role::Role;
use crate::server::ServerReport;

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
    /// Datagrams go out on this path from now on: for a relayed pair, the one to the TURN server.
    SelectedPath(Path),
    /// The parent is to open a way to a TURN server, and to answer with
    /// [`relay_path_opened`](crate::Agent::relay_path_opened) or
    /// [`relay_path_failed`](crate::Agent::relay_path_failed).
    OpenPath(OpenPath),
    /// The way that was opened is not needed any more: the parent closes its connection once what was polled for it
    /// is sent. A socket that host candidates use stays.
    ClosePath(Path),
    /// The parent is to ask the local network who answers to this name, and to say so with
    /// [`name_resolved`](crate::Agent::name_resolved) or [`name_not_resolved`](crate::Agent::name_not_resolved).
    ResolveName(String),
    /// The parent is to answer the local network who asks for this name that it is this address: of this host, and hidden
    /// ([`Config::hidden_hosts`](crate::Config::hidden_hosts)).
    PublishName {
        /// A version 4 UUID and `.local`.
        name: String,
        /// What it stands for.
        address: IpAddr,
    },
    /// A name that was published is not used any more.
    WithdrawName(String),
    /// A STUN or TURN server gives nothing (any more). The session goes on with what is left.
    ServerFailed(ServerReport),
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
