#![doc = include_str!("../README.md")]

pub mod aead;
pub mod agreement;
pub mod certificate;
pub mod cipher;
mod der;
mod ecdh;
pub mod hash;
pub mod hkdf;
pub mod hmac;
mod kem;
pub mod mask;
pub mod random;
mod secret;
mod sha1;
pub mod signature;

#[cfg(all(feature = "graviola", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "fast/graviola.rs"]
mod fast;
#[cfg(not(all(feature = "graviola", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "fast/none.rs"]
mod fast;

#[cfg(all(feature = "ring", target_arch = "x86_64"))]
#[path = "fast/ring.rs"]
mod vaes;
#[cfg(not(all(feature = "ring", target_arch = "x86_64")))]
#[path = "fast/no_ring.rs"]
mod vaes;

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

#[cfg(test)]
mod tests {
    /// The bytes of hexadecimal digits.
    pub(crate) fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }
}
