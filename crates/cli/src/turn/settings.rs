//! From options to the server's configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use dunlin::turn_server::{BindingServer, Config, Identity, Prefix, RelayAddress, User};

use super::error::TurnError;
use super::mistakes;
use super::options::Options;

/// The ports of RFC 8489, section 18.6, and RFC 8656, section 5.
const PORT: u16 = 3478;
const SECURE_PORT: u16 = 5349;

/// The options of the command line, and under them those of the file that it names.
pub(super) fn read(flags: Options) -> Result<Options, TurnError> {
    let Some(path) = flags.config.clone() else {
        return Ok(flags);
    };
    let text = text(&path)?;
    let file: Options = toml::from_str(&text).map_err(|error| TurnError::File(path, error))?;
    Ok(flags.over(file))
}

/// The configuration that the options stand for.
pub(super) fn config(options: &Options) -> Result<Config, TurnError> {
    mistakes::check(options)?;
    let mut config = Config::default();
    config.identity = identity(options)?;
    let secure = config.identity.is_some();
    config.udp = listeners(&options.udp, PORT, !options.no_udp);
    config.tcp = listeners(&options.tcp, PORT, !options.no_tcp);
    let asked = |list: &[SocketAddr], no: bool| !no && (secure || !list.is_empty());
    config.tls = listeners(&options.tls, SECURE_PORT, asked(&options.tls, options.no_tls));
    config.dtls = listeners(&options.dtls, SECURE_PORT, asked(&options.dtls, options.no_dtls));
    config.workers = options.workers.unwrap_or(0);
    if let Some(micros) = options.rest_us {
        config.rest = Duration::from_micros(micros.into());
    }
    config.tcp_relays = !options.no_tcp_relay;
    let ports = config.ports.clone();
    config.ports = options.min_port.unwrap_or(*ports.start())..=options.max_port.unwrap_or(*ports.end());
    if let Some(max) = options.max_connections {
        config.max_streams = max;
        config.max_dtls = max;
    }
    discovery(options, &mut config)?;
    users(options, &mut config)?;
    limits(options, &mut config);
    access(options, &mut config);
    relays(options, &mut config)?;
    Ok(config)
}

fn text(path: &Path) -> Result<String, TurnError> {
    std::fs::read_to_string(path).map_err(|error| TurnError::Read(path.to_owned(), error))
}

/// The certificate and its key, as the files have them now.
pub(super) fn identity(options: &Options) -> Result<Option<Identity>, TurnError> {
    let (cert, key) = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => (cert, key),
        (None, None) => return Ok(None),
        _ => return Err(TurnError::HalfIdentity),
    };
    Ok(Some(Identity {
        certificates: text(cert)?.into_bytes(),
        key: text(key)?.into_bytes(),
    }))
}

/// What was asked for, or all addresses.
fn listeners(asked: &[SocketAddr], port: u16, wanted: bool) -> Vec<SocketAddr> {
    if !wanted {
        return Vec::new();
    }
    if !asked.is_empty() {
        return asked.to_vec();
    }
    let mut all = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))];
    // A host may have no IPv6 at all.
    if UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok() {
        all.push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    all
}

/// RFC 5780, section 6: the server has two addresses and two ports, and answers from whichever it is asked to.
fn discovery(options: &Options, config: &mut Config) -> Result<(), TurnError> {
    let (one, other) = match options.nat_discovery[..] {
        [] => return Ok(()),
        [one, other] => (one, other),
        _ => return Err(TurnError::Discovery),
    };
    let same = one.ip() == other.ip() || one.port() == other.port() || one.is_ipv4() != other.is_ipv4();
    if same || one.port() == 0 || other.port() == 0 {
        return Err(TurnError::Discovery);
    }
    for address in [
        one,
        SocketAddr::new(one.ip(), other.port()),
        SocketAddr::new(other.ip(), one.port()),
        other,
    ] {
        let serves = |listener: &SocketAddr| {
            let any = listener.ip().is_unspecified() && listener.is_ipv4() == address.is_ipv4();
            listener.port() == address.port() && (any || listener.ip() == address.ip())
        };
        if !config.udp.iter().any(serves) {
            config.udp.push(address);
        }
    }
    let mut server = BindingServer::default();
    server.discovery = Some([one, other]);
    (server.padding, server.response_port) = (true, true);
    config.server.binding = Some(server);
    Ok(())
}

