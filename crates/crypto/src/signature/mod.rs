//! Signing with the key of a certificate, and verifying with a peer's public key (RFC 8446, section 4.2.3).

mod scheme;

use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, PKeyRef, Private, Public};
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer, Verifier};
use zeroize::Zeroizing;

use crate::hash::HashAlgorithm;
use crate::{BackendError, Unauthentic, ecdh, fast};
use scheme::Family;

pub use scheme::{KeyKind, SignatureScheme};
pub(crate) use scheme::{MAX_RSA_BITS, MIN_RSA_BITS};

/// A private key that signs. Cloning shares the key material, or copies the few bytes that it is.
#[derive(Clone)]
pub struct SigningKey {
    key: PrivateKey,
    kind: KeyKind,
}

/// Where the faster backend signs, its 32 or 48 bytes are all that is kept: a key of OpenSSL takes 3 kB, and each
/// connection has one of its own.
#[derive(Clone)]
enum PrivateKey {
    Fast(fast::EcdsaSigner),
    OpenSsl(PKey<Private>),
}

impl SigningKey {
    /// The key, if it is of a kind that this crate has.
    pub(crate) fn new(key: PKey<Private>) -> Option<Self> {
        let kind = KeyKind::of(&key)?;
        let fast = match kind {
            KeyKind::EcdsaP256 => Self::fast(&key, kind, 32),
            KeyKind::EcdsaP384 => Self::fast(&key, kind, 48),
            _ => None,
        };
        let key = fast.map_or(PrivateKey::OpenSsl(key), PrivateKey::Fast);
        Some(Self { key, kind })
    }

    /// The key as OpenSSL has it.
    pub(crate) fn openssl(&self) -> Result<PKey<Private>, ErrorStack> {
        let fast = match &self.key {
            PrivateKey::Fast(fast) => fast,
            PrivateKey::OpenSsl(key) => return Ok(key.clone()),
        };
        let curve = match self.kind {
            KeyKind::EcdsaP384 => Nid::SECP384R1,
            _ => Nid::X9_62_PRIME256V1,
        };
        let group = EcGroup::from_curve_name(curve)?;
        let mut scalar = BigNum::from_slice(fast.scalar())?;
        let mut point = EcPoint::new(&group)?;
        point.mul_generator2(&group, &scalar, &mut *BigNumContext::new()?)?;
        let key = EcKey::from_private_components(&group, &scalar, &point);
        scalar.clear();
        PKey::from_ec_key(key?)
    }

    fn fast(key: &PKeyRef<Private>, kind: KeyKind, scalar_len: i32) -> Option<fast::EcdsaSigner> {
        let key = key.ec_key().ok()?;
        let scalar = Zeroizing::new(key.private_key().to_vec_padded(scalar_len).ok()?);
        fast::EcdsaSigner::new(kind, &scalar)
    }

    /// What this key is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Whether this key can sign with `scheme`. What a version of TLS allows is narrower:
    /// [`SignatureScheme::fits_tls13`].
    #[must_use]
    pub fn supports(&self, scheme: SignatureScheme) -> bool {
        scheme.fits(self.kind)
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// When the key is of another kind than the scheme, or the backend fails.
    pub fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, BackendError> {
        if !self.supports(scheme) {
            return Err(BackendError(format!("this key cannot sign with {scheme:?}")));
        }
        match (&self.key, scheme.hash()) {
            (PrivateKey::Fast(fast), Some(hash)) => fast.sign(hash, message),
            _ => Ok(self.sign_openssl(scheme, message)?),
        }
    }

    fn sign_openssl(&self, scheme: SignatureScheme, message: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let key = self.openssl()?;
        let mut signer = match scheme.hash() {
            Some(hash) => Signer::new(message_digest(hash), &key)?,
            None => Signer::new_without_digest(&key)?,
        };
        if scheme.family() == Family::RsaPss {
            signer.set_rsa_padding(Padding::PKCS1_PSS)?;
            signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        }
        signer.sign_oneshot_to_vec(message)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:?})", self.kind)
    }
}

/// A peer's public key.
#[derive(Clone)]
pub struct VerifyingKey {
    key: PublicKey,
    kind: Option<KeyKind>,
}

#[derive(Clone)]
enum PublicKey {
    Fast(fast::EcdsaVerifier),
    OpenSsl(PKey<Public>),
}

