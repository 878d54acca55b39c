//! How the NAT before this host behaves (RFC 5780): which address others see, and who may send to it.
//!
//! ```no_run
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let behaviour = dunlin::nat::discover("192.0.2.1:3478".parse()?, None).await?;
//! println!("{behaviour}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::Path;
use dunlin_stun::discovery::{Config, Discovery, Event, Failure};
use tokio::net::UdpSocket;

pub use dunlin_stun::discovery::{Behaviour, Filtering, Mapping};

/// The longest answer that is taken.
const ROOM: usize = 2048;

/// Why nothing was discovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// There is no address to send from, or sending fails.
    #[error("the STUN server {0} cannot be reached: {1}")]
    Socket(SocketAddr, #[source] io::Error),
    /// The server did not help.
    #[error("{0}")]
    Failed(Failure),
}

/// Asks a STUN server, best one that has two addresses, from a fresh port of `from` or of the address that leads there.
/// It takes up to half a minute where datagrams are filtered. Cancel-safe.
///
/// # Errors
/// A sentence for the user.
pub async fn discover(server: SocketAddr, from: Option<IpAddr>) -> Result<Behaviour, DiscoverError> {
    let wrong = |error| DiscoverError::Socket(server, error);
    let from = match from {
        Some(ip) => ip,
        None => towards(server).await.map_err(wrong)?,
    };
    let socket = UdpSocket::bind((from, 0)).await.map_err(wrong)?;
    let local = socket.local_addr().map_err(wrong)?;
    let config = Config::new(Path::udp(local, server));
    let mut discovery = Discovery::new(config, dunlin_crypto::random::seed(), Instant::now());
    let (mut out, mut buffer) = (Vec::new(), [0; ROOM]);
    loop {
        match discovery.poll_event() {
            Some(Event::Discovered(behaviour)) => return Ok(behaviour),
            Some(Event::Failed(failure)) => return Err(DiscoverError::Failed(failure)),
            _ => {}
        }
        while let Some(transmit) = discovery.poll_transmit(Instant::now(), &mut out) {
            let sent = socket.send_to(&out, transmit.path.remote).await;
            sent.map_err(wrong)?;
            out.clear();
        }
        let due = discovery.poll_timeout().unwrap_or_else(Instant::now);
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => discovery.handle_timeout(Instant::now()),
            received = socket.recv_from(&mut buffer) => {
                // An ICMP error of an earlier datagram is no answer: the test will run out of time.
                if let Ok((len, remote)) = received {
                    let data = BytesMut::from(&buffer[..len]);
                    discovery.handle_datagram(Instant::now(), Path::udp(local, remote), data);
                }
            }
        }
    }
}

/// The address of ours from which datagrams go to `server`.
async fn towards(server: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    Ok(socket.local_addr()?.ip())
}
