//! Picture loss indication (RFC 4585, section 6.3.1): two SSRCs, no further information.

use super::{Frame, begin_packet, end_packet, packet_type, push_u32, take_ssrc};
use crate::{ParseError, Ssrc};

pub(super) const FORMAT: u8 = 1;

/// A receiver lost a picture and wants a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureLossIndication {
    /// Who asks.
    pub sender: Ssrc,
    /// Who is asked.
    pub media: Ssrc,
}

impl PictureLossIndication {
    pub(super) fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        const WHAT: &str = "a PLI";
        let mut body = frame.body;
        Ok(Self {
            sender: take_ssrc(&mut body, WHAT)?,
            media: take_ssrc(&mut body, WHAT)?,
        })
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = begin_packet(out, FORMAT, packet_type::PSFB);
        push_u32(out, self.sender.0);
        push_u32(out, self.media.0);
        end_packet(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse_compound};
    use super::*;

    #[test]
    fn round_trip() {
        let pli = PictureLossIndication {
            sender: Ssrc(1),
            media: Ssrc(2),
        };
        let mut out = Vec::new();
        pli.write(&mut out);
        assert_eq!(out, [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(
            parse_compound(&out).next(),
            Some(Ok(Packet::PictureLossIndication(pli)))
        );
    }
}
