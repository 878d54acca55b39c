//! Audio and video through two connections in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use dunlin_net::{Path, Transport};
use dunlin_peerconnection::*;
use dunlin_rtp::{PayloadType, Timestamp};

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

struct Call {
    now: Instant,
    peers: [PeerConnection; 2],
    addresses: [SocketAddr; 2],
    events: [Vec<Event>; 2],
}

impl Call {
    fn new() -> Self {
        let now = start();
        let addresses = ["10.0.0.1:1000".parse().unwrap(), "10.0.0.2:2000".parse().unwrap()];
        let mut peers = [3, 4].map(|seed| PeerConnection::new(Config::default(), [seed; 32], now));
        for (peer, address) in peers.iter_mut().zip(addresses) {
            peer.add_local_address(now, address, Transport::Udp);
        }
        Self {
            now,
            peers,
            addresses,
            events: [Vec::new(), Vec::new()],
        }
    }

    fn negotiate(&mut self, offerer: usize) {
        let answerer = 1 - offerer;
        let offer = self.peers[offerer].set_local_description(self.now, None).unwrap();
        self.peers[answerer]
            .set_remote_description(self.now, offer)
            .unwrap();
        let all: Vec<TransceiverId> = self.peers[answerer]
            .transceivers()
            .iter()
            .map(Transceiver::id)
            .collect();
        for id in all {
            self.peers[answerer]
                .set_direction(id, Direction::SendRecv)
                .unwrap();
        }
        let answer = self.peers[answerer]
            .set_local_description(self.now, None)
            .unwrap();
        self.peers[offerer]
            .set_remote_description(self.now, answer)
            .unwrap();
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for side in 0..2 {
                let mut out = Vec::new();
                while self.peers[side].poll_transmit(self.now, &mut out).is_some() {
                    assert!(out.len() <= 1200);
                    let path = Path::udp(self.addresses[1 - side], self.addresses[side]);
                    self.peers[1 - side].handle_datagram(self.now, path, BytesMut::from(&out[..]));
                    out.clear();
                }
                while let Some(event) = self.peers[side].poll_event() {
                    self.events[side].push(event);
                }
            }
            self.now += Duration::from_millis(1);
            self.peers
                .iter_mut()
                .for_each(|peer| peer.handle_timeout(self.now));
        }
    }

    fn packets(&mut self, side: usize) -> Vec<(TransceiverId, RtpPacket)> {
        let mut packets = Vec::new();
        self.events[side].retain(|event| match event {
            Event::Rtp { transceiver, packet } => {
                packets.push((*transceiver, packet.clone()));
                false
            }
            _ => true,
        });
        packets
    }
}

fn packet(call: &Call, id: TransceiverId, timestamp: u32, payload: &[u8]) -> OutgoingPacket {
    let codec = &call.peers[0].send_parameters(id).expect("negotiated").codecs[0];
    let payload_type = PayloadType::new(codec.payload_type).unwrap();
    OutgoingPacket::new(
        payload_type,
        Timestamp(timestamp),
        Bytes::copy_from_slice(payload),
    )
}

