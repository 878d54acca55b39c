//! Primitives of another library than OpenSSL: none in this build. The names are those of `graviola.rs`.

use crate::BackendError;
use crate::aead::{AeadAlgorithm, NONCE_LEN, TAG_LEN};
use crate::ecdh::Curve;
use crate::hash::HashAlgorithm;
use crate::kem::{CIPHERTEXT_LEN, ENCAPSULATION_KEY_LEN, Encapsulated, SECRET_LEN};
use crate::signature::KeyKind;

pub(crate) enum GcmKey {}

impl GcmKey {
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

pub(crate) enum AgreementKey {}

impl AgreementKey {
    pub(crate) fn generate(_: Curve, _: &mut Vec<u8>) -> Option<Result<Self, BackendError>> {
        None
    }

    pub(crate) fn agree(self, _: &[u8], _: &mut [u8]) -> Option<()> {
        match self {}
    }
}

#[derive(Clone)]
pub(crate) enum EcdsaSigner {}

impl EcdsaSigner {
    pub(crate) fn new(_: KeyKind, _: &[u8]) -> Option<Self> {
        None
    }

    pub(crate) fn scalar(&self) -> &[u8] {
        match *self {}
    }

    pub(crate) fn sign(&self, _: HashAlgorithm, _: &[u8]) -> Result<Vec<u8>, BackendError> {
        match *self {}
    }
}

#[derive(Clone)]
pub(crate) enum EcdsaVerifier {}

impl EcdsaVerifier {
    pub(crate) fn new(_: KeyKind, _: &[u8]) -> Option<Result<Self, BackendError>> {
        None
    }

    pub(crate) fn verify(&self, _: HashAlgorithm, _: &[u8], _: &[u8]) -> bool {
        match *self {}
    }
}

pub(crate) enum DecapsulationKey {}

impl DecapsulationKey {
    pub(crate) fn generate() -> Option<Result<(Self, [u8; ENCAPSULATION_KEY_LEN]), BackendError>> {
        None
    }

    pub(crate) fn decapsulate(self, _: &[u8; CIPHERTEXT_LEN]) -> [u8; SECRET_LEN] {
        match self {}
    }
}

pub(crate) fn encapsulate(
    _: &[u8; ENCAPSULATION_KEY_LEN],
) -> Option<Result<Option<Encapsulated>, BackendError>> {
    None
}
