//! The threats of the map, by number: 13 relays into forbidden networks, 14 amplification and floods, 15 the classes of
//! bugs of other servers, 16 bytes that lie.

mod world;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use dunlin_net::{Path, Transport};
use dunlin_stun::{Class, Message, Method, TransactionId, Writer, attribute};
use dunlin_turn::attribute::RequestedTransport;
use dunlin_turn::client::{Event, Failure};
use dunlin_turn::server::{AccessList, Prefix, Server, Verdict};
use dunlin_turn::{ChannelData, ChannelNumber};
use world::{World, allow, at, base, client_config, credentials, ip, path, server_config};

/// Every form that an IPv4 address takes inside IPv6.
fn forms(ip: Ipv4Addr) -> Vec<IpAddr> {
    let [a, b, c, d] = ip.octets().map(u16::from);
    let (high, low) = (a << 8 | b, c << 8 | d);
    let mapped = [0, 0, 0, 0, 0, 0xffff, high, low];
    let compatible = [0, 0, 0, 0, 0, 0, high, low];
    let nat64 = [0x64, 0xff9b, 0, 0, 0, 0, high, low];
    let local_nat64 = [0x64, 0xff9b, 1, 0, 0, 0, high, low];
    let six_to_four = [0x2002, high, low, 0, 0, 0, 0, 1];
    let teredo = [0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low];
    let isatap = [0x2001, 0xdb8, 0, 0, 0, 0x5efe, high, low];
    let mut forms: Vec<IpAddr> = [
        mapped,
        compatible,
        nat64,
        local_nat64,
        six_to_four,
        teredo,
        isatap,
    ]
    .map(IpAddr::from)
    .into();
    forms.push(ip.into());
    forms
}

#[test]
fn threat_13_a_socket_that_is_open_to_peers_opens_nothing_beside_it() {
    let mut access = AccessList::default();
    access.own_sockets = vec![
        "127.0.0.1:5000".parse().unwrap(),
        "192.0.2.53:5000".parse().unwrap(),
    ];
    assert_eq!(access.verdict(ip("127.0.0.1")), Verdict::OwnRelaysOnly);
    assert_eq!(access.verdict(ip("192.0.2.53")), Verdict::OwnRelaysOnly);
    assert_eq!(access.verdict(ip("127.0.0.2")), Verdict::Refused);
    assert_eq!(access.verdict(ip("::ffff:127.0.0.1")), Verdict::Refused);
    access.denied = vec!["127.0.0.0/8".parse().unwrap()];
    assert_eq!(access.verdict(ip("127.0.0.1")), Verdict::Refused);
}

#[test]
fn threat_13_no_form_of_a_special_address_is_relayed_to() {
    let mut access = AccessList::default();
    access.own = vec![ip("192.0.2.53"), ip("2001:db8::53")];
    for special in [
        "0.0.0.0",
        "0.255.0.1",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
    ] {
        for form in forms(special.parse().unwrap()) {
            assert_eq!(access.verdict(form), Verdict::Refused, "{form}");
        }
    }
    for special in [
        "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd12::1", "ff02::1", "ff0e::1", "100::1",
    ] {
        assert_eq!(access.verdict(ip(special)), Verdict::Refused, "{special}");
    }
    // The server itself: its relays under its own name, nothing under another.
    for form in forms("192.0.2.53".parse().unwrap()) {
        let expected = if form.is_ipv4() {
            Verdict::OwnRelaysOnly
        } else {
            Verdict::Refused
        };
        assert_eq!(access.verdict(form), expected, "{form}");
    }
    assert_eq!(access.verdict(ip("2001:db8::53")), Verdict::OwnRelaysOnly);
    // Neighbours of the special ranges are other people's, and so are the forms that may be on the wire.
    for public in [
        "1.0.0.1",
        "9.255.255.255",
        "11.0.0.1",
        "100.63.255.255",
        "100.128.0.1",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "172.15.255.255",
        "172.32.0.1",
        "192.167.255.255",
        "198.17.255.255",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "64:ff9b::808:808",
        "2002:808:808::1",
    ] {
        assert_eq!(access.verdict(ip(public)), Verdict::Allowed, "{public}");
    }
    for never in ["::ffff:8.8.8.8", "::8.8.8.8"] {
        assert_eq!(access.verdict(ip(never)), Verdict::Refused, "{never}");
    }
}

