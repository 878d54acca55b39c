//! Who the peer has to be, and whether it is (RFC 8122, section 5 and 6; RFC 8827, section 6.5).

use dunlin_crypto::certificate::{Certificate, Fingerprint, public_key_of};
use dunlin_crypto::hash::HashAlgorithm;
use dunlin_crypto::signature::{SignatureScheme, VerifyingKey};

use crate::close::HandshakeError;

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
}

impl PeerIdentity {
    /// Takes the peer's certificate chain, and answers with the key that its signatures must verify with.
    pub(crate) fn check(&self, chain: &[&[u8]]) -> Result<VerifyingKey, HandshakeError> {
        let Some(&der) = chain.first() else {
            return Err(HandshakeError::NoCertificate);
        };
        if let PeerIdentity::Fingerprints(fingerprints) = self {
            check_fingerprints(fingerprints, der)?;
        }
        public_key_of(der).map_err(|_| HandshakeError::BadCertificate)
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

/// The signature schemes that we verify, best first; what `signature_algorithms` and CertificateRequest say.
pub(crate) const VERIFIED_SCHEMES: [SignatureScheme; 5] = [
    SignatureScheme::EcdsaSha256,
    SignatureScheme::EcdsaSha384,
    SignatureScheme::Ed25519,
    SignatureScheme::RsaPssSha256,
    SignatureScheme::RsaPkcs1Sha256,
];

/// The first of our schemes that our key can sign with and that the peer verifies.
pub(crate) fn signing_scheme(certificate: &Certificate, peer_verifies: &[u16]) -> Option<SignatureScheme> {
    VERIFIED_SCHEMES
        .into_iter()
        .find(|scheme| certificate.signing_key().supports(*scheme) && peer_verifies.contains(&scheme.code()))
}

/// The scheme of a peer's signature, if it is one that we asked for.
pub(crate) fn offered_scheme(code: u16) -> Result<SignatureScheme, HandshakeError> {
    VERIFIED_SCHEMES
        .into_iter()
        .find(|scheme| scheme.code() == code)
        .ok_or(HandshakeError::IllegalParameter(
            "a signature scheme that we did not offer",
        ))
}

/// Whether a scheme signs with an RSA key, as the `ECDHE_RSA` suites want.
pub(crate) fn is_rsa(scheme: SignatureScheme) -> bool {
    matches!(
        scheme,
        SignatureScheme::RsaPssSha256 | SignatureScheme::RsaPkcs1Sha256
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
