//! Both ends of a handshake: each with an ECDSA P-256 certificate that the other checks.

use super::Traffic;
use bytes::BytesMut;
use dunlin_dtls::{
    Certificate, Config, Connection, Event, Group, HashAlgorithm, PeerIdentity, Role, Version,
};
use std::time::Instant;

/// Version and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    V12,
    V13,
    Hybrid,
}

/// Configurations of a client and a server that expect each other.
pub fn configs(kind: Kind) -> Result<(Config, Config), String> {
    let text = |error: dunlin_crypto::BackendError| error.to_string();
    let client = Certificate::generate().map_err(text)?;
    let server = Certificate::generate().map_err(text)?;
    let expects = |certificate: &Certificate| {
        PeerIdentity::Fingerprints(vec![certificate.fingerprint(HashAlgorithm::Sha256)])
    };
    let (of_client, of_server) = (expects(&client), expects(&server));
    let mut client = Config::new(Role::Client, client, of_server);
    let mut server = Config::new(Role::Server, server, of_client);
    for config in [&mut client, &mut server] {
        config.srtp_profiles = vec![7, 1];
        let version = match kind {
            Kind::V12 => Version::Dtls12,
            Kind::V13 | Kind::Hybrid => Version::Dtls13,
        };
        (config.min_version, config.max_version) = (version, version);
        if kind != Kind::Hybrid {
            config.groups = vec![Group::X25519, Group::P256];
        }
    }
    Ok((client, server))
}

/// Two ends that are connected, and what it took.
pub fn pair(configs: &(Config, Config), now: Instant) -> Result<(Connection, Connection, Traffic), String> {
    let mut client = Connection::new(configs.0.clone(), [1; 32], now);
    let mut server = Connection::new(configs.1.clone(), [2; 32], now);
    let mut traffic = Traffic::default();
    loop {
        let before = traffic.datagrams;
        deliver(&mut client, &mut server, now, &mut traffic);
        deliver(&mut server, &mut client, now, &mut traffic);
        if before == traffic.datagrams {
            break;
        }
    }
    for side in [&mut client, &mut server] {
        match side.poll_event() {
            Some(Event::Connected) => {}
            other => return Err(format!("a handshake in the bench ended with {other:?}")),
        }
    }
    Ok((client, server, traffic))
}

fn deliver(from: &mut Connection, to: &mut Connection, now: Instant, traffic: &mut Traffic) {
    let mut out = Vec::with_capacity(1500);
    while from.poll_transmit(now, &mut out) {
        traffic.datagrams += 1;
        traffic.bytes += out.len();
        to.handle_datagram(now, BytesMut::from(&out[..]));
        out.clear();
    }
}
