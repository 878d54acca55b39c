//! SACKs that leave out what they have no room for. Some receivers report few gaps, dcsctp 20, whatever has arrived: what
//! stands behind the last of them has mostly arrived a round trip after it was sent, and is neither lost nor under way.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Outstanding;
use crate::types::Place;

/// A report of fewer blocks is taken for all there is.
const LEAST: usize = 16;
/// So many reports with as many blocks as ever, of arrivals that they do not show, tell that there is no room for more.
const UNSEEN: u32 = 8;
/// Where more than one chunk in so many is missing, as when a queue overflowed, much of what is not shown is missing, too.
const SPARSE: usize = 8;
/// The parts of a round trip in which what was sent is remembered.
const PARTS: u32 = 16;

/// How much of what arrived is reported, and what should have arrived by now.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// The most blocks that a report ever had.
    most: usize,
    /// The blocks of the last report, and how many chunks it spans.
    last: usize,
    span: usize,
    /// How many reports with the most blocks did not show what had arrived.
    unseen: u32,
    /// The receive window that the last report told of.
    window: u32,
    /// Moments, and the place that was next then.
    sent: VecDeque<(Instant, Place)>,
}

impl Report {
    /// A SACK had so many blocks over so many chunks, told of this window, and of something new or not. When nothing is new,
    /// and less fits into the window than before, something has arrived that is not shown.
    pub(super) fn note(&mut self, (blocks, span): (usize, usize), window: u32, is_new: bool) {
        let before = std::mem::replace(&mut self.window, window);
        let is_unseen = !is_new && window < before;
        (self.last, self.span) = (blocks, span);
        if blocks > self.most {
            (self.most, self.unseen) = (blocks, 0);
        } else if blocks == self.most && is_unseen {
            self.unseen = self.unseen.saturating_add(1);
        }
    }

    /// The last SACK may have left out what arrived behind its last block.
    pub(super) fn is_short(&self) -> bool {
        let is_full = self.last >= LEAST && self.last == self.most && self.unseen >= UNSEEN;
        is_full && self.span >= self.last * SPARSE
    }

    /// What was sent before the answer is more than a round trip and a quarter old.
    pub(super) fn overdue(&mut self, now: Instant, next: Place, round_trip: Duration) -> Option<Place> {
        if self.most < LEAST {
            return None;
        }
        let part = round_trip / PARTS;
        if self.sent.back().is_none_or(|(at, _)| *at + part <= now) {
            self.sent.push_back((now, next));
        }
        let old = |at: Instant| at + round_trip + round_trip / 4 <= now;
        while self.sent.get(1).is_some_and(|(at, _)| old(*at)) {
            self.sent.pop_front();
        }
        self.sent
            .front()
            .filter(|(at, _)| old(*at))
            .map(|(_, next)| *next)
    }
}

impl Outstanding {
    /// A SACK with that many blocks may have had no room for more: what earlier ones reported beyond them still holds.
    pub(super) fn keep_unreported(&mut self) {
        let Some(&(_, last)) = self.scratch.last() else {
            return;
        };
        for &(first, end) in self.gaps.iter().filter(|gap| gap.1 > last) {
            match self.scratch.last_mut() {
                Some(block) if first <= block.1.next() => block.1 = end,
                _ => self.scratch.push((first, end)),
            }
        }
    }

    /// Bytes in flight without those that seem to have arrived unreported.
    pub(crate) fn under_way(&self) -> usize {
        self.flight.saturating_sub(self.unreported)
    }

    /// Counts, after a SACK, what seems to have arrived behind its last block.
    pub(super) fn count_unreported(&mut self, now: Instant, round_trip: Duration) {
        let overdue = self.report.overdue(now, self.next(), round_trip);
        let reported = self.gaps.last().map(|gap| gap.1.next());
        self.unreported = match (overdue, reported) {
            (Some(overdue), Some(reported)) if self.report.is_short() && overdue > reported => {
                let size = self.at(reported).map_or(0, |chunk| chunk.wire_len());
                overdue.since(reported) * size
            }
            _ => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Tsn;

    const MS: Duration = Duration::from_millis(1);

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods)]
        Instant::now()
    }

    #[test]
    fn a_receiver_that_never_reports_more_is_found_out() {
        let mut report = Report::default();
        let mut window = 1_000_000;
        let mut note = |blocks, taken, is_new| {
            window -= taken;
            report.note((blocks, 1000), window, is_new);
            report.is_short()
        };
        for blocks in 0..=20 {
            assert!(!note(blocks, 1000, true));
        }
        for _ in 1..UNSEEN {
            assert!(!note(20, 1000, false));
            // What is shown, and what only repeats, tells nothing.
            assert!(!note(20, 1000, true) && !note(20, 0, false));
        }
        assert!(note(20, 1000, false));
        assert!(!note(19, 1000, true), "it had room");
        assert!(note(20, 1000, true), "it is known by now");
        assert!(!note(21, 1000, true), "it can report more");
    }

    #[test]
    fn where_much_is_missing_what_is_not_shown_is_missing_too() {
        let mut report = Report::default();
        report.note((20, 1000), 2000, true);
        (0..UNSEEN).for_each(|i| report.note((20, 1000), 1000 - i, false));
        assert!(report.is_short());
        report.note((20, 40), 100, true);
        assert!(!report.is_short());
    }

    #[test]
    fn few_gaps_are_all_there_are() {
        let mut report = Report::default();
        (0..100).for_each(|i| report.note((LEAST - 1, 1000), 1000 - i, false));
        assert!(!report.is_short());
        assert_eq!(report.overdue(start(), Place::first(Tsn(1)), MS), None);
    }

    #[test]
    fn what_was_sent_a_round_trip_and_a_quarter_ago_should_have_arrived() {
        let (start, place) = (start(), Place::first(Tsn(1)));
        let mut report = Report::default();
        report.note((LEAST, 1000), 0, true);
        for i in 0..400 {
            let overdue = report.overdue(start + MS * i, place.plus(u64::from(i)), MS * 80);
            let late = overdue.map(|overdue| overdue.since(place) as u32);
            // To a sixteenth of the round trip.
            match late {
                None => assert!(i < 100),
                Some(late) => assert!((late..late + 6).contains(&(i - 100)), "{i} {late}"),
            }
            assert!(report.sent.len() <= 22);
        }
    }
}
