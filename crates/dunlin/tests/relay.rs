//! Connections through a TURN server: over UDP, TCP and TLS, and servers that fail.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the parent of a TURN server owns clock and sockets"
)]

mod common;
#[path = "common/turn.rs"]
mod turn;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::{Pair, config, echo, echo_through, soon};
use dunlin::{
    BindError, Config, DataChannelInit, Endpoint, EndpointConfig, Event, IceServer, IceTransportPolicy,
    Message, PeerConnection, ServerError, TlsRoots, Transport,
};
use turn::{PASSWORD, Turn, USER};

/// Only relayed paths, by this server.
fn relay_only(url: String, certificate: Option<&[u8]>) -> Config {
    let mut config = config();
    config.ice_servers = vec![IceServer::turn(url, USER, PASSWORD)];
    config.ice_transport_policy = IceTransportPolicy::Relay;
    if let Some(pem) = certificate {
        config.tls_roots = TlsRoots::Pem(pem.to_vec());
    }
    config
}

/// The reasons of the servers that fail while candidates are gathered.
async fn failures(config: Config) -> Vec<ServerError> {
    let (pc, mut events) = PeerConnection::bind(config).await.unwrap();
    pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    pc.set_local_description().unwrap();
    soon("gathering", pc.gathered()).await.unwrap();
    let mut failures: Vec<ServerError> = pc
        .ice_report()
        .servers
        .iter()
        .filter_map(|server| server.error().cloned())
        .collect();
    failures.sort_by_key(ToString::to_string);
    pc.close();
    while let Some(event) = soon("the end", events.next()).await {
        if let Event::IceServerFailed(report) = event {
            assert!(failures.contains(report.error().unwrap()), "{report}");
        }
    }
    failures
}

