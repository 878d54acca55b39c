//! Where authentic checks of the peer came from: data from there is the peer's, whatever became of the pair.
//!
//! A controlling browser moves its data to another pair as soon as its own checks favour that, seconds before it
//! nominates the pair, and at a time when we have let go of it (RFC 8445, section 8.3).

use std::time::{Duration, Instant};

use dunlin_net::Path;

/// Paths with the time of their last authentic check.
#[derive(Debug, Default)]
pub(crate) struct Heard(Vec<(Path, Instant)>);

impl Heard {
    /// A check that was made with our password came on `path`. Of more than `bound` paths the oldest is forgotten.
    pub(crate) fn note(&mut self, path: Path, now: Instant, bound: usize) {
        if let Some((_, at)) = self.0.iter_mut().find(|(known, _)| *known == path) {
            *at = now;
            return;
        }
        if self.0.len() >= bound.max(1) {
            let oldest = self.0.iter().enumerate().min_by_key(|(_, (_, at))| *at);
            if let Some((index, _)) = oldest {
                self.0.swap_remove(index);
            }
        }
        self.0.push((path, now));
    }

    /// Whether the last one on `path` came within `time`.
    pub(crate) fn within(&self, path: Path, now: Instant, time: Duration) -> bool {
        self.0
            .iter()
            .any(|(known, at)| *known == path && now.saturating_duration_since(*at) <= time)
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
