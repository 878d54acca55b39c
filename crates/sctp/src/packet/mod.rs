//! The SCTP packet (RFC 9260, section 3): common header, CRC32c, and the walk over its chunks.
//!
//! One file per chunk; a chunk's `parse` takes the chunk's value (what follows the four bytes of type, flags and
//! length) and its `write` appends a whole chunk, padded.

pub(crate) mod cause;
pub(crate) mod data;
pub(crate) mod ecn;
pub(crate) mod forward_tsn;
pub(crate) mod init;
pub(crate) mod parameter;
pub(crate) mod reconfig;
pub(crate) mod sack;

use byteorder::{BigEndian, ByteOrder, LittleEndian};

/// Chunk types (RFC 9260, section 3.2, Table 1; RFC 4960, appendix A; RFC 3758; RFC 6525; RFC 4820; RFC 8260, section 5).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const SACK: u8 = 3;
    pub(crate) const HEARTBEAT: u8 = 4;
    pub(crate) const HEARTBEAT_ACK: u8 = 5;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const ERROR: u8 = 9;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const ECNE: u8 = 12;
    pub(crate) const CWR: u8 = 13;
    pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
    pub(crate) const I_DATA: u8 = 64;
    pub(crate) const RE_CONFIG: u8 = 130;
    pub(crate) const PAD: u8 = 132;
    pub(crate) const FORWARD_TSN: u8 = 192;
    pub(crate) const I_FORWARD_TSN: u8 = 194;
}

/// The T bit of ABORT and SHUTDOWN COMPLETE: the verification tag is reflected.
pub(crate) const FLAG_REFLECTED: u8 = 1;

/// Bytes of the common header.
pub(crate) const HEADER_LEN: usize = 12;
/// Bytes of a chunk header.
pub(crate) const CHUNK_HEADER_LEN: usize = 4;

/// `len` rounded up to the four-byte boundary of chunks and parameters.
pub(crate) fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// The common header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) verification_tag: u32,
}

/// What the checksum field of a received packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// The field is zero; whether the CRC32c would happen to be zero too has not been computed.
    Zero,
    /// The CRC32c fits.
    Correct,
    /// Neither.
    Wrong,
}

impl Header {
    /// The header and the bytes after it; `None` when there is no room for a header and one chunk.
    pub(crate) fn parse(packet: &[u8]) -> Option<(Self, &[u8])> {
        let (header, rest) = packet.split_at_checked(HEADER_LEN)?;
        if rest.len() < CHUNK_HEADER_LEN {
            return None;
        }
        let header = Self {
            source_port: BigEndian::read_u16(&header[0..2]),
            destination_port: BigEndian::read_u16(&header[2..4]),
            verification_tag: BigEndian::read_u32(&header[4..8]),
        };
        Some((header, rest))
    }

    /// Appends the header with a zero checksum; [`seal`] fills that in.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        let mut header = [0; HEADER_LEN];
        BigEndian::write_u16(&mut header[0..2], self.source_port);
        BigEndian::write_u16(&mut header[2..4], self.destination_port);
        BigEndian::write_u32(&mut header[4..8], self.verification_tag);
        out.extend_from_slice(&header);
    }
}

/// The CRC32c of a packet whose checksum field counts as zero (RFC 9260, section 6.8 and Appendix A).
fn crc(packet: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&packet[..8]);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc32c::crc32c_append(crc, &packet[HEADER_LEN..])
}

/// Looks at the checksum of a packet that is at least a header long. A zero field is not computed against.
pub(crate) fn checksum(packet: &[u8]) -> Checksum {
    // Appendix A: the CRC is stored so that its bytes go out in little-endian order.
    match LittleEndian::read_u32(&packet[8..12]) {
        0 => Checksum::Zero,
        stored if stored == crc(packet) => Checksum::Correct,
        _ => Checksum::Wrong,
    }
}

/// Whether a packet with a zero checksum field is right even so: its CRC32c is zero.
pub(crate) fn crc_is_zero(packet: &[u8]) -> bool {
    crc(packet) == 0
}

/// Writes the CRC32c of the packet that begins at `start` of `out`.
pub(crate) fn seal(out: &mut [u8], start: usize) {
    let packet = &mut out[start..];
    let crc = crc(packet);
    LittleEndian::write_u32(&mut packet[8..12], crc);
}

/// A chunk as it lies in the packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawChunk<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// What follows the length field, without padding.
    pub(crate) value: &'a [u8],
    /// Where `value` begins, counted from the start of the packet.
    pub(crate) offset: usize,
}

