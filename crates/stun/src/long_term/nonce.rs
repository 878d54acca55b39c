//! Nonces that a server need not remember: the time and a MAC over the time and the client's address.
//!
//! RFC 8489, section 9.2.4: "The server MUST NOT choose the same NONCE for two requests unless they have the same
//! source IP address and port."

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dunlin_crypto::hash::HashAlgorithm;
use dunlin_crypto::hmac::HmacKey;

use super::base64;
use crate::attribute::credential::SecurityFeatures;

/// Bytes of the nonce cookie.
const COOKIE_LEN: usize = 13;
/// Bytes of the time and the MAC before base64: three digits stand for four.
const RAW_LEN: usize = 15;
/// Bytes of a nonce: the cookie and twenty base64 digits.
pub const NONCE_LEN: usize = COOKIE_LEN + 20;

/// Makes and checks nonces.
#[derive(Debug, Clone)]
pub struct Nonces {
    key: HmacKey,
    cookie: [u8; COOKIE_LEN],
    max_age: Duration,
}

impl Nonces {
    /// Nonces that are valid for `max_age` (whole seconds), bound to `secret`, and that promise `features`.
    #[must_use]
    pub fn new(secret: &[u8; 32], features: SecurityFeatures, max_age: Duration) -> Self {
        Self {
            key: HmacKey::new(HashAlgorithm::Sha256, secret),
            cookie: features.nonce_cookie(),
            max_age,
        }
    }

    /// The nonce for a client at a time, which counts from any moment that stays the same.
    #[must_use]
    pub fn make(&self, since_start: Duration, client: SocketAddr) -> [u8; NONCE_LEN] {
        let seconds = u32::try_from(since_start.as_secs())
            .unwrap_or(u32::MAX)
            .to_be_bytes();
        self.encode(seconds, client)
    }

    /// Whether `nonce` was made here for `client`, and is not too old.
    #[must_use]
    pub fn is_fresh(&self, since_start: Duration, client: SocketAddr, nonce: &[u8]) -> bool {
        // The MAC need not be decoded: what would be made now for that time and client is compared.
        let mut word = 0_u64;
        for digit in nonce.iter().skip(COOKIE_LEN).take(6) {
            let Some(value) = base64::value(*digit) else {
                return false;
            };
            word = word << 6 | u64::from(value);
        }
        let seconds = ((word >> 4) as u32).to_be_bytes();
        let expected = self.encode(seconds, client);
        let made_at = Duration::from_secs(u32::from_be_bytes(seconds).into());
        // Not a secret that can be guessed byte by byte: a wrong nonce is answered with a right one.
        expected == nonce && made_at.saturating_add(self.max_age) >= since_start
    }

    fn encode(&self, seconds: [u8; 4], client: SocketAddr) -> [u8; NONCE_LEN] {
        let address = match client.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let mac = self.key.sign(&[&seconds, &address, &client.port().to_be_bytes()]);
        let mut raw = [0; RAW_LEN];
        raw[..4].copy_from_slice(&seconds);
        raw[4..].copy_from_slice(&mac[..RAW_LEN - 4]);
        let mut nonce = [0; NONCE_LEN];
        nonce[..COOKIE_LEN].copy_from_slice(&self.cookie);
        base64::encode(&raw, &mut nonce[COOKIE_LEN..]);
        nonce
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nonce_features;

    #[test]
    fn a_nonce_is_for_one_client_and_for_one_hour() {
        let features = SecurityFeatures {
            password_algorithms: true,
            username_anonymity: false,
        };
        let nonces = Nonces::new(&[1; 32], features, Duration::from_secs(3600));
        let client = "192.0.2.1:5000".parse().unwrap();
        let nonce = nonces.make(Duration::from_secs(10), client);
        assert_eq!(nonce_features(&nonce), Some(features));
        let fresh = |seconds, client| nonces.is_fresh(Duration::from_secs(seconds), client, &nonce);
        assert!(fresh(10, client) && fresh(3610, client));
        assert!(!fresh(3611, client));
        assert!(!fresh(10, "192.0.2.1:5001".parse().unwrap()));
        assert!(!fresh(10, "192.0.2.2:5000".parse().unwrap()));
        let other = Nonces::new(&[2; 32], features, Duration::from_secs(3600));
        assert!(!other.is_fresh(Duration::from_secs(10), client, &nonce));
        for len in 0..NONCE_LEN {
            assert!(!nonces.is_fresh(Duration::from_secs(10), client, &nonce[..len]));
        }
        for at in 0..NONCE_LEN {
            let mut changed = nonce;
            changed[at] ^= 1;
            assert!(
                !nonces.is_fresh(Duration::from_secs(10), client, &changed),
                "byte {at}"
            );
        }
    }
}
