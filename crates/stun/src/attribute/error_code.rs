//! ERROR-CODE and UNKNOWN-ATTRIBUTES (RFC 8489, sections 14.8, 14.13).

use crate::attribute;
use crate::message::Message;
use crate::writer::Writer;

/// The error codes of RFC 8489, section 14.8, and RFC 8445, section 16.2.
pub mod code {
    /// Try Alternate.
    pub const TRY_ALTERNATE: u16 = 300;
    /// Bad Request.
    pub const BAD_REQUEST: u16 = 400;
    /// Unauthenticated.
    pub const UNAUTHENTICATED: u16 = 401;
    /// Unknown Attribute.
    pub const UNKNOWN_ATTRIBUTE: u16 = 420;
    /// Stale Nonce.
    pub const STALE_NONCE: u16 = 438;
    /// Role Conflict (RFC 8445).
    pub const ROLE_CONFLICT: u16 = 487;
    /// Server Error.
    pub const SERVER_ERROR: u16 = 500;
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode<'a> {
    /// 300 to 699; the constants are in [`code`].
    pub code: u16,
    /// For people. The valid part of it, if it is not all UTF-8.
    pub reason: &'a str,
}

impl<'a> ErrorCode<'a> {
    /// Reads the value of an ERROR-CODE attribute.
    #[must_use]
    pub fn read(value: &'a [u8]) -> Option<Self> {
        let (&[_, _, class, number], reason) = value.split_first_chunk::<4>()?;
        // RFC 8489, section 14.8: the reserved bits are ignored; "The value MUST be between 3 and 6 [...] between
        // 0 and 99."
        let class = class & 0b111;
        if !(3..=6).contains(&class) || number > 99 {
            return None;
        }
        Some(Self {
            code: u16::from(class) * 100 + u16::from(number),
            reason: attribute::text::valid_prefix(reason),
        })
    }
}

impl<'a> Message<'a> {
    /// ERROR-CODE.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode<'a>> {
        ErrorCode::read(self.attribute(attribute::ERROR_CODE)?)
    }

    /// The types listed in UNKNOWN-ATTRIBUTES.
    pub fn unknown_attributes(&self) -> impl Iterator<Item = u16> + 'a {
        let value = self.attribute(attribute::UNKNOWN_ATTRIBUTES).unwrap_or_default();
        value
            .chunks_exact(2)
            .map(|kind| u16::from_be_bytes([kind[0], kind[1]]))
    }
}

impl Writer<'_> {
    /// Appends ERROR-CODE. `code` is between 300 and 699.
    pub fn error_code(&mut self, code: u16, reason: &str) -> &mut Self {
        debug_assert!((300..700).contains(&code), "{code} is not an error code");
        let head = [0, 0, (code / 100) as u8 & 0b111, (code % 100) as u8];
        self.attribute_parts(
            attribute::ERROR_CODE,
            &[&head, attribute::text::limited(reason).as_bytes()],
        )
    }

    /// Appends UNKNOWN-ATTRIBUTES: two bytes for each type. The list is cut after 64, so that no request makes a
    /// response grow without bound.
    pub fn unknown_attributes(&mut self, kinds: &[u16]) -> &mut Self {
        let mut value = [0; 128];
        let listed = &kinds[..kinds.len().min(value.len() / 2)];
        for (place, kind) in value.chunks_exact_mut(2).zip(listed) {
            place.copy_from_slice(&kind.to_be_bytes());
        }
        self.attribute(attribute::UNKNOWN_ATTRIBUTES, &value[..listed.len() * 2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bits_are_ignored_and_lies_are_refused() {
        assert_eq!(
            ErrorCode::read(&[0xff, 0xff, 0xf4, 87, b'o', b'k']),
            Some(ErrorCode {
                code: 487,
                reason: "ok"
            })
        );
        assert_eq!(
            ErrorCode::read(&[0, 0, 4, 1, b'a', 0xff, b'b']),
            Some(ErrorCode {
                code: 401,
                reason: "a"
            })
        );
        for bad in [&[0, 0, 2, 0][..], &[0, 0, 7, 0], &[0, 0, 4, 100], &[0, 0, 4], &[]] {
            assert_eq!(ErrorCode::read(bad), None, "{bad:?}");
        }
    }
}
