//! The error paths of a client, rule by rule: what it makes of answers that refuse, lie or lack something (RFC 8656, sections
//! 7.3, 7.4, 8.3, 11.4 and 12.3; RFC 8489, sections 6.3 and 9.2.5; RFC 6062, section 4.3; RFC 8016, section 3).

mod world;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transport};
use dunlin_stun::{
    Class, IntegrityKey, Message, Method, PasswordAlgorithm, TransactionId, Writer, attribute,
};
use dunlin_turn::attribute::{ConnectionId, Icmp, Lifetime, MobilityTicket, RequestedTransport};
use dunlin_turn::client::{Client, Config, Event, Failure, PeerError, Received};
use world::{at, base, credentials, ip, path};

const HOME: &str = "192.0.2.1:5000";
const PEER: &str = "198.51.100.7:7000";
const RELAYED: &str = "203.0.113.1:50000";
const REALM: &str = "example.org";
/// It promises password algorithms (RFC 8489, section 18.1).
const NONCE: &[u8] = b"obMatJos2gAAAnonce";

type Write<'a> = &'a dyn Fn(&mut Writer<'_>);

/// A client whose server says what the test wants.
struct Scripted {
    client: Client,
    now: Instant,
    path: Path,
    /// The last request.
    request: Vec<u8>,
}

impl Scripted {
    /// It has sent its first request.
    fn asking(transport: Transport, change: impl FnOnce(&mut Config)) -> Self {
        let (now, path) = (base(), path(HOME, transport));
        let mut config = Config::new(path, credentials("george"));
        change(&mut config);
        let client = Client::new(config, [1; 32], now);
        let request = Vec::new();
        let mut scripted = Self {
            client,
            now,
            path,
            request,
        };
        assert_eq!(scripted.asks(), Some(Method::ALLOCATE));
        scripted
    }

    /// It has answered a challenge.
    fn signed(transport: Transport, change: impl FnOnce(&mut Config)) -> Self {
        let mut scripted = Self::asking(transport, change);
        scripted.challenge(401, REALM, NONCE);
        assert_eq!(scripted.asks(), Some(Method::ALLOCATE));
        scripted
    }

    /// It has its allocation.
    fn active(change: impl FnOnce(&mut Config)) -> Self {
        let mut scripted = Self::signed(Transport::Tcp, change);
        scripted.answer(Class::Success, &granted);
        assert!(matches!(scripted.client.poll_event(), Some(Event::Allocated(_))));
        scripted
    }

    /// The method of its next request, if there is one.
    fn asks(&mut self) -> Option<Method> {
        self.request.clear();
        self.path = self.client.poll_transmit(self.now, &mut self.request)?.path;
        Some(Message::parse(&self.request).unwrap().method())
    }

    fn challenge(&mut self, code: u16, realm: &str, nonce: &[u8]) {
        self.answer_unsigned(Class::Error, &|w| {
            w.error_code(code, "").realm(realm.as_bytes()).nonce(nonce);
            w.password_algorithms(&[PasswordAlgorithm::SHA256]);
        });
    }

    fn answer(&mut self, class: Class, write: Write<'_>) {
        self.answer_unsigned(class, &|w| {
            write(w);
            w.integrity_sha256(&IntegrityKey::long_term_sha256(
                "george",
                REALM,
                "secret of george",
            ));
        });
    }

    fn answer_unsigned(&mut self, class: Class, write: Write<'_>) {
        let request = Message::parse(&self.request).unwrap();
        let mut out = Vec::new();
        write(&mut Writer::new(
            &mut out,
            class,
            request.method(),
            request.transaction_id(),
        ));
        assert_eq!(self.receive(&out), Received::Consumed);
    }

    fn receive(&mut self, bytes: &[u8]) -> Received {
        self.client
            .handle_datagram(self.now, self.path, BytesMut::from(bytes))
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.client.handle_timeout(self.now);
    }
}

fn granted(w: &mut Writer<'_>) {
    w.xor_relayed_address(at(RELAYED)).xor_mapped_address(at(HOME));
    Lifetime(Duration::from_secs(600)).write(w);
}

fn refused(code: u16) -> Failure {
    let reason = "why".to_owned();
    Failure::Refused { code, reason }
}

/// RFC 8656, section 7.4: each ends the client with words of its own, and nothing is asked again.
#[test]
fn allocate_error_responses() {
    let cases = [
        (300, Failure::NotUnderstood),
        (400, refused(400)),
        (401, Failure::WrongCredentials),
        (403, Failure::Forbidden),
        (405, refused(405)),
        (420, refused(420)),
        (437, Failure::AddressInUse),
        (440, Failure::FamilyNotSupported),
        (441, Failure::WrongCredentials),
        (442, Failure::TransportNotSupported),
        (486, Failure::QuotaReached),
        (500, refused(500)),
        (508, Failure::InsufficientCapacity),
        (699, refused(699)),
    ];
    for (code, failure) in cases {
        let mut scripted = Scripted::signed(Transport::Udp, |_| {});
        scripted.answer(Class::Error, &|w| {
            w.error_code(code, "why").realm(REALM.as_bytes()).nonce(b"nonce");
        });
        assert_eq!(
            scripted.client.poll_event(),
            Some(Event::Closed(failure)),
            "{code}"
        );
        assert_eq!((scripted.asks(), scripted.client.poll_timeout()), (None, None));
    }
    // RFC 8489, section 6.3.4: "simply considered to have failed."
    let failed: [Write<'_>; 2] = [&|_| {}, &|w| _ = w.error_code(437, "").attribute(0x7f00, b"new")];
    for write in failed {
        let mut scripted = Scripted::signed(Transport::Udp, |_| {});
        scripted.answer(Class::Error, write);
        let end = Event::Closed(Failure::NotUnderstood);
        assert_eq!(scripted.client.poll_event(), Some(end));
    }
    // Section 14.8: a redirection that is not signed leads nowhere.
    let mut scripted = Scripted::asking(Transport::Udp, |_| {});
    scripted.answer_unsigned(Class::Error, &|w| {
        w.error_code(300, "why").alternate_server(at("198.51.100.2:3478"));
    });
    assert_eq!(scripted.client.poll_event(), Some(Event::Closed(refused(300))));
}

/// RFC 8656, section 7.3: "If these addresses are not part of an address family or families that the client is prepared to
/// handle, then the client MUST delete the allocation".
///
/// ```text
/// client                              server
///   |--- Allocate --------------------->|
///   |<-- success, of no known family ---|
///   |--- Refresh, lifetime 0 ---------->|
///   |<-- success -----------------------|
/// ```
#[test]
fn an_allocation_that_is_not_understood_is_given_back() {
    let lifetime = Lifetime(Duration::from_secs(600));
    let cases: [Write<'_>; 4] = [
        &|w| {
            w.attribute(attribute::XOR_RELAYED_ADDRESS, &[0, 9, 1, 2, 3, 4, 5, 6]);
            lifetime.write(w);
        },
        &|w| lifetime.write(w),
        &|w| _ = w.xor_relayed_address(at(RELAYED)),
        &|w| {
            granted(w);
            w.attribute(0x7f00, b"new");
        },
    ];
    for (index, write) in cases.into_iter().enumerate() {
        let mut scripted = Scripted::signed(Transport::Udp, |_| {});
        scripted.answer(Class::Success, write);
        assert_eq!(scripted.asks(), Some(Method::REFRESH), "case {index}");
        let request = Message::parse(&scripted.request).unwrap();
        assert_eq!(Lifetime::read(&request), Some(Lifetime(Duration::ZERO)));
        assert_eq!(scripted.client.poll_event(), None);
        scripted.answer(Class::Success, &|_| {});
        let end = Event::Closed(Failure::NotUnderstood);
        assert_eq!(scripted.client.poll_event(), Some(end), "case {index}");
    }
}

/// RFC 8489, section 6.3.3: of a success with unknown attributes that must be understood, "the response is discarded and the
/// transaction is considered to have failed": that one, and not the allocation.
#[test]
fn a_success_that_is_not_understood_ends_its_transaction_alone() {
    let peer = at(PEER);
    let ask = |scripted: &mut Scripted, what: &dyn Fn(&mut Client, Instant)| {
        what(&mut scripted.client, scripted.now);
        assert!(scripted.asks().is_some());
        scripted.answer(Class::Success, &|w| {
            ConnectionId(7).write(w);
            w.attribute(0x7f00, b"new");
        });
        scripted.client.poll_event()
    };
    let mut scripted = Scripted::active(|_| {});
    let permit: &dyn Fn(&mut Client, Instant) =
        &|client, now| client.permit(now, peer.ip()).map(drop).unwrap();
    let refused = Event::PermissionRefused {
        peer: peer.ip(),
        code: 0,
    };
    assert_eq!(ask(&mut scripted, permit), Some(refused));
    assert!(!scripted.client.is_permitted(peer.ip()));
    let bind: &dyn Fn(&mut Client, Instant) = &|client, now| client.bind(now, peer).map(drop).unwrap();
    assert_eq!(
        ask(&mut scripted, bind),
        Some(Event::ChannelRefused { peer, code: 0 })
    );
    // The allocation is there, and a permission may be asked for again.
    scripted.client.permit(scripted.now, peer.ip()).unwrap();
    assert_eq!(scripted.asks(), Some(Method::CREATE_PERMISSION));
    scripted.answer(Class::Success, &|_| {});
    assert_eq!(scripted.client.poll_event(), Some(Event::Permitted(peer.ip())));

    let mut scripted = Scripted::active(|config| config.transport = RequestedTransport::TCP);
    let connect: &dyn Fn(&mut Client, Instant) = &|client, now| client.connect(now, peer).map(drop).unwrap();
    assert_eq!(
        ask(&mut scripted, connect),
        Some(Event::ConnectRefused { peer, code: 0 })
    );
    assert_eq!(scripted.client.relayed_addresses().count(), 1);

    // Without a refresh that is understood nobody knows how long the allocation lives.
    let mut scripted = Scripted::active(|_| {});
    scripted.wait(560);
    assert_eq!(scripted.asks(), Some(Method::REFRESH));
    scripted.answer(Class::Success, &|w| _ = w.attribute(0x7f00, b"new"));
    assert_eq!(
        scripted.client.poll_event(),
        Some(Event::Closed(Failure::NotUnderstood))
    );
}

/// RFC 8489, section 6.3: "Known-but-unexpected attributes SHOULD be ignored", and unknown optional ones MUST be.
#[test]
fn attributes_that_are_not_expected_are_ignored() {
    let mut scripted = Scripted::signed(Transport::Udp, |_| {});
    scripted.answer(Class::Success, &|w| {
        w.username(b"george").realm(REALM.as_bytes()).nonce(b"nonce");
        granted(w);
        w.attribute(attribute::DONT_FRAGMENT, &[])
            .attribute(0xff00, b"optional");
        RequestedTransport::UDP.write(w);
    });
    assert!(matches!(scripted.client.poll_event(), Some(Event::Allocated(_))));
}

/// RFC 8489, section 9.2.5: what is not authentic is discarded; over TCP that is the end, but for a 400 and a bid-down.
#[test]
fn answers_that_are_not_believed() {
    let cases: [(Write<'_>, Class, u16, bool); 4] = [
        (&|w| _ = w.error_code(403, ""), Class::Error, 403, true),
        (&|w| _ = w.error_code(400, ""), Class::Error, 400, false),
        (&granted, Class::Success, 0, true),
        (
            &|w| {
                granted(w);
                let key = IntegrityKey::long_term_sha256("george", REALM, "secret of george");
                w.nonce(NONCE).integrity_sha256(&key);
            },
            Class::Success,
            0,
            false,
        ),
    ];
    for (index, (write, class, code, ends)) in cases.into_iter().enumerate() {
        for transport in [Transport::Udp, Transport::Tcp] {
            let mut scripted = Scripted::signed(transport, |_| {});
            scripted.answer_unsigned(class, write);
            let at_once = ends && transport == Transport::Tcp;
            assert_eq!(scripted.client.is_closed(), at_once, "case {index}");
            assert_eq!(scripted.client.stats().dropped_unauthentic, 1);
            while let Some(due) = scripted.client.poll_timeout() {
                scripted.client.handle_timeout(due);
                while scripted.client.poll_transmit(due, &mut Vec::new()).is_some() {}
            }
            let end = Event::Closed(Failure::Unauthentic(code));
            assert_eq!(scripted.client.poll_event(), Some(end), "case {index}");
        }
    }
}

/// RFC 8489, section 9.2.5, and RFC 8656, section 8.3: a stale nonce is answered, and so is another realm; neither for ever.
#[test]
fn challenges_that_do_not_end() {
    let stale = Failure::Refused {
        code: 438,
        reason: String::new(),
    };
    for (code, end) in [(438, stale), (401, Failure::WrongCredentials)] {
        let mut scripted = Scripted::active(|_| {});
        scripted.client.permit(scripted.now, at(PEER).ip()).unwrap();
        let mut challenges = 0;
        while scripted.asks() == Some(Method::CREATE_PERMISSION) {
            challenges += 1;
            let (realm, nonce) = match code {
                438 => (REALM.to_owned(), format!("obMatJos2gAAA{challenges}")),
                _ => (format!("realm {challenges}"), "obMatJos2gAAAnonce".to_owned()),
            };
            scripted.challenge(code, &realm, nonce.as_bytes());
        }
        assert!((2..10).contains(&challenges), "{challenges}");
        assert_eq!(scripted.client.poll_event(), Some(Event::Closed(end)));
    }
    // And the same realm is the end at once.
    let mut scripted = Scripted::active(|_| {});
    scripted.client.permit(scripted.now, at(PEER).ip()).unwrap();
    assert!(scripted.asks().is_some());
    scripted.challenge(401, REALM, b"obMatJos2gAAAother");
    let end = Event::Closed(Failure::WrongCredentials);
    assert_eq!((scripted.asks(), scripted.client.poll_event()), (None, Some(end)));
}

/// RFC 8656, sections 5 and 8.3: "A client receiving a 437 error response to a request other than Allocate MUST assume the
/// allocation no longer exists."
#[test]
fn refusals_that_end_an_allocation() {
    type Command = fn(&mut Scripted);
    let permit: Command = |scripted| scripted.client.permit(scripted.now, at(PEER).ip()).unwrap();
    let bind: Command = |scripted| scripted.client.bind(scripted.now, at(PEER)).unwrap();
    let refresh: Command = |scripted| scripted.wait(540);
    let moving: Command = |scripted| {
        let away = path("198.18.0.1:6000", Transport::Tcp);
        scripted.client.move_to(scripted.now, away).unwrap();
    };
    let cases: [(Command, u16, Failure); 9] = [
        (permit, 437, Failure::AllocationLost),
        (bind, 437, Failure::AllocationLost),
        (refresh, 437, Failure::AllocationLost),
        (moving, 437, Failure::AllocationLost),
        (permit, 441, Failure::WrongCredentials),
        (bind, 441, Failure::WrongCredentials),
        (refresh, 441, Failure::WrongCredentials),
        (refresh, 403, Failure::Forbidden),
        (refresh, 500, refused(500)),
    ];
    for (index, (command, code, failure)) in cases.into_iter().enumerate() {
        let mut scripted = Scripted::signed(Transport::Tcp, |config| config.mobility = true);
        scripted.answer(Class::Success, &|w| {
            granted(w);
            MobilityTicket(b"ticket").write(w);
        });
        assert!(scripted.client.poll_event().is_some());
        command(&mut scripted);
        assert!(scripted.asks().is_some());
        scripted.answer(Class::Error, &|w| _ = w.error_code(code, "why"));
        assert_eq!(
            scripted.client.poll_event(),
            Some(Event::Closed(failure)),
            "case {index}"
        );
    }
}

/// RFC 8656, sections 10 and 12.3, and RFC 8016: the others are told, and the allocation goes on. Nothing is asked again.
#[test]
fn refusals_that_an_allocation_survives() {
    for code in [400, 403, 443, 500, 508] {
        let mut scripted = Scripted::active(|_| {});
        let peer = at(PEER).ip();
        scripted.client.permit(scripted.now, peer).unwrap();
        assert_eq!(scripted.asks(), Some(Method::CREATE_PERMISSION));
        scripted.answer(Class::Error, &|w| _ = w.error_code(code, ""));
        let told = Event::PermissionRefused { peer, code };
        assert_eq!(scripted.client.poll_event(), Some(told));
        assert!(!scripted.client.is_permitted(peer) && scripted.asks().is_none());

        let mut scripted = Scripted::active(|_| {});
        let peer = at(PEER);
        scripted.client.bind(scripted.now, peer).unwrap();
        assert_eq!(scripted.asks(), Some(Method::CHANNEL_BIND));
        scripted.answer(Class::Error, &|w| _ = w.error_code(code, ""));
        let told = Event::ChannelRefused { peer, code };
        assert_eq!(scripted.client.poll_event(), Some(told));
        // The permission that the channel would have brought is asked for by itself, and Send indications go on.
        scripted.wait(2);
        assert_eq!(scripted.asks(), Some(Method::CREATE_PERMISSION));
        scripted.answer(Class::Success, &|_| {});
        let mut out = Vec::new();
        assert!(scripted.client.send(&mut out, peer, |_| true).is_some());
        assert_eq!(Message::parse(&out).unwrap().method(), Method::SEND);
        assert!(!scripted.client.is_closed());
    }
    // RFC 8489, section 6.3.4: an error without a code fails its transaction.
    let mut scripted = Scripted::active(|_| {});
    let peer = at(PEER).ip();
    scripted.client.permit(scripted.now, peer).unwrap();
    assert!(scripted.asks().is_some());
    scripted.answer(Class::Error, &|_| {});
    let told = Event::PermissionRefused { peer, code: 0 };
    assert_eq!(scripted.client.poll_event(), Some(told));
}

/// RFC 8016, section 3.2.2: a move that is refused leaves the old path good.
#[test]
fn moves_that_are_refused() {
    for code in [400, 405, 441] {
        let mut scripted = Scripted::signed(Transport::Tcp, |config| config.mobility = true);
        scripted.answer(Class::Success, &|w| {
            granted(w);
            MobilityTicket(b"ticket").write(w);
        });
        let (home, away) = (scripted.path, path("198.18.0.1:6000", Transport::Tcp));
        assert!(scripted.client.poll_event().is_some());
        scripted.client.move_to(scripted.now, away).unwrap();
        assert_eq!((scripted.asks(), scripted.path), (Some(Method::REFRESH), away));
        let request = Message::parse(&scripted.request).unwrap();
        assert_eq!(MobilityTicket::read(&request), Some(MobilityTicket(b"ticket")));
        scripted.answer(Class::Error, &|w| _ = w.error_code(code, ""));
        assert_eq!(scripted.client.poll_event(), Some(Event::MoveRefused(code)));
        assert_eq!(
            (scripted.client.path(), scripted.client.is_closed()),
            (home, false)
        );
    }
}

/// A server decides how long a ticket is, but not that it fills our requests: none is kept that is of no use.
#[test]
fn tickets_that_are_of_no_use() {
    for len in [0, 1025, 64_000] {
        let mut scripted = Scripted::signed(Transport::Tcp, |config| config.mobility = true);
        let ticket = vec![7; len];
        scripted.answer(Class::Success, &|w| {
            granted(w);
            MobilityTicket(&ticket).write(w);
        });
        let Some(Event::Allocated(allocated)) = scripted.client.poll_event() else {
            panic!("no allocation")
        };
        assert!(!allocated.mobile, "{len} bytes");
        let away = path("198.18.0.1:6000", Transport::Tcp);
        let refused = scripted.client.move_to(scripted.now, away);
        assert_eq!(refused, Err(PeerError::NotSupported));
    }
}

/// RFC 8656, section 8.3: a 437 to a deletion is as good as a success, and so is any other answer, or none. Over TCP "there are
/// no retransmissions at the STUN protocol level" (RFC 8489, section 6.2.2).
#[test]
fn an_allocation_is_given_back_whatever_the_server_says() {
    for code in [437, 441, 500] {
        let mut scripted = Scripted::active(|_| {});
        scripted.client.close();
        assert_eq!(scripted.asks(), Some(Method::REFRESH));
        scripted.answer(Class::Error, &|w| _ = w.error_code(code, ""));
        let end = Event::Closed(Failure::Released);
        assert_eq!(scripted.client.poll_event(), Some(end), "{code}");
    }
    for (transport, requests) in [(Transport::Udp, 3), (Transport::Tcp, 1)] {
        let mut scripted = Scripted::signed(transport, |_| {});
        scripted.answer(Class::Success, &granted);
        assert!(scripted.client.poll_event().is_some());
        scripted.client.close();
        let (start, mut sent) = (scripted.now, 0);
        while let Some(due) = scripted.client.poll_timeout() {
            scripted.now = due;
            scripted.client.handle_timeout(due);
            sent += usize::from(scripted.asks().is_some());
        }
        assert_eq!(
            (sent, scripted.now - start),
            (requests, Duration::from_millis(3500))
        );
        let end = Event::Closed(Failure::Released);
        assert_eq!(scripted.client.poll_event(), Some(end));
    }
}

/// RFC 8489, section 6.2.2: "Ti SHOULD be configurable and SHOULD have a default of 39.5 s."
#[test]
fn the_patience_over_tcp() {
    for (config, millis) in [(None, 39_500), (Some(5000), 5000)] {
        let mut scripted = Scripted::asking(Transport::Tcp, |changed| {
            let patience = config.map(Duration::from_millis);
            changed.reliable_timeout = patience.unwrap_or(changed.reliable_timeout);
        });
        let due = scripted.now + Duration::from_millis(millis);
        assert_eq!(scripted.client.poll_timeout(), Some(due));
        scripted.client.handle_timeout(due);
        let end = Event::Closed(Failure::NoAnswer(1));
        assert_eq!(scripted.client.poll_event(), Some(end));
    }
}

/// RFC 8656, sections 11.4 and 11.6, and RFC 8489, section 6.3.2.
#[test]
fn data_indications() {
    let mut scripted = Scripted::active(|_| {});
    scripted.client.permit(scripted.now, at(PEER).ip()).unwrap();
    assert!(scripted.asks().is_some());
    scripted.answer(Class::Success, &|_| {});
    assert_eq!(
        scripted.client.poll_event(),
        Some(Event::Permitted(at(PEER).ip()))
    );
    let icmp = Icmp {
        kind: 3,
        code: 1,
        data: 0,
    };
    // What it is counted as: malformed, or of a peer that we did not ask for.
    let cases: [(&str, Write<'_>, [u64; 2]); 5] = [
        ("no peer", &|w| _ = w.data(b"x"), [0, 1]),
        (
            "a stranger",
            &|w| _ = w.xor_peer_address(at("198.51.100.8:8")).data(b"x"),
            [0, 1],
        ),
        (
            "neither data nor ICMP",
            &|w| _ = w.xor_peer_address(at(PEER)),
            [1, 0],
        ),
        (
            "an unknown attribute",
            &|w| _ = w.xor_peer_address(at(PEER)).attribute(0x7f00, b"new").data(b"x"),
            [1, 0],
        ),
        (
            "ICMP",
            &|w| {
                w.xor_peer_address(at(PEER));
                icmp.write(w);
            },
            [0, 0],
        ),
    ];
    for (what, write, counted) in cases {
        let before = scripted.client.stats();
        let mut out = Vec::new();
        write(&mut Writer::new(
            &mut out,
            Class::Indication,
            Method::DATA,
            TransactionId([1; 12]),
        ));
        assert_eq!(scripted.receive(&out), Received::Consumed, "{what}");
        let after = scripted.client.stats();
        let malformed = after.dropped_malformed - before.dropped_malformed;
        let unexpected = after.dropped_unexpected_peer - before.dropped_unexpected_peer;
        assert_eq!([malformed, unexpected], counted, "{what}");
        let event = (what == "ICMP").then_some(Event::Icmp { peer: at(PEER), icmp });
        assert_eq!(scripted.client.poll_event(), event, "{what}");
    }
    // "a DATA attribute is allowed to contain zero bytes of data."
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Indication, Method::DATA, TransactionId([1; 12]))
        .xor_peer_address(at(PEER))
        .data(b"");
    let received = Received::Relayed {
        peer: at(PEER),
        data: BytesMut::new(),
    };
    assert_eq!(scripted.receive(&out), received);
    // Channels that were not asked for, and what is too short for its length.
    for bytes in [&[0x40, 0, 0, 0][..], &[0x40, 0, 0, 9, 1], &[0x50, 0, 0, 0]] {
        assert_eq!(scripted.receive(bytes), Received::Consumed);
    }
}

/// RFC 6062, section 4.3: of a 447 "The client MAY retry with the same XOR-PEER-ADDRESS attribute, but MUST wait at least 10
/// seconds."; "Connect requests with the same XOR-PEER-ADDRESS parameter MUST NOT be sent simultaneously."
#[test]
fn connections_that_are_refused() {
    let tcp = |config: &mut Config| config.transport = RequestedTransport::TCP;
    let (peer, other) = (at(PEER), at("198.51.100.7:7001"));
    for code in [403, 446, 447] {
        let mut scripted = Scripted::active(tcp);
        scripted.client.connect(scripted.now, peer).unwrap();
        assert_eq!(
            scripted.client.connect(scripted.now, peer),
            Err(PeerError::TooSoon)
        );
        assert_eq!(scripted.asks(), Some(Method::CONNECT));
        assert_eq!(scripted.asks(), None);
        scripted.client.connect(scripted.now, other).unwrap();
        let asked = std::mem::take(&mut scripted.request);
        assert!(asked.is_empty() && scripted.asks() == Some(Method::CONNECT));
        // The second one's answer is of no interest; the first one is asked for again, and refused.
        scripted.answer(Class::Success, &|w| ConnectionId(1).write(w));
        assert!(matches!(
            scripted.client.poll_event(),
            Some(Event::Connected { .. })
        ));
        scripted.wait(40);
        let end = Event::ConnectRefused { peer, code: 447 };
        assert_eq!(scripted.client.poll_event(), Some(end));
        scripted.wait(10);
        scripted.client.connect(scripted.now, peer).unwrap();
        assert_eq!(scripted.asks(), Some(Method::CONNECT));
        scripted.answer(Class::Error, &|w| _ = w.error_code(code, ""));
        let end = Event::ConnectRefused { peer, code };
        assert_eq!(scripted.client.poll_event(), Some(end));
        let again = (code == 447).then_some(PeerError::TooSoon);
        assert_eq!(scripted.client.connect(scripted.now, peer).err(), again);
        scripted.wait(10);
        if again.is_some() {
            assert_eq!(scripted.client.connect(scripted.now, peer), Ok(()));
        }
    }
    let mut scripted = Scripted::active(tcp);
    let (connection, data) = (ConnectionId(7), path("192.0.2.1:5001", Transport::Tcp));
    scripted
        .client
        .bind_connection(scripted.now, connection, data)
        .unwrap();
    assert_eq!(
        (scripted.asks(), scripted.path),
        (Some(Method::CONNECTION_BIND), data)
    );
    scripted.answer(Class::Error, &|w| _ = w.error_code(400, ""));
    let refused = Event::ConnectionBindRefused {
        connection,
        code: 400,
    };
    assert_eq!(scripted.client.poll_event(), Some(refused));
}

/// A TCP relay carries no datagrams, and a UDP relay has no connections.
#[test]
fn what_a_relay_of_the_other_kind_cannot_do() {
    let mut scripted = Scripted::active(|config| config.transport = RequestedTransport::TCP);
    let (now, peer) = (scripted.now, at(PEER));
    assert_eq!(scripted.client.bind(now, peer), Err(PeerError::NotSupported));
    scripted.client.permit(now, peer.ip()).unwrap();
    assert_eq!(scripted.asks(), Some(Method::CREATE_PERMISSION));
    scripted.answer(Class::Success, &|_| {});
    assert!(scripted.client.is_permitted(peer.ip()));
    assert_eq!(scripted.client.send(&mut Vec::new(), peer, |_| true), None);
    // An attempt with an attribute that is not understood is none.
    let attempt = |scripted: &mut Scripted, write: Write<'_>| {
        let mut out = Vec::new();
        let id = TransactionId([1; 12]);
        let mut writer = Writer::new(&mut out, Class::Indication, Method::CONNECTION_ATTEMPT, id);
        writer.xor_peer_address(peer);
        write(&mut writer);
        assert_eq!(scripted.receive(&out), Received::Consumed);
        let events = std::iter::from_fn(|| scripted.client.poll_event());
        events
            .filter(|event| matches!(event, Event::ConnectionAttempt { .. }))
            .count()
    };
    assert_eq!(attempt(&mut scripted, &|w| ConnectionId(7).write(w)), 1);
    assert_eq!(attempt(&mut scripted, &|_| {}), 0);
    let unknown: Write<'_> = &|w| {
        ConnectionId(7).write(w);
        w.attribute(0x7f00, b"new");
    };
    assert_eq!(attempt(&mut scripted, unknown), 0);

    let mut scripted = Scripted::active(|_| {});
    let (now, data) = (scripted.now, path("192.0.2.1:5001", Transport::Tcp));
    let refused = Err(PeerError::NotSupported);
    assert_eq!(scripted.client.connect(now, peer), refused);
    assert_eq!(
        scripted.client.bind_connection(now, ConnectionId(7), data),
        refused
    );
    assert_eq!(attempt(&mut scripted, &|w| ConnectionId(7).write(w)), 0);
    assert_eq!(
        scripted.client.permit(now, ip("2001:db8:1::7")),
        Err(PeerError::Family)
    );
}
