//! One media section: its m-line (RFC 8866 section 5.14) and everything up to the next one.

use crate::attribute::{Attribute, Direction, ExtMap, Feedback, Msid, Rid, Simulcast};
use crate::error::Reason;
use crate::value::{Bandwidth, Connection, is_token, payload_type};

/// The media of an m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaKind {
    /// `audio`.
    Audio,
    /// `video`.
    Video,
    /// `application`: in WebRTC the data channels.
    Application,
    /// Any other, as written.
    Other(String),
}

impl MediaKind {
    /// The word in the m-line.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Application => "application",
            Self::Other(name) => name,
        }
    }
}

/// The formats at the end of an m-line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Formats {
    /// RTP payload types (each at most 127), in order of preference.
    Rtp(Vec<u8>),
    /// What another protocol names there, such as `webrtc-datachannel`.
    Other(Vec<String>),
}

/// A codec of a media section: its `rtpmap`, `fmtp` and `rtcp-fb` lines seen together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec<'a> {
    /// The number in RTP headers, at most 127.
    pub payload_type: u8,
    /// The encoding name as written; compare without regard to case (RFC 8866 section 6.6).
    pub encoding: &'a str,
    /// The RTP clock in Hz.
    pub clock_rate: u32,
    /// Audio channels, if written.
    pub channels: Option<u8>,
    /// The value of `fmtp` behind the payload type.
    pub parameters: Option<&'a str>,
    /// Feedback that may be used, `rtcp-fb:*` lines included (RFC 4585 section 4.2).
    pub feedback: Vec<&'a Feedback>,
}

/// A media section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaDescription {
    /// The media of the m-line.
    pub kind: MediaKind,
    /// The port of the m-line: 9 before candidates are known, 0 for a rejected or bundle-only section.
    pub port: u16,
    /// The number behind the port (`/2`), if any.
    pub port_count: Option<u16>,
    /// The transport, such as `UDP/TLS/RTP/SAVPF`.
    pub protocol: String,
    /// The formats of the m-line.
    pub formats: Formats,
    /// `i=`.
    pub information: Option<String>,
    /// `c=` lines.
    pub connections: Vec<Connection>,
    /// `b=` lines.
    pub bandwidth: Vec<Bandwidth>,
    /// `k=` (obsolete), as written.
    pub key: Option<String>,
    /// The `a=` lines.
    pub attributes: Vec<Attribute>,
}

impl MediaDescription {
    /// A section with `c=IN IP4 0.0.0.0` and port 9, the form of RFC 9429 section 5.2.1.
    #[must_use]
    pub fn new(kind: MediaKind, protocol: &str, formats: Formats) -> Self {
        Self {
            kind,
            port: 9,
            port_count: None,
            protocol: protocol.to_owned(),
            formats,
            information: None,
            connections: vec![Connection::unspecified()],
            bandwidth: Vec::new(),
            key: None,
            attributes: Vec::new(),
        }
    }

