//! Acknowledgements (RFC 9147, section 7): when they are sent, what they save, and what they cannot do; and records that
//! come before their keys.

mod common;

use std::time::Duration;

use common::analyser::{ACK, Analyser, DATA, HANDSHAKE, Record, ack, acked, plain};
use common::{DELAY, Datagram, Fate, Net, configs_of, pass};
use dunlin_dtls::{Config, Event, Group, Role, Version};

/// Flights of several datagrams each.
fn configs(max_datagram: usize) -> (Config, Config) {
    let (mut client, mut server) = configs_of(Version::Dtls13);
    client.groups = vec![Group::X25519, Group::P256];
    for config in [&mut client, &mut server] {
        config.max_datagram = max_datagram;
        config.key_log = true;
    }
    (client, server)
}

/// Runs a handshake in which these datagrams of the server are lost.
fn lossy(max_datagram: usize, lost_of_server: &[usize]) -> (Net, Analyser) {
    let (client, server) = configs(max_datagram);
    let mut net = Net::new(client, server);
    let mut count = 0;
    net.run(|index, datagram| {
        if datagram.to == Role::Server {
            return pass(index, datagram);
        }
        count += 1;
        if lost_of_server.contains(&(count - 1)) {
            vec![]
        } else {
            pass(index, datagram)
        }
    });
    net.assert_working();
    let analyser = Analyser::new(&net.client_events);
    (net, analyser)
}

/// The ACKs of a side, with their time since the start.
fn acks(net: &Net, analyser: &Analyser, from: Role) -> Vec<(Duration, Record)> {
    let own = net.sent.iter().filter(|(_, datagram)| datagram.to != from);
    let each = own.flat_map(|(at, datagram)| {
        let records = analyser.open(from, &datagram.data);
        records.into_iter().map(|record| (*at - net.start, record))
    });
    each.filter(|(_, record)| record.kind == ACK).collect()
}

/// The numbers of all records of handshake messages in the `n`-th datagram of the server.
fn numbers(net: &Net, analyser: &Analyser, n: usize) -> Vec<(u64, u64)> {
    let datagram = net.sent_by(Role::Server).nth(n).unwrap();
    let records = analyser.open(Role::Server, datagram);
    records
        .iter()
        .map(|record| (record.epoch, record.sequence))
        .collect()
}

/// > One approach is to set a timer for 1/4 the current retransmit timer value when the first record in the flight is
/// > received and then send an ACK when that timer expires. (RFC 9147, section 7.1)
#[test]
fn the_end_of_a_flight_that_is_missing_is_asked_for_after_a_quarter_of_the_timer() {
    let (honest, _) = lossy(300, &[]);
    // All that the server sent but the ACK at the end.
    let flight = honest.sent_by(Role::Server).count() - 1;
    let (net, analyser) = lossy(300, &[flight - 1]);
    let (at, first) = &acks(&net, &analyser, Role::Client)[0];
    assert_eq!(*at, 2 * DELAY + Duration::from_millis(100));
    assert_eq!(
        first.epoch, 2,
        "\"equal to or higher than the record which is being acknowledged\""
    );
    let expected: Vec<_> = (0..flight - 1)
        .flat_map(|n| numbers(&net, &analyser, n))
        .collect();
    assert_eq!(
        acked(&first.content),
        expected,
        "what came, in numerically increasing order"
    );
    assert_eq!(net.server.stats().retransmissions, 1);
}

/// > When they receive a message or fragment which is out of order, either because it is not the next expected message or
/// > because it is not the next piece of the current message. (RFC 9147, section 7.1)
#[test]
fn a_hole_in_the_middle_is_reported_sooner() {
    let (honest, _) = lossy(200, &[]);
    let flight = honest.sent_by(Role::Server).count() - 1;
    for hole in 1..flight - 1 {
        let (net, analyser) = lossy(200, &[hole]);
        let (at, _) = &acks(&net, &analyser, Role::Client)[0];
        assert_eq!(*at, 2 * DELAY + Duration::from_millis(10), "hole {hole}");
    }
}

