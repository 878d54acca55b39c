//! STUN and TURN servers: what an agent is told about them, and what it tells of them.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use dunlin_net::Transport;
pub use dunlin_turn::Credentials as TurnCredentials;

/// A STUN server that is not asked over UDP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StunServer {
    /// Its address.
    pub address: SocketAddr,
    /// What the messages to it travel over: TCP, TLS or DTLS.
    pub transport: Transport,
    /// The name that its certificate must carry, over TLS and DTLS.
    pub name: Option<String>,
    /// How reports call it: the URI that it was configured by.
    pub url: String,
}

/// A TURN server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnServer {
    /// Its address.
    pub address: SocketAddr,
    /// What the messages to it travel over.
    pub transport: Transport,
    /// The name that its certificate must carry, over TLS and DTLS; also the name to send in the handshake.
    pub name: Option<String>,
    /// Who we are there.
    pub credentials: TurnCredentials,
    /// How reports call it: the URI that it was configured by.
    pub url: String,
}

/// All servers of an agent, for [`Agent::set_servers`](crate::Agent::set_servers).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Servers {
    /// STUN servers that are asked over UDP.
    pub stun: Vec<SocketAddr>,
    /// STUN servers that are asked in other ways.
    pub stun_ways: Vec<StunServer>,
    /// TURN servers.
    pub turn: Vec<TurnServer>,
    /// Servers that the parent knows to be out of reach: for the report.
    pub failed: Vec<ServerReport>,
}

/// Which candidates are used: `RTCIceTransportPolicy` of the W3C's WebRTC, section 4.2.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportPolicy {
    /// All.
    #[default]
    All,
    /// Only relayed ones: the peer learns no address of this host.
    Relay,
}

/// Why a server gave no candidate (any more), in words that a user can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The parent could not resolve its name.
    #[error("its name does not resolve: {0}")]
    Name(String),
    /// The connection was refused, or there is no route.
    #[error("no connection to it: {0}")]
    Connect(String),
    /// The TLS handshake failed, mostly because of the certificate.
    #[error("TLS to it failed: {0}")]
    Tls(String),
    /// The server's host says that nobody listens there (ICMP).
    #[error(
        "nobody listens at this UDP port, says the host (ICMP): is the port right, and the server running?"
    )]
    PortUnreachable,
    /// The DTLS handshake failed, mostly because of the certificate.
    #[error("DTLS to it failed: {0}")]
    Dtls(String),
    /// The parent cannot reach servers over this transport.
    #[error("this program does not reach this server over {0}")]
    Transport(Transport),
    /// Nothing came in time.
    #[error("it did not answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// The connection to it ended.
    #[error("the connection to it ended: {0}")]
    Lost(String),
    /// What the TURN client says.
    #[error(transparent)]
    Turn(#[from] dunlin_turn::client::Failure),
    /// What the STUN client says.
    #[error(transparent)]
    Stun(#[from] dunlin_stun::Failure),
    /// There are more than the configuration allows.
    #[error("it was not asked: there are more TURN servers than the configured limit of {0}")]
    TooMany(usize),
}

impl ServerError {
    /// Whether nothing at all came back.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(
            self,
            ServerError::Timeout(_)
                | ServerError::Turn(dunlin_turn::client::Failure::NoAnswer(_))
                | ServerError::Stun(dunlin_stun::Failure::Timeout(_))
        )
    }

    /// Whether the server does not know our username or password.
    #[must_use]
    pub fn is_unauthorized(&self) -> bool {
        matches!(
            self,
            ServerError::Turn(dunlin_turn::client::Failure::WrongCredentials)
                | ServerError::Stun(dunlin_stun::Failure::WrongCredentials)
        )
    }
}

/// What became of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerState {
    /// It was not asked (yet).
    Idle,
    /// It has not answered yet.
    Asked {
        /// How long it has been waited for.
        waited: Duration,
        /// Whether there is a way to it: over TCP, TLS and DTLS, that the connection is made.
        connected: bool,
    },
    /// It answered.
    Answered {
        /// How it sees us.
        mapped: Option<SocketAddr>,
        /// Where it relays for us: at most one address of each family.
        relayed: Vec<SocketAddr>,
    },
    /// It gave nothing, or what it gave is gone.
    Failed(ServerError),
}

