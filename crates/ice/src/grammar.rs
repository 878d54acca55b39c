//! The grammar of a `candidate:` line (RFC 8839, section 5.1; RFC 6544, section 4.5): reading and writing.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::candidate::{Address, Candidate, Kind, Protocol, TcpType};

/// Why a text is not a candidate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseCandidateError {
    /// The line ended too early.
    #[error("the candidate ends before its {0}")]
    Missing(&'static str),
    /// A field does not follow the grammar.
    #[error("the candidate's {field} is malformed: {text:?}")]
    Malformed {
        /// Which field.
        field: &'static str,
        /// What stood there.
        text: String,
    },
    /// A kind of candidate that nobody has specified yet.
    #[error("the candidate is of the unknown type {0:?}")]
    UnknownKind(String),
    /// Longer than any candidate needs to be.
    #[error("the candidate has {0} bytes, more than any candidate needs")]
    TooLong(usize),
}

/// No candidate that is meant seriously is longer than this.
const MAX_LEN: usize = 2048;
/// Nor has it more extensions than this.
const MAX_EXTENSIONS: usize = 32;

impl FromStr for Candidate {
    type Err = ParseCandidateError;

    /// Reads `candidate:…`, with or without a leading `a=`, `candidate:` and surrounding blanks. The words of the grammar may
    /// be written in any case (RFC 5234, section 2.3).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_LEN {
            return Err(ParseCandidateError::TooLong(text.len()));
        }
        let text = text.trim();
        let text = text.strip_prefix("a=").unwrap_or(text);
        let text = text.strip_prefix("candidate:").unwrap_or(text);
        let mut tokens = text.split(' ').filter(|token| !token.is_empty());
        let mut next = |field| tokens.next().ok_or(ParseCandidateError::Missing(field));

        let foundation = next("foundation")?;
        // RFC 8839, section 5.1: "foundation = 1*32ice-char".
        if foundation.len() > 32 || !foundation.bytes().all(is_ice_char) {
            return Err(malformed("foundation", foundation));
        }
        let component = number::<u16>("component", next("component")?)?;
        // RFC 8839, section 5.1: "a positive integer between 1 and 256 (inclusive)".
        if !(1..=256).contains(&component) {
            return Err(malformed("component", &component.to_string()));
        }
        let protocol = match next("transport")? {
            token if token.eq_ignore_ascii_case("udp") => Protocol::Udp,
            token if token.eq_ignore_ascii_case("tcp") => Protocol::Tcp,
            token => Protocol::Other(token.to_owned()),
        };
        let priority = number::<u32>("priority", next("priority")?)?;
        let host = next("address")?;
        let port = number::<u16>("port", next("port")?)?;
        let address = address("address", host, port)?;
        let typ = next("typ")?;
        if !typ.eq_ignore_ascii_case("typ") {
            return Err(malformed("typ", typ));
        }
        let word = next("type")?;
        let kinds = [
            Kind::Host,
            Kind::ServerReflexive,
            Kind::PeerReflexive,
            Kind::Relayed,
        ];
        let kind = kinds
            .into_iter()
            .find(|kind| word.eq_ignore_ascii_case(kind.as_str()))
            .ok_or_else(|| ParseCandidateError::UnknownKind(word.to_owned()))?;
        let mut candidate = Candidate::udp(kind, SocketAddr::from(([0, 0, 0, 0], 0)), priority, foundation);
        candidate.component = component;
        candidate.protocol = protocol;
        candidate.address = address;
        read_extensions(&mut candidate, tokens)?;
        Ok(candidate)
    }
}

