//! What a report block says about a source (RFC 3550, sections 6.4.1 and appendices A.1, A.3, A.8).

use std::time::{Duration, Instant};

use dunlin_rtp::rtcp::ReportBlock;
use dunlin_rtp::{ExtendedSequence, NtpTime, SequenceNumber, SequenceUnwrapper, Ssrc, Timestamp};

use crate::clock::units;

/// The reception of one source.
#[derive(Debug, Clone)]
pub(crate) struct Reception {
    unwrapper: SequenceUnwrapper,
    first: i64,
    received: u64,
    expected_prior: u64,
    received_prior: u64,
    timed: Option<Timed>,
    /// The jitter times 16, as in appendix A.8.
    jitter_16: u32,
    clock_rate: u32,
    last_sr: Option<(NtpTime, Instant)>,
    /// Whether a packet arrived since the last report.
    active: bool,
}

/// When the packet before came, for the jitter.
#[derive(Debug, Clone, Copy)]
struct Timed {
    timestamp: Timestamp,
    arrival: Duration,
    clock_rate: u32,
}

impl Reception {
    pub(crate) fn new(clock_rate: u32) -> Self {
        Self {
            unwrapper: SequenceUnwrapper::new(),
            first: 0,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            timed: None,
            jitter_16: 0,
            clock_rate,
            last_sr: None,
            active: false,
        }
    }

    /// The number that a sequence number would have, without counting it.
    pub(crate) fn peek(&self, sequence: SequenceNumber) -> ExtendedSequence {
        self.unwrapper.peek(sequence)
    }

    pub(crate) fn highest(&self) -> Option<ExtendedSequence> {
        self.unwrapper.highest()
    }

    /// Counts a packet.
    pub(crate) fn received(&mut self, sequence: SequenceNumber) -> ExtendedSequence {
        let extended = self.unwrapper.unwrap(sequence);
        if self.received == 0 {
            self.first = extended.0;
        }
        self.first = self.first.min(extended.0);
        self.received += 1;
        self.active = true;
        extended
    }

    /// Appendix A.8; `arrival` is the time since the start of the session.
    pub(crate) fn timed(&mut self, timestamp: Timestamp, arrival: Duration, clock_rate: u32) {
        if let Some(before) = self.timed {
            // RFC 7160, section 4.3: "D(i,j) = (arrival_time_j * clock_rate_i - timestamp_j) - (arrival_time_i *
            // clock_rate_i - timestamp_i)".
            let elapsed = units(arrival.saturating_sub(before.arrival), before.clock_rate);
            let d = elapsed
                .wrapping_sub(timestamp.0.wrapping_sub(before.timestamp.0))
                .cast_signed()
                .unsigned_abs();
            // A jump of the timestamps is no jitter: more than five seconds is not counted.
            if u64::from(d) < 5 * u64::from(clock_rate) {
                let decay = self.jitter_16.saturating_add(8) >> 4;
                self.jitter_16 = self.jitter_16.saturating_add(d) - decay;
            }
        }
        self.clock_rate = clock_rate;
        self.timed = Some(Timed {
            timestamp,
            arrival,
            clock_rate,
        });
    }

    pub(crate) fn sender_report(&mut self, ntp: NtpTime, now: Instant) {
        self.last_sr = Some((ntp, now));
    }

    fn expected(&self) -> u64 {
        let highest = self
            .unwrapper
            .highest()
            .map_or(self.first - 1, |highest| highest.0);
        u64::try_from(highest - self.first + 1).unwrap_or(0)
    }

    pub(crate) fn lost(&self) -> i64 {
        self.expected().cast_signed() - self.received.cast_signed()
    }

    pub(crate) fn jitter(&self) -> Duration {
        let units = u64::from(self.jitter_16 >> 4);
        Duration::from_nanos(units * 1_000_000_000 / u64::from(self.clock_rate.max(1)))
    }

