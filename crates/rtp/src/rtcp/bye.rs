//! Goodbye (RFC 3550, section 6.6).

use super::{Frame, begin_packet, end_packet, packet_type, push_u32, take_ssrc};
use crate::{ParseError, Ssrc};

/// Sources that are no longer active.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bye {
    /// At most 31; the others are not written.
    pub sources: Vec<Ssrc>,
    /// Why, as text; at most 255 bytes are written.
    pub reason: Option<Vec<u8>>,
}

impl Bye {
    pub(super) fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        let mut body = frame.body;
        let sources = (0..frame.count)
            .map(|_| take_ssrc(&mut body, "the sources of a BYE"))
            .collect::<Result<Vec<_>, _>>()?;
        let reason = match body {
            [] => None,
            [len, text @ ..] => {
                let text = text
                    .get(..usize::from(*len))
                    .ok_or(ParseError::TooShort("the reason of a BYE"))?;
                Some(text.to_vec())
            }
        };
        Ok(Self { sources, reason })
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let sources = &self.sources[..self.sources.len().min(31)];
        let start = begin_packet(out, sources.len() as u8, packet_type::BYE);
        sources.iter().for_each(|source| push_u32(out, source.0));
        if let Some(reason) = &self.reason {
            let reason = &reason[..reason.len().min(255)];
            out.push(reason.len() as u8);
            out.extend_from_slice(reason);
            let padded = start + (out.len() - start).next_multiple_of(4);
            out.resize(padded, 0);
        }
        end_packet(out, start);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse_compound};
    use super::*;

    #[test]
    fn with_and_without_reason() {
        for reason in [
            None,
            Some(b"".to_vec()),
            Some(b"bye".to_vec()),
            Some(vec![b'x'; 255]),
        ] {
            let bye = Bye {
                sources: vec![Ssrc(1), Ssrc(2)],
                reason,
            };
            let mut out = Vec::new();
            bye.write(&mut out);
            assert_eq!(parse_compound(&out).next(), Some(Ok(Packet::Bye(bye))));
        }
    }

    #[test]
    fn a_reason_that_overruns_is_an_error() {
        assert!(
            parse_compound(&[0x80, 203, 0, 1, 4, 0, 0, 0])
                .next()
                .unwrap()
                .is_err()
        );
        assert!(parse_compound(&[0x81, 203, 0, 0]).next().unwrap().is_err());
    }
}
