//! What comes in through signalling, and what the application decides: credentials, candidates, addresses, restarts
//! (RFC 8445, sections 5, 6.1.2 and 9; RFC 8838).

use std::net::{IpAddr, SocketAddr};

use dunlin_net::{Path, Transport};
use log::{debug, info};

use crate::agent::Agent;
use crate::candidate::{Address, Candidate, Kind, Protocol, TcpType, is_link_local, same_address};
use crate::credentials::{Credentials, Generation, Side};
use crate::event::State;
use crate::gather::Base;
use crate::pair::{Outcome, Pair, PairId, PairState, pair_priority};
use crate::pair_stats::Counters;
use crate::renomination::Numbers;
use crate::role::Role;
use crate::server::ServerError;
use crate::stats::DropReason;

/// Why an address cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddAddressError {
    /// An unspecified, multicast or broadcast address, port 0, or one of the IPv6 addresses that RFC 8445, section 5.1.1.1
    /// bars from being candidates: IPv4-mapped, IPv4-compatible and site-local ones.
    #[error(
        "{0} is no address for a candidate: it takes a concrete address and port, and IPv4 addresses as such"
    )]
    NotConcrete(SocketAddr),
    /// ICE over this transport is not there yet.
    #[error("candidates over {0} are not supported")]
    Transport(Transport),
    /// The bound of the configuration.
    #[error("there are {0} local addresses already, which is the configured limit")]
    TooMany(usize),
    /// The agent is closed.
    #[error("the agent is closed")]
    Closed,
}

/// Why a remote candidate is refused. Candidates that a peer may well send and that cannot be used (names, TCP,
/// component 2) are not errors: they are counted and left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddCandidateError {
    /// The filter of the configuration, or no peer can have such an address.
    #[error("no checks may be sent to the address of this candidate")]
    Denied,
    /// Its `ufrag` is not the one of the peer's description.
    #[error(
        "the candidate belongs to another ICE generation: its ufrag is not the one of the remote description"
    )]
    Generation,
    /// The bound of the configuration.
    #[error("there are {0} remote candidates already, which is the configured limit")]
    TooMany(usize),
    /// The agent is closed.
    #[error("the agent is closed")]
    Closed,
}

impl Agent {
    /// Adds the address of a socket: its host candidate is known at once, and STUN servers are asked. `Tcp`: of a socket
    /// that listens for connections of peers (RFC 6544).
    ///
    /// # Errors
    /// When the address is not one of a UDP or TCP socket, or one too many. An address that was added before is fine.
    pub fn add_local_address(
        &mut self,
        now: std::time::Instant,
        address: SocketAddr,
        transport: Transport,
    ) -> Result<(), AddAddressError> {
        self.now = self.now.max(now);
        if self.state == State::Closed {
            return Err(AddAddressError::Closed);
        }
        if !matches!(transport, Transport::Udp | Transport::Tcp) {
            return Err(AddAddressError::Transport(transport));
        }
        if address.port() == 0 || !can_be_local(address.ip()) {
            return Err(AddAddressError::NotConcrete(address));
        }
        if self.gatherer.base(address, transport).is_some() {
            return Ok(());
        }
        if self.gatherer.bases().len() >= self.config.max_local_addresses {
            return Err(AddAddressError::TooMany(self.config.max_local_addresses));
        }
        self.gatherer
            .add(self.now, address, transport, &self.config, &mut self.rng);
        if transport == Transport::Tcp {
            self.pump();
            return Ok(());
        }
        if !self.config.lite {
            self.gather_by_ways();
        }
        let (base, remotes) = (
            self.gatherer.base(address, transport).cloned(),
            self.remote.clone(),
        );
        self.form_pairs(base.as_slice(), &remotes);
        self.pump();
        Ok(())
    }

