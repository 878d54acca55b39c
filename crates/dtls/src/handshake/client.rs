//! How a client begins: one ClientHello offers every version that is allowed, and the first answer decides.

use dunlin_crypto::agreement::{EphemeralKey, Group};
use rand::Rng;

use super::{Context, Handshake};
use crate::certificate::scheme_codes;
use crate::close::HandshakeError;
use crate::config::Config;
use crate::extension::key_share::{Answer, KeyShare};
use crate::extension::use_srtp::UseSrtp;
use crate::extension::{
    ClientExtensions, connection_id, cookie, ec_point_formats, key_share, record_size_limit, server_name,
    supported_groups, supported_versions,
};
use crate::fragment::{HEADER_LEN, HandshakeMessage};
use crate::message::HandshakeType;
use crate::message::client_hello::ClientHello;
use crate::message::hello_verify_request::HelloVerifyRequest;
use crate::message::server_hello::ServerHello;
use crate::record::MaxContent;
use crate::record::header::DTLS_1_2;
use crate::suite::CipherSuite;
use crate::v12;
use crate::v13;
use crate::v13::transcript::Transcript;
use crate::version::Version;

/// HelloVerifyRequests that are obeyed in one handshake: a server that changes its secret sends a second one.
const MAX_VERIFY_REQUESTS: u8 = 3;
/// The end of a server's random value when it knows DTLS 1.3 and settles for less (RFC 8446, section 4.1.3).
pub(crate) const DOWNGRADED_TO_1_2: [u8; 8] = *b"DOWNGRD\x01";

/// A ClientHello is out.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) hello: ClientHello,
    /// As the transcript of DTLS 1.2 has it: with the header of a single fragment.
    pub(crate) message: Vec<u8>,
    /// One for each share in the hello.
    pub(crate) keys: Vec<EphemeralKey>,
    verify_requests: u8,
    pub(crate) retry: Option<Retried>,
}

/// A HelloRetryRequest was obeyed: the version is 1.3 and the suite is this one.
#[derive(Debug)]
pub(crate) struct Retried {
    pub(crate) suite: CipherSuite,
    /// The group that was asked for, if any.
    pub(crate) group: Option<u16>,
    /// The first ClientHello and the HelloRetryRequest.
    pub(crate) transcript: Transcript,
}

/// Sends the ClientHello.
pub(crate) fn start(cx: &mut Context<'_>) -> Result<Offer, HandshakeError> {
    let mut random = [0; 32];
    cx.rng.fill_bytes(&mut random);
    let mut keys = Vec::new();
    if cx.config.allows(Version::Dtls13) {
        // An ACK may come for the first flight, too.
        cx.flight.track_records();
        for group in shares_of(&cx.config.groups) {
            keys.push(EphemeralKey::generate(group)?);
        }
    }
    let hello = hello(cx.config, random, &keys);
    let message = send(&hello, None, cx);
    Ok(Offer {
        hello,
        message,
        keys,
        verify_requests: 0,
        retry: None,
    })
}

/// The groups to send a share of at once: the best one, and beside a hybrid one that every server knows.
fn shares_of(groups: &[Group]) -> impl Iterator<Item = Group> {
    let best = groups.first().copied();
    let classic = groups
        .iter()
        .copied()
        .find(|group| !supported_groups::is_1_3_only(*group));
    let beside = classic
        .filter(|classic| best.is_some_and(|best| best != *classic && supported_groups::is_1_3_only(best)));
    best.into_iter().chain(beside)
}

