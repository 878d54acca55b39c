//! Why a connection ended, in words that its user can act on.

use std::time::Duration;

use dunlin_crypto::agreement::AgreementError;
use dunlin_crypto::certificate::Fingerprint;

use crate::alert::AlertDescription;
use crate::codec::Malformed;
use crate::config::ConfigError;

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// [`Connection::close`](crate::Connection::close) was called.
    #[error("the DTLS connection was closed by this side")]
    Local,
    /// The peer sent close_notify.
    #[error("the DTLS connection was closed by the peer")]
    Peer,
    /// The peer's certificate is not the one that its session description names: somebody is in between, or
    /// the description is of another connection.
    #[error(
        "the peer's certificate has the fingerprint {actual}, but its session description promised {}: \
         either the description belongs to another connection or somebody is in the middle",
        list(expected)
    )]
    FingerprintMismatch {
        /// What the session description promised.
        expected: Vec<Fingerprint>,
        /// What the certificate has, with the strongest hash of those promised.
        actual: Fingerprint,
    },
    /// The peer gave up and said why.
    #[error("the peer ended the DTLS connection with the alert {0}")]
    PeerAlert(AlertDescription),
    /// The peer broke a rule, or there is nothing that both sides can do.
    #[error("the DTLS handshake failed: {0}")]
    Handshake(HandshakeError),
    /// The handshake did not finish in time.
    #[error(
        "the DTLS handshake did not finish within {after:?}: waited for the peer's {waiting_for}; \
         is it still there, and does the path carry datagrams of {max_datagram} bytes both ways?"
    )]
    Timeout {
        /// [`Config::handshake_timeout`](crate::Config::handshake_timeout).
        after: Duration,
        /// The message that did not come.
        waiting_for: &'static str,
        /// The largest datagram that was sent.
        max_datagram: usize,
    },
    /// 2^48 records were sent with one key. DTLS 1.2 has no way to go on without renegotiation.
    #[error("the DTLS connection has used up its record numbers: connect again")]
    RecordNumbersExhausted,
    /// The configuration cannot work.
    #[error("the DTLS connection cannot begin: {0}")]
    Config(ConfigError),
    /// As many forged records came as the keys stand (RFC 9147, section 4.5.3): 2^36.
    #[error("the DTLS connection was sent {0} forged records, as many as its keys stand: connect again")]
    TooManyForgeries(u64),
}

impl From<HandshakeError> for CloseReason {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::FingerprintMismatch { expected, actual } => {
                CloseReason::FingerprintMismatch { expected, actual }
            }
            error => CloseReason::Handshake(error),
        }
    }
}

fn protocols(names: &[Vec<u8>]) -> String {
    let texts: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name)).collect();
    texts.join(", ")
}

fn list(fingerprints: &[Fingerprint]) -> String {
    let texts: Vec<String> = fingerprints.iter().map(ToString::to_string).collect();
    if texts.is_empty() {
        "none at all".to_owned()
    } else {
        texts.join(" or ")
    }
}

