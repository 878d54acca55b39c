//! Long-term credentials, both sides against each other (RFC 8489, section 9.2).

use std::cell::Cell;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transport};
use dunlin_stun::long_term::{Authenticator, ChallengeError, Credentials, Identity, Refusal, Verifier};
use dunlin_stun::{
    Class, Client, Config, Event, Failure, IntegrityKey, Message, Method, PasswordAlgorithm, TransactionId,
    Writer, code, userhash,
};

const BOTH: [PasswordAlgorithm; 2] = [PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5];
const REALM: &str = "example.org";

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

fn credentials(password: &str) -> Credentials {
    Credentials {
        username: "george".to_owned(),
        password: password.to_owned(),
    }
}

fn verifier(algorithms: &[PasswordAlgorithm], anonymity: bool) -> Verifier {
    Verifier::new(
        REALM.to_owned(),
        &[3; 32],
        algorithms,
        anonymity,
        Duration::from_secs(600),
    )
}

fn key(identity: Identity<'_>, algorithm: PasswordAlgorithm) -> Option<IntegrityKey> {
    let known = match identity {
        Identity::Name(name) => name == b"george",
        Identity::Hash(hash) => hash == userhash("george", REALM),
    };
    known.then(|| match algorithm {
        PasswordAlgorithm::SHA256 => IntegrityKey::long_term_sha256("george", REALM, "secret"),
        _ => IntegrityKey::long_term_md5("george", REALM, "secret").unwrap(),
    })
}

/// What a server answers at a given age.
fn answer(verifier: &Verifier, age: u64, data: &[u8]) -> Vec<u8> {
    let (request, client) = (Message::parse(data).unwrap(), path(Transport::Udp).local);
    let age = Duration::from_secs(age);
    let mut out = Vec::new();
    match verifier.check(age, client, &request, key) {
        Ok(verified) => {
            let mut writer = Writer::success(&mut out, &request);
            writer.xor_mapped_address(client);
            verified.sign(&mut writer);
        }
        Err(refusal) => {
            let mut writer = Writer::error(&mut out, &request, refusal.code(), "");
            if refusal != Refusal::BadRequest {
                let before = writer.finish();
                verifier.challenge(age, client, &mut writer);
                assert_eq!(writer.finish(), before + verifier.challenge_len());
            }
        }
    }
    out
}

fn client(password: &str, transport: Transport, now: Instant) -> Client {
    let mut config = Config::new(path(transport));
    config.credentials = Some(credentials(password));
    Client::new(config, [1; 32], now)
}

/// Lets the client ask until it is silent; answers with the requests.
fn talk(
    client: &mut Client,
    verifier: &Verifier,
    transport: Transport,
    now: Instant,
    age: u64,
) -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    loop {
        let mut request = Vec::new();
        if client.poll_transmit(now, &mut request).is_none() {
            return requests;
        }
        let response = answer(verifier, age, &request);
        client.handle_datagram(now, path(transport), BytesMut::from(&response[..]));
        requests.push(request);
        assert!(requests.len() < 20, "an endless conversation");
    }
}

#[test]
fn a_challenge_is_answered_with_every_algorithm_and_with_a_hash_of_the_name() {
    for (algorithms, anonymity) in [
        (&BOTH[..], false),
        (&BOTH[..], true),
        (&BOTH[1..], false),
        (&[], false),
    ] {
        let now = base();
        let verifier = verifier(algorithms, anonymity);
        let mut client = client("secret", Transport::Udp, now);
        let requests = talk(&mut client, &verifier, Transport::Udp, now, 0);
        assert_eq!(requests.len(), 2);
        assert_eq!(
            client.poll_event(),
            Some(Event::MappedAddress(path(Transport::Udp).local))
        );
        let last = Message::parse(&requests[1]).unwrap();
        assert_eq!(last.userhash().is_some(), anonymity);
        assert_eq!(last.password_algorithm(), algorithms.first().copied());
        assert_eq!(last.has_integrity_sha256(), !algorithms.is_empty());
        // "The client SHOULD cache the username, password, realm, and nonce": one request from now on,
        let refresh = now + Duration::from_secs(15);
        client.handle_timeout(refresh);
        assert_eq!(talk(&mut client, &verifier, Transport::Udp, refresh, 15).len(), 1);
        // and two when the nonce has become stale.
        let later = refresh + Duration::from_secs(15);
        client.handle_timeout(later);
        assert_eq!(talk(&mut client, &verifier, Transport::Udp, later, 700).len(), 2);
        assert_eq!((client.poll_event(), client.is_closed()), (None, false));
    }
}