/// The `SubjectPublicKeyInfo` (RFC 5480) of the curves' keys up to their points.
const EC_HEADERS: [(KeyKind, Nid, &[u8]); 3] = [
    (
        KeyKind::EcdsaP256,
        Nid::X9_62_PRIME256V1,
        b"\x30\x59\x30\x13\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x08\x2A\x86\x48\xCE\x3D\x03\x01\x07\x03\x42\x00",
    ),
    (
        KeyKind::EcdsaP384,
        Nid::SECP384R1,
        b"\x30\x76\x30\x10\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x05\x2B\x81\x04\x00\x22\x03\x62\x00",
    ),
    (
        KeyKind::EcdsaP521,
        Nid::SECP521R1,
        b"\x30\x81\x9B\x30\x10\x06\x07\x2A\x86\x48\xCE\x3D\x02\x01\x06\x05\x2B\x81\x04\x00\x23\x03\x81\x86\x00",
    ),
];

impl VerifyingKey {
    /// The key in a `SubjectPublicKeyInfo`. The curves' keys are recognised here, as the backend's decoder takes
    /// longer than signing.
    pub(crate) fn from_spki(spki: &[u8]) -> Result<Self, BackendError> {
        for (kind, nid, header) in EC_HEADERS {
            if let Some(point) = spki.strip_prefix(header) {
                let key = match fast::EcdsaVerifier::new(kind, point) {
                    Some(key) => PublicKey::Fast(key?),
                    None => PublicKey::OpenSsl(ecdh::parse_point(nid, point)?),
                };
                return Ok(Self {
                    key,
                    kind: Some(kind),
                });
            }
        }
        let key = PKey::public_key_from_der(spki)?;
        let kind = KeyKind::of(&key);
        Ok(Self {
            key: PublicKey::OpenSsl(key),
            kind,
        })
    }

    /// What this key is; `None` for a kind that this crate does not have, such as another curve.
    #[must_use]
    pub fn kind(&self) -> Option<KeyKind> {
        self.kind
    }

