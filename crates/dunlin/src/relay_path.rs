//! Connections to STUN and TURN servers over TCP and TLS: one task each, which opens it and carries messages. Those over
//! DTLS are in `relay_dtls`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dunlin_net::{Path, Transport};
use dunlin_peerconnection::{OpenPath, RelayId, ServerError, StreamFrames};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::routes::Key;
use crate::tls::{self, Tls};

/// How long the connection may take, the handshake of TLS included.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The kernel's send buffer, in bytes: what waits in it is late for real-time media.
pub(crate) const SEND_BUFFER: u32 = 256 * 1024;
/// How many trains may wait for the connection; more are dropped, as a full link drops datagrams.
pub(crate) const OUTBOX: usize = 64;
/// How many messages may wait for the driver; then the connection is not read.
pub(crate) const INBOX: usize = 256;
/// Room for one read.
pub(crate) const READ: usize = 64 * 1024;

/// What a connection tells the driver.
#[derive(Debug)]
pub(crate) enum News {
    Opened {
        key: Key,
        id: RelayId,
        path: Path,
        outbox: mpsc::Sender<Bytes>,
    },
    Failed {
        key: Key,
        id: RelayId,
        error: ServerError,
    },
    /// A peer has connected, and this is the first that it says.
    Accepted {
        path: Path,
        data: BytesMut,
        outbox: mpsc::Sender<Bytes>,
    },
    /// Without a key, of a connection that was accepted.
    Message {
        key: Option<Key>,
        path: Path,
        data: BytesMut,
    },
    Lost {
        key: Option<Key>,
        path: Path,
        error: ServerError,
    },
}

/// The local address from which the system reaches `server`.
pub(crate) fn local_ip(server: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Nothing is sent: the system only looks into its table of routes.
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}

/// Opens the connection and carries messages until either side ends it. `tls` is there when the transport is TLS.
pub(crate) async fn run(key: Key, open: OpenPath, tls: Option<Tls>, news: mpsc::Sender<News>) {
    let id = open.id;
    let timeout = || ServerError::Timeout(CONNECT_WITHIN);
    let connected = tokio::time::timeout(CONNECT_WITHIN, connect(&open, tls)).await;
    let (stream, local) = match connected.unwrap_or_else(|_| Err(timeout())) {
        Ok(connected) => connected,
        Err(error) => return drop(news.send(News::Failed { key, id, error }).await),
    };
    let path = Path {
        local,
        remote: open.server,
        transport: open.transport,
    };
    let Some(messages) = opened(key, id, path, OUTBOX, &news).await else {
        return;
    };
    let ended = match stream {
        Stream::Tcp(stream) => carry(stream, key, path, messages, &news).await,
        Stream::Tls(stream) => carry(*stream, key, path, messages, &news).await,
    };
    if let Err(error) = ended {
        let error = ServerError::Lost(error.to_string());
        let key = Some(key);
        drop(news.send(News::Lost { key, path, error }).await);
    }
}

/// Tells the driver of a way that is open, on which `room` messages may wait; answers what is to be sent, or nothing when
/// the driver is gone.
pub(crate) async fn opened(
    key: Key,
    id: RelayId,
    path: Path,
    room: usize,
    news: &mpsc::Sender<News>,
) -> Option<mpsc::Receiver<Bytes>> {
    let (outbox, messages) = mpsc::channel(room);
    let opened = News::Opened {
        key,
        id,
        path,
        outbox,
    };
    news.send(opened).await.ok()?;
    log::debug!("{path}: connected");
    Some(messages)
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

async fn connect(open: &OpenPath, tls: Option<Tls>) -> Result<(Stream, SocketAddr), ServerError> {
    let refused = |error: io::Error| ServerError::Connect(error.to_string());
    let socket = match open.server {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .map_err(refused)?;
    socket.set_send_buffer_size(SEND_BUFFER).map_err(refused)?;
    let stream = socket.connect(open.server).await.map_err(refused)?;
    stream.set_nodelay(true).map_err(refused)?;
    let local = stream.local_addr().map_err(refused)?;
    if open.transport == Transport::Tcp {
        return Ok((Stream::Tcp(stream), local));
    }
    let (Some(tls), Transport::Tls) = (tls, open.transport) else {
        return Err(ServerError::Transport(open.transport));
    };
    let name = tls::server_name(open.name.as_ref(), open.server.ip()).map_err(ServerError::Tls)?;
    match tls.connector.connect(name.clone(), stream).await {
        Ok(stream) => Ok((Stream::Tls(Box::new(stream)), local)),
        Err(error) => Err(ServerError::Tls(tls::explain(&error, &name))),
    }
}

/// `Ok` when the driver wants no more, `Err` when the connection has ended.
async fn carry(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    key: Key,
    path: Path,
    messages: mpsc::Receiver<Bytes>,
    news: &mpsc::Sender<News>,
) -> io::Result<()> {
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        ended = read(reader, key, path, news) => ended,
        ended = write(writer, messages) => ended,
    }
}

async fn read(
    mut reader: impl AsyncRead + Unpin,
    key: Key,
    path: Path,
    news: &mpsc::Sender<News>,
) -> io::Result<()> {
    let mut frames = StreamFrames::default();
    let key = Some(key);
    loop {
        while let Some(data) = frames.take() {
            if news.send(News::Message { key, path, data }).await.is_err() {
                return Ok(());
            }
        }
        if frames.is_out_of_step() {
            return Err(io::Error::other("what it sends is neither STUN nor ChannelData"));
        }
        frames.buffer().reserve(READ);
        if reader.read_buf(frames.buffer()).await? == 0 {
            return Err(io::Error::other("it has closed the connection"));
        }
    }
}

/// What was queued before the driver let go of the outbox still leaves.
pub(crate) async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut messages: mpsc::Receiver<Bytes>,
) -> io::Result<()> {
    while let Some(bytes) = messages.recv().await {
        writer.write_all(&bytes).await?;
        if messages.is_empty() {
            writer.flush().await?;
        }
    }
    writer.shutdown().await
}
