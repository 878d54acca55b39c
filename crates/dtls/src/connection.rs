//! The connection: the five verbs, and which part answers them.
//!
//! In: datagram -> `record` (header, keys, replay) -> `fragment` (whole messages in order) -> `v12` (the state
//! that waits for the message) -> `flight` (the answer). All of that is in `receive`; this file has the rest.

mod receive;

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use dunlin_crypto::agreement::Group;
use log::{info, trace};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::alert::{Alert, AlertDescription};
use crate::close::CloseReason;
use crate::config::Config;
use crate::flight::Flight;
use crate::fragment::{Limits, Reassembler};
use crate::record::Records;
use crate::record::header::{ContentType, MAX_PLAINTEXT};
use crate::stats::Stats;
use crate::suite::CipherSuite;
use crate::v12::{Context, Established, Handshake};

/// What the parent learns from [`Connection::poll_event`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is done and the peer is who it has to be. [`Connection::seal`] and
    /// [`Connection::export`] work from now on.
    Connected,
    /// What the peer sealed.
    Data(Bytes),
    /// The end; nothing comes after it.
    Closed(CloseReason),
}

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Version {
    /// DTLS 1.2 (RFC 6347).
    Dtls12,
}

impl Version {
    /// The version on the wire: 0xFEFD for 1.2.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Version::Dtls12 => 0xFEFD,
        }
    }
}

