//! The server's side of the handshake, as states in protocol order.

use bytes::Bytes;
use dunlin_crypto::agreement::{EphemeralKey, Group};
use dunlin_crypto::signature::{SignatureScheme, VerifyingKey};
use rand::Rng;

use super::keys::MasterSecret;
use super::{ExpectFinished, Negotiated};
use crate::certificate::{is_rsa, offered_scheme, scheme_codes, signing_scheme};
use crate::close::HandshakeError;
use crate::config::{ClientAuth, Config, Role};
use crate::extension::use_srtp::UseSrtp;
use crate::extension::{ServerExtensions, ec_point_formats, supported_groups};
use crate::fragment::HandshakeMessage;
use crate::handshake::client::{DOWNGRADED_TO_1_2, max_content};
use crate::handshake::server::{answered_limit, choose_protocol, chosen_cids};
use crate::handshake::{Context, Handshake, Step, own_chain};
use crate::message::certificate::CertificateMessage;
use crate::message::certificate_request::CertificateRequest;
use crate::message::certificate_verify::CertificateVerify;
use crate::message::client_hello::{ClientHello, EMPTY_RENEGOTIATION_INFO};
use crate::message::server_hello::ServerHello;
use crate::message::server_key_exchange::{ServerKeyExchange, signed_bytes};
use crate::message::{HandshakeType, client_key_exchange};
use crate::record::MaxContent;
use crate::record::header::DTLS_1_2;
use crate::version::Version;

/// Where the server is: the message that it waits for.
#[derive(Debug)]
pub(crate) enum State {
    Certificate(ExpectCertificate),
    ClientKeyExchange(ExpectClientKeyExchange),
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
            State::Certificate(state) => state.handle(message, cx)?,
            State::ClientKeyExchange(state) => state.handle(message, cx)?,
            State::CertificateVerify(state) => state.handle(message, cx)?,
            State::Finished(state) => return finish(state, message, cx),
        };
        Ok(Step::Continue(Handshake::Server12(next)))
    }

    pub(crate) fn waiting_for(&self) -> HandshakeType {
        match self {
            State::Certificate(_) => HandshakeType::CERTIFICATE,
            State::ClientKeyExchange(_) => HandshakeType::CLIENT_KEY_EXCHANGE,
            State::CertificateVerify(_) => HandshakeType::CERTIFICATE_VERIFY,
            State::Finished(_) => HandshakeType::FINISHED,
        }
    }
}

/// What the server picks from a ClientHello.
pub(crate) struct Choice {
    suite: crate::suite::CipherSuite,
    group: Group,
    group_code: u16,
    scheme: SignatureScheme,
    srtp_profile: Option<u16>,
    alpn: Option<Vec<u8>>,
    max_content: MaxContent,
}

impl Choice {
    pub(crate) fn make(hello: &ClientHello, config: &Config) -> Result<Self, HandshakeError> {
        let extensions = &hello.extensions;
        if !hello.compression_methods.contains(&0) {
            return Err(HandshakeError::IllegalParameter(
                "no way to leave records uncompressed",
            ));
        }
        if extensions
            .renegotiation_info
            .as_ref()
            .is_some_and(|verify_data| !verify_data.is_empty())
        {
            return Err(HandshakeError::Renegotiation);
        }
        // "If the client sends the extension and the extension does not contain the uncompressed point format
        // [...] the server MUST abort the handshake and return an illegal_parameter alert." (RFC 8422, 5.1.2)
        if extensions
            .ec_point_formats
            .as_ref()
            .is_some_and(|formats| !formats.contains(&ec_point_formats::UNCOMPRESSED))
        {
            return Err(HandshakeError::IllegalParameter("no uncompressed points"));
        }
        // "If the server receives a ClientHello without the extension, it SHOULD abort the handshake if it does
        // not wish to interoperate with legacy clients." (RFC 7627, section 5.2)
        if config.require_extended_master_secret && !extensions.extended_master_secret {
            return Err(HandshakeError::NoExtendedMasterSecret);
        }
        let schemes = extensions.signature_algorithms.as_deref().unwrap_or_default();
        let scheme = signing_scheme(config, Version::Dtls12, schemes)
            .ok_or_else(|| HandshakeError::NoCommonSignatureScheme(schemes.to_vec()))?;
        let suite = config
            .suites()
            .filter(|suite| suite.version() == Version::Dtls12)
            .find(|suite| suite.is_rsa() == is_rsa(scheme) && hello.cipher_suites.contains(&suite.code()))
            .ok_or_else(|| HandshakeError::NoCommonCipherSuite(hello.cipher_suites.clone()))?;
        // Without the extension any group may be chosen (RFC 8422, section 4).
        let groups = extensions.supported_groups.as_deref();
        let (group, group_code) = config
            .groups
            .iter()
            .filter(|group| !supported_groups::is_1_3_only(**group))
            .filter_map(|group| Some((*group, supported_groups::code(*group)?)))
            .find(|(_, code)| groups.is_none_or(|groups| groups.contains(code)))
            .ok_or_else(|| HandshakeError::NoCommonGroup(groups.unwrap_or_default().to_vec()))?;
        // "If there is no shared profile, the server SHOULD NOT return the use_srtp extension" (RFC 5764, 4.1.1)
        let srtp_profile = extensions
            .use_srtp
            .as_ref()
            .and_then(|offer| config.common_profile(&offer.profiles));
        Ok(Self {
            suite,
            group,
            group_code,
            scheme,
            srtp_profile,
            alpn: choose_protocol(hello, config)?,
            max_content: max_content(extensions.record_size_limit, config, Version::Dtls12)?,
        })
    }

