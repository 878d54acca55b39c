//! DATA (RFC 9260, section 3.3.1).

use byteorder::{BigEndian, ByteOrder};

use super::{CHUNK_HEADER_LEN, kind, pad};
use crate::types::{Ppid, Ssn, StreamId, Tsn};

/// Bytes of a DATA chunk before the user data.
pub(crate) const DATA_HEADER_LEN: usize = 16;

const ENDING: u8 = 0b0001;
const BEGINNING: u8 = 0b0010;
const UNORDERED: u8 = 0b0100;
const IMMEDIATE: u8 = 0b1000;

/// What a DATA chunk says besides the user data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DataHeader {
    /// I: please acknowledge at once.
    pub(crate) immediate: bool,
    /// U: no order, no SSN.
    pub(crate) unordered: bool,
    /// B: the first fragment of a message.
    pub(crate) beginning: bool,
    /// E: the last fragment of a message.
    pub(crate) ending: bool,
    pub(crate) tsn: Tsn,
    pub(crate) stream: StreamId,
    pub(crate) ssn: Ssn,
    pub(crate) ppid: Ppid,
}

impl DataHeader {
    /// The header and the user data, which may be empty: the caller answers that with an ABORT.
    pub(crate) fn parse(flags: u8, value: &[u8]) -> Option<(Self, &[u8])> {
        let (fixed, data) = value.split_at_checked(DATA_HEADER_LEN - CHUNK_HEADER_LEN)?;
        let header = Self {
            immediate: flags & IMMEDIATE != 0,
            unordered: flags & UNORDERED != 0,
            beginning: flags & BEGINNING != 0,
            ending: flags & ENDING != 0,
            tsn: Tsn(BigEndian::read_u32(&fixed[0..4])),
            stream: StreamId(BigEndian::read_u16(&fixed[4..6])),
            ssn: Ssn(BigEndian::read_u16(&fixed[6..8])),
            ppid: Ppid(BigEndian::read_u32(&fixed[8..12])),
        };
        Some((header, data))
    }

    /// Appends the whole chunk.
    pub(crate) fn write(&self, out: &mut Vec<u8>, data: &[u8]) {
        let len = DATA_HEADER_LEN + data.len();
        debug_assert!(len <= usize::from(u16::MAX));
        let mut header = [0; DATA_HEADER_LEN];
        header[0] = kind::DATA;
        header[1] = if self.immediate { IMMEDIATE } else { 0 }
            | if self.unordered { UNORDERED } else { 0 }
            | if self.beginning { BEGINNING } else { 0 }
            | if self.ending { ENDING } else { 0 };
        BigEndian::write_u16(&mut header[2..4], u16::try_from(len).unwrap_or(u16::MAX));
        BigEndian::write_u32(&mut header[4..8], self.tsn.0);
        BigEndian::write_u16(&mut header[8..10], self.stream.0);
        BigEndian::write_u16(&mut header[10..12], self.ssn.0);
        BigEndian::write_u32(&mut header[12..16], self.ppid.0);
        out.extend_from_slice(&header);
        out.extend_from_slice(data);
        pad(out, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Chunks, HEADER_LEN};

    #[test]
    fn data_round_trips_with_its_bits_and_padding() {
        let header = DataHeader {
            immediate: true,
            unordered: false,
            beginning: true,
            ending: false,
            tsn: Tsn(0xdead_beef),
            stream: StreamId(7),
            ssn: Ssn(65535),
            ppid: Ppid(53),
        };
        let mut out = vec![0; HEADER_LEN];
        header.write(&mut out, b"hello");
        assert_eq!(
            out[HEADER_LEN..],
            *b"\x00\x0a\x00\x15\xde\xad\xbe\xef\x00\x07\xff\xff\x00\x00\x00\x35hello\0\0\0"
        );
        let chunk = Chunks::new(&out).next().unwrap().unwrap();
        assert_eq!(
            DataHeader::parse(chunk.flags, chunk.value),
            Some((header, &b"hello"[..]))
        );
        assert_eq!(DataHeader::parse(0, &chunk.value[..11]), None);
    }
}
