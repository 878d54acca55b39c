//! The username fragment and password of one side (RFC 8445, section 5.3; RFC 8839, section 5.4).

use std::fmt;

use dunlin_stun::IntegrityKey;
use rand::RngExt;
use rand::rngs::StdRng;

use crate::grammar::is_ice_char;

/// `ice-ufrag` and `ice-pwd` of one side and one generation.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    ufrag: String,
    password: String,
}

/// Why credentials are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// RFC 8839, section 5.4: "ufrag = 4*256ice-char".
    #[error("an ice-ufrag has 4 to 256 characters of A-Z a-z 0-9 + /")]
    Ufrag,
    /// RFC 8839, section 5.4: "password = 22*256ice-char".
    #[error("an ice-pwd has 22 to 256 characters of A-Z a-z 0-9 + /")]
    Password,
}

impl Credentials {
    /// Credentials from a description.
    ///
    /// # Errors
    /// When one of them does not follow the grammar. Other characters of visible ASCII are let pass: some peers
    /// write `-` and `_`.
    pub fn new(ufrag: impl Into<String>, password: impl Into<String>) -> Result<Self, CredentialsError> {
        let (ufrag, password) = (ufrag.into(), password.into());
        let visible = |text: &str| {
            text.bytes()
                .all(|b| is_ice_char(b) || (b.is_ascii_graphic() && b != b':'))
        };
        if !(4..=256).contains(&ufrag.len()) || !visible(&ufrag) {
            return Err(CredentialsError::Ufrag);
        }
        if !(22..=256).contains(&password.len()) || !visible(&password) {
            return Err(CredentialsError::Password);
        }
        Ok(Self { ufrag, password })
    }

    /// RFC 8445, section 5.3: "at least 128 bits of random number generator output used to generate the
    /// password, and at least 24 bits of output to generate the username fragment". These have 144 and 48.
    pub(crate) fn random(rng: &mut StdRng) -> Self {
        Self {
            ufrag: random_text(rng, 8),
            password: random_text(rng, 24),
        }
    }

    /// The username fragment.
    #[must_use]
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    /// The password stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("ufrag", &self.ufrag)
            .finish_non_exhaustive()
    }
}

/// One side's credentials and the key that comes from them.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    pub(crate) credentials: Credentials,
    pub(crate) key: IntegrityKey,
}

impl Side {
    pub(crate) fn new(credentials: Credentials) -> Self {
        Self {
            key: IntegrityKey::short_term(&credentials.password),
            credentials,
        }
    }

    pub(crate) fn ufrag(&self) -> &str {
        &self.credentials.ufrag
    }
}

/// The credentials of both sides between two ICE restarts.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    /// Counts restarts.
    pub(crate) number: u32,
    pub(crate) local: Side,
    /// `None` until the peer's description is known.
    pub(crate) remote: Option<Side>,
}

impl Generation {
    pub(crate) fn new(number: u32, rng: &mut StdRng) -> Self {
        Self {
            number,
            local: Side::new(Credentials::random(rng)),
            remote: None,
        }
    }
}

fn random_text(rng: &mut StdRng, len: usize) -> String {
    const ICE_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..len)
        .map(|_| char::from(ICE_CHARS[rng.random_range(0..ICE_CHARS.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn random_credentials_follow_the_grammar_and_differ() {
        let mut rng = StdRng::from_seed([1; 32]);
        let (a, b) = (Credentials::random(&mut rng), Credentials::random(&mut rng));
        assert_ne!(a, b);
        assert_eq!(Credentials::new(a.ufrag(), a.password()).as_ref(), Ok(&a));
        assert!(a.ufrag().bytes().chain(a.password().bytes()).all(is_ice_char));
        assert!(!format!("{a:?}").contains(a.password()));
    }

    #[test]
    fn short_long_and_odd_credentials_are_refused() {
        let password = "p".repeat(22);
        assert_eq!(Credentials::new("abc", &*password), Err(CredentialsError::Ufrag));
        assert_eq!(
            Credentials::new("a".repeat(257), &*password),
            Err(CredentialsError::Ufrag)
        );
        assert_eq!(
            Credentials::new("ab cd", &*password),
            Err(CredentialsError::Ufrag)
        );
        assert_eq!(
            Credentials::new("ab:cd", &*password),
            Err(CredentialsError::Ufrag)
        );
        assert_eq!(
            Credentials::new("abcd", &password[1..]),
            Err(CredentialsError::Password)
        );
        assert!(Credentials::new("ab-_", &*password).is_ok());
    }
}
