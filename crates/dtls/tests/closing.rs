//! Every way in which a connection ends, and what must not end it.

mod common;

use std::time::Duration;

use bytes::BytesMut;
use common::{BOTH_VERSIONS, Net, closed, configs_of, epoch, pass};
use dunlin_dtls::{
    AlertDescription, Certificate, CipherSuite, ClientAddress, CloseReason, Config, Connection, CookieSecret,
    Event, ExportError, Group, HandshakeError, HashAlgorithm, PeerIdentity, Role, Version,
};

fn somebody_else() -> PeerIdentity {
    let other = Certificate::generate().unwrap();
    PeerIdentity::Fingerprints(vec![other.fingerprint(HashAlgorithm::Sha256)])
}

/// Nothing is left to do, and nothing does anything any more.
fn assert_dead(connection: &mut Connection) {
    let now = epoch();
    let mut out = Vec::new();
    assert!(connection.is_closed());
    while connection.poll_transmit(now, &mut out) {}
    while connection.poll_event().is_some() {}
    assert_eq!(connection.poll_timeout(), None, "no timer is left after the end");
    let before = connection.stats();
    out.clear();
    connection.handle_datagram(now, BytesMut::from(&[22; 100][..]));
    connection.handle_timeout(now + Duration::from_secs(1000));
    connection.close(now);
    assert!(!connection.seal(&mut out, |_| panic!("not asked")));
    assert!(!connection.poll_transmit(now, &mut out));
    assert!(out.is_empty());
    assert_eq!(connection.poll_event(), None);
    assert_eq!(connection.stats(), before);
    assert_eq!(
        connection.export("label", None, &mut [0; 4]),
        Err(ExportError::NotConnected)
    );
}

/// GStreamer webrtcbin did not compare at all; then the wrong way round.
#[test]
fn threat_1_the_wrong_fingerprint_in_either_role_ends_the_handshake_before_any_key_leaves() {
    for version in BOTH_VERSIONS {
        for role in [Role::Client, Role::Server] {
            for peer in [somebody_else(), PeerIdentity::Fingerprints(vec![])] {
                let (mut client, mut server) = configs_of(version);
                if role == Role::Client {
                    &mut client
                } else {
                    &mut server
                }
                .peer = peer;
                let mut net = Net::new(client, server);
                net.run(pass);
                let (checks, other) = match role {
                    Role::Client => (&net.client_events, &net.server_events),
                    Role::Server => (&net.server_events, &net.client_events),
                };
                let [Event::Closed(CloseReason::FingerprintMismatch { actual, .. })] = &checks[..] else {
                    panic!("{checks:?}");
                };
                assert_eq!(actual.algorithm(), HashAlgorithm::Sha256);
                // The alert comes without protection, so it is doubted for a while, but believed in the end.
                let bad_certificate = CloseReason::PeerAlert(AlertDescription::BAD_CERTIFICATE);
                assert_eq!(closed(other), Some(&bad_certificate));
                // In DTLS 1.3 the client is done before the server has seen its certificate.
                let early = usize::from(version == Version::Dtls13 && role == Role::Server);
                assert_eq!(other.len(), 1 + early);
                assert!(net.now - net.start < Duration::from_secs(3));
                assert_dead(&mut net.client);
                assert_dead(&mut net.server);
            }
        }
    }
}

#[test]
fn close_notify_closes_both_sides() {
    for version in BOTH_VERSIONS {
        for role in [Role::Client, Role::Server] {
            let mut net = Net::connected(version);
            let now = net.now;
            net.side(role).close(now);
            net.run_until(Duration::from_secs(10), pass, |_| false);
            let (ours, theirs) = match role {
                Role::Client => (&net.client_events, &net.server_events),
                Role::Server => (&net.server_events, &net.client_events),
            };
            assert_eq!(closed(ours), Some(&CloseReason::Local));
            assert_eq!(closed(theirs), Some(&CloseReason::Peer));
            assert_dead(&mut net.client);
            assert_dead(&mut net.server);
        }
    }
}

