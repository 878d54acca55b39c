//! Many allocations: what one takes, and how fast they are made.

use super::server::Server;
use super::session::{LOCAL, Session, peer};
use crate::figures::Figures;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Allocations that are open at once; each is a socket in the server and one here.
const ALLOCATIONS: usize = 10_000;
/// How many are being made at once.
const AT_ONCE: usize = 16;

/// A channel each, from addresses of their own: strangers at one address get few answers.
pub fn measure(figures: &mut Figures) -> Result<(), String> {
    let server = Server::ours()?;
    let (_peer, address) = peer()?;
    // The first one brings what is there for all.
    let _first = Session::open(server.address, LOCAL, address)?;
    let before = (server.resident(), server.used(), Instant::now());
    let server_address = server.address;
    let makers: Vec<_> = (0..AT_ONCE)
        .map(|maker| std::thread::spawn(move || make(maker, server_address, address)))
        .collect();
    let mut held = Vec::new();
    for maker in makers {
        held.extend(maker.join().map_err(|_| "a maker of allocations broke off")??);
    }
    let (seconds, count) = (before.2.elapsed().as_secs_f64(), held.len() as f64);
    let grown = server.resident().saturating_sub(before.0) as f64 * 1024.0;
    let cost = (server.used() - before.1).as_secs_f64() * 1e6 / count;
    let all = server.resident() as f64 / 1024.0;
    let note = format!("each of {count:.0}; bar 6,000");
    figures.add("turn allocation, memory", grown / count, "B", note);
    let note = format!("the server with {count:.0} allocations; bar 120");
    figures.add("turn allocations, resident", all, "MiB", note);
    let note = format!("with its channel, {:.0}/s; bar 5,000/s", count / seconds);
    figures.add("turn allocation, setup", cost, "us", note);
    Ok(())
}

/// A share of all.
fn make(maker: usize, server: SocketAddr, peer: SocketAddr) -> Result<Vec<Session>, String> {
    let share = (maker..ALLOCATIONS).step_by(AT_ONCE);
    share
        .map(|number| {
            let [high, low] = ((number / 16) as u16).to_be_bytes();
            let from = IpAddr::from([127, 1, high, low]);
            let session = Session::open(server, from, peer);
            session.map_err(|reason| format!("allocation {number}: {reason}"))
        })
        .collect()
}
