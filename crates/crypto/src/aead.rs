//! AEADs in place with reused contexts: AES-GCM (RFC 5116) and ChaCha20-Poly1305 (RFC 8439).
//!
//! After `new`, sealing and opening allocate nothing.

use openssl::cipher::{Cipher, CipherRef};
use openssl::cipher_ctx::CipherCtx;

use crate::fast::GcmKey;
use crate::vaes::VaesKey;
use crate::{BackendError, Unauthentic};

/// Bytes of a nonce of every algorithm here.
pub const NONCE_LEN: usize = 12;
/// Bytes of an authentication tag of every algorithm here.
pub const TAG_LEN: usize = 16;

/// An AEAD algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AeadAlgorithm {
    /// AES-128 in Galois/counter mode.
    Aes128Gcm,
    /// AES-256 in Galois/counter mode.
    Aes256Gcm,
    /// ChaCha20 with Poly1305.
    ChaCha20Poly1305,
}

impl AeadAlgorithm {
    /// Bytes of a key.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            AeadAlgorithm::Aes128Gcm => 16,
            AeadAlgorithm::Aes256Gcm | AeadAlgorithm::ChaCha20Poly1305 => 32,
        }
    }

    /// Refuses a key of another length than [`Self::key_len`].
    pub(crate) fn check_key_len(self, key: &[u8]) -> Result<(), BackendError> {
        if key.len() == self.key_len() {
            return Ok(());
        }
        Err(BackendError(format!(
            "{self:?} takes a key of {} bytes, not {}",
            self.key_len(),
            key.len()
        )))
    }

    fn cipher(self) -> &'static CipherRef {
        match self {
            AeadAlgorithm::Aes128Gcm => Cipher::aes_128_gcm(),
            AeadAlgorithm::Aes256Gcm => Cipher::aes_256_gcm(),
            AeadAlgorithm::ChaCha20Poly1305 => Cipher::chacha20_poly1305(),
        }
    }
}

/// Who does it: another library than OpenSSL, where there is one that has the algorithm.
enum Backend {
    Vaes(VaesKey),
    Fast(GcmKey),
    OpenSsl(CipherCtx),
}

fn fast(algorithm: AeadAlgorithm, key: &[u8]) -> Option<Backend> {
    if let Some(key) = VaesKey::new(algorithm, key) {
        return Some(Backend::Vaes(key));
    }
    // With debug assertions this library reads the environment, and allocates, for every packet.
    if cfg!(debug_assertions) {
        return None;
    }
    GcmKey::new(algorithm, key).map(Backend::Fast)
}

/// A key that encrypts and authenticates.
pub struct SealingKey(Backend);

impl SealingKey {
    /// A context for `key`.
    ///
    /// # Errors
    /// When the backend refuses, which it does for a key of another length than `algorithm.key_len()`.
    pub fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, BackendError> {
        algorithm.check_key_len(key)?;
        if let Some(backend) = fast(algorithm, key) {
            return Ok(Self(backend));
        }
        Self::openssl(algorithm, key)
    }

    fn openssl(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, BackendError> {
        let mut context = CipherCtx::new()?;
        context.encrypt_init(Some(algorithm.cipher()), Some(key), None)?;
        Ok(Self(Backend::OpenSsl(context)))
    }

    /// Encrypts `data` in place and answers with the tag. The caller never repeats a nonce under one key.
    ///
    /// # Panics
    /// Never in practice: the backend cannot fail on in-memory data of packet size.
    pub fn seal_in_place(&mut self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        match &mut self.0 {
            Backend::Vaes(key) => key.seal(nonce, aad, data),
            Backend::Fast(key) => key.seal(nonce, aad, data),
            Backend::OpenSsl(context) => {
                let mut tag = [0; TAG_LEN];
                seal(context, nonce, aad, data, &mut tag).expect("an initialised AEAD context encrypts");
                tag
            }
        }
    }
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealingKey")
    }
}

/// A key that verifies and decrypts.
pub struct OpeningKey(Backend);

