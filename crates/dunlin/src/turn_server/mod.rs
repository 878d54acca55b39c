//! A TURN server (RFC 8656) on real sockets: UDP, TCP, TLS and DTLS, IPv4 and IPv6.
//!
//! The protocol is [`dunlin_turn::Server`]; here are its sockets, its threads and its clock. The program `dunlin turn`
//! is this with a command line.
//!
//! ```
//! use dunlin::turn_server::{Config, TurnServer, User};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! let mut config = Config::default();
//! config.udp = vec!["127.0.0.1:0".parse()?];
//! config.tcp = vec!["127.0.0.1:0".parse()?];
//! config.server.realm = "example.org".to_owned();
//! config.server.users = vec![User { username: "george".into(), password: "secret".into() }];
//! let server = TurnServer::bind(config)?;
//! println!("turn:{}", server.udp()[0]);
//! assert_eq!(server.stats().await.core.allocations, 0);
//!
//! // No new allocations from here on; those that are there end in their time.
//! server.drain();
//! server.drained().await;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Each worker is a thread with its own core, listeners and relays, and shares nothing with the others but the counts
//! for quotas; the kernel leads a client always to the same one. Dropping the handle ends them all.

mod config;
mod dtls;
mod error;
mod identity;
mod listen;
mod pace;
mod ports;
mod shared;
mod socket;
mod stats;
mod stream;
mod tcp_relay;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use dunlin_net::Transport;
use tokio::sync::mpsc;

pub use self::config::{Config, Identity, RelayAddress};
pub use self::error::BindError;
pub use self::stats::{Counters, Stats};
pub use dunlin_turn::server::{
    AccessList, AddressFamily, BindingServer, Config as CoreConfig, PasswordAlgorithm, Prefix, PrefixError,
    SharedSecret, Stats as CoreStats, User, Verdict,
};

use self::shared::{Command, Shared};

/// A secret that nobody knows yet, for ephemeral credentials of a program's own.
#[must_use]
pub fn new_secret() -> [u8; 32] {
    dunlin_crypto::random::seed()
}

/// A TURN server that runs on threads of its own until it is dropped.
#[derive(Debug)]
pub struct TurnServer {
    shared: Arc<Shared>,
    addresses: Vec<(Transport, SocketAddr)>,
    threads: Vec<JoinHandle<()>>,
    by_transport: [Vec<SocketAddr>; 4],
}

impl TurnServer {
    /// Opens the listeners and starts the workers.
    ///
    /// # Errors
    /// A sentence that says which address, certificate or range cannot be used.
    pub fn bind(mut config: Config) -> Result<Self, BindError> {
        if config.workers == 0 {
            config.workers = std::thread::available_parallelism().map_or(1, usize::from);
        }
        let secrets = identity::load(&config)?;
        listen::complete(&mut config)?;
        let workers = config.workers;
        let (sets, addresses) = listen::open(&config)?;
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| mpsc::unbounded_channel()).unzip();
        let shared = Arc::new(Shared::new(senders));
        let config = Arc::new(config);
        let mut threads = Vec::new();
        for (number, (sockets, commands)) in sets.into_iter().zip(receivers).enumerate() {
            let seat = worker::Seat {
                config: config.clone(),
                shared: shared.clone(),
                secrets: secrets.clone(),
                sockets,
                commands,
                number,
            };
            match seat.start() {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    shared.tell(|| Command::Close);
                    return Err(BindError::Start(error));
                }
            }
        }
        let of = |wanted: Transport| {
            let these = addresses.iter().filter(|(transport, _)| *transport == wanted);
            these.map(|(_, address)| *address).collect()
        };
        Ok(Self {
            by_transport: [
                of(Transport::Udp),
                of(Transport::Tcp),
                of(Transport::Tls),
                of(Transport::Dtls),
            ],
            shared,
            addresses,
            threads,
        })
    }

    /// Everything that is listened on.
    #[must_use]
    pub fn addresses(&self) -> &[(Transport, SocketAddr)] {
        &self.addresses
    }

    /// Where UDP is listened on.
    #[must_use]
    pub fn udp(&self) -> &[SocketAddr] {
        &self.by_transport[0]
    }

    /// Where TCP is listened on.
    #[must_use]
    pub fn tcp(&self) -> &[SocketAddr] {
        &self.by_transport[1]
    }

    /// Where TLS is listened on.
    #[must_use]
    pub fn tls(&self) -> &[SocketAddr] {
        &self.by_transport[2]
    }

    /// Where DTLS is listened on.
    #[must_use]
    pub fn dtls(&self) -> &[SocketAddr] {
        &self.by_transport[3]
    }

    /// What was counted, all workers together. Cancel-safe.
    pub async fn stats(&self) -> Stats {
        self.shared.stats().await
    }

    /// Shows another certificate to those who connect by TLS and DTLS from now on; connections that are there keep
    /// theirs.
    ///
    /// # Errors
    /// The certificate or its key cannot be used; the old one stays.
    pub fn replace_identity(&self, identity: &Identity) -> Result<(), BindError> {
        let tls = Some(identity::acceptor(identity)?).filter(|_| !self.tls().is_empty());
        let dtls = Some(identity::certificate(identity)?).filter(|_| !self.dtls().is_empty());
        self.shared.tell(|| Command::Identity {
            tls: tls.clone(),
            dtls: dtls.clone(),
        });
        Ok(())
    }

    /// Takes no new allocations; those that are there go on as long as they are refreshed.
    pub fn drain(&self) {
        self.shared.tell(|| Command::Drain);
    }

    /// Waits until the last allocation has ended after [`drain`](Self::drain). Cancel-safe.
    pub async fn drained(&self) {
        self.shared.all_drained().await;
    }

    /// Ends the server and waits for its threads, which takes a moment and blocks: when it returns, the ports are free.
    /// Dropping the handle does the same without waiting.
    pub fn close(mut self) {
        self.shared.tell(|| Command::Close);
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for TurnServer {
    fn drop(&mut self) {
        self.shared.tell(|| Command::Close);
    }
}
