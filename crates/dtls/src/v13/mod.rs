//! The full handshake of DTLS 1.3 (RFC 9147, section 5; RFC 8446, section 4), with braces where it is encrypted:
//!
//! ```text
//! client                                              server
//!   ClientHello                     -------->
//!                                   <--------         [HelloRetryRequest]
//!   [ClientHello with cookie]       -------->
//!                                                     ServerHello
//!                                                     {EncryptedExtensions}
//!                                                     {CertificateRequest}
//!                                                     {Certificate}
//!                                                     {CertificateVerify}
//!                                   <--------         {Finished}
//!   {Certificate}
//!   {CertificateVerify}
//!   {Finished}                      -------->
//!                                   <--------         {ACK}
//! ```
//!
//! The hellos are in `handshake`. `client` and `server` tell the rest as states in this order: each takes the message
//! that it waits for and becomes the next. `live` is what can still happen afterwards.

pub(crate) mod client;
pub(crate) mod keys;
pub(crate) mod live;
pub(crate) mod server;
pub(crate) mod transcript;

use bytes::Bytes;
use dunlin_crypto::agreement::Group;
use dunlin_crypto::signature::{SignatureScheme, SigningKey, VerifyingKey};

use crate::certificate::offered_scheme;
use crate::close::HandshakeError;
use crate::config::{Config, Role};
use crate::fragment::HandshakeMessage;
use crate::handshake::Context;
use crate::message::HandshakeType;
use crate::message::certificate_verify::CertificateVerify;
use crate::message::certificate13::Certificate13;
use crate::record::{Opener, Sealer};
use crate::suite::CipherSuite;
use crate::version::Version;
use keys::{Directions, Schedule};
use transcript::Transcript;

/// The epoch of the handshake's encrypted messages, and the first of application data (RFC 9147, section 6.1).
pub(crate) const HANDSHAKE_EPOCH: u64 = 2;
pub(crate) const APPLICATION_EPOCH: u64 = 3;

/// What both hellos agreed on.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) client_random: [u8; 32],
    pub(crate) suite: CipherSuite,
    pub(crate) group: Group,
    pub(crate) srtp_profile: Option<u16>,
    pub(crate) alpn: Option<Vec<u8>>,
}

/// What every state after the hellos has.
#[derive(Debug)]
pub(crate) struct Secured {
    pub(crate) negotiated: Negotiated,
    pub(crate) transcript: Transcript,
    pub(crate) schedule: Schedule,
    pub(crate) traffic: Directions,
}

impl Secured {
    /// Both directions get the keys of the handshake.
    fn install(&self, role: Role, cx: &mut Context<'_>) -> Result<(), HandshakeError> {
        let suite = self.negotiated.suite;
        let (ours, theirs) = match role {
            Role::Client => (&self.traffic.client, &self.traffic.server),
            Role::Server => (&self.traffic.server, &self.traffic.client),
        };
        cx.records
            .add_sealer(HANDSHAKE_EPOCH, Sealer::V13(ours.sealer(suite)?));
        cx.records
            .add_opener(HANDSHAKE_EPOCH, Opener::V13(theirs.opener(suite)?));
        cx.records.current = HANDSHAKE_EPOCH;
        let random = &self.negotiated.client_random;
        cx.log_key(
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            random,
            self.traffic.client.as_bytes(),
        );
        cx.log_key(
            "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            random,
            self.traffic.server.as_bytes(),
        );
        Ok(())
    }

    /// Pushes a message of ours, and remembers it.
    fn push(&mut self, kind: HandshakeType, body: &[u8], cx: &mut Context<'_>) {
        cx.flight.push(HANDSHAKE_EPOCH, kind, body);
        self.transcript.add(kind, body);
    }

    /// Remembers a message of the peer.
    fn take(&mut self, message: &HandshakeMessage) {
        self.transcript.add(message.kind, &message.body);
    }

