//! RTP sequence numbers: serial arithmetic (RFC 1982) and their unwrapping to 64 bits (RFC 3550, A.1).

use std::fmt;

/// A 16-bit sequence number. It has no total order: use [`SequenceNumber::is_newer_than`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SequenceNumber(pub u16);

impl SequenceNumber {
    /// The number `by` steps further (or back), modulo 2^16.
    #[must_use]
    pub const fn wrapping_add(self, by: i16) -> Self {
        Self(self.0.wrapping_add_signed(by))
    }

    /// The number that follows.
    #[must_use]
    pub const fn next(self) -> Self {
        self.wrapping_add(1)
    }

    /// How many steps lead from `older` to this number: negative when this one is the older.
    #[must_use]
    pub const fn distance_from(self, older: Self) -> i16 {
        self.0.wrapping_sub(older.0).cast_signed()
    }

    /// Whether this number comes after `other` (less than 2^15 steps).
    #[must_use]
    pub const fn is_newer_than(self, other: Self) -> bool {
        self.distance_from(other) > 0
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A sequence number that does not wrap. The first one of a stream lies in 0..65536, so that its upper bits
/// are the "count of sequence number cycles" of RFC 3550; numbers before the first wrap may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExtendedSequence(pub i64);

impl ExtendedSequence {
    /// The 16 bits that were on the wire.
    #[must_use]
    pub const fn low(self) -> SequenceNumber {
        SequenceNumber((self.0 & 0xffff) as u16)
    }

    /// The low 32 bits: the "extended highest sequence number received" of a report block.
    #[must_use]
    pub const fn low_32(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

/// Unwraps the sequence numbers of one stream, each as the value nearest to the highest seen.
#[derive(Debug, Clone, Copy, Default)]
pub struct SequenceUnwrapper {
    highest: Option<i64>,
}

impl SequenceUnwrapper {
    /// One that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { highest: None }
    }

    /// The extended number that `sequence` would have, without remembering it.
    #[must_use]
    pub fn peek(&self, sequence: SequenceNumber) -> ExtendedSequence {
        match self.highest {
            None => ExtendedSequence(i64::from(sequence.0)),
            Some(highest) => {
                let distance = sequence.distance_from(ExtendedSequence(highest).low());
                ExtendedSequence(highest + i64::from(distance))
            }
        }
    }

    /// The extended number of `sequence`, which becomes the highest if it is newer.
    pub fn unwrap(&mut self, sequence: SequenceNumber) -> ExtendedSequence {
        let extended = self.peek(sequence);
        if self.highest.is_none_or(|highest| extended.0 > highest) {
            self.highest = Some(extended.0);
        }
        extended
    }

    /// The highest number so far.
    #[must_use]
    pub fn highest(&self) -> Option<ExtendedSequence> {
        self.highest.map(ExtendedSequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_is_less_than_half_the_space_ahead() {
        let newer = |a: u16, b: u16| SequenceNumber(a).is_newer_than(SequenceNumber(b));
        assert!(newer(1, 0));
        assert!(newer(0, 65535));
        assert!(newer(0x7fff, 0));
        assert!(!newer(0x8000, 0));
        assert!(!newer(5, 5));
        assert_eq!(SequenceNumber(3).distance_from(SequenceNumber(65534)), 5);
        assert_eq!(SequenceNumber(2).wrapping_add(-4), SequenceNumber(65534));
    }

    #[test]
    fn unwrapping_follows_wraps_in_both_directions() {
        let mut unwrapper = SequenceUnwrapper::new();
        let mut at = |sequence| unwrapper.unwrap(SequenceNumber(sequence)).0;
        assert_eq!(at(65534), 65534);
        assert_eq!(at(1), 65537);
        assert_eq!(at(65535), 65535);
        assert_eq!(at(0), 65536);
        assert_eq!(at(32000), 97536);
        assert_eq!(at(64000), 129536);
        assert_eq!(at(1), 131073);
    }

    #[test]
    fn a_number_before_the_first_one_may_be_negative() {
        let mut unwrapper = SequenceUnwrapper::new();
        assert_eq!(unwrapper.unwrap(SequenceNumber(1)).0, 1);
        let before = unwrapper.unwrap(SequenceNumber(65535));
        assert_eq!(before.0, -1);
        assert_eq!(before.low(), SequenceNumber(65535));
        assert_eq!(unwrapper.highest(), Some(ExtendedSequence(1)));
    }
}
