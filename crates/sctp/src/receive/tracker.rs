//! Which TSNs have arrived: the cumulative TSN, and the ranges beyond it that gap ack blocks report.

use std::collections::VecDeque;

use crate::types::{Place, Tsn};

/// Gap ack blocks are 16-bit offsets: what is further ahead could not be acknowledged.
const MAX_AHEAD: usize = u16::MAX as usize;
/// How far a FORWARD TSN may reach.
pub(crate) const MAX_FORWARD: usize = 1 << 30;
/// Duplicates reported in one SACK at most.
const MAX_DUPLICATES: usize = 32;

/// What a TSN is, before it is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The next one.
    InOrder,
    /// New, beyond a gap, and before something that has arrived.
    Between,
    /// New, beyond a gap, and later than all that has arrived.
    Ahead,
    /// It has arrived before, or was skipped by a FORWARD TSN.
    Duplicate,
    /// Too far ahead, or it would open one gap too many.
    TooFar,
}

/// The arrivals of one direction.
#[derive(Debug)]
pub(crate) struct Tracker {
    cumulative: Place,
    /// First and last of each range beyond a gap, in order, not touching each other.
    ranges: VecDeque<(Place, Place)>,
    duplicates: Vec<Tsn>,
    max_ranges: usize,
}

impl Tracker {
    pub(crate) fn new(first: Place, max_ranges: usize) -> Self {
        Self {
            cumulative: first.previous(),
            ranges: VecDeque::new(),
            duplicates: Vec::new(),
            max_ranges,
        }
    }

    pub(crate) fn cumulative(&self) -> Place {
        self.cumulative
    }

