//! Signing with the key of a certificate, and verifying with a peer's public key (RFC 8446, section 4.2.3).

use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private, Public};
use openssl::sign::{Signer, Verifier};

use crate::{BackendError, Unauthentic};

/// A signature scheme, by its TLS code point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureScheme {
    /// ECDSA with SHA-256 (0x0403; on P-256 in TLS 1.3, on any curve in 1.2).
    EcdsaSha256,
    /// ECDSA with SHA-384 (0x0503).
    EcdsaSha384,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (0x0401).
    RsaPkcs1Sha256,
    /// RSASSA-PSS with SHA-256 (0x0804).
    RsaPssSha256,
    /// Ed25519 (0x0807).
    Ed25519,
}

impl SignatureScheme {
    /// The TLS code point.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            SignatureScheme::EcdsaSha256 => 0x0403,
            SignatureScheme::EcdsaSha384 => 0x0503,
            SignatureScheme::RsaPkcs1Sha256 => 0x0401,
            SignatureScheme::RsaPssSha256 => 0x0804,
            SignatureScheme::Ed25519 => 0x0807,
        }
    }

    /// The scheme of a TLS code point, if it is one that this crate has.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            0x0403 => SignatureScheme::EcdsaSha256,
            0x0503 => SignatureScheme::EcdsaSha384,
            0x0401 => SignatureScheme::RsaPkcs1Sha256,
            0x0804 => SignatureScheme::RsaPssSha256,
            0x0807 => SignatureScheme::Ed25519,
            _ => return None,
        })
    }

    fn digest(self) -> Option<MessageDigest> {
        match self {
            SignatureScheme::EcdsaSha256
            | SignatureScheme::RsaPkcs1Sha256
            | SignatureScheme::RsaPssSha256 => Some(MessageDigest::sha256()),
            SignatureScheme::EcdsaSha384 => Some(MessageDigest::sha384()),
            SignatureScheme::Ed25519 => None,
        }
    }

    fn key_type(self) -> Id {
        match self {
            SignatureScheme::EcdsaSha256 | SignatureScheme::EcdsaSha384 => Id::EC,
            SignatureScheme::RsaPkcs1Sha256 | SignatureScheme::RsaPssSha256 => Id::RSA,
            SignatureScheme::Ed25519 => Id::ED25519,
        }
    }
}

/// A private key that signs. Cloning shares the key material.
#[derive(Clone)]
pub struct SigningKey(pub(crate) PKey<Private>);

impl SigningKey {
    /// Whether this key can sign with `scheme`.
    #[must_use]
    pub fn supports(&self, scheme: SignatureScheme) -> bool {
        self.0.id() == scheme.key_type()
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// When the key is of another kind than the scheme, or the backend fails.
    pub fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, BackendError> {
        if !self.supports(scheme) {
            return Err(BackendError(format!("this key cannot sign with {scheme:?}")));
        }
        let mut signer = match scheme.digest() {
            Some(digest) => Signer::new(digest, &self.0)?,
            None => Signer::new_without_digest(&self.0)?,
        };
        if scheme == SignatureScheme::RsaPssSha256 {
            signer.set_rsa_padding(openssl::rsa::Padding::PKCS1_PSS)?;
            signer.set_rsa_pss_saltlen(openssl::sign::RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        Ok(signer.sign_oneshot_to_vec(message)?)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

/// A peer's public key.
#[derive(Clone)]
pub struct VerifyingKey(pub(crate) PKey<Public>);

impl VerifyingKey {
    /// Verifies `signature` over `message`.
    ///
    /// # Errors
    /// [`Unauthentic`] when it does not verify, or the key is of another kind than the scheme.
    pub fn verify(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Unauthentic> {
        let verified = || -> Result<bool, openssl::error::ErrorStack> {
            if self.0.id() != scheme.key_type() {
                return Ok(false);
            }
            let mut verifier = match scheme.digest() {
                Some(digest) => Verifier::new(digest, &self.0)?,
                None => Verifier::new_without_digest(&self.0)?,
            };
            if scheme == SignatureScheme::RsaPssSha256 {
                verifier.set_rsa_padding(openssl::rsa::Padding::PKCS1_PSS)?;
                verifier.set_rsa_pss_saltlen(openssl::sign::RsaPssSaltlen::DIGEST_LENGTH)?;
            }
            verifier.verify_oneshot(signature, message)
        };
        if verified().unwrap_or(false) {
            Ok(())
        } else {
            Err(Unauthentic)
        }
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VerifyingKey")
    }
}