fn hello(config: &Config, random: [u8; 32], keys: &[EphemeralKey]) -> ClientHello {
    let (v12, v13) = (config.allows(Version::Dtls12), config.allows(Version::Dtls13));
    let use_srtp = UseSrtp {
        profiles: config.srtp_profiles.clone(),
        mki: Vec::new(),
    };
    let groups = config
        .groups
        .iter()
        .filter(|group| v13 || !supported_groups::is_1_3_only(**group));
    let versions = [Version::Dtls13, Version::Dtls12]
        .into_iter()
        .filter(|version| config.allows(*version));
    ClientHello {
        version: DTLS_1_2,
        random,
        session_id: Vec::new(),
        cookie: Vec::new(),
        cipher_suites: config.suites().map(CipherSuite::code).collect(),
        compression_methods: vec![0],
        extensions: ClientExtensions {
            server_name: config.server_name.as_deref().and_then(server_name::sendable),
            // "In all handshakes, a client implementing this document MUST send the "extended_master_secret"
            // extension in its ClientHello." (RFC 7627, section 5.2)
            extended_master_secret: v12,
            renegotiation_info: v12.then(Vec::new),
            supported_groups: Some(
                groups
                    .filter_map(|group| supported_groups::code(*group))
                    .collect(),
            ),
            ec_point_formats: v12.then(|| vec![ec_point_formats::UNCOMPRESSED]),
            signature_algorithms: Some(scheme_codes(config)),
            use_srtp: (!config.srtp_profiles.is_empty()).then_some(use_srtp),
            alpn: (!config.alpn.is_empty()).then(|| config.alpn.clone()),
            record_size_limit: config.record_size_limit,
            connection_id: config.connection_id.clone(),
            supported_versions: v13.then(|| versions.map(Version::code).collect()),
            cookie: None,
            key_share: v13.then(|| keys.iter().filter_map(share_of).collect()),
        },
    }
}

fn share_of(key: &EphemeralKey) -> Option<KeyShare> {
    Some(KeyShare {
        group: supported_groups::code(key.group())?,
        share: key.share().to_vec(),
    })
}

/// Sends a ClientHello; answers with it as the transcript of DTLS 1.2 has it.
fn send(hello: &ClientHello, answers: Option<u16>, cx: &mut Context<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    hello.write(&mut body);
    cx.flight.answered(cx.now);
    cx.flight.push(0, HandshakeType::CLIENT_HELLO, &body);
    let message = cx.flight.last_message().to_vec();
    cx.send_flight(answers, false);
    message
}

impl Offer {
    pub(crate) fn is_retried(&self) -> bool {
        self.retry.is_some()
    }

    /// The body of the ClientHello.
    pub(crate) fn body(&self) -> &[u8] {
        &self.message[HEADER_LEN..]
    }

