//! The error paths of RFC 8489, one table for each side and rule: what a client makes of responses that refuse, lie or
//! lack something, and what a server makes of such requests.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transport};
use dunlin_stun::long_term::{ChallengeError, Credentials, Identity, Refusal, Verifier};
use dunlin_stun::{
    BindingServer, Class, Client, Config, Event, Failure, IntegrityError, IntegrityKey, Message, Method,
    PasswordAlgorithm, TransactionId, Writer, attribute, userhash,
};

const REALM: &str = "example.org";
/// It promises password algorithms (RFC 8489, section 18.1).
const NONCE: &[u8] = b"obMatJos2gAAAnonce";
const BOTH: [PasswordAlgorithm; 2] = [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5];
const MAPPED: &str = "203.0.113.9:4000";

#[expect(clippy::disallowed_methods, reason = "a base to count virtual time from")]
fn base() -> Instant {
    Instant::now()
}

fn path(transport: Transport) -> Path {
    let mut path = Path::udp(
        "192.0.2.1:5000".parse().unwrap(),
        "198.51.100.1:3478".parse().unwrap(),
    );
    path.transport = transport;
    path
}

fn key() -> IntegrityKey {
    IntegrityKey::long_term_sha256("george", REALM, "secret")
}

/// A client with credentials and the request that it has sent.
struct Asking {
    client: Client,
    transport: Transport,
    now: Instant,
    request: Vec<u8>,
}

impl Asking {
    /// Its first request, which carries no credentials yet.
    fn first(transport: Transport) -> Self {
        let mut config = Config::new(path(transport));
        config.credentials = Some(Credentials {
            username: "george".to_owned(),
            password: "secret".to_owned(),
        });
        let now = base();
        let client = Client::new(config, [1; 32], now);
        let mut asking = Self {
            client,
            transport,
            now,
            request: Vec::new(),
        };
        assert!(asking.asks());
        asking
    }

    /// Its second request, which answers a challenge.
    fn signed(transport: Transport) -> Self {
        let mut asking = Self::first(transport);
        asking.answer(Class::Error, |writer| challenge(writer, 401, NONCE));
        assert!(asking.asks());
        asking
    }

    fn asks(&mut self) -> bool {
        self.request.clear();
        self.client.poll_transmit(self.now, &mut self.request).is_some()
    }

    fn answer(&mut self, class: Class, write: impl FnOnce(&mut Writer<'_>)) {
        let id = Message::parse(&self.request).unwrap().transaction_id();
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out, class, Method::BINDING, id));
        self.client
            .handle_datagram(self.now, path(self.transport), BytesMut::from(&out[..]));
    }
}

fn challenge(writer: &mut Writer<'_>, code: u16, nonce: &[u8]) {
    writer
        .error_code(code, "")
        .realm(REALM.as_bytes())
        .nonce(nonce)
        .password_algorithms(&BOTH);
}

/// What a response leads to.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// "as if it had never been received"
    Ignored,
    Understood,
    Failed(Failure),
}

fn outcome(asking: &mut Asking) -> Outcome {
    match asking.client.poll_event() {
        None => {
            assert!(!asking.client.is_closed());
            Outcome::Ignored
        }
        Some(Event::Failed(failure)) => Outcome::Failed(failure),
        Some(event) => {
            assert_eq!(event, Event::MappedAddress(MAPPED.parse().unwrap()));
            Outcome::Understood
        }
    }
}

