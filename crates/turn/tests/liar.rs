//! Client and server with somebody between them who drops, repeats, delays, cuts, flips and makes up: neither panics,
//! nothing grows beyond its bounds, and with the truth told again both find together or say why not.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transport};
use dunlin_stun::long_term::Credentials;
use dunlin_turn::client::{self, Client};
use dunlin_turn::server::{self, Event, HEADROOM, PortPolicy, RelayId, Server, TAILROOM, User};
use proptest::prelude::*;

const PEER: &str = "198.51.100.7:7000";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a base to count virtual time from")]
fn base() -> Instant {
    Instant::now()
}

/// What is done to the next datagram, or by the owners of the two ends.
#[derive(Debug, Clone)]
enum Lie {
    Truth,
    Drop,
    Twice,
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    MakeUp(Vec<u8>),
    FromElsewhere(u16),
    Wait(u16),
    Permit(u8),
    Bind(u8),
    Send(u8),
    PeerSends(u8, u16),
    Move(u16),
    Close,
    RelayFails,
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        20 => Just(Lie::Truth),
        1 => Just(Lie::Drop),
        1 => Just(Lie::Twice),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, bits)| Lie::Flip(at, bits)),
        1 => any::<prop::sample::Index>().prop_map(Lie::Cut),
        1 => prop::collection::vec(any::<u8>(), 0..80).prop_map(Lie::MakeUp),
        1 => any::<u16>().prop_map(Lie::FromElsewhere),
        3 => any::<u16>().prop_map(Lie::Wait),
        1 => any::<u8>().prop_map(Lie::Permit),
        2 => any::<u8>().prop_map(Lie::Bind),
        2 => any::<u8>().prop_map(Lie::Send),
        2 => (any::<u8>(), 0_u16..1500).prop_map(|(port, len)| Lie::PeerSends(port, len)),
        1 => any::<u16>().prop_map(Lie::Move),
        1 => Just(Lie::Close),
        1 => Just(Lie::RelayFails),
    ]
}

struct Pair {
    now: Instant,
    client: Client,
    server: Server,
    relays: Vec<RelayId>,
    /// On their way: to the server or to the client.
    wire: Vec<(bool, Path, Vec<u8>)>,
    relay_fails: bool,
}

impl Pair {
    fn new(transport: Transport) -> Self {
        let now = base();
        let credentials = Credentials {
            username: "george".to_owned(),
            password: "secret".to_owned(),
        };
        let mut config = server::Config::default();
        config.users = vec![User {
            username: credentials.username.clone(),
            password: credentials.password.clone(),
        }];
        config.max_bytes_per_second = Some(100_000);
        let mut path = Path::udp(at("192.0.2.1:5000"), at("203.0.113.1:3478"));
        path.transport = transport;
        let mut client_config = client::Config::new(path, credentials);
        client_config.mobility = true;
        Self {
            now,
            client: Client::new(client_config, [3; 32], now),
            server: Server::new(config, [4; 32], now),
            relays: Vec::new(),
            wire: Vec::new(),
            relay_fails: false,
        }
    }

