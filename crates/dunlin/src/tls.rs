//! TLS and DTLS to STUN and TURN servers: whose certificates are trusted, and what is wrong with one in words.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use dunlin_dtls::AlertDescription;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::ServerCertVerifier;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore, crypto};

use crate::error::BindError;

/// Who may sign the certificate of a STUN or TURN server that is reached over TLS or DTLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TlsRoots {
    /// The authorities that the system trusts.
    #[default]
    System,
    /// These certificates, in PEM, and no others.
    Pem(Vec<u8>),
}

/// TLS and DTLS for clients that trust the same authorities.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) connector: TlsConnector,
    /// What rustls verifies a chain with. `None`: there is no authority, and so nothing that would be accepted.
    verifier: Option<Arc<WebPkiServerVerifier>>,
}

impl Tls {
    /// With these authorities.
    pub(crate) fn new(roots: &TlsRoots) -> Result<Self, BindError> {
        static SYSTEM: OnceLock<Tls> = OnceLock::new();
        match roots {
            TlsRoots::System => Ok(SYSTEM
                .get_or_init(|| {
                    let found = rustls_native_certs::load_native_certs();
                    for error in &found.errors {
                        log::debug!("a trusted certificate of the system is left out: {error}");
                    }
                    let mut store = RootCertStore::empty();
                    store.add_parsable_certificates(found.certs);
                    if store.is_empty() {
                        log::warn!("the system trusts no authority: no certificate will be accepted");
                    }
                    Self::with(store)
                })
                .clone()),
            TlsRoots::Pem(pem) => {
                let mut store = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(pem) {
                    let certificate = certificate.map_err(|error| BindError::TlsRoots(error.to_string()))?;
                    store
                        .add(certificate)
                        .map_err(|error| BindError::TlsRoots(error.to_string()))?;
                }
                if store.is_empty() {
                    return Err(BindError::TlsRoots("there is no certificate in it".to_owned()));
                }
                Ok(Self::with(store))
            }
        }
    }

    fn with(roots: RootCertStore) -> Self {
        let provider = Arc::new(crypto::ring::default_provider());
        let roots = Arc::new(roots);
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        Self {
            connector: TlsConnector::from(Arc::new(config)),
            verifier: WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .ok(),
        }
    }

    /// Whether the certificates that a server of DTLS shows, its own first, are those of `name`: the rules of TLS (RFC
    /// 7350, section 3).
    ///
    /// # Errors
    /// The alert for the server, and what is wrong in words.
    pub(crate) fn verify(
        &self,
        chain: &[Bytes],
        name: &ServerName<'_>,
    ) -> Result<(), (AlertDescription, String)> {
        let chain: Vec<CertificateDer<'_>> = chain.iter().map(|der| CertificateDer::from(&der[..])).collect();
        let verified = match (&self.verifier, chain.split_first()) {
            (Some(verifier), Some((own, above))) => {
                let verified = verifier.verify_server_cert(own, above, name, &[], UnixTime::now());
                verified.map(drop)
            }
            (None, _) => Err(CertificateError::UnknownIssuer.into()),
            (_, None) => Err(Error::NoCertificatesPresented),
        };
        verified.map_err(|error| {
            let alert = match &error {
                Error::InvalidCertificate(fault) => rustls::AlertDescription::from(fault.clone()),
                _ => rustls::AlertDescription::BadCertificate,
            };
            (AlertDescription(alert.into()), explain_fault(&error, name))
        })
    }
}

/// The name that a server's certificate must carry.
///
/// # Errors
/// It is no name that a certificate could carry, in words.
pub(crate) fn server_name(name: Option<&String>, address: IpAddr) -> Result<ServerName<'static>, String> {
    match name {
        Some(name) => {
            ServerName::try_from(name.clone()).map_err(|_| format!("{name:?} is no name for a certificate"))
        }
        None => Ok(ServerName::from(address)),
    }
}

/// What went wrong in a handshake, for a person.
pub(crate) fn explain(error: &io::Error, name: &ServerName<'_>) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(fault) => explain_fault(fault, name),
        None if is_hang_up(error) => {
            "the server ended the connection during the handshake: perhaps it does not speak TLS at this port"
                .to_owned()
        }
        None => error.to_string(),
    }
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

fn explain_fault(error: &Error, name: &ServerName<'_>) -> String {
    let fault = match error {
        Error::InvalidCertificate(fault) => fault,
        Error::InvalidMessage(_) => {
            return "what it answers is no TLS: another service listens at this port".to_owned();
        }
        other => return other.to_string(),
    };
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet (is this host's clock right?)".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its certificate is signed by nobody that this host trusts".to_owned()
        }
        // One that was made anew, under the same name, and is not the one that is trusted.
        CertificateError::BadSignature => {
            "its certificate names an authority that this host trusts, but is not signed with that one's key"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is for another name than {}", name.to_str())
        }
        other => format!("its certificate is not accepted: {other}"),
    }
}