type Write<'a> = &'a dyn Fn(&mut Writer<'_>);

fn mapped(writer: &mut Writer<'_>) {
    writer.xor_mapped_address(MAPPED.parse().unwrap());
}

/// A response, and what it leads to over UDP and over TCP.
type Case<'a> = (&'a str, Class, Write<'a>, Outcome, Outcome);

fn check<const N: usize>(cases: [Case<'_>; N]) {
    for (what, class, write, over_udp, over_tcp) in cases {
        for (transport, expected) in [(Transport::Udp, over_udp), (Transport::Tcp, over_tcp)] {
            let mut asking = Asking::signed(transport);
            asking.answer(class, write);
            let outcome = outcome(&mut asking);
            assert_eq!(outcome, expected, "{what} over {transport}");
            if outcome == Outcome::Ignored {
                assert_eq!(asking.client.stats().dropped_unauthentic, 1, "{what}");
                // The true response may still come; and if none does, that is no simple timeout.
                while let Some(due) = asking.client.poll_timeout() {
                    asking.client.handle_timeout(due);
                    let _ = asking.client.poll_transmit(due, &mut Vec::new());
                }
                let end = Some(Event::Failed(Failure::Tampered));
                assert_eq!(asking.client.poll_event(), end, "{what} over {transport}");
            }
        }
    }
}

/// RFC 8489, section 9.2.5, for the response to a request that was signed.
#[test]
fn responses_to_a_signed_request_that_are_not_believed() {
    use Class::{Error, Success};
    use Outcome::{Failed, Ignored};
    let tampered = || Failed(Failure::Tampered);
    check([
        // "does not contain either the MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 attribute, then the response MUST be
        // discarded, as if it were never received": over any transport.
        (
            "an unsigned 400",
            Error,
            &|w| _ = w.error_code(400, ""),
            Ignored,
            Ignored,
        ),
        (
            "an unsigned 500",
            Error,
            &|w| _ = w.error_code(500, ""),
            Ignored,
            tampered(),
        ),
        ("an unsigned success", Success, &mapped, Ignored, tampered()),
        (
            "another key's success",
            Success,
            &|w| {
                mapped(w);
                w.integrity_sha256(&IntegrityKey::short_term("guess"));
            },
            Ignored,
            tampered(),
        ),
        (
            "the weaker integrity",
            Success,
            &|w| {
                mapped(w);
                w.integrity(&key());
            },
            Ignored,
            tampered(),
        ),
        // "if the NONCE attribute starts with the "nonce cookie" with the STUN Security Feature "Password algorithms" bit
        // set to 1 but PASSWORD-ALGORITHMS is not present, the response MUST be ignored."
        (
            "a bid-down",
            Success,
            &|w| {
                mapped(w);
                w.nonce(NONCE).integrity_sha256(&key());
            },
            Ignored,
            Ignored,
        ),
    ]);
}

/// RFC 8489, sections 6.3.3 and 6.3.4, for the response to a request that was signed.
#[test]
fn responses_to_a_signed_request_that_are_believed() {
    use Class::{Error, Success};
    use Outcome::{Failed, Understood};
    let not_understood = || Failed(Failure::NotUnderstood);
    let refused = |code| Failed(Failure::Refused(code));
    check([
        (
            "a signed 400",
            Error,
            &|w| _ = w.error_code(400, "").integrity_sha256(&key()),
            refused(400),
            refused(400),
        ),
        (
            "a signed 500",
            Error,
            &|w| _ = w.error_code(500, "").integrity_sha256(&key()),
            refused(500),
            refused(500),
        ),
        (
            "an unknown attribute in a success",
            Success,
            &|w| {
                mapped(w);
                w.attribute(0x7fff, b"new").integrity_sha256(&key());
            },
            not_understood(),
            not_understood(),
        ),
        (
            "an unknown attribute in an error",
            Error,
            &|w| {
                _ = w
                    .error_code(500, "")
                    .attribute(0x7fff, b"new")
                    .integrity_sha256(&key())
            },
            not_understood(),
            not_understood(),
        ),
        (
            "an error without a code",
            Error,
            &|w| _ = w.integrity_sha256(&key()),
            not_understood(),
            not_understood(),
        ),
        // "Unknown comprehension-optional attributes MUST be ignored by the agent. Known-but-unexpected attributes SHOULD be
        // ignored by the agent": section 9.2.4 only says that REALM, NONCE and USERNAME "SHOULD NOT" be in a response.
        (
            "attributes that are not expected",
            Success,
            &|w| {
                w.username(b"george").realm(REALM.as_bytes()).nonce(b"of old");
                w.error_code(400, "").attribute(0xff00, b"new");
                mapped(w);
                w.integrity_sha256(&key());
            },
            Understood,
            Understood,
        ),
        (
            "no address",
            Success,
            &|w| _ = w.integrity_sha256(&key()),
            not_understood(),
            not_understood(),
        ),
    ]);
}

/// RFC 8489, sections 6.3.4 and 9.2.5, for the response to a request without credentials.
#[test]
fn what_a_client_makes_of_responses_to_its_first_request() {
    let incomplete = || Failure::Challenge(ChallengeError::Incomplete);
    let long = [0, 9, 0, 0].repeat(16_365);
    let long = [&[0, 2, 0, 0][..], &long].concat();
    let cases: [(&str, Write<'_>, Failure); 10] = [
        (
            "a 401 without a realm",
            &|w| _ = w.error_code(401, "").nonce(NONCE).password_algorithms(&BOTH),
            incomplete(),
        ),
        (
            "a 401 without a nonce",
            &|w| _ = w.error_code(401, "").realm(b"r").password_algorithms(&BOTH),
            incomplete(),
        ),
        (
            "a realm that is not UTF-8",
            &|w| _ = w.error_code(401, "").realm(b"\xff").nonce(b"n"),
            incomplete(),
        ),
        // It would be echoed in every request.
        (
            "a list of algorithms that fills the message",
            &|w| {
                w.error_code(401, "").realm(b"r").nonce(NONCE);
                w.attribute(attribute::PASSWORD_ALGORITHMS, &long);
            },
            incomplete(),
        ),
        (
            "a bid-down",
            &|w| _ = w.error_code(401, "").realm(b"r").nonce(NONCE),
            Failure::Challenge(ChallengeError::BidDown),
        ),
        (
            "no algorithm that we know",
            &|w| {
                w.error_code(401, "").realm(b"r").nonce(NONCE);
                w.password_algorithms(&[PasswordAlgorithm(9)]);
            },
            Failure::Challenge(ChallengeError::NoCommonAlgorithm),
        ),
        (
            "an unknown attribute in a 401",
            &|w| {
                challenge(w, 401, NONCE);
                w.attribute(0x7fff, b"new");
            },
            Failure::NotUnderstood,
        ),
        ("an error without a code", &|_| {}, Failure::NotUnderstood),
        (
            "a code out of range",
            &|w| _ = w.attribute(attribute::ERROR_CODE, &[0, 0, 7, 0]),
            Failure::NotUnderstood,
        ),
        // Section 14.8: receivers "MUST validate" its integrity "before redirecting themselves".
        (
            "an unsigned redirection",
            &|w| {
                _ = w
                    .error_code(300, "")
                    .alternate_server("198.51.100.2:3478".parse().unwrap())
            },
            Failure::Refused(300),
        ),
    ];
    for (what, write, failure) in cases {
        let mut asking = Asking::first(Transport::Udp);
        asking.answer(Class::Error, write);
        assert_eq!(outcome(&mut asking), Outcome::Failed(failure), "{what}");
        assert!(!asking.asks() && asking.client.poll_timeout().is_none(), "{what}");
    }
}

/// RFC 8489, section 9.2.5: "the client MUST retry the request, using the new NONCE attribute supplied in the 438 (Stale
/// Nonce) response", be it the first that it hears.
#[test]
fn a_stale_nonce_is_answered_before_and_after_a_401_but_not_twice() {
    for mut asking in [Asking::first(Transport::Udp), Asking::signed(Transport::Udp)] {
        let fresh = b"obMatJos2gAAAfresh";
        asking.answer(Class::Error, |writer| challenge(writer, 438, fresh));
        assert!(asking.asks());
        assert_eq!(Message::parse(&asking.request).unwrap().nonce(), Some(&fresh[..]));
        asking.answer(Class::Error, |writer| challenge(writer, 438, fresh));
        assert_eq!(outcome(&mut asking), Outcome::Failed(Failure::Refused(438)));
    }
}

/// RFC 8489, section 9.2.5: "The client MUST NOT perform this retry if it is not changing the USERNAME, USERHASH, REALM, or
/// its associated password": with another realm it is changing it, though not for ever.
///
/// ```text
/// client                              server
///   |--- Binding, realm A ------------->|
///   |<-- 401, realm B ------------------|
///   |--- Binding, realm B ------------->|
/// ```
#[test]
fn a_401_of_another_realm_is_answered_a_few_times() {
    let mut asking = Asking::signed(Transport::Udp);
    let mut realms = 0;
    loop {
        realms += 1;
        let realm = format!("realm {realms}");
        asking.answer(Class::Error, |writer| {
            writer.error_code(401, "").realm(realm.as_bytes()).nonce(NONCE);
            writer.password_algorithms(&BOTH);
        });
        if !asking.asks() {
            break;
        }
        let request = Message::parse(&asking.request).unwrap();
        assert_eq!(request.realm(), Some(realm.as_bytes()));
        let key = IntegrityKey::long_term_sha256("george", &realm, "secret");
        assert_eq!(request.verify_integrity(&key), Ok(()));
    }
    assert!((2..10).contains(&realms), "{realms}");
    assert_eq!(outcome(&mut asking), Outcome::Failed(Failure::WrongCredentials));
}

/// RFC 8489, section 14.3: "a UTF-8-encoded sequence of fewer than 509 bytes".
#[test]
fn a_username_that_no_server_needs_to_take_is_not_sent() {
    for (len, sent) in [(508, true), (509, false)] {
        let mut config = Config::new(path(Transport::Udp));
        config.credentials = Some(Credentials {
            username: "u".repeat(len),
            password: "secret".to_owned(),
        });
        let now = base();
        let mut asking = Asking {
            client: Client::new(config, [1; 32], now),
            transport: Transport::Udp,
            now,
            request: Vec::new(),
        };
        assert!(asking.asks());
        asking.answer(Class::Error, |writer| challenge(writer, 401, NONCE));
        assert_eq!(asking.asks(), sent);
        let too_long = Event::Failed(Failure::Challenge(ChallengeError::UsernameTooLong));
        assert_eq!(asking.client.poll_event(), (!sent).then_some(too_long));
    }
}

/// RFC 8489, section 6.2.2: "Ti SHOULD be configurable and SHOULD have a default of 39.5 s."
#[test]
fn the_patience_over_tcp_is_configurable() {
    let now = base();
    let mut config = Config::new(path(Transport::Tcp));
    config.reliable_timeout = Duration::from_secs(5);
    let mut client = Client::new(config, [1; 32], now);
    assert!(client.poll_transmit(now, &mut Vec::new()).is_some());
    assert_eq!(client.poll_timeout(), Some(now + Duration::from_secs(5)));
}

/// RFC 8489, sections 9.2.4 and 14.5: which of several integrity attributes counts, and what counts as one.
#[test]
fn the_first_integrity_counts_and_a_stronger_one_behind_it() {
    let (good, bad) = (key(), IntegrityKey::short_term("guess"));
    let cases: [(&str, Write<'_>, Result<(), IntegrityError>); 8] = [
        (
            "twice, the first good",
            &|w| _ = w.integrity(&good).integrity(&bad),
            Ok(()),
        ),
        (
            "twice, the first bad",
            &|w| _ = w.integrity(&bad).integrity(&good),
            Err(IntegrityError::Mismatch),
        ),
        (
            "both good",
            &|w| _ = w.integrity(&good).integrity_sha256(&good),
            Ok(()),
        ),
        // "If the MESSAGE-INTEGRITY-SHA256 attribute is present, compute the value [...] as described in Section 14.6":
        // the weaker one beside it does not help, nor harm.
        (
            "the stronger bad",
            &|w| _ = w.integrity(&good).integrity_sha256(&bad),
            Err(IntegrityError::Mismatch),
        ),
        (
            "the weaker bad",
            &|w| _ = w.integrity(&bad).integrity_sha256(&good),
            Ok(()),
        ),
        (
            "in the wrong order",
            &|w| _ = w.integrity_sha256(&good).integrity(&bad),
            Ok(()),
        ),
        // Section 14.7: FINGERPRINT "MUST be the last attribute"; one that is not is an attribute like others.
        (
            "behind a fingerprint",
            &|w| _ = w.fingerprint().integrity(&good),
            Ok(()),
        ),
        (
            "none but a fingerprint",
            &|w| _ = w.fingerprint(),
            Err(IntegrityError::Missing),
        ),
    ];
    for (what, write, expected) in cases {
        let mut out = Vec::new();
        write(&mut Writer::new(
            &mut out,
            Class::Request,
            Method::BINDING,
            TransactionId([1; 12]),
        ));
        let message = Message::parse(&out).unwrap();
        assert_eq!(message.verify_integrity(&good), expected, "{what}");
        let last = what == "none but a fingerprint";
        assert_eq!(message.verify_fingerprint(), last.then_some(true), "{what}");
    }
}

/// RFC 8489, section 9.2.4: "but is missing either the USERNAME or USERHASH, REALM, or NONCE attribute, the server MUST
/// generate an error response with an error code of 400"; "If the value of the USERNAME or USERHASH attribute is not valid,
/// the server MUST generate an error response with an error code of 401".
#[test]
fn a_server_refuses_credentials_that_lack_a_part_or_name_nobody() {
    let verifier = Verifier::new(REALM.to_owned(), &[3; 32], &[], true, Duration::from_secs(600));
    let find = |identity: Identity<'_>, _| {
        let known =
            identity == Identity::Name(b"george") || identity == Identity::Hash(userhash("george", REALM));
        known.then(|| IntegrityKey::long_term_md5("george", REALM, "secret").unwrap())
    };
    let key = IntegrityKey::long_term_md5("george", REALM, "secret").unwrap();
    let client = "192.0.2.1:5000".parse().unwrap();
    let mut challenge = Vec::new();
    verifier.challenge(
        Duration::ZERO,
        client,
        &mut Writer::new(
            &mut challenge,
            Class::Error,
            Method::BINDING,
            TransactionId([1; 12]),
        ),
    );
    let nonce = Message::parse(&challenge).unwrap().nonce().unwrap();
    let realm = REALM.as_bytes();
    let (hash, nobody) = (userhash("george", REALM), userhash("yoko", REALM));
    let cases: [(&str, Write<'_>, Result<(), Refusal>); 9] = [
        (
            "all",
            &|w| _ = w.username(b"george").realm(realm).nonce(nonce),
            Ok(()),
        ),
        (
            "all, by hash",
            &|w| _ = w.userhash(&hash).realm(realm).nonce(nonce),
            Ok(()),
        ),
        (
            "no name",
            &|w| _ = w.realm(realm).nonce(nonce),
            Err(Refusal::BadRequest),
        ),
        (
            "no realm",
            &|w| _ = w.username(b"george").nonce(nonce),
            Err(Refusal::BadRequest),
        ),
        (
            "no nonce",
            &|w| _ = w.username(b"george").realm(realm),
            Err(Refusal::BadRequest),
        ),
        (
            "a hash of the wrong length",
            &|w| {
                _ = w
                    .attribute(attribute::USERHASH, &hash[..31])
                    .realm(realm)
                    .nonce(nonce)
            },
            Err(Refusal::BadRequest),
        ),
        (
            "a hash of nobody",
            &|w| _ = w.userhash(&nobody).realm(realm).nonce(nonce),
            Err(Refusal::UnknownUser),
        ),
        // Names are compared as bytes: what is no UTF-8 is nobody's.
        (
            "a name that is not UTF-8",
            &|w| _ = w.username(b"george\xff").realm(realm).nonce(nonce),
            Err(Refusal::UnknownUser),
        ),
        (
            "somebody else's nonce",
            &|w| _ = w.username(b"george").realm(realm).nonce(b"obMatJos2QAAAnonce"),
            Err(Refusal::StaleNonce),
        ),
    ];
    for (what, write, expected) in cases {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([1; 12]));
        write(&mut writer);
        writer.integrity(&key);
        let request = Message::parse(&out).unwrap();
        let checked = verifier.check(Duration::ZERO, client, &request, find);
        assert_eq!(checked.map(|_| ()), expected, "{what}");
        // Without integrity it is a 401 in any case: "The response MUST include a NONCE".
        let mut out = Vec::new();
        write(&mut Writer::new(
            &mut out,
            Class::Request,
            Method::BINDING,
            TransactionId([1; 12]),
        ));
        let request = Message::parse(&out).unwrap();
        let checked = verifier.check(Duration::ZERO, client, &request, find);
        assert_eq!(checked.map(|_| ()), Err(Refusal::Unauthenticated), "{what}");
    }
}

/// RFC 8489, section 6.3: "It checks that the method value is a supported method. It checks that the message class is allowed
/// for the particular method. [...] If any errors are detected, the message is silently discarded."
#[test]
fn a_binding_server_is_silent_about_what_is_not_asked_of_it() {
    let server = BindingServer::default();
    let path = path(Transport::Udp).reversed();
    let answered = |class, method, spoil: bool| {
        let mut out = Vec::new();
        Writer::new(&mut out, class, method, TransactionId([1; 12])).fingerprint();
        if spoil {
            *out.last_mut().unwrap() ^= 1;
        }
        server.answer(path, &out, &mut Vec::new()).is_some()
    };
    assert!(answered(Class::Request, Method::BINDING, false));
    assert!(!answered(Class::Request, Method::BINDING, true));
    for class in [Class::Indication, Class::Success, Class::Error] {
        assert!(!answered(class, Method::BINDING, false), "{class:?}");
    }
    for method in [Method::ALLOCATE, Method::new(0x7ff)] {
        assert!(!answered(Class::Request, method, false), "{method:?}");
    }
}

/// RFC 8489, section 6.3.1: 420 for what is unknown, not for what is known and not expected: a client that has credentials
/// for the same server's relays sends them in all its requests (section 9.2.3.2). Whoever uses FINGERPRINT gets it.
#[test]
fn a_binding_server_refuses_what_is_unknown_and_ignores_what_is_not_expected() {
    let server = BindingServer::default();
    let path = path(Transport::Udp).reversed();
    let cases: [(Write<'_>, &[u16]); 4] = [
        (&|_| {}, &[]),
        (
            &|w| {
                w.username(b"george").realm(REALM.as_bytes()).nonce(NONCE);
                w.userhash(&[1; 32]).password_algorithms(&BOTH);
                w.password_algorithm(PasswordAlgorithm::SHA256);
                mapped(w);
                w.error_code(400, "").integrity_sha256(&key());
            },
            &[],
        ),
        (&|w| _ = w.attribute(0xff00, b"optional"), &[]),
        (
            &|w| _ = w.attribute(0x7f00, b"").realm(b"r").attribute(0x7f01, b"x"),
            &[0x7f00, 0x7f01],
        ),
    ];
    for (index, (write, unknown)) in cases.into_iter().enumerate() {
        for fingerprint in [false, true] {
            let (mut request, mut answer) = (Vec::new(), Vec::new());
            let mut writer = Writer::new(
                &mut request,
                Class::Request,
                Method::BINDING,
                TransactionId([1; 12]),
            );
            write(&mut writer);
            if fingerprint {
                writer.fingerprint();
            }
            assert!(server.answer(path, &request, &mut answer).is_some());
            let answer = Message::parse(&answer).unwrap();
            let code = answer.error_code().map(|error| error.code);
            assert_eq!(code, (!unknown.is_empty()).then_some(420), "case {index}");
            assert_eq!(
                answer.unknown_attributes().collect::<Vec<_>>(),
                unknown,
                "case {index}"
            );
            let expected = fingerprint.then_some(true);
            assert_eq!(answer.verify_fingerprint(), expected, "case {index}");
        }
    }
}