    fn pump(&mut self) {
        let mut out = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(self.now, &mut out) {
            self.wire
                .push((true, transmit.path.reversed(), std::mem::take(&mut out)));
        }
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::OpenRelay { relay, .. } if self.relay_fails => {
                    self.server.relay_failed(self.now, relay)
                }
                Event::OpenRelay { relay, port, .. } => {
                    let address =
                        SocketAddr::new(at("203.0.113.1:1").ip(), 50_000 + 2 * relay.index() as u16);
                    self.relays.push(relay);
                    if let PortPolicy::EvenAndNext(next) = port {
                        self.relays.push(next);
                    }
                    self.server.relay_opened(self.now, relay, address);
                }
                Event::CloseRelay(relay) => self.relays.retain(|open| *open != relay),
                _ => {}
            }
        }
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut out) {
            self.wire
                .push((false, transmit.path.reversed(), std::mem::take(&mut out)));
        }
        while self.client.poll_event().is_some() {}
        let (client, server) = (self.client.stats(), self.server.stats());
        assert!(server.allocations <= 2 && self.relays.len() <= 4, "{server:?}");
        assert!(client.dropped_events == 0, "{client:?}");
    }

    fn deliver(&mut self, to_server: bool, path: Path, data: &[u8]) {
        if to_server {
            let _ = self.server.handle_datagram(self.now, path, BytesMut::from(data));
        } else {
            let _ = self.client.handle_datagram(self.now, path, BytesMut::from(data));
        }
    }

    fn peer_sends(&mut self, port: u8, len: usize) {
        let data: Range<usize> = HEADROOM..HEADROOM + len;
        let mut buffer = vec![0xAB; HEADROOM + len + TAILROOM];
        for relay in self.relays.clone() {
            let from = SocketAddr::new(at(PEER).ip(), port.into());
            let sent = self
                .server
                .handle_relay(self.now, relay, from, &mut buffer, data.clone());
            if let Some(sent) = sent {
                let bytes = buffer[sent.bytes].to_vec();
                self.wire.push((false, sent.transmit.path.reversed(), bytes));
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
        self.pump();
        assert!(
            self.client.poll_timeout().is_none_or(|due| due > self.now),
            "law 3"
        );
        assert!(
            self.server.poll_timeout().is_none_or(|due| due > self.now),
            "law 3"
        );
    }

    fn step(&mut self, lie: &Lie) {
        let peer = |port: u8| SocketAddr::new(at(PEER).ip(), port.into());
        match lie {
            Lie::Wait(millis) => self.wait(Duration::from_millis(u64::from(*millis) * 4)),
            Lie::Permit(last) => {
                let _ = self.client.permit(self.now, [198, 51, 100, *last].into());
            }
            Lie::Bind(port) => {
                let _ = self.client.bind(self.now, peer(*port));
            }
            Lie::Send(port) => {
                let mut out = Vec::new();
                let sent = self.client.send(&mut out, peer(*port), |out| {
                    out.extend_from_slice(b"data");
                    true
                });
                if let Some(transmit) = sent {
                    self.wire.push((true, transmit.path.reversed(), out));
                }
            }
            Lie::PeerSends(port, len) => self.peer_sends(*port, usize::from(*len)),
            Lie::Move(port) => {
                let mut path = self.client.path();
                path.local.set_port(*port);
                let _ = self.client.move_to(self.now, path);
            }
            Lie::Close => self.client.close(),
            Lie::RelayFails => self.relay_fails = !self.relay_fails,
            _ => self.pass_on(lie),
        }
        self.pump();
    }

    fn pass_on(&mut self, lie: &Lie) {
        if self.wire.is_empty() {
            return;
        }
        let (to_server, mut path, mut data) = self.wire.remove(0);
        match lie {
            Lie::Drop => return,
            Lie::Twice => self.deliver(to_server, path, &data),
            Lie::Flip(at, bits) => {
                let at = at.index(data.len());
                data[at] ^= bits;
            }
            Lie::Cut(at) => data.truncate(at.index(data.len())),
            Lie::MakeUp(bytes) => data.clone_from(bytes),
            Lie::FromElsewhere(port) => path.remote.set_port(*port),
            _ => {}
        }
        self.deliver(to_server, path, &data);
    }

    /// Nobody lies any more.
    fn tell_the_truth(&mut self, time: Duration) {
        self.relay_fails = false;
        let end = self.now + time;
        while self.now < end {
            while !self.wire.is_empty() {
                self.step(&Lie::Truth);
            }
            let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
            let next = timers
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(end)
                .clamp(self.now, end);
            self.wait(next - self.now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nobody_between_them_makes_them_panic_or_grow(lies in prop::collection::vec(lie(), 0..150), tcp: bool) {
        let mut pair = Pair::new(if tcp { Transport::Tcp } else { Transport::Udp });
        pair.pump();
        for lie in &lies {
            pair.step(lie);
        }
        pair.tell_the_truth(Duration::from_secs(120));
        if !pair.client.is_closed() {
            prop_assert!(pair.client.relayed_addresses().next().is_some(), "it lives and has no allocation");
        }
        pair.client.close();
        pair.tell_the_truth(Duration::from_secs(3700));
        prop_assert!(pair.client.is_closed());
        prop_assert_eq!(pair.client.poll_timeout(), None);
        let stats = pair.server.stats();
        prop_assert_eq!((stats.allocations, pair.relays.len(), pair.server.poll_timeout()), (0, 0, None));
    }
}
