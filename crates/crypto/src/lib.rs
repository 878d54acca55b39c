#![doc = include_str!("../README.md")]

pub mod aead;
pub mod agreement;
pub mod certificate;
pub mod cipher;
pub mod hash;
pub mod hmac;
pub mod random;
pub mod signature;

/// The backend refused: out of memory, or an input that it cannot use. The reason is in the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the crypto backend failed: {0}")]
pub struct BackendError(String);

impl From<openssl::error::ErrorStack> for BackendError {
    fn from(stack: openssl::error::ErrorStack) -> Self {
        Self(stack.to_string())
    }
}

/// The bytes did not pass authentication: changed, forged, or made with another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("authentication failed")]
pub struct Unauthentic;
