//! Goodput over a bottleneck in virtual time: 100 Mbit/s, 50 ms of queue, 64 KiB messages. Run with `--nocapture` to
//! see the table.

#![allow(clippy::disallowed_types, clippy::print_stdout)]

mod common;

use std::time::Duration;

use common::*;
use dunlin_sctp::{Config, SendOptions, StreamId};

const RATE: f64 = 100e6;

struct Run {
    goodput: f64,
    retransmitted: f64,
    timeouts: u64,
}

fn goodput(rtt: u64, loss: f64, seconds: u64, seed: u64) -> Run {
    goodput_over(
        RATE,
        millis(50),
        Duration::from_millis(rtt),
        loss,
        Duration::from_secs(seconds),
        seed,
    )
}

fn goodput_over(rate: f64, queue: Duration, rtt: Duration, loss: f64, time: Duration, seed: u64) -> Run {
    let config = Config::default();
    let mut world = World::with(config.clone(), config, seed);
    world.record = false;
    world.connect();
    for link in &mut world.links {
        link.delay = rtt / 2;
        link.rate = rate;
        link.queue = queue;
        link.loss = loss;
    }
    let message = bytes::Bytes::from(vec![7; 65_536]);
    let until = world.now + time;
    let mut received = 0;
    while world.now < until {
        while world.ends[A].total_buffered() < 2 << 20 {
            let ppid = dunlin_sctp::Ppid(53);
            world.ends[A]
                .send(
                    world.now,
                    StreamId(1),
                    ppid,
                    message.clone(),
                    SendOptions::default(),
                )
                .unwrap();
        }
        world.step(until);
        received += world
            .messages(B)
            .iter()
            .map(|(_, data)| data.len() as u64)
            .sum::<u64>();
        world.events = [Vec::new(), Vec::new()];
    }
    let stats = world.ends[A].stats();
    Run {
        goodput: received as f64 * 8.0 / time.as_secs_f64() / rate,
        retransmitted: stats.retransmissions as f64 / stats.packets_sent as f64,
        timeouts: stats.timeouts,
    }
}

fn table(rtts: &[u64], losses: &[f64], seconds: u64, seeds: u64) {
    println!("RTT ms  loss %  goodput %  retransmitted %  timeouts");
    for &rtt in rtts {
        for &loss in losses {
            let runs: Vec<Run> = (0..seeds).map(|seed| goodput(rtt, loss, seconds, seed)).collect();
            let mean = |of: fn(&Run) -> f64| runs.iter().map(of).sum::<f64>() / seeds as f64;
            println!(
                "{rtt:6}  {:6.1}  {:9.1}  {:15.2}  {:8.1}",
                loss * 100.0,
                mean(|run| run.goodput) * 100.0,
                mean(|run| run.retransmitted) * 100.0,
                mean(|run| run.timeouts as f64),
            );
        }
    }
}

#[test]
fn a_link_without_loss_is_filled() {
    for rtt in [5, 20, 100] {
        let run = goodput(rtt, 0.0, 10, 1);
        // Headers of SCTP, DTLS, UDP and IP take 7 %; slow start takes some of ten seconds at 100 ms.
        assert!(
            run.goodput > if rtt < 50 { 0.91 } else { 0.85 },
            "{rtt} ms: {}",
            run.goodput
        );
        assert_eq!(run.timeouts, 0);
    }
}

/// As over loopback: a fast path whose queue is a socket buffer of some 100 kB, which bursts overrun.
#[test]
fn a_short_queue_on_a_fast_path_costs_little() {
    for micros in [50, 200, 1000] {
        let rtt = Duration::from_micros(micros);
        let run = goodput_over(4e9, Duration::from_micros(200), rtt, 0.0, millis(500), 1);
        println!(
            "{micros} us: {:.3} of 4 Gbit/s, {} timeouts",
            run.goodput, run.timeouts
        );
        assert!(
            run.goodput > 0.5 && run.timeouts == 0,
            "{micros} {} {}",
            run.goodput,
            run.timeouts
        );
    }
}

#[test]
fn loss_costs_what_cubic_pays_and_few_timeouts() {
    table(&[5, 20, 50, 100, 200], &[0.0], 10, 1);
    table(&[20], &[0.001, 0.01], 4, 2);
    let run = goodput(20, 0.01, 10, 1);
    assert!(
        run.goodput > 0.04 && run.timeouts <= 3,
        "{} {}",
        run.goodput,
        run.timeouts
    );
}
