//! Absolute send time: 24 bits, seconds as 6.18 fixed point, rewritten at each hop.

use crate::NtpTime;

/// The time at which a packet left its sender, modulo 64 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsSendTime(pub u32);

impl AbsSendTime {
    /// The value of a time: `(ntp >> 14) & 0xffffff`.
    #[must_use]
    pub const fn from_ntp(time: NtpTime) -> Self {
        Self(((time.0 >> 14) & 0x00ff_ffff) as u32)
    }

    /// Reads the element.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        match data {
            [a, b, c] => Some(Self(u32::from_be_bytes([0, *a, *b, *c]))),
            _ => None,
        }
    }

    /// The element.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_two_to_the_18() {
        assert_eq!(AbsSendTime::from_ntp(NtpTime(1 << 32)), AbsSendTime(1 << 18));
        assert_eq!(AbsSendTime::from_ntp(NtpTime(64 << 32)), AbsSendTime(0));
        assert_eq!(AbsSendTime::parse(&[1, 2, 3]).unwrap().to_bytes(), [1, 2, 3]);
        assert_eq!(AbsSendTime::parse(&[1, 2]), None);
    }
}
