//! The mask over a record's sequence number in DTLS 1.3 (RFC 9147, section 4.2.3), which is the one over a
//! packet's header in QUIC (RFC 9001, section 5.4).

use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;

use crate::BackendError;
use crate::aead::AeadAlgorithm;
use crate::cipher::AesBlock;

/// A key that turns a sample of ciphertext into a mask. Masking allocates nothing.
pub struct MaskKey(State);

enum State {
    Aes(AesBlock),
    ChaCha20(CipherCtx),
}

impl MaskKey {
    /// The `sn_key` of an AEAD, [`AeadAlgorithm::key_len`] bytes.
    ///
    /// # Errors
    /// When `key` has another length.
    pub fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, BackendError> {
        algorithm.check_key_len(key)?;
        Ok(Self(match algorithm {
            AeadAlgorithm::Aes128Gcm | AeadAlgorithm::Aes256Gcm => State::Aes(AesBlock::new(key)?),
            AeadAlgorithm::ChaCha20Poly1305 => {
                let mut context = CipherCtx::new()?;
                context.encrypt_init(Some(Cipher::chacha20()), Some(key), None)?;
                State::ChaCha20(context)
            }
        }))
    }

    /// The mask for a record whose ciphertext begins with `sample`.
    ///
    /// # Panics
    /// Never in practice: the backend cannot fail on one block.
    #[must_use]
    pub fn mask(&mut self, sample: &[u8; 16]) -> [u8; 16] {
        match &mut self.0 {
            // "Mask = AES-ECB(sn_key, Ciphertext[0..15])"
            State::Aes(aes) => aes.encrypted(sample),
            // "Mask = ChaCha20(sn_key, Ciphertext[0..3], Ciphertext[4..15])": a counter, then a nonce, which is
            // how the backend's IV is laid out.
            State::ChaCha20(context) => {
                let mut mask = [0; 16];
                context
                    .encrypt_init(None, None, Some(sample))
                    .expect("an initialised context takes an IV");
                context
                    .cipher_update_inplace(&mut mask, 16)
                    .expect("a stream cipher works in place");
                mask
            }
        }
    }
}

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::hex;

    fn mask(algorithm: AeadAlgorithm, key: &str, sample: &str) -> [u8; 16] {
        let sample = hex(sample).try_into().unwrap();
        let mut key = MaskKey::new(algorithm, &hex(key)).unwrap();
        assert_eq!(key.mask(&[7; 16]), key.mask(&[7; 16]));
        key.mask(&sample)
    }

    /// FIPS 197, appendix C.1 and C.3.
    #[test]
    fn aes_masks_are_blocks_of_fips_197() {
        let sample = "00112233445566778899aabbccddeeff";
        let key = "000102030405060708090a0b0c0d0e0f";
        let expected = hex("69c4e0d86a7b0430d8cdb78070b4c55a");
        assert_eq!(mask(AeadAlgorithm::Aes128Gcm, key, sample)[..], expected);
        let key = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let expected = hex("8ea2b7ca516745bfeafc49904b496089");
        assert_eq!(mask(AeadAlgorithm::Aes256Gcm, key, sample)[..], expected);
    }

    /// RFC 9001, appendix A.2 (client's Initial) and A.5 (ChaCha20-Poly1305 short header).
    #[test]
    fn masks_of_rfc_9001() {
        let aes = mask(
            AeadAlgorithm::Aes128Gcm,
            "9f50449e04a0e810283a1e9933adedd2",
            "d1b1c98dd7689fb8ec11d242b123dc9b",
        );
        assert_eq!(aes[..5], hex("437b9aec36"));
        let chacha = mask(
            AeadAlgorithm::ChaCha20Poly1305,
            "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4",
            "5e5cd55c41f69080575d7999c25a5bfb",
        );
        assert_eq!(chacha[..5], hex("aefefe7d03"));
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert!(MaskKey::new(AeadAlgorithm::Aes128Gcm, &[0; 32]).is_err());
        assert!(MaskKey::new(AeadAlgorithm::Aes256Gcm, &[0; 16]).is_err());
        assert!(MaskKey::new(AeadAlgorithm::ChaCha20Poly1305, &[0; 16]).is_err());
    }
}
