//! What takes part in a world: anything with the contract's five verbs.

use std::fmt;
use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};

/// A participant. The verbs mean what they mean in every crate of dunlin; a crate that rides on a path is wrapped
/// in a struct that knows its path.
pub trait Node {
    /// What it reports to the scenario.
    type Event: fmt::Debug;

    /// Takes a datagram. `path.local` is where it arrived, `path.remote` where it came from.
    fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut);
    /// Lets time pass.
    fn handle_timeout(&mut self, now: Instant);
    /// Appends one datagram to `out`, or nothing.
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit>;
    /// What happened.
    fn poll_event(&mut self) -> Option<Self::Event>;
    /// When it wants to be called again.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// A participant of a world, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub(crate) usize);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}
