//! Server addresses as people write them: `stun:`, `stuns:` (RFC 7064), `turn:` and `turns:` (RFC 7065) URIs.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use dunlin_net::Transport;

use crate::{PORT, TLS_PORT};

/// What a server is for, and whether the way to it is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// STUN over UDP or TCP.
    Stun,
    /// STUN over TLS or DTLS.
    Stuns,
    /// TURN over UDP or TCP.
    Turn,
    /// TURN over TLS or DTLS.
    Turns,
}

impl Scheme {
    /// Whether the server relays.
    #[must_use]
    pub const fn is_turn(self) -> bool {
        matches!(self, Scheme::Turn | Scheme::Turns)
    }

    /// Whether TLS or DTLS is used.
    #[must_use]
    pub const fn is_secure(self) -> bool {
        matches!(self, Scheme::Stuns | Scheme::Turns)
    }

    const fn name(self) -> &'static str {
        match self {
            Scheme::Stun => "stun",
            Scheme::Stuns => "stuns",
            Scheme::Turn => "turn",
            Scheme::Turns => "turns",
        }
    }
}

/// A host: a name to be resolved, or an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name for DNS.
    Name(String),
    /// An address; IPv6 stands in brackets.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// The URI of a server.
///
/// ```
/// use dunlin_stun::uri::ServerUri;
/// let uri: ServerUri = "turns:turn.example.org?transport=tcp".parse()?;
/// assert_eq!((uri.port(), uri.transport()), (5349, dunlin_net::Transport::Tls));
/// assert_eq!(uri.to_string(), "turns:turn.example.org?transport=tcp");
/// # Ok::<(), dunlin_stun::uri::UriError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerUri {
    /// What it is for.
    pub scheme: Scheme,
    /// Where it is.
    pub host: Host,
    /// The port, where one was written.
    pub explicit_port: Option<u16>,
    /// `?transport=tcp` is `Some(true)`, `?transport=udp` is `Some(false)`; only TURN has it.
    pub over_tcp: Option<bool>,
}

/// Why a text is no URI of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriError {
    /// It does not begin with a scheme that is known.
    #[error("a server's URI begins with stun:, stuns:, turn: or turns:")]
    Scheme,
    /// There is no host, or it has characters that no host has.
    #[error("{0:?} is not a host name or address")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("{0:?} is not a port")]
    Port(String),
    /// What follows `?` is not `transport=udp` or `transport=tcp`, or the scheme is `stun` or `stuns`.
    #[error("{0:?} is not understood: only turn: and turns: take ?transport=udp or ?transport=tcp")]
    Query(String),
}

impl ServerUri {
    /// The port to use: RFC 7064 and 7065, section 3.2: "If it is absent, the default port is 3478 for both UDP and
    /// TCP. The default port for [...] TLS is 5349".
    #[must_use]
    pub fn port(&self) -> u16 {
        let default = if self.scheme.is_secure() { TLS_PORT } else { PORT };
        self.explicit_port.unwrap_or(default)
    }

    /// What carries the messages. Without `?transport=` that is UDP, or TLS for the secure schemes
    /// (RFC 5928, section 3: "turns" begins with TLS over TCP).
    #[must_use]
    pub fn transport(&self) -> Transport {
        match (self.scheme.is_secure(), self.over_tcp) {
            (false, Some(true)) => Transport::Tcp,
            (false, _) => Transport::Udp,
            (true, Some(false)) => Transport::Dtls,
            (true, _) => Transport::Tls,
        }
    }
}

impl fmt::Display for ServerUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.scheme.name(), self.host)?;
        if let Some(port) = self.explicit_port {
            write!(f, ":{port}")?;
        }
        match self.over_tcp {
            Some(true) => f.write_str("?transport=tcp"),
            Some(false) => f.write_str("?transport=udp"),
            None => Ok(()),
        }
    }
}