async fn until_no_allocations(turn: &Turn) {
    soon("the allocations to go", async {
        while turn.allocations() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn two_peers_talk_through_a_relay_over_udp_tcp_and_tls() {
    let turn = Turn::start().await;
    let urls = [
        (format!("turn:{}", turn.udp), Transport::Udp),
        (format!("turn:{}?transport=tcp", turn.tcp), Transport::Tcp),
        (format!("turns:localhost:{}", turn.tls.port()), Transport::Tls),
    ];
    for (url, transport) in urls {
        let certificate = Some(&turn.certificate[..]);
        let (alice, alice_events) = PeerConnection::bind(relay_only(url.clone(), certificate))
            .await
            .unwrap();
        let (bob, bob_events) = PeerConnection::bind(relay_only(url, certificate)).await.unwrap();
        let watch = alice.clone();
        let path = async {
            watch.connected().await.unwrap();
            watch.selected_path().unwrap()
        };
        let (path, ()) = tokio::join!(path, echo_through(alice, bob, [alice_events, bob_events]));
        assert_eq!(path.transport, transport);
        // A relay is a host of its own: a mark on the way to it would be nobody's.
        let sctp = watch.stats().sctp.expect("what was sent stays known");
        assert!(
            sctp.smoothed_round_trip_time.is_some() && sctp.ect_packets_sent == 0,
            "{sctp:?}"
        );
        drop(watch);
        until_no_allocations(&turn).await;
    }
}

#[tokio::test]
async fn one_relayed_side_is_enough() {
    let turn = Turn::start().await;
    let url = format!("turn:{}?transport=tcp", turn.tcp);
    let (alice, alice_events) = PeerConnection::bind(relay_only(url, None)).await.unwrap();
    let (bob, bob_events) = PeerConnection::bind(config()).await.unwrap();
    echo_through(alice, bob, [alice_events, bob_events]).await;
    until_no_allocations(&turn).await;
}

#[tokio::test]
async fn many_connections_of_one_endpoint_each_have_their_allocation() {
    // RFC 8656, section 5: one allocation per 5-tuple; so each needs a way of its own to the server.
    let turn = Turn::start().await;
    let endpoint = Endpoint::bind(EndpointConfig::at("127.0.0.1:0".parse().unwrap()))
        .await
        .unwrap();
    for _ in 0..3 {
        let config = relay_only(format!("turn:{}", turn.udp), None);
        let (alice, alice_events) = endpoint.connection(config.clone()).await.unwrap();
        let (bob, bob_events) = endpoint.connection(config).await.unwrap();
        echo_through(alice, bob, [alice_events, bob_events]).await;
    }
    until_no_allocations(&turn).await;
}

#[tokio::test]
async fn other_servers_and_new_credentials_take_over_at_a_restart() {
    let before = Turn::start().await;
    let after = Turn::start().await;
    let url = format!("turn:{}", before.udp);
    let mut pair = Pair::with(|config| *config = relay_only(url.clone(), None)).await;
    let mut channel = pair
        .alice
        .create_data_channel("x", DataChannelInit::default())
        .unwrap();
    pair.negotiate();
    pair.connected().await;
    echo(pair.accepted().await);
    for (server, url) in [
        (&after, format!("turn:{}", after.udp)),
        (&before, format!("turns:localhost:{}", before.tls.port())),
    ] {
        let roots = TlsRoots::Pem(server.certificate.clone());
        let servers = [IceServer::turn(url, USER, PASSWORD)];
        for peer in [&pair.alice, &pair.bob] {
            peer.set_ice_servers(&servers, &roots).await.unwrap();
        }
        pair.alice.restart_ice();
        pair.negotiate();
        let there = [server.udp, server.tls];
        soon("the path to move", async {
            let moved = |peer: &PeerConnection| {
                peer.selected_path()
                    .is_some_and(|path| there.contains(&path.remote))
            };
            while !(moved(&pair.alice) && moved(&pair.bob)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
        soon("sending", channel.send("still here")).await.unwrap();
        let answer = soon("the echo", channel.recv()).await.unwrap();
        assert_eq!(answer, Some(Message::from("still here")));
    }
    until_no_allocations(&after).await;
    let wrong = [IceServer::stun("http://example.org")];
    let refused = pair.alice.set_ice_servers(&wrong, &TlsRoots::System).await;
    assert!(matches!(refused, Err(BindError::IceServerUrl { url, .. }) if url == "http://example.org"));
    let servers = pair.alice.ice_report().servers;
    assert!(
        servers.iter().all(|report| report.transport == Transport::Tls),
        "they are as they were: {servers:?}"
    );
}

#[tokio::test]
async fn each_failure_has_a_sentence() {
    let turn = Turn::start().await;
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let sentence = async |url: String, credential: &str, roots: TlsRoots| {
        let mut config = config();
        config.ice_servers = vec![IceServer::turn(url, USER, credential)];
        config.tls_roots = roots;
        let failures = failures(config).await;
        assert!(!failures.is_empty());
        failures[0].to_string()
    };
    let expired = Turn::start_until(2020).await;
    let start = Instant::now();
    let trusted = || TlsRoots::Pem(turn.certificate.clone());
    let tls = turn.tls.port();
    assert_eq!(
        sentence(format!("turn:{}", turn.udp), "wrong", trusted()).await,
        "the TURN server does not accept the username and password"
    );
    assert_eq!(
        sentence(format!("turns:localhost:{tls}"), PASSWORD, TlsRoots::System).await,
        "TLS to it failed: its certificate is signed by nobody that this host trusts"
    );
    assert_eq!(
        sentence(format!("turns:127.0.0.1:{tls}"), PASSWORD, trusted()).await,
        "TLS to it failed: its certificate is for another name than 127.0.0.1"
    );
    assert_eq!(
        sentence(
            format!("turns:localhost:{}", expired.tls.port()),
            PASSWORD,
            TlsRoots::Pem(expired.certificate.clone())
        )
        .await,
        "TLS to it failed: its certificate has expired"
    );
    let text = sentence(format!("turn:{refused}?transport=tcp"), PASSWORD, trusted()).await;
    assert!(
        text.starts_with("no connection to it: Connection refused"),
        "{text}"
    );
    let text = sentence("turn:nowhere.invalid".to_owned(), PASSWORD, trusted()).await;
    assert!(text.starts_with("its name does not resolve: "), "{text}");
    // All six together; `ways.rs` has those of DTLS.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_server_that_fails_does_not_stop_the_connection() {
    let turn = Turn::start().await;
    let mut with_both = config();
    with_both.ice_servers = vec![
        IceServer::turn(format!("turn:{}", turn.udp), USER, "wrong"),
        IceServer::turn(format!("turn:{}?transport=tcp", turn.tcp), USER, PASSWORD),
    ];
    with_both.ice_transport_policy = IceTransportPolicy::Relay;
    let (alice, alice_events) = PeerConnection::bind(with_both.clone()).await.unwrap();
    let (bob, bob_events) = PeerConnection::bind(with_both).await.unwrap();
    echo_through(alice, bob, [alice_events, bob_events]).await;
    until_no_allocations(&turn).await;
}
