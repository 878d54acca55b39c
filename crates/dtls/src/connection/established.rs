//! What a connection can be asked and told once it is connected.

use std::time::Instant;

use bytes::Bytes;
use dunlin_crypto::agreement::Group;
use dunlin_crypto::signature::SignatureScheme;

use super::{Connection, State};
use crate::close::CloseReason;
use crate::handshake::{Established, Secrets};
use crate::record::header::ContentType;
use crate::suite::CipherSuite;
use crate::version::Version;

/// What a record of AES-GCM in DTLS 1.2 adds, without a connection ID: no record has more.
const MAX_OVERHEAD: usize = 13 + 8 + 16;

/// Why keys or a connection ID cannot be changed now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// There is no finished handshake, or no connection any more.
    #[error("only a connected DTLS connection can be updated")]
    NotConnected,
    /// DTLS 1.2 has no such thing.
    #[error("DTLS 1.2 cannot change its keys or its connection ID without a new handshake")]
    Version,
    /// The one before is not acknowledged yet: at most one may be out (RFC 9147, section 5.8.4).
    #[error("the peer has not acknowledged the one before yet")]
    Pending,
    /// No connection ID was negotiated, or one of another length.
    #[error("the connection ID has {actual} bytes where {negotiated} were negotiated")]
    ConnectionId {
        /// Bytes of the connection ID that was negotiated.
        negotiated: usize,
        /// Bytes of the one that was given.
        actual: usize,
    },
}

impl Connection {
    /// Appends one record of application data, with what `write` appends as its content, encrypted in place.
    ///
    /// False, and nothing appended, if `write` says false, if it writes more than [`Self::max_content`], or if there is
    /// no connection yet or any more.
    #[must_use]
    pub fn seal(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        if !self.is_connected() {
            return false;
        }
        let max = self.core.records.max_content.sent;
        let (start, epoch) = (out.len(), self.core.records.current);
        let kind = ContentType::ApplicationData;
        if self.core.records.begin(epoch, kind, out).is_none() {
            self.fail(CloseReason::RecordNumbersExhausted, None);
            return false;
        }
        let body = out.len();
        if !write(out) || out.len() < body || out.len() - body > max {
            out.truncate(start);
            return false;
        }
        let number = self.core.records.finish(epoch, kind, out, start);
        self.core.stats.data_sent += 1;
        // "Implementations SHOULD initiate a key update before reaching this limit." (RFC 9147, section 4.5.3)
        if number.sequence >= self.config.key_update_after {
            self.start_key_update(false);
        }
        true
    }

    /// Bytes that [`Self::seal`] adds to what is written, without a connection ID: 22 in DTLS 1.3; in 1.2 37 with
    /// AES-GCM and 29 with ChaCha20-Poly1305. Before there is a connection, the most.
    #[must_use]
    pub fn overhead(&self) -> usize {
        match &self.state {
            State::Connected(_) => self.core.records.overhead(self.core.records.current),
            _ => {
                MAX_OVERHEAD
                    + self
                        .config
                        .connection_id
                        .as_ref()
                        .map_or(0, |_| 1 + usize::from(u8::MAX))
            }
        }
    }

    /// The most bytes that [`Self::seal`] takes for a record: 16,384, or less if the peer wants it so (RFC 8449).
    #[must_use]
    pub fn max_content(&self) -> usize {
        self.established()
            .map_or(0, |_| self.core.records.max_content.sent)
    }

    /// The SRTP protection profile that both sides agreed on, when connected.
    #[must_use]
    pub fn srtp_profile(&self) -> Option<u16> {
        self.established()?.srtp_profile
    }

