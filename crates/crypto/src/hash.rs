//! Hash functions: SHA-1 (RFC 3174), SHA-2 (RFC 6234), and MD5 (RFC 1321) for STUN's long-term keys.

use openssl::sha;

use crate::sha1::Sha1;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HashAlgorithm {
    /// SHA-1: 20 bytes. Only for HMAC-SHA1 where a protocol demands it.
    Sha1,
    /// SHA-256: 32 bytes.
    Sha256,
    /// SHA-384: 48 bytes.
    Sha384,
    /// SHA-512: 64 bytes.
    Sha512,
}

impl HashAlgorithm {
    /// Bytes of a digest.
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            HashAlgorithm::Sha1 => 20,
            HashAlgorithm::Sha256 => 32,
            HashAlgorithm::Sha384 => 48,
            HashAlgorithm::Sha512 => 64,
        }
    }

    /// Bytes of a block of the compression function.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            HashAlgorithm::Sha1 | HashAlgorithm::Sha256 => 64,
            HashAlgorithm::Sha384 | HashAlgorithm::Sha512 => 128,
        }
    }
}

/// A digest of any of the algorithms, without a heap allocation.
#[derive(Debug, Clone, Copy)]
pub struct Digest {
    bytes: [u8; 64],
    len: usize,
}

impl Digest {
    pub(crate) fn from_slice(slice: &[u8]) -> Self {
        let mut bytes = [0; 64];
        bytes[..slice.len()].copy_from_slice(slice);
        Self {
            bytes,
            len: slice.len(),
        }
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl std::ops::Deref for Digest {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Digest {}

/// A hash being computed. Cloning it forks the computation; nothing is allocated.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha1(Sha1),
    Sha256(sha::Sha256),
    Sha384(sha::Sha384),
    Sha512(sha::Sha512),
}

impl Hasher {
    /// Starts a computation.
    #[must_use]
    pub fn new(algorithm: HashAlgorithm) -> Self {
        Self(match algorithm {
            HashAlgorithm::Sha1 => State::Sha1(Sha1::new()),
            HashAlgorithm::Sha256 => State::Sha256(sha::Sha256::new()),
            HashAlgorithm::Sha384 => State::Sha384(sha::Sha384::new()),
            HashAlgorithm::Sha512 => State::Sha512(sha::Sha512::new()),
        })
    }

    /// Appends bytes to the message.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha1(state) => state.update(bytes),
            State::Sha256(state) => state.update(bytes),
            State::Sha384(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all bytes so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        match self.0 {
            State::Sha1(state) => state.finish(),
            State::Sha256(state) => Digest::from_slice(&state.finish()),
            State::Sha384(state) => Digest::from_slice(&state.finish()),
            State::Sha512(state) => Digest::from_slice(&state.finish()),
        }
    }
}

impl From<sha::Sha256> for Hasher {
    fn from(state: sha::Sha256) -> Self {
        Self(State::Sha256(state))
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

/// The digest of `bytes`.
#[must_use]
pub fn digest(algorithm: HashAlgorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// The SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    // Not `sha::sha256`, which looks the algorithm up at every call: three times this for a short message.
    let mut hasher = sha::Sha256::new();
    hasher.update(bytes);
    hasher.finish()
}

/// The MD5 of `bytes`: only for the long-term credential key of RFC 8489, section 9.2.2.
///
/// # Errors
/// When the backend has no MD5 (a FIPS build).
pub fn md5(bytes: &[u8]) -> Result<[u8; 16], crate::BackendError> {
    let digest = openssl::hash::hash(openssl::hash::MessageDigest::md5(), bytes)?;
    let mut out = [0; 16];
    out.copy_from_slice(&digest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_abc_match_fips_180() {
        let hex = |algorithm| {
            digest(algorithm, b"abc")[..4]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        };
        assert_eq!(hex(HashAlgorithm::Sha1), "a9993e36");
        assert_eq!(hex(HashAlgorithm::Sha256), "ba7816bf");
        assert_eq!(hex(HashAlgorithm::Sha384), "cb00753f");
        assert_eq!(hex(HashAlgorithm::Sha512), "ddaf35a1");
    }

    #[test]
    fn md5_of_the_rfc_8489_example_credential() {
        assert_eq!(md5(b"user:realm:pass").unwrap()[..4], [0x84, 0x93, 0xfb, 0xc5]);
    }
}
