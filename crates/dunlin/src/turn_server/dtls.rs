//! DTLS associations of clients (RFC 7350). A client that has not shown, by a cookie, that it receives where it claims
//! to be is not remembered: its hello is answered and forgotten.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use bytes::BytesMut;
use dunlin_dtls::{
    Certificate, ClientAddress, ClientAuth, Connection, CookieSecret, Event, PeerIdentity, Role,
};
use dunlin_net::Path;

use super::worker::Worker;

/// The type of a DTLS record that begins a handshake (RFC 6347, section 4.1).
const HANDSHAKE: u8 = 22;
/// Hellos of several datagrams that are put together at once. Those with post-quantum keys are as long; a flood of
/// beginnings pushes out others' beginnings, and costs no more memory than these.
const MAX_PARTIAL: usize = 64;

/// All associations of a worker.
#[derive(Debug)]
pub(super) struct Dtls {
    pub(super) certificate: Option<Certificate>,
    secret: CookieSecret,
    associations: HashMap<Path, Association>,
    timers: BTreeSet<(Instant, Path)>,
    /// Clients of whose hello a part is there, the oldest first.
    partial: VecDeque<(Path, Connection)>,
}

#[derive(Debug)]
struct Association {
    connection: Connection,
    /// What `timers` holds for it.
    due: Instant,
    heard: Instant,
}

impl Dtls {
    pub(super) fn new(certificate: Option<Certificate>, secret: [u8; 32]) -> Self {
        Self {
            certificate,
            secret: CookieSecret(secret),
            associations: HashMap::new(),
            timers: BTreeSet::new(),
            partial: VecDeque::new(),
        }
    }

    /// When the first association has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let partial = self.partial.iter();
        let partial = partial.filter_map(|(_, connection)| connection.poll_timeout());
        let first = self.timers.first().map(|(at, _)| *at);
        partial.chain(first).min()
    }

    fn config(&self, path: Path) -> dunlin_dtls::Config {
        let mut config = dunlin_dtls::Config::new(
            Role::Server,
            self.certificate.clone(),
            PeerIdentity::AnyCertificate,
        );
        config.client_auth = ClientAuth::Off;
        config.client_address = ClientAddress::Cookie {
            secret: self.secret.clone(),
            address: format!("{} {}", path.remote, path.local).into_bytes(),
        };
        config
    }

    fn remove(&mut self, path: Path) {
        if let Some(association) = self.associations.remove(&path) {
            self.timers.remove(&(association.due, path));
        }
    }
}

impl Worker {
    /// Takes a datagram that came in by a DTLS listener.
    pub(super) fn dtls_datagram(&mut self, now: Instant, path: Path, packet: &[u8]) {
        if !self.dtls.associations.contains_key(&path) {
            return self.dtls_hello(now, path, packet);
        }
        if let Some(association) = self.dtls.associations.get_mut(&path) {
            association.heard = now;
            association
                .connection
                .handle_datagram(now, BytesMut::from(packet));
        }
        self.dtls_drain(now, path);
    }

    /// A datagram from somebody unknown: RFC 6347, section 4.2.1: "it MUST [...] be able to verify the cookie statelessly",
    /// so only who brings a cookie back becomes an association.
    fn dtls_hello(&mut self, now: Instant, path: Path, packet: &[u8]) {
        if packet.first() != Some(&HANDSHAKE) {
            return;
        }
        let known = self.dtls.partial.iter().position(|(partial, _)| *partial == path);
        let known = known.and_then(|index| self.dtls.partial.remove(index));
        let mut connection = known.map_or_else(
            || Connection::new(self.dtls.config(path), dunlin_crypto::random::seed(), now),
            |(_, connection)| connection,
        );
        connection.handle_datagram(now, BytesMut::from(packet));
        if !connection.is_address_proved() {
            let answered = self.dtls_answer(now, path, &mut connection);
            if !answered && !connection.is_closed() {
                if self.dtls.partial.len() >= MAX_PARTIAL {
                    self.dtls.partial.pop_front();
                }
                self.dtls.partial.push_back((path, connection));
            }
            return;
        }
        if self.dtls.associations.len() >= self.config.max_dtls {
            self.counters.refused_connections += 1;
            return;
        }
        let association = Association {
            connection,
            due: now,
            heard: now,
        };
        self.dtls.timers.insert((now, path));
        self.dtls.associations.insert(path, association);
        self.counters.dtls += 1;
        self.dtls_drain(now, path);
    }

