//! Synchronization sources and payload types (RFC 3550, sections 3 and 5.1; RFC 5761, section 4).

use std::fmt;

/// A synchronization source identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl From<u32> for Ssrc {
    fn from(value: u32) -> Self {
        Self(value)
    }
}

/// A payload type: seven bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PayloadType(u8);

impl PayloadType {
    /// The payload type of this value, if it has seven bits.
    #[must_use]
    pub const fn new(value: u8) -> Option<Self> {
        if value < 128 { Some(Self(value)) } else { None }
    }

    /// The payload type in the low seven bits of the second byte of a packet.
    #[must_use]
    pub const fn from_second_byte(byte: u8) -> Self {
        Self(byte & 0x7f)
    }

    /// The value, 0 to 127.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// RFC 5761, section 4: "payload type values in the range 64-95 MUST NOT be used".
    #[must_use]
    pub const fn collides_with_rtcp(self) -> bool {
        self.0 >= 64 && self.0 <= 95
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_type_has_seven_bits() {
        assert_eq!(PayloadType::new(127).map(PayloadType::get), Some(127));
        assert_eq!(PayloadType::new(128), None);
        assert_eq!(PayloadType::from_second_byte(0xe0).get(), 0x60);
        assert!(PayloadType::from_second_byte(72).collides_with_rtcp());
    }
}