/// > it SHOULD record that the messages or message fragments sent in the records being ACKed were received and omit them
/// > from any future retransmissions. (RFC 9147, section 7.2)
#[test]
fn what_was_acknowledged_is_not_sent_again() {
    let (honest, _) = lossy(300, &[]);
    let flight = honest.sent_by(Role::Server).count() - 1;
    for hole in 0..flight {
        let (net, analyser) = lossy(300, &[hole]);
        let pieces = |from, to| {
            let datagrams = net.sent_by(Role::Server).skip(from).take(to);
            let found = analyser.pieces(Role::Server, datagrams);
            let each = found
                .iter()
                .map(|(_, piece)| (piece.message_seq, piece.offset, piece.offset + piece.len));
            each.collect::<Vec<_>>()
        };
        let again = pieces(flight, usize::MAX);
        let lost = pieces(hole, 1);
        let of = |bytes: &[(u16, usize, usize)]| bytes.iter().map(|(_, from, to)| to - from).sum::<usize>();
        if hole == 0 {
            // Nothing could be read, so nothing of it could be acknowledged but what is in the other datagrams' clear.
            assert!(of(&again) >= of(&lost), "hole {hole}");
            continue;
        }
        assert!(lost.iter().all(|(message, from, to)| {
            again
                .iter()
                .any(|(other, a, b)| message == other && a <= from && to <= b)
        }));
        assert_eq!(
            of(&again),
            of(&lost),
            "hole {hole}: {lost:?} was lost and {again:?} was sent again"
        );
    }
}

/// > Having the client send an empty ACK shortcuts this process. (RFC 9147, section 7.1)
#[test]
fn a_lost_server_hello_is_asked_for_by_an_empty_ack_and_what_came_early_is_kept() {
    let (net, analyser) = lossy(300, &[0]);
    let (at, first) = &acks(&net, &analyser, Role::Client)[0];
    assert_eq!(*at, 2 * DELAY + Duration::from_millis(10));
    assert_eq!((first.epoch, &first.content[..]), (0, &[0, 0][..]));
    assert_eq!(net.client.stats().drops.early_overflow, 0);
    assert!(
        net.sent.last().unwrap().0 - net.start < Duration::from_millis(150),
        "no timer had to fire"
    );
}

/// > the server MUST respond to retransmission of the client's final flight with a retransmit of its ACK. (RFC 9147,
/// > section 5.8.1)
#[test]
fn a_lost_ack_of_the_last_flight_is_sent_again_when_the_flight_is() {
    for lost in 1..4 {
        let (client, server) = configs(1200);
        let mut net = Net::new(client, server);
        let mut left = lost;
        let fate = |index, datagram: &Datagram| {
            let is_ack = datagram.to == Role::Client && datagram.data[0] & 0xE3 == 0x23;
            if is_ack && left > 0 {
                left -= 1;
                return vec![];
            }
            pass(index, datagram)
        };
        net.run_until(Duration::from_secs(60), fate, |_| false);
        net.assert_working();
        assert_eq!(net.client.stats().retransmissions, lost);
        assert_eq!(net.server.stats().acks_sent, lost + 1);
        assert_eq!(
            (net.client.poll_timeout(), net.server.poll_timeout()),
            (None, None)
        );
        // After twice the MSL nobody is answered any more.
        let finished: Vec<_> = net.sent_by(Role::Client).nth(1).unwrap().to_vec();
        net.give(Role::Server, &finished);
        net.settle(Duration::from_secs(300));
        assert_eq!(
            net.server.stats().acks_sent,
            lost + 1,
            "a replay is no retransmission"
        );
    }
}

/// An ACK in clear can be anybody's: it must not keep a flight from going out again.
#[test]
fn an_unprotected_ack_cannot_stop_a_retransmission_for_good() {
    for number in 0..3 {
        let (client, server) = configs(1200);
        let mut net = Net::new(client, server);
        let lie = plain(ACK, 90, &ack(&[(0, number)]));
        for at in (1..3000).step_by(40) {
            net.inject(Role::Client, Duration::from_millis(at), lie.clone());
        }
        let mut lost = 3;
        net.run(|index, datagram| {
            if datagram.to == Role::Server && lost > 0 {
                lost -= 1;
                return vec![];
            }
            pass(index, datagram)
        });
        net.assert_working();
        assert!(
            net.now - net.start <= Duration::from_secs(4),
            "{:?}",
            net.now - net.start
        );
        assert!(net.sent_by(Role::Client).count() < 12, "nor cause a stream");
    }
}

