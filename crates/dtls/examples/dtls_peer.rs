//! One end of a DTLS connection over UDP: standard input goes to the peer, what the peer sends goes to standard
//! output, everything else to standard error. Good for trying other stacks:
//!
//! ```text
//! dtls_peer server 127.0.0.1:4433 --srtp 1,7
//! openssl s_client -dtls1_2 -connect 127.0.0.1:4433 -cert c.pem -key k.pem -use_srtp SRTP_AES128_CM_SHA1_80
//! ```

#![allow(clippy::print_stderr, reason = "a program talks to its user")]
#![allow(
    clippy::disallowed_methods,
    reason = "a program has a clock and may wait for its input in a thread"
)]

#[path = "dtls_peer/options.rs"]
mod options;
#[path = "dtls_peer/report.rs"]
mod report;

use std::io::{BufRead, Write};
use std::net::UdpSocket;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_dtls::{ClientAddress, Connection, Event, HashAlgorithm, Role};

use report::Reporter;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    env_logger::init();
    let mut options = options::parse()?;
    let mut reporter = Reporter::new(&options)?;
    if let Some(certificate) = &options.config.certificate {
        reporter.note(&format!(
            "our fingerprint is {}",
            certificate.fingerprint(HashAlgorithm::Sha256)
        ));
    }
    let socket = match options.config.role {
        Role::Client if options.address.is_ipv4() => UdpSocket::bind("0.0.0.0:0")?,
        Role::Client => UdpSocket::bind("[::]:0")?,
        Role::Server => UdpSocket::bind(options.address)?,
    };
    let mut buffer = vec![0; 65_536];
    let mut first = None;
    let peer = match options.config.role {
        Role::Client => options.address,
        Role::Server => {
            reporter.listening(socket.local_addr()?);
            let (len, peer) = socket.recv_from(&mut buffer)?;
            first = Some(BytesMut::from(&buffer[..len]));
            peer
        }
    };
    socket.connect(peer)?;
    if let ClientAddress::Cookie { address, .. } = &mut options.config.client_address {
        *address = peer.to_string().into_bytes();
    }
    let mut connection = Connection::new(options.config, dunlin_crypto::random::seed(), Instant::now());
    if let Some(datagram) = first {
        connection.handle_datagram(Instant::now(), datagram);
    }
    let mut peer = Peer {
        socket,
        connection,
        reporter,
        key_update: options.key_update,
    };
    peer.run(&mut buffer)
}

struct Peer {
    socket: UdpSocket,
    connection: Connection,
    reporter: Reporter,
    key_update: bool,
}

impl Peer {
    fn run(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        let mut input = Some(lines_of_stdin());
        loop {
            self.send();
            while let Some(event) = self.connection.poll_event() {
                match event {
                    Event::Connected => {
                        self.reporter.connected(&self.connection)?;
                        if self.key_update {
                            self.connection.update_keys(Instant::now(), true)?;
                        }
                    }
                    Event::Data(data) => {
                        std::io::stdout().write_all(&data)?;
                        std::io::stdout().flush()?;
                    }
                    Event::KeyLog(line) => self.reporter.key(&line)?,
                    Event::Closed(reason) => {
                        self.send();
                        self.reporter.closed(&reason, &self.connection);
                        return Ok(());
                    }
                    _ => {}
                }
            }
            if self.connection.is_connected() {
                self.send_input(&mut input);
            }
            self.send();
            self.wait(buffer)?;
        }
    }

    fn send(&mut self) {
        let mut out = Vec::new();
        while self.connection.poll_transmit(Instant::now(), &mut out) {
            // A peer that is not there yet makes this fail; the timer sends again.
            let _ = self.socket.send(&out);
            out.clear();
        }
    }

    /// Waits for a datagram, for a timer, or a little for input.
    fn wait(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        let now = Instant::now();
        let due = self.connection.poll_timeout();
        if due.is_some_and(|at| at <= now) {
            self.connection.handle_timeout(now);
            return Ok(());
        }
        let wait = due.map_or(Duration::from_millis(20), |at| at.saturating_duration_since(now));
        let wait = wait.clamp(Duration::from_millis(1), Duration::from_millis(20));
        self.socket.set_read_timeout(Some(wait))?;
        if let Ok(len) = self.socket.recv(buffer) {
            self.connection
                .handle_datagram(Instant::now(), BytesMut::from(&buffer[..len]));
        }
        Ok(())
    }

    /// Sends what there is of the input; at its end, says goodbye.
    fn send_input(&mut self, input: &mut Option<Receiver<Vec<u8>>>) {
        let Some(lines) = input else { return };
        loop {
            match lines.try_recv() {
                Ok(line) => {
                    let mut out = Vec::new();
                    let sealed = self.connection.seal(&mut out, |out| {
                        out.extend_from_slice(&line);
                        true
                    });
                    if sealed {
                        let _ = self.socket.send(&out);
                    }
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.connection.close(Instant::now());
                    *input = None;
                    return;
                }
            }
        }
    }
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
