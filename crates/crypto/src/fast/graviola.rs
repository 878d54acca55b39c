//! The curves, ML-KEM and AES-GCM of graviola, on CPUs that have what it needs: its field arithmetic is s2n-bignum's,
//! and takes a third off a handshake (`docs/decisions/0008-curves-from-graviola.md`); its AES-GCM has no context to
//! set up for a packet (`docs/decisions/0013-aes-gcm-from-graviola.md`).
//!
//! `None` always means "not here": the caller then asks OpenSSL or libcrux.

use graviola::aead::AesGcm;
use graviola::hashing::{Sha256, Sha384, Sha512};
use graviola::key_agreement::{mlkem768, p256, p384, x25519};
use graviola::signing::ecdsa::{P256, P384, SigningKey, VerifyingKey};
use graviola::util::is_cpu_supported;
use zeroize::Zeroizing;

use crate::BackendError;
use crate::aead::{AeadAlgorithm, NONCE_LEN, TAG_LEN};
use crate::ecdh::Curve;
use crate::hash::HashAlgorithm;
use crate::kem::{CIPHERTEXT_LEN, ENCAPSULATION_KEY_LEN, Encapsulated, SECRET_LEN};
use crate::signature::KeyKind;

/// Bytes of the longest ECDSA signature here: two integers of 49 bytes on P-384, and three DER headers.
const MAX_SIGNATURE_LEN: usize = 2 * (49 + 2) + 2;

fn failed(error: graviola::Error) -> BackendError {
    BackendError(format!("{error:?}"))
}

/// A key of AES-GCM, for both directions.
pub(crate) struct GcmKey(Box<AesGcm>);

impl GcmKey {
    /// A key of `algorithm` made of its [`AeadAlgorithm::key_len`] bytes.
    pub(crate) fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Option<Self> {
        let gcm = matches!(algorithm, AeadAlgorithm::Aes128Gcm | AeadAlgorithm::Aes256Gcm);
        (gcm && is_cpu_supported()).then(|| Self(Box::new(AesGcm::new(key))))
    }

    /// Encrypts `data` in place and answers with the tag.
    pub(crate) fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        let mut tag = [0; TAG_LEN];
        self.0.encrypt(nonce, aad, data, &mut tag);
        tag
    }

    /// Decrypts `data` in place if `tag` proves it.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> bool {
        self.0.decrypt(nonce, aad, data, tag).is_ok()
    }
}

/// An ephemeral private key.
pub(crate) enum AgreementKey {
    X25519(x25519::PrivateKey),
    P256(p256::PrivateKey),
    P384(p384::PrivateKey),
}

impl AgreementKey {
    /// A key of `curve` whose public share is appended to `share`.
    pub(crate) fn generate(curve: Curve, share: &mut Vec<u8>) -> Option<Result<Self, BackendError>> {
        if !is_cpu_supported() {
            return None;
        }
        Some(match curve {
            Curve::X25519 => x25519::PrivateKey::new_random().map(|key| {
                share.extend_from_slice(&key.public_key().as_bytes());
                Self::X25519(key)
            }),
            Curve::P256 => p256::PrivateKey::new_random().map(|key| {
                share.extend_from_slice(&key.public_key_uncompressed());
                Self::P256(key)
            }),
            Curve::P384 => p384::PrivateKey::new_random().map(|key| {
                share.extend_from_slice(&key.public_key_uncompressed());
                Self::P384(key)
            }),
            Curve::P521 => return None,
        })
        .map(|key| key.map_err(failed))
    }

    /// Writes the shared secret to `out`, unless `peer` is not a valid share.
    pub(crate) fn agree(self, peer: &[u8], out: &mut [u8]) -> Option<()> {
        match self {
            Self::X25519(key) => {
                let peer = x25519::PublicKey::try_from_slice(peer).ok()?;
                let secret = key.diffie_hellman(&peer).ok()?;
                out.copy_from_slice(&*Zeroizing::new(secret.0));
            }
            Self::P256(key) => {
                let peer = p256::PublicKey::from_x962_uncompressed(peer).ok()?;
                out.copy_from_slice(&key.diffie_hellman(&peer).ok()?.0);
            }
            Self::P384(key) => {
                let peer = p384::PublicKey::from_x962_uncompressed(peer).ok()?;
                out.copy_from_slice(&key.diffie_hellman(&peer).ok()?.0);
            }
        }
        Some(())
    }
}

/// The private scalar of an ECDSA key.
#[derive(Clone)]
pub(crate) enum EcdsaSigner {
    P256(Zeroizing<[u8; 32]>),
    P384(Zeroizing<[u8; 48]>),
}

impl EcdsaSigner {
    /// The key of `kind` with this big-endian `scalar`.
    pub(crate) fn new(kind: KeyKind, scalar: &[u8]) -> Option<Self> {
        if !is_cpu_supported() {
            return None;
        }
        match kind {
            KeyKind::EcdsaP256 => Some(Self::P256(Zeroizing::new(scalar.try_into().ok()?))),
            KeyKind::EcdsaP384 => Some(Self::P384(Zeroizing::new(scalar.try_into().ok()?))),
            _ => None,
        }
    }

    /// The big-endian scalar.
    pub(crate) fn scalar(&self) -> &[u8] {
        match self {
            Self::P256(scalar) => &scalar[..],
            Self::P384(scalar) => &scalar[..],
        }
    }

