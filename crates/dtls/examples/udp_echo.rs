//! An echo server on the open internet: any number of clients, each of which has to bring back a cookie first.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program has a clock"
)]

use std::collections::HashMap;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_crypto::random::seed;
use dunlin_dtls::{Certificate, ClientAddress, ClientAuth, Config, Connection, CookieSecret, Event};
use dunlin_dtls::{PeerIdentity, Role};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let socket = UdpSocket::bind("0.0.0.0:4433")?;
    let mut config = Config::new(
        Role::Server,
        Certificate::generate()?,
        PeerIdentity::AnyCertificate,
    );
    config.client_auth = ClientAuth::Optional;
    let secret = CookieSecret(seed());
    let mut clients: HashMap<SocketAddr, Connection> = HashMap::new();
    let (mut buffer, mut out) = ([0; 2048], Vec::new());
    loop {
        let due = clients.values().filter_map(Connection::poll_timeout).min();
        let wait = due.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        socket.set_read_timeout(Some(wait.clamp(Duration::from_millis(1), Duration::from_secs(1))))?;
        if let Ok((len, peer)) = socket.recv_from(&mut buffer) {
            let connection = clients.entry(peer).or_insert_with(|| {
                let (secret, address) = (secret.clone(), peer.to_string().into_bytes());
                let mut config = config.clone();
                config.client_address = ClientAddress::Cookie { secret, address };
                Connection::new(config, seed(), Instant::now())
            });
            connection.handle_datagram(Instant::now(), BytesMut::from(&buffer[..len]));
        }
        clients.retain(|peer, connection| {
            connection.handle_timeout(Instant::now());
            while let Some(event) = connection.poll_event() {
                let Event::Data(data) = event else { continue };
                if connection.seal(&mut out, |out| out.write_all(&data).is_ok()) {
                    let _ = socket.send_to(&out, peer);
                }
                out.clear();
            }
            while connection.poll_transmit(Instant::now(), &mut out) {
                let _ = socket.send_to(&out, peer);
                out.clear();
            }
            !connection.is_closed()
        });
    }
}
