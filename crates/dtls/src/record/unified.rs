//! The unified header of protected records of DTLS 1.3 (RFC 9147, section 4):
//!
//! ```text
//!  0 1 2 3 4 5 6 7
//! +-+-+-+-+-+-+-+-+
//! |0|0|1|C|S|L|E E|  C: connection ID present, S: 16-bit number, L: length present, E: low bits of the epoch
//! +-+-+-+-+-+-+-+-+
//! | connection ID, number (8 or 16 bits), length (16 bits, or the rest of the datagram)
//! ```

use super::header::HeaderError;

const FIXED: u8 = 0b0010_0000;
const FIXED_MASK: u8 = 0b1110_0000;
const CID: u8 = 0b0001_0000;
const SEQUENCE_16: u8 = 0b0000_1000;
const LENGTH: u8 = 0b0000_0100;
const EPOCH_MASK: u8 = 0b0000_0011;

/// Where the parts of a record are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnifiedHeader {
    /// The two low bits of the epoch.
    pub(crate) epoch_bits: u8,
    /// Bytes of the connection ID; 0: there is none.
    pub(crate) cid_len: usize,
    /// Bytes of the encrypted number: 1 or 2.
    pub(crate) sequence_len: usize,
    /// Bytes of the header.
    pub(crate) header_len: usize,
    /// Bytes after the header.
    pub(crate) len: usize,
}

impl UnifiedHeader {
    /// Whether a datagram's first byte says that this header follows.
    pub(crate) fn is_announced_by(first: u8) -> bool {
        first & FIXED_MASK == FIXED
    }

    /// The header at the front of `datagram`, which holds the whole record. `cid_len`: bytes of our connection ID.
    pub(crate) fn parse(datagram: &[u8], cid_len: usize) -> Result<Self, HeaderError> {
        let flags = *datagram.first().ok_or(HeaderError::Malformed)?;
        let has_cid = flags & CID != 0;
        // "If no CID is negotiated, then the receiver MUST reject any records it receives that contain a CID."
        // (RFC 9147, section 9.1). How long it is, nobody knows then.
        if has_cid && cid_len == 0 {
            return Err(HeaderError::Malformed);
        }
        let cid_len = if has_cid { cid_len } else { 0 };
        let sequence_len = if flags & SEQUENCE_16 != 0 { 2 } else { 1 };
        let mut header_len = 1 + cid_len + sequence_len;
        let len = if flags & LENGTH != 0 {
            header_len += 2;
            match datagram.get(header_len - 2..header_len) {
                Some(&[high, low]) => usize::from(u16::from_be_bytes([high, low])),
                _ => return Err(HeaderError::Malformed),
            }
        } else {
            datagram
                .len()
                .checked_sub(header_len)
                .ok_or(HeaderError::Malformed)?
        };
        if datagram.len() < header_len + len {
            return Err(HeaderError::Malformed);
        }
        Ok(Self {
            epoch_bits: flags & EPOCH_MASK,
            cid_len,
            sequence_len,
            header_len,
            len,
        })
    }

    /// Where the encrypted number is.
    pub(crate) fn sequence_at(&self) -> usize {
        1 + self.cid_len
    }

    /// Bytes of a header that we write: number of 16 bits, and the length.
    pub(crate) const fn written_len(cid_len: usize) -> usize {
        1 + cid_len + 2 + 2
    }

    /// Appends a header with the number in clear and a length of 0, which is filled in with the tag.
    pub(crate) fn write(epoch: u64, cid: &[u8], sequence: u64, out: &mut Vec<u8>) {
        let cid_bit = if cid.is_empty() { 0 } else { CID };
        out.push(FIXED | cid_bit | SEQUENCE_16 | LENGTH | epoch as u8 & EPOCH_MASK);
        out.extend_from_slice(cid);
        out.extend_from_slice(&(sequence as u16).to_be_bytes());
        out.extend_from_slice(&[0; 2]);
    }
}

/// > implementations SHOULD reconstruct the sequence number by computing the full sequence number which is
/// > numerically closest to one plus the sequence number of the highest successfully deprotected record in the
/// > current epoch. (RFC 9147, section 4.2.2)
pub(crate) fn reconstruct(partial: u64, bits: u32, expected: u64) -> u64 {
    let window = 1u64 << bits;
    let candidate = expected & !(window - 1) | partial & (window - 1);
    if candidate + window / 2 <= expected {
        candidate.checked_add(window).unwrap_or(candidate)
    } else if candidate > expected + window / 2 && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_header_parses() {
        // Chromium's form: no connection ID, 16-bit number, length.
        let parsed = UnifiedHeader::parse(&[0x2E, 0xAA, 0xBB, 0, 3, 1, 2, 3, 9], 0).unwrap();
        let expected = UnifiedHeader {
            epoch_bits: 2,
            cid_len: 0,
            sequence_len: 2,
            header_len: 5,
            len: 3,
        };
        assert_eq!(parsed, expected);
        // The minimal form takes the rest of the datagram.
        let parsed = UnifiedHeader::parse(&[0x23, 0xAA, 1, 2, 3], 0).unwrap();
        assert_eq!(
            (
                parsed.epoch_bits,
                parsed.sequence_len,
                parsed.header_len,
                parsed.len
            ),
            (3, 1, 2, 3)
        );
        // A connection ID of four bytes.
        let bytes = [0x3D, 1, 2, 3, 4, 0xAA, 0xBB, 0, 1, 7];
        let parsed = UnifiedHeader::parse(&bytes, 4).unwrap();
        assert_eq!(
            (
                parsed.cid_len,
                parsed.sequence_at(),
                parsed.header_len,
                parsed.len
            ),
            (4, 5, 9, 1)
        );
        assert_eq!(UnifiedHeader::parse(&bytes, 0), Err(HeaderError::Malformed));
        for len in 0..bytes.len() {
            assert_eq!(
                UnifiedHeader::parse(&bytes[..len], 4),
                Err(HeaderError::Malformed),
                "{len}"
            );
        }
    }

    #[test]
    fn what_is_written_parses() {
        for cid in [&[][..], &[9; 20]] {
            let mut out = Vec::new();
            UnifiedHeader::write(7, cid, 0x1_2345, &mut out);
            assert_eq!(out.len(), UnifiedHeader::written_len(cid.len()));
            let parsed = UnifiedHeader::parse(&out, cid.len()).unwrap();
            assert_eq!(
                (parsed.epoch_bits, parsed.header_len, parsed.len),
                (3, out.len(), 0)
            );
            let at = parsed.sequence_at();
            assert_eq!(out[at..at + 2], [0x23, 0x45]);
        }
    }

    #[test]
    fn the_number_closest_to_the_expected_one_is_meant() {
        for (partial, bits, expected, full) in [
            (0, 16, 0, 0),
            (0xFFFF, 16, 0, 0xFFFF),
            (5, 8, 0x100, 0x105),
            (0xFE, 8, 0x101, 0xFE),
            (0x01, 8, 0xFF, 0x101),
            (0x80, 8, 0x100, 0x180),
            (0x7FFF, 16, 0x2_0000, 0x2_7FFF),
            (0x8001, 16, 0x2_0000, 0x1_8001),
        ] {
            assert_eq!(
                reconstruct(partial, bits, expected),
                full,
                "{partial:#x} near {expected:#x}"
            );
        }
    }
}
