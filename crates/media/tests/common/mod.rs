//! Two sessions face to face, in virtual time, with a link between them that the test controls.
#![allow(dead_code, unreachable_pub)]

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use dunlin_media::{
    Codec, Config, Event, Feedback, MediaKind, OutgoingPacket, ReceiverConfig, ReceiverId, SenderConfig,
    SenderId, Session, SourceSequence,
};
use dunlin_rtp::rtcp::{self, Packet as Rtcp};
use dunlin_rtp::{ExtensionKind, ExtensionMap, Packet, PayloadType, Ssrc, Timestamp};

pub const MS: Duration = Duration::from_millis(1);
pub const MEDIA: Ssrc = Ssrc(0x1000);
pub const RTX: Ssrc = Ssrc(0x1001);

#[allow(clippy::disallowed_methods)]
pub fn start() -> Instant {
    Instant::now()
}

pub fn pt(value: u8) -> PayloadType {
    PayloadType::new(value).unwrap()
}

pub fn video(rtx: bool) -> Codec {
    let feedback = Feedback {
        nack: true,
        pli: true,
        fir: true,
        transport_cc: true,
        remb: true,
    };
    Codec {
        payload_type: pt(96),
        clock_rate: 90_000,
        rtx: rtx.then(|| pt(97)),
        feedback,
    }
}

pub fn extensions() -> ExtensionMap {
    let mut map = ExtensionMap::new();
    map.set(ExtensionKind::AbsSendTime, 2);
    map.set(ExtensionKind::TransportSequence, 3);
    map.set(ExtensionKind::Mid, 4);
    map.set(ExtensionKind::Rid, 5);
    map.set(ExtensionKind::RepairedRid, 6);
    map.set(ExtensionKind::VideoOrientation, 7);
    map
}

pub fn sender_config(rtx: bool) -> SenderConfig {
    let mut config = SenderConfig::new("v", MediaKind::Video, MEDIA);
    config.rtx_ssrc = rtx.then_some(RTX);
    config.codecs = vec![video(rtx)];
    config.extensions = extensions();
    config
}

pub fn receiver_config(rtx: bool) -> ReceiverConfig {
    let mut config = ReceiverConfig::new("v", MediaKind::Video);
    config.codecs = vec![video(rtx)];
    config.extensions = extensions();
    config
}

/// One side sends video, the other receives it.
pub struct Pair {
    pub now: Instant,
    pub delay: Duration,
    pub alice: Session,
    pub bob: Session,
    pub sender: SenderId,
    pub receiver: ReceiverId,
    pub timestamp: u32,
    /// Every compound that either side wrote.
    pub compounds: Vec<Vec<u8>>,
    /// What Alice sent while time passed.
    pub sent: Vec<Vec<u8>>,
}

impl Pair {
    pub fn new(rtx: bool) -> Self {
        Self::with(rtx, Config::default())
    }

    pub fn with(rtx: bool, config: Config) -> Self {
        let now = start();
        let mut alice = Session::new(config.clone(), [1; 32], now);
        let mut bob = Session::new(config, [2; 32], now);
        let sender = alice.add_sender(sender_config(rtx));
        let receiver = bob.add_receiver(receiver_config(rtx));
        Self {
            now,
            delay: Duration::ZERO,
            alice,
            bob,
            sender,
            receiver,
            timestamp: 0,
            compounds: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Queues a packet at Alice's with a payload of its number.
    pub fn send(&mut self, number: u32) {
        self.timestamp += 3000;
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        let packet = OutgoingPacket::new(pt(96), Timestamp(self.timestamp), payload);
        self.alice.send(self.now, self.sender, packet).unwrap();
    }

    /// What Alice has to send.
    pub fn rtp(&mut self) -> Vec<Vec<u8>> {
        let more = drain(|out| self.alice.poll_rtp(self.now, out));
        let mut sent = std::mem::take(&mut self.sent);
        sent.extend(more);
        sent
    }

    /// How often Alice was asked for a key frame.
    pub fn asked(&mut self) -> usize {
        let events = std::iter::from_fn(|| self.alice.poll_event());
        events
            .filter(|event| *event == Event::KeyframeRequest(self.sender))
            .count()
    }

    pub fn deliver(&mut self, packet: &[u8]) {
        self.bob.handle_rtp(self.now, parse(packet));
    }

    /// Lets time pass, with RTCP in both directions at once, until both rest before `end`.
    pub fn run_until(&mut self, end: Instant) {
        loop {
            self.exchange_rtcp();
            self.sent.extend(drain(|out| self.alice.poll_rtp(self.now, out)));
            let next = self
                .alice
                .poll_timeout()
                .into_iter()
                .chain(self.bob.poll_timeout())
                .min();
            let Some(next) = next.filter(|next| *next <= end && *next > self.now) else {
                break;
            };
            self.now = next;
        }
        self.now = end;
    }

    pub fn exchange_rtcp(&mut self) {
        self.alice.handle_timeout(self.now);
        self.bob.handle_timeout(self.now);
        let from_alice = drain(|out| self.alice.poll_rtcp(self.now, out));
        let from_bob = drain(|out| self.bob.poll_rtcp(self.now, out));
        from_alice
            .iter()
            .for_each(|compound| self.bob.handle_rtcp(self.now + self.delay, compound));
        from_bob
            .iter()
            .for_each(|compound| self.alice.handle_rtcp(self.now + self.delay, compound));
        self.compounds.extend(from_alice);
        self.compounds.extend(from_bob);
    }

    /// The numbers of the packets that Bob's application got.
    pub fn received(&mut self) -> Vec<u32> {
        self.packets().iter().map(|(packet, _)| number(packet)).collect()
    }

    pub fn packets(&mut self) -> Vec<(Packet, SourceSequence)> {
        let mut packets = Vec::new();
        while let Some(event) = self.bob.poll_event() {
            if let Event::Packet { packet, sequence, .. } = event {
                packets.push((packet, sequence));
            }
        }
        packets
    }
}

pub fn drain(mut poll: impl FnMut(&mut Vec<u8>) -> bool) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut out = Vec::new();
        if !poll(&mut out) {
            assert!(out.is_empty(), "appended, but said nothing");
            return all;
        }
        assert!(!out.is_empty() && all.len() < 1000, "a poll that never ends");
        all.push(out);
    }
}

pub fn parse(packet: &[u8]) -> Packet {
    Packet::parse(Bytes::from(BytesMut::from(packet))).unwrap()
}

pub fn number(packet: &Packet) -> u32 {
    u32::from_be_bytes(packet.payload()[..].try_into().unwrap())
}

pub fn rtcp(compound: &[u8]) -> Vec<Rtcp> {
    rtcp::parse_compound(compound).map(Result::unwrap).collect()
}
