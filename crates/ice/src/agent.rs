//! The agent: its tables, and the five verbs over them. What happens to a request is in `requests`, to our own
//! checks and their answers in `checks`, and what follows from both in `nomination` and `lifecycle`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transmit, Transport};
use dunlin_stun::{Class, Message, Method, is_stun};
use log::{debug, trace};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::candidate::Candidate;
use crate::check_list::CheckList;
use crate::config::Config;
use crate::credentials::{Credentials, Generation};
use crate::event::{Event, GatheringState, PairInfo, State};
use crate::gather::{Gatherer, NameNews};
use crate::heard::Heard;
use crate::lifecycle::Timers;
use crate::names::Names;
use crate::output::Outgoing;
use crate::pair::PairId;
use crate::pair_stats::Traffic;
use crate::relay::{FromRelay, RelayId, Relays};
use crate::renomination::{Numbers, Renomination};
use crate::requests::EarlyCheck;
use crate::role::Role;
use crate::stats::{DropReason, Stats};
use crate::stun_ways::StunWays;
use crate::tcp::{TcpPaths, frame};
use crate::transactions::Transactions;

/// RFC 8445, section 14.2: "If an agent does not propose a value, the default value is used for that agent".
const DEFAULT_PACING: Duration = Duration::from_millis(50);
/// What a peer may slow us down to: no network needs more, and with more nobody connects.
const MAX_PACING: Duration = Duration::from_secs(1);

/// Where datagrams of the application go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    /// From our base to the peer.
    pub(crate) path: Path,
    /// The relay, when the base is a relayed address.
    pub(crate) relay: Option<RelayId>,
    /// The path on this host: to the peer, or to the TURN server.
    pub(crate) wire: Path,
}

/// One ICE session: one data stream, one component.
#[derive(Debug)]
pub struct Agent {
    pub(crate) config: Config,
    pub(crate) rng: StdRng,
    /// The latest time seen: a `now` in the past counts as this.
    pub(crate) now: Instant,
    pub(crate) role: Role,
    pub(crate) tie_breaker: u64,
    pub(crate) remote_lite: bool,
    /// What the peer's next credentials come with.
    pub(crate) offered_renomination: Option<Renomination>,
    pub(crate) numbers: Numbers,
    /// Ta as the peer proposes it.
    pub(crate) remote_pacing: Duration,
    pub(crate) state: State,
    /// Pairs have been formed once.
    pub(crate) started: bool,
    /// The credentials since the last restart.
    pub(crate) current: Generation,
    /// Those before, while the pair that they check is still in use.
    pub(crate) previous: Option<Box<Generation>>,
    pub(crate) gatherer: Gatherer,
    /// The peer's candidates from signalling.
    pub(crate) remote: Vec<Candidate>,
    pub(crate) peer_reflexive_seen: u32,
    pub(crate) end_of_candidates: bool,
    pub(crate) early: VecDeque<EarlyCheck>,
    pub(crate) heard: Heard,
    pub(crate) list: CheckList,
    pub(crate) transactions: Transactions,
    /// The pair of the current generation that both sides agreed on.
    pub(crate) nominated: Option<PairId>,
    /// The pair that datagrams go out on.
    pub(crate) selected: Option<PairId>,
    /// Its path: all that `send` looks at.
    pub(crate) outgoing: Option<Route>,
    /// What was sent on it; the counters of the pair do not have it yet.
    pub(crate) sent_on_selected: Traffic,
    pub(crate) relays: Relays,
    pub(crate) stun_ways: StunWays,
    pub(crate) tcp: TcpPaths,
    pub(crate) names: Names,
    /// A message before it gets a relay's framing.
    pub(crate) scratch: Vec<u8>,
    pub(crate) sent_since_keepalive: bool,
    pub(crate) timers: Timers,
    pub(crate) queue: VecDeque<Outgoing>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) stats: Stats,
}

