//! How the NAT before this host behaves (RFC 5780): which address others see, who may send to it, and how long it is kept.
//!
//! ```no_run
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let behaviour = dunlin::nat::discover("192.0.2.1:3478".parse()?, None).await?;
//! println!("{behaviour}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};
use dunlin_stun::discovery::lifetime::{self, Lifetime};
use dunlin_stun::discovery::{Config, Discovery, Event, Failure};
use tokio::net::UdpSocket;

pub use dunlin_stun::discovery::{Behaviour, Filtering, Mapping};

use crate::unreachable;

/// The longest answer that is taken.
const ROOM: usize = 2048;
/// How long a server may be silent before its host is asked whether anybody listens.
const SILENCE: Duration = Duration::from_millis(700);

/// Why nothing was discovered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// There is no address to send from, or sending fails.
    #[error("the STUN server {0} cannot be reached: {1}")]
    Socket(SocketAddr, #[source] io::Error),
    /// The address to ask from is not this host's.
    #[error("this host has no address {0}, so nothing can be asked from there")]
    NoSuchAddress(IpAddr),
    /// The server's host says that nobody listens there (ICMP).
    #[error("nobody listens at the UDP port {port} of {ip}: is the server's port another one?", port = .0.port(), ip = .0.ip())]
    NobodyListens(SocketAddr),
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
    tokio::select! {
        biased;
        found = ask_for_behaviour(server, from) => found,
        error = nobody_listens(server) => Err(error),
    }
}

async fn ask_for_behaviour(server: SocketAddr, from: Option<IpAddr>) -> Result<Behaviour, DiscoverError> {
    let mut sockets = Sockets::bind(server, from).await?;
    let mut config = Config::new(sockets.path());
    config.second = Some(sockets.local[1]);
    let mut discovery = Discovery::new(config, dunlin_crypto::random::seed(), Instant::now());
    loop {
        match discovery.poll_event() {
            Some(Event::Discovered(behaviour)) => return Ok(behaviour),
            Some(Event::Failed(failure)) => return Err(DiscoverError::Failed(failure)),
            _ => {}
        }
        while let Some(transmit) = discovery.poll_transmit(Instant::now(), &mut sockets.out) {
            sockets.send(transmit).await?;
        }
        match sockets.receive_until(discovery.poll_timeout()).await {
            Some((path, data)) => discovery.handle_datagram(Instant::now(), path, data),
            None => discovery.handle_timeout(Instant::now()),
        }
    }
}

/// How long the NAT keeps a binding that nobody uses. `Display` says it for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BindingLifetime {
    /// It was there after this; zero: it was gone after the shortest time that was tried.
    pub at_least: Duration,
    /// It was gone after this; `None`: it outlived all that was tried.
    pub less_than: Option<Duration>,
}

impl fmt::Display for BindingLifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_least = self.at_least.as_secs();
        match self.less_than.map(|time| time.as_secs_f64().ceil()) {
            Some(less_than) => write!(
                f,
                "a binding that nobody uses is kept for more than {at_least} and less than {less_than} s"
            ),
            None => write!(f, "a binding that nobody uses is kept for more than {at_least} s"),
        }
    }
}

/// Measures how long the NAT keeps a binding that nobody uses (RFC 5780, section 4.6), with a server that answers to another
/// port where it is asked to. What outlives `longest` is not tried any longer. It takes some times as long as what it finds, four
/// times `longest` at most. Cancel-safe.
///
/// # Errors
/// A sentence for the user.
pub async fn binding_lifetime(
    server: SocketAddr,
    from: Option<IpAddr>,
    longest: Duration,
) -> Result<BindingLifetime, DiscoverError> {
    tokio::select! {
        biased;
        measured = ask_for_lifetime(server, from, longest) => measured,
        error = nobody_listens(server) => Err(error),
    }
}