#[test]
fn threat_13_what_is_allowed_and_what_is_denied_are_exact() {
    let prefix = |text: &str| text.parse::<Prefix>().unwrap();
    let mut access = AccessList::default();
    access.allowed = vec![prefix("127.0.0.0/8"), prefix("10.1.0.0/16")];
    access.denied = vec![prefix("10.1.2.0/24"), prefix("8.8.8.8")];
    for (peer, allowed) in [
        ("127.0.0.1", true),
        ("10.1.1.1", true),
        ("10.1.2.1", false),
        ("10.2.0.1", false),
        ("8.8.8.8", false),
        ("8.8.8.9", true),
        ("64:ff9b::808:808", false),
        ("::1", false),
    ] {
        assert_eq!(access.verdict(ip(peer)) == Verdict::Allowed, allowed, "{peer}");
    }
    for bad in [
        "",
        "10.0.0.0/33",
        "10.0.0/8",
        "::/129",
        "10.0.0.0/",
        "10.0.0.0/-1",
    ] {
        assert!(bad.parse::<Prefix>().is_err(), "{bad}");
    }
}

#[test]
fn threat_13_the_server_itself_refuses_and_says_so() {
    let (mut world, _) = World::allocated();
    world.events(0);
    world.clients[0].permit(world.now, ip("127.0.0.1")).unwrap();
    world.clients[0]
        .bind(world.now, at("169.254.169.254:80"))
        .unwrap();
    world.clients[0].bind(world.now, at("203.0.113.1:22")).unwrap();
    world.run(Duration::from_secs(5));
    let events = world.events(0);
    for expected in [
        Event::PermissionRefused {
            peer: ip("127.0.0.1"),
            code: 403,
        },
        Event::ChannelRefused {
            peer: at("169.254.169.254:80"),
            code: 403,
        },
        Event::ChannelRefused {
            peer: at("203.0.113.1:22"),
            code: 403,
        },
    ] {
        assert!(events.contains(&expected), "{events:?}");
    }
    for peer in ["127.0.0.1:1", "169.254.169.254:80", "203.0.113.1:22"] {
        let _ = world.send(0, at(peer), b"evil");
    }
    world.run(Duration::from_secs(1));
    assert!(world.at_peers.is_empty());
    // Whoever means it says it.
    let mut config = server_config();
    allow(&mut config, "127.0.0.0/8");
    let mut world = World::new(config);
    world.add(client_config("192.0.2.1:5000"));
    world.run(Duration::from_secs(1));
    world.clients[0].bind(world.now, at("127.0.0.1:7")).unwrap();
    world.run(Duration::from_secs(1));
    assert!(world.clients[0].is_bound(at("127.0.0.1:7")));
}

fn allocate_request(id: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = [7; 12];
    bytes[..4].copy_from_slice(&id.to_be_bytes());
    let mut writer = Writer::new(&mut out, Class::Request, Method::ALLOCATE, TransactionId(bytes));
    RequestedTransport::UDP.write(&mut writer);
    out
}

fn binding_request() -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([7; 12]));
    out
}

/// A request whose integrity is wrong, of a user that exists.
fn forged_request() -> Vec<u8> {
    let key = dunlin_stun::IntegrityKey::short_term("guess");
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Class::Request, Method::ALLOCATE, TransactionId([7; 12]));
    RequestedTransport::UDP.write(&mut writer);
    writer
        .username(b"george")
        .realm(b"example.org")
        .nonce(b"nonce")
        .integrity(&key);
    out
}

#[test]
fn threat_14_one_source_gets_no_more_bytes_than_it_sends_but_for_the_burst() {
    let now = base();
    for request in [allocate_request(1), binding_request(), forged_request()] {
        let mut server = Server::new(server_config(), [1; 32], now);
        let client = path("192.0.2.66:1", Transport::Udp).reversed();
        let (mut sent, mut received) = (0, 0);
        let mut out = Vec::new();
        for _ in 0..10_000 {
            sent += request.len();
            let _ = server.handle_packet(now, client, &request);
            while server.poll_transmit(now, &mut out).is_some() {
                received += out.len();
                out.clear();
            }
        }
        assert!(received <= sent + 4096, "{received} for {sent}");
        assert!(received > sent / 2, "{received} for {sent}");
        // Another source is not the worse for it.
        let other = path("192.0.2.67:1", Transport::Udp).reversed();
        let _ = server.handle_packet(now, other, &request);
        assert!(server.poll_transmit(now, &mut out).is_some());
        // And the first one is answered again after a while.
        let later = now + Duration::from_secs(2);
        let _ = server.handle_packet(later, client, &request);
        assert!(server.poll_transmit(later, &mut out).is_some());
    }
}

