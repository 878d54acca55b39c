//! AES as counter mode keystream (SRTP, RFC 3711 section 4.1.1) and as a single block (DTLS 1.3 record numbers).

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Aes256Enc, Block};
use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;

use crate::BackendError;

/// An AES-CTR keystream generator with a reused context: no allocation per packet.
pub struct AesCtr(CipherCtx);

impl AesCtr {
    /// A generator for a key of 16, 24 or 32 bytes.
    ///
    /// # Errors
    /// For a key of any other length.
    pub fn new(key: &[u8]) -> Result<Self, BackendError> {
        let cipher = match key.len() {
            16 => Cipher::aes_128_ctr(),
            24 => Cipher::aes_192_ctr(),
            32 => Cipher::aes_256_ctr(),
            len => {
                return Err(BackendError(format!(
                    "AES takes a key of 16, 24 or 32 bytes, not {len}"
                )));
            }
        };
        let mut context = CipherCtx::new()?;
        context.encrypt_init(Some(cipher), Some(key), None)?;
        Ok(Self(context))
    }

    /// XORs `data` with the keystream whose first counter block is `counter_block`.
    ///
    /// # Panics
    /// Never in practice: the backend cannot fail on in-memory data of packet size.
    pub fn apply(&mut self, counter_block: &[u8; 16], data: &mut [u8]) {
        self.0
            .encrypt_init(None, None, Some(counter_block))
            .expect("an initialised context takes an IV");
        let len = data.len();
        self.0
            .cipher_update_inplace(data, len)
            .expect("counter mode works in place");
    }
}

impl std::fmt::Debug for AesCtr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AesCtr")
    }
}

/// AES on single blocks, by the `aes` crate: the backend's calls take longer than a block.
pub struct AesBlock(Key);

enum Key {
    Aes128(Aes128Enc),
    Aes256(Aes256Enc),
}

impl AesBlock {
    /// A context for a key of 16 or 32 bytes.
    ///
    /// # Errors
    /// For a key of any other length.
    pub fn new(key: &[u8]) -> Result<Self, BackendError> {
        if let Ok(key) = Aes128Enc::new_from_slice(key) {
            return Ok(Self(Key::Aes128(key)));
        }
        if let Ok(key) = Aes256Enc::new_from_slice(key) {
            return Ok(Self(Key::Aes256(key)));
        }
        Err(BackendError(format!(
            "AES takes a key of 16 or 32 bytes, not {}",
            key.len()
        )))
    }

    /// Encrypts one block in place.
    pub fn encrypt(&mut self, block: &mut [u8; 16]) {
        *block = self.encrypted(block);
    }

    /// `block`, encrypted.
    #[inline]
    pub(crate) fn encrypted(&self, block: &[u8; 16]) -> [u8; 16] {
        let mut out = Block::default();
        match &self.0 {
            Key::Aes128(key) => key.encrypt_block_b2b(block.into(), &mut out),
            Key::Aes256(key) => key.encrypt_block_b2b(block.into(), &mut out),
        }
        out.into()
    }
}

impl std::fmt::Debug for AesBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AesBlock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::hex;

    /// RFC 3711, appendix B.2.
    #[test]
    fn aes_ctr_keystream_of_rfc_3711() {
        let mut ctr = AesCtr::new(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
        let iv: [u8; 16] = hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000").try_into().unwrap();
        for _ in 0..2 {
            let mut data = [0; 32];
            ctr.apply(&iv, &mut data);
            assert_eq!(data[..16], hex("E03EAD0935C95E80E166B16DD92B4EB4")[..]);
            assert_eq!(data[16..], hex("D23513162B02D0F72A43A2FE4A5F97AB")[..]);
        }
    }

    /// FIPS 197, appendix B.
    #[test]
    fn one_aes_block() {
        let mut aes = AesBlock::new(&hex("2b7e151628aed2a6abf7158809cf4f3c")).unwrap();
        for _ in 0..2 {
            let mut block: [u8; 16] = hex("3243f6a8885a308d313198a2e0370734").try_into().unwrap();
            aes.encrypt(&mut block);
            assert_eq!(block[..], hex("3925841d02dc09fbdc118597196a0b32")[..]);
        }
    }
}
