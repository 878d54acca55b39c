//! What a connected, idle connection holds: the growth of this process for some thousand of them, OpenSSL's share
//! included.

use super::ours::{Kind, configs, pair};
use crate::figures::Figures;
use std::time::Instant;

const PAIRS: usize = 2_000;

pub fn measure(figures: &mut Figures) -> Result<(), String> {
    // All are kept to the end: what the first give back would hide what the others take.
    let mut kept = Vec::with_capacity(2 * PAIRS);
    for (name, kind) in [("dtls 1.2 idle", Kind::V12), ("dtls 1.3 idle", Kind::V13)] {
        let (configs, now) = (configs(kind)?, Instant::now());
        let before = resident()?;
        for _ in 0..PAIRS {
            let (client, server, _) = pair(&configs, now)?;
            kept.push((client, server));
        }
        let grown = resident()?.saturating_sub(before);
        let each = grown as f64 / (2 * PAIRS) as f64 / 1000.0;
        let note = format!("of RSS for a connection, of {} (bar 8)", 2 * PAIRS);
        figures.add(name, each, "kB", note);
    }
    Ok(())
}

/// Resident bytes of this process; pages of 4 KiB, as everywhere that this runs.
fn resident() -> Result<usize, String> {
    let statm = std::fs::read_to_string("/proc/self/statm").map_err(|error| error.to_string())?;
    let pages = statm.split_whitespace().nth(1);
    let pages = pages.and_then(|field| field.parse::<usize>().ok());
    pages
        .map(|pages| pages * 4096)
        .ok_or_else(|| "/proc/self/statm is not as expected".to_owned())
}
