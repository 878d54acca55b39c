//! What describes RTP: `rtpmap`, `fmtp` (RFC 8866), `rtcp-fb` (RFC 4585, 5104), `extmap` (RFC 8285), `rtcp`
//! (RFC 3605).

use std::fmt;

use nom::Parser;
use nom::bytes::complete::take_while1;
use nom::character::complete::{char, u8, u16, u32};
use nom::combinator::{map_opt, opt, rest};
use nom::sequence::preceded;

use super::Direction;
use crate::error::Reason;
use crate::value::{Connection, connection, next_word, payload_type, whole, word};
use crate::write::Text;

/// `<payload type> <encoding>/<clock rate>[/<channels>]` (RFC 8866 section 6.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpMap {
    /// At most 127.
    pub payload_type: u8,
    /// The encoding name; compare without regard to case.
    pub encoding: String,
    /// The RTP clock in Hz.
    pub clock_rate: u32,
    /// The channels of audio, if written.
    pub channels: Option<u8>,
}

impl RtpMap {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        const GRAMMAR: Reason = Reason::Expected("<payload type> <encoding>/<clock rate>[/<channels>]");
        let (number, encoding) = value.trim().split_once(' ').ok_or(GRAMMAR)?;
        let grammar = |i| {
            let name = take_while1(|c| c != '/' && c != ' ');
            (name, preceded(char('/'), u32), opt(preceded(char('/'), u8))).parse(i)
        };
        let payload_type = payload_type(number)?;
        let (encoding, clock_rate, channels) = whole(grammar, encoding).ok_or(GRAMMAR)?;
        Ok(Self {
            payload_type,
            encoding: encoding.to_owned(),
            clock_rate,
            channels,
        })
    }
}

impl fmt::Display for RtpMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}/{}",
            self.payload_type,
            Text(&self.encoding),
            self.clock_rate
        )?;
        match self.channels {
            Some(channels) => write!(f, "/{channels}"),
            None => Ok(()),
        }
    }
}

/// `<payload type> <parameters>` (RFC 8866 section 6.15).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fmtp {
    /// At most 127.
    pub payload_type: u8,
    /// The rest of the line, usually `name=value;name=value`; see [`parameter`].
    pub parameters: String,
}

impl Fmtp {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        let (number, parameters) = value
            .split_once(' ')
            .ok_or(Reason::Expected("<payload type> <parameters>"))?;
        Ok(Self {
            payload_type: payload_type(number)?,
            parameters: parameters.to_owned(),
        })
    }
}

/// The `name=value` pairs of an `fmtp` line.
pub fn parameters(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(';').filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = name.trim();
        (!name.is_empty()).then_some((name, value.trim()))
    })
}

/// One parameter of an `fmtp` line; names are compared without regard to case.
#[must_use]
pub fn parameter<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    parameters(text)
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// What RTCP feedback a codec may use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Feedback {
    /// `nack` (RFC 4585).
    Nack,
    /// `nack pli` (RFC 4585).
    NackPli,
    /// `ccm fir` (RFC 5104).
    CcmFir,
    /// `goog-remb` (draft-alvestrand-rmcat-remb).
    GoogRemb,
    /// `transport-cc` (draft-holmer-rmcat-transport-wide-cc-extensions).
    TransportCc,
    /// `ack ccfb` (RFC 8888 section 6).
    AckCcfb,
    /// Anything else, as written.
    Other(String),
}

impl Feedback {
    /// The words in the attribute.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Nack => "nack",
            Self::NackPli => "nack pli",
            Self::CcmFir => "ccm fir",
            Self::GoogRemb => "goog-remb",
            Self::TransportCc => "transport-cc",
            Self::AckCcfb => "ack ccfb",
            Self::Other(text) => text,
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "nack" => Self::Nack,
            "nack pli" => Self::NackPli,
            "ccm fir" => Self::CcmFir,
            "goog-remb" => Self::GoogRemb,
            "transport-cc" => Self::TransportCc,
            "ack ccfb" => Self::AckCcfb,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// `<payload type or *> <feedback>` (RFC 4585 section 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtcpFeedback {
    /// The payload type it is for; `None` for `*`.
    pub payload_type: Option<u8>,
    /// The feedback.
    pub feedback: Feedback,
}

impl RtcpFeedback {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        const GRAMMAR: Reason = Reason::Expected("<payload type or *> <feedback>");
        let (number, text) = value.split_once(' ').ok_or(GRAMMAR)?;
        if text.is_empty() {
            return Err(GRAMMAR);
        }
        let payload_type = match number {
            "*" => None,
            number => Some(payload_type(number)?),
        };
        Ok(Self {
            payload_type,
            feedback: Feedback::parse(text),
        })
    }
}

impl fmt::Display for RtcpFeedback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.payload_type {
            Some(payload_type) => write!(f, "{payload_type} {}", Text(self.feedback.as_str())),
            None => write!(f, "* {}", Text(self.feedback.as_str())),
        }
    }
}

/// `<id>[/<direction>] <uri> [<attributes>]` (RFC 8285 section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtMap {
    /// 1 to 14 or 255 on the wire; 4096 to 4351 in offers with more extensions than numbers.
    pub id: u16,
    /// The direction, if it is not that of the section.
    pub direction: Option<Direction>,
    /// Names the extension.
    pub uri: String,
    /// What follows the URI, such as `vad=on`.
    pub attributes: Option<String>,
}

impl ExtMap {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        let grammar = |i| {
            let direction = map_opt(preceded(char('/'), word), Direction::parse);
            (u16, opt(direction), next_word, opt(preceded(char(' '), rest))).parse(i)
        };
        let (id, direction, uri, attributes) = whole(grammar, value)
            .filter(|(id, ..)| *id != 0)
            .ok_or(Reason::Expected("<id>[/<direction>] <uri> [<attributes>]"))?;
        Ok(Self {
            id,
            direction,
            uri: uri.to_owned(),
            attributes: attributes.map(str::to_owned),
        })
    }
}

impl fmt::Display for ExtMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)?;
        if let Some(direction) = self.direction {
            write!(f, "/{}", direction.as_str())?;
        }
        write!(f, " {}", Text(&self.uri))?;
        match &self.attributes {
            Some(attributes) => write!(f, " {}", Text(attributes)),
            None => Ok(()),
        }
    }
}

/// `<port> [IN <address type> <address>]` (RFC 3605).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtcpAddress {
    /// The port.
    pub port: u16,
    /// The address, when it is not that of the media.
    pub address: Option<Connection>,
}

impl RtcpAddress {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        let grammar = |i| (u16, opt(preceded(char(' '), connection))).parse(i);
        let (port, address) =
            whole(grammar, value).ok_or(Reason::Expected("<port> [IN <IP4|IP6> <address>]"))?;
        Ok(Self { port, address })
    }
}

impl fmt::Display for RtcpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(f, "{} {address}", self.port),
            None => write!(f, "{}", self.port),
        }
    }
}
