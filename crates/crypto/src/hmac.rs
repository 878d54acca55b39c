//! HMAC (RFC 2104) with a precomputed key, and the TLS 1.2 PRF (RFC 5246, section 5) built on it.
//!
//! The hash states after the inner and the outer pad are computed once per key and cloned per message, so a
//! MAC costs no allocation and no key schedule.

use openssl::sha::Sha256;

use crate::Unauthentic;
use crate::hash::{Digest, HashAlgorithm, Hasher, digest};
use crate::sha1::{Keyed, Sha1};

/// A key for one HMAC.
#[derive(Clone)]
pub struct HmacKey {
    algorithm: HashAlgorithm,
    pads: Pads,
}

/// The hash states after the inner and the outer pad.
#[derive(Clone)]
enum Pads {
    /// Of every STUN message and of most SRTP packets that are not encrypted with GCM.
    Sha1 { inner: Keyed, outer: Keyed },
    /// Of cookies and TLS.
    Sha256 { inner: Sha256, outer: Sha256 },
    /// The states of SHA-384 and SHA-512 are twice as large, and would be the size of all keys.
    Other(Box<[Hasher; 2]>),
}

impl HmacKey {
    /// A key of any length (RFC 2104: longer than a block is hashed first).
    #[must_use]
    pub fn new(algorithm: HashAlgorithm, key: &[u8]) -> Self {
        let mut block = [0; 128];
        let block_len = algorithm.block_len();
        if key.len() > block_len {
            let hashed = digest(algorithm, key);
            block[..hashed.len()].copy_from_slice(&hashed);
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let padded = |pad: u8| block.map(|byte| byte ^ pad);
        let (inner, outer) = (padded(0x36), padded(0x5c));
        let pads = match (algorithm, inner.first_chunk(), outer.first_chunk::<64>()) {
            (HashAlgorithm::Sha1, Some(inner), Some(outer)) => Pads::Sha1 {
                inner: Sha1::after(inner),
                outer: Sha1::after(outer),
            },
            (HashAlgorithm::Sha256, Some(inner), Some(outer)) => {
                let after = |block: &[u8; 64]| {
                    let mut hash = Sha256::new();
                    hash.update(block);
                    hash
                };
                Pads::Sha256 {
                    inner: after(inner),
                    outer: after(outer),
                }
            }
            _ => Pads::Other(Box::new([inner, outer].map(|block| {
                let mut hasher = Hasher::new(algorithm);
                hasher.update(&block[..block_len]);
                hasher
            }))),
        };
        Self { algorithm, pads }
    }

    /// The hash function of this key.
    #[must_use]
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The MAC of the concatenation of `parts`.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]]) -> Digest {
        if let Pads::Sha1 { inner, outer } = &self.pads {
            let mut hash = inner.start();
            parts.iter().for_each(|part| hash.update(part));
            return outer.finish(hash);
        }
        let mut mac = self.start();
        parts.iter().for_each(|part| mac.update(part));
        mac.finish()
    }

    /// A MAC to be fed piece by piece.
    pub(crate) fn start(&self) -> Mac {
        match &self.pads {
            Pads::Sha1 { inner, outer } => Mac::Sha1 {
                inner: inner.start(),
                outer: *outer,
            },
            Pads::Sha256 { inner, outer } => Mac::Other {
                inner: inner.clone().into(),
                outer: outer.clone().into(),
            },
            Pads::Other(pads) => {
                let [inner, outer] = (**pads).clone();
                Mac::Other { inner, outer }
            }
        }
    }

    /// Compares `mac`, which may be truncated but not empty, with the MAC of `parts` in constant time.
    ///
    /// # Errors
    /// [`Unauthentic`] when they differ, or when `mac` is empty or longer than the digest.
    pub fn verify(&self, parts: &[&[u8]], mac: &[u8]) -> Result<(), Unauthentic> {
        let expected = self.sign(parts);
        match expected.get(..mac.len()) {
            Some(expected) if !mac.is_empty() && openssl::memcmp::eq(expected, mac) => Ok(()),
            _ => Err(Unauthentic),
        }
    }
}

impl std::fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HmacKey({:?})", self.algorithm)
    }
}

