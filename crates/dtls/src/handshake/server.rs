//! How a server begins: it waits for a ClientHello that it can answer, and takes the best version that both know.

use rand::Rng;

use super::cookie::CookieJar;
use super::{Context, Handshake};
use crate::close::HandshakeError;
use crate::config::{ClientAddress, Config};
use crate::fragment::HandshakeMessage;
use crate::message::HandshakeType;
use crate::message::client_hello::ClientHello;
use crate::message::hello_verify_request::HelloVerifyRequest;
use crate::record::header::DTLS_1_2;
use crate::version::Version;
use crate::{v12, v13};

/// Record numbers beyond this are not continued from: nobody sends that many ClientHellos.
const MAX_HELLO_SEQUENCE: u64 = 1 << 32;

/// Nothing came yet that could be answered.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) jar: Box<CookieJar>,
    /// Whether a cookie is wanted of every client.
    pub(crate) wants_cookie: bool,
}

impl Listening {
    pub(crate) fn new(cx: &mut Context<'_>) -> Self {
        let (jar, wants_cookie) = match &cx.config.client_address {
            ClientAddress::Cookie { secret, address } => (CookieJar::new(&secret.0, address), true),
            // A HelloRetryRequest for another reason carries one, too.
            ClientAddress::Proved | ClientAddress::Unproved => {
                let mut secret = [0; 32];
                cx.rng.fill_bytes(&mut secret);
                (CookieJar::new(&secret, &[]), false)
            }
        };
        Self {
            jar: Box::new(jar),
            wants_cookie,
        }
    }

    fn again(&self) -> Handshake {
        Handshake::Listening(Self {
            jar: self.jar.clone(),
            wants_cookie: self.wants_cookie,
        })
    }

    pub(crate) fn handle(
        &self,
        message: &HandshakeMessage,
        cx: &mut Context<'_>,
    ) -> Result<Handshake, HandshakeError> {
        let body = message.expect(HandshakeType::CLIENT_HELLO)?;
        let hello = ClientHello::parse(body).map_err(HandshakeError::malformed("ClientHello"))?;
        match version(&hello, cx.config)? {
            Version::Dtls13 => self.handle13(message, &hello, cx),
            _ => self.handle12(message, &hello, cx),
        }
    }

    fn handle12(
        &self,
        message: &HandshakeMessage,
        hello: &ClientHello,
        cx: &mut Context<'_>,
    ) -> Result<Handshake, HandshakeError> {
        let choice = v12::server::Choice::make(hello, cx.config)?;
        if self.wants_cookie {
            self.continue_records(cx);
            let parameters = hello.lasting();
            // "If a server receives a ClientHello with an invalid cookie, it SHOULD treat it the same as a
            // ClientHello with no cookie." (RFC 6347, section 4.2.1)
            if !self.jar.is_cookie12(&parameters, &hello.cookie) {
                let cookie = self.jar.cookie12(&parameters);
                let mut body = Vec::new();
                HelloVerifyRequest { cookie: &cookie }.write(&mut body);
                self.request(message, HandshakeType::HELLO_VERIFY_REQUEST, &body, cx);
                return Ok(self.again());
            }
            self.prove_address(message, cx);
        }
        choice.answer(message, hello, cx).map(Handshake::Server12)
    }

    fn handle13(
        &self,
        message: &HandshakeMessage,
        hello: &ClientHello,
        cx: &mut Context<'_>,
    ) -> Result<Handshake, HandshakeError> {
        let retry = match &hello.extensions.cookie {
            Some(cookie) => Some(self.jar.open(cookie)?),
            None => None,
        };
        let choice = v13::server::Choice::make(hello, retry.as_ref(), cx.config)?;
        if retry.is_none() && (self.wants_cookie || choice.needs_share()) {
            if self.wants_cookie {
                self.continue_records(cx);
            }
            let body = choice.retry_request(message, &self.jar);
            self.request(message, HandshakeType::SERVER_HELLO, &body, cx);
            return Ok(self.again());
        }
        if self.wants_cookie {
            self.continue_records(cx);
        }
        if retry.is_some() {
            self.prove_address(message, cx);
        }
        cx.flight.track_records();
        choice
            .answer(message, hello, retry.as_ref(), &self.jar, cx)
            .map(Handshake::Server13)
    }

    /// Sends what asks for another ClientHello. It is sent again when the ClientHello is, and only then: whoever sent
    /// that may not exist.
    fn request(&self, message: &HandshakeMessage, kind: HandshakeType, body: &[u8], cx: &mut Context<'_>) {
        cx.flight.clear();
        cx.flight.continue_from(message.message_seq);
        cx.flight.push(0, kind, body);
        cx.send_flight(Some(message.message_seq), true);
    }

    /// The cookie came back. What asked for it may have been another connection, which nobody remembers: this one goes
    /// on from the client's numbers.
    fn prove_address(&self, message: &HandshakeMessage, cx: &mut Context<'_>) {
        *cx.address_proved = true;
        cx.flight.continue_from(message.message_seq);
    }