#[test]
fn a_server_that_closes_as_soon_as_it_is_connected_still_finishes_the_handshake() {
    for version in BOTH_VERSIONS {
        let (client, server) = configs_of(version);
        let now = epoch();
        let (mut client, mut server) = (
            Connection::new(client, [1; 32], now),
            Connection::new(server, [2; 32], now),
        );
        let mut out = Vec::new();
        for _ in 0..2 {
            while client.poll_transmit(now, &mut out) {
                server.handle_datagram(now, BytesMut::from(&out[..]));
                out.clear();
            }
            if server.is_connected() {
                server.close(now);
            }
            while server.poll_transmit(now, &mut out) {
                client.handle_datagram(now, BytesMut::from(&out[..]));
                out.clear();
            }
        }
        assert_eq!(client.poll_event(), Some(Event::Connected));
        assert_eq!(client.poll_event(), Some(Event::Closed(CloseReason::Peer)));
        assert_dead(&mut server);
    }
}

#[test]
fn closing_in_the_middle_of_the_handshake_tells_the_peer() {
    for version in BOTH_VERSIONS {
        for datagrams in 0..4 {
            for role in [Role::Client, Role::Server] {
                let (client, server) = configs_of(version);
                let mut net = Net::new(client, server);
                net.run_until(Duration::from_secs(1), pass, |net| net.sent.len() > datagrams);
                let now = net.now;
                net.side(role).close(now);
                net.run(pass);
                assert_dead(&mut net.client);
                assert_dead(&mut net.server);
            }
        }
    }
}

#[test]
fn no_common_ground_is_named_on_both_sides() {
    type Change = fn(&mut Config, &mut Config);
    let cases: [(Version, Change, &str); 5] = [
        (
            Version::Dtls12,
            |client, server| {
                client.cipher_suites = vec![CipherSuite::EcdheEcdsaAes128GcmSha256];
                server.cipher_suites = vec![CipherSuite::EcdheEcdsaAes256GcmSha384];
            },
            "no cipher suite in common: the peer offers [C02B]",
        ),
        (
            Version::Dtls13,
            |client, server| {
                client.cipher_suites = vec![CipherSuite::Aes128GcmSha256];
                server.cipher_suites = vec![CipherSuite::Aes256GcmSha384];
            },
            "no cipher suite in common: the peer offers [1301]",
        ),
        (
            Version::Dtls12,
            |client, server| {
                client.groups = vec![Group::X25519, Group::P256];
                server.groups = vec![Group::P384];
            },
            "no key agreement group in common: the peer offers [001D, 0017]",
        ),
        (
            Version::Dtls13,
            |client, server| {
                client.groups = vec![Group::X25519, Group::P256];
                server.groups = vec![Group::X25519MlKem768, Group::P384];
            },
            "no key agreement group in common: the peer offers [001D, 0017]",
        ),
        (
            Version::Dtls12,
            |client, _| client.cipher_suites = vec![CipherSuite::EcdheRsaAes128GcmSha256],
            "no cipher suite in common: the peer offers [C02F]",
        ),
    ];
    for (version, change, text) in cases {
        let (mut client, mut server) = configs_of(version);
        change(&mut client, &mut server);
        let mut net = Net::new(client, server);
        net.run(pass);
        let reason = closed(&net.server_events).unwrap().to_string();
        assert!(reason.contains(text), "{reason}");
        let alert = CloseReason::PeerAlert(AlertDescription::HANDSHAKE_FAILURE);
        assert_eq!(closed(&net.client_events), Some(&alert));
        assert!(net.now - net.start < Duration::from_secs(5));
    }
}

/// A ClientHello that offers TLS_NULL_WITH_NULL_NULL alone: CVE-2023-49786 (Asterisk) and its kin.
fn null_hello() -> Vec<u8> {
    let mut body = vec![0xFE, 0xFD];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 0, 2, 0, 0, 1, 0]);
    let len = body.len() as u8;
    let mut datagram = vec![22, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, len + 12];
    datagram.extend_from_slice(&[1, 0, 0, len, 0, 0, 0, 0, 0, 0, 0, len]);
    datagram.extend_from_slice(&body);
    datagram
}