impl OpeningKey {
    /// A context for `key`.
    ///
    /// # Errors
    /// When the backend refuses, which it does for a key of another length than `algorithm.key_len()`.
    pub fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, BackendError> {
        algorithm.check_key_len(key)?;
        if let Some(backend) = fast(algorithm, key) {
            return Ok(Self(backend));
        }
        Self::openssl(algorithm, key)
    }

    fn openssl(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, BackendError> {
        let mut context = CipherCtx::new()?;
        context.decrypt_init(Some(algorithm.cipher()), Some(key), None)?;
        Ok(Self(Backend::OpenSsl(context)))
    }

    /// Decrypts `data` in place if `tag` proves it. On an error the content of `data` is unspecified.
    ///
    /// # Errors
    /// [`Unauthentic`] when the tag does not fit, or is not [`TAG_LEN`] bytes.
    pub fn open_in_place(
        &mut self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8],
    ) -> Result<(), Unauthentic> {
        let tag: &[u8; TAG_LEN] = tag.try_into().map_err(|_| Unauthentic)?;
        let opened = match &mut self.0 {
            Backend::Vaes(key) => key.open(nonce, aad, data, tag),
            Backend::Fast(key) => key.open(nonce, aad, data, tag),
            Backend::OpenSsl(context) => open(context, nonce, aad, data, tag).is_ok(),
        };
        if opened { Ok(()) } else { Err(Unauthentic) }
    }
}

impl std::fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpeningKey")
    }
}

fn seal(
    context: &mut CipherCtx,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    data: &mut [u8],
    tag: &mut [u8; TAG_LEN],
) -> Result<(), openssl::error::ErrorStack> {
    context.encrypt_init(None, None, Some(nonce))?;
    context.cipher_update(aad, None)?;
    let len = data.len();
    context.cipher_update_inplace(data, len)?;
    context.cipher_final(&mut [0; 16])?;
    context.tag(tag)
}

