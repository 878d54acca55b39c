//! What relaying 1,200 bytes costs without sockets, and setting an allocation up: `cargo bench -p dunlin-turn`.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use dunlin_net::Path;
use dunlin_stun::long_term::Credentials;
use dunlin_turn::client::{Client, Config as ClientConfig};
use dunlin_turn::server::{Config, Event, HEADROOM, RelayId, Server, TAILROOM, User};

const LISTENER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 3478);
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), 7000);

#[expect(clippy::disallowed_methods, reason = "a base to count virtual time from")]
fn base() -> Instant {
    Instant::now()
}

fn server(now: Instant) -> Server {
    let mut config = Config::default();
    config.users = vec![User {
        username: "george".to_owned(),
        password: "secret".to_owned(),
    }];
    config.max_allocations_per_user = 100_000;
    config.max_allocations = 100_000;
    // All clients come from a few addresses here.
    config.unauthenticated_burst = u32::MAX / 2;
    Server::new(config, [1; 32], now)
}

/// Talks until both are silent; answers with the relay that was opened.
fn talk(server: &mut Server, client: &mut Client, now: Instant) -> Option<RelayId> {
    let mut opened = None;
    let mut out = Vec::new();
    while let Some(transmit) = client.poll_transmit(now, &mut out) {
        let _ = server.handle_packet(now, transmit.path.reversed(), &out);
        out.clear();
        while let Some(event) = server.poll_event() {
            if let Event::OpenRelay { relay, .. } = event {
                let port = 49_152 + relay.index() as u16 % 16_000;
                server.relay_opened(now, relay, SocketAddr::new(LISTENER.ip(), port));
                opened = Some(relay);
            }
        }
        while let Some(transmit) = server.poll_transmit(now, &mut out) {
            let _ = client.handle_datagram(now, transmit.path.reversed(), BytesMut::from(&out[..]));
            out.clear();
        }
    }
    opened
}

fn client(number: u32, now: Instant) -> Client {
    let source = SocketAddr::new(
        Ipv4Addr::from(0xC000_0200 + number / 60_000).into(),
        (number % 60_000) as u16 + 1,
    );
    let credentials = Credentials {
        username: "george".to_owned(),
        password: "secret".to_owned(),
    };
    Client::new(
        ClientConfig::new(Path::udp(source, LISTENER), credentials),
        [2; 32],
        now,
    )
}

/// A server with this many allocations, each with a channel; the clients and their relays.
fn relaying(count: u32) -> (Server, Vec<(Client, RelayId)>, Instant) {
    let now = base();
    let mut server = server(now);
    let mut clients = Vec::new();
    for number in 0..count {
        let mut client = client(number, now);
        let relay = talk(&mut server, &mut client, now).expect("an allocation");
        client.bind(now, PEER).expect("room");
        let _ = talk(&mut server, &mut client, now);
        clients.push((client, relay));
    }
    (server, clients, now)
}

fn relay(criterion: &mut Criterion) {
    for count in [1, 100, 10_000] {
        let (mut server, mut clients, now) = relaying(count);
        let paths: Vec<(Path, RelayId)> = clients
            .iter()
            .map(|(client, relay)| (client.path().reversed(), *relay))
            .collect();
        let mut packet = Vec::new();
        let _ = clients[0].0.send(&mut packet, PEER, |out| {
            out.resize(out.len() + 1200, 7);
            true
        });
        let mut turn = 0;
        criterion.bench_function(&format!("client to peer, {count} flows"), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % paths.len();
                server
                    .handle_packet(now, paths[turn].0, black_box(&packet))
                    .expect("relayed")
            });
        });
        let mut buffer = vec![0; HEADROOM + 1200 + TAILROOM];
        criterion.bench_function(&format!("peer to client, {count} flows"), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % paths.len();
                let data = HEADROOM..HEADROOM + 1200;
                let sent = server.handle_relay(now, paths[turn].1, PEER, black_box(&mut buffer), data);
                sent.expect("relayed")
            });
        });
    }
    criterion.bench_function("allocate, both sides", |bencher| {
        let (mut server, now) = (server(base()), base());
        let mut number = 0;
        bencher.iter(|| {
            number += 1;
            let mut client = client(number, now);
            talk(&mut server, &mut client, now).expect("an allocation");
            client.close();
            let _ = talk(&mut server, &mut client, now);
        });
    });
}

criterion_group!(benches, relay);
criterion_main!(benches);
