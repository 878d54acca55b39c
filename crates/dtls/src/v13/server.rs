//! The server's side of the handshake, as states in protocol order.

use bytes::Bytes;
use dunlin_crypto::agreement::{Group, respond};
use dunlin_crypto::signature::{SignatureScheme, VerifyingKey};
use rand::Rng;

use super::keys::{Directions, Schedule, Secret};
use super::live::Live;
use super::transcript::Transcript;
use super::{APPLICATION_EPOCH, HANDSHAKE_EPOCH, Negotiated, Secured, parse_certificate};
use crate::certificate::{scheme_codes, signing_scheme};
use crate::close::HandshakeError;
use crate::config::{ClientAuth, Config, Role};
use crate::extension::key_share::{Answer, KeyShare};
use crate::extension::use_srtp::UseSrtp;
use crate::extension::{ServerExtensions, supported_groups};
use crate::fragment::HandshakeMessage;
use crate::handshake::client::max_content;
use crate::handshake::cookie::{CookieJar, Retry};
use crate::handshake::server::{answered_limit, choose_protocol, chosen_cids};
use crate::handshake::{Context, Established, Handshake, Secrets, Step, own_chain};
use crate::message::certificate_request13::CertificateRequest13;
use crate::message::client_hello::ClientHello;
use crate::message::server_hello::{RETRY_RANDOM, ServerHello};
use crate::message::{HandshakeType, encrypted_extensions};
use crate::record::header::DTLS_1_2;
use crate::record::{MaxContent, Opener, Sealer};
use crate::suite::CipherSuite;
use crate::version::Version;

/// Where the server is: the message that it waits for.
#[derive(Debug)]
pub(crate) enum State {
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
            State::Certificate(state) => state.handle(message, cx)?,
            State::CertificateVerify(state) => state.handle(message, cx)?,
            State::Finished(state) => return state.handle(message, cx),
        };
        Ok(Step::Continue(Handshake::Server13(next)))
    }

    pub(crate) fn waiting_for(&self) -> HandshakeType {
        match self {
            State::Certificate(_) => HandshakeType::CERTIFICATE,
            State::CertificateVerify(_) => HandshakeType::CERTIFICATE_VERIFY,
            State::Finished(_) => HandshakeType::FINISHED,
        }
    }
}

/// What the server picks from a ClientHello.
#[derive(Debug)]
pub(crate) struct Choice {
    suite: CipherSuite,
    group: Group,
    group_code: u16,
    /// The client's share of the group; `None`: it has to send one first.
    share: Option<Vec<u8>>,
    scheme: SignatureScheme,
    srtp_profile: Option<u16>,
    alpn: Option<Vec<u8>>,
    max_content: MaxContent,
}

impl Choice {
    /// `retry`: what the cookie says that the client brings back.
    pub(crate) fn make(
        hello: &ClientHello,
        retry: Option<&Retry>,
        config: &Config,
    ) -> Result<Self, HandshakeError> {
        let extensions = &hello.extensions;
        // "If a DTLS 1.3 ClientHello is received with any other value in this field, the server MUST abort the
        // handshake with an "illegal_parameter" alert." (legacy_cookie: RFC 9147, section 5.3)
        if !hello.cookie.is_empty() {
            return Err(HandshakeError::IllegalParameter(
                "a cookie where DTLS 1.3 has none",
            ));
        }
        // "this vector MUST contain exactly one byte, set to zero" (RFC 8446, section 4.1.2)
        if hello.compression_methods != [0] {
            return Err(HandshakeError::IllegalParameter("a compression method"));
        }
        let missing = HandshakeError::MissingExtension;
        let schemes = extensions.signature_algorithms.as_ref();
        let schemes = schemes.ok_or(missing("signature_algorithms"))?;
        let groups = extensions
            .supported_groups
            .as_ref()
            .ok_or(missing("supported_groups"))?;
        let shares = extensions.key_share.as_ref().ok_or(missing("key_share"))?;
        let scheme = signing_scheme(config, Version::Dtls13, schemes)
            .ok_or_else(|| HandshakeError::NoCommonSignatureScheme(schemes.clone()))?;
        let suite = config
            .suites()
            .filter(|suite| suite.version() == Version::Dtls13)
            .find(|suite| hello.cipher_suites.contains(&suite.code()))
            .ok_or_else(|| HandshakeError::NoCommonCipherSuite(hello.cipher_suites.clone()))?;
        let common = || {
            let ours = config.groups.iter();
            let coded = ours.filter_map(|group| Some((*group, supported_groups::code(*group)?)));
            coded.filter(|(_, code)| groups.contains(code))
        };
        let share_of = |code: u16| shares.iter().find(|share| share.group == code);
        // A group that the client guessed saves a round trip.
        let (group, group_code) = common()
            .find(|(_, code)| share_of(*code).is_some())
            .or_else(|| common().next())
            .ok_or_else(|| HandshakeError::NoCommonGroup(groups.clone()))?;
        let share = share_of(group_code).map(|share| share.share.clone());
        if let Some(retry) = retry {
            let asked = retry
                .group
                .is_none_or(|code| code == group_code && shares.len() == 1);
            if retry.suite != suite || share.is_none() || !asked {
                return Err(HandshakeError::IllegalParameter(
                    "another offer than it was asked for",
                ));
            }
        }
        let srtp_profile = extensions
            .use_srtp
            .as_ref()
            .and_then(|offer| config.common_profile(&offer.profiles));
        Ok(Self {
            suite,
            group,
            group_code,
            share,
            scheme,
            srtp_profile,
            alpn: choose_protocol(hello, config)?,
            max_content: max_content(extensions.record_size_limit, config, Version::Dtls13)?,
        })
    }

