//! How late a packet may come before it counts as lost (RFC 8985, RACK, with TSNs for segments).
//!
//! A chunk is lost when something sent later has arrived and the chunk itself has had a round trip and the reordering
//! window to do so. The window is nothing until reordering is seen; then it is as long as packets are seen to be late.

use std::time::{Duration, Instant};

use crate::types::Place;

/// RFC 8985, section 7.3.2: how many recoveries a wider window outlasts.
const PERSISTENCE: u32 = 16;
/// The least window once there is reordering: what a local queue may swap.
const LEAST_WINDOW: Duration = Duration::from_millis(1);

/// RACK's state.
#[derive(Debug, Default)]
pub(crate) struct Rack {
    /// The chunk sent last of all those delivered, and its round trip.
    newest: Option<(Instant, Place)>,
    rtt: Duration,
    /// The highest place delivered.
    highest: Option<Place>,
    /// Something sent once arrived after something sent later.
    reordering: bool,
    /// How late chunks were seen to be, beyond the round trip of what overtook them.
    lateness: Duration,
    /// Recoveries until `lateness` is forgotten.
    persistence: u32,
    /// What was sent before this may be in vain for the same reason as what was last.
    widened_until: Option<Place>,
}

impl Rack {
    /// A chunk arrived that was sent, last, at `sent_at`, `rtt` ago.
    pub(crate) fn on_delivered(
        &mut self,
        place: Place,
        sent_at: Instant,
        rtt: Duration,
        first_transmission: bool,
        min_rtt: Duration,
    ) {
        // Section 6.2, step 2: an acknowledgement faster than any round trip is for the first transmission.
        if !first_transmission && rtt < min_rtt {
            return;
        }
        if first_transmission && self.highest.is_some_and(|highest| place < highest) {
            self.reordering = true;
            if let Some((_, newest)) = self.newest
                && newest > place
            {
                self.widen(rtt.saturating_sub(self.rtt));
            }
        }
        self.highest = self.highest.max(Some(place));
        if self.newest.is_none_or(|newest| newest <= (sent_at, place)) {
            self.newest = Some((sent_at, place));
            self.rtt = rtt;
        }
    }

    fn widen(&mut self, lateness: Duration) {
        self.lateness = self.lateness.max(lateness);
        self.persistence = PERSISTENCE;
    }

    /// A retransmission was not needed: its first transmission arrived after all. Section 6.2, step 4: the window is
    /// widened once in the time from `oldest`, which is not acknowledged yet, to `next`, which is not sent yet.
    pub(crate) fn on_spurious(&mut self, oldest: Place, next: Place, min_rtt: Duration) {
        self.reordering = true;
        if self.widened_until.is_none_or(|until| oldest >= until) {
            self.widened_until = Some(next);
            self.widen(self.lateness + min_rtt / 4);
        }
    }

    /// A recovery ended.
    pub(crate) fn on_recovered(&mut self) {
        self.persistence = self.persistence.saturating_sub(1);
        if self.persistence == 0 {
            self.lateness = Duration::ZERO;
        }
    }

    /// Whether packets were seen to overtake one another.
    pub(crate) fn reordering_seen(&self) -> bool {
        self.reordering
    }

    /// Section 6.2, step 4: RACK_update_reo_wnd.
    pub(crate) fn window(&self, min_rtt: Duration, smoothed_rtt: Duration, recovering: bool) -> Duration {
        if !self.reordering && recovering {
            return Duration::ZERO;
        }
        (min_rtt / 4)
            .max(LEAST_WINDOW)
            .max(self.lateness)
            .min(smoothed_rtt)
    }

    /// When a chunk in flight counts as lost; `None` when nothing sent after it has arrived.
    pub(crate) fn deadline(&self, sent_at: Instant, place: Place, window: Duration) -> Option<Instant> {
        let newest = self.newest?;
        ((sent_at, place) < newest).then(|| sent_at + self.rtt + window)
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
    fn without_reordering_a_gap_is_a_quarter_of_a_round_trip_and_nothing_in_recovery() {
        let rack = Rack::default();
        assert_eq!(rack.window(MS * 40, MS * 50, false), MS * 10);
        assert_eq!(rack.window(MS * 40, MS * 50, true), Duration::ZERO);
    }

    #[test]
    fn the_window_grows_as_packets_come_late_up_to_a_round_trip_and_is_forgotten() {
        let start = start();
        let place = Place::first(Tsn(1));
        let mut rack = Rack::default();
        rack.on_delivered(place.next(), start + MS * 2, MS * 40, true, MS * 40);
        assert_eq!(rack.deadline(start, place, MS * 10), Some(start + MS * 50));
        assert_eq!(rack.deadline(start + MS * 2, place.plus(2), MS * 10), None);
        rack.on_delivered(place, start, MS * 70, true, MS * 40);
        assert!(rack.reordering_seen());
        assert_eq!(rack.window(MS * 40, MS * 50, true), MS * 30);
        rack.on_spurious(place, place.plus(3), MS * 40);
        rack.on_spurious(place.plus(2), place.plus(4), MS * 40);
        assert_eq!(rack.window(MS * 40, MS * 100, true), MS * 40);
        assert_eq!(rack.window(MS * 40, MS * 35, true), MS * 35);
        rack.on_spurious(place.plus(3), place.plus(5), MS * 40);
        assert_eq!(rack.window(MS * 40, MS * 100, true), MS * 50);
        for _ in 0..PERSISTENCE {
            rack.on_recovered();
        }
        assert_eq!(rack.window(MS * 40, MS * 50, true), MS * 10);
    }

    #[test]
    fn an_answer_too_fast_to_be_one_says_nothing() {
        let start = start();
        let place = Place::first(Tsn(1));
        let mut rack = Rack::default();
        rack.on_delivered(place.next(), start, MS * 3, false, MS * 40);
        assert_eq!(rack.deadline(start, place, MS), None);
    }
}
