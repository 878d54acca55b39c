//! The window against replayed records (RFC 6347, section 4.1.2.6).

/// Remembers the last 128 record numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ReplayWindow {
    /// One more than the highest number seen; 0 before the first.
    next: u64,
    /// Bit `i`: the number `next - 1 - i` was seen.
    seen: u128,
}

impl ReplayWindow {
    /// Whether the number is new, as far as the window knows. To ask changes nothing.
    ///
    /// > The receive window is updated only if the MAC verification succeeds. (RFC 6347, section 4.1.2.6)
    pub(crate) fn is_new(&self, sequence: u64) -> bool {
        if sequence >= self.next {
            return true;
        }
        let age = self.next - 1 - sequence;
        age < u64::from(u128::BITS) && self.seen >> age & 1 == 0
    }

    /// One more than the highest number that authenticated.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Remembers the number of a record that authenticated.
    pub(crate) fn mark(&mut self, sequence: u64) {
        if sequence >= self.next {
            let ahead = (sequence - self.next).saturating_add(1);
            self.seen = u32::try_from(ahead)
                .ok()
                .and_then(|ahead| self.seen.checked_shl(ahead))
                .unwrap_or(0)
                | 1;
            self.next = sequence.saturating_add(1);
        } else {
            let age = self.next - 1 - sequence;
            self.seen |= u32::try_from(age)
                .ok()
                .and_then(|age| 1u128.checked_shl(age))
                .unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    use std::collections::BTreeSet;

    #[test]
    fn the_window_agrees_with_a_set_of_all_numbers() {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut window, mut seen) = (ReplayWindow::default(), BTreeSet::new());
        let mut top = 0u64;
        for _ in 0..50_000 {
            let sequence = match rng.random_range(0..20) {
                0 => top + rng.random_range(0..400),
                1..5 => top + rng.random_range(0..4),
                _ => top.saturating_sub(rng.random_range(0..200)),
            };
            let in_window = seen.last().is_none_or(|last| sequence + 128 > *last);
            let expected = in_window && !seen.contains(&sequence);
            assert_eq!(window.is_new(sequence), expected, "{sequence} with top {top}");
            if expected {
                window.mark(sequence);
                seen.insert(sequence);
                top = top.max(sequence);
            }
        }
    }

    #[test]
    fn the_largest_number_fits() {
        let mut window = ReplayWindow::default();
        window.mark(0);
        window.mark(super::super::header::MAX_SEQUENCE);
        assert!(!window.is_new(super::super::header::MAX_SEQUENCE));
        assert!(!window.is_new(0));
    }
}