    /// Whether the client guessed no group that will do.
    pub(crate) fn needs_share(&self) -> bool {
        self.share.is_none()
    }

    /// The body of a HelloRetryRequest, with a cookie that holds all there is to remember.
    pub(crate) fn retry_request(&self, message: &HandshakeMessage, jar: &CookieJar) -> Vec<u8> {
        let first_hello = Transcript::of_hello(self.suite.hash(), &message.body).hash();
        retry_body(
            &Retry {
                suite: self.suite,
                group: self.needs_share().then_some(self.group_code),
                first_hello: first_hello.to_vec(),
            },
            jar,
        )
    }

    /// Sends the server's flight.
    pub(crate) fn answer(
        self,
        message: &HandshakeMessage,
        hello: &ClientHello,
        retry: Option<&Retry>,
        jar: &CookieJar,
        cx: &mut Context<'_>,
    ) -> Result<State, HandshakeError> {
        let certificate = cx
            .config
            .certificate
            .as_ref()
            .ok_or(HandshakeError::NoCertificate)?;
        let share = self.share.as_deref().ok_or(HandshakeError::BadKeyShare)?;
        let response = respond(self.group, share)?;
        let cids = chosen_cids(hello, cx.config);
        let mut random = [0; 32];
        cx.rng.fill_bytes(&mut random);
        let server_hello = ServerHello {
            version: DTLS_1_2,
            random,
            session_id: Vec::new(),
            cipher_suite: self.suite.code(),
            compression_method: 0,
            extensions: ServerExtensions {
                supported_version: Some(Version::Dtls13.code()),
                key_share: Some(Answer::Share(KeyShare {
                    group: self.group_code,
                    share: response.share,
                })),
                connection_id: cids.as_ref().map(|(own, _)| own.clone()),
                ..ServerExtensions::default()
            },
        };
        let mut body = Vec::new();
        server_hello.write(&mut body);
        let mut transcript = match retry {
            Some(retry) => {
                Transcript::after_retry(self.suite.hash(), &retry.first_hello, &retry_body(retry, jar))
            }
            None => Transcript::new(self.suite.hash()),
        };
        transcript.add(HandshakeType::CLIENT_HELLO, &message.body);
        transcript.add(HandshakeType::SERVER_HELLO, &body);
        cx.flight.clear();
        cx.flight.push(0, HandshakeType::SERVER_HELLO, &body);
        if let Some((own, peer)) = cids {
            cx.records.set_cids(&own, &peer);
        }
        cx.records.max_content = self.max_content;
        let schedule = Schedule::new(self.suite, &response.secret);
        let mut secured = Secured {
            negotiated: Negotiated {
                client_random: hello.random,
                suite: self.suite,
                group: self.group,
                srtp_profile: self.srtp_profile,
                alpn: self.alpn.clone(),
            },
            traffic: schedule.handshake_traffic(&transcript.hash()),
            transcript,
            schedule,
        };
        secured.install(Role::Server, cx)?;
        body.clear();
        encrypted_extensions::write(&self.extensions(hello, cx.config), &mut body);
        secured.push(HandshakeType::ENCRYPTED_EXTENSIONS, &body, cx);
        let asks = cx.config.client_auth != ClientAuth::Off;
        if asks {
            body.clear();
            CertificateRequest13 {
                context: Vec::new(),
                schemes: scheme_codes(cx.config),
            }
            .write(&mut body);
            secured.push(HandshakeType::CERTIFICATE_REQUEST, &body, cx);
        }
        let signer = (self.scheme, certificate.chain(), certificate.signing_key());
        secured.push_certificate(Role::Server, &[], Some(signer), cx)?;
        secured.push_finished(Role::Server, cx);
        cx.send_flight(Some(message.message_seq), false);
        let (application, exporter) = secured.schedule.application_traffic(&secured.transcript.hash());
        let rest = Rest {
            secured,
            application,
            exporter,
            peer_chain: Vec::new(),
            peer_scheme: None,
        };
        Ok(if asks {
            State::Certificate(ExpectCertificate { rest })
        } else {
            State::Finished(ExpectFinished { rest })
        })
    }

