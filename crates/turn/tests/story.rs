//! Client and server against each other, story by story, in virtual time.

mod world;

use std::time::Duration;

use dunlin_net::Transport;
use dunlin_stun::AddressFamily;
use dunlin_turn::attribute::{EvenPort, RequestedTransport};
use dunlin_turn::client::{Event, Failure, PeerError};
use dunlin_turn::server::{self, Release};
use world::{World, at, client_config, credentials, ip, path, server_config};

const PEER: &str = "198.51.100.7:7000";

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// ```text
/// client                               server
///   |--- Allocate --------------------->|
///   |<-- 401 ---------------------------|
///   |--- Allocate, signed ------------->|  OpenRelay, relay_opened
///   |<-- success -----------------------|
///   |--- ChannelBind ------------------>|
///   |<-- success -----------------------|
///   |=== ChannelData ==================>|=== datagram ==> peer
/// ```
#[test]
fn data_goes_both_ways_first_in_indications_then_on_a_channel() {
    let (mut world, relayed) = World::allocated();
    let events = world.events(0);
    let [Event::Allocated(allocated)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(
        (allocated.relayed, allocated.mapped),
        (relayed, Some(at("192.0.2.1:5000")))
    );
    assert_eq!(allocated.lifetime, seconds(600));
    // Nothing goes before there is a permission.
    assert_eq!(world.send(0, at(PEER), b"early"), None);
    world.peer_sends(at(PEER), relayed, b"uninvited");
    world.clients[0].permit(world.now, at(PEER).ip()).unwrap();
    world.run(seconds(1));
    assert!(world.received[0].is_empty());
    assert_eq!(world.send(0, at(PEER), b"hello"), Some(36 + 8));
    world.peer_sends(at(PEER), relayed, b"hi!");
    world.run(seconds(1));
    world.clients[0].bind(world.now, at(PEER)).unwrap();
    world.run(seconds(1));
    assert_eq!(
        world.events(0),
        [Event::Permitted(at(PEER).ip()), Event::ChannelBound(at(PEER))]
    );
    assert_eq!(world.send(0, at(PEER), b"world"), Some(4 + 5));
    world.peer_sends(at(PEER), relayed, b"there");
    world.peer_sends(at(PEER), relayed, b"");
    world.run(seconds(1));
    assert_eq!(
        world.at_peers,
        [
            (at(PEER), relayed, b"hello".to_vec()),
            (at(PEER), relayed, b"world".to_vec())
        ]
    );
    let received: Vec<_> = world.received[0].iter().map(|(_, data)| &data[..]).collect();
    assert_eq!(received, [&b"hi!"[..], b"there", b""]);
    assert!(world.received[0].iter().all(|(peer, _)| *peer == at(PEER)));
}

/// "For ever" is a fair thing to say of a time, and no sum of times may overflow by it.
#[test]
fn times_without_end_are_taken() {
    for forever in [Duration::MAX, seconds(u64::MAX)] {
        let mut config = server_config();
        config.nonce_age = forever;
        config.default_lifetime = forever;
        config.max_lifetime = forever;
        let mut world = World::new(config);
        let mut config = client_config("192.0.2.1:5000");
        config.lifetime = forever;
        config.keepalive = forever;
        config.initial_rto = forever;
        config.reliable_timeout = forever;
        world.add(config);
        world.run(seconds(2));
        let Some(Event::Allocated(allocated)) = world.events(0).pop() else {
            panic!("no allocation")
        };
        assert_eq!(allocated.lifetime, seconds(u64::from(u32::MAX)));
        world.clients[0].permit(world.now, at(PEER).ip()).unwrap();
        world.run(seconds(10_000));
        assert!(world.send(0, at(PEER), b"still there").is_some());
        world.clients[0].close();
        world.run(seconds(1));
        assert_eq!(world.server.stats().allocations, 0);
    }
}

/// Permissions live 5 minutes, channels and allocations 10, nonces an hour: two hours are many refreshes.
#[test]
fn an_idle_session_lives_for_hours_with_a_tenth_of_all_datagrams_lost() {
    let (mut world, relayed) = World::allocated();
    world.clients[0].bind(world.now, at(PEER)).unwrap();
    world.clients[0].permit(world.now, ip("198.51.100.8")).unwrap();
    world.run(seconds(1));
    world.loss = 10;
    for _ in 0..24 {
        world.run(seconds(300));
        let before = world.received[0].len();
        world.loss = 0;
        for peer in [at(PEER), at("198.51.100.8:8")] {
            assert!(world.send(0, peer, b"still").is_some());
            world.peer_sends(peer, relayed, b"there");
        }
        world.run(seconds(1));
        assert_eq!(world.received[0].len(), before + 2);
        world.loss = 10;
    }
    assert_eq!(world.at_peers.len(), 48);
    assert!(world.server.stats().stale_nonces > 0);
    assert_eq!(world.server.stats().allocations, 1);
}

#[test]
fn what_is_closed_is_given_back() {
    let (mut world, _) = World::allocated();
    world.events(0);
    world.clients[0].close();
    world.run(seconds(1));
    assert_eq!(world.events(0), [Event::Closed(Failure::Released)]);
    assert_eq!((world.server.stats().allocations, world.relays.len()), (0, 0));
    let released = world.server_events.iter().any(|event| {
        matches!(
            event,
            server::Event::Released {
                reason: Release::Client,
                ..
            }
        )
    });
    assert!(released, "{:?}", world.server_events);
    assert_eq!(
        (world.clients[0].poll_timeout(), world.server.poll_timeout()),
        (None, None)
    );
    assert_eq!(
        world.clients[0].permit(world.now, ip("198.51.100.8")),
        Err(PeerError::Closed)
    );
}

#[test]
fn a_client_that_vanishes_is_forgotten() {
    let (mut world, _) = World::allocated();
    world.clients.clear();
    world.run(seconds(601));
    assert_eq!((world.server.stats().allocations, world.relays.len()), (0, 0));
    assert_eq!(world.server.stats().allocations_expired, 1);
    assert_eq!(world.server.poll_timeout(), None);
}

#[test]
fn a_server_that_forgot_us_is_named() {
    let (mut world, _) = World::allocated();
    world.server = dunlin_turn::Server::new(server_config(), [77; 32], world.now);
    world.run(seconds(600));
    assert_eq!(
        world.events(0).pop(),
        Some(Event::Closed(Failure::AllocationLost))
    );
}

#[test]
fn wrong_credentials_are_named_within_a_moment() {
    let mut world = World::new(server_config());
    let mut config = client_config("192.0.2.1:5000");
    config.credentials.password = "guess".to_owned();
    world.add(config);
    let mut config = client_config("192.0.2.1:5001");
    config.credentials = credentials("yoko");
    world.add(config);
    world.run(seconds(1));
    for client in 0..2 {
        assert_eq!(world.events(client), [Event::Closed(Failure::WrongCredentials)]);
    }
    assert_eq!(world.server.stats().wrong_credentials, 2);
}

#[test]
fn silence_is_named_after_seven_requests() {
    let mut world = World::new(server_config());
    world.loss = 100;
    world.add(client_config("192.0.2.1:5000"));
    world.run(seconds(40));
    assert_eq!(world.events(0), [Event::Closed(Failure::NoAnswer(7))]);
    let words = Failure::NoAnswer(7).to_string();
    assert!(words.contains("UDP is blocked"), "{words}");
}

#[test]
fn quotas_hold_per_user_and_in_all() {
    let mut config = server_config();
    config.max_allocations_per_user = 1;
    config.max_allocations = 2;
    let mut world = World::new(config);
    for (port, user) in ["george", "george", "paul", "ringo"].into_iter().enumerate() {
        let mut config = client_config(&format!("192.0.2.1:{}", 5000 + port));
        config.credentials = credentials(user);
        world.add(config);
        world.run(seconds(1));
    }
    assert!(matches!(world.events(0)[..], [Event::Allocated(_)]));
    assert_eq!(world.events(1), [Event::Closed(Failure::QuotaReached)]);
    assert!(matches!(world.events(2)[..], [Event::Allocated(_)]));
    assert_eq!(world.events(3), [Event::Closed(Failure::InsufficientCapacity)]);
    // What is given back can be had again.
    world.clients[0].close();
    world.run(seconds(1));
    world.add(client_config("192.0.2.1:5010"));
    world.run(seconds(1));
    assert!(matches!(world.events(4)[..], [Event::Allocated(_)]));
}

#[test]
fn no_socket_is_insufficient_capacity() {
    let mut world = World::new(server_config());
    world.no_relays = true;
    world.add(client_config("192.0.2.1:5000"));
    world.run(seconds(1));
    assert_eq!(world.events(0), [Event::Closed(Failure::InsufficientCapacity)]);
    assert_eq!(world.server.stats().allocations, 0);
}

/// RFC 8656, section 7.2: retransmissions get the same allocation, a new Allocate request from the same place a 437.
#[test]
fn loss_makes_no_second_allocation_and_a_reused_port_is_named() {
    for seed in 0..40 {
        let mut world = World::new(server_config());
        world.loss = 50;
        for _ in 0..seed {
            // Another part of the random sequence.
            world.add(client_config("192.0.2.9:1"));
            world.clients.clear();
        }
        world.received.clear();
        world.client_events.clear();
        world.add(client_config("192.0.2.1:5000"));
        world.run(seconds(60));
        world.loss = 0;
        let events = world.events(0);
        assert!(matches!(events[..], [Event::Allocated(_)]), "{events:?}");
        assert_eq!(world.server.stats().allocations_made, 1);
        world.add(client_config("192.0.2.1:5000"));
        world.clients.remove(0);
        world.client_events.remove(0);
        world.run(seconds(5));
        assert_eq!(world.events(0), [Event::Closed(Failure::AddressInUse)]);
    }
}

#[test]
fn both_families_come_in_one_allocation() {
    let mut world = World::new(server_config());
    let mut config = client_config("192.0.2.1:5000");
    config.additional_ipv6 = true;
    world.add(config);
    world.run(seconds(1));
    let relayed: Vec<_> = world.clients[0].relayed_addresses().collect();
    assert!(
        relayed.len() == 2 && relayed[0].is_ipv4() && relayed[1].is_ipv6(),
        "{relayed:?}"
    );
    let peers = [at(PEER), at("[2001:db8:1::7]:7000")];
    for (peer, relayed) in peers.into_iter().zip(&relayed) {
        world.clients[0].bind(world.now, peer).unwrap();
        world.run(seconds(1));
        assert!(world.send(0, peer, b"x").is_some());
        world.peer_sends(peer, *relayed, b"y");
        world.run(seconds(1));
    }
    assert_eq!((world.at_peers.len(), world.received[0].len()), (2, 2));
    // Without IPv6 the server says so.
    let mut config = server_config();
    config.ipv6 = false;
    let mut world = World::new(config);
    let mut config = client_config("192.0.2.1:5000");
    config.additional_ipv6 = true;
    world.add(config);
    world.run(seconds(1));
    let events = world.events(0);
    let [Event::Allocated(allocated)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(allocated.missing, Some((AddressFamily::Ipv6, 440)));
    assert_eq!(
        world.clients[0].permit(world.now, ip("2001:db8:1::7")),
        Err(PeerError::Family)
    );
}

#[test]
fn an_even_port_and_the_next_one() {
    let mut world = World::new(server_config());
    let mut config = client_config("192.0.2.1:5000");
    config.even_port = Some(EvenPort { reserve_next: true });
    world.add(config);
    world.run(seconds(1));
    let events = world.events(0);
    let [Event::Allocated(allocated)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!(allocated.relayed.port() % 2, 0);
    let token = allocated.reservation.expect("a token");
    let mut config = client_config("192.0.2.1:5001");
    config.reservation = Some(token);
    world.add(config.clone());
    world.run(seconds(1));
    let next = world.clients[1].relayed_addresses().next().unwrap();
    assert_eq!(next.port(), allocated.relayed.port() + 1);
    // It can be had once.
    config.path = path("192.0.2.1:5002", Transport::Udp);
    world.add(config);
    world.run(seconds(1));
    assert_eq!(world.events(2), [Event::Closed(Failure::InsufficientCapacity)]);
    world.run(seconds(60));
    assert_eq!(world.relays.len(), 2);
}

#[test]
fn what_a_server_cannot_do_is_given_up() {
    let mut config = server_config();
    config.mobility = false;
    let mut world = World::new(config);
    let mut config = client_config("192.0.2.1:5000");
    config.mobility = true;
    config.dont_fragment = true;
    world.add(config);
    world.run(seconds(1));
    let events = world.events(0);
    let [Event::Allocated(allocated)] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(!allocated.mobile);
    assert_eq!(
        world.clients[0].move_to(world.now, path("192.0.2.2:1", Transport::Udp)),
        Err(PeerError::NotSupported)
    );
}

/// RFC 8016: the relayed address stays, the client's changes.
#[test]
fn an_allocation_moves_with_its_client() {
    let mut world = World::new(server_config());
    let mut config = client_config("192.0.2.1:5000");
    config.mobility = true;
    world.add(config);
    world.run(seconds(1));
    let relayed = world.clients[0].relayed_addresses().next().unwrap();
    world.clients[0].bind(world.now, at(PEER)).unwrap();
    world.run(seconds(1));
    for port in 6000..6003 {
        let new_path = path(&format!("198.18.0.1:{port}"), Transport::Udp);
        world.events(0);
        world.clients[0].move_to(world.now, new_path).unwrap();
        world.run(seconds(1));
        assert_eq!(world.events(0), [Event::Moved(new_path)]);
        assert!(world.send(0, at(PEER), b"from elsewhere").is_some());
        world.run(seconds(1));
        world.peer_sends(at(PEER), relayed, b"to elsewhere");
        world.run(seconds(1));
    }
    assert_eq!((world.at_peers.len(), world.received[0].len()), (3, 3));
    assert_eq!(world.server.stats().allocations, 1);
    world.run(seconds(1200));
    assert_eq!(world.server.stats().allocations, 1);
}

#[test]
fn two_clients_of_one_server_reach_each_other_and_nothing_else_of_it() {
    let (mut world, first) = World::allocated();
    world.add(client_config("192.0.2.2:5000"));
    world.run(seconds(1));
    let second = world.clients[1].relayed_addresses().next().unwrap();
    world.clients[0].bind(world.now, second).unwrap();
    world.clients[1].permit(world.now, first.ip()).unwrap();
    world.run(seconds(1));
    assert!(world.send(0, second, b"over").is_some());
    assert!(world.send(1, first, b"back").is_some());
    // The listener, and a port that is no relay.
    assert!(world.send(1, at(world::SERVER), b"evil").is_some());
    assert!(world.send(1, at("203.0.113.1:22"), b"evil").is_some());
    world.run(seconds(1));
    assert_eq!(world.received[1], [(first, b"over".to_vec())]);
    assert_eq!(world.received[0], [(second, b"back".to_vec())]);
    assert_eq!((world.at_peers.len(), world.server.stats().peers_refused), (0, 2));
}

#[test]
fn over_tcp_nothing_is_repeated_and_data_is_padded() {
    let mut world = World::new(server_config());
    let mut config = client_config("192.0.2.1:5000");
    config.path = path("192.0.2.1:5000", Transport::Tcp);
    world.add(config);
    world.run(seconds(1));
    let relayed = world.clients[0].relayed_addresses().next().unwrap();
    world.clients[0].bind(world.now, at(PEER)).unwrap();
    world.run(seconds(1));
    assert_eq!(world.send(0, at(PEER), b"12345"), Some(12));
    world.peer_sends(at(PEER), relayed, b"1234567");
    world.run(seconds(100));
    assert_eq!(world.at_peers[0].2, b"12345");
    assert_eq!(world.received[0], [(at(PEER), b"1234567".to_vec())]);
    assert_eq!(world.clients[0].stats().requests_sent, 3);
    world
        .server
        .connection_lost(world.now, path("192.0.2.1:5000", Transport::Tcp).reversed());
    assert_eq!(world.server.stats().allocations, 0);
}

#[test]
fn draining_sends_newcomers_away_and_ends_with_the_last() {
    let mut config = server_config();
    config.alternate_server = Some(at("203.0.113.2:3478"));
    let mut world = World::new(config);
    world.add(client_config("192.0.2.1:5000"));
    world.run(seconds(1));
    world.server.drain(world.now);
    world.add(client_config("192.0.2.2:5000"));
    world.run(seconds(1));
    let server = at("203.0.113.2:3478");
    let redirected = Failure::Redirected { server, domain: None };
    assert_eq!(world.events(1), [Event::Closed(redirected)]);
    world.run(seconds(1000));
    assert_eq!(world.server.stats().allocations, 1);
    assert!(!world.server_events.contains(&server::Event::Drained));
    world.clients[0].close();
    world.run(seconds(1));
    assert!(world.server_events.contains(&server::Event::Drained));
}

#[test]
fn ephemeral_credentials_end_when_they_say() {
    let secret = dunlin_stun::long_term::SharedSecret::new(b"north");
    let mut config = server_config();
    config.shared_secrets = vec![b"south".to_vec(), b"north".to_vec()];
    config.unix_time = 1_000_000;
    let mut world = World::new(config);
    for (port, expiry) in [(5000, 1_000_100), (5001, 999_999)] {
        let mut config = client_config(&format!("192.0.2.1:{port}"));
        config.credentials = secret.credentials("foo", expiry);
        world.add(config);
    }
    world.run(seconds(1));
    assert!(matches!(world.events(0)[..], [Event::Allocated(_)]));
    assert_eq!(world.events(1), [Event::Closed(Failure::WrongCredentials)]);
}

/// A call may last longer than the credentials that it began with: they are for making allocations. It goes on, and
/// moves to another address (RFC 8016); a new allocation is refused.
#[test]
fn an_allocation_outlives_the_ephemeral_credentials_that_it_was_made_with() {
    let secret = dunlin_stun::long_term::SharedSecret::new(b"north");
    let mut config = server_config();
    config.shared_secrets = vec![b"north".to_vec()];
    config.unix_time = 1_000_000;
    let mut world = World::new(config);
    let client = |port: u16| {
        let mut config = client_config(&format!("192.0.2.1:{port}"));
        config.credentials = secret.credentials("foo", 1_000_100);
        config.mobility = true;
        config
    };
    world.add(client(5000));
    world.run(seconds(1));
    world.clients[0].bind(world.now, at(PEER)).unwrap();
    // Longer than any lifetime, and than a nonce is good for.
    world.run(seconds(5000));
    assert!(world.send(0, at(PEER), b"still here").is_some());
    world.run(seconds(1));
    assert_eq!(world.at_peers.len(), 1);
    let elsewhere = path("192.0.2.1:6000", Transport::Udp);
    world.clients[0].move_to(world.now, elsewhere).unwrap();
    world.run(seconds(5000));
    assert!(world.send(0, at(PEER), b"and elsewhere").is_some());
    world.run(seconds(1));
    assert_eq!(world.at_peers.len(), 2);
    world.add(client(5001));
    world.run(seconds(1));
    assert_eq!(world.events(1), [Event::Closed(Failure::WrongCredentials)]);
}

#[test]
fn bandwidth_is_limited_in_both_directions() {
    let mut config = server_config();
    config.max_bytes_per_second = Some(10_000);
    let mut world = World::new(config);
    world.add(client_config("192.0.2.1:5000"));
    world.run(seconds(1));
    let relayed = world.clients[0].relayed_addresses().next().unwrap();
    world.clients[0].bind(world.now, at(PEER)).unwrap();
    world.run(seconds(1));
    for _ in 0..100 {
        assert!(world.send(0, at(PEER), &[0; 1000]).is_some());
        world.peer_sends(at(PEER), relayed, &[0; 1000]);
    }
    world.run(seconds(1));
    assert_eq!((world.at_peers.len(), world.received[0].len()), (10, 10));
    assert_eq!(world.server.stats().dropped_bandwidth, 180);
}

/// RFC 6062: the client asks the relay to connect, then a connection of its own takes the bytes over.
#[test]
fn tcp_connections_are_made_in_both_directions() {
    let mut config = server_config();
    config.tcp_relays = true;
    config.instance = (2, 3);
    config.max_bytes_per_second = Some(1000);
    let mut world = World::new(config);
    let mut config = client_config("192.0.2.1:5000");
    config.path = path("192.0.2.1:5000", Transport::Tcp);
    config.transport = RequestedTransport::TCP;
    world.add(config);
    world.run(seconds(1));
    world.clients[0].permit(world.now, at(PEER).ip()).unwrap();
    world.clients[0].connect(world.now, at(PEER)).unwrap();
    world.run(seconds(1));
    let asked = world.server_events.iter().find_map(|event| match event {
        server::Event::ConnectPeer {
            connection,
            peer,
            relay,
        } => Some((*connection, *peer, *relay)),
        _ => None,
    });
    let (connection, peer, relay) = asked.expect("an order to connect");
    assert_eq!(peer, at(PEER));
    assert_eq!(connection.instance(3), 2, "it tells whose it is");
    world.server.peer_connected(world.now, connection);
    world.events(0);
    world.run(seconds(1));
    assert_eq!(world.events(0), [Event::Connected { peer, connection }]);
    let data_path = path("192.0.2.1:5001", Transport::Tcp);
    world.clients[0]
        .bind_connection(world.now, connection, data_path)
        .unwrap();
    world.run(seconds(1));
    assert_eq!(
        world.events(0),
        [Event::ConnectionBound {
            connection,
            path: data_path
        }]
    );
    // With the nonce of the connection that asked for it: some clients know no second one.
    assert_eq!(world.server.stats().stale_nonces, 0);
    let client = data_path.reversed();
    assert!(
        world
            .server_events
            .contains(&server::Event::BindConnection { connection, client })
    );
    // Its bytes count, and are limited, like those of datagrams.
    let now = world.now;
    assert_eq!(world.server.carry(now, connection, true, 700), Some(700));
    assert_eq!(world.server.carry(now, connection, true, 700), Some(300));
    assert_eq!(world.server.carry(now, connection, false, 700), Some(700));
    let stats = world.server.stats();
    assert_eq!((stats.bytes_to_peers, stats.bytes_to_clients), (1000, 700));
    // A peer comes by itself; nobody takes its connection.
    let other = at("198.51.100.7:7001");
    let accepted = world
        .server
        .peer_accepted(world.now, relay, other)
        .expect("it is permitted");
    assert_eq!(
        world.server.peer_accepted(world.now, relay, at("198.51.100.8:1")),
        None
    );
    world.run(seconds(1));
    assert_eq!(
        world.events(0),
        [Event::ConnectionAttempt {
            peer: other,
            connection: accepted
        }]
    );
    world.run(seconds(31));
    assert!(
        world
            .server_events
            .contains(&server::Event::CloseConnection(accepted))
    );
    // The bound one outlives all that, until the allocation ends.
    assert!(
        !world
            .server_events
            .contains(&server::Event::CloseConnection(connection))
    );
    world.clients[0].close();
    world.run(seconds(1));
    assert!(
        world
            .server_events
            .contains(&server::Event::CloseConnection(connection))
    );
    let now = world.now;
    assert_eq!(world.server.carry(now, connection, true, 1), None);
}
