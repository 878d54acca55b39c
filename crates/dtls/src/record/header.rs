//! The 13 bytes in front of a record (RFC 6347, section 4.1).

/// Bytes of the header.
pub(crate) const HEADER_LEN: usize = 13;
/// DTLS 1.2 on the wire.
pub(crate) const DTLS_1_2: u16 = 0xFEFD;
/// DTLS 1.0 on the wire; a first ClientHello may come in it, and a HelloVerifyRequest should.
pub(crate) const DTLS_1_0: u16 = 0xFEFF;
/// Record numbers are 48 bits.
pub(crate) const MAX_SEQUENCE: u64 = (1 << 48) - 1;
/// > The length MUST NOT exceed 2^14. (RFC 5246, section 6.2.1)
pub(crate) const MAX_PLAINTEXT: usize = 1 << 14;

/// What a record carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentType {
    ChangeCipherSpec = 20,
    Alert = 21,
    Handshake = 22,
    ApplicationData = 23,
}

/// The header of a record, without the version: it is checked and then says nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) content_type: ContentType,
    pub(crate) epoch: u16,
    pub(crate) sequence: u64,
    /// Bytes that follow the header.
    pub(crate) len: usize,
}

/// Why the bytes at the front of a datagram are not a record for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// No whole record: the rest of the datagram is of no use.
    Malformed,
    /// A record of this many bytes in all, of a kind or version that has no place here.
    Unexpected(usize),
}

impl RecordHeader {
    /// The header at the front of `datagram`, which holds the whole record.
    pub(crate) fn parse(datagram: &[u8]) -> Result<Self, HeaderError> {
        let header: &[u8; HEADER_LEN] = datagram.first_chunk().ok_or(HeaderError::Malformed)?;
        let [kind, major, minor, e0, e1, s0, s1, s2, s3, s4, s5, l0, l1] = *header;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if datagram.len() < HEADER_LEN + len {
            return Err(HeaderError::Malformed);
        }
        let content_type = match kind {
            20 => ContentType::ChangeCipherSpec,
            21 => ContentType::Alert,
            22 => ContentType::Handshake,
            23 => ContentType::ApplicationData,
            _ => return Err(HeaderError::Unexpected(HEADER_LEN + len)),
        };
        let epoch = u16::from_be_bytes([e0, e1]);
        // Before a version is negotiated the header of DTLS 1.0 is as good; afterwards it is part of what the
        // tag authenticates.
        match u16::from_be_bytes([major, minor]) {
            DTLS_1_2 => {}
            DTLS_1_0 if epoch == 0 => {}
            _ => return Err(HeaderError::Unexpected(HEADER_LEN + len)),
        }
        let sequence = u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]);
        Ok(Self {
            content_type,
            epoch,
            sequence,
            len,
        })
    }

    pub(crate) fn bytes(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0] = self.content_type as u8;
        out[1..3].copy_from_slice(&DTLS_1_2.to_be_bytes());
        out[3..11].copy_from_slice(&self.epoch_and_sequence());
        out[11..13].copy_from_slice(&(self.len as u16).to_be_bytes());
        out
    }

    /// The 64 bits that nonces and additional data are made of.
    pub(crate) fn epoch_and_sequence(&self) -> [u8; 8] {
        (u64::from(self.epoch) << 48 | self.sequence & MAX_SEQUENCE).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first record of a ClientHello of Chromium 156.
    #[test]
    fn the_header_of_a_browser_parses_and_writes_back() {
        let captured = [0x16, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 5, 0, 1, 0xAA];
        let header = RecordHeader::parse(&captured).unwrap();
        assert_eq!(
            header,
            RecordHeader {
                content_type: ContentType::Handshake,
                epoch: 0,
                sequence: 5,
                len: 1
            }
        );
        assert_eq!(header.bytes(), captured[..13]);
    }

    #[test]
    fn short_datagrams_and_foreign_records_are_told_apart() {
        let good = [23, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 5, 0, 2, 1, 2];
        assert!(RecordHeader::parse(&good).is_ok());
        for len in 0..good.len() {
            assert_eq!(
                RecordHeader::parse(&good[..len]),
                Err(HeaderError::Malformed),
                "{len}"
            );
        }
        for (at, byte) in [(0, 0x2F), (0, 25), (1, 3), (2, 0xFC), (2, 0xFF)] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(
                RecordHeader::parse(&bad),
                Err(HeaderError::Unexpected(15)),
                "{at} {byte:#x}"
            );
        }
    }
}