#[test]
fn threat_14_a_million_unauthenticated_datagrams_change_no_memory() {
    let now = base();
    let mut server = Server::new(server_config(), [1; 32], now);
    let mut out = Vec::with_capacity(1000);
    let packets = [
        allocate_request(1),
        binding_request(),
        forged_request(),
        vec![0x40, 0, 0, 4, 1, 2, 3, 4],
        vec![0; 100],
    ];
    let mut flood = |server: &mut Server, count: u32| {
        for index in 0..count {
            let source = SocketAddr::new(
                Ipv4Addr::from(index.wrapping_mul(2_654_435_761)).into(),
                index as u16,
            );
            let client = Path::udp(at(world::SERVER), source);
            let _ = server.handle_packet(now, client, &packets[index as usize % packets.len()]);
            while server.poll_transmit(now, &mut out).is_some() {
                out.clear();
            }
        }
    };
    flood(&mut server, 100);
    let counted = allocation_counter::measure(|| flood(&mut server, 1_000_000));
    assert_eq!(
        (counted.count_total, counted.bytes_current),
        (0, 0),
        "{counted:?}"
    );
    let stats = server.stats();
    assert_eq!(
        (stats.allocations, server.poll_event(), server.poll_timeout()),
        (0, None, None)
    );
    assert!(
        stats.challenges > 200_000 && stats.bindings > 100_000,
        "{stats:?}"
    );
}

#[test]
fn threat_14_answers_that_nobody_polls_are_bounded() {
    let now = base();
    let mut config = server_config();
    config.max_queued_bytes = 10_000;
    let mut server = Server::new(config, [1; 32], now);
    for port in 0..10_000 {
        let source = SocketAddr::new(Ipv4Addr::from(port * 65_537).into(), port as u16);
        let _ = server.handle_packet(now, Path::udp(at(world::SERVER), source), &binding_request());
    }
    let (mut queued, mut out) = (0, Vec::new());
    while server.poll_transmit(now, &mut out).is_some() {
        queued += out.len();
        out.clear();
    }
    assert!(queued < 10_100, "{queued}");
    assert!(server.stats().dropped_queue_full > 0);
}

#[test]
fn threat_15_a_ticket_is_worth_nothing_to_another_user() {
    let mut world = World::new(server_config());
    let mut config = client_config("192.0.2.1:5000");
    config.mobility = true;
    world.add(config);
    world.run(Duration::from_secs(1));
    // Paul replays George's move, ticket and all, under his own name.
    let now = world.now;
    let thief_path = path("192.0.2.9:9", Transport::Udp);
    world.clients[0].move_to(now, thief_path).unwrap();
    let mut stolen = Vec::new();
    while world.clients[0].poll_transmit(now, &mut stolen).is_some() {}
    let ticket = Message::parse(&stolen)
        .unwrap()
        .attribute(attribute::MOBILITY_TICKET)
        .unwrap()
        .to_vec();
    let mut config = client_config("192.0.2.9:9");
    config.credentials = credentials("paul");
    let paul = dunlin_stun::long_term::Credentials { ..config.credentials };
    let ask = |world: &mut World, auth: Option<&dunlin_stun::long_term::Authenticator>, ticket: &[u8]| {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, Class::Request, Method::REFRESH, TransactionId([5; 12]));
        writer.attribute(attribute::MOBILITY_TICKET, ticket);
        if let Some(auth) = auth {
            auth.authenticate(&mut writer);
        }
        let _ = world.server.handle_packet(world.now, thief_path.reversed(), &out);
        out.clear();
        assert!(world.server.poll_transmit(world.now, &mut out).is_some());
        out
    };
    let challenge = ask(&mut world, None, &ticket);
    let auth =
        dunlin_stun::long_term::Authenticator::answer(&paul, &Message::parse(&challenge).unwrap()).unwrap();
    let refused = ask(&mut world, Some(&auth), &ticket);
    assert_eq!(Message::parse(&refused).unwrap().error_code().unwrap().code, 441);
    // A ticket that was changed is no ticket.
    for at in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[at] ^= 1;
        let refused = ask(&mut world, Some(&auth), &changed);
        assert_eq!(Message::parse(&refused).unwrap().error_code().unwrap().code, 400);
    }
    assert_eq!(world.server.stats().allocations, 1);
}

