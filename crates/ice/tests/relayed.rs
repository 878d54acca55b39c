//! Relayed candidates: gathered from TURN servers, checked, used, refreshed, given back; and servers that fail.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use std::time::Duration;

use dunlin_ice::{
    Config, Event, GatheringState, Kind, Role, ServerError, ServerState, State, TransportPolicy,
};
use dunlin_net::Transport;
use dunlin_turn::client::Failure;
use world::turn::{turn_server, with_turn};
use world::{A, B, World, addr, config, ms};

const SERVER: &str = "203.0.113.7:3478";
const OTHER: &str = "203.0.113.8:3478";

fn relay_only(mut config: Config) -> Config {
    config.transport_policy = TransportPolicy::Relay;
    config
}

/// Both peers in networks of their own that only reach the TURN server.
fn apart(seed: u64, transport: Transport, configure: impl Fn(Config) -> Config) -> World {
    let configs = [Role::Controlling, Role::Controlled];
    let configs = configs.map(|role| configure(with_turn(config(role), SERVER, transport)));
    let mut world = World::new(seed, configs);
    world.add_turn(SERVER, |_| {});
    world.nat("10.0.1.1", "198.18.0.1", true);
    world.nat("10.0.2.1", "198.18.0.2", true);
    world
}

fn add_both(world: &mut World) {
    world.add(A, "10.0.1.1:1000");
    world.add(B, "10.0.2.1:2000");
}

/// Gathers, signals, and lets both come to rest.
fn connect(world: &mut World) {
    add_both(world);
    world.run_for(ms(500));
    world.signal();
    assert!(
        world.run(ms(20_000), World::both_completed),
        "{:?}",
        states(world)
    );
}

fn states(world: &World) -> [State; 2] {
    [A, B].map(|node| world.nodes[node].agent.state())
}

fn kinds(world: &World, node: usize) -> Vec<Kind> {
    let candidates = world.nodes[node].agent.local_candidates();
    candidates.map(|candidate| candidate.kind).collect()
}

fn talk(world: &mut World) {
    for (from, to, text) in [(A, B, &b"\x80to b"[..]), (B, A, &b"\x80to a"[..])] {
        assert!(world.say(from, text));
        world.run_for(ms(100));
        assert_eq!(world.nodes[to].received.pop().as_deref(), Some(text));
    }
}

fn failures(world: &World, node: usize) -> Vec<ServerError> {
    let failed = world.nodes[node].events.iter().filter_map(|event| match event {
        Event::ServerFailed(report) => report.error().cloned(),
        _ => None,
    });
    failed.collect()
}

#[test]
fn a_turn_server_gives_a_relayed_and_a_reflexive_candidate() {
    let mut world = apart(1, Transport::Udp, |config| config);
    world.add(A, "10.0.1.1:1000");
    assert_eq!(kinds(&world, A), [Kind::Host]);
    world.run_for(ms(500));
    // The server relays both families.
    assert_eq!(
        kinds(&world, A),
        [Kind::Host, Kind::ServerReflexive, Kind::Relayed, Kind::Relayed]
    );
    let lines: Vec<String> = world.nodes[A]
        .agent
        .local_candidates()
        .map(ToString::to_string)
        .collect();
    assert!(
        lines[1].contains(" 198.18.0.1 40000 typ srflx raddr 10.0.1.1 rport 1000"),
        "{lines:?}"
    );
    assert!(
        lines[2].contains(" 203.0.113.7 50001 typ relay raddr 198.18.0.1 rport 40000"),
        "{lines:?}"
    );
    assert_eq!(world.nodes[A].agent.gathering_state(), GatheringState::Complete);
    let report = &world.nodes[A].agent.server_reports()[0];
    assert!(matches!(&report.state, ServerState::Answered { relayed, .. } if relayed.len() == 2));
}

#[test]
fn peers_that_only_reach_a_relay_talk_through_it_and_over_channels() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let mut world = apart(2, transport, relay_only);
        connect(&mut world);
        talk(&mut world);
        for node in [A, B] {
            let agent = &world.nodes[node].agent;
            let pair = agent.selected_pair().unwrap();
            assert_eq!(
                (pair.local.kind, pair.remote.kind),
                (Kind::Relayed, Kind::Relayed)
            );
            // The path on this host is the one to the server.
            let path = agent.selected_path().unwrap();
            assert_eq!((path.remote, path.transport), (addr(SERVER), transport));
            assert_eq!(agent.path_mtu_overhead(), 4, "a channel is bound");
        }
    }
}

