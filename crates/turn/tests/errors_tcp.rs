//! The error paths of a server, rule by rule: TCP allocations (RFC 6062) and mobility (RFC 8016).

mod raw;
mod world;

use dunlin_net::{Path, Transport};
use dunlin_stun::{AddressFamily, Class, Message, Method, TransactionId, Writer, attribute};
use dunlin_turn::attribute::{
    ConnectionId, DontFragment, EvenPort, MobilityTicket, RequestedAddressFamily, ReservationToken,
};
use dunlin_turn::server::{Config, Event, HEADROOM, TAILROOM};
use raw::{Answer, Fate, HOME, PEER, PEER6, Raw, Write, bind, home, lifetime, over_tcp, peer, tcp, udp};
use world::{at, path, server_config};

fn tcp_config() -> Config {
    let mut config = server_config();
    config.tcp_relays = true;
    config
}

/// RFC 6062, section 5.1.
#[test]
fn allocate_requests_for_tcp() {
    let cases: [(&str, Transport, Write<'_>, Option<u16>); 5] = [
        ("over TCP", Transport::Tcp, &|_| {}, None),
        ("over TLS", Transport::Tls, &|_| {}, None),
        ("over UDP", Transport::Udp, &|_| {}, Some(400)),
        (
            "an even port",
            Transport::Tcp,
            &|w| EvenPort { reserve_next: false }.write(w),
            Some(400),
        ),
        (
            "a token",
            Transport::Tcp,
            &|w| ReservationToken([1; 8]).write(w),
            Some(400),
        ),
    ];
    for (what, transport, write, code) in cases {
        let mut raw = Raw::new(tcp_config());
        let answer = raw.ask(path(HOME, transport), Method::ALLOCATE, &|w| {
            over_tcp(w);
            write(w);
        });
        assert_eq!(answer.code, code, "{what}");
    }
    let mut config = tcp_config();
    config.dont_fragment = true;
    let answer = Raw::new(config).ask(tcp(HOME), Method::ALLOCATE, &|w| {
        over_tcp(w);
        DontFragment.write(w);
    });
    assert_eq!(answer.code, Some(400));
}

/// RFC 6062, section 5.2.
///
/// ```text
/// client                         server                        peer
///   |--- Connect ----------------->|--- SYN ------------------->|
///   |<-- 447 ----------------------|  nothing for 30 s          |
/// ```
#[test]
fn connect_requests() {
    let connect: Write<'_> = &|w| peer(w, PEER);
    // A UDP relay connects to nobody.
    let mut raw = Raw::new(tcp_config());
    assert_eq!(raw.ask(tcp(HOME), Method::ALLOCATE, &udp).code, None);
    assert_eq!(raw.ask(tcp(HOME), Method::CONNECT, connect).code, Some(400));

    let mut raw = Raw::new(tcp_config());
    assert_eq!(raw.ask(tcp(HOME), Method::ALLOCATE, &over_tcp).code, None);
    let cases: [(Write<'_>, u16); 5] = [
        (&|_| {}, 400),
        (&|w| _ = w.attribute(attribute::XOR_PEER_ADDRESS, &[1]), 400),
        (&|w| peer(w, PEER6), 443),
        (&|w| peer(w, "127.0.0.1:22"), 403),
        (&|w| peer(w, "203.0.113.1:22"), 403),
    ];
    for (index, (write, code)) in cases.into_iter().enumerate() {
        assert_eq!(
            raw.ask(tcp(HOME), Method::CONNECT, write).code,
            Some(code),
            "case {index}"
        );
    }
    let answer = |raw: &mut Raw| {
        raw.obey();
        let mut out = Vec::new();
        raw.server.poll_transmit(raw.now, &mut out).map(|_| {
            let message = Message::parse(&out).unwrap();
            assert_eq!(
                (message.method(), message.has_integrity_sha256()),
                (Method::CONNECT, true)
            );
            message.error_code().map_or(0, |error| error.code)
        })
    };
    // "If the server is currently processing a Connect request for this allocation with the same XOR-PEER-ADDRESS".
    let id = raw.id();
    assert!(raw.ask_as(id, tcp(HOME), Method::CONNECT, connect).is_none());
    assert_eq!(raw.ask(tcp(HOME), Method::CONNECT, connect).code, Some(446));
    // "If the connection attempt fails or times out".
    let connection = raw.connections[0];
    raw.server.peer_failed(raw.now, connection);
    assert_eq!(answer(&mut raw), Some(447));
    let id = raw.id();
    assert!(raw.ask_as(id, tcp(HOME), Method::CONNECT, connect).is_none());
    raw.wait(29);
    assert_eq!(answer(&mut raw), None);
    raw.wait(1);
    assert_eq!(answer(&mut raw), Some(447));
    assert!(raw.events.contains(&Event::CloseConnection(raw.connections[1])));
    // A parent that comes too late.
    raw.server.peer_connected(raw.now, raw.connections[1]);
    assert_eq!(answer(&mut raw), None);
    // "the resulting client and peer data connections are either pending or active".
    let id = raw.id();
    assert!(raw.ask_as(id, tcp(HOME), Method::CONNECT, connect).is_none());
    let connection = raw.connections[2];
    raw.server.peer_connected(raw.now, connection);
    assert_eq!(answer(&mut raw), Some(0));
    assert_eq!(raw.ask(tcp(HOME), Method::CONNECT, connect).code, Some(446));
    let data = tcp("192.0.2.1:5001");
    assert_eq!(
        raw.ask(data, Method::CONNECTION_BIND, &|w| connection.write(w))
            .code,
        None
    );
    assert_eq!(raw.ask(tcp(HOME), Method::CONNECT, connect).code, Some(446));
    raw.server.connection_closed(raw.now, connection);
    let id = raw.id();
    assert!(raw.ask_as(id, tcp(HOME), Method::CONNECT, connect).is_none());
}

/// RFC 6062, sections 4.3, 5.2 and 5.4.
#[test]
fn connection_bind_requests() {
    let mut raw = Raw::new(tcp_config());
    assert_eq!(raw.ask(tcp(HOME), Method::ALLOCATE, &over_tcp).code, None);
    let id = raw.id();
    assert!(
        raw.ask_as(id, tcp(HOME), Method::CONNECT, &|w| peer(w, PEER))
            .is_none()
    );
    let connection = raw.connections[0];
    let write: Write<'_> = &|w| connection.write(w);
    let data = tcp("192.0.2.1:5001");
    // It is not there yet.
    assert_eq!(raw.ask(data, Method::CONNECTION_BIND, write).code, Some(400));
    raw.server.peer_connected(raw.now, connection);
    assert!(raw.server.poll_transmit(raw.now, &mut Vec::new()).is_some());
    let over_udp = path("192.0.2.1:5001", Transport::Udp);
    let cases: [(&str, Path, Write<'_>, u16); 4] = [
        ("no id", data, &|_| {}, 400),
        (
            "an unknown id",
            data,
            &|w| ConnectionId(connection.0 ^ 1).write(w),
            400,
        ),
        ("over UDP", over_udp, write, 400),
        // "This connection MUST be made using a different local transport address."
        ("the control connection", tcp(HOME), write, 400),
    ];
    for (what, path, write, code) in cases {
        assert_eq!(
            raw.ask(path, Method::CONNECTION_BIND, write).code,
            Some(code),
            "{what}"
        );
    }
    raw.user = "paul";
    assert_eq!(raw.ask(data, Method::CONNECTION_BIND, write).code, Some(441));
    raw.user = "george";
    // "If no ConnectionBind request [...] is received after 30 seconds, the peer data connection MUST be closed."
    raw.wait(29);
    assert!(!raw.events.contains(&Event::CloseConnection(connection)));
    raw.wait(1);
    assert!(raw.events.contains(&Event::CloseConnection(connection)));
    assert_eq!(raw.ask(data, Method::CONNECTION_BIND, write).code, Some(400));
    // One that a peer made can be bound once.
    assert_eq!(
        raw.ask(tcp(HOME), Method::CREATE_PERMISSION, &|w| peer(w, PEER))
            .code,
        None
    );
    let accepted = raw
        .server
        .peer_accepted(raw.now, raw.relays[0], at(PEER))
        .unwrap();
    assert!(raw.server.poll_transmit(raw.now, &mut Vec::new()).is_some());
    for code in [None, Some(400)] {
        assert_eq!(
            raw.ask(data, Method::CONNECTION_BIND, &|w| accepted.write(w))
                .code,
            code
        );
    }
}

/// RFC 6062, section 5.5: "If the allocation associated with a data connection expires, the data connection MUST be closed.
/// When a client data connection is closed, the server MUST close the corresponding peer data connection."
#[test]
fn connections_end_with_either_side_and_with_the_allocation() {
    let data = tcp("192.0.2.1:5001");
    type End = fn(&mut Raw, Path);
    let ends: [End; 3] = [
        |raw, data| raw.server.connection_lost(raw.now, data.reversed()),
        |raw, _| raw.server.connection_lost(raw.now, tcp(HOME).reversed()),
        |raw, _| raw.wait(601),
    ];
    for (index, end) in ends.into_iter().enumerate() {
        let mut config = tcp_config();
        config.max_connections = 1;
        let mut raw = Raw::new(config);
        assert_eq!(raw.ask(tcp(HOME), Method::ALLOCATE, &over_tcp).code, None);
        let permitted = raw.ask(tcp(HOME), Method::CREATE_PERMISSION, &|w| peer(w, PEER));
        assert_eq!(permitted.code, None);
        let relay = raw.relays[0];
        let connection = raw.server.peer_accepted(raw.now, relay, at(PEER)).unwrap();
        assert!(raw.server.poll_transmit(raw.now, &mut Vec::new()).is_some());
        // There is room for one.
        let other: Write<'_> = &|w| peer(w, "198.51.100.7:7001");
        assert_eq!(raw.ask(tcp(HOME), Method::CONNECT, other).code, Some(508));
        assert_eq!(
            raw.server.peer_accepted(raw.now, relay, at("198.51.100.7:7002")),
            None
        );
        let bound = raw.ask(data, Method::CONNECTION_BIND, &|w| connection.write(w));
        assert_eq!(bound.code, None);
        end(&mut raw, data);
        raw.obey();
        let closed = Event::CloseConnection(connection);
        assert!(raw.events.contains(&closed), "end {index}");
        assert_eq!(raw.server.carry(raw.now, connection, true, 1), None);
        assert_eq!(raw.server.stats().allocations, u64::from(index == 0));
    }
}

/// A TCP relay has neither channels nor datagrams: its parent could not send them.
#[test]
fn a_tcp_relay_carries_no_datagrams() {
    let mut raw = Raw::new(tcp_config());
    assert_eq!(raw.ask(tcp(HOME), Method::ALLOCATE, &over_tcp).code, None);
    assert_eq!(
        raw.ask(tcp(HOME), Method::CHANNEL_BIND, &|w| bind(w, 0x4000, PEER))
            .code,
        Some(400)
    );
    assert_eq!(
        raw.ask(tcp(HOME), Method::CREATE_PERMISSION, &|w| peer(w, PEER))
            .code,
        None
    );
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Indication, Method::SEND, TransactionId([1; 12]))
        .xor_peer_address(at(PEER))
        .data(b"x");
    assert_eq!(raw.data(tcp(HOME), &out), Fate::NoPermission);
}

fn mobile(writer: &mut Writer<'_>) {
    udp(writer);
    MobilityTicket(&[]).write(writer);
}

fn ticket_of(answer: &Answer) -> Vec<u8> {
    MobilityTicket::read(&answer.message())
        .expect("a ticket")
        .0
        .to_vec()
}

/// RFC 8016, section 3.2.2.
#[test]
fn refresh_requests_with_tickets() {
    let mut raw = Raw::new(server_config());
    let answer = raw.ask(home(), Method::ALLOCATE, &mobile);
    let (ticket, away) = (ticket_of(&answer), path("198.18.0.1:6000", Transport::Udp));
    let present: Write<'_> = &|w| MobilityTicket(&ticket).write(w);
    assert_eq!(
        raw.ask(home(), Method::CREATE_PERMISSION, &|w| peer(w, PEER))
            .code,
        None
    );
    // "If the source IP address and port of the Refresh request [...] is the same as the stored 5-tuple".
    assert_eq!(raw.ask(home(), Method::REFRESH, present).code, Some(400));
    assert_eq!(
        raw.ask(away, Method::REFRESH, &|w| MobilityTicket(&[]).write(w))
            .code,
        Some(400)
    );
    assert_eq!(
        raw.ask(away, Method::REFRESH, &|w| MobilityTicket(b"forged").write(w))
            .code,
        Some(400)
    );
    raw.user = "paul";
    assert_eq!(raw.ask(away, Method::REFRESH, present).code, Some(441));
    raw.user = "george";
    // "If the refresh request [...] does not succeed [...], then the client can continue to exchange data on the old 5-tuple".
    let v6 = RequestedAddressFamily(Ok(AddressFamily::Ipv6));
    assert_eq!(
        raw.ask(away, Method::REFRESH, &|w| {
            present(w);
            v6.write(w);
        })
        .code,
        Some(443)
    );
    let malformed: Write<'_> = &|w| {
        present(w);
        w.attribute(attribute::LIFETIME, &[0]);
    };
    assert_eq!(raw.ask(away, Method::REFRESH, malformed).code, Some(400));
    assert!(!raw.server.has_allocation(away.reversed()));
    // Another allocation is in the way: that is no sign that this one is gone.
    let busy = path("198.18.0.1:6001", Transport::Udp);
    assert_eq!(raw.ask(busy, Method::ALLOCATE, &udp).code, None);
    assert_eq!(raw.ask(busy, Method::REFRESH, present).code, Some(400));

    let moved = raw.ask(away, Method::REFRESH, present);
    assert_eq!(moved.code, None);
    let next = ticket_of(&moved);
    assert_ne!(next, ticket, "it \"MUST be different from the old ticket\"");
    // "The old ticket can only be used for the purposes of retransmission."
    let again = raw.ask(away, Method::REFRESH, present);
    assert_eq!((again.code, ticket_of(&again)), (None, next.clone()));
    let further = path("198.18.0.1:6002", Transport::Udp);
    assert_eq!(raw.ask(further, Method::REFRESH, present).code, Some(400));
    // The old 5-tuple is good until the client sends from the new one.
    assert_eq!(raw.ask(home(), Method::REFRESH, &|_| {}).code, None);
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Indication, Method::SEND, TransactionId([1; 12]))
        .xor_peer_address(at(PEER))
        .data(b"x");
    for path in [home(), away] {
        assert!(matches!(raw.data(path, &out), Fate::Forwarded(..)));
    }
    assert_eq!(raw.data(home(), &out), Fate::NoAllocation);
    assert_eq!(raw.ask(home(), Method::REFRESH, &|_| {}).code, Some(437));
    // And the allocation that a ticket is for may have ended.
    assert_eq!(
        raw.ask(away, Method::REFRESH, &|w| lifetime(0).write(w)).code,
        None
    );
    let gone = raw.ask(further, Method::REFRESH, &|w| MobilityTicket(&next).write(w));
    assert_eq!(gone.code, Some(437));
}

