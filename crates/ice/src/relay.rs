//! TURN clients (RFC 8656), one per server, and the ways to the servers, which the parent opens.
//!
//! A way is a path: for UDP a socket, for TCP and TLS a connection, of which the parent hands over whole messages
//! (see [`StreamFrames`](crate::StreamFrames)). To the rest of the agent a relayed address is a base like any other:
//! pairs are made of it and the peer's address, and only here do their datagrams get the relay's framing.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::{Path, Transmit, Transport};
use dunlin_turn::client::{Allocated, Event, Failure, PeerError, Received};
use dunlin_turn::{Client, Frames};
use log::{debug, info};
use rand::Rng;
use rand::rngs::StdRng;

use crate::config::Config;
use crate::server::{ServerError, ServerReport, ServerState, TurnServer};

/// Cuts a stream from a TURN server into the messages that `handle_datagram` takes.
pub type StreamFrames = Frames;

/// How often a server may send us to another one (300).
const MAX_REDIRECTS: u8 = 2;

/// What a record of DTLS adds to a message: header, explicit nonce and tag of version 1.2 (RFC 6347, section 4.1; RFC
/// 5288, section 3), which is the most.
const DTLS_RECORD: usize = 13 + 8 + 16;

/// A way to a TURN server, or a connection to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId(u32);

impl RelayId {
    /// Names of connections to the peer are apart from those of ways to servers.
    pub(crate) fn of_tcp(number: u32) -> Self {
        Self(number | Self::TCP)
    }

    pub(crate) fn is_tcp(self) -> bool {
        self.0 & Self::TCP != 0
    }

    /// Names of ways to STUN servers are apart from both.
    pub(crate) fn of_stun(number: u32) -> Self {
        Self(number | Self::STUN)
    }

    pub(crate) fn is_stun(self) -> bool {
        self.0 & Self::STUN != 0
    }

    const TCP: u32 = 1 << 31;
    const STUN: u32 = 1 << 30;
}

/// A way to a TURN server, or a connection to the peer, that the agent wants opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenPath {
    /// Its name for the answer.
    pub id: RelayId,
    /// Where it leads.
    pub server: SocketAddr,
    /// UDP: any socket will do that no other agent uses with this server. TCP, TLS, DTLS: a connection.
    pub transport: Transport,
    /// The name to ask for and to find in the certificate, over TLS and DTLS. `None`: the address.
    pub name: Option<String>,
    /// A connection to the peer (RFC 6544), from this address: what arrives is cut out with
    /// [`TcpFrames`](crate::TcpFrames). `None`: to a TURN server.
    pub peer_from: Option<IpAddr>,
    /// This agent has another allocation of that server, so over UDP it takes a socket that is not used with it: there
    /// is one allocation per 5-tuple (RFC 8656, section 5).
    pub another: bool,
}

/// What a relay has to tell the agent.
#[derive(Debug)]
pub(crate) enum News {
    Open(OpenPath),
    Close(Path),
    Allocated(RelayId, Path, Allocated),
    Permitted(RelayId, IpAddr),
    Refused(RelayId, IpAddr, u16),
    Ended(RelayId),
    Failed(ServerReport),
}

#[derive(Debug)]
enum Stage {
    /// The parent opens the way.
    Opening,
    /// The server was asked.
    Asking(Box<Client>),
    /// It relays for us.
    Active(Box<Client>),
    /// It is being given back.
    Leaving(Box<Client>),
}

/// A way to a server and the client at its end.
#[derive(Debug)]
struct Relay {
    id: RelayId,
    /// Its server, in [`Relays::servers`].
    server: usize,
    /// Where it is: another place than the server's after a redirection.
    target: SocketAddr,
    name: Option<String>,
    redirects: u8,
    stage: Stage,
    /// Since when there is something to wait for.
    since: Instant,
}

impl Relay {
    fn client(&self) -> Option<&Client> {
        match &self.stage {
            Stage::Opening => None,
            Stage::Asking(client) | Stage::Active(client) | Stage::Leaving(client) => Some(client),
        }
    }

    fn client_mut(&mut self) -> Option<&mut Client> {
        match &mut self.stage {
            Stage::Opening => None,
            Stage::Asking(client) | Stage::Active(client) | Stage::Leaving(client) => Some(client),
        }
    }

    fn uses(&self, path: Path) -> bool {
        self.client().is_some_and(|client| client.path() == path)
    }

    fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving(_))
    }

    fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Opening | Stage::Asking(_))
    }
}

