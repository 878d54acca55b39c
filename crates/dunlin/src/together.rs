//! Timers of many connections that go off together: what costs is to wake up, and those who wake at one moment share
//! that.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A timer may be late by this part of what is left until it is due: from 3.6 s on, and so with every consent check, by the most.
const PART: u32 = 7;
/// But by no more than this.
const MOST: Duration = Duration::from_millis(512);
/// What is due sooner than this is due then: what is sent again because nothing came back.
const SOON: Duration = Duration::from_secs(1);

/// When to wake up for what is due at `due`: then, or a little later, at a moment that others choose as well.
///
/// Moments are those of a grid that the whole process has. Its steps are powers of two of a millisecond, the largest that
/// may be: so the moments of a coarse grid are moments of each finer one.
pub(crate) fn together(due: Instant, now: Instant) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    let start = *START.get_or_init(|| now);
    let left = due.saturating_duration_since(now);
    if left < SOON {
        return due;
    }
    let late = (left / PART).min(MOST).as_millis();
    let step = 1_u128 << late.max(1).ilog2();
    // To the next whole millisecond first: the grid is one of milliseconds.
    let at = due.saturating_duration_since(start).as_micros().div_ceil(1000);
    let at = u64::try_from(at.div_ceil(step) * step).unwrap_or(u64::MAX);
    start.checked_add(Duration::from_millis(at)).unwrap_or(due)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_far_away_falls_together_and_what_is_near_is_exact() {
        let now = Instant::now();
        for left in [0, 1, 20, 500, 999] {
            let due = now + left * MILLI;
            assert_eq!(together(due, now), due);
        }
        let mut moments = std::collections::BTreeSet::new();
        for left in 4000..6000 {
            let due = now + left * MILLI;
            let at = together(due, now);
            assert!(at >= due && at <= due + MOST, "{left} ms");
            moments.insert(at);
        }
        assert!(moments.len() <= 5, "{} moments in two seconds", moments.len());
    }

    #[test]
    fn nothing_is_later_than_a_seventh_of_what_was_left() {
        let now = Instant::now();
        for left in 1000..10_000 {
            let due = now + left * MILLI + Duration::from_micros(300);
            let late = together(due, now) - due;
            assert!(late <= MOST.min((due - now) / PART), "{left} ms");
        }
        // A timer that is armed again as time passes does not move away.
        let due = now + 5000 * MILLI;
        let mut at = together(due, now);
        for passed in 0..5000 {
            let again = together(due, now + passed * MILLI);
            assert!(again <= at && again >= due);
            at = again;
        }
    }
}
