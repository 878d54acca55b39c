//! Sender report (RFC 3550, section 6.4.1).

use super::{
    Frame, MAX_REPORT_BLOCKS, ReportBlock, begin_packet, end_packet, packet_type, push_u32, take_u32,
};
use crate::{NtpTime, ParseError, Ssrc, Timestamp};

/// What a source sent, and what it received from others. Profile-specific extensions are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderReport {
    /// The sender.
    pub ssrc: Ssrc,
    /// When the report was sent, in the sender's clock.
    pub ntp: NtpTime,
    /// The same instant in the sender's media clock.
    pub timestamp: Timestamp,
    /// Packets sent.
    pub packet_count: u32,
    /// Payload bytes sent.
    pub octet_count: u32,
    /// At most 31; the others are not written.
    pub reports: Vec<ReportBlock>,
}

impl SenderReport {
    pub(super) fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        const WHAT: &str = "the sender info";
        let mut body = frame.body;
        let ssrc = Ssrc(take_u32(&mut body, WHAT)?);
        let seconds = u64::from(take_u32(&mut body, WHAT)?);
        let fraction = u64::from(take_u32(&mut body, WHAT)?);
        Ok(Self {
            ssrc,
            ntp: NtpTime(seconds << 32 | fraction),
            timestamp: Timestamp(take_u32(&mut body, WHAT)?),
            packet_count: take_u32(&mut body, WHAT)?,
            octet_count: take_u32(&mut body, WHAT)?,
            reports: (0..frame.count)
                .map(|_| ReportBlock::parse(&mut body))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let reports = &self.reports[..self.reports.len().min(MAX_REPORT_BLOCKS)];
        let start = begin_packet(out, reports.len() as u8, packet_type::SR);
        push_u32(out, self.ssrc.0);
        push_u32(out, self.ntp.seconds());
        push_u32(out, self.ntp.fraction());
        push_u32(out, self.timestamp.0);
        push_u32(out, self.packet_count);
        push_u32(out, self.octet_count);
        reports.iter().for_each(|report| report.write(out));
        end_packet(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse_compound};
    use super::*;

    #[test]
    fn round_trip_and_a_profile_extension_is_skipped() {
        let report = SenderReport {
            ssrc: Ssrc(1),
            ntp: NtpTime(0x0102_0304_0506_0708),
            timestamp: Timestamp(9),
            packet_count: 10,
            octet_count: 11,
            reports: vec![ReportBlock {
                ssrc: Ssrc(12),
                jitter: 13,
                ..ReportBlock::default()
            }],
        };
        let mut out = Vec::new();
        report.write(&mut out);
        assert_eq!(out.len(), 28 + 24);
        assert_eq!(out[..4], [0x81, 200, 0, 12]);
        out.extend([1, 2, 3, 4]);
        out[3] += 1;
        assert_eq!(
            parse_compound(&out).next(),
            Some(Ok(Packet::SenderReport(report)))
        );
    }
}