    fn continue_records(&self, cx: &mut Context<'_>) {
        cx.records
            .continue_plain_from(cx.record_sequence.min(MAX_HELLO_SEQUENCE));
    }
}

/// The best version that both know.
///
/// > If this extension is present in the ClientHello, servers MUST NOT use the ClientHello.legacy_version value for
/// > version negotiation and MUST use only the "supported_versions" extension (RFC 8446, section 4.2.1)
fn version(hello: &ClientHello, config: &Config) -> Result<Version, HandshakeError> {
    let offers = |version: Version| match &hello.extensions.supported_versions {
        Some(versions) => versions.contains(&version.code()),
        // Versions count down: 0xFEFF is 1.0, 0xFEFD is 1.2, and a later one offers all earlier ones.
        None => {
            version == Version::Dtls12
                && hello.version >> 8 == DTLS_1_2 >> 8
                && hello.version & 0xFF <= DTLS_1_2 & 0xFF
        }
    };
    let best = [Version::Dtls13, Version::Dtls12]
        .into_iter()
        .find(|version| config.allows(*version) && offers(*version));
    best.ok_or_else(|| {
        let theirs = hello
            .extensions
            .supported_versions
            .as_ref()
            .and_then(|versions| versions.first());
        HandshakeError::Version(theirs.copied().unwrap_or(hello.version))
    })
}

/// The application protocol to answer with.
///
/// > In the event that the server supports no protocols that the client advertises, then the server SHALL respond with a
/// > fatal "no_application_protocol" alert. (RFC 7301, section 3.2)
pub(crate) fn choose_protocol(
    hello: &ClientHello,
    config: &Config,
) -> Result<Option<Vec<u8>>, HandshakeError> {
    match &hello.extensions.alpn {
        Some(offered) if !config.alpn.is_empty() => {
            let common = config.common_protocol(offered);
            common
                .map(Some)
                .ok_or_else(|| HandshakeError::NoApplicationProtocol(offered.clone()))
        }
        _ => Ok(None),
    }
}

/// Our record size limit, where the client takes one.
pub(crate) fn answered_limit(hello: &ClientHello, config: &Config) -> Option<u16> {
    hello.extensions.record_size_limit.and(config.record_size_limit)
}

/// Our connection ID and the client's, if both take part.
pub(crate) fn chosen_cids(hello: &ClientHello, config: &Config) -> Option<(Vec<u8>, Vec<u8>)> {
    config
        .connection_id
        .clone()
        .zip(hello.extensions.connection_id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::PeerIdentity;
    use crate::config::Role;
    use crate::extension::ClientExtensions;
    use crate::suite::CipherSuite;

    fn chosen(
        legacy: u16,
        versions: Option<Vec<u16>>,
        change: impl FnOnce(&mut Config),
    ) -> Result<Version, HandshakeError> {
        let mut config = Config::new(Role::Server, None, PeerIdentity::AnyCertificate);
        change(&mut config);
        let hello = ClientHello {
            version: legacy,
            random: [1; 32],
            session_id: vec![],
            cookie: vec![],
            cipher_suites: vec![0x1301],
            compression_methods: vec![0],
            extensions: ClientExtensions {
                supported_versions: versions,
                ..Default::default()
            },
        };
        version(&hello, &config)
    }

    #[test]
    fn the_best_version_of_both_is_taken() {
        let (v12, v13) = (Ok(Version::Dtls12), Ok(Version::Dtls13));
        assert_eq!(chosen(0xFEFD, None, |_| ()), v12);
        assert_eq!(
            chosen(0xFEFC, None, |_| ()),
            v12,
            "a later one offers all earlier ones"
        );
        assert_eq!(chosen(0xFEFD, Some(vec![0xFEFD, 0xFEFC]), |_| ()), v13);
        assert_eq!(
            chosen(0x0303, Some(vec![0xFEFD]), |_| ()),
            v12,
            "the list alone counts"
        );
        let only_12 = |config: &mut Config| config.max_version = Version::Dtls12;
        assert_eq!(chosen(0xFEFD, Some(vec![0xFEFC, 0xFEFD]), only_12), v12);
        let no_suite =
            |config: &mut Config| config.cipher_suites = vec![CipherSuite::EcdheEcdsaAes128GcmSha256];
        assert_eq!(chosen(0xFEFD, Some(vec![0xFEFC, 0xFEFD]), no_suite), v12);
    }

    #[test]
    fn versions_that_are_not_allowed_are_refused() {
        let only_12 = |config: &mut Config| config.max_version = Version::Dtls12;
        let only_13 = |config: &mut Config| config.min_version = Version::Dtls13;
        let version = |code| Err(HandshakeError::Version(code));
        assert_eq!(chosen(0xFEFF, None, |_| ()), version(0xFEFF));
        assert_eq!(chosen(0x0303, None, |_| ()), version(0x0303));
        assert_eq!(chosen(0xFEFD, None, only_13), version(0xFEFD));
        assert_eq!(chosen(0xFEFD, Some(vec![0xFEFC]), only_12), version(0xFEFC));
    }
}