    /// The socket is gone: so are its candidates and pairs.
    pub fn remove_local_address(
        &mut self,
        now: std::time::Instant,
        address: SocketAddr,
        transport: Transport,
    ) {
        self.now = self.now.max(now);
        for relay in self.relays.leaving_from(address) {
            let gone = ServerError::Lost(format!("the local address {address} is gone"));
            self.relays.path_failed(relay, gone);
        }
        if self.gatherer.base(address, transport).is_some() {
            info!("ice: local address {address} is gone");
            self.drop_base(address);
        }
        self.pump();
    }

    /// Forgets a base with its candidates and pairs.
    pub(crate) fn drop_base(&mut self, address: SocketAddr) {
        self.gatherer.remove(address);
        self.list.retain(|pair| pair.path.local != address);
        self.transactions
            .retain(|transaction| transaction.path.local != address);
        self.after_lost_pairs();
    }

    /// Pairs went with what carried them.
    pub(crate) fn after_lost_pairs(&mut self) {
        if self.nominated.is_some_and(|id| self.list.get(id).is_none()) {
            // The credentials still hold: another address may find another path before anyone restarts.
            self.nominated = None;
            self.timers.lost_base = true;
            self.timers.probe = None;
            self.timers.pac_at = Some(self.now + self.config.pac_timeout);
            self.form_all_pairs();
            // What was given back when the path was chosen may be needed now.
            self.restart_relays();
        }
    }

    /// The peer's username fragment and password, and whether it is a lite agent.
    ///
    /// Other credentials than before are a new generation of the peer: its old candidates are forgotten, the pair in
    /// use stays until a new one works. (For an ICE restart, call [`restart`](Self::restart) first.)
    pub fn set_remote_credentials(&mut self, credentials: Credentials, lite: bool) {
        if self.state == State::Closed {
            return;
        }
        match &self.current.remote {
            Some(known) if known.credentials == credentials => return,
            Some(_) => {
                let local = self.current.local.clone();
                self.begin_generation(local);
            }
            None => {}
        }
        info!(
            "ice: the peer is {}{}",
            credentials.ufrag(),
            if lite { " (lite)" } else { "" }
        );
        let ufrag = credentials.ufrag().to_owned();
        self.current.remote = Some(Side::new(credentials));
        self.remote_lite = lite;
        self.numbers.dialect = self.offered_renomination;
        // RFC 8445, section 6.1.1: "The full agent MUST take the controlling role, and the lite agent MUST
        // take the controlled role."
        if lite && !self.config.lite {
            self.take_role(Role::Controlling);
        }
        // RFC 8840, section 4.1: candidates of another generation are told by their ufrag.
        let strange =
            |candidate: &Candidate| candidate.extension("ufrag").is_some_and(|other| other != ufrag);
        let before = self.remote.len();
        self.remote.retain(|candidate| !strange(candidate));
        for _ in self.remote.len()..before {
            self.stats.drops.count(DropReason::CandidateGeneration);
        }
        if self.state != State::Failed {
            // RFC 8863, section 4: the timer starts when the checks may.
            self.timers.pac_at = Some(self.now + self.config.pac_timeout);
        }
        self.timers.tcp_at = Some(self.now + self.config.tcp_delay);
        self.form_all_pairs();
        self.replay_early();
        self.pump();
    }

    /// Sets who nominates: the side whose offer started the session does (RFC 8445, section 6.1.1). A lite agent, and
    /// the peer of one, keep the role that this gives them.
    pub fn set_role(&mut self, role: Role) {
        if role != self.role && !self.config.lite && !self.remote_lite && self.state != State::Closed {
            self.take_role(role);
            self.pump();
        }
    }

