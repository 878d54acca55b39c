//! How much a server sends before it knows that somebody is there, and to paths that carry less than they should.

mod common;

use std::time::Duration;

use common::{BOTH_VERSIONS, Datagram, Net, configs_of, epoch, pass};
use dunlin_dtls::{
    Certificate, CertificateOptions, ClientAddress, CloseReason, Config, Connection, Group, HashAlgorithm,
    KeyKind, PeerIdentity, Role, Version,
};

/// A server whose flight is longer than three ClientHellos, at an address that it knows nothing of.
fn unproved(version: Version) -> (Config, Config) {
    let (mut client, mut server) = configs_of(version);
    client.groups = vec![Group::P256];
    let mut options = CertificateOptions::default();
    options.key = KeyKind::Rsa { bits: 4096 };
    let long = rsa(&options);
    client.peer = PeerIdentity::Fingerprints(vec![long.fingerprint(HashAlgorithm::Sha256)]);
    server.certificate = Some(long);
    server.client_address = ClientAddress::Unproved;
    (client, server)
}

fn rsa(options: &CertificateOptions) -> Certificate {
    static ONCE: std::sync::OnceLock<Certificate> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| Certificate::generate_with(options).unwrap())
        .clone()
}

fn bytes<'a>(datagrams: impl Iterator<Item = &'a [u8]>) -> usize {
    datagrams.map(<[u8]>::len).sum()
}

/// > A server SHOULD limit the amount of data it sends toward a client address to three times the amount of data sent by
/// > the client before it verifies that the client is able to receive data at that address. (RFC 9147, section 5.1)
#[test]
fn threat_14_a_server_sends_three_times_what_it_got_and_no_more_until_the_client_is_proved_and_still_gets_there()
 {
    for version in BOTH_VERSIONS {
        for lost in 0..8 {
            let (mut client, mut server) = unproved(version);
            for config in [&mut client, &mut server] {
                config.handshake_timeout = Duration::from_secs(300);
            }
            let mut net = Net::new(client, server);
            let (there, back, blocked) = (
                std::cell::Cell::new(0),
                std::cell::Cell::new(0),
                std::cell::Cell::new(false),
            );
            net.run_until(
                Duration::from_secs(300),
                |index, datagram| {
                    let len = datagram.data.len();
                    let lost = index == lost;
                    match datagram.to {
                        Role::Server => there.set(there.get() + if lost { 0 } else { len }),
                        // Nothing of the client but its hellos is in this sum while it counts.
                        Role::Client => back.set(back.get() + len),
                    }
                    blocked.set(blocked.get() || back.get() + 1200 > 3 * there.get());
                    if lost { vec![] } else { pass(index, datagram) }
                },
                |net| {
                    assert!(net.server.is_address_proved() || back.get() <= 3 * there.get());
                    net.client.is_connected() && net.server.is_connected()
                },
            );
            net.assert_working();
            assert!(blocked.get(), "{version}: the limit was never near");
        }
    }
}

#[test]
fn threat_14_a_server_whose_client_falls_silent_waits_without_a_loop_and_gives_up() {
    for version in BOTH_VERSIONS {
        let (client, server) = unproved(version);
        let mut net = Net::new(client, server);
        let mut heard = 0;
        // The driver of the test sees to it that nothing is due after a drain.
        net.run_until(
            Duration::from_secs(60),
            |index, datagram| {
                let first = datagram.to == Role::Server && index == 0;
                heard += if first { datagram.data.len() } else { 0 };
                if first { pass(index, datagram) } else { vec![] }
            },
            |_| false,
        );
        let sent = bytes(net.sent_by(Role::Server));
        assert!(
            sent <= 3 * heard && sent > 2 * heard,
            "{version}: {sent} for {heard}"
        );
        assert!(matches!(
            common::closed(&net.server_events),
            Some(CloseReason::Timeout { .. })
        ));
        assert_eq!(net.server.poll_timeout(), None);
    }
}

/// A server behind ICE has no such limit, and a client none at all.
#[test]
fn with_a_proved_address_the_whole_flight_goes_out_at_once() {
    for version in BOTH_VERSIONS {
        let (client, mut server) = unproved(version);
        server.client_address = ClientAddress::Proved;
        let mut net = Net::new(client, server);
        net.run(pass);
        net.assert_working();
        let hello = net.sent_by(Role::Client).next().unwrap().len();
        let round = net.start + 3 * common::DELAY;
        let early = net
            .sent
            .iter()
            .filter(|(at, datagram)| datagram.to == Role::Client && *at < round);
        let sent: usize = early.map(|(_, datagram)| datagram.data.len()).sum();
        assert!(sent > 3 * hello, "{version}: {sent} for {hello}");
    }
}

