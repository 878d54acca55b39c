//! Generic NACK (RFC 4585, section 6.2.1): PID, and a mask of the sixteen packets after it.

use super::{Frame, begin_packet, end_packet, packet_type, push_u32, take_ssrc, take_u32};
use crate::{ParseError, SequenceNumber, Ssrc};

pub(super) const FORMAT: u8 = 1;

/// One packet, and some of the sixteen after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NackPair {
    /// The packet.
    pub pid: SequenceNumber,
    /// Bit i: the packet `pid + i + 1` is lost too.
    pub blp: u16,
}

impl NackPair {
    /// The lost packets, in order.
    pub fn sequences(self) -> impl Iterator<Item = SequenceNumber> {
        let following = (0..16).filter(move |bit| self.blp & (1 << bit) != 0);
        std::iter::once(self.pid).chain(following.map(move |bit| self.pid.wrapping_add(bit + 1)))
    }
}

/// Packets of one source that were not received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nack {
    /// Who asks.
    pub sender: Ssrc,
    /// Whose packets are lost.
    pub media: Ssrc,
    /// The packets.
    pub pairs: Vec<NackPair>,
}

impl Nack {
    /// A NACK that names nothing yet.
    #[must_use]
    pub fn new(sender: Ssrc, media: Ssrc) -> Self {
        Self {
            sender,
            media,
            pairs: Vec::new(),
        }
    }

    /// Names one more packet: in the last pair if it fits there, so add them in order.
    pub fn push(&mut self, sequence: SequenceNumber) {
        if let Some(last) = self.pairs.last_mut() {
            match sequence.distance_from(last.pid) {
                0 => return,
                distance @ 1..=16 => {
                    last.blp |= 1 << (distance - 1);
                    return;
                }
                _ => {}
            }
        }
        self.pairs.push(NackPair {
            pid: sequence,
            blp: 0,
        });
    }

    /// The lost packets.
    pub fn sequences(&self) -> impl Iterator<Item = SequenceNumber> + '_ {
        self.pairs.iter().flat_map(|pair| pair.sequences())
    }

    pub(super) fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        const WHAT: &str = "a NACK";
        let mut body = frame.body;
        let mut nack = Self::new(take_ssrc(&mut body, WHAT)?, take_ssrc(&mut body, WHAT)?);
        while !body.is_empty() {
            let [a, b, c, d] = take_u32(&mut body, WHAT)?.to_be_bytes();
            let pid = SequenceNumber(u16::from_be_bytes([a, b]));
            nack.pairs.push(NackPair {
                pid,
                blp: u16::from_be_bytes([c, d]),
            });
        }
        Ok(nack)
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = begin_packet(out, FORMAT, packet_type::RTPFB);
        push_u32(out, self.sender.0);
        push_u32(out, self.media.0);
        for pair in &self.pairs {
            out.extend_from_slice(&pair.pid.0.to_be_bytes());
            out.extend_from_slice(&pair.blp.to_be_bytes());
        }
        end_packet(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse_compound};
    use super::*;

    #[test]
    fn sequences_are_packed_into_pairs_and_come_back() {
        let lost = [65530, 65531, 65535, 0, 10, 11, 28].map(SequenceNumber);
        let mut nack = Nack::new(Ssrc(1), Ssrc(2));
        lost.into_iter().for_each(|sequence| nack.push(sequence));
        assert_eq!(nack.pairs.len(), 3, "65530 + 16 = 10, 11 + 16 = 27");
        assert_eq!(nack.sequences().collect::<Vec<_>>(), lost);
        let mut out = Vec::new();
        nack.write(&mut out);
        assert_eq!(out[..4], [0x81, 205, 0, 5]);
        assert_eq!(parse_compound(&out).next(), Some(Ok(Packet::Nack(nack))));
    }
}