    /// The extensions of the ServerHello. `cid`: our connection ID, if both sides take part.
    fn extensions(&self, hello: &ClientHello, config: &Config, cid: Option<&Vec<u8>>) -> ServerExtensions {
        let offered = &hello.extensions;
        let renegotiation_info =
            offered.renegotiation_info.is_some() || hello.cipher_suites.contains(&EMPTY_RENEGOTIATION_INFO);
        ServerExtensions {
            extended_master_secret: offered.extended_master_secret,
            renegotiation_info: renegotiation_info.then(Vec::new),
            ec_point_formats: offered
                .ec_point_formats
                .is_some()
                .then(|| vec![ec_point_formats::UNCOMPRESSED]),
            // An empty MKI: "return an empty srtp_mki value to indicate that it cannot make use of the MKI"
            use_srtp: self.srtp_profile.map(|profile| UseSrtp {
                profiles: vec![profile],
                mki: Vec::new(),
            }),
            alpn: self.alpn.clone().map(|protocol| vec![protocol]),
            record_size_limit: answered_limit(hello, config),
            connection_id: cid.cloned(),
            ..ServerExtensions::default()
        }
    }

    /// Sends flight 4.
    pub(crate) fn answer(
        self,
        message: &HandshakeMessage,
        hello: &ClientHello,
        cx: &mut Context<'_>,
    ) -> Result<State, HandshakeError> {
        let mut server_random = [0; 32];
        cx.rng.fill_bytes(&mut server_random);
        // "TLS 1.3 servers which negotiate TLS 1.2 or below in response to a ClientHello MUST set the last 8 bytes of
        // their Random value specially" (RFC 8446, section 4.1.3)
        if cx.config.allows(Version::Dtls13) {
            server_random[24..].copy_from_slice(&DOWNGRADED_TO_1_2);
        }
        let extensions = &hello.extensions;
        let cids = chosen_cids(hello, cx.config);
        let server_hello = ServerHello {
            version: DTLS_1_2,
            random: server_random,
            // "The server may return an empty session_id to indicate that the session will not be cached"
            session_id: Vec::new(),
            cipher_suite: self.suite.code(),
            compression_method: 0,
            extensions: self.extensions(hello, cx.config, cids.as_ref().map(|(own, _)| own)),
        };
        let certificate = cx
            .config
            .certificate
            .as_ref()
            .ok_or(HandshakeError::NoCertificate)?;
        let key = EphemeralKey::generate(self.group)?;
        let signed = signed_bytes(&hello.random, &server_random, self.group_code, key.share());
        let signature = certificate.signing_key().sign(self.scheme, &signed)?;

        let mut transcript = Vec::new();
        message.append_to(&mut transcript);
        cx.flight.clear();
        let mut push = |kind, body: &[u8]| {
            cx.flight.push(0, kind, body);
            transcript.extend_from_slice(cx.flight.last_message());
        };
        let mut body = Vec::new();
        server_hello.write(&mut body);
        push(HandshakeType::SERVER_HELLO, &body);
        body.clear();
        CertificateMessage {
            chain: certificate.chain().iter().map(|der| &der[..]).collect(),
        }
        .write(&mut body);
        push(HandshakeType::CERTIFICATE, &body);
        body.clear();
        ServerKeyExchange {
            group: self.group_code,
            share: key.share(),
            scheme: self.scheme.code(),
            signature: &signature,
        }
        .write(&mut body);
        push(HandshakeType::SERVER_KEY_EXCHANGE, &body);
        if cx.config.client_auth != ClientAuth::Off {
            body.clear();
            CertificateRequest {
                schemes: scheme_codes(cx.config),
            }
            .write(&mut body);
            push(HandshakeType::CERTIFICATE_REQUEST, &body);
        }
        push(HandshakeType::SERVER_HELLO_DONE, &[]);
        cx.send_flight(Some(message.message_seq), false);

        if let Some((own, peer)) = cids {
            cx.records.set_cids(&own, &peer);
        }
        cx.records.max_content = self.max_content;
        let negotiated = Negotiated {
            client_random: hello.random,
            server_random,
            suite: self.suite,
            extended_master_secret: extensions.extended_master_secret,
            srtp_profile: self.srtp_profile,
            alpn: self.alpn,
        };
        if cx.config.client_auth == ClientAuth::Off {
            return Ok(State::ClientKeyExchange(ExpectClientKeyExchange {
                negotiated,
                transcript,
                key,
                peer: None,
            }));
        }
        Ok(State::Certificate(ExpectCertificate {
            negotiated,
            transcript,
            key,
        }))
    }
}

