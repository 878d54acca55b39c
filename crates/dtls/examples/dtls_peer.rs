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

use std::io::{BufRead, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_dtls::{
    Certificate, CipherSuite, Config, Connection, Event, Group, HashAlgorithm, PeerIdentity, Role,
};

const USAGE: &str = "usage: dtls_peer client|server ADDRESS [options]
  --fingerprint 'sha-256 AB:CD:...'   who the peer has to be (default: anybody with a certificate)
  --srtp 7,8,1                        SRTP profiles, best first
  --suite NAME                        only this cipher suite (part of its name is enough)
  --group x25519|p256|p384            only this group
  --mtu BYTES                         largest datagram of the handshake
  --cookie                            as a server, ask for a cookie
  --legacy                            go on without the extended master secret
  --export LABEL                      print 32 bytes of keying material";

type Error = Box<dyn std::error::Error>;

struct Options {
    config: Config,
    address: SocketAddr,
    export: Option<String>,
}

fn main() -> Result<(), Error> {
    env_logger::init();
    let options = parse()?;
    let role = options.config.role;
    let fingerprint = options.config.certificate.fingerprint(HashAlgorithm::Sha256);
    eprintln!("our fingerprint is {fingerprint}");
    let socket = match role {
        Role::Client => UdpSocket::bind(if options.address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        })?,
        Role::Server => UdpSocket::bind(options.address)?,
    };
    let mut buffer = vec![0; 65_536];
    let mut first = None;
    let peer = match role {
        Role::Client => options.address,
        Role::Server => {
            eprintln!("waiting on {}", socket.local_addr()?);
            let (len, peer) = socket.recv_from(&mut buffer)?;
            first = Some(BytesMut::from(&buffer[..len]));
            peer
        }
    };
    socket.connect(peer)?;
    let mut connection = Connection::new(options.config, dunlin_crypto::random::seed(), Instant::now());
    if let Some(datagram) = first {
        connection.handle_datagram(Instant::now(), datagram);
    }
    run(&socket, &mut connection, options.export.as_deref(), &mut buffer)
}

fn run(
    socket: &UdpSocket,
    connection: &mut Connection,
    export: Option<&str>,
    buffer: &mut [u8],
) -> Result<(), Error> {
    let mut input = Some(lines_of_stdin());
    let mut out = Vec::new();
    loop {
        while connection.poll_transmit(Instant::now(), &mut out) {
            // A peer that is not there yet makes this fail; the timer sends again.
            let _ = socket.send(&out);
            out.clear();
        }
        while let Some(event) = connection.poll_event() {
            match event {
                Event::Connected => report(connection, export)?,
                Event::Data(data) => {
                    std::io::stdout().write_all(&data)?;
                    std::io::stdout().flush()?;
                }
                Event::Closed(reason) => {
                    while connection.poll_transmit(Instant::now(), &mut out) {
                        let _ = socket.send(&out);
                        out.clear();
                    }
                    eprintln!("{reason}");
                    eprintln!("{:?}", connection.stats());
                    return Ok(());
                }
                _ => {}
            }
        }
        if connection.is_connected() {
            send_input(socket, connection, &mut input);
        }
        if connection.poll_timeout().is_some_and(|at| at <= Instant::now()) {
            connection.handle_timeout(Instant::now());
            continue;
        }
        let now = Instant::now();
        let wait = connection
            .poll_timeout()
            .map_or(Duration::from_millis(50), |at| at.saturating_duration_since(now));
        socket.set_read_timeout(Some(
            wait.clamp(Duration::from_millis(1), Duration::from_millis(50)),
        ))?;
        if let Ok(len) = socket.recv(buffer) {
            connection.handle_datagram(Instant::now(), BytesMut::from(&buffer[..len]));
        }
    }
}

fn report(connection: &Connection, export: Option<&str>) -> Result<(), Error> {
    let suite = connection.cipher_suite().map_or("?", CipherSuite::name);
    eprintln!(
        "connected: {suite}, {:?}, SRTP profile {:?}",
        connection.group(),
        connection.srtp_profile()
    );
    if let Some(label) = export {
        let mut out = [0; 32];
        connection.export(label, None, &mut out)?;
        eprintln!(
            "exported: {}",
            out.iter().map(|byte| format!("{byte:02X}")).collect::<String>()
        );
    }
    Ok(())
}

/// Sends what there is of the input; at its end, says goodbye.
fn send_input(socket: &UdpSocket, connection: &mut Connection, input: &mut Option<Receiver<Vec<u8>>>) {
    let Some(lines) = input else { return };
    loop {
        match lines.try_recv() {
            Ok(line) => {
                let mut out = Vec::new();
                let sealed = connection.seal(&mut out, |out| {
                    out.extend_from_slice(&line);
                    true
                });
                if sealed {
                    let _ = socket.send(&out);
                }
            }
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => {
                connection.close(Instant::now());
                *input = None;
                return;
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

fn parse() -> Result<Options, Error> {
    let mut arguments = std::env::args().skip(1);
    let role = match arguments.next().as_deref() {
        Some("client") => Role::Client,
        Some("server") => Role::Server,
        _ => return Err(USAGE.into()),
    };
    let address = arguments
        .next()
        .ok_or(USAGE)?
        .parse()
        .map_err(|error| format!("the address: {error}"))?;
    let mut config = Config::new(role, Certificate::generate()?, PeerIdentity::AnyCertificate);
    let mut export = None;
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--cookie" => {
                config.cookie = true;
                continue;
            }
            "--legacy" => {
                config.require_extended_master_secret = false;
                continue;
            }
            _ => {}
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
        match name.as_str() {
            "--fingerprint" => config.peer = PeerIdentity::Fingerprints(vec![value.parse()?]),
            "--srtp" => config.srtp_profiles = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--suite" => {
                config.cipher_suites.retain(|suite| suite.name().contains(&value));
            }
            "--group" => config
                .groups
                .retain(|group| format!("{group:?}").eq_ignore_ascii_case(&value)),
            "--mtu" => config.max_datagram = value.parse()?,
            "--export" => export = Some(value),
            _ => return Err(format!("{name}?\n{USAGE}").into()),
        }
    }
    if config.cipher_suites.is_empty() || config.groups.is_empty() {
        let groups = [Group::X25519, Group::P256, Group::P384];
        return Err(format!(
            "nothing left: suites are {:?}, groups {groups:?}",
            CipherSuite::ALL
        )
        .into());
    }
    Ok(Options {
        config,
        address,
        export,
    })
}
