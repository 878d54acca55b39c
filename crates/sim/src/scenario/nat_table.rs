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
/// the other's description: with all candidates, or without any, so that gathering takes half a round trip of it, a whole
/// one with TURN.
#[must_use]
pub fn table(certificate: &Certificate) -> String {
    let mut out = String::new();
    for (title, turn) in [
        ("without TURN", [None; 2]),
        ("with TURN over UDP on both sides", [Some(Transport::Udp); 2]),
        ("with TURN over UDP for the offerer", [Some(Transport::Udp), None]),
        (
            "with TURN over UDP for the answerer",
            [None, Some(Transport::Udp)],
        ),
    ] {
        for (told, trickle) in [("in the descriptions", false), ("told as they are found", true)] {
            let _ = writeln!(
                out,
                "Both sides have chosen after so many round trips, {title}, candidates {told} (r: relayed):"
            );
            let _ = write!(out, "{:>9}", "");
            for side in sides() {
                let _ = write!(out, "{:>9}", side.name());
            }
            let _ = writeln!(out);
            for a in sides() {
                let _ = write!(out, "{:>9}", a.name());
                for b in sides() {
                    let meeting = measure([a, b], turn, trickle, certificate);
                    let _ = write!(out, "{:>9}", cell(&meeting));
                }
                let _ = writeln!(out);
            }
            let _ = writeln!(out);
        }
    }
    out
}

/// How two sides meet on lines without loss, each with this much of a TURN server.
#[must_use]
pub fn measure(
    sides: [Side; 2],
    turn: [Option<Transport>; 2],
    trickle: bool,
    certificate: &Certificate,
) -> Meeting {
    let mut world = World::new(seed_of(1, 1));
    meet(1, &cell_of(sides, turn, trickle), certificate, &mut world)
}

/// Where the two of one cell are.
#[must_use]
pub fn cell_of(sides: [Side; 2], turn: [Option<Transport>; 2], trickle: bool) -> Topology {
    let [mut a, mut b] = sides;
    [a.turn, b.turn] = turn;
    let mut topology = Topology::of(a, b);
    (topology.delay, topology.trickle) = (ROUND_TRIP / 4, trickle);
    topology
}

impl Meeting {
    /// The round trips until ICE was done on both sides, from the moment that both had the other's description.
    #[must_use]
    pub fn round_trips(&self) -> Option<f64> {
        let chosen = self.chosen? - self.described;
        Some(chosen.as_secs_f64() / ROUND_TRIP.as_secs_f64())
    }
}

fn cell(meeting: &Meeting) -> String {
    let relayed = if meeting.relayed.contains(&true) { "r" } else { "" };
    match meeting.round_trips() {
        Some(count) => format!("{count:.1}{relayed}"),
        None => "-".to_owned(),
    }
}
