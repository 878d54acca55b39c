//! `ssrc`, `ssrc-group` (RFC 5576) and `msid` (RFC 8830).

use std::fmt;

use nom::Parser;
use nom::bytes::complete::take_while1;
use nom::character::complete::{char, u32};
use nom::combinator::{opt, rest};
use nom::multi::many1;
use nom::sequence::{preceded, terminated};

use crate::error::Reason;
use crate::value::{is_token, next_word, whole, word};
use crate::write::Text;

/// `<ssrc> <attribute>[:<value>]` (RFC 5576 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssrc {
    /// The synchronisation source.
    pub ssrc: u32,
    /// The source attribute's name, such as `cname`.
    pub attribute: String,
    /// Its value, if there is a colon.
    pub value: Option<String>,
}

impl Ssrc {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        let grammar = |i| {
            let name = take_while1(|c| c != ':' && c != ' ');
            (terminated(u32, char(' ')), name, opt(preceded(char(':'), rest))).parse(i)
        };
        let (ssrc, attribute, value) =
            whole(grammar, value).ok_or(Reason::Expected("<ssrc> <attribute>[:<value>]"))?;
        Ok(Self {
            ssrc,
            attribute: attribute.to_owned(),
            value: value.map(str::to_owned),
        })
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.ssrc, Text(&self.attribute))?;
        match &self.value {
            Some(value) => write!(f, ":{}", Text(value)),
            None => Ok(()),
        }
    }
}

/// `<semantics> <ssrc> ...` (RFC 5576 section 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SsrcGroup {
    /// `FID` (RFC 4588), `FEC-FR` (RFC 5956), `SIM` …
    pub semantics: String,
    /// The sources, in order.
    pub ssrcs: Vec<u32>,
}

impl SsrcGroup {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        let grammar = |i| (word, many1(preceded(char(' '), u32))).parse(i);
        let (semantics, ssrcs) = whole(grammar, value).ok_or(Reason::Expected("<semantics> <ssrc> ..."))?;
        Ok(Self {
            semantics: semantics.to_owned(),
            ssrcs,
        })
    }
}

impl fmt::Display for SsrcGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text(&self.semantics).fmt(f)?;
        self.ssrcs.iter().try_for_each(|ssrc| write!(f, " {ssrc}"))
    }
}

/// `<stream> [<track>]` (RFC 8830 section 2); the stream `-` is "no stream".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Msid {
    /// The identifier of a MediaStream, or `-`.
    pub stream: String,
    /// The appdata: the identifier of the track, which RFC 9429 lets stand without meaning.
    pub track: Option<String>,
}

impl Msid {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        let grammar = |i| (word, opt(next_word)).parse(i);
        let (stream, track) = whole(grammar, value.trim())
            .filter(|(stream, _)| is_token(stream))
            .ok_or(Reason::Expected("<stream> [<track>]"))?;
        Ok(Self {
            stream: stream.to_owned(),
            track: track.map(str::to_owned),
        })
    }
}

impl fmt::Display for Msid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text(&self.stream).fmt(f)?;
        match &self.track {
            Some(track) => write!(f, " {}", Text(track)),
            None => Ok(()),
        }
    }
}
