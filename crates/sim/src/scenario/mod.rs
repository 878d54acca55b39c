//! Scenarios: a seed and a script. A scenario draws all that it does from its seed, panics when an oracle is not
//! content, and leaves the world behind to be looked at.

mod connect_and_talk;
mod ledger;
pub mod nat;
pub mod nat_table;
mod plan;

pub use connect_and_talk::connect_and_talk;
pub use plan::Plan;

use std::time::Duration;

use crate::trace::TraceHash;

/// What a scenario that went well has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The hash of its trace: two runs of one seed agree on it.
    pub hash: TraceHash,
    /// After what virtual time both sides were connected.
    pub connected: Duration,
    /// How much virtual time the whole took.
    pub elapsed: Duration,
    /// Messages that arrived.
    pub messages: u64,
    /// Datagrams that were sent.
    pub datagrams: u64,
}
