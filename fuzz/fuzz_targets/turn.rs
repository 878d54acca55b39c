//! ChannelData and the framing of streams (RFC 8656, section 12); then a client and a server that believe each other
//! while the input decides what becomes of each datagram between them.
#![no_main]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::Path;
use dunlin_turn::client::{self, Client};
use dunlin_turn::server::{self, Event, HEADROOM, Server, TAILROOM, User};
use dunlin_turn::{ChannelData, Credentials, next_frame};
use libfuzzer_sys::fuzz_target;

const CLIENT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 5000);
const SERVER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 1)),
    3478,
);
const PEER: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)),
    7000,
);

fuzz_target!(|data: &[u8]| {
    let _ = ChannelData::parse(data);
    let _ = next_frame(data);
    talk(data);
});

/// Each byte of `data` is the fate of one datagram, or a command.
fn talk(data: &[u8]) {
    let mut now = Instant::now();
    let path = Path::udp(CLIENT, SERVER);
    let mut config = server::Config::default();
    config.limiter_slots = 16;
    config.users = vec![User {
        username: "george".to_owned(),
        password: "secret".to_owned(),
    }];
    let mut server = Server::new(config, [1; 32], now);
    let credentials = Credentials {
        username: "george".to_owned(),
        password: "secret".to_owned(),
    };
    let mut client = Client::new(client::Config::new(path, credentials), [2; 32], now);
    let mut relay = None;
    let mut fates = data.iter().copied();
    let mut out = Vec::new();
    while let Some(fate) = fates.next() {
        out.clear();
        match fate {
            0..=15 => {
                now += Duration::from_millis(u64::from(fate) * 500);
                client.handle_timeout(now);
                server.handle_timeout(now);
            }
            16 => drop(client.bind(now, PEER)),
            17 => drop(client.permit(now, PEER.ip())),
            18 => client.close(),
            19 => {
                let mut buffer = [0; HEADROOM + 9 + TAILROOM];
                if let Some(relay) = relay {
                    let _ = server.handle_relay(now, relay, PEER, &mut buffer, HEADROOM..HEADROOM + 9);
                }
            }
            20 => {
                let rest: Vec<u8> = fates.by_ref().take(64).collect();
                let _ = server.handle_datagram(now, path.reversed(), BytesMut::from(&rest[..]));
                let _ = client.handle_datagram(now, path, BytesMut::from(&rest[..]));
            }
            _ => {
                if client.poll_transmit(now, &mut out).is_some() {
                    spoil(&mut out, fate);
                    let _ = server.handle_datagram(now, path.reversed(), BytesMut::from(&out[..]));
                }
                out.clear();
                if server.poll_transmit(now, &mut out).is_some() {
                    spoil(&mut out, fate);
                    let _ = client.handle_datagram(now, path, BytesMut::from(&out[..]));
                }
            }
        }
        while let Some(event) = server.poll_event() {
            if let Event::OpenRelay { relay: opened, .. } = event {
                relay = Some(opened);
                server.relay_opened(now, opened, SocketAddr::new(SERVER.ip(), 50_000));
            }
        }
        while client.poll_event().is_some() {}
    }
}

/// One in four is changed, at a place that its length and the fate decide.
fn spoil(datagram: &mut [u8], fate: u8) {
    if fate % 4 == 0 && !datagram.is_empty() {
        let at = usize::from(fate) * 7 % datagram.len();
        datagram[at] ^= 1 << (fate % 8);
    }
}
