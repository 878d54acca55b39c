//! The TURN server: its processor time per relayed packet of 1,200 bytes, flat out, beside coturn's in the same run.
//!
//! The servers are programs of their own, so what the load costs is not counted. One allocation, one channel; a thread
//! sends one datagram per system call, as clients and peers do, another one receives. Loads alternate between the
//! servers, and each figure is the median.

use crate::Options;
use crate::figures::Figures;
use bytes::BytesMut;
use dunlin_net::Path;
use dunlin_turn::Credentials;
use dunlin_turn::client::{Client, Config, Event};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Rounds; each server is started anew in each.
const ROUNDS: usize = 3;
const SIZE: usize = 1200;
/// How long a server or an answer may be waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A server that can be measured.
struct Kind {
    name: &'static str,
    start: fn(u16) -> Command,
}

const KINDS: [Kind; 2] = [
    Kind {
        name: "dunlin",
        start: dunlin,
    },
    Kind {
        name: "coturn",
        start: coturn,
    },
];

fn dunlin(port: u16) -> Command {
    let own = std::env::current_exe().unwrap_or_default();
    let mut command = Command::new(own.with_file_name("dunlin"));
    command.args([
        "turn",
        "--user",
        "user1:test",
        "--allow-loopback-peers",
        "--log",
        "off",
    ]);
    command.args([
        "--user-quota",
        "10000",
        "--no-tcp",
        "--udp",
        &format!("127.0.0.1:{port}"),
    ]);
    command
}

fn coturn(port: u16) -> Command {
    let mut command = Command::new("turnserver");
    command.args(["-n", "--log-file=/dev/null", "-L", "127.0.0.1", "-E", "127.0.0.1"]);
    command.args([
        "--relay-threads",
        "2",
        "--allow-loopback-peers",
        "--cli-password=x",
        "-a",
    ]);
    command.args([
        "-u",
        "user1:test",
        "-r",
        "dunlin",
        "--no-tls",
        "--no-dtls",
        "--no-tcp",
    ]);
    command.args(["-p", &port.to_string()]);
    command
}

/// What one load showed.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Microseconds of the server's processor time per packet that arrived.
    cost: f64,
    /// Thousands of packets per second that arrived.
    rate: f64,
}

pub fn measure(options: &Options, figures: &mut Figures) -> Result<(), String> {
    let mut loads: Vec<(String, Vec<Load>)> = Vec::new();
    for _ in 0..ROUNDS {
        for kind in &KINDS {
            let Some(server) = Server::start(kind)? else {
                eprintln!(
                    "{} is not there: it is not measured (Debian's package coturn)",
                    kind.name
                );
                continue;
            };
            let session = Session::open(server.address)?;
            for to_peer in [true, false] {
                let direction = if to_peer { "to peer" } else { "to client" };
                let name = format!("turn {}, {direction}", kind.name);
                let load = session.load(to_peer, options.time() / 2, server.child.id())?;
                match loads.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, list)) => list.push(load),
                    None => loads.push((name, vec![load])),
                }
            }
        }
    }
    flood(figures)?;
    allocations(figures)?;
    for (name, mut list) in loads {
        list.sort_by(|one, other| one.cost.total_cmp(&other.cost));
        let Load { cost, rate } = list[list.len() / 2];
        let bar = if name.contains("dunlin") { "; bar 2.5" } else { "" };
        figures.add(&name, cost, "us/packet", format!("{rate:.0} kpkt/s arrived{bar}"));
    }
    Ok(())
}

