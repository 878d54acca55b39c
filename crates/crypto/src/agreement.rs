//! Ephemeral key agreement: X25519 (RFC 7748), the NIST curves (RFC 8422, section 5) and the hybrid
//! X25519MLKEM768 (draft-ietf-tls-ecdhe-mlkem).
//!
//! The initiator makes an [`EphemeralKey`], sends its share and agrees on what comes back; the responder
//! answers a share with [`respond`]. Where both sides may send first (DTLS 1.2), two [`EphemeralKey`]s do.

use crate::BackendError;
use crate::ecdh::{Curve, EcdhKey};
use crate::kem::{self, CIPHERTEXT_LEN, DecapsulationKey, ENCAPSULATION_KEY_LEN};

pub use crate::secret::Secret;

/// A key agreement group, by its TLS name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Group {
    /// ML-KEM-768 and X25519 together: secret while either of them is. TLS 1.3 only.
    X25519MlKem768,
    /// X25519, 32-byte shares.
    X25519,
    /// NIST P-256, uncompressed points of 65 bytes.
    P256,
    /// NIST P-384, uncompressed points of 97 bytes.
    P384,
    /// NIST P-521, uncompressed points of 133 bytes.
    P521,
}

impl Group {
    /// The curve of this group, or of its classical half.
    const fn curve(self) -> Curve {
        match self {
            Group::X25519MlKem768 | Group::X25519 => Curve::X25519,
            Group::P256 => Curve::P256,
            Group::P384 => Curve::P384,
            Group::P521 => Curve::P521,
        }
    }

    /// The name in the IANA registry "TLS Supported Groups".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Group::X25519MlKem768 => "X25519MLKEM768",
            Group::X25519 => "x25519",
            Group::P256 => "secp256r1",
            Group::P384 => "secp384r1",
            Group::P521 => "secp521r1",
        }
    }

    /// Bytes of the initiator's share.
    #[must_use]
    pub const fn share_len(self) -> usize {
        match self {
            Group::X25519MlKem768 => ENCAPSULATION_KEY_LEN + self.curve().share_len(),
            _ => self.curve().share_len(),
        }
    }

    /// Bytes of the responder's share: the initiator's, except in the hybrid, where it is a ciphertext.
    #[must_use]
    pub const fn response_len(self) -> usize {
        match self {
            Group::X25519MlKem768 => CIPHERTEXT_LEN + self.curve().share_len(),
            _ => self.share_len(),
        }
    }
}

/// Why no secret came out of a peer's share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgreementError {
    /// The share has the wrong length, is not on the curve, leads to the all-zero secret, or holds an ML-KEM
    /// key that is not reduced.
    #[error("the peer's key share is not valid for {0:?}")]
    InvalidShare(Group),
    /// The backend failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

/// What a responder sends and what it then knows.
#[derive(Debug)]
pub struct Response {
    /// The share to send back, [`Group::response_len`] bytes.
    pub share: Vec<u8>,
    /// The secret that the initiator will find in it.
    pub secret: Secret,
}

/// Answers an initiator's share: a fresh key of the group, or an encapsulation.
///
/// # Errors
/// [`AgreementError::InvalidShare`] as in [`EphemeralKey::agree`], and for an ML-KEM encapsulation key that
/// FIPS 203's modulus check refuses (section 7.2); [`AgreementError::Backend`] when the backend fails.
pub fn respond(group: Group, peer_share: &[u8]) -> Result<Response, AgreementError> {
    let invalid = || AgreementError::InvalidShare(group);
    if group != Group::X25519MlKem768 {
        let key = EphemeralKey::generate(group)?;
        let share = key.share.clone();
        let secret = key.agree(peer_share)?;
        return Ok(Response { share, secret });
    }
    let (kem_key, x25519_share) = split::<ENCAPSULATION_KEY_LEN>(peer_share).ok_or_else(invalid)?;
    let (ciphertext, kem_secret) = kem::encapsulate(kem_key)?.ok_or_else(invalid)?;
    let mut share = Vec::with_capacity(group.response_len());
    share.extend_from_slice(&ciphertext);
    let x25519 = EcdhKey::generate(Curve::X25519, &mut share)?;
    let secret = Secret::hybrid(kem_secret, |out| x25519.agree(x25519_share, out)).ok_or_else(invalid)?;
    Ok(Response { share, secret })
}

