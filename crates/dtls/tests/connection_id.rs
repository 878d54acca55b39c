//! Connection IDs (RFC 9146 for DTLS 1.2; RFC 9147, section 9): agreed on, in every record, changed, spared, refused.

mod common;

use std::time::Duration;

use common::analyser::{Analyser, DATA, HANDSHAKE, message};
use common::{BOTH_ROLES, BOTH_VERSIONS, Net, closed, configs_of, connect, other, pass};
use dunlin_dtls::{AlertDescription, CloseReason, HandshakeError, Role, UpdateError, Version};

const REQUEST_CONNECTION_ID: u8 = 9;
const NEW_CONNECTION_ID: u8 = 10;

/// Connected, with these connection IDs in the configurations.
fn with(version: Version, of_client: Option<&[u8]>, of_server: Option<&[u8]>) -> Net {
    let (mut client, mut server) = configs_of(version);
    client.connection_id = of_client.map(<[u8]>::to_vec);
    server.connection_id = of_server.map(<[u8]>::to_vec);
    (client.max_datagram, server.max_datagram) = (400, 400);
    client.key_log = true;
    connect(client, server)
}

/// The number of the next handshake message: the flights before have four there and six back.
fn next_message(role: Role) -> u16 {
    if role == Role::Client { 4 } else { 6 }
}

/// Where the connection ID of a protected record begins, if it has one.
fn cid_at(version: Version, record: &[u8]) -> Option<usize> {
    match version {
        Version::Dtls13 => (record[0] & 0x10 != 0).then_some(1),
        _ => (record[0] == 25).then_some(11),
    }
}

/// > The DTLS peers determine whether incoming and outgoing messages need to use the new record format [...] a
/// > zero-length value indicates that the [sender] is prepared to send using a CID but does not wish the [peer] to use
/// > one (after RFC 9146, section 3)
#[test]
fn each_side_writes_the_others_connection_id_into_every_record() {
    for version in BOTH_VERSIONS {
        for (of_client, of_server) in [
            (&b"clnt"[..], &b"server"[..]),
            (b"", b"server"),
            (b"clnt", b""),
            (b"", b""),
        ] {
            let mut net = with(version, Some(of_client), Some(of_server));
            assert_eq!(
                (net.client.connection_id(), net.client.peer_connection_id()),
                (of_client, of_server)
            );
            assert_eq!(
                (net.server.connection_id(), net.server.peer_connection_id()),
                (of_server, of_client)
            );
            for role in BOTH_ROLES {
                let theirs = if role == Role::Client {
                    of_server
                } else {
                    of_client
                };
                let overhead = net.side(role).overhead();
                let record = net.seal(role, b"data");
                assert_eq!(record.len(), 4 + overhead);
                let at = cid_at(version, &record);
                assert_eq!(at.is_some(), !theirs.is_empty(), "{version} {role:?}");
                if let Some(at) = at {
                    assert_eq!(record[at..at + theirs.len()], *theirs);
                }
                net.give(other(role), &record);
                assert_eq!(net.heard(other(role)), [b"data"]);
            }
            assert_eq!(
                net.client.stats().drops.total() + net.server.stats().drops.total(),
                0
            );
        }
    }
}

#[test]
fn without_both_sides_there_are_none() {
    for version in BOTH_VERSIONS {
        for (of_client, of_server) in [(Some(&b"id"[..]), None), (None, Some(&b"id"[..]))] {
            let mut net = with(version, of_client, of_server);
            for role in BOTH_ROLES {
                let side = net.side(role);
                assert_eq!([side.connection_id(), side.peer_connection_id()], [&[][..]; 2]);
                let record = net.seal(role, b"data");
                assert_eq!(cid_at(version, &record), None);
            }
        }
    }
}

