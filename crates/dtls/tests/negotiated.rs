//! What both ends agree on beside keys: application protocol, record sizes, exported keys, and the key log.

mod common;

use common::analyser::{Analyser, DATA};
use common::{BOTH_ROLES, BOTH_VERSIONS, Net, closed, configs_of, connect, epoch, other, pass};
use dunlin_dtls::{
    AlertDescription, CloseReason, Connection, Event, ExportError, HandshakeError, Role, Version,
};

fn names(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|name| name.as_bytes().to_vec()).collect()
}

#[test]
fn the_servers_best_application_protocol_is_spoken_and_none_where_one_side_has_no_list() {
    for version in BOTH_VERSIONS {
        for (offered, known, expected) in [
            (
                &["webrtc", "c-webrtc"][..],
                &["c-webrtc", "webrtc"][..],
                Some("c-webrtc"),
            ),
            (&["x", "webrtc"], &["webrtc"], Some("webrtc")),
            (&["webrtc"], &[], None),
            (&[], &["webrtc"], None),
            (&[], &[], None),
        ] {
            let (mut client, mut server) = configs_of(version);
            (client.alpn, server.alpn) = (names(offered), names(known));
            let net = connect(client, server);
            for side in [&net.client, &net.server] {
                assert_eq!(
                    side.alpn(),
                    expected.map(str::as_bytes),
                    "{version} {offered:?} {known:?}"
                );
            }
        }
    }
}

/// > Clients MAY include an extension of type "server_name" (RFC 6066, section 3)
#[test]
fn the_name_of_the_server_that_is_meant_is_in_the_hello_and_an_address_is_not() {
    for version in BOTH_VERSIONS {
        for (name, sent) in [("turn.example.org", true), ("192.0.2.1", false)] {
            let (mut client, server) = configs_of(version);
            client.server_name = Some(name.to_owned());
            let mut hello = Vec::new();
            let mut connection = Connection::new(client.clone(), [1; 32], epoch());
            while connection.poll_transmit(epoch(), &mut hello) {}
            let found = hello.windows(name.len()).any(|bytes| bytes == name.as_bytes());
            assert_eq!(found, sent, "{version} {name}");
            // A server that knows nothing of it goes on without.
            connect(client, server);
        }
    }
}

/// > In the event that the server supports no protocols that the client advertises, then the server SHALL respond with a
/// > fatal "no_application_protocol" alert. (RFC 7301, section 3.2)
#[test]
fn no_application_protocol_in_common_is_an_alert() {
    for version in BOTH_VERSIONS {
        let (mut client, mut server) = configs_of(version);
        (client.alpn, server.alpn) = (names(&["one"]), names(&["two"]));
        let mut net = Net::new(client, server);
        net.run(pass);
        let reason = CloseReason::Handshake(HandshakeError::NoApplicationProtocol(names(&["one"])));
        assert_eq!(closed(&net.server_events), Some(&reason), "{version}");
        let alert = CloseReason::PeerAlert(AlertDescription::NO_APPLICATION_PROTOCOL);
        assert_eq!(closed(&net.client_events), Some(&alert), "{version}");
    }
}

/// > the record size limit [...] for TLS 1.3 [...] includes the content type [...] (after RFC 8449, section 4)
#[test]
fn each_side_seals_no_more_than_the_other_takes() {
    for version in BOTH_VERSIONS {
        let less = usize::from(version == Version::Dtls13);
        for (of_client, of_server, client_sends, server_sends) in [
            (Some(200), Some(100), 100 - less, 200 - less),
            (Some(64), Some(16_385), 16_384, 64 - less),
            (Some(200), None, 16_384, 200 - less),
            // The server has nothing to answer to.
            (None, Some(100), 16_384, 16_384),
            (None, None, 16_384, 16_384),
        ] {
            let (mut client, mut server) = configs_of(version);
            (client.record_size_limit, server.record_size_limit) = (of_client, of_server);
            let mut net = connect(client, server);
            for (role, most) in [(Role::Client, client_sends), (Role::Server, server_sends)] {
                let what = format!("{version} {role:?} {of_client:?} {of_server:?}");
                assert_eq!(net.side(role).max_content(), most, "{what}");
                let mut out = Vec::new();
                let mut seal = |len| {
                    net.side(role).seal(&mut out, |out| {
                        out.resize(out.len() + len, 1);
                        true
                    })
                };
                assert!(!seal(most + 1) && seal(most), "{what}");
                net.give(other(role), &out);
                assert_eq!(net.heard(other(role)), [vec![1; most]], "{what}");
            }
        }
    }
}

/// > a DTLS endpoint that receives a record larger than its advertised limit MAY either generate a fatal
/// > "record_overflow" alert or discard the record. (RFC 8449, section 4)
#[test]
fn a_record_beyond_the_limit_is_dropped() {
    let (mut client, mut server) = configs_of(Version::Dtls13);
    (client.record_size_limit, server.record_size_limit) = (Some(100), Some(100));
    client.key_log = true;
    let mut net = connect(client, server);
    let analyser = Analyser::new(&net.client_events);
    for role in BOTH_ROLES {
        let long = analyser.seal(role, (3, 20), &[], DATA, &[1; 100]);
        net.give(other(role), &long);
        assert_eq!(net.heard(other(role)), Vec::<Vec<u8>>::new());
        assert_eq!(net.side(other(role)).stats().drops.unexpected_record, 1);
        let just_fits = analyser.seal(role, (3, 21), &[], DATA, &[1; 99]);
        net.give(other(role), &just_fits);
        assert_eq!(net.heard(other(role)), [vec![1; 99]]);
    }
}