    /// Reads what stands behind `m=`.
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        const GRAMMAR: &str = "<media> <port>[/<count>] <protocol> <format> ...";
        let mut words = value.split(' ').filter(|word| !word.is_empty());
        let (Some(media), Some(port), Some(protocol)) = (words.next(), words.next(), words.next()) else {
            return Err(Reason::Expected(GRAMMAR));
        };
        let (port, port_count) = match port.split_once('/') {
            Some((port, count)) => (port, Some(count.parse().map_err(|_| Reason::Expected(GRAMMAR))?)),
            None => (port, None),
        };
        let port = port
            .parse()
            .map_err(|_| Reason::Expected("a port from 0 to 65535"))?;
        let kind = match media {
            "audio" => MediaKind::Audio,
            "video" => MediaKind::Video,
            "application" => MediaKind::Application,
            other if is_token(other) => MediaKind::Other(other.to_owned()),
            _ => return Err(Reason::Expected(GRAMMAR)),
        };
        let formats = if is_rtp(protocol) {
            let mut payload_types = Vec::with_capacity(words.clone().count());
            for word in words {
                payload_types.push(payload_type(word)?);
            }
            Formats::Rtp(payload_types)
        } else {
            Formats::Other(words.map(str::to_owned).collect())
        };
        let mut media = Self::new(kind, protocol, formats);
        media.port = port;
        media.port_count = port_count;
        media.connections.clear();
        Ok(media)
    }

    /// Whether the m-line's protocol carries RTP.
    #[must_use]
    pub fn is_rtp(&self) -> bool {
        matches!(self.formats, Formats::Rtp(_))
    }

    /// RFC 9143 section 6: "a zero port value \[with\] 'bundle-only'" is not a rejection; zero alone is one
    /// (RFC 3264 section 6).
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        self.port == 0 && !self.attributes.contains(&Attribute::BundleOnly)
    }

    /// `a=mid` (RFC 5888).
    #[must_use]
    pub fn mid(&self) -> Option<&str> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Mid(mid) => Some(mid.as_str()),
            _ => None,
        })
    }

    /// The direction, `sendrecv` when none is written here; see also
    /// [`SessionDescription::direction`](crate::SessionDescription::direction).
    #[must_use]
    pub fn direction(&self) -> Direction {
        let find = |attribute: &Attribute| match attribute {
            Attribute::Direction(direction) => Some(*direction),
            _ => None,
        };
        self.attributes
            .iter()
            .find_map(find)
            .unwrap_or(Direction::SendRecv)
    }

    /// `a=rtcp-mux` (RFC 5761).
    #[must_use]
    pub fn rtcp_mux(&self) -> bool {
        self.attributes.contains(&Attribute::RtcpMux)
    }

    /// `a=rtcp-rsize` (RFC 5506).
    #[must_use]
    pub fn rtcp_reduced_size(&self) -> bool {
        self.attributes.contains(&Attribute::RtcpRsize)
    }

    /// The payload types of the m-line, in order of preference; empty when it is not RTP.
    #[must_use]
    pub fn payload_types(&self) -> &[u8] {
        match &self.formats {
            Formats::Rtp(payload_types) => payload_types,
            Formats::Other(_) => &[],
        }
    }

    /// The codecs, in the order of the m-line. A payload type that neither an `rtpmap` nor RFC 3551 explains is
    /// left out.
    #[must_use]
    pub fn codecs(&self) -> Vec<Codec<'_>> {
        self.payload_types()
            .iter()
            .filter_map(|&payload_type| self.codec(payload_type))
            .collect()
    }

    /// The codec behind a payload type.
    #[must_use]
    pub fn codec(&self, payload_type: u8) -> Option<Codec<'_>> {
        let mapped = self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::RtpMap(map) if map.payload_type == payload_type => {
                Some((map.encoding.as_str(), map.clock_rate, map.channels))
            }
            _ => None,
        });
        let (encoding, clock_rate, channels) = mapped.or_else(|| static_codec(payload_type))?;
        let mut codec = Codec {
            payload_type,
            encoding,
            clock_rate,
            channels,
            parameters: None,
            feedback: Vec::new(),
        };
        for attribute in &self.attributes {
            match attribute {
                Attribute::Fmtp(fmtp) if fmtp.payload_type == payload_type => {
                    codec.parameters = codec.parameters.or(Some(&fmtp.parameters));
                }
                Attribute::RtcpFeedback(line) if line.payload_type.is_none_or(|pt| pt == payload_type) => {
                    codec.feedback.push(&line.feedback);
                }
                _ => {}
            }
        }
        Some(codec)
    }

    /// The `a=extmap` lines (RFC 8285).
    pub fn extensions(&self) -> impl Iterator<Item = &ExtMap> {
        self.attributes.iter().filter_map(|attribute| match attribute {
            Attribute::ExtMap(map) => Some(map),
            _ => None,
        })
    }

    /// The `a=msid` lines (RFC 8830).
    pub fn msids(&self) -> impl Iterator<Item = &Msid> {
        self.attributes.iter().filter_map(|attribute| match attribute {
            Attribute::Msid(msid) => Some(msid),
            _ => None,
        })
    }

    /// The `a=rid` lines (RFC 8851).
    pub fn rids(&self) -> impl Iterator<Item = &Rid> {
        self.attributes.iter().filter_map(|attribute| match attribute {
            Attribute::Rid(rid) => Some(rid),
            _ => None,
        })
    }

    /// The `a=simulcast` line (RFC 8853).
    #[must_use]
    pub fn simulcast(&self) -> Option<&Simulcast> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Simulcast(simulcast) => Some(simulcast),
            _ => None,
        })
    }

    /// Each SSRC of the `a=ssrc` lines once, in order (RFC 5576).
    #[must_use]
    pub fn ssrcs(&self) -> Vec<u32> {
        let mut ssrcs = Vec::new();
        for attribute in &self.attributes {
            if let Attribute::Ssrc(line) = attribute
                && !ssrcs.contains(&line.ssrc)
            {
                ssrcs.push(line.ssrc);
            }
        }
        ssrcs
    }

    /// The value of a source attribute such as `cname` (RFC 5576 section 6.1).
    #[must_use]
    pub fn ssrc_attribute(&self, ssrc: u32, name: &str) -> Option<&str> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Ssrc(line) if line.ssrc == ssrc && line.attribute == name => line.value.as_deref(),
            _ => None,
        })
    }

    /// The SSRC groups with these semantics, such as `FID` (RFC 5576 section 4.2).
    pub fn ssrc_groups<'a>(&'a self, semantics: &'a str) -> impl Iterator<Item = &'a [u32]> {
        self.attributes
            .iter()
            .filter_map(move |attribute| match attribute {
                Attribute::SsrcGroup(group) if group.semantics == semantics => Some(group.ssrcs.as_slice()),
                _ => None,
            })
    }

    /// The values of the `a=candidate` lines, without the word `candidate:` (RFC 8839 section 5.1).
    pub fn candidates(&self) -> impl Iterator<Item = &str> {
        self.attributes.iter().filter_map(|attribute| match attribute {
            Attribute::Candidate(candidate) => Some(candidate.as_str()),
            _ => None,
        })
    }

    /// `a=end-of-candidates` (RFC 8840 section 8.2).
    #[must_use]
    pub fn end_of_candidates(&self) -> bool {
        self.attributes.contains(&Attribute::EndOfCandidates)
    }

    /// `a=sctp-port` (RFC 8841 section 5).
    #[must_use]
    pub fn sctp_port(&self) -> Option<u16> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::SctpPort(port) => Some(*port),
            _ => None,
        })
    }

    /// `a=max-message-size` (RFC 8841 section 6); 0 means "any size".
    #[must_use]
    pub fn max_message_size(&self) -> Option<u64> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::MaxMessageSize(size) => Some(*size),
            _ => None,
        })
    }

    /// The first attribute of this name that has no type of its own, with its value.
    #[must_use]
    pub fn other(&self, name: &str) -> Option<Option<&str>> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::Other { name: known, value } if known == name => Some(value.as_deref()),
            _ => None,
        })
    }
}

/// RTP profiles: `RTP/AVP`, `RTP/SAVPF`, `UDP/TLS/RTP/SAVPF`, `TCP/DTLS/RTP/SAVPF` …
fn is_rtp(protocol: &str) -> bool {
    protocol.split('/').any(|part| part == "RTP")
}

/// The static audio payload types of RFC 3551 section 6 (table 4) that are in use.
fn static_codec(payload_type: u8) -> Option<(&'static str, u32, Option<u8>)> {
    match payload_type {
        0 => Some(("PCMU", 8000, None)),
        3 => Some(("GSM", 8000, None)),
        8 => Some(("PCMA", 8000, None)),
        9 => Some(("G722", 8000, None)),
        13 => Some(("CN", 8000, None)),
        18 => Some(("G729", 8000, None)),
        _ => None,
    }
}