/// A million datagrams of strangers against our server, while an established relay carries 2,000 packets per second: what
/// arrives of those, and how much larger the server's memory is afterwards.
fn flood(figures: &mut Figures) -> Result<(), String> {
    let Some(server) = Server::start(&KINDS[0])? else {
        return Err("dunlin is not there: `cargo build --release --package dunlin-cli` makes it".to_owned());
    };
    let session = Session::open(server.address)?;
    let (address, pid) = (server.address, server.child.id());
    // The first of them fill buffers that are there for good.
    strangers(address, FLOOD / 4)?;
    let before = resident(pid);
    let flood = std::thread::spawn(move || strangers(address, FLOOD));
    session
        .peer
        .set_read_timeout(Some(Duration::from_millis(100)))
        .map_err(|error| error.to_string())?;
    let (mut sent, mut arrived) = (0_u64, 0_u64);
    let mut buffer = [0; 2048];
    let start = Instant::now();
    while !flood.is_finished() {
        for _ in 0..2 {
            session
                .client
                .send(&session.framed)
                .map_err(|error| error.to_string())?;
            sent += 1;
        }
        arrived += u64::from(session.peer.recv(&mut buffer).is_ok());
        arrived += u64::from(session.peer.recv(&mut buffer).is_ok());
        let due = start + Duration::from_millis(sent / 2);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    flood.join().map_err(|_| "the flood broke off")??;
    let grown = resident(pid).saturating_sub(before);
    let share = arrived as f64 / sent as f64 * 100.0;
    let seconds = start.elapsed().as_secs_f64();
    let note = format!("of {sent} packets during a flood of {FLOOD} in {seconds:.1} s; bar 99");
    figures.add("turn flood, relayed", share, "%", note);
    figures.add("turn flood, memory", grown as f64, "KiB", "grown; bar 0");
    Ok(())
}

/// Many allocations with a channel each: the server's memory and processor time for one.
fn allocations(figures: &mut Figures) -> Result<(), String> {
    let Some(server) = Server::start(&KINDS[0])? else {
        return Err("dunlin is not there".to_owned());
    };
    let pid = server.child.id();
    // The first one brings what is there for all.
    let first = Session::open(server.address)?;
    let before = (resident(pid), used(pid), Instant::now());
    let mut held = vec![first];
    for _ in 0..ALLOCATIONS {
        held.push(Session::open(server.address)?);
    }
    let count = f64::from(ALLOCATIONS);
    let bytes = resident(pid).saturating_sub(before.0) as f64 * 1024.0 / count;
    let cost = (used(pid) - before.1).as_secs_f64() * 1e6 / count;
    let rate = count / before.2.elapsed().as_secs_f64();
    figures.add(
        "turn allocation, memory",
        bytes,
        "B",
        format!("each of {ALLOCATIONS}; bar 6,000"),
    );
    let note = format!("with its channel, {rate:.0}/s one after the other; bar 200");
    figures.add("turn allocation, setup", cost, "us", note);
    Ok(())
}

/// Allocations that are open at once; each takes three sockets, one of them in the server.
const ALLOCATIONS: u32 = 300;

/// Datagrams of a flood.
const FLOOD: u32 = 1_000_000;

/// Sends what strangers may send: requests without credentials, ChannelData, DTLS hellos, nonsense.
fn strangers(server: SocketAddr, count: u32) -> Result<(), String> {
    let socket = socket()?;
    socket.connect(server).map_err(|error| error.to_string())?;
    let mut allocate = [0; 28];
    allocate[..8].copy_from_slice(&[0, 3, 0, 8, 0x21, 0x12, 0xA4, 0x42]);
    allocate[20..25].copy_from_slice(&[0, 0x19, 0, 4, 17]);
    let mut binding = allocate;
    binding[..4].copy_from_slice(&[0, 1, 0, 0]);
    for number in 0..count {
        allocate[8..12].copy_from_slice(&number.to_be_bytes());
        let datagram: &[u8] = match number % 4 {
            0 => &allocate,
            1 => &binding[..20],
            2 => &[0x40, 0, 0, 4, 1, 2, 3, 4],
            _ => &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0],
        };
        // What does not fit is lost, as in any flood.
        let _ = socket.send(datagram);
    }
    Ok(())
}