fn open(
    context: &mut CipherCtx,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    data: &mut [u8],
    tag: &[u8],
) -> Result<(), openssl::error::ErrorStack> {
    context.decrypt_init(None, None, Some(nonce))?;
    context.cipher_update(aad, None)?;
    let len = data.len();
    context.cipher_update_inplace(data, len)?;
    context.set_tag(tag)?;
    context.cipher_final(&mut [0; 16])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::hex;

    const ALL: [AeadAlgorithm; 3] = [
        AeadAlgorithm::Aes128Gcm,
        AeadAlgorithm::Aes256Gcm,
        AeadAlgorithm::ChaCha20Poly1305,
    ];

    #[test]
    fn what_is_sealed_opens_and_what_is_changed_does_not() {
        for algorithm in ALL {
            let key = vec![3; algorithm.key_len()];
            let mut sealing = SealingKey::new(algorithm, &key).unwrap();
            let mut opening = OpeningKey::new(algorithm, &key).unwrap();
            for len in [0, 1, 15, 16, 17, 1200] {
                let plain: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let mut data = plain.clone();
                let tag = sealing.seal_in_place(&[9; 12], b"aad", &mut data);
                let sealed = data.clone();
                assert_eq!(
                    opening.open_in_place(&[9; 12], b"aad", &mut data, &tag),
                    Ok(()),
                    "{algorithm:?} {len}"
                );
                assert_eq!(data, plain);
                let mut data = sealed.clone();
                assert_eq!(
                    opening.open_in_place(&[9; 12], b"ada", &mut data, &tag),
                    Err(Unauthentic)
                );
                let mut data = sealed;
                assert_eq!(
                    opening.open_in_place(&[8; 12], b"aad", &mut data, &tag),
                    Err(Unauthentic)
                );
                assert_eq!(
                    opening.open_in_place(&[9; 12], b"aad", &mut [1, 2], &tag[..4]),
                    Err(Unauthentic)
                );
            }
        }
    }

    /// RFC 8439, section 2.8.2.
    #[test]
    fn chacha20_poly1305_vector() {
        let key: Vec<u8> = (0x80..=0x9f).collect();
        let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let aad = [
            0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7,
        ];
        let mut data = *b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let tag = SealingKey::new(AeadAlgorithm::ChaCha20Poly1305, &key)
            .unwrap()
            .seal_in_place(&nonce, &aad, &mut data);
        assert_eq!(data[..4], [0xd3, 0x1a, 0x8d, 0x34]);
        assert_eq!(tag[..4], [0x1a, 0xe1, 0x0b, 0x59]);
    }

    /// All libraries give the same bytes and open each other's, at every length around those where they change
    /// their code, in the build and on the CPU where there are several.
    #[test]
    fn the_backends_agree() {
        for algorithm in ALL {
            let key: Vec<u8> = (0..algorithm.key_len() as u8).collect();
            let vaes = VaesKey::new(algorithm, &key).map(Backend::Vaes);
            let fast = GcmKey::new(algorithm, &key).map(Backend::Fast);
            for other in [vaes, fast].into_iter().flatten() {
                agrees_with_openssl(algorithm, &key, other);
            }
        }
    }

    fn agrees_with_openssl(algorithm: AeadAlgorithm, key: &[u8], other: Backend) {
        let mut other = SealingKey(other);
        let mut openssl = SealingKey::openssl(algorithm, key).unwrap();
        let mut opening = OpeningKey::openssl(algorithm, key).unwrap();
        for len in (0..600).chain([1199, 1200, 1201, 1500, 16_385]) {
            let nonce = [len as u8; NONCE_LEN];
            let aad = vec![0xA5; len % 40];
            let plain: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let (mut one, mut two) = (plain.clone(), plain.clone());
            let mut tag = other.seal_in_place(&nonce, &aad, &mut one);
            assert_eq!(tag, openssl.seal_in_place(&nonce, &aad, &mut two), "{len}");
            assert_eq!(one, two, "{algorithm:?} {len}");
            assert_eq!(opening.open_in_place(&nonce, &aad, &mut one, &tag), Ok(()));
            let mut sealed = two.clone();
            let mut other_opening = OpeningKey(other.0);
            assert_eq!(other_opening.open_in_place(&nonce, &aad, &mut two, &tag), Ok(()));
            assert_eq!((&one, &two), (&plain, &plain));
            tag[len % TAG_LEN] ^= 1;
            assert_eq!(
                other_opening.open_in_place(&nonce, &aad, &mut sealed, &tag),
                Err(Unauthentic)
            );
            other = SealingKey(other_opening.0);
        }
    }

    /// The GCM specification, test cases 4 and 16: additional data, and a last block that is not full.
    #[test]
    fn aes_gcm_vectors() {
        let plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                     1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
        let aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let nonce: [u8; NONCE_LEN] = hex("cafebabefacedbaddecaf888").try_into().unwrap();
        let half = "feffe9928665731c6d6a8f9467308308";
        for (algorithm, key, tag) in [
            (
                AeadAlgorithm::Aes128Gcm,
                half.to_owned(),
                "5bc94fbc3221a5db94fae95ae7121a47",
            ),
            (
                AeadAlgorithm::Aes256Gcm,
                half.repeat(2),
                "76fc6ece0f4e1768cddf8853bb2d551b",
            ),
        ] {
            let mut data = hex(plain);
            let mut sealing = SealingKey::new(algorithm, &hex(&key)).unwrap();
            assert_eq!(sealing.seal_in_place(&nonce, &aad, &mut data)[..], hex(tag));
            let mut sealing = SealingKey::openssl(algorithm, &hex(&key)).unwrap();
            assert_eq!(sealing.seal_in_place(&nonce, &aad, &mut hex(plain))[..], hex(tag));
        }
    }

    #[test]
    fn a_key_of_the_wrong_length_is_named() {
        let error = SealingKey::new(AeadAlgorithm::Aes128Gcm, &[0; 5]).unwrap_err();
        assert!(error.to_string().contains("16 bytes, not 5"), "{error}");
    }
}
