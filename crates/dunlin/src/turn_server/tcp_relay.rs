//! TCP relays (RFC 6062): they listen, connect to peers, and keep a peer's connection until the client has one of its own
//! for it. From then on the bytes of the two are each other's; the protocol core sees them no more.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::Path;
use dunlin_turn::attribute::ConnectionId;
use dunlin_turn::server::{AddressFamily, PortPolicy, RelayId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, spawn_local};

use super::worker::{Buffers, Handle, Worker};

/// Peers that wait to be accepted.
const BACKLOG: i32 = 16;
/// Ports that are tried: one that is free for UDP is mostly free for TCP too.
const TRIES: usize = 8;
/// Bytes that are read at once.
const CHUNK: usize = 16 << 10;
/// The pause of one who is too fast.
const PAUSE: Duration = Duration::from_millis(20);
/// RFC 6062, section 5.2: a connection attempt is given up after "at least 30 seconds".
const PATIENCE: Duration = Duration::from_secs(30);

/// One relay.
#[derive(Debug)]
pub(super) struct TcpRelay {
    local: SocketAddr,
    task: JoinHandle<()>,
    /// No other relay gets the same address, whatever it relays.
    _port: UdpSocket,
}

impl Drop for TcpRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection between a relay and a peer.
#[derive(Debug)]
pub(super) enum Peer {
    /// The task connects; it ends with this.
    Connecting(JoinHandle<()>),
    /// What the peer sends waits in the system's buffer, and the peer, when that is full.
    Waiting(TcpStream),
    /// A client's connection has taken it over, and is told to end by this.
    Bound(Rc<Notify>),
}

/// What a client's connection takes over.
#[derive(Debug)]
pub(super) struct Bound {
    peer: TcpStream,
    connection: ConnectionId,
    end: Rc<Notify>,
}

impl Worker {
    /// Opens a relay; answers the address that peers see.
    pub(super) fn open_tcp_relay(
        &mut self,
        relay: RelayId,
        family: AddressFamily,
        this: &Handle,
        buffers: &Buffers,
    ) -> io::Result<SocketAddr> {
        for _ in 0..TRIES {
            let opened = self.ports.open(family == AddressFamily::Ipv6, PortPolicy::Any)?;
            let local = opened.socket.local_addr()?;
            let listener = match listen(local) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => continue,
                listener => listener?,
            };
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let task = spawn_local(accept(listener, relay, this.clone(), buffers.clone()));
            let open = TcpRelay {
                local,
                task,
                _port: opened.socket,
            };
            self.tcp_relays.insert(relay.index(), open);
            self.counters.relays += 1;
            return Ok(opened.address);
        }
        Err(io::ErrorKind::AddrInUse.into())
    }

    /// Connects to a peer from the address of a relay.
    pub(super) fn connect_peer(
        &mut self,
        now: Instant,
        relay: RelayId,
        connection: ConnectionId,
        peer: SocketAddr,
        (this, buffers): (&Handle, &Buffers),
    ) {
        let Some(local) = self.tcp_relays.get(&relay.index()).map(|relay| relay.local) else {
            return self.server.peer_failed(now, connection);
        };
        let (this, buffers) = (this.clone(), buffers.clone());
        let task = spawn_local(async move {
            let connected = tokio::time::timeout(PATIENCE, connect(local, peer)).await;
            let (mut state, now) = (this.borrow_mut(), Instant::now());
            if let Ok(Ok(stream)) = connected {
                state.peers.insert(connection, Peer::Waiting(stream));
                state.server.peer_connected(now, connection);
            } else {
                log::debug!("turn: {local} to {peer}: no connection: {connected:?}");
                state.peers.remove(&connection);
                state.server.peer_failed(now, connection);
            }
            state.pump(now, &this, &buffers);
        });
        self.peers.insert(connection, Peer::Connecting(task));
    }

    /// Gives a peer's connection to that of its client.
    pub(super) fn bind_connection(&mut self, now: Instant, connection: ConnectionId, client: Path) {
        match (self.peers.remove(&connection), self.streams.get(&client)) {
            (Some(Peer::Waiting(peer)), Some(stream)) => {
                let end = Rc::new(Notify::new());
                self.peers.insert(connection, Peer::Bound(end.clone()));
                stream.bound.set(Some(Bound {
                    peer,
                    connection,
                    end,
                }));
            }
            // One of the two is gone.
            _ => self.server.connection_closed(now, connection),
        }
    }

    /// Closes both ends.
    pub(super) fn close_connection(&mut self, connection: ConnectionId) {
        match self.peers.remove(&connection) {
            Some(Peer::Connecting(task)) => task.abort(),
            Some(Peer::Bound(end)) => end.notify_one(),
            Some(Peer::Waiting(_)) | None => {}
        }
    }
}

