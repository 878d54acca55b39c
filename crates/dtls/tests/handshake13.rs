//! What a handshake of DTLS 1.3 costs, and that another implementation of its records reads it.

mod common;

use common::analyser::{ACK, Analyser, HANDSHAKE, acked};
use common::{BOTH_ROLES, DELAY, Net, configs_of, connect, pass};
use dunlin_dtls::{CipherSuite, Config, Group, Role, Version};

fn configs(groups: &[Group]) -> (Config, Config) {
    let (mut client, mut server) = configs_of(Version::Dtls13);
    client.groups = groups.to_vec();
    (client.key_log, server.key_log) = (true, true);
    (client, server)
}

fn bytes(net: &Net) -> usize {
    net.sent.iter().map(|(_, datagram)| datagram.data.len()).sum()
}

/// ClientHello; ServerHello to Finished; Certificate to Finished; ACK.
#[test]
fn without_the_hybrid_group_it_takes_four_datagrams_one_round_trip_and_few_bytes() {
    let (client, server) = configs(&[Group::X25519, Group::P256]);
    let mut net = Net::new(client, server);
    net.run(|index, datagram| {
        assert!(index < 4, "{datagram:?}");
        pass(index, datagram)
    });
    net.assert_working();
    assert_eq!(net.sent.len(), 4);
    // The client is connected after one round trip, the server after one and a half.
    let times: Vec<_> = net.sent.iter().map(|(at, _)| *at - net.start).collect();
    assert_eq!(times, [0, 1, 2, 3].map(|hops| hops * DELAY));
    let lens: Vec<usize> = net.sent.iter().map(|(_, datagram)| datagram.data.len()).collect();
    assert!(bytes(&net) <= 1_650, "{lens:?}");
    for side in [&net.client, &net.server] {
        assert_eq!(side.cipher_suite(), Some(CipherSuite::Aes128GcmSha256));
        assert_eq!(side.group(), Some(Group::X25519));
        assert_eq!((side.stats().retransmissions, side.stats().drops.total()), (0, 0));
        assert_eq!(
            side.stats().flights,
            if side.stats().acks_sent == 0 { 2 } else { 1 }
        );
        assert_eq!(side.poll_timeout(), None);
    }
}

/// "A ClientHello with it does not fit one 1200-byte datagram": the key of ML-KEM-768 has 1184 bytes, its ciphertext
/// 1088.
#[test]
fn with_the_hybrid_group_it_takes_two_datagrams_more_each_way_and_no_round_trip() {
    let (client, server) = configs(&[Group::X25519MlKem768, Group::X25519, Group::P256]);
    let net = connect(client, server);
    let by = |role| net.sent_by(role).count();
    assert_eq!(
        (by(Role::Client), by(Role::Server)),
        (3, 3),
        "hello in 2, last flight; flight in 2, ACK"
    );
    assert_eq!(net.sent.last().unwrap().0 - net.start, 3 * DELAY);
    assert_eq!(net.client.group(), Some(Group::X25519MlKem768));
    let (client, server) = configs(&[Group::X25519, Group::P256]);
    let more = bytes(&net) - bytes(&connect(client, server));
    // 1184 + 32 + 4 there, 1088 back, and the headers of the datagrams more.
    assert!((2_308..2_308 + 150).contains(&more), "{more} bytes more");
}

/// > For DTLS 1.3, that label SHALL be "dtls13". Note that there is no trailing space (RFC 9147, section 5.9)
#[test]
fn an_analyser_with_the_key_log_reads_every_message_in_its_epoch() {
    let (client, server) = configs(&[Group::X25519, Group::P256]);
    let net = connect(client, server);
    let analyser = Analyser::new(&net.client_events);
    let kinds = |role| -> Vec<_> {
        let pieces = analyser.pieces(role, net.sent_by(role));
        pieces
            .iter()
            .map(|((epoch, _), piece)| (*epoch, piece.kind, piece.message_seq))
            .collect()
    };
    assert_eq!(
        kinds(Role::Client),
        [(0, 1, 0), (2, 11, 1), (2, 15, 2), (2, 20, 3)]
    );
    assert_eq!(
        kinds(Role::Server),
        [
            (0, 2, 0),
            (2, 8, 1),
            (2, 13, 2),
            (2, 11, 3),
            (2, 15, 4),
            (2, 20, 5)
        ]
    );
    for role in BOTH_ROLES {
        let all = net
            .sent_by(role)
            .flat_map(|datagram| analyser.open(role, datagram));
        let kinds: Vec<u8> = all.map(|record| record.kind).collect();
        assert!(!kinds.contains(&20), "DTLS 1.3 has no ChangeCipherSpec");
    }
}

/// > Implementations MUST NOT acknowledge records [...] which have not been processed [...]
/// > the receiver of the final flight MUST send an ACK (after RFC 9147, section 7.1)
#[test]
fn the_last_flight_is_acknowledged_in_the_epoch_of_application_data_by_its_record_numbers() {
    let (client, server) = configs(&[Group::X25519, Group::P256]);
    let net = connect(client, server);
    let analyser = Analyser::new(&net.server_events);
    let last = net.sent_by(Role::Server).last().unwrap();
    let [record] = &analyser.open(Role::Server, last)[..] else {
        panic!()
    };
    assert_eq!((record.epoch, record.kind), (3, ACK));
    let mut flight = Vec::new();
    for record in net
        .sent_by(Role::Client)
        .skip(1)
        .flat_map(|datagram| analyser.open(Role::Client, datagram))
    {
        assert_eq!(record.kind, HANDSHAKE);
        flight.push((record.epoch, record.sequence));
    }
    assert_eq!(acked(&record.content), flight);
}

#[test]
fn every_hybrid_and_classic_group_as_the_first_of_the_client_needs_no_second_hello() {
    for group in [
        Group::X25519MlKem768,
        Group::X25519,
        Group::P256,
        Group::P384,
        Group::P521,
    ] {
        let (mut client, server) = configs(&[]);
        client.groups = vec![group];
        let net = connect(client, server);
        assert_eq!(net.client.group(), Some(group));
        assert_eq!(net.client.stats().flights, 2, "{group:?}");
    }
}
