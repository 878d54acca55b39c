//! The RTP header (RFC 3550, section 5.1 and 5.3.1), parsed without allocation.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |           synchronization source (SSRC) identifier            |
//! |            contributing source (CSRC) identifiers, 0 to 15    |
//! |      defined by profile       |  length in words (if X)       |
//! ```

use byteorder::{BigEndian, ByteOrder};

use crate::extension::Extensions;
use crate::{ParseError, PayloadType, SequenceNumber, Ssrc, Timestamp};

/// Bytes of a header without CSRCs and extension.
pub const MIN_HEADER_LEN: usize = 12;

/// Up to 15 contributing sources, kept inline.
#[derive(Clone, Copy, Default)]
pub struct Csrcs {
    len: u8,
    sources: [Ssrc; 15],
}

impl Csrcs {
    /// No contributing source.
    pub const NONE: Self = Self {
        len: 0,
        sources: [Ssrc(0); 15],
    };

    /// These sources, if they are at most 15.
    #[must_use]
    pub fn new(sources: &[Ssrc]) -> Option<Self> {
        let mut csrcs = Self::NONE;
        csrcs.sources.get_mut(..sources.len())?.copy_from_slice(sources);
        csrcs.len = u8::try_from(sources.len()).ok()?;
        Some(csrcs)
    }

    /// The sources in the order of the packet.
    #[must_use]
    pub fn as_slice(&self) -> &[Ssrc] {
        &self.sources[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for Csrcs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl PartialEq for Csrcs {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Csrcs {}

/// Where the header extension of a packet is. Its elements come from [`Header::extensions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionBlock {
    /// The 16 bits "defined by profile": 0xBEDE and 0x100x are the forms of RFC 8285.
    pub profile: u16,
    /// The offset in the packet of the first byte after the length field.
    pub start: usize,
    /// Bytes of the extension, a multiple of four.
    pub len: usize,
}

/// A parsed header: every field by value, and where the parts of the packet lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The marker bit.
    pub marker: bool,
    /// The payload type.
    pub payload_type: PayloadType,
    /// The sequence number.
    pub sequence: SequenceNumber,
    /// The media timestamp.
    pub timestamp: Timestamp,
    /// The synchronization source.
    pub ssrc: Ssrc,
    /// The contributing sources.
    pub csrcs: Csrcs,
    /// The header extension, if there is one.
    pub extension: Option<ExtensionBlock>,
    /// Bytes before the payload: fixed header, CSRCs and extension.
    pub header_len: usize,
    /// Bytes after the payload, the count itself included.
    pub padding_len: usize,
}

impl Header {
    /// Parses the header of a whole plain packet and checks its padding.
    ///
    /// # Errors
    /// [`ParseError`] when the bytes are not an RTP packet.
    pub fn parse(packet: &[u8]) -> Result<Self, ParseError> {
        let mut header = Self::parse_encrypted(packet)?;
        header.read_padding(packet)?;
        Ok(header)
    }

    /// Parses the header of a packet whose payload, and thus padding count, cannot be read yet: `padding_len`
    /// is 0 until [`Header::read_padding`].
    ///
    /// # Errors
    /// [`ParseError`] when the bytes do not start with an RTP header.
    pub fn parse_encrypted(packet: &[u8]) -> Result<Self, ParseError> {
        let Some(fixed) = packet.first_chunk::<MIN_HEADER_LEN>() else {
            return Err(ParseError::TooShort("the RTP header"));
        };
        let version = fixed[0] >> 6;
        if version != 2 {
            return Err(ParseError::Version(version));
        }
        let count = usize::from(fixed[0] & 0x0f);
        let mut header_len = MIN_HEADER_LEN + 4 * count;
        let sources = packet
            .get(MIN_HEADER_LEN..header_len)
            .ok_or(ParseError::TooShort("the CSRC list"))?;
        let mut csrcs = Csrcs {
            len: fixed[0] & 0x0f,
            ..Csrcs::NONE
        };
        for (slot, bytes) in csrcs.sources.iter_mut().zip(sources.chunks_exact(4)) {
            *slot = Ssrc(BigEndian::read_u32(bytes));
        }
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let start = header_len + 4;
            let word = packet
                .get(header_len..start)
                .ok_or(ParseError::TooShort("the extension header"))?;
            let len = 4 * usize::from(BigEndian::read_u16(&word[2..]));
            if packet.len() < start + len {
                return Err(ParseError::TooShort("the header extension"));
            }
            extension = Some(ExtensionBlock {
                profile: BigEndian::read_u16(word),
                start,
                len,
            });
            header_len = start + len;
        }
        Ok(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: PayloadType::from_second_byte(fixed[1]),
            sequence: SequenceNumber(BigEndian::read_u16(&fixed[2..4])),
            timestamp: Timestamp(BigEndian::read_u32(&fixed[4..8])),
            ssrc: Ssrc(BigEndian::read_u32(&fixed[8..12])),
            csrcs,
            extension,
            header_len,
            padding_len: 0,
        })
    }

