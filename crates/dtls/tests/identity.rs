//! Who the peer is: certificates of every kind, client authentication in all its forms, and the caller that wants to be
//! asked; in both versions and roles.

mod common;

use std::time::Duration;

use common::{BOTH_ROLES, BOTH_VERSIONS, Net, closed, configs_of, connect, other, pass};
use dunlin_dtls::{
    AlertDescription, Certificate, CertificateOptions, ClientAuth, CloseReason, Config, Event,
    HandshakeError, HashAlgorithm, KeyKind, PeerIdentity, Role, SignatureScheme, Version,
};

const KINDS: [(KeyKind, SignatureScheme); 5] = [
    (KeyKind::EcdsaP256, SignatureScheme::EcdsaSha256),
    (KeyKind::EcdsaP384, SignatureScheme::EcdsaSha384),
    (KeyKind::EcdsaP521, SignatureScheme::EcdsaSha512),
    (KeyKind::Ed25519, SignatureScheme::Ed25519),
    (KeyKind::Rsa { bits: 2048 }, SignatureScheme::RsaPssSha256),
];

fn certificate(kind: KeyKind) -> Certificate {
    let mut options = CertificateOptions::default();
    options.key = kind;
    Certificate::generate_with(&options).unwrap()
}

fn only(certificate: &Certificate) -> PeerIdentity {
    PeerIdentity::Fingerprints(vec![certificate.fingerprint(HashAlgorithm::Sha256)])
}

#[test]
fn certificates_of_every_kind_prove_either_side_in_both_versions() {
    for (kind, scheme) in KINDS {
        let special = certificate(kind);
        for version in BOTH_VERSIONS {
            for role in BOTH_ROLES {
                let (mut client, mut server) = configs_of(version);
                let (owner, judge) = match role {
                    Role::Client => (&mut client, &mut server),
                    Role::Server => (&mut server, &mut client),
                };
                owner.certificate = Some(special.clone());
                judge.peer = only(&special);
                let mut net = connect(client, server);
                let judge = net.side(other(role));
                assert_eq!(
                    judge.peer_certificate(),
                    Some(special.der()),
                    "{kind:?} {version} {role:?}"
                );
                let used = judge.peer_signature_scheme().unwrap();
                // In DTLS 1.2 the curve says nothing about the hash.
                let free = version == Version::Dtls12 && kind != KeyKind::Ed25519;
                assert!(used == scheme || free, "{kind:?} {version} {role:?}: {used:?}");
                let suite = judge.cipher_suite().unwrap().name();
                let rsa = role == Role::Server && matches!(kind, KeyKind::Rsa { .. });
                assert_eq!(
                    suite.contains("ECDHE_RSA"),
                    rsa && version == Version::Dtls12,
                    "{suite}"
                );
            }
        }
    }
}

fn asked_for(version: Version, auth: ClientAuth, shows: bool) -> Net {
    let (mut client, mut server) = configs_of(version);
    server.client_auth = auth;
    if !shows {
        client.certificate = None;
    }
    let mut net = Net::new(client, server);
    net.run(pass);
    net.settle(Duration::from_secs(10));
    net
}

/// > If the client does not send any certificates [...], the server MAY at its discretion either continue the handshake
/// > without client authentication or abort the handshake with a "certificate_required" alert. (RFC 8446, section
/// > 4.4.2.4)
#[test]
fn the_server_gets_a_certificate_where_it_asks_and_the_client_has_one() {
    for version in BOTH_VERSIONS {
        for auth in [ClientAuth::Required, ClientAuth::Optional, ClientAuth::Off] {
            for shows in [true, false] {
                let what = format!("{version} {auth:?} {shows}");
                let mut net = asked_for(version, auth, shows);
                if auth == ClientAuth::Required && !shows {
                    let (reason, alert) = match version {
                        Version::Dtls13 => (
                            HandshakeError::CertificateRequired,
                            AlertDescription::CERTIFICATE_REQUIRED,
                        ),
                        _ => (HandshakeError::NoCertificate, AlertDescription::BAD_CERTIFICATE),
                    };
                    assert_eq!(
                        closed(&net.server_events),
                        Some(&CloseReason::Handshake(reason)),
                        "{what}"
                    );
                    assert_eq!(
                        closed(&net.client_events),
                        Some(&CloseReason::PeerAlert(alert)),
                        "{what}"
                    );
                    continue;
                }
                net.assert_working();
                let seen = net.server.peer_certificate().is_some();
                assert_eq!(seen, shows && auth != ClientAuth::Off, "{what}");
                assert_eq!(net.server.peer_signature_scheme().is_some(), seen, "{what}");
                assert_eq!(net.server.peer_certificates().len(), usize::from(seen), "{what}");
                assert!(net.client.peer_certificate().is_some(), "{what}");
            }
        }
    }
}