/// Which rule the peer broke, or what both sides do not have in common.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A message does not follow its grammar.
    #[error("the peer's {0} is malformed")]
    Malformed(&'static str),
    /// A message out of order.
    #[error("the peer sent {actual} where {expected} is due")]
    UnexpectedMessage {
        /// The name of the message that is due.
        expected: &'static str,
        /// The name of the message that came.
        actual: &'static str,
    },
    /// The peer speaks no version that is allowed here.
    #[error("the peer offers DTLS version {0:#06x} and none that is allowed here")]
    Version(u16),
    /// Somebody took the better version out of one of the hellos (RFC 8446, section 4.1.3).
    #[error("the peer knows DTLS 1.3, and yet the handshake came to DTLS 1.2: somebody is in the middle")]
    Downgrade,
    /// An extension is missing that the version needs.
    #[error("the peer's hello lacks {0}, which DTLS 1.3 needs")]
    MissingExtension(&'static str),
    /// No application protocol in common (RFC 7301).
    #[error("no application protocol in common: the peer offers {}", protocols(.0))]
    NoApplicationProtocol(Vec<Vec<u8>>),
    /// A cookie that was not made here, or for somebody else.
    #[error("the peer shows a cookie that it was not given")]
    BadCookie,
    /// No cipher suite in common.
    #[error("no cipher suite in common: the peer offers {0:04X?}")]
    NoCommonCipherSuite(Vec<u16>),
    /// No key agreement group in common.
    #[error("no key agreement group in common: the peer offers {0:04X?}")]
    NoCommonGroup(Vec<u16>),
    /// The peer verifies no signature that our certificate's key can make.
    #[error("the peer verifies no signature that our certificate's key can make: it offers {0:04X?}")]
    NoCommonSignatureScheme(Vec<u16>),
    /// The peer does not know the extended master secret, and the configuration requires it.
    #[error("the peer does not support the extended master secret (RFC 7627), which is required")]
    NoExtendedMasterSecret,
    /// The server answered an extension that was not offered.
    #[error("the peer answers extension {0}, which was not offered")]
    UnsolicitedExtension(u16),
    /// A value that does not fit.
    #[error("the peer chose {0}")]
    IllegalParameter(&'static str),
    /// A renegotiation_info that belongs to another connection.
    #[error("the peer's renegotiation_info is not that of a first handshake")]
    Renegotiation,
    /// The peer showed no certificate.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// The client showed no certificate, and DTLS 1.3 has an alert of its own for that.
    #[error("the client showed no certificate, which is required")]
    CertificateRequired,
    /// The peer's certificate cannot be read.
    #[error("the peer's certificate is not an X.509 certificate with a key that we know")]
    BadCertificate,
    /// The key in the peer's certificate is of a kind that is not supported, or an RSA key of less than 2048 bits.
    #[error("the key of the peer's certificate is of a kind that is not supported, or too short")]
    UnsupportedKey,
    /// The caller rejected the peer's certificate, with this alert.
    #[error("the peer's certificate was rejected: {0}")]
    Rejected(AlertDescription),
    /// The peer's certificate is another one. Reported as [`CloseReason::FingerprintMismatch`].
    #[error("the peer's certificate has the fingerprint {actual}, which is not an expected one")]
    FingerprintMismatch {
        /// What the session description promised.
        expected: Vec<Fingerprint>,
        /// What the certificate has.
        actual: Fingerprint,
    },
    /// The peer's signature does not verify with its certificate's key.
    #[error("the peer's signature in its {0} does not verify")]
    BadSignature(&'static str),
    /// The peer's key share is not a point of the group.
    #[error("the peer's key share is not valid")]
    BadKeyShare,
    /// The two sides did not see the same handshake.
    #[error("the peer's Finished does not verify: the two sides did not see the same handshake")]
    BadFinished,
    /// Our crypto backend failed.
    #[error("{0}")]
    Backend(String),
}

impl HandshakeError {
    /// The alert that goes to the peer.
    #[must_use]
    pub fn alert(&self) -> AlertDescription {
        match self {
            Self::Malformed(_) => AlertDescription::DECODE_ERROR,
            Self::MissingExtension(_) => AlertDescription::MISSING_EXTENSION,
            Self::NoApplicationProtocol(_) => AlertDescription::NO_APPLICATION_PROTOCOL,
            Self::CertificateRequired => AlertDescription::CERTIFICATE_REQUIRED,
            Self::UnsupportedKey => AlertDescription::UNSUPPORTED_CERTIFICATE,
            Self::Rejected(alert) => *alert,
            Self::UnexpectedMessage { .. } => AlertDescription::UNEXPECTED_MESSAGE,
            Self::Version(_) => AlertDescription::PROTOCOL_VERSION,
            Self::NoCommonCipherSuite(_)
            | Self::NoCommonGroup(_)
            | Self::NoCommonSignatureScheme(_)
            | Self::NoExtendedMasterSecret
            | Self::Renegotiation => AlertDescription::HANDSHAKE_FAILURE,
            Self::UnsolicitedExtension(_) => AlertDescription::UNSUPPORTED_EXTENSION,
            Self::IllegalParameter(_) | Self::BadKeyShare | Self::BadCookie | Self::Downgrade => {
                AlertDescription::ILLEGAL_PARAMETER
            }
            // "... or if the certificate does not match a provided fingerprint, the server endpoint MUST
            // terminate the media connection with a bad_certificate error." (RFC 8122, section 6.2)
            Self::NoCertificate | Self::BadCertificate | Self::FingerprintMismatch { .. } => {
                AlertDescription::BAD_CERTIFICATE
            }
            Self::BadSignature(_) | Self::BadFinished => AlertDescription::DECRYPT_ERROR,
            Self::Backend(_) => AlertDescription::INTERNAL_ERROR,
        }
    }

    /// For `map_err` where a message is parsed.
    pub(crate) fn malformed(message: &'static str) -> impl Fn(Malformed) -> Self {
        move |Malformed| Self::Malformed(message)
    }
}

impl From<dunlin_crypto::BackendError> for HandshakeError {
    fn from(error: dunlin_crypto::BackendError) -> Self {
        Self::Backend(error.to_string())
    }
}

impl From<AgreementError> for HandshakeError {
    fn from(error: AgreementError) -> Self {
        match error {
            AgreementError::InvalidShare(_) => Self::BadKeyShare,
            error => Self::Backend(error.to_string()),
        }
    }
}
