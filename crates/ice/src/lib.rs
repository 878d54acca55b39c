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
mod lifecycle;
mod nomination;
mod output;
mod pair;
mod requests;
mod role;
mod signalling;
mod stats;
mod transactions;

pub use agent::Agent;
pub use candidate::{Address, Candidate, Kind, ParseCandidateError, Protocol, TcpType};
pub use config::Config;
pub use credentials::{Credentials, CredentialsError};
pub use event::{Event, FailureReason, FailureReport, GatheringState, PairInfo, PairReport, State};
pub use filter::{RemoteFilter, Subnet};
pub use pair::Outcome;
pub use role::Role;
pub use signalling::{AddAddressError, AddCandidateError};
pub use stats::{DropReason, Drops, Stats};
