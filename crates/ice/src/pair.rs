//! Candidate pairs (RFC 8445, section 6.1.2).

use std::fmt;
use std::time::{Duration, Instant};

use dunlin_net::Path;
use dunlin_stun::TransactionId;

use crate::candidate::Candidate;
use crate::consent::Consent;
use crate::pair_stats::Counters;
use crate::role::Role;

/// Names a pair for the life of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PairId(pub(crate) u32);

/// RFC 8445, section 6.1.2.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PairState {
    /// Not checked before a pair of the same foundation has succeeded.
    Frozen,
    /// To be checked when its turn comes.
    Waiting,
    /// A check is on its way.
    InProgress,
    /// A check was answered: the pair is valid.
    Succeeded,
    /// A check was refused or never answered.
    Failed,
}

/// What became of the checks of a pair, for a [`FailureReport`](crate::FailureReport).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its turn had not come.
    Untried,
    /// Checks were sent, the last one not yet given up.
    Unanswered,
    /// No check was answered.
    TimedOut,
    /// The peer refused with this STUN error code.
    Refused(u16),
    /// An answer came that has neither an address nor an error code, or attributes that nobody understands.
    Nonsense,
    /// An answer came whose integrity did not fit the peer's password.
    Unauthentic,
    /// The answer came from or to another address than the check.
    NotSymmetric,
    /// The pair worked; its consent ended.
    ConsentExpired,
    /// The peer revoked its consent (RFC 7675, section 5.2).
    ConsentRevoked,
    /// The TURN server does not relay to the peer's address; its error code.
    NotRelayed(u16),
    /// No TCP connection could be made.
    NotConnected,
    /// The pair works.
    Valid,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Untried => f.write_str("not tried"),
            Outcome::Unanswered | Outcome::TimedOut => f.write_str("no answer"),
            Outcome::Refused(code) => write!(f, "refused with {code}"),
            Outcome::Nonsense => f.write_str("answered with a message that makes no sense"),
            Outcome::Unauthentic => f.write_str("answered, but not by an owner of the peer's password"),
            Outcome::NotSymmetric => f.write_str("answered from another address"),
            Outcome::ConsentExpired => f.write_str("worked, then went silent"),
            Outcome::ConsentRevoked => f.write_str("worked, then the peer revoked consent"),
            Outcome::NotRelayed(0) => f.write_str("the TURN server's answer about it makes no sense"),
            Outcome::NotRelayed(code) => write!(f, "the TURN server does not relay to it (error {code})"),
            Outcome::NotConnected => f.write_str("no TCP connection could be made"),
            Outcome::Valid => f.write_str("works"),
        }
    }
}

/// A local candidate's base and a remote candidate. RFC 8445 keeps a check list and a valid list; here a pair that
/// is checked and the valid pair that comes of it are one: both send on the same path.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) id: PairId,
    /// The generation of the credentials that it is checked with.
    pub(crate) generation: u32,
    pub(crate) path: Path,
    /// The base; once valid, the candidate that the peer sees. Both ends are boxed, as they are seldom looked at.
    pub(crate) local: Box<Candidate>,
    pub(crate) remote: Box<Candidate>,
    /// PRIORITY of the checks.
    pub(crate) reflexive_priority: u32,
    /// The base's priority, from which the pair's comes.
    pub(crate) base_priority: u32,
    pub(crate) base_foundation: String,
    pub(crate) priority: u64,
    pub(crate) state: PairState,
    /// Its relay has no permission for the peer's address yet: a check would not get through.
    pub(crate) needs_permission: bool,
    /// The pair may be used while there is consent.
    pub(crate) consent: Option<Consent>,
    /// Controlled: the peer's last USE-CANDIDATE.
    pub(crate) use_candidate_at: Option<Instant>,
    /// Controlled: the number of its last nomination.
    pub(crate) nomination: Option<u32>,
    /// When its last check began.
    pub(crate) checked_at: Option<Instant>,
    /// How long the first answer took, from when its request was first sent.
    pub(crate) answered_in: Option<Duration>,
    /// Controlling: when its nomination began although nothing had shown that it works.
    pub(crate) hoped_since: Option<Instant>,
    /// The last response, authenticated request or datagram.
    pub(crate) last_heard: Instant,
    pub(crate) rtt: Option<Duration>,
    pub(crate) outcome: Outcome,
    pub(crate) requests_sent: u32,
    pub(crate) responses_received: u32,
    pub(crate) requests_received: u32,
    /// What tells the peer's last check from one that is sent again.
    pub(crate) last_request: Option<TransactionId>,
    pub(crate) counters: Counters,
}

impl Pair {
    pub(crate) fn is_valid(&self) -> bool {
        self.state == PairState::Succeeded && self.consent.is_some()
    }

    /// Whether a check of it is still to come or under way.
    pub(crate) fn is_pending(&self) -> bool {
        matches!(
            self.state,
            PairState::Frozen | PairState::Waiting | PairState::InProgress
        )
    }

    /// RFC 7675, section 5.1: "After consent is lost, the same ICE credentials MUST NOT be used on the
    /// affected 5-tuple again."
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.outcome, Outcome::ConsentExpired | Outcome::ConsentRevoked)
    }

    /// Datagrams of this path belong to the session: the peer has proved itself on it (THREATS 3).
    pub(crate) fn accepts_data(&self) -> bool {
        self.is_valid() || self.requests_received > 0
    }

    pub(crate) fn same_foundation(&self, other: &Pair) -> bool {
        self.generation == other.generation
            && self.base_foundation == other.base_foundation
            && self.remote.foundation == other.remote.foundation
    }

    pub(crate) fn set_role(&mut self, role: Role) {
        self.priority = pair_priority(role, self.base_priority, self.remote.priority);
    }

    /// The first sample counts in full, later ones by an eighth (as RFC 6298 smooths).
    pub(crate) fn sample_rtt(&mut self, sample: Duration) {
        self.counters.round_trip(sample);
        self.rtt = Some(self.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
    }
}

/// RFC 8445, section 6.1.2.3: "pair priority = 2^32*MIN(G,D) + 2*MAX(G,D) + (G>D?1:0)", where G is the priority of
/// the controlling agent's candidate and D that of the controlled agent's.
pub(crate) fn pair_priority(role: Role, local: u32, remote: u32) -> u64 {
    let (g, d) = match role {
        Role::Controlling => (local, remote),
        Role::Controlled => (remote, local),
    };
    // 2*MAX is at most 2^33 and cannot carry MIN's half over: MIN is below 2^32 and the sum below 2^64 for the
    // priorities that the RFC allows (below 2^31); others saturate.
    (u64::from(g.min(d)) << 32).saturating_add(2 * u64::from(g.max(d)) + u64::from(g > d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_compute_the_same_pair_priority() {
        let (a, b) = (2_130_706_431, 1_694_498_815);
        let offerer = pair_priority(Role::Controlling, a, b);
        assert_eq!(offerer, pair_priority(Role::Controlled, b, a));
        assert_eq!(offerer, (1_694_498_815 << 32) + 2 * 2_130_706_431 + 1);
        assert_eq!(pair_priority(Role::Controlled, a, b), offerer - 1);
        assert_eq!(pair_priority(Role::Controlled, u32::MAX, u32::MAX), u64::MAX);
    }
}
