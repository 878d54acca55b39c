//! Whose turn it is (RFC 8260, section 3): the streams that have something to send, by the key of the scheduler.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::config::Scheduler;

/// The priority, or weight, of a stream that was given none: what RFC 8831, section 6.4, calls "normal" is 256.
const USUAL_PRIORITY: u16 = 256;
/// The virtual time of a byte at weight 1.
const TICK: u64 = 1 << 20;

/// A stream's place in the line: the least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    key: u64,
    /// Breaks ties: first come, first served.
    order: u64,
    pub(crate) slot: usize,
}

/// What the scheduler keeps of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    priority: u16,
    /// Weighted fair: the virtual time of a byte.
    cost: u64,
    /// Weighted fair: when, in virtual time, the stream may send next.
    start: u64,
}

impl Share {
    pub(crate) fn set_priority(&mut self, priority: u16) {
        self.priority = priority;
        self.cost = TICK / u64::from(priority.max(1));
    }
}

impl Default for Share {
    fn default() -> Self {
        let mut share = Self {
            priority: 0,
            cost: 0,
            start: 0,
        };
        share.set_priority(USUAL_PRIORITY);
        share
    }
}

/// The line.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    scheduler: Scheduler,
    current: Option<Turn>,
    others: BinaryHeap<Reverse<Turn>>,
    /// The virtual time of weighted fair queueing: the start of what was sent last.
    clock: u64,
    count: u64,
}

impl Turns {
    pub(crate) fn new(scheduler: Scheduler) -> Self {
        Self {
            scheduler,
            ..Self::default()
        }
    }

    pub(crate) fn scheduler(&self) -> Scheduler {
        self.scheduler
    }

    /// Whether this scheduler makes use of I-DATA to let others go in the middle of a message.
    pub(crate) fn interleaves(&self) -> bool {
        self.scheduler != Scheduler::FirstCome
    }

    fn turn(&mut self, slot: usize, share: &Share, arrival: u64) -> Turn {
        self.count += 1;
        let key = match self.scheduler {
            Scheduler::FirstCome => arrival,
            Scheduler::RoundRobin => self.count,
            Scheduler::WeightedFair => share.start,
            Scheduler::Priority => u64::from(u16::MAX - share.priority),
        };
        Turn {
            key,
            order: self.count,
            slot,
        }
    }

    /// A stream begins to have something to send, the first of it handed over as number `arrival`.
    pub(crate) fn enter(&mut self, slot: usize, share: &mut Share, arrival: u64) {
        // What it did not send while it had nothing to send is not owed to it.
        share.start = share.start.max(self.clock);
        let turn = self.turn(slot, share, arrival);
        self.others.push(Reverse(turn));
    }

    /// The stream whose turn it is when no other wants one.
    pub(crate) fn only(&self) -> Option<usize> {
        match &self.current {
            Some(turn) if self.others.is_empty() => Some(turn.slot),
            _ => None,
        }
    }

    /// The stream whose turn it is. `stay`: the one that sent last goes on.
    pub(crate) fn front(&mut self, stay: bool) -> Option<usize> {
        match &mut self.current {
            None => self.current = self.others.pop().map(|Reverse(turn)| turn),
            Some(_) if stay => {}
            Some(current) => {
                if let Some(mut first) = self.others.peek_mut()
                    && first.0 < *current
                {
                    std::mem::swap(current, &mut first.0);
                }
            }
        }
        self.current.map(|turn| turn.slot)
    }

    /// The stream whose turn it is sent so much.
    pub(crate) fn sent(&mut self, bytes: usize, share: &mut Share) {
        if self.scheduler == Scheduler::WeightedFair {
            self.clock = self.clock.max(share.start);
            let time = (bytes as u64).saturating_mul(share.cost);
            share.start = share.start.saturating_add(time);
        }
    }

    /// The stream whose turn it was goes back into the line. Alone it needs no place there: one that comes later finds it a
    /// fragment further ahead than it should be.
    pub(crate) fn requeue(&mut self, share: &Share, arrival: u64) {
        if let Some(current) = self.current
            && !self.others.is_empty()
        {
            self.current = Some(self.turn(current.slot, share, arrival));
        }
    }

    /// The stream whose turn it was has nothing to send, or must wait.
    pub(crate) fn leave(&mut self) {
        self.current = None;
    }

    /// The priority of a stream that is in the line has changed.
    pub(crate) fn reprioritize(&mut self, slot: usize, share: &Share) {
        if self.scheduler != Scheduler::Priority {
            return;
        }
        let key = u64::from(u16::MAX - share.priority);
        if let Some(current) = self.current.as_mut().filter(|turn| turn.slot == slot) {
            current.key = key;
        }
        let mut others = std::mem::take(&mut self.others).into_vec();
        for Reverse(turn) in others.iter_mut().filter(|turn| turn.0.slot == slot) {
            turn.key = key;
        }
        self.others = others.into();
    }
}