/// All TURN servers and what they do for us.
#[derive(Debug)]
pub(crate) struct Relays {
    servers: Vec<(TurnServer, ServerState)>,
    /// So many of them, from the first, are to be asked. The others were, and relay for us still.
    listed: usize,
    table: Vec<Relay>,
    next_id: u32,
    news: VecDeque<News>,
    /// The last words of clients that are gone.
    farewells: VecDeque<(Transmit, Vec<u8>)>,
    initial_rto: std::time::Duration,
}

impl Relays {
    pub(crate) fn new(config: &Config) -> Self {
        let servers = listed(config);
        Self {
            listed: servers.len(),
            servers,
            table: Vec::new(),
            next_id: 0,
            news: VecDeque::new(),
            farewells: VecDeque::new(),
            initial_rto: config.initial_rto,
        }
    }

    /// Whether there are none: then everything here is free.
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Other servers are to be asked from now on. An allocation that one gave us which is not among them, or was with other
    /// credentials, stays for as long as it is needed. Answers which relays these are.
    pub(crate) fn set_servers(&mut self, config: &Config) -> Vec<RelayId> {
        let before = std::mem::replace(&mut self.servers, listed(config));
        self.listed = self.servers.len();
        let mut places = Vec::with_capacity(before.len());
        for (old, (server, state)) in before.into_iter().enumerate() {
            let place = self.servers.iter().position(|(known, _)| *known == server);
            let place = place.unwrap_or(self.servers.len());
            if let Some((_, fresh)) = self.servers.get_mut(place) {
                if !matches!(state, ServerState::Failed(ServerError::TooMany(_))) {
                    *fresh = state;
                }
            } else if self.table.iter().any(|relay| relay.server == old) {
                self.servers.push((server, state));
            }
            places.push(place);
        }
        for relay in &mut self.table {
            relay.server = places[relay.server];
        }
        let unlisted = self.table.iter().filter(|relay| relay.server >= self.listed);
        unlisted.map(|relay| relay.id).collect()
    }

    /// Servers that failed, or whose allocation was given back, may be asked again.
    pub(crate) fn forget_failures(&mut self) {
        for (index, (_, state)) in self.servers.iter_mut().enumerate() {
            if !uses(&self.table, index) && !matches!(state, ServerState::Failed(ServerError::TooMany(_))) {
                *state = ServerState::Idle;
            }
        }
    }

    /// Asks every server that was not asked.
    pub(crate) fn gather(&mut self, now: Instant) {
        for index in 0..self.listed {
            let (server, state) = &self.servers[index];
            if *state != ServerState::Idle {
                continue;
            }
            let (target, name) = (server.address, server.name.clone());
            self.servers[index].1 = ServerState::asked();
            self.open(index, target, name, 0, now);
        }
    }

    fn open(
        &mut self,
        server: usize,
        target: SocketAddr,
        name: Option<String>,
        redirects: u8,
        since: Instant,
    ) {
        let id = RelayId(self.next_id);
        self.next_id += 1;
        let transport = self.servers[server].0.transport;
        let same = |relay: &Relay| {
            !relay.is_leaving()
                && relay.target == target
                && self.servers[relay.server].0.transport == transport
        };
        self.news.push_back(News::Open(OpenPath {
            id,
            server: target,
            transport,
            name: name.clone(),
            peer_from: None,
            another: self.table.iter().any(same),
        }));
        self.table.push(Relay {
            id,
            server,
            target,
            name,
            redirects,
            stage: Stage::Opening,
            since,
        });
    }

    /// The parent has opened a way.
    pub(crate) fn path_opened(&mut self, now: Instant, id: RelayId, path: Path, rng: &mut StdRng) {
        let opening = |relay: &Relay| relay.id == id && matches!(relay.stage, Stage::Opening);
        let Some(index) = self.table.iter().position(opening) else {
            // It is not needed any more.
            return self.news.push_back(News::Close(path));
        };
        let server = &self.servers[self.table[index].server].0;
        if let Some(other) = self
            .table
            .iter()
            .position(|relay| relay.uses(path) && relay.is_leaving())
        {
            // It would have been back a moment later.
            let gone = self.table.remove(other);
            self.news.push_back(News::Ended(gone.id));
            return self.path_opened(now, id, path, rng);
        }
        if self.by_path(path).is_some() {
            // RFC 8656, section 5: there is one allocation per 5-tuple.
            return self.fail(index, ServerError::Turn(Failure::AddressInUse));
        }
        let mut config = dunlin_turn::client::Config::new(path, server.credentials.clone());
        config.initial_rto = self.initial_rto;
        // RFC 8656, section 7.1: one request for both families; a server that knows no IPv6 ignores the wish.
        config.additional_ipv6 = true;
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        info!("ice: asking the TURN server {} over {path}", server.url);
        self.table[index].stage = Stage::Asking(Box::new(Client::new(config, seed, now)));
    }

