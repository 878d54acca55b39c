//! The report block of SR and RR (RFC 3550, section 6.4.1).
//!
//! ```text
//! |                              SSRC                             |
//! | fraction lost |       cumulative number of packets lost       |
//! |           extended highest sequence number received           |
//! |                      interarrival jitter                      |
//! |                         last SR (LSR)                         |
//! |                   delay since last SR (DLSR)                  |
//! ```

use std::time::Duration;

use super::{push_u32, take_u32};
use crate::timestamp::{from_short_format, to_short_format};
use crate::{NtpTime, ParseError, Ssrc};

/// A count of five bits: what does not fit goes into another report.
pub const MAX_REPORT_BLOCKS: usize = 31;

/// What one receiver says about one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: Ssrc,
    /// The part of the packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning: signed 24 bits, negative when duplicates outnumber losses.
    pub cumulative_lost: i32,
    /// Cycles in the high 16 bits, the highest sequence number in the low ones.
    pub highest_sequence: u32,
    /// The interarrival jitter in timestamp units.
    pub jitter: u32,
    /// The middle 32 bits of the NTP time of the last SR, 0 if there was none.
    pub last_sr: u32,
    /// The time since that SR arrived, in 1/65536 s, 0 if there was none.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    /// The round-trip time to the receiver, when this block answers an SR: A - LSR - DLSR.
    ///
    /// `now` is in the clock of the SR that was sent. A difference that comes out negative is zero.
    #[must_use]
    pub fn round_trip(&self, now: NtpTime) -> Option<Duration> {
        if self.last_sr == 0 {
            return None;
        }
        let elapsed = now
            .middle()
            .wrapping_sub(self.last_sr)
            .wrapping_sub(self.delay_since_last_sr);
        Some(from_short_format(
            u32::try_from(elapsed.cast_signed()).unwrap_or(0),
        ))
    }

    /// Sets LSR and DLSR for an SR with time `sent` that arrived `ago`.
    pub fn set_last_sr(&mut self, sent: NtpTime, ago: Duration) {
        self.last_sr = sent.middle();
        self.delay_since_last_sr = to_short_format(ago);
    }

    pub(super) fn parse(body: &mut &[u8]) -> Result<Self, ParseError> {
        const WHAT: &str = "a report block";
        let ssrc = Ssrc(take_u32(body, WHAT)?);
        let lost = take_u32(body, WHAT)?;
        Ok(Self {
            ssrc,
            fraction_lost: lost.to_be_bytes()[0],
            // "cumulative number of packets lost: 24 bits", signed since it may be negative.
            cumulative_lost: (lost << 8).cast_signed() >> 8,
            highest_sequence: take_u32(body, WHAT)?,
            jitter: take_u32(body, WHAT)?,
            last_sr: take_u32(body, WHAT)?,
            delay_since_last_sr: take_u32(body, WHAT)?,
        })
    }

    /// Appends the block; a cumulative loss beyond 24 bits is clamped (RFC 3550, appendix A.3).
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let [_, a, b, c] = self
            .cumulative_lost
            .clamp(-(1 << 23), (1 << 23) - 1)
            .to_be_bytes();
        push_u32(out, self.ssrc.0);
        out.extend_from_slice(&[self.fraction_lost, a, b, c]);
        push_u32(out, self.highest_sequence);
        push_u32(out, self.jitter);
        push_u32(out, self.last_sr);
        push_u32(out, self.delay_since_last_sr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cumulative_loss_is_signed() {
        for (lost, written) in [
            (5, 5),
            (-1, -1),
            (i32::MAX, (1 << 23) - 1),
            (i32::MIN, -(1 << 23)),
        ] {
            let block = ReportBlock {
                cumulative_lost: lost,
                fraction_lost: 200,
                ..ReportBlock::default()
            };
            let mut out = Vec::new();
            block.write(&mut out);
            let parsed = ReportBlock::parse(&mut &out[..]).unwrap();
            assert_eq!((parsed.cumulative_lost, parsed.fraction_lost), (written, 200));
        }
    }

    /// The figure of RFC 3550, section 6.4.1: a round trip of 6.125 s.
    #[test]
    fn round_trip_of_the_figure() {
        let block = ReportBlock {
            last_sr: 0xb705_2000,
            delay_since_last_sr: 0x0005_4000,
            ..ReportBlock::default()
        };
        let now = NtpTime(0x0000_b710_8000_0000);
        assert_eq!(block.round_trip(now), Some(Duration::from_millis(6125)));
        let before = NtpTime(0x0000_b700_8000_0000);
        assert_eq!(block.round_trip(before), Some(Duration::ZERO), "never negative");
        assert_eq!(ReportBlock::default().round_trip(now), None);
    }
}
