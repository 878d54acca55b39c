//! Who asks: USERNAME, USERHASH, REALM, NONCE and the password algorithms (RFC 8489, sections 9.2, 14.3, 14.4,
//! 14.9 to 14.12, 18.1, 18.5).

use dunlin_crypto::hash::sha256;

use crate::attribute;
use crate::long_term::base64;
use crate::message::{Message, padded};
use crate::writer::Writer;

/// How a long-term key is made from a password (RFC 8489, section 18.5). Unknown numbers survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordAlgorithm(pub u16);

impl PasswordAlgorithm {
    /// MD5.
    pub const MD5: PasswordAlgorithm = PasswordAlgorithm(1);
    /// SHA-256.
    pub const SHA256: PasswordAlgorithm = PasswordAlgorithm(2);
}

/// The entries of PASSWORD-ALGORITHMS: number and parameters. Ends early when the value is malformed.
#[derive(Debug, Clone)]
pub struct PasswordAlgorithms<'a>(&'a [u8]);

impl<'a> Iterator for PasswordAlgorithms<'a> {
    type Item = (PasswordAlgorithm, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[a0, a1, l0, l1], rest) = self.0.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        let parameters = rest.get(..len)?;
        // "The parameters are padded to a 32-bit boundary": the last entry's padding is the attribute's.
        self.0 = rest.get(padded(len)..).unwrap_or_default();
        Some((PasswordAlgorithm(u16::from_be_bytes([a0, a1])), parameters))
    }
}

/// What a server promises in the nonce cookie (RFC 8489, sections 9.2 and 18.1), so that nobody on the path can
/// remove it unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SecurityFeatures {
    /// Bit 0: the server sends PASSWORD-ALGORITHMS. A client that finds none then stops.
    pub password_algorithms: bool,
    /// Bit 1: the server takes USERHASH instead of USERNAME.
    pub username_anonymity: bool,
}

const NONCE_COOKIE: &[u8] = b"obMatJos2";

/// Reads the nonce cookie; `None` when the nonce is that of an RFC 5389 server.
#[must_use]
pub fn nonce_features(nonce: &[u8]) -> Option<SecurityFeatures> {
    let encoded = nonce.strip_prefix(NONCE_COOKIE)?.first_chunk::<4>()?;
    // The two features are the top bits of the first base64 character's six.
    let sextets = [
        base64::value(encoded[0])?,
        base64::value(encoded[1])?,
        base64::value(encoded[2])?,
        base64::value(encoded[3])?,
    ];
    Some(SecurityFeatures {
        password_algorithms: sextets[0] & 0b10_0000 != 0,
        username_anonymity: sextets[0] & 0b01_0000 != 0,
    })
}

impl SecurityFeatures {
    /// The 13 bytes that a server puts before its nonce.
    #[must_use]
    pub fn nonce_cookie(self) -> [u8; 13] {
        const FIRST: [u8; 4] = [b'A', b'Q', b'g', b'w'];
        let mut cookie = *b"obMatJos2AAAA";
        cookie[9] = FIRST[usize::from(self.password_algorithms) << 1 | usize::from(self.username_anonymity)];
        cookie
    }
}

/// RFC 8489, section 14.4: "userhash = SHA-256(OpaqueString(username) ":" OpaqueString(realm))".
#[must_use]
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    sha256(format!("{username}:{realm}").as_bytes())
}

