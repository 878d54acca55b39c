//! Values to text. Lines end with CRLF (RFC 8866 section 5).

use std::fmt::{self, Write as _};

use crate::media::{Formats, MediaDescription};
use crate::session::SessionDescription;
use crate::value::{Bandwidth, Connection};

/// Text of the application inside a line: a line break in it would start a line of its own, so those characters
/// (and NUL, RFC 8866 section 9 `byte-string`) are left out.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without early exit, so that it runs over many bytes at once.
        let breaks = self
            .0
            .bytes()
            .fold(false, |found, byte| found | matches!(byte, b'\r' | b'\n' | 0));
        if !breaks {
            return f.write_str(self.0);
        }
        for part in self.0.split(['\r', '\n', '\0']) {
            f.write_str(part)?;
        }
        Ok(())
    }
}

fn optional(f: &mut fmt::Formatter<'_>, letter: char, value: Option<&str>) -> fmt::Result {
    match value {
        Some(value) => write!(f, "{letter}={}\r\n", Text(value)),
        None => Ok(()),
    }
}

fn connections(f: &mut fmt::Formatter<'_>, all: &[Connection], bandwidth: &[Bandwidth]) -> fmt::Result {
    for connection in all {
        write!(f, "c={connection}\r\n")?;
    }
    for line in bandwidth {
        write!(f, "b={line}\r\n")?;
    }
    Ok(())
}

impl fmt::Display for SessionDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "v=0\r\no={}\r\ns={}\r\n",
            self.origin,
            Text(&self.session_name)
        )?;
        optional(f, 'i', self.information.as_deref())?;
        optional(f, 'u', self.uri.as_deref())?;
        for email in &self.emails {
            optional(f, 'e', Some(email))?;
        }
        for phone in &self.phones {
            optional(f, 'p', Some(phone))?;
        }
        connections(f, self.connection.as_slice(), &self.bandwidth)?;
        for timing in &self.timings {
            write!(f, "t={} {}\r\n", timing.start, timing.stop)?;
            for repeat in &timing.repeats {
                optional(f, 'r', Some(repeat))?;
            }
        }
        optional(f, 'z', self.time_zones.as_deref())?;
        optional(f, 'k', self.key.as_deref())?;
        for attribute in &self.attributes {
            write!(f, "a={attribute}\r\n")?;
        }
        self.media.iter().try_for_each(|media| media.fmt(f))
    }
}

impl fmt::Display for MediaDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m={} {}", Text(self.kind.as_str()), self.port)?;
        if let Some(count) = self.port_count {
            write!(f, "/{count}")?;
        }
        write!(f, " {}", Text(&self.protocol))?;
        match &self.formats {
            Formats::Rtp(payload_types) => payload_types.iter().try_for_each(|pt| write!(f, " {pt}"))?,
            Formats::Other(names) => names.iter().try_for_each(|name| write!(f, " {}", Text(name)))?,
        }
        f.write_str("\r\n")?;
        optional(f, 'i', self.information.as_deref())?;
        connections(f, &self.connections, &self.bandwidth)?;
        optional(f, 'k', self.key.as_deref())?;
        for attribute in &self.attributes {
            write!(f, "a={attribute}\r\n")?;
        }
        Ok(())
    }
}

/// Writes the items with a separator between them.
pub(crate) fn joined<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = T>,
    separator: char,
) -> fmt::Result {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            f.write_char(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}
