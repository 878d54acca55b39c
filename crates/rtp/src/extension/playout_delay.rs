//! Playout delay: two limits of 12 bits in units of 10 ms.

use std::time::Duration;

/// The least and the most delay between capture and rendering that the sender wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutDelay {
    /// The lower limit.
    pub min: Duration,
    /// The upper limit.
    pub max: Duration,
}

impl PlayoutDelay {
    /// Reads the element; a lower limit above the upper one makes it invalid.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        let [a, b, c] = data else { return None };
        let bits = u32::from_be_bytes([0, *a, *b, *c]);
        let delay = Self {
            min: of_units(bits >> 12),
            max: of_units(bits & 0xfff),
        };
        (delay.min <= delay.max).then_some(delay)
    }

    /// The element; what does not fit becomes the largest value.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = (to_units(self.min) << 12 | to_units(self.max)).to_be_bytes();
        [a, b, c]
    }
}

fn of_units(units: u32) -> Duration {
    Duration::from_millis(u64::from(units) * 10)
}

fn to_units(delay: Duration) -> u32 {
    u32::try_from(delay.as_millis() / 10)
        .unwrap_or(u32::MAX)
        .min(0xfff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_have_twelve_bits() {
        let delay = PlayoutDelay {
            min: Duration::from_millis(100),
            max: Duration::from_millis(40_950),
        };
        assert_eq!(delay.to_bytes(), [0x00, 0xaf, 0xff]);
        assert_eq!(PlayoutDelay::parse(&delay.to_bytes()), Some(delay));
        assert_eq!(
            PlayoutDelay {
                max: Duration::from_secs(1000),
                ..delay
            }
            .to_bytes(),
            [0x00, 0xaf, 0xff]
        );
        assert_eq!(PlayoutDelay::parse(&[0xff, 0xf0, 0x00]), None, "min > max");
    }
}
