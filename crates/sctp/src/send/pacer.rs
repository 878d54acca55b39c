//! Spreads packets over time, in bursts of a quantum, so that no burst overruns a queue on the way.
//!
//! The state changes only when something is sent: asking often changes nothing.

use std::time::{Duration, Instant};

/// A driver's timers tick in milliseconds; what a tick carries goes out together.
const TICK: Duration = Duration::from_millis(1);
/// The next burst is due before the next tick, and not just behind it.
const QUANTUM: Duration = Duration::from_micros(750);
/// A driver that wakes late makes up for this many ticks.
const MAX_CATCH_UP: u32 = 4;
/// The largest burst: 54 packets of 1,200 bytes, half of what fits in a socket buffer of 208 KiB, where the kernel
/// charges each packet twice its size.
const MAX_BURST: f64 = 65_536.0;
/// The same where a driver wakes late: what a tick of its timer carries goes in one, or its ticks set the rate.
const MAX_LATE_BURST: f64 = 98_304.0;
/// Both where packets are larger than usual: the kernel charges them little more than their size.
const MAX_LARGE_BURST: f64 = 131_072.0;

/// When the next packet may go.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// When all that was sent so far would have been sent at exactly the rate.
    due: Option<Instant>,
    /// When the next burst begins.
    release: Option<Instant>,
    /// Bytes that may go at once, whatever the rate.
    free: usize,
    /// Packets are larger than usual.
    large: bool,
    pace: Pace,
}

/// What follows from a rate: it changes once a SACK, and is asked for with each packet.
#[derive(Debug, Default)]
struct Pace {
    rate: f64,
    nanos_per_byte: f64,
    quantum: Duration,
    credit: Duration,
}

impl Pace {
    fn new(rate: f64, large: bool) -> Self {
        let (most, late) = if large {
            (MAX_LARGE_BURST, MAX_LARGE_BURST)
        } else {
            (MAX_BURST, MAX_LATE_BURST)
        };
        let [burst, late] = [most, late].map(|bytes| Duration::from_secs_f64(bytes / rate));
        Self {
            rate,
            nanos_per_byte: 1e9 / rate,
            quantum: QUANTUM.min(burst),
            credit: burst.min(TICK * MAX_CATCH_UP).max(late.min(TICK)),
        }
    }
}

impl Pacer {
    /// Nothing is under way: so many bytes may go at once, as an initial window may.
    pub(crate) fn restart(&mut self, bytes: usize) {
        self.free = bytes;
        self.release = None;
    }

    /// Packets are larger than usual from now on, or no longer.
    pub(crate) fn set_large(&mut self, large: bool) {
        if self.large != large {
            self.large = large;
            self.pace = Pace::default();
        }
    }

    /// Whether a packet may be sent.
    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        self.release.is_none_or(|at| at <= now)
    }

    /// When a packet may be sent, if that is after `now`.
    pub(crate) fn release(&self, now: Instant) -> Option<Instant> {
        self.release.filter(|&at| at > now)
    }

    /// `bytes` were sent while the rate was so many bytes per second; `None`: as fast as the window allows.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::float_cmp,
        reason = "a packet is small, and the rate is the same until it is set anew"
    )]
    pub(crate) fn on_sent(&mut self, now: Instant, bytes: usize, rate: Option<f64>) {
        if self.free > 0 {
            self.free = self.free.saturating_sub(bytes);
            return;
        }
        let Some(rate) = rate else {
            self.due = None;
            self.release = None;
            return;
        };
        if self.pace.rate != rate {
            self.pace = Pace::new(rate, self.large);
        }
        let earliest = now.checked_sub(self.pace.credit).unwrap_or(now);
        let time = Duration::from_nanos((bytes as f64 * self.pace.nanos_per_byte) as u64);
        let due = self.due.map_or(now, |due| due.max(earliest)) + time;
        self.due = Some(due);
        self.release = (due > now).then(|| due + self.pace.quantum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods)]
        Instant::now()
    }

    /// Sends all it may for a second; bytes, and the largest burst.
    fn run(rate: f64, late: Duration) -> (f64, usize, u32) {
        run_with(rate, late, false)
    }

    fn run_with(rate: f64, late: Duration, large: bool) -> (f64, usize, u32) {
        let start = start();
        let (mut now, mut total, mut largest, mut wakes) = (start, 0, 0, 0);
        let mut pacer = Pacer::default();
        pacer.set_large(large);
        while now < start + Duration::from_secs(1) {
            let mut burst = 0;
            while pacer.is_ready(now) {
                pacer.on_sent(now, 1200, Some(rate));
                burst += 1200;
            }
            total += burst;
            largest = largest.max(burst);
            wakes += 1;
            now = pacer.release(now).unwrap() + late;
        }
        (total as f64, largest, wakes)
    }

    #[test]
    fn the_rate_is_kept_in_bursts_of_a_millisecond() {
        for rate in [1e5, 1e6, 12.5e6, 60e6] {
            let (sent, largest, wakes) = run(rate, Duration::ZERO);
            assert!((sent / rate - 1.0).abs() < 0.03, "{rate} {sent}");
            assert!(largest as f64 <= rate * 0.0041 + 2400.0, "{rate} {largest}");
            assert!(wakes <= 1335, "{wakes}");
        }
    }

    #[test]
    fn a_short_message_on_an_idle_path_goes_at_once() {
        let now = start();
        let mut pacer = Pacer::default();
        pacer.restart(12_000);
        let mut sent = 0;
        while pacer.is_ready(now) {
            pacer.on_sent(now, 1200, Some(1e5));
            sent += 1;
        }
        assert_eq!(sent, 11);
    }

    #[test]
    fn ticks_of_a_millisecond_do_not_set_the_rate() {
        let tick = |at: Instant, start: Instant| {
            start + Duration::from_millis((at - start).as_micros().div_ceil(1000) as u64)
        };
        for rate in [12.5e6, 65e6, 80e6, 95e6] {
            let (start, mut pacer, mut sent) = (start(), Pacer::default(), 0);
            let mut now = start;
            while now < start + Duration::from_secs(1) {
                while pacer.is_ready(now) {
                    pacer.on_sent(now, 1200, Some(rate));
                    sent += 1200;
                }
                now = tick(pacer.release(now).unwrap(), start);
            }
            assert!((f64::from(sent) / rate - 1.0).abs() < 0.03, "{rate} {sent}");
        }
    }

    #[test]
    fn a_late_driver_catches_up_and_no_burst_is_larger_than_half_a_socket_buffer() {
        let (sent, _, _) = run(12.5e6, Duration::from_micros(700));
        assert!((sent / 12.5e6 - 1.0).abs() < 0.03, "{sent}");
        let (_, largest, _) = run(600e6, Duration::from_millis(3));
        assert!((80_000..98_304 + 2400).contains(&largest), "{largest}");
        let (_, largest, _) = run_with(600e6, Duration::from_millis(3), true);
        assert!((100_000..131_072 + 2400).contains(&largest), "{largest}");
    }
}
