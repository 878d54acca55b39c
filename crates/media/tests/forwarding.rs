//! A stream that is forwarded: padding leaves no holes, losses stay visible, nothing is doubled.

mod common;

use std::collections::BTreeMap;

use common::*;
use dunlin_media::{Event, OutgoingPacket, SenderConfig};
use dunlin_rtp::{Header, Ssrc};
use proptest::prelude::*;

/// A packet of a source with or without media in it.
fn packet(ssrc: u32, sequence: u16, media: Option<u32>) -> Vec<u8> {
    let mut out = vec![if media.is_some() { 0x80 } else { 0xa0 }, 96];
    out.extend(sequence.to_be_bytes());
    out.extend((u32::from(sequence) * 3000).to_be_bytes());
    out.extend(ssrc.to_be_bytes());
    match media {
        Some(number) => out.extend(number.to_be_bytes()),
        None => out.extend([0, 0, 0, 4]),
    }
    out
}

/// Gives packets to Bob, who sends them on, and answers with number and sequence of what comes out.
struct Forwarder {
    pair: Pair,
    sender: dunlin_media::SenderId,
}

impl Forwarder {
    fn new() -> Self {
        let mut pair = Pair::new(false);
        let sender = pair.bob.add_sender(SenderConfig {
            ssrc: Ssrc(0x7000),
            ..sender_config(false)
        });
        Self { pair, sender }
    }

    fn forward(&mut self, received: &[u8]) -> Vec<(u32, u16)> {
        self.pair.deliver(received);
        while let Some(event) = self.pair.bob.poll_event() {
            if let Event::Packet { packet, sequence, .. } = event {
                let packet = OutgoingPacket::forward(&packet, sequence);
                self.pair.bob.send(self.pair.now, self.sender, packet).unwrap();
            }
        }
        let sent = drain(|out| self.pair.bob.poll_rtp(self.pair.now, out));
        sent.iter()
            .map(|sent| (number(&parse(sent)), Header::parse(sent).unwrap().sequence.0))
            .collect()
    }
}

#[test]
fn probing_at_the_start_of_a_stream_leaves_no_hole() {
    let mut forwarder = Forwarder::new();
    let mut sent = Vec::new();
    let mut media = 0;
    for sequence in 0..60u16 {
        let is_padding = (3..20).contains(&sequence) || sequence % 11 == 0;
        let received = packet(
            5,
            65_530u16.wrapping_add(sequence),
            (!is_padding).then_some(media),
        );
        media += u32::from(!is_padding);
        sent.extend(forwarder.forward(&received));
    }
    assert_eq!(sent.len() as u32, media);
    for pair in sent.windows(2) {
        assert_eq!(pair[1].0, pair[0].0 + 1);
        assert_eq!(pair[1].1, pair[0].1 + 1, "no hole at {}", pair[1].0);
    }
}

#[test]
fn another_source_goes_on_without_a_hole() {
    let mut forwarder = Forwarder::new();
    let mut sent = Vec::new();
    for sequence in 0..10 {
        sent.extend(forwarder.forward(&packet(5, 60_000 + sequence, Some(u32::from(sequence)))));
    }
    for sequence in 10..20 {
        sent.extend(forwarder.forward(&packet(6, sequence, Some(u32::from(sequence)))));
    }
    assert_eq!(sent.len(), 20);
    assert!(sent.windows(2).all(|pair| pair[1].1 == pair[0].1 + 1));
}

proptest! {
    /// Whatever is lost, padded, repeated and reordered: a number is given to one packet only, in the order of the
    /// source, and between two packets that come out there is never less room than was lost between them.
    #[test]
    fn numbers_are_unique_ordered_and_leave_room_for_what_is_late(
        first in any::<u16>(),
        kinds in prop::collection::vec((0..10u8, 0..6u64), 1..300),
    ) {
        let mut forwarder = Forwarder::new();
        let mut arrivals = Vec::new();
        for (i, (kind, late)) in kinds.iter().enumerate() {
            let sequence = first.wrapping_add(i as u16);
            let bytes = packet(5, sequence, (*kind > 2).then_some(i as u32));
            if *kind != 9 {
                arrivals.push((i as u64 + late, bytes.clone()));
            }
            if *kind == 8 {
                arrivals.push((i as u64 + late + 2, bytes));
            }
        }
        arrivals.sort_by_key(|(at, _)| *at);
        let mut sent = BTreeMap::new();
        for (_, bytes) in &arrivals {
            for (number, sequence) in forwarder.forward(bytes) {
                prop_assert_eq!(sent.insert(number, sequence), None, "doubled");
            }
        }
        let sent: Vec<(u32, u16)> = sent.into_iter().collect();
        let media = kinds.iter().filter(|(kind, _)| (3..9).contains(kind)).count();
        prop_assert_eq!(sent.len(), media);
        for pair in sent.windows(2) {
            let step = pair[1].1.wrapping_sub(pair[0].1);
            let lost = (pair[0].0 + 1..pair[1].0).filter(|i| kinds[*i as usize].0 == 9).count();
            let between = pair[1].0 - pair[0].0;
            prop_assert!(step > lost as u16, "{pair:?}: {lost} lost between");
            prop_assert!(u32::from(step) <= between, "{pair:?}: holes are not made");
        }
    }
}
