//! Local candidates (RFC 8445, section 5.1.1): host candidates at once, server-reflexive ones through each STUN
//! server from each base, relayed ones as the TURN servers give them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transmit, Transport};
use dunlin_stun::Client;
use log::{debug, info};
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use crate::candidate::{
    Address, Candidate, Kind, Protocol, TcpType, foundation, is_link_local, priority, tcp_priority,
};
use crate::config::Config;
use crate::event::GatheringState;
use crate::hiding::OwnNames;
use crate::relay::RelayId;
use crate::server::{ServerError, ServerReport, ServerState, TransportPolicy};

/// A local address that datagrams are sent from and received on.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) address: SocketAddr,
    pub(crate) transport: Transport,
    /// The host candidate that pairs are formed with.
    pub(crate) candidate: Candidate,
    preference: u16,
    /// Whose relayed address it is: RFC 8445, section 5.1.1.2: the base of a relayed candidate "is that candidate itself".
    pub(crate) relay: Option<RelayId>,
    /// The far end of a TCP connection that we have opened.
    pub(crate) connected: Option<SocketAddr>,
    /// The relay's server is not among those that are asked any more: no part of the generations to come.
    pub(crate) retired: bool,
}

impl Base {
    /// RFC 8445, section 7.1.1: the PRIORITY of a check is that of "the local candidate, but with the
    /// candidate type preference of" a peer-reflexive one.
    pub(crate) fn reflexive_priority(&self) -> u32 {
        match self.candidate.tcp_type {
            Some(tcp_type) => tcp_priority(Kind::PeerReflexive, tcp_type, self.preference, 1),
            None => priority(Kind::PeerReflexive, self.preference, 1),
        }
    }
}

/// A candidate for the peer and the base behind it.
#[derive(Debug)]
struct Advertised {
    candidate: Candidate,
    base: SocketAddr,
}

/// RTOs that a server has for the first transaction before a second begins: four requests.
const FIRST_TRANSACTION: u32 = 8;

/// One STUN server asked from one base.
#[derive(Debug)]
struct Query {
    base: SocketAddr,
    server: SocketAddr,
    server_index: u16,
    /// Requests to different servers are paced like checks (RFC 8445, section 14.1).
    starts: Instant,
    client: Option<Client>,
    /// When the transaction has been without an answer for so long that another one begins, and after how long that is.
    again: (Instant, Duration),
    done: bool,
    state: ServerState,
}

impl Query {
    fn refuse(&mut self) {
        (self.done, self.client) = (true, None);
        self.state = ServerState::Failed(ServerError::PortUnreachable);
    }
}

/// What the parent has to know of a name.
#[derive(Debug)]
pub(crate) enum NameNews {
    Publish(String, IpAddr),
    Withdraw(String),
}

/// All local addresses and what is known about them.
#[derive(Debug)]
pub(crate) struct Gatherer {
    bases: Vec<Base>,
    advertised: Vec<Advertised>,
    queries: Vec<Query>,
    news: VecDeque<Candidate>,
    /// STUN servers that gave nothing.
    failed: VecDeque<ServerReport>,
    state: GatheringState,
    /// Those of addresses that are hidden.
    names: OwnNames,
    name_news: VecDeque<NameNews>,
    /// Hides addresses in foundations.
    salt: u64,
    /// How many addresses of each family were added: the first ones are preferred.
    v4_seen: u16,
    v6_seen: u16,
}

impl Gatherer {
    pub(crate) fn new(rng: &mut StdRng) -> Self {
        Self {
            bases: Vec::new(),
            advertised: Vec::new(),
            queries: Vec::new(),
            news: VecDeque::new(),
            failed: VecDeque::new(),
            state: GatheringState::New,
            names: OwnNames::default(),
            name_news: VecDeque::new(),
            salt: rng.random(),
            v4_seen: 0,
            v6_seen: 0,
        }
    }

