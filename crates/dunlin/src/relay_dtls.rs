//! Associations with STUN and TURN servers over DTLS (RFC 7350): one task each, with a socket of its own, which shakes
//! hands and carries messages. The certificate is verified as TLS has it.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use dunlin_dtls::{CloseReason, Config, Connection, Event, PeerIdentity, Role};
use dunlin_net::{Path, Transport};
use dunlin_peerconnection::{OpenPath, ServerError};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::relay_path::{CONNECT_WITHIN, News, local_ip, opened};
use crate::routes::Key;
use crate::tls::{self, Tls};

/// The socket's buffers, in bytes.
const SOCKET_BUFFER: usize = 1024 * 1024;
/// How many messages may wait for the association; more are dropped, as a full link drops datagrams.
const OUTBOX: usize = 256;
/// Room for one datagram.
const READ: usize = 65_536;
/// How many messages leave, or datagrams are taken, before it is the other direction's turn.
const TURN: usize = 64;

/// Opens the association and carries messages until either side ends it.
pub(crate) async fn run(key: Key, open: OpenPath, tls: Option<Tls>, news: mpsc::Sender<News>) {
    let id = open.id;
    let connected = match Association::new(&open, tls) {
        Ok(mut association) => match tokio::time::timeout(CONNECT_WITHIN, association.connect()).await {
            Ok(connected) => connected.map(|()| association),
            Err(_) => Err(ServerError::Timeout(CONNECT_WITHIN)),
        },
        Err(error) => Err(error),
    };
    let mut association = match connected {
        Ok(association) => association,
        Err(error) => return drop(news.send(News::Failed { key, id, error }).await),
    };
    let path = association.path;
    let Some(messages) = opened(key, id, path, OUTBOX, &news).await else {
        return;
    };
    if let Err(error) = association.carry(key, messages, &news).await {
        let error = ServerError::Lost(error);
        let key = Some(key);
        drop(news.send(News::Lost { key, path, error }).await);
    }
}

/// A socket and what is spoken on it.
struct Association {
    socket: UdpSocket,
    path: Path,
    connection: Connection,
    name: ServerName<'static>,
    tls: Tls,
    /// Why the certificate was not accepted.
    fault: Option<String>,
    out: Vec<u8>,
    buffer: BytesMut,
}

impl Association {
    fn new(open: &OpenPath, tls: Option<Tls>) -> Result<Self, ServerError> {
        let tls = tls.ok_or(ServerError::Transport(open.transport))?;
        let name = tls::server_name(open.name.as_ref(), open.server.ip()).map_err(ServerError::Dtls)?;
        let (socket, local) =
            socket_to(open.server).map_err(|error| ServerError::Connect(error.to_string()))?;
        let mut config = Config::new(Role::Client, None, PeerIdentity::Ask);
        config.server_name.clone_from(&open.name);
        Ok(Self {
            socket,
            path: Path {
                local,
                remote: open.server,
                transport: Transport::Dtls,
            },
            connection: Connection::new(config, dunlin_crypto::random::seed(), Instant::now()),
            name,
            tls,
            fault: None,
            out: Vec::new(),
            buffer: BytesMut::new(),
        })
    }

    /// Returns when the handshake is done.
    async fn connect(&mut self) -> Result<(), ServerError> {
        // RFC 8489, section 6.2.1: a "hard ICMP error" ends it. The next call on the socket tells it, whichever that is.
        let refused = |error: io::Error| ServerError::Connect(error.to_string());
        loop {
            while let Some(event) = self.connection.poll_event() {
                match event {
                    Event::PeerCertificate(chain) => self.judge(&chain),
                    Event::Closed(reason) => {
                        // The server is told why; nothing depends on it.
                        let _ = self.transmit().await;
                        return Err(self.failure(&reason));
                    }
                    _ => {}
                }
            }
            self.transmit().await.map_err(refused)?;
            if self.connection.is_connected() {
                return Ok(());
            }
            let due = self.due();
            tokio::select! {
                received = receive(&self.socket, &mut self.buffer) => {
                    self.connection.handle_datagram(Instant::now(), received.map_err(refused)?);
                }
                () = tokio::time::sleep_until(due) => self.connection.handle_timeout(Instant::now()),
            }
        }
    }

