//! The connection: the five verbs, and which part answers them.
//!
//! In: datagram -> `record` (header, keys, replay) -> `fragment` (whole messages in order) -> `handshake`, `v12`, `v13`
//! (the state that waits for the message) -> `flight` (the answer). All of that is in `receive`; what an established
//! connection can be asked is in `established`; this file has the rest.

mod established;
mod receive;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use log::{info, trace};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::acks::Acks;
use crate::alert::{Alert, AlertDescription};
use crate::close::{CloseReason, HandshakeError};
use crate::config::{ClientAddress, Config, Role};
use crate::flight::Flight;
use crate::fragment::{Limits, Reassembler};
use crate::handshake::{Context, Established, Handshake};
use crate::record::Records;
use crate::record::header::ContentType;
use crate::stats::Stats;
use crate::v13::APPLICATION_EPOCH;
use crate::version::Version;

pub use established::UpdateError;

/// With less to send, nothing is: an alert in its record would not fit.
const LEAST_BUDGET: usize = 64;

/// What the parent learns from [`Connection::poll_event`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// With [`PeerIdentity::Ask`](crate::PeerIdentity::Ask): the certificates that the peer shows, in DER, its own
    /// first. The handshake waits for [`Connection::accept_peer`] or [`Connection::reject_peer`]. That the peer owns
    /// the certificate is proved by [`Event::Connected`] and not before.
    PeerCertificate(Vec<Bytes>),
    /// The handshake is done and the peer is who it has to be. [`Connection::seal`] and
    /// [`Connection::export`] work from now on.
    Connected,
    /// What the peer sealed.
    Data(Bytes),
    /// With [`Config::key_log`](crate::Config::key_log): a line for a file that packet analysers read (the NSS key
    /// log format). Whoever has it can read the connection.
    KeyLog(String),
    /// The end; nothing comes after it.
    Closed(CloseReason),
}

/// One end of a DTLS connection. It owns no socket and no clock: see the crate's documentation for its verbs.
#[derive(Debug)]
pub struct Connection {
    config: Box<Config>,
    core: Core,
    pub(crate) state: State,
    reassembler: Reassembler,
    /// Records that came before what it takes to open or deliver them.
    early: VecDeque<BytesMut>,
    /// What changed makes another look at `early` worth it.
    retry_early: bool,
    alerts: VecDeque<Alert>,
    /// When the handshake must be done. `None`: it is, or time does not matter.
    deadline: Option<Instant>,
    doubt: Option<Doubt>,
    /// Until when the peer may repeat its last flight of a DTLS 1.3 handshake; then those keys are forgotten.
    linger: Option<Instant>,
    /// There is something to send, but not before the peer has sent more (`ClientAddress::Unproved`).
    blocked: bool,
}

/// What handshakes work with.
#[derive(Debug)]
struct Core {
    /// The latest time seen.
    now: Instant,
    rng: Box<StdRng>,
    records: Records,
    flight: Flight,
    acks: Acks,
    events: VecDeque<Event>,
    stats: Stats,
    /// The caller has to say whether it accepts the peer.
    asks: bool,
    address_proved: bool,
    bytes_received: usize,
    bytes_sent: usize,
}

impl Core {
    fn context<'a>(&'a mut self, config: &'a Config, record_sequence: u64) -> Context<'a> {
        Context {
            now: self.now,
            config,
            rng: &mut self.rng,
            flight: &mut self.flight,
            records: &mut self.records,
            acks: &mut self.acks,
            stats: &mut self.stats,
            events: &mut self.events,
            asks: &mut self.asks,
            address_proved: &mut self.address_proved,
            record_sequence,
        }
    }

    /// Bytes that may be sent now.
    ///
    /// > A server SHOULD limit the amount of data it sends toward a client address to three times the amount of data
    /// > sent by the client before it verifies that the client is able to receive data at that address. (RFC 9147,
    /// > section 5.1)
    fn budget(&self) -> usize {
        if self.address_proved {
            usize::MAX
        } else {
            (3 * self.bytes_received).saturating_sub(self.bytes_sent)
        }
    }
}

/// Where the connection stands.
#[derive(Debug)]
pub(crate) enum State {
    Handshake(Box<Handshake>),
    Connected(Box<Established>),
    Closed,
}

/// A bad sign without proof, and when to believe it.
#[derive(Debug)]
struct Doubt {
    at: Option<Instant>,
    reason: CloseReason,
    alert: Option<AlertDescription>,
}

