//! Certificates with their keys: self-signed (RFC 8827, section 6.5) or imported, and their fingerprints.

mod fingerprint;
mod generate;
mod import;

use std::fmt;

use bytes::Bytes;
use openssl::x509::X509;

use crate::BackendError;
use crate::der::subject_public_key_info;
use crate::hash::HashAlgorithm;
use crate::signature::{SigningKey, VerifyingKey};

pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use generate::CertificateOptions;
pub use import::ImportError;

/// A certificate, the ones above it if any, and its private key. Cloning shares all of them.
#[derive(Clone)]
pub struct Certificate {
    chain: Chain,
    key: SigningKey,
}

/// One certificate or more, the own first. The usual one is cloned without allocating.
#[derive(Clone)]
enum Chain {
    Single([Bytes; 1]),
    Several(Vec<Bytes>),
}

impl Certificate {
    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.chain()[0]
    }

    /// The certificate and those that vouch for it, each in DER, in the order in which TLS sends them: the own
    /// first, each certified by the next. One that signed itself is alone.
    #[must_use]
    pub fn chain(&self) -> &[Bytes] {
        match &self.chain {
            Chain::Single(own) => own,
            Chain::Several(chain) => chain,
        }
    }

    /// The private key.
    #[must_use]
    pub fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// The private key in DER, as an unencrypted PKCS #8 `PrivateKeyInfo` (RFC 5208): for safe-keeping, and for
    /// [`Certificate::from_der`].
    ///
    /// # Errors
    /// When the backend fails.
    pub fn key_der(&self) -> Result<Vec<u8>, BackendError> {
        Ok(self.key.openssl()?.private_key_to_pkcs8()?)
    }

    /// The chain and the private key in PEM (RFC 7468), the key as unencrypted PKCS #8: for safe-keeping, and
    /// for [`Certificate::from_pem`].
    ///
    /// # Errors
    /// When the backend fails.
    pub fn to_pem(&self) -> Result<(String, String), BackendError> {
        let mut chain = String::new();
        for der in self.chain() {
            let pem = X509::from_der(der)?.to_pem()?;
            chain.push_str(&String::from_utf8_lossy(&pem));
        }
        let key = self.key.openssl()?.private_key_to_pem_pkcs8()?;
        Ok((chain, String::from_utf8_lossy(&key).into_owned()))
    }

    /// The fingerprint to put into a session description: that of the own certificate.
    #[must_use]
    pub fn fingerprint(&self, algorithm: HashAlgorithm) -> Fingerprint {
        Fingerprint::of(algorithm, self.der())
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
/// When the bytes are not laid out as one certificate, or hold a key that the backend does not know.
pub fn public_key_of(der: &[u8]) -> Result<VerifyingKey, BackendError> {
    match subject_public_key_info(der) {
        Some(key) => VerifyingKey::from_spki(key),
        None => Err(BackendError("this is not a certificate".to_owned())),
    }
}
