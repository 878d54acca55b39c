//! A liar in the middle, driven by seeds: flips, cuts, drops, swaps, replays, injects and cuts records anew.
//! Whatever it does, nobody panics, nobody loops, nobody believes in different keys, and both ends come to an end.

mod common;

use std::time::Duration;

use bytes::BytesMut;
use common::{Datagram, Fate, Net, closed, configs, epoch};
use dunlin_dtls::{CloseReason, Connection, Event};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

const SEEDS: u64 = 1500;

struct Liar {
    rng: StdRng,
    /// Of 100 datagrams, how many it touches.
    zeal: u32,
    /// What went by, to replay.
    seen: Vec<Vec<u8>>,
}

impl Liar {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let zeal = rng.random_range(1..60);
        Self {
            rng,
            zeal,
            seen: Vec::new(),
        }
    }

    fn fate(&mut self, datagram: &Datagram) -> Fate {
        let mut data = datagram.data.clone();
        self.seen.push(data.clone());
        if self.rng.random_range(0..100) >= self.zeal {
            return vec![(Duration::ZERO, data)];
        }
        let later = Duration::from_millis(self.rng.random_range(0..1500));
        match self.rng.random_range(0..8) {
            0 => vec![],
            1 => {
                for _ in 0..self.rng.random_range(1..4) {
                    let at = self.rng.random_range(0..data.len());
                    data[at] ^= 1 << self.rng.random_range(0..8);
                }
                vec![(Duration::ZERO, data)]
            }
            2 => {
                data.truncate(self.rng.random_range(0..data.len()));
                vec![(Duration::ZERO, data)]
            }
            3 => vec![(later, data)],
            4 => {
                let old = self.seen[self.rng.random_range(0..self.seen.len())].clone();
                vec![(Duration::ZERO, old), (later, data)]
            }
            5 => {
                let mut rubbish = vec![0; self.rng.random_range(1..200)];
                self.rng.fill_bytes(&mut rubbish);
                rubbish[0] = self.rng.random_range(20..26);
                if rubbish.len() > 13 {
                    let len = (rubbish.len() - 13) as u16;
                    rubbish[1..3].copy_from_slice(&[0xFE, 0xFD]);
                    rubbish[3..5].copy_from_slice(&[0, self.rng.random_range(0..2)]);
                    rubbish[11..13].copy_from_slice(&len.to_be_bytes());
                }
                vec![(Duration::ZERO, rubbish), (Duration::ZERO, data)]
            }
            6 => {
                let mut doubled = data.clone();
                doubled.extend_from_slice(&data);
                vec![(Duration::ZERO, doubled)]
            }
            _ => {
                let size = self.rng.random_range(1..300);
                let mut cut = refragment(&data, size);
                if self.rng.random_bool(0.5) {
                    cut.reverse();
                }
                let each = |(index, data)| (Duration::from_micros(index as u64), data);
                cut.into_iter().enumerate().map(each).collect()
            }
        }
    }
}

/// Cuts the handshake messages of epoch 0 into fragments of at most `size` bytes, each in a datagram; everything
/// else stays whole.
fn refragment(datagram: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = datagram;
    let u24 = |bytes: &[u8]| usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
    while rest.len() >= 13 {
        let len = usize::from(u16::from_be_bytes([rest[11], rest[12]]));
        let (record, behind) = rest.split_at((13 + len).min(rest.len()));
        rest = behind;
        if record[0] != 22 || record[4] != 0 {
            out.push(record.to_vec());
            continue;
        }
        let mut messages = &record[13..];
        while messages.len() >= 12 {
            let (offset, len) = (
                u24(&messages[6..9]),
                u24(&messages[9..12]).min(messages.len() - 12),
            );
            let body = &messages[12..12 + len];
            for (index, piece) in body
                .chunks(size)
                .enumerate()
                .chain((len == 0).then_some((0, &[][..])))
            {
                let mut cut = record[..11].to_vec();
                cut.extend_from_slice(&(12 + piece.len() as u16).to_be_bytes());
                cut.extend_from_slice(&messages[..6]);
                cut.extend_from_slice(&((offset + index * size) as u32).to_be_bytes()[1..]);
                cut.extend_from_slice(&(piece.len() as u32).to_be_bytes()[1..]);
                cut.extend_from_slice(piece);
                out.push(cut);
            }
            messages = &messages[12 + len..];
        }
    }
    out
}

#[test]
fn whatever_the_liar_does_both_sides_agree_or_end() {
    let base = configs();
    let (mut connected, mut failed) = (0, 0);
    for seed in 0..SEEDS {
        let (mut client, mut server) = base.clone();
        let max_datagram = [1200, 1200, 300, 100][seed as usize % 4];
        client.max_datagram = max_datagram;
        server.max_datagram = max_datagram;
        server.cookie = seed % 3 == 0;
        let mut liar = Liar::new(seed);
        let mut net = Net::new(client, server);
        net.run(|_, datagram| liar.fate(datagram));
        net.run_until(
            Duration::from_secs(200),
            |_, datagram| liar.fate(datagram),
            |_| false,
        );
        assert!(net.sent.len() < 500, "seed {seed}: {} datagrams", net.sent.len());
        for side in [&net.client, &net.server] {
            assert!(side.is_connected() || side.is_closed(), "seed {seed}");
            assert_eq!(side.poll_timeout(), None, "seed {seed}");
        }
        for events in [&net.client_events, &net.server_events] {
            let ends = events
                .iter()
                .filter(|event| matches!(event, Event::Closed(_)))
                .count();
            assert!(
                ends <= 1 && (ends == 0 || closed(events).is_some()),
                "seed {seed}: {events:?}"
            );
            let lies = events.iter().any(|event| matches!(event, Event::Data(_)));
            assert!(!lies, "seed {seed}: nobody sent any data");
        }
        if net.client.is_connected() && net.server.is_connected() {
            net.assert_working();
            connected += 1;
        } else {
            failed += 1;
        }
    }
    assert!(
        connected > SEEDS / 2 && failed > 0,
        "{connected} connected, {failed} failed"
    );
}

