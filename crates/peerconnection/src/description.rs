//! Session descriptions and candidates as signalling carries them (webrtc-pc, sections 4.6 and 4.8).

use std::fmt;
use std::str::FromStr;

/// What a session description is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SdpType {
    /// Proposes a session.
    Offer,
    /// Accepts one, provisionally.
    Pranswer,
    /// Accepts one.
    Answer,
    /// Takes back the last offer; its text is empty.
    Rollback,
}

impl SdpType {
    /// The name that browsers use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SdpType::Offer => "offer",
            SdpType::Pranswer => "pranswer",
            SdpType::Answer => "answer",
            SdpType::Rollback => "rollback",
        }
    }
}

impl fmt::Display for SdpType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of `offer`, `pranswer`, `answer` and `rollback`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no type of session description: offer, pranswer, answer and rollback are")]
pub struct UnknownSdpType(pub String);

impl FromStr for SdpType {
    type Err = UnknownSdpType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "offer" => SdpType::Offer,
            "pranswer" => SdpType::Pranswer,
            "answer" => SdpType::Answer,
            "rollback" => SdpType::Rollback,
            other => return Err(UnknownSdpType(other.to_owned())),
        })
    }
}

/// A session description: its type and its SDP text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDescription {
    /// What it is for.
    pub kind: SdpType,
    /// The SDP (RFC 8866), with CRLF line ends when dunlin made it.
    pub sdp: String,
}

impl SessionDescription {
    /// An offer with this text.
    pub fn offer(sdp: impl Into<String>) -> Self {
        Self {
            kind: SdpType::Offer,
            sdp: sdp.into(),
        }
    }

    /// An answer with this text.
    pub fn answer(sdp: impl Into<String>) -> Self {
        Self {
            kind: SdpType::Answer,
            sdp: sdp.into(),
        }
    }

    /// Takes back the last offer.
    #[must_use]
    pub fn rollback() -> Self {
        Self {
            kind: SdpType::Rollback,
            sdp: String::new(),
        }
    }
}

/// A trickled candidate, as browsers' `RTCIceCandidateInit` has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CandidateInit {
    /// `candidate:…` (RFC 8839, section 5.1); empty for the end of candidates.
    pub candidate: String,
    /// The media section by its mid.
    pub sdp_mid: Option<String>,
    /// The media section by its position.
    pub sdp_m_line_index: Option<u16>,
    /// The generation the candidate belongs to.
    pub username_fragment: Option<String>,
}
