//! Requests for key frames, sent and received, not more often than makes sense
//! (RFC 4585, section 6.3.1; RFC 5104, section 4.3.1).

use std::time::{Duration, Instant};

/// The requests that go out for one received stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyframeRequests {
    wanted: bool,
    last: Option<Instant>,
    /// The command sequence number of the next FIR.
    pub(crate) fir_sequence: u8,
}

impl KeyframeRequests {
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    /// When a request may go out, if one is wanted.
    pub(crate) fn due(&self, now: Instant, interval: Duration) -> Option<Instant> {
        self.wanted.then(|| self.last.map_or(now, |last| last + interval))
    }

    /// Whether a request goes out now.
    pub(crate) fn take(&mut self, now: Instant, interval: Duration) -> bool {
        let take = self.due(now, interval).is_some_and(|due| due <= now);
        if take {
            self.wanted = false;
            self.last = Some(now);
        }
        take
    }
}

/// The requests that come in for one sent stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct IncomingKeyframeRequests {
    last: Option<Instant>,
    last_fir: Option<u8>,
}

impl IncomingKeyframeRequests {
    /// Whether a PLI asks for another key frame than the one asked for last.
    pub(crate) fn pli(&mut self, now: Instant, interval: Duration) -> bool {
        if self.last.is_some_and(|last| now < last + interval) {
            return false;
        }
        self.last = Some(now);
        true
    }

    /// RFC 5104, section 4.3.1.2: a FIR with the number of the one before is a repetition of it.
    pub(crate) fn fir(&mut self, sequence: u8, now: Instant, interval: Duration) -> bool {
        if self.last_fir == Some(sequence) {
            return false;
        }
        self.last_fir = Some(sequence);
        self.pli(now, interval)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(300);

    #[test]
    fn a_second_request_waits() {
        let now = Instant::now();
        let mut requests = KeyframeRequests::default();
        assert!(!requests.take(now, INTERVAL));
        requests.want();
        assert!(requests.take(now, INTERVAL));
        requests.want();
        assert!(!requests.take(now + INTERVAL / 2, INTERVAL));
        assert_eq!(requests.due(now, INTERVAL), Some(now + INTERVAL));
        assert!(requests.take(now + INTERVAL, INTERVAL));
        assert_eq!(requests.due(now, INTERVAL), None);
    }

    #[test]
    fn repeated_requests_are_one() {
        let now = Instant::now();
        let mut requests = IncomingKeyframeRequests::default();
        assert!(requests.fir(7, now, INTERVAL));
        assert!(!requests.fir(7, now + 2 * INTERVAL, INTERVAL));
        assert!(requests.fir(8, now + 2 * INTERVAL, INTERVAL));
        assert!(!requests.pli(now + 2 * INTERVAL, INTERVAL));
        assert!(requests.pli(now + 3 * INTERVAL, INTERVAL));
    }
}