impl FromStr for ServerUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Scheme)?;
        let scheme = [Scheme::Stun, Scheme::Stuns, Scheme::Turn, Scheme::Turns]
            .into_iter()
            .find(|known| known.name().eq_ignore_ascii_case(scheme))
            .ok_or(UriError::Scheme)?;
        let (authority, query) = match rest.split_once('?') {
            Some((authority, query)) => (authority, Some(query)),
            None => (rest, None),
        };
        let over_tcp = match query.and_then(|query| query.strip_prefix("transport=")) {
            Some(transport) if scheme.is_turn() && transport.eq_ignore_ascii_case("udp") => Some(false),
            Some(transport) if scheme.is_turn() && transport.eq_ignore_ascii_case("tcp") => Some(true),
            None if query.is_none() => None,
            _ => return Err(UriError::Query(query.unwrap_or_default().to_owned())),
        };
        let (host, port) = split_port(authority)?;
        Ok(Self {
            scheme,
            host: parse_host(host)?,
            explicit_port: port.map(parse_port).transpose()?,
            over_tcp,
        })
    }
}

/// Parts host and port: a bracketed host may hold colons.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), UriError> {
    let host_end = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_end);
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(UriError::Host(authority.to_owned())),
    }
}

fn parse_host(host: &str) -> Result<Host, UriError> {
    let wrong = || UriError::Host(host.to_owned());
    if let Some(inside) = host.strip_prefix('[') {
        let address: Ipv6Addr = inside
            .strip_suffix(']')
            .and_then(|text| text.parse().ok())
            .ok_or_else(wrong)?;
        return Ok(Host::Address(address.into()));
    }
    if let Ok(address) = host.parse::<std::net::Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    // RFC 3986 allows more; what no resolver takes is better named here.
    let plausible = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '%');
    if host.is_empty() || host.len() > 255 || !host.chars().all(plausible) {
        return Err(wrong());
    }
    Ok(Host::Name(host.to_owned()))
}

fn parse_port(port: &str) -> Result<u16, UriError> {
    let digits = port.chars().all(|c| c.is_ascii_digit());
    let number = port.parse().ok().filter(|number| digits && *number != 0);
    number.ok_or_else(|| UriError::Port(port.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ServerUri, UriError> {
        text.parse()
    }

    /// The examples of RFC 7064 and 7065, appendix B, and those that browsers take.
    #[test]
    fn uris_that_are_good_come_back_as_they_were() {
        for (text, port, transport) in [
            ("stun:example.org", 3478, Transport::Udp),
            ("stuns:example.org", 5349, Transport::Tls),
            ("stun:example.org:8000", 8000, Transport::Udp),
            ("turn:example.org", 3478, Transport::Udp),
            ("turns:example.org", 5349, Transport::Tls),
            ("turn:example.org:8000?transport=udp", 8000, Transport::Udp),
            ("turn:example.org?transport=tcp", 3478, Transport::Tcp),
            ("turns:192.0.2.1:443?transport=tcp", 443, Transport::Tls),
            ("turns:[2001:db8::1]:443?transport=udp", 443, Transport::Dtls),
        ] {
            let uri = parse(text).unwrap();
            assert_eq!((uri.port(), uri.transport()), (port, transport), "{text}");
            assert_eq!(uri.to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(parse("http://example.org"), Err(UriError::Scheme));
        assert_eq!(parse("example.org"), Err(UriError::Scheme));
        assert_eq!(
            parse("stun://example.org"),
            Err(UriError::Host("//example.org".into()))
        );
        assert_eq!(parse("stun:"), Err(UriError::Host(String::new())));
        assert_eq!(parse("stun:[::1"), Err(UriError::Host("[".into())));
        assert_eq!(parse("turn:a:0"), Err(UriError::Port("0".into())));
        assert_eq!(parse("turn:a:+1"), Err(UriError::Port("+1".into())));
        assert_eq!(parse("turn:a:65536"), Err(UriError::Port("65536".into())));
        assert_eq!(
            parse("stun:a?transport=tcp"),
            Err(UriError::Query("transport=tcp".into()))
        );
        assert_eq!(
            parse("turn:a?transport=sctp"),
            Err(UriError::Query("transport=sctp".into()))
        );
    }
}
