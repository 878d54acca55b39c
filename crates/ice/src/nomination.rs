//! Which pair is used (RFC 8445, section 8.1): the controlling side chooses once, the controlled side follows, and
//! until then the best valid pair carries the data.

use std::time::{Duration, Instant};

use log::info;

use crate::agent::Agent;
use crate::candidate::Kind;
use crate::event::Event;
use crate::lifecycle::Probe;
use crate::order::is_likely;
use crate::pair::{Outcome, Pair, PairId, PairState};
use crate::role::Role;

/// A peer that nominates pair after pair ("aggressively", as libwebrtc does) and lets go of one says so by not
/// repeating USE-CANDIDATE on it for this long. libwebrtc repeats it every 2.5 s.
const NOMINATION_IS_STALE: Duration = Duration::from_secs(5);

/// How often the nominated path is asked for a sign of life when the peer is heard on another, and how long it has for
/// each: that all are lost on a path that works is rare, and two seconds are enough for the whole move.
const PROBES: u32 = 4;
const PROBE_INTERVAL: Duration = Duration::from_millis(200);

/// How long a better pair may take to answer its nomination when another one works, as a multiple of the time which that
/// one took.
const HOPE: f64 = 1.25;

/// How long all such pairs together may take from when it works, as a multiple of the same time: a NAT that maps each port anew
/// makes the peer heard on pair after pair.
const HOPES: f64 = 0.8;

/// From so many ports of one address a peer may be heard, and the nomination follows: one for our candidate that it was told,
/// and one for the port that our NAT answers from.
const MOST_PORTS: usize = 4;

impl Agent {
    /// Controlling: nominates the best valid pair, at once when nothing better is under way, else after a wait.
    ///
    /// RFC 8445, section 8.1.1: "The criteria for stopping the connectivity checks and for picking a pair for
    /// nomination are outside the scope of this specification." The agent "MUST eventually pick one and only
    /// one candidate pair".
    pub(crate) fn consider_nomination(&mut self) {
        self.timers.nominate_at = None;
        if self.nominated.is_some() {
            return self.consider_renomination();
        }
        if self.role != Role::Controlling || self.config.lite {
            return;
        }
        let nominating = self.nominating();
        if nominating.is_some_and(|id| self.numbers.dialect.is_none() || !self.is_hoped_for(id)) {
            return;
        }
        let Some(best) = self.best_valid(self.current.number) else {
            return;
        };
        let hoped = nominating.and_then(|id| self.list.get(id));
        if let Some(at) = hoped.and_then(|hoped| self.hopes_until(hoped, best)) {
            self.timers.nominate_at = Some(at);
            return;
        }
        let better = |pair: &Pair| pair.generation == best.generation && pair.priority > best.priority;
        // What may be nominated again need not wait for what may turn out to be better.
        let final_choice = self.numbers.dialect.is_none();
        if final_choice && self.list.iter().any(|pair| pair.is_pending() && better(pair)) {
            let ends = [best.local.kind, best.remote.kind];
            let wait = if ends.contains(&Kind::Relayed) {
                self.config.nomination_wait_relay
            } else if ends == [Kind::Host; 2] {
                self.config.nomination_wait_host
            } else {
                self.config.nomination_wait
            };
            let at = self.timers.first_valid.map_or(self.now, |first| first + wait);
            if at > self.now {
                self.timers.nominate_at = Some(at);
                return;
            }
        }
        let id = best.id;
        self.list.trigger_nomination(id);
    }

