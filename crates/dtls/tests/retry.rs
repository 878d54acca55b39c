//! HelloRetryRequest (RFC 8446, section 4.1.4; RFC 9147, section 5.1): for a group, for a cookie, for both; and the
//! server that keeps nothing until the cookie is back.

mod common;

use bytes::BytesMut;
use common::analyser::{message, pieces, plain};
use common::{DELAY, Net, configs_of, connect, epoch, pass, reasons};
use dunlin_dtls::{
    AlertDescription, ClientAddress, CloseReason, Config, Connection, CookieSecret, Event, Group,
    HandshakeError, Role, Version,
};

/// SHA-256 of "HelloRetryRequest".
const RETRY_RANDOM: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2,
    0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];
const COOKIE: u16 = 44;
const KEY_SHARE: u16 = 51;

fn cookie(secret: u8, address: &str) -> ClientAddress {
    ClientAddress::Cookie {
        secret: CookieSecret([secret; 32]),
        address: address.as_bytes().to_vec(),
    }
}

fn configs() -> (Config, Config) {
    let (mut client, server) = configs_of(Version::Dtls13);
    client.groups = vec![Group::X25519, Group::P256];
    (client, server)
}

/// The bodies of the ServerHellos and HelloRetryRequests in what the server sent, cut by nobody.
fn hellos(net: &Net) -> Vec<Vec<u8>> {
    let plain = net.sent_by(Role::Server).filter(|datagram| datagram[0] == 22);
    let record = |datagram: &[u8]| {
        datagram[13..13 + usize::from(u16::from_be_bytes([datagram[11], datagram[12]]))].to_vec()
    };
    plain
        .map(record)
        .filter(|content| content[0] == 2)
        .map(|content| content[12..].to_vec())
        .collect()
}

/// The kinds of the extensions of a ServerHello without a session.
fn extensions(hello: &[u8]) -> Vec<u16> {
    let mut rest = &hello[2 + 32 + 1 + 2 + 1 + 2..];
    let mut kinds = Vec::new();
    while let [a, b, c, d, behind @ ..] = rest {
        kinds.push(u16::from_be_bytes([*a, *b]));
        rest = &behind[usize::from(u16::from_be_bytes([*c, *d]))..];
    }
    kinds
}

#[test]
fn a_share_that_is_missing_a_cookie_that_is_wanted_or_both_cost_one_round_trip() {
    for (other_group, wants_cookie) in [(true, false), (false, true), (true, true)] {
        let (client, mut server) = configs();
        if other_group {
            server.groups = vec![Group::P256];
        }
        if wants_cookie {
            server.client_address = cookie(7, "client");
        }
        let net = connect(client, server);
        let hellos = hellos(&net);
        assert_eq!(hellos.len(), 2);
        assert_eq!(hellos[0][2..34], RETRY_RANDOM);
        let kinds = extensions(&hellos[0]);
        assert_eq!(kinds.contains(&KEY_SHARE), other_group);
        assert!(kinds.contains(&COOKIE), "the server keeps nothing");
        assert_eq!(net.sent.len(), 6);
        assert_eq!(net.sent.last().unwrap().0 - net.start, 5 * DELAY);
        assert_eq!(
            net.server.group(),
            Some(if other_group { Group::P256 } else { Group::X25519 })
        );
        assert!(net.server.is_address_proved());
        assert_eq!(
            net.client.stats().retransmissions + net.server.stats().retransmissions,
            0
        );
    }
}

#[test]
fn a_share_of_a_hybrid_group_can_be_asked_for() {
    let (client, mut server) = configs();
    let mut client = client;
    client.groups = vec![Group::P256, Group::X25519MlKem768];
    server.groups = vec![Group::X25519MlKem768];
    let net = connect(client, server);
    assert_eq!(net.client.group(), Some(Group::X25519MlKem768));
    assert_eq!(net.client.stats().flights, 3);
}

