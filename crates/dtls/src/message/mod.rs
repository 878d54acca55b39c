//! Handshake messages of DTLS 1.2 (RFC 5246, section 7.4; RFC 6347, section 4.2; RFC 8422, section 5) and 1.3 (RFC
//! 8446, section 4; RFC 9147, section 5.2): one file each, its struct, how it is parsed and how it is written. Bodies
//! only: the header is in `fragment`. Where the two versions differ, the file of 1.3 has `13` in its name.

pub(crate) mod certificate;
pub(crate) mod certificate13;
pub(crate) mod certificate_request;
pub(crate) mod certificate_request13;
pub(crate) mod certificate_verify;
pub(crate) mod client_hello;
pub(crate) mod client_key_exchange;
pub(crate) mod encrypted_extensions;
pub(crate) mod finished;
pub(crate) mod hello_verify_request;
pub(crate) mod key_update;
pub(crate) mod new_connection_id;
pub(crate) mod server_hello;
pub(crate) mod server_hello_done;
pub(crate) mod server_key_exchange;

use crate::close::HandshakeError;
use crate::fragment::HandshakeMessage;

/// The type of a handshake message. Values without a name survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HandshakeType(pub(crate) u8);

impl HandshakeType {
    pub(crate) const HELLO_REQUEST: Self = Self(0);
    pub(crate) const CLIENT_HELLO: Self = Self(1);
    pub(crate) const SERVER_HELLO: Self = Self(2);
    pub(crate) const HELLO_VERIFY_REQUEST: Self = Self(3);
    pub(crate) const NEW_SESSION_TICKET: Self = Self(4);
    pub(crate) const ENCRYPTED_EXTENSIONS: Self = Self(8);
    pub(crate) const REQUEST_CONNECTION_ID: Self = Self(9);
    pub(crate) const NEW_CONNECTION_ID: Self = Self(10);
    pub(crate) const CERTIFICATE: Self = Self(11);
    pub(crate) const SERVER_KEY_EXCHANGE: Self = Self(12);
    pub(crate) const CERTIFICATE_REQUEST: Self = Self(13);
    pub(crate) const SERVER_HELLO_DONE: Self = Self(14);
    pub(crate) const CERTIFICATE_VERIFY: Self = Self(15);
    pub(crate) const CLIENT_KEY_EXCHANGE: Self = Self(16);
    pub(crate) const FINISHED: Self = Self(20);
    pub(crate) const KEY_UPDATE: Self = Self(24);
    /// Never on the wire: what stands in the transcript for the ClientHello before a HelloRetryRequest.
    pub(crate) const MESSAGE_HASH: Self = Self(254);

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HELLO_REQUEST => "HelloRequest",
            Self::CLIENT_HELLO => "ClientHello",
            Self::SERVER_HELLO => "ServerHello",
            Self::HELLO_VERIFY_REQUEST => "HelloVerifyRequest",
            Self::NEW_SESSION_TICKET => "NewSessionTicket",
            Self::ENCRYPTED_EXTENSIONS => "EncryptedExtensions",
            Self::REQUEST_CONNECTION_ID => "RequestConnectionId",
            Self::NEW_CONNECTION_ID => "NewConnectionId",
            Self::CERTIFICATE => "Certificate",
            Self::SERVER_KEY_EXCHANGE => "ServerKeyExchange",
            Self::CERTIFICATE_REQUEST => "CertificateRequest",
            Self::SERVER_HELLO_DONE => "ServerHelloDone",
            Self::CERTIFICATE_VERIFY => "CertificateVerify",
            Self::CLIENT_KEY_EXCHANGE => "ClientKeyExchange",
            Self::FINISHED => "Finished",
            Self::KEY_UPDATE => "KeyUpdate",
            Self::MESSAGE_HASH => "message_hash",
            _ => "an unknown message",
        }
    }
}

impl HandshakeMessage {
    /// The body, if the message is of the kind that is due.
    pub(crate) fn expect(&self, kind: HandshakeType) -> Result<&[u8], HandshakeError> {
        if self.kind == kind {
            return Ok(&self.body);
        }
        Err(HandshakeError::UnexpectedMessage {
            expected: kind.name(),
            actual: self.kind.name(),
        })
    }
}
