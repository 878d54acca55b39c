//! How much processor time this process or this thread has used, user and system.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Processor time of this process so far.
pub fn used() -> Duration {
    since_start(ClockId::ProcessCPUTime)
}

/// Processor time of the calling thread so far: what others use meanwhile does not count.
pub fn used_by_thread() -> Duration {
    since_start(ClockId::ThreadCPUTime)
}

fn since_start(clock: ClockId) -> Duration {
    clock_gettime(clock).try_into().unwrap_or_default()
}
