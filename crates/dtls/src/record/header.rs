//! The 13 bytes in front of a record of DTLS 1.2, and of every record without protection (RFC 6347, section 4.1).

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
    /// What is inside says its own type, and the header carries a connection ID (RFC 9146, section 4).
    Tls12Cid = 25,
    /// DTLS 1.3 only (RFC 9147, section 7).
    Ack = 26,
}

impl ContentType {
    /// The type of what a record turned out to carry when it was opened.
    pub(crate) const fn of_content(code: u8) -> Option<Self> {
        Some(match code {
            20 => Self::ChangeCipherSpec,
            21 => Self::Alert,
            22 => Self::Handshake,
            23 => Self::ApplicationData,
            26 => Self::Ack,
            _ => return None,
        })
    }
}

/// The header of a record, without the version: it is checked and then says nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) content_type: ContentType,
    pub(crate) epoch: u16,
    pub(crate) sequence: u64,
    /// Bytes of the connection ID, which only a [`ContentType::Tls12Cid`] has.
    pub(crate) cid_len: usize,
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
    /// The header at the front of `datagram`, which holds the whole record. `cid_len`: bytes of our connection ID.
    pub(crate) fn parse(datagram: &[u8], cid_len: usize) -> Result<Self, HeaderError> {
        let header: &[u8; HEADER_LEN] = datagram.first_chunk().ok_or(HeaderError::Malformed)?;
        let [kind, major, minor, e0, e1, s0, s1, s2, s3, s4, s5, ..] = *header;
        let cid_len = if kind == ContentType::Tls12Cid as u8 {
            cid_len
        } else {
            0
        };
        let header_len = HEADER_LEN + cid_len;
        let len = match datagram.get(header_len - 2..header_len) {
            Some(&[l0, l1]) => usize::from(u16::from_be_bytes([l0, l1])),
            _ => return Err(HeaderError::Malformed),
        };
        if datagram.len() < header_len + len {
            return Err(HeaderError::Malformed);
        }
        let content_type = match kind {
            25 if cid_len > 0 => ContentType::Tls12Cid,
            kind => ContentType::of_content(kind).ok_or(HeaderError::Unexpected(header_len + len))?,
        };
        let epoch = u16::from_be_bytes([e0, e1]);
        // Before a version is negotiated the header of DTLS 1.0 is as good; afterwards it is part of what the
        // tag authenticates.
        match u16::from_be_bytes([major, minor]) {
            DTLS_1_2 => {}
            DTLS_1_0 if epoch == 0 => {}
            _ => return Err(HeaderError::Unexpected(header_len + len)),
        }
        let sequence = u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]);
        Ok(Self {
            content_type,
            epoch,
            sequence,
            cid_len,
            len,
        })
    }

    /// Bytes before the content.
    pub(crate) fn header_len(&self) -> usize {
        HEADER_LEN + self.cid_len
    }

    /// As on the wire, without a connection ID.
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
        let header = RecordHeader::parse(&captured, 0).unwrap();
        assert_eq!(
            header,
            RecordHeader {
                content_type: ContentType::Handshake,
                epoch: 0,
                sequence: 5,
                cid_len: 0,
                len: 1
            }
        );
        assert_eq!(header.bytes(), captured[..13]);
    }

    #[test]
    fn short_datagrams_and_foreign_records_are_told_apart() {
        let good = [23, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 5, 0, 2, 1, 2];
        assert!(RecordHeader::parse(&good, 0).is_ok());
        for len in 0..good.len() {
            assert_eq!(
                RecordHeader::parse(&good[..len], 0),
                Err(HeaderError::Malformed),
                "{len}"
            );
        }
        for (at, byte) in [(0, 0x2F), (0, 25), (1, 3), (2, 0xFC), (2, 0xFF)] {
            let mut bad = good;
            bad[at] = byte;
            assert_eq!(
                RecordHeader::parse(&bad, 0),
                Err(HeaderError::Unexpected(15)),
                "{at} {byte:#x}"
            );
        }
    }
}
