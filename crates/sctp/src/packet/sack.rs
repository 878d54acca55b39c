//! SACK (RFC 9260, section 3.3.4).

use byteorder::{BigEndian, ByteOrder};

use super::{CHUNK_HEADER_LEN, kind, write_chunk};
use crate::types::Tsn;

/// Bytes of a SACK chunk without blocks.
pub(crate) const SACK_MIN_LEN: usize = 16;
/// Bytes of a gap ack block, and of a duplicate TSN.
pub(crate) const SACK_ITEM_LEN: usize = 4;

/// A received SACK, its lists still in the packet, or what a SHUTDOWN acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sack<'a> {
    pub(crate) cumulative: Tsn,
    pub(crate) window: u32,
    /// What no block reports has not arrived, or was dropped again. A SHUTDOWN says nothing of that.
    pub(crate) is_complete: bool,
    blocks: &'a [u8],
    duplicates: &'a [u8],
}

impl<'a> Sack<'a> {
    pub(crate) fn parse(value: &'a [u8]) -> Option<Self> {
        let (fixed, rest) = value.split_at_checked(SACK_MIN_LEN - CHUNK_HEADER_LEN)?;
        let blocks_len = usize::from(BigEndian::read_u16(&fixed[8..10])) * SACK_ITEM_LEN;
        let duplicates_len = usize::from(BigEndian::read_u16(&fixed[10..12])) * SACK_ITEM_LEN;
        let (blocks, duplicates) = rest.split_at_checked(blocks_len)?;
        (duplicates.len() == duplicates_len).then_some(Self {
            cumulative: Tsn(BigEndian::read_u32(&fixed[0..4])),
            window: BigEndian::read_u32(&fixed[4..8]),
            is_complete: true,
            blocks,
            duplicates,
        })
    }

    /// The acknowledgement in a SHUTDOWN (section 3.3.8).
    pub(crate) fn of_shutdown(cumulative: Tsn, window: u32) -> Self {
        Self {
            cumulative,
            window,
            is_complete: false,
            blocks: &[],
            duplicates: &[],
        }
    }

    /// TSNs that arrived more than once.
    pub(crate) fn duplicates(&self) -> impl Iterator<Item = Tsn> + use<'a> {
        self.duplicates
            .chunks_exact(SACK_ITEM_LEN)
            .map(|tsn| Tsn(BigEndian::read_u32(tsn)))
    }

    /// The blocks as first and last offset from the cumulative TSN, as the peer put them: unchecked.
    pub(crate) fn blocks(&self) -> impl ExactSizeIterator<Item = (u16, u16)> + use<'a> {
        self.blocks.chunks_exact(SACK_ITEM_LEN).map(|block| {
            (
                BigEndian::read_u16(&block[0..2]),
                BigEndian::read_u16(&block[2..4]),
            )
        })
    }
}

/// Appends a SACK chunk.
pub(crate) fn write_sack(
    out: &mut Vec<u8>,
    cumulative: Tsn,
    window: u32,
    blocks: impl ExactSizeIterator<Item = (u16, u16)>,
    duplicates: &[Tsn],
) {
    write_chunk(out, kind::SACK, 0, |out| {
        let mut fixed = [0; SACK_MIN_LEN - CHUNK_HEADER_LEN];
        BigEndian::write_u32(&mut fixed[0..4], cumulative.0);
        BigEndian::write_u32(&mut fixed[4..8], window);
        BigEndian::write_u16(&mut fixed[8..10], u16::try_from(blocks.len()).unwrap_or(u16::MAX));
        BigEndian::write_u16(
            &mut fixed[10..12],
            u16::try_from(duplicates.len()).unwrap_or(u16::MAX),
        );
        out.extend_from_slice(&fixed);
        for (first, last) in blocks {
            out.extend_from_slice(&first.to_be_bytes());
            out.extend_from_slice(&last.to_be_bytes());
        }
        for tsn in duplicates {
            out.extend_from_slice(&tsn.0.to_be_bytes());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sack_round_trips() {
        let mut out = Vec::new();
        write_sack(&mut out, Tsn(10), 4660, [(2, 3), (5, 5)].into_iter(), &[Tsn(9)]);
        assert_eq!(out.len(), SACK_MIN_LEN + 3 * SACK_ITEM_LEN);
        let sack = Sack::parse(&out[4..]).unwrap();
        assert_eq!((sack.cumulative, sack.window), (Tsn(10), 4660));
        assert_eq!(sack.duplicates().collect::<Vec<_>>(), [Tsn(9)]);
        assert_eq!(sack.blocks().collect::<Vec<_>>(), [(2, 3), (5, 5)]);
    }

    #[test]
    fn counts_that_lie_are_refused() {
        let mut out = Vec::new();
        write_sack(&mut out, Tsn(10), 4660, [(2, 3)].into_iter(), &[]);
        assert!(Sack::parse(&out[4..out.len() - 1]).is_none());
        out[13] = 2;
        assert!(Sack::parse(&out[4..]).is_none());
        out[13] = 0;
        assert!(Sack::parse(&out[4..]).is_none());
        assert!(Sack::parse(&[]).is_none());
    }
}
