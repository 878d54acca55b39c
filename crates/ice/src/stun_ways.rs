//! STUN servers that are reached over TCP, TLS or DTLS (RFC 8489, section 6.2.2; RFC 7350): the parent opens a way, one
//! question is asked, and the way is closed.
//!
//! What such a server sees is the way to it, which carries nothing else: there is no candidate in the answer. It shows
//! that the server is there, that the way is open, and by which address this host is known.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};
use dunlin_stun::{Client, Event};
use rand::Rng;
use rand::rngs::StdRng;

use crate::config::Config;
use crate::relay::{News, OpenPath, RelayId};
use crate::server::{ServerError, ServerReport, ServerState, StunServer};

/// A way to a server, being opened as long as there is no client.
#[derive(Debug)]
struct Way {
    id: RelayId,
    /// Its server, in [`StunWays::servers`].
    server: usize,
    since: Instant,
    client: Option<Client>,
}

/// All such servers and what they said.
#[derive(Debug)]
pub(crate) struct StunWays {
    servers: Vec<(StunServer, ServerState)>,
    ways: Vec<Way>,
    next_id: u32,
    news: VecDeque<News>,
}

impl StunWays {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            servers: listed(config),
            ways: Vec::new(),
            next_id: 0,
            news: VecDeque::new(),
        }
    }

    /// Other servers are to be asked; what was asked of those of before is not waited for.
    pub(crate) fn set_servers(&mut self, config: &Config) {
        self.abandon();
        self.servers = listed(config);
    }

    /// Whether no way is open or being opened: then everything here is free.
    pub(crate) fn is_settled(&self) -> bool {
        self.ways.is_empty()
    }

    /// Asks every server that was not asked.
    pub(crate) fn gather(&mut self, now: Instant) {
        for (index, (server, state)) in self.servers.iter_mut().enumerate() {
            if *state != ServerState::Idle {
                continue;
            }
            *state = ServerState::asked();
            let id = RelayId::of_stun(self.next_id);
            self.next_id += 1;
            self.news.push_back(News::Open(OpenPath {
                id,
                server: server.address,
                transport: server.transport,
                name: server.name.clone(),
                peer_from: None,
                another: false,
            }));
            self.ways.push(Way {
                id,
                server: index,
                since: now,
                client: None,
            });
        }
    }

    /// For a restart: the servers are asked again, but for those that are being asked.
    pub(crate) fn forget_answers(&mut self) {
        for (index, (_, state)) in self.servers.iter_mut().enumerate() {
            if !self.ways.iter().any(|way| way.server == index) {
                *state = ServerState::Idle;
            }
        }
    }

    /// The parent has opened a way.
    pub(crate) fn path_opened(&mut self, now: Instant, id: RelayId, path: Path, rng: &mut StdRng) {
        let opening = |way: &&mut Way| way.id == id && way.client.is_none();
        let Some(way) = self.ways.iter_mut().find(opening) else {
            // It is not needed any more.
            return self.news.push_back(News::Close(path));
        };
        let mut config = dunlin_stun::Config::new(path);
        config.refresh = None;
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        way.client = Some(Client::new(config, seed, now));
    }

    /// The parent could not open a way, or lost it.
    pub(crate) fn path_failed(&mut self, id: RelayId, error: ServerError) {
        if let Some(index) = self.ways.iter().position(|way| way.id == id) {
            self.end(index, ServerState::Failed(error));
        }
    }

    pub(crate) fn by_path(&self, path: Path) -> Option<RelayId> {
        let uses = |way: &&Way| way.path() == Some(path);
        self.ways.iter().find(uses).map(|way| way.id)
    }

    /// Takes a message from a way; hands back what came by another.
    pub(crate) fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) -> Option<BytesMut> {
        let uses = |way: &&mut Way| way.path() == Some(path);
        let way = self.ways.iter_mut().find(uses);
        let Some(client) = way.and_then(|way| way.client.as_mut()) else {
            return Some(data);
        };
        client.handle_datagram(now, path, data);
        None
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, config: &Config) {
        for client in self.ways.iter_mut().filter_map(|way| way.client.as_mut()) {
            client.handle_timeout(now);
        }
        let late = |way: &Way| way.since + config.gathering_timeout <= now;
        while let Some(index) = self.ways.iter().position(late) {
            let error = ServerError::Timeout(config.gathering_timeout);
            self.end(index, ServerState::Failed(error));
        }
    }

    pub(crate) fn poll_timeout(&self, config: &Config) -> Option<Instant> {
        let deadlines = self.ways.iter().map(|way| way.since + config.gathering_timeout);
        let clients = self.ways.iter().filter_map(|way| way.client.as_ref());
        clients.filter_map(Client::poll_timeout).chain(deadlines).min()
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let mut clients = self.ways.iter_mut().filter_map(|way| way.client.as_mut());
        clients.find_map(|client| client.poll_transmit(now, out))
    }

    /// What has happened since the last call.
    pub(crate) fn poll_news(&mut self) -> Option<News> {
        for index in 0..self.ways.len() {
            let client = self.ways.get_mut(index).and_then(|way| way.client.as_mut());
            let state = match client.and_then(Client::poll_event) {
                Some(Event::MappedAddress(mapped)) => ServerState::Answered {
                    mapped: Some(mapped),
                    relayed: Vec::new(),
                },
                Some(Event::Failed(failure)) => ServerState::Failed(failure.into()),
                _ => continue,
            };
            self.end(index, state);
            break;
        }
        self.news.pop_front()
    }

    fn end(&mut self, index: usize, state: ServerState) {
        let way = self.ways.remove(index);
        if let Some(path) = way.path() {
            self.news.push_back(News::Close(path));
        }
        let (server, old) = &mut self.servers[way.server];
        *old = state;
        if matches!(old, ServerState::Failed(_)) {
            self.news.push_back(News::Failed(report(server, old.clone())));
        }
    }

    /// Nobody waits for answers any more.
    pub(crate) fn abandon(&mut self) {
        while !self.ways.is_empty() {
            self.end(0, ServerState::Idle);
        }
    }

    pub(crate) fn reports(&self, now: Instant) -> impl Iterator<Item = ServerReport> {
        self.servers
            .iter()
            .enumerate()
            .map(move |(index, (server, state))| {
                let way = self.ways.iter().find(|way| way.server == index);
                let state = match way {
                    Some(way) => ServerState::Asked {
                        waited: now.saturating_duration_since(way.since),
                        connected: way.client.is_some(),
                    },
                    None => state.clone(),
                };
                report(server, state)
            })
    }
}

impl Way {
    fn path(&self) -> Option<Path> {
        self.client.as_ref().map(|client| client.path())
    }
}

/// The servers of the configuration that are asked.
fn listed(config: &Config) -> Vec<(StunServer, ServerState)> {
    let asked = config.stun_ways.iter().take(config.max_turn_servers);
    asked.map(|server| (server.clone(), ServerState::Idle)).collect()
}

fn report(server: &StunServer, state: ServerState) -> ServerReport {
    ServerReport {
        url: server.url.clone(),
        address: Some(server.address),
        transport: server.transport,
        relays: false,
        state,
    }
}
