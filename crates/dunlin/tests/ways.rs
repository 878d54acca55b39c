//! Every way to STUN and TURN servers, against our own server: UDP, TCP, TLS and DTLS; and certificates that are not what
//! they have to be.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "it makes certificates and owns sockets"
)]

mod common;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use common::{config, echo_through, soon};
use dunlin::turn_server::{self, Identity, Prefix, TurnServer, User};
use dunlin::{Config, DataChannelInit, IceServer, IceTransportPolicy, PeerConnection, TlsRoots, Transport};

const USER: &str = "george";
const PASSWORD: &str = "secret";

/// The server, and the certificate that it shows.
struct Site {
    server: TurnServer,
    certificate: Vec<u8>,
}

/// With a certificate for `localhost` that is valid in these years.
fn site(years: std::ops::Range<i32>) -> Site {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    let certificate = params.self_signed(&key).unwrap().pem().into_bytes();
    let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut config = turn_server::Config::default();
    config.udp = vec![local];
    config.tcp = vec![local];
    config.tls = vec![local];
    config.dtls = vec![local];
    config.identity = Some(Identity {
        certificates: certificate.clone(),
        key: key.serialize_pem().into_bytes(),
    });
    config.server.realm = "example.org".into();
    config.server.users = vec![User {
        username: USER.into(),
        password: PASSWORD.into(),
    }];
    config.server.access.allowed = vec![Prefix::new([127, 0, 0, 0].into(), 8)];
    Site {
        server: TurnServer::bind(config).unwrap(),
        certificate,
    }
}

impl Site {
    fn trusted(&self) -> TlsRoots {
        TlsRoots::Pem(self.certificate.clone())
    }

    fn dtls(&self) -> u16 {
        self.server.dtls()[0].port()
    }

    /// Every way to it, by name: certificates carry it.
    fn urls(&self) -> [(String, Transport); 4] {
        let (udp, tcp) = (self.server.udp()[0], self.server.tcp()[0]);
        let tls = self.server.tls()[0].port();
        [
            (format!("turn:{udp}"), Transport::Udp),
            (format!("turn:{tcp}?transport=tcp"), Transport::Tcp),
            (format!("turns:localhost:{tls}"), Transport::Tls),
            (
                format!("turns:localhost:{}?transport=udp", self.dtls()),
                Transport::Dtls,
            ),
        ]
    }
}

/// The lines about servers of a report, once there is nothing to wait for.
async fn report(config: Config) -> Vec<String> {
    let (pc, _events) = PeerConnection::bind(config).await.unwrap();
    pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    pc.set_local_description().unwrap();
    soon("gathering", pc.gathered()).await.unwrap();
    let servers = pc.ice_report().servers;
    servers.iter().map(ToString::to_string).collect()
}

async fn turn_line(url: String, roots: TlsRoots) -> String {
    let mut config = config();
    config.ice_servers = vec![IceServer::turn(url, USER, PASSWORD)];
    config.tls_roots = roots;
    report(config).await.remove(0)
}