fn drain(from: &mut Connection) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    let mut out = Vec::new();
    while from.poll_transmit(epoch(), &mut out) {
        sent.push(std::mem::take(&mut out));
    }
    sent
}

fn hand(to: &mut Connection, datagrams: &[Vec<u8>]) {
    for datagram in datagrams {
        to.handle_datagram(epoch(), BytesMut::from(&datagram[..]));
    }
}

/// > the server can [...] store all of the state that it needs in the cookie (after RFC 8446, section 4.2.2)
#[test]
fn threat_14_another_connection_with_the_same_secret_and_address_answers_the_second_hello_and_no_other_does()
{
    for version in common::BOTH_VERSIONS {
        for (secret, address, answers) in [(7, "a", true), (7, "b", false), (8, "a", false)] {
            let (mut client, mut server) = configs_of(version);
            client.groups = vec![Group::X25519, Group::P256];
            server.groups = vec![Group::P256];
            server.client_address = cookie(7, "a");
            let mut second = server.clone();
            second.client_address = cookie(secret, address);
            let mut client = Connection::new(client, [1; 32], epoch());
            let mut first = Connection::new(server, [2; 32], epoch());
            hand(&mut first, &drain(&mut client));
            let request = drain(&mut first);
            assert!(!first.is_address_proved(), "nothing is lost with it");
            drop(first);
            let mut server = Connection::new(second, [3; 32], epoch());
            hand(&mut client, &request);
            let hello = drain(&mut client);
            hand(&mut server, &hello);
            assert_eq!(
                server.is_address_proved(),
                answers,
                "{version}: {secret} {address}"
            );
            if answers {
                for _ in 0..3 {
                    hand(&mut client, &drain(&mut server));
                    hand(&mut server, &drain(&mut client));
                }
                assert!(client.is_connected() && server.is_connected(), "{version}");
                assert_eq!(
                    server.stats().drops.total() + client.stats().drops.total(),
                    0,
                    "{version}"
                );
            }
        }
    }
}

/// > If a server receives a ClientHello with an invalid cookie, it MUST terminate the handshake with an
/// > "illegal_parameter" alert. (RFC 9147, section 5.1) Anybody can have sent it, so only when nothing better comes.
#[test]
fn a_cookie_of_somebody_else_is_refused_with_illegal_parameter_when_nothing_better_comes() {
    let (client, mut server) = configs();
    server.client_address = cookie(7, "client");
    let mut net = Net::new(client, server);
    net.run(|index, datagram| {
        let mut data = datagram.data.clone();
        if datagram.to == Role::Server && index >= 2 {
            // The cookie's last byte: the extension 44, its lengths, and 32 bytes of the MAC at the end.
            let at = data.windows(2).rposition(|pair| pair == [0, 44]).unwrap();
            let len = usize::from(u16::from_be_bytes([data[at + 2], data[at + 3]]));
            data[at + 3 + len] ^= 1;
        }
        pass(index, &common::Datagram { data, ..*datagram })
    });
    let Some(Event::Closed(CloseReason::Handshake(reason))) = net.server_events.last() else {
        panic!()
    };
    assert_eq!(*reason, HandshakeError::BadCookie);
    let alert = CloseReason::PeerAlert(AlertDescription::ILLEGAL_PARAMETER);
    assert_eq!(common::closed(&net.client_events), Some(&alert));
}

/// A HelloRetryRequest that somebody wrote, in the message and the record of these numbers.
fn retry(message_seq: u16, suite: u16, extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut body = vec![0xFE, 0xFD];
    body.extend_from_slice(&RETRY_RANDOM);
    body.push(0);
    body.extend_from_slice(&suite.to_be_bytes());
    body.push(0);
    let mut block = Vec::new();
    for (kind, content) in extensions {
        block.extend_from_slice(&kind.to_be_bytes());
        block.extend_from_slice(&(content.len() as u16).to_be_bytes());
        block.extend_from_slice(content);
    }
    body.extend_from_slice(&(block.len() as u16).to_be_bytes());
    body.extend_from_slice(&block);
    plain(22, message_seq as u8, &message(2, message_seq, &body))
}