/// > Unprotected messages [...] are not subject to this limit. [...] An endpoint MUST NOT generate a protected record with
/// > plaintext that is larger than the RecordSizeLimit value it receives from its peer. (RFC 8449, section 4)
#[test]
fn protected_handshake_records_keep_to_the_limit_too() {
    let (mut client, mut server) = configs_of(Version::Dtls13);
    (client.record_size_limit, server.record_size_limit) = (Some(64), Some(80));
    client.key_log = true;
    let net = connect(client, server);
    let analyser = Analyser::new(&net.client_events);
    for (role, limit) in [(Role::Client, 80), (Role::Server, 64)] {
        let records: Vec<_> = net
            .sent_by(role)
            .flat_map(|datagram| analyser.open(role, datagram))
            .collect();
        assert!(records.iter().filter(|record| record.epoch == 2).count() > 6);
        let longest = records
            .iter()
            .filter(|record| record.epoch > 0)
            .map(|record| record.content.len() + 1)
            .max();
        assert!(longest.unwrap() <= limit, "{role:?}: {longest:?}");
    }
}

/// > In TLS 1.2 [...] no context [...] is not the same as a zero-length context; in TLS 1.3 [it] is (after RFC 8446,
/// > section 7.5)
#[test]
fn both_ends_export_the_same_bytes_for_the_same_question_and_no_other() {
    for version in BOTH_VERSIONS {
        let net = Net::connected(version);
        let mut all = Vec::new();
        for label in ["EXTRACTOR-dtls_srtp", "EXPERIMENTAL dunlin"] {
            for context in [None, Some(&b""[..]), Some(b"a"), Some(&[7; 300])] {
                let [ours, theirs] = [&net.client, &net.server].map(|side| {
                    let mut out = [0; 60];
                    side.export(label, context, &mut out).unwrap();
                    out
                });
                assert_eq!(ours, theirs, "{version} {label} {context:?}");
                all.push(ours);
            }
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(
            all.len(),
            if version == Version::Dtls13 { 6 } else { 8 },
            "{version}"
        );
        let other = Net::connected(version);
        let (mut one, mut two) = ([0; 60], [0; 60]);
        net.client.export("EXTRACTOR-dtls_srtp", None, &mut one).unwrap();
        other
            .client
            .export("EXTRACTOR-dtls_srtp", None, &mut two)
            .unwrap();
        assert_ne!(one, two, "another connection has other keys");
        assert_eq!(
            net.client.export("master secret", None, &mut one),
            Err(ExportError::ReservedLabel)
        );
    }
    let net = Net::connected(Version::Dtls13);
    let most = 255 * 32;
    assert_eq!(net.client.export("label", None, &mut vec![0; most]), Ok(()));
    let too_long = Err(ExportError::TooLong { most });
    assert_eq!(net.client.export("label", None, &mut vec![0; most + 1]), too_long);
    assert_eq!(net.client.export(&"l".repeat(250), None, &mut [0]), too_long);
}

fn lines(events: &[Event]) -> Vec<String> {
    let line = |event: &Event| match event {
        Event::KeyLog(line) => Some(line.clone()),
        _ => None,
    };
    events.iter().filter_map(line).collect()
}

#[test]
fn the_key_log_is_silent_by_default_and_the_same_at_both_ends_when_asked_for() {
    for version in BOTH_VERSIONS {
        let net = Net::connected(version);
        assert!(lines(&net.client_events).is_empty() && lines(&net.server_events).is_empty());
        let (mut client, mut server) = configs_of(version);
        (client.key_log, server.key_log) = (true, true);
        let net = connect(client, server);
        let [mut ours, mut theirs] = BOTH_ROLES.map(|role| lines(net.events(role)));
        ours.sort_unstable();
        theirs.sort_unstable();
        assert_eq!(ours, theirs, "{version}");
        let labels: Vec<_> = ours.iter().map(|line| line.split(' ').next().unwrap()).collect();
        let expected: &[&str] = match version {
            Version::Dtls13 => &[
                "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
                "CLIENT_TRAFFIC_SECRET_0",
                "EXPORTER_SECRET",
                "SERVER_HANDSHAKE_TRAFFIC_SECRET",
                "SERVER_TRAFFIC_SECRET_0",
            ],
            _ => &["CLIENT_RANDOM"],
        };
        assert_eq!(labels, expected);
        // The client's random value: behind record header, handshake header and version.
        let random: String = net.sent_by(Role::Client).next().unwrap()[27..59]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        for line in &ours {
            let words: Vec<_> = line.split(' ').collect();
            assert_eq!((words.len(), words[1]), (3, &random[..]), "{line}");
            assert_eq!(words[2].len(), if version == Version::Dtls13 { 64 } else { 96 });
        }
    }
}