/// A MAC being computed.
pub(crate) enum Mac {
    Sha1 { inner: Sha1, outer: Keyed },
    Other { inner: Hasher, outer: Hasher },
}

impl Mac {
    /// Appends bytes to the message.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Mac::Sha1 { inner, .. } => inner.update(bytes),
            Mac::Other { inner, .. } => inner.update(bytes),
        }
    }

    /// The MAC of all bytes so far.
    pub(crate) fn finish(self) -> Digest {
        match self {
            Mac::Sha1 { inner, outer } => outer.finish(inner),
            Mac::Other { inner, mut outer } => {
                outer.update(&inner.finish());
                outer.finish()
            }
        }
    }
}

/// Whether two byte strings are equal, in time that depends only on their lengths.
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && openssl::memcmp::eq(a, b)
}

/// The TLS 1.2 PRF: fills `out` from the secret, the label and the concatenated seed parts.
pub fn tls12_prf(algorithm: HashAlgorithm, secret: &[u8], label: &[u8], seed: &[&[u8]], out: &mut [u8]) {
    let key = HmacKey::new(algorithm, secret);
    let sign = |prefix: &[u8]| {
        let mut mac = key.start();
        mac.update(prefix);
        mac.update(label);
        seed.iter().for_each(|part| mac.update(part));
        mac.finish()
    };
    // A(1) = HMAC(secret, label || seed); A(i) = HMAC(secret, A(i-1))
    let mut a = sign(&[]);
    let mut chunks = out.chunks_mut(algorithm.digest_len()).peekable();
    while let Some(chunk) = chunks.next() {
        chunk.copy_from_slice(&sign(&a)[..chunk.len()]);
        if chunks.peek().is_some() {
            a = key.sign(&[&a]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_2202_and_4231_test_case_2() {
        let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        let sha1 = HmacKey::new(HashAlgorithm::Sha1, b"Jefe").sign(&parts);
        assert_eq!(sha1[..4], [0xef, 0xfc, 0xdf, 0x6a]);
        let sha256 = HmacKey::new(HashAlgorithm::Sha256, b"Jefe").sign(&parts);
        assert_eq!(sha256[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        let sha384 = HmacKey::new(HashAlgorithm::Sha384, b"Jefe").sign(&parts);
        assert_eq!(sha384[..4], [0xaf, 0x45, 0xd2, 0xe3]);
    }

    #[test]
    fn rfc_4231_test_case_6_hashes_a_key_longer_than_a_block() {
        let key = HmacKey::new(HashAlgorithm::Sha256, &[0xaa; 131]);
        let mac = key.sign(&[b"Test Using Larger Than Block-Size Key - Hash Key First"]);
        assert_eq!(mac[..4], [0x60, 0xe4, 0x31, 0x59]);
    }

    #[test]
    fn truncated_macs_verify_and_empty_or_wrong_ones_do_not() {
        let key = HmacKey::new(HashAlgorithm::Sha1, b"key");
        let mac = key.sign(&[b"message"]);
        assert_eq!(key.verify(&[b"message"], &mac[..10]), Ok(()));
        assert_eq!(key.verify(&[b"message"], &[]), Err(Unauthentic));
        assert_eq!(key.verify(&[b"massage"], &mac), Err(Unauthentic));
        assert_eq!(key.verify(&[b"message"], &[0; 65]), Err(Unauthentic));
    }

    /// The widely used TLS 1.2 P_SHA256 vector (IETF TLS mailing list, April 2009).
    #[test]
    fn tls12_prf_sha256_vector() {
        let secret = [
            0x9b, 0xbe, 0x43, 0x6b, 0xa9, 0x40, 0xf0, 0x17, 0xb1, 0x76, 0x52, 0x84, 0x9a, 0x71, 0xdb, 0x35,
        ];
        let seed = [
            0xa0, 0xba, 0x9f, 0x93, 0x6c, 0xda, 0x31, 0x18, 0x27, 0xa6, 0xf7, 0x96, 0xff, 0xd5, 0x19, 0x8c,
        ];
        let mut out = [0; 100];
        tls12_prf(HashAlgorithm::Sha256, &secret, b"test label", &[&seed], &mut out);
        assert_eq!(out[..8], [0xe3, 0xf2, 0x29, 0xba, 0x72, 0x7b, 0xe1, 0x7b]);
    }
}
