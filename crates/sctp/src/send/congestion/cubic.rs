//! CUBIC (RFC 9438) with HyStart++ (RFC 9406) over the bookkeeping of RFC 9260, section 7.2.

use std::time::{Duration, Instant};

use super::{Acked, LEAST_PACKETS};
use crate::send::hystart::{Advice, CSS_GROWTH_DIVISOR, HyStart};

/// RFC 9438, section 4.6: the factor of a decrease.
const BETA: f64 = 0.7;
/// The same where a mark is the sign (RFC 8511): whoever marks keeps the queue short, and a larger cut would leave it empty.
const BETA_ECN: f64 = 0.85;
/// RFC 9438, section 5: how fast the window grows, in packets per second cubed.
const C: f64 = 0.4;
/// How much faster than one window per round trip packets go out, in slow start and after it: the window doubles
/// in a round, so half of it must not be late.
const SLOW_START_PACING: f64 = 2.0;
const PACING: f64 = 1.25;

/// The congestion window.
#[derive(Debug, Clone)]
pub(crate) struct Cubic {
    packet: usize,
    initial: usize,
    window: usize,
    threshold: usize,
    hystart: HyStart,
    /// C.
    pace: f64,
    curve: Curve,
    /// The window, the threshold and the curve before the last decrease.
    before: Option<(usize, usize, Curve)>,
}

/// The cubic epoch, in bytes and seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Curve {
    /// The window before the last decrease.
    w_max: f64,
    epoch: Option<Epoch>,
}

#[derive(Debug, Clone, Copy)]
struct Epoch {
    start: Instant,
    /// Seconds from the start until the curve reaches `w_max`.
    k: f64,
    /// What a Reno flow would have.
    w_est: f64,
}

impl Cubic {
    pub(crate) fn new(packet: usize, initial: usize) -> Self {
        Self {
            packet,
            initial,
            window: initial,
            threshold: usize::MAX,
            hystart: HyStart::default(),
            pace: C,
            curve: Curve::default(),
            before: None,
        }
    }

    /// A controller that has left slow start with this window, and whose curve is so many times as steep.
    pub(crate) fn avoiding(packet: usize, window: usize, times: f64) -> Self {
        let window = window.max(LEAST_PACKETS * packet);
        Self {
            window,
            threshold: window,
            pace: times * C,
            ..Self::new(packet, window)
        }
    }

    /// How many times as steep as usual the curve is after the next loss.
    pub(crate) fn set_pace(&mut self, times: f64) {
        self.pace = times * C;
    }

    /// Bytes that may be in flight.
    pub(crate) fn window(&self) -> usize {
        self.window
    }

    pub(crate) fn set_packet_size(&mut self, packet: usize) {
        self.packet = packet;
        self.window = self.window.max(packet);
    }

    #[expect(clippy::cast_precision_loss, reason = "a window is far below 2^52 bytes")]
    pub(crate) fn pacing_rate(&self, smoothed_rtt: Duration) -> Option<f64> {
        let gain = if self.window < self.threshold {
            SLOW_START_PACING
        } else {
            PACING
        };
        (!smoothed_rtt.is_zero()).then(|| self.window as f64 * gain / smoothed_rtt.as_secs_f64())
    }

