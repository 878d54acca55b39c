//! The client's side of the handshake, as states in protocol order.

use dunlin_crypto::agreement::{EphemeralKey, Group};
use dunlin_crypto::signature::VerifyingKey;
use rand::Rng;

use super::keys::MasterSecret;
use super::{Context, ExpectFinished, Handshake, Negotiated, Step};
use crate::certificate::{VERIFIED_SCHEMES, is_rsa, offered_scheme, signing_scheme};
use crate::close::HandshakeError;
use crate::config::{Config, Role};
use crate::extension::use_srtp::UseSrtp;
use crate::extension::{ClientExtensions, ec_point_formats, supported_groups};
use crate::fragment::HandshakeMessage;
use crate::message::certificate::CertificateMessage;
use crate::message::certificate_request::CertificateRequest;
use crate::message::certificate_verify::CertificateVerify;
use crate::message::client_hello::ClientHello;
use crate::message::hello_verify_request::HelloVerifyRequest;
use crate::message::server_hello::ServerHello;
use crate::message::server_key_exchange::{ServerKeyExchange, signed_bytes};
use crate::message::{HandshakeType, client_key_exchange, server_hello_done};
use crate::record::header::DTLS_1_2;
use crate::suite::CipherSuite;

/// HelloVerifyRequests that are obeyed in one handshake: a server that changes its secret sends a second one.
const MAX_VERIFY_REQUESTS: u8 = 3;

/// Where the client is: the message that it waits for.
#[derive(Debug)]
pub(crate) enum State {
    ServerHello(ExpectServerHello),
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
            return Ok(Step::Continue(Handshake::Client(self)));
        }
        let next = match self {
            State::ServerHello(state) => state.handle(message, cx)?,
            State::Certificate(state) => state.handle(message, cx)?,
            State::ServerKeyExchange(state) => state.handle(message)?,
            State::ServerHelloDone(state) => state.handle(message, cx)?,
            State::Finished(state) => {
                state.verify(Role::Server, message)?;
                cx.flight.clear();
                return Ok(state.established(message));
            }
        };
        Ok(Step::Continue(Handshake::Client(next)))
    }

    pub(crate) fn waiting_for(&self) -> HandshakeType {
        match self {
            State::ServerHello(_) => HandshakeType::SERVER_HELLO,
            State::Certificate(_) => HandshakeType::CERTIFICATE,
            State::ServerKeyExchange(_) => HandshakeType::SERVER_KEY_EXCHANGE,
            State::ServerHelloDone(_) => HandshakeType::SERVER_HELLO_DONE,
            State::Finished(_) => HandshakeType::FINISHED,
        }
    }
}

/// Sends the ClientHello.
pub(crate) fn start(cx: &mut Context<'_>) -> State {
    let mut random = [0; 32];
    cx.rng.fill_bytes(&mut random);
    let config = cx.config;
    let use_srtp = UseSrtp {
        profiles: config.srtp_profiles.clone(),
        mki: Vec::new(),
    };
    let hello = ClientHello {
        version: DTLS_1_2,
        random,
        session_id: Vec::new(),
        cookie: Vec::new(),
        cipher_suites: config.cipher_suites.iter().map(|suite| suite.code()).collect(),
        compression_methods: vec![0],
        extensions: ClientExtensions {
            // "In all handshakes, a client implementing this document MUST send the "extended_master_secret"
            // extension in its ClientHello." (RFC 7627, section 5.2)
            extended_master_secret: true,
            renegotiation_info: Some(Vec::new()),
            supported_groups: Some(
                config
                    .groups
                    .iter()
                    .filter_map(|group| supported_groups::code(*group))
                    .collect(),
            ),
            ec_point_formats: Some(vec![ec_point_formats::UNCOMPRESSED]),
            signature_algorithms: Some(VERIFIED_SCHEMES.iter().map(|scheme| scheme.code()).collect()),
            use_srtp: (!config.srtp_profiles.is_empty()).then_some(use_srtp),
            supported_versions: None,
        },
    };
    let transcript = send_hello(&hello, None, cx);
    State::ServerHello(ExpectServerHello {
        hello,
        transcript,
        verify_requests: 0,
    })
}

