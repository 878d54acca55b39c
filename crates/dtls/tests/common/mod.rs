//! Two connections and a network between them, in virtual time.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod analyser;
pub(crate) mod harm;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_crypto::hash::HashAlgorithm;
use dunlin_dtls::{Certificate, CloseReason, Config, Connection, Event, PeerIdentity, Role, Version};

/// Time of one way through the network.
pub(crate) const DELAY: Duration = Duration::from_millis(10);

/// The one instant that all virtual time counts from.
#[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

pub(crate) const BOTH_VERSIONS: [Version; 2] = [Version::Dtls12, Version::Dtls13];
pub(crate) const BOTH_ROLES: [Role; 2] = [Role::Client, Role::Server];

pub(crate) fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// What the network makes of the `index`-th datagram: copies with extra delay. None: it is lost.
pub(crate) type Fate = Vec<(Duration, Vec<u8>)>;

/// A datagram on its way.
#[derive(Debug, Clone)]
pub(crate) struct Datagram {
    pub(crate) to: Role,
    pub(crate) data: Vec<u8>,
}

pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) start: Instant,
    pub(crate) client: Connection,
    pub(crate) server: Connection,
    pub(crate) client_events: Vec<Event>,
    pub(crate) server_events: Vec<Event>,
    /// Everything that was sent, with its time.
    pub(crate) sent: Vec<(Instant, Datagram)>,
    in_flight: BTreeMap<(Instant, u64), Datagram>,
    tie: u64,
}

/// Configurations of a client and a server that speak one version and that expect each other's certificate.
pub(crate) fn configs_of(version: Version) -> (Config, Config) {
    let (client, server) = (Certificate::generate().unwrap(), Certificate::generate().unwrap());
    let expects = |certificate: &Certificate| {
        PeerIdentity::Fingerprints(vec![certificate.fingerprint(HashAlgorithm::Sha256)])
    };
    let (of_client, of_server) = (expects(&client), expects(&server));
    let mut client = Config::new(Role::Client, client, of_server);
    let mut server = Config::new(Role::Server, server, of_client);
    for config in [&mut client, &mut server] {
        (config.min_version, config.max_version) = (version, version);
    }
    client.srtp_profiles = vec![7, 8, 1];
    server.srtp_profiles = vec![8, 7];
    (client, server)
}

impl Net {
    pub(crate) fn new(client: Config, server: Config) -> Self {
        Self::with_seed(client, server, 1)
    }

    pub(crate) fn with_seed(client: Config, server: Config, seed: u8) -> Self {
        let now = epoch();
        Self {
            now,
            start: now,
            client: Connection::new(client, [seed; 32], now),
            server: Connection::new(server, [seed.wrapping_add(1); 32], now),
            client_events: Vec::new(),
            server_events: Vec::new(),
            sent: Vec::new(),
            in_flight: BTreeMap::new(),
            tie: 0,
        }
    }

    pub(crate) fn side(&mut self, role: Role) -> &mut Connection {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    pub(crate) fn events(&self, role: Role) -> &[Event] {
        match role {
            Role::Client => &self.client_events,
            Role::Server => &self.server_events,
        }
    }

    /// What a side sent, in order.
    pub(crate) fn sent_by(&self, role: Role) -> impl Iterator<Item = &[u8]> {
        let to = other(role);
        let own = self.sent.iter().filter(move |(_, datagram)| datagram.to == to);
        own.map(|(_, datagram)| &datagram.data[..])
    }

    /// Hands a datagram over at once.
    pub(crate) fn give(&mut self, to: Role, data: &[u8]) {
        let now = self.now;
        self.side(to).handle_datagram(now, BytesMut::from(data));
    }

    /// Lets everything that is on its way arrive, and some time pass.
    pub(crate) fn settle(&mut self, time: Duration) {
        let limit = self.now - self.start + time;
        self.run_until(limit, pass, |_| false);
        self.now = self.start + limit;
    }

    /// A record of application data, not sent yet.
    pub(crate) fn seal(&mut self, from: Role, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let sealed = self.side(from).seal(&mut out, |out| {
            out.extend_from_slice(text);
            true
        });
        assert!(sealed);
        out
    }

    /// The data among the events that a side has not taken yet.
    pub(crate) fn heard(&mut self, role: Role) -> Vec<Vec<u8>> {
        let side = self.side(role);
        let events = std::iter::from_fn(|| side.poll_event());
        let data = events.map(|event| match event {
            Event::Data(data) => data.to_vec(),
            event => panic!("{event:?}"),
        });
        data.collect()
    }

    /// Puts a datagram on its way.
    pub(crate) fn inject(&mut self, to: Role, delay: Duration, data: Vec<u8>) {
        self.tie += 1;
        self.in_flight
            .insert((self.now + delay, self.tie), Datagram { to, data });
    }

    /// Takes what both sides have to send and to say.
    fn drain(&mut self, fate: &mut dyn FnMut(usize, &Datagram) -> Fate) {
        for (from, to) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
            let mut data = Vec::new();
            let now = self.now;
            // A datagram may arrive at the very time that a timer fires.
            self.side(from).handle_timeout(now);
            while self.side(from).poll_transmit(now, &mut data) {
                let datagram = Datagram {
                    to,
                    data: std::mem::take(&mut data),
                };
                self.sent.push((self.now, datagram.clone()));
                for (extra, data) in fate(self.sent.len() - 1, &datagram) {
                    self.inject(to, DELAY + extra, data);
                }
            }
            while let Some(event) = self.side(from).poll_event() {
                match from {
                    Role::Client => self.client_events.push(event),
                    Role::Server => self.server_events.push(event),
                }
            }
            let timeout = self.side(from).poll_timeout();
            assert!(
                timeout.is_none_or(|at| at > self.now),
                "drained, and still something due: {timeout:?}"
            );
        }
    }

