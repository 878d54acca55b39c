//! The TURN server: its processor time per relayed packet of 1,200 bytes, flat out, beside coturn's in the same run; a
//! flood; and many allocations.
//!
//! A server has one core, and those who make the load have the others, with many datagrams to a system call: so it is the
//! server that is measured, flat out, where the load can be made fast enough; how busy it was is said. The datagrams come
//! one by one all the same, without GSO, and of many flows in turns. Loads alternate between the servers, and each figure
//! is the median. What a server relays and the receiver's queue has no room for costs and does not count: the faster
//! server suffers more from it.

mod flood;
mod load;
mod many;
mod server;
mod session;
mod wire;

use crate::Options;
use crate::figures::Figures;
use load::Load;
use server::{COTURN, DUNLIN, Server};
use session::{LOCAL, Session, peer};

/// Rounds; each server is started anew in each.
const ROUNDS: usize = 3;
/// Clients of the load that comes from many.
const FLOWS: usize = 100;

/// The loads, by name.
const LOADS: [&str; 4] = ["to peer", "to client", "100 flows to peer", "100 flows to client"];

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

/// All loads against both servers.
fn relays(options: &Options, figures: &mut Figures) -> Result<(), String> {
    let mut measured: [[Vec<Load>; LOADS.len()]; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (kind, loads) in [DUNLIN, COTURN].iter().zip(&mut measured) {
            let Some(server) = Server::start(kind)? else {
                eprintln!(
                    "{} is not there: it is not measured (Debian's package coturn)",
                    kind.name
                );
                continue;
            };
            let (peer, address) = peer()?;
            let mut sessions = vec![Session::open(server.address, LOCAL, address)?];
            let time = options.time() / 2;
            loads[0].push(load::to_peer(&server, &sessions, &peer, time)?);
            loads[1].push(load::to_client(&server, &sessions, &peer, time)?);
            for _ in 1..FLOWS {
                sessions.push(Session::open(server.address, LOCAL, address)?);
            }
            loads[2].push(load::to_peer(&server, &sessions, &peer, time)?);
            loads[3].push(load::to_client(&server, &sessions, &peer, time)?);
        }
    }
    let [ours, theirs] = measured;
    for ((name, ours), theirs) in LOADS.into_iter().zip(ours).zip(theirs) {
        let (Some(ours), theirs) = (median(ours), median(theirs)) else {
            return Err("nothing was measured".to_owned());
        };
        let beside = theirs.map_or_else(String::new, |theirs| {
            let (rate, cost) = (ours.rate / theirs.rate, theirs.cost / ours.cost);
            format!(", {rate:.1} times coturn's, which costs {cost:.1} times as much; bar 2.5 each")
        });
        let note = format!(
            "bar 2.5; {:.0} kpkt/s on {:.0} % of a core{beside}",
            ours.rate, ours.busy
        );
        figures.add(&format!("turn dunlin, {name}"), ours.cost, "us/packet", note);
        if let Some(Load { cost, rate, busy }) = theirs {
            let note = format!("{rate:.0} kpkt/s on {busy:.0} % of a core");
            figures.add(&format!("turn coturn, {name}"), cost, "us/packet", note);
        }
    }
    Ok(())
}

fn median(mut loads: Vec<Load>) -> Option<Load> {
    loads.sort_by(|one, other| one.cost.total_cmp(&other.cost));
    loads.get(loads.len() / 2).copied()
}
