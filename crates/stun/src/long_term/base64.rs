//! Base64 (RFC 4648, section 4) of a few bytes, in place: for nonces and shared-secret passwords.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Fills `out` with the digits of `bytes`, and with `=` behind them.
pub(crate) fn encode(bytes: &[u8], out: &mut [u8]) {
    out.fill(b'=');
    for (group, places) in bytes.chunks(3).zip(out.chunks_mut(4)) {
        let mut word = [0; 4];
        word[1..1 + group.len()].copy_from_slice(group);
        let word = u32::from_be_bytes(word);
        for (index, place) in places.iter_mut().take(group.len() + 1).enumerate() {
            *place = DIGITS[(word >> (18 - 6 * index)) as usize & 63];
        }
    }
}

/// The value of a digit.
pub(crate) fn value(digit: u8) -> Option<u8> {
    Some(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn the_vectors_of_rfc_4648() {
        for (text, expected) in [
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = vec![0; expected.len()];
            encode(text.as_bytes(), &mut out);
            assert_eq!(out, expected.as_bytes());
        }
        for (index, digit) in DIGITS.iter().enumerate() {
            assert_eq!(value(*digit), Some(index as u8));
        }
        assert_eq!(value(b'='), None);
    }
}
