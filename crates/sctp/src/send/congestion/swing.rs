//! How much the round trip swings by itself: a queue that a flow builds grows and shrinks over round trips, while radio
//! links and busy hosts hold packets up for some milliseconds here and there in every one of them. What each round of late
//! swung by belongs to the length of the path, and is no queue. See docs/decisions/0010-bbr-by-default.md.

use std::time::Duration;

/// A queue that moves does so for less than so many rounds.
const ROUNDS: usize = 8;
/// What has been measured less often than this in a round says nothing about it.
const MEASUREMENTS: u32 = 8;

/// The swings of the last rounds. Times are microseconds: this is kept while nothing happens.
#[derive(Debug, Default)]
pub(super) struct Swing {
    round: Round,
    rounds: [u32; ROUNDS],
    /// So many rounds ended.
    ended: usize,
    /// The last measurement.
    last: Option<u32>,
}

/// The measurements of a round that is not over.
#[derive(Debug, Default)]
struct Round {
    count: u32,
    sum: u64,
    least: u32,
    most: u32,
    /// How much longer one was than the one before, at most.
    step: u32,
}

impl Round {
    /// From the least to the most; or twice what they are longer than the least on average, if that is less, for a few
    /// packets that come late are no swing; or twice the longest step, for a queue grows packet by packet.
    fn swing(&self) -> u32 {
        let mean = u32::try_from(self.sum / u64::from(self.count.max(1))).unwrap_or(u32::MAX);
        let most = mean.saturating_sub(self.least).min(self.step);
        most.saturating_mul(2).min(self.most - self.least)
    }
}

impl Swing {
    /// A round trip was measured.
    pub(super) fn on_rtt(&mut self, rtt: Duration) {
        let rtt = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX);
        let last = self.last.replace(rtt).unwrap_or(rtt);
        let round = &mut self.round;
        round.step = round.step.max(rtt.saturating_sub(last));
        round.least = if round.count == 0 {
            rtt
        } else {
            round.least.min(rtt)
        };
        round.most = round.most.max(rtt);
        round.sum += u64::from(rtt);
        round.count = round.count.saturating_add(1);
    }

    /// A round is over.
    pub(super) fn end_round(&mut self) {
        let round = std::mem::take(&mut self.round);
        if round.count >= MEASUREMENTS {
            self.rounds[self.ended % ROUNDS] = round.swing();
            self.ended += 1;
        }
    }

    /// What every one of the last rounds swung by, at least.
    pub(super) fn get(&self) -> Duration {
        let known = &self.rounds[..self.ended.min(ROUNDS)];
        Duration::from_micros(known.iter().min().copied().unwrap_or_default().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each measured eight times in every round.
    fn rounds(swing: &mut Swing, trips: &[&[u64]]) -> Duration {
        for trip in trips {
            for &rtt in trip.iter().cycle().take(trip.len() * MEASUREMENTS as usize) {
                swing.on_rtt(Duration::from_millis(rtt));
            }
            swing.end_round();
        }
        swing.get()
    }

    #[test]
    fn what_every_round_has_is_the_paths() {
        let mut swing = Swing::default();
        assert_eq!(swing.get(), Duration::ZERO);
        let trips: [&[u64]; 3] = [&[100, 120, 110], &[130, 104], &[100, 125]];
        assert_eq!(rounds(&mut swing, &trips), Duration::from_millis(20));
    }

    #[test]
    fn a_queue_that_comes_and_goes_is_not() {
        let mut swing = Swing::default();
        let trips: [&[u64]; 4] = [&[100, 101], &[101, 125], &[125, 125], &[125, 100]];
        assert_eq!(rounds(&mut swing, &trips), Duration::ZERO);
    }

    #[test]
    fn a_queue_that_grows_packet_by_packet_is_not() {
        let mut swing = Swing::default();
        for _ in 0..ROUNDS {
            for rtt in (100..125).chain((100..125).rev()) {
                swing.on_rtt(Duration::from_millis(rtt));
            }
            swing.end_round();
        }
        assert_eq!(swing.get(), Duration::from_millis(2));
    }

    #[test]
    fn a_few_that_come_late_hardly_count() {
        let mut swing = Swing::default();
        let mut trip = vec![100; 99];
        trip.push(125);
        assert!(rounds(&mut swing, &[&trip]) < Duration::from_millis(1));
    }

    #[test]
    fn what_was_long_ago_is_forgotten_and_a_round_that_measured_little_says_nothing() {
        let mut swing = Swing::default();
        rounds(&mut swing, &[&[100]]);
        let swung: [&[u64]; ROUNDS] = [&[100, 130]; ROUNDS];
        assert_eq!(rounds(&mut swing, &swung), Duration::from_millis(30));
        swing.on_rtt(Duration::from_millis(100));
        swing.end_round();
        assert_eq!(swing.get(), Duration::from_millis(30));
        assert_eq!(rounds(&mut swing, &[&[100]]), Duration::ZERO);
    }
}
