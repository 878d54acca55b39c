//! DATA (RFC 9260, section 3.3.1) and I-DATA (RFC 8260, section 2.1): the same but for how messages and fragments are
//! told apart.

use byteorder::{BigEndian, ByteOrder};

use super::{CHUNK_HEADER_LEN, kind as chunk_kind, pad};
use crate::types::{Mid, Ppid, StreamId, Tsn};

/// Bytes of a DATA chunk before the user data.
pub(crate) const DATA_HEADER_LEN: usize = 16;
/// Bytes of an I-DATA chunk before the user data.
pub(crate) const I_DATA_HEADER_LEN: usize = 20;

const ENDING: u8 = 0b0001;
const BEGINNING: u8 = 0b0010;
const UNORDERED: u8 = 0b0100;
const IMMEDIATE: u8 = 0b1000;

/// Which of the two chunks an association uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DataKind {
    Data,
    IData,
}

impl DataKind {
    /// Bytes before the user data.
    pub(crate) fn header_len(self) -> usize {
        match self {
            DataKind::Data => DATA_HEADER_LEN,
            DataKind::IData => I_DATA_HEADER_LEN,
        }
    }
}

/// What a DATA or an I-DATA chunk says besides the user data.
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
    /// In a DATA chunk its low half, the SSN, is all there is.
    pub(crate) mid: Mid,
    /// Which fragment of the message this is: I-DATA only, 0 for the first.
    pub(crate) fsn: u32,
    /// What the message is: in an I-DATA chunk only the first fragment says so, and the others 0.
    pub(crate) ppid: Ppid,
}

impl DataHeader {
    /// The header and the user data, which may be empty: the caller answers that with an ABORT.
    pub(crate) fn parse(kind: DataKind, flags: u8, value: &[u8]) -> Option<(Self, &[u8])> {
        let (fixed, data) = value.split_at_checked(kind.header_len() - CHUNK_HEADER_LEN)?;
        let number = |at: usize| BigEndian::read_u32(&fixed[at..at + 4]);
        let beginning = flags & BEGINNING != 0;
        let (mid, fsn, ppid) = match kind {
            DataKind::Data => (BigEndian::read_u16(&fixed[6..8]).into(), 0, number(8)),
            // "If the B bit is set, this field contains the PPID of the user message. … In this case, the FSN is
            // implicitly considered to be 0. If the B bit is not set, this field contains the FSN."
            DataKind::IData if beginning => (number(8), 0, number(12)),
            DataKind::IData => (number(8), number(12), 0),
        };
        let header = Self {
            immediate: flags & IMMEDIATE != 0,
            unordered: flags & UNORDERED != 0,
            beginning,
            ending: flags & ENDING != 0,
            tsn: Tsn(number(0)),
            stream: StreamId(BigEndian::read_u16(&fixed[4..6])),
            mid: Mid(mid),
            fsn,
            ppid: Ppid(ppid),
        };
        Some((header, data))
    }

    /// Appends the whole chunk.
    pub(crate) fn write(&self, kind: DataKind, out: &mut Vec<u8>, data: &[u8]) {
        let header_len = kind.header_len();
        let len = header_len + data.len();
        debug_assert!(len <= usize::from(u16::MAX));
        let mut header = [0; I_DATA_HEADER_LEN];
        header[1] = if self.immediate { IMMEDIATE } else { 0 }
            | if self.unordered { UNORDERED } else { 0 }
            | if self.beginning { BEGINNING } else { 0 }
            | if self.ending { ENDING } else { 0 };
        BigEndian::write_u16(&mut header[2..4], u16::try_from(len).unwrap_or(u16::MAX));
        BigEndian::write_u32(&mut header[4..8], self.tsn.0);
        BigEndian::write_u16(&mut header[8..10], self.stream.0);
        match kind {
            DataKind::Data => {
                header[0] = chunk_kind::DATA;
                let ssn = if self.unordered { 0 } else { self.mid.low() };
                BigEndian::write_u16(&mut header[10..12], ssn);
                BigEndian::write_u32(&mut header[12..16], self.ppid.0);
            }
            DataKind::IData => {
                header[0] = chunk_kind::I_DATA;
                BigEndian::write_u32(&mut header[12..16], self.mid.0);
                let last = if self.beginning { self.ppid.0 } else { self.fsn };
                BigEndian::write_u32(&mut header[16..20], last);
            }
        }
        // Of a constant length each, which the compiler copies in place.
        match kind {
            DataKind::Data => out.extend_from_slice(&header[..DATA_HEADER_LEN]),
            DataKind::IData => out.extend_from_slice(&header),
        }
        out.extend_from_slice(data);
        if !len.is_multiple_of(4) {
            pad(out, len);
        }
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
            mid: Mid(65535),
            fsn: 0,
            ppid: Ppid(53),
        };
        let mut out = vec![0; HEADER_LEN];
        header.write(DataKind::Data, &mut out, b"hello");
        assert_eq!(
            out[HEADER_LEN..],
            *b"\x00\x0a\x00\x15\xde\xad\xbe\xef\x00\x07\xff\xff\x00\x00\x00\x35hello\0\0\0"
        );
        let chunk = Chunks::new(&out).next().unwrap().unwrap();
        assert_eq!(
            DataHeader::parse(DataKind::Data, chunk.flags, chunk.value),
            Some((header, &b"hello"[..]))
        );
        assert_eq!(DataHeader::parse(DataKind::Data, 0, &chunk.value[..11]), None);
    }

    #[test]
    fn an_i_data_chunk_carries_the_ppid_first_and_then_numbers() {
        let first = DataHeader {
            immediate: false,
            unordered: true,
            beginning: true,
            ending: false,
            tsn: Tsn(0xdead_beef),
            stream: StreamId(7),
            mid: Mid(0x0102_0304),
            fsn: 0,
            ppid: Ppid(53),
        };
        let second = DataHeader {
            beginning: false,
            ending: true,
            fsn: u32::MAX,
            ppid: Ppid(0),
            ..first
        };
        for (header, flags, last) in [(first, 6, *b"\0\0\0\x35"), (second, 5, [0xff; 4])] {
            let mut out = vec![0; HEADER_LEN];
            header.write(DataKind::IData, &mut out, b"hello");
            let mut expected = vec![0x40, flags, 0, 0x19];
            expected.extend(b"\xde\xad\xbe\xef\0\x07\0\0\x01\x02\x03\x04");
            expected.extend(last);
            expected.extend(b"hello\0\0\0");
            assert_eq!(out[HEADER_LEN..], expected);
            let chunk = Chunks::new(&out).next().unwrap().unwrap();
            let parsed = DataHeader::parse(DataKind::IData, chunk.flags, chunk.value);
            assert_eq!(parsed, Some((header, &b"hello"[..])));
            assert_eq!(DataHeader::parse(DataKind::IData, 0, &chunk.value[..15]), None);
        }
    }
}
