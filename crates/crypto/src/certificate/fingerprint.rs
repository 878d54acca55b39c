//! Fingerprints of certificates (RFC 8122, section 5).

use std::fmt;
use std::str::FromStr;

use crate::hash::{HashAlgorithm, digest};

/// The hash of a certificate, as `a=fingerprint` carries it: `sha-256 AB:CD:…` (RFC 8122, section 5).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint {
    algorithm: HashAlgorithm,
    digest: Vec<u8>,
}

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(algorithm: HashAlgorithm, der: &[u8]) -> Self {
        Self {
            algorithm,
            digest: digest(algorithm, der).to_vec(),
        }
    }

    /// The hash function.
    #[must_use]
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// Whether `der` is the certificate that this fingerprint names.
    #[must_use]
    pub fn matches(&self, der: &[u8]) -> bool {
        crate::hmac::constant_time_eq(&digest(self.algorithm, der), &self.digest)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.algorithm {
            HashAlgorithm::Sha1 => "sha-1",
            HashAlgorithm::Sha256 => "sha-256",
            HashAlgorithm::Sha384 => "sha-384",
            HashAlgorithm::Sha512 => "sha-512",
        })?;
        for (i, byte) in self.digest.iter().enumerate() {
            write!(f, "{}{byte:02X}", if i == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Why a fingerprint was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseFingerprintError {
    /// The hash function is unknown, or one that RFC 8122 forbids (MD5, MD2) or that is too weak (SHA-1).
    #[error("the fingerprint's hash function {0:?} is not accepted: sha-256, sha-384 or sha-512 are")]
    HashFunction(String),
    /// The digest is not pairs of hexadecimal digits with colons between, or not as long as its hash says.
    #[error("the fingerprint is not {expected} colon-separated hexadecimal bytes")]
    Digest {
        /// How many bytes the hash function has.
        expected: usize,
    },
}

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    /// Parses `<hash-func> <hex>:<hex>…`, case-insensitively.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, hex) = text.trim().split_once(' ').unwrap_or((text, ""));
        let algorithm = match name.to_ascii_lowercase().as_str() {
            "sha-256" => HashAlgorithm::Sha256,
            "sha-384" => HashAlgorithm::Sha384,
            "sha-512" => HashAlgorithm::Sha512,
            _ => return Err(ParseFingerprintError::HashFunction(name.to_owned())),
        };
        let expected = algorithm.digest_len();
        let byte = |pair: &str| {
            let ok = pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
            ok.then(|| u8::from_str_radix(pair, 16).ok()).flatten()
        };
        match hex.trim().split(':').map(byte).collect::<Option<Vec<u8>>>() {
            Some(digest) if digest.len() == expected => Ok(Self { algorithm, digest }),
            _ => Err(ParseFingerprintError::Digest { expected }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::Certificate;

    #[test]
    fn a_fingerprint_survives_the_session_description() {
        let certificate = Certificate::generate().unwrap();
        for algorithm in [
            HashAlgorithm::Sha256,
            HashAlgorithm::Sha384,
            HashAlgorithm::Sha512,
        ] {
            let fingerprint = certificate.fingerprint(algorithm);
            let parsed: Fingerprint = fingerprint.to_string().to_lowercase().parse().unwrap();
            assert_eq!(parsed, fingerprint);
            assert!(parsed.matches(certificate.der()));
            assert!(!parsed.matches(Certificate::generate().unwrap().der()));
        }
    }

    #[test]
    fn fingerprints_with_forbidden_hashes_or_lying_lengths_are_refused() {
        for text in [
            "md5 00:11",
            "sha-1 00",
            "",
            "sha-256",
            "sha-256 00:11",
            "sha-256 é0:11",
        ] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
