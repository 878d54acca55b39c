//! Making a key and a certificate for it, signed by itself (RFC 8827, section 6.5).

use std::time::Duration;

use bytes::Bytes;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509NameBuilder};

use super::{Certificate, Chain};
use crate::BackendError;
use crate::signature::{KeyKind, MAX_RSA_BITS, MIN_RSA_BITS, SigningKey};

const DAY: i64 = 24 * 60 * 60;
/// The last second that a certificate can name (RFC 5280, section 4.1.2.5): the end of the year 9999.
const END_OF_TIME: i64 = 253_402_300_799;

/// What kind of certificate to make.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateOptions {
    /// The kind of key. Default: ECDSA on P-256, the one that RFC 8827 makes mandatory and the fastest to sign
    /// with. RSA from 2048 to 8192 bits, which takes up to seconds to make.
    pub key: KeyKind,
    /// The subject's and the issuer's name: 1 to 64 characters that mean nothing to a WebRTC peer. Default: `dunlin`.
    pub common_name: String,
    /// How long from now, in whole seconds, until the certificate ends. Default: 30 days, as in W3C webrtc-pc,
    /// section 4.9.1. It begins a day ago, for peers whose clocks are behind.
    pub lifetime: Duration,
}

impl Default for CertificateOptions {
    fn default() -> Self {
        Self {
            key: KeyKind::EcdsaP256,
            common_name: "dunlin".to_owned(),
            lifetime: Duration::from_secs(30 * DAY.unsigned_abs()),
        }
    }
}

impl Certificate {
    /// A new self-signed ECDSA P-256 certificate, valid from a day ago until in 30 days (the W3C default).
    ///
    /// # Errors
    /// When the backend fails.
    pub fn generate() -> Result<Self, BackendError> {
        Self::generate_with(&CertificateOptions::default())
    }

    /// A new self-signed certificate as `options` say.
    ///
    /// # Errors
    /// For an RSA key of fewer than 2048 or more than 8192 bits, a common name that is empty or longer than 64
    /// characters, a lifetime beyond the year 9999, or when the backend fails.
    pub fn generate_with(options: &CertificateOptions) -> Result<Self, BackendError> {
        let key = generate_key(options.key)?;
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_text("CN", &options.common_name)?;
        let name = name.build();
        // Random, as NSS refuses two certificates of one issuer and serial number.
        let mut serial = BigNum::new()?;
        serial.rand(63, MsbOption::MAYBE_ZERO, false)?;
        let serial = serial.to_asn1_integer()?;
        let (not_before, not_after) = validity(options.lifetime)?;
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        builder.set_serial_number(&serial)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_not_before(&not_before)?;
        builder.set_not_after(&not_after)?;
        builder.set_pubkey(&key)?;
        builder.sign(&key, digest(options.key))?;
        let der = builder.build().to_der()?;
        let Some(key) = SigningKey::new(key) else {
            return Err(BackendError(format!("no {:?} keys here", options.key)));
        };
        Ok(Self {
            chain: Chain::Single([Bytes::from(der)]),
            key,
        })
    }
}

fn generate_key(kind: KeyKind) -> Result<PKey<Private>, BackendError> {
    let on_curve = |nid| -> Result<_, ErrorStack> {
        let group = EcGroup::from_curve_name(nid)?;
        PKey::from_ec_key(EcKey::generate(&group)?)
    };
    Ok(match kind {
        KeyKind::EcdsaP256 => on_curve(Nid::X9_62_PRIME256V1)?,
        KeyKind::EcdsaP384 => on_curve(Nid::SECP384R1)?,
        KeyKind::EcdsaP521 => on_curve(Nid::SECP521R1)?,
        KeyKind::Ed25519 => PKey::generate_ed25519()?,
        KeyKind::Rsa { bits } if kind.is_sound() => PKey::from_rsa(Rsa::generate(bits)?)?,
        KeyKind::Rsa { bits } => {
            return Err(BackendError(format!(
                "an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, not {bits}"
            )));
        }
    })
}