#[test]
fn audio_and_video_are_echoed_and_key_frames_asked_for_both_ways() {
    let mut call = Call::new();
    let audio = call.peers[0]
        .add_transceiver(MediaKind::Audio, TransceiverInit::default())
        .unwrap();
    let video = call.peers[0]
        .add_transceiver(MediaKind::Video, TransceiverInit::default())
        .unwrap();
    call.negotiate(0);
    call.run(Duration::from_millis(500));
    let tracks = call.events[1]
        .iter()
        .filter(|event| matches!(event, Event::Track { .. }))
        .count();
    assert_eq!(tracks, 2);
    for n in 0..100 {
        for (id, payload) in [(audio, &b"opus"[..]), (video, &[9; 1000])] {
            let packet = packet(&call, id, n * 960, payload);
            call.peers[0].send_rtp(call.now, id, packet).unwrap();
        }
        call.run(Duration::from_millis(10));
        for (id, packet) in call.packets(1) {
            call.peers[1].send_rtp(call.now, id, packet.forward()).unwrap();
        }
    }
    call.run(Duration::from_millis(50));
    let echoed = call.packets(0);
    let of = |wanted| echoed.iter().filter(|(id, _)| *id == wanted).collect::<Vec<_>>();
    for (id, len) in [(audio, 4), (video, 1000)] {
        let packets = of(id);
        assert_eq!(packets.len(), 100);
        assert!(
            packets
                .iter()
                .all(|(_, packet)| packet.packet.payload_len() == len)
        );
        let step = |pair: &[&(TransceiverId, RtpPacket)]| {
            pair[1]
                .1
                .packet
                .header
                .sequence
                .0
                .wrapping_sub(pair[0].1.packet.header.sequence.0)
        };
        assert!(packets.windows(2).all(|pair| step(pair) == 1), "no gaps");
    }

    call.peers[0].request_keyframe(call.now, video).unwrap();
    call.run(Duration::from_millis(20));
    assert!(
        call.events[1]
            .iter()
            .any(|event| matches!(event, Event::KeyframeRequest(_)))
    );

    call.run(Duration::from_secs(3));
    let stats = call.peers[0].stats(call.now);
    assert_eq!(stats.outbound_rtp.len(), 2);
    assert!(
        stats
            .outbound_rtp
            .iter()
            .all(|out| out.packets_sent == 100 && out.remote_packets_lost == Some(0))
    );
    assert!(
        stats
            .inbound_rtp
            .iter()
            .all(|inbound| inbound.packets_received == 100 && inbound.packets_lost == 0)
    );
    assert_eq!(stats.transport.srtp_cipher, Some("SRTP_AEAD_AES_128_GCM"));
}

#[test]
fn video_is_added_to_a_running_data_session_and_taken_away_again() {
    let mut call = Call::new();
    call.peers[0]
        .create_data_channel(call.now, "a", DataChannelInit::default())
        .unwrap();
    call.negotiate(0);
    call.run(Duration::from_millis(500));
    // The answerer adds video now.
    let video = call.peers[1]
        .add_transceiver(MediaKind::Video, TransceiverInit::default())
        .unwrap();
    assert!(matches!(
        call.peers[1].poll_event(),
        Some(Event::NegotiationNeeded)
    ));
    call.negotiate(1);
    call.run(Duration::from_millis(100));
    assert!(
        call.events[0]
            .iter()
            .any(|event| matches!(event, Event::Track { .. }))
    );
    let codec = call.peers[1].send_parameters(video).unwrap().codecs[0].payload_type;
    let payload_type = PayloadType::new(codec).unwrap();
    let packet = OutgoingPacket::new(payload_type, Timestamp(1), Bytes::from_static(&[1, 2, 3]));
    call.peers[1].send_rtp(call.now, video, packet.clone()).unwrap();
    call.run(Duration::from_millis(20));
    assert_eq!(call.packets(0).len(), 1);
    call.peers[1].set_direction(video, Direction::Inactive).unwrap();
    let offer = call.peers[1].set_local_description(call.now, None).unwrap();
    call.peers[0].set_remote_description(call.now, offer).unwrap();
    let answer = call.peers[0].set_local_description(call.now, None).unwrap();
    call.peers[1].set_remote_description(call.now, answer).unwrap();
    call.run(Duration::from_millis(20));
    assert!(
        call.events[0]
            .iter()
            .any(|event| matches!(event, Event::TrackEnded(_)))
    );
    let refused = call.peers[1].send_rtp(call.now, video, packet);
    assert_eq!(refused, Err(TransceiverError::NotNegotiated));
    assert_eq!(call.peers[0].connection_state(), ConnectionState::Connected);
}