    /// An ASN.1 signature over the hash of `message`.
    pub(crate) fn sign(&self, hash: HashAlgorithm, message: &[u8]) -> Result<Vec<u8>, BackendError> {
        let out = &mut [0; MAX_SIGNATURE_LEN];
        let message = &[message];
        match self {
            Self::P256(scalar) => {
                let private_key = p256::StaticPrivateKey::from_bytes(&scalar[..]).map_err(failed)?;
                let key = SigningKey::<P256> { private_key };
                match hash {
                    HashAlgorithm::Sha384 => key.sign_asn1::<Sha384>(message, out),
                    HashAlgorithm::Sha512 => key.sign_asn1::<Sha512>(message, out),
                    _ => key.sign_asn1::<Sha256>(message, out),
                }
            }
            Self::P384(scalar) => {
                let private_key = p384::StaticPrivateKey::from_bytes(&scalar[..]).map_err(failed)?;
                let key = SigningKey::<P384> { private_key };
                match hash {
                    HashAlgorithm::Sha384 => key.sign_asn1::<Sha384>(message, out),
                    HashAlgorithm::Sha512 => key.sign_asn1::<Sha512>(message, out),
                    _ => key.sign_asn1::<Sha256>(message, out),
                }
            }
        }
        .map(<[u8]>::to_vec)
        .map_err(failed)
    }
}

/// A public ECDSA key, with multiples of its point.
pub(crate) enum EcdsaVerifier {
    P256(Box<VerifyingKey<P256>>),
    P384(Box<VerifyingKey<P384>>),
}

impl Clone for EcdsaVerifier {
    fn clone(&self) -> Self {
        match self {
            Self::P256(key) => Self::P256(Box::new(VerifyingKey {
                public_key: key.public_key.clone(),
            })),
            Self::P384(key) => Self::P384(Box::new(VerifyingKey {
                public_key: key.public_key.clone(),
            })),
        }
    }
}

impl EcdsaVerifier {
    /// The key of `kind` with this uncompressed `point`, which is checked to be on the curve.
    pub(crate) fn new(kind: KeyKind, point: &[u8]) -> Option<Result<Self, BackendError>> {
        if !is_cpu_supported() {
            return None;
        }
        match kind {
            KeyKind::EcdsaP256 => Some(
                VerifyingKey::from_x962_uncompressed(point)
                    .map(|key| Self::P256(Box::new(key)))
                    .map_err(failed),
            ),
            KeyKind::EcdsaP384 => Some(
                VerifyingKey::from_x962_uncompressed(point)
                    .map(|key| Self::P384(Box::new(key)))
                    .map_err(failed),
            ),
            _ => None,
        }
    }

    /// Whether this is a signature over the hash of `message`.
    pub(crate) fn verify(&self, hash: HashAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        let message = &[message];
        match (self, hash) {
            (Self::P256(key), HashAlgorithm::Sha384) => key.verify_asn1::<Sha384>(message, signature),
            (Self::P256(key), HashAlgorithm::Sha512) => key.verify_asn1::<Sha512>(message, signature),
            (Self::P256(key), _) => key.verify_asn1::<Sha256>(message, signature),
            (Self::P384(key), HashAlgorithm::Sha384) => key.verify_asn1::<Sha384>(message, signature),
            (Self::P384(key), HashAlgorithm::Sha512) => key.verify_asn1::<Sha512>(message, signature),
            (Self::P384(key), _) => key.verify_asn1::<Sha256>(message, signature),
        }
        .is_ok()
    }
}

/// An ML-KEM-768 decapsulation key.
pub(crate) struct DecapsulationKey(Box<mlkem768::DecapKey>);

impl DecapsulationKey {
    /// A key pair.
    pub(crate) fn generate() -> Option<Result<(Self, [u8; ENCAPSULATION_KEY_LEN]), BackendError>> {
        is_cpu_supported().then(|| {
            let key = mlkem768::DecapKey::generate().map_err(failed)?;
            let public = key.encapsulation_key().as_bytes();
            Ok((Self(Box::new(key)), public))
        })
    }

    /// The secret in `ciphertext`.
    pub(crate) fn decapsulate(self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> [u8; SECRET_LEN] {
        *self.0.decaps(&(*ciphertext).into()).as_ref()
    }
}

/// A ciphertext and its secret, or `None` inside for a key that is not reduced.
pub(crate) fn encapsulate(
    key: &[u8; ENCAPSULATION_KEY_LEN],
) -> Option<Result<Option<Encapsulated>, BackendError>> {
    is_cpu_supported().then(|| {
        let Ok(key) = mlkem768::EncapKey::from_bytes(key) else {
            return Ok(None);
        };
        let (secret, ciphertext) = key.encaps().map_err(failed)?;
        Ok(Some((*ciphertext.as_ref(), *secret.as_ref())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::hex;

    /// RFC 7748, section 5.2, second vector: "implementations of X25519 ... MUST mask the most significant bit in
    /// the final byte", which is set in this one.
    #[test]
    fn x25519_masks_the_top_bit() {
        let scalar = "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d";
        let point = "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493";
        let expected = "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957";
        if is_cpu_supported() {
            let key = x25519::StaticPrivateKey::try_from_slice(&hex(scalar)).unwrap();
            let peer = x25519::PublicKey::try_from_slice(&hex(point)).unwrap();
            assert_eq!(key.diffie_hellman(&peer).unwrap().0[..], hex(expected));
        }
    }
}
