//! Application data: once, in any order, unchanged, and without a copy or an allocation.

mod common;

use bytes::BytesMut;
use common::analyser::Analyser;
use common::{BOTH_ROLES, BOTH_VERSIONS, Net, configs_of, epoch, pass};
use dunlin_dtls::{CipherSuite, Connection, Event, Role, Version};

fn seal(connection: &mut Connection, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(connection.seal(&mut out, |out| {
        out.extend_from_slice(text);
        true
    }));
    assert_eq!(out.len(), text.len() + connection.overhead());
    out
}

fn deliver(connection: &mut Connection, record: &[u8]) -> Vec<Event> {
    connection.handle_datagram(epoch(), BytesMut::from(record));
    std::iter::from_fn(|| connection.poll_event()).collect()
}

fn data(text: &[u8]) -> Event {
    Event::Data(text.to_vec().into())
}

#[test]
fn records_come_out_in_the_order_in_which_they_arrive_and_only_once() {
    for version in BOTH_VERSIONS {
        let mut net = Net::connected(version);
        let records: Vec<Vec<u8>> = (0..200u8).map(|i| seal(&mut net.client, &[i])).collect();
        assert_eq!(deliver(&mut net.server, &records[1]), [data(&[1])]);
        assert_eq!(deliver(&mut net.server, &records[0]), [data(&[0])]);
        assert_eq!(deliver(&mut net.server, &records[0]), []);
        assert_eq!(deliver(&mut net.server, &records[199]), [data(&[199])]);
        assert_eq!(deliver(&mut net.server, &records[2]), [], "older than the window");
        assert_eq!(deliver(&mut net.server, &records[73]), [data(&[73])]);
        assert_eq!(net.server.stats().drops.replayed, 2);
        // The other direction has keys of its own.
        assert_eq!(deliver(&mut net.client, &records[100]), []);
        assert_eq!(net.client.stats().drops.unauthentic, 1);
    }
}

