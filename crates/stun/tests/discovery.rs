//! NAT behaviour discovery against every kind of NAT of RFC 4787, with the server of this crate (RFC 5780, section 4).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::Path;
use dunlin_stun::discovery::{Behaviour, Config, Discovery, Event, Failure, Filtering, Mapping};
use dunlin_stun::{BindingServer, Class, Message, Method, TransactionId, Writer, attribute};

const LOCAL: &str = "10.0.0.2:5000";
const SECOND_LOCAL: &str = "10.0.0.2:5001";
const FIRST: &str = "198.51.100.1:3478";
const SECOND: &str = "198.51.100.2:3479";

#[expect(clippy::disallowed_methods, reason = "a base to count virtual time from")]
fn base() -> Instant {
    Instant::now()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn server() -> BindingServer {
    let mut server = BindingServer::default();
    server.discovery = Some([at(FIRST), at(SECOND)]);
    server
}

/// A NAT with one client: what it has sent to, and the outside port that each destination gets.
struct Nat {
    mapping: Mapping,
    filtering: Filtering,
    sent_to: Vec<SocketAddr>,
    hairpins: bool,
    /// Loses what is larger than a packet.
    whole_only: bool,
    /// A generic ALG: what stands in plain in an answer is made the inside address.
    rewrites: bool,
}

impl Nat {
    fn new(mapping: Mapping, filtering: Filtering) -> Self {
        Self {
            mapping,
            filtering,
            sent_to: Vec::new(),
            hairpins: false,
            whole_only: false,
            rewrites: false,
        }
    }

    fn outside(&self, to: SocketAddr) -> SocketAddr {
        let port = match self.mapping {
            Mapping::NoNat => return at(LOCAL),
            Mapping::AddressDependent if to.ip() == at(SECOND).ip() => 2,
            Mapping::AddressAndPortDependent => to.port() + u16::from(to.ip() == at(SECOND).ip()) * 1000,
            _ => 1,
        };
        SocketAddr::new(at("203.0.113.7:0").ip(), port)
    }

    fn lets_in(&self, from: SocketAddr, to: SocketAddr) -> bool {
        self.sent_to.iter().any(|sent| {
            let mapped = self.outside(*sent) == to;
            mapped
                && match self.filtering {
                    Filtering::AddressDependent => sent.ip() == from.ip(),
                    Filtering::AddressAndPortDependent => *sent == from,
                    _ => true,
                }
        })
    }
}

fn discover(server: &BindingServer, mapping: Mapping, filtering: Filtering) -> (Event, Duration) {
    discover_behind(server, Nat::new(mapping, filtering), None)
}

fn discover_behind(server: &BindingServer, mut nat: Nat, second: Option<SocketAddr>) -> (Event, Duration) {
    let start = base();
    let mut now = start;
    let mut config = Config::new(Path::udp(at(LOCAL), at(FIRST)));
    config.second = second;
    let mut discovery = Discovery::new(config, [7; 32], now);
    loop {
        let mut request = Vec::new();
        while let Some(transmit) = discovery.poll_transmit(now, &mut request) {
            let to = transmit.path.remote;
            if transmit.path.local == at(SECOND_LOCAL) {
                assert_eq!(to, nat.outside(at(FIRST)));
                if nat.hairpins {
                    let path = Path::udp(at(LOCAL), at("203.0.113.7:99"));
                    discovery.handle_datagram(now, path, BytesMut::from(&request[..]));
                }
                request.clear();
                continue;
            }
            nat.sent_to.push(to);
            let mut response = Vec::new();
            let outside = nat.outside(to);
            let answer = server
                .answer(Path::udp(to, outside), &request, &mut response)
                .filter(|_| request.len().max(response.len()) <= 1472 || !nat.whole_only);
            if nat.rewrites {
                response = inside_in_plain(&response);
            }
            if let Some(answer) = answer.filter(|answer| nat.lets_in(answer.path.local, outside)) {
                let path = Path::udp(at(LOCAL), answer.path.local);
                discovery.handle_datagram(now, path, BytesMut::from(&response[..]));
            }
            request.clear();
        }
        if let Some(event) = discovery.poll_event() {
            assert_eq!((discovery.poll_timeout(), discovery.poll_event()), (None, None));
            return (event, now - start);
        }
        now = discovery.poll_timeout().expect("something is awaited");
        discovery.handle_timeout(now);
    }
}

/// The same answer without its fingerprint, with the inside address where the outside one stood in plain.
fn inside_in_plain(response: &[u8]) -> Vec<u8> {
    let outside = Message::parse(response)
        .unwrap()
        .address(attribute::MAPPED_ADDRESS);
    let Some(SocketAddr::V4(outside)) = outside else {
        return response.to_vec();
    };
    let mut changed = response[..response.len() - 8].to_vec();
    let len = u16::from_be_bytes([changed[2], changed[3]]) - 8;
    changed[2..4].copy_from_slice(&len.to_be_bytes());
    let plain = [&outside.port().to_be_bytes()[..], &outside.ip().octets()].concat();
    let place = changed.windows(6).position(|window| window == plain).unwrap();
    changed[place..place + 6].copy_from_slice(&[0x13, 0x88, 10, 0, 0, 2]);
    changed
}

fn behaviour(event: Event) -> Behaviour {
    match event {
        Event::Discovered(behaviour) => behaviour,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_mapping_and_every_filtering_is_told_apart() {
    for mapping in [
        Mapping::NoNat,
        Mapping::EndpointIndependent,
        Mapping::AddressDependent,
        Mapping::AddressAndPortDependent,
    ] {
        for filtering in [
            Filtering::EndpointIndependent,
            Filtering::AddressDependent,
            Filtering::AddressAndPortDependent,
        ] {
            let (event, took) = discover(&server(), mapping, filtering);
            let found = behaviour(event);
            assert_eq!((found.mapping, found.filtering), (mapping, filtering));
            assert!(took <= Duration::from_secs(15), "{took:?}");
            // The server knows no PADDING, and there is no second socket.
            assert_eq!((found.fragments, found.hairpinning), (None, None));
            assert_eq!(found.rewritten, Some(false));
            let words = found.to_string();
            assert_eq!(
                words.contains("symmetric"),
                mapping == Mapping::AddressAndPortDependent,
                "{words}"
            );
            assert_eq!(
                words.contains("everybody"),
                filtering == Filtering::EndpointIndependent,
                "{words}"
            );
        }
    }
}

#[test]
fn a_server_with_one_address_tells_only_where_we_are_seen() {
    let (event, _) = discover(
        &BindingServer::default(),
        Mapping::EndpointIndependent,
        Filtering::EndpointIndependent,
    );
    let found = behaviour(event);
    assert_eq!(found.mapped, Some(at("203.0.113.7:1")));
    assert_eq!(
        (found.mapping, found.filtering),
        (Mapping::Unknown, Filtering::Unknown)
    );
    assert!(found.to_string().contains("one address only"));
}

#[test]
fn fragments_hairpins_and_meddlers_are_told() {
    for bits in 0..8 {
        let mut nat = Nat::new(Mapping::EndpointIndependent, Filtering::EndpointIndependent);
        (nat.hairpins, nat.whole_only, nat.rewrites) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
        let (hairpins, whole_only, rewrites) = (nat.hairpins, nat.whole_only, nat.rewrites);
        let (event, took) = discover_behind(&generous(), nat, Some(at(SECOND_LOCAL)));
        let found = behaviour(event);
        assert_eq!(found.mapping, Mapping::EndpointIndependent);
        assert_eq!(found.fragments, Some(!whole_only));
        assert_eq!(found.hairpinning, Some(hairpins));
        assert_eq!(found.rewritten, Some(rewrites));
        assert!(took <= Duration::from_secs(12), "{took:?}");
        let words = found.to_string();
        assert_eq!(
            words.contains("larger than a packet are lost"),
            whole_only,
            "{words}"
        );
        assert_eq!(words.contains("hairpinning: none"), !hairpins, "{words}");
        assert_eq!(words.contains("generic ALG"), rewrites, "{words}");
    }
}

#[test]
fn without_a_nat_there_is_nothing_to_hairpin() {
    let nat = Nat::new(Mapping::NoNat, Filtering::EndpointIndependent);
    let (event, _) = discover_behind(&generous(), nat, Some(at(SECOND_LOCAL)));
    let found = behaviour(event);
    assert_eq!((found.mapping, found.hairpinning), (Mapping::NoNat, None));
    assert_eq!(found.fragments, Some(true));
}

/// "The server MUST include both MAPPED-ADDRESS and XOR-MAPPED-ADDRESS in its Response" (RFC 5780, section 6.1), as a server
/// that offers nothing of it need not.
#[test]
fn where_behaviour_is_discovered_the_address_stands_there_twice() {
    let (_, _, answer) = asked(over_udp(), &server(), &[]);
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.address(attribute::MAPPED_ADDRESS), Some(at(CLIENT)));
    assert_eq!(message.xor_mapped_address(), Some(at(CLIENT)));
    assert_eq!(message.address(attribute::RESPONSE_ORIGIN), Some(at(FIRST)));
    let (_, _, answer) = asked(over_udp(), &BindingServer::default(), &[]);
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.address(attribute::MAPPED_ADDRESS), None);
}

#[test]
fn silence_is_udp_blocked() {
    let mut discovery = Discovery::new(Config::new(Path::udp(at(LOCAL), at(FIRST))), [7; 32], base());
    let mut sent = 0;
    while let Some(now) = discovery.poll_timeout() {
        discovery.handle_timeout(now);
        sent += u32::from(discovery.poll_transmit(now, &mut Vec::new()).is_some());
    }
    assert_eq!(sent, 4);
    assert_eq!(discovery.poll_event(), Some(Event::Failed(Failure::NoAnswer)));
}

/// RFC 5780, section 6.1, and RFC 8489, section 6.3.1.
#[test]
fn a_server_names_what_it_does_not_understand() {
    let path = Path::udp(at(FIRST), at("192.0.2.1:9"));
    let ask = |server: &BindingServer, kind| {
        let mut request = Vec::new();
        Writer::new(
            &mut request,
            Class::Request,
            Method::BINDING,
            TransactionId([1; 12]),
        )
        .attribute(kind, &[0, 0, 0, 6]);
        let mut out = Vec::new();
        let transmit = server.answer(path, &request, &mut out).unwrap();
        let message = Message::parse(&out).unwrap();
        assert!(message.class() == Class::Success || out.len() <= request.len() + 12);
        let unknown: Vec<u16> = message.unknown_attributes().collect();
        (
            transmit.path.local,
            message.error_code().map(|error| error.code),
            unknown,
        )
    };
    assert_eq!(
        ask(&server(), attribute::CHANGE_REQUEST),
        (at(SECOND), None, vec![])
    );
    for (server, kind) in [
        (BindingServer::default(), attribute::CHANGE_REQUEST),
        (server(), attribute::RESPONSE_PORT),
        (server(), attribute::PADDING),
        (server(), 0x7777),
    ] {
        assert_eq!(ask(&server, kind), (at(FIRST), Some(420), vec![kind]));
    }
}

/// RFC 5780, sections 4.5, 7.5 and 7.6.
fn generous() -> BindingServer {
    let mut server = server();
    (server.padding, server.response_port) = (true, true);
    server
}

/// What a server answers to a request over `path`, and where to.
fn asked(path: Path, server: &BindingServer, attributes: &[(u16, &[u8])]) -> (SocketAddr, usize, Vec<u8>) {
    let mut request = Vec::new();
    let id = TransactionId([1; 12]);
    let mut writer = Writer::new(&mut request, Class::Request, Method::BINDING, id);
    for (kind, value) in attributes {
        writer.attribute(*kind, value);
    }
    writer.fingerprint();
    // What the buffer held before stays.
    let mut out = vec![7; 3];
    let answer = server.answer(path, &request, &mut out).unwrap();
    (answer.path.remote, request.len(), out.split_off(3))
}

const CLIENT: &str = "192.0.2.1:9";

fn over_udp() -> Path {
    Path::udp(at(FIRST), at(CLIENT))
}

/// "If the Request contained a PADDING attribute, PADDING MUST be included in the Binding Response" (section 6.1); here it
/// never makes the answer longer than what was asked.
#[test]
fn padding_comes_back_and_never_amplifies() {
    for len in [0, 1, 40, 300, 1500, 1600, 9000] {
        let padding = vec![0; len];
        let (to, asked, answer) = asked(over_udp(), &generous(), &[(attribute::PADDING, &padding)]);
        let message = Message::parse(&answer).unwrap();
        assert_eq!((message.class(), to), (Class::Success, at(CLIENT)));
        assert_eq!(message.verify_fingerprint(), Some(true));
        let padded = message.attribute(attribute::PADDING).unwrap().len();
        // 20 of the header, 48 of the four addresses, 8 of the fingerprint, 4 of its own header are there in any case.
        assert!(
            answer.len() <= asked.max(80),
            "{len}: {} for {asked}",
            answer.len()
        );
        assert!(padded <= 1500 && padded.is_multiple_of(4));
        assert_eq!(answer.len() > 1472, len >= 1500, "{len}: {}", answer.len());
    }
}

/// "the Binding Response MUST be transmitted to the source IP address of the Binding Request and the port contained in
/// RESPONSE-PORT" (section 7.5).
#[test]
fn the_answer_goes_to_the_port_that_was_asked_for_and_to_no_other_address() {
    let port = 4444u16.to_be_bytes();
    let long = [port[0], port[1], 0, 0];
    for value in [&port[..], &long[..]] {
        let (to, _, answer) = asked(over_udp(), &generous(), &[(attribute::RESPONSE_PORT, value)]);
        assert_eq!(to, at("192.0.2.1:4444"));
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.xor_mapped_address(), Some(at(CLIENT)));
    }
}