    fn extensions(&self, hello: &ClientHello, config: &Config) -> ServerExtensions {
        ServerExtensions {
            use_srtp: self.srtp_profile.map(|profile| UseSrtp {
                profiles: vec![profile],
                mki: Vec::new(),
            }),
            alpn: self.alpn.clone().map(|protocol| vec![protocol]),
            record_size_limit: answered_limit(hello, config),
            ..ServerExtensions::default()
        }
    }
}

/// The body of a HelloRetryRequest; the same `retry` gives the same one.
fn retry_body(retry: &Retry, jar: &CookieJar) -> Vec<u8> {
    let request = ServerHello {
        version: DTLS_1_2,
        random: RETRY_RANDOM,
        session_id: Vec::new(),
        cipher_suite: retry.suite.code(),
        compression_method: 0,
        extensions: ServerExtensions {
            supported_version: Some(Version::Dtls13.code()),
            cookie: Some(jar.cookie13(retry)),
            key_share: retry.group.map(Answer::Group),
            ..ServerExtensions::default()
        },
    };
    let mut body = Vec::new();
    request.write(&mut body);
    body
}

/// What every state here has.
#[derive(Debug)]
struct Rest {
    secured: Secured,
    application: Directions,
    exporter: Secret,
    peer_chain: Vec<Bytes>,
    peer_scheme: Option<SignatureScheme>,
}

/// The server's flight is out, and asks for a certificate.
#[derive(Debug)]
pub(crate) struct ExpectCertificate {
    rest: Rest,
}

impl ExpectCertificate {
    fn handle(self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        let mut rest = self.rest;
        let certificate = parse_certificate(message)?;
        // "If the client does not send any certificates [...], the server MAY at its discretion either continue the
        // handshake without client authentication or abort the handshake with a "certificate_required" alert." (RFC
        // 8446, section 4.4.2.4)
        if certificate.chain.is_empty() && cx.config.client_auth == ClientAuth::Optional {
            rest.secured.take(message);
            return Ok(State::Finished(ExpectFinished { rest }));
        }
        if certificate.chain.is_empty() {
            return Err(HandshakeError::CertificateRequired);
        }
        let peer_key = cx.check_peer(&certificate.chain)?;
        rest.peer_chain = own_chain(&certificate.chain);
        rest.secured.take(message);
        Ok(State::CertificateVerify(ExpectCertificateVerify {
            rest,
            peer_key,
        }))
    }
}

/// The client's certificate is the expected one; it has to prove that it is its own.
#[derive(Debug)]
pub(crate) struct ExpectCertificateVerify {
    rest: Rest,
    peer_key: VerifyingKey,
}

impl ExpectCertificateVerify {
    fn handle(self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<State, HandshakeError> {
        let mut rest = self.rest;
        let scheme =
            rest.secured
                .take_certificate_verify(Role::Client, message, &self.peer_key, cx.config)?;
        rest.peer_scheme = Some(scheme);
        Ok(State::Finished(ExpectFinished { rest }))
    }
}

/// Only the client's Finished is missing.
#[derive(Debug)]
pub(crate) struct ExpectFinished {
    rest: Rest,
}

impl ExpectFinished {
    fn handle(self, message: &HandshakeMessage, cx: &mut Context<'_>) -> Result<Step, HandshakeError> {
        let Rest {
            mut secured,
            application,
            exporter,
            peer_chain,
            peer_scheme,
        } = self.rest;
        secured.take_finished(Role::Client, message)?;
        let negotiated = secured.negotiated;
        let live = Live::new(Role::Server, &negotiated, application, exporter, cx);
        let (suite, epoch) = (negotiated.suite, APPLICATION_EPOCH);
        cx.records
            .add_sealer(epoch, Sealer::V13(live.sending.sealer(suite)?));
        cx.records
            .add_opener(epoch, Opener::V13(live.receiving.opener(suite)?));
        cx.records.current = epoch;
        // Our flight is answered; what is received in that epoch may come again.
        cx.flight.answered(cx.now);
        cx.records.retire_sealers(HANDSHAKE_EPOCH + 1);
        cx.acks.now(cx.now);
        *cx.address_proved = true;
        Ok(Step::Done(Box::new(Established {
            suite,
            group: negotiated.group,
            srtp_profile: negotiated.srtp_profile,
            alpn: negotiated.alpn,
            peer_scheme,
            peer_chain,
            peer_finished: message.message_seq,
            secrets: Secrets::V13(Box::new(live)),
        })))
    }
}
