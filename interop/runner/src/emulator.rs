//! A bad network between two peers: a UDP relay in front of each candidate, which delays and loses what goes through.
//!
//! Each peer is told of the relay's address instead of the other's candidate, so everything takes the way through it. What
//! comes out of the relay has another source, and ICE on the far side learns that as a peer-reflexive candidate.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How bad it is, each way.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    pub delay: Duration,
    /// The share of datagrams that is lost.
    pub loss: f64,
}

/// What may be under way in one direction of one relay.
const QUEUE: usize = 16_384;
/// Bytes that the kernel may hold for a relay, if it allows so many.
const SOCKET_BUFFER: usize = 4 << 20;

/// All relays of a case; they end with it.
#[derive(Debug)]
pub struct Emulator {
    link: Link,
    rng: Mutex<StdRng>,
    tasks: Mutex<JoinSet<()>>,
}

impl Emulator {
    pub fn new(link: Link, seed: u64) -> Self {
        Emulator {
            link,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            tasks: Mutex::default(),
        }
    }

    /// A candidate as the other side is told of it; `None` when no relay can be in front of it.
    pub async fn in_front_of(&self, candidate: &Value) -> io::Result<Option<Value>> {
        let Some(text) = candidate["candidate"].as_str().filter(|text| !text.is_empty()) else {
            // The end of candidates.
            return Ok(Some(candidate.clone()));
        };
        let mut fields: Vec<&str> = text.split(' ').collect();
        let address = fields
            .get(4..6)
            .and_then(|at| Some(SocketAddr::new(at[0].parse().ok()?, at[1].parse().ok()?)));
        let is_udp = fields
            .get(2)
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case("udp"));
        let (Some(address), true) = (address, is_udp) else {
            return Ok(None);
        };
        let relay = bind(address)?;
        let at = relay.local_addr()?;
        let (ip, port) = (at.ip().to_string(), at.port().to_string());
        (fields[4], fields[5]) = (&ip, &port);
        let mut changed = candidate.clone();
        changed["candidate"] = json!(fields.join(" "));
        let seed = self.rng.lock().unwrap_or_else(PoisonError::into_inner).random();
        self.tasks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .spawn(run(Arc::new(relay), address, self.link, seed));
        Ok(Some(changed))
    }
}

/// A socket of the relay, at an address that reaches `near`.
fn bind(near: SocketAddr) -> io::Result<UdpSocket> {
    let domain = socket2::Domain::for_address(near);
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, None)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(near.ip(), 0).into())?;
    UdpSocket::from_std(socket.into())
}

/// A datagram, and when it has arrived.
type Late = (Instant, Vec<u8>);

/// Everything that comes to `relay` goes on to `to`, from a socket of its own for each who sends, and the answers back.
async fn run(relay: Arc<UdpSocket>, to: SocketAddr, link: Link, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut senders: HashMap<SocketAddr, mpsc::Sender<Late>> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((len, from)) = relay.recv_from(&mut buffer).await else {
            continue;
        };
        let forward = match senders.get(&from) {
            Some(forward) => forward,
            None => {
                let Ok(out) = bind(to).map(Arc::new) else { continue };
                let (there, arriving) = mpsc::channel(QUEUE);
                tasks.spawn(deliver(out.clone(), to, arriving));
                tasks.spawn(back(out, relay.clone(), from, link, rng.random()));
                senders.entry(from).or_insert(there)
            }
        };
        if !rng.random_bool(link.loss) {
            // A full queue loses, too.
            let _ = forward.try_send((Instant::now() + link.delay, buffer[..len].to_vec()));
        }
    }
}

/// The answers, out of the socket that the peer sent to.
async fn back(out: Arc<UdpSocket>, relay: Arc<UdpSocket>, to: SocketAddr, link: Link, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (there, arriving) = mpsc::channel(QUEUE);
    let mut tasks = JoinSet::new();
    tasks.spawn(deliver(relay, to, arriving));
    let mut buffer = vec![0; 65_536];
    loop {
        if let Ok((len, _)) = out.recv_from(&mut buffer).await
            && !rng.random_bool(link.loss)
        {
            let _ = there.try_send((Instant::now() + link.delay, buffer[..len].to_vec()));
        }
    }
}

/// Sends what is due.
async fn deliver(socket: Arc<UdpSocket>, to: SocketAddr, mut arriving: mpsc::Receiver<Late>) {
    let mut batch = VecDeque::new();
    while let Some(first) = arriving.recv().await {
        batch.push_back(first);
        while let Some((at, _)) = batch.front() {
            tokio::time::sleep_until(*at).await;
            let now = Instant::now();
            while let Ok(next) = arriving.try_recv() {
                batch.push_back(next);
            }
            while let Some((_, datagram)) = batch.pop_front_if(|(at, _)| *at <= now) {
                // A datagram that the system does not take is lost.
                let _ = socket.send_to(&datagram, to).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn datagrams_go_both_ways_late_and_some_are_lost() {
        let link = Link {
            delay: Duration::from_millis(20),
            loss: 0.5,
        };
        let emulator = Emulator::new(link, 1);
        let (a, b) = (
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        );
        let port = a.local_addr().unwrap().port();
        let text = format!("candidate:1 1 udp 1 127.0.0.1 {port} typ host");
        let told = emulator
            .in_front_of(&json!({"candidate": text}))
            .await
            .unwrap()
            .unwrap();
        let told = told["candidate"].as_str().unwrap();
        assert_ne!(told, text);
        let relay: SocketAddr = {
            let fields: Vec<_> = told.split(' ').collect();
            SocketAddr::new(fields[4].parse().unwrap(), fields[5].parse().unwrap())
        };
        let begun = Instant::now();
        for i in 0..200u8 {
            b.send_to(&[i], relay).await.unwrap();
        }
        let mut buffer = [0; 9];
        let mut there = 0;
        let limit = Duration::from_millis(300);
        while let Ok(Ok((_, from))) = tokio::time::timeout(limit, a.recv_from(&mut buffer)).await {
            there += 1;
            a.send_to(&buffer[..1], from).await.unwrap();
        }
        assert!(begun.elapsed() >= link.delay);
        assert!((50..150).contains(&there), "{there}");
        let mut back = 0;
        while tokio::time::timeout(limit, b.recv_from(&mut buffer))
            .await
            .is_ok()
        {
            back += 1;
        }
        assert!((1..there).contains(&back), "{back}");
        let tcp = json!({"candidate": "candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype active"});
        assert_eq!(emulator.in_front_of(&tcp).await.unwrap(), None);
    }
}
