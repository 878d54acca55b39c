//! The laws, for `dunlin_turn::Client` and `dunlin_turn::Server` against each other.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};
use dunlin_sim::laws::{self, Subject};
use dunlin_sim::{Node, TurnServer};
use dunlin_turn::client::{Client, Config, Event};
use dunlin_turn::{Credentials, DEFAULT_LIFETIME};

/// Whom the client asks permissions for.
const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));

enum Party {
    Client(Box<Client>),
    Server(Box<TurnServer>),
}

impl Node for Party {
    type Event = Event;

    fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        match self {
            Party::Client(client) => drop(client.handle_datagram(now, path, data)),
            Party::Server(server) => server.handle_datagram(now, path, data),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Party::Client(client) => client.handle_timeout(now),
            Party::Server(server) => server.handle_timeout(now),
        }
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        match self {
            Party::Client(client) => client.poll_transmit(now, out),
            Party::Server(server) => server.poll_transmit(now, out),
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        match self {
            Party::Client(client) => client.poll_event(),
            Party::Server(_) => None,
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Party::Client(client) => client.poll_timeout(),
            Party::Server(server) => server.poll_timeout(),
        }
    }
}

impl Subject for Party {
    const WITHSTANDS_FORGERY: bool = true;

    fn pair(seed: [u8; 32], now: Instant) -> [Self; 2] {
        let credentials = Credentials {
            username: TurnServer::USER.to_owned(),
            password: TurnServer::PASSWORD.to_owned(),
        };
        let config = Config::new(laws::path(0), credentials);
        [
            Party::Client(Box::new(Client::new(config, seed, now))),
            Party::Server(Box::new(TurnServer::new(laws::address(1), seed, now))),
        ]
    }

    fn established(&self) -> bool {
        match self {
            Party::Client(client) => client.relayed_addresses().next().is_some() && !client.is_closed(),
            Party::Server(_) => false,
        }
    }

    /// A permission, anew each time.
    fn talk(&mut self, now: Instant) {
        if let Party::Client(client) = self {
            client.forget(PEER);
            // Before there is an allocation it cannot.
            let _ = client.permit(now, PEER);
        }
    }

    fn heard(&self) -> u64 {
        match self {
            Party::Client(client) => client.stats().responses_received,
            Party::Server(_) => 0,
        }
    }

    fn close(&mut self, _now: Instant) {
        if let Party::Client(client) = self {
            client.close();
        }
    }
}

#[test]
fn client_and_server_keep_the_laws() {
    for seed in 0..4 {
        laws::check::<Party>(seed);
    }
}

#[test]
fn a_flood_leaves_nothing_behind_in_the_server() {
    let [_, mut server] = Party::pair([1; 32], dunlin_sim::epoch());
    let flood = |server: &mut Party| laws::flood(server, 1, 1, 20_000);
    // Queues and tables of sources have their size from the first on.
    flood(&mut server);
    let kept = allocation_counter::measure(|| flood(&mut server));
    assert!(kept.bytes_current < 1_000, "{kept:?}");
}

#[test]
fn an_allocation_that_nobody_refreshes_is_gone_in_its_time() {
    let mut world = dunlin_sim::World::new([3; 32]);
    let [client, server] = Party::pair([4; 32], world.now());
    let link = dunlin_sim::Link::default();
    let [client, server] = [(client, 0), (server, 1)]
        .map(|(node, side): (Party, usize)| world.add(node, &[laws::address(side).ip()], &link));
    world.run_for(Duration::from_secs(1));
    let allocations = |world: &dunlin_sim::World<Party>| match world.node(server) {
        Party::Server(server) => server.stats().allocations,
        Party::Client(_) => 0,
    };
    assert!(world.node(client).established());
    assert_eq!(allocations(&world), 1);
    world.uplink(client).loss = dunlin_sim::Loss::Random(1.0);
    world.run_for(DEFAULT_LIFETIME + Duration::from_secs(1));
    assert_eq!(allocations(&world), 0);
}
