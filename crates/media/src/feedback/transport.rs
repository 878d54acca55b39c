//! When packets of the transport arrived, for transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01, section 3).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dunlin_rtp::rtcp::TransportFeedback;
use dunlin_rtp::{ExtendedSequence, SequenceNumber, SequenceUnwrapper, Ssrc};

/// Packets that are remembered between two feedbacks; a jump beyond begins anew.
const MAX_PENDING: usize = 8192;
/// Packets that are kept after they were told: one that arrives among them late is told with its neighbours.
const MAX_LATE: usize = 512;
const REFERENCE_UNIT: i64 = 64_000;
const DELTA_UNIT: i64 = 250;

/// The arrivals that no feedback has told yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct TransportRecorder {
    unwrapper: SequenceUnwrapper,
    /// The number of the first of `arrivals`.
    base: i64,
    /// Microseconds since the start of the session.
    arrivals: VecDeque<Option<i64>>,
    /// How many of them were told already.
    told: usize,
    media: Ssrc,
    feedback_count: u8,
    due: Option<Instant>,
}

impl TransportRecorder {
    /// Notes a packet; `at` is the time since the start of the session.
    pub(crate) fn arrived(
        &mut self,
        sequence: SequenceNumber,
        media: Ssrc,
        at: Duration,
        now: Instant,
        interval: Duration,
    ) {
        let number = self.unwrapper.unwrap(sequence).0;
        let at = Some(i64::try_from(at.as_micros()).unwrap_or(i64::MAX));
        self.media = media;
        if self.arrivals.is_empty() {
            self.base = number;
        }
        let Ok(mut index) = usize::try_from(number - self.base) else {
            return;
        };
        if index >= MAX_PENDING {
            self.arrivals.clear();
            self.told = 0;
            self.base = number;
            index = 0;
        }
        while self.arrivals.len() <= index {
            self.arrivals.push_back(None);
        }
        self.arrivals[index] = at;
        self.told = self.told.min(index);
        self.due.get_or_insert(now + interval);
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Puts what is to be told into `feedback`, at most `max` statuses, and answers whether there is anything.
    pub(crate) fn take(&mut self, sender: Ssrc, max: usize, feedback: &mut TransportFeedback) -> bool {
        feedback.statuses.clear();
        let mut pending = self.arrivals.iter().skip(self.told);
        let Some(first) = pending.find_map(|arrival| *arrival) else {
            self.due = None;
            return false;
        };
        feedback.sender = sender;
        feedback.media = self.media;
        feedback.base_sequence = ExtendedSequence(self.base + self.told as i64).low();
        let reference = first.div_euclid(REFERENCE_UNIT);
        // 24 bits, which wrap after twelve days.
        feedback.reference_time = ((reference << 40) >> 40) as i32;
        feedback.feedback_count = self.feedback_count;
        self.feedback_count = self.feedback_count.wrapping_add(1);
        // The deltas add up from rounded values, so that errors do not.
        let mut time = reference * REFERENCE_UNIT / DELTA_UNIT;
        while let Some(arrival) = self.arrivals.get(self.told).copied() {
            if feedback.statuses.len() >= max {
                break;
            }
            let status = match arrival {
                None => None,
                Some(at) => {
                    let ticks = at / DELTA_UNIT;
                    let Ok(delta) = i16::try_from(ticks - time) else {
                        break;
                    };
                    time = ticks;
                    Some(delta)
                }
            };
            feedback.statuses.push(status);
            self.told += 1;
        }
        if self.told == self.arrivals.len() {
            self.due = None;
        }
        while self.told > MAX_LATE {
            self.arrivals.pop_front();
            self.told -= 1;
            self.base += 1;
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(50);

    fn empty() -> TransportFeedback {
        TransportFeedback {
            sender: Ssrc(0),
            media: Ssrc(0),
            base_sequence: SequenceNumber(0),
            reference_time: 0,
            feedback_count: 0,
            statuses: Vec::new(),
        }
    }

    struct Rig(TransportRecorder, Instant);

    impl Rig {
        fn arrived(&mut self, sequence: u16, micros: u64) {
            let at = Duration::from_micros(micros);
            self.0
                .arrived(SequenceNumber(sequence), Ssrc(2), at, self.1 + at, INTERVAL);
        }

        fn take(&mut self, max: usize) -> Option<TransportFeedback> {
            let mut feedback = empty();
            self.0.take(Ssrc(1), max, &mut feedback).then_some(feedback)
        }
    }

    fn rig() -> Rig {
        Rig(TransportRecorder::default(), Instant::now())
    }

    #[test]
    fn arrivals_and_losses_in_order() {
        let mut rig = rig();
        rig.arrived(65_534, 130_000);
        rig.arrived(0, 131_100);
        rig.arrived(65_535, 131_000);
        rig.arrived(2, 140_000);
        assert_eq!(rig.0.due(), Some(rig.1 + Duration::from_millis(180)));
        let feedback = rig.take(100).unwrap();
        assert_eq!(feedback.base_sequence, SequenceNumber(65_534));
        assert_eq!(feedback.reference_time, 2);
        assert_eq!(feedback.statuses, [Some(8), Some(4), Some(0), None, Some(36)]);
        assert_eq!(rig.0.due(), None);
        assert_eq!(rig.take(100), None);
    }

    #[test]
    fn what_arrives_late_is_told_in_the_next_feedback() {
        let mut rig = rig();
        rig.arrived(10, 1000);
        rig.arrived(12, 2000);
        rig.take(100).unwrap();
        rig.arrived(11, 3000);
        rig.arrived(13, 4000);
        let feedback = rig.take(100).unwrap();
        assert_eq!(feedback.base_sequence, SequenceNumber(11));
        assert_eq!(
            feedback.statuses,
            [Some(12), Some(-4), Some(8)],
            "with what was told before"
        );
        assert_eq!(feedback.feedback_count, 1);
    }

    #[test]
    fn a_loss_at_the_end_of_a_feedback_begins_the_next() {
        let mut rig = rig();
        rig.arrived(10, 1000);
        rig.take(100).unwrap();
        rig.arrived(12, 2000);
        let feedback = rig.take(100).unwrap();
        assert_eq!(feedback.base_sequence, SequenceNumber(11));
        assert_eq!(feedback.statuses, [None, Some(8)]);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut rig = rig();
        for sequence in 0..30_000 {
            rig.arrived(sequence, u64::from(sequence) * 100);
            if sequence % 300 == 0 {
                while rig.take(400).is_some() {}
                assert!(rig.0.arrivals.len() <= MAX_LATE);
            }
        }
    }

    #[test]
    fn long_pauses_and_many_packets_make_several_feedbacks() {
        let mut rig = rig();
        rig.arrived(1, 0);
        rig.arrived(2, 20_000_000);
        assert_eq!(rig.take(100).unwrap().statuses, [Some(0)]);
        let second = rig.take(100).unwrap();
        assert_eq!((second.reference_time, second.statuses), (312, vec![Some(128)]));
        for sequence in 3..103 {
            rig.arrived(sequence, 20_000_000);
        }
        assert_eq!(rig.take(60).unwrap().statuses.len(), 60);
        assert!(rig.0.due().is_some());
        assert_eq!(rig.take(60).unwrap().statuses.len(), 40);
    }

    #[test]
    fn a_jump_begins_anew_and_very_old_packets_are_ignored() {
        let mut rig = rig();
        rig.arrived(1, 0);
        rig.arrived(20_000, 10);
        assert_eq!(rig.take(100).unwrap().base_sequence, SequenceNumber(20_000));
        rig.arrived(2, 10);
        assert_eq!(rig.take(100), None);
    }
}
