//! MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 (RFC 8489, sections 9.1.1, 9.2.2, 14.5, 14.6).

use dunlin_crypto::BackendError;
use dunlin_crypto::hash::{Digest, HashAlgorithm, md5, sha256};
use dunlin_crypto::hmac::HmacKey;

use crate::error::IntegrityError;

/// Bytes of a MESSAGE-INTEGRITY value.
pub(crate) const SHA1_LEN: usize = 20;
/// Bytes of a MESSAGE-INTEGRITY-SHA256 value that is not truncated.
pub(crate) const SHA256_LEN: usize = 32;

/// A key for both integrity attributes, its HMAC states precomputed: keep it, signing and verifying are cheap.
///
/// RFC 8489 wants usernames, realms and passwords "processed using the OpaqueString profile" (RFC 8265). ASCII
/// text without control characters, which is all that ICE and nearly all of TURN uses, is its own OpaqueString;
/// for other text the caller applies the profile first.
#[derive(Clone)]
pub struct IntegrityKey {
    sha1: HmacKey,
    sha256: HmacKey,
}

impl IntegrityKey {
    /// The key of a short-term credential (RFC 8489, section 9.1.1): "key = OpaqueString(password)".
    #[must_use]
    pub fn short_term(password: &str) -> Self {
        Self::from_bytes(password.as_bytes())
    }

    /// The key of a long-term credential with the password algorithm MD5 (RFC 8489, section 18.5.1.1), which is
    /// also what a server without PASSWORD-ALGORITHMS (RFC 5389) expects.
    ///
    /// # Errors
    /// When the crypto backend has no MD5, as in FIPS builds.
    pub fn long_term_md5(username: &str, realm: &str, password: &str) -> Result<Self, BackendError> {
        Ok(Self::from_bytes(&md5(
            format!("{username}:{realm}:{password}").as_bytes()
        )?))
    }

    /// The key of a long-term credential with the password algorithm SHA-256 (RFC 8489, section 18.5.1.2).
    #[must_use]
    pub fn long_term_sha256(username: &str, realm: &str, password: &str) -> Self {
        Self::from_bytes(&sha256(format!("{username}:{realm}:{password}").as_bytes()))
    }

    /// A key whose bytes are known already, as a server's database stores them.
    #[must_use]
    pub fn from_bytes(key: &[u8]) -> Self {
        Self {
            sha1: HmacKey::new(HashAlgorithm::Sha1, key),
            sha256: HmacKey::new(HashAlgorithm::Sha256, key),
        }
    }

    /// The MAC of the message whose bytes before the attribute are `before`. `attribute_end` is where the
    /// attribute ends in the message.
    pub(crate) fn sign(&self, kind: Kind, before: &[u8], attribute_end: usize) -> Digest {
        self.hmac(kind).sign(&parts(before, &length_field(attribute_end)))
    }

    /// Compares `mac` in constant time.
    pub(crate) fn verify(&self, kind: Kind, before: &[u8], mac: &[u8]) -> Result<(), IntegrityError> {
        let ok = match kind {
            Kind::Sha1 => mac.len() == SHA1_LEN,
            // RFC 8489, section 14.6: "The value must be the full 32 bytes unless the STUN Usage explicitly
            // specifies that truncation is allowed." Neither ICE nor TURN does.
            Kind::Sha256 => mac.len() == SHA256_LEN,
        };
        if !ok {
            return Err(IntegrityError::Length(mac.len()));
        }
        let length = length_field(before.len() + 4 + mac.len());
        self.hmac(kind)
            .verify(&parts(before, &length), mac)
            .map_err(|_| IntegrityError::Mismatch)
    }

    fn hmac(&self, kind: Kind) -> &HmacKey {
        match kind {
            Kind::Sha1 => &self.sha1,
            Kind::Sha256 => &self.sha256,
        }
    }
}

impl std::fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IntegrityKey")
    }
}

/// Which of the two attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sha1,
    Sha256,
}

/// RFC 8489, section 14.5: "The Length field of the STUN message header is adjusted to point to the end of the
/// MESSAGE-INTEGRITY attribute."
fn length_field(attribute_end: usize) -> [u8; 2] {
    // The caller holds a message of at most 20 + 65,535 bytes that contains the attribute's end.
    ((attribute_end - crate::HEADER_LEN) as u16).to_be_bytes()
}

/// The HMAC input: the bytes received, but for the length field.
fn parts<'a>(before: &'a [u8], length: &'a [u8; 2]) -> [&'a [u8]; 3] {
    [&before[..2], length, &before[4..]]
}