/// Accepts peers until the task is ended.
async fn accept(listener: tokio::net::TcpListener, relay: RelayId, worker: Handle, buffers: Buffers) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: asking at once would spin.
                log::warn!("turn: a peer could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (mut state, now) = (worker.borrow_mut(), Instant::now());
        if let Some(connection) = state.server.peer_accepted(now, relay, peer) {
            state.peers.insert(connection, Peer::Waiting(stream));
        }
        state.pump(now, &worker, &buffers);
    }
}

/// Carries bytes both ways until one side has ended and the other has got all of it, or the server ends it. `rest` is what
/// the client has sent already.
pub(super) async fn splice(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    rest: BytesMut,
    bound: Bound,
    worker: &Handle,
    buffers: &Buffers,
) {
    let Bound {
        mut peer,
        connection,
        end,
    } = bound;
    let _ = peer.set_nodelay(true);
    let carry = async {
        let (mut from_client, mut to_client) = tokio::io::split(&mut client);
        let (mut from_peer, mut to_peer) = peer.split();
        let up = async {
            forward(&rest, &mut to_peer, (connection, true), worker).await?;
            copy(&mut from_client, &mut to_peer, (connection, true), worker).await
        };
        tokio::try_join!(
            up,
            copy(&mut from_peer, &mut to_client, (connection, false), worker)
        )
    };
    tokio::select! {
        result = carry => log::debug!("turn: a connection to a peer ended: {result:?}"),
        () = end.notified() => {}
    }
    let (mut state, now) = (worker.borrow_mut(), Instant::now());
    state.peers.remove(&connection);
    state.server.connection_closed(now, connection);
    state.pump(now, worker, buffers);
}

/// Carries bytes in one direction until their source ends, and tells the other side of the end.
async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    way: (ConnectionId, bool),
    worker: &Handle,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer).await? {
            0 => return to.shutdown().await,
            len => forward(&buffer[..len], to, way, worker).await?,
        }
    }
}

/// Writes bytes for the peer (`true`) or for the client, as fast as their allocation may be.
async fn forward(
    mut bytes: &[u8],
    to: &mut (impl AsyncWrite + Unpin),
    (connection, to_peer): (ConnectionId, bool),
    worker: &Handle,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let carried = {
            let server = &mut worker.borrow_mut().server;
            server.carry(Instant::now(), connection, to_peer, bytes.len())
        };
        match carried.ok_or(io::ErrorKind::NotConnected)? {
            0 => tokio::time::sleep(PAUSE).await,
            len => {
                let (now, later) = bytes.split_at(len);
                to.write_all(now).await?;
                bytes = later;
            }
        }
    }
    to.flush().await
}

/// Listens at the address of a relay, where outgoing connections leave from too: "the server MUST use the same transport
/// address" (RFC 6062, section 5.2).
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let open = |shared: bool| {
        let domain = socket2::Domain::for_address(address);
        let kind = socket2::Type::STREAM.nonblocking();
        let socket = socket2::Socket::new(domain, kind, Some(socket2::Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if shared {
            socket.set_reuse_address(true)?;
        }
        super::socket::share(&socket, shared)?;
        socket.bind(&address.into())?;
        Ok::<_, io::Error>(socket)
    };
    // Sharing would let us bind what another listener of ours has.
    drop(open(false)?);
    let socket = open(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

async fn connect(local: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = if local.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    #[cfg(unix)]
    socket.set_reuseport(true)?;
    socket.bind(local)?;
    socket.connect(peer).await
}