    /// A candidate of the peer, before or after its credentials.
    ///
    /// # Errors
    /// When it must not be checked, belongs to another generation, or is one too many.
    pub fn add_remote_candidate(
        &mut self,
        now: std::time::Instant,
        candidate: Candidate,
    ) -> Result<(), AddCandidateError> {
        self.now = self.now.max(now);
        if self.state == State::Closed {
            return Err(AddCandidateError::Closed);
        }
        let drops = &mut self.stats.drops;
        if let Some(reason) = unusable(&candidate) {
            drops.count(reason);
            debug!("ice: left out {candidate}: {reason:?}");
            return Ok(());
        }
        if let Address::Name { .. } = candidate.address {
            self.take_name(candidate);
            return Ok(());
        }
        let drops = &mut self.stats.drops;
        if !self.config.remote_filter.allows_candidate(&candidate) {
            drops.count(DropReason::CandidateDenied);
            return Err(AddCandidateError::Denied);
        }
        let current = self.current.remote.as_ref().map(Side::ufrag);
        if let (Some(current), Some(theirs)) = (current, candidate.extension("ufrag"))
            && current != theirs
        {
            drops.count(DropReason::CandidateGeneration);
            return Err(AddCandidateError::Generation);
        }
        let same =
            |known: &Candidate| known.address == candidate.address && known.protocol == candidate.protocol;
        if self.remote.iter().any(same) {
            drops.count(DropReason::CandidateDuplicate);
            return Ok(());
        }
        if self.remote.len() >= self.config.max_remote_candidates {
            drops.count(DropReason::TooManyCandidates);
            return Err(AddCandidateError::TooMany(self.config.max_remote_candidates));
        }
        debug!("ice: remote {candidate}");
        self.replace_peer_reflexive(&candidate);
        let bases = self.gatherer.bases().to_vec();
        self.form_pairs(&bases, std::slice::from_ref(&candidate));
        self.await_first_check(&candidate);
        self.remote.push(candidate);
        // Long after the choice it says that the peer's network is another one, and that its path may be gone.
        if self.nominated.is_some() && self.timers.release_at.is_none() && self.may_improve() {
            self.look_again();
        }
        self.pump();
        Ok(())
    }

    /// The peer has no more candidates in this generation (RFC 8838, section 14).
    pub fn end_of_remote_candidates(&mut self, now: std::time::Instant) {
        self.now = self.now.max(now);
        self.end_of_candidates = true;
        self.pump();
    }

    /// Whether the peer has said that it has no more candidates.
    #[must_use]
    pub fn has_all_remote_candidates(&self) -> bool {
        self.end_of_candidates
    }

    /// Restarts ICE (RFC 8445, section 9): new credentials, the local candidates again, the peer's forgotten. The
    /// pair in use stays in use until a new one is nominated.
    pub fn restart(&mut self, now: std::time::Instant) {
        self.now = self.now.max(now);
        if self.state == State::Closed {
            return;
        }
        let fresh = Side::new(Credentials::random(&mut self.rng));
        self.begin_generation(fresh);
        self.gatherer.restart(self.now, &self.config, &mut self.rng);
        self.restart_relays();
        self.pump();
    }

    fn begin_generation(&mut self, local: Side) {
        let number = self.current.number + 1;
        let old = std::mem::replace(
            &mut self.current,
            Generation {
                number,
                local,
                remote: None,
            },
        );
        info!(
            "ice: restart, generation {number}, {}",
            self.current.local.ufrag()
        );
        let in_use = self
            .selected
            .and_then(|id| self.list.get(id))
            .map(|pair| (pair.id, pair.generation));
        let keep = in_use.map(|(id, _)| id);
        // Of two restarts in a row, the first leaves nothing that is worth keeping.
        self.previous = match (in_use, self.previous.take()) {
            (Some((_, generation)), _) if generation == old.number => Some(Box::new(old)),
            (Some((_, generation)), Some(previous)) if generation == previous.number => Some(previous),
            _ => None,
        };
        self.list.retain(|pair| Some(pair.id) == keep);
        self.list.clear_triggers();
        self.transactions
            .retain(|transaction| Some(transaction.pair) == keep);
        self.transactions.cancel_nominations();
        self.remote.clear();
        self.forget_names();
        self.early.clear();
        self.end_of_candidates = false;
        self.nominated = None;
        self.numbers = Numbers::default();
        self.timers.first_valid = None;
        self.timers.first_check = None;
        self.timers.ordinary_from = None;
        self.timers.repeats = 0;
        self.timers.nominate_at = None;
        self.timers.release_at = None;
        self.timers.lost_base = false;
        self.timers.probe = None;
        self.timers.pac_at = None;
        self.timers.tcp_at = None;
        self.tcp.begin_generation();
        if self.state == State::Failed {
            // RTCIceTransportState: "(disconnected or failed, ICE restart occurs): checking".
            self.set_state(State::Checking);
        }
    }

