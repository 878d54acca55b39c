//! Client-to-mixer audio level (RFC 6464).

/// The level of the audio in a packet, and whether it is speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// Whether the sender thinks that this is speech; meaningful with `vad=on`.
    pub voice: bool,
    /// The level in -dBov: 0 is the loudest, 127 is silence.
    pub level: u8,
}

impl AudioLevel {
    /// Reads the element; RFC 6464, section 3: with the two-byte form a padding byte may follow.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        data.first().map(|byte| Self {
            voice: byte & 0x80 != 0,
            level: byte & 0x7f,
        })
    }

    /// The element.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 1] {
        [u8::from(self.voice) << 7 | self.level.min(127)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_every_byte() {
        for byte in 0..=255 {
            assert_eq!(AudioLevel::parse(&[byte]).unwrap().to_bytes(), [byte]);
        }
        assert_eq!(AudioLevel::parse(&[]), None);
        assert_eq!(
            AudioLevel {
                voice: false,
                level: 200
            }
            .to_bytes(),
            [127]
        );
    }
}