    /// The parent could not open a way, or lost it.
    pub(crate) fn path_failed(&mut self, id: RelayId, error: ServerError) {
        if let Some(index) = self.table.iter().position(|relay| relay.id == id) {
            self.fail(index, error);
        }
    }

    /// The relay whose way this is.
    pub(crate) fn by_path(&self, path: Path) -> Option<RelayId> {
        self.table
            .iter()
            .find(|relay| relay.uses(path))
            .map(|relay| relay.id)
    }

    /// The relays whose way leaves from this address.
    pub(crate) fn leaving_from(&self, address: SocketAddr) -> Vec<RelayId> {
        let uses = |relay: &&Relay| {
            relay.client().is_some_and(|client| {
                client.path().local == address && client.path().transport == Transport::Udp
            })
        };
        self.table.iter().filter(uses).map(|relay| relay.id).collect()
    }

    /// Takes a message from a way; says whose data it holds, as if it had come to the relayed address.
    pub(crate) fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) -> FromRelay {
        let uses = |client: &&mut Client| client.path() == path;
        let mut clients = self.table.iter_mut().filter_map(Relay::client_mut);
        let Some(client) = clients.find(uses) else {
            return FromRelay::NotOurs(data);
        };
        match client.handle_datagram(now, path, data) {
            Received::Consumed => FromRelay::Consumed,
            Received::NotOurs(data) => FromRelay::NotOurs(data),
            Received::Relayed { peer, data } => {
                let relayed = client
                    .relayed_addresses()
                    .find(|relayed| relayed.is_ipv4() == peer.is_ipv4());
                match relayed {
                    Some(relayed) => FromRelay::Data(Path::udp(relayed, peer), data),
                    None => FromRelay::Consumed,
                }
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, config: &Config) {
        for client in self.table.iter_mut().filter_map(Relay::client_mut) {
            client.handle_timeout(now);
        }
        let late = |relay: &Relay| relay.is_pending() && relay.since + config.gathering_timeout <= now;
        while let Some(index) = self.table.iter().position(late) {
            self.fail(index, ServerError::Timeout(config.gathering_timeout));
        }
    }

    /// The system says that the server's host has nobody at this UDP port.
    pub(crate) fn refused(&mut self, server: SocketAddr) {
        let fits = |relay: &Relay, servers: &[(TurnServer, ServerState)]| {
            let over_udp = servers[relay.server].0.transport == Transport::Udp;
            over_udp && relay.target == server && relay.is_pending()
        };
        while let Some(index) = self.table.iter().position(|relay| fits(relay, &self.servers)) {
            self.fail(index, ServerError::PortUnreachable);
        }
    }

    pub(crate) fn poll_timeout(&self, config: &Config) -> Option<Instant> {
        let pending = self.table.iter().filter(|relay| relay.is_pending());
        let deadlines = pending.map(|relay| relay.since + config.gathering_timeout);
        let clients = self.table.iter().filter_map(Relay::client);
        clients.filter_map(Client::poll_timeout).chain(deadlines).min()
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if let Some((transmit, bytes)) = self.farewells.pop_front() {
            out.extend_from_slice(&bytes);
            return Some(transmit);
        }
        let mut clients = self.table.iter_mut().filter_map(Relay::client_mut);
        clients.find_map(|client| client.poll_transmit(now, out))
    }

    pub(crate) fn has_farewells(&self) -> bool {
        !self.farewells.is_empty()
    }

    /// What has happened since the last call.
    pub(crate) fn poll_news(&mut self, now: Instant) -> Option<News> {
        if self.news.is_empty() {
            for index in 0..self.table.len() {
                let Some(event) = self.table[index].client_mut().and_then(Client::poll_event) else {
                    continue;
                };
                self.on_client_event(now, index, event);
                break;
            }
        }
        self.news.pop_front()
    }

    fn on_client_event(&mut self, now: Instant, index: usize, event: Event) {
        let relay = &mut self.table[index];
        let id = relay.id;
        let leaving = relay.is_leaving();
        match event {
            Event::Closed(_) if leaving => self.end(index),
            Event::Allocated(allocated) => {
                relay.stage = match std::mem::replace(&mut relay.stage, Stage::Opening) {
                    Stage::Asking(client) => {
                        self.servers[relay.server].1 = ServerState::Answered {
                            mapped: allocated.mapped,
                            relayed: std::iter::once(allocated.relayed)
                                .chain(allocated.additional)
                                .collect(),
                        };
                        self.news.push_back(News::Allocated(id, client.path(), allocated));
                        Stage::Active(client)
                    }
                    other => other,
                };
            }
            Event::Permitted(ip) => self.news.push_back(News::Permitted(id, ip)),
            Event::PermissionRefused { peer, code } => self.news.push_back(News::Refused(id, peer, code)),
            Event::Closed(Failure::Released) => self.end(index),
            Event::Closed(Failure::Redirected { server, domain }) if relay.redirects < MAX_REDIRECTS => {
                info!("ice: a TURN server sends us to {server}");
                let (of, redirects) = (relay.server, relay.redirects + 1);
                let name = domain.or_else(|| relay.name.clone());
                self.end(index);
                self.open(of, server, name, redirects, now);
            }
            Event::Closed(failure) => self.fail(index, failure.into()),
            other => debug!("ice: {other:?}"),
        }
    }

    /// The server gives nothing (any more).
    fn fail(&mut self, index: usize, error: ServerError) {
        let (server, state) = &mut self.servers[self.table[index].server];
        info!("ice: {}: {error}", server.url);
        *state = ServerState::Failed(error);
        let report = report(server, state);
        self.end(index);
        self.news.push_back(News::Failed(report));
    }

    fn end(&mut self, index: usize) {
        let relay = self.table.remove(index);
        self.news.push_back(News::Ended(relay.id));
        if let Some(client) = relay.client() {
            self.news.push_back(News::Close(client.path()));
        }
    }

    /// Gives back what nobody needs any more: allocations that `keep` does not name, and those not made yet.
    pub(crate) fn release_all_but(&mut self, keep: Option<RelayId>) {
        let mut index = 0;
        while let Some(relay) = self.table.get_mut(index) {
            if Some(relay.id) == keep {
                index += 1;
                continue;
            }
            match std::mem::replace(&mut relay.stage, Stage::Opening) {
                // The parent's answer will find nobody, and the way is closed then.
                Stage::Opening => {
                    self.servers[relay.server].1 = ServerState::Idle;
                    self.end(index);
                }
                Stage::Asking(mut client) | Stage::Active(mut client) => {
                    client.close();
                    let state = &mut self.servers[relay.server].1;
                    if matches!(state, ServerState::Asked { .. }) {
                        *state = ServerState::Idle;
                    }
                    relay.stage = Stage::Leaving(client);
                    index += 1;
                }
                leaving @ Stage::Leaving(_) => {
                    relay.stage = leaving;
                    index += 1;
                }
            }
        }
    }

    /// Gives everything back without waiting for answers: an allocation whose release is lost expires by itself.
    pub(crate) fn abandon(&mut self, now: Instant) {
        self.release_all_but(None);
        for relay in &mut self.table {
            let Some(client) = relay.client_mut() else {
                continue;
            };
            let mut bytes = Vec::new();
            while let Some(transmit) = client.poll_transmit(now, &mut bytes) {
                self.farewells.push_back((transmit, std::mem::take(&mut bytes)));
            }
        }
        while !self.table.is_empty() {
            self.end(0);
        }
    }

    /// Whether all servers have answered, or will not.
    pub(crate) fn are_settled(&self) -> bool {
        !self.table.iter().any(Relay::is_pending)
    }

    fn active(&mut self, id: RelayId) -> Option<&mut Client> {
        let relay = self.table.iter_mut().find(|relay| relay.id == id)?;
        match &mut relay.stage {
            Stage::Active(client) => Some(client),
            _ => None,
        }
    }

    /// Appends data for a peer with the relay's framing.
    pub(crate) fn send(
        &mut self,
        id: RelayId,
        out: &mut Vec<u8>,
        peer: SocketAddr,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> Option<Transmit> {
        self.active(id)?.send(out, peer, write)
    }

    /// Whether [`send`](Self::send) would send: there is a channel, or at least a permission.
    pub(crate) fn can_send(&self, id: RelayId, peer: SocketAddr) -> bool {
        let relay = self.table.iter().find(|relay| relay.id == id);
        relay.is_some_and(|relay| match &relay.stage {
            Stage::Active(client) => client.is_bound(peer) || client.is_permitted(peer.ip()),
            _ => false,
        })
    }

    /// Wants a permission for this address; whether it is there already.
    pub(crate) fn permit(&mut self, now: Instant, id: RelayId, peer: IpAddr) -> Result<bool, PeerError> {
        let client = self.active(id).ok_or(PeerError::Closed)?;
        client.permit(now, peer)?;
        Ok(client.is_permitted(peer))
    }

    /// Wants a channel, so that data has four bytes of framing.
    pub(crate) fn bind(&mut self, now: Instant, id: RelayId, peer: SocketAddr) {
        if let Some(client) = self.active(id)
            && let Err(error) = client.bind(now, peer)
        {
            debug!("ice: no channel to {peer}: {error}");
        }
    }

    /// Lets the permission for this address expire.
    pub(crate) fn forget(&mut self, id: RelayId, peer: IpAddr) {
        if let Some(client) = self.active(id) {
            client.forget(peer);
        }
    }

    /// Bytes of framing for this peer.
    pub(crate) fn overhead(&self, id: RelayId, peer: SocketAddr) -> usize {
        let relay = self.table.iter().find(|relay| relay.id == id);
        relay.and_then(Relay::client).map_or(0, |client| {
            let record = match client.path().transport {
                Transport::Dtls => DTLS_RECORD,
                _ => 0,
            };
            client.overhead(peer) + record
        })
    }

    /// The way to the server.
    pub(crate) fn path(&self, id: RelayId) -> Option<Path> {
        let relay = self.table.iter().find(|relay| relay.id == id)?;
        relay.client().map(Client::path)
    }

    /// What servers see of the ways to them: the way's local end, the server, and how it sees us.
    pub(crate) fn mapped(&self) -> Vec<(SocketAddr, SocketAddr, SocketAddr)> {
        let active = self
            .table
            .iter()
            .filter(|relay| matches!(relay.stage, Stage::Active(_)));
        let told = active.filter_map(|relay| match &self.servers[relay.server].1 {
            ServerState::Answered {
                mapped: Some(mapped), ..
            } => Some((relay.client()?.path().local, relay.target, *mapped)),
            _ => None,
        });
        told.collect()
    }

    /// What the server is reached by, and where it is.
    pub(crate) fn server(&self, id: RelayId) -> Option<(SocketAddr, Transport)> {
        let relay = self.table.iter().find(|relay| relay.id == id)?;
        Some((relay.target, self.servers[relay.server].0.transport))
    }

    pub(crate) fn reports(&self, now: Instant) -> impl Iterator<Item = ServerReport> {
        self.servers
            .iter()
            .enumerate()
            .filter(|(index, _)| *index < self.listed || uses(&self.table, *index))
            .map(move |(index, (server, state))| {
                let waits = |relay: &&Relay| relay.server == index && relay.is_pending();
                match self.table.iter().find(waits) {
                    Some(relay) => {
                        let asked = ServerState::Asked {
                            waited: now.saturating_duration_since(relay.since),
                            connected: relay.client().is_some(),
                        };
                        report(server, &asked)
                    }
                    None => report(server, state),
                }
            })
    }
}

/// Whether a server relays for us, or was asked to.
fn uses(table: &[Relay], server: usize) -> bool {
    let of = |relay: &Relay| relay.server == server && !relay.is_leaving();
    table.iter().any(of)
}

/// The servers of the configuration; those beyond the limit are not asked.
fn listed(config: &Config) -> Vec<(TurnServer, ServerState)> {
    let servers = config.turn_servers.iter().enumerate().map(|(index, server)| {
        let state = match index < config.max_turn_servers {
            true => ServerState::Idle,
            false => ServerState::Failed(ServerError::TooMany(config.max_turn_servers)),
        };
        (server.clone(), state)
    });
    servers.collect()
}

fn report(server: &TurnServer, state: &ServerState) -> ServerReport {
    ServerReport {
        url: server.url.clone(),
        address: Some(server.address),
        transport: server.transport,
        relays: true,
        state: state.clone(),
    }
}

/// What a message from a TURN server was.
#[derive(Debug)]
pub(crate) enum FromRelay {
    /// The client's own business.
    Consumed,
    /// A datagram that came to a relayed address.
    Data(Path, BytesMut),
    /// Something else on the same path.
    NotOurs(BytesMut),
}