    /// The application protocol that both sides agreed on (RFC 7301), when connected.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.established()?.alpn.as_deref()
    }

    /// The peer's certificate in DER, when connected. `None` too if the peer has shown none and need not.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        Some(self.established()?.peer_chain.first()?)
    }

    /// All certificates that the peer has shown in DER, its own first, when connected.
    #[must_use]
    pub fn peer_certificates(&self) -> &[Bytes] {
        self.established()
            .map_or(&[], |established| &established.peer_chain)
    }

    /// What the peer has signed the handshake with, when connected.
    #[must_use]
    pub fn peer_signature_scheme(&self) -> Option<SignatureScheme> {
        self.established()?.peer_scheme
    }

    /// The version, when connected.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.established().map(Established::version)
    }

    /// The cipher suite, when connected.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<CipherSuite> {
        Some(self.established()?.suite)
    }

    /// The group of the key agreement, when connected.
    #[must_use]
    pub fn group(&self) -> Option<Group> {
        Some(self.established()?.group)
    }

    /// The connection ID that the peer puts into its records; empty: none.
    #[must_use]
    pub fn connection_id(&self) -> &[u8] {
        self.core.records.own_cid()
    }

    /// The connection ID that we put into our records; empty: none.
    #[must_use]
    pub fn peer_connection_id(&self) -> &[u8] {
        self.core.records.peer_cid()
    }

    /// Changes the keys that we send with, as soon as the peer has acknowledged it; `request_peer`: the peer is asked
    /// to change its own, too (RFC 9147, section 8). It happens by itself after [`Config::key_update_after`] records.
    ///
    /// [`Config::key_update_after`]: crate::Config::key_update_after
    ///
    /// # Errors
    /// When not connected, in DTLS 1.2, and while the last change is not acknowledged.
    pub fn update_keys(&mut self, now: Instant, request_peer: bool) -> Result<(), UpdateError> {
        self.advance(now);
        match &self.state {
            State::Connected(established) => match &established.secrets {
                Secrets::V12(_) => Err(UpdateError::Version),
                Secrets::V13(live) if live.is_updating() => Err(UpdateError::Pending),
                Secrets::V13(_) => {
                    self.start_key_update(request_peer);
                    Ok(())
                }
            },
            _ => Err(UpdateError::NotConnected),
        }
    }

    /// Begins a KeyUpdate, unless one is out already.
    pub(super) fn start_key_update(&mut self, request_peer: bool) {
        let State::Connected(established) = &mut self.state else {
            return;
        };
        if let Secrets::V13(live) = &mut established.secrets {
            live.update_keys(request_peer, &mut self.core.context(&self.config, 0));
        }
    }

    /// Tells the peer to put another connection ID, of the same length as that which was negotiated, into its records
    /// (RFC 9147, section 9). Both are understood from now on.
    ///
    /// # Errors
    /// When not connected, in DTLS 1.2, while the last change is not acknowledged, and for another length.
    pub fn change_connection_id(&mut self, now: Instant, cid: &[u8]) -> Result<(), UpdateError> {
        self.advance(now);
        let State::Connected(established) = &mut self.state else {
            return Err(UpdateError::NotConnected);
        };
        let Secrets::V13(live) = &mut established.secrets else {
            return Err(UpdateError::Version);
        };
        let negotiated = self.core.records.own_cid().len();
        if negotiated == 0 || negotiated != cid.len() {
            let actual = cid.len();
            return Err(UpdateError::ConnectionId { negotiated, actual });
        }
        if live.is_changing_cid() {
            return Err(UpdateError::Pending);
        }
        self.core.records.set_own_cid(cid);
        live.send_cid(cid, &mut self.core.context(&self.config, 0));
        Ok(())
    }

    /// Uses another connection ID of the peer, if it has given us one to spare: for a new path, so that nobody can tell
    /// that it is the same connection (RFC 9147, section 9). Answers whether there was one.
    pub fn use_spare_connection_id(&mut self) -> bool {
        let State::Connected(established) = &mut self.state else {
            return false;
        };
        let Secrets::V13(live) = &mut established.secrets else {
            return false;
        };
        let spare = live.take_spare_cid();
        if let Some(cid) = &spare {
            self.core.records.set_peer_cid(cid);
        }
        spare.is_some()
    }

    fn established(&self) -> Option<&Established> {
        match &self.state {
            State::Connected(established) => Some(established),
            _ => None,
        }
    }
}
