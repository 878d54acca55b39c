//! Why `dunlin turn` ends: sentences that say what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the program ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnError {
    #[error("{0} cannot be read: {1}")]
    Read(PathBuf, #[source] io::Error),
    #[error("{file} is not a configuration that is understood:\n{error}", file = .0.display(), error = .1)]
    File(PathBuf, toml::de::Error),
    #[error("{0:?} is no user: write the name, a colon and the password")]
    User(String),
    #[error(
        "{0:?} is no external address: write it alone, or behind it a slash and the address of this host"
    )]
    External(String),
    #[error("the external address {0} is for {1}, which is not among the relay addresses (--relay-ip)")]
    ExternalOf(std::net::IpAddr, std::net::IpAddr),
    #[error(
        "nobody could use this server: give it users (--user), a secret (--shared-secret), or say --stun-only"
    )]
    Nobody,
    #[error("a certificate (--cert) needs its key (--key), and a key its certificate")]
    HalfIdentity,
    #[error(
        "--nat-discovery is given twice, with two addresses of one family that differ in IP and in port, neither of them 0"
    )]
    Discovery,
    #[error("the realm is too long: 127 characters are the most")]
    Realm,
    #[error("{0}")]
    Bind(#[from] dunlin::turn_server::BindError),
    #[error("metrics cannot be served on {0}: {1}")]
    Metrics(SocketAddr, #[source] io::Error),
    #[error("signals cannot be received: {0}")]
    Signals(#[source] io::Error),
}