async fn ask_for_lifetime(
    server: SocketAddr,
    from: Option<IpAddr>,
    longest: Duration,
) -> Result<BindingLifetime, DiscoverError> {
    let mut sockets = Sockets::bind(server, from).await?;
    let mut config = lifetime::Config::new(sockets.path(), sockets.local[1]);
    config.longest = longest;
    let mut lifetime = Lifetime::new(config, dunlin_crypto::random::seed(), Instant::now());
    loop {
        match lifetime.poll_event() {
            Some(lifetime::Event::Measured { at_least, less_than }) => {
                return Ok(BindingLifetime { at_least, less_than });
            }
            Some(lifetime::Event::Failed(failure)) => return Err(DiscoverError::Failed(failure)),
            _ => {}
        }
        while let Some(transmit) = lifetime.poll_transmit(Instant::now(), &mut sockets.out) {
            sockets.send(transmit).await?;
        }
        match sockets.receive_until(lifetime.poll_timeout()).await {
            Some((path, data)) => lifetime.handle_datagram(Instant::now(), path, data),
            None => lifetime.handle_timeout(Instant::now()),
        }
    }
}

/// Ends only if the server's host says that nobody listens there.
async fn nobody_listens(server: SocketAddr) -> DiscoverError {
    tokio::time::sleep(SILENCE).await;
    match unreachable::is_refused(server).await {
        true => DiscoverError::NobodyListens(server),
        false => std::future::pending().await,
    }
}

/// Two fresh sockets of one address, and the server that they ask.
struct Sockets {
    server: SocketAddr,
    io: [UdpSocket; 2],
    local: [SocketAddr; 2],
    /// What is to be sent.
    out: Vec<u8>,
    buffers: [Box<[u8; ROOM]>; 2],
}

impl Sockets {
    async fn bind(server: SocketAddr, from: Option<IpAddr>) -> Result<Self, DiscoverError> {
        Self::try_bind(server, from)
            .await
            .map_err(|error| match (from, error.kind()) {
                (Some(from), io::ErrorKind::AddrNotAvailable) => DiscoverError::NoSuchAddress(from),
                _ => DiscoverError::Socket(server, error),
            })
    }

    async fn try_bind(server: SocketAddr, from: Option<IpAddr>) -> io::Result<Self> {
        let from = match from {
            Some(ip) => ip,
            None => towards(server).await?,
        };
        let io = [
            UdpSocket::bind((from, 0)).await?,
            UdpSocket::bind((from, 0)).await?,
        ];
        let local = [io[0].local_addr()?, io[1].local_addr()?];
        Ok(Self {
            server,
            io,
            local,
            out: Vec::new(),
            buffers: [Box::new([0; ROOM]), Box::new([0; ROOM])],
        })
    }

    /// From the first socket to the server.
    fn path(&self) -> Path {
        Path::udp(self.local[0], self.server)
    }

    /// Sends what `out` holds.
    async fn send(&mut self, transmit: Transmit) -> Result<(), DiscoverError> {
        let second = usize::from(transmit.path.local == self.local[1]);
        let sent = self.io[second].send_to(&self.out, transmit.path.remote).await;
        self.out.clear();
        sent.map(drop)
            .map_err(|error| DiscoverError::Socket(self.server, error))
    }

    /// The next datagram; `None`: it is time, or an ICMP error of an earlier datagram came, which is no answer.
    async fn receive_until(&mut self, due: Option<Instant>) -> Option<(Path, BytesMut)> {
        let due = due.unwrap_or_else(Instant::now);
        let [first, second] = &mut self.buffers;
        let (which, received) = tokio::select! {
            () = tokio::time::sleep_until(due.into()) => return None,
            received = self.io[0].recv_from(&mut first[..]) => (0, received),
            received = self.io[1].recv_from(&mut second[..]) => (1, received),
        };
        let (len, remote) = received.ok()?;
        let data = BytesMut::from(&self.buffers[which][..len]);
        Some((Path::udp(self.local[which], remote), data))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_nobody_has_is_said_to_be_one() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = silent.local_addr().unwrap();
        drop(silent);
        let error = discover(server, None).await.unwrap_err();
        assert!(
            matches!(error, DiscoverError::NobodyListens(told) if told == server),
            "{error}"
        );
        let longest = Duration::from_secs(600);
        let error = binding_lifetime(server, None, longest).await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with(&format!(
                "nobody listens at the UDP port {} of 127.0.0.1",
                server.port()
            )),
            "{said}"
        );
    }
}
