//! The error paths of a server, rule by rule: credentials, allocations and their refreshes (RFC 8656, sections 5 to 8).

mod raw;
mod world;

use std::net::{IpAddr, SocketAddr};

use dunlin_net::{Path, Transport};
use dunlin_stun::long_term::{Authenticator, SharedSecret};
use dunlin_stun::{AddressFamily, Class, Message, Method, TransactionId, Writer, attribute};
use dunlin_turn::attribute::{
    AdditionalAddressFamily, AddressErrorCode, ConnectionId, DontFragment, EvenPort, Lifetime,
    MobilityTicket, RequestedAddressFamily, RequestedTransport, ReservationToken,
};
use dunlin_turn::server::Config;
use raw::{Answer, Fate, PEER, PEER6, Raw, Write, bind, dual, home, lifetime, over_tcp, peer, udp};
use world::{at, credentials, path, server_config};

/// What a server refuses of Allocate requests, and with which code.
type Refused<'a> = (&'a str, Write<'a>, u16);

fn check(config: &Config, base: Write<'_>, cases: &[Refused<'_>]) {
    for (what, write, code) in cases {
        let mut raw = Raw::new(config.clone());
        let answer = raw.ask(home(), Method::ALLOCATE, &|w| {
            base(w);
            write(w);
        });
        assert_eq!(answer.code, Some(*code), "{what}");
        let stats = raw.server.stats();
        assert_eq!((stats.allocations, stats.refused), (0, 1), "{what}");
        assert!(
            raw.events.is_empty() && raw.server.poll_timeout().is_none(),
            "{what}"
        );
        let unknown: Vec<u16> = answer.message().unknown_attributes().collect();
        assert_eq!(unknown.len(), usize::from(*code == 420), "{what}");
    }
}

fn also(w: &mut Writer<'_>, family: Result<AddressFamily, u8>) {
    AdditionalAddressFamily(family).write(w);
}

/// RFC 8656, section 7.2, check 3.
#[test]
fn a_transport_that_is_missing_or_not_offered() {
    let malformed: Write<'_> = &|w| _ = w.attribute(attribute::REQUESTED_TRANSPORT, &[17]);
    check(
        &server_config(),
        &|_| {},
        &[
            ("none", &|_| {}, 400),
            ("a malformed one", malformed, 400),
            ("SCTP", &|w| RequestedTransport(132).write(w), 442),
            ("TCP, where it is not offered", &over_tcp, 442),
        ],
    );
}

/// RFC 8656, section 7.2, checks 4 to 9, and RFC 8016, section 3.1.2.
#[test]
fn allocate_requests_that_ask_for_what_does_not_go_together_or_does_not_exist() {
    const V4: RequestedAddressFamily = RequestedAddressFamily(Ok(AddressFamily::Ipv4));
    const V6: Result<AddressFamily, u8> = Ok(AddressFamily::Ipv6);
    const TOKEN: ReservationToken = ReservationToken(*b"reserved");
    const NEXT: EvenPort = EvenPort { reserve_next: true };
    let token_and: [Write<'_>; 3] = [
        &|w| {
            TOKEN.write(w);
            EvenPort { reserve_next: false }.write(w);
        },
        &|w| {
            TOKEN.write(w);
            V4.write(w);
        },
        &|w| {
            TOKEN.write(w);
            also(w, V6);
        },
    ];
    check(
        &server_config(),
        &udp,
        &[
            (
                "DONT-FRAGMENT, which the parent cannot",
                &|w| DontFragment.write(w),
                420,
            ),
            ("a token and an even port", token_and[0], 400),
            ("a token and a family", token_and[1], 400),
            ("a token and an additional family", token_and[2], 400),
            ("a token that nobody gave", &|w| TOKEN.write(w), 508),
            (
                "both family attributes",
                &|w| {
                    V4.write(w);
                    also(w, V6);
                },
                400,
            ),
            (
                "an unknown family",
                &|w| RequestedAddressFamily(Err(9)).write(w),
                440,
            ),
            ("IPv4 in addition", &|w| also(w, Ok(AddressFamily::Ipv4)), 400),
            ("an unknown family in addition", &|w| also(w, Err(9)), 400),
            (
                "IPv6 in addition and a port in reserve",
                &|w| {
                    also(w, V6);
                    NEXT.write(w);
                },
                400,
            ),
            ("a ticket", &|w| MobilityTicket(b"ticket").write(w), 400),
            ("an unknown attribute", &|w| _ = w.attribute(0x7f00, b"new"), 420),
        ],
    );
    let mut config = server_config();
    (config.mobility, config.ipv6) = (false, false);
    check(
        &config,
        &udp,
        &[
            (
                "a ticket, of a server without mobility",
                &|w| MobilityTicket(&[]).write(w),
                405,
            ),
            (
                "IPv6, of a server without",
                &|w| RequestedAddressFamily(V6).write(w),
                440,
            ),
        ],
    );
    // "If the REQUESTED-ADDRESS-FAMILY attribute is absent and the server does not support the IPv4 address family".
    config.ipv4 = false;
    check(&config, &udp, &[("nothing", &|_| {}, 440)]);
}