    /// Reads the padding count of the plain packet that this header was parsed from.
    ///
    /// # Errors
    /// [`ParseError::Padding`] when the count is zero or larger than what follows the header.
    pub fn read_padding(&mut self, packet: &[u8]) -> Result<(), ParseError> {
        if packet.first().is_none_or(|first| first & 0x20 == 0) {
            self.padding_len = 0;
            return Ok(());
        }
        let body = packet.get(self.header_len..).unwrap_or_default();
        // RFC 3550, section 5.1: "The last octet of the padding contains a count of how many padding octets
        // should be ignored, including itself."
        let count = body.last().copied().unwrap_or(0);
        if count == 0 || usize::from(count) > body.len() {
            return Err(ParseError::Padding(count));
        }
        self.padding_len = usize::from(count);
        Ok(())
    }

    /// The elements of the header extension of the packet that this header was parsed from.
    #[must_use]
    pub fn extensions<'a>(&self, packet: &'a [u8]) -> Extensions<'a> {
        match self.extension {
            None => Extensions::none(),
            Some(block) => {
                let body = packet
                    .get(block.start..block.start + block.len)
                    .unwrap_or_default();
                Extensions::new(block.profile, body)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_with_everything_in_it() {
        let packet = [
            0xb2, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 0, 1, // header: P, X, CC=2, M, PT 96
            0, 0, 0, 2, 0, 0, 0, 3, // CSRCs
            0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, // one element
            7, 7, 0, 2, // payload and padding
        ];
        let header = Header::parse(&packet).unwrap();
        assert!(header.marker);
        assert_eq!(header.payload_type.get(), 96);
        assert_eq!(header.sequence, SequenceNumber(0x1234));
        assert_eq!(header.csrcs.as_slice(), [Ssrc(2), Ssrc(3)]);
        assert_eq!(
            header.extension,
            Some(ExtensionBlock {
                profile: 0xbede,
                start: 24,
                len: 4
            })
        );
        assert_eq!((header.header_len, header.padding_len), (28, 2));
        assert_eq!(header.extensions(&packet).collect::<Vec<_>>(), [(1, &[0xff][..])]);
    }

    #[test]
    fn padding_is_checked_against_what_follows_the_extension() {
        let mut packet = vec![0xa0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(
            Header::parse(&packet),
            Err(ParseError::Padding(0)),
            "no byte to hold the count"
        );
        packet.extend([0, 0, 3]);
        assert_eq!(
            Header::parse(&packet).unwrap().padding_len,
            3,
            "padding alone is legal"
        );
        for bad in [0, 4, 255] {
            packet[14] = bad;
            assert_eq!(Header::parse(&packet), Err(ParseError::Padding(bad)));
        }
    }

    #[test]
    fn every_length_up_to_64_with_every_first_byte() {
        for first in 0..=255 {
            for len in 0..=64 {
                let mut packet = vec![0xff; len];
                if let Some(byte) = packet.first_mut() {
                    *byte = first;
                }
                if let Ok(header) = Header::parse(&packet) {
                    assert!(header.header_len + header.padding_len <= len);
                    assert_eq!(header.extensions(&packet).count(), 0);
                }
            }
        }
    }

    #[test]
    fn an_empty_extension_is_legal() {
        let packet = [0x90, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 0];
        let header = Header::parse(&packet).unwrap();
        assert_eq!(header.header_len, 16);
        assert_eq!(header.extensions(&packet).next(), None);
    }
}