/// An ephemeral key pair, used once.
pub struct EphemeralKey {
    group: Group,
    curve: EcdhKey,
    /// Only in the hybrid, beside the X25519 key.
    kem: Option<DecapsulationKey>,
    share: Vec<u8>,
}

impl EphemeralKey {
    /// Makes a key pair with the backend's own randomness.
    ///
    /// # Errors
    /// When the backend fails.
    pub fn generate(group: Group) -> Result<Self, BackendError> {
        let mut share = Vec::with_capacity(group.share_len());
        let mut kem = None;
        if group == Group::X25519MlKem768 {
            let (private, public) = DecapsulationKey::generate()?;
            share.extend_from_slice(&public);
            kem = Some(private);
        }
        let curve = EcdhKey::generate(group.curve(), &mut share)?;
        Ok(Self {
            group,
            curve,
            kem,
            share,
        })
    }

    /// The group of this key.
    #[must_use]
    pub fn group(&self) -> Group {
        self.group
    }

    /// The public share to send, [`Group::share_len`] bytes.
    #[must_use]
    pub fn share(&self) -> &[u8] {
        &self.share
    }

    /// The shared secret with the owner of `peer_share`: the other [`EphemeralKey`]'s share, or the responder's
    /// [`Response::share`]. In the hybrid only the latter.
    ///
    /// # Errors
    /// [`AgreementError::InvalidShare`] for a share that is malformed, off the curve or of small order
    /// (RFC 7748, section 6.1: the all-zero output is refused).
    pub fn agree(self, peer_share: &[u8]) -> Result<Secret, AgreementError> {
        let Self {
            group, curve, kem, ..
        } = self;
        let secret = match kem {
            None => Secret::new(group.curve().secret_len(), |out| curve.agree(peer_share, out)),
            Some(kem) => split::<CIPHERTEXT_LEN>(peer_share).and_then(|(ciphertext, x25519_share)| {
                Secret::hybrid(kem.decapsulate(ciphertext), |out| curve.agree(x25519_share, out))
            }),
        };
        secret.ok_or(AgreementError::InvalidShare(group))
    }
}

impl std::fmt::Debug for EphemeralKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EphemeralKey({:?})", self.group)
    }
}

