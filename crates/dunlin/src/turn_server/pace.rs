//! The pace of a worker. Under load it works in rounds: each socket is read once, and the next round begins a moment after
//! this one has, so that the datagrams of a flow come together: they are then read with fewer calls and leave as one train
//! (docs/decisions/0027). Whoever is not busy does not wait, and neither does whoever works for longer than that moment.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Below this load, in datagrams per second, nobody waits for others.
const BUSY: u64 = 40_000;
/// The load is looked at in steps of this length at least: one burst is no load.
const STEP: Duration = Duration::from_millis(1);
/// A rest that is shorter than this is not worth its own cost.
const LEAST: Duration = Duration::from_micros(50);
/// What the system accounts for a datagram of usual size that waits in a socket, in bytes.
const QUEUED: u64 = 2304;

/// What a worker has done lately. Its own thread alone writes it; atomic, because the runtime wants its hooks so.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    longest: Duration,
    /// As many datagrams may come during a rest: a quarter of the smallest queue.
    room: u64,
    /// Datagrams since `since`.
    count: AtomicU64,
    /// Nanoseconds after `start`.
    since: AtomicU64,
    /// Datagrams per second.
    load: AtomicU64,
    /// When this round began: nanoseconds after `start`.
    began: AtomicU64,
    /// Wakes those who wait for the next round.
    round: Notify,
}

impl Pace {
    /// With rests of at most this length, and sockets whose queues hold `queue` bytes at least.
    pub(super) fn new(longest: Duration, queue: usize, start: Instant) -> Self {
        Self {
            start,
            longest,
            room: queue as u64 / QUEUED / 4,
            count: AtomicU64::new(0),
            since: AtomicU64::new(0),
            load: AtomicU64::new(0),
            began: AtomicU64::new(0),
            round: Notify::new(),
        }
    }

    /// Whether sockets wait for rounds.
    pub(super) fn is_busy(&self) -> bool {
        self.load.load(Relaxed) >= BUSY && !self.longest.is_zero()
    }

    /// Returns when the next round begins: everybody has done what there was to do, and the worker has rested.
    pub(super) async fn next_round(&self) {
        self.round.notified().await;
    }

    /// The next round begins now.
    pub(super) fn begin(&self, now: Instant) {
        self.began.store(self.nanos(now), Relaxed);
        self.round.notify_waiters();
    }

    fn nanos(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// So many datagrams came.
    pub(super) fn note(&self, datagrams: usize) {
        self.count
            .store(self.count.load(Relaxed) + datagrams as u64, Relaxed);
    }

    /// How long to rest, now that nothing is left to do in this round.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        let at = self.nanos(now);
        let elapsed = at.saturating_sub(self.since.load(Relaxed));
        if u128::from(elapsed) >= STEP.as_nanos() {
            let load = u128::from(self.count.load(Relaxed)) * 1_000_000_000 / u128::from(elapsed);
            self.load.store(u64::try_from(load).unwrap_or(u64::MAX), Relaxed);
            self.count.store(0, Relaxed);
            self.since.store(at, Relaxed);
        }
        let load = self.load.load(Relaxed);
        if load < BUSY {
            return None;
        }
        let filled = Duration::from_nanos(self.room.saturating_mul(1_000_000_000) / load);
        let worked = Duration::from_nanos(at.saturating_sub(self.began.load(Relaxed)));
        let rest = self.longest.min(filled).saturating_sub(worked);
        (rest >= LEAST).then_some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[expect(clippy::disallowed_methods, reason = "a base to count virtual time from")]
    fn base() -> Instant {
        Instant::now()
    }

    #[test]
    fn only_a_load_is_worth_a_rest_and_one_burst_is_none() {
        let start = base();
        let pace = Pace::new(MILLI, 8 << 20, start);
        assert_eq!(pace.rest(start), None);
        // A frame of a video after a silence: much in a short time.
        pace.note(50);
        assert_eq!(pace.rest(start + Duration::from_micros(30)), None);
        assert_eq!(pace.rest(start + 20 * MILLI), None);
        // 100 in each millisecond are 100,000 per second.
        pace.note(100);
        pace.begin(start + 21 * MILLI);
        assert_eq!(pace.rest(start + 21 * MILLI), Some(MILLI));
        assert!(pace.is_busy());
        // What was worked is not rested.
        pace.begin(start + 21 * MILLI);
        pace.note(100);
        let worked = Duration::from_micros(600);
        assert_eq!(pace.rest(start + 21 * MILLI + worked), Some(MILLI - worked));
        assert_eq!(pace.rest(start + 22 * MILLI), None);
        // And then no more.
        assert_eq!(pace.rest(start + 25 * MILLI), None);
        assert!(!pace.is_busy());
    }

    #[test]
    fn a_rest_ends_before_the_queues_are_full_and_may_be_switched_off() {
        let start = base();
        let busy = |longest, queue| {
            let pace = Pace::new(longest, queue, start);
            pace.note(250);
            pace.begin(start + MILLI);
            pace.rest(start + MILLI)
        };
        // What Linux gives by default: 46 datagrams of 184 come in 184 us at 250,000 per second.
        assert_eq!(busy(MILLI, 425_984), Some(Duration::from_micros(184)));
        assert_eq!(busy(MILLI, 8 << 20), Some(MILLI));
        // A queue that is full at once.
        assert_eq!(busy(MILLI, 50_000), None);
        assert_eq!(busy(Duration::ZERO, 8 << 20), None);
    }
}