/// What is shown has to fit, even where nothing has to be shown.
#[test]
fn threat_1_an_optional_certificate_of_somebody_else_is_refused() {
    for version in BOTH_VERSIONS {
        let (mut client, mut server) = configs_of(version);
        server.client_auth = ClientAuth::Optional;
        client.certificate = Some(Certificate::generate().unwrap());
        let mut net = Net::new(client, server);
        net.run(pass);
        net.settle(Duration::from_secs(5));
        let reason = closed(&net.server_events);
        assert!(
            matches!(reason, Some(CloseReason::FingerprintMismatch { .. })),
            "{reason:?}"
        );
        let alert = CloseReason::PeerAlert(AlertDescription::BAD_CERTIFICATE);
        assert_eq!(closed(&net.client_events), Some(&alert), "{version}");
    }
}

fn asking(version: Version, role: Role) -> (Config, Config) {
    let (mut client, mut server) = configs_of(version);
    // Several datagrams: some come when the question is already asked.
    (client.max_datagram, server.max_datagram) = (250, 250);
    match role {
        Role::Client => client.peer = PeerIdentity::Ask,
        Role::Server => server.peer = PeerIdentity::Ask,
    }
    (client, server)
}

fn question(net: &Net, role: Role) -> Option<&[bytes::Bytes]> {
    net.events(role).iter().find_map(|event| match event {
        Event::PeerCertificate(chain) => Some(&chain[..]),
        _ => None,
    })
}

#[test]
fn whoever_is_asked_decides_and_nothing_moves_or_is_lost_meanwhile() {
    for version in BOTH_VERSIONS {
        for role in BOTH_ROLES {
            let what = format!("{version} {role:?}");
            let (client, server) = asking(version, role);
            let shown = if role == Role::Client { &server } else { &client }
                .certificate
                .clone()
                .unwrap();
            let mut net = Net::new(client, server);
            net.run_until(Duration::from_secs(1), pass, |net| question(net, role).is_some());
            assert_eq!(question(&net, role).unwrap()[0], shown.der(), "{what}");
            // All of the peer's flight is here. From now on the peer is not heard any more.
            net.settle(Duration::from_millis(30));
            let flights = net.side(role).stats().flights;
            let limit = net.now - net.start + Duration::from_secs(5);
            let deaf = |index, datagram: &common::Datagram| {
                if datagram.to == role {
                    vec![]
                } else {
                    pass(index, datagram)
                }
            };
            net.run_until(limit, deaf, |_| false);
            assert_eq!(net.side(role).stats().flights, flights, "{what}");
            assert!(
                !net.side(role).is_connected() && !net.side(role).is_closed(),
                "{what}"
            );
            let now = net.now;
            net.side(role).accept_peer(now);
            net.side(role).accept_peer(now);
            // The last of DTLS 1.3 that a server says is an ACK, and no flight.
            let more = u64::from(version == Version::Dtls12 || role == Role::Client);
            assert_eq!(net.side(role).stats().flights, flights + more, "{what}: at once");
            net.run(pass);
            net.assert_working();
            net.settle(Duration::from_secs(10));
            assert_eq!(
                (net.client.poll_timeout(), net.server.poll_timeout()),
                (None, None),
                "{what}"
            );
        }
    }
}

#[test]
fn a_rejected_peer_learns_the_alert_that_was_chosen() {
    for version in BOTH_VERSIONS {
        for role in BOTH_ROLES {
            for alert in [
                AlertDescription::ACCESS_DENIED,
                AlertDescription::CERTIFICATE_EXPIRED,
            ] {
                let (client, server) = asking(version, role);
                let mut net = Net::new(client, server);
                net.run_until(Duration::from_secs(1), pass, |net| question(net, role).is_some());
                let now = net.now;
                net.side(role).reject_peer(now, alert);
                net.side(role).accept_peer(now);
                net.settle(Duration::from_secs(5));
                let reason = CloseReason::Handshake(HandshakeError::Rejected(alert));
                assert_eq!(closed(net.events(role)), Some(&reason), "{version} {role:?}");
                let theirs = closed(net.events(other(role)));
                assert_eq!(theirs, Some(&CloseReason::PeerAlert(alert)), "{version} {role:?}");
            }
        }
    }
}

/// A caller that never answers does not hold a connection for ever.
#[test]
fn a_question_that_nobody_answers_ends_with_the_handshake_time() {
    for version in BOTH_VERSIONS {
        for role in BOTH_ROLES {
            let (client, server) = asking(version, role);
            let mut net = Net::new(client, server);
            net.run(pass);
            let reason = closed(net.events(role));
            assert!(
                matches!(reason, Some(CloseReason::Timeout { .. })),
                "{version} {role:?}: {reason:?}"
            );
            assert_eq!(net.side(role).poll_timeout(), None);
        }
    }
}
