//! Times what takes nanoseconds: many calls at once, and of many such batches the fastest, which is the one that nobody
//! else disturbed.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Calls in a batch.
const BATCH: u32 = 2_000;

/// What one call takes, in nanoseconds, and how many allocations it makes.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub nanoseconds: f64,
    pub allocations: f64,
}

/// Calls `work` for `time`.
pub fn cost<T>(time: Duration, mut work: impl FnMut() -> T) -> Cost {
    let counted = allocation_counter::measure(|| (0..BATCH).for_each(|_| drop(black_box(work()))));
    let end = Instant::now() + time;
    let mut fastest = Duration::MAX;
    while Instant::now() < end {
        let start = Instant::now();
        for _ in 0..BATCH {
            black_box(work());
        }
        fastest = fastest.min(start.elapsed());
    }
    Cost {
        nanoseconds: fastest.as_secs_f64() * 1e9 / f64::from(BATCH),
        allocations: counted.count_total as f64 / f64::from(BATCH),
    }
}
