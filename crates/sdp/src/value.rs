//! Values of the lines that are not attributes: `o=`, `c=`, `b=` (RFC 8866 sections 5.2, 5.7, 5.8), and the
//! small parsers that all values share.

use std::fmt;

use nom::bytes::complete::{tag, take_while1};
use nom::character::complete::{char, u64};
use nom::combinator::all_consuming;
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

use crate::error::Reason;
use crate::write::Text;

/// The kind of an address in `o=`, `c=` and `a=rtcp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressType {
    /// `IP4`.
    Ip4,
    /// `IP6`.
    Ip6,
    /// Anything else, as written.
    Other(String),
}

/// `IN IP4 0.0.0.0`: where something is (RFC 8866 section 5.7). ICE makes it a formality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The kind of the address.
    pub address_type: AddressType,
    /// The address as written, with a multicast TTL if there is one.
    pub address: String,
}

impl Connection {
    /// `IN IP4 0.0.0.0`, what RFC 9429 section 5.2.1 puts into a description before candidates are known.
    #[must_use]
    pub fn unspecified() -> Self {
        Self {
            address_type: AddressType::Ip4,
            address: "0.0.0.0".to_owned(),
        }
    }

    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        whole(connection, value).ok_or(Reason::Expected("IN <IP4|IP6> <address>"))
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address_type = match &self.address_type {
            AddressType::Ip4 => "IP4",
            AddressType::Ip6 => "IP6",
            AddressType::Other(text) => text,
        };
        write!(f, "IN {} {}", Text(address_type), Text(&self.address))
    }
}

/// `o=<username> <sess-id> <sess-version> IN <addrtype> <unicast-address>` (RFC 8866 section 5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The user name, `-` for none.
    pub username: String,
    /// Names the session; chosen once.
    pub session_id: u64,
    /// Grows by one with each changed description (RFC 9429 section 5.2.2).
    pub version: u64,
    /// The address, in WebRTC a constant without meaning.
    pub address: Connection,
}

impl Origin {
    /// `- <session_id> <version> IN IP4 127.0.0.1`, the form of RFC 9429 section 5.2.1.
    #[must_use]
    pub fn new(session_id: u64, version: u64) -> Self {
        let address = Connection {
            address_type: AddressType::Ip4,
            address: "127.0.0.1".to_owned(),
        };
        Self {
            username: "-".to_owned(),
            session_id,
            version,
            address,
        }
    }

    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        whole(origin, value).ok_or(Reason::Expected(
            "<username> <session id> <version> IN <IP4|IP6> <address>",
        ))
    }
}

impl Default for Origin {
    /// Session id and version zero.
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {}",
            Text(&self.username),
            self.session_id,
            self.version,
            self.address
        )
    }
}

/// `b=<bwtype>:<bandwidth>` (RFC 8866 section 5.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bandwidth {
    /// `AS` (kbit/s), `TIAS` (bit/s, RFC 3890), `CT`, `RS`, `RR` …
    pub kind: String,
    /// The number, in the kind's own unit.
    pub value: u64,
}

impl Bandwidth {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        let grammar = |i| (terminated(take_while1(|c| c != ':'), char(':')), u64).parse(i);
        let (kind, value) = whole(grammar, value).ok_or(Reason::Expected("<type>:<number>"))?;
        Ok(Self {
            kind: kind.to_owned(),
            value,
        })
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Text(&self.kind), self.value)
    }
}

/// One run of characters without a space.
pub(crate) fn word(input: &str) -> IResult<&str, &str> {
    take_while1(|c| c != ' ').parse(input)
}

/// A space and a word.
pub(crate) fn next_word(input: &str) -> IResult<&str, &str> {
    preceded(char(' '), word).parse(input)
}

pub(crate) fn connection(input: &str) -> IResult<&str, Connection> {
    let (rest, (_, address_type, address)) = (tag("IN "), word, next_word).parse(input)?;
    let address_type = match address_type {
        "IP4" => AddressType::Ip4,
        "IP6" => AddressType::Ip6,
        other => AddressType::Other(other.to_owned()),
    };
    Ok((
        rest,
        Connection {
            address_type,
            address: address.to_owned(),
        },
    ))
}

fn origin(input: &str) -> IResult<&str, Origin> {
    let (rest, (username, session_id, version, address)) = (
        word,
        preceded(char(' '), u64),
        preceded(char(' '), u64),
        preceded(char(' '), connection),
    )
        .parse(input)?;
    Ok((
        rest,
        Origin {
            username: username.to_owned(),
            session_id,
            version,
            address,
        },
    ))
}

/// Runs a grammar over a whole value: "reading ends with nothing left".
pub(crate) fn whole<'a, T>(grammar: impl FnMut(&'a str) -> IResult<&'a str, T>, value: &'a str) -> Option<T> {
    all_consuming(grammar).parse(value).ok().map(|(_, parsed)| parsed)
}

/// A payload type: RFC 3550 section 5.1 gives it seven bits.
pub(crate) fn payload_type(text: &str) -> Result<u8, Reason> {
    let digits = !text.is_empty() && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u8>() {
        Ok(value @ 0..=127) if digits => Ok(value),
        _ => Err(Reason::PayloadType(text.chars().take(16).collect())),
    }
}

/// RFC 8866 section 9: `token`, any visible ASCII character except separators. Lenient: separators are let through,
/// because deployed peers put braces into msid and cname and slashes into ice-options.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b > b' ' && b != 0x7f)
}