    pub(crate) fn has_gaps(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// The first range that ends at or after `place`.
    fn position(&self, place: Place) -> usize {
        match self.ranges.back() {
            Some(last) if last.1 < place => self.ranges.len(),
            _ => self.ranges.partition_point(|range| range.1 < place),
        }
    }

    #[inline]
    pub(crate) fn classify(&self, place: Place) -> Arrival {
        if place == self.cumulative.next() {
            return Arrival::InOrder;
        }
        if place <= self.cumulative {
            return Arrival::Duplicate;
        }
        if place.since(self.cumulative) > MAX_AHEAD {
            return Arrival::TooFar;
        }
        let at = self.position(place);
        if self.ranges.get(at).is_some_and(|range| range.0 <= place) {
            return Arrival::Duplicate;
        }
        let touches = at > 0 && self.ranges[at - 1].1.next() == place
            || self.ranges.get(at).is_some_and(|range| range.0 == place.next());
        if !touches && self.ranges.len() >= self.max_ranges {
            Arrival::TooFar
        } else if at < self.ranges.len() {
            Arrival::Between
        } else {
            Arrival::Ahead
        }
    }

    /// Notes the arrival of a TSN that [`Tracker::classify`] called new.
    #[inline]
    pub(crate) fn record(&mut self, place: Place) {
        if place == self.cumulative.next() {
            self.cumulative = place;
            self.absorb();
        } else {
            self.record_ahead(place);
        }
    }

    fn record_ahead(&mut self, place: Place) {
        let at = self.position(place);
        let before = at > 0 && self.ranges[at - 1].1.next() == place;
        let after = self.ranges.get(at).is_some_and(|range| range.0 == place.next());
        match (before, after) {
            (true, true) => {
                self.ranges[at - 1].1 = self.ranges[at].1;
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at - 1].1 = place,
            (false, true) => self.ranges[at].0 = place,
            (false, false) => self.ranges.insert(at, (place, place)),
        }
    }

    /// Moves the cumulative TSN over ranges that it has reached.
    fn absorb(&mut self) {
        while let Some(&(first, last)) = self.ranges.front()
            && first <= self.cumulative.next()
        {
            self.cumulative = self.cumulative.max(last);
            self.ranges.pop_front();
        }
    }

    /// RFC 3758, section 3.6: "first update its cumulative TSN point to the value carried in the FORWARD TSN chunk, and
    /// then MUST further advance its cumulative TSN point locally if possible".
    pub(crate) fn forward(&mut self, place: Place) {
        self.cumulative = self.cumulative.max(place);
        while self
            .ranges
            .front()
            .is_some_and(|range| range.1 <= self.cumulative)
        {
            self.ranges.pop_front();
        }
        self.absorb();
    }

    /// The peer goes on with another TSN, and what came before is forgotten (RFC 6525, section 5.2.4).
    pub(crate) fn jump(&mut self, next: Tsn) {
        self.cumulative = self.cumulative.next().at_or_after(next).previous();
        self.ranges.clear();
        self.duplicates.clear();
    }

    pub(crate) fn note_duplicate(&mut self, tsn: Tsn) {
        if self.duplicates.len() < MAX_DUPLICATES {
            self.duplicates.push(tsn);
        }
    }

    /// Takes the duplicates seen since the last SACK; [`Tracker::give_back`] the vector for its capacity.
    pub(crate) fn take_duplicates(&mut self) -> Vec<Tsn> {
        std::mem::take(&mut self.duplicates)
    }

    pub(crate) fn give_back(&mut self, mut duplicates: Vec<Tsn>) {
        duplicates.clear();
        self.duplicates = duplicates;
    }

    /// The first `max` gap ack blocks.
    pub(crate) fn blocks(&self, max: usize) -> impl ExactSizeIterator<Item = (u16, u16)> + '_ {
        let cumulative = self.cumulative;
        let offset = move |place: Place| u16::try_from(place.since(cumulative)).unwrap_or(u16::MAX);
        self.ranges
            .iter()
            .take(max)
            .map(move |&(first, last)| (offset(first), offset(last)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const FIRST: Tsn = Tsn(u32::MAX - 2);

    fn tracker() -> (Tracker, Place) {
        let first = Place::first(FIRST);
        (Tracker::new(first, 4), first)
    }

    #[test]
    fn gaps_open_grow_meet_and_close_across_the_wrap() {
        let (mut tracker, first) = tracker();
        for offset in [0, 2, 4, 3] {
            tracker.record(first.plus(offset));
        }
        assert_eq!(tracker.cumulative(), first);
        assert_eq!(tracker.blocks(9).collect::<Vec<_>>(), [(2, 4)]);
        assert_eq!(tracker.classify(first.plus(3)), Arrival::Duplicate);
        assert_eq!(tracker.classify(first), Arrival::Duplicate);
        tracker.record(first.plus(1));
        assert_eq!(tracker.cumulative(), first.plus(4));
        assert!(!tracker.has_gaps());
        assert_eq!(tracker.cumulative().tsn(), Tsn(1));
    }

    #[test]
    fn one_gap_too_many_is_refused_and_so_is_what_cannot_be_reported() {
        let (mut tracker, first) = tracker();
        for offset in [2, 4, 6, 8] {
            tracker.record(first.plus(offset));
        }
        assert_eq!(tracker.classify(first.plus(10)), Arrival::TooFar);
        assert_eq!(tracker.classify(first.plus(9)), Arrival::Ahead);
        assert_eq!(tracker.classify(first.plus(70_000)), Arrival::TooFar);
    }

    #[test]
    fn forward_tsn_follows_the_example_of_rfc_3758_section_3_6() {
        let (mut tracker, first) = tracker();
        for offset in [0, 2, 3, 5] {
            tracker.record(first.plus(offset));
        }
        tracker.forward(first.plus(1));
        assert_eq!(tracker.cumulative(), first.plus(3));
        assert_eq!(tracker.blocks(9).collect::<Vec<_>>(), [(2, 2)]);
    }

    proptest! {
        #[test]
        fn any_order_of_arrival_agrees_with_a_set(offsets in prop::collection::vec(0u64..60, 1..80)) {
            let first = Place::first(FIRST);
            let mut tracker = Tracker::new(first, usize::MAX);
            let mut set = BTreeSet::new();
            for offset in offsets {
                let place = first.plus(offset);
                let new = set.insert(offset);
                let arrival = tracker.classify(place);
                prop_assert_eq!(new, arrival != Arrival::Duplicate);
                if new {
                    tracker.record(place);
                }
                let contiguous = (0..).take_while(|offset| set.contains(offset)).count() as u64;
                prop_assert_eq!(tracker.cumulative().next(), first.plus(contiguous));
                let reported: usize = tracker.blocks(usize::MAX).map(|(a, b)| usize::from(b - a) + 1).sum();
                prop_assert_eq!(reported as u64 + contiguous, set.len() as u64);
            }
        }
    }
}