#[test]
fn threat_3_a_null_cipher_client_hello_does_not_kill_the_session_of_somebody_else() {
    for version in BOTH_VERSIONS {
        for cookie in [false, true] {
            let (client, mut server) = configs_of(version);
            if cookie {
                server.client_address = ClientAddress::Cookie {
                    secret: CookieSecret([7; 32]),
                    address: b"client".to_vec(),
                };
            }
            let mut net = Net::new(client, server);
            for _ in 0..3 {
                net.inject(Role::Server, Duration::ZERO, null_hello());
            }
            net.run(pass);
            net.assert_working();
            assert_eq!(net.server.stats().drops.refused_hello, 3);
            // Nor does it later.
            net.inject(Role::Server, Duration::ZERO, null_hello());
            net.run_until(Duration::from_secs(10), pass, |_| false);
            net.assert_working();
        }
    }
}

#[test]
fn threat_3_alone_a_null_cipher_client_hello_is_refused_in_the_end() {
    for version in BOTH_VERSIONS {
        let (_, server) = configs_of(version);
        let now = epoch();
        let mut server = Connection::new(server, [0; 32], now);
        server.handle_datagram(now, BytesMut::from(&null_hello()[..]));
        let mut out = Vec::new();
        assert!(!server.poll_transmit(now, &mut out), "nothing goes to a stranger");
        let at = server.poll_timeout().unwrap();
        assert_eq!(at, now + Duration::from_secs(2));
        server.handle_timeout(at);
        assert!(server.poll_transmit(at, &mut out));
        let expected = match version {
            Version::Dtls13 => HandshakeError::Version(0xFEFD),
            _ => HandshakeError::NoExtendedMasterSecret,
        };
        assert_eq!(
            out,
            [
                21,
                0xFE,
                0xFD,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                2,
                2,
                expected.alert().0
            ]
        );
        let Some(Event::Closed(CloseReason::Handshake(error))) = server.poll_event() else {
            panic!()
        };
        assert_eq!(error, expected);
        assert_dead(&mut server);
    }
}

fn plain_alert(level: u8, description: u8) -> Vec<u8> {
    vec![21, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, level, description]
}

#[test]
fn threat_3_unprotected_alerts_at_any_moment_do_not_end_a_handshake_that_goes_on() {
    for version in BOTH_VERSIONS {
        for at_ms in 0..45 {
            for to in [Role::Client, Role::Server] {
                for (level, description) in [(2, 40), (2, 80), (1, 0), (9, 9)] {
                    let (client, server) = configs_of(version);
                    let mut net = Net::new(client, server);
                    net.inject(to, Duration::from_millis(at_ms), plain_alert(level, description));
                    net.run(pass);
                    net.assert_working();
                    net.run_until(Duration::from_secs(10), pass, |_| false);
                    let drops = net.side(to).stats().drops;
                    assert_eq!(drops.unauthenticated_alert + drops.malformed_alert, 1);
                    net.assert_working();
                }
            }
        }
    }
}

#[test]
fn an_unprotected_alert_is_believed_when_the_peer_then_stays_silent() {
    for version in BOTH_VERSIONS {
        let (client, _) = configs_of(version);
        let now = epoch();
        let mut client = Connection::new(client, [0; 32], now);
        let mut out = Vec::new();
        assert!(client.poll_transmit(now, &mut out));
        client.handle_datagram(now, BytesMut::from(&plain_alert(2, 71)[..]));
        let mut at = now;
        while let Some(next) = client.poll_timeout() {
            at = next;
            client.handle_timeout(at);
            out.clear();
            while client.poll_transmit(at, &mut out) {}
        }
        assert_eq!(at, now + Duration::from_secs(2));
        let reason = CloseReason::PeerAlert(AlertDescription(71));
        assert_eq!(
            reason.to_string(),
            "the peer ended the DTLS connection with the alert insufficient_security"
        );
        assert_eq!(client.poll_event(), Some(Event::Closed(reason)));
    }
}

#[test]
fn a_server_that_nobody_greets_gives_up_and_says_so() {
    for version in BOTH_VERSIONS {
        let (_, server) = configs_of(version);
        let now = epoch();
        let mut server = Connection::new(server, [0; 32], now);
        server.handle_datagram(now, BytesMut::from(&plain_alert(2, 40)[..]));
        assert_eq!(server.poll_timeout(), Some(now + Duration::from_secs(30)));
        server.handle_timeout(now + Duration::from_secs(30));
        let Some(Event::Closed(reason)) = server.poll_event() else {
            panic!()
        };
        assert!(
            reason.to_string().contains("waited for the peer's ClientHello"),
            "{reason}"
        );
        assert_dead(&mut server);
    }
}
