//! Handshakes over a network that does no harm: what is agreed on, and what both ends then have in common.

mod common;

use std::time::Duration;

use common::{Net, configs_of, pass};
use dunlin_dtls::{CipherSuite, ClientAddress, CookieSecret, ExportError, Group, Role, Version};

#[test]
fn client_and_server_connect_talk_and_export_the_same_keys() {
    let mut net = Net::connected(Version::Dtls12);
    net.assert_working();
    for side in [&net.client, &net.server] {
        assert_eq!(side.version(), Some(Version::Dtls12));
        assert_eq!(side.cipher_suite(), Some(CipherSuite::EcdheEcdsaAes128GcmSha256));
        assert_eq!(side.group(), Some(Group::X25519));
        assert_eq!(side.srtp_profile(), Some(8), "the server's preference decides");
        assert_eq!(side.stats().retransmissions, 0);
        assert_eq!(side.stats().drops.total(), 0);
        assert_eq!(side.poll_timeout(), None, "nothing to wait for when connected");
    }
}

#[test]
fn a_handshake_takes_four_datagrams_two_round_trips_and_few_bytes() {
    let net = Net::connected(Version::Dtls12);
    assert_eq!(net.sent.len(), 4);
    assert_eq!(net.now - net.start, 4 * common::DELAY);
    let bytes: usize = net.sent.iter().map(|(_, datagram)| datagram.data.len()).sum();
    assert!(
        bytes <= 1418,
        "{bytes} bytes: {:?}",
        net.sent.iter().map(|s| s.1.data.len()).collect::<Vec<_>>()
    );
}

#[test]
fn every_suite_and_every_group_works() {
    for suite in CipherSuite::ALL
        .into_iter()
        .filter(|suite| !suite.name().contains("_RSA_"))
    {
        let classic = [Group::X25519, Group::P256, Group::P384, Group::P521];
        let hybrid = (suite.version() == Version::Dtls13).then_some(Group::X25519MlKem768);
        for group in classic.into_iter().chain(hybrid) {
            let (mut client, mut server) = configs_of(suite.version());
            client.cipher_suites = vec![suite];
            server.groups = vec![group];
            let mut net = Net::new(client, server);
            net.run(pass);
            net.assert_working();
            assert_eq!(net.client.cipher_suite(), Some(suite));
            assert_eq!(net.server.group(), Some(group));
            let overhead = match suite.version() {
                Version::Dtls13 => 22,
                _ if suite.name().contains("CHACHA20") => 29,
                _ => 37,
            };
            assert_eq!(net.client.overhead(), overhead);
        }
    }
}

#[test]
fn a_cookie_costs_one_round_trip_and_two_datagrams() {
    let (client, mut server) = configs_of(Version::Dtls12);
    server.client_address = ClientAddress::Cookie {
        secret: CookieSecret([7; 32]),
        address: b"client".to_vec(),
    };
    let mut net = Net::new(client, server);
    net.run(pass);
    net.assert_working();
    assert_eq!(net.sent.len(), 6);
    assert_eq!(net.now - net.start, 6 * common::DELAY);
}

/// werift puts fragments of the hello before its HelloVerifyRequest together with those after it. Who asks like that
/// speaks DTLS 1.2, so the second hello goes without key shares, and is one fragment.
#[test]
fn the_hello_that_brings_a_cookie_back_is_whole_though_the_first_was_not() {
    let (mut client, mut server) = configs_of(Version::Dtls12);
    client.max_version = Version::Dtls13;
    server.client_address = ClientAddress::Cookie {
        secret: CookieSecret([7; 32]),
        address: b"client".to_vec(),
    };
    let mut net = Net::new(client, server);
    net.run(pass);
    net.assert_working();
    assert_eq!(net.client.version(), Some(Version::Dtls12));
    let hellos: Vec<_> = net.sent_by(Role::Client).map(<[u8]>::len).collect();
    assert!(
        hellos[0] > 1000 && hellos[1] > 100,
        "a share of X25519MLKEM768: {hellos:?}"
    );
    assert!(hellos[2] < 500, "{hellos:?}");
    let all: Vec<_> = net.sent.iter().map(|sent| sent.1.data.len()).collect();
    assert_eq!(all.len(), 7, "{all:?}");
}

#[test]
fn messages_are_cut_to_the_datagram_size() {
    for max in [1, 64, 65, 100, 200, 256, 500, 1200, 9000] {
        let (mut client, mut server) = configs_of(Version::Dtls12);
        client.max_datagram = max;
        server.max_datagram = max;
        let mut net = Net::new(client, server);
        net.run(pass);
        net.assert_working();
        let largest = net
            .sent
            .iter()
            .map(|(_, datagram)| datagram.data.len())
            .max()
            .unwrap();
        assert!(largest <= max.max(64), "{largest} bytes of at most {max}");
    }
}

#[test]
fn without_a_common_srtp_profile_there_is_none() {
    let (client, mut server) = configs_of(Version::Dtls12);
    server.srtp_profiles = vec![2];
    let mut net = Net::new(client, server);
    net.run(pass);
    net.assert_working();
    assert_eq!(net.client.srtp_profile(), None);
    assert_eq!(net.server.srtp_profile(), None);
}

#[test]
fn an_exporter_context_matters_even_when_empty_and_reserved_labels_are_refused() {
    let net = Net::connected(Version::Dtls12);
    let export = |context: Option<&[u8]>, side: Role| {
        let mut out = [0; 32];
        let side = if side == Role::Client {
            &net.client
        } else {
            &net.server
        };
        side.export("EXPERIMENTAL dunlin", context, &mut out).unwrap();
        out
    };
    assert_eq!(export(Some(b"x"), Role::Client), export(Some(b"x"), Role::Server));
    assert_ne!(export(Some(b"x"), Role::Client), export(Some(b"y"), Role::Client));
    assert_ne!(export(Some(b""), Role::Client), export(None, Role::Client));
    let mut out = [0; 4];
    assert_eq!(
        net.client.export("key expansion", None, &mut out),
        Err(ExportError::ReservedLabel)
    );
    let long = vec![0; 65_536];
    assert_eq!(
        net.client.export("label", Some(&long), &mut out),
        Err(ExportError::ContextTooLong)
    );
}

#[test]
fn nothing_works_before_the_handshake_is_done() {
    let (client, server) = configs_of(Version::Dtls12);
    let mut net = Net::new(client, server);
    let mut out = Vec::new();
    assert!(!net.client.seal(&mut out, |_| panic!("not asked")));
    assert_eq!(
        net.client.export("label", None, &mut [0; 4]),
        Err(ExportError::NotConnected)
    );
    assert_eq!(net.client.peer_certificate(), None);
    net.run_until(Duration::from_secs(1), pass, |_| false);
    assert!(net.client.is_connected());
}
