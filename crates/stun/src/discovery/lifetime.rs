//! How long a NAT keeps a binding that nobody uses (RFC 5780, section 4.6). Two sockets take part: from the first a request
//! makes the binding, which is then left alone; from the second another asks the server to answer to it (RESPONSE-PORT).
//!
//! A binding that outlived a time is tried with twice as much, and then the middle is, until the two ends are close. The
//! binding is made anew before each try, since it is unknown what the answer to the last one did to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};
use log::{debug, info};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::Failure;
use crate::attribute::RESPONSE_PORT;
use crate::message::{Class, Message, Method, TransactionId};
use crate::transaction::{Retransmission, Step};
use crate::writer::Writer;

/// What a [`Lifetime`] is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// From the first of our UDP sockets to the server. The local address is a concrete one.
    pub path: Path,
    /// The second of our UDP sockets.
    pub second: SocketAddr,
    /// The first retransmission interval. Default 500 ms (RFC 8489, section 6.2.1).
    pub initial_rto: Duration,
    /// What is tried first. Default 15 s.
    pub first: Duration,
    /// What outlives this is not tried any longer. Default 10 minutes: RFC 4787, REQ-5, asks NATs for 5 minutes, and at
    /// least for 2.
    pub longest: Duration,
}

impl Config {
    /// The defaults for a server at the far end of `path`.
    #[must_use]
    pub fn new(path: Path, second: SocketAddr) -> Self {
        Self {
            path,
            second,
            initial_rto: Retransmission::MIN_RTO,
            first: Duration::from_secs(15),
            longest: Duration::from_mins(10),
        }
    }
}

/// What a [`Lifetime`] has to tell: one of these, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An unused binding was there after `at_least`, and was not after `less_than`; `None`: it outlived all that was tried.
    Measured {
        /// It was there after this. Zero: it was gone after the first time.
        at_least: Duration,
        /// It was gone after this.
        less_than: Option<Duration>,
    },
    /// Nothing can be said.
    Failed(Failure),
}

/// Requests in a try, and what to wait after the last, in RTOs: no answer is a result.
const REQUESTS: u32 = 4;
const FINAL_WAIT: u32 = 4;
/// The ends are close when they differ by this part of the shorter one, or a second.
const PRECISION: u32 = 8;
const CLOSE: Duration = Duration::from_secs(1);
/// Nobody waits longer than a year, and times can be added up to it.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Debug)]
enum State {
    /// Making the binding.
    Make(Asking),
    /// The binding is left alone; the server saw this port.
    Leave {
        port: u16,
        until: Instant,
    },
    /// Asking whether it is still there.
    Ask {
        port: u16,
        asking: Asking,
    },
    Done,
}

/// A request under way.
#[derive(Debug)]
struct Asking {
    id: TransactionId,
    retransmission: Retransmission,
    send: bool,
}

/// The measurement of one NAT's binding lifetime, sans-IO. It takes some multiples of what it finds.
#[derive(Debug)]
pub struct Lifetime {
    config: Config,
    rng: StdRng,
    now: Instant,
    step: State,
    /// What is tried now.
    time: Duration,
    alive_after: Duration,
    gone_after: Option<Duration>,
    event: Option<Event>,
}

impl Lifetime {
    /// A measurement that begins at once.
    #[must_use]
    pub fn new(mut config: Config, seed: [u8; 32], now: Instant) -> Self {
        config.longest = config.longest.min(LONGEST);
        let time = config.first.max(CLOSE).min(config.longest.max(CLOSE));
        let mut lifetime = Self {
            config,
            rng: StdRng::from_seed(seed),
            now,
            step: State::Done,
            time,
            alive_after: Duration::ZERO,
            gone_after: None,
            event: None,
        };
        lifetime.step = State::Make(lifetime.asking());
        lifetime
    }

