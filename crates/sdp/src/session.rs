//! A session description (RFC 8866), and what WebRTC asks of one, with session-level values standing in for
//! missing media-level ones.

use std::str::FromStr;

use crate::attribute::{Attribute, Direction, Fingerprint, Group, Setup};
use crate::error::ParseError;
use crate::media::MediaDescription;
use crate::parse::{self, Limits};
use crate::value::{Bandwidth, Connection, Origin};

/// `t=<start> <stop>` with its `r=` lines (RFC 8866 sections 5.9 and 5.10).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timing {
    /// Start, in NTP seconds; 0 for "always".
    pub start: u64,
    /// Stop, in NTP seconds; 0 for "never".
    pub stop: u64,
    /// The values of the `r=` lines, as written.
    pub repeats: Vec<String>,
}

/// A whole description: the session's lines and its media sections, every attribute in its place.
///
/// Parsed from text that ends its lines with CRLF or LF; `Display` writes CRLF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDescription {
    /// `o=`.
    pub origin: Origin,
    /// `s=`, `-` in WebRTC.
    pub session_name: String,
    /// `i=`.
    pub information: Option<String>,
    /// `u=`.
    pub uri: Option<String>,
    /// `e=` lines.
    pub emails: Vec<String>,
    /// `p=` lines.
    pub phones: Vec<String>,
    /// `c=`.
    pub connection: Option<Connection>,
    /// `b=` lines.
    pub bandwidth: Vec<Bandwidth>,
    /// `t=` lines with their `r=` lines; at least one.
    pub timings: Vec<Timing>,
    /// `z=`, as written.
    pub time_zones: Option<String>,
    /// `k=` (obsolete), as written.
    pub key: Option<String>,
    /// The session-level `a=` lines.
    pub attributes: Vec<Attribute>,
    /// The media sections, in the order of their m-lines.
    pub media: Vec<MediaDescription>,
}

impl SessionDescription {
    /// A description without attributes or media: `s=-`, `t=0 0`.
    #[must_use]
    pub fn new(origin: Origin) -> Self {
        Self {
            origin,
            session_name: "-".to_owned(),
            information: None,
            uri: None,
            emails: Vec::new(),
            phones: Vec::new(),
            connection: None,
            bandwidth: Vec::new(),
            timings: vec![Timing::default()],
            time_zones: None,
            key: None,
            attributes: Vec::new(),
            media: Vec::new(),
        }
    }

    /// Reads a description within the default [`Limits`].
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        parse::session(text, &Limits::default())
    }

    /// Reads a description within the given limits.
    pub fn parse_within(text: &str, limits: &Limits) -> Result<Self, ParseError> {
        parse::session(text, limits)
    }

    /// All `a=group` lines (RFC 5888).
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.attributes.iter().filter_map(|attribute| match attribute {
            Attribute::Group(group) => Some(group),
            _ => None,
        })
    }

    /// The `BUNDLE` groups (RFC 9143).
    pub fn bundle_groups(&self) -> impl Iterator<Item = &Group> {
        self.groups().filter(|group| group.semantics == "BUNDLE")
    }

    /// `a=ice-lite`; RFC 8839 section 5.3 has it at session level only.
    #[must_use]
    pub fn ice_lite(&self) -> bool {
        self.attributes.contains(&Attribute::IceLite)
    }

    /// `a=extmap-allow-mixed` at session level or in this media section (RFC 8285 section 6).
    #[must_use]
    pub fn extmap_allow_mixed(&self, media: &MediaDescription) -> bool {
        self.attributes.contains(&Attribute::ExtMapAllowMixed)
            || media.attributes.contains(&Attribute::ExtMapAllowMixed)
    }

    /// The section's direction, else the session's, else `sendrecv` (RFC 8866 section 6.7).
    #[must_use]
    pub fn direction(&self, media: &MediaDescription) -> Direction {
        let find = |attributes: &[Attribute]| {
            attributes.iter().find_map(|attribute| match attribute {
                Attribute::Direction(direction) => Some(*direction),
                _ => None,
            })
        };
        find(&media.attributes)
            .or_else(|| find(&self.attributes))
            .unwrap_or(Direction::SendRecv)
    }

    /// `(ice-ufrag, ice-pwd)` of the section, else of the session (RFC 8839 section 5.4).
    #[must_use]
    pub fn ice_credentials<'a>(&'a self, media: &'a MediaDescription) -> Option<(&'a str, &'a str)> {
        let find = |attributes: &'a [Attribute]| {
            let ufrag = attributes.iter().find_map(|attribute| match attribute {
                Attribute::IceUfrag(ufrag) => Some(ufrag.as_str()),
                _ => None,
            });
            let password = attributes.iter().find_map(|attribute| match attribute {
                Attribute::IcePwd(password) => Some(password.as_str()),
                _ => None,
            });
            ufrag.zip(password)
        };
        find(&media.attributes).or_else(|| find(&self.attributes))
    }

    /// Whether the ICE option stands in the section or in the session (RFC 8839 section 5.6). Commas separate
    /// options like spaces do: libdatachannel writes `ice2,trickle`.
    #[must_use]
    pub fn has_ice_option(&self, media: &MediaDescription, option: &str) -> bool {
        media
            .attributes
            .iter()
            .chain(&self.attributes)
            .any(|attribute| match attribute {
                Attribute::IceOptions(options) => options.split([' ', ',']).any(|known| known == option),
                _ => false,
            })
    }

    /// `a=ice-pacing` in milliseconds, which stands in the session (RFC 8839 section 5.5).
    #[must_use]
    pub fn ice_pacing(&self) -> Option<u64> {
        self.attributes.iter().find_map(|attribute| match attribute {
            Attribute::IcePacing(milliseconds) => Some(*milliseconds),
            _ => None,
        })
    }

    /// The certificate fingerprints of the section, else of the session (RFC 8122 section 5).
    pub fn fingerprints<'a>(&'a self, media: &'a MediaDescription) -> impl Iterator<Item = &'a Fingerprint> {
        let own = |attribute: &&Attribute| matches!(attribute, Attribute::Fingerprint(_));
        let level = if media.attributes.iter().any(|a| own(&a)) {
            &media.attributes
        } else {
            &self.attributes
        };
        level.iter().filter_map(|attribute| match attribute {
            Attribute::Fingerprint(fingerprint) => Some(fingerprint),
            _ => None,
        })
    }

    /// `a=setup` of the section, else of the session (RFC 4145, RFC 8842).
    #[must_use]
    pub fn setup(&self, media: &MediaDescription) -> Option<Setup> {
        media
            .attributes
            .iter()
            .chain(&self.attributes)
            .find_map(|attribute| match attribute {
                Attribute::Setup(setup) => Some(*setup),
                _ => None,
            })
    }

    /// `a=tls-id` of the section, else of the session (RFC 8842 section 4).
    #[must_use]
    pub fn tls_id<'a>(&'a self, media: &'a MediaDescription) -> Option<&'a str> {
        media
            .attributes
            .iter()
            .chain(&self.attributes)
            .find_map(|attribute| match attribute {
                Attribute::TlsId(id) => Some(id.as_str()),
                _ => None,
            })
    }

    /// The section with this mid.
    #[must_use]
    pub fn media_by_mid(&self, mid: &str) -> Option<&MediaDescription> {
        self.media.iter().find(|media| media.mid() == Some(mid))
    }
}

impl FromStr for SessionDescription {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}
