//! AES-GCM of ring, on CPUs whose AES works on two blocks at once but not on four: VAES without AVX-512
//! (`docs/decisions/0031-aes-gcm-from-ring-without-avx-512.md`).

use std::arch::is_x86_feature_detected;

use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::aead::{AeadAlgorithm, NONCE_LEN, TAG_LEN};

/// A key of AES-GCM, for both directions.
pub(crate) struct VaesKey(Box<LessSafeKey>);

impl VaesKey {
    /// A key of `algorithm` made of its [`AeadAlgorithm::key_len`] bytes; `None` where another library is faster.
    pub(crate) fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Option<Self> {
        let algorithm = match algorithm {
            AeadAlgorithm::Aes128Gcm => &AES_128_GCM,
            AeadAlgorithm::Aes256Gcm => &AES_256_GCM,
            AeadAlgorithm::ChaCha20Poly1305 => return None,
        };
        if !is_best_here() {
            return None;
        }
        let key = UnboundKey::new(algorithm, key).ok()?;
        Some(Self(Box::new(LessSafeKey::new(key))))
    }

    /// Encrypts `data` in place and answers with the tag.
    pub(crate) fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], data: &mut [u8]) -> [u8; TAG_LEN] {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), data);
        let mut out = [0; TAG_LEN];
        out.copy_from_slice(tag.expect("AES-GCM takes data of packet size").as_ref());
        out
    }

    /// Decrypts `data` in place if `tag` proves it.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        data: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> bool {
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self
            .0
            .open_in_place_separate_tag(nonce, Aad::from(aad), (*tag).into(), data, 0..);
        opened.is_ok()
    }
}

fn is_best_here() -> bool {
    is_x86_feature_detected!("vaes")
        && is_x86_feature_detected!("vpclmulqdq")
        && is_x86_feature_detected!("avx2")
        && !is_x86_feature_detected!("avx512f")
}