/// RFC 8839, section 5.1: what follows the type are pairs of a name and a value. Unknown ones are kept and
/// not interpreted: "An implementation MUST ignore any name/value pairs it doesn't understand."
fn read_extensions<'a>(
    candidate: &mut Candidate,
    mut tokens: impl Iterator<Item = &'a str>,
) -> Result<(), ParseCandidateError> {
    let mut related: Option<&str> = None;
    let mut related_port = 0;
    while let Some(name) = tokens.next() {
        let value = tokens.next().unwrap_or_default();
        let is = |word: &str| name.eq_ignore_ascii_case(word);
        match name {
            _ if is("raddr") => related = Some(value),
            _ if is("rport") => related_port = number::<u16>("rport", value)?,
            _ if is("tcptype") => {
                let types = [TcpType::Active, TcpType::Passive, TcpType::SimultaneousOpen];
                let found = types
                    .into_iter()
                    .find(|known| value.eq_ignore_ascii_case(known.as_str()));
                candidate.tcp_type = Some(found.ok_or_else(|| malformed("tcptype", value))?);
            }
            _ if candidate.extensions.len() < MAX_EXTENSIONS => {
                candidate.extensions.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(malformed("extensions", name)),
        }
    }
    candidate.related = match related {
        Some(host) => Some(address("raddr", host, related_port)?),
        None => None,
    };
    Ok(())
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Candidate {
            foundation,
            component,
            protocol,
            priority,
            kind,
            ..
        } = self;
        write!(f, "candidate:{foundation} {component} {protocol} {priority} ")?;
        write_address(f, &self.address, " ")?;
        write!(f, " typ {}", kind.as_str())?;
        if let Some(related) = &self.related {
            f.write_str(" raddr ")?;
            write_address(f, related, " rport ")?;
        }
        if let Some(tcp_type) = self.tcp_type {
            write!(f, " tcptype {}", tcp_type.as_str())?;
        }
        for (name, value) in &self.extensions {
            write!(f, " {name}")?;
            if !value.is_empty() {
                write!(f, " {value}")?;
            }
        }
        Ok(())
    }
}

fn write_address(f: &mut fmt::Formatter<'_>, address: &Address, between: &str) -> fmt::Result {
    match address {
        Address::Socket(address) => write!(f, "{}{between}{}", address.ip(), address.port()),
        Address::Name { name, port } => write!(f, "{name}{between}{port}"),
    }
}

fn address(field: &'static str, host: &str, port: u16) -> Result<Address, ParseCandidateError> {
    // A zone (`fe80::1%eth0`) means something on the sender's host only.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let bare = bare.split('%').next().unwrap_or(bare);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port).into());
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    // RFC 8839, section 5.1: "the presence of a colon indicates IPv6"; RFC 1035 names have at most 253 bytes.
    if host.is_empty() || host.len() > 253 || !host.bytes().all(is_name) {
        return Err(malformed(field, host));
    }
    Ok(Address::Name {
        name: host.to_owned(),
        port,
    })
}

fn number<T: FromStr>(field: &'static str, text: &str) -> Result<T, ParseCandidateError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|_| digits)
        .ok_or_else(|| malformed(field, text))
}

fn malformed(field: &'static str, text: &str) -> ParseCandidateError {
    ParseCandidateError::Malformed {
        field,
        text: text.chars().take(64).collect(),
    }
}