#[test]
fn nothing_but_relayed_addresses_is_told_when_only_they_are_allowed() {
    let mut world = apart(3, Transport::Udp, relay_only);
    connect(&mut world);
    for node in [A, B] {
        assert!(kinds(&world, node).iter().all(|kind| *kind == Kind::Relayed));
        for event in &world.nodes[node].events {
            if let Event::LocalCandidate(candidate) = event {
                let line = candidate.to_string();
                // RFC 9429, section 3.5.3.
                assert!(
                    line.contains("raddr 0.0.0.0 rport 9") || line.contains("raddr :: rport 9"),
                    "{line}"
                );
            }
        }
    }
    // Everything that left the hosts went to the server.
    for (_, source, target, _) in &world.log {
        let server = |at: &std::net::SocketAddr| at.ip() == addr(SERVER).ip() || at.is_ipv6();
        assert!(server(source) || server(target), "{source} to {target}");
    }
}

#[test]
fn a_direct_path_wins_over_a_relayed_one_and_the_relays_are_given_back() {
    let configs = [Role::Controlling, Role::Controlled].map(config);
    let mut world = World::new(4, configs.map(|config| with_turn(config, SERVER, Transport::Udp)));
    world.add_turn(SERVER, |_| {});
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    world.run_for(ms(500));
    world.signal();
    assert!(world.run(ms(5000), World::both_completed));
    let pair = world.nodes[A].agent.selected_pair().unwrap();
    assert_eq!((pair.local.kind, pair.remote.kind), (Kind::Host, Kind::Host));
    assert_eq!(world.turn[0].server.stats().allocations, 2);
    world.run_for(ms(5000));
    assert_eq!(world.turn[0].server.stats().allocations, 0, "given back");
    talk(&mut world);
}

#[test]
fn one_relay_is_enough_when_the_peer_reaches_it_directly() {
    // B has no TURN server and no NAT; A's network lets UDP through to the server only.
    let mut world = World::new(
        5,
        [
            relay_only(with_turn(config(Role::Controlling), SERVER, Transport::Udp)),
            config(Role::Controlled),
        ],
    );
    world.add_turn(SERVER, |_| {});
    world.add(A, "10.0.1.1:1000");
    world.add(B, "10.0.2.1:2000");
    world.run_for(ms(500));
    world.signal();
    assert!(world.run(ms(5000), World::both_completed));
    talk(&mut world);
    let pair = world.nodes[B].agent.selected_pair().unwrap();
    assert_eq!((pair.local.kind, pair.remote.kind), (Kind::Host, Kind::Relayed));
}

#[test]
fn a_relayed_session_outlives_its_permissions_and_its_allocation() {
    // RFC 8656: permissions end after 300 s, channels and allocations after 600 s.
    let mut world = apart(6, Transport::Udp, relay_only);
    connect(&mut world);
    world.keep_log = false;
    for _ in 0..6 {
        world.run_for(Duration::from_secs(250));
        assert_eq!(states(&world), [State::Completed; 2]);
        talk(&mut world);
    }
}

#[test]
fn relayed_sessions_connect_with_every_fifth_datagram_lost() {
    for seed in 0..20 {
        let mut world = apart(100 + seed, Transport::Udp, |mut config| {
            config.gathering_timeout = ms(39_500);
            relay_only(config)
        });
        world.keep_log = false;
        world.loss = 0.2;
        add_both(&mut world);
        let gathered = |world: &World, node: usize| {
            world.nodes[node].agent.gathering_state() == GatheringState::Complete
        };
        assert!(world.run(ms(40_000), |world| gathered(world, A) && gathered(world, B)));
        world.signal();
        assert!(
            world.run(ms(30_000), World::both_completed),
            "seed {seed}: {:?}",
            states(&world)
        );
    }
}

#[test]
fn close_gives_the_allocation_back_and_says_nothing_more() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = apart(7, transport, relay_only);
        connect(&mut world);
        world.nodes[A].agent.close();
        world.drain();
        assert_eq!(world.nodes[A].agent.poll_timeout(), None);
        world.run_for(ms(100));
        assert_eq!(world.turn[0].server.stats().allocations, 1, "only B's");
        let closed = world.nodes[A]
            .events
            .iter()
            .any(|event| matches!(event, Event::ClosePath(_)));
        assert!(closed);
    }
}

