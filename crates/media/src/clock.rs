//! The time of a session: never backwards, and as NTP time for what leaves it.

use std::time::{Duration, Instant};

use dunlin_rtp::NtpTime;

/// The latest time that a session was told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    latest: Instant,
    ntp_start: NtpTime,
}

impl Clock {
    pub(crate) fn new(now: Instant, ntp_start: NtpTime) -> Self {
        Self {
            start: now,
            latest: now,
            ntp_start,
        }
    }

    /// Takes a time in; one in the past is treated as the latest.
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        self.latest = self.latest.max(now);
        self.latest
    }

    pub(crate) fn latest(&self) -> Instant {
        self.latest
    }

    pub(crate) fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    pub(crate) fn ntp(&self, at: Instant) -> NtpTime {
        self.ntp_start.wrapping_add(self.since_start(at))
    }
}

/// A duration in units of a media clock, modulo 2^32.
pub(crate) fn units(duration: Duration, clock_rate: u32) -> u32 {
    (duration.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u32
}