/// RFC 8839, section 5.1: "ice-char = ALPHA / DIGIT / "+" / "/"".
pub(crate) fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_browsers_survive_a_round_trip() {
        // Chromium 156, libwebrtc, Firefox 153 (lower case here: Firefox writes UDP), aiortc, libnice.
        for line in [
            "candidate:1987409571 1 udp 2122260223 127.0.0.1 39019 typ host generation 0 network-id 1 network-cost 50",
            "candidate:1603748360 1 udp 2122265343 fd00::2 46933 typ host generation 0 network-id 2",
            "candidate:1424828579 1 tcp 1518222591 ::1 9 typ host tcptype active generation 0 network-id 2",
            "candidate:842163049 1 udp 1677729535 203.0.113.7 51464 typ srflx raddr 0.0.0.0 rport 0 generation 0",
            "candidate:0 1 udp 2122252543 6f4d2d3a-4b9b-4a0e-9f3e-0d2c9f2f1a11.local 47665 typ host",
            "candidate:4 1 udp 2015363583 fe80::d812:ecff:feab:95d1 48220 typ host ufrag Ab+/",
            "candidate:abc/+ 2 ssltcp 1 10.0.0.1 443 typ relay raddr 192.0.2.1 rport 3478",
        ] {
            let candidate: Candidate = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            assert_eq!(candidate.to_string(), line);
            let with_prefix: Candidate = format!("a={line}\r\n").parse().unwrap();
            assert_eq!(with_prefix, candidate);
        }
    }

    #[test]
    fn every_line_that_peers_sent_is_read_and_written_back() {
        let lines = include_str!("../tests/data/candidates.txt")
            .lines()
            .filter(|line| !line.starts_with('#'));
        let mut read = 0;
        for line in lines {
            let candidate: Candidate = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
            // Firefox and aiortc write the protocol in capitals.
            assert_eq!(
                candidate.to_string(),
                line.replace(" UDP ", " udp ").replace(" TCP ", " tcp ")
            );
            read += 1;
        }
        assert!(read > 10);
    }

    #[test]
    fn fields_have_their_meaning() {
        let candidate: Candidate =
            "0 1 UDP 1686052607 203.0.113.7 51464 typ srflx raddr 10.0.0.7 rport 4000 ufrag abcd"
                .parse()
                .unwrap();
        assert_eq!(candidate.protocol, Protocol::Udp);
        assert_eq!(candidate.kind, Kind::ServerReflexive);
        assert_eq!(
            candidate.address.socket(),
            Some("203.0.113.7:51464".parse().unwrap())
        );
        assert_eq!(
            candidate.related,
            Some(Address::Socket("10.0.0.7:4000".parse().unwrap()))
        );
        assert_eq!(candidate.extension("ufrag"), Some("abcd"));
        let hidden: Candidate = "0 1 udp 1 x.local 5 typ host".parse().unwrap();
        assert_eq!(
            hidden.address,
            Address::Name {
                name: "x.local".into(),
                port: 5
            }
        );
    }

    #[test]
    fn what_is_not_a_candidate_is_refused_with_the_field() {
        let error = |text: &str| text.parse::<Candidate>().unwrap_err().to_string();
        assert_eq!(error(""), "the candidate ends before its foundation");
        assert_eq!(
            error("1 1 udp 5 10.0.0.1 70000 typ host"),
            "the candidate's port is malformed: \"70000\""
        );
        assert_eq!(
            error("1 0 udp 5 10.0.0.1 7 typ host"),
            "the candidate's component is malformed: \"0\""
        );
        assert_eq!(
            error("1 1 udp -5 10.0.0.1 7 typ host"),
            "the candidate's priority is malformed: \"-5\""
        );
        assert_eq!(
            error("1 1 udp 5 10.0.0.1 7 typ moon"),
            "the candidate is of the unknown type \"moon\""
        );
        assert_eq!(
            error("1 1 udp 5 a:b::zz 7 typ host"),
            "the candidate's address is malformed: \"a:b::zz\""
        );
        assert!("x".repeat(5000).parse::<Candidate>().is_err());
    }

    /// RFC 5234, section 2.3: "ABNF strings are case insensitive".
    #[test]
    fn the_words_of_a_line_may_be_written_in_any_case() {
        let line =
            "candidate:1 1 TCP 5 10.0.0.1 9 TYP SrFlx RADDR 10.0.0.2 RPORT 7 TCPTYPE Passive UFRAG AbCd";
        let candidate: Candidate = line.parse().unwrap();
        assert_eq!(
            candidate.to_string(),
            "candidate:1 1 tcp 5 10.0.0.1 9 typ srflx raddr 10.0.0.2 rport 7 tcptype passive UFRAG AbCd"
        );
        assert_eq!(candidate.extension("ufrag"), Some("AbCd"));
        let host: Candidate = "candidate:1 1 udp 5 FD00::A 9 typ HOST".parse().unwrap();
        assert_eq!(host.address.socket(), Some("[fd00::a]:9".parse().unwrap()));
    }

    #[test]
    fn any_prefix_of_a_line_is_read_or_refused() {
        let line =
            "candidate:1 1 udp 2122260223 10.0.0.1 5000 typ srflx raddr 10.0.0.2 rport 5 tcptype so a b";
        for end in 0..line.len() {
            let _ = line[..end].parse::<Candidate>();
        }
    }
}