    /// Controlling: whether the check that the peer's own one has triggered on this pair nominates it as well. What comes
    /// in on a pair most likely comes back on it, too.
    ///
    /// A nomination that may be repeated need not wait a round trip for the proof: RFC 8445, section 7.3.1.5 lets the
    /// controlled side hold it until its own check has succeeded. A pair that works first, or a better one that is
    /// heard, is nominated in its place.
    pub(crate) fn nominates_when_heard(&self, id: PairId) -> bool {
        let early = self.role == Role::Controlling && self.numbers.dialect.is_some();
        let Some(pair) = self.list.get(id).filter(|_| early && self.nominated.is_none()) else {
            return false;
        };
        let other = self.nominating().filter(|other| *other != id);
        let other = other.and_then(|id| self.list.get(id));
        let unlikely = |other: &Pair| other.requests_received == 0 && !is_likely(other);
        // The peer's NAT has another port for each that it sends to: what comes from there comes in answer to what we sent.
        let like =
            |other: &Pair| (other.priority, other.path.remote.ip()) == (pair.priority, pair.path.remote.ip());
        // But where our NAT does the same, no answer ever comes from where it was asked for, and the next port has no end.
        let ports = self
            .list
            .iter()
            .filter(|other| other.requests_received > 0 && like(other))
            .count();
        let moved = |other: &Pair| {
            like(other) && pair.requests_received > 0 && pair.id > other.id && ports <= MOST_PORTS
        };
        let gives_way = |other: &Pair| other.priority < pair.priority || unlikely(other) || moved(other);
        pair.generation == self.current.number
            && self
                .best_valid(pair.generation)
                .is_none_or(|best| self.hopes_until(pair, best).is_some())
            && other.is_none_or(gives_way)
    }

    /// Controlling: whether an ordinary check nominates its pair, for the same reason: it is likely to work, or no other of
    /// its kind is left to be tried (relays come last).
    pub(crate) fn is_promising(&self, id: PairId) -> bool {
        let relayed = |pair: &Pair| [pair.local.kind, pair.remote.kind].contains(&Kind::Relayed);
        let Some(pair) = self.list.get(id) else {
            return false;
        };
        let rival = |other: &Pair| {
            let waits = matches!(other.state, PairState::Waiting | PairState::Frozen);
            other.id != id && other.generation == pair.generation && waits && relayed(other) <= relayed(pair)
        };
        let last = !self.is_elsewhere(pair) && !self.list.iter().any(rival);
        (is_likely(pair) || last) && self.nominates_when_heard(id)
    }

    /// The pair that is being nominated, or is about to be when the pace of checks allows it.
    fn nominating(&self) -> Option<PairId> {
        let waits = || {
            self.list
                .next_nomination()
                .filter(|_| self.numbers.dialect.is_some())
        };
        self.transactions.nominating(&self.numbers).or_else(waits)
    }

    /// Whether a pair that is being nominated has not shown that it works.
    fn is_hoped_for(&self, id: PairId) -> bool {
        self.list.get(id).is_some_and(|pair| !pair.is_valid())
    }

    /// Until when the nomination of a better pair than the best that works may be answered: one on which the peer is heard,
    /// so that the answer is on its way, if it comes back at all. A relay, which is in use meanwhile, would be chosen a
    /// moment before. `None`: long enough ago.
    fn hopes_until(&self, hoped: &Pair, best: &Pair) -> Option<Instant> {
        let heard = hoped.requests_received > 0 && hoped.priority > best.priority;
        let wait = best
            .answered_in
            .filter(|_| heard)?
            .min(self.config.nomination_wait);
        let answered = hoped.hoped_since.unwrap_or(self.now) + wait.mul_f64(HOPE);
        let until = answered.min(self.timers.first_valid? + wait.mul_f64(HOPES));
        Some(until).filter(|until| *until > self.now)
    }

