//! Our checks (RFC 8445, section 7.2): when they are sent, and what their answers and their silence mean.

use std::net::SocketAddr;
use std::time::Duration;

use dunlin_net::{Path, Transport};
use dunlin_stun::attribute::{
    ERROR_CODE, MAPPED_ADDRESS, PRIORITY, UNKNOWN_ATTRIBUTES, USE_CANDIDATE, USERNAME, XOR_MAPPED_ADDRESS,
};
use dunlin_stun::{Class, Message, Retransmission, TransactionId, code};
use log::{debug, info};
use rand::RngExt;

use crate::agent::Agent;
use crate::consent::Consent;
use crate::output::Outgoing;
use crate::pair::{Outcome, Pair, PairId, PairState};
use crate::report::FailureReason;
use crate::role::Role;
use crate::stats::DropReason;
use crate::transactions::{Due, Purpose, Transaction};

/// RFC 8489, section 6.2.2: how long an answer over TCP may take.
const TCP_TIMEOUT: Duration = Duration::from_millis(39_500);

/// RFC 7675, section 5.2 and RFC 8489, section 18.5: Forbidden.
const FORBIDDEN: u16 = 403;

/// RFC 8489, section 6.3.3: attributes that must be understood and are unknown end the transaction as failed. Those
/// of a check are not unknown, whatever they are doing in a response: libnice sends the USERNAME back.
const KNOWN: [u16; 7] = [
    MAPPED_ADDRESS,
    USERNAME,
    ERROR_CODE,
    UNKNOWN_ATTRIBUTES,
    XOR_MAPPED_ADDRESS,
    PRIORITY,
    USE_CANDIDATE,
];

impl Agent {
    /// Sends the triggered checks that are due (RFC 8445, section 6.1.4.2: they go before the ordinary ones, but for one
    /// that they have held up).
    pub(crate) fn run_triggered(&mut self) {
        while self.triggered_due().is_some_and(|at| at <= self.now) {
            if self.is_starved() && self.launch_ordinary() {
                return;
            }
            let Some(trigger) = self.list.next_triggered() else {
                return;
            };
            let Some(pair) = self.list.get(trigger.pair) else {
                continue;
            };
            // One whose pair has succeeded since is not needed any more.
            let nominate = trigger.nominate && self.role == Role::Controlling;
            if pair.state != PairState::Succeeded || nominate {
                self.launch(trigger.pair, nominate);
            }
        }
    }

    /// Sends the ordinary check that is due. Only when time passes, not within the command that made it possible:
    /// candidates that come one after the other are one batch then, and the best of them is checked first.
    pub(crate) fn run_ordinary(&mut self) {
        self.run_triggered();
        while self.ordinary_due().is_some_and(|at| at <= self.now) {
            if !self.launch_ordinary() {
                break;
            }
        }
        self.run_repeats();
    }

    fn launch_ordinary(&mut self) -> bool {
        self.list.thaw_idle(self.current.number);
        let Some(id) = self
            .list
            .next_ordinary(self.current.number, |pair| self.is_elsewhere(pair))
        else {
            return false;
        };
        self.timers.last_ordinary = Some(self.now);
        self.launch(id, self.is_promising(id));
        true
    }

    /// When the next check may go out, if one waits.
    pub(crate) fn check_due(&self) -> Option<std::time::Instant> {
        [self.triggered_due(), self.ordinary_due(), self.repeat_due()]
            .into_iter()
            .flatten()
            .min()
    }

    fn triggered_due(&self) -> Option<std::time::Instant> {
        if self.config.lite || self.current.remote.is_none() {
            return None;
        }
        let from = self.list.triggered_from(self.now)?;
        Some(from.max(self.after_last_check(self.config.min_pacing)))
    }

    /// Ordinary checks keep their distance from all checks, and triggered ones that come on and on do not hold them up
    /// for longer than twice that: between two NATs that map each port anew, every check triggers another.
    fn ordinary_due(&self) -> Option<std::time::Instant> {
        let pacing = self.pacing();
        let waits = !self.config.lite
            && self.current.remote.is_some()
            && self.may_improve()
            && self.list.has_ordinary(self.current.number);
        waits.then(|| {
            let calm = self.after_last_check(pacing);
            let starved = self.timers.last_ordinary.map(|last| last + pacing * 2);
            let starved = starved.map(|at| at.max(self.after_last_check(self.config.min_pacing)));
            let due = starved.map_or(calm, |starved| calm.min(starved));
            self.timers.ordinary_from.map_or(due, |from| from.max(due))
        })
    }

