//! The clients of NAT behaviour discovery (RFC 5780) and a server, with a NAT between them whose mappings the input decides,
//! as it does what becomes of each datagram: no panic, one result, and an end.
#![no_main]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_fuzz::{Dice, carry};
use dunlin_net::{Path, Transmit};
use dunlin_stun::BindingServer;
use dunlin_stun::discovery::lifetime::{self, Lifetime};
use dunlin_stun::discovery::{Config, Discovery};
use libfuzzer_sys::fuzz_target;

/// Four retransmissions of each of ten tests, and what falls between.
const ROUNDS: usize = 2000;

fn address(last: u8, port: u16) -> SocketAddr {
    ([192, 0, 2, last], port).into()
}

/// Either of the two clients.
enum Client {
    Discovery(Box<Discovery>),
    Lifetime(Box<Lifetime>),
}

impl Client {
    fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        match self {
            Client::Discovery(client) => client.handle_datagram(now, path, data),
            Client::Lifetime(client) => client.handle_datagram(now, path, data),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Client::Discovery(client) => client.handle_timeout(now),
            Client::Lifetime(client) => client.handle_timeout(now),
        }
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        match self {
            Client::Discovery(client) => client.poll_transmit(now, out),
            Client::Lifetime(client) => client.poll_transmit(now, out),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Client::Discovery(client) => client.poll_timeout(),
            Client::Lifetime(client) => client.poll_timeout(),
        }
    }

    /// What it has found, written for people.
    fn poll_event(&mut self) -> Option<String> {
        match self {
            Client::Discovery(client) => client.poll_event().map(|event| format!("{event:?}")),
            Client::Lifetime(client) => client.poll_event().map(|event| format!("{event:?}")),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut dice = Dice::new(data);
    let mut now = Instant::now();
    let flags = dice.byte().unwrap_or(0);
    let mut server = BindingServer::default();
    server.discovery = (flags & 1 != 0).then_some([address(1, 3478), address(2, 3479)]);
    (server.padding, server.response_port) = (flags & 2 != 0, flags & 4 != 0);
    let path = Path::udp(address(9, 5000), address(1, 3478));
    let mut client = if flags & 8 == 0 {
        let mut config = Config::new(path);
        config.second = (flags & 16 != 0).then_some(address(9, 5001));
        Client::Discovery(Box::new(Discovery::new(config, [1; 32], now)))
    } else {
        let config = lifetime::Config::new(path, address(9, 5001));
        Client::Lifetime(Box::new(Lifetime::new(config, [1; 32], now)))
    };
    let (mut out, mut answer) = (Vec::new(), Vec::new());
    let mut results = 0;
    for _round in 0..ROUNDS {
        results += usize::from(client.poll_event().is_some());
        assert!(results <= 1, "one result");
        out.clear();
        let Some(transmit) = client.poll_transmit(now, &mut out) else {
            let Some(due) = client.poll_timeout() else {
                assert_eq!(results, 1, "it ends with a result");
                return;
            };
            now = due.max(now + Duration::from_millis(1));
            client.handle_timeout(now);
            continue;
        };
        let inside = transmit.path.local;
        // Where the NAT says that it comes from.
        let outside = match dice.byte().unwrap_or(0) {
            port @ 1..=63 => address(10, u16::from(port)),
            _ => inside,
        };
        let arrived = Path::udp(transmit.path.remote, outside);
        let mut answers = Vec::new();
        carry(&mut dice, &out, |request| {
            answer.clear();
            if let Some(transmit) = server.answer(arrived, request, &mut answer) {
                answers.push((transmit.path, answer.clone()));
            }
        });
        for (path, answer) in answers {
            let local = match dice.byte().unwrap_or(0) {
                0..=127 => inside,
                128..=191 => address(9, 5001),
                _ => address(9, 5000),
            };
            carry(&mut dice, &answer, |bytes| {
                client.handle_datagram(now, Path::udp(local, path.local), BytesMut::from(bytes));
            });
        }
    }
    panic!("it goes on and on");
});
