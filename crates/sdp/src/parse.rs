//! Text to values, line by line (RFC 8866 section 5, as RFC 9429 section 5.8 applies it).

use crate::attribute::Attribute;
use crate::error::{ParseError, Reason};
use crate::media::MediaDescription;
use crate::session::{SessionDescription, Timing};
use crate::value::{Bandwidth, Connection, Origin, whole};

/// Bounds on what a peer may send. Exceeding one is an error, never a truncation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the whole text. Default 1 MiB: a hundred times a browser's offer.
    pub length: usize,
    /// Bytes of one line. Default 16 KiB.
    pub line_length: usize,
    /// Attributes at one level (the session, or one media section). Default 4096.
    pub attributes: usize,
    /// Media sections. Default 1024.
    pub media: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            length: 1 << 20,
            line_length: 16 << 10,
            attributes: 4096,
            media: 1024,
        }
    }
}

/// Where a line may stand: RFC 8866 section 5 "they MUST appear in exactly the order given here".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Start,
    Version,
    Origin,
    Name,
    Information,
    Uri,
    Email,
    Phone,
    Connection,
    Bandwidth,
    Timing,
    Zones,
    Key,
    Attributes,
}

pub(crate) fn session(text: &str, limits: &Limits) -> Result<SessionDescription, ParseError> {
    if text.len() > limits.length {
        return Err(ParseError {
            line: 0,
            attribute: "text".to_owned(),
            reason: Reason::TooLong(limits.length),
        });
    }
    let mut parser = Parser {
        limits,
        place: Place::Start,
        suspicious: has_control(text),
        session: SessionDescription::new(Origin::new(0, 0)),
        media: None,
    };
    parser.session.timings.clear();
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        parser.line(line).map_err(|reason| ParseError {
            line: index + 1,
            attribute: subject(line),
            reason,
        })?;
    }
    parser.finish()
}

/// What an error names: the attribute's name, or the line's letter.
fn subject(line: &str) -> String {
    let name = match line.strip_prefix("a=") {
        Some(attribute) => attribute.split(':').next().unwrap_or_default(),
        None => line.split_inclusive('=').next().unwrap_or_default(),
    };
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

/// Whether NUL or a CR without LF stands anywhere; only then is each line looked at. Without early exit, so that it
/// runs over many bytes at once.
fn has_control(text: &str) -> bool {
    let pairs = text.as_bytes().windows(2);
    let lone = |pair: &[u8]| (pair[0] == b'\r') & (pair[1] != b'\n');
    pairs.fold(text.starts_with('\0'), |found, pair| {
        found | lone(pair) | (pair[1] == 0)
    })
}

struct Parser<'l> {
    suspicious: bool,
    limits: &'l Limits,
    place: Place,
    session: SessionDescription,
    media: Option<MediaDescription>,
}