    /// Whether an ordinary check that is due was held up by triggered ones.
    fn is_starved(&self) -> bool {
        let long_ago = self
            .timers
            .last_ordinary
            .is_some_and(|last| self.timers.last_check > Some(last) && last + self.pacing() * 2 <= self.now);
        long_ago && self.ordinary_due().is_some_and(|at| at <= self.now)
    }

    fn after_last_check(&self, gap: std::time::Duration) -> std::time::Instant {
        self.timers.last_check.map_or(self.now, |last| last + gap)
    }

    fn launch(&mut self, id: PairId, nominate: bool) {
        self.timers.first_check.get_or_insert(self.now);
        self.timers.last_check = Some(self.now);
        self.timers.last_ordinary.get_or_insert(self.now);
        self.list.cancel_trigger(id);
        self.transactions.cancel_checks(id);
        // RFC 8445, section 14.3: "RTO = MAX (500ms, Ta * N * (Num-Waiting + Num-In-Progress))", "Agents MAY
        // calculate the RTO value using other mechanisms". N, the number of all checks, is left out here: a
        // hundred pairs would wait for minutes.
        let busy = |state: PairState| matches!(state, PairState::Waiting | PairState::InProgress);
        let busy = self.list.iter().filter(|pair| busy(pair.state)).count() as u32;
        let rto = self.config.initial_rto.max(self.pacing().saturating_mul(busy));
        let max = self.config.max_check_requests;
        let over_tcp = self
            .list
            .get(id)
            .is_some_and(|pair| pair.path.transport == Transport::Tcp);
        let schedule = match over_tcp {
            // RFC 6544, section 7.1: "retransmissions of the STUN connectivity check messages are not needed"; RFC 8489,
            // section 6.2.2: Ti.
            true => Retransmission::with_limits(self.now, TCP_TIMEOUT, 1, 1),
            false => Retransmission::with_limits(self.now, rto, max, Retransmission::FINAL_WAIT_FACTOR),
        };
        let sent = self.begin(id, Purpose::Check { nominate }, schedule);
        let Some(pair) = self.list.get_mut(id) else { return };
        pair.checked_at = Some(self.now);
        if nominate {
            pair.hoped_since.get_or_insert(self.now);
        }
        if pair.state != PairState::Succeeded {
            pair.state = if sent {
                PairState::InProgress
            } else {
                PairState::Waiting
            };
        }
        if sent && pair.outcome == Outcome::Untried {
            pair.outcome = Outcome::Unanswered;
        }
        debug!(
            "ice: check{} {}",
            if nominate { " and nominate" } else { "" },
            pair.path
        );
    }

    /// RFC 7675, section 5.1: a consent check is a Binding request of its own, with a new transaction id, that is
    /// not retransmitted.
    pub(crate) fn check_consent(&mut self, id: PairId) {
        let schedule = Retransmission::with_limits(self.now, self.config.consent_timeout, 1, 1);
        let _sent = self.begin(id, Purpose::Consent, schedule);
    }

    fn begin(&mut self, id: PairId, purpose: Purpose, schedule: Retransmission) -> bool {
        let Some(pair) = self.list.get(id) else {
            return false;
        };
        let nomination = match purpose {
            Purpose::Check { nominate: true } => self.numbers.next(id),
            _ => None,
        };
        let transaction = Transaction {
            id: TransactionId::random(&mut self.rng),
            pair: id,
            generation: pair.generation,
            path: pair.path,
            purpose,
            role: self.role,
            tie_breaker: self.tie_breaker,
            priority: pair.reflexive_priority,
            nomination,
            schedule,
            repeated: false,
            cancelled: false,
        };
        let (request, path) = (transaction.id, transaction.path);
        if !self.transactions.insert(transaction) {
            self.count_drop(DropReason::TooManyTransactions, path);
            return false;
        }
        if let Some(pair) = self.list.get_mut(id) {
            match purpose {
                Purpose::Check { .. } => pair.counters.checks_begun += 1,
                Purpose::Consent => pair.counters.consent_checks += 1,
            }
        }
        self.enqueue(Outgoing::Request(request));
        true
    }

