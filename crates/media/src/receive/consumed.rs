//! Numbers without the holes that consumed padding would leave.
//!
//! A packet that holds nothing but padding is not given to the application. Were its number simply left out, a
//! forwarded stream would show a loss there, which nobody could repair. So each packet is numbered by its sequence
//! number less the count of consumed ones before it. A number that was handed out never changes: padding that
//! arrives behind media with higher numbers is no longer subtracted, and shows as a loss.

use std::collections::VecDeque;

/// Consumed numbers that are kept to place late packets; older ones are only counted.
const KEPT: i64 = 2048;

/// The sequence numbers of one stream that were consumed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consumed {
    before: i64,
    recent: VecDeque<i64>,
    highest_media: Option<i64>,
}

impl Consumed {
    /// A packet with media: its number without holes.
    pub(crate) fn media(&mut self, sequence: i64) -> i64 {
        self.highest_media = Some(
            self.highest_media
                .map_or(sequence, |highest| highest.max(sequence)),
        );
        let recent = self.recent.partition_point(|consumed| *consumed < sequence);
        sequence - self.before - recent as i64
    }

    /// A packet without media.
    pub(crate) fn padding(&mut self, sequence: i64) {
        if self.highest_media.is_some_and(|highest| sequence < highest) {
            return;
        }
        let at = self.recent.partition_point(|consumed| *consumed < sequence);
        self.recent.insert(at, sequence);
        while self
            .recent
            .front()
            .is_some_and(|oldest| *oldest < sequence - KEPT)
        {
            self.recent.pop_front();
            self.before += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumed_padding_leaves_no_hole() {
        let mut consumed = Consumed::default();
        assert_eq!(consumed.media(10), 10);
        consumed.padding(11);
        consumed.padding(12);
        assert_eq!(consumed.media(13), 11);
        assert_eq!(consumed.media(15), 13, "14 is lost, and visibly so");
        assert_eq!(consumed.media(14), 12, "and late");
    }

    #[test]
    fn media_before_consumed_padding_keeps_its_place() {
        let mut consumed = Consumed::default();
        assert_eq!(consumed.media(10), 10);
        consumed.padding(13);
        consumed.padding(12);
        assert_eq!(consumed.media(11), 11);
        assert_eq!(consumed.media(14), 12);
    }

    #[test]
    fn late_padding_does_not_move_what_was_handed_out() {
        let mut consumed = Consumed::default();
        assert_eq!(consumed.media(10), 10);
        assert_eq!(consumed.media(12), 12);
        consumed.padding(11);
        assert_eq!(consumed.media(13), 13);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut consumed = Consumed::default();
        (0..10_000).for_each(|sequence| consumed.padding(sequence));
        assert!(consumed.recent.len() <= 2049);
        assert_eq!(consumed.media(10_000), 0);
    }
}
