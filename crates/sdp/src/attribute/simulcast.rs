//! `rid` (RFC 8851) and `simulcast` (RFC 8853).

use std::fmt;

use nom::bytes::complete::take_while1;
use nom::character::complete::{char, space0, space1};
use nom::combinator::{map, opt, rest, value};
use nom::multi::separated_list1;
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser, branch::alt, bytes::complete::tag};

use crate::error::Reason;
use crate::value::{payload_type, whole};
use crate::write::{Text, joined};

/// Which way a `rid` or a simulcast list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RidDirection {
    /// `send`.
    Send,
    /// `recv`.
    Recv,
}

impl RidDirection {
    /// The word in the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Recv => "recv",
        }
    }

    /// The same, seen from the other side.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Send => Self::Recv,
            Self::Recv => Self::Send,
        }
    }
}

/// `<id> <send|recv> [<restrictions>]` (RFC 8851 section 10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rid {
    /// The identifier. RFC 8851 allows `-` and `_`; RFC 8852 does not carry them, so do not make such ids.
    pub id: String,
    /// Send or receive, seen from the side that wrote it.
    pub direction: RidDirection,
    /// `pt=97;max-width=1280`, as written.
    pub restrictions: Option<String>,
}

impl Rid {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        let grammar = |i| {
            (
                terminated(rid_id, char(' ')),
                direction,
                opt(preceded(char(' '), rest)),
            )
                .parse(i)
        };
        let (id, direction, restrictions) =
            whole(grammar, value).ok_or(Reason::Expected("<id> <send|recv> [<restrictions>]"))?;
        let rid = Self {
            id: id.to_owned(),
            direction,
            restrictions: restrictions.map(str::to_owned),
        };
        if let Some(list) = rid.restriction("pt") {
            list.split(',')
                .try_for_each(|number| payload_type(number.trim()).map(|_| ()))?;
        }
        Ok(rid)
    }

    /// One restriction, such as `max-width`.
    #[must_use]
    pub fn restriction(&self, name: &str) -> Option<&str> {
        super::parameter(self.restrictions.as_deref()?, name)
    }

    /// The payload types of `pt=`; empty when any will do.
    pub fn payload_types(&self) -> impl Iterator<Item = u8> {
        let list = self.restriction("pt").unwrap_or_default();
        list.split(',')
            .filter_map(|number| payload_type(number.trim()).ok())
    }
}

impl fmt::Display for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Text(&self.id), self.direction.as_str())?;
        match &self.restrictions {
            Some(restrictions) => write!(f, " {}", Text(restrictions)),
            None => Ok(()),
        }
    }
}

/// One of the alternatives of a simulcast stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// `~`: the stream starts paused.
    pub paused: bool,
    /// The id of an `a=rid` line.
    pub rid: String,
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.paused {
            f.write_str("~")?;
        }
        Text(&self.rid).fmt(f)
    }
}

/// `<send|recv> <stream>;<stream>` where a stream is `<rid>,<rid>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulcastList {
    /// Send or receive, seen from the side that wrote it.
    pub direction: RidDirection,
    /// The streams, each with its alternatives in order of preference.
    pub streams: Vec<Vec<Alternative>>,
}

impl fmt::Display for SimulcastList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.direction.as_str())?;
        for (index, stream) in self.streams.iter().enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            joined(f, stream, ',')?;
        }
        Ok(())
    }
}

/// `send 1;2,3 recv 4` (RFC 8853 section 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Simulcast {
    /// One list, or one of each direction, in the order written.
    pub lists: Vec<SimulcastList>,
}

impl Simulcast {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        const GRAMMAR: Reason = Reason::Expected("<send|recv> <rid>[,<rid>][;...] [<recv|send> ...]");
        let grammar = |i| preceded(space0, separated_list1(space1, list)).parse(i);
        let lists = whole(grammar, value.trim_end()).ok_or(GRAMMAR)?;
        // RFC 8853 section 5.1: sc-value is one list, or two lists of different directions.
        match lists.as_slice() {
            [_] => Ok(Self { lists }),
            [first, second] if first.direction != second.direction => Ok(Self { lists }),
            _ => Err(GRAMMAR),
        }
    }

    /// The streams of a direction; empty when there is no such list.
    #[must_use]
    pub fn streams(&self, direction: RidDirection) -> &[Vec<Alternative>] {
        let list = self.lists.iter().find(|list| list.direction == direction);
        list.map_or(&[], |list| list.streams.as_slice())
    }
}

impl fmt::Display for Simulcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, &self.lists, ' ')
    }
}

/// RFC 8851 section 10: `rid-id = 1*(alpha-numeric / "-" / "_")`.
fn rid_id(input: &str) -> IResult<&str, &str> {
    take_while1(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_').parse(input)
}

fn direction(input: &str) -> IResult<&str, RidDirection> {
    alt((
        value(RidDirection::Send, tag("send")),
        value(RidDirection::Recv, tag("recv")),
    ))
    .parse(input)
}

fn alternative(input: &str) -> IResult<&str, Alternative> {
    let parts = (opt(char('~')), rid_id);
    map(parts, |(paused, rid)| Alternative {
        paused: paused.is_some(),
        rid: rid.to_owned(),
    })
    .parse(input)
}

fn list(input: &str) -> IResult<&str, SimulcastList> {
    let streams = separated_list1(char(';'), separated_list1(char(','), alternative));
    let parts = (terminated(direction, space1), streams);
    map(parts, |(direction, streams)| SimulcastList { direction, streams }).parse(input)
}
