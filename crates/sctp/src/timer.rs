//! The timers of an association: a table indexed by an enum.

use std::time::Instant;

/// RFC 9260's timers, and those of its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Timer {
    /// T1-init and T1-cookie, of which only one can run.
    Handshake,
    /// T2-shutdown.
    Shutdown,
    /// T5-shutdown-guard.
    ShutdownGuard,
    /// T3-rtx.
    Retransmission,
    /// Tail-loss probe (RFC 8985, section 7, adapted).
    Probe,
    /// What was overtaken counts as lost (RFC 8985, section 6.3).
    Reorder,
    /// The pacer lets more go.
    Pace,
    /// Delayed acknowledgement.
    Sack,
    /// The next HEARTBEAT, or the end of the wait for its answer.
    Heartbeat,
    /// RFC 6525's Re-configuration Timer.
    Reconfig,
    /// A packet larger than usual was not answered (RFC 8899).
    PathProbe,
}

/// When each timer is due.
#[derive(Debug, Default)]
pub(crate) struct Timers([Option<Instant>; 11]);

impl Timers {
    pub(crate) const ALL: [Timer; 11] = [
        Timer::Handshake,
        Timer::Shutdown,
        Timer::ShutdownGuard,
        Timer::Retransmission,
        Timer::Probe,
        Timer::Reorder,
        Timer::Pace,
        Timer::Sack,
        Timer::Heartbeat,
        Timer::Reconfig,
        Timer::PathProbe,
    ];

    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(crate) fn stop_all(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_running(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    /// Stops and returns one timer that is due, in the order of the table.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Timer> {
        let timer = Self::ALL
            .into_iter()
            .find(|&timer| self.0[timer as usize].is_some_and(|at| at <= now))?;
        self.stop(timer);
        Some(timer)
    }

    /// When the next timer is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn timers_expire_once_and_the_earliest_is_next() {
        #[allow(clippy::disallowed_methods)]
        let start = Instant::now();
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.set(Timer::Sack, start + Duration::from_secs(2));
        timers.set(Timer::Probe, start + Duration::from_secs(1));
        assert_eq!(timers.next(), Some(start + Duration::from_secs(1)));
        assert_eq!(timers.expire(start), None);
        assert_eq!(timers.expire(start + Duration::from_secs(3)), Some(Timer::Probe));
        assert_eq!(timers.expire(start + Duration::from_secs(3)), Some(Timer::Sack));
        assert_eq!(timers.expire(start + Duration::from_secs(3)), None);
    }
}
