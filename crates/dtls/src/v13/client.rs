//! The client's side of the handshake, as states in protocol order.

use bytes::Bytes;
use dunlin_crypto::signature::{SignatureScheme, VerifyingKey};

use super::live::Live;
use super::transcript::Transcript;
use super::{APPLICATION_EPOCH, Negotiated, Secured, parse_certificate};
use crate::certificate::signing_scheme;
use crate::close::HandshakeError;
use crate::config::Role;
use crate::extension::key_share::Answer;
use crate::extension::{alpn, record_size_limit, server_name, supported_groups, use_srtp};
use crate::fragment::HandshakeMessage;
use crate::handshake::client::{
    Offer, SERVER_HELLO_13, check_hello, chosen_profile, chosen_protocol, max_content,
};
use crate::handshake::{Context, Established, Handshake, Secrets, Step, own_chain};
use crate::message::certificate_request13::CertificateRequest13;
use crate::message::client_hello::ClientHello;
use crate::message::server_hello::ServerHello;
use crate::message::{HandshakeType, encrypted_extensions};
use crate::record::{Opener, Sealer};
use crate::version::Version;

/// The extensions that have their place in EncryptedExtensions (RFC 8446, section 4.2).
const ENCRYPTED_EXTENSIONS: [u16; 5] = [
    server_name::KIND,
    supported_groups::KIND,
    use_srtp::KIND,
    alpn::KIND,
    record_size_limit::KIND,
];

/// Where the client is: the message that it waits for.
#[derive(Debug)]
pub(crate) enum State {
    EncryptedExtensions(ExpectEncryptedExtensions),
    Certificate(ExpectCertificate),
    CertificateVerify(ExpectCertificateVerify),
    Finished(ExpectFinished),
}