    pub(crate) fn on_ack(&mut self, now: Instant, acked: &Acked) {
        // RFC 9260, section 7.2.4: "While in Fast Recovery, the ssthresh and cwnd SHOULD NOT change".
        if acked.recovering {
            return;
        }
        let mut advice = Advice::SlowStart;
        if self.window < self.threshold {
            if acked.new_round {
                advice = self.hystart.on_round();
            }
            if let (Some(rtt), true) = (acked.rtt, advice != Advice::Leave) {
                advice = self.hystart.on_rtt(rtt);
            }
            if advice == Advice::Leave {
                self.threshold = self.window;
            }
        }
        // RFC 9260, section 7.2.1: cwnd is increased only when "the current cwnd is being fully utilized".
        if !acked.limited_by_window || acked.bytes == 0 {
            return;
        }
        if self.window < self.threshold {
            let growth = match advice {
                Advice::Conservative => acked.bytes / CSS_GROWTH_DIVISOR,
                _ => acked.bytes,
            };
            self.window = self.window.saturating_add(growth).min(self.threshold);
        } else {
            self.grow(now, acked.bytes, acked.smoothed_rtt);
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a window is far below 2^52 bytes"
    )]
    fn grow(&mut self, now: Instant, bytes: usize, smoothed_rtt: Duration) {
        let packet = self.packet as f64;
        let window = self.window as f64;
        let w_max = self.curve.w_max.max(window);
        let epoch = self.curve.epoch.get_or_insert_with(|| Epoch {
            start: now,
            k: ((w_max - window) / packet / self.pace).cbrt(),
            w_est: window,
        });
        // RFC 9438, section 4.3: the Reno-friendly region, W_est += alpha_cubic * segments_acked / cwnd.
        let alpha = if epoch.w_est >= w_max {
            1.0
        } else {
            3.0 * (1.0 - BETA) / (1.0 + BETA)
        };
        epoch.w_est += alpha * packet * bytes as f64 / window;
        // Section 4.2: W_cubic(t) = C * (t - K)^3 + W_max, aimed one round trip ahead.
        let t = now.saturating_duration_since(epoch.start).as_secs_f64() + smoothed_rtt.as_secs_f64();
        let target = (w_max + self.pace * packet * (t - epoch.k).powi(3)).clamp(window, window * 1.5);
        let grown = window + (target - window) / window * bytes as f64;
        self.window = grown.max(epoch.w_est).min(target.max(epoch.w_est)) as usize;
    }

    /// Data was lost: once per recovery (RFC 9260, section 7.2.4; RFC 9438, section 4.6).
    pub(crate) fn on_loss(&mut self) {
        self.decrease(BETA);
    }

