//! What time does to a session: consent (RFC 7675), silence, the PAC timer (RFC 8863), and the state that follows.

use std::time::Instant;

use log::{info, warn};

use crate::agent::Agent;
use crate::event::{Event, State};
use crate::output::Outgoing;
use crate::pair::{Outcome, Pair, PairId, PairState};
use crate::pair_stats::Traffic;
use crate::report::{FailureReason, FailureReport};

/// The times that belong to no table.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// When the first check of this generation was sent.
    pub(crate) first_check: Option<Instant>,
    /// When the last check was sent: the next one keeps its distance.
    pub(crate) last_check: Option<Instant>,
    /// When the last ordinary one was; before there was one, when the first check was.
    pub(crate) last_ordinary: Option<Instant>,
    /// Ordinary checks let others go first until then.
    pub(crate) ordinary_from: Option<Instant>,
    /// How many checks of this generation were sent again before their time.
    pub(crate) repeats: u32,
    /// And when the last one was.
    pub(crate) last_repeat: Option<Instant>,
    /// When TCP connections may be opened.
    pub(crate) tcp_at: Option<Instant>,
    /// When the patience of RFC 8863 ends.
    pub(crate) pac_at: Option<Instant>,
    /// When the first pair of this generation became valid.
    pub(crate) first_valid: Option<Instant>,
    /// When to nominate although better pairs are still being checked.
    pub(crate) nominate_at: Option<Instant>,
    /// No consent check and no end of consent is due before this.
    pub(crate) consent_at: Option<Instant>,
    /// When the pairs that were not chosen go.
    pub(crate) release_at: Option<Instant>,
    /// When a lite agent's path needs a datagram.
    pub(crate) keepalive_at: Option<Instant>,
    /// There was a path once.
    pub(crate) had_path: bool,
    /// The path of this generation went with its local address.
    pub(crate) lost_base: bool,
    /// All pairs are being tried again, because the path in use may be gone.
    pub(crate) looking: bool,
    /// The path in use is asked for a sign of life, because the peer is heard on another.
    pub(crate) probe: Option<Probe>,
}

impl Timers {
    /// Something of the consent of a pair is due then.
    pub(crate) fn note_consent(&mut self, at: Instant) {
        self.consent_at = Some(self.consent_at.map_or(at, |known| known.min(at)));
    }
}

/// What goes on while the path in use is asked for a sign of life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Probe {
    /// Since when.
    pub(crate) asked: Instant,
    /// When to ask again, or to decide.
    pub(crate) due: Instant,
    /// How often still to ask.
    pub(crate) left: u32,
}

impl Agent {
    pub(crate) fn run_timers(&mut self) {
        self.relays.handle_timeout(self.now, &self.config);
        self.stun_ways.handle_timeout(self.now, &self.config);
        self.pump_relays();
        let settled = self.are_ways_settled();
        if self
            .gatherer
            .handle_timeout(self.now, settled, &self.config, &mut self.rng)
        {
            while let Some(candidate) = self.gatherer.poll_candidate() {
                self.push_event(Event::LocalCandidate(candidate));
            }
            info!("ice: gathering is complete");
            self.push_event(Event::GatheringComplete);
        }
        self.run_transactions();
        self.run_consent();
        self.run_keepalive();
        self.consider_move();
        self.notice_silence();
        self.release_others();
        self.run_tcp();
        self.run_patience();
        self.run_ordinary();
    }