/// A server and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    /// The URI that it was configured by, or one made of its address.
    pub url: String,
    /// Its address; `None` when its name did not resolve.
    pub address: Option<SocketAddr>,
    /// What the messages to it travel over.
    pub transport: Transport,
    /// Whether it is a TURN server.
    pub relays: bool,
    /// What became of it.
    pub state: ServerState,
}

impl ServerReport {
    /// Why it failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&ServerError> {
        match &self.state {
            ServerState::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl ServerState {
    /// Just asked.
    pub(crate) fn asked() -> Self {
        ServerState::Asked {
            waited: Duration::ZERO,
            connected: false,
        }
    }
}

/// Silence of less than this says nothing: that is a slow network.
const TELLING_SILENCE: Duration = Duration::from_secs(2);

impl ServerReport {
    /// What silence of this length usually means.
    fn write_silence(&self, f: &mut fmt::Formatter<'_>, waited: Duration, connected: bool) -> fmt::Result {
        f.write_str(": no answer yet")?;
        if waited < TELLING_SILENCE {
            return Ok(());
        }
        write!(f, ": nothing came back in {:.0} s, ", waited.as_secs_f32())?;
        match (self.transport, connected) {
            (Transport::Udp, _) => f.write_str(
                "which usually means that a firewall drops UDP on the way, or that the address or the port is wrong",
            ),
            (Transport::Dtls, false) => f.write_str(
                "which usually means that a firewall drops UDP on the way, or that nobody speaks DTLS at this port",
            ),
            (_, false) => f.write_str(
                "which usually means that a firewall drops the connection on the way, or that the address is wrong",
            ),
            (_, true) => f.write_str("but the connection is made: perhaps another service listens at this port"),
        }
    }
}

impl fmt::Display for ServerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)?;
        if !self.relays && self.transport != Transport::Udp {
            // Their URIs cannot say it (RFC 7064).
            write!(f, " over {}", self.transport)?;
        }
        if let Some(address) = self
            .address
            .filter(|address| !self.url.contains(&address.to_string()))
        {
            write!(f, " ({address})")?;
        }
        match &self.state {
            ServerState::Idle => f.write_str(": not asked"),
            ServerState::Asked { waited, connected } => self.write_silence(f, *waited, *connected),
            ServerState::Answered { mapped, relayed } => {
                f.write_str(": answered")?;
                if let Some(mapped) = mapped {
                    write!(f, ", sees us as {mapped}")?;
                }
                for relayed in relayed {
                    write!(f, ", relays at {relayed}")?;
                }
                Ok(())
            }
            ServerState::Failed(error) => write!(f, ": {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_line_that_names_the_server_and_what_it_did() {
        let mut report = ServerReport {
            url: "turns:turn.example.org".to_owned(),
            address: Some("192.0.2.1:5349".parse().unwrap()),
            transport: Transport::Tls,
            relays: true,
            state: ServerState::Failed(ServerError::Tls("the certificate has expired".to_owned())),
        };
        assert_eq!(
            report.to_string(),
            "turns:turn.example.org (192.0.2.1:5349): TLS to it failed: the certificate has expired"
        );
        report.state = ServerState::Answered {
            mapped: Some("198.51.100.1:7000".parse().unwrap()),
            relayed: vec!["192.0.2.1:50000".parse().unwrap()],
        };
        report.url = "turn:192.0.2.1:5349".to_owned();
        assert_eq!(
            report.to_string(),
            "turn:192.0.2.1:5349: answered, sees us as 198.51.100.1:7000, relays at 192.0.2.1:50000"
        );
        report.state = ServerState::Failed(ServerError::Timeout(Duration::from_secs(15)));
        assert_eq!(
            report.to_string(),
            "turn:192.0.2.1:5349: it did not answer within 15 s"
        );
    }
}
