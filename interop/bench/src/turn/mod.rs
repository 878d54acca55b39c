//! The TURN server: its processor time per relayed packet of 1,200 bytes, flat out, beside coturn's in the same run; a
//! flood; and many allocations.
//!
//! A server has one core, and those who make the load have the others. Flows come in bursts, as frames of video and
//! trains of data channels do, and who receives takes what comes, so that neither costs the server what on a wire is not
//! its own: over loopback, whoever sends pays for taking a train apart where the receiver wants single datagrams. How
//! much that and single datagrams matter is shown as well: one by one, of many flows in turns; there the load is the
//! slower part, and the least that a relay can be is measured beside (`bare`). How busy the server was is said. Loads alternate between the servers, and each figure is the median. What
//! a server relays and the receiver's queue has no room for costs and does not count: the faster server suffers more
//! from it.

pub mod bare;
mod flood;
mod load;
mod many;
mod server;
mod session;
mod wire;

use crate::Options;
use crate::figures::Figures;
use load::{Load, Shape};
use server::{BARE, COTURN, DUNLIN, Server};
use session::peer;

/// Rounds; each server is started anew in each.
const ROUNDS: usize = 3;
/// Clients of the load that comes from many.
const FLOWS: usize = 100;

/// Datagrams of one flow in a burst: a frame of video of 12 kB.
const FRAME: usize = 10;
/// Datagrams that a single flow's system takes at once.
const TRAIN: usize = 32;

/// The loads, by name: how many flows, how their datagrams come, and whether they go to the peer.
const LOADS: [(&str, usize, Shape, bool); 8] = [
    ("to peer", 1, Shape::Bursts(TRAIN), true),
    ("to client", 1, Shape::Bursts(TRAIN), false),
    ("to peer, one by one", 1, Shape::Singles, true),
    ("to client, one by one", 1, Shape::Singles, false),
    ("100 flows to peer", FLOWS, Shape::Bursts(FRAME), true),
    ("100 flows to client", FLOWS, Shape::Bursts(FRAME), false),
    ("100 flows to peer, one by one", FLOWS, Shape::Singles, true),
    ("100 flows to client, one by one", FLOWS, Shape::Singles, false),
];

pub fn measure(options: &Options, figures: &mut Figures) -> Result<(), String> {
    if options.wants(crate::Group::Turn, "turn relay") {
        relays(options, figures)?;
    }
    if options.wants(crate::Group::Turn, "turn flood") {
        flood::measure(figures)?;
    }
    if options.wants(crate::Group::Turn, "turn allocation") {
        many::measure(figures)?;
    }
    Ok(())
}

/// All loads against the servers.
fn relays(options: &Options, figures: &mut Figures) -> Result<(), String> {
    let mut measured: [[Vec<Load>; LOADS.len()]; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (kind, loads) in [DUNLIN, COTURN, BARE].iter().zip(&mut measured) {
            let server = match kind.name == DUNLIN.name {
                true => Some(Server::ours()?),
                false => Server::start(kind)?,
            };
            let Some(server) = server else {
                eprintln!("coturn is not there: it is not measured (Debian's package coturn)");
                continue;
            };
            let (peer, address) = peer()?;
            let mut sessions = Vec::new();
            let time = options.time() / 2;
            for ((_, flows, shape, up), loads) in LOADS.into_iter().zip(loads) {
                // It knows no trains.
                if kind.name == BARE.name && shape != Shape::Singles {
                    continue;
                }
                while sessions.len() < flows {
                    sessions.push((kind.open)(server.address, address)?);
                }
                let sessions = sessions.get(..flows).unwrap_or_default();
                let load = if up { load::to_peer } else { load::to_client };
                loads.push(load(&server, sessions, &peer, shape, time)?);
            }
        }
    }
    let [ours, theirs, bare] = measured;
    for ((((name, _, shape, _), ours), theirs), bare) in LOADS.into_iter().zip(ours).zip(theirs).zip(bare) {
        let (Some(ours), theirs) = (median(ours), median(theirs)) else {
            return Err("nothing was measured".to_owned());
        };
        let beside = theirs.map_or_else(String::new, |theirs| {
            let (rate, cost) = (ours.rate / theirs.rate, theirs.cost / ours.cost);
            let bar = if shape == Shape::Singles {
                ""
            } else {
                "; bar 2.5 times its rate"
            };
            format!(", {rate:.1} times coturn's, which costs {cost:.1} times as much{bar}")
        });
        let note = format!(
            "bar 2.5; {:.0} kpkt/s on {:.0} % of a core{beside}",
            ours.rate, ours.busy
        );
        figures.add(&format!("turn dunlin, {name}"), ours.cost, "us/packet", note);
        for (who, load) in [("coturn", theirs), ("bare relay", median(bare))] {
            if let Some(Load { cost, rate, busy }) = load {
                let note = format!("{rate:.0} kpkt/s on {busy:.0} % of a core");
                figures.add(&format!("turn {who}, {name}"), cost, "us/packet", note);
            }
        }
    }
    Ok(())
}

/// Each figure's own median.
fn median(loads: Vec<Load>) -> Option<Load> {
    let of = |figure: fn(&Load) -> f64| {
        let mut all: Vec<f64> = loads.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied()
    };
    Some(Load {
        cost: of(|load| load.cost)?,
        rate: of(|load| load.rate)?,
        busy: of(|load| load.busy)?,
    })
}
