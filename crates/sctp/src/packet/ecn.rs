//! ECNE and CWR (RFC 4960, appendix A): the echo of a mark that a router set, and the answer to it.
//!
//! An ECNE of the appendix names one TSN. That of draft-stewart-tsvwg-sctpecn, which usrsctp speaks, says as well how many
//! packets came with a mark since the last CWR. We send the longer one and understand both.

use byteorder::{BigEndian, ByteOrder};

use super::{CHUNK_HEADER_LEN, kind, write_chunk};
use crate::types::Tsn;

/// Bytes of an ECNE chunk with a count.
pub(crate) const ECNE_LEN: usize = CHUNK_HEADER_LEN + 8;
/// Bytes of a CWR chunk.
pub(crate) const CWR_LEN: usize = CHUNK_HEADER_LEN + 4;
/// The draft's flag of a CWR whose sender no longer knows the TSN: whatever the echo says, it is answered.
const FLAG_OVERRIDE: u8 = 1;

/// The echo of a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ecne {
    /// "the lowest TSN associated with the IP datagram marked with the CE bit"; usrsctp names the highest of that datagram.
    pub(crate) tsn: Tsn,
    /// Packets with a mark since the last CWR; `None` in the short form.
    pub(crate) count: Option<u32>,
}

impl Ecne {
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let (tsn, count) = value.split_at_checked(4)?;
        let count = match count.len() {
            0 => None,
            4 => Some(BigEndian::read_u32(count)),
            _ => return None,
        };
        Some(Self {
            tsn: Tsn(BigEndian::read_u32(tsn)),
            count,
        })
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        write_chunk(out, kind::ECNE, 0, |out| {
            out.extend_from_slice(&self.tsn.0.to_be_bytes());
            if let Some(count) = self.count {
                out.extend_from_slice(&count.to_be_bytes());
            }
        });
    }
}

/// "Congestion window reduced": the echo up to this TSN has done its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cwr {
    pub(crate) tsn: Tsn,
    pub(crate) overrides: bool,
}

impl Cwr {
    pub(crate) fn parse(flags: u8, value: &[u8]) -> Option<Self> {
        (value.len() == 4).then(|| Self {
            tsn: Tsn(BigEndian::read_u32(value)),
            overrides: flags & FLAG_OVERRIDE != 0,
        })
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let flags = if self.overrides { FLAG_OVERRIDE } else { 0 };
        write_chunk(out, kind::CWR, flags, |out| {
            out.extend_from_slice(&self.tsn.0.to_be_bytes());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_read_in_both_lengths_and_in_no_other() {
        for (count, len) in [(None, 8), (Some(7), 12)] {
            let echo = Ecne {
                tsn: Tsn(0x0102_0304),
                count,
            };
            let mut out = Vec::new();
            echo.write(&mut out);
            assert_eq!((out.len(), out[0], usize::from(out[3])), (len, 12, len));
            assert_eq!(out[4..8], [1, 2, 3, 4]);
            assert_eq!(Ecne::parse(&out[CHUNK_HEADER_LEN..]), Some(echo));
        }
        for bad in [0, 3, 5, 7, 9, 12] {
            assert_eq!(Ecne::parse(&[0; 12][..bad]), None, "{bad}");
        }
    }

    #[test]
    fn an_answer_has_one_tsn_and_may_override() {
        for overrides in [false, true] {
            let cwr = Cwr {
                tsn: Tsn(9),
                overrides,
            };
            let mut out = Vec::new();
            cwr.write(&mut out);
            assert_eq!(out, [13, u8::from(overrides), 0, 8, 0, 0, 0, 9]);
            assert_eq!(Cwr::parse(out[1], &out[CHUNK_HEADER_LEN..]), Some(cwr));
        }
        assert_eq!(Cwr::parse(0, &[0; 8]), None);
    }
}