    /// Lets time pass until nothing is on its way and `done`, or until `limit` from the start.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut fate: impl FnMut(usize, &Datagram) -> Fate,
        done: impl Fn(&Self) -> bool,
    ) {
        for _ in 0..100_000 {
            self.drain(&mut fate);
            if done(self) && self.in_flight.is_empty() {
                return;
            }
            let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
            let arrival = self.in_flight.keys().next().map(|(at, _)| *at);
            let Some(next) = timers.into_iter().chain([arrival]).flatten().min() else {
                return;
            };
            if next > self.start + limit {
                return;
            }
            self.now = next.max(self.now);
            if arrival == Some(next) {
                let ((_, _), datagram) = self.in_flight.pop_first().unwrap();
                let now = self.now;
                self.side(datagram.to)
                    .handle_datagram(now, BytesMut::from(&datagram.data[..]));
            } else {
                let now = self.now;
                self.client.handle_timeout(now);
                self.server.handle_timeout(now);
            }
        }
        panic!("no end in sight");
    }

    pub(crate) fn run(&mut self, fate: impl FnMut(usize, &Datagram) -> Fate) {
        self.run_until(Duration::from_secs(120), fate, |net| {
            let settled = |side: &Connection| side.is_connected() || side.is_closed();
            settled(&net.client) && settled(&net.server)
        });
    }

    /// A handshake over a network that does no harm.
    pub(crate) fn connected(version: Version) -> Self {
        let (client, server) = configs_of(version);
        let mut net = Self::new(client, server);
        net.run(pass);
        assert!(net.client.is_connected() && net.server.is_connected());
        net
    }

    /// Sends application data and answers with what came out as events at the other side.
    pub(crate) fn talk(&mut self, from: Role, text: &[u8]) -> Vec<Event> {
        let mut out = Vec::new();
        let sealed = self.side(from).seal(&mut out, |out| {
            out.extend_from_slice(text);
            true
        });
        assert!(sealed);
        let to = other(from);
        let now = self.now;
        self.side(to).handle_datagram(now, BytesMut::from(&out[..]));
        std::iter::from_fn(|| self.side(to).poll_event()).collect()
    }

    /// Both sides have the same keys and the same view of each other.
    pub(crate) fn assert_working(&mut self) {
        for role in BOTH_ROLES {
            let events = self.events(role);
            let on_the_way = |event: &&Event| matches!(event, Event::KeyLog(_) | Event::PeerCertificate(_));
            let first = events.iter().find(|event| !on_the_way(event));
            assert_eq!(first, Some(&Event::Connected), "{role:?}: {events:?}");
        }
        for (from, text) in [
            (Role::Client, &b"ping"[..]),
            (Role::Server, b"pong"),
            (Role::Client, b""),
        ] {
            assert_eq!(
                self.talk(from, text),
                [Event::Data(text.to_vec().into())],
                "from {from:?}"
            );
        }
        let (mut ours, mut theirs) = ([0; 60], [1; 60]);
        self.client
            .export("EXTRACTOR-dtls_srtp", None, &mut ours)
            .unwrap();
        self.server
            .export("EXTRACTOR-dtls_srtp", None, &mut theirs)
            .unwrap();
        assert_eq!(ours, theirs);
    }
}

/// Two connections that the configurations lead to.
pub(crate) fn connect(client: Config, server: Config) -> Net {
    let mut net = Net::new(client, server);
    net.run(pass);
    net.assert_working();
    net
}

/// Both ends' reasons to end, when they have.
pub(crate) fn reasons(net: &Net) -> [String; 2] {
    BOTH_ROLES.map(|role| {
        closed(net.events(role))
            .map(ToString::to_string)
            .unwrap_or_default()
    })
}

/// The network that does no harm.
pub(crate) fn pass(_: usize, datagram: &Datagram) -> Fate {
    vec![(Duration::ZERO, datagram.data.clone())]
}

/// The reason that a list of events ends with.
pub(crate) fn closed(events: &[Event]) -> Option<&CloseReason> {
    match events.last() {
        Some(Event::Closed(reason)) => Some(reason),
        _ => None,
    }
}
