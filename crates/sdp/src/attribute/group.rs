//! `group`, `mid` (RFC 5888) and the directions (RFC 8866 section 6.7).

use std::fmt;

use crate::error::Reason;
use crate::value::is_token;
use crate::write::Text;

/// `<semantics> <mid> ...` (RFC 5888 section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `BUNDLE`, `LS` …
    pub semantics: String,
    /// The mids, the first one being the tagged section of a BUNDLE group (RFC 9143 section 3).
    pub mids: Vec<String>,
}

impl Group {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        let mut words = value
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(str::to_owned);
        let semantics = words.next().ok_or(Reason::Expected("<semantics> <mid> ..."))?;
        Ok(Self {
            semantics,
            mids: words.collect(),
        })
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text(&self.semantics).fmt(f)?;
        self.mids.iter().try_for_each(|mid| write!(f, " {}", Text(mid)))
    }
}

pub(crate) fn mid(value: &str) -> Result<String, Reason> {
    match is_token(value) {
        true => Ok(value.to_owned()),
        false => Err(Reason::Expected("a token")),
    }
}

/// Which way media flows, seen from the side that wrote the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Direction {
    /// `sendrecv`, the default.
    #[default]
    SendRecv,
    /// `sendonly`.
    SendOnly,
    /// `recvonly`.
    RecvOnly,
    /// `inactive`.
    Inactive,
}

impl Direction {
    /// A direction out of its two halves.
    #[must_use]
    pub fn new(send: bool, receive: bool) -> Self {
        match (send, receive) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    /// Whether it sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether it receives.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same, seen from the other side.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self::new(self.receives(), self.sends())
    }

    /// What both allow.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self::new(self.sends() && other.sends(), self.receives() && other.receives())
    }

    /// The attribute's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "sendrecv" => Some(Self::SendRecv),
            "sendonly" => Some(Self::SendOnly),
            "recvonly" => Some(Self::RecvOnly),
            "inactive" => Some(Self::Inactive),
            _ => None,
        }
    }
}