    /// Verifies `signature` over `message`.
    ///
    /// # Errors
    /// [`Unauthentic`] when it does not verify, the key is of another kind than the scheme, or it is an RSA key
    /// of fewer than 2048 or more than 8192 bits.
    pub fn verify(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Unauthentic> {
        match self.kind {
            Some(kind) if scheme.fits(kind) && kind.is_sound() => {}
            _ => return Err(Unauthentic),
        }
        let verified = match (&self.key, scheme.hash()) {
            (PublicKey::Fast(key), Some(hash)) => key.verify(hash, message, signature),
            (PublicKey::Fast(_), None) => false,
            (PublicKey::OpenSsl(key), _) => verify_openssl(key, scheme, message, signature).unwrap_or(false),
        };
        if verified { Ok(()) } else { Err(Unauthentic) }
    }
}

fn verify_openssl(
    key: &PKey<Public>,
    scheme: SignatureScheme,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, ErrorStack> {
    let mut verifier = match scheme.hash() {
        Some(hash) => Verifier::new(message_digest(hash), key)?,
        None => Verifier::new_without_digest(key)?,
    };
    if scheme.family() == Family::RsaPss {
        verifier.set_rsa_padding(Padding::PKCS1_PSS)?;
        verifier.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
    }
    verifier.verify_oneshot(signature, message)
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyingKey({:?})", self.kind)
    }
}

fn message_digest(hash: HashAlgorithm) -> MessageDigest {
    match hash {
        HashAlgorithm::Sha1 => MessageDigest::sha1(),
        HashAlgorithm::Sha256 => MessageDigest::sha256(),
        HashAlgorithm::Sha384 => MessageDigest::sha384(),
        HashAlgorithm::Sha512 => MessageDigest::sha512(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Certificate, CertificateOptions, public_key_of};

    const ALL: [SignatureScheme; 10] = SignatureScheme::ALL;

    fn keys() -> Vec<(SigningKey, VerifyingKey)> {
        let kinds = [
            KeyKind::EcdsaP256,
            KeyKind::EcdsaP384,
            KeyKind::EcdsaP521,
            KeyKind::Ed25519,
            KeyKind::Rsa { bits: 2048 },
        ];
        let key = |key| {
            let options = CertificateOptions {
                key,
                ..Default::default()
            };
            let certificate = Certificate::generate_with(&options).unwrap();
            let public = public_key_of(certificate.der()).unwrap();
            (certificate.signing_key().clone(), public)
        };
        kinds.map(key).into()
    }

    #[test]
    fn every_scheme_signs_and_verifies_with_the_keys_that_fit_and_no_others() {
        for (private, public) in keys() {
            assert_eq!(public.kind(), Some(private.kind()));
            for scheme in ALL {
                assert_eq!(private.supports(scheme), scheme.fits_tls12(private.kind()));
                let Ok(signature) = private.sign(scheme, b"message") else {
                    assert!(!private.supports(scheme), "{private:?} {scheme:?}");
                    continue;
                };
                assert!(private.supports(scheme), "{private:?} {scheme:?}");
                for other in ALL {
                    let expected = if other == scheme { Ok(()) } else { Err(Unauthentic) };
                    assert_eq!(
                        public.verify(other, b"message", &signature),
                        expected,
                        "{scheme:?} {other:?}"
                    );
                }
                assert_eq!(public.verify(scheme, b"massage", &signature), Err(Unauthentic));
                assert_eq!(public.verify(scheme, b"message", &[]), Err(Unauthentic));
                let longer = [&signature[..], &[0]].concat();
                assert_eq!(public.verify(scheme, b"message", &longer), Err(Unauthentic));
            }
        }
    }

    /// Where two backends have a curve, each takes what the other made.
    #[test]
    fn the_backends_verify_each_other() {
        for (private, public) in keys() {
            let spki = private.openssl().unwrap().public_key_to_der().unwrap();
            let openssl = PKey::public_key_from_der(&spki).unwrap();
            for scheme in ALL.into_iter().filter(|scheme| private.supports(*scheme)) {
                for _ in 0..8 {
                    let ours = private.sign(scheme, b"message").unwrap();
                    assert!(verify_openssl(&openssl, scheme, b"message", &ours).unwrap());
                    let theirs = private.sign_openssl(scheme, b"message").unwrap();
                    assert_eq!(public.verify(scheme, b"message", &theirs), Ok(()), "{scheme:?}");
                }
            }
        }
    }

    #[test]
    fn rsa_keys_under_2048_bits_do_not_verify() {
        let key = PKey::from_rsa(openssl::rsa::Rsa::generate(1024).unwrap()).unwrap();
        let public = VerifyingKey::from_spki(&key.public_key_to_der().unwrap()).unwrap();
        assert_eq!(public.kind(), Some(KeyKind::Rsa { bits: 1024 }));
        let scheme = SignatureScheme::RsaPkcs1Sha256;
        let signature = SigningKey::new(key).unwrap().sign(scheme, b"message").unwrap();
        assert_eq!(public.verify(scheme, b"message", &signature), Err(Unauthentic));
    }

    #[test]
    fn a_key_on_another_curve_has_no_kind_and_verifies_nothing() {
        let group = openssl::ec::EcGroup::from_curve_name(Nid::SECP256K1).unwrap();
        let key = PKey::from_ec_key(openssl::ec::EcKey::generate(&group).unwrap()).unwrap();
        let public = VerifyingKey::from_spki(&key.public_key_to_der().unwrap()).unwrap();
        assert_eq!(public.kind(), None);
        let scheme = SignatureScheme::EcdsaSha256;
        let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
        let signature = signer.sign_oneshot_to_vec(b"message").unwrap();
        assert_eq!(public.verify(scheme, b"message", &signature), Err(Unauthentic));
        assert!(SigningKey::new(key).is_none());
    }

    #[test]
    fn ecdsa_signatures_of_zero_negative_or_padded_integers_do_not_verify() {
        for (_, public) in keys().into_iter().take(3) {
            for signature in [
                &[0x30, 6, 2, 1, 0, 2, 1, 0][..], // r = s = 0
                &[0x30, 6, 2, 1, 1, 2, 1, 0],
                &[0x30, 6, 2, 1, 0xFF, 2, 1, 1],
                &[0x30, 7, 2, 2, 0, 1, 2, 1, 1],
                &[0x30, 0x81, 6, 2, 1, 1, 2, 1, 1],
                &[0x30, 4, 2, 0, 2, 0],
                &[0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0],
            ] {
                let verified = public.verify(SignatureScheme::EcdsaSha256, b"message", signature);
                assert_eq!(verified, Err(Unauthentic), "{public:?} {signature:?}");
            }
        }
    }

    #[test]
    fn points_off_the_curve_are_no_keys() {
        for (private, _) in keys().into_iter().take(3) {
            let mut spki = private.openssl().unwrap().public_key_to_der().unwrap();
            *spki.last_mut().unwrap() ^= 1;
            assert!(VerifyingKey::from_spki(&spki).is_err(), "{private:?}");
            assert!(VerifyingKey::from_spki(&spki[..spki.len() - 1]).is_err());
        }
    }
}
