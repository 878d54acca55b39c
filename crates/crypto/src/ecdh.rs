//! Diffie-Hellman on one curve, by the fastest backend that has it.

use openssl::bn::BigNumContext;
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey, EcPoint, PointConversionForm};
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private, Public};

use crate::{BackendError, fast};

/// A curve to agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    X25519,
    P256,
    P384,
    P521,
}

impl Curve {
    /// Bytes of a public share.
    pub(crate) const fn share_len(self) -> usize {
        match self {
            Curve::X25519 => 32,
            Curve::P256 => 65,
            Curve::P384 => 97,
            Curve::P521 => 133,
        }
    }

    /// Bytes of a shared secret: the length of the field.
    pub(crate) const fn secret_len(self) -> usize {
        match self {
            Curve::X25519 | Curve::P256 => 32,
            Curve::P384 => 48,
            Curve::P521 => 66,
        }
    }

    fn nid(self) -> Option<Nid> {
        match self {
            Curve::X25519 => None,
            Curve::P256 => Some(Nid::X9_62_PRIME256V1),
            Curve::P384 => Some(Nid::SECP384R1),
            Curve::P521 => Some(Nid::SECP521R1),
        }
    }
}

/// An ephemeral private key.
pub(crate) enum EcdhKey {
    Fast(Curve, fast::AgreementKey),
    OpenSsl(Curve, PKey<Private>),
}

impl EcdhKey {
    /// A key of `curve`, whose public share is appended to `share`.
    pub(crate) fn generate(curve: Curve, share: &mut Vec<u8>) -> Result<Self, BackendError> {
        match fast::AgreementKey::generate(curve, share) {
            Some(key) => Ok(Self::Fast(curve, key?)),
            None => Self::generate_openssl(curve, share),
        }
    }

    fn generate_openssl(curve: Curve, share: &mut Vec<u8>) -> Result<Self, BackendError> {
        let key = if let Some(nid) = curve.nid() {
            let group = EcGroup::from_curve_name(nid)?;
            let key = EcKey::generate(&group)?;
            let mut context = BigNumContext::new()?;
            let form = PointConversionForm::UNCOMPRESSED;
            share.extend_from_slice(&key.public_key().to_bytes(&group, form, &mut context)?);
            PKey::from_ec_key(key)?
        } else {
            let key = PKey::generate_x25519()?;
            share.extend_from_slice(&key.raw_public_key()?);
            key
        };
        Ok(Self::OpenSsl(curve, key))
    }

    /// Writes the secret shared with the owner of `peer` to `out`, [`Curve::secret_len`] bytes of it. `None` if
    /// `peer` is malformed, off the curve or of small order.
    pub(crate) fn agree(self, peer: &[u8], out: &mut [u8]) -> Option<()> {
        let (Self::Fast(curve, _) | Self::OpenSsl(curve, _)) = &self;
        if peer.len() != curve.share_len() || out.len() != curve.secret_len() {
            return None;
        }
        match self {
            Self::Fast(_, key) => key.agree(peer, out)?,
            Self::OpenSsl(curve, key) => derive(curve, &key, peer, out).ok()?,
        }
        // RFC 7748, section 6.1: "check, without leaking extra information about the value of K, whether the
        // resulting shared K is the all-zero value and abort if so".
        let zero = &[0; Curve::P521.secret_len()][..out.len()];
        (!crate::hmac::constant_time_eq(out, zero)).then_some(())
    }
}

fn derive(curve: Curve, key: &PKey<Private>, peer: &[u8], out: &mut [u8]) -> Result<(), ErrorStack> {
    let peer = match curve.nid() {
        None => PKey::public_key_from_raw_bytes(peer, Id::X25519)?,
        Some(nid) => parse_point(nid, peer)?,
    };
    let mut deriver = Deriver::new(key)?;
    deriver.set_peer(&peer)?;
    deriver.derive(out)?;
    Ok(())
}

/// An uncompressed point, which the backend checks to be on the curve. All of these curves have cofactor 1, so
/// there is no other subgroup to be in.
pub(crate) fn parse_point(nid: Nid, point: &[u8]) -> Result<PKey<Public>, ErrorStack> {
    let group = EcGroup::from_curve_name(nid)?;
    let mut context = BigNumContext::new()?;
    let point = EcPoint::from_bytes(&group, point, &mut context)?;
    PKey::from_ec_key(EcKey::from_public_key(&group, &point)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree(key: EcdhKey, curve: Curve, peer: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; curve.secret_len()];
        key.agree(peer, &mut out).map(|()| out)
    }

    /// Where two backends have a curve, each agrees with the other.
    #[test]
    fn the_backends_agree_with_each_other() {
        for curve in [Curve::X25519, Curve::P256, Curve::P384, Curve::P521] {
            for _ in 0..8 {
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                let a = EcdhKey::generate(curve, &mut ours).unwrap();
                let b = EcdhKey::generate_openssl(curve, &mut theirs).unwrap();
                assert_eq!(ours.len(), curve.share_len());
                let secret = agree(a, curve, &theirs).unwrap();
                assert_eq!(agree(b, curve, &ours).unwrap(), secret);
            }
        }
    }

    /// The small-order points of X25519 (RFC 7748, section 6.1), and points off the curves.
    #[test]
    fn both_backends_refuse_what_is_no_share() {
        let mut order_8 = [0; 32];
        order_8[..4].copy_from_slice(&[0xe0, 0xeb, 0x7a, 0x7c]);
        order_8[4..].copy_from_slice(&crate::tests::hex(
            "3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        ));
        let one = [&[1][..], &[0; 31]].concat();
        for (curve, share) in [
            (Curve::X25519, vec![0; 32]),
            (Curve::X25519, one),
            (Curve::X25519, order_8.to_vec()),
            (Curve::P256, [&[4][..], &[1; 64]].concat()),
            (Curve::P384, [&[4][..], &[1; 96]].concat()),
            (Curve::P521, [&[4][..], &[0; 132]].concat()),
            (Curve::P256, [&[2][..], &[1; 32]].concat()),
        ] {
            let ours = EcdhKey::generate(curve, &mut Vec::new()).unwrap();
            assert_eq!(agree(ours, curve, &share), None, "{share:?}");
            let theirs = EcdhKey::generate_openssl(curve, &mut Vec::new()).unwrap();
            assert_eq!(agree(theirs, curve, &share), None, "{share:?}");
        }
    }
}
