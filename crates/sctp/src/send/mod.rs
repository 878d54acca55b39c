//! The sending half: messages wait in [`queue`], where [`scheduler`] says which stream is next, sent chunks in
//! [`outstanding`]; [`congestion`] says how many bytes
//! may be under way, fed by [`delivery`], [`pacer`] spreads them over time, [`rack`] tells what was lost, and [`rto`]
//! how long to wait for an answer.

pub(crate) mod congestion;
pub(crate) mod delivery;
pub(crate) mod hystart;
pub(crate) mod outstanding;
pub(crate) mod pacer;
pub(crate) mod queue;
pub(crate) mod rack;
pub(crate) mod rto;
pub(crate) mod scheduler;

use std::time::{Duration, Instant};

/// How a message is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SendOptions {
    /// Deliver it when it arrives, whatever came before. Default: in order within its stream.
    pub unordered: bool,
    /// How hard to try.
    pub reliability: Reliability,
}

/// How hard to try to deliver a message (RFC 3758, RFC 7496). Where the peer does not know partial reliability,
/// every message that has begun to be sent is reliable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reliability {
    /// Until it arrives or the association ends.
    #[default]
    Reliable,
    /// Give up when a fragment would have to be sent again more often than this.
    MaxRetransmits(u16),
    /// Give up when this much time has passed since it was handed over.
    MaxLifetime(Duration),
}

/// [`Reliability`] of a message that waits or is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    None,
    Retransmits(u16),
    Expires(Instant),
}

impl Limit {
    pub(crate) fn new(reliability: Reliability, now: Instant) -> Self {
        match reliability {
            Reliability::Reliable => Limit::None,
            Reliability::MaxRetransmits(count) => Limit::Retransmits(count),
            Reliability::MaxLifetime(lifetime) => {
                now.checked_add(lifetime).map_or(Limit::None, Limit::Expires)
            }
        }
    }

    pub(crate) fn has_expired(self, now: Instant) -> bool {
        matches!(self, Limit::Expires(at) if at <= now)
    }

    /// Whether a chunk that was transmitted so often must not be transmitted again.
    pub(crate) fn forbids_another(self, transmissions: u16, now: Instant) -> bool {
        match self {
            Limit::None => false,
            Limit::Retransmits(max) => transmissions > max,
            Limit::Expires(at) => at <= now,
        }
    }
}
