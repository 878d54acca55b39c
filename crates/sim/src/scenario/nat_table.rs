//! How long two peers take to be done with ICE, for every kind of NAT with every other, in round trips.

use std::fmt::Write;
use std::time::Duration;

use dunlin_net::Transport;
use dunlin_peerconnection::Certificate;

use crate::laws::seed_of;
use crate::scenario::nat::{Meeting, Side, Topology, meet, sides};
use crate::world::World;

/// Between the two; half as long to the servers.
const ROUND_TRIP: Duration = Duration::from_millis(50);

/// The tables without TURN and with a TURN server over UDP that both know. A cell counts from the moment when both have
/// the other's description: gathering takes half a round trip of it, a whole one with TURN.
#[must_use]
pub fn table(certificate: &Certificate) -> String {
    let mut out = String::new();
    for (title, turn) in [
        ("without TURN", None),
        ("with TURN over UDP on both sides", Some(Transport::Udp)),
    ] {
        let _ = writeln!(
            out,
            "Both sides have chosen after so many round trips, {title} (r: relayed):"
        );
        let _ = write!(out, "{:>9}", "");
        for side in sides() {
            let _ = write!(out, "{:>9}", side.name());
        }
        let _ = writeln!(out);
        for (row, a) in sides().into_iter().enumerate() {
            let _ = write!(out, "{:>9}", a.name());
            for (column, b) in sides().into_iter().enumerate() {
                let seed = (row * 20 + column) as u64;
                let _ = write!(out, "{:>9}", cell(&pair(seed, [a, b], turn, certificate)));
            }
            let _ = writeln!(out);
        }
        let _ = writeln!(out);
    }
    out
}

fn pair(seed: u64, sides: [Side; 2], turn: Option<Transport>, certificate: &Certificate) -> Meeting {
    let [a, b] = sides.map(|side| Side { turn, ..side });
    let mut topology = Topology::of(a, b);
    topology.delay = ROUND_TRIP / 4;
    meet(seed, &topology, certificate, &mut World::new(seed_of(seed, 1)))
}

fn cell(meeting: &Meeting) -> String {
    let relayed = if meeting.relayed.contains(&true) { "r" } else { "" };
    match meeting.chosen {
        Some(chosen) => format!("{:.1}{relayed}", chosen.as_secs_f64() / ROUND_TRIP.as_secs_f64()),
        None => "-".to_owned(),
    }
}
