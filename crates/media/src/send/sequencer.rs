//! The sequence numbers of a sent stream, also when it is forwarded from others, one after the other.

use dunlin_rtp::{ExtendedSequence, Ssrc, Timestamp};

use crate::SourceSequence;

/// A source that jumps further ahead than this is taken for a new one.
const MAX_JUMP: i64 = 1 << 14;
/// What comes later than this can no longer be protected.
const MAX_LATE: i64 = 1000;

/// Gives each packet its number.
///
/// A source is anchored at the next free number when its first packet comes; from then on its numbers are shifted
/// by a constant, so its losses stay visible and its late packets find their place. Its timestamps are shifted
/// so that they go on where those of the source before ended.
#[derive(Debug, Clone)]
pub(crate) struct Sequencer {
    next: i64,
    /// Whether any number was given out.
    started: bool,
    anchor: Option<Anchor>,
}

#[derive(Debug, Clone, Copy)]
struct Anchor {
    source: Ssrc,
    offset: i64,
    /// The lowest number that is this source's to use.
    floor: i64,
    timestamp_offset: u32,
}

/// The number and time that a packet goes out with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sequence: ExtendedSequence,
    pub(crate) timestamp: Timestamp,
}

impl Sequencer {
    /// `first` is at least [`MAX_LATE`], so that packets before the first find a number, and less than 2^15, so
    /// that the receiver of SRTP cannot mistake the rollover counter (RFC 3711, section 3.3.1).
    pub(crate) fn new(random: u16) -> Self {
        Self {
            next: 1024 + i64::from(random % (32_768 - 1024)),
            started: false,
            anchor: None,
        }
    }

    /// One that goes on after a stream of the same SSRC: its keys may protect each number once only.
    pub(crate) fn resume(next: i64) -> Self {
        Self {
            next,
            started: true,
            anchor: None,
        }
    }

    /// The number that follows all that were given out.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    /// The place of a packet, or `None` when it is too late. `expected` is the timestamp that a packet of now would
    /// have if the stream goes on without a break.
    pub(crate) fn place(
        &mut self,
        source: Option<SourceSequence>,
        timestamp: Timestamp,
        expected: Option<Timestamp>,
    ) -> Option<Place> {
        let Some(source) = source else {
            let sequence = ExtendedSequence(self.next);
            self.next += 1;
            self.started = true;
            self.anchor = None;
            return Some(Place { sequence, timestamp });
        };
        let anchor = match self.anchor {
            Some(anchor)
                if anchor.source == source.ssrc
                    && source.sequence.0 + anchor.offset - self.next < MAX_JUMP =>
            {
                anchor
            }
            _ => self.anchored(source, timestamp, expected),
        };
        let sequence = source.sequence.0 + anchor.offset;
        if sequence < anchor.floor || sequence < self.next - MAX_LATE {
            return None;
        }
        self.anchor = Some(anchor);
        self.started = true;
        self.next = self.next.max(sequence + 1);
        let timestamp = timestamp.wrapping_add(anchor.timestamp_offset);
        Some(Place {
            sequence: ExtendedSequence(sequence),
            timestamp,
        })
    }

    fn anchored(&self, source: SourceSequence, timestamp: Timestamp, expected: Option<Timestamp>) -> Anchor {
        Anchor {
            source: source.ssrc,
            offset: self.next - source.sequence.0,
            floor: if self.started {
                self.next
            } else {
                self.next - MAX_LATE
            },
            timestamp_offset: expected
                .filter(|_| self.started)
                .map_or(0, |expected| expected.0.wrapping_sub(timestamp.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(ssrc: u32, sequence: i64) -> Option<SourceSequence> {
        Some(SourceSequence {
            ssrc: Ssrc(ssrc),
            sequence: ExtendedSequence(sequence),
        })
    }

    fn numbers(sequencer: &mut Sequencer, sources: &[(u32, i64)]) -> Vec<Option<i64>> {
        let place = |sequencer: &mut Sequencer, source| {
            sequencer
                .place(source, Timestamp(0), None)
                .map(|place| place.sequence.0)
        };
        sources
            .iter()
            .map(|(ssrc, sequence)| place(sequencer, from(*ssrc, *sequence)))
            .collect()
    }

    #[test]
    fn losses_stay_visible_and_late_packets_find_their_place() {
        let mut sequencer = Sequencer::new(0);
        assert_eq!(
            numbers(
                &mut sequencer,
                &[(1, 500), (1, 503), (1, 502), (1, 499), (1, 504)]
            ),
            [Some(1024), Some(1027), Some(1026), Some(1023), Some(1028)]
        );
    }

    #[test]
    fn another_source_goes_on_after_the_one_before() {
        let mut sequencer = Sequencer::new(0);
        assert_eq!(
            numbers(
                &mut sequencer,
                &[(1, 500), (1, 501), (2, 70_000), (2, 69_999), (2, 70_001)]
            ),
            [Some(1024), Some(1025), Some(1026), None, Some(1027)]
        );
    }

    #[test]
    fn a_jump_of_the_source_is_closed_and_what_is_very_late_dropped() {
        let mut sequencer = Sequencer::new(0);
        assert_eq!(
            numbers(
                &mut sequencer,
                &[(1, 0), (1, 20_000), (1, 21_000), (1, 20_001), (1, 19_999)]
            ),
            [Some(1024), Some(1025), Some(2025), Some(1026), None]
        );
        assert_eq!(
            numbers(&mut sequencer, &[(1, 22_000), (1, 20_999)]),
            [Some(3025), None]
        );
    }

    #[test]
    fn timestamps_of_another_source_go_on_too() {
        let mut sequencer = Sequencer::new(0);
        let mut at = |ssrc, sequence, timestamp, expected| {
            sequencer
                .place(
                    from(ssrc, sequence),
                    Timestamp(timestamp),
                    Some(Timestamp(expected)),
                )
                .unwrap()
                .timestamp
        };
        assert_eq!(
            at(1, 5, 1000, 77),
            Timestamp(1000),
            "the first source is passed on as it is"
        );
        assert_eq!(at(2, 900, 4_000_000_000, 1300), Timestamp(1300));
        assert_eq!(at(2, 901, 4_000_000_300, 9999), Timestamp(1600));
    }

    #[test]
    fn a_source_after_own_packets_gets_none_of_their_numbers() {
        let mut sequencer = Sequencer::new(0);
        let own: Vec<i64> = (0..3)
            .map(|_| sequencer.place(None, Timestamp(0), None).unwrap().sequence.0)
            .collect();
        assert_eq!(own, [1024, 1025, 1026]);
        assert_eq!(
            numbers(&mut sequencer, &[(1, 50), (1, 49), (1, 51)]),
            [Some(1027), None, Some(1028)]
        );
        let mut resumed = Sequencer::resume(sequencer.next());
        assert_eq!(numbers(&mut resumed, &[(1, 52), (1, 51)]), [Some(1029), None]);
    }

    #[test]
    fn own_packets_count_up() {
        let mut sequencer = Sequencer::new(31_743);
        let mut next = || sequencer.place(None, Timestamp(3), None).unwrap().sequence.0;
        assert_eq!((next(), next()), (32_767, 32_768));
    }
}