#[test]
fn each_failure_of_a_server_has_its_reason_and_gathering_completes_without_it() {
    type Change = fn(&mut dunlin_turn::server::Config);
    let cases: [(&str, &str, Change, Failure); 3] = [
        (SERVER, "wrong", |_| {}, Failure::WrongCredentials),
        (
            SERVER,
            "the password",
            |config| config.max_allocations_per_user = 0,
            Failure::QuotaReached,
        ),
        (
            SERVER,
            "the password",
            |config| config.max_allocations = 0,
            Failure::InsufficientCapacity,
        ),
    ];
    for (address, password, change, expected) in cases {
        let mut controlling = config(Role::Controlling);
        controlling.turn_servers = vec![
            turn_server(address, Transport::Udp, password),
            turn_server(OTHER, Transport::Udp, "the password"),
        ];
        let mut world = World::new(8, [controlling, config(Role::Controlled)]);
        world.add_turn(address, change);
        world.add_turn(OTHER, |_| {});
        world.add(A, "10.0.1.1:1000");
        world.run_for(ms(1000));
        assert_eq!(failures(&world, A), [ServerError::Turn(expected)]);
        assert_eq!(world.nodes[A].agent.gathering_state(), GatheringState::Complete);
        assert!(kinds(&world, A).contains(&Kind::Relayed), "of the other server");
    }
}

#[test]
fn a_silent_server_and_one_that_refuses_connections_are_told_apart() {
    let mut controlling = config(Role::Controlling);
    controlling.turn_servers = vec![
        turn_server(SERVER, Transport::Udp, "x"),
        turn_server(SERVER, Transport::Tls, "x"),
    ];
    let mut world = World::new(9, [controlling, config(Role::Controlled)]);
    world.no_connections = Some(ServerError::Tls("the certificate has expired".to_owned()));
    world.add(A, "10.0.1.1:1000");
    world.run_for(ms(14_900));
    assert_eq!(world.nodes[A].agent.gathering_state(), GatheringState::Gathering);
    world.run_for(ms(200));
    assert_eq!(world.nodes[A].agent.gathering_state(), GatheringState::Complete);
    assert_eq!(
        failures(&world, A),
        [
            ServerError::Tls("the certificate has expired".to_owned()),
            ServerError::Timeout(Duration::from_secs(15)),
        ]
    );
}

#[test]
fn a_server_that_sends_us_on_is_followed() {
    let mut world = World::new(
        10,
        [
            with_turn(config(Role::Controlling), SERVER, Transport::Udp),
            config(Role::Controlled),
        ],
    );
    world.add_turn(SERVER, |config| config.alternate_server = Some(addr(OTHER)));
    let now = world.now;
    world.turn[0].server.drain(now);
    world.add_turn(OTHER, |_| {});
    world.add(A, "10.0.1.1:1000");
    world.run_for(ms(1000));
    assert_eq!(failures(&world, A), []);
    assert_eq!(world.turn[1].server.stats().allocations, 1);
    assert!(kinds(&world, A).contains(&Kind::Relayed));
}

#[test]
fn a_lost_connection_takes_its_candidates_along() {
    let mut world = apart(11, Transport::Tcp, |config| config);
    world.add(A, "10.0.1.1:1000");
    world.run_for(ms(500));
    let path = world.connections[0];
    let (now, error) = (world.now, ServerError::Lost("reset by the server".to_owned()));
    world.nodes[A].agent.relay_path_lost(now, path, error.clone());
    world.run_for(ms(100));
    assert_eq!(kinds(&world, A), [Kind::Host]);
    assert_eq!(failures(&world, A), [error]);
    // A restart asks again.
    world.nodes[A].agent.restart(now);
    world.run_for(ms(500));
    assert!(kinds(&world, A).contains(&Kind::Relayed));
}

#[test]
fn a_relay_that_must_not_reach_the_peer_says_so_in_the_report() {
    let mut world = World::new(
        12,
        [
            relay_only(with_turn(config(Role::Controlling), SERVER, Transport::Udp)),
            config(Role::Controlled),
        ],
    );
    world.add_turn(SERVER, |config| config.access.allowed.clear());
    world.add(A, "10.0.1.1:1000");
    world.add(B, "10.0.2.1:2000");
    world.run_for(ms(500));
    world.signal();
    assert!(world.run(ms(90_000), |world| world.nodes[A].failure.is_some()));
    let report = world.nodes[A].failure.clone().unwrap().to_string();
    assert!(
        report.contains("does not relay to any of the peer's addresses"),
        "{report}"
    );
    assert!(report.contains("does not relay to it (error 403)"), "{report}");
}

fn restart(world: &mut World) {
    for node in [A, B] {
        let now = world.now;
        world.nodes[node].agent.restart(now);
    }
    world.run_for(ms(500));
    talk(world);
    world.signal();
    let new_pair = |world: &World| {
        let nominated = |node: usize| {
            let pair = world.nodes[node].agent.selected_pair();
            pair.is_some_and(|pair| pair.nominated)
        };
        nominated(A) && nominated(B)
    };
    assert!(world.run(ms(5000), new_pair));
    talk(world);
}

