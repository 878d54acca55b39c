//! The numbers of SCTP (RFC 9260, section 3.3.1), each with its own serial arithmetic (RFC 1982).

use std::fmt;

/// A stream of one direction. Data channels use the same number both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u16);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.0)
    }
}

/// The Payload Protocol Identifier: carried with each message, not interpreted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Ppid(pub u32);

/// A Transmission Sequence Number: one per DATA chunk.
///
/// RFC 9260, section 1.6: "comparisons and arithmetic on TSNs in this document SHOULD use Serial Number
/// Arithmetic as defined in \[RFC1982\] where SERIAL_BITS = 32". So there is no `Ord`; see [`Tsn::precedes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tsn(pub u32);

impl Tsn {
    /// The number `count` places further on.
    #[must_use]
    pub fn plus(self, count: u32) -> Self {
        Tsn(self.0.wrapping_add(count))
    }

    /// The number one place back.
    #[must_use]
    pub fn previous(self) -> Self {
        Tsn(self.0.wrapping_sub(1))
    }

    /// Whether `self` comes before `other` in serial arithmetic.
    #[must_use]
    pub fn precedes(self, other: Tsn) -> bool {
        self != other && other.0.wrapping_sub(self.0) < 1 << 31
    }
}

/// A Stream Sequence Number: one per ordered message of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ssn(pub u16);

impl Ssn {
    /// The next number.
    #[must_use]
    pub fn next(self) -> Self {
        Ssn(self.0.wrapping_add(1))
    }

    /// Whether `self` comes before `other` in serial arithmetic.
    #[must_use]
    pub fn precedes(self, other: Ssn) -> bool {
        self != other && other.0.wrapping_sub(self.0) < 1 << 15
    }
}

/// A Message Identifier (RFC 8260, section 2.1): one per message of a stream, ordered and unordered ones counted apart.
/// With DATA chunks the low half of the ordered count is the SSN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mid(pub(crate) u32);

impl Mid {
    pub(crate) fn next(self) -> Self {
        self.plus(1)
    }

    pub(crate) fn plus(self, count: u32) -> Self {
        Mid(self.0.wrapping_add(count))
    }

    /// How far `self` is after `earlier`.
    pub(crate) fn since(self, earlier: Mid) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether `self` comes before `other` in serial arithmetic. `Ord` is for tables only.
    pub(crate) fn precedes(self, other: Mid) -> bool {
        self != other && other.since(self) < 1 << 31
    }

    /// The spans of a table that hold what lies from `self` to `last`, in that order: two where the count wraps between them.
    pub(crate) fn spans_to(self, last: Mid) -> impl Iterator<Item = (Mid, Mid)> {
        let [first, second] = if self <= last {
            [Some((self, last)), None]
        } else {
            [Some((self, Mid(u32::MAX))), Some((Mid(0), last))]
        };
        first.into_iter().chain(second)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is what is asked for"
    )]
    pub(crate) fn low(self) -> u16 {
        self.0 as u16
    }
}

/// A TSN without the wrap: the place of a DATA chunk in the whole life of an association, so that it can be
/// ordered, subtracted and used as a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

impl Place {
    /// The place of the first TSN of a direction. Far enough from zero that going back never underflows.
    pub(crate) fn first(tsn: Tsn) -> Self {
        Place((1 << 33) + u64::from(tsn.0))
    }

    /// The place of `tsn` that is nearest to `self`.
    pub(crate) fn nearest(self, tsn: Tsn) -> Self {
        let ahead = tsn.0.wrapping_sub(self.tsn().0) as i32;
        Place(self.0.wrapping_add_signed(i64::from(ahead)))
    }

    /// The next place of `tsn` from here on.
    pub(crate) fn at_or_after(self, tsn: Tsn) -> Self {
        self.plus(tsn.0.wrapping_sub(self.tsn().0).into())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the TSN is the low half of the place"
    )]
    pub(crate) fn tsn(self) -> Tsn {
        Tsn(self.0 as u32)
    }

    pub(crate) fn plus(self, count: u64) -> Self {
        Place(self.0 + count)
    }

    pub(crate) fn next(self) -> Self {
        Place(self.0 + 1)
    }

    pub(crate) fn previous(self) -> Self {
        Place(self.0 - 1)
    }

    /// How far `self` is after `earlier`; zero when it is not.
    pub(crate) fn since(self, earlier: Place) -> usize {
        usize::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_across_the_wrap() {
        assert!(Tsn(u32::MAX).precedes(Tsn(0)));
        assert!(!Tsn(0).precedes(Tsn(u32::MAX)));
        assert!(!Tsn(7).precedes(Tsn(7)));
        assert!(Ssn(u16::MAX).precedes(Ssn(3)));
        assert_eq!(Ssn(u16::MAX).next(), Ssn(0));
    }

    #[test]
    fn places_go_on_where_tsns_wrap() {
        let start = Place::first(Tsn(u32::MAX - 1));
        let later = start.nearest(Tsn(3));
        assert_eq!(later.since(start), 5);
        assert_eq!(later.tsn(), Tsn(3));
        assert_eq!(later.nearest(Tsn(u32::MAX - 1)), start);
        assert_eq!(start.since(later), 0);
    }
}
