//! Which version two ends come to, and what a middle box cannot make of it.

mod common;

use common::{Datagram, Net, closed, configs_of, connect, pass};
use dunlin_dtls::{
    AlertDescription, CipherSuite, CloseReason, Config, ConfigError, Connection, Event, HandshakeError, Role,
    Version,
};

const V12: Version = Version::Dtls12;
const V13: Version = Version::Dtls13;
const RANGES: [(Version, Version); 3] = [(V12, V12), (V12, V13), (V13, V13)];

fn configs(client_range: (Version, Version), server_range: (Version, Version)) -> (Config, Config) {
    let (mut client, mut server) = configs_of(V13);
    (client.min_version, client.max_version) = client_range;
    (server.min_version, server.max_version) = server_range;
    (client, server)
}

/// > servers MUST [...] select a version [...] present in that extension (after RFC 8446, section 4.2.1)
#[test]
fn the_best_version_that_both_allow_is_spoken_and_without_one_both_learn_it() {
    for of_client in RANGES {
        for of_server in RANGES {
            let (client, server) = configs(of_client, of_server);
            let best = of_client.1.min(of_server.1);
            if best >= of_client.0.max(of_server.0) {
                let net = connect(client, server);
                assert_eq!(net.client.version(), Some(best), "{of_client:?} {of_server:?}");
                assert_eq!(net.server.version(), Some(best));
                continue;
            }
            let mut net = Net::new(client, server);
            net.run(pass);
            let Some(CloseReason::Handshake(HandshakeError::Version(_))) = closed(&net.server_events) else {
                panic!("{:?}", net.server_events);
            };
            let alert = CloseReason::PeerAlert(AlertDescription::PROTOCOL_VERSION);
            assert_eq!(closed(&net.client_events), Some(&alert));
        }
    }
}

#[test]
fn a_version_without_a_suite_is_not_offered() {
    let (mut client, server) = configs((V12, V13), (V12, V13));
    client.cipher_suites = vec![CipherSuite::EcdheEcdsaAes256GcmSha384];
    assert_eq!(connect(client, server).client.version(), Some(V12));
    let (client, mut server) = configs((V12, V13), (V12, V13));
    server.cipher_suites = vec![CipherSuite::EcdheEcdsaAes256GcmSha384];
    assert_eq!(connect(client, server).client.version(), Some(V12));
    let (mut client, _) = configs((V13, V13), (V12, V13));
    client.cipher_suites = vec![CipherSuite::EcdheEcdsaAes256GcmSha384];
    let mut client = Connection::new(client, [0; 32], common::epoch());
    let reason = CloseReason::Config(ConfigError::NoVersion { min: V13, max: V13 });
    assert_eq!(client.poll_event(), Some(Event::Closed(reason)));
    assert_eq!(client.poll_timeout(), None);
    let (mut client, _) = configs((V13, V12), (V12, V13));
    client.key_log = true;
    assert!(client.check().is_err(), "a minimum above the maximum");
}

/// Replaces the best version in the ClientHello's list, and lets everything else be.
fn downgrade(index: usize, datagram: &Datagram) -> common::Fate {
    let mut data = datagram.data.clone();
    if datagram.to == Role::Server
        && let Some(at) = data
            .windows(9)
            .position(|bytes| bytes == [0, 43, 0, 5, 4, 0xFE, 0xFC, 0xFE, 0xFD])
    {
        data[at + 5..at + 7].copy_from_slice(&[0xFA, 0xFA]);
    }
    pass(index, &Datagram { data, ..*datagram })
}

/// > TLS 1.3 clients receiving a ServerHello indicating TLS 1.2 or below MUST check that the last 8 bytes are not equal
/// > to either of these values. [...] If a match is found, the client MUST abort the handshake with an
/// > "illegal_parameter" alert. (RFC 8446, section 4.1.3)
#[test]
fn a_client_notices_that_somebody_took_the_better_version_away() {
    let (client, server) = configs((V12, V13), (V12, V13));
    let mut net = Net::new(client, server);
    net.run(downgrade);
    let reason = CloseReason::Handshake(HandshakeError::Downgrade);
    assert_eq!(closed(&net.client_events), Some(&reason));
    let alert = CloseReason::PeerAlert(AlertDescription::ILLEGAL_PARAMETER);
    assert_eq!(closed(&net.server_events), Some(&alert));
}

/// The sentinel is there only when the server knows better, and means something only to a client that does.
#[test]
fn the_sentinel_is_sent_by_servers_of_1_3_alone_and_tolerated_by_clients_of_1_2() {
    for (of_server, expected) in [((V12, V12), false), ((V12, V13), true)] {
        let (client, server) = configs((V12, V12), of_server);
        let net = connect(client, server);
        assert_eq!(net.client.version(), Some(V12));
        let hello = net.sent_by(Role::Server).next().unwrap();
        // Record header 13, handshake header 12, version 2, 24 bytes of chance.
        assert_eq!(hello[51..59] == *b"DOWNGRD\x01", expected);
    }
}

/// A server that wants DTLS 1.3 only is not talked into less, nor a client.
#[test]
fn a_minimum_of_1_3_holds_against_the_middle() {
    for (of_client, of_server) in [((V13, V13), (V12, V13)), ((V12, V13), (V13, V13))] {
        let (client, server) = configs(of_client, of_server);
        let mut net = Net::new(client, server);
        net.run(|index, datagram| {
            let mut data = datagram.data.clone();
            if datagram.to == Role::Server
                && let Some(at) = data
                    .windows(4)
                    .position(|bytes| bytes[..2] == [0, 43] && bytes[2] == 0)
            {
                // The extension becomes one that nobody knows.
                data[at..at + 2].copy_from_slice(&[0xFA, 0xFA]);
            }
            pass(index, &Datagram { data, ..*datagram })
        });
        for events in [&net.client_events, &net.server_events] {
            assert!(matches!(events[..], [Event::Closed(_)]), "{events:?}");
        }
    }
}
