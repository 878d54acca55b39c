//! A client of one TURN server (RFC 8656), sans-IO: it allocates, keeps what it has alive, and frames what goes to peers.
//!
//! [`allocation`](self) follows sections 7 and 8, `permission` 9 and 10, `channel` 12, `response` what answers mean.

mod allocation;
mod channel;
mod command;
mod config;
mod event;
mod permission;
mod receive;
mod response;
mod transaction;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};
use dunlin_stun::long_term::Authenticator;
use dunlin_stun::{Class, Method, Step, TransactionId, Writer};
use log::{debug, info, trace};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::attribute::{ConnectionId, Lifetime, MobilityTicket};
use allocation::State;
use channel::Channels;
use permission::Permissions;
use transaction::{Request, Transaction, is_reliable, schedule};

pub use config::{Config, Stats};
pub use event::{Allocated, Event, Failure, PeerError};
pub use receive::Received;

/// A TURN client for one server.
#[derive(Debug)]
pub struct Client {
    config: Config,
    rng: StdRng,
    /// The latest time seen: a `now` in the past counts as this.
    now: Instant,
    state: State,
    auth: Option<Authenticator>,
    /// How many challenges `auth` has answered.
    signed_with: u32,
    transactions: Vec<Transaction>,
    permissions: Permissions,
    channels: Channels,
    /// Where the allocation is being moved to.
    moving: Option<Path>,
    /// Peers to which the relay could not connect, and until when it is not asked again.
    unreachable: Vec<(SocketAddr, Instant)>,
    keepalive_at: Option<Instant>,
    keepalive_due: bool,
    sent_since_keepalive: bool,
    /// When to wake up next, kept so that asking costs nothing per packet.
    wake: Option<Instant>,
    events: VecDeque<Event>,
    stats: Stats,
}

