//! FORWARD TSN (RFC 3758, section 3.2) and, with I-DATA, I-FORWARD-TSN (RFC 8260, section 2.3.1).

use byteorder::{BigEndian, ByteOrder};

use super::data::DataKind;
use super::{CHUNK_HEADER_LEN, kind as chunk_kind, write_chunk};
use crate::types::{Mid, Ssn, StreamId, Tsn};

/// Bytes of the chunk without streams.
pub(crate) const FORWARD_TSN_MIN_LEN: usize = 8;
/// Bytes of each skipped stream of a FORWARD TSN.
const SKIPPED_LEN: usize = 4;
/// Bytes of each skipped stream of an I-FORWARD-TSN.
const I_SKIPPED_LEN: usize = 8;

/// The last message skipped of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) stream: StreamId,
    /// Never in a FORWARD TSN, which says nothing of unordered messages.
    pub(crate) unordered: bool,
    pub(crate) mid: Mid,
}

/// Bytes of each skipped stream.
pub(crate) fn skipped_len(kind: DataKind) -> usize {
    match kind {
        DataKind::Data => SKIPPED_LEN,
        DataKind::IData => I_SKIPPED_LEN,
    }
}

/// A received FORWARD TSN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForwardTsn<'a> {
    pub(crate) new_cumulative: Tsn,
    skipped: &'a [u8],
}

impl<'a> ForwardTsn<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let (fixed, skipped) = value.split_at_checked(FORWARD_TSN_MIN_LEN - CHUNK_HEADER_LEN)?;
        skipped.len().is_multiple_of(SKIPPED_LEN).then_some(Self {
            new_cumulative: Tsn(BigEndian::read_u32(fixed)),
            skipped,
        })
    }

    /// The streams in which ordered messages were skipped, each with the last SSN skipped.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = (StreamId, Ssn)> + use<'a> {
        self.skipped.chunks_exact(SKIPPED_LEN).map(|item| {
            (
                StreamId(BigEndian::read_u16(&item[0..2])),
                Ssn(BigEndian::read_u16(&item[2..4])),
            )
        })
    }
}

/// A received I-FORWARD-TSN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IForwardTsn<'a> {
    pub(crate) new_cumulative: Tsn,
    skipped: &'a [u8],
}

impl<'a> IForwardTsn<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let (fixed, skipped) = value.split_at_checked(FORWARD_TSN_MIN_LEN - CHUNK_HEADER_LEN)?;
        skipped.len().is_multiple_of(I_SKIPPED_LEN).then_some(Self {
            new_cumulative: Tsn(BigEndian::read_u32(fixed)),
            skipped,
        })
    }

    /// The streams in which messages were skipped, each with the last one skipped.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = Skipped> + use<'a> {
        self.skipped.chunks_exact(I_SKIPPED_LEN).map(|item| Skipped {
            stream: StreamId(BigEndian::read_u16(&item[0..2])),
            unordered: item[3] & 1 != 0,
            mid: Mid(BigEndian::read_u32(&item[4..8])),
        })
    }
}

/// Appends a FORWARD TSN or an I-FORWARD-TSN chunk, as it goes with the chunks that carry data.
pub(crate) fn write_forward_tsn(kind: DataKind, out: &mut Vec<u8>, new_cumulative: Tsn, skipped: &[Skipped]) {
    let chunk = match kind {
        DataKind::Data => chunk_kind::FORWARD_TSN,
        DataKind::IData => chunk_kind::I_FORWARD_TSN,
    };
    write_chunk(out, chunk, 0, |out| {
        out.extend_from_slice(&new_cumulative.0.to_be_bytes());
        for item in skipped {
            out.extend_from_slice(&item.stream.0.to_be_bytes());
            match kind {
                DataKind::Data => out.extend_from_slice(&item.mid.low().to_be_bytes()),
                DataKind::IData => {
                    out.extend_from_slice(&[0, u8::from(item.unordered)]);
                    out.extend_from_slice(&item.mid.0.to_be_bytes());
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SKIPPED: [Skipped; 2] = [
        Skipped {
            stream: StreamId(1),
            unordered: false,
            mid: Mid(2),
        },
        Skipped {
            stream: StreamId(65535),
            unordered: true,
            mid: Mid(0x0002_0000),
        },
    ];

    #[test]
    fn a_forward_tsn_round_trips_and_half_a_stream_is_refused() {
        let mut out = Vec::new();
        write_forward_tsn(DataKind::Data, &mut out, Tsn(u32::MAX), &SKIPPED);
        let parsed = ForwardTsn::parse(&out[4..]).unwrap();
        assert_eq!(parsed.new_cumulative, Tsn(u32::MAX));
        let expected = [(StreamId(1), Ssn(2)), (StreamId(65535), Ssn(0))];
        assert_eq!(parsed.skipped().collect::<Vec<_>>(), expected);
        assert!(ForwardTsn::parse(&out[4..out.len() - 2]).is_none());
        assert!(ForwardTsn::parse(&[1, 2, 3]).is_none());
    }

    #[test]
    fn an_i_forward_tsn_round_trips_and_half_a_stream_is_refused() {
        let mut out = Vec::new();
        write_forward_tsn(DataKind::IData, &mut out, Tsn(u32::MAX), &SKIPPED);
        assert_eq!(out[..8], [194, 0, 0, 24, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(out[16..], [0xff, 0xff, 0, 1, 0, 2, 0, 0]);
        let parsed = IForwardTsn::parse(&out[4..]).unwrap();
        assert_eq!(parsed.new_cumulative, Tsn(u32::MAX));
        assert_eq!(parsed.skipped().collect::<Vec<_>>(), SKIPPED);
        assert!(IForwardTsn::parse(&out[4..out.len() - 4]).is_none());
    }
}