#[test]
fn a_request_that_makes_no_sense_gets_400_and_where_it_came_from() {
    let padding = [0; 8];
    let refused: [&[(u16, &[u8])]; 4] = [
        // "The server MUST NOT process a request containing a RESPONSE-PORT and a PADDING attribute" (section 7.5).
        &[
            (attribute::RESPONSE_PORT, &[17, 92]),
            (attribute::PADDING, &padding),
        ],
        &[(attribute::RESPONSE_PORT, &[0, 0])],
        &[(attribute::RESPONSE_PORT, &[1])],
        &[(attribute::RESPONSE_PORT, &[1, 2, 3])],
    ];
    for attributes in refused {
        let (to, _, answer) = asked(over_udp(), &generous(), attributes);
        let message = Message::parse(&answer).unwrap();
        assert_eq!(
            message.error_code().map(|error| error.code),
            Some(400),
            "{attributes:?}"
        );
        assert_eq!(to, at(CLIENT));
    }
}

/// A connection has one far end and no fragments.
#[test]
fn over_tcp_neither_is_understood() {
    let mut path = over_udp();
    path.transport = dunlin_net::Transport::Tcp;
    for kind in [attribute::PADDING, attribute::RESPONSE_PORT] {
        let (_, _, answer) = asked(path, &generous(), &[(kind, &[17, 92])]);
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.error_code().map(|error| error.code), Some(420));
        assert_eq!(message.unknown_attributes().collect::<Vec<_>>(), [kind]);
    }
}
