//! Absolute capture time: when the first sample of a frame was captured, in the sender's clock.

use crate::NtpTime;

/// The capture time, and the offset of the capturing clock if it is not the sender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// The time in the clock of the capturer.
    pub captured: NtpTime,
    /// The capturer's clock minus the sender's, as signed 32.32 fixed point seconds.
    pub clock_offset: Option<i64>,
}

impl AbsCaptureTime {
    /// Reads the element: 8 bytes, or 16 with a clock offset.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        let (captured, rest) = data.split_first_chunk::<8>()?;
        let captured = NtpTime(u64::from_be_bytes(*captured));
        match rest.split_first_chunk::<8>() {
            Some((offset, [])) => Some(Self {
                captured,
                clock_offset: Some(i64::from_be_bytes(*offset)),
            }),
            None if rest.is_empty() => Some(Self {
                captured,
                clock_offset: None,
            }),
            _ => None,
        }
    }

    /// Puts the element into `buffer` and answers with the part that was used.
    #[must_use]
    pub fn to_bytes(self, buffer: &mut [u8; 16]) -> &[u8] {
        buffer[..8].copy_from_slice(&self.captured.0.to_be_bytes());
        match self.clock_offset {
            None => &buffer[..8],
            Some(offset) => {
                buffer[8..].copy_from_slice(&offset.to_be_bytes());
                buffer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_and_without_offset() {
        for clock_offset in [None, Some(-5)] {
            let time = AbsCaptureTime {
                captured: NtpTime(0x0102_0304_0506_0708),
                clock_offset,
            };
            let mut buffer = [0; 16];
            let written = time.to_bytes(&mut buffer);
            assert_eq!(written.len(), if clock_offset.is_some() { 16 } else { 8 });
            assert_eq!(AbsCaptureTime::parse(written), Some(time));
        }
        for len in [0, 7, 9, 15, 17] {
            assert_eq!(AbsCaptureTime::parse(&vec![0; len]), None);
        }
    }
}
