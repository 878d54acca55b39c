//! As many packets as go, in one direction: the server has a core to itself, those who send and receive have the others.

use super::server::Server;
use super::session::{SIZE, Session};
use super::wire::{BATCH, Cores, Receiver, Sender, Train};
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
    train: Train,
    to: Vec<Option<SocketAddr>>,
}

/// How the datagrams of a flow come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One by one, and one of each flow in turns; the receiver takes them one by one (without GRO).
    Singles,
    /// So many of one flow at once, as its sender's system makes them (GSO), and the receiver takes what comes (GRO).
    Bursts(usize),
}

impl Shape {
    fn burst(self) -> usize {
        match self {
            Self::Singles => 1,
            Self::Bursts(count) => count,
        }
    }
}

/// From all clients to their one peer, in turns.
pub fn to_peer(
    server: &Server,
    sessions: &[Session],
    peer: &UdpSocket,
    shape: Shape,
    time: Duration,
) -> Result<Load, String> {
    let at_once = (BATCH / sessions.len() / shape.burst()).max(1);
    let source = |session: &Session| {
        Ok(Source {
            socket: clone(&session.client)?,
            train: Train::new(&session.framed, shape.burst()),
            to: vec![None; at_once],
        })
    };
    let sources = sessions.iter().map(source).collect::<Result<_, String>>()?;
    let to = vec![clone(peer)?];
    run(server, sources, (to, SIZE, shape), time)
}

/// From the peer to all clients, in turns.
pub fn to_client(
    server: &Server,
    sessions: &[Session],
    peer: &UdpSocket,
    shape: Shape,
    time: Duration,
) -> Result<Load, String> {
    let relayed: Vec<_> = sessions.iter().map(|session| Some(session.relayed)).collect();
    let turns = relayed.iter().copied().cycle();
    let at_once = BATCH / shape.burst();
    let all: Vec<_> = turns.take(relayed.len().max(at_once)).collect();
    let source = |to: &[Option<SocketAddr>]| {
        Ok(Source {
            socket: clone(peer)?,
            train: Train::new(&[7; SIZE], shape.burst()),
            to: to.to_vec(),
        })
    };
    let sources = all.chunks(at_once).map(source).collect::<Result<_, String>>()?;
    let to = sessions.iter().map(|session| clone(&session.client));
    let to = to.collect::<Result<Vec<_>, String>>()?;
    let framed = sessions.first().map_or(SIZE, |session| session.framed.len());
    run(server, sources, (to, framed, shape), time)
}

fn clone(socket: &UdpSocket) -> Result<UdpSocket, String> {
    socket.try_clone().map_err(|error| error.to_string())
}

fn run(
    server: &Server,
    sources: Vec<Source>,
    (to, size, shape): (Vec<UdpSocket>, usize, Shape),
    time: Duration,
) -> Result<Load, String> {
    let (stop, arrived) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let cores = Cores::choose();
    let sender = {
        let stop = stop.clone();
        std::thread::spawn(move || {
            cores.inspect(|cores| cores.keep_off());
            let mut sender = Sender::new();
            while !stop.load(Relaxed) {
                for source in &sources {
                    sender.send(&source.socket, &source.train, &source.to);
                }
            }
        })
    };
    let receiver = {
        let (stop, arrived) = (stop.clone(), arrived.clone());
        std::thread::spawn(move || {
            cores.inspect(|cores| cores.keep_off());
            let mut receiver = Receiver::new(size, shape != Shape::Singles, &to);
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
