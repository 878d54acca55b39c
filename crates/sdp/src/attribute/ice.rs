//! `ice-ufrag` and `ice-pwd` (RFC 8839 section 5.4).

use crate::error::Reason;

/// RFC 8839 section 5.4: `ufrag = 4*256ice-char`. Lenient about the characters, not about the length.
pub(crate) fn ufrag(value: &str) -> Result<String, Reason> {
    match (4..=256).contains(&value.len()) && visible(value) {
        true => Ok(value.to_owned()),
        false => Err(Reason::Expected("4 to 256 visible characters")),
    }
}

/// RFC 8839 section 5.4: `password = 22*256ice-char`.
pub(crate) fn password(value: &str) -> Result<String, Reason> {
    match (22..=256).contains(&value.len()) && visible(value) {
        true => Ok(value.to_owned()),
        false => Err(Reason::Expected("22 to 256 visible characters")),
    }
}

fn visible(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic())
}
