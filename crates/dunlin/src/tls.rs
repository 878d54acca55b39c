//! TLS to TURN servers: whose certificates are trusted, and what is wrong with one in words.

use std::io;
use std::sync::{Arc, OnceLock};

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore, crypto};

use crate::error::BindError;

/// Who may sign the certificate of a TURN server that is reached over TLS.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TlsRoots {
    /// The authorities that the system trusts.
    #[default]
    System,
    /// These certificates, in PEM, and no others.
    Pem(Vec<u8>),
}

/// Makes connectors that trust these authorities.
pub(crate) fn connector(roots: &TlsRoots) -> Result<TlsConnector, BindError> {
    static SYSTEM: OnceLock<TlsConnector> = OnceLock::new();
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
                with(store)
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
            Ok(with(store))
        }
    }
}

fn with(roots: RootCertStore) -> TlsConnector {
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// What went wrong in a handshake, for a person.
pub(crate) fn explain(error: &io::Error, name: &ServerName<'_>) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(Error::InvalidCertificate(fault)) = inner else {
        return match inner {
            Some(error) => error.to_string(),
            None => error.to_string(),
        };
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
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is for another name than {}", name.to_str())
        }
        other => format!("its certificate is not accepted: {other}"),
    }
}