/// What is malformed is not taken for absent: that would give something else than was asked for.
#[test]
fn allocate_requests_with_malformed_attributes() {
    for (kind, value) in [
        (attribute::LIFETIME, &[0, 0, 1][..]),
        (attribute::REQUESTED_ADDRESS_FAMILY, &[1]),
        (attribute::ADDITIONAL_ADDRESS_FAMILY, &[2]),
        (attribute::EVEN_PORT, &[0, 0, 0, 0]),
        (attribute::RESERVATION_TOKEN, b"short"),
    ] {
        let write: Write<'_> = &|w| _ = w.attribute(kind, value);
        check(&server_config(), &udp, &[(&format!("{kind:#06x}"), write, 400)]);
    }
}

/// RFC 8489, section 6.3.1: UNKNOWN-ATTRIBUTES "lists the unknown comprehension-required attributes".
#[test]
fn all_unknown_attributes_are_named() {
    let mut raw = Raw::new(server_config());
    let answer = raw.ask(home(), Method::REFRESH, &|w| {
        for kind in (0x7f00..0x7f20).chain(0xff00..0xff20) {
            w.attribute(kind, &[]);
        }
    });
    assert_eq!(answer.code, Some(420));
    let unknown: Vec<u16> = answer.message().unknown_attributes().collect();
    assert_eq!(unknown, (0x7f00..0x7f20).collect::<Vec<u16>>());
}

/// RFC 8489, section 6.3: "Known-but-unexpected attributes SHOULD be ignored by the agent."
#[test]
fn attributes_that_are_not_expected_are_ignored() {
    let mut raw = Raw::new(server_config());
    let answer = raw.ask(home(), Method::ALLOCATE, &|writer| {
        udp(writer);
        writer.xor_mapped_address(at(PEER)).mapped_address(at(PEER));
        writer
            .xor_relayed_address(at(PEER))
            .data(b"data")
            .error_code(400, "");
        ConnectionId(7).write(writer);
        writer.attribute(0xff00, b"optional");
    });
    assert_eq!(answer.code, None);
}

