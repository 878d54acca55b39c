//! The client's side of the handshake, as states in protocol order.

use bytes::Bytes;
use dunlin_crypto::agreement::{EphemeralKey, Group};
use dunlin_crypto::signature::{SignatureScheme, VerifyingKey};

use super::keys::MasterSecret;
use super::{ExpectFinished, Negotiated};
use crate::certificate::{is_rsa, offered_scheme, signing_scheme};
use crate::close::HandshakeError;
use crate::config::{Config, Role};
use crate::extension::{
    alpn, connection_id, ec_point_formats, extended_master_secret, record_size_limit, renegotiation_info,
    server_name, supported_groups, use_srtp,
};
use crate::fragment::HandshakeMessage;
use crate::handshake::client::{Offer, chosen_profile, chosen_protocol, max_content};
use crate::handshake::{Context, Handshake, Step, own_chain};
use crate::message::certificate::CertificateMessage;
use crate::message::certificate_request::CertificateRequest;
use crate::message::certificate_verify::CertificateVerify;
use crate::message::client_hello::ClientHello;
use crate::message::server_hello::ServerHello;
use crate::message::server_key_exchange::{ServerKeyExchange, signed_bytes};
use crate::message::{HandshakeType, client_key_exchange, server_hello_done};
use crate::record::header::DTLS_1_2;
use crate::suite::CipherSuite;
use crate::version::Version;

/// The extensions of a ServerHello. RFC 8422, section 4, has no answer to `supported_groups`, but old servers give it:
/// it says nothing.
const SERVER_HELLO: [u16; 9] = [
    server_name::KIND,
    extended_master_secret::KIND,
    renegotiation_info::KIND,
    ec_point_formats::KIND,
    supported_groups::KIND,
    use_srtp::KIND,
    alpn::KIND,
    record_size_limit::KIND,
    connection_id::KIND,
];

/// Where the client is: the message that it waits for.
#[derive(Debug)]
pub(crate) enum State {
    Certificate(ExpectCertificate),
    ServerKeyExchange(ExpectServerKeyExchange),
    ServerHelloDone(ExpectServerHelloDone),
    Finished(ExpectFinished),
}

