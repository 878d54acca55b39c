//! A TURN server on loopback: UDP, TCP and TLS, around `dunlin-turn`'s core.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::{Path, Transport};
use dunlin_turn::Frames;
use dunlin_turn::server::{Config, Event, HEADROOM, RelayId, Server, TAILROOM, User};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

pub(crate) const USER: &str = "user";
pub(crate) const PASSWORD: &str = "the password";

/// What comes to the server.
enum Input {
    Client(Path, BytesMut),
    Connected(Path, mpsc::UnboundedSender<Vec<u8>>),
    Relay(RelayId, SocketAddr, Vec<u8>),
}

/// The server; it ends with the runtime.
pub(crate) struct Turn {
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// The certificate that TLS shows, for `localhost`.
    pub(crate) certificate: Vec<u8>,
    allocations: Arc<Mutex<u64>>,
}

impl Turn {
    pub(crate) async fn start() -> Self {
        Self::start_until(4000).await
    }

    /// With a certificate that is valid until this year.
    pub(crate) async fn start_until(year: i32) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let made = params.self_signed(&key).unwrap();
        let certificate = made.pem().into_bytes();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let tls_config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.der().clone()], key)
            .unwrap();
        let udp = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let allocations = Arc::new(Mutex::new(0));
        let turn = Self {
            udp: udp.local_addr().unwrap(),
            tcp: tcp.local_addr().unwrap(),
            tls: tls.local_addr().unwrap(),
            certificate,
            allocations: allocations.clone(),
        };
        let (sender, receiver) = mpsc::channel(1024);
        tokio::spawn(listen(tcp, None, sender.clone()));
        tokio::spawn(listen(
            tls,
            Some(TlsAcceptor::from(Arc::new(tls_config))),
            sender.clone(),
        ));
        let listener = udp.clone();
        let inbox = sender.clone();
        tokio::spawn(async move {
            let local = listener.local_addr().unwrap();
            let mut buffer = vec![0; 65536];
            while let Ok((len, from)) = listener.recv_from(&mut buffer).await {
                let data = BytesMut::from(&buffer[..len]);
                let _ = inbox.send(Input::Client(Path::udp(local, from), data)).await;
            }
        });
        tokio::spawn(serve(udp, sender, receiver, allocations));
        turn
    }

    pub(crate) fn allocations(&self) -> u64 {
        *self.allocations.lock().unwrap()
    }
}

async fn listen(listener: TcpListener, tls: Option<TlsAcceptor>, sender: mpsc::Sender<Input>) {
    while let Ok((stream, remote)) = listener.accept().await {
        let path = Path {
            local: listener.local_addr().unwrap(),
            remote,
            transport: if tls.is_some() {
                Transport::Tls
            } else {
                Transport::Tcp
            },
        };
        let (tls, sender) = (tls.clone(), sender.clone());
        tokio::spawn(async move {
            match tls {
                None => carry(stream, path, sender).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        carry(stream, path, sender).await;
                    }
                }
            }
        });
    }
}

async fn carry(stream: impl AsyncRead + AsyncWrite, path: Path, sender: mpsc::Sender<Input>) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (outbox, mut messages) = mpsc::unbounded_channel::<Vec<u8>>();
    let _ = sender.send(Input::Connected(path, outbox)).await;
    let write = async move {
        while let Some(bytes) = messages.recv().await {
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    let read = async move {
        let mut frames = Frames::default();
        while matches!(reader.read_buf(frames.buffer()).await, Ok(1..)) {
            while let Some(message) = frames.take() {
                let _ = sender.send(Input::Client(path, message)).await;
            }
        }
    };
    tokio::select! { () = write => {}, () = read => {} }
}

async fn serve(
    udp: Arc<UdpSocket>,
    sender: mpsc::Sender<Input>,
    mut receiver: mpsc::Receiver<Input>,
    allocations: Arc<Mutex<u64>>,
) {
    let mut config = Config::default();
    config.users = vec![User {
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
    }];
    config.access.allowed = vec!["127.0.0.0/8".parse().unwrap()];
    let mut server = Server::new(config, [7; 32], Instant::now());
    let mut relays: HashMap<RelayId, Arc<UdpSocket>> = HashMap::new();
    let mut connections: HashMap<Path, mpsc::UnboundedSender<Vec<u8>>> = HashMap::new();
    let mut out = Vec::new();
    loop {
        let wait = server.poll_timeout().map(tokio::time::Instant::from_std);
        let input = tokio::select! {
            input = receiver.recv() => input,
            () = async { match wait { Some(at) => tokio::time::sleep_until(at).await, None => std::future::pending().await } } => None,
        };
        let now = Instant::now();
        server.handle_timeout(now);
        let mut to_client = None;
        match input {
            Some(Input::Connected(path, outbox)) => drop(connections.insert(path, outbox)),
            Some(Input::Client(path, data)) => {
                if let Some(forward) = server.handle_datagram(now, path, data)
                    && let Some(socket) = relays.get(&forward.relay)
                {
                    let _ = socket.try_send_to(&forward.data, forward.peer);
                }
            }
            Some(Input::Relay(relay, from, data)) => {
                let mut buffer = vec![0; HEADROOM + data.len() + TAILROOM];
                let range = HEADROOM..HEADROOM + data.len();
                buffer[range.clone()].copy_from_slice(&data);
                if let Some(sent) = server.handle_relay(now, relay, from, &mut buffer, range) {
                    to_client = Some((sent.transmit.path, buffer[sent.bytes].to_vec()));
                }
            }
            None => {}
        }
        while let Some(event) = server.poll_event() {
            match event {
                Event::OpenRelay { relay, .. } => {
                    let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                    server.relay_opened(now, relay, socket.local_addr().unwrap());
                    relays.insert(relay, socket.clone());
                    let sender = sender.clone();
                    tokio::spawn(async move {
                        let mut buffer = vec![0; 65536];
                        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                            let _ = sender
                                .send(Input::Relay(relay, from, buffer[..len].to_vec()))
                                .await;
                        }
                    });
                }
                Event::CloseRelay(relay) => drop(relays.remove(&relay)),
                _ => {}
            }
        }
        loop {
            let (path, bytes) = match to_client.take() {
                Some(sent) => sent,
                None => match server.poll_transmit(now, &mut out) {
                    Some(transmit) => (transmit.path, std::mem::take(&mut out)),
                    None => break,
                },
            };
            match path.transport {
                Transport::Udp => drop(udp.try_send_to(&bytes, path.remote)),
                _ => drop(connections.get(&path).map(|outbox| outbox.send(bytes))),
            }
        }
        *allocations.lock().unwrap() = server.stats().allocations;
    }
}
