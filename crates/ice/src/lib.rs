#![doc = include_str!("../README.md")]

mod agent;
mod candidate;
mod check_list;
mod checks;
mod config;
mod consent;
mod credentials;
mod event;
mod filter;
mod gather;
mod grammar;
mod heard;
mod hiding;
mod lifecycle;
mod moments;
mod names;
mod nomination;
mod order;
mod output;
mod pair;
mod pair_stats;
mod relay;
mod relaying;
mod renomination;
mod repeats;
mod report;
mod requests;
mod role;
mod server;
mod signalling;
mod stats;
mod stun_ways;
mod tcp;
mod transactions;

/// The URIs of STUN and TURN servers (RFC 7064, 7065).
pub use dunlin_stun::uri;

pub use agent::Agent;
pub use candidate::{Address, Candidate, Kind, ParseCandidateError, Protocol, TcpType};
pub use config::Config;
pub use credentials::{Credentials, CredentialsError};
pub use event::{Event, GatheringState, PairInfo, State};
pub use filter::{RemoteFilter, Subnet};
pub use hiding::HiddenHosts;
pub use pair::Outcome;
pub use pair_stats::{CheckState, PairStats};
pub use relay::{OpenPath, RelayId, StreamFrames};
pub use renomination::Renomination;
pub use report::{FailureReason, FailureReport, PairReport, Report};
pub use role::Role;
pub use server::{
    ServerError, ServerReport, ServerState, Servers, StunServer, TransportPolicy, TurnCredentials, TurnServer,
};
pub use signalling::{AddAddressError, AddCandidateError};
pub use stats::{DropReason, Drops, Stats};
pub use tcp::TcpFrames;