/// Sends a ClientHello; answers with the transcript that begins with it.
fn send_hello(hello: &ClientHello, answers: Option<u16>, cx: &mut Context<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    hello.write(&mut body);
    cx.flight.clear();
    let transcript = cx.flight.push(0, HandshakeType::CLIENT_HELLO, &body).to_vec();
    cx.send_flight(answers, false);
    transcript
}

/// Flight 1 (or 3) is out.
#[derive(Debug)]
pub(crate) struct ExpectServerHello {
    hello: ClientHello,
    transcript: Vec<u8>,
    verify_requests: u8,
}

impl ExpectServerHello {
    fn handle(mut self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        if message.kind == HandshakeType::HELLO_VERIFY_REQUEST && self.verify_requests < MAX_VERIFY_REQUESTS {
            return self.verify_request(message, cx);
        }
        let body = message.expect(HandshakeType::SERVER_HELLO)?;
        let hello = ServerHello::parse(body).map_err(HandshakeError::malformed("ServerHello"))?;
        let negotiated = negotiate(&self.hello, &hello, cx.config)?;
        message.append_to(&mut self.transcript);
        Ok(State::Certificate(ExpectCertificate {
            negotiated,
            transcript: self.transcript,
        }))
    }

    /// > the client MUST use the same parameter values (version, random, session_id, cipher_suites,
    /// > compression_method) as it did in the original ClientHello (RFC 6347, section 4.2.1)
    ///
    /// > the initial ClientHello and HelloVerifyRequest are not included in the calculation of the
    /// > handshake_messages (same place)
    fn verify_request(
        self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<State, HandshakeError> {
        let request = HelloVerifyRequest::parse(&message.body)
            .map_err(HandshakeError::malformed("HelloVerifyRequest"))?;
        let hello = ClientHello {
            cookie: request.cookie.to_vec(),
            ..self.hello
        };
        let transcript = send_hello(&hello, Some(message.message_seq), cx);
        let verify_requests = self.verify_requests + 1;
        Ok(State::ServerHello(ExpectServerHello {
            hello,
            transcript,
            verify_requests,
        }))
    }
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
        .filter(|suite| config.cipher_suites.contains(suite))
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
    if let Some(kind) = extensions.unknown {
        return Err(HandshakeError::UnsolicitedExtension(kind));
    }
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
    let srtp_profile = match (&extensions.use_srtp, &offer.extensions.use_srtp) {
        (None, _) => None,
        (Some(_), None) => return Err(HandshakeError::UnsolicitedExtension(14)),
        (Some(answer), Some(offer)) => Some(chosen_profile(answer, offer)?),
    };
    Ok(Negotiated {
        client_random: offer.random,
        server_random: hello.random,
        suite,
        extended_master_secret: extensions.extended_master_secret,
        srtp_profile,
    })
}

/// > If the client detects a nonzero-length MKI in the server's response that is different than the one the
/// > client offered, then the client MUST abort the handshake (RFC 5764, section 4.1.3)
fn chosen_profile(answer: &UseSrtp, offer: &UseSrtp) -> Result<u16, HandshakeError> {
    if answer.mki != offer.mki {
        return Err(HandshakeError::IllegalParameter(
            "an SRTP MKI that we did not offer",
        ));
    }
    match *answer.profiles {
        [profile] if offer.profiles.contains(&profile) => Ok(profile),
        _ => Err(HandshakeError::IllegalParameter(
            "an SRTP profile that we did not offer",
        )),
    }
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
        let peer_key = cx.config.peer.check(&certificates.chain)?;
        let peer_certificate = certificates
            .chain
            .first()
            .map_or_else(Vec::new, |der| der.to_vec());
        message.append_to(&mut self.transcript);
        let (negotiated, transcript) = (self.negotiated, self.transcript);
        let groups = cx.config.groups.clone();
        Ok(State::ServerKeyExchange(ExpectServerKeyExchange {
            negotiated,
            transcript,
            peer_key,
            peer_certificate,
            groups,
        }))
    }
}

