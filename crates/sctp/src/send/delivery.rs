//! How fast data arrives: delivery-rate samples (draft-ietf-ccwg-bbr, section 4.5), one per SACK.
//!
//! A sample divides what was delivered while a chunk was under way by how long that took: the longer of the time it
//! took to send and the time it took to be acknowledged, so that neither bunched SACKs nor bursts inflate it.

use std::time::{Duration, Instant};

/// As many gap ack blocks as this may not have been all of them: a packet holds 290, less if it is a small one.
pub(crate) const CROWD: usize = 128;

/// The counters of one association.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// Bytes delivered so far, as packets carry them.
    delivered: u64,
    /// When `delivered` last grew, or sending began anew.
    delivered_at: Option<Instant>,
    /// When the first chunk of the flight being measured was sent.
    first_sent_at: Option<Instant>,
    /// Until this much is delivered, samples say what the application sent, not what the path carries. 0: no.
    app_limited_until: u64,
    /// The stamp of the last chunk, while it holds: a burst shares its moment.
    last: Option<(Instant, Stamp)>,
    /// The last SACK may have left out blocks for want of room.
    crowded: bool,
}

/// What the counters were when a chunk was sent. Times are microseconds before that moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stamp {
    delivered: u64,
    since_delivery: u32,
    since_first: u32,
    app_limited: bool,
    crowded: bool,
}

/// What one SACK says about the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateSample {
    /// Bytes delivered during `interval`.
    pub(crate) delivered: u64,
    pub(crate) interval: Duration,
    /// All that was delivered when the newest acknowledged chunk was sent.
    pub(crate) prior_delivered: u64,
    /// The application had no more to send: the path may carry more than this.
    pub(crate) app_limited: bool,
    /// What had arrived was not all reported: it seems to have come later, and faster, than it did.
    pub(crate) crowded: bool,
}

impl RateSample {
    /// Bytes per second.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 bytes")]
    pub(crate) fn rate(&self) -> f64 {
        self.delivered as f64 / self.interval.as_secs_f64()
    }
}

/// The newest chunk that a SACK acknowledges.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Newest(Option<(Instant, Stamp)>);

impl Newest {
    /// A chunk was delivered that was last sent at `sent_at`.
    pub(crate) fn note(&mut self, sent_at: Instant, stamp: Stamp) {
        if self.0.is_none_or(|(at, newest)| {
            stamp.delivered > newest.delivered || stamp.delivered == newest.delivered && sent_at >= at
        }) {
            self.0 = Some((sent_at, stamp));
        }
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

impl Delivery {
    pub(crate) fn new() -> Self {
        Self {
            delivered: 0,
            delivered_at: None,
            first_sent_at: None,
            app_limited_until: 0,
            last: None,
            crowded: false,
        }
    }

    /// A SACK came with so many gap ack blocks.
    pub(crate) fn on_blocks(&mut self, blocks: usize) {
        self.crowded = blocks >= CROWD;
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// A chunk is about to be sent; `idle` when nothing is in flight.
    pub(crate) fn stamp(&mut self, now: Instant, idle: bool) -> Stamp {
        if let Some((at, stamp)) = self.last
            && at == now
            && !idle
        {
            return stamp;
        }
        if idle || self.first_sent_at.is_none() {
            self.first_sent_at = Some(now);
            self.delivered_at = Some(now);
        }
        let since = |at: Option<Instant>| at.map_or(0, |at| micros(now.saturating_duration_since(at)));
        let stamp = Stamp {
            delivered: self.delivered,
            since_delivery: since(self.delivered_at),
            since_first: since(self.first_sent_at),
            app_limited: self.app_limited_until > 0,
            crowded: self.crowded,
        };
        self.last = Some((now, stamp));
        stamp
    }

    /// The application has nothing more to send, with `flight` bytes under way.
    pub(crate) fn on_app_limited(&mut self, flight: usize) {
        self.last = None;
        self.app_limited_until = (self.delivered + flight as u64).max(1);
    }

    /// `bytes` were acknowledged for the first time. `None`: it says nothing about the rate.
    pub(crate) fn on_delivered(
        &mut self,
        now: Instant,
        bytes: usize,
        newest: Newest,
        min_rtt: Duration,
    ) -> Option<RateSample> {
        self.last = None;
        if bytes == 0 {
            return None;
        }
        self.delivered += bytes as u64;
        self.delivered_at = Some(now);
        if self.app_limited_until > 0 && self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let (sent_at, stamp) = newest.0?;
        self.first_sent_at = Some(sent_at);
        let send_elapsed = Duration::from_micros(stamp.since_first.into());
        let ack_elapsed =
            now.saturating_duration_since(sent_at) + Duration::from_micros(stamp.since_delivery.into());
        let interval = send_elapsed.max(ack_elapsed);
        // A shorter interval than any round trip belongs to an earlier transmission of the same chunk.
        (interval >= min_rtt && !interval.is_zero()).then_some(RateSample {
            delivered: self.delivered - stamp.delivered,
            interval,
            prior_delivered: stamp.delivered,
            app_limited: stamp.app_limited,
            crowded: stamp.crowded || self.crowded,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods)]
        Instant::now()
    }

    fn deliver(delivery: &mut Delivery, now: Instant, sent_at: Instant, stamp: Stamp) -> Option<RateSample> {
        let mut newest = Newest::default();
        newest.note(sent_at, stamp);
        delivery.on_delivered(now, 1000, newest, MS * 20)
    }

    #[test]
    fn a_steady_flow_is_measured_exactly_and_bunched_acknowledgements_do_not_inflate_it() {
        let start = start();
        let mut delivery = Delivery::new();
        let mut sent = Vec::new();
        // One packet of 1,000 bytes each millisecond; acknowledged 20 ms later, four at a time.
        for i in 0..100u32 {
            let now = start + MS * i;
            if i >= 24 && i % 4 == 0 {
                for k in i - 24..i - 20 {
                    let (at, stamp) = sent[k as usize];
                    if let Some(sample) = deliver(&mut delivery, now, at, stamp) {
                        assert!(i < 28 || sample.rate() < 1.21e6, "{}", sample.rate());
                    }
                }
            }
            sent.push((now, delivery.stamp(now, i == 0)));
        }
        let now = start + MS * 100;
        let (at, stamp) = sent[79];
        let sample = deliver(&mut delivery, now, at, stamp).unwrap();
        assert!((0.8e6..1.1e6).contains(&sample.rate()), "{}", sample.rate());
        assert!(!sample.app_limited);
    }

    #[test]
    fn what_the_application_limits_is_marked_until_it_is_delivered() {
        let start = start();
        let mut delivery = Delivery::new();
        let first = delivery.stamp(start, true);
        delivery.on_app_limited(1000);
        let second = delivery.stamp(start + MS, false);
        assert!(
            !deliver(&mut delivery, start + MS * 20, start, first)
                .unwrap()
                .app_limited
        );
        assert!(
            deliver(&mut delivery, start + MS * 21, start + MS, second)
                .unwrap()
                .app_limited
        );
        let third = delivery.stamp(start + MS * 22, true);
        assert!(
            !deliver(&mut delivery, start + MS * 42, start + MS * 22, third)
                .unwrap()
                .app_limited
        );
    }

    #[test]
    fn an_interval_shorter_than_a_round_trip_is_no_sample() {
        let start = start();
        let mut delivery = Delivery::new();
        let stamp = delivery.stamp(start, true);
        assert_eq!(deliver(&mut delivery, start + MS * 3, start, stamp), None);
        assert_eq!(delivery.delivered(), 1000);
    }
}