impl Client {
    /// A client that asks for its allocation at once.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let keepalive_at = match is_reliable(config.path) {
            true => None,
            false => now.checked_add(config.keepalive),
        };
        let mut client = Self {
            config,
            rng: StdRng::from_seed(seed),
            now,
            state: State::Asking,
            auth: None,
            signed_with: 0,
            transactions: Vec::new(),
            permissions: Permissions::default(),
            channels: Channels::default(),
            moving: None,
            unreachable: Vec::new(),
            keepalive_at,
            keepalive_due: false,
            sent_since_keepalive: false,
            wake: None,
            events: VecDeque::new(),
            stats: Stats::default(),
        };
        client.start(Request::Allocate, 0);
        client.pump();
        client
    }

    /// Takes a datagram, or one frame of a stream, that came over the path to the server; says what it was.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) -> Received {
        self.now = self.now.max(now);
        self.receive(path, data)
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if matches!(self.state, State::Closed) {
            return;
        }
        let mut index = 0;
        while let Some(transaction) = self.transactions.get_mut(index) {
            match transaction.retransmission.on_timeout(self.now) {
                Step::Nothing => index += 1,
                Step::Send => {
                    transaction.send = true;
                    index += 1;
                }
                Step::Fail => {
                    let transaction = self.transactions.swap_remove(index);
                    self.timed_out(&transaction);
                }
            }
        }
        if self.keepalive_at.is_some_and(|at| at <= self.now) {
            self.keepalive_due = !std::mem::take(&mut self.sent_since_keepalive);
            self.keepalive_at = self
                .now
                .checked_add(self.config.keepalive.max(std::time::Duration::from_secs(1)));
        }
        self.permissions.prune(self.now);
        self.pump();
    }

    /// Appends the next request that is due, if one is.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.now = self.now.max(now);
        if let Some(due) = self.transactions.iter_mut().find(|transaction| transaction.send) {
            due.send = false;
            out.extend_from_slice(&due.bytes);
            self.stats.requests_sent += 1;
            self.sent_since_keepalive = true;
            trace!("turn: {:?} {:?} to {}", due.request, due.id, due.path);
            return Some(Transmit::new(due.path));
        }
        if !std::mem::take(&mut self.keepalive_due) {
            return None;
        }
        let id = TransactionId::random(&mut self.rng);
        Writer::new(out, Class::Indication, Method::BINDING, id).fingerprint();
        Some(Transmit::new(self.config.path))
    }

    /// What happened.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let output = self.keepalive_due || self.transactions.iter().any(|transaction| transaction.send);
        if output { Some(self.now) } else { self.wake }
    }

    /// Makes, signs and queues a request.
    fn start(&mut self, request: Request, challenges: u32) {
        let id = TransactionId::random(&mut self.rng);
        let mut bytes = Vec::with_capacity(256);
        let mut writer = Writer::new(&mut bytes, Class::Request, request.method(), id);
        self.write_request(request, &mut writer);
        if let Some(auth) = &self.auth {
            auth.authenticate(&mut writer);
        }
        writer.fingerprint();
        let path = match request {
            Request::Move => self.moving.unwrap_or(self.config.path),
            Request::BindConnection(_, path) => path,
            _ => self.config.path,
        };
        self.transactions.push(Transaction {
            id,
            request,
            path,
            bytes,
            retransmission: schedule(&self.config, request, path, self.now),
            send: true,
            signed_with: self.signed_with,
            challenges,
            unauthentic: None,
        });
    }

    fn write_request(&self, request: Request, writer: &mut Writer<'_>) {
        match request {
            Request::Allocate => allocation::write_allocate(&self.config, writer),
            Request::Refresh => Lifetime(self.config.lifetime).write(writer),
            Request::Deallocate => Lifetime(std::time::Duration::ZERO).write(writer),
            Request::Move => {
                Lifetime(self.config.lifetime).write(writer);
                if let State::Active(active) = &self.state {
                    MobilityTicket(active.ticket.as_deref().unwrap_or_default()).write(writer);
                }
            }
            // RFC 8656, section 10.1: "The port portion [...] will be ignored".
            Request::Permit(peer) => {
                writer.xor_peer_address(SocketAddr::new(peer, 0));
            }
            Request::Bind(number, peer) => {
                number.write(writer);
                writer.xor_peer_address(peer);
            }
            Request::Connect(peer) => {
                writer.xor_peer_address(peer);
            }
            Request::BindConnection(connection, _) => connection.write(writer),
        }
        let software = self.config.software.as_deref();
        if let Some(name) = software.filter(|_| matches!(request, Request::Allocate | Request::Refresh)) {
            writer.software(name);
        }
    }

    /// Begins what is due and fits, and finds out when to wake up.
    fn pump(&mut self) {
        if let State::Active(active) = &mut self.state {
            let refresh = !active.refreshing && active.refresh_at <= self.now && self.moving.is_none();
            active.refreshing |= refresh;
            if refresh {
                self.start(Request::Refresh, 0);
            }
            while self.transactions.len() < self.config.max_transactions {
                // A ChannelBind request brings the permission along, but a Permit that was wanted first goes first: so
                // that Send indications can be used at once.
                if let Some(peer) = self.permissions.next_due(self.now) {
                    self.start(Request::Permit(peer), 0);
                } else if let Some((number, peer)) = self.channels.next_due(self.now) {
                    self.start(Request::Bind(number, peer), 0);
                } else {
                    break;
                }
            }
        }
        self.wake = self.next_timer();
    }

    fn next_timer(&self) -> Option<Instant> {
        if matches!(self.state, State::Closed) {
            return None;
        }
        let transactions = self.transactions.iter();
        let mut next = transactions
            .filter_map(|transaction| transaction.retransmission.poll_timeout())
            .min();
        let mut earlier = |at: Option<Instant>| {
            next = match (next, at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        };
        earlier(self.keepalive_at);
        if let State::Active(active) = &self.state {
            earlier((!active.refreshing && self.moving.is_none()).then_some(active.refresh_at));
            if self.transactions.len() < self.config.max_transactions {
                earlier(self.permissions.due());
                earlier(self.channels.due());
            }
        }
        next
    }

    fn emit(&mut self, event: Event) {
        if self.events.len() >= self.config.max_events.max(1) {
            self.events.pop_front();
            self.stats.dropped_events += 1;
        }
        self.events.push_back(event);
    }

    /// Gives back the allocation, and ends with this when that is done.
    fn give_back(&mut self, failure: Failure) {
        if !matches!(self.state, State::Closing(_)) {
            self.state = State::Closing(failure);
        }
        self.transactions.clear();
        self.start(Request::Deallocate, 0);
    }

    /// The server has let go, or does not answer.
    fn given_back(&mut self) {
        let failure = match &self.state {
            State::Closing(failure) => failure.clone(),
            _ => Failure::Released,
        };
        self.end(failure);
    }

    fn end(&mut self, failure: Failure) {
        if matches!(self.state, State::Closed) {
            return;
        }
        info!("turn: {}: {failure}", self.config.path.remote);
        self.state = State::Closed;
        self.transactions.clear();
        self.permissions = Permissions::default();
        self.channels = Channels::default();
        self.moving = None;
        self.unreachable.clear();
        self.keepalive_at = None;
        self.keepalive_due = false;
        self.wake = None;
        self.emit(Event::Closed(failure));
    }
}