impl State {
    pub(crate) fn handle(
        self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<Step, HandshakeError> {
        // "This message will be ignored by the client if the client is currently negotiating a session."
        // (HelloRequest: RFC 5246, section 7.4.1.1, where it is no part of the transcript either)
        if message.kind == HandshakeType::HELLO_REQUEST {
            return Ok(Step::Continue(Handshake::Client12(self)));
        }
        let next = match self {
            State::Certificate(state) => state.handle(message, cx)?,
            State::ServerKeyExchange(state) => state.handle(message, cx)?,
            State::ServerHelloDone(state) => state.handle(message, cx)?,
            State::Finished(state) => {
                state.verify(Role::Server, message)?;
                cx.flight.answered(cx.now);
                return Ok(state.established(message));
            }
        };
        Ok(Step::Continue(Handshake::Client12(next)))
    }

    pub(crate) fn waiting_for(&self) -> HandshakeType {
        match self {
            State::Certificate(_) => HandshakeType::CERTIFICATE,
            State::ServerKeyExchange(_) => HandshakeType::SERVER_KEY_EXCHANGE,
            State::ServerHelloDone(_) => HandshakeType::SERVER_HELLO_DONE,
            State::Finished(_) => HandshakeType::FINISHED,
        }
    }
}

/// The server chose DTLS 1.2.
pub(crate) fn begin(
    offer: Offer,
    message: &HandshakeMessage,
    hello: &ServerHello,
    cx: &mut Context<'_>,
) -> Result<State, HandshakeError> {
    let negotiated = negotiate(&offer.hello, hello, cx.config)?;
    cx.records.max_content = max_content(hello.extensions.record_size_limit, cx.config, Version::Dtls12)?;
    if let (Some(own), Some(peer)) = (&cx.config.connection_id, &hello.extensions.connection_id) {
        cx.records.set_cids(own, peer);
    }
    let mut transcript = offer.message;
    message.append_to(&mut transcript);
    Ok(State::Certificate(ExpectCertificate {
        negotiated,
        transcript,
    }))
}

/// Checks what the server chose against what we offered.
fn negotiate(
    offer: &ClientHello,
    hello: &ServerHello,
    config: &Config,
) -> Result<Negotiated, HandshakeError> {
    if hello.version != DTLS_1_2 {
        return Err(HandshakeError::Version(hello.version));
    }
    let suite = CipherSuite::from_code(hello.cipher_suite)
        .filter(|suite| suite.version() == Version::Dtls12 && config.suites().any(|ours| ours == *suite))
        .ok_or(HandshakeError::IllegalParameter(
            "a cipher suite that we did not offer",
        ))?;
    if hello.compression_method != 0 {
        return Err(HandshakeError::IllegalParameter(
            "a compression method that we did not offer",
        ));
    }
    let extensions = &hello.extensions;
    // "sent by clients that receive an extended server hello containing an extension that they did not put in
    // the corresponding client hello. This message is always fatal." (RFC 5246, section 7.2.2)
    extensions.check(&offer.extensions, &SERVER_HELLO)?;
    // "The client MUST then verify that the length of the "renegotiated_connection" field is zero" (RFC 5746,
    // 3.4). A server without the extension is no danger to us: we never renegotiate.
    if extensions
        .renegotiation_info
        .as_ref()
        .is_some_and(|verify_data| !verify_data.is_empty())
    {
        return Err(HandshakeError::Renegotiation);
    }
    if config.require_extended_master_secret && !extensions.extended_master_secret {
        return Err(HandshakeError::NoExtendedMasterSecret);
    }
    Ok(Negotiated {
        client_random: offer.random,
        server_random: hello.random,
        suite,
        extended_master_secret: extensions.extended_master_secret,
        srtp_profile: chosen_profile(extensions.use_srtp.as_ref(), offer)?,
        alpn: chosen_protocol(extensions.alpn.as_ref(), offer)?,
    })
}

/// The ServerHello is in.
#[derive(Debug)]
pub(crate) struct ExpectCertificate {
    negotiated: Negotiated,
    transcript: Vec<u8>,
}

impl ExpectCertificate {
    fn handle(mut self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        let body = message.expect(HandshakeType::CERTIFICATE)?;
        let certificates =
            CertificateMessage::parse(body).map_err(HandshakeError::malformed("Certificate"))?;
        let peer_key = cx.check_peer(&certificates.chain)?;
        let peer_chain = own_chain(&certificates.chain);
        message.append_to(&mut self.transcript);
        let (negotiated, transcript) = (self.negotiated, self.transcript);
        Ok(State::ServerKeyExchange(ExpectServerKeyExchange {
            negotiated,
            transcript,
            peer_key,
            peer_chain,
        }))
    }
}

/// The server's certificate is in, and it is the expected one.
#[derive(Debug)]
pub(crate) struct ExpectServerKeyExchange {
    negotiated: Negotiated,
    transcript: Vec<u8>,
    peer_key: VerifyingKey,
    peer_chain: Vec<Bytes>,
}

impl ExpectServerKeyExchange {
    fn handle(mut self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        let body = message.expect(HandshakeType::SERVER_KEY_EXCHANGE)?;
        let exchange =
            ServerKeyExchange::parse(body).map_err(HandshakeError::malformed("ServerKeyExchange"))?;
        let mut groups = cx.config.groups.iter().copied();
        let group = groups
            .find(|group| {
                supported_groups::code(*group) == Some(exchange.group)
                    && !supported_groups::is_1_3_only(*group)
            })
            .ok_or(HandshakeError::IllegalParameter("a group that we did not offer"))?;
        let scheme = offered_scheme(cx.config, Version::Dtls12, exchange.scheme, &self.peer_key)?;
        if is_rsa(scheme) != self.negotiated.suite.is_rsa() {
            return Err(HandshakeError::IllegalParameter(
                "a signature scheme that does not fit the cipher suite",
            ));
        }
        let Negotiated {
            client_random,
            server_random,
            ..
        } = &self.negotiated;
        let signed = signed_bytes(client_random, server_random, exchange.group, exchange.share);
        self.peer_key
            .verify(scheme, &signed, exchange.signature)
            .map_err(|_| HandshakeError::BadSignature("ServerKeyExchange"))?;
        message.append_to(&mut self.transcript);
        Ok(State::ServerHelloDone(ExpectServerHelloDone {
            negotiated: self.negotiated,
            transcript: self.transcript,
            peer_chain: self.peer_chain,
            peer_scheme: scheme,
            group,
            peer_share: exchange.share.to_vec(),
            request: None,
        }))
    }
}

/// The server has proved its key; it may ask for ours.
#[derive(Debug)]
pub(crate) struct ExpectServerHelloDone {
    negotiated: Negotiated,
    transcript: Vec<u8>,
    peer_chain: Vec<Bytes>,
    peer_scheme: SignatureScheme,
    group: Group,
    peer_share: Vec<u8>,
    request: Option<CertificateRequest>,
}

impl ExpectServerHelloDone {
    fn handle(mut self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        if message.kind == HandshakeType::CERTIFICATE_REQUEST && self.request.is_none() {
            let request = CertificateRequest::parse(&message.body)
                .map_err(HandshakeError::malformed("CertificateRequest"))?;
            message.append_to(&mut self.transcript);
            return Ok(State::ServerHelloDone(Self {
                request: Some(request),
                ..self
            }));
        }
        let body = message.expect(HandshakeType::SERVER_HELLO_DONE)?;
        server_hello_done::parse(body).map_err(HandshakeError::malformed("ServerHelloDone"))?;
        message.append_to(&mut self.transcript);
        self.answer(message.message_seq, cx)
    }