impl Parser<'_> {
    fn line(&mut self, line: &str) -> Result<(), Reason> {
        if line.len() > self.limits.line_length {
            return Err(Reason::TooLong(self.limits.line_length));
        }
        if self.suspicious && line.bytes().any(|byte| matches!(byte, 0 | b'\r')) {
            return Err(Reason::ControlCharacter);
        }
        let mut bytes = line.bytes();
        let (Some(letter), Some(b'=')) = (bytes.next(), bytes.next()) else {
            return Err(Reason::NotALine);
        };
        let value = line.get(2..).ok_or(Reason::NotALine)?;
        match letter {
            b'a' => self.attribute(value),
            b'm' => self.media(value),
            _ if self.media.is_some() => self.media_line(letter, value),
            _ => self.session_line(letter, value),
        }
    }

    fn attribute(&mut self, value: &str) -> Result<(), Reason> {
        self.enter(Place::Attributes, true)?;
        let attributes = match &mut self.media {
            Some(media) => &mut media.attributes,
            None => &mut self.session.attributes,
        };
        if attributes.len() >= self.limits.attributes {
            return Err(Reason::TooMany(self.limits.attributes));
        }
        attributes.push(Attribute::parse(value)?);
        Ok(())
    }

    fn media(&mut self, value: &str) -> Result<(), Reason> {
        if self.media.is_none() && self.place < Place::Timing {
            return Err(Reason::Order);
        }
        self.session.media.extend(self.media.take());
        if self.session.media.len() >= self.limits.media {
            return Err(Reason::TooMany(self.limits.media));
        }
        self.media = Some(MediaDescription::parse(value)?);
        self.place = Place::Name;
        Ok(())
    }

    fn session_line(&mut self, letter: u8, value: &str) -> Result<(), Reason> {
        let text = || value.to_owned();
        match letter {
            b'v' => {
                self.enter(Place::Version, false)?;
                if value != "0" {
                    return Err(Reason::Expected("v=0"));
                }
            }
            b'o' => {
                self.enter(Place::Origin, false)?;
                self.session.origin = Origin::parse(value)?;
            }
            b's' => {
                self.enter(Place::Name, false)?;
                self.session.session_name = text();
            }
            b'i' => {
                self.enter(Place::Information, false)?;
                self.session.information = Some(text());
            }
            b'u' => {
                self.enter(Place::Uri, false)?;
                self.session.uri = Some(text());
            }
            b'e' => {
                self.enter(Place::Email, true)?;
                self.session.emails.push(text());
            }
            b'p' => {
                self.enter(Place::Phone, true)?;
                self.session.phones.push(text());
            }
            b'c' => {
                self.enter(Place::Connection, false)?;
                self.session.connection = Some(Connection::parse(value)?);
            }
            b'b' => {
                self.enter(Place::Bandwidth, true)?;
                self.session.bandwidth.push(Bandwidth::parse(value)?);
            }
            b't' => {
                self.enter(Place::Timing, true)?;
                self.session.timings.push(Timing::parse(value)?);
            }
            b'r' => {
                self.enter(Place::Timing, true)?;
                self.session
                    .timings
                    .last_mut()
                    .ok_or(Reason::Order)?
                    .repeats
                    .push(text());
            }
            b'z' => {
                self.enter(Place::Zones, false)?;
                self.session.time_zones = Some(text());
            }
            b'k' => {
                self.enter(Place::Key, false)?;
                self.session.key = Some(text());
            }
            _ => return Err(Reason::NotALine),
        }
        Ok(())
    }

    fn media_line(&mut self, letter: u8, value: &str) -> Result<(), Reason> {
        let (place, repeats) = match letter {
            b'i' => (Place::Information, false),
            b'c' => (Place::Connection, true),
            b'b' => (Place::Bandwidth, true),
            b'k' => (Place::Key, false),
            b'v' | b'o' | b's' | b'u' | b'e' | b'p' | b't' | b'r' | b'z' => return Err(Reason::Order),
            _ => return Err(Reason::NotALine),
        };
        self.enter(place, repeats)?;
        let Some(media) = &mut self.media else {
            return Err(Reason::Order);
        };
        match letter {
            b'i' => media.information = Some(value.to_owned()),
            b'c' => media.connections.push(Connection::parse(value)?),
            b'b' => media.bandwidth.push(Bandwidth::parse(value)?),
            _ => media.key = Some(value.to_owned()),
        }
        Ok(())
    }

    /// Moves on to a place; never back, and not past a required line (`v=`, `o=`, `s=`, `t=`).
    fn enter(&mut self, place: Place, repeats: bool) -> Result<(), Reason> {
        let from = self.place;
        let missing = match place {
            Place::Start | Place::Version => false,
            Place::Origin => from < Place::Version,
            Place::Name => from < Place::Origin,
            _ if self.media.is_some() => false,
            Place::Zones | Place::Key | Place::Attributes => from < Place::Timing,
            _ => from < Place::Name,
        };
        if missing || place < from || (place == from && !repeats) {
            return Err(Reason::Order);
        }
        self.place = place;
        Ok(())
    }

    fn finish(mut self) -> Result<SessionDescription, ParseError> {
        self.session.media.extend(self.media.take());
        if self.session.timings.is_empty() {
            let attribute = match self.place {
                Place::Start => "v=",
                Place::Version => "o=",
                Place::Origin => "s=",
                _ => "t=",
            };
            return Err(ParseError {
                line: 0,
                attribute: attribute.to_owned(),
                reason: Reason::Missing,
            });
        }
        Ok(self.session)
    }
}

impl Timing {
    fn parse(value: &str) -> Result<Self, Reason> {
        use nom::Parser as _;
        use nom::character::complete::{char, u64};
        let grammar = |i| nom::sequence::separated_pair(u64, char(' '), u64).parse(i);
        let (start, stop) = whole(grammar, value).ok_or(Reason::Expected("<start> <stop>"))?;
        Ok(Self {
            start,
            stop,
            repeats: Vec::new(),
        })
    }
}