#[tokio::test]
async fn two_peers_talk_through_our_server_over_all_four_transports() {
    let site = site(2020..4000);
    for (url, transport) in site.urls() {
        let mut config = config();
        config.ice_servers = vec![IceServer::turn(url, USER, PASSWORD)];
        config.ice_transport_policy = IceTransportPolicy::Relay;
        config.tls_roots = site.trusted();
        let (alice, alice_events) = PeerConnection::bind(config.clone()).await.unwrap();
        let (bob, bob_events) = PeerConnection::bind(config).await.unwrap();
        let watch = alice.clone();
        let path = async {
            watch.connected().await.unwrap();
            watch.selected_path().unwrap()
        };
        let (path, ()) = tokio::join!(path, echo_through(alice, bob, [alice_events, bob_events]));
        assert_eq!(path.transport, transport);
        drop(watch);
        soon("the allocations to go", async {
            while site.server.stats().await.sockets.relays > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_dtls_to_a_server_is_said_in_a_sentence() {
    let (good, expired, future) = (site(2020..4000), site(2020..2021), site(3000..4000));
    let start = Instant::now();
    let url = |host: &str, site: &Site| format!("turns:{host}:{}?transport=udp", site.dtls());
    let cases = [
        (
            turn_line(url("localhost", &good), TlsRoots::System).await,
            "DTLS to it failed: its certificate is signed by nobody that this host trusts",
        ),
        (
            // Of the same name, as rcgen names all.
            turn_line(url("localhost", &good), expired.trusted()).await,
            "DTLS to it failed: its certificate names an authority that this host trusts, but is not signed with that \
             one's key",
        ),
        (
            turn_line(url("127.0.0.1", &good), good.trusted()).await,
            "DTLS to it failed: its certificate is for another name than 127.0.0.1",
        ),
        (
            turn_line(url("localhost", &expired), expired.trusted()).await,
            "DTLS to it failed: its certificate has expired",
        ),
        (
            turn_line(url("localhost", &future), future.trusted()).await,
            "DTLS to it failed: its certificate is not valid yet (is this host's clock right?)",
        ),
    ];
    for (line, sentence) in cases {
        assert!(line.ends_with(sentence), "{line}\nlacks {sentence}");
    }
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let line = turn_line(format!("turns:{nobody}?transport=udp"), good.trusted()).await;
    assert!(line.contains("no connection to it: Connection refused"), "{line}");
    // All six together.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    // Nothing of it stays with the servers.
    for site in [good, expired, future] {
        soon("the associations to go", async {
            while site.server.stats().await.sockets.dtls > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn stun_servers_answer_over_all_four_transports() {
    let site = site(2020..4000);
    let (udp, tcp) = (site.server.udp()[0], site.server.tcp()[0]);
    let secure = |port: u16| format!("stuns:localhost:{port}");
    let ways = [
        (format!("stun:{tcp}"), Some(true), "tcp"),
        (secure(site.server.tls()[0].port()), None, "tls"),
        (secure(site.dtls()), Some(false), "dtls"),
    ];
    let mut config = config();
    config.tls_roots = site.trusted();
    for (url, over_tcp, _) in &ways {
        let mut server = IceServer::stun(url.clone());
        server.stun_over_tcp = *over_tcp;
        config.ice_servers.push(server);
    }
    let mut plain = config.clone();
    let lines = report(config).await;
    for ((url, _, transport), line) in ways.iter().zip(&lines) {
        let start = format!("{url} over {transport}");
        let answered = line.starts_with(&start) && line.contains("answered, sees us as 127.0.0.1:");
        assert!(answered, "{line}");
    }
    // Nobody asks how a loopback address looks from outside.
    plain.ice_servers = vec![IceServer::stun(format!("stun:{udp}"))];
    assert!(report(plain).await[0].contains("not asked"));
    // A certificate that nobody trusts is a sentence here, too.
    let mut config = common::config();
    config.ice_servers = vec![IceServer::stun(secure(site.server.tls()[0].port()))];
    let line = report(config).await.remove(0);
    assert!(
        line.ends_with("TLS to it failed: its certificate is signed by nobody that this host trusts"),
        "{line}"
    );
}

/// The next server that has failed, which is to be known long before it is given up.
async fn server_failure(events: &mut dunlin::Events) -> dunlin::ServerReport {
    let start = Instant::now();
    let failed = soon("the wrong port", async {
        loop {
            match events.next().await {
                Some(dunlin::Event::IceServerFailed(report)) => return report,
                Some(_) => {}
                None => panic!("the connection ended"),
            }
        }
    })
    .await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    failed
}

async fn told_that_nobody_listens(events: &mut dunlin::Events, at: SocketAddr) {
    let failed = server_failure(events).await;
    assert_eq!(failed.address, Some(at));
    assert!(
        failed.to_string().contains("nobody listens at this UDP port"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_wrong_udp_port_is_told_after_a_restart_too() {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (pc, mut events) = PeerConnection::bind(config()).await.unwrap();
    pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    pc.set_local_description().unwrap();
    soon("gathering without servers", pc.gathered()).await.unwrap();
    let wrong = [IceServer::turn(format!("turn:{nobody}"), USER, PASSWORD)];
    pc.set_ice_servers(&wrong, &TlsRoots::System).await.unwrap();
    pc.restart_ice();
    pc.set_local_description().unwrap();
    told_that_nobody_listens(&mut events, nobody).await;
}

#[tokio::test]
async fn a_wrong_udp_port_is_told_apart_from_silence() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut config = config();
    let urls = [
        format!("turn:{}", silent.local_addr().unwrap()),
        format!("turn:{nobody}"),
    ];
    config.ice_servers = urls.map(|url| IceServer::turn(url, USER, PASSWORD)).to_vec();
    let (pc, mut events) = PeerConnection::bind(config).await.unwrap();
    pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    pc.set_local_description().unwrap();
    told_that_nobody_listens(&mut events, nobody).await;
    let lines: Vec<String> = pc.ice_report().servers.iter().map(ToString::to_string).collect();
    assert!(
        lines[0].contains("no answer yet") && !lines[1].contains("no answer yet"),
        "{lines:?}"
    );
}
