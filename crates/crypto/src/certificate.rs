//! Self-signed certificates (RFC 8827, section 6.5) and their fingerprints (RFC 8122, section 5).

use std::fmt;
use std::str::FromStr;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509, X509NameBuilder};

use crate::BackendError;
use crate::hash::{HashAlgorithm, digest};
use crate::signature::{SigningKey, VerifyingKey};

/// A certificate with its private key. Cloning is cheap: the key material is shared.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    key: SigningKey,
}

impl Certificate {
    /// A new self-signed ECDSA P-256 certificate, valid from a day ago for 30 days (the W3C default).
    ///
    /// # Errors
    /// When the backend fails.
    pub fn generate() -> Result<Self, BackendError> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
        let key = PKey::from_ec_key(EcKey::generate(&group)?)?;
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_text("CN", "dunlin")?;
        let name = name.build();
        let mut serial = BigNum::new()?;
        serial.rand(63, MsbOption::MAYBE_ZERO, false)?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        let serial = serial.to_asn1_integer()?;
        builder.set_serial_number(&serial)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        // `days_from_now` cannot look back; a peer whose clock is behind ours ignores the dates (RFC 8827).
        let (not_before, not_after) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(30)?);
        builder.set_not_before(&not_before)?;
        builder.set_not_after(&not_after)?;
        builder.set_pubkey(&key)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self {
            der: builder.build().to_der()?,
            key: SigningKey(key),
        })
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The private key.
    #[must_use]
    pub fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// The fingerprint to put into a session description.
    #[must_use]
    pub fn fingerprint(&self, algorithm: HashAlgorithm) -> Fingerprint {
        Fingerprint::of(algorithm, &self.der)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.fingerprint(HashAlgorithm::Sha256))
    }
}

/// The public key of a peer's certificate in DER.
///
/// Nothing else of the certificate is trusted: WebRTC binds it by its fingerprint alone (RFC 8827, section 6.5).
///
/// # Errors
/// When the bytes are not one certificate with a key that the backend knows.
pub fn public_key_of(der: &[u8]) -> Result<VerifyingKey, BackendError> {
    Ok(VerifyingKey(X509::from_der(der)?.public_key()?))
}

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
    use crate::Unauthentic;
    use crate::signature::SignatureScheme;

    #[test]
    fn a_generated_certificate_signs_for_its_own_public_key() {
        let certificate = Certificate::generate().unwrap();
        let key = public_key_of(certificate.der()).unwrap();
        let scheme = SignatureScheme::EcdsaSha256;
        let signature = certificate.signing_key().sign(scheme, b"message").unwrap();
        assert_eq!(key.verify(scheme, b"message", &signature), Ok(()));
        assert_eq!(key.verify(scheme, b"massage", &signature), Err(Unauthentic));
        assert_eq!(
            key.verify(SignatureScheme::RsaPkcs1Sha256, b"message", &signature),
            Err(Unauthentic)
        );
        assert!(
            certificate
                .signing_key()
                .sign(SignatureScheme::Ed25519, b"")
                .is_err()
        );
    }

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
