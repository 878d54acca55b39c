//! As many packets as go, in one direction: the server has a core to itself, those who send and receive have the others.

use super::server::Server;
use super::session::{SIZE, Session};
use super::wire::{BATCH, Cores, Receiver, Sender};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The load is on when this many have arrived.
const WARM: u64 = 5000;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause of the receiver, so that it takes many at once and is not woken for each. Its queues hold ten times that.
const PAUSE: Duration = Duration::from_micros(500);

/// What one load showed.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Microseconds of the server's processor time per packet that arrived.
    pub cost: f64,
    /// Thousands of packets per second that arrived.
    pub rate: f64,
    /// How much of its core the server used, in percent.
    pub busy: f64,
}

/// Who sends what, and where to: `None` is where the socket is connected to.
struct Source {
    socket: UdpSocket,
    datagram: Vec<u8>,
    to: Vec<Option<SocketAddr>>,
}

/// From all clients to their one peer. Several clients send one datagram each in turns; a single one has its system send
/// many at once.
pub fn to_peer(
    server: &Server,
    sessions: &[Session],
    peer: &UdpSocket,
    time: Duration,
) -> Result<Load, String> {
    let burst = (BATCH / sessions.len()).max(1);
    let source = |session: &Session| {
        Ok(Source {
            socket: clone(&session.client)?,
            datagram: session.framed.clone(),
            to: vec![None; burst],
        })
    };
    let sources = sessions.iter().map(source).collect::<Result<_, String>>()?;
    run(server, sources, vec![clone(peer)?], time)
}

/// From the peer to all clients, in turns.
pub fn to_client(
    server: &Server,
    sessions: &[Session],
    peer: &UdpSocket,
    time: Duration,
) -> Result<Load, String> {
    let relayed: Vec<_> = sessions.iter().map(|session| Some(session.relayed)).collect();
    let turns = relayed.iter().copied().cycle();
    let all: Vec<_> = turns.take(relayed.len().max(BATCH)).collect();
    let source = |to: &[Option<SocketAddr>]| {
        Ok(Source {
            socket: clone(peer)?,
            datagram: vec![7; SIZE],
            to: to.to_vec(),
        })
    };
    let sources = all.chunks(BATCH).map(source).collect::<Result<_, String>>()?;
    let receivers = sessions.iter().map(|session| clone(&session.client));
    run(server, sources, receivers.collect::<Result<_, String>>()?, time)
}

fn clone(socket: &UdpSocket) -> Result<UdpSocket, String> {
    socket.try_clone().map_err(|error| error.to_string())
}

fn run(server: &Server, sources: Vec<Source>, to: Vec<UdpSocket>, time: Duration) -> Result<Load, String> {
    let (stop, arrived) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let cores = Cores::choose();
    let sender = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            cores.inspect(|cores| cores.keep_off());
            let mut sender = Sender::new();
            while !stop.load(Relaxed) {
                for source in &sources {
                    sender.send(&source.socket, &source.datagram, &source.to);
                }
            }
        })
    };
    let receiver = {
        let (stop, arrived) = (stop.clone(), arrived.clone());
        std::thread::spawn(move || {
            cores.inspect(|cores| cores.keep_off());
            let mut receiver = Receiver::new();
            while !stop.load(Relaxed) {
                for socket in &to {
                    arrived.fetch_add(receiver.empty(socket), Relaxed);
                }
                std::thread::sleep(PAUSE);
            }
        })
    };
    let began = Instant::now();
    while arrived.load(Relaxed) < WARM && began.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
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
    let (elapsed, used) = (after.0 - before.0, (after.1 - before.1).as_secs_f64());
    Ok(Load {
        cost: used * 1e6 / packets,
        rate: packets / elapsed.as_secs_f64() / 1e3,
        busy: used / elapsed.as_secs_f64() * 100.0,
    })
}
