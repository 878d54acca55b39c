//! TCP connections between peers (RFC 6544): those that ICE asks for, and those that come to a listening socket. One task
//! each, which carries messages in the frames of RFC 4571.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use std::{io, net};

use bytes::Bytes;
use dunlin_net::{Path, Transport};
use dunlin_peerconnection::{OpenPath, ServerError, TcpFrames};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use crate::relay_path::{News, OUTBOX, READ, SEND_BUFFER, opened, write};
use crate::routes::Key;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long whoever connects may take to say who is meant: two round trips of a bad network.
const FIRST_FRAME_WITHIN: Duration = Duration::from_secs(5);
/// Connections to one listening socket at once. More wait in the system's queue until others end.
const MAX_ACCEPTED: usize = 1024;
/// A pause, so that an error that stays makes no busy loop.
const AFTER_AN_ERROR: Duration = Duration::from_millis(50);
/// The system's queue of connections that nobody has taken yet.
const BACKLOG: i32 = 128;

/// A socket that listens at `address`, for IPv6 or IPv4 only.
pub(crate) fn listen(address: SocketAddr) -> io::Result<net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Takes connections until the driver is gone.
pub(crate) async fn accept(listener: TcpListener, news: mpsc::Sender<News>) {
    let room = Arc::new(Semaphore::new(MAX_ACCEPTED));
    loop {
        let next = async {
            let permit = room.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        };
        let (accepted, permit) = tokio::select! {
            next = next => match next {
                Some(next) => next,
                None => return,
            },
            () = news.closed() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                let news = news.clone();
                drop(tokio::spawn(async move {
                    if let Err(error) = greet(stream, remote, &news).await {
                        log::debug!("the TCP connection from {remote}: {error}");
                    }
                    drop(permit);
                }));
            }
            // One that was gone before it was taken; or no more file descriptors, which takes others to give some back.
            Err(error) => {
                log::debug!("accepting a TCP connection: {error}");
                tokio::time::sleep(AFTER_AN_ERROR).await;
            }
        }
    }
}

/// The first frame says who is meant. Nothing is kept for a connection before.
async fn greet(mut stream: TcpStream, remote: SocketAddr, news: &mpsc::Sender<News>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let path = Path {
        local: stream.local_addr()?,
        remote,
        transport: Transport::Tcp,
    };
    let mut frames = TcpFrames::default();
    let first = async {
        loop {
            if let Some(data) = frames.take() {
                return Ok::<_, io::Error>(data);
            }
            frames.buffer().reserve(2048);
            if stream.read_buf(frames.buffer()).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    let data = tokio::time::timeout(FIRST_FRAME_WITHIN, first)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    let (outbox, messages) = mpsc::channel(OUTBOX);
    let accepted = News::Accepted { path, data, outbox };
    if news.send(accepted).await.is_err() {
        return Ok(());
    }
    carry(stream, frames, None, path, messages, news).await;
    Ok(())
}

/// Opens the connection that ICE has asked for, from the address `from`.
pub(crate) async fn connect(key: Key, open: OpenPath, from: IpAddr, news: mpsc::Sender<News>) {
    let id = open.id;
    let connected = tokio::time::timeout(CONNECT_WITHIN, dial(open.server, from)).await;
    let connected = match connected {
        Ok(connected) => connected.map_err(|error| ServerError::Connect(error.to_string())),
        Err(_) => Err(ServerError::Timeout(CONNECT_WITHIN)),
    };
    let (stream, local) = match connected {
        Ok(connected) => connected,
        Err(error) => return drop(news.send(News::Failed { key, id, error }).await),
    };
    let path = Path {
        local,
        remote: open.server,
        transport: Transport::Tcp,
    };
    if let Some(messages) = opened(key, id, path, OUTBOX, &news).await {
        carry(stream, TcpFrames::default(), Some(key), path, messages, &news).await;
    }
}

async fn dial(to: SocketAddr, from: IpAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_send_buffer_size(SEND_BUFFER)?;
    // RFC 6544, section 7.1: "from the interface associated with that local candidate", and "from an unallocated port".
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    Ok((stream, local))
}

/// Carries messages until either side ends the connection. `key` is `None` when the driver knows whose it is.
async fn carry(
    stream: TcpStream,
    mut frames: TcpFrames,
    key: Option<Key>,
    path: Path,
    messages: mpsc::Receiver<Bytes>,
    news: &mpsc::Sender<News>,
) {
    let (mut reader, writer) = stream.into_split();
    let read = async {
        loop {
            while let Some(data) = frames.take() {
                if news.send(News::Message { key, path, data }).await.is_err() {
                    return Ok(());
                }
            }
            frames.buffer().reserve(READ);
            if reader.read_buf(frames.buffer()).await? == 0 {
                return Err(io::Error::other("the peer has closed the connection"));
            }
        }
    };
    let ended = tokio::select! {
        ended = read => ended,
        ended = write(writer, messages) => ended,
    };
    if let Err(error) = ended {
        let error = ServerError::Lost(error.to_string());
        drop(news.send(News::Lost { key, path, error }).await);
    }
}
