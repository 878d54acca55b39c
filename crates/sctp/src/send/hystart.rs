//! HyStart++ (RFC 9406): leaves slow start when the round-trip time rises, before the queue overflows.

use std::time::Duration;

// RFC 9406, section 4.3.
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
const MIN_RTT_DIVISOR: u32 = 8;
const N_RTT_SAMPLE: u32 = 8;
const CSS_ROUNDS: u32 = 5;
/// How much slower Conservative Slow Start grows.
pub(crate) const CSS_GROWTH_DIVISOR: usize = 4;

/// What the round-trip times of slow start say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Go on doubling.
    SlowStart,
    /// Grow by a quarter of that.
    Conservative,
    /// Slow start is over.
    Leave,
}

/// The state of one slow start.
#[derive(Debug, Clone, Default)]
pub(crate) struct HyStart {
    last_round_min: Option<Duration>,
    round_min: Option<Duration>,
    samples: u32,
    css: Option<Css>,
}

#[derive(Debug, Clone, Copy)]
struct Css {
    baseline: Duration,
    rounds: u32,
}

impl HyStart {
    /// A round trip of data has passed.
    pub(crate) fn on_round(&mut self) -> Advice {
        self.last_round_min = self.round_min.take().or(self.last_round_min);
        self.samples = 0;
        if let Some(css) = &mut self.css {
            css.rounds += 1;
            if css.rounds >= CSS_ROUNDS {
                return Advice::Leave;
            }
        }
        self.advice()
    }

    /// A round-trip time was measured.
    pub(crate) fn on_rtt(&mut self, rtt: Duration) -> Advice {
        self.samples += 1;
        let round_min = self.round_min.map_or(rtt, |least| least.min(rtt));
        self.round_min = Some(round_min);
        if self.samples >= N_RTT_SAMPLE {
            match (self.css, self.last_round_min) {
                // "if (currentRoundMinRTT >= (lastRoundMinRTT + RttThresh))"
                (None, Some(last)) => {
                    let threshold = (last / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH);
                    if round_min >= last + threshold {
                        self.css = Some(Css {
                            baseline: round_min,
                            rounds: 0,
                        });
                    }
                }
                // "if (currentRoundMinRTT < cssBaselineMinRtt): resume slow start"
                (Some(css), _) if round_min < css.baseline => self.css = None,
                _ => {}
            }
        }
        self.advice()
    }

    fn advice(&self) -> Advice {
        if self.css.is_some() {
            Advice::Conservative
        } else {
            Advice::SlowStart
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(hystart: &mut HyStart, millis: u64) -> Advice {
        hystart.on_round();
        let mut advice = Advice::SlowStart;
        for _ in 0..N_RTT_SAMPLE {
            advice = hystart.on_rtt(Duration::from_millis(millis));
        }
        advice
    }

    #[test]
    fn a_rising_round_trip_slows_growth_and_then_ends_slow_start() {
        let mut hystart = HyStart::default();
        assert_eq!(round(&mut hystart, 20), Advice::SlowStart);
        assert_eq!(round(&mut hystart, 21), Advice::SlowStart);
        assert_eq!(round(&mut hystart, 26), Advice::Conservative);
        for _ in 0..CSS_ROUNDS - 1 {
            assert_eq!(round(&mut hystart, 27), Advice::Conservative);
        }
        assert_eq!(hystart.on_round(), Advice::Leave);
    }

    #[test]
    fn a_spike_that_passes_resumes_slow_start() {
        let mut hystart = HyStart::default();
        round(&mut hystart, 20);
        assert_eq!(round(&mut hystart, 30), Advice::Conservative);
        assert_eq!(round(&mut hystart, 20), Advice::SlowStart);
    }
}