impl Connection {
    /// A connection that begins its handshake at once: a client has its ClientHello ready for
    /// [`Self::poll_transmit`], and the time of [`Config::handshake_timeout`] runs. With a configuration that cannot
    /// work ([`Config::check`]) it is closed at once, for that reason.
    ///
    /// `seed` feeds the hellos' random values and the cookie; key shares come from the crypto backend.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = Box::new(StdRng::from_seed(seed));
        let dice = StdRng::from_rng(&mut rng);
        let mut flight = Flight::new(now, config.initial_timeout, config.max_timeout, dice);
        flight.set_max_datagram(config.max_datagram);
        let proved = config.role == Role::Client || config.client_address == ClientAddress::Proved;
        let limits = Limits {
            message: config.max_message,
            total: config.max_reassembly,
        };
        let mut this = Self {
            core: Core {
                now,
                rng,
                records: Records::default(),
                flight,
                acks: Acks::default(),
                events: VecDeque::new(),
                stats: Stats::default(),
                asks: false,
                address_proved: proved,
                bytes_received: 0,
                bytes_sent: 0,
            },
            state: State::Closed,
            reassembler: Reassembler::new(limits),
            early: VecDeque::new(),
            retry_early: false,
            alerts: VecDeque::new(),
            deadline: now.checked_add(config.handshake_timeout),
            doubt: None,
            linger: None,
            blocked: false,
            config: Box::new(config),
        };
        let started = match this.config.check() {
            Ok(()) => Handshake::start(&mut this.core.context(&this.config, 0)).map_err(CloseReason::from),
            Err(error) => Err(CloseReason::Config(error)),
        };
        match started {
            Ok(handshake) => this.state = State::Handshake(Box::new(handshake)),
            Err(reason) => this.fail(reason, None),
        }
        this
    }

    /// Takes a datagram from the peer, and decrypts in place. Whatever is in it, nothing worse happens than that
    /// it is dropped and counted.
    pub fn handle_datagram(&mut self, now: Instant, data: BytesMut) {
        self.advance(now);
        if self.is_closed() {
            return;
        }
        self.core.stats.datagrams_received += 1;
        self.core.bytes_received = self.core.bytes_received.saturating_add(data.len());
        self.blocked = false;
        self.receive_datagram(data);
    }

    /// Does what is due. A call too early does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        let now = self.core.now;
        if self.is_closed() {
            return;
        }
        if let Some(doubt) = self.doubt.take_if(|doubt| doubt.at.is_some_and(|at| at <= now)) {
            self.fail(doubt.reason, doubt.alert);
        } else if self.deadline.is_some_and(|deadline| deadline <= now) {
            let State::Handshake(handshake) = &self.state else {
                return;
            };
            let reason = CloseReason::Timeout {
                after: self.config.handshake_timeout,
                waiting_for: handshake.waiting_for().name(),
                max_datagram: self.core.flight.max_datagram(),
            };
            self.fail(reason, None);
        } else if self.core.flight.on_timeout(now) {
            self.core.stats.retransmissions += 1;
        }
    }

    /// The peer can be reached better than before: if nothing was heard from it yet, the flight that is out goes
    /// out again soon and does not wait for its timer. Peers drop what comes before their end of the path is ready.
    pub fn handle_path_ready(&mut self, now: Instant) {
        self.advance(now);
        if self.core.stats.datagrams_received == 0 && !self.is_closed() {
            self.core.flight.hurry(self.core.now);
        }
    }

    /// How long the path's round trip is, from ICE or an earlier connection: one and a half of it is the time before
    /// a flight goes out again (RFC 9147, section 5.8.2), but never less than 50 ms. Holds for the flight that is out,
    /// too, unless that goes out again already.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.core.flight.set_round_trip(round_trip);
    }

    /// Appends one datagram of the handshake, or of ACKs and alerts, to `out`. False: there is none.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        self.advance(now);
        let start = out.len();
        let budget = self.core.budget();
        let was_sending = self.core.flight.is_sending();
        let filled = self.core.flight.fill(&mut self.core.records, budget, out);
        if !filled && budget > LEAST_BUDGET {
            self.write_ack(out);
            while let Some(alert) = self.alerts.pop_front() {
                let bytes = alert.bytes();
                self.core.records.write(ContentType::Alert, &bytes, out);
            }
        }
        let len = out.len() - start;
        if len == 0 {
            self.blocked = was_sending || budget <= LEAST_BUDGET;
            if self.is_closed() {
                self.core.records = Records::default();
            }
            return false;
        }
        self.core.bytes_sent = self.core.bytes_sent.saturating_add(len);
        self.core.stats.datagrams_sent += 1;
        trace!("send {len} bytes");
        true
    }

    fn write_ack(&mut self, out: &mut Vec<u8>) {
        let core = &mut self.core;
        let room = core
            .flight
            .max_datagram()
            .saturating_sub(core.records.overhead(core.records.current))
            .min(core.records.max_content.sent);
        if let Some(content) = core.acks.content(core.now, room)
            && core.records.write(ContentType::Ack, &content, out)
        {
            core.stats.acks_sent += 1;
        }
    }

    /// The next thing that the parent should know.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`]; a time already due while [`Self::poll_transmit`] has something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let core = &self.core;
        if !self.blocked && (core.flight.is_sending() || !self.alerts.is_empty()) {
            return Some(core.now);
        }
        let doubt = self.doubt.as_ref().and_then(|doubt| doubt.at);
        let ack = core.acks.timeout().filter(|_| !self.blocked);
        [core.flight.timeout(), self.deadline, doubt, ack]
            .into_iter()
            .flatten()
            .min()
    }

    /// How large a datagram of the handshake may be; at least 64 bytes are taken. Holds for what is still to be
    /// cut, so a flight that goes out again follows it.
    pub fn set_max_datagram(&mut self, bytes: usize) {
        self.core.flight.set_max_datagram(bytes);
    }

    /// With [`PeerIdentity::Ask`](crate::PeerIdentity::Ask): the owner of the certificate is welcome.
    pub fn accept_peer(&mut self, now: Instant) {
        self.advance(now);
        if std::mem::take(&mut self.core.asks) && !self.is_closed() {
            self.receive_messages();
            self.look_at_early();
        }
    }

    /// With [`PeerIdentity::Ask`](crate::PeerIdentity::Ask): the owner of the certificate is not welcome, and learns
    /// it by this alert.
    pub fn reject_peer(&mut self, now: Instant, alert: AlertDescription) {
        self.advance(now);
        if std::mem::take(&mut self.core.asks) && !self.is_closed() {
            self.fail(HandshakeError::Rejected(alert).into(), Some(alert));
        }
    }

    /// Says goodbye and ends the connection.
    pub fn close(&mut self, now: Instant) {
        self.advance(now);
        if self.is_closed() {
            return;
        }
        self.end(
            CloseReason::Local,
            Some(Alert::warning(AlertDescription::CLOSE_NOTIFY)),
        );
    }

    /// Whether [`Event::Connected`] came and [`Event::Closed`] did not.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected(_))
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// As a server: whether the client has shown that it receives what is sent to its address, by a cookie or by a
    /// handshake ([`ClientAddress`](crate::ClientAddress)). Before that nothing is lost with the connection.
    #[must_use]
    pub fn is_address_proved(&self) -> bool {
        self.core.address_proved
    }

    /// What was counted since the connection was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.stats
    }

    /// The version, once it is clear, and so the form of the records.
    fn negotiated_version(&self) -> Option<Version> {
        match &self.state {
            State::Handshake(handshake) => handshake.version(),
            State::Connected(established) => Some(established.version()),
            State::Closed => None,
        }
    }

    /// Time never goes back.
    fn advance(&mut self, now: Instant) {
        self.core.now = self.core.now.max(now);
        if self.linger.take_if(|until| *until <= self.core.now).is_some() {
            self.core.records.retire_openers(APPLICATION_EPOCH);
        }
    }

    /// Ends the connection for a fault; what is still to be sent of the handshake is not sent.
    fn fail(&mut self, reason: CloseReason, alert: Option<AlertDescription>) {
        self.core.flight.clear();
        self.alerts.clear();
        self.end(reason, alert.map(Alert::fatal));
    }

    fn end(&mut self, reason: CloseReason, alert: Option<Alert>) {
        info!("closed: {reason}");
        self.state = State::Closed;
        self.core.flight.stop_timer();
        self.core.acks.clear();
        self.core.asks = false;
        self.alerts.extend(alert);
        self.early = VecDeque::new();
        self.reassembler.expect_again(0);
        self.core.records.stop_receiving();
        self.deadline = None;
        self.doubt = None;
        self.linger = None;
        self.core.events.push_back(Event::Closed(reason));
    }
}
