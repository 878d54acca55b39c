//! Why a TURN server does not start: sentences for its operator.

use std::io;
use std::net::{IpAddr, SocketAddr};

use dunlin_net::Transport;

/// Why a TURN server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program listens there.
    #[error("{1} on {0} is in use by another program")]
    InUse(SocketAddr, Transport),
    /// The address is not this host's.
    #[error("this host has no address {ip}, so {1} cannot be listened on there", ip = .0.ip())]
    NoSuchAddress(SocketAddr, Transport),
    /// The port is reserved.
    #[error("port {port} may only be used by the administrator, so {1} cannot be listened on there", port = .0.port())]
    Forbidden(SocketAddr, Transport),
    /// Something else.
    #[error("{1} cannot be listened on at {0}: {2}")]
    Listen(SocketAddr, Transport, #[source] io::Error),
    /// Nothing to listen on.
    #[error("there is nothing to listen on: no address for UDP, TCP, TLS or DTLS is given")]
    NoListener,
    /// TLS or DTLS without a certificate.
    #[error("TLS and DTLS need a certificate and its key, and none is given")]
    NoIdentity,
    /// The certificate or the key cannot be used.
    #[error("the certificate or its key cannot be used: {0}")]
    Identity(String),
    /// A relay address that is not this host's.
    #[error("this host has no address {0}, so nothing can be relayed from there")]
    NoSuchRelay(IpAddr),
    /// No relay address was given, and none was found.
    #[error("no address to relay from was given, and this host has none but loopback")]
    NoRelay,
    /// The range of ports is empty or begins below 1024.
    #[error("relays need a range of ports from 1024 on; {0} to {1} is none")]
    Ports(u16, u16),
    /// Threads or the runtime.
    #[error("the server's threads could not be started: {0}")]
    Start(#[source] io::Error),
}

impl BindError {
    /// The sentence for an error that listening met.
    pub(super) fn listen(address: SocketAddr, transport: Transport, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(address, transport),
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress(address, transport),
            io::ErrorKind::PermissionDenied => Self::Forbidden(address, transport),
            _ => Self::Listen(address, transport, error),
        }
    }
}
