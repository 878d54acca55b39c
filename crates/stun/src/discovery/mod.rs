//! NAT behaviour discovery, the client's side (RFC 5780, section 4): which of our addresses others see, and who may
//! send to it. Seven tests at most, one after the other.
//!
//! The filtering tests come first: RFC 5780, section 4.4 calls them "sensitive to prior state on the NAT", and a
//! request to the server's second address would let that address in.

mod behaviour;
pub mod lifetime;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};
use log::{debug, info};
use rand::SeedableRng;
use rand::rngs::StdRng;

pub use behaviour::{Behaviour, Filtering, Mapping};

use crate::attribute::change_request::ChangeRequest;
use crate::attribute::{MAPPED_ADDRESS, OTHER_ADDRESS, PADDING};
use crate::message::{Class, Message, Method, TransactionId};
use crate::transaction::{Retransmission, Step};
use crate::writer::Writer;

/// What a [`Discovery`] is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// From our UDP socket to the server's first address. The local address is a concrete one.
    pub path: Path,
    /// Another UDP socket of the same host, from which to see whether the NAT hairpins. Default: none, and it is not seen.
    pub second: Option<SocketAddr>,
    /// The first retransmission interval. Default 500 ms (RFC 8489, section 6.2.1).
    pub initial_rto: Duration,
    /// Requests per test. No answer is a result here, so fewer than usual: default 4, which with `final_wait_factor`
    /// makes 5.5 s for a test without an answer.
    pub max_requests: u32,
    /// RTOs to wait after the last request. Default 4.
    pub final_wait_factor: u32,
}

impl Config {
    /// The defaults for a server at the far end of `path`.
    #[must_use]
    pub fn new(path: Path) -> Self {
        Self {
            path,
            second: None,
            initial_rto: Retransmission::MIN_RTO,
            max_requests: 4,
            final_wait_factor: 4,
        }
    }
}

/// What a [`Discovery`] has to tell: one of these, once.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// All tests are done.
    Discovered(Behaviour),
    /// The first test had no answer, so there is nothing to say.
    Failed(Failure),
}

/// Why nothing was discovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No answer at all.
    #[error("the STUN server did not answer over UDP: UDP is blocked, or the address is wrong")]
    NoAnswer,
    /// The answer was an error, or had no address.
    #[error("the STUN server refused a plain Binding request")]
    Refused,
    /// The server does not answer to another port, which the lifetime of bindings is measured by.
    #[error("the STUN server does not support RESPONSE-PORT (RFC 5780)")]
    NoResponsePort,
}

/// The tests, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    /// Sections 4.3 and 4.4, test I.
    Connectivity,
    /// Section 4.4, test II: to the first address, answer from another address and port.
    FilterOtherAddress,
    /// Section 4.4, test III: answer from the same address, another port.
    FilterOtherPort,
    /// Section 4.3, test II: to the other address, first port.
    MapOtherAddress,
    /// Section 4.3, test III: to the other address and port.
    MapOtherPort,
    /// Section 3.5: in fragments.
    Fragments,
    /// Section 3.4: from the second socket to the outside address of the first.
    Hairpin,
}

/// "When PADDING is used, it SHOULD be equal to the MTU of the outgoing interface" (section 5).
const FRAGMENTED: usize = 1500;

/// A test under way.
#[derive(Debug)]
struct Running {
    test: Test,
    path: Path,
    id: TransactionId,
    retransmission: Retransmission,
    send: bool,
}

/// A discovery with one server, best one that has two addresses, sans-IO.
#[derive(Debug)]
pub struct Discovery {
    config: Config,
    rng: StdRng,
    now: Instant,
    running: Option<Running>,
    other: Option<SocketAddr>,
    behaviour: Behaviour,
    /// Where test II of the mapping saw us.
    second_mapped: Option<SocketAddr>,
    event: Option<Event>,
}

