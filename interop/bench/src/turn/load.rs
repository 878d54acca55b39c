//! As many packets as go, in one direction.

use super::server::Server;
use super::session::{SIZE, Session};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The load is on when this many have arrived.
const WARM: u64 = 5000;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one load showed.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Microseconds of the server's processor time per packet that arrived.
    pub cost: f64,
    /// Thousands of packets per second that arrived.
    pub rate: f64,
}

/// Who sends what, and where to if the socket is not connected.
struct Source {
    socket: UdpSocket,
    datagram: Vec<u8>,
    to: Option<SocketAddr>,
}

/// From all clients in turns to their one peer.
pub fn to_peer(
    server: &Server,
    sessions: &[Session],
    peer: &UdpSocket,
    time: Duration,
) -> Result<Load, String> {
    let source = |session: &Session| {
        Ok(Source {
            socket: clone(&session.client)?,
            datagram: session.framed.clone(),
            to: None,
        })
    };
    let sources = sessions.iter().map(source).collect::<Result<_, String>>()?;
    run(server, sources, clone(peer)?, time)
}

/// From the peer to one client.
pub fn to_client(
    server: &Server,
    session: &Session,
    peer: &UdpSocket,
    time: Duration,
) -> Result<Load, String> {
    let source = Source {
        socket: clone(peer)?,
        datagram: vec![7; SIZE],
        to: Some(session.relayed),
    };
    run(server, vec![source], clone(&session.client)?, time)
}

fn clone(socket: &UdpSocket) -> Result<UdpSocket, String> {
    socket.try_clone().map_err(|error| error.to_string())
}

fn run(server: &Server, sources: Vec<Source>, to: UdpSocket, time: Duration) -> Result<Load, String> {
    to.set_read_timeout(Some(Duration::from_millis(50)))
        .map_err(|error| error.to_string())?;
    let (stop, arrived) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let sender = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            while !stop.load(Relaxed) {
                for source in &sources {
                    // A full queue drops, here as in the server.
                    let _ = match source.to {
                        None => source.socket.send(&source.datagram),
                        Some(to) => source.socket.send_to(&source.datagram, to),
                    };
                }
            }
        })
    };
    let receiver = {
        let (stop, arrived) = (stop.clone(), arrived.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stop.load(Relaxed) {
                if to.recv(&mut buffer).is_ok() {
                    arrived.fetch_add(1, Relaxed);
                }
            }
        })
    };
    let began = Instant::now();
    while arrived.load(Relaxed) < WARM && began.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    let before = (Instant::now(), server.used(), arrived.load(Relaxed));
    std::thread::sleep(time);
    let after = (Instant::now(), server.used(), arrived.load(Relaxed));
    stop.store(true, Relaxed);
    let joined = sender.join().is_ok() && receiver.join().is_ok();
    let packets = (after.2 - before.2) as f64;
    if !joined || packets == 0.0 {
        return Err("nothing was relayed".to_owned());
    }
    Ok(Load {
        cost: (after.1 - before.1).as_secs_f64() * 1e6 / packets,
        rate: packets / (after.0 - before.0).as_secs_f64() / 1e3,
    })
}