#[test]
fn an_ice_restart_keeps_the_relay_and_gets_a_new_pair_on_it() {
    let mut world = apart(13, Transport::Udp, relay_only);
    connect(&mut world);
    let before = world.turn[0].server.stats().allocations;
    restart(&mut world);
    world.run_for(ms(5000));
    assert_eq!(world.turn[0].server.stats().allocations, before);
    assert_eq!(states(&world), [State::Completed; 2]);
}

/// How many allocations each server has.
fn allocations(world: &World) -> Vec<u64> {
    let servers = world.turn.iter();
    servers.map(|turn| turn.server.stats().allocations).collect()
}

fn set_servers(world: &mut World, server: &dunlin_ice::TurnServer) {
    let now = world.now;
    for node in [A, B] {
        let mut servers = dunlin_ice::Servers::default();
        servers.turn.push(server.clone());
        world.nodes[node].agent.set_servers(now, servers);
    }
}

#[test]
fn another_server_takes_over_at_a_restart() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut world = apart(14, transport, relay_only);
        world.add_turn(OTHER, |_| {});
        connect(&mut world);
        set_servers(&mut world, &turn_server(OTHER, transport, "the password"));
        world.run_for(ms(5000));
        assert_eq!(allocations(&world), [2, 0], "nothing happens before the restart");
        restart(&mut world);
        for node in [A, B] {
            let path = world.nodes[node].agent.selected_path().unwrap();
            assert_eq!(path.remote, addr(OTHER));
            let servers = world.nodes[node].agent.server_reports();
            assert!(servers.iter().any(|report| report.address == Some(addr(OTHER))));
        }
        world.run_for(ms(5000));
        assert_eq!(allocations(&world), [0, 2]);
        // The next change forgets it.
        set_servers(&mut world, &turn_server(OTHER, transport, "the password"));
        assert_eq!(world.nodes[A].agent.server_reports().len(), 1);
        talk(&mut world);
    }
}

#[test]
fn new_credentials_are_for_an_allocation_of_its_own() {
    let user = |name: &str| dunlin_turn::server::User {
        username: name.to_owned(),
        password: "the password".to_owned(),
    };
    for transport in [Transport::Udp, Transport::Tls] {
        let mut world = apart(15, transport, relay_only);
        world.turn.clear();
        world.add_turn(SERVER, |config| config.users = vec![user("user"), user("later")]);
        connect(&mut world);
        let before = world.nodes[A].agent.selected_path().unwrap();
        let mut server = turn_server(SERVER, transport, "the password");
        server.credentials.username = "later".to_owned();
        set_servers(&mut world, &server);
        // The same again changes nothing.
        set_servers(&mut world, &server);
        restart(&mut world);
        assert_eq!(failures(&world, A), []);
        let after = world.nodes[A].agent.selected_path().unwrap();
        assert_eq!(after.remote, before.remote);
        assert_ne!(after.local, before.local, "there is one allocation per 5-tuple");
        world.run_for(ms(5000));
        assert_eq!(allocations(&world), [2], "the old ones are given back");
        // And those are refreshed with what they were made with.
        world.keep_log = false;
        world.run_for(Duration::from_secs(700));
        talk(&mut world);
    }
}

/// A wrong password for the new server is no reason to lose the call.
#[test]
fn where_the_new_server_gives_nothing_the_old_relay_goes_on() {
    let mut world = apart(17, Transport::Udp, relay_only);
    world.add_turn(OTHER, |_| {});
    connect(&mut world);
    set_servers(&mut world, &turn_server(OTHER, Transport::Udp, "wrong"));
    restart(&mut world);
    let wrong = ServerError::Turn(Failure::WrongCredentials);
    assert_eq!(failures(&world, A), [wrong]);
    world.run_for(ms(5000));
    assert_eq!(allocations(&world), [2, 0]);
    talk(&mut world);
    // And a change of mind before the restart changes nothing.
    set_servers(&mut world, &turn_server(OTHER, Transport::Udp, "the password"));
    set_servers(&mut world, &turn_server(SERVER, Transport::Udp, "the password"));
    restart(&mut world);
    world.run_for(ms(5000));
    assert_eq!(allocations(&world), [2, 0]);
}

#[test]
fn servers_that_are_set_before_gathering_are_those_that_are_asked() {
    let mut world = apart(16, Transport::Udp, relay_only);
    world.add_turn(OTHER, |_| {});
    set_servers(&mut world, &turn_server(OTHER, Transport::Udp, "the password"));
    connect(&mut world);
    talk(&mut world);
    assert_eq!(allocations(&world), [0, 2]);
}
