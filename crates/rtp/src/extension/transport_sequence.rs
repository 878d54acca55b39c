//! Transport-wide sequence number (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 2).

/// The number of a packet among all packets of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportSequence(pub u16);

impl TransportSequence {
    /// Reads the element; the request for feedback that version 2 may append is left unread.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        match data {
            [a, b] | [a, b, _, _] => Some(Self(u16::from_be_bytes([*a, *b]))),
            _ => None,
        }
    }

    /// The element.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_versions() {
        assert_eq!(TransportSequence::parse(&[1, 2]), Some(TransportSequence(0x0102)));
        assert_eq!(
            TransportSequence::parse(&[1, 2, 0x80, 5]),
            Some(TransportSequence(0x0102))
        );
        assert_eq!(TransportSequence::parse(&[1]), None);
        assert_eq!(TransportSequence(0x0102).to_bytes(), [1, 2]);
    }
}
