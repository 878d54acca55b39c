//! A fast part of the table that `cargo xtask sim --table sctp` prints: the bars hold, with these seeds.

#![allow(clippy::disallowed_types)]

mod sim;

use std::time::Duration;

use dunlin_sctp::CongestionControl::{Bbr, Cubic};
use sim::{Flow, Loss, Path, bulk, run};

const SECONDS: Duration = Duration::from_secs(8);

/// The share of the ideal, and the queueing delay, after the time it takes to start.
fn goodput(path: Path, seed: u64) -> (f64, Duration) {
    let outcome = run(path, &[bulk(Bbr)], SECONDS, seed).remove(0);
    assert_eq!(outcome.stats.timeouts, 0, "{path:?}");
    let settled = &outcome.seconds[3..8];
    let mean = settled.iter().sum::<f64>() / settled.len() as f64;
    (mean / path.ideal(), outcome.queueing_p95)
}

#[test]
fn a_link_is_filled_without_loss_and_nearly_so_with_it() {
    for rtt in [20, 100] {
        for (loss, bar) in [(0.0, 0.95), (0.001, 0.9), (0.01, 0.8), (0.05, 0.6)] {
            let mut path = Path::new(100e6, rtt, Loss::Random(loss));
            path.window = dunlin_sctp::Config::default().receive_window;
            let (share, delay) = goodput(path, 1);
            assert!(share > bar, "{rtt} ms, {loss}: {share}");
            assert!(delay < Duration::from_millis(50), "{rtt} ms, {loss}: {delay:?}");
        }
    }
}

#[test]
fn reordering_jitter_and_policers_are_no_reason_to_slow_down() {
    let mut path = Path::new(100e6, 20, Loss::None);
    path.reorder = 0.01;
    assert!(goodput(path, 1).0 > 0.9);
    for rtt in [20, 100] {
        let mut path = Path::new(100e6, rtt, Loss::None);
        path.jitter = path.rtt / 4;
        let (share, delay) = goodput(path, 1);
        assert!(
            share > 0.95 && delay < Duration::from_millis(30),
            "{rtt} ms: {share} {delay:?}"
        );
    }
    let mut path = Path::new(1e9, 20, Loss::None);
    path.policer = Some(50e6);
    assert!(goodput(path, 1).0 > 0.8);
}

/// As over loopback: a fast path whose queue is a socket buffer of some 100 kB, which bursts overrun.
#[test]
fn a_short_queue_on_a_fast_path_costs_little() {
    for micros in [50, 200, 1000] {
        let mut path = Path::new(4e9, 1, Loss::None);
        path.rtt = Duration::from_micros(micros);
        path.queue = Duration::from_micros(200);
        for control in [Bbr, Cubic] {
            let outcome = run(path, &[bulk(control)], Duration::from_secs(1), 1).remove(0);
            let share = outcome.goodput / path.ideal();
            assert!(
                share > 0.5 && outcome.stats.timeouts == 0,
                "{control:?} {micros} {share}"
            );
        }
    }
}

#[test]
fn a_paced_stream_beside_a_transfer_is_hardly_delayed() {
    let path = Path::new(5e6, 20, Loss::None);
    let outcome = run(path, &[Flow::Paced { rate: 2e6 }, bulk(Bbr)], SECONDS, 1);
    assert!(
        outcome[0].queueing_p95 < Duration::from_millis(50),
        "{:?}",
        outcome[0].queueing_p95
    );
    assert!(outcome[1].goodput > 2e6, "{}", outcome[1].goodput);
}

#[test]
fn flows_that_share_a_link_take_their_shares() {
    let path = Path::new(100e6, 20, Loss::None);
    let mean = |other, seconds| {
        let share = |seed| {
            let outcome = run(
                path,
                &[bulk(Bbr), bulk(other)],
                Duration::from_secs(seconds),
                seed,
            );
            outcome[0].goodput / (outcome[0].goodput + outcome[1].goodput)
        };
        (1..=3).map(share).sum::<f64>() / 3.0
    };
    let ours = mean(Bbr, 10);
    assert!((0.45..0.55).contains(&ours), "{ours}");
    let beside_cubic = mean(Cubic, 30);
    assert!((0.35..0.65).contains(&beside_cubic), "{beside_cubic}");
}

/// It leaves startup with a quarter, since the first one fills the queue, and needs some seconds for the rest.
#[test]
fn a_flow_that_comes_later_takes_its_half_within_seconds() {
    let path = Path::new(100e6, 100, Loss::None);
    let late = Flow::Bulk {
        control: Bbr,
        start: Duration::from_secs(3),
    };
    let share = |seed| {
        let outcome = run(path, &[bulk(Bbr), late], Duration::from_secs(18), seed);
        let of = |flow: usize| outcome[flow].seconds[8..18].iter().sum::<f64>();
        of(0) / (of(0) + of(1))
    };
    let first = (0..3).map(share).sum::<f64>() / 3.0;
    assert!((0.45..0.57).contains(&first), "{first}");
}
