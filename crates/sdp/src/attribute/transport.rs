//! `fingerprint` (RFC 8122), `setup` (RFC 4145, RFC 8842) and `tls-id` (RFC 8842).

use std::fmt;

use crate::error::Reason;
use crate::write::Text;

/// `<hash function> <hex pairs with colons>` (RFC 8122 section 5), as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The hash function as written, such as `sha-256`; compare without regard to case.
    pub hash: String,
    /// The digest as written; compare without regard to case.
    pub value: String,
}

impl Fingerprint {
    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        const GRAMMAR: Reason = Reason::Expected("<hash function> <hex>:<hex>:...");
        let (hash, digest) = value.trim_start().split_once(' ').ok_or(GRAMMAR)?;
        let pairs = digest
            .split(':')
            .all(|pair| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit()));
        if hash.is_empty() || !pairs {
            return Err(GRAMMAR);
        }
        Ok(Self {
            hash: hash.to_owned(),
            value: digest.to_owned(),
        })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Text(&self.hash), Text(&self.value))
    }
}

/// Who opens the DTLS association (RFC 4145 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// This side is the DTLS client.
    Active,
    /// This side is the DTLS server.
    Passive,
    /// Either; offers only.
    ActPass,
    /// No association for now.
    HoldConn,
}

impl Setup {
    /// The word in the attribute.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }

    pub(crate) fn parse(value: &str) -> Result<Self, Reason> {
        match value {
            "active" => Ok(Self::Active),
            "passive" => Ok(Self::Passive),
            "actpass" => Ok(Self::ActPass),
            "holdconn" => Ok(Self::HoldConn),
            _ => Err(Reason::Expected("active, passive, actpass or holdconn")),
        }
    }
}

/// RFC 8842 section 4: `20*255(tls-id-char)`.
pub(crate) fn tls_id(value: &str) -> Result<String, Reason> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');
    match (20..=255).contains(&value.len()) && value.bytes().all(allowed) {
        true => Ok(value.to_owned()),
        false => Err(Reason::Expected("20 to 255 characters of A-Z a-z 0-9 + / - _")),
    }
}
