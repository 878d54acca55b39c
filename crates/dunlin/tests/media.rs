//! RTP packets between two peers over loopback.

mod common;

use common::{config, connect_whole, soon};
use dunlin::{
    Bytes, Direction, Event, Feedback, MediaKind, OutgoingPacket, PayloadType, PeerConnection, Timestamp,
    TrackReceiver, TransceiverInit,
};

/// A sender, and what comes back to it from a peer that echoes.
async fn echoed(kind: MediaKind) -> (PeerConnection, dunlin::TrackSender, TrackReceiver) {
    let (alice, mut alice_events) = PeerConnection::bind(config()).await.unwrap();
    let (bob, mut bob_events) = PeerConnection::bind(config()).await.unwrap();
    let transceiver = alice.add_transceiver(kind, TransceiverInit::default()).unwrap();
    tokio::spawn(async move {
        while let Some(event) = bob_events.next().await {
            if let Event::Track(track) = event {
                tokio::spawn(dunlin::echo::track(track));
            }
        }
    });
    connect_whole(&alice, &bob).await;
    assert_eq!(transceiver.current_direction(), Some(Direction::SendRecv));
    let back = soon("the track", async {
        loop {
            if let Event::Track(track) = alice_events.next().await.expect("alice lives") {
                return track;
            }
        }
    })
    .await;
    (alice, transceiver.sender(), back)
}

fn packet(sender: &dunlin::TrackSender, name: &str, i: u32) -> OutgoingPacket {
    let codecs = sender.codecs();
    let codec = codecs
        .iter()
        .find(|codec| codec.name == name)
        .expect("the codec was negotiated");
    let payload_type = PayloadType::new(codec.payload_type).unwrap();
    let payload = Bytes::from(vec![u8::try_from(i % 256).unwrap(); 1000]);
    OutgoingPacket::new(payload_type, Timestamp(i * 960), payload)
}

#[tokio::test]
async fn packets_come_back_in_order_and_whole() {
    let (alice, sender, mut back) = echoed(MediaKind::Audio).await;
    for i in 0..200 {
        sender.send_packet(packet(&sender, "opus", i)).unwrap();
        let packet = soon("a packet", back.recv()).await.unwrap().packet;
        assert_eq!(packet.header.timestamp, Timestamp(i * 960));
        assert_eq!(packet.payload(), vec![u8::try_from(i % 256).unwrap(); 1000]);
    }
    let stats = alice.stats();
    assert_eq!(stats.outbound_rtp[0].packets_sent, 200);
    assert_eq!(stats.inbound_rtp[0].packets_received, 200);
    assert_eq!(back.dropped(), 0);
}

#[tokio::test]
async fn a_key_frame_request_travels_through_an_echo_back_to_its_sender() {
    let (_alice, sender, mut back) = echoed(MediaKind::Video).await;
    sender.send_packet(packet(&sender, "VP8", 0)).unwrap();
    soon("a packet", back.recv()).await.unwrap();
    back.request_keyframe().unwrap();
    assert_eq!(
        soon("the request", sender.feedback()).await,
        Some(Feedback::KeyframeRequest)
    );
}

#[tokio::test]
async fn a_track_ends_with_its_connection() {
    let (alice, sender, mut back) = echoed(MediaKind::Video).await;
    alice.close();
    assert!(soon("the end", back.recv()).await.is_none());
    assert!(soon("the end", sender.feedback()).await.is_none());
}
