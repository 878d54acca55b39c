//! Source description (RFC 3550, section 6.5; RFC 7941; RFC 8852; RFC 9143, section 15).
//!
//! Each chunk is an SSRC and a list of items, `type, length, text`, that ends with at least one null byte and at
//! a multiple of four.

use super::{Frame, begin_packet, end_packet, packet_type, push_u32, take_ssrc};
use crate::{ParseError, Ssrc};

/// The type of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SdesKind(pub u8);

impl SdesKind {
    /// The canonical end-point identifier.
    pub const CNAME: Self = Self(1);
    /// RtpStreamId (RFC 8852).
    pub const RID: Self = Self(12);
    /// RepairedRtpStreamId (RFC 8852).
    pub const REPAIRED_RID: Self = Self(13);
    /// The identification tag of the media section (RFC 9143).
    pub const MID: Self = Self(15);
}

/// One item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdesItem {
    /// The type.
    pub kind: SdesKind,
    /// The text: at most 255 bytes are written.
    pub value: Vec<u8>,
}

/// The items of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SdesChunk {
    /// The source.
    pub ssrc: Ssrc,
    /// Its items.
    pub items: Vec<SdesItem>,
}

/// Who the sources are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceDescription {
    /// At most 31; the others are not written.
    pub chunks: Vec<SdesChunk>,
}

impl SourceDescription {
    /// A description with nothing but a canonical name.
    #[must_use]
    pub fn cname(ssrc: Ssrc, cname: &str) -> Self {
        let items = vec![SdesItem {
            kind: SdesKind::CNAME,
            value: cname.as_bytes().to_vec(),
        }];
        Self {
            chunks: vec![SdesChunk { ssrc, items }],
        }
    }

    pub(super) fn parse(frame: &Frame<'_>) -> Result<Self, ParseError> {
        let mut body = frame.body;
        let chunks = (0..frame.count)
            .map(|_| parse_chunk(&mut body))
            .collect::<Result<_, _>>()?;
        Ok(Self { chunks })
    }

    /// Appends the packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let chunks = &self.chunks[..self.chunks.len().min(31)];
        let start = begin_packet(out, chunks.len() as u8, packet_type::SDES);
        for chunk in chunks {
            push_u32(out, chunk.ssrc.0);
            for item in &chunk.items {
                let value = &item.value[..item.value.len().min(255)];
                out.extend_from_slice(&[item.kind.0, value.len() as u8]);
                out.extend_from_slice(value);
            }
            // "The list of items in each chunk MUST be terminated by one or more null octets, the first of
            // which is interpreted as an item type of zero to denote the end of the list."
            out.push(0);
            let padded = start + (out.len() - start).next_multiple_of(4);
            out.resize(padded, 0);
        }
        end_packet(out, start);
    }
}

fn parse_chunk(body: &mut &[u8]) -> Result<SdesChunk, ParseError> {
    const WHAT: &str = "an SDES chunk";
    let whole = *body;
    let ssrc = take_ssrc(body, WHAT)?;
    let mut items = Vec::new();
    loop {
        match *body {
            // The end of the list, then null bytes up to the next word.
            [0, ..] => {
                let used = (whole.len() - body.len() + 1).next_multiple_of(4);
                *body = whole.get(used..).ok_or(ParseError::TooShort(WHAT))?;
                return Ok(SdesChunk { ssrc, items });
            }
            [kind, len, rest @ ..] => {
                let (value, rest) = rest
                    .split_at_checked(usize::from(*len))
                    .ok_or(ParseError::TooShort(WHAT))?;
                items.push(SdesItem {
                    kind: SdesKind(*kind),
                    value: value.to_vec(),
                });
                *body = rest;
            }
            _ => return Err(ParseError::TooShort(WHAT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Packet, parse_compound};
    use super::*;

    #[test]
    fn every_length_of_a_name_ends_at_a_word() {
        for len in 0..=255 {
            let name = "x".repeat(len);
            let mut description = SourceDescription::cname(Ssrc(1), &name);
            description.chunks.push(SdesChunk {
                ssrc: Ssrc(2),
                items: vec![],
            });
            let mut out = Vec::new();
            description.write(&mut out);
            assert_eq!(out.len() % 4, 0);
            assert_eq!(
                parse_compound(&out).next(),
                Some(Ok(Packet::SourceDescription(description)))
            );
        }
    }

    #[test]
    fn an_item_that_overruns_and_a_missing_end_are_errors() {
        for body in [&[1, 9, b'a', 0][..], &[1, 2, b'a', b'b'], &[0xff]] {
            let frame = [&[0, 0, 0, 1], body].concat();
            let frame = Frame {
                count: 1,
                packet_type: packet_type::SDES,
                body: &frame,
            };
            assert!(SourceDescription::parse(&frame).is_err());
        }
    }
}