#[test]
fn many_records_in_one_datagram_with_rubbish_between_and_behind() {
    for version in BOTH_VERSIONS {
        let mut net = Net::connected(version);
        let (first, second) = (seal(&mut net.server, b"first"), seal(&mut net.server, b"second"));
        let foreign = [25, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        let datagram = [&first[..], &foreign, &second, &first[..20]].concat();
        assert_eq!(
            deliver(&mut net.client, &datagram),
            [data(b"first"), data(b"second")]
        );
        let drops = net.client.stats().drops;
        assert_eq!((drops.unexpected_record, drops.malformed_record), (1, 1));
    }
}

#[test]
fn changed_records_are_dropped_and_the_true_one_still_counts() {
    for suite in CipherSuite::ALL
        .into_iter()
        .filter(|suite| !suite.name().contains("_RSA_"))
    {
        let (mut client, server) = configs_of(suite.version());
        client.cipher_suites = vec![suite];
        let mut net = Net::new(client, server);
        net.run(pass);
        let record = seal(&mut net.client, b"the content");
        for at in 0..record.len() {
            for bit in 0..8 {
                let mut changed = record.clone();
                changed[at] ^= 1 << bit;
                assert_eq!(
                    deliver(&mut net.server, &changed),
                    [],
                    "{suite:?}: byte {at}, bit {bit}"
                );
            }
        }
        for len in 0..record.len() {
            assert_eq!(deliver(&mut net.server, &record[..len]), []);
        }
        assert_eq!(deliver(&mut net.server, &record), [data(b"the content")]);
    }
}

#[test]
fn data_that_overtakes_the_last_flight_waits_for_it() {
    let (client, server) = configs_of(Version::Dtls12);
    let now = epoch();
    let mut client = Connection::new(client, [1; 32], now);
    let mut server = Connection::new(server, [2; 32], now);
    let mut out = Vec::new();
    for (from, to) in [(1, 2), (2, 1), (1, 2)] {
        let (from, to) = match (from, to) {
            (1, _) => (&mut client, &mut server),
            _ => (&mut server, &mut client),
        };
        while from.poll_transmit(now, &mut out) {
            to.handle_datagram(now, BytesMut::from(&out[..]));
            out.clear();
        }
    }
    assert!(server.is_connected() && !client.is_connected());
    let early: Vec<Vec<u8>> = (0..20).map(|i| seal(&mut server, &[i])).collect();
    for record in &early {
        assert_eq!(deliver(&mut client, record), []);
    }
    assert_eq!(
        client.stats().drops.early_overflow,
        4,
        "sixteen are kept by default"
    );
    assert!(server.poll_transmit(now, &mut out));
    let events = deliver(&mut client, &out);
    assert_eq!(events[0], Event::Connected);
    assert_eq!(events[1..], (0..16).map(|i| data(&[i])).collect::<Vec<_>>());
}

#[test]
fn a_writer_that_gives_up_or_writes_too_much_leaves_nothing_behind() {
    for version in BOTH_VERSIONS {
        let mut net = Net::connected(version);
        let mut out = b"before".to_vec();
        let refused = net.client.seal(&mut out, |out| {
            out.extend_from_slice(b"half");
            false
        });
        assert!(!refused);
        assert!(!net.client.seal(&mut out, |out| {
            out.resize(out.len() + (1 << 14) + 1, 0);
            true
        }));
        assert!(!net.client.seal(&mut out, |out| {
            out.clear();
            true
        }));
        out = b"before".to_vec();
        assert!(net.client.seal(&mut out, |out| {
            out.resize(out.len() + (1 << 14), 0);
            true
        }));
        assert_eq!(out[..6], *b"before");
        // The numbers of the refused ones were not used.
        if version == Version::Dtls12 {
            assert_eq!(out[6..19], [23, 0xFE, 0xFD, 0, 1, 0, 0, 0, 0, 0, 1, 0x40, 0x18]);
        }
        assert_eq!(deliver(&mut net.server, &out[6..]), [data(&[0; 1 << 14])]);
    }
}

#[test]
fn the_event_queue_is_bounded() {
    for version in BOTH_VERSIONS {
        let (client, mut server) = configs_of(version);
        server.max_events = 10;
        let mut net = Net::new(client, server);
        net.run(pass);
        for _ in 0..20 {
            let record = seal(&mut net.client, b"data");
            net.server.handle_datagram(epoch(), BytesMut::from(&record[..]));
        }
        assert_eq!(std::iter::from_fn(|| net.server.poll_event()).count(), 10);
        assert_eq!(net.server.stats().drops.queue_full, 10);
    }
}

/// CVE-2026-26014: explicit nonces, over everything that a connection sends in epoch 1.
#[test]
fn threat_2_explicit_nonces_are_epoch_and_sequence_and_rise_through_the_whole_connection() {
    let (mut client, server) = configs_of(Version::Dtls12);
    client.cipher_suites = vec![CipherSuite::EcdheEcdsaAes128GcmSha256];
    let mut net = Net::new(client, server);
    // Each Finished is sent more than once.
    net.run(|index, datagram| {
        if index == 3 || index == 5 {
            vec![]
        } else {
            pass(index, datagram)
        }
    });
    assert!(net.client.stats().retransmissions >= 2);
    for role in [Role::Client, Role::Server] {
        let mut records = Vec::new();
        for (_, datagram) in net.sent.iter().filter(|(_, datagram)| datagram.to != role) {
            records.extend_from_slice(&datagram.data);
        }
        for i in 0..1000u32 {
            records.extend_from_slice(&seal(net.side(role), &i.to_be_bytes()));
        }
        let now = net.now;
        net.side(role).close(now);
        assert!(net.side(role).poll_transmit(now, &mut records));
        let mut next = 1u64 << 48;
        let mut rest = &records[..];
        while !rest.is_empty() {
            let len = 13 + usize::from(u16::from_be_bytes([rest[11], rest[12]]));
            if rest[3..5] == [0, 1] {
                assert_eq!(rest[3..11], next.to_be_bytes());
                assert_eq!(rest[13..21], next.to_be_bytes());
                next += 1;
            }
            rest = &rest[len..];
        }
        assert!(next > (1 << 48) + 1002, "{next:#x}");
    }
}

#[test]
fn sealing_allocates_nothing_and_receiving_no_more_than_the_owner_of_the_bytes() {
    for version in BOTH_VERSIONS {
        let mut net = Net::connected(version);
        let mut out = Vec::with_capacity(4096);
        let content = [7; 1200];
        let mut seal_into = |out: &mut Vec<u8>| {
            out.clear();
            assert!(net.client.seal(out, |out| {
                out.extend_from_slice(&content);
                true
            }));
        };
        seal_into(&mut out);
        let info = allocation_counter::measure(|| {
            for _ in 0..100 {
                seal_into(&mut out);
            }
        });
        assert_eq!(info.count_total, 0, "sealing");

        let now = epoch();
        net.server.handle_datagram(now, BytesMut::from(&out[..]));
        assert!(net.server.poll_event().is_some());
        let mut datagrams = Vec::new();
        for _ in 0..100 {
            seal_into(&mut out);
            datagrams.push(BytesMut::from(&out[..]));
        }
        let mut received = Vec::with_capacity(100);
        let info = allocation_counter::measure(|| {
            for datagram in datagrams.drain(..) {
                net.server.handle_datagram(now, datagram);
                received.extend(net.server.poll_event());
            }
        });
        assert_eq!(received.len(), 100);
        // Turning a BytesMut that owns its memory alone into Bytes makes the owner's 24 bytes; nothing is copied.
        assert!(
            info.count_total <= 100 && info.bytes_total <= 100 * 48,
            "{info:?}"
        );
    }
}

/// The same in DTLS 1.3, where nothing of the nonce is explicit: no number of an epoch is used twice, whatever is sent
/// again, and whichever keys are in use.
#[test]
fn threat_2_record_numbers_of_1_3_rise_in_every_epoch_through_the_whole_connection() {
    let (mut client, mut server) = configs_of(Version::Dtls13);
    (client.key_log, client.key_update_after) = (true, 100);
    (server.max_datagram, client.max_datagram) = (300, 300);
    let mut net = Net::new(client, server);
    net.run(|index, datagram| {
        if index % 5 == 4 {
            vec![]
        } else {
            pass(index, datagram)
        }
    });
    net.assert_working();
    assert!(net.client.stats().retransmissions + net.server.stats().retransmissions >= 2);
    let analyser = Analyser::new(&net.client_events);
    let mut own = BOTH_ROLES.map(|role| net.sent_by(role).map(<[u8]>::to_vec).collect::<Vec<_>>());
    for i in 0..300u32 {
        for (role, own) in BOTH_ROLES.into_iter().zip(&mut own) {
            let before = net.sent.len();
            own.push(net.seal(role, &i.to_be_bytes()));
            net.settle(std::time::Duration::from_millis(60));
            let sent = net.sent[before..]
                .iter()
                .filter(|(_, datagram)| datagram.to != role);
            own.extend(sent.map(|(_, datagram)| datagram.data.clone()));
        }
    }
    assert_eq!(
        (
            net.client.stats().key_updates_sent,
            net.server.stats().key_updates_sent
        ),
        (2, 0)
    );
    for (role, own) in BOTH_ROLES.into_iter().zip(own) {
        let records = own.iter().flat_map(|datagram| analyser.open(role, datagram));
        let mut numbers: Vec<_> = records.map(|record| (record.epoch, record.sequence)).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "{role:?}: a number was used twice");
        assert!(count > 300);
    }
}