impl Discovery {
    /// A discovery that begins at once.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let local = config.path.local;
        let mut discovery = Self {
            config,
            rng: StdRng::from_seed(seed),
            now,
            running: None,
            other: None,
            behaviour: Behaviour::unknown(local),
            second_mapped: None,
            event: None,
        };
        discovery.run(Test::Connectivity);
        discovery
    }

    /// Takes a datagram that the socket received.
    #[expect(clippy::needless_pass_by_value, reason = "the contract's signature")]
    pub fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        self.now = self.now.max(now);
        let (Some(running), Ok(message)) = (&self.running, Message::parse(&data)) else {
            return;
        };
        if running.test == Test::Hairpin {
            // "If the client receives its own request, the NAT hairpins connections."
            let own = message.class() == Class::Request && message.transaction_id() == running.id;
            if own && path.local == self.config.path.local {
                self.behaviour.hairpinning = Some(true);
                self.conclude();
            }
            return;
        }
        let response = matches!(message.class(), Class::Success | Class::Error);
        let expected = self.expects_from(running, path);
        if !response || message.transaction_id() != running.id || !expected {
            debug!("stun: discovery dropped {message:?} from {path}");
            return;
        }
        let mapped = message
            .xor_mapped_address()
            .filter(|_| message.class() == Class::Success);
        let test = running.test;
        if test == Test::Connectivity {
            self.other = message.address(OTHER_ADDRESS);
            let plain = message.address(MAPPED_ADDRESS);
            self.behaviour.rewritten = plain.and_then(|plain| Some(plain != mapped?));
        }
        if test == Test::Fragments {
            // A refusal says nothing, and neither does an answer that came in one piece.
            self.behaviour.fragments = mapped.and(message.attribute(PADDING)).map(|_| true);
            return self.begin_hairpin();
        }
        self.finish_test(test, mapped);
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let Some(running) = &mut self.running else { return };
        match running.retransmission.on_timeout(self.now) {
            Step::Nothing => {}
            Step::Send => running.send = true,
            Step::Fail if running.test == Test::Connectivity => self.end(Event::Failed(Failure::NoAnswer)),
            Step::Fail if running.test == Test::Fragments => {
                self.behaviour.fragments = Some(false);
                self.begin_hairpin();
            }
            Step::Fail if running.test == Test::Hairpin => {
                self.behaviour.hairpinning = Some(false);
                self.conclude();
            }
            Step::Fail => {
                let test = running.test;
                self.finish_test(test, None);
            }
        }
    }

    /// Appends the request of the test under way when it is due.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.now = self.now.max(now);
        let running = self.running.as_mut()?;
        if !std::mem::take(&mut running.send) {
            return None;
        }
        let mut writer = Writer::new(out, Class::Request, Method::BINDING, running.id);
        match running.test {
            Test::FilterOtherAddress => ChangeRequest { ip: true, port: true }.write(&mut writer),
            Test::FilterOtherPort => ChangeRequest {
                ip: false,
                port: true,
            }
            .write(&mut writer),
            Test::Fragments => {
                writer.attribute(PADDING, &[0; FRAGMENTED]);
            }
            _ => {}
        }
        writer.fingerprint();
        Some(Transmit::new(running.path))
    }

    /// The result, once.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        if running.send {
            return Some(self.now);
        }
        running.retransmission.poll_timeout()
    }

    /// The answer to a filtering test comes from where it was told to come from, any other from where it was asked.
    fn expects_from(&self, running: &Running, path: Path) -> bool {
        let mut remote = running.path.remote;
        if let Some(other) = self.other {
            match running.test {
                Test::FilterOtherAddress => remote = other,
                Test::FilterOtherPort => remote.set_port(other.port()),
                _ => {}
            }
        }
        path.local == running.path.local && path.remote == remote
    }

    fn run(&mut self, test: Test) {
        let mut path = self.config.path;
        if let (Test::Hairpin, Some(second), Some(mapped)) = (test, self.config.second, self.behaviour.mapped)
        {
            path = Path::udp(second, mapped);
        }
        if let Some(other) = self.other {
            match test {
                Test::MapOtherAddress => path.remote.set_ip(other.ip()),
                Test::MapOtherPort => path.remote = other,
                _ => {}
            }
        }
        let Config {
            initial_rto,
            max_requests,
            final_wait_factor,
            ..
        } = self.config;
        let rto = initial_rto.max(Duration::from_millis(1));
        self.running = Some(Running {
            test,
            path,
            id: TransactionId::random(&mut self.rng),
            retransmission: Retransmission::with_limits(
                self.now,
                rto,
                max_requests,
                final_wait_factor.max(1),
            ),
            send: true,
        });
    }

    /// Draws the conclusion of a test (`mapped`: what its answer said, if one came) and begins the next.
    fn finish_test(&mut self, test: Test, mapped: Option<SocketAddr>) {
        let behaviour = &mut self.behaviour;
        match test {
            Test::Connectivity => {
                let Some(mapped) = mapped else {
                    return self.end(Event::Failed(Failure::Refused));
                };
                behaviour.mapped = Some(mapped);
                if mapped == behaviour.local {
                    behaviour.mapping = Mapping::NoNat;
                }
                // "If OTHER-ADDRESS is not returned, the server does not support this usage".
                if self.other.is_none() {
                    behaviour.server_has_one_address = true;
                    return self.run(Test::Fragments);
                }
                self.run(Test::FilterOtherAddress);
            }
            Test::FilterOtherAddress if mapped.is_some() => {
                behaviour.filtering = Filtering::EndpointIndependent;
                self.begin_mapping();
            }
            Test::FilterOtherAddress => self.run(Test::FilterOtherPort),
            Test::FilterOtherPort => {
                behaviour.filtering = match mapped {
                    Some(_) => Filtering::AddressDependent,
                    None => Filtering::AddressAndPortDependent,
                };
                self.begin_mapping();
            }
            Test::MapOtherAddress => match mapped {
                Some(_) if mapped == behaviour.mapped => {
                    behaviour.mapping = Mapping::EndpointIndependent;
                    self.run(Test::Fragments);
                }
                Some(_) => {
                    self.second_mapped = mapped;
                    self.run(Test::MapOtherPort);
                }
                None => self.run(Test::Fragments),
            },
            Test::MapOtherPort => {
                behaviour.mapping = match mapped {
                    Some(_) if mapped == self.second_mapped => Mapping::AddressDependent,
                    Some(_) => Mapping::AddressAndPortDependent,
                    None => Mapping::Unknown,
                };
                self.run(Test::Fragments);
            }
            Test::Fragments | Test::Hairpin => {}
        }
    }

    fn begin_mapping(&mut self) {
        if self.behaviour.mapping == Mapping::NoNat {
            self.run(Test::Fragments);
        } else {
            self.run(Test::MapOtherAddress);
        }
    }

    fn begin_hairpin(&mut self) {
        if self.behaviour.mapping == Mapping::NoNat || self.config.second.is_none() {
            self.conclude();
        } else {
            self.run(Test::Hairpin);
        }
    }

    fn conclude(&mut self) {
        let behaviour = self.behaviour;
        self.end(Event::Discovered(behaviour));
    }

    fn end(&mut self, event: Event) {
        info!("stun: discovery from {}: {event:?}", self.config.path);
        self.running = None;
        self.event = Some(event);
    }
}