impl State {
    pub(crate) fn handle(
        self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<Step, HandshakeError> {
        let next = match self {
            State::EncryptedExtensions(state) => state.handle(message, cx)?,
            State::Certificate(state) => state.handle(message, cx)?,
            State::CertificateVerify(state) => state.handle(message, cx)?,
            State::Finished(state) => return state.handle(message, cx),
        };
        Ok(Step::Continue(Handshake::Client13(next)))
    }

    pub(crate) fn waiting_for(&self) -> HandshakeType {
        match self {
            State::EncryptedExtensions(_) => HandshakeType::ENCRYPTED_EXTENSIONS,
            State::Certificate(_) => HandshakeType::CERTIFICATE,
            State::CertificateVerify(_) => HandshakeType::CERTIFICATE_VERIFY,
            State::Finished(_) => HandshakeType::FINISHED,
        }
    }
}

/// The server chose DTLS 1.3.
pub(crate) fn begin(
    offer: Offer,
    message: &HandshakeMessage,
    hello: &ServerHello,
    cx: &mut Context<'_>,
) -> Result<State, HandshakeError> {
    let suite = check_hello(&offer.hello, hello, &SERVER_HELLO_13, cx.config)?;
    let Some(Answer::Share(share)) = &hello.extensions.key_share else {
        return Err(HandshakeError::MissingExtension("key_share"));
    };
    if let Some(retried) = &offer.retry {
        // "the client [...] MUST check that the cipher suite supplied in the ServerHello is the same as that in the
        // HelloRetryRequest and otherwise abort the handshake with an "illegal_parameter" alert." (section 4.1.4)
        if retried.suite != suite || retried.group.is_some_and(|group| group != share.group) {
            return Err(HandshakeError::IllegalParameter(
                "another suite or group than before",
            ));
        }
    }
    let mut keys = offer.keys.into_iter();
    let key = keys
        .find(|key| supported_groups::code(key.group()) == Some(share.group))
        .ok_or(HandshakeError::IllegalParameter(
            "a group that we sent no share of",
        ))?;
    let group = key.group();
    let secret = key.agree(&share.share)?;
    let mut transcript = match offer.retry {
        Some(retried) => {
            let mut transcript = retried.transcript;
            transcript.add(
                HandshakeType::CLIENT_HELLO,
                &offer.message[crate::fragment::HEADER_LEN..],
            );
            transcript
        }
        None => Transcript::of_hello(suite.hash(), &offer.message[crate::fragment::HEADER_LEN..]),
    };
    transcript.add(HandshakeType::SERVER_HELLO, &message.body);
    let schedule = super::keys::Schedule::new(suite, &secret);
    let secured = Secured {
        negotiated: Negotiated {
            client_random: offer.hello.random,
            suite,
            group,
            srtp_profile: None,
            alpn: None,
        },
        traffic: schedule.handshake_traffic(&transcript.hash()),
        transcript,
        schedule,
    };
    if let (Some(own), Some(peer)) = (&cx.config.connection_id, &hello.extensions.connection_id) {
        cx.records.set_cids(own, peer);
    }
    secured.install(Role::Client, cx)?;
    Ok(State::EncryptedExtensions(ExpectEncryptedExtensions {
        secured,
        offer: offer.hello,
    }))
}

/// The ServerHello is in, and from here on everything is encrypted.
#[derive(Debug)]
pub(crate) struct ExpectEncryptedExtensions {
    secured: Secured,
    offer: ClientHello,
}

impl ExpectEncryptedExtensions {
    fn handle(mut self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        let body = message.expect(HandshakeType::ENCRYPTED_EXTENSIONS)?;
        let extensions =
            encrypted_extensions::parse(body).map_err(HandshakeError::malformed("EncryptedExtensions"))?;
        extensions.check(&self.offer.extensions, &ENCRYPTED_EXTENSIONS)?;
        let negotiated = &mut self.secured.negotiated;
        negotiated.srtp_profile = chosen_profile(extensions.use_srtp.as_ref(), &self.offer)?;
        negotiated.alpn = chosen_protocol(extensions.alpn.as_ref(), &self.offer)?;
        cx.records.max_content = max_content(extensions.record_size_limit, cx.config, Version::Dtls13)?;
        self.secured.take(message);
        Ok(State::Certificate(ExpectCertificate {
            secured: self.secured,
            request: None,
        }))
    }
}

/// The server shows its certificate, and may ask for ours before.
#[derive(Debug)]
pub(crate) struct ExpectCertificate {
    secured: Secured,
    request: Option<CertificateRequest13>,
}

impl ExpectCertificate {
    fn handle(mut self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        if message.kind == HandshakeType::CERTIFICATE_REQUEST && self.request.is_none() {
            let request = CertificateRequest13::parse(&message.body)
                .map_err(HandshakeError::malformed("CertificateRequest"))?;
            // "This field SHALL be zero length unless used for the post-handshake authentication exchanges"
            if !request.context.is_empty() {
                return Err(HandshakeError::IllegalParameter(
                    "a context for a request in the handshake",
                ));
            }
            self.secured.take(message);
            return Ok(State::Certificate(Self {
                request: Some(request),
                ..self
            }));
        }
        let certificate = parse_certificate(message)?;
        let peer_key = cx.check_peer(&certificate.chain)?;
        let peer_chain = own_chain(&certificate.chain);
        self.secured.take(message);
        Ok(State::CertificateVerify(ExpectCertificateVerify {
            secured: self.secured,
            request: self.request,
            peer_key,
            peer_chain,
        }))
    }
}

/// The server's certificate is the expected one; it has to prove that it is its own.
#[derive(Debug)]
pub(crate) struct ExpectCertificateVerify {
    secured: Secured,
    request: Option<CertificateRequest13>,
    peer_key: VerifyingKey,
    peer_chain: Vec<Bytes>,
}

impl ExpectCertificateVerify {
    fn handle(mut self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        let peer_scheme =
            self.secured
                .take_certificate_verify(Role::Server, message, &self.peer_key, cx.config)?;
        Ok(State::Finished(ExpectFinished {
            secured: self.secured,
            request: self.request,
            peer_chain: self.peer_chain,
            peer_scheme,
        }))
    }
}

/// The server has proved itself.
#[derive(Debug)]
pub(crate) struct ExpectFinished {
    secured: Secured,
    request: Option<CertificateRequest13>,
    peer_chain: Vec<Bytes>,
    peer_scheme: SignatureScheme,
}

impl ExpectFinished {
    /// Sends the last flight, which goes out again until it is acknowledged.
    fn handle(mut self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<Step, HandshakeError> {
        let secured = &mut self.secured;
        secured.take_finished(Role::Server, message)?;
        let (application, exporter) = secured.schedule.application_traffic(&secured.transcript.hash());
        cx.flight.answered(cx.now);
        if let Some(request) = &self.request {
            let scheme = signing_scheme(cx.config, Version::Dtls13, &request.schemes);
            let certificate = scheme.zip(cx.config.certificate.as_ref());
            let signer = certificate
                .map(|(scheme, certificate)| (scheme, certificate.chain(), certificate.signing_key()));
            secured.push_certificate(Role::Client, &request.context, signer, cx)?;
        }
        secured.push_finished(Role::Client, cx);
        cx.send_flight(Some(message.message_seq), false);
        let negotiated = self.secured.negotiated;
        let live = Live::new(Role::Client, &negotiated, application, exporter, cx);
        let (suite, epoch) = (negotiated.suite, APPLICATION_EPOCH);
        cx.records
            .add_sealer(epoch, Sealer::V13(live.sending.sealer(suite)?));
        cx.records
            .add_opener(epoch, Opener::V13(live.receiving.opener(suite)?));
        cx.records.current = epoch;
        Ok(Step::Done(Box::new(Established {
            suite,
            group: negotiated.group,
            srtp_profile: negotiated.srtp_profile,
            alpn: negotiated.alpn,
            peer_scheme: Some(self.peer_scheme),
            peer_chain: self.peer_chain,
            peer_finished: message.message_seq,
            secrets: Secrets::V13(Box::new(live)),
        })))
    }
}