    /// Takes a datagram that one of the two sockets received.
    #[expect(clippy::needless_pass_by_value, reason = "the contract's signature")]
    pub fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        self.now = self.now.max(now);
        let (State::Make(asking) | State::Ask { asking, .. }) = &self.step else {
            return;
        };
        let Ok(message) = Message::parse(&data) else {
            return;
        };
        let is_answer = matches!(message.class(), Class::Success | Class::Error);
        if !is_answer || message.transaction_id() != asking.id || path.remote != self.config.path.remote {
            debug!("stun: the lifetime's measurement dropped {message:?} from {path}");
            return;
        }
        let on_first = path.local == self.config.path.local;
        match (&self.step, message.class()) {
            (State::Make(_), Class::Success) if on_first => match message.xor_mapped_address() {
                Some(mapped) => {
                    self.step = State::Leave {
                        port: mapped.port(),
                        until: self.now + self.time,
                    };
                }
                None => self.end(Event::Failed(Failure::Refused)),
            },
            (State::Make(_), _) if on_first => self.end(Event::Failed(Failure::Refused)),
            // "a client MUST be prepared to receive a 420 (Unknown Attribute) error to requests that include RESPONSE-PORT"
            (State::Ask { .. }, Class::Error) => self.end(Event::Failed(Failure::NoResponsePort)),
            (State::Ask { .. }, _) => self.tried(on_first),
            _ => {}
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let failed = match &mut self.step {
            State::Leave { port, until } if *until <= self.now => {
                let port = *port;
                let asking = self.asking();
                self.step = State::Ask { port, asking };
                return;
            }
            State::Make(asking) | State::Ask { asking, .. } => {
                let step = asking.retransmission.on_timeout(self.now);
                asking.send |= step == Step::Send;
                step == Step::Fail
            }
            State::Leave { .. } | State::Done => false,
        };
        match self.step {
            State::Make(_) if failed => self.end(Event::Failed(Failure::NoAnswer)),
            State::Ask { .. } if failed => self.tried(false),
            _ => {}
        }
    }

    /// Appends the request that is due; `path.local` says from which socket it goes.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.now = self.now.max(now);
        let mut path = self.config.path;
        let (asking, port) = match &mut self.step {
            State::Make(asking) => (asking, None),
            State::Ask { port, asking } => (asking, Some(*port)),
            State::Leave { .. } | State::Done => return None,
        };
        if !std::mem::take(&mut asking.send) {
            return None;
        }
        let mut writer = Writer::new(out, Class::Request, Method::BINDING, asking.id);
        if let Some(port) = port {
            // Section 7.5: "a 16-bit unsigned integer in network byte order followed by 2 bytes of padding".
            writer.attribute(RESPONSE_PORT, &port.to_be_bytes());
            path.local = self.config.second;
        }
        writer.fingerprint();
        Some(Transmit::new(path))
    }

    /// The result, once.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.step {
            State::Make(asking) | State::Ask { asking, .. } if asking.send => Some(self.now),
            State::Make(asking) | State::Ask { asking, .. } => asking.retransmission.poll_timeout(),
            State::Leave { until, .. } => Some(*until),
            State::Done => None,
        }
    }

    fn asking(&mut self) -> Asking {
        let rto = self.config.initial_rto.max(Duration::from_millis(1));
        Asking {
            id: TransactionId::random(&mut self.rng),
            retransmission: Retransmission::with_limits(self.now, rto, REQUESTS, FINAL_WAIT),
            send: true,
        }
    }

    /// Whether the binding was still there. "If the client receives the Binding Response on port Y […], or receives no
    /// response at all, it knows that the binding has expired."
    fn tried(&mut self, alive: bool) {
        debug!("stun: a binding unused for {:?} is there: {alive}", self.time);
        if alive {
            self.alive_after = self.time;
        } else {
            self.gone_after = Some(self.time);
        }
        let alive_after = self.alive_after;
        let next = match self.gone_after {
            None if alive_after >= self.config.longest => None,
            None => Some((alive_after * 2).min(self.config.longest)),
            Some(gone) if gone - alive_after <= CLOSE.max(alive_after / PRECISION) => None,
            Some(gone) => Some((alive_after + gone) / 2),
        };
        match next {
            Some(time) => {
                self.time = time;
                self.step = State::Make(self.asking());
            }
            None => self.end(Event::Measured {
                at_least: alive_after,
                less_than: self.gone_after,
            }),
        }
    }

    fn end(&mut self, event: Event) {
        info!(
            "stun: the lifetime of bindings on {}: {event:?}",
            self.config.path
        );
        self.step = State::Done;
        self.event = Some(event);
    }
}