    /// Gives back the room that no candidate uses.
    pub(crate) fn shrink(&mut self) {
        self.bases.shrink_to_fit();
        self.advertised.shrink_to_fit();
        self.news.shrink_to_fit();
    }

    pub(crate) fn state(&self) -> GatheringState {
        self.state
    }

    pub(crate) fn bases(&self) -> &[Base] {
        &self.bases
    }

    pub(crate) fn base(&self, address: SocketAddr, transport: Transport) -> Option<&Base> {
        self.bases
            .iter()
            .find(|base| base.address == address && base.transport == transport)
    }

    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.advertised.iter().map(|advertised| &advertised.candidate)
    }

    /// Adds the address of a UDP socket, or of a TCP socket that listens; the caller has checked the bounds and that it is
    /// new.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        address: SocketAddr,
        transport: Transport,
        config: &Config,
        rng: &mut StdRng,
    ) {
        self.state = GatheringState::Gathering;
        if config.transport_policy == TransportPolicy::Relay {
            // Nothing is to be learned of this host: it only reaches TURN servers.
            return;
        }
        info!("ice: local address {address} ({transport})");
        let listens = transport == Transport::Tcp;
        let preference = match listens {
            true => self.next_listener_preference(),
            false => self.next_preference(address.ip()),
        };
        let salt = self.salt;
        let host = |address: SocketAddr| match listens {
            true => tcp_host(address, TcpType::Passive, preference, salt),
            false => udp_host(address, preference, salt),
        };
        let external = self.external_forms(address, config);
        let mut candidate = host(address);
        if external.is_empty() && config.advertise_hosts && config.hidden_hosts.hides(address.ip()) {
            let (name, is_new) = self.names.name(address.ip(), rng);
            if is_new {
                self.name_news
                    .push_back(NameNews::Publish(name.clone(), address.ip()));
            }
            let port = address.port();
            candidate.address = Address::Name { name, port };
        }
        self.bases.push(Base {
            address,
            transport,
            candidate: candidate.clone(),
            preference,
            relay: None,
            connected: None,
            retired: false,
        });
        if external.is_empty() {
            self.advertise(candidate, address, config);
        }
        for ip in external {
            self.advertise(host(SocketAddr::new(ip, address.port())), address, config);
        }
        if !listens {
            self.ask_servers(now, address, config);
            self.start_due(now, config, rng);
        }
    }

    /// The addresses of a 1:1 NAT that stand for `address`.
    fn external_forms(&self, address: SocketAddr, config: &Config) -> Vec<IpAddr> {
        match has_external_form(address.ip()) {
            true => config
                .external_ips
                .iter()
                .copied()
                .filter(|ip| ip.is_ipv4() == address.is_ipv4())
                .collect(),
            false => Vec::new(),
        }
    }

    /// Adds the near end of a TCP connection that we have opened. The peer learns it from the checks: nobody could
    /// connect to it.
    pub(crate) fn add_connected(&mut self, path: Path, ip: IpAddr) {
        let position = self.host_ips().iter().position(|known| *known == ip);
        let preference =
            8191u16.saturating_sub(position.and_then(|at| u16::try_from(at).ok()).unwrap_or(8191));
        self.bases.push(Base {
            address: path.local,
            transport: Transport::Tcp,
            candidate: Candidate {
                address: self.told(path.local),
                ..tcp_host(path.local, TcpType::Active, preference, self.salt)
            },
            preference,
            relay: None,
            connected: Some(path.remote),
            retired: false,
        });
    }

    /// The connection has ended.
    pub(crate) fn remove_connected(&mut self, path: Path) {
        self.bases.retain(|base| {
            base.transport != Transport::Tcp
                || base.address != path.local
                || base.connected != Some(path.remote)
        });
    }

    /// Whether anything is sent over TCP.
    pub(crate) fn has_tcp(&self) -> bool {
        self.bases.iter().any(|base| base.transport == Transport::Tcp)
    }

    /// The IP addresses of this host that may be used.
    pub(crate) fn host_ips(&self) -> Vec<IpAddr> {
        let direct = |base: &&Base| base.relay.is_none() && base.connected.is_none();
        let mut ips: Vec<IpAddr> = Vec::new();
        for base in self.bases.iter().filter(direct) {
            if !ips.contains(&base.address.ip()) {
                ips.push(base.address.ip());
            }
        }
        ips
    }

    /// Adds a relayed address. `mapped` is how its server sees us, `server` how it is reached.
    pub(crate) fn add_relayed(
        &mut self,
        relay: RelayId,
        relayed: SocketAddr,
        mapped: Option<SocketAddr>,
        (server, transport): (SocketAddr, Transport),
        config: &Config,
    ) {
        let preference = self.relayed_preference(relayed.ip(), transport);
        // RFC 8445, section 5.1.1.3: one foundation means one server and one protocol to it.
        let salt = self.salt ^ transport as u64;
        let foundation = foundation(Kind::Relayed, relayed.ip(), Some(server.ip()), salt);
        let priority = priority(Kind::Relayed, preference, 1);
        let mut candidate = Candidate::udp(Kind::Relayed, relayed, priority, foundation);
        // RFC 8839, section 5.1: the related address of a relayed candidate is its mapped address. RFC 9429, section
        // 3.5.3 wants nothing told under the policy "relay".
        let hidden = hidden_like(relayed);
        let told = mapped.filter(|_| config.transport_policy == TransportPolicy::All);
        candidate.related = Some(Address::Socket(told.unwrap_or(hidden)));
        self.bases.push(Base {
            address: relayed,
            transport: Transport::Udp,
            candidate: candidate.clone(),
            preference,
            relay: Some(relay),
            connected: None,
            retired: false,
        });
        self.advertise(candidate, relayed, config);
    }

    /// A server has seen datagrams from `base` come from `mapped`.
    pub(crate) fn add_reflexive(
        &mut self,
        base: SocketAddr,
        server: SocketAddr,
        index: u16,
        mapped: SocketAddr,
        config: &Config,
    ) {
        let Some(base) = self
            .base(base, Transport::Udp)
            .filter(|base| base.relay.is_none())
        else {
            return;
        };
        let address = base.address;
        let preference = base.preference.saturating_sub(index);
        let foundation = foundation(Kind::ServerReflexive, address.ip(), Some(server.ip()), self.salt);
        let priority = priority(Kind::ServerReflexive, preference, 1);
        let mut candidate = Candidate::udp(Kind::ServerReflexive, mapped, priority, foundation);
        // RFC 8839, section 9.1: hidden addresses are not to be found here either.
        // The draft on names (section 3.1.2.2) wants the same for hidden ones.
        let tells = config.advertise_hosts && self.names.get(address.ip()).is_none();
        let told = tells.then_some(address);
        candidate.related = Some(Address::Socket(told.unwrap_or_else(|| hidden_like(address))));
        self.advertise(candidate, address, config);
    }

    /// What these relays gave is no part of the generations to come, and what all others gave is.
    pub(crate) fn retire(&mut self, relays: &[RelayId]) {
        for base in &mut self.bases {
            base.retired = base.relay.is_some_and(|relay| relays.contains(&relay));
        }
    }

    /// No other relay is to be had: those that were retired are part of this generation after all. Answers which
    /// addresses these are.
    pub(crate) fn recall(&mut self, config: &Config) -> Vec<Base> {
        let mut relayed = self.bases.iter().filter(|base| base.relay.is_some());
        if !relayed.all(|base| base.retired) {
            return Vec::new();
        }
        self.retire(&[]);
        self.tell_relayed(config)
    }

    /// Tells the relayed addresses that were not told in this generation.
    fn tell_relayed(&mut self, config: &Config) -> Vec<Base> {
        let relayed = self
            .bases
            .iter()
            .filter(|base| base.relay.is_some() && !base.retired);
        let relayed: Vec<Base> = relayed.cloned().collect();
        for base in &relayed {
            self.advertise(base.candidate.clone(), base.address, config);
        }
        relayed
    }

    /// The addresses that a relay gave.
    pub(crate) fn relayed_by(&self, relay: RelayId) -> Vec<SocketAddr> {
        let given = self.bases.iter().filter(|base| base.relay == Some(relay));
        given.map(|base| base.address).collect()
    }

    /// The addresses that other relays gave.
    pub(crate) fn relayed_by_others(&self, relay: Option<RelayId>) -> Vec<SocketAddr> {
        let others = self
            .bases
            .iter()
            .filter(|base| base.relay.is_some() && base.relay != relay);
        others.map(|base| base.address).collect()
    }

    pub(crate) fn remove(&mut self, address: SocketAddr) {
        self.bases.retain(|base| base.address != address);
        self.advertised.retain(|advertised| advertised.base != address);
        self.queries.retain(|query| query.base != address);
        if self.bases.iter().all(|base| base.address.ip() != address.ip()) {
            let name = self.names.remove(address.ip());
            self.name_news.extend(name.map(NameNews::Withdraw));
        }
    }

    /// What the parent has to know of names.
    pub(crate) fn poll_name(&mut self) -> Option<NameNews> {
        self.name_news.pop_front()
    }

    /// No name is used any more.
    pub(crate) fn withdraw_names(&mut self) {
        self.name_news.extend(self.names.take().map(NameNews::Withdraw));
    }

    /// An address of this host as it may be told.
    fn told(&self, address: SocketAddr) -> Address {
        match self.names.get(address.ip()) {
            Some(name) => Address::Name {
                name: name.to_owned(),
                port: address.port(),
            },
            None => Address::Socket(address),
        }
    }

    /// For an ICE restart: the same addresses again, the servers asked again (RFC 8445, section 9).
    pub(crate) fn restart(&mut self, now: Instant, config: &Config, rng: &mut StdRng) {
        self.news.clear();
        self.queries.clear();
        self.advertised
            .retain(|advertised| advertised.candidate.kind == Kind::Host);
        self.news.extend(
            self.advertised
                .iter()
                .map(|advertised| advertised.candidate.clone()),
        );
        self.tell_relayed(config);
        let hosts = self
            .bases
            .iter()
            .filter(|base| base.relay.is_none() && base.transport == Transport::Udp);
        for address in hosts.map(|base| base.address).collect::<Vec<_>>() {
            self.ask_servers(now, address, config);
        }
        self.start_due(now, config, rng);
        if self.state != GatheringState::New {
            self.state = GatheringState::Gathering;
        }
    }

    /// More candidates are to be expected after all.
    pub(crate) fn resume(&mut self) {
        if self.state == GatheringState::Complete {
            self.state = GatheringState::Gathering;
        }
    }

    /// No more questions: the path is chosen, and its consent checks keep the NAT's binding.
    pub(crate) fn stop_asking(&mut self) {
        for query in &mut self.queries {
            query.done = true;
            query.client = None;
        }
    }

    /// The candidate that the peer sees when a check from `base` arrives from `mapped`, if it is one of ours.
    pub(crate) fn by_mapped_address(&self, base: &Base, mapped: SocketAddr) -> Option<&Candidate> {
        let fits = |advertised: &&Advertised| {
            let Advertised { candidate, base: of } = advertised;
            let same_protocol = candidate.protocol == base.candidate.protocol;
            *of == base.address && same_protocol && candidate.address == Address::Socket(mapped)
        };
        self.advertised
            .iter()
            .find(fits)
            .map(|advertised| &advertised.candidate)
    }

    /// RFC 8445, section 7.2.5.3.1: a local peer-reflexive candidate: "The base is the local candidate of the
    /// candidate pair from which the Binding request was sent."
    pub(crate) fn peer_reflexive(&self, base: &Base, mapped: SocketAddr, priority: u32) -> Candidate {
        let foundation = foundation(Kind::PeerReflexive, base.address.ip(), None, self.salt);
        let mut candidate = Candidate::udp(Kind::PeerReflexive, mapped, priority, foundation);
        candidate.related = Some(self.told(base.address));
        let like = &base.candidate;
        (candidate.protocol, candidate.tcp_type) = (like.protocol.clone(), like.tcp_type);
        candidate
    }

    /// Whether a response on this path may be an answer of a STUN server.
    pub(crate) fn is_server(&self, path: Path) -> bool {
        self.queries
            .iter()
            .any(|query| query.base == path.local && query.server == path.remote)
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut, config: &Config) {
        let asked = |query: &&mut Query| query.base == path.local && query.server == path.remote;
        if let Some(client) = self
            .queries
            .iter_mut()
            .find(asked)
            .and_then(|query| query.client.as_mut())
        {
            client.handle_datagram(now, path, data);
        }
        self.collect(config);
    }

    /// Lets time pass; `true` once when gathering is complete, for which the relays must be `settled`.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        settled: bool,
        config: &Config,
        rng: &mut StdRng,
    ) -> bool {
        self.start_due(now, config, rng);
        for client in self.queries.iter_mut().filter_map(|query| query.client.as_mut()) {
            client.handle_timeout(now);
        }
        self.collect(config);
        for query in self.queries.iter_mut().filter(|query| !query.done) {
            if query.starts + config.gathering_timeout <= now {
                (query.done, query.client) = (true, None);
                query.state = ServerState::Failed(ServerError::Timeout(config.gathering_timeout));
                self.failed
                    .push_back(stun_report(query.server, query.state.clone()));
            }
        }
        // Decided here and not in `add`, so that addresses that are added one after the other count as one batch.
        let asked = self.queries.iter().all(|query| query.done) && settled;
        let complete = self.state == GatheringState::Gathering && asked;
        if complete {
            self.state = GatheringState::Complete;
        }
        complete
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let mut clients = self.queries.iter_mut().filter_map(|query| query.client.as_mut());
        clients.find_map(|client| client.poll_transmit(now, out))
    }

    pub(crate) fn poll_candidate(&mut self) -> Option<Candidate> {
        self.news.pop_front()
    }

    pub(crate) fn poll_timeout(&self, now: Instant, settled: bool, config: &Config) -> Option<Instant> {
        let all_done = self.queries.iter().all(|query| query.done) && settled;
        let complete = (self.state == GatheringState::Gathering && all_done).then_some(now);
        let next = self.queries.iter().filter_map(|query| match &query.client {
            Some(client) => client.poll_timeout(),
            None => (!query.done).then_some(query.starts),
        });
        let pending = self.queries.iter().filter(|query| !query.done);
        let deadlines = pending.map(|query| query.again.0.min(query.starts + config.gathering_timeout));
        next.chain(complete).chain(deadlines).min()
    }

    /// RFC 8421, section 4: IPv6 and IPv4 take turns, IPv6 first. Addresses that lead nowhere else come last.
    /// RFC 8445, section 5.1.2.1: the local preference "MUST be unique for each" address.
    fn next_preference(&mut self, ip: IpAddr) -> u16 {
        let (seen, first) = match ip {
            IpAddr::V6(_) => (&mut self.v6_seen, 65_535u16),
            IpAddr::V4(_) => (&mut self.v4_seen, 65_534),
        };
        let index = *seen;
        *seen = seen.saturating_add(1);
        let remote = if ip.is_loopback() || is_link_local(ip) {
            32_768
        } else {
            0
        };
        (first - remote).saturating_sub(index.saturating_mul(2))
    }

    fn next_listener_preference(&self) -> u16 {
        let listeners = self.bases.iter().filter(|base| base.transport == Transport::Tcp);
        8191u16.saturating_sub(u16::try_from(listeners.count()).unwrap_or(u16::MAX))
    }

    /// Among relayed addresses, those that UDP leads to come first: on a connection, a lost segment holds up the
    /// datagrams behind it.
    fn relayed_preference(&self, ip: IpAddr, transport: Transport) -> u16 {
        let class = match transport {
            Transport::Udp => 60_000,
            Transport::Dtls => 40_000,
            Transport::Tcp => 30_000,
            _ => 20_000,
        };
        let same = |base: &&Base| base.relay.is_some() && base.address.is_ipv4() == ip.is_ipv4();
        let index = u16::try_from(self.bases.iter().filter(same).count()).unwrap_or(u16::MAX);
        class + u16::from(ip.is_ipv6()) - index.saturating_mul(2).min(9_000)
    }

    fn advertise(&mut self, candidate: Candidate, base: SocketAddr, config: &Config) {
        let of_host = candidate.address == Address::Socket(base) && candidate.kind == Kind::Host;
        if of_host && !config.advertise_hosts {
            return debug!("ice: {candidate} is not told");
        }
        // RFC 8445, section 5.1.3: "a candidate is redundant if and only if its transport address and base equal
        // those of another candidate"; the peer cares for the address only.
        let known = self
            .candidates()
            .any(|other| other.address == candidate.address && other.protocol == candidate.protocol);
        if known || self.advertised.len() >= config.max_local_candidates {
            debug!("ice: {candidate} is not new, or one too many");
            return;
        }
        debug!("ice: local {candidate}");
        self.news.push_back(candidate.clone());
        self.advertised.push(Advertised { candidate, base });
    }

    fn ask_servers(&mut self, now: Instant, base: SocketAddr, config: &Config) {
        // A loopback or link-local address has no NAT in front of it. RFC 8445, section 5.2: "Lite implementations only
        // utilize host candidates."
        if config.lite || !has_external_form(base.ip()) {
            return;
        }
        let mut starts = self
            .queries
            .iter()
            .map(|query| query.starts + config.pacing)
            .max()
            .unwrap_or(now)
            .max(now);
        for (index, server) in config.stun_servers.iter().enumerate() {
            if server.is_ipv4() == base.is_ipv4() && self.queries.len() < config.max_local_candidates {
                let server_index = u16::try_from(index).unwrap_or(u16::MAX);
                self.queries.push(Query {
                    base,
                    server: *server,
                    server_index,
                    starts,
                    client: None,
                    again: (starts, Duration::ZERO),
                    done: false,
                    state: ServerState::Idle,
                });
                starts += config.pacing;
            }
        }
    }

    fn start_due(&mut self, now: Instant, config: &Config, rng: &mut StdRng) {
        // RFC 8445, section 14.3: "RTO = MAX (500ms, Ta * (Num-Of-Cands))".
        let rto = config
            .initial_rto
            .max(config.pacing.saturating_mul(self.queries.len() as u32));
        for query in &mut self.queries {
            let (again, wait) = query.again;
            if !query.done && again <= now {
                // A transaction sends its fifth request after 7.5 s. On a path that loses a fifth both ways one server in
                // three hundred would be silent to five; so others begin meanwhile, each with twice the time of the last.
                let wait = (wait * 2).max(rto * FIRST_TRANSACTION);
                query.again = (now + wait, wait);
                let mut client = dunlin_stun::Config::new(Path::udp(query.base, query.server));
                client.initial_rto = rto;
                client.refresh = Some(config.keepalive_interval.max(Duration::from_secs(1)));
                let mut seed = [0; 32];
                rng.fill_bytes(&mut seed);
                if query.client.replace(Client::new(client, seed, now)).is_none() {
                    query.state = ServerState::asked();
                }
            }
        }
    }

    /// Turns the servers' answers into candidates.
    fn collect(&mut self, config: &Config) {
        let mut found = Vec::new();
        for query in &mut self.queries {
            while let Some(event) = query.client.as_mut().and_then(Client::poll_event) {
                query.done = true;
                let state = match event {
                    dunlin_stun::Event::MappedAddress(address) => {
                        found.push((query.base, query.server, query.server_index, address));
                        ServerState::Answered {
                            mapped: Some(address),
                            relayed: Vec::new(),
                        }
                    }
                    dunlin_stun::Event::Failed(failure) => {
                        self.failed.push_back(stun_report(
                            query.server,
                            ServerState::Failed(failure.clone().into()),
                        ));
                        ServerState::Failed(failure.into())
                    }
                    _ => continue,
                };
                query.state = state;
            }
        }
        for (base, server, index, mapped) in found {
            self.add_reflexive(base, server, index, mapped, config);
        }
    }

    /// The system says that the server's host has nobody at this UDP port.
    pub(crate) fn refused(&mut self, server: SocketAddr) {
        let mut waiting = self
            .queries
            .iter_mut()
            .filter(|query| query.server == server && !query.done);
        if waiting.by_ref().map(Query::refuse).count() > 0 {
            let state = ServerState::Failed(ServerError::PortUnreachable);
            self.failed.push_back(stun_report(server, state));
        }
    }

    /// A STUN server has failed.
    pub(crate) fn poll_failed(&mut self) -> Option<ServerReport> {
        self.failed.pop_front()
    }

    /// What became of each STUN server: of several bases that asked it, the luckiest counts.
    pub(crate) fn reports(&self, now: Instant, config: &Config) -> Vec<ServerReport> {
        let rank = |state: &ServerState| match state {
            ServerState::Idle => 0,
            ServerState::Failed(_) => 1,
            ServerState::Asked { .. } => 2,
            ServerState::Answered { .. } => 3,
        };
        let of = |server: &SocketAddr| {
            let asked = self.queries.iter().filter(|query| query.server == *server);
            let best = asked.max_by_key(|query| rank(&query.state));
            match best {
                Some(query) if matches!(query.state, ServerState::Asked { .. }) => ServerState::Asked {
                    waited: now.saturating_duration_since(query.starts),
                    connected: false,
                },
                Some(query) => query.state.clone(),
                None => ServerState::Idle,
            }
        };
        let servers = config.stun_servers.iter();
        servers.map(|server| stun_report(*server, of(server))).collect()
    }
}

