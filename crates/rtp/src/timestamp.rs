//! Media timestamps and NTP times (RFC 3550, sections 4 and 5.1).

use std::fmt;
use std::time::Duration;

/// A 32-bit media timestamp, in units of the codec's clock rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Timestamp(pub u32);

impl Timestamp {
    /// The time `by` units later, modulo 2^32.
    #[must_use]
    pub const fn wrapping_add(self, by: u32) -> Self {
        Self(self.0.wrapping_add(by))
    }

    /// Units from `older` to this time: negative when this one is the older.
    #[must_use]
    pub const fn distance_from(self, older: Self) -> i32 {
        self.0.wrapping_sub(older.0).cast_signed()
    }

    /// Whether this time is after `other` (less than 2^31 units).
    #[must_use]
    pub const fn is_newer_than(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Seconds since 1900 as unsigned 32.32 fixed point: the NTP timestamp format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// 1970 in NTP time, to add a Unix time to.
    pub const UNIX_EPOCH: Self = Self(2_208_988_800 << 32);

    /// This time and `after`, modulo the NTP era.
    #[must_use]
    pub fn wrapping_add(self, after: Duration) -> Self {
        let fraction = (u64::from(after.subsec_nanos()) << 32) / 1_000_000_000;
        Self(self.0.wrapping_add(after.as_secs() << 32).wrapping_add(fraction))
    }

    /// The time from `earlier` to this one, or zero when `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        duration_of_32_32(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3550, section 4: "the middle 32 bits are used; that is, the low 16 bits of the integer part and
    /// the high 16 bits of the fractional part".
    #[must_use]
    pub const fn middle(self) -> u32 {
        ((self.0 >> 16) & 0xffff_ffff) as u32
    }

    /// The whole seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The fraction of a second, in units of 2^-32 s.
    #[must_use]
    pub const fn fraction(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

/// A duration in units of 1/65536 s, as the DLSR field has it; what does not fit becomes the largest value.
#[must_use]
pub(crate) fn to_short_format(duration: Duration) -> u32 {
    let units = duration.as_nanos().saturating_mul(65_536) / 1_000_000_000;
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// The duration of a count of 1/65536 s.
#[must_use]
pub(crate) fn from_short_format(units: u32) -> Duration {
    duration_of_32_32(u64::from(units) << 16)
}

fn duration_of_32_32(value: u64) -> Duration {
    let nanos = ((value & 0xffff_ffff) * 1_000_000_000) >> 32;
    Duration::from_secs(value >> 32) + Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_compare_across_the_wrap() {
        assert!(Timestamp(5).is_newer_than(Timestamp(u32::MAX)));
        assert_eq!(Timestamp(5).distance_from(Timestamp(u32::MAX)), 6);
        assert_eq!(Timestamp(u32::MAX).wrapping_add(6), Timestamp(5));
    }

    #[test]
    fn ntp_time_adds_and_subtracts_durations() {
        let time = NtpTime::UNIX_EPOCH.wrapping_add(Duration::from_millis(1500));
        assert_eq!(time.seconds(), 2_208_988_801);
        assert_eq!(time.fraction(), 1 << 31);
        assert_eq!(
            time.saturating_since(NtpTime::UNIX_EPOCH),
            Duration::from_millis(1500)
        );
        assert_eq!(NtpTime::UNIX_EPOCH.saturating_since(time), Duration::ZERO);
    }

    /// The example of RFC 3550, section 6.4.1: n = 46864.500 s, A = 46853.125 s.
    #[test]
    fn the_middle_bits_of_the_figure_in_rfc_3550() {
        assert_eq!(NtpTime(0xb44d_b705_2000_0000).middle(), 0xb705_2000);
        assert_eq!(to_short_format(Duration::from_millis(5250)), 0x0005_4000);
        assert_eq!(from_short_format(0x0005_4000), Duration::from_millis(5250));
        assert_eq!(to_short_format(Duration::from_secs(1 << 20)), u32::MAX);
    }
}