/// RFC 8656, section 7.2: of two families one may fail.
#[test]
fn of_two_families_the_missing_one_is_named() {
    for (missing, code) in [
        (AddressFamily::Ipv4, 440),
        (AddressFamily::Ipv6, 440),
        (AddressFamily::Ipv4, 508),
        (AddressFamily::Ipv6, 508),
    ] {
        let mut config = server_config();
        if code == 440 {
            config.ipv4 = missing != AddressFamily::Ipv4;
            config.ipv6 = missing != AddressFamily::Ipv6;
        }
        let mut raw = Raw::new(config);
        raw.no_sockets = Some(missing).filter(|_| code == 508);
        let answer = raw.ask(home(), Method::ALLOCATE, &dual);
        let message = answer.message();
        let error = AddressErrorCode::read(&message).expect("an ADDRESS-ERROR-CODE");
        assert_eq!(
            (answer.code, error.family, error.error.code),
            (None, missing, code)
        );
        assert_eq!(message.xor_addresses(attribute::XOR_RELAYED_ADDRESS).count(), 1);
        // Section 10.2: there is no relayed address for peers of this family.
        let stranger = [PEER, PEER6][usize::from(missing == AddressFamily::Ipv6)];
        let answer = raw.ask(home(), Method::CREATE_PERMISSION, &|writer| {
            peer(writer, stranger)
        });
        assert_eq!(answer.code, Some(443));
    }
}

/// RFC 8656, section 7.2: "the server computes the minimum of the client's proposed lifetime and the server's maximum allowed
/// lifetime"; "Otherwise, the server uses the default lifetime."
#[test]
fn lifetimes_are_no_shorter_than_the_default_and_no_longer_than_the_maximum() {
    for (asked, given) in [(0, 600), (100, 600), (1200, 1200), (4_000_000_000, 3600)] {
        let mut raw = Raw::new(server_config());
        let answer = raw.ask(home(), Method::ALLOCATE, &|w| {
            udp(w);
            lifetime(asked).write(w);
        });
        assert_eq!(Lifetime::read(&answer.message()), Some(lifetime(given)));
        if asked > 0 {
            let answer = raw.ask(home(), Method::REFRESH, &|w| lifetime(asked).write(w));
            assert_eq!(Lifetime::read(&answer.message()), Some(lifetime(given)));
        }
    }
}

/// RFC 8656, sections 5 and 7.2.
///
/// ```text
/// client                               server
///   |--- Allocate, id 1 --------------->|
///   |<-- success -----------------------|  lost
///   |--- Allocate, id 1 --------------->|
///   |<-- the same success --------------|
///   |--- Allocate, id 2 --------------->|
///   |<-- 437 ---------------------------|
/// ```
#[test]
fn an_allocate_request_is_granted_once_per_five_tuple() {
    let mut raw = Raw::new(server_config());
    let id = raw.id();
    let relayed = |answer: Option<Answer>| answer.unwrap().message().xor_relayed_address();
    let first = relayed(raw.ask_as(id, home(), Method::ALLOCATE, &udp));
    assert!(first.is_some());
    assert_eq!(relayed(raw.ask_as(id, home(), Method::ALLOCATE, &udp)), first);
    assert_eq!(raw.ask(home(), Method::ALLOCATE, &udp).code, Some(437));
    // It is checked before what the request says.
    assert_eq!(raw.ask(home(), Method::ALLOCATE, &|_| {}).code, Some(437));
    raw.user = "paul";
    assert_eq!(
        raw.ask_as(id, home(), Method::ALLOCATE, &udp).unwrap().code,
        Some(437)
    );
    assert_eq!(raw.server.stats().allocations, 1);
}

/// RFC 8656, section 7.2: "The server MUST hold this reservation for at least 30 seconds".
#[test]
fn a_reservation_is_held_for_thirty_seconds() {
    for (seconds, code) in [(29, None), (31, Some(508))] {
        let even: Write<'_> = &|w| {
            udp(w);
            EvenPort { reserve_next: true }.write(w);
        };
        let mut raw = Raw::new(server_config());
        let answer = raw.ask(home(), Method::ALLOCATE, even);
        let token = ReservationToken::read(&answer.message()).expect("a token");
        raw.wait(seconds);
        let other = path("192.0.2.1:5001", Transport::Udp);
        let answer = raw.ask(other, Method::ALLOCATE, &|w| {
            udp(w);
            token.write(w);
        });
        assert_eq!(answer.code, code, "after {seconds} s");
    }
}

