//! Credentials that a web service hands out and a TURN server checks with nothing but a secret that both know
//! (draft-uberti-behave-turn-rest-00, expired and deployed everywhere).

use std::fmt;

use dunlin_crypto::hash::HashAlgorithm;
use dunlin_crypto::hmac::HmacKey;

use super::base64;
use super::client::Credentials;

/// Bytes of a password: base64 of an HMAC-SHA1.
pub const PASSWORD_LEN: usize = 28;

/// The secret.
#[derive(Clone)]
pub struct SharedSecret(HmacKey);

impl SharedSecret {
    /// The secret with these bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(HmacKey::new(HashAlgorithm::Sha1, secret))
    }

    /// The password of a username: "base64(hmac(secret key, returned username))".
    #[must_use]
    pub fn password(&self, username: &[u8]) -> [u8; PASSWORD_LEN] {
        let mut password = [0; PASSWORD_LEN];
        base64::encode(&self.0.sign(&[username]), &mut password);
        password
    }

    /// Credentials for `user` that end at `expiry`, in seconds of Unix time.
    #[must_use]
    pub fn credentials(&self, user: &str, expiry: u64) -> Credentials {
        let username = format!("{expiry}:{user}");
        let password = self.password(username.as_bytes()).map(char::from);
        Credentials {
            password: password.iter().collect(),
            username,
        }
    }

    /// The parts of such a username: when it ends, in seconds of Unix time, and the user, which may be empty.
    #[must_use]
    pub fn split(username: &[u8]) -> Option<(u64, &[u8])> {
        let digits = username.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (expiry, rest) = username.split_at(digits);
        let expiry = std::str::from_utf8(expiry).ok()?.parse().ok()?;
        match rest {
            [] => Some((expiry, rest)),
            [b':', user @ ..] => Some((expiry, user)),
            _ => None,
        }
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HMAC-SHA1("north", "1433895918:foo") by another implementation (openssl dgst -sha1 -hmac).
    #[test]
    fn a_password_is_what_other_implementations_make() {
        let credentials = SharedSecret::new(b"north").credentials("foo", 1_433_895_918);
        assert_eq!(credentials.username, "1433895918:foo");
        assert_eq!(credentials.password, "0OlFg2/bHqbjlkzHi9Xi1YLEVmE=");
    }

    #[test]
    fn usernames_are_split_at_the_colon() {
        assert_eq!(SharedSecret::split(b"12:a:b"), Some((12, &b"a:b"[..])));
        assert_eq!(SharedSecret::split(b"12"), Some((12, &b""[..])));
        for bad in [&b""[..], b":a", b"x12:a", b"12a:b", b"99999999999999999999999:a"] {
            assert_eq!(SharedSecret::split(bad), None);
        }
    }
}
