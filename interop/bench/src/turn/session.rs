//! One allocation with a channel, as a client makes it.

use super::wire::enlarge;
use bytes::BytesMut;
use dunlin_net::Path;
use dunlin_turn::Credentials;
use dunlin_turn::client::{Client, Config, Event};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// The payload of a packet.
pub const SIZE: usize = 1200;
/// How long an answer may be waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// One allocation, with a channel to a peer.
pub struct Session {
    pub client: UdpSocket,
    pub relayed: SocketAddr,
    /// A datagram for the peer in its framing.
    pub framed: Vec<u8>,
}

impl Session {
    /// From this address, to a peer at that one.
    pub fn open(server: SocketAddr, from: IpAddr, peer: SocketAddr) -> Result<Self, String> {
        let wrong = |error: std::io::Error| error.to_string();
        let client = socket(from)?;
        client.connect(server).map_err(wrong)?;
        let path = Path::udp(client.local_addr().map_err(wrong)?, server);
        let credentials = Credentials {
            username: "user1".into(),
            password: "test".into(),
        };
        let start = Instant::now();
        let seed = dunlin_crypto::random::seed();
        let mut turn = Client::new(Config::new(path, credentials), seed, start);
        turn.bind(start, peer).map_err(|error| error.to_string())?;
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
                        let sent = turn.send(&mut out, peer, |out| {
                            out.extend_from_slice(&[7; SIZE]);
                            true
                        });
                        let relayed = relayed.filter(|_| sent.is_some());
                        return Ok(Self {
                            client,
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
}

/// The address that most come from.
pub const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A peer that all sessions of a load have.
pub fn peer() -> Result<(UdpSocket, SocketAddr), String> {
    let peer = socket(LOCAL)?;
    let address = peer.local_addr().map_err(|error| error.to_string())?;
    Ok((peer, address))
}

/// A socket with room for bursts.
pub fn socket(from: IpAddr) -> Result<UdpSocket, String> {
    let socket = UdpSocket::bind((from, 0)).map_err(|error| error.to_string())?;
    enlarge(&socket);
    Ok(socket)
}
