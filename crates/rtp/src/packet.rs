//! A received RTP packet: its header beside the bytes it came in.

use bytes::Bytes;

use crate::extension::Extensions;
use crate::{Header, ParseError};

/// A plain RTP packet. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The parsed header of `data`.
    pub header: Header,
    /// The whole packet, header included.
    pub data: Bytes,
}

impl Packet {
    /// Parses a whole plain packet.
    ///
    /// # Errors
    /// [`ParseError`] when the bytes are not an RTP packet.
    pub fn parse(data: Bytes) -> Result<Self, ParseError> {
        Ok(Self {
            header: Header::parse(&data)?,
            data,
        })
    }

    /// The payload without padding; shares the packet's bytes.
    #[must_use]
    pub fn payload(&self) -> Bytes {
        let end = self.data.len().saturating_sub(self.header.padding_len);
        self.data.slice(self.header.header_len.min(end)..end)
    }

    /// Bytes of the payload without padding.
    #[must_use]
    pub fn payload_len(&self) -> usize {
        self.data
            .len()
            .saturating_sub(self.header.header_len + self.header.padding_len)
    }

    /// The elements of the header extension: `(id, data)`.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'_> {
        self.header.extensions(&self.data)
    }

    /// The data of the first extension element with this id.
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<&[u8]> {
        self.extensions()
            .find(|(element, _)| *element == id)
            .map(|(_, data)| data)
    }
}

/// Whether a datagram whose first byte is in 128..=191 is RTCP and not RTP.
///
/// RFC 5761, section 4: the RTCP packet types 192 to 223 stand where RTP has marker bit and payload type.
#[must_use]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    datagram.get(1).is_some_and(|byte| (192..=223).contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_what_lies_between_header_and_padding() {
        let data = Bytes::from_static(&[
            0xb0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x30, 0xaa, 0x50, 0xbb, 1, 2, 3, 0, 2,
        ]);
        let packet = Packet::parse(data).unwrap();
        assert_eq!(packet.payload(), [1, 2, 3][..]);
        assert_eq!(packet.payload_len(), 3);
        assert_eq!(packet.extension(3), Some(&[0xaa][..]));
        assert_eq!(packet.extension(5), Some(&[0xbb][..]));
        assert_eq!(packet.extension(4), None);
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_the_second_byte() {
        assert!(is_rtcp(&[0x80, 200]));
        assert!(is_rtcp(&[0x80, 192]));
        assert!(is_rtcp(&[0x80, 223]));
        assert!(!is_rtcp(&[0x80, 224]));
        assert!(!is_rtcp(&[0x80, 96]));
        assert!(!is_rtcp(&[0x80]));
    }
}
