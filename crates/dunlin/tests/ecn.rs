//! ECN over real sockets: what leaves with ECT(0) and what does not, and that a mark arrives where it is counted.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_types)]

mod common;

use std::collections::BTreeSet;
use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{config, echo, soon};
use dunlin::{
    Bytes, DataChannelInit, Event, MediaKind, OutgoingPacket, PayloadType, PeerConnection,
    SessionDescription, Timestamp, TransceiverInit,
};
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// What passed: its first byte, and its ECN field.
type Seen = Arc<Mutex<BTreeSet<(u8, u8)>>>;

/// One side of a router that the two peers take for each other.
struct Side {
    io: UdpSocket,
    state: UdpSocketState,
}

impl Side {
    async fn bind() -> Self {
        let io = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let state = UdpSocketState::new((&io).into()).unwrap();
        Self { io, state }
    }

    /// The next datagrams, with their ECN field.
    async fn receive(&self, buffer: &mut [u8]) -> RecvMeta {
        loop {
            self.io.readable().await.unwrap();
            let mut meta = [RecvMeta::default()];
            let received = self.io.try_io(Interest::READABLE, || {
                let mut buffers = [IoSliceMut::new(buffer)];
                self.state.recv((&self.io).into(), &mut buffers, &mut meta)
            });
            if received.is_ok() {
                return meta[0];
            }
        }
    }

    async fn send(&self, destination: SocketAddr, contents: &[u8], ecn: Option<EcnCodepoint>) {
        let transmit = Transmit {
            destination,
            ecn,
            contents,
            segment_size: None,
            src_ip: None,
        };
        loop {
            self.io.writable().await.unwrap();
            let sent = self.io.try_io(Interest::WRITABLE, || {
                self.state.try_send((&self.io).into(), &transmit)
            });
            if !sent.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock) {
                return;
            }
        }
    }
}

/// Passes on what comes in on one side, and marks it where it may and should.
async fn pass_on(from: Arc<Side>, to: Arc<Side>, peer: SocketAddr, seen: Seen, marks: Arc<AtomicBool>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let meta = from.receive(&mut buffer).await;
        for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
            let field = meta.ecn.map_or(0, |ecn| ecn as u8);
            seen.lock().unwrap().insert((datagram[0], field));
            let ecn = match meta.ecn {
                Some(EcnCodepoint::Ect0) if marks.load(Ordering::Relaxed) => Some(EcnCodepoint::Ce),
                other => other,
            };
            to.send(peer, datagram, ecn).await;
        }
    }
}

/// The description with the router in the place of who made it, and the address that stood there.
fn behind(description: &SessionDescription, router: SocketAddr) -> (SessionDescription, SocketAddr) {
    let mut text = serde_json::to_string(description).unwrap();
    let at = text.find(" 127.0.0.1 ").unwrap() + " 127.0.0.1 ".len();
    let port: String = text[at..].chars().take_while(char::is_ascii_digit).collect();
    text = text.replace(
        &format!(" 127.0.0.1 {port} "),
        &format!(" 127.0.0.1 {} ", router.port()),
    );
    let address = SocketAddr::new(router.ip(), port.parse().unwrap());
    (text.parse().unwrap(), address)
}

#[tokio::test]
async fn data_channels_alone_may_be_marked_and_marks_slow_them_down() {
    let (alice, _alice_events) = PeerConnection::bind(config()).await.unwrap();
    let (bob, mut bob_events) = PeerConnection::bind(config()).await.unwrap();
    let transceiver = alice
        .add_transceiver(MediaKind::Audio, TransceiverInit::default())
        .unwrap();
    let mut channel = alice
        .create_data_channel("marked", DataChannelInit::default())
        .unwrap();
    let [to_alice, to_bob] = [Arc::new(Side::bind().await), Arc::new(Side::bind().await)];

    alice.set_local_description().unwrap();
    soon("gathering", alice.gathered()).await.unwrap();
    let (offer, alice_at) = behind(
        &alice.local_description().unwrap(),
        to_bob.io.local_addr().unwrap(),
    );
    bob.set_remote_description(offer).unwrap();
    dunlin::echo::accept(&bob);
    bob.set_local_description().unwrap();
    soon("gathering", bob.gathered()).await.unwrap();
    let (answer, bob_at) = behind(
        &bob.local_description().unwrap(),
        to_alice.io.local_addr().unwrap(),
    );
    let (seen, marks) = (Seen::default(), Arc::new(AtomicBool::new(false)));
    let never = Arc::new(AtomicBool::new(false));
    tokio::spawn(pass_on(
        to_alice.clone(),
        to_bob.clone(),
        bob_at,
        seen.clone(),
        marks.clone(),
    ));
    tokio::spawn(pass_on(to_bob, to_alice, alice_at, seen.clone(), never));
    alice.set_remote_description(answer).unwrap();
    soon("alice to connect", alice.connected()).await.unwrap();
    let theirs = soon("the channel", async {
        loop {
            match bob_events.next().await.expect("bob lives") {
                Event::DataChannel(channel) => return channel,
                Event::Track(track) => drop(tokio::spawn(dunlin::echo::track(track))),
                _ => {}
            }
        }
    })
    .await;
    echo(theirs);

    let sender = transceiver.sender();
    let codec = sender.codecs()[0].payload_type;
    for i in 0..40u32 {
        let payload = Bytes::from(vec![7; 100]);
        let packet = OutgoingPacket::new(PayloadType::new(codec).unwrap(), Timestamp(i * 960), payload);
        sender.send_packet(packet).unwrap();
        marks.store(i >= 20, Ordering::Relaxed);
        channel.send(vec![7; 20_000]).await.unwrap();
        soon("the echo", channel.recv()).await.unwrap();
    }

    let (ours, theirs) = (alice.stats().sctp.unwrap(), bob.stats().sctp.unwrap());
    assert!(
        ours.ect_packets_sent > 40 && theirs.ect_packets_sent > 40,
        "{ours:?}"
    );
    assert!(theirs.ce_packets_received > 20, "{theirs:?}");
    assert_eq!(ours.ce_packets_received, 0);
    assert!(ours.ecn_marks_reported > 0 && ours.ecn_reactions > 0, "{ours:?}");
    assert_eq!(theirs.ecn, "capable");

    let seen = seen.lock().unwrap();
    let of = |bytes: std::ops::RangeInclusive<u8>| -> BTreeSet<u8> {
        let such = seen.iter().filter(|(first, _)| bytes.contains(first));
        such.map(|(_, field)| *field).collect()
    };
    let (nothing, both) = (BTreeSet::from([0]), BTreeSet::from([0, 2]));
    assert_eq!(of(0..=3), nothing, "STUN");
    assert_eq!(of(20..=22), nothing, "the DTLS handshake");
    assert_eq!(of(128..=191), nothing, "media");
    assert_eq!(of(23..=63), both, "data, and what acknowledges it");
}