/// RFC 8656, section 5: without an allocation 437, with somebody else's 441.
#[test]
fn requests_without_an_allocation_of_their_own_are_refused() {
    let requests: [(Method, Write<'_>); 4] = [
        (Method::REFRESH, &|_| {}),
        (Method::CREATE_PERMISSION, &|w| peer(w, PEER)),
        (Method::CHANNEL_BIND, &|w| bind(w, 0x4000, PEER)),
        (Method::CONNECT, &|w| peer(w, PEER)),
    ];
    let mut raw = Raw::new(server_config());
    for (method, write) in requests {
        assert_eq!(raw.ask(home(), method, write).code, Some(437), "{method:?}");
    }
    let mut raw = Raw::allocated(server_config(), &udp);
    raw.user = "paul";
    for (method, write) in requests {
        assert_eq!(raw.ask(home(), method, write).code, Some(441), "{method:?}");
    }
    // An allocation whose relays are not open yet is none.
    let mut raw = Raw::new(server_config());
    raw.ask(home(), Method::REFRESH, &|_| {});
    let id = raw.id();
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::ALLOCATE, id);
    let challenge = raw.exchange(home(), &out).unwrap();
    let auth = Authenticator::answer(&credentials("george"), &Message::parse(&challenge).unwrap()).unwrap();
    out.clear();
    let mut writer = Writer::new(&mut out, Class::Request, Method::ALLOCATE, id);
    udp(&mut writer);
    auth.authenticate(&mut writer);
    let _ = raw.server.handle_packet(raw.now, home().reversed(), &out);
    let mut refresh = Vec::new();
    let mut writer = Writer::new(
        &mut refresh,
        Class::Request,
        Method::REFRESH,
        TransactionId([8; 12]),
    );
    auth.authenticate(&mut writer);
    let _ = raw.server.handle_packet(raw.now, home().reversed(), &refresh);
    out.clear();
    assert!(raw.server.poll_transmit(raw.now, &mut out).is_some());
    assert_eq!(Message::parse(&out).unwrap().error_code().unwrap().code, 437);
}

