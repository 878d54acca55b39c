//! Extensions that carry an SDES item as text: MID (RFC 9143, section 15), RtpStreamId and
//! RepairedRtpStreamId (RFC 8852), in the form of RFC 7941.

/// The text of such an element, if it is not empty and is UTF-8.
///
/// RFC 7941, section 4.1.1: the element is the "SDES item text value" without terminator; its length is
/// that of the element.
#[must_use]
pub fn parse_text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_utf_8_and_not_empty() {
        assert_eq!(parse_text(b"video0"), Some("video0"));
        assert_eq!(parse_text(b""), None);
        assert_eq!(parse_text(&[0xff]), None);
    }
}
