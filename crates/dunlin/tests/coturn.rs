//! Two peers that talk through coturn, over UDP, TCP, TLS and DTLS: `cargo test -p dunlin --test coturn -- --ignored`, which
//! `cargo xtask test` does once coturn is installed.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "it drives another program"
)]

mod common;

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Stdio;

use common::{config, echo_through, soon};
use dunlin::{Config, IceServer, IceTransportPolicy, PeerConnection, TlsRoots, Transport};
use tokio::net::TcpSocket;
use tokio::process::{Child, Command};

const USER: &str = "user";
const PASSWORD: &str = "the password";

/// A running coturn, which ends with this.
struct Coturn {
    _process: Child,
    folder: PathBuf,
    port: u16,
    tls_port: u16,
    certificate: Vec<u8>,
}

impl Drop for Coturn {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            eprintln!("coturn said:\n{said}");
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that is free over UDP and TCP now.
fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        if TcpListener::bind(address).is_ok() {
            return address.port();
        }
    }
}

/// Whether somebody listens there. It is asked from another address: a connection from the address that it goes to may come
/// out of the very port that it asks for, meets itself, and takes the port from who wanted to listen.
async fn listens(port: u16) -> bool {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    socket.connect(([127, 0, 0, 1], port).into()).await.is_ok()
}

impl Coturn {
    async fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("dunlin-coturn-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let file = |name: &str| folder.join(name).display().to_string();
        std::fs::write(file("cert.pem"), &certificate).unwrap();
        std::fs::write(file("key.pem"), key).unwrap();
        let (port, tls_port) = (free_port(), free_port());
        let arguments = [
            "-n".to_owned(),
            "--listening-ip=127.0.0.1".to_owned(),
            "--relay-ip=127.0.0.1".to_owned(),
            format!("--listening-port={port}"),
            format!("--tls-listening-port={tls_port}"),
            "--lt-cred-mech".to_owned(),
            format!("--user={USER}:{PASSWORD}"),
            "--realm=example.org".to_owned(),
            "--allow-loopback-peers".to_owned(),
            "--no-cli".to_owned(),
            format!("--cert={}", file("cert.pem")),
            format!("--pkey={}", file("key.pem")),
            format!("--pidfile={}", file("pid")),
            format!("--userdb={}", file("turndb")),
            format!("--log-file={}", file("log")),
            "--simple-log".to_owned(),
        ];
        let process = Command::new("turnserver")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("coturn is needed: apt-get install coturn");
        let coturn = Self {
            _process: process,
            folder,
            port,
            tls_port,
            certificate: certificate.into_bytes(),
        };
        // It tells nobody that it listens.
        soon("coturn to listen", async {
            for port in [port, tls_port] {
                while !listens(port).await {
                    tokio::task::yield_now().await;
                }
            }
        })
        .await;
        coturn
    }

    fn relay_only(&self, url: String, password: &str) -> Config {
        let mut config = config();
        config.ice_servers = vec![IceServer::turn(url, USER, password)];
        config.ice_transport_policy = IceTransportPolicy::Relay;
        config.tls_roots = TlsRoots::Pem(self.certificate.clone());
        config
    }
}

#[tokio::test]
#[ignore = "needs coturn, and that nobody takes its ports: run alone"]
async fn two_peers_talk_through_coturn_over_all_four_transports() {
    let coturn = Coturn::start("talk").await;
    let (port, tls_port) = (coturn.port, coturn.tls_port);
    let urls = [
        (format!("turn:127.0.0.1:{port}"), Transport::Udp),
        (format!("turn:127.0.0.1:{port}?transport=tcp"), Transport::Tcp),
        (format!("turns:localhost:{tls_port}"), Transport::Tls),
        (
            format!("turns:localhost:{tls_port}?transport=udp"),
            Transport::Dtls,
        ),
    ];
    for (url, transport) in urls {
        let config = coturn.relay_only(url, PASSWORD);
        let (alice, alice_events) = PeerConnection::bind(config.clone()).await.unwrap();
        let (bob, bob_events) = PeerConnection::bind(config).await.unwrap();
        let watch = alice.clone();
        let path = async {
            watch.connected().await.unwrap();
            watch.selected_path().unwrap()
        };
        let (path, ()) = tokio::join!(path, echo_through(alice, bob, [alice_events, bob_events]));
        assert_eq!(path.transport, transport);
    }
}

#[tokio::test]
#[ignore = "needs coturn, and that nobody takes its ports: run alone"]
async fn coturn_refuses_a_wrong_password_and_the_report_says_so() {
    let coturn = Coturn::start("refuse").await;
    let config = coturn.relay_only(format!("turn:127.0.0.1:{}", coturn.port), "wrong");
    let (pc, _events) = PeerConnection::bind(config).await.unwrap();
    pc.create_data_channel("x", dunlin::DataChannelInit::default())
        .unwrap();
    pc.set_local_description().unwrap();
    soon("gathering", pc.gathered()).await.unwrap();
    let report = pc.ice_report().to_string();
    assert!(
        report.contains("the TURN server does not accept the username and password"),
        "{report}"
    );
}
