//! How much of the bottleneck is a flow's own, told by what its tries for more bring: a flow of share x that goes g times
//! as fast on a full link gets g / (1 + (g - 1) x) of what it had; alone that is nothing more.
//!
//! Each try is to put about as much into the queue as that of any other flow on the link, so that the smaller ones gain
//! more of theirs. See docs/decisions/0010-bbr-by-default.md.

/// How much faster a try goes that has the link to itself, and any at most.
const ALONE_GAIN: f64 = 1.25;
const MAX_GAIN: f64 = 1.75;
/// What a flow that made room for its own queue had, if it has more since: the try is the end of startup.
const AFTER_STARTUP_GAIN: f64 = 1.5;
/// A share below this is not told from others.
const LEAST_SHARE: f64 = 0.1;
/// Of a new estimate, so much counts.
const WEIGHT: f64 = 0.5;
/// A window that is a multiple of what is needed alone is this many times as much at most.
const MAX_ROOM: f64 = 3.0;

/// The last try, and the share that follows from all of them.
#[derive(Debug)]
pub(super) struct Share {
    /// The bandwidth before the try, bytes per second.
    from: f64,
    gain: f64,
    /// The best rate since it began.
    best: f64,
    is_open: bool,
    /// `None` before the first try.
    estimate: Option<f64>,
}

impl Share {
    pub(super) fn new() -> Self {
        Self {
            from: 0.0,
            gain: ALONE_GAIN,
            best: 0.0,
            is_open: false,
            estimate: None,
        }
    }

    /// The share of the bottleneck, 1 for all of it.
    pub(super) fn get(&self) -> f64 {
        self.estimate.unwrap_or(1.0)
    }

    /// How much faster than the bandwidth the try goes.
    pub(super) fn gain(&self) -> f64 {
        self.gain
    }

    /// The bandwidth before the try.
    pub(super) fn from(&self) -> f64 {
        self.from
    }

    /// By how much the queue of a try may be longer than that of a flow alone, in its own packets.
    pub(super) fn room(&self) -> f64 {
        (1.0 / self.get()).min(MAX_ROOM)
    }

    /// A try for more begins.
    pub(super) fn begin(&mut self, bandwidth: f64) {
        self.gain = (1.0 + (ALONE_GAIN - 1.0) / self.get()).min(MAX_GAIN);
        self.from = bandwidth;
        self.best = 0.0;
        self.is_open = true;
    }

    /// Startup is over. What filled the queue makes room now, and whose packets those were shows.
    pub(super) fn begin_after_startup(&mut self, bandwidth: f64) {
        self.begin(bandwidth);
        self.gain = AFTER_STARTUP_GAIN;
    }

    /// The try goes on, and has brought this much.
    pub(super) fn raise(&mut self, bandwidth: f64) {
        self.from = bandwidth;
    }

    /// Data was delivered at this rate.
    pub(super) fn on_rate(&mut self, rate: f64) {
        self.best = self.best.max(rate);
    }

    /// What was sent during the try has been acknowledged.
    pub(super) fn end(&mut self) {
        if !std::mem::take(&mut self.is_open) || self.from <= 0.0 {
            return;
        }
        let brought = self.best / self.from;
        let share = ((self.gain - brought) / (self.gain - 1.0)).clamp(LEAST_SHARE, 1.0);
        self.estimate = Some(match self.estimate {
            None => share,
            Some(before) => before * (1.0 - WEIGHT) + share * WEIGHT,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link of 100 that others fill but for `mine`.
    fn try_once(share: &mut Share, mine: f64) {
        share.begin(mine);
        let sent = mine * share.gain();
        share.on_rate((100.0 * sent / (sent + 100.0 - mine)).min(100.0));
        share.end();
    }

    #[test]
    fn who_is_alone_gets_no_more_and_tries_no_harder() {
        let mut share = Share::new();
        for _ in 0..5 {
            try_once(&mut share, 100.0);
        }
        assert!((share.get() - 1.0).abs() < 1e-9 && (share.room() - 1.0).abs() < 1e-9);
        assert!((share.gain() - ALONE_GAIN).abs() < 1e-9);
    }

    #[test]
    fn the_smaller_the_share_the_harder_the_try_within_bounds() {
        let mut last = ALONE_GAIN;
        for mine in [80.0, 50.0, 30.0] {
            let mut share = Share::new();
            for _ in 0..6 {
                try_once(&mut share, mine);
            }
            assert!(share.gain() > last, "{mine}: {}", share.gain());
            last = share.gain();
            // During the try it is more than before.
            assert!(
                (mine / 100.0..mine / 100.0 + 0.25).contains(&share.get()),
                "{mine}: {}",
                share.get()
            );
        }
        let mut share = Share::new();
        for _ in 0..6 {
            try_once(&mut share, 1.0);
        }
        assert!(share.gain() <= MAX_GAIN && share.room() <= MAX_ROOM);
    }

    #[test]
    fn an_end_without_a_try_or_a_bandwidth_says_nothing() {
        let mut share = Share::new();
        share.end();
        share.begin_after_startup(0.0);
        share.on_rate(10.0);
        share.end();
        assert!((share.get() - 1.0).abs() < 1e-9);
    }
}
