//! Requests that were sent and not answered yet (RFC 8445, section 7.2.2; RFC 8489, section 6.2).

use std::time::{Duration, Instant};

use dunlin_net::Path;
use dunlin_stun::{Retransmission, Step, TransactionId};

use crate::pair::PairId;
use crate::renomination::{Numbers, Renomination};
use crate::role::Role;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A connectivity check; `nominate`: with USE-CANDIDATE.
    Check {
        /// Carries USE-CANDIDATE.
        nominate: bool,
    },
    /// A consent check, sent once (RFC 7675, section 5.1).
    Consent,
}

/// One request: all that its bytes come from, so that a retransmission is the same message.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) id: TransactionId,
    pub(crate) pair: PairId,
    pub(crate) generation: u32,
    pub(crate) path: Path,
    pub(crate) purpose: Purpose,
    pub(crate) role: Role,
    pub(crate) tie_breaker: u64,
    pub(crate) priority: u32,
    /// The number of a nomination, with a peer that takes several.
    pub(crate) nomination: Option<(Renomination, u32)>,
    pub(crate) schedule: Retransmission,
    /// It was sent again before the schedule had it.
    pub(crate) repeated: bool,
    /// RFC 8445, section 7.3.1.4: "the agent will not retransmit the Binding requests [...], will not treat the lack
    /// of response to be a failure, but will wait the duration of the transaction timeout for a response."
    pub(crate) cancelled: bool,
}

impl Transaction {
    /// Whether it is a nomination, and no other pair was nominated since: then it is a check like any other.
    pub(crate) fn nominates(&self, numbers: &Numbers) -> bool {
        let number = self.nomination.map(|(_, number)| number);
        self.purpose == (Purpose::Check { nominate: true }) && numbers.stands(self.pair, number)
    }

    /// The round-trip time that a response received at `now` measures: none if nobody knows to which of several requests.
    pub(crate) fn round_trip(&self, now: Instant) -> Option<Duration> {
        self.schedule.round_trip(now).filter(|_| !self.repeated)
    }
}

/// All of them: a small table with a bound.
#[derive(Debug)]
pub(crate) struct Transactions {
    table: Vec<Transaction>,
    max: usize,
}

impl Transactions {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            table: Vec::new(),
            max,
        }
    }

    /// Adds one. A full table forgets the oldest that nobody waits for, else the oldest consent check; `false` when
    /// there is none of either.
    pub(crate) fn insert(&mut self, transaction: Transaction) -> bool {
        if self.table.len() >= self.max {
            let spare = |t: &Transaction| t.cancelled || t.purpose == Purpose::Consent;
            match self.table.iter().position(spare) {
                Some(index) => drop(self.table.remove(index)),
                None => return false,
            }
        }
        if self.table.is_empty() {
            // Consent takes one at a time, for as long as the connection lives.
            self.table = Vec::with_capacity(1);
        }
        self.table.push(transaction);
        true
    }

    pub(crate) fn get(&self, id: TransactionId) -> Option<&Transaction> {
        self.table.iter().find(|transaction| transaction.id == id)
    }

    pub(crate) fn take(&mut self, id: TransactionId) -> Option<Transaction> {
        let index = self.table.iter().position(|transaction| transaction.id == id)?;
        let taken = self.table.remove(index);
        if self.table.is_empty() {
            self.table = Vec::new();
        }
        Some(taken)
    }

    /// Stops sending the checks of a pair; their answers are still welcome.
    pub(crate) fn cancel_checks(&mut self, pair: PairId) {
        for transaction in self.table.iter_mut().filter(|t| t.pair == pair) {
            transaction.cancelled |= transaction.purpose != Purpose::Consent;
        }
    }

    /// Stops sending the checks of a pair that do not nominate it.
    pub(crate) fn cancel_ordinary(&mut self, pair: PairId) {
        let ordinary = Purpose::Check { nominate: false };
        for transaction in self
            .table
            .iter_mut()
            .filter(|t| t.pair == pair && t.purpose == ordinary)
        {
            transaction.cancelled = true;
        }
    }

    /// The check of a pair that is under way, to be sent once more.
    pub(crate) fn repeat(&mut self, pair: PairId) -> Option<TransactionId> {
        let under_way =
            |t: &&mut Transaction| t.pair == pair && !t.cancelled && t.purpose != Purpose::Consent;
        let transaction = self.table.iter_mut().find(under_way)?;
        transaction.repeated = true;
        Some(transaction.id)
    }

    /// Stops sending all nominations: they were for another generation.
    pub(crate) fn cancel_nominations(&mut self) {
        for transaction in self
            .table
            .iter_mut()
            .filter(|t| t.purpose == Purpose::Check { nominate: true })
        {
            transaction.cancelled = true;
        }
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&Transaction) -> bool) {
        self.table.retain(keep);
    }

    /// The pair that a check with USE-CANDIDATE is under way for.
    pub(crate) fn nominating(&self, numbers: &Numbers) -> Option<PairId> {
        let nominates = |t: &&Transaction| !t.cancelled && t.nominates(numbers);
        self.table.iter().find(nominates).map(|t| t.pair)
    }

    /// The pair of a nomination that was sent twice already.
    pub(crate) fn stale_nomination(&self, id: TransactionId, numbers: &Numbers) -> Option<PairId> {
        let stale = |t: &&Transaction| t.nominates(numbers) && t.schedule.sent() > 2;
        self.get(id).filter(stale).map(|t| t.pair)
    }

    /// The next transaction whose timer is due: what to do and, when it has ended, the transaction itself.
    pub(crate) fn next_due(&mut self, now: Instant) -> Option<Due> {
        let due = |t: &Transaction| t.schedule.poll_timeout().is_none_or(|at| at <= now);
        let index = self.table.iter().position(due)?;
        match self.table[index].schedule.on_timeout(now) {
            Step::Send if self.table[index].cancelled => Some(Due::Nothing),
            Step::Send => Some(Due::Send(self.table[index].id)),
            Step::Fail | Step::Nothing => Some(Due::Ended(self.table.remove(index))),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.table.iter().filter_map(|t| t.schedule.poll_timeout()).min()
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

/// What a due timer asks for.
#[derive(Debug)]
pub(crate) enum Due {
    /// Send it again.
    Send(TransactionId),
    /// It was never answered.
    Ended(Transaction),
    /// A cancelled one: time goes by.
    Nothing,
}
