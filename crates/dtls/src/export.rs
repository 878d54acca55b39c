//! Keying material for other protocols (RFC 5705; RFC 8446, section 7.5), such as SRTP (RFC 5764, section 4.2).

use crate::connection::{Connection, State};
use crate::handshake::Secrets;

/// Why nothing was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// There is no finished handshake, or no connection any more.
    #[error("keying material can be exported from a connected DTLS connection only")]
    NotConnected,
    /// A label that DTLS uses itself.
    #[error("this exporter label is reserved for DTLS itself")]
    ReservedLabel,
    /// A context of more than 65,535 bytes.
    #[error("an exporter context has at most 65,535 bytes")]
    ContextTooLong,
    /// More bytes than DTLS 1.3 can export at once, or a label of more than 249 bytes.
    #[error("DTLS 1.3 exports at most {most} bytes at once, with a label of at most 249 bytes")]
    TooLong {
        /// The most bytes.
        most: usize,
    },
}

/// > opaque label<7..255> = "tls13 " + Label; (RFC 8446, section 7.1)
const MAX_LABEL: usize = 249;

/// > The label [...] MUST NOT [be] "client finished", "server finished", "master secret", "key expansion"
/// > (after RFC 5705, section 4); and that of RFC 7627.
const RESERVED: [&str; 5] = [
    "client finished",
    "server finished",
    "master secret",
    "key expansion",
    "extended master secret",
];

impl Connection {
    /// Fills `out` with keying material that only the two ends know. In DTLS 1.2 no context is not the same as an
    /// empty one; in 1.3 it is.
    ///
    /// For SRTP the label is `EXTRACTOR-dtls_srtp`, without context.
    ///
    /// # Errors
    /// Before [`Event::Connected`](crate::Event::Connected), after the end, and for a label or context that
    /// cannot be.
    pub fn export(&self, label: &str, context: Option<&[u8]>, out: &mut [u8]) -> Result<(), ExportError> {
        let State::Connected(established) = &self.state else {
            return Err(ExportError::NotConnected);
        };
        if RESERVED.contains(&label) {
            return Err(ExportError::ReservedLabel);
        }
        if context.is_some_and(|context| context.len() > usize::from(u16::MAX)) {
            return Err(ExportError::ContextTooLong);
        }
        match &established.secrets {
            Secrets::V12(secrets) => secrets.export(label.as_bytes(), context, out),
            Secrets::V13(live) => {
                // What HKDF-Expand gives, and a label whose length fits its byte.
                let most = 255 * established.suite.hash().digest_len();
                if out.len() > most || label.len() > MAX_LABEL {
                    return Err(ExportError::TooLong { most });
                }
                live.exporter
                    .export(label.as_bytes(), context.unwrap_or_default(), out);
            }
        }
        Ok(())
    }
}