/// Flight 4 is out.
#[derive(Debug)]
pub(crate) struct ExpectCertificate {
    negotiated: Negotiated,
    transcript: Vec<u8>,
    key: EphemeralKey,
}

impl ExpectCertificate {
    fn handle(mut self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        let body = message.expect(HandshakeType::CERTIFICATE)?;
        let certificates =
            CertificateMessage::parse(body).map_err(HandshakeError::malformed("Certificate"))?;
        // "If no suitable certificate is available, the client MUST send a certificate message containing no
        // certificates." (RFC 5246, section 7.4.6)
        let peer = if certificates.chain.is_empty() && cx.config.client_auth == ClientAuth::Optional {
            None
        } else {
            let key = cx.check_peer(&certificates.chain)?;
            Some((key, own_chain(&certificates.chain)))
        };
        message.append_to(&mut self.transcript);
        let Self {
            negotiated,
            transcript,
            key,
        } = self;
        Ok(State::ClientKeyExchange(ExpectClientKeyExchange {
            negotiated,
            transcript,
            key,
            peer,
        }))
    }
}

/// The client's certificate is in, and it is the expected one; or none is needed.
#[derive(Debug)]
pub(crate) struct ExpectClientKeyExchange {
    negotiated: Negotiated,
    transcript: Vec<u8>,
    key: EphemeralKey,
    peer: Option<(VerifyingKey, Vec<Bytes>)>,
}

impl ExpectClientKeyExchange {
    fn handle(mut self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        let body = message.expect(HandshakeType::CLIENT_KEY_EXCHANGE)?;
        let share =
            client_key_exchange::parse(body).map_err(HandshakeError::malformed("ClientKeyExchange"))?;
        message.append_to(&mut self.transcript);
        let group = self.key.group();
        let premaster = self.key.agree(share)?;
        let master_secret = MasterSecret::derive(&self.negotiated, &premaster, &self.transcript);
        cx.log_key(
            "CLIENT_RANDOM",
            &self.negotiated.client_random,
            master_secret.as_bytes(),
        );
        master_secret.install(Role::Server, &self.negotiated, cx.records)?;
        let (peer_key, peer_chain) = self.peer.unzip();
        let finished = ExpectFinished {
            negotiated: self.negotiated,
            group,
            master_secret,
            peer_chain: peer_chain.unwrap_or_default(),
            peer_scheme: None,
            transcript: self.transcript,
        };
        Ok(match peer_key {
            Some(peer_key) => State::CertificateVerify(ExpectCertificateVerify { finished, peer_key }),
            None => State::Finished(finished),
        })
    }
}

/// The keys are there; the client still has to prove that the certificate is its own.
#[derive(Debug)]
pub(crate) struct ExpectCertificateVerify {
    finished: ExpectFinished,
    peer_key: VerifyingKey,
}

impl ExpectCertificateVerify {
    fn handle(mut self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        let body = message.expect(HandshakeType::CERTIFICATE_VERIFY)?;
        let verify =
            CertificateVerify::parse(body).map_err(HandshakeError::malformed("CertificateVerify"))?;
        let scheme = offered_scheme(cx.config, Version::Dtls12, verify.scheme, &self.peer_key)?;
        self.peer_key
            .verify(scheme, &self.finished.transcript, verify.signature)
            .map_err(|_| HandshakeError::BadSignature("CertificateVerify"))?;
        message.append_to(&mut self.finished.transcript);
        self.finished.peer_scheme = Some(scheme);
        Ok(State::Finished(self.finished))
    }
}

