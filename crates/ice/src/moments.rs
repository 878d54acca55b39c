//! Who can wait lets others go first: after each check, whatever it is good for, the next one has to wait for Ta, which is
//! 5 ms at least (RFC 8445, section 14.2).
//!
//! Several things happen in one moment, as datagrams that left together took ways of the same length: the answer and the
//! peer's first check, a permission of the relay and a check that comes directly. The better check comes second as often as
//! first, so that the other one waits for it, for less than Ta.

use std::time::Duration;

use crate::agent::Agent;
use crate::candidate::{Candidate, Kind};
use crate::pair::PairId;
use crate::role::Role;

/// What the offerer waits for when it learns that the peer is behind a NAT: the peer knows our candidates for longer, and its
/// check, from a port that nobody has told us, may be behind the answer.
const FIRST_CHECK: Duration = Duration::from_millis(1);

/// What a check through a relay waits for.
const RELAYED: Duration = Duration::from_millis(2);

impl Agent {
    /// Puts a check of the pair into the triggered queue.
    pub(crate) fn trigger(&mut self, id: PairId) {
        let route = self.list.get(id).and_then(|pair| self.route(pair.path));
        let relayed = route.is_some_and(|route| route.relay.is_some());
        let wait = if relayed { RELAYED } else { Duration::ZERO };
        self.list.trigger(id, self.now + wait);
    }

    /// The peer has told this candidate.
    pub(crate) fn await_first_check(&mut self, candidate: &Candidate) {
        let timers = &self.timers;
        let begins = timers.first_check.is_none() && timers.ordinary_from.is_none();
        if begins && self.role == Role::Controlling && candidate.kind == Kind::ServerReflexive {
            self.hold_ordinary(FIRST_CHECK);
        }
    }

    /// A relay has a permission now: what waited for it can go.
    pub(crate) fn await_direct_check(&mut self) {
        self.hold_ordinary(RELAYED);
    }

    fn hold_ordinary(&mut self, wait: Duration) {
        self.timers.ordinary_from = self.timers.ordinary_from.max(Some(self.now + wait));
    }
}