impl Agent {
    /// An agent with fresh credentials and no address yet.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let config = config.sane();
        let mut rng = StdRng::from_seed(seed);
        let role = if config.lite {
            Role::Controlled
        } else {
            config.role
        };
        Self {
            now,
            role,
            tie_breaker: rng.random(),
            remote_lite: false,
            offered_renomination: None,
            numbers: Numbers::default(),
            remote_pacing: DEFAULT_PACING,
            state: State::New,
            started: false,
            current: Generation::new(0, &mut rng),
            previous: None,
            gatherer: Gatherer::new(&mut rng),
            remote: Vec::new(),
            peer_reflexive_seen: 0,
            end_of_candidates: false,
            early: VecDeque::new(),
            heard: Heard::default(),
            list: CheckList::new(config.max_pairs),
            transactions: Transactions::new(config.max_transactions),
            nominated: None,
            selected: None,
            outgoing: None,
            sent_on_selected: Traffic::default(),
            relays: Relays::new(&config),
            stun_ways: StunWays::new(&config),
            tcp: TcpPaths::default(),
            names: Names::default(),
            scratch: Vec::new(),
            sent_since_keepalive: false,
            timers: Timers::default(),
            queue: VecDeque::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
            rng,
            config,
        }
    }

    /// Takes a datagram that a socket received, or a message of a stream from a TURN server (cut out with
    /// [`StreamFrames`](crate::StreamFrames)). STUN is consumed; anything else is handed back if the peer has
    /// proved itself on this path, and dropped if not.
    #[must_use]
    pub fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) -> Option<BytesMut> {
        self.now = self.now.max(now);
        if matches!(self.state, State::Closed | State::Failed) {
            self.count_drop(DropReason::NotRunning, path);
            return None;
        }
        let data = match self.stun_ways.is_settled() {
            true => data,
            false => match self.stun_ways.handle_datagram(self.now, path, data) {
                Some(data) => data,
                None => {
                    self.pump();
                    return None;
                }
            },
        };
        let (path, data) = match self.relays.is_empty() {
            true => (path, data),
            false => match self.relays.handle_datagram(self.now, path, data) {
                FromRelay::Data(path, data) => (path, data),
                FromRelay::NotOurs(data) => (path, data),
                FromRelay::Consumed => {
                    self.pump();
                    return None;
                }
            },
        };
        // RFC 7983, section 7: STUN begins with a byte of 0 to 3.
        if data.first().is_some_and(|first| *first > 3) {
            return self.accept_data(path, data);
        }
        if self.gatherer.base(path.local, path.transport).is_none() {
            self.count_drop(DropReason::UnknownLocalAddress, path);
        } else if !is_stun(&data) {
            self.count_drop(DropReason::Malformed, path);
        } else {
            self.handle_stun(path, data);
            self.pump();
        }
        None
    }

    /// Lets time pass: checks, retransmissions, consent, and everything else that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if matches!(self.state, State::Closed | State::Failed) {
            return;
        }
        self.run_timers();
        self.pump();
    }

    /// Appends the next STUN message to `out`, if one is due.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.now = self.now.max(now);
        while let Some(next) = self.queue.pop_front() {
            if let Some(transmit) = self.write_framed(&next, out) {
                trace!("ice: {next:?} on {}", transmit.path);
                return Some(transmit);
            }
        }
        if let Some(transmit) = self.relays.poll_transmit(self.now, out) {
            return Some(transmit);
        }
        if matches!(self.state, State::Closed | State::Failed) {
            return None;
        }
        let asked = self.stun_ways.poll_transmit(self.now, out);
        asked.or_else(|| self.gatherer.poll_transmit(self.now, out))
    }

    /// What happened.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            // Events are rare once there is a path: an empty queue keeps no room for more.
            self.events = VecDeque::new();
        }
        event
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.queue.is_empty() || self.relays.has_farewells() {
            return Some(self.now);
        }
        if matches!(self.state, State::Closed | State::Failed) {
            return None;
        }
        self.next_timer()
    }

    /// Appends one datagram of the application, which `write` writes, and says where it goes. `None` when no path
    /// may be used, or `write` says `false`; nothing is appended then.
    #[must_use]
    pub fn send(&mut self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> bool) -> Option<Transmit> {
        // RFC 7675, section 5.1: without consent "the endpoint MUST cease transmission on that 5-tuple".
        let route = self.outgoing?;
        let mut bytes = 0;
        let counted = |out: &mut Vec<u8>| {
            let start = out.len();
            let wrote = write(out);
            bytes = out.len() - start;
            wrote
        };
        let start = out.len();
        let sent = match route.relay {
            Some(relay) => self.relays.send(relay, out, route.path.remote, counted),
            None => match route.wire.transport {
                Transport::Tcp => frame(out, counted),
                _ => counted(out),
            }
            .then(|| Transmit::new(route.wire)),
        };
        if sent.is_none() {
            out.truncate(start);
            return None;
        }
        self.sent_since_keepalive = true;
        self.stats.datagrams_sent += 1;
        self.stats.bytes_sent += bytes as u64;
        self.sent_on_selected.count(self.now, bytes);
        sent
    }

    /// Ends the session. Nothing is sent any more but the releases of relays, and nothing is taken.
    pub fn close(&mut self) {
        if self.state != State::Closed {
            self.forget_session();
            self.pump_relays();
            self.gatherer.withdraw_names();
            self.push_names();
            self.set_state(State::Closed);
        }
    }

    /// Our username fragment and password for the description.
    #[must_use]
    pub fn local_credentials(&self) -> &Credentials {
        &self.current.local.credentials
    }

    /// The peer's, once they are known.
    #[must_use]
    pub fn remote_credentials(&self) -> Option<&Credentials> {
        self.current.remote.as_ref().map(|side| &side.credentials)
    }

    /// Who nominates.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Takes the Ta that the peer proposes (`ice-pacing`, RFC 8839, section 5.5); `None`: it proposes none, which counts
    /// as 50 ms. To be told with each new credentials of the peer, before them. More than a second counts as a second.
    pub fn set_remote_pacing(&mut self, proposed: Option<Duration>) {
        self.remote_pacing = proposed.unwrap_or(DEFAULT_PACING).min(MAX_PACING);
    }

    /// Ta, the time between two checks that are not triggered. RFC 8445, section 14.2: "Both agents MUST use the higher
    /// value of the proposed values."
    #[must_use]
    pub fn pacing(&self) -> Duration {
        self.config.pacing.max(self.remote_pacing)
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether more local candidates are to be expected.
    #[must_use]
    pub fn gathering_state(&self) -> GatheringState {
        self.gatherer.state()
    }

    /// The candidates that the peer should know.
    pub fn local_candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.gatherer.candidates()
    }

    /// The peer's candidates that came through signalling and were not left out.
    pub fn remote_candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.remote.iter()
    }

    /// The path that [`send`](Self::send) uses on this host: for a relayed pair, the one to the TURN server. `None` when
    /// nothing can be sent now.
    #[must_use]
    pub fn selected_path(&self) -> Option<Path> {
        let usable = |route: &Route| match route.relay {
            Some(relay) => self.relays.can_send(relay, route.path.remote),
            None => true,
        };
        self.outgoing.filter(usable).map(|route| route.wire)
    }

    /// The pair that [`send`](Self::send) uses.
    #[must_use]
    pub fn selected_pair(&self) -> Option<PairInfo<'_>> {
        let pair = self.list.get(self.selected?)?;
        let nominated = self.nominated == self.selected;
        Some(PairInfo {
            local: &pair.local,
            remote: &pair.remote,
            rtt: pair.rtt,
            nominated,
        })
    }

    /// The smoothed round-trip time of the selected pair.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.selected_pair()?.rtt
    }

    /// Bytes that [`send`](Self::send) adds to a datagram: none, unless the pair is relayed.
    #[must_use]
    pub fn path_mtu_overhead(&self) -> usize {
        let relayed = self
            .outgoing
            .and_then(|route| Some((route.relay?, route.path.remote)));
        relayed.map_or(0, |(relay, peer)| self.relays.overhead(relay, peer))
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            pairs: self.list.len(),
            pending_transactions: self.transactions.len(),
            ..self.stats
        }
    }

    /// Whether `address` was added.
    #[must_use]
    pub fn has_local_address(&self, address: SocketAddr, transport: Transport) -> bool {
        self.gatherer.base(address, transport).is_some()
    }

    fn accept_data(&mut self, path: Path, data: BytesMut) -> Option<BytesMut> {
        let now = self.now;
        match self.list.accepting(path) {
            Some(pair) => {
                pair.last_heard = now;
                pair.counters.received.count(now, data.len());
            }
            // The peer has our description and a pair that works, we wait for its answer: its first flight is
            // not to be lost. What it sent on this path was authenticated with our password.
            None if self.early.iter().any(|check| check.path == path) => {}
            // Nor is what a peer sends on a pair that it is about to nominate.
            None if self.heard.within(path, now, self.config.consent_timeout) => {}
            None => {
                self.count_drop(DropReason::DataWithoutConsent, path);
                return None;
            }
        }
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += data.len() as u64;
        if self.state == State::Disconnected {
            self.update_state();
        }
        Some(data)
    }

    fn handle_stun(&mut self, path: Path, data: BytesMut) {
        let Ok(message) = Message::parse(&data) else {
            return self.count_drop(DropReason::Malformed, path);
        };
        if message.method() != Method::BINDING {
            return self.count_drop(DropReason::UnknownMethod, path);
        }
        match message.class() {
            Class::Request => self.handle_request(path, &message),
            // RFC 8445, section 11: a keepalive, "used solely to keep the NAT bindings alive".
            Class::Indication => trace!("ice: keepalive on {path}"),
            Class::Success | Class::Error => {
                if self.transactions.get(message.transaction_id()).is_some() {
                    self.handle_response(path, &message);
                } else if self.gatherer.is_server(path) {
                    self.gatherer.handle_datagram(self.now, path, data, &self.config);
                } else {
                    self.count_drop(DropReason::UnknownTransaction, path);
                }
            }
        }
    }

    /// What follows from whatever has just changed.
    pub(crate) fn pump(&mut self) {
        self.pump_relays();
        while let Some(report) = self.gatherer.poll_failed() {
            self.push_event(Event::ServerFailed(report));
        }
        // Names first: the parent is to know them when the peer asks.
        self.push_names();
        while let Some(candidate) = self.gatherer.poll_candidate() {
            self.push_event(Event::LocalCandidate(candidate));
        }
        self.consider_nomination();
        self.select();
        self.run_triggered();
        self.update_state();
    }

    fn push_names(&mut self) {
        while let Some(news) = self.gatherer.poll_name() {
            self.push_event(match news {
                NameNews::Publish(name, address) => Event::PublishName { name, address },
                NameNews::Withdraw(name) => Event::WithdrawName(name),
            });
        }
    }

    pub(crate) fn push_event(&mut self, event: Event) {
        if self.events.len() >= self.config.max_events {
            self.events.pop_front();
            self.stats.drops.count(DropReason::EventsFull);
        }
        self.events.push_back(event);
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason, path: Path) {
        self.stats.drops.count(reason);
        debug!("ice: dropped {reason:?} on {path}");
    }
}