    fn judge(&mut self, chain: &[Bytes]) {
        let now = Instant::now();
        match self.tls.verify(chain, &self.name) {
            Ok(()) => self.connection.accept_peer(now),
            Err((alert, fault)) => {
                self.fault = Some(fault);
                self.connection.reject_peer(now, alert);
            }
        }
    }

    fn failure(&mut self, reason: &CloseReason) -> ServerError {
        match self.fault.take() {
            Some(fault) => ServerError::Dtls(fault),
            None => ServerError::Dtls(reason.to_string()),
        }
    }

    /// `Ok` when the driver wants no more, `Err` when the association has ended.
    async fn carry(
        &mut self,
        key: Key,
        mut messages: mpsc::Receiver<Bytes>,
        news: &mpsc::Sender<News>,
    ) -> Result<(), String> {
        let (key, path) = (Some(key), self.path);
        loop {
            while let Some(event) = self.connection.poll_event() {
                match event {
                    Event::Data(data) => {
                        let data = BytesMut::from(data);
                        if news.send(News::Message { key, path, data }).await.is_err() {
                            return Ok(());
                        }
                    }
                    Event::Closed(CloseReason::Peer) => return Err("it has ended the association".to_owned()),
                    Event::Closed(reason) => return Err(reason.to_string()),
                    _ => {}
                }
            }
            let sent = self.transmit().await;
            self.note(sent);
            let due = self.due();
            tokio::select! {
                received = receive(&self.socket, &mut self.buffer) => {
                    self.take(received);
                    for _ in 1..TURN {
                        match try_receive(&self.socket, &mut self.buffer) {
                            Some(received) => self.take(received),
                            None => break,
                        }
                    }
                }
                message = messages.recv() => {
                    let Some(message) = message else {
                        self.connection.close(Instant::now());
                        let _ = self.transmit().await;
                        return Ok(());
                    };
                    self.seal(&message).await;
                    for _ in 1..TURN {
                        match messages.try_recv() {
                            Ok(message) => self.seal(&message).await,
                            Err(_) => break,
                        }
                    }
                }
                () = tokio::time::sleep_until(due) => self.connection.handle_timeout(Instant::now()),
            }
        }
    }

    fn take(&mut self, received: io::Result<BytesMut>) {
        match received {
            Ok(datagram) => self.connection.handle_datagram(Instant::now(), datagram),
            Err(error) => self.note(Err(error)),
        }
    }

    /// An error in mid-call ends nothing: the consent checks of ICE and the refreshes of TURN notice when the server is
    /// gone, and what the system does not take is lost as on the way.
    fn note(&self, result: io::Result<()>) {
        if let Err(error) = result {
            log::debug!("{}: {error}", self.path);
        }
    }

    async fn seal(&mut self, message: &[u8]) {
        self.out.clear();
        let sealed = self.connection.seal(&mut self.out, |out| {
            out.extend_from_slice(message);
            true
        });
        if sealed {
            self.note(self.socket.send(&self.out).await.map(drop));
        }
    }

    /// Sends what the connection itself has to say.
    async fn transmit(&mut self) -> io::Result<()> {
        loop {
            self.out.clear();
            if !self.connection.poll_transmit(Instant::now(), &mut self.out) {
                return Ok(());
            }
            self.socket.send(&self.out).await?;
        }
    }

    fn due(&self) -> tokio::time::Instant {
        let at = self.connection.poll_timeout();
        at.unwrap_or_else(|| Instant::now() + CONNECT_WITHIN).into()
    }
}

/// A socket for this server alone, so that errors of its way are told.
fn socket_to(server: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = std::net::UdpSocket::bind((local_ip(server)?, 0))?;
    let options = socket2::SockRef::from(&socket);
    // As much as the system gives.
    let _ = options.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = options.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    let local = socket.local_addr()?;
    Ok((UdpSocket::from_std(socket)?, local))
}

/// The next datagram. Cancel-safe.
async fn receive(socket: &UdpSocket, buffer: &mut BytesMut) -> io::Result<BytesMut> {
    loop {
        socket.readable().await?;
        if let Some(received) = try_receive(socket, buffer) {
            return received;
        }
    }
}

/// A datagram, or an error of the way, if there is one now.
fn try_receive(socket: &UdpSocket, buffer: &mut BytesMut) -> Option<io::Result<BytesMut>> {
    buffer.clear();
    buffer.reserve(READ);
    match socket.try_recv_buf(buffer) {
        Ok(_) => Some(Ok(buffer.split())),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) => Some(Err(error)),
    }
}