    /// Retransmissions and requests that were never answered.
    pub(crate) fn run_transactions(&mut self) {
        while let Some(due) = self.transactions.next_due(self.now) {
            match due {
                Due::Nothing => {}
                Due::Send(id) => match self.stale_nomination(id) {
                    Some(pair) => self.renew_nomination(pair),
                    None => self.enqueue(Outgoing::Request(id)),
                },
                // Silence after a consent check is the consent timer's business.
                Due::Ended(transaction)
                    if transaction.cancelled || transaction.purpose == Purpose::Consent => {}
                Due::Ended(transaction) => self.fail_pair(transaction.pair, Outcome::TimedOut),
            }
        }
    }

    /// The path works, so that a nomination which is not answered was lost: instead of doubling the wait again, it is
    /// made anew. An answer to the old one still counts. Where nominations may not be repeated, it remains the same pair's: the
    /// peer may have heard it, and only the answer was lost.
    fn renew_nomination(&mut self, pair: PairId) {
        self.transactions.cancel_checks(pair);
        match self.numbers.dialect {
            Some(_) => self.consider_nomination(),
            None => self.list.trigger_nomination(pair),
        }
    }

    fn stale_nomination(&self, id: TransactionId) -> Option<PairId> {
        let pair = self.transactions.stale_nomination(id, &self.numbers)?;
        self.list.get(pair)?.is_valid().then_some(pair)
    }

    pub(crate) fn handle_response(&mut self, path: Path, response: &Message<'_>) {
        let id = response.transaction_id();
        let Some(transaction) = self.transactions.get(id).cloned() else {
            return self.count_drop(DropReason::UnknownTransaction, path);
        };
        if response.verify_fingerprint() != Some(true) {
            return self.count_drop(DropReason::Fingerprint, path);
        }
        let generation = self.generation(transaction.generation);
        let key = generation
            .and_then(|generation| generation.remote.as_ref())
            .map(|side| &side.key);
        // RFC 8489, section 9.1.4: over UDP, a response that is not authentic "MUST be discarded, as if it had never
        // been received". What it says is kept for the failure report only.
        if key.is_none_or(|key| response.verify_integrity(key).is_err()) {
            let refused = response.error_code().map(|error| Outcome::Refused(error.code));
            if let Some(pair) = self
                .list
                .get_mut(transaction.pair)
                .filter(|pair| !pair.is_valid())
            {
                pair.outcome = refused.unwrap_or(Outcome::Unauthentic);
            }
            return self.count_drop(DropReason::ForgedResponse, path);
        }
        let _ended = self.transactions.take(id);
        self.stats.responses_received += 1;
        if let Some(pair) = self.list.get_mut(transaction.pair) {
            pair.responses_received = pair.responses_received.saturating_add(1);
            pair.counters.responses_received += 1;
        }
        // RFC 8445, section 7.2.5.2.1: "The ICE agent MUST check that the source and destination transport
        // addresses in the Binding request and response are symmetric", else it "MUST set the candidate pair
        // state to Failed".
        if !same_ends(path, transaction.path) {
            return self.fail_pair(transaction.pair, Outcome::NotSymmetric);
        }
        if response.class() == Class::Error {
            return self.on_error(&transaction, response.error_code().map(|error| error.code));
        }
        match response.xor_mapped_address() {
            Some(mapped) if response.unknown_required(&KNOWN).next().is_none() => {
                self.on_success(&transaction, mapped);
            }
            _ => {
                self.count_drop(DropReason::NoMappedAddress, path);
                if transaction.purpose != Purpose::Consent && !transaction.cancelled {
                    self.fail_pair(transaction.pair, Outcome::Nonsense);
                }
            }
        }
    }

