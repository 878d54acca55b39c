//! Checks that are sent again before their time, because a filter before the peer may have eaten them.
//!
//! The answerer sends its first checks while its answer is on the way. A NAT before the offerer lets nothing in before the
//! offerer has sent something out, which it does when it has the answer. Mostly the offerer's own check then triggers one
//! of ours; but if our NAT has another port for each far end, that check comes to a port that knows nothing of it, and
//! both sides are silent until our first check is sent again, after an RTO of 500 ms. Where candidates are told one by one, the
//! offerer may be the first to send as well.

use std::time::{Duration, Instant};

use dunlin_net::Transport;

use crate::agent::Agent;
use crate::candidate::Kind;
use crate::order::is_likely;
use crate::output::Outgoing;
use crate::pair::{Pair, PairState};
use crate::role::Role;

/// How soon a check is sent again, as a part of the time since the first check of its generation, so that whenever the peer
/// begins to send, it waits for little longer than it took anyway; and within which bounds. RFC 8445, section 14.3: "Agents
/// MAY calculate the RTO value using other mechanisms"; here it is the time until the peer begins to send that counts, and
/// not that of a round trip. libwebrtc sends the checks of a pair that does not answer yet every 48 ms.
const PART: u32 = 8;
const SOONEST: Duration = Duration::from_millis(10);
const LATEST: Duration = Duration::from_millis(48);

/// How many are in one generation, on all pairs together: after two seconds and more, checks are sent again as slowly as
/// everywhere. That is what a description with the addresses of a victim gains: 64 datagrams more, one every Ta at most.
const MAX_REPEATS: u32 = 64;

impl Agent {
    /// When the next one is due, if one is.
    pub(crate) fn repeat_due(&self) -> Option<Instant> {
        let pair = self.next_repeat()?;
        let again = self.repeat_at(pair)?;
        let last = self.timers.last_repeat.max(self.timers.last_check);
        Some(last.map_or(again, |last| again.max(last + self.pacing())))
    }

    fn repeat_at(&self, pair: &Pair) -> Option<Instant> {
        let checked = pair.checked_at?;
        let age = checked.saturating_duration_since(self.timers.first_check?);
        // Who answers is ahead of the peer with all its checks. Who offers may be ahead of the peer's relay, which has no
        // permission for us yet; where candidates are told one by one, it may be ahead with others as well, but most often
        // it is not, and a check that is sent twice measures no round trip.
        let ahead = self.role == Role::Controlled || pair.remote.kind == Kind::Relayed;
        let soonest = if ahead { SOONEST } else { LATEST };
        Some(checked + (age / PART).clamp(soonest, LATEST))
    }

    pub(crate) fn run_repeats(&mut self) {
        while self.repeat_due().is_some_and(|at| at <= self.now) {
            let Some(id) = self.next_repeat().map(|pair| pair.id) else {
                return;
            };
            self.timers.repeats += 1;
            self.timers.last_repeat = Some(self.now);
            if let Some(pair) = self.list.get_mut(id) {
                pair.checked_at = Some(self.now);
            }
            if let Some(request) = self.transactions.repeat(id) {
                self.enqueue(Outgoing::Request(request));
            }
        }
    }

    /// The pair whose turn it is: of those that lead straight to an address from which nothing has come yet, whatever the
    /// port, one of the address that was asked longest ago. None any more once anything works.
    fn next_repeat(&self) -> Option<&Pair> {
        let generation = self.current.number;
        let left = self.timers.repeats < MAX_REPEATS && self.nominated.is_none();
        if self.config.lite || self.remote_lite || !left || self.best_valid(generation).is_some() {
            return None;
        }
        let direct = |pair: &Pair| {
            let base = self.gatherer.base(pair.path.local, pair.path.transport);
            pair.path.transport == Transport::Udp && base.is_some_and(|base| base.relay.is_none())
        };
        let of_address = |like: &Pair| {
            let ip = like.path.remote.ip();
            self.list
                .iter()
                .filter(move |pair| pair.path.remote.ip() == ip && direct(pair))
        };
        let heard = |like: &Pair| of_address(like).any(|pair| pair.requests_received > 0);
        let unheard = self.list.iter().filter(|pair| {
            let asked = pair.generation == generation && pair.state == PairState::InProgress;
            asked && is_likely(pair) && direct(pair) && !heard(pair)
        });
        let last_asked = |like: &Pair| of_address(like).filter_map(|pair| pair.checked_at).max();
        unheard.min_by_key(|pair| {
            (
                last_asked(pair),
                self.repeat_at(pair),
                std::cmp::Reverse(pair.priority),
            )
        })
    }
}
