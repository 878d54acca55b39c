//! Other stacks beside our data channels: the same machine, the same sizes, both peers in this process.

pub mod str0m;
pub mod webrtc;

use crate::data::Case;
use crate::figures::Figures;

/// What a peer did, after what we did: bytes and messages in seconds of time and of processor time.
fn report(
    case: Case,
    suffix: &str,
    [bytes, messages]: [f64; 2],
    [took, cpu]: [f64; 2],
    figures: &mut Figures,
) {
    let ours = case.name;
    let name = format!("{ours} {suffix}");
    let (rate, unit, each, cost, cost_unit) = if case.size() < 1000 {
        let each = cpu / messages * 1e6;
        (messages / took, "/s", format!("{ours} each"), each, "CPU us")
    } else {
        let cost = cpu / (bytes / 1e9);
        (
            bytes / took / 1e6,
            "MB/s",
            format!("{ours} cpu"),
            cost,
            "CPU s/GB",
        )
    };
    let times = figures
        .get(ours)
        .map(|ours| format!("ours is {:.1} times that", ours / rate));
    figures.add(&name, rate, unit, times.unwrap_or_default());
    let times = figures
        .get(&each)
        .map(|ours| format!("ours is {:.2} of that", ours / cost));
    figures.add(&format!("{name} cpu"), cost, cost_unit, times.unwrap_or_default());
}
