//! How large the receive window is. It begins modest and grows to what the reader takes, as Linux' dynamic right-sizing
//! does for TCP: a path is filled when the window holds what it carries in a round trip, and a reader who takes nothing
//! needs none. See docs/decisions/0023-windows-that-grow.md.

use std::time::{Duration, Instant};

use crate::config::Config;

/// The window at first: fills 100 Mbit/s at 160 ms, and costs nothing until it is used.
const FIRST: usize = 2 << 20;
/// The window in multiples of what is taken in a round trip. What is offered now arrives a round trip later, when a sender
/// that doubles has twice as much under way, and the same again waits behind what is sent once more.
const ROUNDS: usize = 4;
/// The same once half of that waits behind holes: what is lost twice is waited for twice.
const ROUNDS_WITH_HOLES: usize = 8;
/// Readers and drivers are no faster than this, whatever the path is.
const LEAST_ROUND: Duration = Duration::from_millis(2);
/// A peer that claims to be farther away gains nothing.
const LONGEST_ROUND: Duration = Duration::from_secs(1);

/// The window, free or not, and what makes it grow.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    most: usize,
    /// What was taken in a round trip, at most.
    taken: usize,
    round: Option<Round>,
}

/// What happened since some moment.
#[derive(Debug, Clone, Copy)]
struct Round {
    began: Instant,
    arrived: usize,
    taken: usize,
}

impl Window {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            size: first(config),
            most: config.receive_window,
            taken: 0,
            round: None,
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// So many bytes arrived.
    pub(crate) fn on_arrival(&mut self, bytes: usize) {
        if let Some(round) = &mut self.round {
            round.arrived += bytes;
        }
    }

    /// The reader took so many bytes, bookkeeping included. It never shrinks: what was offered is owed.
    pub(crate) fn on_consumed(&mut self, now: Instant, bytes: usize, round_trip: Duration) {
        if self.size >= self.most {
            return;
        }
        let fresh = Round {
            began: now,
            arrived: 0,
            taken: 0,
        };
        let current = self.round.get_or_insert(fresh);
        current.taken += bytes;
        // What a hole held back is taken all at once, and says nothing of the path.
        let (began, taken) = (current.began, current.taken.min(current.arrived));
        let round = round_trip.clamp(LEAST_ROUND, LONGEST_ROUND);
        let elapsed = now.saturating_duration_since(began);
        if elapsed < round {
            return;
        }
        let share = round.as_secs_f64() / elapsed.as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a window is far below 2^52 bytes"
        )]
        let in_a_round_trip = (taken as f64 * share) as usize;
        self.round = Some(fresh);
        self.taken = self.taken.max(in_a_round_trip);
        self.grow_to(self.taken.saturating_mul(ROUNDS));
    }

    /// More than half of the window waits behind holes, and the reader has taken all that could be handed over.
    pub(crate) fn on_holes(&mut self) {
        self.grow_to(self.taken.saturating_mul(ROUNDS_WITH_HOLES));
    }

    /// Nothing of what fills the window can be handed over before more arrives: `true` when there is room now.
    pub(crate) fn on_stuck(&mut self) -> bool {
        let before = self.size;
        self.grow_to(self.size.saturating_mul(2));
        self.size > before
    }

    fn grow_to(&mut self, wanted: usize) {
        self.size = self.size.max(wanted.min(self.most));
    }
}

/// The window that an INIT or an INIT ACK offers.
pub(crate) fn first(config: &Config) -> usize {
    FIRST.max(config.least_window()).min(config.receive_window)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn window(most: usize) -> Window {
        let config = Config {
            receive_window: most,
            ..Config::default()
        };
        Window::new(&config.sanitized())
    }

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods)]
        Instant::now()
    }

    #[test]
    fn it_grows_to_what_is_taken_in_four_round_trips_and_never_shrinks() {
        let (start, mut window) = (start(), window(32 << 20));
        assert_eq!(window.size(), FIRST);
        for i in 0..1000 {
            window.on_arrival(12_500);
            window.on_consumed(start + MS * i, 12_500, MS * 100);
        }
        let size = window.size();
        assert!((4_900_000..5_200_000).contains(&size), "{size}");
        for i in 1000..3000 {
            window.on_arrival(100);
            window.on_consumed(start + MS * i, 100, MS * 100);
        }
        assert_eq!(window.size(), size);
    }

    #[test]
    fn bursts_after_a_rest_and_small_windows_change_nothing() {
        let (start, mut window) = (start(), window(32 << 20));
        for i in 0..100 {
            window.on_arrival(1_000_000);
            window.on_consumed(start + MS * 1000 * i, 1_000_000, MS * 100);
        }
        // A hole is filled.
        window.on_arrival(1000);
        window.on_consumed(start + MS * 100_000, 2_000_000, MS * 100);
        assert_eq!(window.size(), FIRST);
    }

    #[test]
    fn the_configured_size_is_never_exceeded_and_a_peer_that_claims_to_be_far_away_gains_nothing() {
        let (start, mut small) = (start(), window(600_000));
        assert_eq!(small.size(), 600_000);
        small.on_arrival(1 << 30);
        small.on_consumed(start, 1 << 30, MS);
        small.on_consumed(start + MS * 10, 1 << 30, MS);
        assert!(!small.on_stuck());
        assert_eq!(small.size(), 600_000);
        let mut far = window(32 << 20);
        for i in 0..3000 {
            far.on_arrival(1_000);
            far.on_consumed(start + MS * i, 1_000, MS * 60_000);
        }
        assert!(far.size() < 4_100_000, "{}", far.size());
        while far.on_stuck() {}
        assert_eq!(far.size(), 32 << 20);
    }
}