/// The server's certificate is in, and it is the expected one.
#[derive(Debug)]
pub(crate) struct ExpectServerKeyExchange {
    negotiated: Negotiated,
    transcript: Vec<u8>,
    peer_key: VerifyingKey,
    peer_certificate: Vec<u8>,
    groups: Vec<Group>,
}

impl ExpectServerKeyExchange {
    fn handle(mut self, message: &HandshakeMessage) -> Result<State, HandshakeError> {
        let body = message.expect(HandshakeType::SERVER_KEY_EXCHANGE)?;
        let exchange =
            ServerKeyExchange::parse(body).map_err(HandshakeError::malformed("ServerKeyExchange"))?;
        let group = self
            .groups
            .iter()
            .copied()
            .find(|group| supported_groups::code(*group) == Some(exchange.group))
            .ok_or(HandshakeError::IllegalParameter("a group that we did not offer"))?;
        let scheme = offered_scheme(exchange.scheme)?;
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
            peer_certificate: self.peer_certificate,
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
    peer_certificate: Vec<u8>,
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
            peer_certificate,
            group,
            peer_share,
            request,
        } = self;
        let certificate = &cx.config.certificate;
        let key = EphemeralKey::generate(group)?;
        let mut body = Vec::new();

        cx.flight.clear();
        // "If no suitable certificate is available, the client MUST send a certificate message containing no
        // certificates." (RFC 5246, section 7.4.6)
        let scheme = request
            .as_ref()
            .and_then(|request| signing_scheme(certificate, &request.schemes));
        if request.is_some() {
            let chain = if scheme.is_some() {
                vec![certificate.der()]
            } else {
                Vec::new()
            };
            CertificateMessage { chain }.write(&mut body);
            transcript.extend_from_slice(cx.flight.push(0, HandshakeType::CERTIFICATE, &body));
        }
        body.clear();
        client_key_exchange::write(key.share(), &mut body);
        transcript.extend_from_slice(cx.flight.push(0, HandshakeType::CLIENT_KEY_EXCHANGE, &body));
        let master_secret = MasterSecret::derive(&negotiated, &key.agree(&peer_share)?, &transcript);
        master_secret.install(Role::Client, &negotiated, cx.records)?;
        if let Some(scheme) = scheme {
            let signature = certificate.signing_key().sign(scheme, &transcript)?;
            body.clear();
            CertificateVerify {
                scheme: scheme.code(),
                signature: &signature,
            }
            .write(&mut body);
            transcript.extend_from_slice(cx.flight.push(0, HandshakeType::CERTIFICATE_VERIFY, &body));
        }
        cx.flight.push_change_cipher_spec();
        cx.records.protecting = true;
        let verify_data = master_secret.verify_data(negotiated.suite, Role::Client, &transcript);
        transcript.extend_from_slice(cx.flight.push(1, HandshakeType::FINISHED, &verify_data));
        cx.send_flight(Some(answers), false);
        Ok(State::Finished(ExpectFinished {
            negotiated,
            group,
            master_secret,
            peer_certificate,
            transcript,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::PeerIdentity;
    use crate::extension::ServerExtensions;

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
        let error = refused(|_, hello| hello.extensions.unknown = Some(35));
        assert_eq!(error, HandshakeError::UnsolicitedExtension(35));
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
            hello.extensions.use_srtp = Some(UseSrtp {
                profiles: vec![1],
                mki: vec![],
            });
        };
        assert_eq!(refused(unasked), HandshakeError::UnsolicitedExtension(14));
    }
}
