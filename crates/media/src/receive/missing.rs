//! Packets that are missing, and when to ask for them (RFC 4585, section 6.2.1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dunlin_rtp::rtcp::Nack;
use dunlin_rtp::{ExtendedSequence, SequenceNumber};

/// When and how often to ask.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NackPolicy {
    pub(crate) delay: Duration,
    pub(crate) retry: Duration,
    pub(crate) retries: u8,
    pub(crate) max: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    sequence: i64,
    asked: u8,
    due: Instant,
}

/// The missing packets of one stream, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Missing {
    entries: VecDeque<Entry>,
}

impl Missing {
    /// All packets between `highest` and `sequence` are missing now. A gap larger than the bound cannot be
    /// repaired in time: it is given up, with everything before it.
    pub(crate) fn gap(&mut self, highest: i64, sequence: i64, now: Instant, policy: &NackPolicy) {
        let gap = usize::try_from(sequence - highest - 1).unwrap_or(0);
        if gap == 0 {
            return;
        }
        if gap > policy.max {
            self.entries.clear();
            return;
        }
        while self.entries.len() + gap > policy.max {
            self.entries.pop_front();
        }
        let due = now + policy.delay;
        self.entries.extend((highest + 1..sequence).map(|sequence| Entry {
            sequence,
            asked: 0,
            due,
        }));
    }

    /// A packet arrived after all.
    pub(crate) fn arrived(&mut self, sequence: i64) {
        if let Ok(at) = self
            .entries
            .binary_search_by_key(&sequence, |entry| entry.sequence)
        {
            self.entries.remove(at);
        }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.entries.iter().map(|entry| entry.due).min()
    }

    /// Adds what is due to `nack`, at most `room` pairs of it; packets that were asked for often enough are
    /// given up.
    pub(crate) fn collect(&mut self, now: Instant, room: usize, policy: &NackPolicy, nack: &mut Nack) {
        self.entries.retain_mut(|entry| {
            if entry.due > now {
                return true;
            }
            let sequence: SequenceNumber = ExtendedSequence(entry.sequence).low();
            let fits = nack.pairs.len() < room
                || nack
                    .pairs
                    .last()
                    .is_some_and(|last| (1..=16).contains(&sequence.distance_from(last.pid)));
            if fits {
                nack.push(sequence);
                entry.asked += 1;
                entry.due = now + policy.retry;
            }
            entry.asked < policy.retries
        });
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use dunlin_rtp::Ssrc;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn policy() -> NackPolicy {
        NackPolicy {
            delay: 5 * MS,
            retry: 50 * MS,
            retries: 2,
            max: 20,
        }
    }

    fn asked(missing: &mut Missing, now: Instant, room: usize) -> Vec<u16> {
        let mut nack = Nack::new(Ssrc(1), Ssrc(2));
        missing.collect(now, room, &policy(), &mut nack);
        nack.sequences().map(|sequence| sequence.0).collect()
    }

    #[test]
    fn a_packet_is_asked_for_after_the_delay_and_again_after_the_round_trip() {
        let start = Instant::now();
        let mut missing = Missing::default();
        missing.gap(65_534, 65_538, start, &policy());
        assert_eq!(asked(&mut missing, start + 4 * MS, 9), []);
        missing.arrived(65_536);
        assert_eq!(missing.due(), Some(start + 5 * MS));
        assert_eq!(asked(&mut missing, start + 5 * MS, 9), [65_535, 1]);
        assert_eq!(asked(&mut missing, start + 54 * MS, 9), []);
        assert_eq!(asked(&mut missing, start + 55 * MS, 9), [65_535, 1]);
        assert_eq!(
            asked(&mut missing, start + 105 * MS, 9),
            [],
            "asked for twice, given up"
        );
        assert_eq!((missing.due(), missing.len()), (None, 0));
    }

    #[test]
    fn what_is_remembered_and_what_is_asked_at_once_is_bounded() {
        let start = Instant::now();
        let mut missing = Missing::default();
        missing.gap(0, 16, start, &policy());
        missing.gap(16, 27, start, &policy());
        assert_eq!(missing.len(), 20);
        assert_eq!(
            asked(&mut missing, start + 5 * MS, 1).len(),
            16,
            "one pair reaches 17 numbers"
        );
        assert_eq!(missing.due(), Some(start + 5 * MS), "the others are still due");
        missing.gap(27, 49, start, &policy());
        assert_eq!(missing.len(), 0, "too large a gap");
    }
}