    /// Pairs these bases with these remote candidates where one can reach the other (RFC 8445, section 6.1.2.2).
    pub(crate) fn form_pairs(&mut self, bases: &[Base], remotes: &[Candidate]) {
        // RFC 8445, section 6.2: a lite agent forms no check list.
        if self.current.remote.is_none() || self.config.lite || !self.may_improve() {
            return;
        }
        // Beside a pair that was chosen, only better ones are of interest.
        let chosen = self.nominated.and_then(|id| self.list.get(id));
        let floor = chosen.map(|pair| pair.priority);
        for base in bases.iter().filter(|base| !base.retired) {
            for remote in remotes {
                let priority = pair_priority(self.role, base.candidate.priority, remote.priority);
                if floor.is_some_and(|floor| priority <= floor) {
                    continue;
                }
                let _pair = self.add_pair(base, remote);
            }
        }
    }

    /// Every pair is tried (again) beside the one in use, worse ones too, until they are let go as after a nomination: a
    /// peer that has lost its path is found at another, and a NAT before us lets its checks in.
    pub(crate) fn look_again(&mut self) {
        if self.current.remote.is_none() || self.config.lite {
            return;
        }
        let (nominated, generation) = (self.nominated, self.current.number);
        let failed = |pair: &&mut Pair| {
            let other = Some(pair.id) != nominated && pair.generation == generation;
            other && pair.state == PairState::Failed && !pair.is_dead()
        };
        self.list
            .iter_mut()
            .filter(failed)
            .for_each(|pair| pair.state = PairState::Frozen);
        let mut bases = self.gatherer.bases().to_vec();
        bases.retain(|base| !base.retired);
        for base in bases {
            for remote in self.remote.clone() {
                let _pair = self.add_pair(&base, &remote);
            }
        }
        self.timers.looking = true;
        self.timers.release_at = Some(self.now + self.config.release_delay);
    }

    fn form_all_pairs(&mut self) {
        let (bases, remotes) = (self.gatherer.bases().to_vec(), self.remote.clone());
        self.form_pairs(&bases, &remotes);
    }

    /// The pair of a base and a remote candidate, made if it is new. `None` when there can be no such pair, or the
    /// list is full of better ones.
    ///
    /// RFC 8445, section 6.1.2.4: reflexive local candidates are replaced by their bases, and redundant pairs pruned:
    /// pairs are made of bases to begin with, one for each path.
    pub(crate) fn add_pair(&mut self, base: &Base, remote: &Candidate) -> Option<PairId> {
        if self.state == State::Failed {
            return None;
        }
        let path = path_between(base, remote)?;
        let generation = self.current.number;
        if let Some(known) = self.list.find(path, generation) {
            return Some(known.id);
        }
        let mut pair = Pair {
            id: PairId(0),
            generation,
            path,
            local: base.candidate.clone().into(),
            remote: remote.clone().into(),
            reflexive_priority: base.reflexive_priority(),
            base_priority: base.candidate.priority,
            base_foundation: base.candidate.foundation.clone(),
            priority: 0,
            state: PairState::Frozen,
            needs_permission: false,
            consent: None,
            use_candidate_at: None,
            nomination: None,
            checked_at: None,
            answered_in: None,
            hoped_since: None,
            last_heard: self.now,
            rtt: None,
            outcome: Outcome::Untried,
            requests_sent: 0,
            responses_received: 0,
            requests_received: 0,
            last_request: None,
            counters: Counters::default(),
        };
        pair.set_role(self.role);
        if let Some(relay) = base.relay {
            // Its server would learn the address that the peer hides: "ICE agents MUST NOT" pair them.
            if self.names.hid(path.remote.ip()) {
                return None;
            }
            // RFC 8656, section 9: without a permission "relaying is not permitted". It is asked for at once.
            match self.relays.permit(self.now, relay, path.remote.ip()) {
                Ok(granted) => pair.needs_permission = !granted,
                Err(error) => {
                    debug!("ice: no pair {path}: {error}");
                    return None;
                }
            }
        }
        let added = self.list.insert(pair);
        match added {
            Some(_) => self.started = true,
            None => self.count_drop(DropReason::TooManyPairs, path),
        }
        added
    }
}

