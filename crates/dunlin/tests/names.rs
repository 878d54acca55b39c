//! A peer that hides its address behind a name (draft-ietf-mmusic-mdns-ice-candidates), and one that finds it.

mod common;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use common::{config, soon};
use dunlin::{DataChannelInit, HiddenHosts, PeerConnection, SessionDescription};
use tokio::net::UdpSocket;

const NAME: &str = "b1c5d8a2-70f3-4f0e-8c11-5ad1f7a1c0de.local";
const NOBODYS: &str = "b1c5d8a2-70f3-4f0e-8c11-5ad1f7a1c0df.local";
const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);

/// Answers for `NAME` on the loopback interface, as a browser's responder does (RFC 6762, section 6.7).
fn respond() -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5353)).into())?;
    socket.join_multicast_v4(&GROUP, &Ipv4Addr::LOCALHOST)?;
    let socket = UdpSocket::from_std(socket.into())?;
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            if !buffer[..len][13..].starts_with(&NAME.as_bytes()[..36]) {
                continue;
            }
            let mut answer = buffer[..len].to_vec();
            answer[2] = 0x84;
            answer[7] = 1;
            // The name of the question, A, IN, ten seconds, four bytes.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 10, 0, 4, 127, 0, 0, 1]);
            drop(socket.send_to(&answer, from).await);
        }
    });
    Ok(())
}

/// Whether there is multicast on loopback, with somebody who answers. In CI, where nobody reads a skip, there has to be.
#[allow(clippy::print_stderr, reason = "a test says why it does not run")]
fn has_multicast() -> bool {
    let responding = respond();
    if let Err(error) = &responding {
        assert!(
            std::env::var_os("CI").is_none(),
            "no multicast on loopback: {error}"
        );
        eprintln!("skipped: no multicast on loopback: {error}");
    }
    responding.is_ok()
}

/// The description with `name` in place of the address.
fn hiding(description: SessionDescription, name: &str) -> SessionDescription {
    let hide = |line: &str| match line.starts_with("a=candidate:") {
        true => line.replace("127.0.0.1", name),
        false => line.to_owned(),
    };
    let sdp = description.sdp.split_inclusive("\r\n").map(hide);
    SessionDescription {
        sdp: sdp.collect(),
        ..description
    }
}

#[tokio::test]
async fn a_hidden_peer_is_found_and_one_that_nobody_answers_for_is_named_in_the_report() {
    if !has_multicast() {
        return;
    }
    for name in [NAME, NOBODYS] {
        let (alice, _a) = PeerConnection::bind(config()).await.unwrap();
        let (bob, _b) = PeerConnection::bind(config()).await.unwrap();
        alice
            .create_data_channel("x", DataChannelInit::default())
            .unwrap();
        alice.set_local_description().unwrap();
        soon("gathering", alice.gathered()).await.unwrap();
        bob.set_remote_description(hiding(alice.local_description().unwrap(), name))
            .unwrap();
        let answer = bob.set_local_description().unwrap();
        let without: Vec<&str> = answer
            .sdp
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with("a=candidate:"))
            .collect();
        let sdp = without.concat();
        alice
            .set_remote_description(SessionDescription { sdp, ..answer })
            .unwrap();
        if name == NAME {
            soon("alice", alice.connected()).await.unwrap();
            soon("bob", bob.connected()).await.unwrap();
        } else {
            soon("the name to be given up", async {
                while bob.ice_report().unresolved_names == 0 {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        }
    }
}

/// Without its candidates: what alice learns of bob is what his checks show.
fn without_candidates(description: SessionDescription) -> SessionDescription {
    let lines = description.sdp.split_inclusive("\r\n");
    let sdp = lines.filter(|line| !line.starts_with("a=candidate:")).collect();
    SessionDescription { sdp, ..description }
}

#[tokio::test]
async fn a_peer_that_hides_its_addresses_is_found_by_name_as_long_as_it_lives() {
    if !has_multicast() {
        return;
    }
    let mut hiding = config();
    hiding.peer.hidden_hosts = HiddenHosts::All;
    let (alice, _a) = PeerConnection::bind(hiding).await.unwrap();
    let (bob, _b) = PeerConnection::bind(config()).await.unwrap();
    alice
        .create_data_channel("x", DataChannelInit::default())
        .unwrap();
    alice.set_local_description().unwrap();
    soon("gathering", alice.gathered()).await.unwrap();
    let offer = alice.local_description().unwrap();
    assert!(
        offer.sdp.contains(".local ") && !offer.sdp.contains("127.0.0.1 "),
        "{}",
        offer.sdp
    );
    // "its mDNS name MUST NOT be used in the connection-address field of the SDP "c=" line" (section 3.1.2.4)
    assert!(offer.sdp.contains("c=IN IP4 0.0.0.0\r\n"), "{}", offer.sdp);
    bob.set_remote_description(offer.clone()).unwrap();
    let answer = bob.set_local_description().unwrap();
    alice.set_remote_description(without_candidates(answer)).unwrap();
    soon("alice", alice.connected()).await.unwrap();
    soon("bob", bob.connected()).await.unwrap();
    assert_eq!(bob.ice_report().unresolved_names, 0);

    alice.close();
    soon("the end", bob.closed()).await;
    let (late, _l) = PeerConnection::bind(config()).await.unwrap();
    late.set_remote_description(offer).unwrap();
    late.set_local_description().unwrap();
    soon("the name to be given up", async {
        while late.ice_report().unresolved_names == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
