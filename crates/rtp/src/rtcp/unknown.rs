//! A packet of a type or format that this crate does not know: kept as its bytes.

use super::{Frame, begin_packet, end_packet};

/// Any other packet. Written again it is the same, but for the amount of padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// The five bits after the padding bit.
    pub count: u8,
    /// The packet type.
    pub packet_type: u8,
    /// What follows the common header, without padding.
    pub body: Vec<u8>,
}

impl Unknown {
    pub(super) fn parse(frame: &Frame<'_>) -> Self {
        Self {
            count: frame.count,
            packet_type: frame.packet_type,
            body: frame.body.to_vec(),
        }
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = begin_packet(out, self.count, self.packet_type);
        out.extend_from_slice(&self.body);
        end_packet(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse_compound};
    use super::*;

    #[test]
    fn unknown_packets_survive() {
        let unknown = Unknown {
            count: 9,
            packet_type: 207,
            body: vec![1, 2, 3, 4],
        };
        let mut out = Vec::new();
        unknown.write(&mut out);
        assert_eq!(parse_compound(&out).next(), Some(Ok(Packet::Unknown(unknown))));
    }
}