/// RFC 8656, section 8.2: "the attribute value does not match the address family of the allocation, the server MUST reply with
/// a 443".
#[test]
fn refresh_requests() {
    let family = |w: &mut Writer<'_>, family| RequestedAddressFamily(family).write(w);
    let v6: Write<'_> = &|w| family(w, Ok(AddressFamily::Ipv6));
    let mut raw = Raw::allocated(server_config(), &udp);
    let cases: [(Write<'_>, Option<u16>); 5] = [
        (v6, Some(443)),
        (&|w| family(w, Err(9)), Some(443)),
        (
            &|w| _ = w.attribute(attribute::REQUESTED_ADDRESS_FAMILY, &[2]),
            Some(400),
        ),
        (&|w| _ = w.attribute(attribute::LIFETIME, &[0]), Some(400)),
        (&|w| family(w, Ok(AddressFamily::Ipv4)), None),
    ];
    for (index, (write, code)) in cases.into_iter().enumerate() {
        assert_eq!(raw.ask(home(), Method::REFRESH, write).code, code, "case {index}");
    }
    // "Deleting a single allocation [...] MUST NOT affect any permissions or channels associated with allocations for the
    // other address family."
    let mut raw = Raw::allocated(server_config(), &dual);
    for (number, to) in [(0x4000, PEER), (0x4001, PEER6)] {
        assert_eq!(
            raw.ask(home(), Method::CHANNEL_BIND, &|w| bind(w, number, to))
                .code,
            None
        );
    }
    let answer = raw.ask(home(), Method::REFRESH, &|w| {
        v6(w);
        lifetime(0).write(w);
    });
    assert_eq!(
        (answer.code, Lifetime::read(&answer.message())),
        (None, Some(lifetime(0)))
    );
    assert_eq!(raw.ask(home(), Method::REFRESH, v6).code, Some(443));
    assert_eq!(
        raw.data(home(), &[0x40, 0, 0, 1, 7]),
        Fate::Forwarded(at(PEER), vec![7], false)
    );
    assert_eq!(raw.data(home(), &[0x40, 1, 0, 1, 7]), Fate::NoPermission);
    // The other one is all that is left; the second deletion is too late (section 8.3: "effectively succeeded").
    for code in [None, Some(437)] {
        assert_eq!(
            raw.ask(home(), Method::REFRESH, &|w| lifetime(0).write(w)).code,
            code
        );
    }
    assert_eq!(raw.server.stats().allocations, 0);
}

/// RFC 8489, section 6.3: other methods and classes are "silently discarded"; and so is what has a wrong fingerprint.
#[test]
fn messages_that_are_not_answered() {
    let mut raw = Raw::allocated(server_config(), &udp);
    let cases = [
        (Class::Request, Method::SEND),
        (Class::Request, Method::DATA),
        (Class::Request, Method::CONNECTION_ATTEMPT),
        (Class::Request, Method::new(0x7ff)),
        (Class::Indication, Method::ALLOCATE),
        (Class::Indication, Method::DATA),
        (Class::Success, Method::ALLOCATE),
        (Class::Error, Method::BINDING),
    ];
    for (class, method) in cases {
        let mut out = Vec::new();
        Writer::new(&mut out, class, method, TransactionId([1; 12]));
        assert_eq!(raw.data(home(), &out), Fate::Malformed, "{class:?} {method:?}");
    }
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::ALLOCATE, TransactionId([1; 12])).fingerprint();
    *out.last_mut().unwrap() ^= 1;
    assert_eq!(raw.data(home(), &out), Fate::Malformed);
}

/// RFC 8489, section 9.2.4: a 401 and a 438 bring what the next request needs; a 400 "SHOULD NOT include a USERNAME, USERHASH,
/// NONCE, or REALM attribute". None is signed.
#[test]
fn challenges_and_what_they_carry() {
    let key = dunlin_stun::IntegrityKey::short_term("guess");
    let george: Write<'_> = &|w| _ = w.username(b"george").realm(b"example.org").nonce(b"of old");
    let nobody: Write<'_> = &|w| _ = w.username(b"yoko").realm(b"example.org").nonce(b"of old");
    let hash: Write<'_> = &|w| _ = w.userhash(&[7; 32]).realm(b"example.org").nonce(b"of old");
    let cases: [(Write<'_>, u16); 5] = [
        (&|_| {}, 401),
        (
            &|w| {
                george(w);
                w.integrity(&key);
            },
            401,
        ),
        (
            &|w| {
                nobody(w);
                w.integrity(&key);
            },
            401,
        ),
        (
            &|w| {
                hash(w);
                w.integrity_sha256(&key);
            },
            401,
        ),
        (&|w| _ = w.username(b"george").integrity(&key), 400),
    ];
    let mut raw = Raw::new(server_config());
    for (index, (write, code)) in cases.into_iter().enumerate() {
        let mut out = Vec::new();
        write(&mut Writer::new(
            &mut out,
            Class::Request,
            Method::ALLOCATE,
            TransactionId([1; 12]),
        ));
        let answer = raw.exchange(home(), &out).expect("an answer");
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.error_code().unwrap().code, code, "case {index}");
        assert!(!message.has_integrity() && !message.has_integrity_sha256());
        assert_eq!((message.username(), message.userhash()), (None, None));
        let challenged = code == 401;
        assert_eq!(message.realm().is_some(), challenged);
        assert_eq!(message.nonce().is_some(), challenged);
        assert_eq!(message.password_algorithms().is_some(), challenged);
    }
    // A stale nonce in the middle of an allocation's life: the new one is good.
    let mut raw = Raw::allocated(server_config(), &|w| {
        udp(w);
        lifetime(3600).write(w);
    });
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::REFRESH, TransactionId([1; 12]));
    let mut challenge = raw.exchange(home(), &out).unwrap();
    for (wait, code) in [(3599, None), (3599, Some(438)), (0, None)] {
        raw.wait(wait);
        let auth =
            Authenticator::answer(&credentials("george"), &Message::parse(&challenge).unwrap()).unwrap();
        out.clear();
        let mut writer = Writer::new(&mut out, Class::Request, Method::REFRESH, TransactionId([2; 12]));
        lifetime(3600).write(&mut writer);
        auth.authenticate(&mut writer);
        let answer = raw.exchange(home(), &out).unwrap();
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.error_code().map(|error| error.code), code);
        if code.is_some() {
            assert_eq!(message.realm(), Some(&b"example.org"[..]));
            challenge = answer;
        }
    }
}