/// One end of a DTLS connection. It owns no socket and no clock: see the crate's documentation for its verbs.
#[derive(Debug)]
pub struct Connection {
    config: Box<Config>,
    /// The latest time seen.
    now: Instant,
    rng: Box<StdRng>,
    pub(crate) state: State,
    records: Records,
    flight: Flight,
    reassembler: Reassembler,
    /// Records of epoch 1 that came before what it takes to open or deliver them.
    early: VecDeque<BytesMut>,
    /// What changed makes another look at `early` worth it.
    retry_early: bool,
    alerts: VecDeque<Alert>,
    events: VecDeque<Event>,
    /// When the handshake must be done. `None`: it is, or time does not matter.
    deadline: Option<Instant>,
    doubt: Option<Doubt>,
    stats: Stats,
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
    /// [`Self::poll_transmit`], and the time of [`Config::handshake_timeout`] runs.
    ///
    /// `seed` feeds the hellos' random values and the cookie; key shares come from the crypto backend.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = Box::new(StdRng::from_seed(seed));
        let mut flight = Flight::new(now, config.initial_timeout, config.max_timeout);
        flight.set_max_datagram(config.max_datagram);
        let (mut records, mut stats) = (Records::default(), Stats::default());
        let handshake = Handshake::start(&mut Context {
            now,
            config: &config,
            rng: &mut rng,
            flight: &mut flight,
            records: &mut records,
            stats: &mut stats,
            record_sequence: 0,
        });
        let limits = Limits {
            message: config.max_message,
            total: config.max_reassembly,
        };
        Self {
            now,
            rng,
            state: State::Handshake(Box::new(handshake)),
            records,
            flight,
            reassembler: Reassembler::new(limits),
            early: VecDeque::new(),
            retry_early: false,
            alerts: VecDeque::new(),
            events: VecDeque::new(),
            deadline: now.checked_add(config.handshake_timeout),
            doubt: None,
            stats,
            config: Box::new(config),
        }
    }

    /// Takes a datagram from the peer, and decrypts in place. Whatever is in it, nothing worse happens than that
    /// it is dropped and counted.
    pub fn handle_datagram(&mut self, now: Instant, data: BytesMut) {
        self.advance(now);
        if self.is_closed() {
            return;
        }
        self.stats.datagrams_received += 1;
        self.receive_datagram(data);
    }

    /// Does what is due. A call too early does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        let now = self.now;
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
                max_datagram: self.flight.max_datagram(),
            };
            self.fail(reason, None);
        } else if self.flight.on_timeout(now) {
            self.stats.retransmissions += 1;
        }
    }

    /// The peer can be reached better than before: if nothing was heard from it yet, the flight that is out goes
    /// out again soon and does not wait for its timer. Peers drop what comes before their end of the path is ready.
    pub fn handle_path_ready(&mut self, now: Instant) {
        self.advance(now);
        if self.stats.datagrams_received == 0 && !self.is_closed() {
            self.flight.hurry(self.now);
        }
    }

    /// Appends one datagram of the handshake, or of alerts, to `out`. False: there is none.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        self.advance(now);
        let start = out.len();
        if !self.flight.fill(&mut self.records, out) {
            while let Some(alert) = self.alerts.pop_front() {
                self.records.write_alert(alert, out);
            }
        }
        if out.len() == start {
            if self.is_closed() {
                self.records = Records::default();
            }
            return false;
        }
        self.stats.datagrams_sent += 1;
        trace!("send {} bytes", out.len() - start);
        true
    }

    /// The next thing that the parent should know.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Self::handle_timeout`]; a time already due while [`Self::poll_transmit`] has something.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.flight.is_sending() || !self.alerts.is_empty() {
            return Some(self.now);
        }
        let doubt = self.doubt.as_ref().and_then(|doubt| doubt.at);
        [self.flight.timeout(), self.deadline, doubt]
            .into_iter()
            .flatten()
            .min()
    }

    /// How large a datagram of the handshake may be; at least 64 bytes are taken. Holds for what is still to be
    /// cut, so a flight that goes out again follows it.
    pub fn set_max_datagram(&mut self, bytes: usize) {
        self.flight.set_max_datagram(bytes);
    }

    /// Appends one record of application data, with what `write` appends as its content, encrypted in place.
    ///
    /// False, and nothing appended, if `write` says false, if it writes more than 2^14 bytes, or if there is no
    /// connection yet or any more.
    #[must_use]
    pub fn seal(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
        let (State::Connected(_), Some(sealer)) = (&self.state, &mut self.records.sealer) else {
            return false;
        };
        let start = out.len();
        if !sealer.begin(ContentType::ApplicationData, out) {
            self.fail(CloseReason::RecordNumbersExhausted, None);
            return false;
        }
        let body = out.len();
        if !write(out) || out.len() < body || out.len() - body > MAX_PLAINTEXT {
            out.truncate(start);
            return false;
        }
        sealer.finish(ContentType::ApplicationData, out, start);
        self.stats.data_sent += 1;
        true
    }

    /// Bytes that [`Self::seal`] adds to what is written: 37 with AES-GCM, 29 with ChaCha20-Poly1305. Before
    /// there is a connection, the larger.
    #[must_use]
    pub fn overhead(&self) -> usize {
        self.records
            .sealer
            .as_ref()
            .map_or(MAX_OVERHEAD, |sealer| sealer.overhead())
    }

    /// Says goodbye and ends the connection.
    pub fn close(&mut self, _now: Instant) {
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

    /// The SRTP protection profile that both sides agreed on, when connected.
    #[must_use]
    pub fn srtp_profile(&self) -> Option<u16> {
        self.established()?.negotiated.srtp_profile
    }

    /// The peer's certificate in DER, when connected.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        Some(&self.established()?.peer_certificate)
    }

    /// The version, when connected.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.established().map(|_| Version::Dtls12)
    }

    /// The cipher suite, when connected.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<CipherSuite> {
        Some(self.established()?.negotiated.suite)
    }

    /// The group of the key agreement, when connected.
    #[must_use]
    pub fn group(&self) -> Option<Group> {
        Some(self.established()?.group)
    }

    /// What was counted since the connection was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    fn established(&self) -> Option<&Established> {
        match &self.state {
            State::Connected(established) => Some(established),
            _ => None,
        }
    }

    /// Time never goes back.
    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// Ends the connection for a fault; what is still to be sent of the handshake is not sent.
    fn fail(&mut self, reason: CloseReason, alert: Option<AlertDescription>) {
        self.flight.clear();
        self.alerts.clear();
        self.end(reason, alert.map(Alert::fatal));
    }

    fn end(&mut self, reason: CloseReason, alert: Option<Alert>) {
        info!("closed: {reason}");
        self.state = State::Closed;
        self.flight.stop_timer();
        self.alerts.extend(alert);
        self.early = VecDeque::new();
        self.reassembler.expect_again(0);
        self.records.opener = None;
        self.deadline = None;
        self.doubt = None;
        self.events.push_back(Event::Closed(reason));
    }
}

/// What a record of AES-GCM adds.
const MAX_OVERHEAD: usize = 13 + 8 + 16;
