//! The full handshake of DTLS 1.2 (RFC 5246, section 7.3; flights: RFC 6347, section 4.2.4):
//!
//! ```text
//! client                                              server
//!   ClientHello                     -------->
//!                                   <--------         [HelloVerifyRequest]
//!   [ClientHello with cookie]       -------->
//!                                                     ServerHello
//!                                                     Certificate
//!                                                     ServerKeyExchange
//!                                                     CertificateRequest
//!                                   <--------         ServerHelloDone
//!   Certificate
//!   ClientKeyExchange
//!   CertificateVerify
//!   ChangeCipherSpec, Finished      -------->
//!                                   <--------         ChangeCipherSpec, Finished
//! ```
//!
//! The hellos are in `handshake`. `client` and `server` tell the rest as states in this order: each takes the message
//! that it waits for and becomes the next. ChangeCipherSpec is not among them: the epoch in each record says the same, and cannot be lost.

pub(crate) mod client;
pub(crate) mod keys;
pub(crate) mod server;

use bytes::Bytes;
use dunlin_crypto::agreement::Group;
use dunlin_crypto::signature::SignatureScheme;

use crate::close::HandshakeError;
use crate::config::Role;
use crate::fragment::HandshakeMessage;
use crate::handshake::{self, Established, Step};
use crate::message::{HandshakeType, finished};
use crate::suite::CipherSuite;
use keys::MasterSecret;

/// What both hellos agreed on.
#[derive(Debug, Clone)]
pub(crate) struct Negotiated {
    pub(crate) client_random: [u8; 32],
    pub(crate) server_random: [u8; 32],
    pub(crate) suite: CipherSuite,
    pub(crate) extended_master_secret: bool,
    pub(crate) srtp_profile: Option<u16>,
    pub(crate) alpn: Option<Vec<u8>>,
}

/// What the exporter works with.
#[derive(Debug)]
pub(crate) struct Secrets {
    pub(crate) master_secret: MasterSecret,
    pub(crate) client_random: [u8; 32],
    pub(crate) server_random: [u8; 32],
    pub(crate) suite: CipherSuite,
}

/// The last state of either side: everything is agreed on, and the peer's Finished has to prove it.
#[derive(Debug)]
pub(crate) struct ExpectFinished {
    negotiated: Negotiated,
    group: Group,
    master_secret: MasterSecret,
    peer_chain: Vec<Bytes>,
    peer_scheme: Option<SignatureScheme>,
    transcript: Vec<u8>,
}

impl ExpectFinished {
    fn verify(&self, sender: Role, message: &HandshakeMessage) -> Result<(), HandshakeError> {
        let body = message.expect(HandshakeType::FINISHED)?;
        let theirs = finished::parse(body).map_err(HandshakeError::malformed("Finished"))?;
        let ours = self
            .master_secret
            .verify_data(self.negotiated.suite, sender, &self.transcript);
        if dunlin_crypto::hmac::constant_time_eq(&theirs, &ours) {
            Ok(())
        } else {
            Err(HandshakeError::BadFinished)
        }
    }

    fn established(self, message: &HandshakeMessage) -> Step {
        let Negotiated {
            client_random,
            server_random,
            suite,
            srtp_profile,
            alpn,
            ..
        } = self.negotiated;
        Step::Done(Box::new(Established {
            suite,
            group: self.group,
            srtp_profile,
            alpn,
            peer_scheme: self.peer_scheme,
            peer_chain: self.peer_chain,
            peer_finished: message.message_seq,
            secrets: handshake::Secrets::V12(Secrets {
                master_secret: self.master_secret,
                client_random,
                server_random,
                suite,
            }),
        }))
    }
}
