//! A TURN server (RFC 8656, 6062, 8016), sans-IO: the parent owns all sockets, hands in what they receive, and opens
//! and closes relays as the [`Event`]s say. Nothing is kept about anybody before a request is authenticated, and
//! nothing is copied when data is relayed.

mod access;
mod allocate;
mod allocation;
mod auth;
mod config;
mod connection;
mod event;
mod lifecycle;
mod limit;
mod outbox;
mod permission;
mod refresh;
mod relay;
mod request;
mod table;
mod ticket;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use dunlin_net::{Path, Transmit};
use dunlin_stun::long_term::Verifier;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::attribute::{ConnectionId, ReservationToken};
use allocation::Allocation;
use auth::Users;
use connection::Connection;
use limit::Limiter;
use outbox::Outbox;
use relay::Relay;
use table::{Index, Key, Slab};
use ticket::Tickets;

pub use access::{AccessList, Prefix, PrefixError, Verdict};
pub use auth::User;
pub use config::{Config, Stats};
pub use dunlin_stun::long_term::SharedSecret;
pub use dunlin_stun::{AddressFamily, BindingServer, PasswordAlgorithm};
pub use event::{Event, PortPolicy, RelayId, Release};
pub use relay::{Forward, HEADROOM, TAILROOM, ToClient, ToPeer};

/// A TURN server.
#[derive(Debug)]
pub struct Server {
    config: Config,
    rng: StdRng,
    start: Instant,
    /// The latest time seen: a `now` in the past counts as this.
    now: Instant,
    verifier: Verifier,
    users: Users,
    tickets: Tickets,
    limiter: Limiter,
    allocations: Slab<Allocation>,
    by_client: Index<Path, Key>,
    relays: Slab<Relay>,
    by_relayed: Index<SocketAddr, RelayId>,
    /// Relayed addresses of other servers at this host's addresses.
    relayed_elsewhere: Index<SocketAddr, ()>,
    reservations: BTreeMap<ReservationToken, RelayId>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Allocations per quota name, those elsewhere included.
    in_use: BTreeMap<Box<[u8]>, usize>,
    /// Allocations in other servers that share the quotas.
    elsewhere: usize,
    timers: BTreeSet<(Instant, Timer)>,
    outbox: Outbox,
    /// For the headers of Data indications.
    scratch: Vec<u8>,
    events: VecDeque<Event>,
    draining: bool,
    closed: bool,
    stats: Stats,
}

/// What ends at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Allocation(Key),
    Reservation(ReservationToken),
    Connection(ConnectionId),
}

impl Server {
    /// A server without clients.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let mut secrets = [[0; 32]; 2];
        secrets.iter_mut().for_each(|secret| rng.fill_bytes(secret));
        let mut words = [0_u8; 24];
        rng.fill_bytes(&mut words);
        let word =
            |at: usize| u64::from_ne_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|index| words[at * 8 + index]));
        let Config {
            realm, algorithms, ..
        } = &config;
        Self {
            verifier: Verifier::new(
                realm.clone(),
                &secrets[0],
                algorithms,
                config.anonymity,
                config.nonce_age,
            ),
            users: Users::new(realm, &config.users, &config.shared_secrets),
            tickets: Tickets::new(&secrets[1]),
            limiter: Limiter::new(
                config.limiter_slots,
                config.unauthenticated_burst,
                config.unauthenticated_rate,
                word(0),
                now,
            ),
            allocations: Slab::new(),
            by_client: Index::new(word(1)),
            relays: Slab::new(),
            by_relayed: Index::new(word(2)),
            relayed_elsewhere: Index::new(word(2)),
            reservations: BTreeMap::new(),
            connections: BTreeMap::new(),
            in_use: BTreeMap::new(),
            elsewhere: 0,
            timers: BTreeSet::new(),
            outbox: Outbox::default(),
            scratch: Vec::with_capacity(HEADROOM),
            events: VecDeque::new(),
            draining: false,
            closed: false,
            stats: Stats::default(),
            config,
            rng,
            start: now,
            now,
        }
    }

    /// Takes a datagram of a client, or one frame of its stream (see [`Frames`](crate::Frames)), that came in
    /// by a listener of ours: `path.local` is the listener's address, `path.remote` the client's. What is for a peer
    /// comes back, its framing advanced over.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) -> Option<ToPeer> {
        let Forward {
            relay,
            peer,
            data: range,
            dont_fragment,
        } = self.handle_packet(now, path, &data)?;
        let mut data = data;
        data.truncate(range.end);
        data.advance(range.start);
        Some(ToPeer {
            relay,
            peer,
            data,
            dont_fragment,
        })
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        while let Some((at, timer)) = self.timers.first().copied() {
            if at > self.now {
                break;
            }
            self.timers.pop_first();
            match timer {
                Timer::Allocation(key) => self.allocation_expired(key),
                Timer::Reservation(token) => self.reservation_expired(token),
                Timer::Connection(connection) => self.connection_expired(connection),
            }
        }
    }

    /// Appends the next answer, if one waits.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.now = self.now.max(now);
        self.outbox.pop(out)
    }

    /// What the parent is to do, or to log.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.outbox.is_empty() {
            return Some(self.now);
        }
        self.timers.first().map(|(at, _)| *at)
    }

    /// The wall clock was set: Unix time in seconds.
    pub fn set_unix_time(&mut self, now: Instant, unix_time: u64) {
        self.now = self.now.max(now);
        self.config.unix_time = unix_time.saturating_sub(self.age().as_secs());
    }

    /// Whether there is an allocation for this path.
    #[must_use]
    pub fn has_allocation(&self, path: Path) -> bool {
        self.by_client.get(&path).is_some()
    }

    /// Another server, one that shares the quotas with this one, has made (`begun`) or ended an allocation of this user.
    pub fn count_elsewhere(&mut self, username: &[u8], begun: bool) {
        if begun {
            self.elsewhere += 1;
            *self.in_use.entry(auth::quota_name(username).into()).or_default() += 1;
        } else if self.elsewhere > 0 {
            self.elsewhere -= 1;
            self.give_back(username);
        }
    }

    /// Another server that relays from this host's addresses has opened or closed this relay: here it may be reached as
    /// our own may ([`Verdict::OwnRelaysOnly`]). What these take is bounded by the other servers' quotas.
    pub fn relay_elsewhere(&mut self, relayed: SocketAddr, open: bool) {
        if open {
            self.relayed_elsewhere.insert(relayed, ());
        } else {
            self.relayed_elsewhere.remove(&relayed);
        }
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            allocations: self.allocations.len() as u64,
            ..self.stats
        }
    }

    /// Bytes that the allocations take, without the indexes.
    #[must_use]
    pub fn memory(&self) -> usize {
        let keys = self.allocations.keys();
        keys.filter_map(|key| self.allocations.get(key))
            .map(Allocation::memory)
            .sum()
    }

    fn age(&self) -> Duration {
        self.now.saturating_duration_since(self.start)
    }
}