/// RFC 8016, section 3.2.2: data goes to the old 5-tuple until the client sends from the new one, "or a message from the client
/// to close the old connection (e.g., a TLS fatal alert or TCP RST)". Before a move the allocation waits for its client.
#[test]
fn a_connection_that_breaks_leaves_its_allocation_to_the_ticket() {
    let mut raw = Raw::new(server_config());
    let answer = raw.ask(tcp(HOME), Method::ALLOCATE, &mobile);
    let (ticket, away) = (ticket_of(&answer), tcp("198.18.0.1:6000"));
    let permitted = raw.ask(tcp(HOME), Method::CREATE_PERMISSION, &|w| peer(w, PEER));
    assert_eq!(permitted.code, None);
    let to = |raw: &mut Raw| {
        let mut buffer = [0; HEADROOM + TAILROOM];
        let (relay, now) = (raw.relays[0], raw.now);
        let sent = raw
            .server
            .handle_relay(now, relay, at(PEER), &mut buffer, HEADROOM..HEADROOM);
        sent.expect("it is permitted").transmit.path.reversed()
    };
    let moved = raw.ask(away, Method::REFRESH, &|w| MobilityTicket(&ticket).write(w));
    assert_eq!((moved.code, to(&mut raw)), (None, tcp(HOME)));
    raw.server.connection_lost(raw.now, tcp(HOME).reversed());
    assert_eq!(to(&mut raw), away);
    raw.server.connection_lost(raw.now, away.reversed());
    assert_eq!(raw.server.stats().allocations, 1);
    let (ticket, further) = (ticket_of(&moved), tcp("198.18.0.1:6001"));
    let moved = raw.ask(further, Method::REFRESH, &|w| MobilityTicket(&ticket).write(w));
    assert_eq!(moved.code, None);
}

/// RFC 8016, section 3.2.2: "the server configuration changed to forbid mobility"; RFC 6062, section 4.2: "the Refresh MUST be
/// sent on the control connection".
#[test]
fn allocations_that_do_not_move() {
    let mut config = server_config();
    config.mobility = false;
    let mut raw = Raw::allocated(config, &udp);
    let away = path("198.18.0.1:6000", Transport::Udp);
    assert_eq!(
        raw.ask(away, Method::REFRESH, &|w| MobilityTicket(b"ticket").write(w))
            .code,
        Some(405)
    );

    let mut raw = Raw::new(tcp_config());
    let answer = raw.ask(tcp(HOME), Method::ALLOCATE, &|w| {
        over_tcp(w);
        MobilityTicket(&[]).write(w);
    });
    let ticket = ticket_of(&answer);
    let present: Write<'_> = &|w| MobilityTicket(&ticket).write(w);
    assert_eq!(raw.ask(away, Method::REFRESH, present).code, Some(400));
    assert_eq!(
        raw.ask(tcp("198.18.0.1:6000"), Method::REFRESH, present).code,
        None
    );
}
