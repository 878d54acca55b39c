//! What an agent counts.

use std::fmt;

/// Why something that came in was dropped or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// A datagram for an address that was never added.
    UnknownLocalAddress,
    /// Looks like STUN and is not well-formed.
    Malformed,
    /// A STUN message of another method than Binding.
    UnknownMethod,
    /// No FINGERPRINT, or a wrong one.
    Fingerprint,
    /// A request without USERNAME or integrity.
    Unauthenticated,
    /// A request for another username fragment: an old generation, or a stranger.
    UnknownUfrag,
    /// A request whose integrity does not fit our password.
    WrongPassword,
    /// A request with attributes that must be understood and are not.
    UnknownAttribute,
    /// A request without PRIORITY for a pair that is not known.
    NoPriority,
    /// A response to a request that nobody waits for.
    UnknownTransaction,
    /// A response whose integrity does not fit the peer's password.
    ForgedResponse,
    /// A success response without XOR-MAPPED-ADDRESS.
    NoMappedAddress,
    /// Data on a path on which the peer has not proved itself.
    DataWithoutConsent,
    /// Anything after `close` or after failing.
    NotRunning,
    /// A check beyond the bound of those that come before the peer's description.
    TooManyEarlyChecks,
    /// A peer-reflexive candidate beyond the bound.
    TooManyPeerReflexive,
    /// A pair beyond the bound.
    TooManyPairs,
    /// A request that could not be sent because too many wait for answers.
    TooManyTransactions,
    /// A datagram beyond the bound of those that wait to be sent.
    QueueFull,
    /// An event beyond the bound of those that wait to be polled.
    EventsFull,
    /// A remote candidate whose address is a name.
    CandidateName,
    /// A remote candidate of TCP or another protocol.
    CandidateProtocol,
    /// A remote candidate of another component than 1.
    CandidateComponent,
    /// A remote candidate that was known already.
    CandidateDuplicate,
    /// A remote candidate (or the address of a check) that the filter denies.
    CandidateDenied,
    /// A remote candidate of another generation.
    CandidateGeneration,
    /// A remote candidate beyond the bound.
    TooManyCandidates,
}

impl DropReason {
    const COUNT: usize = DropReason::TooManyCandidates as usize + 1;
}

/// A counter for each reason to drop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Drops([u64; DropReason::COUNT]);

impl Drops {
    /// How often this happened.
    #[must_use]
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// How often any of them happened.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }
}

impl Default for Drops {
    fn default() -> Self {
        Self([0; DropReason::COUNT])
    }
}

impl fmt::Debug for Drops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Drops({})", self.total())
    }
}

/// What an agent has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Connectivity checks sent, retransmissions included.
    pub checks_sent: u64,
    /// Consent checks sent.
    pub consent_checks_sent: u64,
    /// Authentic requests received.
    pub requests_received: u64,
    /// Success responses sent.
    pub responses_sent: u64,
    /// Error responses sent.
    pub errors_sent: u64,
    /// Authentic responses received, errors included.
    pub responses_received: u64,
    /// Datagrams that the application sent and received on a path.
    pub datagrams_sent: u64,
    /// Datagrams that were handed to the application.
    pub datagrams_received: u64,
    /// Bytes of `datagrams_sent`.
    pub bytes_sent: u64,
    /// Bytes of `datagrams_received`.
    pub bytes_received: u64,
    /// How often the path changed after the first.
    pub path_changes: u64,
    /// How often the role changed because both sides had the same.
    pub role_conflicts: u64,
    /// Pairs that exist.
    pub pairs: usize,
    /// Requests that wait for answers.
    pub pending_transactions: usize,
    /// What was dropped, by reason.
    pub drops: Drops,
}
