//! Signature schemes (RFC 8446, section 4.2.3), and which keys they go with.

use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Id, PKeyRef};

use crate::hash::HashAlgorithm;

/// Bits of the shortest RSA modulus that signs or verifies here (RFC 8827 asks for 2048).
pub(crate) const MIN_RSA_BITS: u32 = 2048;
/// Bits of the longest: a longer one costs its owner nothing to name, and us milliseconds to verify with.
pub(crate) const MAX_RSA_BITS: u32 = 8192;

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyKind {
    /// ECDSA on NIST P-256.
    EcdsaP256,
    /// ECDSA on NIST P-384.
    EcdsaP384,
    /// ECDSA on NIST P-521.
    EcdsaP521,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// RSA.
    Rsa {
        /// Bits of the modulus.
        bits: u32,
    },
}

impl KeyKind {
    /// The kind of a key, if it is one that this crate has.
    pub(crate) fn of<T: HasPublic>(key: &PKeyRef<T>) -> Option<Self> {
        match key.id() {
            Id::EC => match key.ec_key().ok()?.group().curve_name()? {
                Nid::X9_62_PRIME256V1 => Some(KeyKind::EcdsaP256),
                Nid::SECP384R1 => Some(KeyKind::EcdsaP384),
                Nid::SECP521R1 => Some(KeyKind::EcdsaP521),
                _ => None,
            },
            Id::ED25519 => Some(KeyKind::Ed25519),
            Id::RSA => Some(KeyKind::Rsa { bits: key.bits() }),
            _ => None,
        }
    }

    /// Whether keys of this kind are long enough, and not so long that using them is an attack.
    pub(crate) const fn is_sound(self) -> bool {
        match self {
            KeyKind::Rsa { bits } => bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS,
            _ => true,
        }
    }
}

/// A signature scheme, by its TLS code point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureScheme {
    /// ECDSA with SHA-256 (0x0403; on P-256 in TLS 1.3, on any curve in 1.2).
    EcdsaSha256,
    /// ECDSA with SHA-384 (0x0503; on P-384 in TLS 1.3).
    EcdsaSha384,
    /// ECDSA with SHA-512 (0x0603; on P-521 in TLS 1.3).
    EcdsaSha512,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (0x0401).
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384 (0x0501).
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512 (0x0601).
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256 and a salt of 32 bytes (0x0804).
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384 and a salt of 48 bytes (0x0805).
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512 and a salt of 64 bytes (0x0806).
    RsaPssSha512,
    /// Ed25519 (0x0807).
    Ed25519,
}

/// The families of schemes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Ecdsa,
    RsaPkcs1,
    RsaPss,
    Ed25519,
}

impl SignatureScheme {
    #[cfg(test)]
    pub(super) const ALL: [Self; 10] = [
        SignatureScheme::EcdsaSha256,
        SignatureScheme::EcdsaSha384,
        SignatureScheme::EcdsaSha512,
        SignatureScheme::RsaPkcs1Sha256,
        SignatureScheme::RsaPkcs1Sha384,
        SignatureScheme::RsaPkcs1Sha512,
        SignatureScheme::RsaPssSha256,
        SignatureScheme::RsaPssSha384,
        SignatureScheme::RsaPssSha512,
        SignatureScheme::Ed25519,
    ];

