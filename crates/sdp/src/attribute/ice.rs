//! `ice-ufrag` and `ice-pwd` (RFC 8839 section 5.4), `ice-pacing` (section 5.5).

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

/// RFC 8839 section 5.5: `pacing-value = 1*10DIGIT`.
pub(crate) fn pacing(value: &str) -> Option<u64> {
    let digits = (1..=10).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().ok()).flatten()
}

fn visible(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use crate::Attribute;

    /// RFC 8839 section 5.5: "a=ice-pacing:50".
    #[test]
    fn pacing_is_a_number_of_at_most_ten_digits_and_anything_else_stays_text() {
        for (line, pacing) in [
            ("ice-pacing:50", Some(50)),
            ("ice-pacing:9999999999", Some(9_999_999_999)),
            ("ice-pacing:00000000001", None),
            ("ice-pacing:-1", None),
            ("ice-pacing:+1", None),
            ("ice-pacing:", None),
            ("ice-pacing:5 0", None),
        ] {
            let read = Attribute::parse(line).unwrap();
            assert_eq!(read.to_string(), line);
            match read {
                Attribute::IcePacing(milliseconds) => assert_eq!(Some(milliseconds), pacing, "{line}"),
                _ => assert_eq!(pacing, None, "{line}"),
            }
        }
    }
}
