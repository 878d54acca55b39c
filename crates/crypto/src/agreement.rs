//! Ephemeral key agreement: X25519 (RFC 7748) and the NIST curves (RFC 8422, section 5).

use openssl::bn::BigNumContext;
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey, EcPoint, PointConversionForm};
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private, Public};

use crate::BackendError;

/// A Diffie-Hellman group, by its TLS name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Group {
    /// X25519, 32-byte shares.
    X25519,
    /// NIST P-256, uncompressed points of 65 bytes.
    P256,
    /// NIST P-384, uncompressed points of 97 bytes.
    P384,
}

impl Group {
    fn curve(self) -> Option<Nid> {
        match self {
            Group::X25519 => None,
            Group::P256 => Some(Nid::X9_62_PRIME256V1),
            Group::P384 => Some(Nid::SECP384R1),
        }
    }

    /// Bytes of a public share.
    #[must_use]
    pub const fn share_len(self) -> usize {
        match self {
            Group::X25519 => 32,
            Group::P256 => 65,
            Group::P384 => 97,
        }
    }
}

/// Why no secret came out of a peer's share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgreementError {
    /// The share has the wrong length, is not on the curve, or leads to the all-zero secret.
    #[error("the peer's key share is not valid for {0:?}")]
    InvalidShare(Group),
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// An ephemeral key pair, used once.
pub struct EphemeralKey {
    group: Group,
    key: PKey<Private>,
    share: Vec<u8>,
}

impl EphemeralKey {
    /// Makes a key pair with the backend's own randomness.
    ///
    /// # Errors
    /// When the backend fails.
    pub fn generate(group: Group) -> Result<Self, BackendError> {
        match group.curve() {
            None => {
                let key = PKey::generate_x25519()?;
                let share = key.raw_public_key()?;
                Ok(Self { group, key, share })
            }
            Some(nid) => {
                let curve = EcGroup::from_curve_name(nid)?;
                let key = EcKey::generate(&curve)?;
                let mut context = BigNumContext::new()?;
                let form = PointConversionForm::UNCOMPRESSED;
                let share = key.public_key().to_bytes(&curve, form, &mut context)?;
                Ok(Self {
                    group,
                    key: PKey::from_ec_key(key)?,
                    share,
                })
            }
        }
    }

    /// The group of this key.
    #[must_use]
    pub fn group(&self) -> Group {
        self.group
    }

    /// The public share to send.
    #[must_use]
    pub fn share(&self) -> &[u8] {
        &self.share
    }

    /// The shared secret with the owner of `peer_share`.
    ///
    /// # Errors
    /// [`AgreementError::InvalidShare`] for a share that is malformed, off the curve or of small order
    /// (RFC 7748, section 6.1: the all-zero output is refused).
    pub fn agree(self, peer_share: &[u8]) -> Result<Vec<u8>, AgreementError> {
        let invalid = || AgreementError::InvalidShare(self.group);
        if peer_share.len() != self.group.share_len() {
            return Err(invalid());
        }
        let peer = self.parse_share(peer_share).map_err(|_| invalid())?;
        let mut deriver = Deriver::new(&self.key).map_err(BackendError::from)?;
        deriver.set_peer(&peer).map_err(|_| invalid())?;
        let secret = deriver.derive_to_vec().map_err(|_| invalid())?;
        if secret.iter().all(|&byte| byte == 0) {
            return Err(invalid());
        }
        Ok(secret)
    }

    fn parse_share(&self, share: &[u8]) -> Result<PKey<Public>, openssl::error::ErrorStack> {
        match self.group.curve() {
            None => PKey::public_key_from_raw_bytes(share, Id::X25519),
            Some(nid) => {
                let curve = EcGroup::from_curve_name(nid)?;
                let mut context = BigNumContext::new()?;
                let point = EcPoint::from_bytes(&curve, share, &mut context)?;
                let key = EcKey::from_public_key(&curve, &point)?;
                key.check_key()?;
                PKey::from_ec_key(key)
            }
        }
    }
}

impl std::fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EphemeralKey({:?})", self.group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree_in_every_group() {
        for group in [Group::X25519, Group::P256, Group::P384] {
            let a = EphemeralKey::generate(group).unwrap();
            let b = EphemeralKey::generate(group).unwrap();
            assert_eq!(a.share().len(), group.share_len());
            let (a_share, b_share) = (a.share().to_vec(), b.share().to_vec());
            assert_eq!(a.agree(&b_share).unwrap(), b.agree(&a_share).unwrap());
        }
    }

    #[test]
    fn shares_that_are_short_off_curve_or_of_small_order_are_refused() {
        for group in [Group::X25519, Group::P256, Group::P384] {
            for share in [vec![], vec![4; group.share_len() - 1], vec![0; group.share_len()]] {
                let key = EphemeralKey::generate(group).unwrap();
                assert_eq!(key.agree(&share), Err(AgreementError::InvalidShare(group)));
            }
        }
    }
}
