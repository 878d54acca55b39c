//! Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03, section 2.2).
//!
//! ```text
//! |                  SSRC of packet sender                        |
//! |                  SSRC of media source (0)                     |
//! |  'R'            'E'            'M'            'B'             |
//! |  Num SSRC     | BR Exp    |  BR Mantissa (18 bits)            |
//! |   SSRC feedback ...                                           |
//! ```

use super::{Frame, begin_packet, end_packet, packet_type, push_u32, take_ssrc, take_u32};
use crate::{ParseError, Ssrc};

/// The format of application layer feedback: the identifier tells REMB from others.
pub(super) const FORMAT: u8 = 15;
const IDENTIFIER: [u8; 4] = *b"REMB";
const MANTISSA_BITS: u32 = 18;

/// The bandwidth that a receiver thinks it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remb {
    /// Who estimates.
    pub sender: Ssrc,
    /// The estimate in bit/s; the 18 highest bits are written.
    pub bitrate: u64,
    /// The sources that share it; at most 255 are written.
    pub sources: Vec<Ssrc>,
}

pub(super) fn is_remb(frame: &Frame<'_>) -> bool {
    frame.body.get(8..12) == Some(&IDENTIFIER)
}

impl Remb {
    pub(super) fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        const WHAT: &str = "a REMB";
        let mut body = frame.body;
        let sender = take_ssrc(&mut body, WHAT)?;
        take_u32(&mut body, WHAT)?;
        take_u32(&mut body, WHAT)?;
        let word = take_u32(&mut body, WHAT)?;
        let (count, exponent, mantissa) = (word >> 24, (word >> MANTISSA_BITS) & 0x3f, word & 0x3_ffff);
        // A mantissa that does not fit 64 bits any more asks for everything there is.
        let bitrate = u64::try_from(u128::from(mantissa) << exponent).unwrap_or(u64::MAX);
        let sources = (0..count)
            .map(|_| take_ssrc(&mut body, WHAT))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            sender,
            bitrate,
            sources,
        })
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let sources = &self.sources[..self.sources.len().min(255)];
        let start = begin_packet(out, FORMAT, packet_type::PSFB);
        push_u32(out, self.sender.0);
        push_u32(out, 0);
        out.extend_from_slice(&IDENTIFIER);
        let exponent = (u64::BITS - self.bitrate.leading_zeros()).saturating_sub(MANTISSA_BITS);
        let mantissa = (self.bitrate >> exponent) as u32;
        push_u32(
            out,
            (sources.len() as u32) << 24 | exponent << MANTISSA_BITS | mantissa,
        );
        sources.iter().for_each(|source| push_u32(out, source.0));
        end_packet(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse_compound};
    use super::*;

    #[test]
    fn a_bitrate_keeps_its_eighteen_highest_bits() {
        for (bitrate, kept) in [
            (0, 0),
            (262_143, 262_143),
            (262_145, 262_144),
            (2_500_000, 2_500_000),
            (u64::MAX, 0x3_ffff << 46),
        ] {
            let mut remb = Remb {
                sender: Ssrc(1),
                bitrate,
                sources: vec![Ssrc(2), Ssrc(3)],
            };
            let mut out = Vec::new();
            remb.write(&mut out);
            assert_eq!(out[..4], [0x8f, 206, 0, 6]);
            remb.bitrate = kept;
            assert_eq!(parse_compound(&out).next(), Some(Ok(Packet::Remb(remb))));
        }
    }

    #[test]
    fn an_exponent_that_overflows_means_everything() {
        let packet = [
            0x8f, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 0, 0xff, 0xff, 0xff,
        ];
        let Some(Ok(Packet::Remb(remb))) = parse_compound(&packet).next() else {
            panic!("a REMB")
        };
        assert_eq!(remb.bitrate, u64::MAX);
    }

    #[test]
    fn other_application_feedback_is_kept_as_unknown() {
        let packet = [0x8f, 206, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, b'A', b'B', b'C', b'D'];
        assert!(matches!(
            parse_compound(&packet).next(),
            Some(Ok(Packet::Unknown(_)))
        ));
    }
}
