//! A client of one STUN server: learns how a socket's address looks from outside (RFC 8489, sections 2, 6 and 12),
//! and keeps the NAT's binding alive by asking again. Public servers want no credentials; one that does gets them.

mod config;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transmit, Transport};
use log::{debug, info, trace};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::attribute::error_code::code;
use crate::long_term::{Authenticator, ChallengeError};
use crate::message::{Class, Message, Method, TransactionId};
use crate::transaction::{Retransmission, Step};
use crate::writer::Writer;

pub use config::{Config, Event, Failure, Stats};

/// How many challenges in a row are answered.
const MAX_CHALLENGES: u32 = 4;

/// A Binding client for one server, sans-IO.
#[derive(Debug)]
pub struct Client {
    config: Config,
    rng: StdRng,
    /// The latest time seen: a `now` in the past counts as this.
    now: Instant,
    state: State,
    mapped: Option<SocketAddr>,
    /// The events that wait to be polled; a newer address replaces an older one.
    news: Option<SocketAddr>,
    failure: Option<Failure>,
    auth: Option<Authenticator>,
    /// Challenges answered since the last success: a server that goes on and on with 438 is left.
    challenges: u32,
    /// A response to the request under way was dropped because it was not authentic.
    tampered: bool,
    stats: Stats,
}

#[derive(Debug)]
enum State {
    /// A request is under way.
    Asking {
        id: TransactionId,
        retransmission: Retransmission,
        send: bool,
    },
    /// Answered; asks again at this time, if any.
    Resting { until: Option<Instant> },
    /// Nothing more will happen.
    Closed,
}

