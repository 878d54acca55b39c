//! The replay window (RFC 3711, section 3.3.2): which of the last indices were received.

/// Indices that are remembered. RFC 3711, section 3.3.2: the size "MUST be at least 64, but ... MAY be set to
/// a higher value"; retransmissions on the same SSRC come late, so it is 1024.
pub(crate) const WINDOW: u64 = 1024;
const WORDS: usize = (WINDOW / 64) as usize;

/// What the window says about an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    Seen,
    TooOld,
}

/// A ring of one bit per index.
#[derive(Debug, Clone)]
pub(crate) struct ReplayWindow {
    highest: u64,
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// A window whose highest and only index is `first`.
    pub(crate) fn new(first: u64) -> Self {
        let mut window = Self {
            highest: first,
            seen: [0; WORDS],
        };
        window.set(first);
        window
    }

    pub(crate) fn highest(&self) -> u64 {
        self.highest
    }

    pub(crate) fn check(&self, index: u64) -> Freshness {
        if index > self.highest {
            Freshness::Fresh
        } else if self.highest - index >= WINDOW {
            Freshness::TooOld
        } else if self.seen[word(index)] & bit(index) != 0 {
            Freshness::Seen
        } else {
            Freshness::Fresh
        }
    }

    /// Remembers an index that was found fresh and authentic.
    pub(crate) fn accept(&mut self, index: u64) {
        if index > self.highest {
            if index - self.highest >= WINDOW {
                self.seen = [0; WORDS];
            } else {
                (self.highest + 1..index).for_each(|skipped| self.seen[word(skipped)] &= !bit(skipped));
            }
            self.highest = index;
        }
        self.set(index);
    }

    fn set(&mut self, index: u64) {
        self.seen[word(index)] |= bit(index);
    }
}

fn word(index: u64) -> usize {
    ((index % WINDOW) / 64) as usize
}

fn bit(index: u64) -> u64 {
    1 << (index % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_index_is_fresh_once_and_old_ones_never() {
        let mut window = ReplayWindow::new(2000);
        assert_eq!(window.check(2000), Freshness::Seen);
        assert_eq!(window.check(2000 - WINDOW), Freshness::TooOld);
        assert_eq!(window.check(2000 - WINDOW + 1), Freshness::Fresh);
        window.accept(2000 + WINDOW);
        assert_eq!(window.check(2001), Freshness::Fresh);
        assert_eq!(window.check(2000), Freshness::TooOld);
        assert_eq!(window.highest(), 2000 + WINDOW);
    }

    proptest! {
        #[test]
        fn behaves_like_a_set(steps in prop::collection::vec(-1500..1600i64, 1..400)) {
            let mut at = 10_000i64;
            let mut window = ReplayWindow::new(10_000);
            let mut seen = BTreeSet::from([10_000u64]);
            for step in steps {
                at = (at + step).max(0);
                let index = at as u64;
                let highest = *seen.last().unwrap();
                let expected = if index + WINDOW <= highest {
                    Freshness::TooOld
                } else if seen.contains(&index) {
                    Freshness::Seen
                } else {
                    Freshness::Fresh
                };
                prop_assert_eq!(window.check(index), expected);
                if expected == Freshness::Fresh {
                    window.accept(index);
                    seen.insert(index);
                }
            }
        }
    }
}