    /// Sends what a connection that is not kept has to say. Answers whether there was anything.
    fn dtls_answer(&mut self, now: Instant, path: Path, connection: &mut Connection) -> bool {
        let mut answered = false;
        loop {
            let start = self.trains.len();
            if !connection.poll_transmit(now, self.trains.buffer()) {
                return answered;
            }
            self.push(path, start);
            answered = true;
        }
    }

    /// Hands on what an association has for us and for its client, and sets its timer.
    fn dtls_drain(&mut self, now: Instant, path: Path) {
        loop {
            let Some(association) = self.dtls.associations.get_mut(&path) else {
                return;
            };
            match association.connection.poll_event() {
                Some(Event::Data(data)) => self.take_dtls(now, path, &data),
                Some(Event::Closed(reason)) => {
                    log::debug!("turn: {path}: {reason}");
                    self.dtls_send(now, path);
                    self.dtls_end(now, path);
                    return;
                }
                Some(_) => {}
                None => break,
            }
        }
        self.dtls_send(now, path);
        let idle = self.config.idle;
        if let Some(association) = self.dtls.associations.get_mut(&path) {
            let mut due = association.heard + idle;
            if let Some(timeout) = association.connection.poll_timeout() {
                due = due.min(timeout);
            }
            // A look at silence that finds an allocation is taken again after the same time.
            if due <= now && association.connection.poll_timeout().is_none_or(|at| at > now) {
                due = now + idle;
            }
            self.dtls.timers.remove(&(association.due, path));
            association.due = due;
            self.dtls.timers.insert((due, path));
        }
    }

    fn dtls_send(&mut self, now: Instant, path: Path) {
        loop {
            let start = self.trains.len();
            let Some(association) = self.dtls.associations.get_mut(&path) else {
                return;
            };
            if !association.connection.poll_transmit(now, self.trains.buffer()) {
                return;
            }
            self.push(path, start);
        }
    }

    fn dtls_end(&mut self, now: Instant, path: Path) {
        self.dtls.remove(path);
        self.counters.dtls -= 1;
        self.server.connection_lost(now, path);
    }

    /// Queues a message for a client.
    pub(super) fn dtls_seal(&mut self, path: Path, message: &[u8]) {
        let start = self.trains.len();
        let Some(association) = self.dtls.associations.get_mut(&path) else {
            return;
        };
        let sealed = association.connection.seal(self.trains.buffer(), |out| {
            out.extend_from_slice(message);
            true
        });
        if sealed {
            self.push(path, start);
        }
    }

    /// Lets time pass.
    pub(super) fn dtls_timeout(&mut self, now: Instant) {
        // A hello that cannot be answered, of an old version for instance, is refused when nothing better has come.
        for (path, mut connection) in std::mem::take(&mut self.dtls.partial) {
            if connection.poll_timeout().is_some_and(|at| at <= now) {
                connection.handle_timeout(now);
                self.dtls_answer(now, path, &mut connection);
            }
            if !connection.is_closed() {
                self.dtls.partial.push_back((path, connection));
            }
        }
        while let Some((at, path)) = self.dtls.timers.first().copied() {
            if at > now {
                return;
            }
            let idle = self.config.idle;
            let allocated = self.server.has_allocation(path);
            let Some(association) = self.dtls.associations.get_mut(&path) else {
                self.dtls.timers.remove(&(at, path));
                continue;
            };
            association.connection.handle_timeout(now);
            if now >= association.heard + idle && !allocated {
                association.connection.close(now);
            }
            self.dtls_drain(now, path);
        }
    }
}
