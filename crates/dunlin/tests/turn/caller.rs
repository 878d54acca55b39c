//! A client of the server: our sans-IO one, with a socket of each kind.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use dunlin_dtls::{Connection, PeerIdentity, Role};
use dunlin_net::{Path, Transport};
use dunlin_turn::attribute::ConnectionId;
use dunlin_turn::client::{Allocated, Client, Config, Event, Failure, Received};
use dunlin_turn::{Credentials, Frames};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

trait Both: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Both for T {}

enum Wire {
    Datagrams(UdpSocket),
    Stream(Box<dyn Both>, Frames),
    Dtls(UdpSocket, Box<Connection>),
}

/// A client that is driven by its own methods only.
pub(crate) struct Caller {
    pub(crate) client: Client,
    wire: Wire,
    received: VecDeque<(SocketAddr, BytesMut)>,
}

/// Nothing here takes longer; a test that waits for ever fails with the name of what it waited for.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

/// Who everybody is.
pub(crate) fn george(password: &str) -> Credentials {
    Credentials {
        username: "george".into(),
        password: password.into(),
    }
}

impl Caller {
    /// Connects; `certificate` is what the server has to show over TLS (PEM).
    pub(crate) async fn connect(
        transport: Transport,
        server: SocketAddr,
        certificate: &str,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let any = if server.is_ipv4() {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        };
        let (wire, local) = match transport {
            Transport::Tcp | Transport::Tls => {
                let tcp = TcpStream::connect(server).await.unwrap();
                let local = tcp.local_addr().unwrap();
                let stream: Box<dyn Both> = if transport == Transport::Tls {
                    Box::new(tls(tcp, certificate).await)
                } else {
                    Box::new(tcp)
                };
                (Wire::Stream(stream, Frames::default()), local)
            }
            _ => {
                let socket = UdpSocket::bind(any).await.unwrap();
                socket.connect(server).await.unwrap();
                let local = socket.local_addr().unwrap();
                let wire = match transport {
                    Transport::Dtls => {
                        let connection = soon("DTLS", dtls(&socket)).await;
                        Wire::Dtls(socket, Box::new(connection))
                    }
                    _ => Wire::Datagrams(socket),
                };
                (wire, local)
            }
        };
        let path = Path {
            local,
            remote: server,
            transport,
        };
        let mut config = Config::new(path, george("secret"));
        change(&mut config);
        let client = Client::new(config, dunlin_crypto::random::seed(), Instant::now());
        Self {
            client,
            wire,
            received: VecDeque::new(),
        }
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.client.poll_event() {
                return event;
            }
            self.step().await;
        }
    }

    pub(crate) async fn allocated(&mut self) -> Allocated {
        match soon("an allocation", self.event()).await {
            Event::Allocated(allocated) => allocated,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn failure(&mut self) -> Failure {
        match soon("the end", self.event()).await {
            Event::Closed(failure) => failure,
            other => panic!("{other:?}"),
        }
    }

    /// The next datagram of a peer.
    pub(crate) async fn data(&mut self) -> (SocketAddr, BytesMut) {
        let wait = async {
            while self.received.is_empty() {
                self.step().await;
            }
        };
        soon("data", wait).await;
        self.received.pop_front().unwrap()
    }

    /// Sends to a peer, by its channel or in an indication.
    pub(crate) async fn send(&mut self, peer: SocketAddr, data: &[u8]) {
        let mut out = Vec::new();
        let framed = self.client.send(&mut out, peer, |out| {
            out.extend_from_slice(data);
            true
        });
        assert!(framed.is_some(), "no permission for {peer}");
        self.write(&out).await;
    }

    /// A second connection to the server, bound to that of a peer (RFC 6062, section 4.3).
    pub(crate) async fn data_connection(
        &mut self,
        server: SocketAddr,
        connection: ConnectionId,
    ) -> TcpStream {
        let mut stream = TcpStream::connect(server).await.unwrap();
        let path = Path {
            local: stream.local_addr().unwrap(),
            remote: server,
            transport: Transport::Tcp,
        };
        let now = Instant::now();
        self.client.bind_connection(now, connection, path).unwrap();
        let mut out = Vec::new();
        let event = loop {
            while let Some(transmit) = self.client.poll_transmit(Instant::now(), &mut out) {
                assert_eq!(transmit.path, path);
                stream.write_all(&out).await.unwrap();
                out.clear();
            }
            // What follows the answer is the peer's, so no byte more than that is read. A first one may bring a nonce for
            // this connection.
            let mut answer = BytesMut::zeroed(20);
            soon("an answer", stream.read_exact(&mut answer)).await.unwrap();
            let length = usize::from(u16::from_be_bytes([answer[2], answer[3]]));
            answer.resize(20 + length, 0);
            soon("its attributes", stream.read_exact(&mut answer[20..]))
                .await
                .unwrap();
            let _ = self.client.handle_datagram(Instant::now(), path, answer);
            if let Some(event) = self.client.poll_event() {
                break event;
            }
        };
        assert_eq!(event, Event::ConnectionBound { connection, path });
        stream
    }

    async fn write(&mut self, message: &[u8]) {
        match &mut self.wire {
            Wire::Datagrams(socket) => drop(socket.send(message).await.unwrap()),
            Wire::Stream(stream, _) => stream.write_all(message).await.unwrap(),
            Wire::Dtls(socket, connection) => {
                let mut out = Vec::new();
                assert!(connection.seal(&mut out, |out| {
                    out.extend_from_slice(message);
                    true
                }));
                socket.send(&out).await.unwrap();
            }
        }
    }

    /// Sends what is due, then waits for something to come in or for a timer.
    async fn step(&mut self) {
        let mut out = Vec::new();
        while self.client.poll_transmit(Instant::now(), &mut out).is_some() {
            self.write(&out).await;
            out.clear();
        }
        let timeout = self.client.poll_timeout();
        let due = timeout.unwrap_or(Instant::now() + Duration::from_secs(3600));
        let path = self.client.path().reversed().reversed();
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => self.client.handle_timeout(Instant::now()),
            messages = self.wire.read() => {
                for message in messages {
                    match self.client.handle_datagram(Instant::now(), path, message) {
                        Received::Relayed { peer, data } => self.received.push_back((peer, data)),
                        Received::Consumed => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }
}

impl Wire {
    async fn read(&mut self) -> Vec<BytesMut> {
        match self {
            Wire::Datagrams(socket) => {
                let mut buffer = BytesMut::zeroed(65_536);
                let len = socket.recv(&mut buffer).await.unwrap();
                buffer.truncate(len);
                vec![buffer]
            }
            Wire::Stream(stream, frames) => {
                let read = stream.read_buf(frames.buffer()).await.unwrap();
                assert!(read > 0, "the server closed the connection");
                std::iter::from_fn(|| frames.take()).collect()
            }
            Wire::Dtls(socket, connection) => {
                let opened = exchange(socket, connection).await;
                opened.iter().map(|data| BytesMut::from(&data[..])).collect()
            }
        }
    }
}

/// One datagram in, what follows from it out.
async fn exchange(socket: &UdpSocket, connection: &mut Connection) -> Vec<Bytes> {
    let mut buffer = BytesMut::zeroed(65_536);
    let len = socket.recv(&mut buffer).await.unwrap();
    buffer.truncate(len);
    connection.handle_datagram(Instant::now(), buffer);
    let mut data = Vec::new();
    while let Some(event) = connection.poll_event() {
        match event {
            dunlin_dtls::Event::Data(bytes) => data.push(bytes),
            dunlin_dtls::Event::Closed(reason) => panic!("{reason}"),
            _ => {}
        }
    }
    flush(socket, connection).await;
    data
}

async fn flush(socket: &UdpSocket, connection: &mut Connection) {
    let mut out = Vec::new();
    while connection.poll_transmit(Instant::now(), &mut out) {
        socket.send(&out).await.unwrap();
        out.clear();
    }
}

async fn dtls(socket: &UdpSocket) -> Connection {
    let config = dunlin_dtls::Config::new(Role::Client, None, PeerIdentity::AnyCertificate);
    let mut connection = Connection::new(config, dunlin_crypto::random::seed(), Instant::now());
    flush(socket, &mut connection).await;
    while !connection.is_connected() {
        assert!(exchange(socket, &mut connection).await.is_empty());
    }
    connection
}

async fn tls(tcp: TcpStream, certificate: &str) -> impl Both + use<> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap())
        .unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    soon("TLS", connector.connect(name, tcp)).await.unwrap()
}
