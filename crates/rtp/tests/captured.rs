//! Packets that Chromium 156 sent, one per line in hex: each is read, and RTCP is written again byte for byte.

use bytes::Bytes;
use dunlin_rtp::rtcp::{self, Packet as Rtcp};
use dunlin_rtp::{Packet, is_rtcp};

fn packets() -> Vec<Vec<u8>> {
    let byte = |line: &str, at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap();
    include_str!("data/chromium156.hex")
        .lines()
        .map(|line| (0..line.len()).step_by(2).map(|at| byte(line, at)).collect())
        .collect()
}

#[test]
fn every_rtp_packet_has_its_extensions_and_payload() {
    let packets: Vec<Packet> = packets()
        .into_iter()
        .filter(|packet| !is_rtcp(packet))
        .map(|packet| Packet::parse(Bytes::from(packet)).unwrap())
        .collect();
    assert_eq!(packets.len(), 18);
    for packet in &packets {
        assert!(packet.payload_len() + packet.header.padding_len > 0);
        assert!(packet.extensions().count() >= 2, "{:?}", packet.header);
    }
    assert!(
        packets.iter().any(|packet| packet.header.padding_len == 255),
        "probing with padding"
    );
}

#[test]
fn every_rtcp_packet_is_written_as_it_was() {
    let mut kinds = [0; 4];
    for datagram in packets().into_iter().filter(|packet| is_rtcp(packet)) {
        let mut out = Vec::new();
        for packet in rtcp::parse_compound(&datagram) {
            let packet = packet.unwrap();
            kinds[match &packet {
                Rtcp::SenderReport(_) | Rtcp::ReceiverReport(_) => 0,
                Rtcp::SourceDescription(_) => 1,
                Rtcp::TransportFeedback(_) => 2,
                _ => 3,
            }] += 1;
            packet.write(&mut out);
        }
        assert_eq!(out, datagram);
    }
    assert_eq!(kinds, [2, 1, 9, 1]);
}
