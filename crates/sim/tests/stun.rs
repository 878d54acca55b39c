//! The laws, for `dunlin_stun::Client` against a server that was written without it.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};
use dunlin_sim::laws::{self, Subject};
use dunlin_sim::{Node, StunServer};
use dunlin_stun::{Client, Config, Event};

enum Party {
    Client(Client),
    Server(StunServer),
}

impl Node for Party {
    type Event = Event;

    fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        match self {
            Party::Client(client) => client.handle_datagram(now, path, data),
            Party::Server(server) => server.handle_datagram(now, path, data),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Party::Client(client) = self {
            client.handle_timeout(now);
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
            Party::Server(_) => None,
        }
    }
}

impl Subject for Party {
    const WITHSTANDS_FORGERY: bool = true;

    fn pair(seed: [u8; 32], now: Instant) -> [Self; 2] {
        let mut config = Config::new(laws::path(0));
        config.refresh = Some(Duration::from_secs(3));
        [
            Party::Client(Client::new(config, seed, now)),
            Party::Server(StunServer::default()),
        ]
    }

    fn established(&self) -> bool {
        match self {
            Party::Client(client) => client.mapped_address() == Some(laws::address(0)) && !client.is_closed(),
            Party::Server(_) => false,
        }
    }

    fn talk(&mut self, _now: Instant) {}

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
fn the_client_keeps_the_laws() {
    for seed in 0..4 {
        laws::check::<Party>(seed);
    }
}

#[test]
fn a_flood_leaves_nothing_behind() {
    let [mut client, _] = Party::pair([1; 32], dunlin_sim::epoch());
    let kept = allocation_counter::measure(|| laws::flood(&mut client, 0, 1, 20_000));
    assert!(kept.bytes_current < 1_000, "{kept:?}");
}
