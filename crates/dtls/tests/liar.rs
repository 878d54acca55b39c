//! Single lies of somebody in the middle; the liar that tells all of them at once is `dunlin_sim::liar`.

mod common;

use std::time::Duration;

use bytes::BytesMut;
use common::{BOTH_VERSIONS, Net, closed, configs_of, epoch};
use dunlin_dtls::{CloseReason, Connection, Event, Version};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// Cuts the handshake messages of epoch 0 into fragments of at most `size` bytes, each in a datagram; everything
/// else stays whole.
fn refragment(datagram: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = datagram;
    let u24 = |bytes: &[u8]| usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
    while rest.len() >= 13 && rest[0] >> 5 == 0 {
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
    if !rest.is_empty() {
        out.push(rest.to_vec());
    }
    out
}

#[test]
fn threat_4_records_cut_anew_to_every_size_connect_without_a_retransmission() {
    for version in BOTH_VERSIONS {
        let base = configs_of(version);
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
                assert_eq!(retransmissions, 0, "size {size}, reverse {reverse}, {version}");
            }
        }
    }
}

/// A middle box that swaps the certificate of one side for its own and signs with its own key would be a whole
/// stack; one that changes what is not signed is caught by Finished.
#[test]
fn a_downgrade_of_the_offer_is_caught_by_finished() {
    for version in BOTH_VERSIONS {
        let base = configs_of(version);
        let mut net = Net::new(base.0, base.1);
        net.run(|index, datagram| {
            let mut data = datagram.data.clone();
            if index == 0 {
                // The preferred suite becomes one that nobody knows.
                let at = data
                    .windows(2)
                    .position(|pair| {
                        pair == if version == Version::Dtls12 {
                            [0xC0, 0x2B]
                        } else {
                            [0x13, 0x01]
                        }
                    })
                    .unwrap();
                data[at..at + 2].copy_from_slice(&[0xFA, 0xFA]);
            }
            vec![(Duration::ZERO, data)]
        });
        let reasons = [closed(&net.client_events), closed(&net.server_events)];
        let text = reasons.map(|reason| reason.map(ToString::to_string).unwrap_or_default());
        // In DTLS 1.3 the keys hang on the hellos, so nothing more can be read.
        let expected = match version {
            Version::Dtls13 => "did not finish",
            _ => "does not verify",
        };
        assert!(text.iter().any(|text| text.contains(expected)), "{text:?}");
        assert!(!net.client.is_connected() && !net.server.is_connected());
    }
}

/// Rubbish into every state: the laws hold.
#[test]
fn random_datagrams_do_no_harm_in_any_state() {
    for version in BOTH_VERSIONS {
        let base = configs_of(version);
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
}

/// "Nothing unauthenticated allocates state" beyond the bounds: a flood of fragments of ever new messages.
#[test]
fn threat_4_a_flood_of_fragments_holds_no_more_memory_than_configured() {
    for version in BOTH_VERSIONS {
        let (_, server) = configs_of(version);
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
}