    /// RFC 8445, section 7.2.5.3: the pair is valid.
    fn on_success(&mut self, transaction: &Transaction, mapped: SocketAddr) {
        let (now, id) = (self.now, transaction.pair);
        let local = self.local_seen_as(transaction, mapped);
        let Some(pair) = self.list.get_mut(id) else { return };
        pair.last_heard = now;
        pair.answered_in.get_or_insert(transaction.schedule.elapsed(now));
        if let Some(sample) = transaction.round_trip(now) {
            pair.sample_rtt(sample);
        }
        let dead = pair.is_dead();
        let in_use = self.selected == Some(id) || self.nominated == Some(id);
        match &mut pair.consent {
            // RFC 7675, section 5.1: after consent has expired, only new credentials bring it back.
            None if transaction.purpose == Purpose::Consent || dead => return,
            Some(consent) => {
                consent.renew(now, &self.config);
                if !in_use && transaction.purpose == Purpose::Consent {
                    consent.rest(now, &self.config, &mut self.rng);
                }
            }
            // RFC 7675, section 5.1: "Initial consent to send traffic is obtained using ICE", by this response.
            consent @ None => {
                let granted = Consent::granted(now, &self.config, &mut self.rng);
                self.timers.note_consent(granted.poll_timeout());
                *consent = Some(granted);
            }
        }
        if transaction.purpose == Purpose::Consent {
            return;
        }
        let is_news = pair.state != PairState::Succeeded;
        let found = is_news && self.timers.looking && self.role == Role::Controlling;
        pair.state = PairState::Succeeded;
        pair.outcome = Outcome::Valid;
        if let Some(local) = local {
            *pair.local = local;
        }
        let (path, generation, wanted) = (pair.path, pair.generation, pair.use_candidate_at.is_some());
        self.transactions.cancel_ordinary(id);
        if is_news {
            info!("ice: {path} works");
            self.list.thaw_like(id);
            self.timers.first_valid.get_or_insert(now);
        }
        if generation != self.current.number {
            return;
        }
        match self.role {
            // RFC 8445, section 7.2.5.3.4: after "a successful response" to a request with USE-CANDIDATE "the
            // agent sets the nominated flag of the pair to true".
            Role::Controlling if transaction.nominates(&self.numbers) => self.settle(id),
            // RFC 8445, section 7.3.1.5: the pair was waiting for this check to be nominated.
            Role::Controlled if wanted => self.accept_nomination(id),
            // It may be worse than the path in use, but that one has to show that it still works.
            _ if found => self.suspect_move(id),
            _ => {}
        }
    }

    /// RFC 8445, section 7.2.5.3.1: the mapped address tells which local candidate the pair is valid for.
    fn local_seen_as(
        &self,
        transaction: &Transaction,
        mapped: SocketAddr,
    ) -> Option<crate::candidate::Candidate> {
        let base = self
            .gatherer
            .base(transaction.path.local, transaction.path.transport)?;
        let known = self.gatherer.by_mapped_address(base, mapped);
        if base.address == mapped {
            return Some(base.candidate.clone());
        }
        let learned = || self.gatherer.peer_reflexive(base, mapped, transaction.priority);
        Some(known.cloned().unwrap_or_else(learned))
    }

    fn on_error(&mut self, transaction: &Transaction, error: Option<u16>) {
        let id = transaction.pair;
        match error {
            // A lite peer has no role to change, nor has who talks to one (section 6.1.1).
            Some(code::ROLE_CONFLICT) if !self.remote_lite => {
                // RFC 8445, section 7.2.5.1: an agent that still has the role of the request switches, and
                // "MUST change the tiebreaker value"; it "MUST add the candidate pair whose check generated
                // the 487 error response to the triggered-check queue".
                if transaction.role == self.role {
                    self.stats.role_conflicts += 1;
                    self.tie_breaker = self.rng.random();
                    self.switch_role();
                }
                if let Some(pair) = self.list.get_mut(id).filter(|pair| !pair.is_valid()) {
                    pair.state = PairState::Waiting;
                    self.trigger(id);
                }
            }
            Some(FORBIDDEN) if self.list.get(id).is_some_and(Pair::is_valid) => {
                self.lose_pair(id, Outcome::ConsentRevoked, FailureReason::ConsentRevoked);
            }
            _ if transaction.purpose == Purpose::Consent || transaction.cancelled => {
                debug!("ice: {} answered a check with {error:?}", transaction.path);
            }
            Some(error) => self.fail_pair(id, Outcome::Refused(error)),
            None => self.fail_pair(id, Outcome::Nonsense),
        }
    }

    /// A check failed. RFC 8445, section 7.2.5.2: the pair's state is Failed.
    pub(crate) fn fail_pair(&mut self, id: PairId, outcome: Outcome) {
        let Some(pair) = self.list.get_mut(id) else { return };
        // The second check of a valid pair, to nominate it, may fail too. What it proved before still holds for
        // consent; another nomination is tried with the next best pair, or this one again.
        if pair.is_valid() || pair.is_dead() {
            return;
        }
        debug!("ice: {} failed: {outcome}", pair.path);
        pair.state = PairState::Failed;
        if matches!(pair.outcome, Outcome::Untried | Outcome::Unanswered) || outcome != Outcome::TimedOut {
            pair.outcome = outcome;
        }
    }
}

fn same_ends(a: Path, b: Path) -> bool {
    let same = crate::candidate::same_address;
    a.transport == b.transport && same(a.local, b.local) && same(a.remote, b.remote)
}
