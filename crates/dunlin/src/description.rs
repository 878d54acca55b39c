//! Session descriptions and candidates as browsers signal them: JSON by `Display`, `FromStr` and serde.

use std::fmt;
use std::str::FromStr;

use dunlin_peerconnection as peer;
pub use dunlin_peerconnection::SdpType;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A session description: `{"type": "offer", "sdp": "v=0…"}` (webrtc-pc, section 4.6.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionDescription {
    /// What it is for.
    #[serde(
        rename = "type",
        serialize_with = "write_type",
        deserialize_with = "read_type"
    )]
    pub kind: SdpType,
    /// The SDP (RFC 8866). Browsers leave it out for a rollback.
    #[serde(default)]
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

impl From<peer::SessionDescription> for SessionDescription {
    fn from(description: peer::SessionDescription) -> Self {
        Self {
            kind: description.kind,
            sdp: description.sdp,
        }
    }
}

impl From<SessionDescription> for peer::SessionDescription {
    fn from(description: SessionDescription) -> Self {
        Self {
            kind: description.kind,
            sdp: description.sdp,
        }
    }
}

fn write_type<S: Serializer>(kind: &SdpType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.as_str())
}

fn read_type<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SdpType, D::Error> {
    String::deserialize(deserializer)?
        .parse()
        .map_err(serde::de::Error::custom)
}

/// A trickled candidate: `{"candidate": "candidate:…", "sdpMid": "0", "sdpMLineIndex": 0,
/// "usernameFragment": "abcd"}` (webrtc-pc, section 4.8.1). An empty `candidate` ends them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IceCandidate {
    /// `candidate:…` (RFC 8839, section 5.1).
    pub candidate: String,
    /// The media section by its mid.
    pub sdp_mid: Option<String>,
    /// The media section by its position.
    #[serde(rename = "sdpMLineIndex")]
    pub sdp_m_line_index: Option<u16>,
    /// The generation the candidate belongs to.
    pub username_fragment: Option<String>,
}

impl From<peer::CandidateInit> for IceCandidate {
    fn from(init: peer::CandidateInit) -> Self {
        Self {
            candidate: init.candidate,
            sdp_mid: init.sdp_mid,
            sdp_m_line_index: init.sdp_m_line_index,
            username_fragment: init.username_fragment,
        }
    }
}

impl From<IceCandidate> for peer::CandidateInit {
    fn from(candidate: IceCandidate) -> Self {
        Self {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_m_line_index: candidate.sdp_m_line_index,
            username_fragment: candidate.username_fragment,
        }
    }
}

/// The text is not the JSON that browsers make of descriptions and candidates.
#[derive(Debug, thiserror::Error)]
#[error("this is not the JSON of a {what}: {source}")]
pub struct ParseSignalError {
    what: &'static str,
    source: serde_json::Error,
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for SessionDescription {
    type Err = ParseSignalError;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(json).map_err(|source| ParseSignalError {
            what: "session description",
            source,
        })
    }
}

impl fmt::Display for IceCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for IceCandidate {
    type Err = ParseSignalError;

    fn from_str(json: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(json).map_err(|source| ParseSignalError {
            what: "candidate",
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_the_json_of_browsers() {
        let text = r#"{"type":"offer","sdp":"v=0\r\n"}"#;
        let offer: SessionDescription = text.parse().unwrap();
        assert_eq!(offer, SessionDescription::offer("v=0\r\n"));
        assert_eq!(offer.to_string(), text);
        let rollback: SessionDescription = r#"{"type":"rollback"}"#.parse().unwrap();
        assert_eq!(rollback, SessionDescription::rollback());
        for bad in ["", "{}", r#"{"type":"offre","sdp":""}"#, r#"{"sdp":"v=0"}"#] {
            assert!(bad.parse::<SessionDescription>().is_err(), "{bad}");
        }
    }

    #[test]
    fn candidates_are_the_json_of_browsers() {
        let text = r#"{"candidate":"candidate:1 1 udp 1 10.0.0.1 9 typ host","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}"#;
        let candidate: IceCandidate = text.parse().unwrap();
        assert_eq!(candidate.sdp_m_line_index, Some(0));
        assert_eq!(candidate.username_fragment.as_deref(), Some("abcd"));
        assert_eq!(candidate.to_string(), text);
        let end: IceCandidate = r#"{"candidate":"","sdpMid":null,"foo":1}"#.parse().unwrap();
        assert_eq!(end, IceCandidate::default());
    }
}
