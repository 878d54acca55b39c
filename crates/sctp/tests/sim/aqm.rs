//! Bottlenecks that hold a queue short: they mark what may be marked, and drop the rest.

use std::time::{Duration, Instant};

/// How a bottleneck manages its queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Aqm {
    /// It drops what does not fit.
    None,
    /// What waited longer than this is marked or dropped.
    Step(Duration),
    /// RFC 8289, with its target of 5 ms and its interval of 100 ms.
    CoDel,
}

/// What a path does to packets with ECT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ect {
    /// It carries them, and the marks.
    Carried,
    /// It takes ECT and marks away before the bottleneck.
    Bleached,
    /// It marks them all.
    AllMarked,
    /// It drops them all.
    Swallowed,
}

const TARGET: Duration = Duration::from_millis(5);
const INTERVAL: Duration = Duration::from_millis(100);

/// The state of RFC 8289, section 5.3. Since packets leave in the order in which they came, what becomes of one is known when
/// it comes.
#[derive(Debug, Default)]
pub struct CoDel {
    first_above: Option<Instant>,
    dropping: bool,
    next: Option<Instant>,
    count: u32,
    last_count: u32,
}

impl CoDel {
    /// Whether the packet that leaves the queue now, after so long a time in it, is to be marked or dropped.
    fn judges(&mut self, now: Instant, waited: Duration) -> bool {
        let above = self.is_above(now, waited);
        if self.dropping {
            if !above {
                self.dropping = false;
                return false;
            }
            if let Some(next) = self.next
                && now >= next
            {
                self.count += 1;
                self.next = Some(next + INTERVAL.div_f64(f64::from(self.count).sqrt()));
                return true;
            }
            return false;
        }
        if !above {
            return false;
        }
        self.dropping = true;
        let delta = self.count - self.last_count;
        let recent = self.next.is_some_and(|next| now < next + 16 * INTERVAL);
        self.count = if delta > 1 && recent { delta } else { 1 };
        self.last_count = self.count;
        self.next = Some(now + INTERVAL.div_f64(f64::from(self.count).sqrt()));
        true
    }

    /// Whether the queue has been longer than the target for an interval.
    fn is_above(&mut self, now: Instant, waited: Duration) -> bool {
        if waited < TARGET {
            self.first_above = None;
            return false;
        }
        now >= *self.first_above.get_or_insert(now + INTERVAL)
    }
}

impl Aqm {
    /// Whether the packet that leaves the queue at `now` after it `waited` there is to be marked or dropped.
    pub fn judges(self, codel: &mut CoDel, now: Instant, waited: Duration) -> bool {
        match self {
            Aqm::None => false,
            Aqm::Step(most) => waited > most,
            Aqm::CoDel => codel.judges(now, waited),
        }
    }
}
