//! Application-defined packet (RFC 3550, section 6.7).

use super::{Frame, begin_packet, end_packet, packet_type, push_u32, take_ssrc, take_u32};
use crate::{ParseError, Ssrc};

/// A packet whose meaning an application defines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    /// Five bits for the application.
    pub subtype: u8,
    /// The source.
    pub ssrc: Ssrc,
    /// The name of the application, four ASCII characters.
    pub name: [u8; 4],
    /// The data.
    pub data: Vec<u8>,
}

impl App {
    pub(super) fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        const WHAT: &str = "an APP packet";
        let mut body = frame.body;
        let ssrc = take_ssrc(&mut body, WHAT)?;
        let name = take_u32(&mut body, WHAT)?.to_be_bytes();
        Ok(Self {
            subtype: frame.count,
            ssrc,
            name,
            data: body.to_vec(),
        })
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let start = begin_packet(out, self.subtype, packet_type::APP);
        push_u32(out, self.ssrc.0);
        out.extend_from_slice(&self.name);
        out.extend_from_slice(&self.data);
        end_packet(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse_compound};
    use super::*;

    #[test]
    fn round_trip() {
        let app = App {
            subtype: 31,
            ssrc: Ssrc(1),
            name: *b"test",
            data: vec![1, 2, 3, 4],
        };
        let mut out = Vec::new();
        app.write(&mut out);
        assert_eq!(out[..4], [0x9f, 204, 0, 3]);
        assert_eq!(parse_compound(&out).next(), Some(Ok(Packet::App(app))));
    }
}