/// The hash that goes with a key; Ed25519 brings its own.
fn digest(kind: KeyKind) -> MessageDigest {
    match kind {
        KeyKind::EcdsaP256 | KeyKind::Rsa { .. } => MessageDigest::sha256(),
        KeyKind::EcdsaP384 => MessageDigest::sha384(),
        KeyKind::EcdsaP521 => MessageDigest::sha512(),
        KeyKind::Ed25519 => MessageDigest::null(),
    }
}

/// From a day ago until `lifetime` from now, by the backend's clock.
fn validity(lifetime: Duration) -> Result<(Asn1Time, Asn1Time), BackendError> {
    let since_epoch = Asn1Time::from_unix(0)?.diff(&*Asn1Time::days_from_now(0)?)?;
    let now = i64::from(since_epoch.days) * DAY + i64::from(since_epoch.secs);
    let end = i64::try_from(lifetime.as_secs())
        .ok()
        .and_then(|lifetime| now.checked_add(lifetime))
        .filter(|end| *end <= END_OF_TIME)
        .ok_or_else(|| BackendError("a certificate ends before the year 10000".to_owned()))?;
    Ok((Asn1Time::from_unix(now - DAY)?, Asn1Time::from_unix(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [KeyKind; 5] = [
        KeyKind::EcdsaP256,
        KeyKind::EcdsaP384,
        KeyKind::EcdsaP521,
        KeyKind::Ed25519,
        KeyKind::Rsa { bits: 2048 },
    ];

    fn generate(change: impl FnOnce(&mut CertificateOptions)) -> Result<Certificate, BackendError> {
        let mut options = CertificateOptions::default();
        change(&mut options);
        Certificate::generate_with(&options)
    }

    #[test]
    fn every_kind_is_a_version_3_certificate_signed_by_itself() {
        for kind in KINDS {
            let certificate = generate(|options| options.key = kind).unwrap();
            assert_eq!(certificate.signing_key().kind(), kind);
            assert_eq!(certificate.chain().len(), 1);
            let x509 = X509::from_der(certificate.der()).unwrap();
            assert_eq!(x509.version(), 2);
            assert!(x509.verify(&x509.public_key().unwrap()).unwrap());
        }
    }

    #[test]
    fn it_is_valid_from_a_day_ago_for_its_lifetime() {
        let lifetime = Duration::from_secs(90 * 60);
        let certificate = generate(|options| options.lifetime = lifetime).unwrap();
        let x509 = X509::from_der(certificate.der()).unwrap();
        let now = Asn1Time::days_from_now(0).unwrap();
        let before = x509.not_before().diff(&now).unwrap();
        assert!(before.days == 1 && before.secs < 60, "{before:?}");
        let after = now.diff(x509.not_after()).unwrap();
        assert!(
            after.days == 0 && (5340..=5400).contains(&after.secs),
            "{after:?}"
        );
        let long = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        let certificate = generate(|options| options.lifetime = long).unwrap();
        let x509 = X509::from_der(certificate.der()).unwrap();
        assert_eq!(now.diff(x509.not_after()).unwrap().days, 36_500);
    }

    #[test]
    fn names_lifetimes_and_rsa_keys_that_cannot_be_are_refused() {
        for bits in [1024, 2047, 8193, 0] {
            assert!(generate(|options| options.key = KeyKind::Rsa { bits }).is_err());
        }
        assert!(generate(|options| options.lifetime = Duration::MAX).is_err());
        assert!(generate(|options| options.lifetime = Duration::from_secs(1 << 40)).is_err());
        assert!(generate(|options| options.common_name = "x".repeat(65)).is_err());
        assert!(generate(|options| options.common_name = "é".repeat(64)).is_ok());
        assert!(generate(|options| options.common_name.clear()).is_err());
    }

    /// A certificate is a fifth of a handshake's bytes: 191 of them are fixed, the rest is serial number (up to
    /// 9) and signature (70 to 72).
    #[test]
    fn it_is_small_on_the_wire() {
        let len = Certificate::generate().unwrap().der().len();
        assert!(len <= 283, "{len}");
    }

    /// Thousands of connections hold a clone each.
    #[test]
    fn a_clone_is_small() {
        let certificate = Certificate::generate().unwrap();
        assert_eq!(certificate.clone().der().as_ptr(), certificate.der().as_ptr());
        assert!(size_of::<Certificate>() <= 128, "{}", size_of::<Certificate>());
    }
}
