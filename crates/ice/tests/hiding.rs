//! Our own addresses hidden behind names (draft-ietf-mmusic-mdns-ice-candidates, section 3.1).
#![allow(unreachable_pub, reason = "the world is shared by the test files")]

mod world;

use std::net::{IpAddr, SocketAddr};

use dunlin_ice::{Address, Agent, Candidate, Config, Event, HiddenHosts, Kind, Role};
use dunlin_net::Transport;
use world::{A, B, World, addr, base_instant, config, ms};

const STUN: &str = "198.51.100.1:3478";

fn hiding(role: Role, hidden: HiddenHosts) -> Config {
    let mut config = config(role);
    config.hidden_hosts = hidden;
    config
}

/// The names of the candidates, in their order.
fn names(candidates: &[Candidate]) -> Vec<String> {
    let name = |candidate: &Candidate| match &candidate.address {
        Address::Name { name, .. } => Some(name.clone()),
        Address::Socket(_) => None,
    };
    candidates.iter().filter_map(name).collect()
}

fn published(events: &[Event]) -> Vec<(String, IpAddr)> {
    let published = |event: &Event| match event {
        Event::PublishName { name, address } => Some((name.clone(), *address)),
        _ => None,
    };
    events.iter().filter_map(published).collect()
}

fn withdrawn(events: &[Event]) -> Vec<String> {
    let withdrawn = |event: &Event| match event {
        Event::WithdrawName(name) => Some(name.clone()),
        _ => None,
    };
    events.iter().filter_map(withdrawn).collect()
}

fn drain(agent: &mut Agent) -> Vec<Event> {
    std::iter::from_fn(|| agent.poll_event()).collect()
}

#[test]
fn each_address_has_one_name_that_is_published_before_it_is_told() {
    let now = base_instant();
    let mut agent = Agent::new(hiding(Role::Controlling, HiddenHosts::All), [1; 32], now);
    for (address, transport) in [
        ("10.0.0.1:1000", Transport::Udp),
        ("10.0.0.1:9000", Transport::Tcp),
        ("[fd00::1]:1000", Transport::Udp),
    ] {
        agent.add_local_address(now, addr(address), transport).unwrap();
    }
    let events = drain(&mut agent);
    let candidates: Vec<Candidate> = agent.local_candidates().cloned().collect();
    let names = names(&candidates);
    assert_eq!(names.len(), 3, "{candidates:?}");
    assert!(names[0] == names[1] && names[0] != names[2], "{names:?}");
    let published = published(&events);
    let wanted = [(&names[0], "10.0.0.1"), (&names[2], "fd00::1")];
    assert_eq!(
        published,
        wanted.map(|(name, ip)| (name.clone(), ip.parse().unwrap()))
    );
    let at = |wanted: &dyn Fn(&Event) -> bool| events.iter().position(wanted).unwrap();
    assert!(
        at(&|event| matches!(event, Event::PublishName { .. }))
            < at(&|event| matches!(event, Event::LocalCandidate(_)))
    );
    assert!(
        candidates
            .iter()
            .all(|candidate| !candidate.to_string().contains("10.0.0.1"))
    );

    // The name goes with the last socket of its address, and all go with the session.
    agent.remove_local_address(now, addr("10.0.0.1:1000"), Transport::Udp);
    assert_eq!(withdrawn(&drain(&mut agent)), [] as [String; 0]);
    agent.remove_local_address(now, addr("10.0.0.1:9000"), Transport::Tcp);
    assert_eq!(withdrawn(&drain(&mut agent)), [names[0].clone()]);
    agent.close();
    assert_eq!(withdrawn(&drain(&mut agent)), [names[2].clone()]);
}

#[test]
fn public_addresses_and_those_of_a_translator_are_told_as_they_are() {
    let now = base_instant();
    let mut config = hiding(Role::Controlling, HiddenHosts::Private);
    let told = |config: &Config| {
        let mut agent = Agent::new(config.clone(), [1; 32], now);
        for address in ["10.0.0.1:1000", "[2001:db8::1]:1000"] {
            agent
                .add_local_address(now, addr(address), Transport::Udp)
                .unwrap();
        }
        let sockets = |candidate: &Candidate| candidate.address.socket();
        agent
            .local_candidates()
            .map(sockets)
            .collect::<Vec<Option<SocketAddr>>>()
    };
    assert_eq!(told(&config), [None, Some(addr("[2001:db8::1]:1000"))]);
    config.external_ips = vec!["203.0.113.9".parse().unwrap()];
    assert_eq!(
        told(&config),
        [Some(addr("203.0.113.9:1000")), Some(addr("[2001:db8::1]:1000"))]
    );
    config.external_ips.clear();
    config.advertise_hosts = false;
    assert_eq!(told(&config), []);
}

/// The parent of B asks the network, where the parent of A answers.
fn resolve(world: &mut World) {
    let known = published(&world.nodes[A].events);
    let asked = world.nodes[B].events.iter().filter_map(|event| match event {
        Event::ResolveName(name) => Some(name.clone()),
        _ => None,
    });
    let now = world.now;
    for asked in asked.collect::<Vec<_>>() {
        let (name, address) = known.iter().find(|(name, _)| *name == asked).unwrap();
        world.nodes[B].agent.name_resolved(now, name, *address);
    }
}

#[test]
fn two_peers_meet_by_name_and_nothing_that_is_told_shows_the_address() {
    let mut world = World::new(
        1,
        [
            hiding(Role::Controlling, HiddenHosts::Private),
            config(Role::Controlled),
        ],
    );
    world.add(A, "10.0.0.1:1000");
    world.add(B, "10.0.0.2:2000");
    world.tell_credentials(A, B);
    world.tell_credentials(B, A);
    // B's own candidates stay untold: only the name leads anywhere.
    world.tell_candidates(A, B);
    resolve(&mut world);
    assert!(world.run(ms(1000), World::both_completed));
    let agent = &world.nodes[A].agent;
    let told = [
        agent.selected_pair().unwrap().local.to_string(),
        agent.pair_stats()[0].local.to_string(),
        agent.report().local[0].to_string(),
    ];
    for told in told {
        assert!(told.contains(".local") && !told.contains("10.0.0.1"), "{told}");
    }
}

/// "this server-reflexive candidate MUST have its raddr field set to "0.0.0.0"/"::" and its rport field set to "9"" (section
/// 3.1.2.2); and it is not redundant, even where it shows the host's own address.
#[test]
fn reflexive_candidates_do_not_tell_what_the_name_hides() {
    for behind_a_nat in [true, false] {
        let [mut a, b] = [Role::Controlling, Role::Controlled].map(|role| hiding(role, HiddenHosts::All));
        a.stun_servers = vec![addr(STUN)];
        let mut world = World::new(2, [a, b]);
        world.stun_server = Some(addr(STUN));
        if behind_a_nat {
            world.nat("10.1.0.1", "203.0.113.1", true);
        }
        world.add(A, "10.1.0.1:1000");
        world.run_for(ms(1000));
        let candidates: Vec<Candidate> = world.nodes[A].agent.local_candidates().cloned().collect();
        assert_eq!(candidates.len(), 2, "{candidates:?}");
        assert_eq!(candidates[1].kind, Kind::ServerReflexive);
        assert_eq!(candidates[1].related, Some(Address::Socket(addr("0.0.0.0:9"))));
    }
}
