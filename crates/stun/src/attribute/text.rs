//! Texts for people: SOFTWARE and ALTERNATE-DOMAIN (RFC 8489, sections 14.14, 14.16), and their limits.

use crate::attribute;
use crate::message::Message;
use crate::writer::Writer;

/// RFC 8489: "a UTF-8-encoded sequence of fewer than 128 characters".
const MAX_CHARS: usize = 127;

impl<'a> Message<'a> {
    /// SOFTWARE: what the sender calls itself.
    #[must_use]
    pub fn software(&self) -> Option<&'a str> {
        self.attribute(attribute::SOFTWARE).map(valid_prefix)
    }

    /// ALTERNATE-DOMAIN.
    #[must_use]
    pub fn alternate_domain(&self) -> Option<&'a str> {
        self.attribute(attribute::ALTERNATE_DOMAIN).map(valid_prefix)
    }
}

impl Writer<'_> {
    /// Appends SOFTWARE, cut to 127 characters.
    pub fn software(&mut self, name: &str) -> &mut Self {
        self.attribute(attribute::SOFTWARE, limited(name).as_bytes())
    }
}

/// The first 127 characters.
pub(crate) fn limited(text: &str) -> &str {
    text.char_indices()
        .nth(MAX_CHARS)
        .map_or(text, |(end, _)| &text[..end])
}

/// The part of `bytes` before the first that is not UTF-8.
pub(crate) fn valid_prefix(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(limited("short"), "short");
        assert_eq!(limited(&"é".repeat(200)), "é".repeat(127));
        assert_eq!(valid_prefix(b"ok\xffno"), "ok");
        assert_eq!(valid_prefix(b""), "");
    }
}