/// RFC 8489, section 14.3: an implementation "MUST be able to parse a UTF-8-encoded sequence of 763 or fewer octets".
#[test]
fn usernames_of_763_bytes_are_taken() {
    for (len, taken) in [(763, true), (764, false)] {
        let mut config = server_config();
        config.shared_secrets = vec![b"north".to_vec()];
        config.algorithms = Vec::new();
        let mut raw = Raw::new(config);
        let credentials = SharedSecret::new(b"north").credentials(&"u".repeat(len - 11), 2_000_000_000);
        assert_eq!(credentials.username.len(), len);
        let mut out = Vec::new();
        Writer::new(&mut out, Class::Request, Method::ALLOCATE, TransactionId([1; 12]));
        let challenge = raw.exchange(home(), &out).unwrap();
        let nonce = Message::parse(&challenge).unwrap().nonce().unwrap().to_vec();
        out.clear();
        let mut writer = Writer::new(&mut out, Class::Request, Method::ALLOCATE, TransactionId([2; 12]));
        udp(&mut writer);
        let (name, realm) = (&credentials.username, "example.org");
        let key = dunlin_stun::IntegrityKey::long_term_md5(name, realm, &credentials.password).unwrap();
        writer
            .username(name.as_bytes())
            .realm(realm.as_bytes())
            .nonce(&nonce)
            .integrity(&key);
        let answer = raw.exchange(home(), &out).unwrap();
        let code = Message::parse(&answer)
            .unwrap()
            .error_code()
            .map(|error| error.code);
        assert_eq!(code, (!taken).then_some(401));
    }
}

/// RFC 8656, section 7.2, checks 10 and 11; RFC 8489, section 10: ALTERNATE-SERVER is of the family of the request's source.
#[test]
fn quotas_and_redirections() {
    let mut config = server_config();
    config.max_allocations_per_user = 1;
    config.alternate_server = Some(at("203.0.113.2:3478"));
    let mut raw = Raw::allocated(config, &udp);
    let second = path("192.0.2.1:5001", Transport::Udp);
    assert_eq!(raw.ask(second, Method::ALLOCATE, &udp).code, Some(486));
    raw.user = "paul";
    assert_eq!(raw.ask(second, Method::ALLOCATE, &udp).code, None);
    raw.server.drain(raw.now);
    raw.user = "ringo";
    let v4 = path("192.0.2.1:5002", Transport::Udp);
    let answer = raw.ask(v4, Method::ALLOCATE, &udp);
    assert_eq!(answer.code, Some(300));
    assert_eq!(answer.message().alternate_server(), Some(at("203.0.113.2:3478")));
    let v6 = Path::udp(
        SocketAddr::new(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 9]), 5),
        at("[2001:db8::1]:3478"),
    );
    assert_eq!(raw.ask(v6, Method::ALLOCATE, &udp).code, Some(508));
    assert_eq!(raw.server.stats().refused, 3);
}
