//! FORWARD TSN (RFC 3758, section 3.2).

use byteorder::{BigEndian, ByteOrder};

use super::{CHUNK_HEADER_LEN, kind, write_chunk};
use crate::types::{Ssn, StreamId, Tsn};

/// Bytes of the chunk without streams.
pub(crate) const FORWARD_TSN_MIN_LEN: usize = 8;
/// Bytes of each skipped stream.
pub(crate) const SKIPPED_LEN: usize = 4;

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

/// Appends a FORWARD TSN chunk.
pub(crate) fn write_forward_tsn(out: &mut Vec<u8>, new_cumulative: Tsn, skipped: &[(StreamId, Ssn)]) {
    write_chunk(out, kind::FORWARD_TSN, 0, |out| {
        out.extend_from_slice(&new_cumulative.0.to_be_bytes());
        for (stream, ssn) in skipped {
            out.extend_from_slice(&stream.0.to_be_bytes());
            out.extend_from_slice(&ssn.0.to_be_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_tsn_round_trips_and_half_a_stream_is_refused() {
        let mut out = Vec::new();
        let skipped = [(StreamId(1), Ssn(2)), (StreamId(65535), Ssn(0))];
        write_forward_tsn(&mut out, Tsn(u32::MAX), &skipped);
        let parsed = ForwardTsn::parse(&out[4..]).unwrap();
        assert_eq!(parsed.new_cumulative, Tsn(u32::MAX));
        assert_eq!(parsed.skipped().collect::<Vec<_>>(), skipped);
        assert!(ForwardTsn::parse(&out[4..out.len() - 2]).is_none());
        assert!(ForwardTsn::parse(&[1, 2, 3]).is_none());
    }
}