fn stun_report(server: SocketAddr, state: ServerState) -> ServerReport {
    ServerReport {
        url: format!("stun:{server}"),
        address: Some(server),
        transport: Transport::Udp,
        relays: false,
        state,
    }
}

/// What stands for an address that is not told (RFC 8839, section 9.1).
fn hidden_like(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 9)),
        SocketAddr::V6(_) => SocketAddr::from(([0u16; 8], 9)),
    }
}

fn udp_host(address: SocketAddr, preference: u16, salt: u64) -> Candidate {
    let foundation = foundation(Kind::Host, address.ip(), None, salt);
    let priority = priority(Kind::Host, preference, 1);
    Candidate::udp(Kind::Host, address, priority, foundation)
}

/// A host candidate over TCP. RFC 8445, section 5.1.1.3: another protocol, another foundation.
fn tcp_host(address: SocketAddr, tcp_type: TcpType, preference: u16, salt: u64) -> Candidate {
    let foundation = foundation(Kind::Host, address.ip(), None, salt ^ (1 + tcp_type as u64));
    let priority = tcp_priority(Kind::Host, tcp_type, preference, 1);
    let mut candidate = Candidate::udp(Kind::Host, address, priority, foundation);
    (candidate.protocol, candidate.tcp_type) = (Protocol::Tcp, Some(tcp_type));
    candidate
}

/// Whether an address may look different from outside.
fn has_external_form(ip: IpAddr) -> bool {
    !ip.is_loopback() && !is_link_local(ip)
}
