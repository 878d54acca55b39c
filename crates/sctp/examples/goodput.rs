//! Goodput over a bottleneck in virtual time: `cargo xtask sim --table sctp` prints the table of the README.
#![allow(clippy::print_stdout, clippy::disallowed_types, missing_docs)]

#[path = "../tests/sim/mod.rs"]
mod sim;

use std::time::Duration;

use dunlin_sctp::CongestionControl::{self, Bbr, Cubic};
use sim::aqm::{Aqm, Ect};
use sim::{Flow, Loss, Outcome, Path, bulk, run};

fn text(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn arg(name: &str, default: u64) -> u64 {
    text(name).and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Whether the row is wanted: `--only` names a part of it.
fn is_wanted(row: &str) -> bool {
    text("--only").is_none_or(|part| row.contains(&part))
}

struct Mean {
    goodput: f64,
    delay: f64,
    retransmitted: f64,
    timeouts: f64,
}

fn mean(path: Path, control: CongestionControl, seconds: u64, seeds: u64) -> Mean {
    let runs: Vec<Outcome> = (0..seeds)
        .map(|seed| run(path, &[bulk(control)], Duration::from_secs(seconds), seed).remove(0))
        .collect();
    let mean = |of: &dyn Fn(&Outcome) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
    Mean {
        goodput: mean(&|run| run.goodput / path.ideal()) * 100.0,
        delay: mean(&|run| run.queueing_p95.as_secs_f64() * 1000.0),
        retransmitted: mean(&|run| run.retransmitted) * 100.0,
        timeouts: mean(&|run| run.stats.timeouts as f64),
    }
}

fn header(what: &str) {
    println!(
        "| {what} | BBR: % of ideal | p95 queue ms | resent % | T3 | CUBIC: % | queue ms | resent % | T3 |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
}

fn line(name: &str, path: Path, seconds: u64, seeds: u64) {
    if !is_wanted(name) {
        return;
    }
    let row = [Bbr, Cubic].map(|control| {
        let mean = mean(path, control, seconds, seeds);
        let Mean {
            goodput,
            delay,
            retransmitted,
            timeouts,
        } = mean;
        format!("{goodput:.1} | {delay:.1} | {retransmitted:.2} | {timeouts:.1}")
    });
    println!("| {name} | {} |", row.join(" | "));
}

fn main() {
    let (seconds, seeds) = (arg("--seconds", 30), arg("--seeds", 10));
    let only = arg("--part", 0);
    if only == 0 || only == 1 {
        header("100 Mbit/s");
        let losses = [
            ("no loss", Loss::None),
            ("0.1 %", Loss::Random(0.001)),
            ("1 %", Loss::Random(0.01)),
            ("2 %", Loss::Random(0.02)),
            ("5 %", Loss::Random(0.05)),
            ("1 % in bursts", Loss::Bursts(0.01)),
        ];
        let only_rtt = arg("--rtt", 0);
        for rtt in [5, 20, 50, 100, 200] {
            if only_rtt > 0 && only_rtt != rtt {
                continue;
            }
            for (name, loss) in losses {
                line(
                    &format!("{rtt} ms, {name}"),
                    Path::new(100e6, rtt, loss),
                    seconds,
                    seeds,
                );
            }
        }
    }
    if only == 0 || only == 2 {
        println!();
        header("path");
        for (rate, name) in [(10e6, "10 Mbit/s"), (1e9, "1 Gbit/s")] {
            let seeds = if rate > 5e8 { seeds.min(3) } else { seeds };
            for rtt in [20, 100] {
                for (loss, what) in [(Loss::None, "no loss"), (Loss::Random(0.01), "1 %")] {
                    line(
                        &format!("{name}, {rtt} ms, {what}"),
                        Path::new(rate, rtt, loss),
                        seconds,
                        seeds,
                    );
                }
            }
        }
        for rtt in [20, 100] {
            let mut path = Path::new(100e6, rtt, Loss::None);
            path.reorder = 0.01;
            line(&format!("{rtt} ms, 1 % reordered"), path, seconds, seeds);
            path.reorder = 0.0;
            path.jitter = path.rtt / 4;
            line(&format!("{rtt} ms, jitter"), path, seconds, seeds);
            let mut path = Path::new(1e9, rtt, Loss::None);
            path.policer = Some(100e6);
            line(&format!("{rtt} ms, policer"), path, seconds, seeds);
        }
    }
    if only == 0 || only == 3 {
        shares(seconds, seeds);
    }
    if only == 0 || only == 4 {
        marks(seconds, seeds);
    }
}

/// Bottlenecks that keep their queue at 5 ms, and paths that do what they should not with marks: with ECN and without.
fn marks(seconds: u64, seeds: u64) {
    println!();
    println!(
        "| 100 Mbit/s, without and with ECN | % of ideal | p95 queue ms | resent % | T3 | marks a second | reactions | at the end |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let step = Aqm::Step(Duration::from_millis(5));
    for (what, aqm, ect, rtts) in [
        ("step at 5 ms", step, Ect::Carried, &[5, 20, 50, 100][..]),
        ("CoDel", Aqm::CoDel, Ect::Carried, &[5, 20, 50, 100]),
        ("step at 5 ms, marks erased", step, Ect::Bleached, &[20]),
        ("no AQM", Aqm::None, Ect::Carried, &[20, 100]),
        ("all marked", Aqm::None, Ect::AllMarked, &[20]),
        ("ECT swallowed", Aqm::None, Ect::Swallowed, &[20]),
    ] {
        for control in [Bbr, Cubic] {
            for &rtt in rtts {
                for ecn in [false, true] {
                    let mut path = Path::new(100e6, rtt, Loss::None);
                    (path.aqm, path.ect, path.ecn) = (aqm, ect, ecn);
                    let runs: Vec<Outcome> = (0..seeds)
                        .map(|seed| run(path, &[bulk(control)], Duration::from_secs(seconds), seed).remove(0))
                        .collect();
                    let mean =
                        |of: &dyn Fn(&Outcome) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
                    println!(
                        "| {control:?}, {rtt} ms, {what}, {} | {:.1} | {:.1} | {:.2} | {:.1} | {:.1} | {:.0} | {:?} |",
                        if ecn { "ECN" } else { "no ECN" },
                        mean(&|run| run.goodput / path.ideal()) * 100.0,
                        mean(&|run| run.queueing_p95.as_secs_f64() * 1000.0),
                        mean(&|run| run.retransmitted) * 100.0,
                        mean(&|run| run.stats.timeouts as f64),
                        mean(&|run| run.stats.ecn_marks_reported as f64) / seconds as f64,
                        mean(&|run| run.stats.ecn_reactions as f64),
                        runs[0].stats.ecn,
                    );
                }
            }
        }
    }
}

/// Bits that the first flow, and both, received in these seconds.
fn received(outcome: &[Outcome], seconds: std::ops::Range<usize>) -> (f64, f64) {
    let [first, second] = [0, 1].map(|flow: usize| {
        let all = outcome[flow].seconds.iter();
        all.skip(seconds.start).take(seconds.len()).sum::<f64>()
    });
    (first, first + second)
}

/// The first flow's share of what both received in these seconds, in percent.
fn share(outcome: &[Outcome], seconds: std::ops::Range<usize>) -> f64 {
    let (first, both) = received(outcome, seconds);
    first / both * 100.0
}

/// The mean, and the least and the most.
fn spread(values: &[f64]) -> String {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let least = values.iter().copied().fold(f64::MAX, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{mean:.1} [{least:.1}..{most:.1}]")
}

fn shares(seconds: u64, seeds: u64) {
    println!();
    println!(
        "| two flows, 100 Mbit/s | the first one's share %, from when both run | of the last 10 s | together % of ideal | \
         p95 queue ms |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let time = Duration::from_secs(seconds);
    let late = |control| Flow::Bulk {
        control,
        start: Duration::from_secs(3),
    };
    // The first second is for the handshake, and another for starting up.
    let end = seconds as usize + 1;
    let tail = end.saturating_sub(10).max(2);
    for rtt in [20, 50, 100] {
        let path = Path::new(100e6, rtt, Loss::None);
        for (name, from, flows) in [
            ("two BBR", 2, [bulk(Bbr), bulk(Bbr)]),
            ("BBR, and BBR 3 s later", 5, [bulk(Bbr), late(Bbr)]),
            ("BBR and CUBIC", 2, [bulk(Bbr), bulk(Cubic)]),
            ("CUBIC, and BBR 3 s later", 5, [late(Bbr), bulk(Cubic)]),
            ("two CUBIC", 2, [bulk(Cubic), bulk(Cubic)]),
        ] {
            let name = format!("{rtt} ms, {name}");
            if !is_wanted(&name) {
                continue;
            }
            let (mut shares, mut last) = (Vec::new(), Vec::new());
            let (mut delay, mut used) = (0.0, 0.0);
            for seed in 0..seeds {
                let outcome = run(path, &flows, time, seed);
                let (_, total) = received(&outcome, from..end);
                let total = total / (end - from) as f64;
                shares.push(share(&outcome, from..end));
                last.push(share(&outcome, tail..end));
                delay += outcome[0].queueing_p95.as_secs_f64() * 1000.0 / seeds as f64;
                used += total / path.ideal() * 100.0 / seeds as f64;
            }
            println!(
                "| {name} | {} | {} | {used:.1} | {delay:.1} |",
                spread(&shares),
                spread(&last)
            );
        }
    }
    println!();
    println!(
        "| 2 Mbit/s paced on 5 Mbit/s, beside | the transfer, Mbit/s | p95 queue of the paced flow, ms |"
    );
    println!("| --- | --- | --- |");
    for rtt in [20, 100] {
        for control in [Bbr, Cubic] {
            let name = format!("{control:?}, {rtt} ms");
            if !is_wanted(&name) {
                continue;
            }
            let path = Path::new(5e6, rtt, Loss::None);
            let flows = [Flow::Paced { rate: 2e6 }, bulk(control)];
            let (mut delay, mut goodput) = (0.0, 0.0);
            for seed in 0..seeds {
                let outcome = run(path, &flows, time, seed);
                delay += outcome[0].queueing_p95.as_secs_f64() * 1000.0 / seeds as f64;
                goodput += outcome[1].goodput / 1e6 / seeds as f64;
            }
            println!("| {name} | {goodput:.2} | {delay:.1} |");
        }
    }
}
