//! Peers over TCP (RFC 6544): neither learns the UDP addresses of the other, and there is no TURN server.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use common::{config, echo, soon};
use dunlin::{Config, DataChannelInit, Endpoint, Event, Events, Message, PeerConnection, SessionDescription};

fn listening() -> Config {
    let mut config = config();
    config.sockets.tcp = true;
    config
}

/// The description without its UDP candidates.
fn over_tcp(description: SessionDescription) -> SessionDescription {
    let lines = description.sdp.split_inclusive("\r\n");
    let sdp = lines.filter(|line| !(line.starts_with("a=candidate:") && line.contains(" udp ")));
    SessionDescription {
        sdp: sdp.collect(),
        ..description
    }
}

async fn whole(pc: &PeerConnection) -> SessionDescription {
    pc.set_local_description().unwrap();
    soon("gathering", pc.gathered()).await.unwrap();
    over_tcp(pc.local_description().unwrap())
}

/// `alice` offers; messages of every size go there and back, until `alice` closes.
async fn talk(alice: PeerConnection, bob: PeerConnection, mut events: Events) {
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Event::DataChannel(channel) = event {
                echo(channel);
            }
        }
    });
    let mut channel = alice
        .create_data_channel("x", DataChannelInit::default())
        .unwrap();
    bob.set_remote_description(whole(&alice).await).unwrap();
    alice.set_remote_description(whole(&bob).await).unwrap();
    soon("alice", alice.connected()).await.unwrap();
    soon("bob", bob.connected()).await.unwrap();
    let pair = alice
        .ice_report()
        .pairs
        .into_iter()
        .find(|pair| pair.responses_received > 0);
    assert!(pair.is_some_and(|pair| pair.local.port() != 0));
    for size in [1, 1000, 60_000, 200_000] {
        soon("sending", channel.send(vec![7u8; size])).await.unwrap();
        let back = soon("the echo", channel.recv()).await.unwrap();
        assert_eq!(back, Some(Message::from(vec![7u8; size])));
    }
    let sctp = alice.stats().sctp.unwrap();
    assert!(
        sctp.smoothed_round_trip_time.is_some() && sctp.ect_packets_sent == 0,
        "{sctp:?}"
    );
    alice.close();
    soon("bob to end", bob.closed()).await;
}

#[tokio::test]
async fn whoever_offers_may_listen_or_connect() {
    for offerer_listens in [true, false] {
        let [alice, bob] = match offerer_listens {
            true => [listening(), config()],
            false => [config(), listening()],
        };
        let (alice, _events) = PeerConnection::bind(alice).await.unwrap();
        let (bob, events) = PeerConnection::bind(bob).await.unwrap();
        talk(alice, bob, events).await;
    }
}

#[tokio::test]
async fn one_listening_port_serves_many_connections() {
    let endpoint = Endpoint::bind(listening().sockets).await.unwrap();
    let mut talks = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (alice, _events) = PeerConnection::bind(config()).await.unwrap();
        let (bob, events) = endpoint.connection(Config::default()).await.unwrap();
        talks.spawn(async move {
            let _keep = _events;
            talk(alice, bob, events).await;
        });
    }
    while let Some(ended) = talks.join_next().await {
        ended.unwrap();
    }
}

/// Where a connection listens.
async fn listener_of(pc: &PeerConnection) -> SocketAddr {
    pc.create_data_channel("x", DataChannelInit::default()).unwrap();
    let offer = whole(pc).await;
    let line = offer
        .sdp
        .lines()
        .find(|line| line.contains("tcptype passive"))
        .unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    format!("{}:{}", words[4], words[5]).parse().unwrap()
}

#[tokio::test]
async fn strangers_are_let_go_of_at_their_first_frame() {
    let (pc, _events) = PeerConnection::bind(listening()).await.unwrap();
    let at = listener_of(&pc).await;
    // Too short for a message; data; a check for nobody.
    let mut check = vec![0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42];
    check.extend([7; 12]);
    check.extend(b"\x00\x06\x00\x04no:b");
    for frame in [vec![1], vec![0x80; 300], check] {
        let closed = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(at).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(&(frame.len() as u16).to_be_bytes()).unwrap();
            stream.write_all(&frame).unwrap();
            stream.read(&mut [0; 10]).map_or(0, |bytes| bytes)
        });
        assert_eq!(soon("the connection to close", closed).await.unwrap(), 0);
    }
    assert!(
        !pc.ice_report()
            .pairs
            .iter()
            .any(|pair| pair.requests_received > 0)
    );
}

#[tokio::test]
async fn a_listener_is_announced_only_on_request() {
    for tcp in [false, true] {
        let mut config = config();
        config.sockets.tcp = tcp;
        let (pc, _events) = PeerConnection::bind(config).await.unwrap();
        pc.create_data_channel("x", DataChannelInit::default()).unwrap();
        pc.set_local_description().unwrap();
        soon("gathering", pc.gathered()).await.unwrap();
        let protocols: Vec<String> = pc
            .ice_report()
            .local
            .iter()
            .map(|c| c.protocol.to_string())
            .collect();
        let expected: &[&str] = if tcp { &["udp", "tcp"] } else { &["udp"] };
        assert_eq!(protocols, expected);
    }
}
