//! From two new connections to both ends of a channel open.

use crate::Options;
use crate::figures::Figures;
use crate::link;
use std::time::{Duration, Instant};

pub async fn measure(options: &Options, figures: &mut Figures) -> Result<(), String> {
    let mut times = Vec::new();
    for _ in 0..options.setups.max(1) {
        let start = Instant::now();
        let link = link::connect(options).await?;
        times.push(start.elapsed());
        drop(link);
    }
    times.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let at = |share: f64| {
        times
            .get((times.len() as f64 * share) as usize)
            .copied()
            .unwrap_or_default()
    };
    let note = format!(
        "median of {}; fastest {:.2}, slowest {:.2}; the bar is 5",
        times.len(),
        milliseconds(at(0.0)),
        milliseconds(times.last().copied().unwrap_or_default())
    );
    figures.add("setup", milliseconds(at(0.5)), "ms", note);
    Ok(())
}
