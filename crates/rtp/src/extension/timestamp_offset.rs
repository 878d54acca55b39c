//! Transmission time offset (RFC 5450): how much later than its timestamp a packet was sent.

/// The offset in units of the media clock: signed, 24 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset(pub i32);

impl TimestampOffset {
    /// Reads the element.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        match data {
            [a, b, c] => Some(Self(i32::from_be_bytes([*a, *b, *c, 0]) >> 8)),
            _ => None,
        }
    }

    /// The element; what does not fit 24 bits becomes the nearest value that does.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.clamp(-(1 << 23), (1 << 23) - 1).to_be_bytes();
        [a, b, c]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_is_in_bit_23() {
        for value in [0, 1, -1, (1 << 23) - 1, -(1 << 23)] {
            assert_eq!(
                TimestampOffset::parse(&TimestampOffset(value).to_bytes()),
                Some(TimestampOffset(value))
            );
        }
        assert_eq!(TimestampOffset(i32::MIN).to_bytes(), [0x80, 0, 0]);
        assert_eq!(TimestampOffset::parse(&[0; 4]), None);
    }
}