    /// A router marked a packet (RFC 8511). That is no mistake to take back later.
    pub(crate) fn on_congestion_experienced(&mut self) {
        self.decrease(BETA_ECN);
        self.before = None;
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a window is far below 2^52 bytes"
    )]
    fn decrease(&mut self, beta: f64) {
        self.before = Some((self.window, self.threshold, self.curve));
        let window = self.window as f64;
        // Section 4.7, fast convergence: a flow that lost before it regained its former window makes room.
        self.curve.w_max = if window < self.curve.w_max {
            window * (1.0 + beta) / 2.0
        } else {
            window
        };
        self.curve.epoch = None;
        self.threshold = ((window * beta) as usize).max(LEAST_PACKETS * self.packet);
        self.window = self.threshold;
    }

    /// Slow start, from the window as it is.
    pub(crate) fn search_again(&mut self) {
        self.threshold = usize::MAX;
        self.hystart = HyStart::default();
        self.curve = Curve::default();
        self.before = None;
    }

    /// T3-rtx expired (RFC 9260, section 6.3.3, rule E1): "set cwnd = PMDCS".
    #[expect(clippy::cast_precision_loss, reason = "a window is far below 2^52 bytes")]
    pub(crate) fn on_timeout(&mut self) {
        if self.window > self.packet {
            self.before = Some((self.window, self.threshold, self.curve));
        }
        self.curve.w_max = self.curve.w_max.max(self.window as f64);
        self.curve.epoch = None;
        // After a second timeout in a row the window says nothing any more; the threshold stays.
        if self.window > self.packet {
            self.threshold = (self.window / 2).max(LEAST_PACKETS * self.packet);
        }
        self.window = self.packet;
        self.hystart = HyStart::default();
    }

    /// The last decrease was a mistake (RFC 9438, section 4.9).
    pub(crate) fn undo(&mut self) {
        if let Some((window, threshold, curve)) = self.before.take() {
            self.window = self.window.max(window);
            self.threshold = self.threshold.max(threshold);
            self.curve = curve;
        }
    }

    /// Nothing was sent for this many retransmission timeouts (RFC 9260, section 7.2.1: "the cwnd of the transport
    /// address SHOULD be adjusted to max(cwnd / 2, 4 * PMDCS) once per RTO"). The initial window is always allowed.
    pub(crate) fn on_idle(&mut self, timeouts: u128) {
        if timeouts == 0 {
            return;
        }
        let floor = self.initial.min(self.window).max(LEAST_PACKETS * self.packet);
        let halved = u32::try_from(timeouts)
            .ok()
            .and_then(|times| self.window.checked_shr(times))
            .unwrap_or(0);
        self.threshold = self.threshold.max(self.window);
        self.window = halved.max(floor);
        self.curve.epoch = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(20);

    fn full(bytes: usize) -> Acked {
        Acked {
            bytes,
            lost: 0,
            flight: bytes,
            delivered: 0,
            limited_by_window: true,
            rtt: Some(RTT),
            smoothed_rtt: RTT,
            new_round: false,
            recovering: false,
            rate: None,
        }
    }

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods)]
        Instant::now()
    }

    #[test]
    fn slow_start_grows_by_what_is_acknowledged_and_only_when_the_window_was_full() {
        let now = start();
        let mut congestion = Cubic::new(1000, 10_000);
        congestion.on_ack(now, &full(10_000));
        assert_eq!(congestion.window(), 20_000);
        congestion.on_ack(
            now,
            &Acked {
                limited_by_window: false,
                ..full(10_000)
            },
        );
        assert_eq!(congestion.window(), 20_000);
    }

    #[test]
    fn a_loss_takes_three_tenths_and_the_curve_returns_to_the_former_window() {
        let mut now = start();
        let mut congestion = Cubic::new(1000, 100_000);
        congestion.on_loss();
        assert_eq!(congestion.window(), 70_000);
        let mut seconds = 0.0;
        while congestion.window() < 99_000 {
            now += RTT;
            seconds += RTT.as_secs_f64();
            congestion.on_ack(now, &full(congestion.window()));
            assert!(seconds < 10.0, "{}", congestion.window());
        }
        // Section 4.2: K = cbrt((100 - 70) / 0.4) = 4.2 s; the Reno-friendly line gets there first at this RTT.
        assert!(seconds > 0.5 && seconds < 4.3, "{seconds}");
    }

    #[test]
    fn a_decrease_that_was_a_mistake_is_taken_back() {
        let mut congestion = Cubic::new(1000, 100_000);
        congestion.on_loss();
        congestion.undo();
        assert_eq!((congestion.window(), congestion.threshold), (100_000, usize::MAX));
        congestion.undo();
        assert_eq!(congestion.window(), 100_000);
    }

    #[test]
    fn a_timeout_leaves_one_packet_and_remembers_half() {
        let now = start();
        let mut congestion = Cubic::new(1000, 100_000);
        congestion.on_timeout();
        assert_eq!(congestion.window(), 1000);
        congestion.on_timeout();
        for _ in 0..10 {
            congestion.on_ack(now, &full(congestion.window()));
        }
        assert!(
            congestion.window() >= 50_000 && congestion.window() < 60_000,
            "{}",
            congestion.window()
        );
    }

    #[test]
    fn the_window_never_falls_below_four_packets_by_loss_nor_by_idleness() {
        let mut congestion = Cubic::new(1000, 10_000);
        for _ in 0..20 {
            congestion.on_loss();
        }
        assert_eq!(congestion.window(), 4000);
        congestion.on_idle(64);
        assert_eq!(congestion.window(), 4000);
        let mut congestion = Cubic::new(1000, 100_000);
        congestion.on_idle(0);
        assert_eq!(congestion.window(), 100_000);
    }
}
