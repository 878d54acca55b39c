//! STUN and TURN servers that are silent, absent, or reached in other ways than by UDP: what the report says of them, and
//! when.
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use std::time::Duration;

use dunlin_ice::{
    Config, Event, GatheringState, Kind, Role, ServerError, ServerState, StunServer, TransportPolicy,
};
use dunlin_net::Transport;
use world::turn::turn_server;
use world::{A, World, addr, config, ms};

const SERVER: &str = "203.0.113.7:3478";
const SILENT: &str = "203.0.113.9:3478";

/// One peer with these servers, half a second after its address came.
fn gathering(change: impl FnOnce(&mut Config)) -> World {
    let mut controlling = config(Role::Controlling);
    change(&mut controlling);
    let mut world = World::new(1, [controlling, config(Role::Controlled)]);
    world.add_turn(SERVER, |_| {});
    world.add(A, "10.0.1.1:1000");
    world.run_for(ms(500));
    world
}

fn lines(world: &World) -> Vec<String> {
    let reports = world.nodes[A].agent.server_reports();
    reports.iter().map(ToString::to_string).collect()
}

fn failures(world: &World) -> Vec<ServerError> {
    let failed = world.nodes[A].events.iter().filter_map(|event| match event {
        Event::ServerFailed(report) => report.error().cloned(),
        _ => None,
    });
    failed.collect()
}

fn stun_way(address: &str, transport: Transport) -> StunServer {
    StunServer {
        address: addr(address),
        transport,
        name: None,
        url: format!("stun:{address}"),
    }
}

#[test]
fn silence_has_a_sentence_for_each_transport_within_five_seconds() {
    let mut world = gathering(|config| {
        config.stun_servers = vec![addr(SILENT)];
        config.turn_servers = [Transport::Udp, Transport::Tcp, Transport::Dtls]
            .map(|transport| turn_server(SILENT, transport, "x"))
            .to_vec();
    });
    // Nothing can be said yet.
    assert!(
        lines(&world).iter().all(|line| line.ends_with(": no answer yet")),
        "{:?}",
        lines(&world)
    );
    world.run_for(ms(4500));
    let now = world.now;
    let report = world.nodes[A].agent.report_at(now).to_string();
    let udp = "no answer yet: nothing came back in 5 s, which usually means that a firewall drops UDP on the way, or that \
               the address or the port is wrong";
    // The world opens connections to everybody.
    let made = "no answer yet: nothing came back in 5 s, but the connection is made: perhaps another service listens at \
                this port";
    for line in [
        format!("server stun:{SILENT}: {udp}\n"),
        format!("server turn:{SILENT}?transport=udp: {udp}\n"),
        format!("server turn:{SILENT}?transport=tcp: {made}\n"),
        format!("server turn:{SILENT}?transport=dtls: {made}\n"),
    ] {
        assert!(report.contains(&line), "{report}\nlacks {line}");
    }
}

/// > A STUN transaction over UDP or DTLS-over-UDP is also considered failed if there has been a hard ICMP error. (RFC
/// > 8489, section 6.2.1)
#[test]
fn a_port_that_nobody_has_fails_its_servers_at_once_and_no_others() {
    let mut world = gathering(|config| {
        config.stun_servers = vec![addr(SILENT)];
        config.turn_servers = vec![
            turn_server(SILENT, Transport::Udp, "x"),
            turn_server(SERVER, Transport::Udp, world::turn::PASSWORD),
        ];
    });
    let now = world.now;
    world.nodes[A].agent.server_port_unreachable(now, addr(SILENT));
    // Who has answered has answered.
    world.nodes[A].agent.server_port_unreachable(now, addr(SERVER));
    world.run_for(ms(10));
    assert_eq!(
        failures(&world),
        [ServerError::PortUnreachable, ServerError::PortUnreachable]
    );
    let text = lines(&world).join("\n");
    assert!(text.contains("nobody listens at this UDP port"), "{text}");
    assert!(text.contains("relays at 203.0.113.7:"), "{text}");
    assert_eq!(world.nodes[A].agent.gathering_state(), GatheringState::Complete);
    world.nodes[A].agent.server_port_unreachable(now, addr(SILENT));
    assert_eq!(failures(&world).len(), 2);
}

