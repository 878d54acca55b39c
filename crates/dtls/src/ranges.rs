//! Which bytes of a message are there: sorted half-open ranges that neither overlap nor touch.

/// A set of byte offsets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<(usize, usize)>);

impl Ranges {
    /// Adds `start..end`.
    pub(crate) fn insert(&mut self, mut start: usize, mut end: usize) {
        if start >= end {
            return;
        }
        self.0.retain(|&(from, to)| {
            let touches = from <= end && start <= to;
            if touches {
                (start, end) = (start.min(from), end.max(to));
            }
            !touches
        });
        let at = self.0.partition_point(|&(from, _)| from < start);
        self.0.insert(at, (start, end));
    }

    /// Whether all of `0..len` is there.
    pub(crate) fn covers(&self, len: usize) -> bool {
        len == 0 || self.0.first().is_some_and(|&(from, to)| from == 0 && to >= len)
    }

    /// The first range at or after `offset` that is missing from `0..len`.
    pub(crate) fn gap(&self, offset: usize, len: usize) -> Option<(usize, usize)> {
        let mut start = offset;
        for &(from, to) in &self.0 {
            if to <= start {
                continue;
            }
            if from > start {
                return (start < len).then_some((start, from.min(len)));
            }
            start = to;
        }
        (start < len).then_some((start, len))
    }

    /// How many bytes are there from the beginning on.
    pub(crate) fn prefix(&self) -> usize {
        match self.0.first() {
            Some(&(0, to)) => to,
            _ => 0,
        }
    }

    /// How many separate ranges there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    #[test]
    fn ranges_agree_with_a_list_of_all_bytes() {
        let mut rng = StdRng::seed_from_u64(3);
        for _ in 0..500 {
            let (mut ranges, mut bytes) = (Ranges::default(), [false; 40]);
            for _ in 0..rng.random_range(0..8) {
                let start = rng.random_range(0..40);
                let end = rng.random_range(start..=40);
                ranges.insert(start, end);
                bytes[start..end].fill(true);
            }
            assert_eq!(ranges.covers(40), bytes.iter().all(|there| *there));
            assert_eq!(ranges.prefix(), bytes.iter().take_while(|there| **there).count());
            for offset in 0..=40 {
                let start = (offset..40).find(|at| !bytes[*at]);
                let gap = start.map(|start| (start, (start..40).find(|at| bytes[*at]).unwrap_or(40)));
                assert_eq!(ranges.gap(offset, 40), gap, "{ranges:?} from {offset}");
            }
        }
    }
}
