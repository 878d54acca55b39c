//! Who the peer has to be, and whether it is (RFC 8122, section 5 and 6; RFC 8827, section 6.5).

use dunlin_crypto::certificate::{Fingerprint, public_key_of};
use dunlin_crypto::hash::HashAlgorithm;
use dunlin_crypto::signature::{KeyKind, SignatureScheme, VerifyingKey};

use crate::close::HandshakeError;
use crate::config::Config;
use crate::version::Version;

/// Who the peer has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerIdentity {
    /// The owner of the certificate that a session description names. An empty list fits nobody.
    Fingerprints(Vec<Fingerprint>),
    /// The owner of any certificate: the caller compares [`Connection::peer_certificate`] itself.
    ///
    /// [`Connection::peer_certificate`]: crate::Connection::peer_certificate
    AnyCertificate,
    /// Whoever the caller says: the handshake stops with [`Event::PeerCertificate`] until
    /// [`Connection::accept_peer`] or [`Connection::reject_peer`], which chooses the alert.
    ///
    /// [`Event::PeerCertificate`]: crate::Event::PeerCertificate
    /// [`Connection::accept_peer`]: crate::Connection::accept_peer
    /// [`Connection::reject_peer`]: crate::Connection::reject_peer
    Ask,
}

/// The least bits of an RSA key that is believed.
const MIN_RSA_BITS: u32 = 2048;

impl PeerIdentity {
    /// Takes the peer's certificate chain, and answers with the key that its signatures must verify with.
    pub(crate) fn check(&self, chain: &[&[u8]]) -> Result<VerifyingKey, HandshakeError> {
        let Some(&der) = chain.first() else {
            return Err(HandshakeError::NoCertificate);
        };
        if let PeerIdentity::Fingerprints(fingerprints) = self {
            check_fingerprints(fingerprints, der)?;
        }
        let key = public_key_of(der).map_err(|_| HandshakeError::BadCertificate)?;
        match key.kind() {
            None => Err(HandshakeError::UnsupportedKey),
            Some(KeyKind::Rsa { bits }) if bits < MIN_RSA_BITS => Err(HandshakeError::UnsupportedKey),
            Some(_) => Ok(key),
        }
    }
}

/// > An endpoint MUST select the set of fingerprints that use its most preferred hash function (out of those
/// > offered by the peer) and verify that each certificate used matches one fingerprint out of that set.
/// > (RFC 8122, section 5)
fn check_fingerprints(fingerprints: &[Fingerprint], der: &[u8]) -> Result<(), HandshakeError> {
    let strongest = fingerprints.iter().map(Fingerprint::algorithm).max();
    if fingerprints
        .iter()
        .any(|one| Some(one.algorithm()) == strongest && one.matches(der))
    {
        return Ok(());
    }
    let algorithm = strongest.unwrap_or(HashAlgorithm::Sha256);
    Err(HandshakeError::FingerprintMismatch {
        expected: fingerprints.to_vec(),
        actual: Fingerprint::of(algorithm, der),
    })
}

/// The signature schemes that are verified by default, best first.
pub(crate) const DEFAULT_SCHEMES: [SignatureScheme; 10] = [
    SignatureScheme::EcdsaSha256,
    SignatureScheme::EcdsaSha384,
    SignatureScheme::EcdsaSha512,
    SignatureScheme::Ed25519,
    SignatureScheme::RsaPssSha256,
    SignatureScheme::RsaPssSha384,
    SignatureScheme::RsaPssSha512,
    SignatureScheme::RsaPkcs1Sha256,
    SignatureScheme::RsaPkcs1Sha384,
    SignatureScheme::RsaPkcs1Sha512,
];

/// What `signature_algorithms` and CertificateRequest say.
pub(crate) fn scheme_codes(config: &Config) -> Vec<u16> {
    config
        .signature_schemes
        .iter()
        .map(|scheme| scheme.code())
        .collect()
}

fn fits(scheme: SignatureScheme, kind: KeyKind, version: Version) -> bool {
    match version {
        Version::Dtls12 => scheme.fits_tls12(kind),
        Version::Dtls13 => scheme.fits_tls13(kind),
    }
}

/// The first of our schemes that our key can sign with and that the peer verifies.
pub(crate) fn signing_scheme(
    config: &Config,
    version: Version,
    peer_verifies: &[u16],
) -> Option<SignatureScheme> {
    let key = config.certificate.as_ref()?.signing_key();
    let mut schemes = config.signature_schemes.iter().copied();
    schemes.find(|scheme| {
        key.supports(*scheme) && fits(*scheme, key.kind(), version) && peer_verifies.contains(&scheme.code())
    })
}

/// The scheme of a peer's signature, if it is one that we asked for and that its key may sign with.
pub(crate) fn offered_scheme(
    config: &Config,
    version: Version,
    code: u16,
    key: &VerifyingKey,
) -> Result<SignatureScheme, HandshakeError> {
    let mut schemes = config.signature_schemes.iter().copied();
    schemes
        .find(|scheme| scheme.code() == code && key.kind().is_some_and(|kind| fits(*scheme, kind, version)))
        .ok_or(HandshakeError::IllegalParameter(
            "a signature scheme that we did not offer, or that does not fit its key",
        ))
}

/// Whether a scheme signs with an RSA key, as the `ECDHE_RSA` suites want.
pub(crate) fn is_rsa(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::RsaPssSha256
            | SignatureScheme::RsaPssSha384
            | SignatureScheme::RsaPssSha512
            | SignatureScheme::RsaPkcs1Sha256
            | SignatureScheme::RsaPkcs1Sha384
            | SignatureScheme::RsaPkcs1Sha512
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use dunlin_crypto::certificate::Certificate;

    #[test]
    fn threat_1_only_a_fingerprint_of_the_strongest_hash_counts() {
        let ours = Certificate::generate().unwrap();
        let other = Certificate::generate().unwrap();
        let check = |fingerprints: Vec<Fingerprint>| {
            PeerIdentity::Fingerprints(fingerprints)
                .check(&[ours.der()])
                .map(|_| ())
        };
        let (sha256, sha512) = (
            ours.fingerprint(HashAlgorithm::Sha256),
            ours.fingerprint(HashAlgorithm::Sha512),
        );
        assert_eq!(check(vec![sha256.clone()]), Ok(()));
        assert_eq!(
            check(vec![other.fingerprint(HashAlgorithm::Sha256), sha256.clone()]),
            Ok(()),
            "one of two"
        );
        assert_eq!(check(vec![sha256.clone(), sha512]), Ok(()));
        let weaker_only = vec![sha256, other.fingerprint(HashAlgorithm::Sha512)];
        assert!(matches!(
            check(weaker_only),
            Err(HandshakeError::FingerprintMismatch { .. })
        ));
        assert!(matches!(
            check(vec![]),
            Err(HandshakeError::FingerprintMismatch { .. })
        ));
        let any = PeerIdentity::AnyCertificate;
        assert!(any.check(&[ours.der()]).is_ok());
        assert_eq!(any.check(&[]).unwrap_err(), HandshakeError::NoCertificate);
        assert_eq!(
            any.check(&[b"not DER"]).unwrap_err(),
            HandshakeError::BadCertificate
        );
    }
}