    /// The earliest of all timers.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        let timers = &self.timers;
        let alive = matches!(self.state, State::Connected | State::Completed);
        let silence = self.selected.and_then(|id| self.list.get(id)).filter(|_| alive);
        [
            self.gatherer
                .poll_timeout(self.now, self.are_ways_settled(), &self.config),
            self.relays.poll_timeout(&self.config),
            self.stun_ways.poll_timeout(&self.config),
            self.transactions.poll_timeout(),
            self.check_due(),
            timers.consent_at,
            silence.map(|pair| self.silent_at(pair)),
            self.patience_ends(),
            self.tcp_due(),
            timers.nominate_at,
            timers.probe.map(|probe| probe.due),
            timers.release_at,
            timers.keepalive_at.filter(|_| self.config.lite),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn run_consent(&mut self) {
        let now = self.now;
        if self.timers.consent_at.is_none_or(|at| at > now) {
            return;
        }
        self.timers.consent_at = None;
        let mut place = 0;
        while let Some(pair) = self.list.at_mut(place) {
            let id = pair.id;
            if let Some(consent) = &mut pair.consent {
                if consent.has_expired(now) {
                    // Its place stays, unless the session ends with it.
                    self.lose_pair(id, Outcome::ConsentExpired, FailureReason::ConsentExpired);
                } else {
                    let due = consent.take_due(now, &self.config, &mut self.rng);
                    self.timers.note_consent(consent.poll_timeout());
                    if due {
                        self.check_consent(id);
                    }
                }
            }
            place += 1;
        }
    }

    /// The peer's check is being answered: ours goes along, if it may.
    pub(crate) fn bring_consent_forward(&mut self, id: PairId) {
        let now = self.now;
        let Some(consent) = self.list.get_mut(id).and_then(|pair| pair.consent.as_mut()) else {
            return;
        };
        let was_due = consent.poll_timeout();
        if !consent.bring_forward(now) {
            return;
        }
        if consent.has_expired(now) || self.timers.consent_at.is_none_or(|at| at >= was_due) {
            // The timer was set for this pair. Only a look at all of them tells whose turn comes now.
            self.timers.note_consent(now);
            return self.run_consent();
        }
        if consent.take_due(now, &self.config, &mut self.rng) {
            self.check_consent(id);
        }
    }

    /// A pair is taken into use that nothing was sent on before: it has to answer at once, if it was not asked lately.
    pub(crate) fn wake_consent(&mut self, id: Option<PairId>) {
        let Some(id) = id else { return };
        let consent = self.list.get_mut(id).and_then(|pair| pair.consent.as_mut());
        let Some(consent) = consent.filter(|consent| consent.is_resting(self.now, &self.config)) else {
            return;
        };
        consent.plan(self.now, &self.config, &mut self.rng);
        self.timers.note_consent(consent.poll_timeout());
        self.check_consent(id);
    }

    /// RFC 7675, section 5.1: "the endpoint MUST cease transmission on that 5-tuple". If it was the last one
    /// that worked and none is on its way, the session has failed.
    pub(crate) fn lose_pair(&mut self, id: PairId, outcome: Outcome, reason: FailureReason) {
        let Some(pair) = self.list.get_mut(id) else { return };
        info!("ice: {} {outcome}", pair.path);
        pair.state = PairState::Failed;
        pair.consent = None;
        pair.outcome = outcome;
        // It takes a new generation, or a check of the peer, for its data to be taken again.
        pair.requests_received = 0;
        self.transactions.retain(|transaction| transaction.pair != id);
        self.list.cancel_trigger(id);
        if self.nominated == Some(id) {
            self.nominated = None;
        }
        let was_selected = self.selected == Some(id);
        self.select();
        let restarting = self.current.remote.is_none() || self.list.iter().any(Pair::is_pending);
        if was_selected && self.selected.is_none() && !(restarting && self.previous.is_some()) {
            self.fail(reason);
        }
    }

    /// RFC 8445, section 11: a keepalive "if no packet has been sent on that pair in the last Tr seconds".
    /// Consent checks do this for everyone but a lite agent.
    fn run_keepalive(&mut self) {
        let due = self.timers.keepalive_at.is_some_and(|at| at <= self.now);
        let (true, true, Some(route)) = (self.config.lite, due, self.outgoing) else {
            return;
        };
        if !std::mem::take(&mut self.sent_since_keepalive) {
            self.enqueue(Outgoing::Indication(route.path));
        }
        self.timers.keepalive_at = Some(self.now + self.config.keepalive_interval);
    }

    /// RFC 8863, section 4: "While the timer is still running, the ICE agent MUST NOT update a checklist
    /// state from Running to Failed, even if there are no pairs left in the checklist to check."
    fn run_patience(&mut self) {
        if self.patience_ends().is_some_and(|at| at <= self.now) {
            self.fail(FailureReason::NoPath);
        }
    }

    /// When a session without a path is given up: at the PAC timer's end if nothing is under way, else when the
    /// pairs have failed, or as long again.
    fn patience_ends(&self) -> Option<Instant> {
        let pac = self.timers.pac_at?;
        if self.selected.is_some() {
            return None;
        }
        let pending = self.list.iter().any(Pair::is_pending) && pac <= self.now;
        Some(if pending {
            pac + self.config.pac_timeout
        } else {
            pac.max(self.now)
        })
    }

    /// Nothing was heard on the path in use for so long that it counts as disconnected.
    pub(crate) fn is_silent(&self) -> bool {
        let selected = self.selected.and_then(|id| self.list.get(id));
        selected.is_some_and(|pair| self.silent_at(pair) <= self.now)
    }

    /// The path in use has just fallen silent: consent holds for longer, but the peer may be waiting behind a NAT that
    /// has to be opened from here.
    fn notice_silence(&mut self) {
        if matches!(self.state, State::Connected | State::Completed) && self.is_silent() {
            self.look_again();
        }
    }

    fn silent_at(&self, pair: &Pair) -> Instant {
        pair.last_heard + self.config.disconnected_timeout
    }

    pub(crate) fn update_state(&mut self) {
        if matches!(self.state, State::Failed | State::Closed) {
            return;
        }
        let state = match self.selected.and_then(|id| self.list.get(id)) {
            Some(pair) if self.silent_at(pair) <= self.now => State::Disconnected,
            Some(pair) if self.nominated == Some(pair.id) => State::Completed,
            Some(_) => State::Connected,
            None if self.timers.lost_base => State::Disconnected,
            None if self.started => State::Checking,
            None => State::New,
        };
        if state == State::Completed && matches!(self.state, State::New | State::Checking) {
            // Who waits for the one is not to miss it because the other came with it.
            self.set_state(State::Connected);
        }
        self.set_state(state);
    }

    pub(crate) fn set_state(&mut self, state: State) {
        if state != self.state {
            info!("ice: {} -> {state}", self.state);
            self.state = state;
            if state == State::Completed {
                // The tables have grown as they will: what they hold on to beside that would be held on to for hours.
                self.list.shrink();
                self.gatherer.shrink();
                self.remote.shrink_to_fit();
            }
            self.push_event(Event::State(state));
        }
    }

    /// There is no path (any more). RFC 8445, section 8.1.2: only a restart helps.
    fn fail(&mut self, reason: FailureReason) {
        let report = FailureReport {
            reason,
            tried: self.report(),
        };
        warn!("ice: {report}");
        self.forget_session();
        self.pump_relays();
        self.push_event(Event::Failed(report));
        self.set_state(State::Failed);
    }

    /// Forgets pairs, requests and what waits to be sent.
    pub(crate) fn forget_session(&mut self) {
        self.list.retain(|_| false);
        self.transactions.retain(|_| false);
        self.queue.clear();
        self.early.clear();
        self.heard.clear();
        self.gatherer.stop_asking();
        self.relays.abandon(self.now);
        self.stun_ways.abandon();
        self.abandon_tcp();
        self.previous = None;
        (self.nominated, self.selected, self.outgoing) = (None, None, None);
        self.sent_on_selected = Traffic::default();
        self.timers = Timers {
            had_path: self.timers.had_path,
            ..Timers::default()
        };
    }
}