#[test]
fn a_wrong_password_is_tried_once_and_named() {
    let now = base();
    let mut client = client("guess", Transport::Udp, now);
    assert_eq!(
        talk(&mut client, &verifier(&BOTH, false), Transport::Udp, now, 0).len(),
        2
    );
    assert_eq!(
        client.poll_event(),
        Some(Event::Failed(Failure::WrongCredentials))
    );
}

#[test]
fn a_server_that_finds_every_nonce_stale_is_left() {
    let now = base();
    let verifier = verifier(&BOTH, false);
    let mut client = client("secret", Transport::Udp, now);
    let age = Cell::new(0);
    for _ in 0..20 {
        let mut request = Vec::new();
        if client.poll_transmit(now, &mut request).is_none() {
            break;
        }
        age.set(age.get() + 1000);
        let response = answer(&verifier, age.get(), &request);
        client.handle_datagram(now, path(Transport::Udp), BytesMut::from(&response[..]));
    }
    assert_eq!(
        client.poll_event(),
        Some(Event::Failed(Failure::Refused(code::STALE_NONCE)))
    );
}

/// RFC 8489, section 9.2.5: over UDP "as if it had never been received", over TCP an end at once; then "signal that
/// the integrity protection was violated".
#[test]
fn responses_without_integrity_are_not_believed() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let now = base();
        let verifier = verifier(&BOTH, false);
        let mut client = client("secret", transport, now);
        let mut request = Vec::new();
        assert!(client.poll_transmit(now, &mut request).is_some());
        let challenge = answer(&verifier, 0, &request);
        client.handle_datagram(now, path(transport), BytesMut::from(&challenge[..]));
        request.clear();
        assert!(client.poll_transmit(now, &mut request).is_some());
        let mut forged = Vec::new();
        Writer::success(&mut forged, &Message::parse(&request).unwrap())
            .xor_mapped_address("203.0.113.66:6".parse().unwrap());
        client.handle_datagram(now, path(transport), BytesMut::from(&forged[..]));
        if transport == Transport::Udp {
            assert_eq!((client.poll_event(), client.is_closed()), (None, false));
            while let Some(due) = client.poll_timeout() {
                client.handle_timeout(due);
                let _ = client.poll_transmit(due, &mut Vec::new());
            }
        }
        assert_eq!(
            client.poll_event(),
            Some(Event::Failed(Failure::Tampered)),
            "{transport}"
        );
        assert_eq!(client.stats().dropped_unauthentic, 1);
    }
}

/// RFC 8489, section 10 and 14.8: followed only when it is authentic.
#[test]
fn a_redirection_is_told_when_it_is_authentic() {
    for signed in [true, false] {
        let now = base();
        let verifier = verifier(&BOTH, false);
        let mut client = client("secret", Transport::Tcp, now);
        let mut request = Vec::new();
        assert!(client.poll_transmit(now, &mut request).is_some());
        let challenge = answer(&verifier, 0, &request);
        client.handle_datagram(now, path(Transport::Tcp), BytesMut::from(&challenge[..]));
        request.clear();
        assert!(client.poll_transmit(now, &mut request).is_some());
        let request = Message::parse(&request).unwrap();
        let mut redirect = Vec::new();
        let mut writer = Writer::error(&mut redirect, &request, 300, "Try Alternate");
        writer.alternate_server("198.51.100.2:3478".parse().unwrap());
        if signed {
            writer.integrity_sha256(&key(Identity::Name(b"george"), PasswordAlgorithm::SHA256).unwrap());
        }
        client.handle_datagram(now, path(Transport::Tcp), BytesMut::from(&redirect[..]));
        let expected = match signed {
            true => Failure::Redirected("198.51.100.2:3478".parse().unwrap()),
            false => Failure::Tampered,
        };
        assert_eq!(client.poll_event(), Some(Event::Failed(expected)));
    }
}

