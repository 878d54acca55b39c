//! Keying material for other protocols (RFC 5705), such as SRTP (RFC 5764, section 4.2).

use crate::connection::{Connection, State};

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
}

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
    /// Fills `out` with keying material that only the two ends know. No context is not the same as an empty one.
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
        established
            .master_secret
            .export(&established.negotiated, label.as_bytes(), context, out);
        Ok(())
    }
}
