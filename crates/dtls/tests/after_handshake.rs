//! What can come when the handshake is over: tickets, requests, alerts, rubbish, the end.

mod common;

use std::time::Duration;

use common::analyser::{ACK, ALERT, Analyser, HANDSHAKE, acked, message, plain};
use common::{BOTH_ROLES, BOTH_VERSIONS, Net, closed, configs_of, connect, other};
use dunlin_dtls::{AlertDescription, CloseReason, HandshakeError, Role, Version};

const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
const CERTIFICATE_REQUEST: u8 = 13;
const FINISHED: u8 = 20;
const KEY_UPDATE: u8 = 24;

fn logged() -> (Net, Analyser) {
    let (mut client, server) = configs_of(Version::Dtls13);
    client.key_log = true;
    let net = connect(client, server);
    let analyser = Analyser::new(&net.client_events);
    (net, analyser)
}

/// The number of the next handshake message: the flights before have four there and six back.
fn next_message(role: Role) -> u16 {
    if role == Role::Client { 4 } else { 6 }
}

/// > Clients [...] MAY [...] ignore (a ticket; after RFC 8446, section 4.6.1); "ACKs [...] MUST be sent for [every]
/// > post-handshake message" (after RFC 9147, section 7.1)
#[test]
fn a_session_ticket_is_ignored_and_acknowledged_however_often_it_comes() {
    let (mut net, analyser) = logged();
    let body = [&[0; 8][..], &[4, 1, 2, 3, 4], &[0, 2, 9, 9], &[0, 0]].concat();
    let content = message(NEW_SESSION_TICKET, next_message(Role::Server), &body);
    for sequence in [20, 21, 22] {
        let before = net.sent.len();
        let record = analyser.seal(Role::Server, (3, sequence), &[], HANDSHAKE, &content);
        net.give(Role::Client, &record);
        net.settle(Duration::from_millis(100));
        assert_eq!(net.sent.len(), before + 1);
        let [answer] = &analyser.open(Role::Client, &net.sent[before].1.data)[..] else {
            panic!()
        };
        assert_eq!((answer.epoch, answer.kind), (3, ACK));
        assert!(acked(&answer.content).contains(&(3, sequence)));
    }
    net.assert_working();
    assert_eq!(
        (net.client.poll_timeout(), net.server.poll_timeout()),
        (None, None)
    );
}

/// > A client that receives a post-handshake CertificateRequest message without having sent the "post_handshake_auth"
/// > extension MUST send an "unexpected_message" fatal alert. (RFC 8446, section 4.6.2)
#[test]
fn messages_that_have_no_place_after_the_handshake_end_it_with_unexpected_message() {
    for (from, kind) in [
        (Role::Server, CERTIFICATE_REQUEST),
        (Role::Server, CLIENT_HELLO),
        (Role::Server, FINISHED),
        (Role::Client, NEW_SESSION_TICKET),
        (Role::Client, CLIENT_HELLO),
        (Role::Client, CERTIFICATE_REQUEST),
        (Role::Client, 99),
    ] {
        let (mut net, analyser) = logged();
        let content = message(kind, next_message(from), &[0, 0, 0]);
        let record = analyser.seal(from, (3, 20), &[], HANDSHAKE, &content);
        net.give(other(from), &record);
        net.settle(Duration::from_secs(1));
        let reason = closed(net.events(other(from)));
        let Some(CloseReason::Handshake(HandshakeError::UnexpectedMessage { .. })) = reason else {
            panic!("{kind} from {from:?}: {reason:?}");
        };
        let alert = CloseReason::PeerAlert(AlertDescription::UNEXPECTED_MESSAGE);
        assert_eq!(closed(net.events(from)), Some(&alert));
    }
}

/// > If an endpoint receives any other value, it MUST terminate the connection with an "illegal_parameter" alert. (RFC
/// > 8446, section 4.6.3)
#[test]
fn a_key_update_that_neither_asks_nor_does_not_is_illegal() {
    for body in [&[2][..], &[], &[0, 0]] {
        let (mut net, analyser) = logged();
        let content = message(KEY_UPDATE, next_message(Role::Client), body);
        let record = analyser.seal(Role::Client, (3, 20), &[], HANDSHAKE, &content);
        net.give(Role::Server, &record);
        net.settle(Duration::from_secs(1));
        let alert = CloseReason::PeerAlert(AlertDescription::ILLEGAL_PARAMETER);
        assert_eq!(closed(&net.client_events), Some(&alert), "{body:?}");
    }
}