const VERSION: (u16, &[u8]) = (43, &[0xFE, 0xFC]);

fn refuses(requests: &[Vec<u8>]) -> (String, AlertDescription) {
    let mut client = Connection::new(configs().0, [1; 32], epoch());
    drain(&mut client);
    for request in requests {
        assert!(!client.is_closed());
        hand(&mut client, std::slice::from_ref(request));
        if !client.is_closed() {
            let again = drain(&mut client);
            assert_eq!(pieces(&again[0][13..])[0].message_seq, 1, "a second hello");
        }
    }
    let alert = drain(&mut client).pop().unwrap();
    let Some(Event::Closed(reason)) = client.poll_event() else {
        panic!()
    };
    (reason.to_string(), AlertDescription(alert[14]))
}

/// > If a client receives a second HelloRetryRequest in the same connection [...], it MUST abort the handshake with an
/// > "unexpected_message" alert. (RFC 8446, section 4.1.4)
#[test]
fn a_second_retry_request_is_refused() {
    let cookie: (u16, &[u8]) = (COOKIE, &[0, 3, 1, 2, 3]);
    let (reason, alert) = refuses(&[
        retry(0, 0x1301, &[VERSION, cookie]),
        retry(1, 0x1301, &[VERSION, cookie]),
    ]);
    assert!(reason.contains("HelloRetryRequest"), "{reason}");
    assert_eq!(alert, AlertDescription::UNEXPECTED_MESSAGE);
}

/// > Clients MUST abort the handshake with an "illegal_parameter" alert if the HelloRetryRequest would not result in any
/// > change in the ClientHello. (RFC 8446, section 4.1.4)
#[test]
fn a_retry_request_that_changes_nothing_or_asks_for_the_impossible_is_refused() {
    let (reason, alert) = refuses(&[retry(0, 0x1301, &[VERSION])]);
    assert!(reason.contains("nothing"), "{reason}");
    assert_eq!(alert, AlertDescription::ILLEGAL_PARAMETER);
    // A share of X25519 is there, and P-384 was not offered.
    for group in [[0, 29], [0, 24]] {
        let (_, alert) = refuses(&[retry(0, 0x1301, &[VERSION, (KEY_SHARE, &group)])]);
        assert_eq!(alert, AlertDescription::ILLEGAL_PARAMETER);
    }
    let cookie: (u16, &[u8]) = (COOKIE, &[0, 3, 1, 2, 3]);
    let (_, alert) = refuses(&[retry(0, 0xC02B, &[VERSION, cookie])]);
    assert_eq!(alert, AlertDescription::ILLEGAL_PARAMETER, "a suite of DTLS 1.2");
    let (_, alert) = refuses(&[retry(0, 0x1301, &[cookie])]);
    assert_eq!(alert, AlertDescription::PROTOCOL_VERSION, "no version at all");
    let (_, alert) = refuses(&[retry(0, 0x1301, &[VERSION, cookie, (54, &[0])])]);
    assert_eq!(alert, AlertDescription::UNSUPPORTED_EXTENSION);
}

/// > the server MUST [...] ensure that [the suite] is the same (after RFC 8446, section 4.1.4): a middle box that takes
/// > another suite for the second ServerHello changes what Finished covers, and is found at once.
#[test]
fn a_retry_request_that_the_middle_changed_is_caught() {
    let (client, mut server) = configs();
    server.groups = vec![Group::P256];
    let mut net = Net::new(client, server);
    net.run(|index, datagram| {
        let mut data = datagram.data.clone();
        if index == 1 {
            let at = data.windows(2).position(|pair| pair == [0x13, 0x01]).unwrap();
            data[at + 1] = 0x03;
        }
        pass(index, &common::Datagram { data, ..*datagram })
    });
    assert!(!net.client.is_connected() && !net.server.is_connected());
    assert!(reasons(&net)[0].contains("another suite"), "{:?}", reasons(&net));
}