/// > If a CID is negotiated [...] records [with another or without] MUST [be] discarded (after RFC 9146, section 3, and
/// > RFC 9147, section 4)
#[test]
fn records_without_a_connection_id_or_with_anothers_are_dropped() {
    for version in BOTH_VERSIONS {
        let mut net = with(version, Some(b"clnt"), Some(b"server"));
        for role in BOTH_ROLES {
            let mut record = net.seal(role, b"data");
            let at = cid_at(version, &record).unwrap();
            record[at] ^= 1;
            net.give(other(role), &record);
            assert_eq!(net.heard(other(role)), Vec::<Vec<u8>>::new());
            record[at] ^= 1;
            net.give(other(role), &record);
            assert_eq!(net.heard(other(role)), [b"data"], "the true one still counts");
        }
    }
    let mut net = with(Version::Dtls13, Some(b"clnt"), Some(b"server"));
    let analyser = Analyser::new(&net.client_events);
    for (sequence, cid, hears) in [
        (20, &b""[..], false),
        (21, b"serveR", false),
        (22, b"server", true),
    ] {
        let record = analyser.seal(Role::Client, (3, sequence), cid, DATA, b"data");
        net.give(Role::Server, &record);
        assert_eq!(!net.heard(Role::Server).is_empty(), hears, "{cid:?}");
    }
    let mut net = with(Version::Dtls12, Some(b"clnt"), Some(b"server"));
    let mut stranger = Net::connected(Version::Dtls12);
    let record = stranger.seal(Role::Client, b"data");
    net.give(Role::Server, &record);
    assert_eq!(net.server.stats().drops.unauthentic, 1);
    // A record with a connection ID that nobody asked for.
    let record = net.seal(Role::Client, b"data");
    stranger.give(Role::Server, &record);
    assert_eq!(stranger.heard(Role::Server), Vec::<Vec<u8>>::new());
    assert!(stranger.server.is_connected());
}

#[test]
fn a_new_connection_id_is_used_once_it_is_known_and_the_old_one_is_still_understood() {
    for role in BOTH_ROLES {
        let mut net = with(Version::Dtls13, Some(b"clnt"), Some(b"serv"));
        let peer = other(role);
        let late = net.seal(peer, b"late");
        let now = net.now;
        assert_eq!(net.side(role).change_connection_id(now, b"new1"), Ok(()));
        assert_eq!(
            net.side(role).change_connection_id(now, b"new2"),
            Err(UpdateError::Pending)
        );
        net.settle(Duration::from_secs(3));
        assert_eq!(net.side(peer).peer_connection_id(), b"new1");
        net.give(role, &late);
        assert_eq!(net.heard(role), [b"late"]);
        assert_eq!(net.seal(peer, b"data")[1..5], *b"new1");
        net.assert_working();
        // And again, now that it is acknowledged.
        assert_eq!(net.side(role).change_connection_id(now, b"new2"), Ok(()));
        net.settle(Duration::from_secs(3));
        net.assert_working();
        assert_eq!(
            (net.client.poll_timeout(), net.server.poll_timeout()),
            (None, None)
        );
        net.give(role, &late);
        assert_eq!(net.heard(role), Vec::<Vec<u8>>::new());
        let wrong = UpdateError::ConnectionId {
            negotiated: 4,
            actual: 5,
        };
        assert_eq!(net.side(role).change_connection_id(now, b"five5"), Err(wrong));
    }
}

#[test]
fn a_connection_id_that_cannot_be_changed_is_refused() {
    let mut net = with(Version::Dtls12, Some(b"clnt"), Some(b"serv"));
    let now = net.now;
    assert_eq!(
        net.client.change_connection_id(now, b"next"),
        Err(UpdateError::Version)
    );
    let mut net = Net::connected(Version::Dtls13);
    let none = UpdateError::ConnectionId {
        negotiated: 0,
        actual: 4,
    };
    assert_eq!(net.client.change_connection_id(now, b"next"), Err(none));
    assert!(!net.client.use_spare_connection_id());
    net.client.close(now);
    assert_eq!(
        net.client.change_connection_id(now, b"next"),
        Err(UpdateError::NotConnected)
    );
}

/// A lost NewConnectionId, or a lost ACK of it, is only a delay.
#[test]
fn a_change_survives_the_loss_of_its_message_or_of_the_ack() {
    for lost in 0..3 {
        let mut net = with(Version::Dtls13, Some(b"clnt"), Some(b"serv"));
        let (now, base) = (net.now, net.sent.len());
        assert_eq!(net.client.change_connection_id(now, b"new1"), Ok(()));
        let limit = net.now - net.start + Duration::from_secs(5);
        net.run_until(
            limit,
            |index, datagram| {
                if index == base + lost {
                    vec![]
                } else {
                    pass(index, datagram)
                }
            },
            |_| false,
        );
        assert_eq!(
            net.client.change_connection_id(now, b"new2"),
            Ok(()),
            "acknowledged"
        );
        net.settle(Duration::from_secs(5));
        net.assert_working();
    }
}