impl<'a> Message<'a> {
    /// USERNAME.
    #[must_use]
    pub fn username(&self) -> Option<&'a [u8]> {
        self.attribute(attribute::USERNAME)
    }

    /// USERHASH.
    #[must_use]
    pub fn userhash(&self) -> Option<[u8; 32]> {
        self.fixed(attribute::USERHASH)
    }

    /// REALM.
    #[must_use]
    pub fn realm(&self) -> Option<&'a [u8]> {
        self.attribute(attribute::REALM)
    }

    /// NONCE.
    #[must_use]
    pub fn nonce(&self) -> Option<&'a [u8]> {
        self.attribute(attribute::NONCE)
    }

    /// PASSWORD-ALGORITHMS: what the server offers, most wanted first. The whole value, which a request echoes, is
    /// `attribute(PASSWORD_ALGORITHMS)`.
    #[must_use]
    pub fn password_algorithms(&self) -> Option<PasswordAlgorithms<'a>> {
        self.attribute(attribute::PASSWORD_ALGORITHMS)
            .map(PasswordAlgorithms)
    }

    /// Whether NONCE promises PASSWORD-ALGORITHMS and there are none: somebody on the path took them out (RFC 8489,
    /// section 9.2.1). A 401 or 438 of this kind is not answered, and any other response of this kind "MUST be ignored"
    /// (section 9.2.5).
    #[must_use]
    pub fn is_bid_down(&self) -> bool {
        let features = self.nonce().and_then(nonce_features).unwrap_or_default();
        features.password_algorithms && self.attribute(attribute::PASSWORD_ALGORITHMS).is_none()
    }

    /// PASSWORD-ALGORITHM: what the client chose.
    #[must_use]
    pub fn password_algorithm(&self) -> Option<PasswordAlgorithm> {
        PasswordAlgorithms(self.attribute(attribute::PASSWORD_ALGORITHM)?)
            .next()
            .map(|(algorithm, _)| algorithm)
    }
}

impl Writer<'_> {
    /// Appends USERNAME: at most 508 bytes (RFC 8489, section 14.3).
    pub fn username(&mut self, username: &[u8]) -> &mut Self {
        self.attribute(attribute::USERNAME, username)
    }

    /// Appends USERHASH.
    pub fn userhash(&mut self, hash: &[u8; 32]) -> &mut Self {
        self.attribute(attribute::USERHASH, hash)
    }

    /// Appends REALM: fewer than 128 characters.
    pub fn realm(&mut self, realm: &[u8]) -> &mut Self {
        self.attribute(attribute::REALM, realm)
    }

    /// Appends NONCE: fewer than 128 characters.
    pub fn nonce(&mut self, nonce: &[u8]) -> &mut Self {
        self.attribute(attribute::NONCE, nonce)
    }

    /// Appends PASSWORD-ALGORITHM, without parameters.
    pub fn password_algorithm(&mut self, algorithm: PasswordAlgorithm) -> &mut Self {
        let [a, b] = algorithm.0.to_be_bytes();
        self.attribute(attribute::PASSWORD_ALGORITHM, &[a, b, 0, 0])
    }

    /// Appends PASSWORD-ALGORITHMS, without parameters; at most 16 are listed.
    pub fn password_algorithms(&mut self, algorithms: &[PasswordAlgorithm]) -> &mut Self {
        let mut value = [0; 64];
        let listed = &algorithms[..algorithms.len().min(value.len() / 4)];
        for (place, algorithm) in value.chunks_exact_mut(4).zip(listed) {
            place[..2].copy_from_slice(&algorithm.0.to_be_bytes());
        }
        self.attribute(attribute::PASSWORD_ALGORITHMS, &value[..listed.len() * 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nonce_cookie_survives() {
        for bits in 0..4 {
            let features = SecurityFeatures {
                password_algorithms: bits & 2 != 0,
                username_anonymity: bits & 1 != 0,
            };
            let mut nonce = features.nonce_cookie().to_vec();
            nonce.extend_from_slice(b"/f//499k954d6OL34oL9FSTvy64sA");
            assert_eq!(nonce_features(&nonce), Some(features));
        }
        assert_eq!(nonce_features(b"f//499k954d6OL34oL9FSTvy64sA"), None);
        assert_eq!(nonce_features(b"obMatJos2AA"), None);
    }

    #[test]
    fn a_password_algorithm_list_that_lies_about_its_length_ends() {
        let good = [0, 1, 0, 0, 0, 2, 0, 1, 7, 0, 0, 0, 0, 9, 0, 0];
        let list: Vec<_> = PasswordAlgorithms(&good).collect();
        assert_eq!(
            list,
            [
                (PasswordAlgorithm::MD5, &[][..]),
                (PasswordAlgorithm::SHA256, &[7]),
                (PasswordAlgorithm(9), &[])
            ]
        );
        assert_eq!(PasswordAlgorithms(&[0, 1, 0, 9, 0]).count(), 0);
        assert_eq!(PasswordAlgorithms(&[0, 1]).count(), 0);
    }
}