/// Nobody gets an answer to bytes that are no ClientHello.
#[test]
fn threat_14_rubbish_and_pieces_of_hellos_are_answered_with_silence() {
    for version in BOTH_VERSIONS {
        for address in [ClientAddress::Proved, ClientAddress::Unproved] {
            let (client, mut server) = unproved(version);
            server.client_address = address;
            let now = epoch();
            let mut client = Connection::new(client, [1; 32], now);
            client.set_max_datagram(100);
            let mut server = Connection::new(server, [2; 32], now);
            let (mut hello, mut out) = (Vec::new(), Vec::new());
            assert!(client.poll_transmit(now, &mut hello));
            for _ in 0..1000 {
                server.handle_datagram(now, bytes::BytesMut::from(&hello[..]));
                server.handle_datagram(now, bytes::BytesMut::from(&[7; 600][..]));
                server.handle_datagram(now, bytes::BytesMut::from(&[0x2E; 600][..]));
                assert!(!server.poll_transmit(now, &mut out));
            }
        }
    }
}

/// > If repeated retransmissions do not result in a response, and the PMTU is unknown, subsequent retransmissions SHOULD
/// > back off to a smaller record size, fragmenting the handshake message as appropriate. (RFC 9147, section 4.4)
#[test]
fn a_path_that_swallows_large_datagrams_is_got_through_with_smaller_ones() {
    for version in BOTH_VERSIONS {
        for mtu in [1199, 800, 548, 300, 256] {
            for hybrid in [false, true] {
                let (mut client, mut server) = configs_of(version);
                for config in [&mut client, &mut server] {
                    config.max_datagram = 1200;
                    config.handshake_timeout = Duration::from_secs(200);
                    if !hybrid {
                        config.groups = vec![Group::X25519, Group::P256];
                    }
                }
                let mut net = Net::new(client, server);
                let narrow = |index: usize, datagram: &Datagram| {
                    if datagram.data.len() > mtu {
                        vec![]
                    } else {
                        pass(index, datagram)
                    }
                };
                net.run_until(Duration::from_secs(200), narrow, |net| {
                    net.client.is_connected() && net.server.is_connected()
                });
                net.assert_working();
                assert!(
                    net.now - net.start < Duration::from_secs(40),
                    "{version} {mtu}: {:?}",
                    net.now - net.start
                );
            }
        }
    }
}

/// A short round trip makes timers fast, and a peer that is merely busy must not get its flight in crumbs for it: what is
/// said of retransmissions in section 4.4 is said of timers of a second.
#[test]
fn a_silence_of_less_than_a_second_makes_no_datagram_smaller() {
    for version in BOTH_VERSIONS {
        let (mut client, _) = configs_of(version);
        client.max_datagram = 1200;
        let mut now = epoch();
        let start = now;
        let mut client = Connection::new(client, [1; 32], now);
        client.set_round_trip(Duration::from_millis(1));
        let mut flights = Vec::new();
        while now < start + Duration::from_secs(8) {
            let mut sizes = Vec::new();
            let mut out = Vec::new();
            while client.poll_transmit(now, &mut out) {
                sizes.push(out.len());
                out.clear();
            }
            flights.push((now - start, sizes));
            now = client.poll_timeout().unwrap();
            client.handle_timeout(now);
        }
        let largest = |from: u64, to: u64| {
            let within = Duration::from_millis(from)..Duration::from_millis(to);
            let sizes = flights.iter().filter(|flight| within.contains(&flight.0));
            let sizes: Vec<_> = sizes.flat_map(|flight| &flight.1).collect();
            **sizes.iter().max().unwrap()
        };
        let first = *flights[0].1.iter().max().unwrap();
        assert!(
            flights
                .iter()
                .filter(|flight| flight.0 < Duration::from_secs(1))
                .count()
                > 3
        );
        assert_eq!(largest(10, 1000), first, "{flights:?}");
        assert!(largest(1000, 3000) <= 548, "{flights:?}");
        assert!(largest(3000, 8000) <= 256, "{flights:?}");
    }
}