#[test]
fn threat_15_an_allocation_is_its_users_alone() {
    let (mut world, _) = World::allocated();
    // Paul sends from George's address, as someone behind the same NAT may come to do.
    let mut config = client_config("192.0.2.1:5000");
    config.credentials = credentials("paul");
    world.add(config);
    world.clients.swap_remove(0);
    world.client_events.swap_remove(0);
    world.run(Duration::from_secs(1));
    assert_eq!(world.events(0), [Event::Closed(Failure::AddressInUse)]);
    assert_eq!(world.server.stats().allocations, 1);
}

#[test]
fn threat_15_the_same_peer_many_times_is_one_permission_and_too_many_are_refused() {
    let mut config = server_config();
    config.max_permissions = 3;
    config.max_channels = 2;
    let mut world = World::new(config);
    world.add(client_config("192.0.2.1:5000"));
    world.run(Duration::from_secs(1));
    world.events(0);
    for last in [1, 1, 2, 3, 4] {
        world.clients[0]
            .permit(world.now, Ipv4Addr::new(198, 51, 100, last).into())
            .unwrap();
        world.run(Duration::from_secs(1));
    }
    for port in [1, 2, 3] {
        world.clients[0]
            .bind(world.now, SocketAddr::new(ip("198.51.100.1"), port))
            .unwrap();
        world.run(Duration::from_secs(1));
    }
    let refused: Vec<_> = world
        .events(0)
        .into_iter()
        .filter(|event| {
            matches!(
                event,
                Event::PermissionRefused { .. } | Event::ChannelRefused { .. }
            )
        })
        .collect();
    assert_eq!(
        refused,
        [
            Event::PermissionRefused {
                peer: ip("198.51.100.4"),
                code: 508
            },
            Event::ChannelRefused {
                peer: at("198.51.100.1:3"),
                code: 508
            },
        ]
    );
}

#[test]
fn threat_15_an_allocation_with_full_tables_stays_under_six_kilobytes() {
    let (mut world, _) = World::allocated();
    let empty = world.server.memory();
    for last in 0..64 {
        let peer = Ipv4Addr::new(198, 51, 100, last);
        let peer = SocketAddr::new(peer.into(), 7000);
        if last < 32 {
            world.clients[0].bind(world.now, peer).unwrap();
        } else {
            world.clients[0].permit(world.now, peer.ip()).unwrap();
        }
    }
    world.run(Duration::from_secs(5));
    let full = world.server.memory();
    assert!(empty < 1000 && full < 6000, "{empty} {full}");
}

#[test]
fn threat_16_no_prefix_and_no_flipped_bit_of_any_message_harms_either_side() {
    let (mut world, relayed) = World::allocated();
    let peer = at("198.51.100.7:7000");
    world.clients[0].bind(world.now, peer).unwrap();
    world.run(Duration::from_secs(1));
    let (client_path, now) = (path("192.0.2.1:5000", Transport::Udp), world.now);
    let mut samples = vec![allocate_request(3), forged_request(), binding_request()];
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Indication, Method::SEND, TransactionId([1; 12]))
        .xor_peer_address(peer)
        .data(b"hello");
    samples.push(out);
    let mut out = Vec::new();
    Writer::new(&mut out, Class::Indication, Method::DATA, TransactionId([1; 12]))
        .xor_peer_address(peer)
        .data(b"hello");
    samples.push(out);
    let mut out = Vec::new();
    assert!(ChannelData::write_datagram(&mut out, ChannelNumber::MIN, |out| {
        out.extend_from_slice(b"data");
        true
    }));
    samples.push(out);
    for sample in samples {
        for bit in 0..sample.len() * 8 {
            let mut flipped = sample.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            for bytes in [&flipped[..], &sample[..bit / 8]] {
                let _ = world.server.handle_packet(now, client_path.reversed(), bytes);
                let _ = world.clients[0].handle_datagram(now, client_path, BytesMut::from(bytes));
            }
        }
    }
    world.run(Duration::from_secs(1));
    assert!(!world.clients[0].is_closed());
    assert_eq!(world.clients[0].relayed_addresses().next(), Some(relayed));
}
