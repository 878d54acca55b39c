//! A link in one direction: what it does to a datagram, and when it lets it out at the other end.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

/// How a link behaves. Every field may be changed while datagrams are on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// How long a datagram takes at least.
    pub delay: Duration,
    /// Up to this much is added, evenly distributed. Order is kept.
    pub jitter: Duration,
    /// How often a datagram stays behind and is overtaken, for up to twice the jitter plus 10 ms.
    pub reorder: f64,
    /// How often a datagram arrives twice.
    pub duplicate: f64,
    /// How often one bit of a datagram flips.
    pub corrupt: f64,
    /// Which datagrams do not arrive.
    pub loss: Loss,
    /// How many bytes go through; `None` for any number.
    pub rate: Option<Rate>,
    /// Larger datagrams do not arrive: bytes of UDP payload.
    pub mtu: usize,
}

impl Default for Link {
    /// A link that hands everything over after a millisecond.
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(1),
            jitter: Duration::ZERO,
            reorder: 0.0,
            duplicate: 0.0,
            corrupt: 0.0,
            loss: Loss::None,
            rate: None,
            mtu: 1472,
        }
    }
}

/// Which datagrams a link loses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// None.
    None,
    /// Each with this probability.
    Random(f64),
    /// Bursts, after Gilbert and Elliott: two states, each with its own loss. Time moves the state on, not datagrams:
    /// a burst ends whether anyone sends or not.
    Bursts {
        /// How often the good state ends within 10 ms.
        enter: f64,
        /// How often the bad state ends within 10 ms.
        leave: f64,
        /// The loss in the good state.
        good: f64,
        /// The loss in the bad state.
        bad: f64,
    },
    /// Every so many, beginning with the first of them that is reached.
    Every(u64),
    /// Only this one, counted from 1.
    Only(u64),
    /// All: the cable is out.
    All,
}

/// A token bucket with a finite queue before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// What goes through in the long run.
    pub bytes_per_second: u64,
    /// What may go through at once after a rest.
    pub burst: usize,
    /// What may wait; more is lost.
    pub queue: usize,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fate {
    /// It went on its way.
    Sent = 1,
    /// It arrived.
    Delivered,
    /// It went on its way with a bit flipped.
    Corrupted,
    /// It went on its way twice.
    Duplicated,
    /// The link lost it.
    Lost,
    /// The link's queue was full.
    QueueFull,
    /// It was larger than the link's MTU.
    TooBig,
    /// Nobody has the address, or a NAT is before it.
    Unroutable,
    /// The scenario put it in; no node sent it.
    Injected,
}

/// What a link does with one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) fate: Fate,
    /// When it comes out, once or twice.
    pub(crate) arrivals: [Option<Instant>; 2],
    /// Where a bit flips, as a fraction of the length in units of 2^-64.
    pub(crate) flip: Option<u64>,
}

impl Carried {
    /// Once, unharmed, at this time.
    pub(crate) fn safely(at: Instant) -> Self {
        Self {
            fate: Fate::Sent,
            arrivals: [Some(at), None],
            flip: None,
        }
    }
}

/// A link and what it remembers.
#[derive(Debug)]
pub(crate) struct LinkState {
    pub(crate) link: Link,
    in_bad_state: bool,
    /// Until when the state has been moved on.
    state_at: Instant,
    count: u64,
    /// When the token bucket has paid for all that it let through.
    paid_until: Instant,
    last_arrival: Instant,
}

impl LinkState {
    pub(crate) fn new(link: Link, now: Instant) -> Self {
        // Long rested: the first burst is free.
        let paid_until = now.checked_sub(Duration::from_secs(3600)).unwrap_or(now);
        Self {
            link,
            in_bad_state: false,
            state_at: now,
            count: 0,
            paid_until,
            last_arrival: now,
        }
    }

