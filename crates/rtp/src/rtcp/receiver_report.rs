//! Receiver report (RFC 3550, section 6.4.2).

use super::{
    Frame, MAX_REPORT_BLOCKS, ReportBlock, begin_packet, end_packet, packet_type, push_u32, take_ssrc,
};
use crate::{ParseError, Ssrc};

/// What a participant received. Profile-specific extensions are not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiverReport {
    /// Who reports.
    pub ssrc: Ssrc,
    /// At most 31; the others are not written.
    pub reports: Vec<ReportBlock>,
}

impl ReceiverReport {
    pub(super) fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        let mut body = frame.body;
        Ok(Self {
            ssrc: take_ssrc(&mut body, "the SSRC of a receiver report")?,
            reports: (0..frame.count)
                .map(|_| ReportBlock::parse(&mut body))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let reports = &self.reports[..self.reports.len().min(MAX_REPORT_BLOCKS)];
        let start = begin_packet(out, reports.len() as u8, packet_type::RR);
        push_u32(out, self.ssrc.0);
        reports.iter().for_each(|report| report.write(out));
        end_packet(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse_compound};
    use super::*;

    #[test]
    fn thirty_one_blocks_are_written_and_no_more() {
        let reports = vec![ReportBlock::default(); 40];
        let mut out = Vec::new();
        ReceiverReport {
            ssrc: Ssrc(1),
            reports: reports.clone(),
        }
        .write(&mut out);
        let expected = ReceiverReport {
            ssrc: Ssrc(1),
            reports: reports[..31].to_vec(),
        };
        assert_eq!(
            parse_compound(&out).next(),
            Some(Ok(Packet::ReceiverReport(expected)))
        );
    }

    #[test]
    fn a_count_without_blocks_is_an_error() {
        assert!(
            parse_compound(&[0x81, 201, 0, 1, 0, 0, 0, 1])
                .next()
                .unwrap()
                .is_err()
        );
    }
}
