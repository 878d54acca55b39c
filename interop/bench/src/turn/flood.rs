//! A million datagrams of strangers against our server, while an established relay carries 2,000 packets per second: what
//! arrives of those, and how much larger the server's memory is afterwards.

use super::server::Server;
use super::session::{LOCAL, Session, peer, socket};
use crate::figures::Figures;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Datagrams of a flood.
const FLOOD: u32 = 1_000_000;
/// The time between two packets of the relay.
const PACE: Duration = Duration::from_micros(500);

pub fn measure(figures: &mut Figures) -> Result<(), String> {
    let server = Server::ours()?;
    let (peer, address) = peer()?;
    let session = Session::open(server.address, LOCAL, address)?;
    // The first of them fill buffers that are there for good, to the depth that the load brings.
    let server_address = server.address;
    strangers(server_address, FLOOD / 2)?;
    let before = server.resident();
    let flood = std::thread::spawn(move || strangers(server_address, FLOOD));
    let start = Instant::now();
    let (mut sent, mut arrived) = (0_u32, 0_u32);
    let mut buffer = [0; 2048];
    while !flood.is_finished() {
        let sending = session.client.send(&session.framed);
        sending.map_err(|error| error.to_string())?;
        sent += 1;
        // Until the next is due.
        loop {
            let left = (start + PACE * sent).saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            peer.set_read_timeout(Some(left))
                .map_err(|error| error.to_string())?;
            arrived += u32::from(peer.recv(&mut buffer).is_ok());
        }
    }
    flood.join().map_err(|_| "the flood broke off")??;
    peer.set_read_timeout(Some(Duration::from_millis(200)))
        .map_err(|error| error.to_string())?;
    while peer.recv(&mut buffer).is_ok() {
        arrived += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    let grown = server.resident().saturating_sub(before);
    let share = f64::from(arrived) / f64::from(sent) * 100.0;
    let note = format!("of {sent} packets during a flood of {FLOOD} in {seconds:.1} s; bar 99");
    figures.add("turn flood, relayed", share, "%", note);
    figures.add("turn flood, memory", grown as f64, "KiB", "grown; bar 0");
    Ok(())
}

/// Sends what strangers may send: requests without credentials, ChannelData, DTLS hellos, nonsense.
fn strangers(server: SocketAddr, count: u32) -> Result<(), String> {
    let socket = socket(LOCAL)?;
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
