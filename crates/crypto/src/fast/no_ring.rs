//! AES-GCM of ring: not in this build. The names are those of `ring.rs`.

use crate::aead::{AeadAlgorithm, NONCE_LEN, TAG_LEN};

pub(crate) enum VaesKey {}

impl VaesKey {
    pub(crate) fn new(_: AeadAlgorithm, _: &[u8]) -> Option<Self> {
        None
    }

    pub(crate) fn seal(&self, _: &[u8; NONCE_LEN], _: &[u8], _: &mut [u8]) -> [u8; TAG_LEN] {
        match *self {}
    }

    pub(crate) fn open(&self, _: &[u8; NONCE_LEN], _: &[u8], _: &mut [u8], _: &[u8; TAG_LEN]) -> bool {
        match *self {}
    }
}