impl RawChunk<'_> {
    /// Bytes of the chunk with its header and without its padding.
    pub(crate) fn len(&self) -> usize {
        self.value.len() + CHUNK_HEADER_LEN
    }
}

/// The chunks of a packet in order. `Err(Truncated)` is the last item when the rest is not a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Chunks<'a> {
    packet: &'a [u8],
    offset: usize,
}

/// The rest of the packet is not a whole chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Truncated;

impl<'a> Chunks<'a> {
    pub(crate) fn new(packet: &'a [u8]) -> Self {
        Self {
            packet,
            offset: HEADER_LEN,
        }
    }
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<RawChunk<'a>, Truncated>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.packet.get(self.offset..).filter(|rest| !rest.is_empty())?;
        let value_at = self.offset + CHUNK_HEADER_LEN;
        let chunk = (rest.len() >= CHUNK_HEADER_LEN)
            .then(|| usize::from(BigEndian::read_u16(&rest[2..4])))
            .filter(|&len| len >= CHUNK_HEADER_LEN && len <= rest.len())
            .map(|len| RawChunk {
                kind: rest[0],
                flags: rest[1],
                value: &rest[CHUNK_HEADER_LEN..len],
                offset: value_at,
            });
        self.offset = match &chunk {
            Some(chunk) => self.offset + padded(chunk.len()),
            None => self.packet.len(),
        };
        Some(chunk.ok_or(Truncated))
    }
}

/// Appends a chunk whose value `write` appends: the header, the length, and the padding of section 3.2.
pub(crate) fn write_chunk(out: &mut Vec<u8>, kind: u8, flags: u8, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[kind, flags, 0, 0]);
    write(out);
    let len = out.len() - start;
    debug_assert!(len <= usize::from(u16::MAX));
    BigEndian::write_u16(
        &mut out[start + 2..start + 4],
        u16::try_from(len).unwrap_or(u16::MAX),
    );
    pad(out, len);
}

/// Appends the zero bytes that follow something `len` bytes long.
pub(crate) fn pad(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&[0; 3][..padded(len) - len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(chunks: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Header {
            source_port: 5000,
            destination_port: 5001,
            verification_tag: 7,
        }
        .write(&mut out);
        out.extend_from_slice(chunks);
        out
    }

    #[test]
    fn a_sealed_packet_has_a_correct_checksum_and_a_changed_one_has_not() {
        let mut packet = packet(&[kind::COOKIE_ACK, 0, 0, 4]);
        assert_eq!(checksum(&packet), Checksum::Zero);
        assert!(!crc_is_zero(&packet));
        seal(&mut packet, 0);
        assert_eq!(checksum(&packet), Checksum::Correct);
        packet[13] ^= 1;
        assert_eq!(checksum(&packet), Checksum::Wrong);
    }

    /// RFC 3720, appendix B.4: 32 bytes of zeros have the CRC32c aa 36 91 8a in transmission order.
    #[test]
    fn the_crc_is_stored_in_transmission_order() {
        let mut packet = vec![0; 32];
        seal(&mut packet, 0);
        assert_eq!(packet[8..12], [0xaa, 0x36, 0x91, 0x8a]);
    }

    #[test]
    fn chunks_are_walked_over_their_padding() {
        let packet = packet(&[4, 0, 0, 5, 9, 0, 0, 0, 5, 1, 0, 4, 6, 0, 0, 6, 1, 2]);
        let chunks: Vec<_> = Chunks::new(&packet).map(|chunk| chunk.unwrap()).collect();
        assert_eq!(
            chunks
                .iter()
                .map(|chunk| (chunk.kind, chunk.value.len()))
                .collect::<Vec<_>>(),
            [(4, 1), (5, 0), (6, 2)]
        );
        assert_eq!(chunks[0].offset, 16);
        assert_eq!(chunks[2].value, [1, 2]);
    }

    #[test]
    fn a_length_that_lies_ends_the_walk() {
        for bad in [
            &[4u8, 0, 0, 3][..],
            &[4, 0, 0, 9, 1, 2, 3, 4],
            &[4, 0, 0],
            &[0, 0, 0, 0],
        ] {
            let packet = packet(bad);
            let mut chunks = Chunks::new(&packet);
            assert!(matches!(chunks.next(), Some(Err(Truncated))));
            assert!(chunks.next().is_none());
        }
    }
}