    /// The TLS code point.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            SignatureScheme::EcdsaSha256 => 0x0403,
            SignatureScheme::EcdsaSha384 => 0x0503,
            SignatureScheme::EcdsaSha512 => 0x0603,
            SignatureScheme::RsaPkcs1Sha256 => 0x0401,
            SignatureScheme::RsaPkcs1Sha384 => 0x0501,
            SignatureScheme::RsaPkcs1Sha512 => 0x0601,
            SignatureScheme::RsaPssSha256 => 0x0804,
            SignatureScheme::RsaPssSha384 => 0x0805,
            SignatureScheme::RsaPssSha512 => 0x0806,
            SignatureScheme::Ed25519 => 0x0807,
        }
    }

    /// The scheme of a TLS code point, if it is one that this crate has.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            0x0403 => SignatureScheme::EcdsaSha256,
            0x0503 => SignatureScheme::EcdsaSha384,
            0x0603 => SignatureScheme::EcdsaSha512,
            0x0401 => SignatureScheme::RsaPkcs1Sha256,
            0x0501 => SignatureScheme::RsaPkcs1Sha384,
            0x0601 => SignatureScheme::RsaPkcs1Sha512,
            0x0804 => SignatureScheme::RsaPssSha256,
            0x0805 => SignatureScheme::RsaPssSha384,
            0x0806 => SignatureScheme::RsaPssSha512,
            0x0807 => SignatureScheme::Ed25519,
            _ => return None,
        })
    }

    /// Whether TLS 1.3 lets a key of `kind` sign a handshake with this scheme (RFC 8446, section 4.2.3): the
    /// curve is bound to the hash, PKCS #1 v1.5 is for certificates only; RSA from 2048 bits.
    #[must_use]
    pub const fn fits_tls13(self, kind: KeyKind) -> bool {
        match (self, kind) {
            (SignatureScheme::EcdsaSha256, KeyKind::EcdsaP256)
            | (SignatureScheme::EcdsaSha384, KeyKind::EcdsaP384)
            | (SignatureScheme::EcdsaSha512, KeyKind::EcdsaP521)
            | (SignatureScheme::Ed25519, KeyKind::Ed25519) => true,
            (_, KeyKind::Rsa { .. }) => matches!(self.family(), Family::RsaPss) && kind.is_sound(),
            _ => false,
        }
    }

    /// Whether TLS 1.2 lets a key of `kind` sign a handshake with this scheme (RFC 5246, section 7.4.1.4.1;
    /// RFC 8446, section 4.2.3 for PSS): any curve with any hash; RSA from 2048 bits.
    #[must_use]
    pub const fn fits_tls12(self, kind: KeyKind) -> bool {
        self.fits(kind) && kind.is_sound()
    }

    /// Whether keys of `kind` can do this at all.
    pub(super) const fn fits(self, kind: KeyKind) -> bool {
        match self.family() {
            Family::Ecdsa => matches!(kind, KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521),
            Family::RsaPkcs1 | Family::RsaPss => matches!(kind, KeyKind::Rsa { .. }),
            Family::Ed25519 => matches!(kind, KeyKind::Ed25519),
        }
    }

    pub(super) const fn family(self) -> Family {
        match self {
            SignatureScheme::EcdsaSha256 | SignatureScheme::EcdsaSha384 | SignatureScheme::EcdsaSha512 => {
                Family::Ecdsa
            }
            SignatureScheme::RsaPkcs1Sha256
            | SignatureScheme::RsaPkcs1Sha384
            | SignatureScheme::RsaPkcs1Sha512 => Family::RsaPkcs1,
            SignatureScheme::RsaPssSha256 | SignatureScheme::RsaPssSha384 | SignatureScheme::RsaPssSha512 => {
                Family::RsaPss
            }
            SignatureScheme::Ed25519 => Family::Ed25519,
        }
    }

    /// The hash over the message; Ed25519 brings its own.
    pub(super) fn hash(self) -> Option<HashAlgorithm> {
        match self {
            SignatureScheme::EcdsaSha256
            | SignatureScheme::RsaPkcs1Sha256
            | SignatureScheme::RsaPssSha256 => Some(HashAlgorithm::Sha256),
            SignatureScheme::EcdsaSha384
            | SignatureScheme::RsaPkcs1Sha384
            | SignatureScheme::RsaPssSha384 => Some(HashAlgorithm::Sha384),
            SignatureScheme::EcdsaSha512
            | SignatureScheme::RsaPkcs1Sha512
            | SignatureScheme::RsaPssSha512 => Some(HashAlgorithm::Sha512),
            SignatureScheme::Ed25519 => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_points_go_there_and_back_and_unknown_ones_are_none() {
        for scheme in SignatureScheme::ALL {
            assert_eq!(SignatureScheme::from_code(scheme.code()), Some(scheme));
        }
        // SHA-1 with RSA and ECDSA, Ed448, and PSS with a PSS key.
        for code in [0x0201, 0x0203, 0x0808, 0x0809, 0] {
            assert_eq!(SignatureScheme::from_code(code), None);
        }
    }

    /// RFC 8446, section 4.2.3: "the curve ... is bound to the hash"; section 4.4.3: RSA signatures "MUST use an
    /// RSASSA-PSS algorithm".
    #[test]
    fn tls_13_binds_the_curve_to_the_hash_and_has_no_pkcs1() {
        let fitting = |kind| {
            let fits = SignatureScheme::ALL
                .into_iter()
                .filter(|scheme| scheme.fits_tls13(kind));
            fits.map(SignatureScheme::code).collect::<Vec<_>>()
        };
        assert_eq!(fitting(KeyKind::EcdsaP256), [0x0403]);
        assert_eq!(fitting(KeyKind::EcdsaP384), [0x0503]);
        assert_eq!(fitting(KeyKind::EcdsaP521), [0x0603]);
        assert_eq!(fitting(KeyKind::Ed25519), [0x0807]);
        assert_eq!(fitting(KeyKind::Rsa { bits: 2048 }), [0x0804, 0x0805, 0x0806]);
        assert_eq!(fitting(KeyKind::Rsa { bits: 2047 }), []);
        assert_eq!(fitting(KeyKind::Rsa { bits: 8193 }), []);
    }

    #[test]
    fn tls_12_takes_any_hash_with_any_curve() {
        let fitting = |kind| {
            let fits = SignatureScheme::ALL
                .into_iter()
                .filter(|scheme| scheme.fits_tls12(kind));
            fits.map(SignatureScheme::code).collect::<Vec<_>>()
        };
        for kind in [KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::EcdsaP521] {
            assert_eq!(fitting(kind), [0x0403, 0x0503, 0x0603]);
        }
        assert_eq!(fitting(KeyKind::Ed25519), [0x0807]);
        let rsa = [0x0401, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806];
        assert_eq!(fitting(KeyKind::Rsa { bits: 2048 }), rsa);
        assert_eq!(fitting(KeyKind::Rsa { bits: 1024 }), []);
    }
}
