//! The program: standard input goes to the peer line by line, what the peer sends to standard output.

use crate::dtls::driver::LENGTH;
use dimpl::{Config, Dtls, DtlsCertificate, NamedGroup, Output, ProtocolVersion};
use std::io::{BufRead, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

/// One end of a DTLS connection over UDP by the crate dimpl.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// `client` or `server`.
    role: String,
    address: SocketAddr,
    /// `1.2`, or `1.3` for both.
    #[arg(long)]
    version: String,
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    key: PathBuf,
    /// The groups to know, by their numbers.
    #[arg(long)]
    group: Vec<u16>,
    /// Asks for a cookie.
    #[arg(long)]
    cookie: bool,
    /// Asks for no client certificate.
    #[arg(long)]
    ask_nothing: bool,
    /// Keeps to small datagrams.
    #[arg(long)]
    small: bool,
    /// Changes its keys every few records.
    #[arg(long)]
    update_keys: bool,
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Runs until one of the two says goodbye.
pub fn run(arguments: &Arguments) -> std::result::Result<(), String> {
    let mut peer = Peer::new(arguments).map_err(|error| error.to_string())?;
    peer.run().map_err(|error| error.to_string())
}

struct Peer {
    dtls: Dtls,
    socket: UdpSocket,
    input: Option<Receiver<Vec<u8>>>,
    first: Option<Vec<u8>>,
    buffer: Vec<u8>,
    connected: bool,
    reported: bool,
    exported: Option<String>,
}

impl Peer {
    fn new(arguments: &Arguments) -> Result<Peer> {
        let client = arguments.role == "client";
        let socket = UdpSocket::bind(if client {
            SocketAddr::from(([127, 0, 0, 1], 0))
        } else {
            arguments.address
        })?;
        let mut first = None;
        let mut peer = arguments.address;
        if !client {
            eprintln!("listening on {}", socket.local_addr()?);
            let mut datagram = vec![0; 2048];
            let (len, from) = socket.recv_from(&mut datagram)?;
            datagram.truncate(len);
            (peer, first) = (from, Some(datagram));
        }
        socket.connect(peer)?;
        let certificate = DtlsCertificate {
            certificate: std::fs::read(&arguments.certificate)?,
            private_key: std::fs::read(&arguments.key)?,
        };
        let (config, now) = (Arc::new(config(arguments)?), Instant::now());
        let mut dtls = match arguments.version.as_str() {
            "1.2" => Dtls::new_12(config, certificate, now),
            _ => Dtls::new_auto(config, certificate, now),
        };
        dtls.set_active(client);
        Ok(Peer {
            dtls,
            socket,
            input: Some(lines_of_stdin()),
            first,
            buffer: vec![0; 4096],
            connected: false,
            reported: false,
            exported: None,
        })
    }

    fn run(&mut self) -> Result<()> {
        self.dtls.handle_timeout(Instant::now())?;
        if let Some(datagram) = self.first.take() {
            self.dtls.handle_packet(&datagram)?;
        }
        let mut datagram = vec![0; 2048];
        loop {
            let Some(next) = self.drain()? else {
                return Ok(());
            };
            if self.connected && !self.send_input()? {
                // What says goodbye still has to go out.
                self.drain()?;
                return Ok(());
            }
            let wait = next.saturating_duration_since(Instant::now());
            let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(20));
            self.socket.set_read_timeout(Some(wait))?;
            let received = self.socket.recv(&mut datagram);
            self.dtls.handle_timeout(Instant::now())?;
            if let Ok(len) = received {
                self.dtls.handle_packet(&datagram[..len])?;
            }
        }
    }

    /// Sends and prints what there is; when to look again, or nothing once the peer has said goodbye.
    fn drain(&mut self) -> Result<Option<Instant>> {
        loop {
            match self.dtls.poll_output(&mut self.buffer) {
                Output::Packet(datagram) => {
                    // A peer that is gone makes this fail; the timers will tell.
                    let _ = self.socket.send(datagram);
                }
                Output::BufferTooSmall { needed } => self.buffer.resize(needed, 0),
                Output::Timeout(at) => {
                    self.report();
                    return Ok(Some(at));
                }
                Output::Connected => self.connected = true,
                Output::KeyingMaterial(material, profile) => {
                    let material = material.get(..LENGTH).unwrap_or_default();
                    self.exported = Some(material.iter().map(|byte| format!("{byte:02X}")).collect());
                    eprintln!("SRTP profile {profile:?}");
                }
                Output::ApplicationData(data) => {
                    std::io::stdout().write_all(data)?;
                    std::io::stdout().flush()?;
                }
                Output::CloseNotify => {
                    eprintln!("closed by the peer");
                    return Ok(None);
                }
                _ => {}
            }
        }
    }

    /// Says once that there is a connection, when all that belongs to it has come.
    fn report(&mut self) {
        if !self.connected || self.reported {
            return;
        }
        self.reported = true;
        // Keying material of another length than SRTP's own is other material in 1.3 (RFC 8446, section 7.1).
        let comparable = self.dtls.protocol_version() == Some(ProtocolVersion::DTLS1_2);
        let exported = self.exported.take().filter(|_| comparable);
        eprintln!("connected, exported {}", exported.as_deref().unwrap_or("nothing"));
    }

    /// Sends what there is of the input; false once it has ended and goodbye is said.
    fn send_input(&mut self) -> Result<bool> {
        let Some(lines) = &self.input else {
            return Ok(true);
        };
        match lines.try_recv() {
            Ok(line) => {
                self.dtls.send_application_data(&line)?;
                Ok(true)
            }
            Err(TryRecvError::Empty) => Ok(true),
            Err(TryRecvError::Disconnected) => {
                self.dtls.close()?;
                Ok(false)
            }
        }
    }
}

fn config(arguments: &Arguments) -> Result<Config> {
    let mut config = Config::builder()
        .use_server_cookie(arguments.cookie)
        .require_client_certificate(!arguments.ask_nothing)
        .flight_start_rto(Duration::from_millis(400));
    if !arguments.group.is_empty() {
        let groups: Vec<NamedGroup> = arguments
            .group
            .iter()
            .map(|number| NamedGroup::from_u16(*number))
            .collect();
        config = config.kx_groups(&groups);
    }
    if arguments.small {
        config = config.mtu(300);
    }
    if arguments.update_keys {
        config = config.aead_encryption_limit(2);
    }
    Ok(config.build()?)
}

fn lines_of_stdin() -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut line = Vec::new();
        while stdin.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            if sender.send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    receiver
}