/// RFC 8445, section 5.1.1.1: "Deprecated IPv4-compatible IPv6 addresses and IPv6 site-local unicast addresses MUST NOT be
/// included in the address candidates", and IPv4-mapped ones "SHOULD NOT".
fn can_be_local(ip: IpAddr) -> bool {
    let odd = match ip {
        IpAddr::V4(ip) => ip.is_broadcast(),
        IpAddr::V6(ip) => {
            let site_local = ip.segments()[0] & 0xffc0 == 0xfec0;
            let compatible = ip.segments()[..6] == [0; 6] && !ip.is_loopback();
            site_local || compatible || ip.to_ipv4_mapped().is_some()
        }
    };
    !odd && !ip.is_unspecified() && !ip.is_multicast()
}

/// Where datagrams from a base to a remote candidate travel, if they can.
///
/// RFC 8445, section 6.1.2.2: both ends have "the same IP address family", and "IPv6 link-local addresses
/// MUST NOT be paired with other than link-local addresses".
fn path_between(base: &Base, remote: &Candidate) -> Option<Path> {
    let mut address = remote.address.socket()?;
    match (base.transport, &remote.protocol, base.connected) {
        (Transport::Udp, Protocol::Udp, _) => {}
        // A connection leads where it leads.
        (Transport::Tcp, Protocol::Tcp, Some(connected)) if same_address(connected, address) => {}
        // RFC 6544, section 6.2: "it MUST also remove any pair for which the local candidate is a passive TCP candidate",
        // but for what the peer's own connection has shown.
        (Transport::Tcp, Protocol::Tcp, None) if remote.kind == Kind::PeerReflexive => {}
        _ => return None,
    }
    let same_family = address.is_ipv4() == base.address.is_ipv4();
    if !same_family || is_link_local(base.address.ip()) != is_link_local(address.ip()) {
        return None;
    }
    if same_address(address, base.address) {
        return None;
    }
    if let (SocketAddr::V6(remote), SocketAddr::V6(local)) = (&mut address, base.address) {
        // The link is the base's: the peer cannot know its number.
        remote.set_scope_id(if is_link_local((*remote.ip()).into()) {
            local.scope_id()
        } else {
            0
        });
        remote.set_flowinfo(0);
    }
    Some(Path {
        local: base.address,
        remote: address,
        transport: base.transport,
    })
}

/// Why a candidate is left out: something that a peer may rightly send and that cannot be checked (yet).
fn unusable(candidate: &Candidate) -> Option<DropReason> {
    if candidate.component != 1 {
        // Everything is multiplexed on component 1 (RFC 8839 with RFC 5761).
        return Some(DropReason::CandidateComponent);
    }
    match (&candidate.protocol, candidate.tcp_type) {
        // The peer connects from an active one: it is known by its checks.
        (Protocol::Udp, _) | (Protocol::Tcp, Some(TcpType::Passive | TcpType::Active)) => {}
        _ => return Some(DropReason::CandidateProtocol),
    }
    None
}
