//! How much processor time this process has used, user and system, by /proc.

use std::time::Duration;

/// The clock ticks of /proc/self/stat: USER_HZ, which Linux keeps at 100 for programs.
const TICK: Duration = Duration::from_millis(10);

/// Processor time so far; zero where there is no /proc.
pub fn used() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses and may hold spaces.
    let after = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = after.split_whitespace().skip(11);
    let mut ticks = || {
        fields
            .next()
            .and_then(|field| field.parse::<u32>().ok())
            .unwrap_or(0)
    };
    TICK * (ticks() + ticks())
}