/// Sends flight 6.
fn finish(
    mut state: ExpectFinished,
    message: &HandshakeMessage,
    cx: &mut Context<'_>,
) -> Result<Step, HandshakeError> {
    state.verify(Role::Client, message)?;
    message.append_to(&mut state.transcript);
    let verify_data =
        state
            .master_secret
            .verify_data(state.negotiated.suite, Role::Server, &state.transcript);
    cx.flight.answered(cx.now);
    cx.flight.push_change_cipher_spec();
    cx.records.current = 1;
    cx.flight.push(1, HandshakeType::FINISHED, &verify_data);
    cx.send_flight(Some(message.message_seq), true);
    Ok(state.established(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::PeerIdentity;
    use crate::extension::ClientExtensions;

    fn try_hello(change: impl FnOnce(&mut Config, &mut ClientHello)) -> Result<Choice, HandshakeError> {
        let certificate = dunlin_crypto::certificate::Certificate::generate().unwrap();
        let mut config = Config::new(Role::Server, certificate, PeerIdentity::AnyCertificate);
        let mut hello = ClientHello {
            version: DTLS_1_2,
            random: [1; 32],
            session_id: vec![],
            cookie: vec![],
            cipher_suites: vec![0x1301, 0xC02F, 0xCCA9, 0xC02B],
            compression_methods: vec![1, 0],
            extensions: ClientExtensions {
                extended_master_secret: true,
                supported_groups: Some(vec![0x11EC, 23, 29]),
                signature_algorithms: Some(vec![0x0804, 0x0403]),
                ..Default::default()
            },
        };
        change(&mut config, &mut hello);
        Choice::make(&hello, &config)
    }

    fn refused(change: impl FnOnce(&mut Config, &mut ClientHello)) -> HandshakeError {
        try_hello(change).err().unwrap()
    }

    #[test]
    fn the_servers_preference_decides() {
        let choice = try_hello(|_, _| ()).unwrap();
        assert_eq!(
            (choice.suite.code(), choice.group, choice.scheme.code()),
            (0xC02B, Group::X25519, 0x0403)
        );
        let choice = try_hello(|config, hello| {
            config.cipher_suites.reverse();
            config.groups.reverse();
            config.srtp_profiles = vec![8, 7, 1];
            let use_srtp = UseSrtp {
                profiles: vec![1, 7],
                mki: vec![9],
            };
            hello.extensions.use_srtp = Some(use_srtp);
        });
        let choice = choice.unwrap();
        assert_eq!(
            (choice.suite.code(), choice.group, choice.srtp_profile),
            (0xCCA9, Group::P256, Some(7))
        );
    }

    #[test]
    fn what_cannot_be_answered_is_refused_by_its_rule() {
        let error = refused(|_, hello| hello.extensions.extended_master_secret = false);
        assert_eq!(error, HandshakeError::NoExtendedMasterSecret);
        let legacy = try_hello(|config, hello| {
            config.require_extended_master_secret = false;
            hello.extensions.extended_master_secret = false;
        });
        assert!(legacy.is_ok());
        let error = refused(|_, hello| hello.extensions.renegotiation_info = Some(vec![0; 12]));
        assert_eq!(error, HandshakeError::Renegotiation);
        let error = refused(|_, hello| hello.extensions.signature_algorithms = Some(vec![0x0401]));
        assert_eq!(error, HandshakeError::NoCommonSignatureScheme(vec![0x0401]));
        let error = refused(|_, hello| hello.cipher_suites = vec![0xC02F]);
        assert_eq!(error, HandshakeError::NoCommonCipherSuite(vec![0xC02F]));
        let error = refused(|_, hello| hello.extensions.supported_groups = Some(vec![0x11EC]));
        assert_eq!(error, HandshakeError::NoCommonGroup(vec![0x11EC]));
        assert!(try_hello(|_, hello| hello.extensions.supported_groups = None).is_ok());
        let illegal = |error| assert!(matches!(error, HandshakeError::IllegalParameter(_)), "{error:?}");
        illegal(refused(|_, hello| hello.compression_methods = vec![1]));
        illegal(refused(|_, hello| {
            hello.extensions.ec_point_formats = Some(vec![1])
        }));
    }
}