    pub(crate) fn handle(
        self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<Handshake, HandshakeError> {
        let verifies = message.kind == HandshakeType::HELLO_VERIFY_REQUEST
            && self.verify_requests < MAX_VERIFY_REQUESTS
            && self.retry.is_none()
            && cx.config.allows(Version::Dtls12);
        if verifies {
            return self.verify_request(message, cx).map(Handshake::Offered);
        }
        // "This message will be ignored by the client if the client is currently negotiating a session."
        // (HelloRequest: RFC 5246, section 7.4.1.1, where it is no part of the transcript either)
        if message.kind == HandshakeType::HELLO_REQUEST {
            return Ok(Handshake::Offered(self));
        }
        let body = message.expect(HandshakeType::SERVER_HELLO)?;
        let hello = ServerHello::parse(body).map_err(HandshakeError::malformed("ServerHello"))?;
        if hello.is_retry_request() {
            return self.retry_request(message, &hello, cx).map(Handshake::Offered);
        }
        match hello.extensions.supported_version {
            Some(version) if version == Version::Dtls13.code() && cx.config.allows(Version::Dtls13) => {
                v13::client::begin(self, message, &hello, cx).map(Handshake::Client13)
            }
            // "SHOULD NOT" be there for less (RFC 8446, section 4.2.1), and what it says then is another version.
            Some(version) => Err(HandshakeError::Version(version)),
            None if self.retry.is_some() || !cx.config.allows(Version::Dtls12) => {
                Err(HandshakeError::Version(hello.version))
            }
            None => {
                // "TLS 1.3 clients receiving a ServerHello indicating TLS 1.2 or below MUST check that the last 8 bytes
                // are not equal to either of these values." (RFC 8446, section 4.1.3)
                if cx.config.allows(Version::Dtls13) && hello.random[24..31] == DOWNGRADED_TO_1_2[..7] {
                    return Err(HandshakeError::Downgrade);
                }
                v12::client::begin(self, message, &hello, cx).map(Handshake::Client12)
            }
        }
    }

    /// > the client MUST use the same parameter values (version, random, session_id, cipher_suites,
    /// > compression_method) as it did in the original ClientHello (RFC 6347, section 4.2.1)
    ///
    /// > the initial ClientHello and HelloVerifyRequest are not included in the calculation of the
    /// > handshake_messages (same place)
    ///
    /// A server that asks like this speaks DTLS 1.2, which has no use for key shares: without them the hello is one
    /// fragment, which all servers take, where one of a hybrid group is several. If it is somebody else who asks,
    /// nothing is lost: a server of DTLS 1.3 refuses such a cookie (RFC 9147, section 5.3), and an empty list would only
    /// make it ask for its favourite group (RFC 8446, section 4.2.8).
    fn verify_request(
        mut self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<Self, HandshakeError> {
        let request = HelloVerifyRequest::parse(&message.body)
            .map_err(HandshakeError::malformed("HelloVerifyRequest"))?;
        self.hello.cookie = request.cookie.to_vec();
        self.keys.clear();
        if let Some(shares) = &mut self.hello.extensions.key_share {
            shares.clear();
        }
        self.message = send(&self.hello, Some(message.message_seq), cx);
        self.verify_requests += 1;
        Ok(self)
    }

    /// > Upon receipt of a HelloRetryRequest, the client MUST check the legacy_version, [...] and then process the
    /// > extensions, starting with determining the version using "supported_versions". Clients MUST abort the handshake
    /// > with an "illegal_parameter" alert if the HelloRetryRequest would not result in any change in the ClientHello.
    /// > (RFC 8446, section 4.1.4)
    fn retry_request(
        mut self,
        message: &HandshakeMessage,
        request: &ServerHello,
        cx: &mut Context<'_>,
    ) -> Result<Self, HandshakeError> {
        // "If a client receives a second HelloRetryRequest in the same connection [...], it MUST abort the handshake
        // with an "unexpected_message" alert."
        if self.retry.is_some() {
            return Err(HandshakeError::UnexpectedMessage {
                expected: HandshakeType::SERVER_HELLO.name(),
                actual: "HelloRetryRequest",
            });
        }
        let allowed = [supported_versions::KIND, cookie::KIND, key_share::KIND];
        let suite = check_hello(&self.hello, request, &allowed, cx.config)?;
        let group = match &request.extensions.key_share {
            None => None,
            Some(Answer::Group(code)) => Some(*code),
            Some(Answer::Share(_)) => return Err(HandshakeError::Malformed("HelloRetryRequest")),
        };
        if group.is_none() && request.extensions.cookie.is_none() {
            return Err(HandshakeError::IllegalParameter(
                "a retry that would change nothing",
            ));
        }
        if let Some(code) = group {
            let offered = |group: &&Group| supported_groups::code(**group) == Some(code);
            let has_share = self
                .keys
                .iter()
                .any(|key| supported_groups::code(key.group()) == Some(code));
            let wanted = cx.config.groups.iter().find(offered).filter(|_| !has_share);
            let group = *wanted.ok_or(HandshakeError::IllegalParameter(
                "a group that we did not offer, or that we sent a share of",
            ))?;
            self.keys = vec![EphemeralKey::generate(group)?];
        }
        let first_hello = Transcript::of_hello(suite.hash(), self.body()).hash();
        let transcript = Transcript::after_retry(suite.hash(), &first_hello, &message.body);
        let mut hello = self.hello.clone();
        hello.extensions.cookie = request.extensions.cookie.clone();
        hello.extensions.key_share = Some(self.keys.iter().filter_map(share_of).collect());
        let message = send(&hello, Some(message.message_seq), cx);
        Ok(Self {
            hello,
            message,
            keys: self.keys,
            verify_requests: self.verify_requests,
            retry: Some(Retried {
                suite,
                group,
                transcript,
            }),
        })
    }
}

/// What a ServerHello and a HelloRetryRequest of DTLS 1.3 have in common; answers with the suite.
pub(crate) fn check_hello(
    offer: &ClientHello,
    hello: &ServerHello,
    allowed: &[u16],
    config: &Config,
) -> Result<CipherSuite, HandshakeError> {
    hello.extensions.check(&offer.extensions, allowed)?;
    if hello.version != DTLS_1_2 {
        return Err(HandshakeError::Version(hello.version));
    }
    match hello.extensions.supported_version {
        Some(version) if version == Version::Dtls13.code() && config.allows(Version::Dtls13) => {}
        version => return Err(HandshakeError::Version(version.unwrap_or(hello.version))),
    }
    // "DTLS servers MUST NOT echo the "legacy_session_id" value from the client" (RFC 9147, section 5), and ours is
    // empty anyway.
    if !hello.session_id.is_empty() || hello.compression_method != 0 {
        return Err(HandshakeError::IllegalParameter(
            "a session or a compression that we did not offer",
        ));
    }
    CipherSuite::from_code(hello.cipher_suite)
        .filter(|suite| suite.version() == Version::Dtls13 && config.suites().any(|ours| ours == *suite))
        .ok_or(HandshakeError::IllegalParameter(
            "a cipher suite that we did not offer",
        ))
}

/// The extensions of a ServerHello of DTLS 1.3 beside those of its key share.
pub(crate) const SERVER_HELLO_13: [u16; 3] = [supported_versions::KIND, key_share::KIND, connection_id::KIND];

/// The most content of a record each way, by the limit that the peer named: without one, ours does not count either.
///
/// > An endpoint MUST treat receipt of a smaller value [than 64] as a fatal error and generate an "illegal_parameter"
/// > alert. (RFC 8449, section 4)
pub(crate) fn max_content(
    limit: Option<u16>,
    config: &Config,
    version: Version,
) -> Result<MaxContent, HandshakeError> {
    // In DTLS 1.3 the limit includes the content type.
    let content = |limit: u16| usize::from(limit) - usize::from(version == Version::Dtls13);
    let no_limit = MaxContent::default();
    match limit {
        None => Ok(no_limit),
        Some(limit) if limit < record_size_limit::MIN => Err(HandshakeError::IllegalParameter(
            "a record size limit of less than 64 bytes",
        )),
        Some(limit) => Ok(MaxContent {
            sent: content(limit).min(no_limit.sent),
            received: config
                .record_size_limit
                .map_or(no_limit.received, |ours| content(ours).min(no_limit.received)),
        }),
    }
}

/// The profile in an answer to `use_srtp`.
///
/// > If the client detects a nonzero-length MKI in the server's response that is different than the one the
/// > client offered, then the client MUST abort the handshake (RFC 5764, section 4.1.3)
pub(crate) fn chosen_profile(
    answer: Option<&UseSrtp>,
    offer: &ClientHello,
) -> Result<Option<u16>, HandshakeError> {
    let (Some(answer), Some(offer)) = (answer, &offer.extensions.use_srtp) else {
        return Ok(None);
    };
    if answer.mki != offer.mki {
        return Err(HandshakeError::IllegalParameter(
            "an SRTP MKI that we did not offer",
        ));
    }
    match *answer.profiles {
        [profile] if offer.profiles.contains(&profile) => Ok(Some(profile)),
        _ => Err(HandshakeError::IllegalParameter(
            "an SRTP profile that we did not offer",
        )),
    }
}

/// The protocol in an answer to ALPN.
pub(crate) fn chosen_protocol(
    answer: Option<&Vec<Vec<u8>>>,
    offer: &ClientHello,
) -> Result<Option<Vec<u8>>, HandshakeError> {
    let (Some(answer), Some(offer)) = (answer, &offer.extensions.alpn) else {
        return Ok(None);
    };
    match &answer[..] {
        [protocol] if offer.contains(protocol) => Ok(Some(protocol.clone())),
        _ => Err(HandshakeError::IllegalParameter(
            "an application protocol that we did not offer",
        )),
    }
}