impl Client {
    /// A client that asks at once.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut client = Self {
            config,
            rng: StdRng::from_seed(seed),
            now,
            state: State::Closed,
            mapped: None,
            news: None,
            failure: None,
            auth: None,
            challenges: 0,
            tampered: false,
            stats: Stats::default(),
        };
        client.ask();
        client
    }

    /// Takes a datagram that the socket received.
    // By value, as in every crate that keeps the contract: the layers above slice it further.
    #[expect(clippy::needless_pass_by_value, reason = "the contract's signature")]
    pub fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        self.now = self.now.max(now);
        if path != self.config.path {
            self.stats.dropped_other_path += 1;
            debug!(
                "stun: dropped a datagram from {path}: the server is {}",
                self.config.path
            );
            return;
        }
        match Message::parse(&data) {
            Ok(message) if message.verify_fingerprint() != Some(false) => self.handle_message(&message),
            other => {
                self.stats.dropped_malformed += 1;
                debug!("stun: dropped {} bytes from {path}: {other:?}", data.len());
            }
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        match &mut self.state {
            State::Asking {
                retransmission, send, ..
            } => match retransmission.on_timeout(self.now) {
                Step::Nothing => {}
                Step::Send => *send = true,
                Step::Fail => {
                    // RFC 8489, section 9.2.5: "instead of signaling a timeout after ending the transaction, the layer
                    // MUST signal that the integrity protection was violated."
                    let sent = retransmission.sent();
                    self.fail(if self.tampered {
                        Failure::Tampered
                    } else {
                        Failure::Timeout(sent)
                    });
                }
            },
            State::Resting { until: Some(until) } if *until <= self.now => self.ask(),
            State::Resting { .. } | State::Closed => {}
        }
    }

    /// Appends the request to `out` when it is due.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.now = self.now.max(now);
        let State::Asking { id, send, .. } = &mut self.state else {
            return None;
        };
        if !std::mem::take(send) {
            return None;
        }
        self.stats.requests_sent += 1;
        let mut writer = Writer::new(out, Class::Request, Method::BINDING, *id);
        if let Some(auth) = &self.auth {
            auth.authenticate(&mut writer);
        }
        let len = writer.fingerprint().finish();
        trace!(
            "stun: Binding request {id:?}, {len} bytes, to {}",
            self.config.path
        );
        Some(Transmit::new(self.config.path))
    }

    /// What happened.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        let news = self.news.take().map(Event::MappedAddress);
        news.or_else(|| self.failure.take().map(Event::Failed))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Asking { send: true, .. } => Some(self.now),
            State::Asking { retransmission, .. } => retransmission.poll_timeout(),
            State::Resting { until } => *until,
            State::Closed => None,
        }
    }

    /// The path to the server.
    #[must_use]
    pub fn path(&self) -> Path {
        self.config.path
    }

    /// The address that the server last saw.
    #[must_use]
    pub fn mapped_address(&self) -> Option<SocketAddr> {
        self.mapped
    }

    /// Whether the client has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Ends the client without an event.
    pub fn close(&mut self) {
        self.state = State::Closed;
    }

    fn ask(&mut self) {
        self.tampered = false;
        let retransmission = match self.config.path.transport {
            Transport::Tcp | Transport::Tls => {
                Retransmission::reliable(self.now, self.config.reliable_timeout)
            }
            _ => Retransmission::with_limits(
                self.now,
                self.config.initial_rto.max(Duration::from_millis(1)),
                self.config.max_requests,
                self.config.final_wait_factor.max(1),
            ),
        };
        self.state = State::Asking {
            id: TransactionId::random(&mut self.rng),
            retransmission,
            send: true,
        };
    }

    fn handle_message(&mut self, message: &Message<'_>) {
        let State::Asking {
            id, retransmission, ..
        } = &self.state
        else {
            self.stats.dropped_unexpected += 1;
            return;
        };
        let response = matches!(message.class(), Class::Success | Class::Error);
        if !response || message.method() != Method::BINDING || message.transaction_id() != *id {
            self.stats.dropped_unexpected += 1;
            debug!("stun: dropped {message:?}: not the response awaited");
            return;
        }
        let error =
            (message.class() == Class::Error).then(|| message.error_code().map_or(0, |error| error.code));
        let challenged = matches!(error, Some(code::UNAUTHENTICATED | code::STALE_NONCE));
        if self.config.credentials.is_some() && !challenged && message.is_bid_down() {
            return self.drop_unauthentic(message, true);
        }
        if let Some(auth) = self.auth.as_ref().filter(|_| !challenged)
            && auth.verify(message).is_err()
        {
            let unsigned = !message.has_integrity() && !message.has_integrity_sha256();
            return self.drop_unauthentic(message, error == Some(code::BAD_REQUEST) && unsigned);
        }
        self.stats.responses_received += 1;
        self.stats.round_trip = retransmission.round_trip(self.now).or(self.stats.round_trip);
        // RFC 8489, section 6.3.3: "If the success response contains unknown comprehension-required attributes, the
        // response is discarded and the transaction is considered to have failed." Section 6.3.4: "If the error response
        // contains unknown comprehension-required attributes, or if the error response does not contain an ERROR-CODE
        // attribute, then the transaction is simply considered to have failed."
        // Servers of RFC 3489 add SOURCE-ADDRESS and CHANGED-ADDRESS (0x0004 and 0x0005, "Reserved" in RFC 8489,
        // section 18.3): they say nothing that is needed here, and the mapped address is as good.
        if error == Some(0) || message.unknown_required(&[0x0004, 0x0005]).next().is_some() {
            return self.fail(Failure::NotUnderstood);
        }
        if let Some(code) = error {
            return self.handle_error(message, code);
        }
        match message.xor_mapped_address().or_else(|| message.mapped_address()) {
            Some(address) => self.learn(address),
            None => self.fail(Failure::NotUnderstood),
        }
    }

    /// RFC 8489, section 9.2.5: over an unreliable transport such a response is discarded "as if it had never been
    /// received", over a reliable one the client "MUST immediately end the transaction". Some are discarded over any: a
    /// bid-down "MUST be ignored", and a 400 without integrity "MUST be discarded, as if it were never received".
    fn drop_unauthentic(&mut self, message: &Message<'_>, over_any: bool) {
        debug!("stun: dropped {message:?}: not authentic");
        self.stats.dropped_unauthentic += 1;
        self.tampered = true;
        if !over_any && matches!(self.config.path.transport, Transport::Tcp | Transport::Tls) {
            self.fail(Failure::Tampered);
        }
    }

    fn handle_error(&mut self, message: &Message<'_>, code: u16) {
        match (code, &self.config.credentials, &self.auth) {
            (code::UNAUTHENTICATED, None, _) => self.fail(Failure::WrongCredentials),
            // "The client MUST NOT perform this retry if it is not changing the USERNAME, USERHASH, REALM, or its
            // associated password from the previous attempt."
            (code::UNAUTHENTICATED, Some(_), Some(auth)) if auth.has_realm_of(message) => {
                self.fail(Failure::WrongCredentials);
            }
            // "If the response is an error response with an error code of 438 (Stale Nonce), the client MUST retry the
            // request, using the new NONCE attribute": the same one would only be refused again.
            (code::STALE_NONCE, Some(_), Some(auth)) if auth.has_nonce_of(message) => {
                self.fail(Failure::Refused(code));
            }
            (code::UNAUTHENTICATED | code::STALE_NONCE, Some(credentials), auth) => {
                let answer = match auth {
                    Some(auth) => auth.renew(credentials, message),
                    None => Authenticator::answer(credentials, message),
                };
                self.retry(answer, code);
            }
            // RFC 8489, section 14.8: of a 300 "receivers MUST validate" the integrity "before redirecting themselves".
            (code::TRY_ALTERNATE, _, Some(_)) if message.alternate_server().is_some() => {
                if let Some(server) = message.alternate_server() {
                    self.fail(Failure::Redirected(server));
                }
            }
            _ => self.fail(Failure::Refused(code)),
        }
    }

    fn retry(&mut self, answer: Result<Authenticator, ChallengeError>, code: u16) {
        match answer {
            Ok(_) if self.challenges >= MAX_CHALLENGES => self.fail(match code {
                code::UNAUTHENTICATED => Failure::WrongCredentials,
                _ => Failure::Refused(code),
            }),
            Ok(auth) => {
                self.challenges += 1;
                self.auth = Some(auth);
                self.ask();
            }
            Err(error) => self.fail(Failure::Challenge(error)),
        }
    }

    fn learn(&mut self, address: SocketAddr) {
        self.challenges = 0;
        self.state = State::Resting {
            until: self
                .config
                .refresh
                .and_then(|refresh| self.now.checked_add(refresh.max(Duration::from_millis(1)))),
        };
        if self.mapped.replace(address) != Some(address) {
            info!(
                "stun: {} is {address} to {}",
                self.config.path.local, self.config.path.remote
            );
            self.news = Some(address);
        }
    }

    fn fail(&mut self, failure: Failure) {
        info!("stun: {}: {failure}", self.config.path.remote);
        self.state = State::Closed;
        self.failure = Some(failure);
    }
}