    /// Carries a datagram of `size` nominal and `len` true bytes. The same number of random draws whatever happens,
    /// so that a change of one setting does not reshuffle all others.
    pub(crate) fn carry(&mut self, now: Instant, size: usize, len: usize, rng: &mut StdRng) -> Carried {
        let mut draw = || rng.next_u64();
        let [state, loss, jitter, reorder, extra, duplicate, corrupt, flip] = std::array::from_fn(|_| draw());
        self.count += 1;
        let lost = |fate| Carried {
            fate,
            arrivals: [None, None],
            flip: None,
        };
        if len > self.link.mtu {
            return lost(Fate::TooBig);
        }
        if self.loses(now, state, loss) {
            return lost(Fate::Lost);
        }
        let Some(departure) = self.depart(now, size) else {
            return lost(Fate::QueueFull);
        };
        let mut arrival = departure + self.link.delay + fraction(self.link.jitter, jitter);
        if chance(self.link.reorder, reorder) {
            let behind = self.link.jitter * 2 + Duration::from_millis(10);
            arrival += fraction(behind, extra);
        } else {
            // Order is kept by never coming out before the one ahead.
            arrival = arrival.max(self.last_arrival + Duration::from_nanos(1));
            self.last_arrival = arrival;
        }
        let twice = chance(self.link.duplicate, duplicate);
        let second = twice.then(|| arrival + Duration::from_micros(10) + fraction(self.link.delay, extra));
        let flip = chance(self.link.corrupt, corrupt).then_some(flip);
        let fate = match (flip, twice) {
            (Some(_), _) => Fate::Corrupted,
            (None, true) => Fate::Duplicated,
            (None, false) => Fate::Sent,
        };
        Carried {
            fate,
            arrivals: [Some(arrival), second],
            flip,
        }
    }

    fn loses(&mut self, now: Instant, state: u64, loss: u64) -> bool {
        match self.link.loss {
            Loss::None => false,
            Loss::All => true,
            Loss::Random(probability) => chance(probability, loss),
            Loss::Every(every) => every > 0 && self.count.is_multiple_of(every),
            Loss::Only(only) => self.count == only,
            Loss::Bursts {
                enter,
                leave,
                good,
                bad,
            } => {
                self.move_on(now, enter, leave, state);
                chance(if self.in_bad_state { bad } else { good }, loss)
            }
        }
    }

    /// Moves the two-state chain on by whole slots, in one draw.
    fn move_on(&mut self, now: Instant, enter: f64, leave: f64, draw: u64) {
        const SLOT_MILLIS: u32 = 10;
        let slots = (now.saturating_duration_since(self.state_at).as_millis() as u32) / SLOT_MILLIS;
        self.state_at += Duration::from_millis(u64::from(slots * SLOT_MILLIS));
        // Far from the start the chain forgets where it began: what is left of that is (1 - enter - leave)^slots.
        let settled = enter / (enter + leave).max(f64::MIN_POSITIVE);
        let began = f64::from(u8::from(self.in_bad_state));
        let memory = (1.0 - enter - leave).powi(slots.min(100_000) as i32);
        self.in_bad_state = chance(settled + (began - settled) * memory, draw);
    }

    /// When the last byte is through the bucket; `None` when the queue is full.
    fn depart(&mut self, now: Instant, size: usize) -> Option<Instant> {
        let Some(Rate {
            bytes_per_second,
            burst,
            queue,
        }) = self.link.rate
        else {
            return Some(now);
        };
        let time_of = |bytes: usize| {
            Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / bytes_per_second.max(1))
        };
        // A bucket that has rested owes nothing for its next `burst` bytes.
        let rested = now.checked_sub(time_of(burst)).unwrap_or(now);
        let paid_until = self.paid_until.max(rested) + time_of(size);
        if paid_until.saturating_duration_since(now) > time_of(queue.max(size)) {
            return None;
        }
        self.paid_until = paid_until;
        Some(paid_until.max(now))
    }
}

/// Whether something of this probability happens.
fn chance(probability: f64, draw: u64) -> bool {
    // The top 53 bits of a draw are a number in [0, 1) without rounding.
    ((draw >> 11) as f64) / ((1_u64 << 53) as f64) < probability
}

