//! Consent freshness (RFC 7675): a path may be used while the peer keeps answering on it.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::config::Config;

/// The shortest interval between checks, in parts of the usual one.
const LEAST: f64 = 0.8;
/// The longest: RFC 7675 allows 1.2, of which a driver that wakes for several timers at once may take its part.
const MOST: f64 = 1.095;

/// RFC 7675, section 5.1: the consent checks of one valid pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Consent {
    /// When the next check is due; `None` for a lite agent, which sends none.
    next_check: Option<Instant>,
    /// The next check is not sent before.
    earliest: Instant,
    /// When consent ends unless something renews it.
    expires: Instant,
}

impl Consent {
    /// Consent that a success response has just given. RFC 7675, section 5.1: "Consent expires after 30
    /// seconds."
    pub(crate) fn granted(now: Instant, config: &Config, rng: &mut StdRng) -> Self {
        Self {
            next_check: next_check(now, config.consent_interval, config, rng),
            earliest: earliest(now, config.consent_interval),
            expires: now + config.consent_timeout,
        }
    }

    /// A response (for a lite agent: an authenticated request) renews it. The schedule of the checks "is
    /// independent of the consent expiry timeout" (RFC 7675, section 5.1).
    pub(crate) fn renew(&mut self, now: Instant, config: &Config) {
        self.expires = now + config.consent_timeout;
    }

    /// Nothing is sent on the pair and its last check was answered: the next one is for the NATs on the way (RFC 8445,
    /// section 11: Tr), and to know whether the pair could be used. If it is not answered, those that follow come at the
    /// interval of a pair in use, so that two at least are left before consent ends.
    pub(crate) fn rest(&mut self, now: Instant, config: &Config, rng: &mut StdRng) {
        self.next_check = next_check(now, config.keepalive_interval, config, rng);
        self.earliest = earliest(now, config.keepalive_interval);
    }

    /// Whether the next check is farther away than that of any pair in use.
    pub(crate) fn is_resting(&self, now: Instant, config: &Config) -> bool {
        let usual = now + config.consent_interval.mul_f64(1.2);
        self.next_check.is_some_and(|at| at > usual)
    }

    /// Plans the next check of a pair in use.
    pub(crate) fn plan(&mut self, now: Instant, config: &Config, rng: &mut StdRng) {
        self.next_check = next_check(now, config.consent_interval, config, rng);
        self.earliest = earliest(now, config.consent_interval);
    }

    /// Whether a check is due; plans the next one.
    pub(crate) fn take_due(&mut self, now: Instant, config: &Config, rng: &mut StdRng) -> bool {
        let due = self.next_check.is_some_and(|at| at <= now);
        if due {
            self.plan(now, config, rng);
        }
        due
    }

    /// A check of the peer is being answered: if ours may be sent by now, it goes along with the answer, and neither end
    /// wakes up once more for it. The peer's intervals are as random as ours, and none is shorter than ours may be. Answers
    /// whether ours is due now.
    pub(crate) fn bring_forward(&mut self, now: Instant) -> bool {
        if self.earliest <= now {
            self.next_check = self.next_check.map(|at| at.min(now));
        }
        self.next_check.is_some_and(|at| at <= now)
    }

    pub(crate) fn has_expired(&self, now: Instant) -> bool {
        self.expires <= now
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.next_check.map_or(self.expires, |at| at.min(self.expires))
    }
}

/// RFC 7675, section 5.1: "each interval MUST be randomized from between 0.8 and 1.2 times the basic period",
/// by default 5 seconds. The later of two random moments: since the end that comes first takes the other along, the
/// intervals of both are about the basic period then, and not shorter.
fn next_check(now: Instant, period: Duration, config: &Config, rng: &mut StdRng) -> Option<Instant> {
    let factor = rng.random_range(LEAST..MOST).max(rng.random_range(LEAST..MOST));
    let interval: Duration = period.mul_f64(factor);
    (!config.lite).then(|| now + interval.max(Duration::from_millis(1)))
}

fn earliest(now: Instant, period: Duration) -> Instant {
    now + period.mul_f64(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn checks_come_every_four_to_six_seconds_and_consent_ends_after_thirty() {
        let (config, mut rng, start) = (Config::default(), StdRng::from_seed([3; 32]), Instant::now());
        let mut consent = Consent::granted(start, &config, &mut rng);
        let mut last = start;
        for _ in 0..5 {
            let at = consent.poll_timeout();
            assert!(!consent.take_due(at - Duration::from_millis(1), &config, &mut rng));
            assert!(consent.take_due(at, &config, &mut rng));
            assert!((4.0..=6.0).contains(&(at - last).as_secs_f64()));
            last = at;
        }
        consent.rest(last, &config, &mut rng);
        let at = consent.poll_timeout().min(start + Duration::from_secs(60));
        assert!(at == start + Duration::from_secs(30) || (12.0..=18.0).contains(&(at - last).as_secs_f64()));
        assert!(consent.is_resting(last, &config));
        consent.plan(last, &config, &mut rng);
        assert!(!consent.is_resting(last, &config));
        assert!(!consent.has_expired(start + Duration::from_millis(29_999)));
        assert!(consent.has_expired(start + Duration::from_secs(30)));
        consent.renew(start + Duration::from_secs(10), &config);
        assert!(!consent.has_expired(start + Duration::from_millis(39_999)));
    }

    /// "Implementations MUST NOT set the period between checks to less than 4 seconds" (RFC 7675, section 5.1).
    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_check_goes_along_with_an_answer_but_never_within_four_seconds() {
        let (config, mut rng, start) = (Config::default(), StdRng::from_seed([3; 32]), Instant::now());
        let mut consent = Consent::granted(start, &config, &mut rng);
        let early = start + Duration::from_millis(3_999);
        assert!(!consent.bring_forward(early));
        assert!(!consent.take_due(early, &config, &mut rng));
        let soon = start + Duration::from_secs(4);
        assert!(consent.bring_forward(soon));
        assert!(consent.take_due(soon, &config, &mut rng));
        assert!(!consent.bring_forward(soon + Duration::from_secs(3)));
        assert!(!consent.take_due(soon + Duration::from_secs(3), &config, &mut rng));
    }
}
