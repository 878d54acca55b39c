//! Several servers as one: quotas over all, and reserved ports that the parent keeps for them; and the channel numbers of
//! old clients.

mod world;

use std::time::Duration;

use dunlin_net::{Path, Transport};
use dunlin_stun::{Class, Message, Method, TransactionId, Writer, attribute};
use dunlin_turn::attribute::EvenPort;
use dunlin_turn::client::{Event, Failure};
use dunlin_turn::server::{self, PortPolicy};
use dunlin_turn::{Authenticator, ChannelNumber, Frame, Frames, next_frame};
use world::{World, at, client_config, credentials, path, server_config};

#[test]
fn allocations_elsewhere_count_for_the_quotas() {
    let mut config = server_config();
    config.max_allocations_per_user = 2;
    config.max_allocations = 3;
    let mut world = World::new(config);
    world.server.count_elsewhere(b"george", true);
    world.server.count_elsewhere(b"1700000000:george", true);
    world.add(client_config("192.0.2.1:5000"));
    world.run(Duration::from_secs(1));
    assert_eq!(world.events(0), [Event::Closed(Failure::QuotaReached)]);
    world.server.count_elsewhere(b"george", false);
    world.add(client_config("192.0.2.1:5001"));
    world.run(Duration::from_secs(1));
    assert!(matches!(world.events(1)[..], [Event::Allocated(_)]));
    // One here, two elsewhere: all are taken.
    world.server.count_elsewhere(b"paul", true);
    let mut config = client_config("192.0.2.1:5002");
    config.credentials = credentials("ringo");
    world.add(config);
    world.run(Duration::from_secs(1));
    assert_eq!(world.events(2), [Event::Closed(Failure::InsufficientCapacity)]);
    // What was never counted is not taken back.
    for _ in 0..5 {
        world.server.count_elsewhere(b"nobody", false);
    }
    assert!(
        world
            .server
            .has_allocation(path("192.0.2.1:5001", Transport::Udp).reversed())
    );
    assert!(
        !world
            .server
            .has_allocation(path("192.0.2.1:5000", Transport::Udp).reversed())
    );
}

#[test]
fn a_parent_that_keeps_reserved_ports_is_told_their_tokens() {
    let mut config = server_config();
    config.reservations_outside = true;
    let mut world = World::new(config);
    let mut even = client_config("192.0.2.1:5000");
    even.even_port = Some(EvenPort { reserve_next: true });
    world.add(even);
    world.run(Duration::from_secs(1));
    let [Event::Allocated(allocated)] = world.events(0)[..] else {
        panic!("no allocation");
    };
    let token = allocated.reservation.expect("a token");
    let asked = |world: &World| {
        let opened = world.server_events.iter().rev();
        let mut ports = opened.filter_map(|event| match event {
            server::Event::OpenRelay { port, .. } => Some(*port),
            _ => None,
        });
        ports.next()
    };
    assert_eq!(asked(&world), Some(PortPolicy::EvenAndReserve(token)));
    let mut second = client_config("192.0.2.1:5001");
    second.reservation = Some(token);
    world.add(second);
    world.run(Duration::from_secs(1));
    assert_eq!(asked(&world), Some(PortPolicy::Reserved(token)));
    assert!(matches!(world.events(1)[..], [Event::Allocated(_)]));
    // A token that the parent does not know.
    world.no_relays = true;
    let mut third = client_config("192.0.2.1:5002");
    third.reservation = Some(token);
    world.add(third);
    world.run(Duration::from_secs(1));
    assert_eq!(world.events(2), [Event::Closed(Failure::InsufficientCapacity)]);
}

/// A ChannelBind request for `number` in the session of the world's client, and the class of its answer.
fn bind(world: &mut World, number: u16) -> Class {
    let client = path("192.0.2.1:5000", Transport::Udp);
    let challenge = ask(world, client.reversed(), |out| {
        Writer::new(out, Class::Request, Method::CHANNEL_BIND, TransactionId([7; 12]));
    });
    let challenge = Message::parse(&challenge).unwrap();
    let auth = Authenticator::answer(&credentials("george"), &challenge).unwrap();
    let answer = ask(world, client.reversed(), |out| {
        let mut writer = Writer::new(out, Class::Request, Method::CHANNEL_BIND, TransactionId([8; 12]));
        let [high, low] = number.to_be_bytes();
        writer
            .attribute(attribute::CHANNEL_NUMBER, &[high, low, 0, 0])
            .xor_peer_address(at("198.51.100.7:7000"));
        auth.authenticate(&mut writer);
    });
    Message::parse(&answer).unwrap().class()
}

fn ask(world: &mut World, path: Path, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (mut request, mut answer) = (Vec::new(), Vec::new());
    write(&mut request);
    assert!(world.server.handle_packet(world.now, path, &request).is_none());
    assert!(world.server.poll_transmit(world.now, &mut answer).is_some());
    answer
}

/// RFC 8656, section 12.2: "The channel number is in the range 0x4000 through 0x4FFF (inclusive) [...] If any of these
/// tests fail, the server replies with a 400"; section 12.6: a reserved value "is silently discarded".
#[test]
fn channels_of_rfc_5766_are_bound_on_request_only() {
    let data = [0x60, 0x01, 0, 2, 7, 7];
    let server = path("192.0.2.1:5000", Transport::Udp).reversed();
    let (mut strict, _) = World::allocated();
    assert_eq!(bind(&mut strict, 0x6001), Class::Error);
    assert!(strict.server.handle_packet(strict.now, server, &data).is_none());
    assert_eq!(next_frame(&data), Frame::Invalid);

    let mut config = server_config();
    config.rfc5766_channels = true;
    let mut world = World::new(config);
    world.add(client_config("192.0.2.1:5000"));
    world.run(Duration::from_secs(1));
    assert_eq!(bind(&mut world, 0x8000), Class::Error);
    assert_eq!(bind(&mut world, 0x6001), Class::Success);
    let forward = world.server.handle_packet(world.now, server, &data).unwrap();
    assert_eq!(&data[forward.data], [7, 7]);
    assert_eq!(
        ChannelNumber::new_rfc5766(0x7FFF).map(ChannelNumber::get),
        Some(0x7FFF)
    );
    let mut frames = Frames::rfc5766();
    frames.buffer().extend_from_slice(&[0x60, 0x01, 0, 2, 7, 7, 0, 0]);
    assert_eq!(frames.take().map(|frame| frame.len()), Some(8));
}