    /// Pushes our Certificate and, if it holds any, our CertificateVerify.
    fn push_certificate(
        &mut self,
        role: Role,
        context: &[u8],
        signer: Option<(SignatureScheme, &[Bytes], &SigningKey)>,
        cx: &mut Context<'_>,
    ) -> Result<(), HandshakeError> {
        let chain = signer.map_or(&[][..], |(_, chain, _)| chain);
        let mut body = Vec::new();
        let certificate = Certificate13 {
            context,
            chain: chain.iter().map(|der| &der[..]).collect(),
            extensions: Vec::new(),
        };
        certificate.write(&mut body);
        self.push(HandshakeType::CERTIFICATE, &body, cx);
        let Some((scheme, _, key)) = signer else {
            return Ok(());
        };
        let signature = key.sign(scheme, &signed_bytes(role, &self.transcript))?;
        body.clear();
        CertificateVerify {
            scheme: scheme.code(),
            signature: &signature,
        }
        .write(&mut body);
        self.push(HandshakeType::CERTIFICATE_VERIFY, &body, cx);
        Ok(())
    }

    fn push_finished(&mut self, role: Role, cx: &mut Context<'_>) {
        let secret = match role {
            Role::Client => &self.traffic.client,
            Role::Server => &self.traffic.server,
        };
        let verify_data = secret.verify_data(&self.transcript.hash());
        self.push(HandshakeType::FINISHED, &verify_data, cx);
    }

    /// Checks the peer's Finished, and remembers it.
    fn take_finished(&mut self, sender: Role, message: &HandshakeMessage) -> Result<(), HandshakeError> {
        let body = message.expect(HandshakeType::FINISHED)?;
        let secret = match sender {
            Role::Client => &self.traffic.client,
            Role::Server => &self.traffic.server,
        };
        let expected = secret.verify_data(&self.transcript.hash());
        if !dunlin_crypto::hmac::constant_time_eq(&expected, body) {
            return Err(HandshakeError::BadFinished);
        }
        self.take(message);
        Ok(())
    }

    /// Checks the peer's CertificateVerify, and remembers it.
    fn take_certificate_verify(
        &mut self,
        sender: Role,
        message: &HandshakeMessage,
        key: &VerifyingKey,
        config: &Config,
    ) -> Result<SignatureScheme, HandshakeError> {
        let body = message.expect(HandshakeType::CERTIFICATE_VERIFY)?;
        let verify =
            CertificateVerify::parse(body).map_err(HandshakeError::malformed("CertificateVerify"))?;
        let scheme = offered_scheme(config, Version::Dtls13, verify.scheme, key)?;
        key.verify(scheme, &signed_bytes(sender, &self.transcript), verify.signature)
            .map_err(|_| HandshakeError::BadSignature("CertificateVerify"))?;
        self.take(message);
        Ok(scheme)
    }
}

/// What a CertificateVerify signs: 64 spaces, who signs, a zero, and the hash of all before it (RFC 8446, section
/// 4.4.3).
fn signed_bytes(signer: Role, transcript: &Transcript) -> Vec<u8> {
    let context: &[u8] = match signer {
        Role::Client => b"TLS 1.3, client CertificateVerify\0",
        Role::Server => b"TLS 1.3, server CertificateVerify\0",
    };
    let mut out = vec![b' '; 64];
    out.extend_from_slice(context);
    out.extend_from_slice(&transcript.hash());
    out
}

/// A Certificate of the peer in the handshake.
///
/// > If this message is in response to a CertificateRequest, the value of certificate_request_context in that message.
/// > Otherwise (in the case of server authentication), this field SHALL be zero length. (RFC 8446, section 4.4.2)
fn parse_certificate(message: &HandshakeMessage) -> Result<Certificate13<'_>, HandshakeError> {
    let body = message.expect(HandshakeType::CERTIFICATE)?;
    let certificate = Certificate13::parse(body).map_err(HandshakeError::malformed("Certificate"))?;
    if !certificate.context.is_empty() {
        return Err(HandshakeError::IllegalParameter(
            "a certificate that answers no request",
        ));
    }
    if let Some(&kind) = certificate.extensions.first() {
        return Err(HandshakeError::UnsolicitedExtension(kind));
    }
    Ok(certificate)
}