/// An even share of `whole`.
fn fraction(whole: Duration, draw: u64) -> Duration {
    let nanos = (whole.as_nanos().min(u128::from(u64::MAX)) * u128::from(draw)) >> 64;
    Duration::from_nanos(nanos as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::epoch;
    use rand::SeedableRng;

    fn carry_all(link: Link, count: u32, gap: Duration) -> Vec<(Duration, Carried)> {
        let start = epoch();
        let mut rng = StdRng::from_seed([1; 32]);
        let mut state = LinkState::new(link, start);
        let send = |i| (gap * i, state.carry(start + gap * i, 1000, 1000, &mut rng));
        (0..count).map(send).collect()
    }

    fn share(carried: &[(Duration, Carried)], fate: Fate) -> f64 {
        carried.iter().filter(|(_, carried)| carried.fate == fate).count() as f64 / carried.len() as f64
    }

    #[test]
    fn loss_comes_as_often_as_asked_and_in_bursts_when_asked() {
        let gap = Duration::from_millis(10);
        let random = carry_all(
            Link {
                loss: Loss::Random(0.1),
                ..Link::default()
            },
            20_000,
            gap,
        );
        assert!((share(&random, Fate::Lost) - 0.1).abs() < 0.01);
        let bursts = Loss::Bursts {
            enter: 0.01,
            leave: 0.09,
            good: 0.0,
            bad: 1.0,
        };
        let bursts = carry_all(
            Link {
                loss: bursts,
                ..Link::default()
            },
            20_000,
            gap,
        );
        assert!((share(&bursts, Fate::Lost) - 0.1).abs() < 0.03);
        let runs = |carried: &[(Duration, Carried)]| {
            carried
                .windows(2)
                .filter(|pair| pair[0].1.fate != Fate::Lost && pair[1].1.fate == Fate::Lost)
                .count()
        };
        assert!(
            runs(&bursts) * 4 < runs(&random),
            "the same loss in far fewer runs"
        );
    }

    #[test]
    fn without_reordering_the_order_is_kept_whatever_the_jitter() {
        let link = Link {
            jitter: Duration::from_millis(50),
            ..Link::default()
        };
        let arrivals: Vec<_> = carry_all(link.clone(), 1000, Duration::from_millis(1))
            .iter()
            .map(|c| c.1.arrivals[0])
            .collect();
        assert!(arrivals.is_sorted());
        let arrivals: Vec<_> = carry_all(Link { reorder: 0.1, ..link }, 1000, Duration::from_millis(1))
            .iter()
            .map(|c| c.1.arrivals[0])
            .collect();
        assert!(!arrivals.is_sorted());
    }

    #[test]
    fn a_rate_lets_a_burst_through_then_queues_then_loses() {
        // 1,000 bytes every 10 ms; 5 at once; 10 may wait.
        let rate = Rate {
            bytes_per_second: 100_000,
            burst: 5_000,
            queue: 10_000,
        };
        let link = Link {
            rate: Some(rate),
            delay: Duration::ZERO,
            ..Link::default()
        };
        let all = carry_all(link, 40, Duration::from_nanos(1));
        let start_gap = |i: usize| all[i].1.arrivals[0].unwrap() - all[0].1.arrivals[0].unwrap();
        assert!(start_gap(4) < Duration::from_millis(1));
        assert!(start_gap(9) > Duration::from_millis(40));
        assert_eq!(
            all.iter()
                .filter(|(_, carried)| carried.fate == Fate::QueueFull)
                .count(),
            25
        );
    }

    #[test]
    fn only_the_one_is_lost() {
        let link = Link {
            loss: Loss::Only(3),
            ..Link::default()
        };
        let lost: Vec<_> = carry_all(link, 9, Duration::from_millis(1))
            .iter()
            .map(|c| c.1.fate == Fate::Lost)
            .collect();
        assert_eq!(lost.iter().position(|lost| *lost), Some(2));
        assert_eq!(lost.iter().filter(|lost| **lost).count(), 1);
    }
}