#[test]
fn acks_that_lie_about_protected_records_or_are_malformed_are_dropped() {
    let (client, server) = configs(1200);
    let mut net = Net::new(client, server);
    // The client's last flight is lost.
    let fate = |index, datagram: &Datagram| if index == 2 { vec![] } else { pass(index, datagram) };
    net.run_until(Duration::from_millis(45), fate, |_| false);
    assert!(!net.server.is_connected());
    let before = net.server.stats();
    for content in [&ack(&[(2, 0), (2, 1)])[..], &[0, 15, 0], &[0], &[]] {
        net.give(Role::Server, &plain(ACK, 91, content));
    }
    assert_eq!(net.server.stats().drops.bad_ack, before.drops.bad_ack + 4);
    net.run(pass);
    net.assert_working();
    // After the handshake none in clear counts at all; in DTLS 1.2 there are none.
    net.give(Role::Server, &plain(ACK, 92, &ack(&[])));
    assert_eq!(net.server.stats().drops.unexpected_record, 1);
    let mut old = Net::connected(Version::Dtls12);
    old.give(Role::Server, &plain(ACK, 92, &ack(&[])));
    assert_eq!(old.server.stats().drops.unexpected_record, 1);
}

/// However often the peer, or somebody, asks: an empty ACK in clear is answered ever more rarely.
#[test]
fn threat_14_empty_acks_in_clear_do_not_make_a_stream() {
    let (client, server) = configs(1200);
    let mut net = Net::new(client, server);
    let deaf = |_: usize, datagram: &Datagram| -> Fate {
        if datagram.to == Role::Client {
            vec![]
        } else {
            pass(0, datagram)
        }
    };
    for at in 20..4000 {
        net.inject(Role::Server, Duration::from_millis(at), plain(ACK, 93, &ack(&[])));
    }
    net.run_until(Duration::from_secs(4), deaf, |_| false);
    let sent = net.sent_by(Role::Server).count();
    assert!(sent < 60, "{sent} datagrams for 4,000 of 15 bytes");
}

#[test]
fn data_that_overtakes_the_clients_last_flight_waits_for_it() {
    let (client, server) = configs(1200);
    let mut net = Net::new(client, server);
    net.run_until(
        Duration::from_secs(1),
        |index, datagram| {
            if index >= 2 { vec![] } else { pass(index, datagram) }
        },
        |net| net.client.is_connected(),
    );
    assert!(!net.server.is_connected());
    let early: Vec<_> = (0..20u8).map(|index| net.seal(Role::Client, &[index])).collect();
    early.iter().for_each(|record| net.give(Role::Server, record));
    assert_eq!(
        net.server.stats().drops.early_overflow,
        4,
        "sixteen are kept by default"
    );
    let flight: Vec<_> = net.sent_by(Role::Client).nth(1).unwrap().to_vec();
    net.give(Role::Server, &flight);
    assert!(matches!(net.server.poll_event(), Some(Event::KeyLog(_))));
    let events =
        std::iter::from_fn(|| net.server.poll_event()).filter(|event| !matches!(event, Event::KeyLog(_)));
    let expected = (0..16u8).map(|index| Event::Data(vec![index].into()));
    assert_eq!(
        events.collect::<Vec<_>>(),
        [Event::Connected].into_iter().chain(expected).collect::<Vec<_>>()
    );
}

/// > the server MAY [send] application data [...] at 0.5 RTT (after RFC 8446, section 4.4.4): this one does not, and a
/// > client that gets some before Finished keeps it; data in the epoch of the handshake is nobody's.
#[test]
fn application_data_in_the_epoch_of_the_handshake_is_dropped() {
    let (client, server) = configs(1200);
    let mut net = Net::new(client, server);
    net.run(pass);
    let analyser = Analyser::new(&net.client_events);
    let lie = analyser.seal(Role::Client, (2, 40), &[], DATA, b"data");
    net.give(Role::Server, &lie);
    assert_eq!(net.server.stats().drops.unexpected_record, 1);
    assert_eq!(net.heard(Role::Server), Vec::<Vec<u8>>::new());
}

/// What comes behind the last flight in its epoch must not be taken for something of this connection's present.
#[test]
fn a_new_message_in_the_epoch_of_the_handshake_changes_nothing_afterwards() {
    let (client, server) = configs(1200);
    let mut net = Net::new(client, server);
    net.run(pass);
    let analyser = Analyser::new(&net.client_events);
    let update = common::analyser::message(24, 4, &[0]);
    let record = analyser.seal(Role::Client, (2, 41), &[], HANDSHAKE, &update);
    net.give(Role::Server, &record);
    net.settle(Duration::from_secs(1));
    assert_eq!(net.server.stats().key_updates_received, 0);
    net.assert_working();
}