#[test]
fn a_later_challenge_without_sha256_is_a_bid_down() {
    let challenge = |verifier: &Verifier, code| {
        let mut request = Vec::new();
        Writer::new(
            &mut request,
            Class::Request,
            Method::BINDING,
            TransactionId([1; 12]),
        );
        let mut out = Vec::new();
        let mut writer = Writer::error(&mut out, &Message::parse(&request).unwrap(), code, "");
        verifier.challenge(Duration::ZERO, path(Transport::Udp).local, &mut writer);
        out
    };
    let first = challenge(&verifier(&BOTH, false), 401);
    let auth = Authenticator::answer(&credentials("secret"), &Message::parse(&first).unwrap()).unwrap();
    let second = challenge(&verifier(&[], false), 438);
    let renewed = auth.renew(&credentials("secret"), &Message::parse(&second).unwrap());
    assert_eq!(renewed.map(|_| ()), Err(ChallengeError::BidDown));
}

/// A request of some user, with what it says about password algorithms.
struct Request<'a> {
    username: Option<&'a [u8]>,
    list: Option<&'a [PasswordAlgorithm]>,
    chosen: Option<PasswordAlgorithm>,
    key: IntegrityKey,
    age: u64,
}

impl Request<'_> {
    /// What the server finds, and whether the response has the stronger integrity.
    fn check(&self) -> Result<bool, Refusal> {
        let (verifier, client) = (verifier(&BOTH, false), path(Transport::Udp).local);
        let mut challenge = Vec::new();
        let mut writer = Writer::new(
            &mut challenge,
            Class::Error,
            Method::ALLOCATE,
            TransactionId([1; 12]),
        );
        verifier.challenge(Duration::ZERO, client, &mut writer);
        let challenge = Message::parse(&challenge).unwrap();
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, Class::Request, Method::ALLOCATE, TransactionId([1; 12]));
        if let Some(username) = self.username {
            writer.username(username);
        }
        writer.realm(REALM.as_bytes()).nonce(challenge.nonce().unwrap());
        if let Some(list) = self.list {
            writer.password_algorithms(list);
        }
        match self.chosen {
            Some(chosen) => writer.password_algorithm(chosen).integrity_sha256(&self.key),
            None => writer.integrity(&self.key),
        };
        let request = Message::parse(&out).unwrap();
        let verified = verifier.check(Duration::from_secs(self.age), client, &request, key);
        verified.map(|verified| verified.sha256)
    }
}

fn good() -> Request<'static> {
    Request {
        username: Some(b"george"),
        list: Some(&BOTH),
        chosen: Some(PasswordAlgorithm::SHA256),
        key: key(Identity::Name(b"george"), PasswordAlgorithm::SHA256).unwrap(),
        age: 600,
    }
}

/// RFC 8489, section 9.2.4, in its order.
#[test]
fn a_server_refuses_in_the_order_of_the_rfc() {
    let wrong = IntegrityKey::short_term("wrong");
    let refusals = [
        (
            Request {
                username: None,
                key: wrong.clone(),
                ..good()
            },
            Refusal::BadRequest,
        ),
        // Only one of the two attributes, another list, an algorithm that is not on it.
        (Request { list: None, ..good() }, Refusal::BadRequest),
        (
            Request {
                chosen: None,
                ..good()
            },
            Refusal::BadRequest,
        ),
        (
            Request {
                list: Some(&BOTH[1..]),
                ..good()
            },
            Refusal::BadRequest,
        ),
        (
            Request {
                chosen: Some(PasswordAlgorithm(9)),
                ..good()
            },
            Refusal::BadRequest,
        ),
        (
            Request {
                username: Some(b"ringo"),
                ..good()
            },
            Refusal::UnknownUser,
        ),
        // A wrong password is told before a stale nonce.
        (
            Request {
                key: wrong,
                age: 601,
                ..good()
            },
            Refusal::WrongPassword,
        ),
        (Request { age: 601, ..good() }, Refusal::StaleNonce),
    ];
    for (index, (request, refusal)) in refusals.iter().enumerate() {
        assert_eq!(request.check(), Err(*refusal), "case {index}");
    }
    assert_eq!(good().check(), Ok(true));
    // "If the request contains neither [...] then the request is processed as though PASSWORD-ALGORITHM were MD5."
    let md5 = key(Identity::Name(b"george"), PasswordAlgorithm::MD5).unwrap();
    let old = Request {
        list: None,
        chosen: None,
        key: md5,
        ..good()
    };
    assert_eq!(old.check(), Ok(false));
}
