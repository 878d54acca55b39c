//! The `a=` lines that WebRTC uses, each with a type; all others are kept as text.

mod group;
mod ice;
mod rtp;
mod sctp;
mod simulcast;
mod source;
mod transport;

use std::fmt;

pub use group::{Direction, Group};
pub use rtp::{ExtMap, Feedback, Fmtp, RtcpAddress, RtcpFeedback, RtpMap, parameter, parameters};
pub use simulcast::{Alternative, Rid, RidDirection, Simulcast, SimulcastList};
pub use source::{Msid, Ssrc, SsrcGroup};
pub use transport::{Fingerprint, Setup};

use crate::error::Reason;
use crate::value::is_token;
use crate::write::Text;

/// One `a=` line. `Display` writes it without the `a=`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attribute {
    /// `group` (RFC 5888, RFC 9143).
    Group(Group),
    /// `mid` (RFC 5888).
    Mid(String),
    /// `bundle-only` (RFC 9143 section 6).
    BundleOnly,
    /// `sendrecv`, `sendonly`, `recvonly`, `inactive` (RFC 8866 section 6.7).
    Direction(Direction),
    /// `rtpmap` (RFC 8866 section 6.6).
    RtpMap(RtpMap),
    /// `fmtp` (RFC 8866 section 6.15).
    Fmtp(Fmtp),
    /// `rtcp-fb` (RFC 4585 section 4.2, RFC 5104 section 7).
    RtcpFeedback(RtcpFeedback),
    /// `extmap` (RFC 8285 section 5).
    ExtMap(ExtMap),
    /// `extmap-allow-mixed` (RFC 8285 section 6).
    ExtMapAllowMixed,
    /// `cryptex` (RFC 9335 section 4).
    Cryptex,
    /// `rtcp` (RFC 3605).
    Rtcp(RtcpAddress),
    /// `rtcp-mux` (RFC 5761).
    RtcpMux,
    /// `rtcp-mux-only` (RFC 8858).
    RtcpMuxOnly,
    /// `rtcp-rsize` (RFC 5506).
    RtcpRsize,
    /// `ptime` in milliseconds (RFC 8866 section 6.4).
    Ptime(u32),
    /// `maxptime` in milliseconds (RFC 8866 section 6.5).
    MaxPtime(u32),
    /// `ssrc` (RFC 5576).
    Ssrc(Ssrc),
    /// `ssrc-group` (RFC 5576).
    SsrcGroup(SsrcGroup),
    /// `msid` (RFC 8830).
    Msid(Msid),
    /// `rid` (RFC 8851).
    Rid(Rid),
    /// `simulcast` (RFC 8853).
    Simulcast(Simulcast),
    /// `ice-ufrag` (RFC 8839 section 5.4).
    IceUfrag(String),
    /// `ice-pwd` (RFC 8839 section 5.4).
    IcePwd(String),
    /// `ice-options` (RFC 8839 section 5.6), as written; see
    /// [`has_ice_option`](crate::SessionDescription::has_ice_option).
    IceOptions(String),
    /// `ice-pacing` (RFC 8839 section 5.5) in milliseconds.
    IcePacing(u64),
    /// `ice-lite` (RFC 8839 section 5.3).
    IceLite,
    /// `candidate` (RFC 8839 section 5.1): the text behind the colon.
    Candidate(String),
    /// `end-of-candidates` (RFC 8840 section 8.2).
    EndOfCandidates,
    /// `fingerprint` (RFC 8122).
    Fingerprint(Fingerprint),
    /// `setup` (RFC 4145, RFC 8842).
    Setup(Setup),
    /// `tls-id` (RFC 8842 section 4).
    TlsId(String),
    /// `sctp-port` (RFC 8841 section 5).
    SctpPort(u16),
    /// `max-message-size` (RFC 8841 section 6) in bytes; 0 is "any size".
    MaxMessageSize(u64),
    /// `sctp-init` (draft-hancke-tsvwg-snap): a base64 INIT chunk, as text.
    SctpInit(String),
    /// Any other attribute.
    Other {
        /// The name, before the colon.
        name: String,
        /// The text behind the colon, if there is a colon.
        value: Option<String>,
    },
}

