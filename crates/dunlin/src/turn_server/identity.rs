//! The certificate and key of TLS and DTLS.

use std::sync::Arc;

use dunlin_dtls::Certificate;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};

use super::config::{Config, Identity};
use super::error::BindError;

/// What the workers need for TLS and DTLS.
#[derive(Clone)]
pub(super) struct Secrets {
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) dtls: Option<Certificate>,
    /// All workers check each other's cookies.
    pub(super) cookie: [u8; 32],
}

/// Reads the certificate and key, if there are listeners that need them.
pub(super) fn load(config: &Config) -> Result<Secrets, BindError> {
    let mut secrets = Secrets {
        tls: None,
        dtls: None,
        cookie: dunlin_crypto::random::seed(),
    };
    if config.tls.is_empty() && config.dtls.is_empty() {
        return Ok(secrets);
    }
    let identity = config.identity.as_ref().ok_or(BindError::NoIdentity)?;
    if !config.tls.is_empty() {
        secrets.tls = Some(acceptor(identity)?);
    }
    if !config.dtls.is_empty() {
        secrets.dtls = Some(certificate(identity)?);
    }
    Ok(secrets)
}

/// What DTLS shows.
pub(super) fn certificate(identity: &Identity) -> Result<Certificate, BindError> {
    let certificate = Certificate::from_pem(&identity.certificates, &identity.key);
    certificate.map_err(|error| BindError::Identity(error.to_string()))
}

/// What TLS shows.
pub(super) fn acceptor(identity: &Identity) -> Result<TlsAcceptor, BindError> {
    let wrong = |what: &dyn std::fmt::Display| BindError::Identity(what.to_string());
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&identity.certificates)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(&error))?;
    if chain.is_empty() {
        return Err(wrong(&"there is no certificate in the file"));
    }
    let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(|error| match error {
        pem::Error::NoItemsFound => wrong(&"there is no key in its file, or one that is encrypted"),
        other => wrong(&other),
    })?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            Error::InconsistentKeys(_) => wrong(&"the key is that of another certificate"),
            other => wrong(&other),
        })?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
