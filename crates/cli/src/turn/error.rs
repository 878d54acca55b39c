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
    #[error("one of the users (--user) is none: write the name, a colon and the password")]
    User,
    #[error("the user {0:?} has no password: write it behind the colon")]
    NoPassword(String),
    #[error("the user {0:?} is given twice, and only one password can be right")]
    SameUser(String),
    #[error("a shared secret (--shared-secret) is empty: everybody could make credentials")]
    EmptySecret,
    #[error("the first line of {0} is empty: it is to be the shared secret")]
    EmptySecretFile(PathBuf),
    #[error("{0} = {1} is too small: {2} is the least (to set no limit of one's own, leave it out)")]
    TooSmall(&'static str, u64, u64),
    #[error("{0} = {1} is too large: {2} is the most")]
    TooLarge(&'static str, u64, u64),
    #[error("default-lifetime = {0} is longer than max-lifetime = {1}")]
    Lifetimes(u64, u64),
    #[error("{0} and {1} contradict each other: leave one of them out")]
    Contradiction(&'static str, &'static str),
    #[error("nobody can be sent to the alternate-server {0}: write its address and port")]
    Alternate(SocketAddr),
    #[error("{0} takes 1 to 127 characters")]
    Text(&'static str),
    #[error(
        "{0:?} is no external address: write it alone, or behind it a slash and the address of this host"
    )]
    External(String),
    #[error("the external address {0} is for {1}, which is not among the relay addresses (--relay-ip)")]
    ExternalOf(std::net::IpAddr, std::net::IpAddr),
    #[error("the external address {0} has no relay address of its IP version (--relay-ip) to stand for")]
    ExternalFamily(std::net::IpAddr),
    #[error("the relay address {0} has two external addresses: write behind a slash which is for which")]
    ExternalTwice(std::net::IpAddr),
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
    #[error("{0}")]
    Bind(#[from] dunlin::turn_server::BindError),
    #[error("metrics cannot be served on {0}: {1}")]
    Metrics(SocketAddr, #[source] io::Error),
    #[error("signals cannot be received: {0}")]
    Signals(#[source] io::Error),
}