/// The memory of a process that is in RAM, in KiB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// A running server; it ends with this.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// `None` when the program is not installed.
    fn start(kind: &Kind) -> Result<Option<Self>, String> {
        let free = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.map_err(|error| error.to_string())?;
        let mut command = (kind.start)(address.port());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => Ok(Some(Self { child, address })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("{}: {error}", kind.name)),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One allocation, with a channel to a peer.
struct Session {
    client: UdpSocket,
    peer: UdpSocket,
    relayed: SocketAddr,
    /// A datagram for the peer in its framing.
    framed: Vec<u8>,
}

impl Session {
    fn open(server: SocketAddr) -> Result<Self, String> {
        let wrong = |error: std::io::Error| error.to_string();
        let (client, peer) = (socket()?, socket()?);
        client.connect(server).map_err(wrong)?;
        let path = Path::udp(client.local_addr().map_err(wrong)?, server);
        let credentials = Credentials {
            username: "user1".into(),
            password: "test".into(),
        };
        let start = Instant::now();
        let mut turn = Client::new(
            Config::new(path, credentials),
            dunlin_crypto::random::seed(),
            start,
        );
        let address = peer.local_addr().map_err(wrong)?;
        turn.bind(start, address).map_err(|error| error.to_string())?;
        client
            .set_read_timeout(Some(Duration::from_millis(50)))
            .map_err(wrong)?;
        let (mut relayed, mut out) = (None, Vec::new());
        let mut buffer = [0; 2048];
        loop {
            let now = Instant::now();
            if now > start + PATIENCE {
                return Err("the TURN server does not answer".to_owned());
            }
            turn.handle_timeout(now);
            while turn.poll_transmit(now, &mut out).is_some() {
                // The server may not have opened its port yet: then it is sent again.
                let _ = client.send(&out);
                out.clear();
            }
            if let Ok(len) = client.recv(&mut buffer) {
                let _ = turn.handle_datagram(Instant::now(), path, BytesMut::from(&buffer[..len]));
            }
            while let Some(event) = turn.poll_event() {
                match event {
                    Event::Allocated(allocated) => relayed = Some(allocated.relayed),
                    Event::ChannelBound(_) => {
                        let sent = turn.send(&mut out, address, |out| {
                            out.extend_from_slice(&[7; SIZE]);
                            true
                        });
                        let relayed = relayed.filter(|_| sent.is_some());
                        return Ok(Self {
                            client,
                            peer,
                            relayed: relayed.ok_or("a channel without an allocation")?,
                            framed: out,
                        });
                    }
                    Event::Closed(failure) => return Err(failure.to_string()),
                    _ => {}
                }
            }
        }
    }

    /// As many packets as go, in one direction.
    fn load(&self, to_peer: bool, time: Duration, pid: u32) -> Result<Load, String> {
        let (from, to) = if to_peer {
            (&self.client, &self.peer)
        } else {
            (&self.peer, &self.client)
        };
        let clone = |socket: &UdpSocket| socket.try_clone().map_err(|error| error.to_string());
        let (from, to) = (clone(from)?, clone(to)?);
        to.set_read_timeout(Some(Duration::from_millis(50)))
            .map_err(|error| error.to_string())?;
        let (stop, arrived) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let sender = {
            let (stop, framed, relayed) = (stop.clone(), self.framed.clone(), self.relayed);
            std::thread::spawn(move || {
                while !stop.load(Relaxed) {
                    // A full queue drops, here as in the server.
                    let _ = if to_peer {
                        from.send(&framed)
                    } else {
                        from.send_to(&framed[4..], relayed)
                    };
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
        std::thread::sleep(Duration::from_millis(300));
        let before = (Instant::now(), used(pid), arrived.load(Relaxed));
        std::thread::sleep(time);
        let after = (Instant::now(), used(pid), arrived.load(Relaxed));
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
}

/// A socket with room for bursts, and without GRO: most clients and peers have none.
fn socket() -> Result<UdpSocket, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let options = socket2::SockRef::from(&socket);
    // As much as the system gives.
    let _ = options.set_recv_buffer_size(4 << 20);
    let _ = options.set_send_buffer_size(4 << 20);
    Ok(socket)
}

/// Processor time of all threads of a process so far.
fn used(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let nanoseconds = threads.into_iter().flatten().flatten().map(|thread| {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let first = text.split(' ').next().and_then(|text| text.parse::<u64>().ok());
        first.unwrap_or_default()
    });
    Duration::from_nanos(nanoseconds.sum())
}