/// The ML-KEM part and the X25519 part of a hybrid share.
fn split<const KEM_LEN: usize>(share: &[u8]) -> Option<(&[u8; KEM_LEN], &[u8])> {
    let (kem, x25519) = share.split_first_chunk()?;
    (x25519.len() == Curve::X25519.share_len()).then_some((kem, x25519))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Group; 5] = [
        Group::X25519MlKem768,
        Group::X25519,
        Group::P256,
        Group::P384,
        Group::P521,
    ];

    #[test]
    fn initiator_and_responder_agree_in_every_group() {
        for group in ALL {
            let key = EphemeralKey::generate(group).unwrap();
            assert_eq!(key.share().len(), group.share_len());
            let response = respond(group, key.share()).unwrap();
            assert_eq!(response.share.len(), group.response_len());
            assert_eq!(key.agree(&response.share).unwrap(), response.secret);
            let other = respond(group, EphemeralKey::generate(group).unwrap().share()).unwrap();
            assert_ne!(other.secret, response.secret);
        }
    }

    #[test]
    fn two_initiators_agree_where_shares_are_symmetric() {
        for group in &ALL[1..] {
            let a = EphemeralKey::generate(*group).unwrap();
            let b = EphemeralKey::generate(*group).unwrap();
            let (a_share, b_share) = (a.share().to_vec(), b.share().to_vec());
            assert_eq!(a.agree(&b_share).unwrap(), b.agree(&a_share).unwrap());
        }
    }

    #[test]
    fn lengths_are_those_of_the_specifications() {
        let lengths = ALL.map(|group| (group.share_len(), group.response_len()));
        assert_eq!(lengths, [(1216, 1120), (32, 32), (65, 65), (97, 97), (133, 133)]);
        let secrets = ALL.map(|group| {
            let key = EphemeralKey::generate(group).unwrap();
            respond(group, key.share()).unwrap().secret.len()
        });
        assert_eq!(secrets, [64, 32, 32, 48, 66]);
    }

    #[test]
    fn shares_that_are_short_long_off_curve_or_of_small_order_are_refused() {
        for group in ALL {
            let invalid = AgreementError::InvalidShare(group);
            let len = group.response_len();
            for share in [
                vec![],
                vec![4; len - 1],
                vec![4; len + 1],
                vec![0; len],
                vec![4; len],
            ] {
                if group == Group::X25519 && share == [4; 32] {
                    continue; // any other 32 bytes are a point
                }
                if group == Group::X25519MlKem768 && share == [4; 1120] {
                    continue; // a forged ciphertext is answered with a secret that nobody knows
                }
                let key = EphemeralKey::generate(group).unwrap();
                assert_eq!(key.agree(&share), Err(invalid.clone()), "{share:?}");
            }
            let len = group.share_len();
            for share in [vec![], vec![4; len - 1], vec![4; len + 1], vec![0; len]] {
                assert_eq!(respond(group, &share).unwrap_err(), invalid, "{share:?}");
            }
        }
    }

    /// FIPS 203, section 7.2, modulus check: "if test != ek[0 : 384k], then input checking has failed".
    #[test]
    fn an_encapsulation_key_that_is_not_reduced_is_refused() {
        let group = Group::X25519MlKem768;
        let mut share = EphemeralKey::generate(group).unwrap().share().to_vec();
        assert!(respond(group, &share).is_ok());
        // The first coefficient becomes 3329 = q, 12 bits in little-endian order.
        share[0] = 0x01;
        share[1] = (share[1] & 0xF0) | 0x0D;
        assert_eq!(
            respond(group, &share).unwrap_err(),
            AgreementError::InvalidShare(group)
        );
    }

    #[test]
    fn the_hybrid_refuses_an_all_zero_x25519_in_both_directions() {
        let group = Group::X25519MlKem768;
        let key = EphemeralKey::generate(group).unwrap();
        let mut share = key.share().to_vec();
        let mut response = respond(group, &share).unwrap();
        share[1184..].fill(0);
        assert_eq!(
            respond(group, &share).unwrap_err(),
            AgreementError::InvalidShare(group)
        );
        response.share[1088..].fill(0);
        assert_eq!(
            key.agree(&response.share),
            Err(AgreementError::InvalidShare(group))
        );
    }

    #[test]
    fn a_forged_ciphertext_yields_another_secret() {
        let group = Group::X25519MlKem768;
        let key = EphemeralKey::generate(group).unwrap();
        let mut response = respond(group, key.share()).unwrap();
        response.share[0] ^= 1;
        let secret = key.agree(&response.share).unwrap();
        assert_ne!(secret[..32], response.secret[..32]);
        assert_eq!(secret[32..], response.secret[32..]);
    }

    #[test]
    fn debug_prints_no_secret() {
        let key = EphemeralKey::generate(Group::X25519).unwrap();
        let response = respond(Group::X25519, key.share()).unwrap();
        assert_eq!(format!("{:?}", response.secret), "Secret(32 bytes)");
        assert_eq!(format!("{key:?}"), "EphemeralKey(X25519)");
    }
}
