//! A packet that is received, decrypted, forwarded and encrypted again allocates nothing in steady state.

mod common;

use bytes::BytesMut;
use common::*;
use dunlin_media::{Config, Event, OutgoingPacket, ReceiverId, SenderConfig, SenderId, Session};
use dunlin_rtp::extension::{AbsSendTime, TransportSequence};
use dunlin_rtp::{
    Csrcs, ExtensionKind, HeaderFields, NtpTime, Packet, SequenceNumber, Ssrc, Timestamp, write_header,
};
use dunlin_srtp::{Profile, Role};

const PACKETS: u32 = 5000;

/// A forwarder between a source and a sink.
struct Rig {
    now: std::time::Instant,
    source: dunlin_srtp::Session,
    inbound: dunlin_srtp::Session,
    outbound: dunlin_srtp::Session,
    forwarder: Session,
    receiver: ReceiverId,
    sender: SenderId,
    wire: Vec<u8>,
    socket: BytesMut,
    out: Vec<u8>,
    forwarded: u32,
}

impl Rig {
    fn new(profile: Profile) -> Self {
        let now = start();
        let material = vec![7; profile.keying_material_len()];
        let crypto = |role| dunlin_srtp::Session::new(profile, &material, role).unwrap();
        let mut forwarder = Session::new(Config::default(), [1; 32], now);
        let receiver = forwarder.add_receiver(receiver_config(true));
        let sender = forwarder.add_sender(SenderConfig {
            ssrc: Ssrc(0x9000),
            ..sender_config(true)
        });
        Self {
            now,
            source: crypto(Role::Client),
            inbound: crypto(Role::Server),
            outbound: crypto(Role::Server),
            forwarder,
            receiver,
            sender,
            wire: Vec::with_capacity(2048),
            socket: BytesMut::with_capacity(8192),
            out: Vec::with_capacity(2048),
            forwarded: 0,
        }
    }

    fn forward(&mut self, i: u32) {
        self.now += MS;
        self.wire.clear();
        let map = extensions();
        let id = |kind| map.id(kind).unwrap();
        let fields = HeaderFields {
            marker: i.is_multiple_of(4),
            padding: false,
            payload_type: pt(96),
            sequence: SequenceNumber(i as u16),
            timestamp: Timestamp(i / 4 * 3000),
            ssrc: MEDIA,
            csrcs: Csrcs::NONE,
        };
        let elements = [
            (id(ExtensionKind::Mid), &b"v"[..]),
            (
                id(ExtensionKind::AbsSendTime),
                &AbsSendTime::from_ntp(NtpTime(0)).to_bytes(),
            ),
            (
                id(ExtensionKind::TransportSequence),
                &TransportSequence(i as u16).to_bytes(),
            ),
            (id(ExtensionKind::VideoOrientation), &[1]),
        ];
        write_header(&mut self.wire, &fields, &elements).unwrap();
        self.wire.resize(1150, i as u8);
        self.source.protect_rtp(&mut self.wire, 0).unwrap();

        self.socket.reserve(2048);
        self.socket.extend_from_slice(&self.wire);
        let mut datagram = self.socket.split();
        let header = self.inbound.unprotect_rtp(&mut datagram).unwrap();
        self.forwarder.handle_rtp(
            self.now,
            Packet {
                header,
                data: datagram.freeze(),
            },
        );
        while let Some(event) = self.forwarder.poll_event() {
            if let Event::Packet {
                receiver,
                packet,
                sequence,
            } = event
            {
                assert_eq!(receiver, self.receiver);
                let packet = OutgoingPacket::forward(&packet, sequence);
                self.forwarder.send(self.now, self.sender, packet).unwrap();
            }
        }
        self.out.clear();
        while self.forwarder.poll_rtp(self.now, &mut self.out) {
            self.outbound.protect_rtp(&mut self.out, 0).unwrap();
            self.out.clear();
            self.forwarded += 1;
        }
        // Reports and feedback too.
        if self.forwarder.poll_timeout().is_some_and(|due| due <= self.now) {
            self.forwarder.handle_timeout(self.now);
        }
        while self.forwarder.poll_rtcp(self.now, &mut self.out) {
            self.outbound.protect_rtcp(&mut self.out, 0).unwrap();
            self.out.clear();
        }
    }
}

#[test]
fn forwarding_allocates_nothing() {
    for profile in [Profile::Aes128CmSha1_80, Profile::AeadAes128Gcm] {
        let mut rig = Rig::new(profile);
        // The first round fills the history of the sender; reports and feedback find the size of their buffers.
        (0..PACKETS).for_each(|i| rig.forward(i));
        let counted = allocation_counter::measure(|| (PACKETS..2 * PACKETS).for_each(|i| rig.forward(i)));
        assert_eq!(rig.forwarded, 2 * PACKETS);
        assert_eq!(counted.count_total, 0, "{profile:?}, over {PACKETS} packets");
        let stats = rig.forwarder.sender_stats(rig.sender).unwrap();
        assert_eq!(stats.packets_sent, u64::from(2 * PACKETS));
    }
}