#[test]
fn stun_over_other_ways_says_how_we_are_seen_and_makes_no_candidate() {
    for transport in [Transport::Tcp, Transport::Tls, Transport::Dtls] {
        let world = gathering(|config| config.stun_ways = vec![stun_way(SERVER, transport)]);
        let line = &lines(&world)[0];
        assert!(
            line.starts_with(&format!(
                "stun:{SERVER} over {transport}: answered, sees us as 10.0.1.1:"
            )),
            "{line}"
        );
        let agent = &world.nodes[A].agent;
        let kinds: Vec<Kind> = agent.local_candidates().map(|candidate| candidate.kind).collect();
        assert_eq!(kinds, [Kind::Host]);
        assert_eq!(agent.gathering_state(), GatheringState::Complete);
        assert_eq!(world.connections, [], "the way is closed");
    }
}

#[test]
fn stun_over_other_ways_is_waited_for_and_given_up_like_the_rest() {
    let mut world = gathering(|config| config.stun_ways = vec![stun_way(SILENT, Transport::Tls)]);
    assert_eq!(world.nodes[A].agent.gathering_state(), GatheringState::Gathering);
    world.run_for(ms(15_000));
    assert_eq!(failures(&world), [ServerError::Timeout(Duration::from_secs(15))]);
    assert_eq!(world.nodes[A].agent.gathering_state(), GatheringState::Complete);
    assert_eq!(world.connections, []);
    // A restart asks again; a connection that breaks meanwhile is a failure of its own.
    let now = world.now;
    world.nodes[A].agent.restart(now);
    world.run_for(ms(100));
    let path = world.connections[0];
    let (now, lost) = (world.now, ServerError::Lost("reset".to_owned()));
    world.nodes[A].agent.relay_path_lost(now, path, lost.clone());
    world.run_for(ms(100));
    assert_eq!(failures(&world)[1..], [lost]);
    assert_eq!(world.nodes[A].agent.gathering_state(), GatheringState::Complete);
}

#[test]
fn a_way_that_cannot_be_opened_is_a_failure_and_an_end_closes_those_that_are() {
    let mut controlling = config(Role::Controlling);
    controlling.stun_ways = vec![stun_way(SERVER, Transport::Tls)];
    let mut world = World::new(2, [controlling, config(Role::Controlled)]);
    world.no_connections = Some(ServerError::Tls("its certificate has expired".to_owned()));
    world.add(A, "10.0.1.1:1000");
    world.run_for(ms(100));
    assert_eq!(
        failures(&world),
        [ServerError::Tls("its certificate has expired".to_owned())]
    );

    let mut world = gathering(|config| config.stun_ways = vec![stun_way(SILENT, Transport::Tcp)]);
    assert_eq!(world.connections.len(), 1);
    world.nodes[A].agent.close();
    world.run_for(ms(100));
    assert_eq!(world.connections, []);
    assert_eq!(world.nodes[A].agent.poll_timeout(), None);
}

#[test]
fn nobody_is_asked_how_we_look_when_only_relays_are_allowed() {
    let world = gathering(|config| {
        config.transport_policy = TransportPolicy::Relay;
        config.stun_ways = vec![stun_way(SERVER, Transport::Tcp)];
    });
    assert_eq!(world.connections, []);
    let reports = world.nodes[A].agent.server_reports();
    assert_eq!(reports[0].state, ServerState::Idle);
}

/// On a path that loses a fifth each way one server in three hundred would be silent to five requests, and none of a hundred
/// thousand is to twelve.
#[test]
fn a_silent_stun_server_is_asked_in_three_transactions() {
    let mut world = gathering(|config| config.stun_servers = vec![addr(SILENT)]);
    world.run_for(Duration::from_secs(16));
    let asked: Vec<_> = world
        .log
        .iter()
        .filter(|(_, _, to, _)| *to == addr(SILENT))
        .collect();
    let times: Vec<u128> = asked.iter().map(|(at, ..)| at.as_millis() / 500).collect();
    assert_eq!(times, [0, 1, 3, 7, 8, 9, 11, 15, 23, 24, 25, 27]);
    let transactions: std::collections::BTreeSet<_> = asked.iter().map(|(.., data)| &data[8..20]).collect();
    assert_eq!(transactions.len(), 3);
    assert_eq!(failures(&world), [ServerError::Timeout(Duration::from_secs(15))]);
}
