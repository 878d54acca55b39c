//! What strangers and users may consume: bytes of answers per source before authentication, bytes per second of an
//! allocation.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Instant;

use super::table::Seeded;

/// A token bucket that counts bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenBucket {
    tokens: u64,
    at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(super) fn new(rate: u64, now: Instant) -> Self {
        Self {
            tokens: rate,
            at: now,
        }
    }

    /// Takes `bytes` out, if they are there. `rate` bytes flow in per second, and as many fit.
    pub(super) fn take(&mut self, bytes: usize, rate: u64, now: Instant) -> bool {
        self.refill(rate, now);
        let Some(rest) = self.tokens.checked_sub(bytes as u64) else {
            return false;
        };
        self.tokens = rest;
        true
    }

    /// Takes as many of `bytes` out as are there, and answers how many that is.
    pub(super) fn take_some(&mut self, bytes: usize, rate: u64, now: Instant) -> usize {
        self.refill(rate, now);
        let taken = self.tokens.min(bytes as u64);
        self.tokens -= taken;
        taken as usize
    }

    fn refill(&mut self, rate: u64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at);
        let inflow = u64::try_from(u128::from(rate) * elapsed.as_micros() / 1_000_000).unwrap_or(rate);
        if inflow > 0 {
            self.tokens = self.tokens.saturating_add(inflow).min(rate);
            self.at = now;
        }
    }
}

/// Bytes of answers that a source may still get. A request adds its own size: so no flood makes the server send more
/// than it received, but for the burst and the trickle.
#[derive(Debug, Clone, Copy)]
struct Credit {
    bytes: u32,
    /// Milliseconds since the start of the server, of which 32 bits come round every 49.7 days: who was not heard of for that
    /// long has a little less than is due.
    at: u32,
}

/// The credits of all sources, in a table of a fixed size: sources that fall on the same slot share it, so that no
/// number of forged ones can make the table grow, or make it forget.
#[derive(Debug)]
pub(super) struct Limiter {
    slots: Box<[Credit]>,
    seed: Seeded,
    start: Instant,
    burst: u32,
    per_second: u32,
}

impl Limiter {
    pub(super) fn new(slots: usize, burst: u32, per_second: u32, seed: u64, start: Instant) -> Self {
        let full = Credit { bytes: burst, at: 0 };
        Self {
            slots: vec![full; slots.max(1)].into(),
            seed: Seeded(seed),
            start,
            burst,
            per_second,
        }
    }

    /// Whether a request of `request` bytes from here may be answered with at most `answer` bytes.
    pub(super) fn allows(&mut self, source: IpAddr, request: usize, answer: usize, now: Instant) -> bool {
        // An IPv6 host has a /64 to choose addresses from.
        let source = match source {
            IpAddr::V4(ip) => u64::from(u32::from(ip)) | 1 << 63,
            IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64,
        };
        let slot = self.seed.hash_one(source) % self.slots.len() as u64;
        let credit = &mut self.slots[slot as usize];
        let since_start = now.saturating_duration_since(self.start);
        let millis = since_start.as_millis() as u32;
        let elapsed = millis.wrapping_sub(credit.at);
        let inflow = u64::from(self.per_second) * u64::from(elapsed) / 1000;
        if inflow > 0 {
            credit.at = millis;
        }
        let trickled = u64::from(credit.bytes)
            .saturating_add(inflow)
            .min(u64::from(self.burst));
        let bytes = trickled.saturating_add(request as u64);
        let cap = u64::from(self.burst) + request as u64;
        let (left, allowed) = match bytes.checked_sub(answer as u64) {
            Some(left) => (left, true),
            None => (bytes, false),
        };
        credit.bytes = left.min(cap).min(u64::from(self.burst)) as u32;
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "a base to count virtual time from")]
    fn base() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_bucket_lets_its_rate_through() {
        let start = base();
        let mut bucket = TokenBucket::new(10_000, start);
        let mut passed = 0;
        for millis in 0..10_000 {
            passed += u64::from(bucket.take(100, 10_000, start + Duration::from_millis(millis))) * 100;
        }
        assert!((105_000..=110_100).contains(&passed), "{passed}");
    }

    #[test]
    fn of_a_bucket_that_is_too_small_a_part_is_taken() {
        let start = base();
        let mut bucket = TokenBucket::new(1000, start);
        assert_eq!(bucket.take_some(700, 1000, start), 700);
        assert_eq!(bucket.take_some(700, 1000, start), 300);
        assert_eq!(bucket.take_some(700, 1000, start), 0);
        assert_eq!(
            bucket.take_some(700, 1000, start + Duration::from_millis(100)),
            100
        );
    }

    #[test]
    fn a_source_gets_no_more_than_it_sends_but_for_the_burst() {
        let start = base();
        let mut limiter = Limiter::new(16, 1000, 100, 7, start);
        let mut answered = 0;
        for _ in 0..10_000 {
            let allowed = limiter.allows([192, 0, 2, 1].into(), 28, 130, start);
            answered += u64::from(allowed) * 130;
        }
        assert!(answered <= 280_000 + 1000, "{answered}");
        assert!(answered > 250_000, "{answered}");
        assert!(limiter.allows([192, 0, 2, 1].into(), 28, 130, start + Duration::from_secs(2)));
    }

    /// Milliseconds in 32 bits are fewer than fifty days.
    #[test]
    fn a_server_that_has_run_for_a_year_still_answers_strangers() {
        let start = base();
        let mut limiter = Limiter::new(16, 1000, 100, 7, start);
        let source = [192, 0, 2, 1].into();
        for days in [0, 20, 49, 50, 51, 99, 100, 365] {
            let day = start + Duration::from_secs(days * 24 * 3600);
            let answered = |limiter: &mut Limiter, at: Instant| {
                (0..100).filter(|_| limiter.allows(source, 28, 130, at)).count()
            };
            let count = answered(&mut limiter, day);
            assert!((27..=31).contains(&count), "day {days}: {count}");
            let later = day + Duration::from_secs(10);
            let count = answered(&mut limiter, later);
            assert!((27..=31).contains(&count), "day {days} and 10 s: {count}");
        }
    }
}