#[test]
fn messages_that_are_not_due_do_not_fill_the_memory() {
    let (mut net, analyser) = logged();
    for sequence in 20..60u64 {
        let content = message(
            NEW_SESSION_TICKET,
            next_message(Role::Server) + sequence as u16,
            &[0; 900],
        );
        let record = analyser.seal(Role::Server, (3, sequence), &[], HANDSHAKE, &content);
        net.give(Role::Client, &record);
    }
    assert_eq!(net.client.stats().drops.unexpected_fragment, 40);
    net.settle(Duration::from_secs(1));
    net.assert_working();
}

/// "alerts unauthenticated in plaintext epochs ignored" (THREATS 3), of every kind.
#[test]
fn threat_3_alerts_and_messages_in_clear_are_ignored_after_the_handshake() {
    for version in BOTH_VERSIONS {
        let mut net = Net::connected(version);
        let sent = net.sent.len();
        for role in BOTH_ROLES {
            for level in 0..4 {
                for description in 0..=255 {
                    net.give(role, &plain(ALERT, 200, &[level, description]));
                }
            }
            for kind in 0..=255 {
                net.give(role, &plain(kind, 201, &[1, 2]));
                net.give(role, &plain(HANDSHAKE, 202, &message(kind, 4, &[0; 40])));
                net.give(role, &[kind; 40]);
            }
        }
        net.settle(Duration::from_secs(20));
        net.assert_working();
        assert_eq!(net.sent.len(), sent, "{version}: nobody was answered");
        assert_eq!(
            (net.client.poll_timeout(), net.server.poll_timeout()),
            (None, None)
        );
    }
}

#[test]
fn a_protected_alert_counts_in_every_epoch_that_is_alive() {
    for (level, description) in [(2, 49), (2, 80)] {
        let (mut net, analyser) = logged();
        let alert = analyser.seal(Role::Client, (3, 20), &[], ALERT, &[level, description]);
        net.give(Role::Server, &alert);
        net.settle(Duration::from_secs(1));
        let reason = CloseReason::PeerAlert(AlertDescription(description));
        assert_eq!(closed(&net.server_events), Some(&reason));
        assert!(net.client.is_connected(), "a fatal alert is not answered");
    }
    let (mut net, analyser) = logged();
    let warning = analyser.seal(Role::Client, (3, 20), &[], ALERT, &[1, 90]);
    net.give(Role::Server, &warning);
    for (sequence, content) in [(21, &[][..]), (22, &[2]), (23, &[3, 40]), (24, &[2, 40, 0])] {
        let alert = analyser.seal(Role::Client, (3, sequence), &[], ALERT, content);
        net.give(Role::Server, &alert);
    }
    assert_eq!(net.server.stats().drops.malformed_alert, 4);
    net.assert_working();
}

#[test]
fn close_notify_closes_both_sides_after_key_updates_too() {
    for updates in 0..6 {
        for role in BOTH_ROLES {
            let mut net = Net::connected(Version::Dtls13);
            for _ in 0..updates {
                let now = net.now;
                net.client.update_keys(now, true).unwrap();
                net.settle(Duration::from_secs(1));
            }
            let now = net.now;
            net.side(role).close(now);
            net.settle(Duration::from_secs(1));
            assert_eq!(closed(net.events(role)), Some(&CloseReason::Local));
            assert_eq!(closed(net.events(other(role))), Some(&CloseReason::Peer));
            assert_eq!(
                (net.client.poll_timeout(), net.server.poll_timeout()),
                (None, None)
            );
        }
    }
}

/// > it MUST [...] reject records (of a length below 16, and of unknown forms; after RFC 9147, section 4.2.3)
#[test]
fn unified_headers_of_every_form_with_any_length_do_no_harm() {
    for version in BOTH_VERSIONS {
        let mut net = Net::connected(version);
        for first in 0x20..0x40u8 {
            for len in 0..40u8 {
                for announced in [0, len, 200] {
                    let mut datagram = vec![first, 1, 2, 0, announced];
                    datagram.resize(5 + usize::from(len), first);
                    net.give(Role::Client, &datagram);
                    net.give(Role::Server, &datagram);
                }
            }
        }
        net.assert_working();
        assert_eq!(
            (net.client.poll_timeout(), net.server.poll_timeout()),
            (None, None)
        );
    }
}