#[test]
fn threat_4_records_cut_anew_to_every_size_connect_without_a_retransmission() {
    let base = configs();
    for size in (1..=40).chain([64, 100, 255, 256, 257, 500, 1187, 1200]) {
        for reverse in [false, true] {
            let mut net = Net::new(base.0.clone(), base.1.clone());
            net.run(|_, datagram| {
                let mut cut = refragment(&datagram.data, size);
                if reverse {
                    cut.reverse();
                }
                cut.into_iter().map(|data| (Duration::ZERO, data)).collect()
            });
            net.assert_working();
            let retransmissions = net.client.stats().retransmissions + net.server.stats().retransmissions;
            assert_eq!(retransmissions, 0, "size {size}, reverse {reverse}");
        }
    }
}

/// A middle box that swaps the certificate of one side for its own and signs with its own key would be a whole
/// stack; one that changes what is not signed is caught by Finished.
#[test]
fn a_downgrade_of_the_offer_is_caught_by_finished() {
    let base = configs();
    let mut net = Net::new(base.0, base.1);
    net.run(|index, datagram| {
        let mut data = datagram.data.clone();
        if index == 0 {
            // The preferred suite becomes one that nobody knows.
            let at = data.windows(2).position(|pair| pair == [0xC0, 0x2B]).unwrap();
            data[at..at + 2].copy_from_slice(&[0xFA, 0xFA]);
        }
        vec![(Duration::ZERO, data)]
    });
    let reasons = [closed(&net.client_events), closed(&net.server_events)];
    let text = reasons.map(|reason| reason.map(ToString::to_string).unwrap_or_default());
    assert!(
        text.iter().any(|text| text.contains("does not verify")),
        "{text:?}"
    );
    assert!(!net.client.is_connected() && !net.server.is_connected());
}

/// Rubbish into every state: the laws hold.
#[test]
fn random_datagrams_do_no_harm_in_any_state() {
    let base = configs();
    let now = epoch();
    let mut rng = StdRng::seed_from_u64(7);
    for stage in 0..5 {
        let mut net = Net::new(base.0.clone(), base.1.clone());
        net.run_until(Duration::from_secs(1), common::pass, |net| net.sent.len() > stage);
        for _ in 0..3000 {
            let mut data = vec![0; rng.random_range(0..120)];
            rng.fill_bytes(&mut data);
            if data.len() > 13 && rng.random_bool(0.9) {
                let len = (data.len() - 13) as u16;
                data[0] = rng.random_range(20..24);
                data[1..5].copy_from_slice(&[0xFE, 0xFD, 0, rng.random_range(0..2)]);
                data[11..13].copy_from_slice(&len.to_be_bytes());
                if data.len() > 25 && rng.random_bool(0.8) {
                    data[13] = rng.random_range(0..21);
                    data[14..16].fill(0);
                    data[17..19].copy_from_slice(&u16::to_be_bytes(rng.random_range(0..6)));
                    data[19..25].fill(0);
                    data[24] = (len - 12).min(rng.random_range(0..120)) as u8;
                    data[16] = if rng.random_bool(0.5) {
                        data[24]
                    } else {
                        rng.random()
                    };
                }
            }
            for side in [&mut net.client, &mut net.server] {
                side.handle_datagram(now, BytesMut::from(&data[..]));
                let at = side.poll_timeout().unwrap_or(now);
                let mut out = Vec::new();
                let mut sent = 0;
                while side.poll_transmit(at, &mut out) {
                    sent += 1;
                }
                assert!(sent <= 2, "{sent} datagrams for one");
                while let Some(event) = side.poll_event() {
                    assert!(!matches!(event, Event::Data(_)));
                }
            }
        }
    }
}

/// "Nothing unauthenticated allocates state" beyond the bounds: a flood of fragments of ever new messages.
#[test]
fn threat_4_a_flood_of_fragments_holds_no_more_memory_than_configured() {
    let (_, server) = configs();
    let now = epoch();
    let limit = server.max_reassembly as u64;
    let mut server = Connection::new(server, [0; 32], now);
    let mut rng = StdRng::seed_from_u64(3);
    let info = allocation_counter::measure(|| {
        for _ in 0..20_000 {
            let mut data = [0u8; 13 + 12 + 50];
            data[0] = 22;
            data[1..3].copy_from_slice(&[0xFE, 0xFD]);
            data[12] = 62;
            data[13] = 1;
            data[14..17].copy_from_slice(&[0, 0x40, 0]);
            data[18] = rng.random_range(0..10);
            data[20] = rng.random_range(0..64);
            data[21] = rng.random();
            data[24] = 50;
            server.handle_datagram(now, BytesMut::from(&data[..]));
        }
    });
    // Growth by doubling, and the lists of ranges, come on top.
    assert!(info.bytes_max < 4 * limit, "{info:?}");
    assert!(matches!(
        server.poll_event(),
        None | Some(Event::Closed(CloseReason::Handshake(_)))
    ));
    assert!(server.stats().drops.oversized_fragment > 0);
}