    /// Sends flight 5.
    fn answer(self, answers: u16, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        let Self {
            negotiated,
            mut transcript,
            peer_chain,
            peer_scheme,
            group,
            peer_share,
            request,
        } = self;
        let key = EphemeralKey::generate(group)?;
        let mut body = Vec::new();

        cx.flight.answered(cx.now);
        let mut push = |transcript: &mut Vec<u8>, epoch, kind, body: &[u8]| {
            cx.flight.push(epoch, kind, body);
            transcript.extend_from_slice(cx.flight.last_message());
        };
        // "If no suitable certificate is available, the client MUST send a certificate message containing no
        // certificates." (RFC 5246, section 7.4.6)
        let scheme = request
            .as_ref()
            .and_then(|request| signing_scheme(cx.config, Version::Dtls12, &request.schemes));
        let signer = scheme.zip(cx.config.certificate.as_ref());
        if request.is_some() {
            let chain = signer.map_or(&[][..], |(_, certificate)| certificate.chain());
            let chain = chain.iter().map(|der| &der[..]).collect();
            CertificateMessage { chain }.write(&mut body);
            push(&mut transcript, 0, HandshakeType::CERTIFICATE, &body);
        }
        body.clear();
        client_key_exchange::write(key.share(), &mut body);
        push(&mut transcript, 0, HandshakeType::CLIENT_KEY_EXCHANGE, &body);
        let master_secret = MasterSecret::derive(&negotiated, &key.agree(&peer_share)?, &transcript);
        if let Some((scheme, certificate)) = signer {
            let signature = certificate.signing_key().sign(scheme, &transcript)?;
            body.clear();
            CertificateVerify {
                scheme: scheme.code(),
                signature: &signature,
            }
            .write(&mut body);
            push(&mut transcript, 0, HandshakeType::CERTIFICATE_VERIFY, &body);
        }
        let verify_data = master_secret.verify_data(negotiated.suite, Role::Client, &transcript);
        cx.flight.push_change_cipher_spec();
        cx.flight.push(1, HandshakeType::FINISHED, &verify_data);
        transcript.extend_from_slice(cx.flight.last_message());
        cx.log_key(
            "CLIENT_RANDOM",
            &negotiated.client_random,
            master_secret.as_bytes(),
        );
        master_secret.install(Role::Client, &negotiated, cx.records)?;
        cx.records.current = 1;
        cx.send_flight(Some(answers), false);
        Ok(State::Finished(ExpectFinished {
            negotiated,
            group,
            master_secret,
            peer_chain,
            peer_scheme: Some(peer_scheme),
            transcript,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::PeerIdentity;
    use crate::extension::use_srtp::UseSrtp;
    use crate::extension::{ClientExtensions, ServerExtensions};

    fn try_hello(change: impl FnOnce(&mut Config, &mut ServerHello)) -> Result<Negotiated, HandshakeError> {
        let certificate = dunlin_crypto::certificate::Certificate::generate().unwrap();
        let mut config = Config::new(Role::Client, certificate, PeerIdentity::AnyCertificate);
        let mut hello = ServerHello {
            version: DTLS_1_2,
            random: [2; 32],
            session_id: vec![3; 32],
            cipher_suite: 0xC02B,
            compression_method: 0,
            extensions: ServerExtensions {
                extended_master_secret: true,
                renegotiation_info: Some(vec![]),
                ec_point_formats: Some(vec![0, 1, 2]),
                ..Default::default()
            },
        };
        change(&mut config, &mut hello);
        let profiles = config.srtp_profiles.clone();
        let offer = ClientHello {
            version: DTLS_1_2,
            random: [1; 32],
            session_id: vec![],
            cookie: vec![],
            cipher_suites: vec![],
            compression_methods: vec![0],
            extensions: ClientExtensions {
                server_name: config.server_name.clone(),
                use_srtp: (!profiles.is_empty()).then_some(UseSrtp {
                    profiles,
                    mki: vec![],
                }),
                ..Default::default()
            },
        };
        negotiate(&offer, &hello, &config)
    }

    fn refused(change: impl FnOnce(&mut Config, &mut ServerHello)) -> HandshakeError {
        try_hello(change).unwrap_err()
    }

    #[test]
    fn what_was_not_offered_is_refused_by_its_rule() {
        assert!(try_hello(|_, _| ()).is_ok());
        assert_eq!(
            refused(|_, hello| hello.version = 0xFEFF),
            HandshakeError::Version(0xFEFF)
        );
        let illegal = |error| assert!(matches!(error, HandshakeError::IllegalParameter(_)), "{error:?}");
        illegal(refused(|_, hello| hello.cipher_suite = 0x1301));
        illegal(refused(|config, _| {
            config.cipher_suites = vec![CipherSuite::EcdheRsaAes128GcmSha256]
        }));
        illegal(refused(|_, hello| hello.compression_method = 1));
        let error = refused(|_, hello| hello.extensions.kinds = vec![35]);
        assert_eq!(error, HandshakeError::UnsolicitedExtension(35));
        // "A server that receives a client hello containing the "server_name" extension [...] SHALL include an extension
        // of type "server_name" in the (extended) server hello" (RFC 6066, section 3)
        let error = refused(|_, hello| hello.extensions.kinds = vec![0]);
        assert_eq!(error, HandshakeError::UnsolicitedExtension(0));
        let named = try_hello(|config, hello| {
            config.server_name = Some("turn.example.org".to_owned());
            hello.extensions.kinds = vec![0];
        });
        assert!(named.is_ok());
        let error = refused(|_, hello| hello.extensions.renegotiation_info = Some(vec![0; 12]));
        assert_eq!(error, HandshakeError::Renegotiation);
    }

    #[test]
    fn the_extended_master_secret_is_required_unless_configured_otherwise() {
        let error = refused(|_, hello| hello.extensions.extended_master_secret = false);
        assert_eq!(error, HandshakeError::NoExtendedMasterSecret);
        let negotiated = try_hello(|config, hello| {
            config.require_extended_master_secret = false;
            hello.extensions.extended_master_secret = false;
        });
        assert!(!negotiated.unwrap().extended_master_secret);
    }

    #[test]
    fn an_srtp_profile_is_one_of_ours_without_mki() {
        let answer = |profiles: &[u16], mki: &[u8]| {
            let (profiles, mki) = (profiles.to_vec(), mki.to_vec());
            try_hello(|config, hello| {
                config.srtp_profiles = vec![7, 1];
                hello.extensions.use_srtp = Some(UseSrtp { profiles, mki });
            })
        };
        assert_eq!(answer(&[1], &[]).unwrap().srtp_profile, Some(1));
        assert!(answer(&[2], &[]).is_err());
        assert!(answer(&[7, 1], &[]).is_err());
        assert!(answer(&[1], &[5]).is_err());
        let unasked = |_: &mut Config, hello: &mut ServerHello| {
            hello.extensions.kinds = vec![14];
            hello.extensions.use_srtp = Some(UseSrtp {
                profiles: vec![1],
                mki: vec![],
            });
        };
        assert_eq!(refused(unasked), HandshakeError::UnsolicitedExtension(14));
    }
}