    /// Controlled: the peer has put USE-CANDIDATE on a pair that is valid.
    pub(crate) fn accept_nomination(&mut self, id: PairId) {
        let (Some(new), current) = (self.list.get(id), self.nominated.and_then(|id| self.list.get(id)))
        else {
            return;
        };
        // What was nominated with a number gives way to a higher one, and to nothing else.
        if self.numbers.has_accepted() {
            if self.numbers.is_latest(new.nomination) && self.nominated != Some(id) {
                self.settle(id);
            }
            return;
        }
        // RFC 8445, section 8.1.1 lets the peer nominate one pair only. RFC 5245, section 8.1.1.2 let it nominate all
        // of them, and the one with the highest priority was meant.
        let follow = match current.filter(|pair| pair.is_valid()) {
            None => true,
            Some(current) if current.id == id => false,
            Some(current) => {
                let stale = current
                    .use_candidate_at
                    .is_none_or(|at| at + NOMINATION_IS_STALE < self.now);
                new.priority > current.priority || stale
            }
        };
        let other = current.is_some_and(|current| current.id != id);
        if follow {
            self.settle(id);
        } else if other {
            self.suspect_move(id);
        }
    }

    /// The peer, who is heard on another pair than the nominated one (controlled: who nominates it), may have moved: its
    /// address is gone, say. If the nominated pair does not answer at once either, the other one takes its place.
    ///
    /// RFC 8445, section 8.1.1 has one nomination per session. A peer that lost its address cannot take the path that
    /// was nominated, though, and follows a new choice more gladly than it waits 30 s for consent to expire.
    pub(crate) fn suspect_move(&mut self, heard_on: PairId) {
        let elsewhere = self.nominated.is_some_and(|id| id != heard_on);
        if elsewhere && self.timers.probe.is_none() {
            self.timers.probe = Some(Probe {
                asked: self.now,
                due: self.now,
                left: PROBES,
            });
            self.consider_move();
        }
    }

    /// Asks the nominated path again, or decides.
    pub(crate) fn consider_move(&mut self) {
        let Some(Probe { asked, left, .. }) = self.timers.probe.filter(|probe| probe.due <= self.now) else {
            return;
        };
        self.timers.probe = None;
        let Some(current) = self.nominated.and_then(|id| self.list.get(id)) else {
            return;
        };
        let (silent, id, generation) = (current.last_heard <= asked, current.id, self.current.number);
        if silent && left > 0 {
            let wait = PROBE_INTERVAL.max(current.rtt.unwrap_or_default());
            self.timers.probe = Some(Probe {
                asked,
                due: self.now + wait,
                left: left - 1,
            });
            return self.check_consent(id);
        }
        let controlling = self.role == Role::Controlling;
        let others = self.list.iter().filter(|pair| {
            let heard = pair.id != id && pair.generation == generation && pair.is_valid();
            heard && pair.last_heard >= asked && (controlling || pair.use_candidate_at.is_some())
        });
        let best = others.max_by_key(|pair| (pair.use_candidate_at, pair.last_heard, pair.priority));
        match best.filter(|_| silent).map(|best| (best.id, best.path)) {
            Some((best, path)) => {
                info!("ice: the peer has moved to {path}");
                if controlling {
                    // Or else it would be the better one of the two until its consent expires.
                    if let Some(old) = self.list.get_mut(id) {
                        (old.state, old.consent, old.outcome) = (PairState::Failed, None, Outcome::TimedOut);
                    }
                    self.transactions.retain(|transaction| transaction.pair != id);
                    self.nominated = None;
                    self.list.trigger_nomination(best);
                } else {
                    self.settle(best);
                }
            }
            // The path works: the other one goes again.
            None if controlling => self.timers.release_at = Some(self.now),
            None => {}
        }
    }

