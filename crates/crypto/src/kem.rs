//! ML-KEM-768 (FIPS 203), the post-quantum half of X25519MLKEM768.
//!
//! The backend is graviola where it runs, else libcrux, and never OpenSSL: see
//! `docs/decisions/0007-ml-kem-not-from-openssl.md`.

use libcrux_ml_kem::mlkem768::{self, MlKem768PrivateKey, MlKem768PublicKey};
use zeroize::Zeroize;

use crate::{BackendError, fast};

/// Bytes of an encapsulation key.
pub(crate) const ENCAPSULATION_KEY_LEN: usize = 1184;
/// Bytes of a ciphertext.
pub(crate) const CIPHERTEXT_LEN: usize = 1088;
/// Bytes of a shared secret.
pub(crate) const SECRET_LEN: usize = 32;

/// A ciphertext and the secret in it.
pub(crate) type Encapsulated = ([u8; CIPHERTEXT_LEN], [u8; SECRET_LEN]);

/// A decapsulation key, wiped when dropped.
pub(crate) enum DecapsulationKey {
    Fast(fast::DecapsulationKey),
    Portable(PortableKey),
}

impl DecapsulationKey {
    /// A key pair from the backend's randomness.
    pub(crate) fn generate() -> Result<(Self, [u8; ENCAPSULATION_KEY_LEN]), BackendError> {
        if let Some(pair) = fast::DecapsulationKey::generate() {
            return pair.map(|(key, public)| (Self::Fast(key), public));
        }
        let (key, public) = PortableKey::generate()?;
        Ok((Self::Portable(key), public))
    }

    /// The secret in `ciphertext`. A forged one yields a secret that nobody knows (FIPS 203, section 6.3).
    pub(crate) fn decapsulate(self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> [u8; SECRET_LEN] {
        match self {
            Self::Fast(key) => key.decapsulate(ciphertext),
            Self::Portable(key) => key.decapsulate(ciphertext),
        }
    }
}

/// A ciphertext for the owner of `key` and the secret in it, or `None` for a key that is not reduced modulo q
/// (FIPS 203, section 7.2: the encapsulation key check).
pub(crate) fn encapsulate(key: &[u8; ENCAPSULATION_KEY_LEN]) -> Result<Option<Encapsulated>, BackendError> {
    fast::encapsulate(key).unwrap_or_else(|| {
        let mut randomness = [0; 32];
        openssl::rand::rand_priv_bytes(&mut randomness)?;
        let encapsulated = portable_encapsulate(key, randomness);
        randomness.zeroize();
        Ok(encapsulated)
    })
}

/// A decapsulation key of libcrux.
pub(crate) struct PortableKey(Box<MlKem768PrivateKey>);

impl PortableKey {
    fn generate() -> Result<(Self, [u8; ENCAPSULATION_KEY_LEN]), BackendError> {
        let mut seed = [0; 64];
        openssl::rand::rand_priv_bytes(&mut seed)?;
        let pair = Self::from_seed(seed);
        seed.zeroize();
        Ok(pair)
    }

    /// The key pair of FIPS 203's `d || z`.
    fn from_seed(seed: [u8; 64]) -> (Self, [u8; ENCAPSULATION_KEY_LEN]) {
        let (private, public) = mlkem768::generate_key_pair(seed).into_parts();
        (Self(Box::new(private)), public.into())
    }

    fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> [u8; SECRET_LEN] {
        mlkem768::decapsulate(&self.0, &ciphertext.into())
    }
}

impl Drop for PortableKey {
    fn drop(&mut self) {
        self.0[..MlKem768PrivateKey::len()].zeroize();
    }
}

fn portable_encapsulate(key: &[u8; ENCAPSULATION_KEY_LEN], randomness: [u8; 32]) -> Option<Encapsulated> {
    let key = MlKem768PublicKey::from(key);
    mlkem768::validate_public_key(&key).then(|| {
        let (ciphertext, secret) = mlkem768::encapsulate(&key, randomness);
        (ciphertext.into(), secret)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;
    use crate::tests::hex;

    /// Vector 0 of <https://github.com/post-quantum-cryptography/KAT> (`kat_MLKEM_768.rsp`): key and ciphertext
    /// by their SHA-256, which OpenSSL 3.6.3 gives too, as it does the implicitly rejected secret.
    #[test]
    fn known_answer_0() {
        let seed = "6dbbc4375136df3b07f7c70e639e223e177e7fd53b161b3f4d57791794f12624\
                    f696484048ec21f96cf50a56d0759c448f3779752f0383d37449690694cf7a68";
        let message = "20a7b7e10f70496cc38220b944def699bf14d14e55cf4c90a12c1b33fc80ffff";
        let expected = "b408d5d115713f0a93047dbbea832e4340787686d59a9a2d106bd662ba0aa035";
        let (key, public) = PortableKey::from_seed(hex(seed).try_into().unwrap());
        let public_hash = "4bec4730f26273c6319ef7387dd4758315240a9394cd89264b148b9113060b61";
        assert_eq!(sha256(&public)[..], hex(public_hash));
        let (mut ciphertext, secret) =
            portable_encapsulate(&public, hex(message).try_into().unwrap()).unwrap();
        let ciphertext_hash = "4191f5596ebe7ff14461854e6c2885763c439b881166e4337ca5084ee6cf2c6e";
        assert_eq!(sha256(&ciphertext)[..], hex(ciphertext_hash));
        assert_eq!(secret[..], hex(expected));
        assert_eq!(key.decapsulate(&ciphertext), secret);
        ciphertext[0] ^= 1;
        let rejected = "4bca15723c66b72fe59c6adc053efdead00a5c7b9be4900832f68ecdcef670ac";
        assert_eq!(key.decapsulate(&ciphertext)[..], hex(rejected));
    }

    /// Where two backends have ML-KEM, each opens what the other sealed.
    #[test]
    fn the_backends_open_each_others_ciphertexts() {
        for _ in 0..8 {
            let (key, public) = DecapsulationKey::generate().unwrap();
            let (ciphertext, secret) = portable_encapsulate(&public, [7; 32]).unwrap();
            assert_eq!(key.decapsulate(&ciphertext), secret);
            let (key, public) = PortableKey::generate().unwrap();
            let (ciphertext, secret) = encapsulate(&public).unwrap().unwrap();
            assert_eq!(key.decapsulate(&ciphertext), secret);
        }
    }

    #[test]
    fn keys_that_are_not_reduced_are_refused_by_both() {
        let unreduced = [0xFF; ENCAPSULATION_KEY_LEN];
        assert_eq!(portable_encapsulate(&unreduced, [7; 32]), None);
        assert_eq!(encapsulate(&unreduced).unwrap(), None);
    }

    /// The vendored OpenSSL makes keys, which is all that its Rust interface has of ML-KEM.
    #[cfg(feature = "vendored")]
    #[test]
    fn openssl_makes_the_same_key_from_a_seed() {
        use openssl::pkey::{KeyType, PKey};
        for byte in 0..8 {
            let theirs = PKey::private_key_from_seed(None, KeyType::ML_KEM_768, None, &[byte; 64]).unwrap();
            let (_, ours) = PortableKey::from_seed([byte; 64]);
            assert_eq!(theirs.raw_public_key().unwrap(), ours);
        }
    }
}
