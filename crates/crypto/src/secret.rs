//! What a key agreement comes to.

use zeroize::Zeroize;

use crate::ecdh::Curve;
use crate::kem;

/// The bytes of a shared secret: 32, 48 or 66 of a curve's coordinate, 64 of the hybrid (ML-KEM's first).
///
/// Wiped when dropped; compared in constant time; `Debug` prints none of it.
pub struct Secret {
    bytes: [u8; Self::MAX_LEN],
    len: usize,
}

impl Secret {
    /// Bytes of the longest secret, that of P-521.
    const MAX_LEN: usize = Curve::P521.secret_len();

    /// The secret that `fill` writes in `len` bytes.
    pub(crate) fn new(len: usize, fill: impl FnOnce(&mut [u8]) -> Option<()>) -> Option<Self> {
        let mut secret = Self {
            bytes: [0; Self::MAX_LEN],
            len,
        };
        fill(&mut secret.bytes[..len]).map(|()| secret)
    }

    /// The secret of the hybrid: ML-KEM's, then the one that `x25519` writes.
    pub(crate) fn hybrid(
        mut kem: [u8; kem::SECRET_LEN],
        x25519: impl FnOnce(&mut [u8]) -> Option<()>,
    ) -> Option<Self> {
        let secret = Self::new(kem::SECRET_LEN + Curve::X25519.secret_len(), |out| {
            let (kem_out, x25519_out) = out.split_at_mut(kem::SECRET_LEN);
            kem_out.copy_from_slice(&kem);
            x25519(x25519_out)
        });
        kem.zeroize();
        secret
    }
}

impl std::ops::Deref for Secret {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsRef<[u8]> for Secret {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        crate::hmac::constant_time_eq(self, other)
    }
}

impl Eq for Secret {}

impl Drop for Secret {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({} bytes)", self.len)
    }
}
