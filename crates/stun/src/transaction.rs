//! When to send a request again, as a value (RFC 8489, section 6.2.1).

use std::time::{Duration, Instant};

/// What a due retransmission timer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The timer was not due.
    Nothing,
    /// Send the request again.
    Send,
    /// No response came: the transaction has failed.
    Fail,
}

/// The schedule of one request. Whoever owns it sends the request once when making it.
///
/// RFC 8489, section 6.2.1: "assuming an RTO of 500 ms, requests would be sent at times 0 ms, 500 ms, 1500 ms,
/// 3500 ms, 7500 ms, 15500 ms, and 31500 ms. If the client has not received a response after 39500 ms, the client
/// will consider the transaction to have timed out."
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retransmission {
    first_sent: Instant,
    /// The RTO that the schedule began with.
    rto: Duration,
    /// Requests sent so far, the first included.
    sent: u32,
    /// Rc.
    max_requests: u32,
    /// When the next step is due; `None` after failing.
    due: Option<Instant>,
    final_wait: Duration,
}

impl Retransmission {
    /// Rc, the number of requests that are sent in all.
    pub const MAX_REQUESTS: u32 = 7;
    /// Rm, how many RTOs to wait after the last request.
    pub const FINAL_WAIT_FACTOR: u32 = 16;
    /// The least first RTO over the Internet, unless another mechanism paces the requests, as in ICE.
    pub const MIN_RTO: Duration = Duration::from_millis(500);
    /// Ti, how long to wait for a response over a reliable transport (section 6.2.2).
    pub const RELIABLE_TIMEOUT: Duration = Duration::from_millis(39_500);

    /// The schedule of a request sent at `now`, with the defaults for Rc and Rm.
    #[must_use]
    pub fn new(now: Instant, rto: Duration) -> Self {
        Self::with_limits(now, rto, Self::MAX_REQUESTS, Self::FINAL_WAIT_FACTOR)
    }

    /// The schedule with other values for Rc (at least 1) and Rm.
    #[must_use]
    pub fn with_limits(now: Instant, rto: Duration, max_requests: u32, final_wait_factor: u32) -> Self {
        let final_wait = rto.saturating_mul(final_wait_factor);
        let first_wait = if max_requests <= 1 { final_wait } else { rto };
        Self {
            first_sent: now,
            rto,
            sent: 1,
            max_requests,
            due: now.checked_add(first_wait),
            final_wait,
        }
    }

    /// The schedule over a reliable transport: one request, and a failure after Ti (section 6.2.2), which "SHOULD be
    /// configurable and SHOULD have a default of 39.5 s": [`RELIABLE_TIMEOUT`](Self::RELIABLE_TIMEOUT).
    #[must_use]
    pub fn reliable(now: Instant, timeout: Duration) -> Self {
        Self::with_limits(now, timeout, 1, 1)
    }

    /// When to call [`on_timeout`](Self::on_timeout) next; `None` after failing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Takes at most one step. A call long after the due time is one step late, not several at once.
    #[must_use]
    pub fn on_timeout(&mut self, now: Instant) -> Step {
        if self.due.is_none_or(|due| now < due) {
            return Step::Nothing;
        }
        if self.sent >= self.max_requests {
            self.due = None;
            return Step::Fail;
        }
        self.sent += 1;
        // "starting with an interval of RTO [...], doubling after each retransmission"
        let doubled = self
            .rto
            .saturating_mul(1_u32.checked_shl(self.sent - 1).unwrap_or(u32::MAX));
        let wait = if self.sent == self.max_requests {
            self.final_wait
        } else {
            doubled
        };
        self.due = now.checked_add(wait);
        Step::Send
    }

    /// How long ago the request was first sent.
    #[must_use]
    pub fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.first_sent)
    }

    /// How many requests were sent, the first included.
    #[must_use]
    pub fn sent(&self) -> u32 {
        self.sent
    }

    /// The round-trip time that a response received at `now` measures. RFC 8489, section 6.2.1 recommends Karn's
    /// algorithm: a transaction that was retransmitted measures nothing.
    #[must_use]
    pub fn round_trip(&self, now: Instant) -> Option<Duration> {
        (self.sent == 1).then(|| now.saturating_duration_since(self.first_sent))
    }
}
