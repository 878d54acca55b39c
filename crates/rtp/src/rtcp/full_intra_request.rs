//! Full intra request (RFC 5104, section 4.3.1): per source a command sequence number.

use super::{Frame, begin_packet, end_packet, packet_type, push_u32, take_ssrc, take_u32};
use crate::{ParseError, Ssrc};

pub(super) const FORMAT: u8 = 4;

/// One source that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirEntry {
    /// The source.
    pub ssrc: Ssrc,
    /// Raised by one for each new request, the same in a repetition.
    pub sequence: u8,
}

/// Sources that are asked for a key frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullIntraRequest {
    /// Who asks.
    pub sender: Ssrc,
    /// Who is asked.
    pub entries: Vec<FirEntry>,
}

impl FullIntraRequest {
    pub(super) fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        const WHAT: &str = "a FIR";
        let mut body = frame.body;
        let sender = take_ssrc(&mut body, WHAT)?;
        // "the 'SSRC of media source' is not used and SHALL be set to 0", but deployed senders fill it in.
        take_u32(&mut body, WHAT)?;
        let mut entries = Vec::new();
        while !body.is_empty() {
            let ssrc = take_ssrc(&mut body, WHAT)?;
            let [sequence, ..] = take_u32(&mut body, WHAT)?.to_be_bytes();
            entries.push(FirEntry { ssrc, sequence });
        }
        Ok(Self { sender, entries })
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = begin_packet(out, FORMAT, packet_type::PSFB);
        push_u32(out, self.sender.0);
        push_u32(out, 0);
        for entry in &self.entries {
            push_u32(out, entry.ssrc.0);
            out.extend_from_slice(&[entry.sequence, 0, 0, 0]);
        }
        end_packet(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse_compound};
    use super::*;

    #[test]
    fn round_trip() {
        let entries = vec![
            FirEntry {
                ssrc: Ssrc(2),
                sequence: 255,
            },
            FirEntry {
                ssrc: Ssrc(3),
                sequence: 0,
            },
        ];
        let fir = FullIntraRequest {
            sender: Ssrc(1),
            entries,
        };
        let mut out = Vec::new();
        fir.write(&mut out);
        assert_eq!(out[..4], [0x84, 206, 0, 6]);
        assert_eq!(
            parse_compound(&out).next(),
            Some(Ok(Packet::FullIntraRequest(fir)))
        );
    }
}