fn users(options: &Options, config: &mut Config) -> Result<(), TurnError> {
    let core = &mut config.server;
    for text in &options.user {
        let (username, password) = mistakes::split_user(text)?;
        core.users.push(User {
            username: username.to_owned(),
            password: password.to_owned(),
        });
    }
    core.shared_secrets = options
        .shared_secret
        .iter()
        .map(|secret| secret.clone().into_bytes())
        .collect();
    if let Some(path) = &options.shared_secret_file {
        let first = text(path)?.lines().next().unwrap_or_default().trim().to_owned();
        if first.is_empty() {
            return Err(TurnError::EmptySecretFile(path.clone()));
        }
        core.shared_secrets.push(first.into_bytes());
    }
    if options.stun_only {
        core.users.clear();
        core.shared_secrets.clear();
    } else if core.users.is_empty() && core.shared_secrets.is_empty() {
        return Err(TurnError::Nobody);
    }
    if let Some(realm) = &options.realm {
        core.realm.clone_from(realm);
    }
    core.rfc5766_channels = options.rfc5766_channels;
    core.software.clone_from(&options.software);
    if options.no_stun {
        core.binding = None;
    }
    Ok(())
}

fn limits(options: &Options, config: &mut Config) {
    let core = &mut config.server;
    let seconds = |place: &mut Duration, asked: Option<u64>| {
        if let Some(asked) = asked {
            *place = Duration::from_secs(asked);
        }
    };
    seconds(&mut core.nonce_age, options.nonce_seconds);
    seconds(&mut core.default_lifetime, options.default_lifetime);
    seconds(&mut core.max_lifetime, options.max_lifetime);
    core.max_lifetime = core.max_lifetime.max(core.default_lifetime);
    core.max_allocations = options.total_quota.unwrap_or(core.max_allocations);
    core.max_allocations_per_user = options.user_quota.unwrap_or(core.max_allocations_per_user);
    core.max_bytes_per_second = options.max_bps;
    core.mobility = !options.no_mobility;
    core.alternate_server = options.alternate_server;
}

fn access(options: &Options, config: &mut Config) {
    let access = &mut config.server.access;
    access.allowed.clone_from(&options.allow_peer);
    access.denied.clone_from(&options.deny_peer);
    if options.allow_loopback_peers {
        access.allowed.push(Prefix::new(Ipv4Addr::LOCALHOST.into(), 8));
        access.allowed.push(Prefix::new(Ipv6Addr::LOCALHOST.into(), 128));
    }
}

fn relays(options: &Options, config: &mut Config) -> Result<(), TurnError> {
    config.relay = options
        .relay_ip
        .iter()
        .map(|ip| RelayAddress {
            ip: *ip,
            external: None,
        })
        .collect();
    if options.external_ip.is_empty() {
        return Ok(());
    }
    config.fill_relays()?;
    for text in &options.external_ip {
        let wrong = || TurnError::External(text.clone());
        let (public, private) = match text.split_once('/') {
            Some((public, private)) => (public, Some(private)),
            None => (text.as_str(), None),
        };
        let public: IpAddr = public.parse().map_err(|_| wrong())?;
        let private: Option<IpAddr> = private.map(str::parse).transpose().map_err(|_| wrong())?;
        let mut found = false;
        for relay in &mut config.relay {
            if private.map_or(relay.ip.is_ipv4() == public.is_ipv4(), |private| {
                private == relay.ip
            }) {
                if relay.external.is_some_and(|other| other != public) {
                    return Err(TurnError::ExternalTwice(relay.ip));
                }
                relay.external = Some(public);
                found = true;
            }
        }
        match private {
            _ if found => {}
            Some(private) => return Err(TurnError::ExternalOf(public, private)),
            None => return Err(TurnError::ExternalFamily(public)),
        }
    }
    Ok(())
}
