//! The retransmission timeout (RFC 9260, section 6.3.1).

use std::time::Duration;

use crate::config::Config;

/// Below this the clock of a driver is too coarse for a probe.
const MIN_PROBE_TIMEOUT: Duration = Duration::from_millis(10);

/// Round-trip time, its variation, and the timeout computed from them.
#[derive(Debug, Clone)]
pub(crate) struct Rto {
    min: Duration,
    max: Duration,
    smoothed: Option<Smoothed>,
    current: Duration,
    min_rtt: Option<Duration>,
    probe_timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Smoothed {
    rtt: Duration,
    variation: Duration,
}

impl Rto {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            min: config.rto_min,
            max: config.rto_max,
            smoothed: None,
            current: config.rto_initial,
            min_rtt: None,
            probe_timeout: None,
        }
    }

    /// Rules C2, C3, C6 and C7.
    pub(crate) fn measure(&mut self, rtt: Duration) {
        let smoothed = match self.smoothed {
            None => Smoothed {
                rtt,
                variation: rtt / 2,
            },
            Some(Smoothed {
                rtt: smoothed,
                variation,
            }) => Smoothed {
                variation: variation * 3 / 4 + smoothed.abs_diff(rtt) / 4,
                rtt: smoothed * 7 / 8 + rtt / 8,
            },
        };
        self.smoothed = Some(smoothed);
        let Smoothed { rtt, variation } = smoothed;
        self.probe_timeout = Some(
            (rtt + variation * 4)
                .clamp(rtt * 3 / 2, rtt * 2)
                .max(MIN_PROBE_TIMEOUT),
        );
        self.current = (smoothed.rtt + smoothed.variation * 4).clamp(self.min, self.max);
    }

    /// Notes a round trip for [`Rto::min_rtt`] only.
    pub(crate) fn note_minimum(&mut self, rtt: Duration) {
        self.min_rtt = Some(self.min_rtt.map_or(rtt, |least| least.min(rtt)));
    }

    /// Rule E2: "set RTO = RTO * 2 ("back off the timer")".
    pub(crate) fn back_off(&mut self) {
        self.current = (self.current * 2).min(self.max);
    }

    /// The timeout after so many silences, which are not the timeout's own.
    pub(crate) fn backed_off(&self, times: u32) -> Duration {
        let factor = 1u32.checked_shl(times).unwrap_or(u32::MAX);
        self.current.saturating_mul(factor).min(self.max)
    }

    /// The peer answers again, though with nothing to measure: what was backed off for silence is taken back.
    pub(crate) fn restore(&mut self) {
        if let Some(Smoothed { rtt, variation }) = self.smoothed {
            self.current = (rtt + variation * 4).clamp(self.min, self.max);
        }
    }

    pub(crate) fn current(&self) -> Duration {
        self.current
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed.map(|smoothed| smoothed.rtt)
    }

    /// How long to wait before asking about what is in flight: RFC 8985, section 7.2, says two round trips, for the
    /// peer may delay its acknowledgement. The last chunk of a burst asks it not to, so that less is enough.
    pub(crate) fn probe_timeout(&self) -> Option<Duration> {
        self.probe_timeout
    }

    /// The least round trip seen.
    pub(crate) fn min_rtt(&self) -> Option<Duration> {
        self.min_rtt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_the_measurements_within_its_bounds() {
        let mut rto = Rto::new(&Config::default());
        assert_eq!(rto.current(), Duration::from_millis(500));
        rto.measure(Duration::from_millis(200));
        // C2: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 * RTTVAR
        assert_eq!(rto.current(), Duration::from_millis(600));
        for _ in 0..100 {
            rto.measure(Duration::from_millis(10));
        }
        assert_eq!(rto.current(), Duration::from_millis(400));
        for _ in 0..10 {
            rto.back_off();
        }
        assert_eq!(rto.current(), Duration::from_secs(10));
        rto.measure(Duration::from_millis(10));
        assert_eq!(rto.current(), Duration::from_millis(400));
    }
}
