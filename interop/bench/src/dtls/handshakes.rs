//! Whole handshakes: processor time of both ends, on one thread.

use super::Traffic;
use super::ours::{self, Kind};
use crate::cpu;
use crate::figures::Figures;
use std::time::Instant;

/// Handshakes in one round; rounds of all contestants take turns, so that a busy machine is fair to all.
const HANDSHAKES: u32 = 200;
const ROUNDS: usize = 9;

/// One way to have a handshake, and what its rounds cost.
struct Contestant {
    name: &'static str,
    handshake: Box<dyn FnMut() -> Result<Traffic, String>>,
    milliseconds: Vec<f64>,
    traffic: Traffic,
}

pub fn measure(figures: &mut Figures) -> Result<(), String> {
    let mut contestants = contestants()?;
    for _ in 0..ROUNDS {
        for contestant in &mut contestants {
            let start = cpu::used_by_thread();
            for _ in 0..HANDSHAKES {
                contestant.traffic = (contestant.handshake)()?;
            }
            let each = (cpu::used_by_thread() - start) / HANDSHAKES;
            contestant.milliseconds.push(each.as_secs_f64() * 1e3);
        }
    }
    for contestant in &mut contestants {
        contestant.milliseconds.sort_unstable_by(f64::total_cmp);
        let cost = contestant.milliseconds[ROUNDS / 2];
        let Traffic { bytes, datagrams } = contestant.traffic;
        let ratio = ratio(figures, contestant.name, cost);
        let note = format!("CPU of both ends, {bytes} B in {datagrams} datagrams{ratio}");
        figures.add(contestant.name, cost, "ms", note);
    }
    Ok(())
}

/// `cost` beside what it is held against, which was measured before it.
fn ratio(figures: &Figures, name: &str, cost: f64) -> String {
    if name == "dtls 1.3 hybrid handshake" {
        let plain = figures.get("dtls 1.3 handshake").unwrap_or_default();
        return format!("; {:+.3} ms for X25519MLKEM768 (bar +0.25)", cost - plain);
    }
    // dimpl itself is not among the figures yet.
    let theirs = figures.get(&name.replace("dtls", "dimpl"));
    theirs.map_or_else(String::new, |theirs| {
        format!("; {:.2} of dimpl's (bar 1)", cost / theirs)
    })
}

/// The peers first: the others are held against them. Each end has a P-256 certificate that the other checks.
fn contestants() -> Result<Vec<Contestant>, String> {
    let mut all = peers()?;
    for (name, kind) in [
        ("dtls 1.2 handshake", Kind::V12),
        ("dtls 1.3 handshake", Kind::V13),
        ("dtls 1.3 hybrid handshake", Kind::Hybrid),
    ] {
        let configs = ours::configs(kind)?;
        all.push(contestant(name, move || {
            ours::pair(&configs, Instant::now()).map(|(_, _, traffic)| traffic)
        }));
    }
    Ok(all)
}

#[cfg(feature = "peers")]
fn peers() -> Result<Vec<Contestant>, String> {
    let mut all = Vec::new();
    for (name, v13) in [("dimpl 1.2 handshake", false), ("dimpl 1.3 handshake", true)] {
        let setup = super::theirs::setup(v13)?;
        all.push(contestant(name, move || {
            super::theirs::pair(&setup, Instant::now())
        }));
    }
    Ok(all)
}

#[cfg(not(feature = "peers"))]
fn peers() -> Result<Vec<Contestant>, String> {
    Ok(Vec::new())
}

fn contestant(
    name: &'static str,
    handshake: impl FnMut() -> Result<Traffic, String> + 'static,
) -> Contestant {
    Contestant {
        name,
        handshake: Box::new(handshake),
        milliseconds: Vec::with_capacity(ROUNDS),
        traffic: Traffic::default(),
    }
}
