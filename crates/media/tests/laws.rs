//! The laws of the contract: any bytes, any order of calls, at any time.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::*;
use dunlin_media::{Config, OutgoingPacket, Session};
use dunlin_rtp::{Packet, Timestamp};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Call {
    Rtp {
        second: u8,
        sequence: u16,
        ssrc: u8,
        extension: Vec<u8>,
        payload: Vec<u8>,
    },
    Rtcp(Vec<u8>),
    RtcpOf {
        count: u8,
        packet_type: u8,
        body: Vec<u8>,
    },
    Wait(u16),
    Past(u16),
    Send(u8),
    Keyframe,
    Remb,
    Remove,
}

fn call() -> impl Strategy<Value = Call> {
    let bytes = |max| prop::collection::vec(any::<u8>(), 0..max);
    (any::<u8>(), any::<u16>(), 0..6u8, bytes(24), bytes(60)).prop_map(
        |(kind, number, ssrc, extension, payload)| match kind % 16 {
            0..=5 => {
                let second = [96, 97, 224, 225, 5][usize::from(number) % 5];
                Call::Rtp {
                    second,
                    sequence: number % 64,
                    ssrc,
                    extension,
                    payload,
                }
            }
            6 => Call::Rtcp(payload),
            7..=9 => Call::RtcpOf {
                count: ssrc * 3,
                packet_type: 200 + (number % 8) as u8,
                body: payload,
            },
            10 | 11 => Call::Wait(number % 700),
            12 => Call::Past(number),
            13 => Call::Send(ssrc),
            14 if number % 2 == 0 => Call::Keyframe,
            14 => Call::Remb,
            _ if number % 50 == 0 => Call::Remove,
            _ => Call::Wait(number % 5),
        },
    )
}

fn rtp(second: u8, sequence: u16, ssrc: u8, extension: &[u8], payload: &[u8]) -> Option<Packet> {
    let words = extension.len() / 4;
    let mut out = vec![0x90 | (sequence as u8 & 0x20), second];
    out.extend(sequence.to_be_bytes());
    out.extend([0, 0, 0, 9, 0, 0, 0x10, ssrc]);
    out.extend([0xbe, 0xde, 0, words as u8]);
    out.extend_from_slice(&extension[..4 * words]);
    out.extend_from_slice(payload);
    Packet::parse(Bytes::from(out)).ok()
}

/// Polls everything until it rests, and checks that it does.
fn rest(pair: &mut Pair) {
    let now = pair.now;
    for session in [&mut pair.alice, &mut pair.bob] {
        session.handle_timeout(now);
        for datagram in drain(|out| session.poll_rtcp(now, out)) {
            assert!(datagram.len() <= 1180);
            rtcp(&datagram);
        }
        drain(|out| session.poll_rtp(now, out));
        while session.poll_event().is_some() {}
        if let Some(due) = session.poll_timeout() {
            assert!(due > now, "a busy loop");
        }
        assert!(
            drain(|out| session.poll_rtcp(now, out)).is_empty(),
            "extra polls change nothing"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_in_any_order(calls in prop::collection::vec(call(), 1..80), rtx in any::<bool>(), drain_always in any::<bool>()) {
        let mut pair = Pair::new(rtx);
        let both = pair.bob.add_sender(sender_config(rtx));
        for call in &calls {
            match call {
                Call::Rtp { second, sequence, ssrc, extension, payload } => {
                    if let Some(packet) = rtp(*second, *sequence, *ssrc, extension, payload) {
                        pair.bob.handle_rtp(pair.now, packet);
                    }
                }
                Call::Rtcp(bytes) => pair.bob.handle_rtcp(pair.now, bytes),
                Call::RtcpOf { count, packet_type, body } => {
                    let body = &body[..body.len() / 4 * 4];
                    let mut datagram = vec![0x80 | count, *packet_type, 0, (body.len() / 4) as u8];
                    datagram.extend_from_slice(body);
                    pair.bob.handle_rtcp(pair.now, &datagram);
                    pair.alice.handle_rtcp(pair.now, &datagram);
                }
                Call::Wait(millis) => pair.now += Duration::from_millis(u64::from(*millis)),
                Call::Past(millis) => {
                    let past = pair.now.checked_sub(Duration::from_millis(u64::from(*millis))).unwrap_or(pair.now);
                    pair.bob.handle_timeout(past);
                    let _ = pair.bob.poll_rtcp(past, &mut Vec::new());
                }
                Call::Send(i) => {
                    let packet = OutgoingPacket::new(pt(96 + i % 2), Timestamp(u32::from(*i)), Bytes::from_static(&[1; 40]));
                    let _ = pair.bob.send(pair.now, both, packet);
                }
                Call::Keyframe => pair.bob.request_keyframe(pair.now, pair.receiver),
                Call::Remb => pair.bob.send_remb(1 << 40),
                Call::Remove => pair.bob.remove_sender(both),
            }
            if drain_always {
                rest(&mut pair);
            }
        }
        rest(&mut pair);
        pair.bob.close(pair.now);
        let now = pair.now;
        drain(|out| pair.bob.poll_rtcp(now, out));
        prop_assert_eq!(pair.bob.poll_timeout(), None);
    }
}

/// THREATS 23: feedback for packets that were never sent is only reported, and costs what its bytes cost.
#[test]
fn feedback_for_what_was_never_sent_does_nothing() {
    let mut session = Session::new(Config::default(), [1; 32], start());
    session.add_sender(sender_config(true));
    let mut datagram = vec![0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0x10, 0];
    datagram.extend([0x12, 0x34, 0xff, 0xff, 0, 0, 0, 0, 0x1f, 0xff, 0x1f, 0xff]);
    for _ in 0..100 {
        session.handle_rtcp(start(), &datagram);
    }
    assert_eq!(session.drops().malformed_rtcp, 100, "65,535 statuses in 24 bytes");
    let nack = [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0x10, 0, 0, 0, 0xff, 0xff];
    session.handle_rtcp(start(), &nack);
    assert!(drain(|out| session.poll_rtp(start(), out)).is_empty());
    assert!(session.poll_event().is_none());
}