/// > cid_spare: [...] the new CIDs [...] MAY be used (after RFC 9147, section 9)
#[test]
fn spare_connection_ids_are_kept_and_used_on_request() {
    let mut net = with(Version::Dtls13, Some(b"clnt"), Some(b"serv"));
    let analyser = Analyser::new(&net.client_events);
    let body = [
        &[0, 30][..],
        b"\x04one1\x04two2\x04thr3\x04fou4\x04fiv5\x04six6",
        &[1],
    ]
    .concat();
    let content = message(NEW_CONNECTION_ID, next_message(Role::Server), &body);
    let record = analyser.seal(Role::Server, (3, 20), b"clnt", HANDSHAKE, &content);
    net.give(Role::Client, &record);
    assert_eq!(net.client.peer_connection_id(), b"serv", "not yet");
    for spare in [b"one1", b"two2", b"thr3", b"fou4"] {
        assert!(net.client.use_spare_connection_id());
        assert_eq!(net.seal(Role::Client, b"data")[1..5], *spare);
    }
    assert!(!net.client.use_spare_connection_id(), "four are kept");
}

/// > If an implementation receives these messages when CIDs were not negotiated, it MUST abort the connection with an
/// > "unexpected_message" alert. (RFC 9147, section 9)
#[test]
fn messages_about_connection_ids_that_were_not_negotiated_end_the_connection() {
    for role in BOTH_ROLES {
        for (kind, body) in [
            (REQUEST_CONNECTION_ID, &[1][..]),
            (NEW_CONNECTION_ID, &[0, 3, 2, 7, 7, 0]),
        ] {
            let mut net = with(Version::Dtls13, None, None);
            let analyser = Analyser::new(&net.client_events);
            let content = message(kind, next_message(role), body);
            let record = analyser.seal(role, (3, 20), &[], HANDSHAKE, &content);
            net.give(other(role), &record);
            net.settle(Duration::from_secs(1));
            let reason = closed(net.events(other(role)));
            let Some(CloseReason::Handshake(HandshakeError::UnexpectedMessage { .. })) = reason else {
                panic!("{reason:?}");
            };
            let alert = CloseReason::PeerAlert(AlertDescription::UNEXPECTED_MESSAGE);
            assert_eq!(closed(net.events(role)), Some(&alert));
        }
    }
}

/// > An endpoint MAY handle requests which it considers excessive by responding with a NewConnectionId message containing
/// > fewer than num_cids CIDs, including no CIDs at all. (RFC 9147, section 9)
#[test]
fn a_request_for_connection_ids_is_answered_with_none() {
    let mut net = with(Version::Dtls13, Some(b""), Some(b"serv"));
    let analyser = Analyser::new(&net.client_events);
    let content = message(REQUEST_CONNECTION_ID, next_message(Role::Client), &[200]);
    let before = net.sent.len();
    let record = analyser.seal(Role::Client, (3, 20), b"serv", HANDSHAKE, &content);
    net.give(Role::Server, &record);
    net.settle(Duration::from_secs(1));
    let sent = net.sent[before..]
        .iter()
        .filter(|(_, datagram)| datagram.to == Role::Client);
    let pieces = analyser.pieces(Role::Server, sent.map(|(_, datagram)| &datagram.data[..]));
    assert_eq!((pieces[0].1.kind, pieces[0].1.total), (NEW_CONNECTION_ID, 3));
    assert!(net.client.is_connected() && net.server.is_connected());
    assert!(!net.client.use_spare_connection_id());
}

/// Found by fuzzing. Who acknowledges a KeyUpdate must have the new keys (RFC 9147, section 8), and has not while a message
/// before it is missing.
#[test]
fn a_key_update_is_not_acknowledged_before_the_message_in_front_of_it_that_was_lost() {
    for role in BOTH_ROLES {
        let mut net = with(Version::Dtls13, Some(b"old1"), Some(b"old2"));
        let now = net.now;
        assert_eq!(net.side(role).change_connection_id(now, b"new1"), Ok(()));
        let mut lost = Vec::new();
        assert!(net.side(role).poll_transmit(now, &mut lost));
        assert_eq!(net.side(role).update_keys(now, false), Ok(()));
        let mut out = Vec::new();
        assert!(net.side(role).poll_transmit(now, &mut out));
        net.give(other(role), &out);
        // Nothing more of this side arrives for a while, and everything of the other.
        let end = net.now - net.start + Duration::from_secs(3);
        let deaf = |index: usize, datagram: &common::Datagram| match datagram.to == role {
            true => pass(index, datagram),
            false => vec![],
        };
        net.run_until(end, deaf, |_| false);
        let record = net.seal(role, b"still in the old keys");
        net.give(other(role), &record);
        assert_eq!(net.heard(other(role)), [b"still in the old keys"]);
        net.settle(Duration::from_secs(3));
        net.assert_working();
        assert_eq!(net.side(role).stats().key_updates_sent, 1);
        assert_eq!(net.side(other(role)).stats().key_updates_received, 1);
    }
}
