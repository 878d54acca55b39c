//! What a network can do to a handshake, and that the handshake comes out of it.

use std::time::Duration;

use dunlin_dtls::{ClientAddress, ClientAuth, Config, CookieSecret, Group, Version};

use super::{BOTH_VERSIONS, Datagram, Fate, Net, configs_of};

/// What happens to one datagram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Harm {
    Drop,
    Duplicate,
    DuplicateLater,
    /// Longer than a neighbour takes: out of order.
    Delay,
    /// Longer than the first retransmission takes.
    DelayLong,
}

pub(crate) const HARMS: [Harm; 5] = [
    Harm::Drop,
    Harm::Duplicate,
    Harm::DuplicateLater,
    Harm::Delay,
    Harm::DelayLong,
];

pub(crate) fn apply(harm: Option<Harm>, datagram: &Datagram) -> Fate {
    let data = || datagram.data.clone();
    match harm {
        None => vec![(Duration::ZERO, data())],
        Some(Harm::Drop) => vec![],
        Some(Harm::Duplicate) => vec![(Duration::ZERO, data()), (Duration::ZERO, data())],
        Some(Harm::DuplicateLater) => vec![(Duration::ZERO, data()), (Duration::from_millis(300), data())],
        Some(Harm::Delay) => vec![(Duration::from_millis(5), data())],
        Some(Harm::DelayLong) => vec![(Duration::from_millis(900), data())],
    }
}

/// What a handshake goes through beside the plain way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// X25519 alone, and both sides show a certificate.
    Plain,
    /// X25519MLKEM768, which only DTLS 1.3 has.
    Hybrid,
    /// The server wants a cookie.
    Cookie,
    /// The server wants another group, and a cookie.
    Retry,
    /// The server asks for a certificate, and the client has none.
    Optional,
    /// The server does not ask for a certificate.
    Off,
    /// Records with connection IDs.
    Cid,
    /// The server does not know the client's address.
    Unproved,
}

pub(crate) const KINDS: [Kind; 8] = [
    Kind::Plain,
    Kind::Hybrid,
    Kind::Cookie,
    Kind::Retry,
    Kind::Optional,
    Kind::Off,
    Kind::Cid,
    Kind::Unproved,
];

/// A handshake of this kind; with small datagrams every flight has several.
pub(crate) fn small(version: Version, max_datagram: usize, kind: Kind) -> (Config, Config) {
    let (mut client, mut server) = configs_of(version);
    client.max_datagram = max_datagram;
    server.max_datagram = max_datagram;
    if kind != Kind::Hybrid {
        client.groups = vec![Group::X25519, Group::P256];
    }
    match kind {
        Kind::Plain | Kind::Hybrid => {}
        Kind::Cookie | Kind::Retry => {
            server.client_address = ClientAddress::Cookie {
                secret: CookieSecret([7; 32]),
                address: b"client".to_vec(),
            };
            if kind == Kind::Retry {
                server.groups = vec![Group::P256];
            }
        }
        Kind::Optional => {
            client.certificate = None;
            server.client_auth = ClientAuth::Optional;
        }
        Kind::Off => server.client_auth = ClientAuth::Off,
        Kind::Cid => {
            client.connection_id = Some(b"to the client".to_vec());
            server.connection_id = Some(b"2".to_vec());
        }
        Kind::Unproved => server.client_address = ClientAddress::Unproved,
    }
    (client, server)
}

/// Each case in both versions.
pub(crate) fn in_both<T: Copy>(cases: &[T]) -> Vec<(Version, T)> {
    let of = |version| cases.iter().map(move |case| (version, *case));
    BOTH_VERSIONS.into_iter().flat_map(of).collect()
}

/// Runs a handshake in which `harm` says what happens to each datagram; answers with how many were sent.
pub(crate) fn survives(
    configs: &(Config, Config),
    harm: impl Fn(usize, &Datagram) -> Option<Harm>,
    what: &str,
) -> usize {
    let mut net = Net::new(configs.0.clone(), configs.1.clone());
    net.run(|index, datagram| apply(harm(index, datagram), datagram));
    assert!(
        net.client.is_connected(),
        "{what}: client {:?}",
        net.client_events
    );
    assert!(
        net.server.is_connected(),
        "{what}: server {:?}",
        net.server_events
    );
    net.assert_working();
    let after = Duration::from_secs(100);
    let sent = net.sent.len();
    net.run_until(
        after,
        |index, datagram| apply(harm(index, datagram), datagram),
        |_| false,
    );
    assert_eq!(net.client.poll_timeout(), None, "{what}");
    assert_eq!(net.server.poll_timeout(), None, "{what}");
    assert!(net.sent.len() < 100, "{what}: {} datagrams", net.sent.len());
    sent
}