    /// Whether the next report has something new to say.
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// Appendix A.3: the block for the time since the last one.
    pub(crate) fn report(&mut self, ssrc: Ssrc, now: Instant) -> ReportBlock {
        let expected = self.expected();
        let expected_interval = expected.saturating_sub(self.expected_prior);
        let lost_interval = expected_interval
            .cast_signed()
            .saturating_sub(self.received.saturating_sub(self.received_prior).cast_signed());
        self.expected_prior = expected;
        self.received_prior = self.received;
        self.active = false;
        let fraction_lost = if expected_interval == 0 || lost_interval <= 0 {
            0
        } else {
            u8::try_from((lost_interval << 8) / expected_interval.cast_signed()).unwrap_or(u8::MAX)
        };
        let mut block = ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost: i32::try_from(self.lost()).unwrap_or(i32::MAX),
            highest_sequence: self.unwrapper.highest().map_or(0, ExtendedSequence::low_32),
            jitter: self.jitter_16 >> 4,
            ..ReportBlock::default()
        };
        if let Some((ntp, arrived)) = self.last_sr {
            block.set_last_sr(ntp, now.saturating_duration_since(arrived));
        }
        block
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_counted_in_total_and_since_the_last_report() {
        let now = Instant::now();
        let mut reception = Reception::new(90_000);
        for sequence in [65_533, 65_534, 0, 1] {
            reception.received(SequenceNumber(sequence));
        }
        let block = reception.report(Ssrc(5), now);
        assert_eq!(
            (block.fraction_lost, block.cumulative_lost),
            (51, 1),
            "one of five, in 1/256"
        );
        assert_eq!(block.highest_sequence, 0x1_0001);
        assert!(!reception.is_active());

        reception.received(SequenceNumber(65_535));
        reception.received(SequenceNumber(2));
        let block = reception.report(Ssrc(5), now);
        assert_eq!(
            (block.fraction_lost, block.cumulative_lost),
            (0, 0),
            "it was only late"
        );

        reception.received(SequenceNumber(2));
        assert_eq!(
            reception.report(Ssrc(5), now).cumulative_lost,
            -1,
            "duplicates make it negative"
        );
    }

    #[test]
    fn a_report_answers_the_last_sender_report() {
        let now = Instant::now();
        let mut reception = Reception::new(8000);
        reception.received(SequenceNumber(1));
        assert_eq!(reception.report(Ssrc(1), now).last_sr, 0);
        reception.sender_report(NtpTime(0x0000_b705_2000_0000), now);
        let block = reception.report(Ssrc(1), now + Duration::from_millis(5250));
        assert_eq!(
            (block.last_sr, block.delay_since_last_sr),
            (0xb705_2000, 0x0005_4000)
        );
    }

    #[test]
    fn a_clock_rate_of_a_liar_overflows_nothing() {
        let mut reception = Reception::new(u32::MAX);
        for i in 0..100u32 {
            reception.timed(Timestamp(i << 31), Duration::from_millis(u64::from(i)), u32::MAX);
        }
        assert!(reception.jitter() <= Duration::from_secs(1));
    }

    #[test]
    fn jitter_follows_appendix_a_8() {
        let mut reception = Reception::new(8000);
        let at = |millis| Duration::from_millis(millis);
        reception.timed(Timestamp(u32::MAX - 100), at(1000), 8000);
        reception.timed(Timestamp(59), at(1020), 8000);
        assert_eq!(reception.jitter(), Duration::ZERO, "as regular as sent");
        for i in 1..200u32 {
            let late = if i % 2 == 0 { 0 } else { 10 };
            reception.timed(Timestamp(59 + 160 * i), at(1020 + 20 * u64::from(i) + late), 8000);
        }
        let jitter = reception.jitter();
        assert!(
            jitter > Duration::from_millis(9) && jitter <= Duration::from_millis(10),
            "{jitter:?}"
        );
    }
}