    /// Both sides have agreed on a pair.
    ///
    /// RFC 8445, section 8.1.2: "the ICE agent MUST remove all candidate pairs for the same component from
    /// the checklist and from the triggered-check queue". Those that worked stay for a while, for datagrams
    /// that are on their way.
    pub(crate) fn settle(&mut self, id: PairId) {
        let Some(pair) = self.list.get_mut(id) else { return };
        info!(
            "ice: {} is nominated, {} to {}",
            pair.path, pair.local, pair.remote
        );
        let (generation, priority) = (pair.generation, pair.priority);
        let improves = self.numbers.dialect.is_some();
        let better = |pair: &Pair| improves && pair.priority > priority;
        self.nominated = Some(id);
        self.timers.nominate_at = None;
        self.timers.looking = false;
        self.list.clear_triggers();
        self.list.retain(|pair| {
            let of_old = pair.id == id || pair.generation != generation;
            of_old || !pair.is_pending() || pair.requests_received > 0 || better(pair)
        });
        for pair in self
            .list
            .iter_mut()
            .filter(|pair| pair.id != id && pair.generation == generation)
        {
            if pair.is_pending() && !better(pair) {
                pair.state = PairState::Failed;
            }
        }
        // Those that are kept go on being checked, and for consent.
        self.transactions
            .retain(|t| t.pair == id || t.generation != generation || improves);
        self.gatherer.stop_asking();
        self.stun_ways.abandon();
        self.early.clear();
        self.timers.release_at = Some(self.now + self.config.release_delay);
    }

    /// RFC 8445, section 8.3: after the choice, "the agent SHOULD wait an additional three seconds, and then
    /// it can cease responding to checks or generating triggered checks on all local candidates other than
    /// the ones that became selected candidates."
    pub(crate) fn release_others(&mut self) {
        if self.timers.release_at.is_none_or(|at| self.now < at) {
            return;
        }
        self.timers.release_at = None;
        if self.is_silent() {
            return self.look_again();
        }
        self.timers.looking = false;
        if let Some(keep) = self.nominated {
            self.release_relays(keep);
            let kept = self.kept_pairs(keep);
            // One without consent stays as what it is, so that nobody makes it anew.
            let generation = self.current.number;
            let dead = |pair: &Pair| pair.is_dead() && pair.generation == generation;
            self.list.retain(|pair| kept.contains(&pair.id) || dead(pair));
            self.transactions
                .retain(|transaction| kept.contains(&transaction.pair));
            self.previous = None;
            self.release_tcp();
        }
    }

    /// Chooses the pair that datagrams go out on: the nominated one; after a restart the old one until there is a
    /// new one (RFC 8445, section 9); before nomination the best that works (section 12.1: "An ICE agent MAY
    /// send data on any valid pair before selected pairs have been produced").
    pub(crate) fn select(&mut self) {
        let works = |id: PairId| self.list.get(id).filter(|pair| pair.is_valid());
        let old = |pair: &&Pair| pair.generation != self.current.number;
        let chosen = self
            .nominated
            .and_then(works)
            .or_else(|| self.selected.and_then(works).filter(old))
            .or_else(|| self.best_valid(self.current.number))
            .or_else(|| {
                self.previous
                    .as_ref()
                    .and_then(|previous| self.best_valid(previous.number))
            });
        let (id, path) = (chosen.map(|pair| pair.id), chosen.map(|pair| pair.path));
        if id != self.selected {
            self.book_sent(self.selected);
            self.wake_consent(id);
        }
        self.selected = id;
        if path == self.outgoing.map(|route| route.path) {
            return;
        }
        let route = path.and_then(|path| self.route(path));
        self.timers.lost_base &= route.is_none();
        if let Some(route) = route {
            info!("ice: selected {}", route.path);
            if let Some(relay) = route.relay {
                self.relays.bind(self.now, relay, route.path.remote);
            }
            self.stats.path_changes += u64::from(self.timers.had_path);
            self.timers.had_path = true;
            self.push_event(Event::SelectedPath(route.wire));
        }
        self.outgoing = route;
        self.timers.keepalive_at = path.map(|_| self.now + self.config.keepalive_interval);
    }

    pub(crate) fn best_valid(&self, generation: u32) -> Option<&Pair> {
        let valid = self
            .list
            .iter()
            .filter(|pair| pair.generation == generation && pair.is_valid());
        valid.max_by_key(|pair| (pair.priority, std::cmp::Reverse(pair.id)))
    }
}