impl Attribute {
    /// Reads what stands behind `a=`.
    pub fn parse(line: &str) -> Result<Self, Reason> {
        let (name, value) = match line.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (line, None),
        };
        let known = match value {
            Some(value) => Self::parse_value(name, value)?,
            None => Self::parse_flag(name)?,
        };
        match known {
            Some(attribute) => Ok(attribute),
            None if is_token(name) => Ok(Self::Other {
                name: name.to_owned(),
                value: value.map(str::to_owned),
            }),
            None => Err(Reason::Expected("<attribute>[:<value>]")),
        }
    }

    fn parse_flag(name: &str) -> Result<Option<Self>, Reason> {
        Ok(Some(match name {
            "bundle-only" => Self::BundleOnly,
            "extmap-allow-mixed" => Self::ExtMapAllowMixed,
            "cryptex" => Self::Cryptex,
            "rtcp-mux" => Self::RtcpMux,
            "rtcp-mux-only" => Self::RtcpMuxOnly,
            "rtcp-rsize" => Self::RtcpRsize,
            "ice-lite" => Self::IceLite,
            "end-of-candidates" => Self::EndOfCandidates,
            "mid" | "group" | "rtpmap" | "fmtp" | "rtcp-fb" | "extmap" | "rtcp" | "ssrc" | "ssrc-group"
            | "msid" | "rid" | "simulcast" | "ice-ufrag" | "ice-pwd" | "candidate" | "fingerprint"
            | "setup" | "tls-id" | "sctp-port" | "max-message-size" | "sctp-init" => {
                return Err(Reason::Expected("a value"));
            }
            _ => return Ok(Direction::parse(name).map(Self::Direction)),
        }))
    }

    fn parse_value(name: &str, value: &str) -> Result<Option<Self>, Reason> {
        Ok(Some(match name {
            "rtcp-fb" => Self::RtcpFeedback(RtcpFeedback::parse(value)?),
            "rtpmap" => Self::RtpMap(RtpMap::parse(value)?),
            "fmtp" => Self::Fmtp(Fmtp::parse(value)?),
            "extmap" => Self::ExtMap(ExtMap::parse(value)?),
            "ssrc" => Self::Ssrc(Ssrc::parse(value)?),
            "ssrc-group" => Self::SsrcGroup(SsrcGroup::parse(value)?),
            "candidate" => Self::Candidate(value.to_owned()),
            "mid" => Self::Mid(group::mid(value)?),
            "group" => Self::Group(Group::parse(value)?),
            "msid" => Self::Msid(Msid::parse(value)?),
            "rid" => Self::Rid(Rid::parse(value)?),
            "simulcast" => Self::Simulcast(Simulcast::parse(value)?),
            "ice-ufrag" => Self::IceUfrag(ice::ufrag(value)?),
            "ice-pwd" => Self::IcePwd(ice::password(value)?),
            "ice-options" => Self::IceOptions(value.to_owned()),
            "fingerprint" => Self::Fingerprint(Fingerprint::parse(value)?),
            "setup" => Self::Setup(Setup::parse(value)?),
            "tls-id" => Self::TlsId(transport::tls_id(value)?),
            "rtcp" => Self::Rtcp(RtcpAddress::parse(value)?),
            "sctp-port" => Self::SctpPort(sctp::port(value)?),
            "max-message-size" => Self::MaxMessageSize(sctp::max_message_size(value)?),
            "sctp-init" => Self::SctpInit(value.to_owned()),
            // What is no number stays text, as of any attribute that nobody needs.
            "ice-pacing" => return Ok(ice::pacing(value).map(Self::IcePacing)),
            // RFC 8866 section 6.4 allows fractions; those stay text.
            "ptime" => return Ok(value.parse().ok().map(Self::Ptime)),
            "maxptime" => return Ok(value.parse().ok().map(Self::MaxPtime)),
            _ => return Ok(None),
        }))
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => write!(f, "group:{group}"),
            Self::Mid(mid) => write!(f, "mid:{}", Text(mid)),
            Self::BundleOnly => f.write_str("bundle-only"),
            Self::Direction(direction) => f.write_str(direction.as_str()),
            Self::RtpMap(map) => write!(f, "rtpmap:{map}"),
            Self::Fmtp(fmtp) => write!(f, "fmtp:{} {}", fmtp.payload_type, Text(&fmtp.parameters)),
            Self::RtcpFeedback(feedback) => write!(f, "rtcp-fb:{feedback}"),
            Self::ExtMap(map) => write!(f, "extmap:{map}"),
            Self::ExtMapAllowMixed => f.write_str("extmap-allow-mixed"),
            Self::Cryptex => f.write_str("cryptex"),
            Self::Rtcp(address) => write!(f, "rtcp:{address}"),
            Self::RtcpMux => f.write_str("rtcp-mux"),
            Self::RtcpMuxOnly => f.write_str("rtcp-mux-only"),
            Self::RtcpRsize => f.write_str("rtcp-rsize"),
            Self::Ptime(milliseconds) => write!(f, "ptime:{milliseconds}"),
            Self::MaxPtime(milliseconds) => write!(f, "maxptime:{milliseconds}"),
            Self::Ssrc(ssrc) => write!(f, "ssrc:{ssrc}"),
            Self::SsrcGroup(group) => write!(f, "ssrc-group:{group}"),
            Self::Msid(msid) => write!(f, "msid:{msid}"),
            Self::Rid(rid) => write!(f, "rid:{rid}"),
            Self::Simulcast(simulcast) => write!(f, "simulcast:{simulcast}"),
            Self::IceUfrag(ufrag) => write!(f, "ice-ufrag:{}", Text(ufrag)),
            Self::IcePwd(password) => write!(f, "ice-pwd:{}", Text(password)),
            Self::IceOptions(options) => write!(f, "ice-options:{}", Text(options)),
            Self::IcePacing(milliseconds) => write!(f, "ice-pacing:{milliseconds}"),
            Self::IceLite => f.write_str("ice-lite"),
            Self::Candidate(candidate) => write!(f, "candidate:{}", Text(candidate)),
            Self::EndOfCandidates => f.write_str("end-of-candidates"),
            Self::Fingerprint(fingerprint) => write!(f, "fingerprint:{fingerprint}"),
            Self::Setup(setup) => write!(f, "setup:{}", setup.as_str()),
            Self::TlsId(id) => write!(f, "tls-id:{}", Text(id)),
            Self::SctpPort(port) => write!(f, "sctp-port:{port}"),
            Self::MaxMessageSize(size) => write!(f, "max-message-size:{size}"),
            Self::SctpInit(init) => write!(f, "sctp-init:{}", Text(init)),
            Self::Other {
                name,
                value: Some(value),
            } => write!(f, "{}:{}", Text(name), Text(value)),
            Self::Other { name, value: None } => write!(f, "{}", Text(name)),
        }
    }
}
