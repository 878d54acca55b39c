//! Sorted and disjoint ranges of TSNs, both ends in them, compared with one another.

use super::Range;
use crate::types::Place;

/// Whether each of the `inner` ranges lies in one of the `outer`; both are sorted and disjoint.
pub(super) fn covers(outer: &[Range], inner: &[Range]) -> bool {
    let mut outer = outer.iter().peekable();
    inner.iter().all(|&(first, last)| {
        while outer.next_if(|range| range.1 < last).is_some() {}
        outer.peek().is_some_and(|range| range.0 <= first)
    })
}

/// Visits each place that is in a range of `these` and in none of `those`; both are sorted and disjoint.
pub(super) fn for_each_difference(these: &[Range], those: &[Range], mut visit: impl FnMut(Place)) {
    let mut others = those.iter().peekable();
    for &(first, last) in these {
        let mut place = first;
        while place <= last {
            while others.next_if(|other| other.1 < place).is_some() {}
            let until = match others.peek() {
                Some(other) if other.0 <= place => {
                    place = other.1.next();
                    continue;
                }
                Some(other) => last.min(other.0.previous()),
                None => last,
            };
            while place <= until {
                visit(place);
                place = place.next();
            }
        }
    }
}
