//! What follows from the relays for the agent: bases, pairs and permissions that come and go, and what the parent
//! says about the ways to the servers.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use dunlin_net::{Path, Transport};
use dunlin_turn::client::Allocated;

use crate::agent::{Agent, Route};
use crate::event::{Event, State};
use crate::pair::{Outcome, PairId};
use crate::relay::{News, RelayId};
use crate::report::FailureReason;
use crate::server::{ServerError, ServerReport, Servers, TransportPolicy};

impl Agent {
    /// The parent has opened the way that [`Event::OpenPath`] asked for. What comes over `path` goes to
    /// [`handle_datagram`](Self::handle_datagram) from now on.
    pub fn relay_path_opened(&mut self, now: Instant, id: RelayId, path: Path) {
        self.now = self.now.max(now);
        if id.is_tcp() {
            self.tcp_opened(id, path);
        } else if id.is_stun() {
            self.stun_ways.path_opened(self.now, id, path, &mut self.rng);
        } else {
            self.relays.path_opened(self.now, id, path, &mut self.rng);
        }
        self.after_relays();
    }

    /// The parent could not open the way that [`Event::OpenPath`] asked for.
    pub fn relay_path_failed(&mut self, now: Instant, id: RelayId, error: ServerError) {
        self.now = self.now.max(now);
        if id.is_tcp() {
            self.tcp_failed(id);
        } else if id.is_stun() {
            self.stun_ways.path_failed(id, error);
        } else {
            self.relays.path_failed(id, error);
        }
        self.after_relays();
    }

    /// The connection of this path has ended, and with it the allocation, or the pair.
    pub fn relay_path_lost(&mut self, now: Instant, path: Path, error: ServerError) {
        self.now = self.now.max(now);
        if let Some(id) = self.relays.by_path(path) {
            self.relays.path_failed(id, error);
        } else if let Some(id) = self.stun_ways.by_path(path) {
            self.stun_ways.path_failed(id, error);
        } else if path.transport == Transport::Tcp {
            self.tcp_lost(path);
        }
        self.after_relays();
    }

    /// The parent has learned that nobody listens at this UDP port: the server's host said so (ICMP). The servers that
    /// are asked there, and have not answered, have failed. RFC 8489, section 6.2.1: "A STUN transaction over UDP [...]
    /// is also considered failed if there has been a hard ICMP error".
    pub fn server_port_unreachable(&mut self, now: Instant, server: SocketAddr) {
        self.now = self.now.max(now);
        self.gatherer.refused(server);
        self.relays.refused(server);
        self.after_relays();
    }

    /// What became of each STUN and TURN server.
    #[must_use]
    pub fn server_reports(&self) -> Vec<ServerReport> {
        self.server_reports_at(self.now)
    }

    /// The same, with the time that passed since the last call of anything.
    pub(crate) fn server_reports_at(&self, now: Instant) -> Vec<ServerReport> {
        let mut reports = self.config.failed_servers.clone();
        reports.extend(self.gatherer.reports(now, &self.config));
        reports.extend(self.stun_ways.reports(now));
        reports.extend(self.relays.reports(now));
        reports
    }

    /// Other STUN and TURN servers, from the next gathering on, which is that of a restart, or the first. An allocation of a
    /// server that is not among them, or has other credentials there, carries on what it carries until another path is
    /// chosen; it has no part in the restart unless the new servers give nothing.
    pub fn set_servers(&mut self, now: Instant, servers: Servers) {
        self.now = self.now.max(now);
        self.config.stun_servers = servers.stun;
        self.config.stun_ways = servers.stun_ways;
        self.config.turn_servers = servers.turn;
        self.config.failed_servers = servers.failed;
        self.stun_ways.set_servers(&self.config);
        let unlisted = self.relays.set_servers(&self.config);
        self.gatherer.retire(&unlisted);
        self.pump_relays();
    }

    /// Asks the servers that ways lead to.
    pub(crate) fn gather_by_ways(&mut self) {
        self.relays.gather(self.now);
        // With the policy "relay" nobody is asked how this host looks, as over UDP.
        if self.config.transport_policy == TransportPolicy::All {
            self.stun_ways.gather(self.now);
        }
    }

    /// Whether they have answered, or will not.
    pub(crate) fn are_ways_settled(&self) -> bool {
        self.relays.are_settled() && self.stun_ways.is_settled()
    }

    fn after_relays(&mut self) {
        match self.state {
            State::Closed | State::Failed => self.pump_relays(),
            _ => self.pump(),
        }
    }

    /// Takes what the relays have to tell.
    pub(crate) fn pump_relays(&mut self) {
        while let Some(news) = self
            .relays
            .poll_news(self.now)
            .or_else(|| self.stun_ways.poll_news())
        {
            match news {
                News::Open(open) => self.push_event(Event::OpenPath(open)),
                News::Close(path) => self.push_event(Event::ClosePath(path)),
                News::Failed(report) => {
                    self.push_event(Event::ServerFailed(report));
                    self.recall_relays();
                }
                News::Allocated(id, path, allocated) => self.on_allocated(id, path, &allocated),
                News::Permitted(id, peer) => {
                    self.await_direct_check();
                    for pair in self.pairs_through(id, peer) {
                        if let Some(pair) = self.list.get_mut(pair) {
                            pair.needs_permission = false;
                        }
                    }
                }
                News::Refused(id, peer, code) => {
                    for pair in self.pairs_through(id, peer) {
                        self.on_not_relayed(id, pair, code);
                    }
                }
                News::Ended(id) => {
                    for address in self.gatherer.relayed_by(id) {
                        self.drop_base(address);
                    }
                }
            }
        }
    }

    /// When the servers that took the place of others give nothing, the others go on.
    fn recall_relays(&mut self) {
        if self.nominated.is_none() && self.relays.are_settled() {
            let (bases, remotes) = (self.gatherer.recall(&self.config), self.remote.clone());
            self.form_pairs(&bases, &remotes);
        }
    }

    /// The server gives no permission for the far end of this pair, or none any more.
    fn on_not_relayed(&mut self, id: RelayId, pair: PairId, code: u16) {
        let Some(known) = self.list.get(pair) else { return };
        if !known.is_valid() {
            self.fail_pair(pair, Outcome::NotRelayed(code));
        } else if !self.relays.can_send(id, known.path.remote) {
            self.lose_pair(pair, Outcome::NotRelayed(code), FailureReason::NoPath);
        }
    }

    fn pairs_through(&self, relay: RelayId, peer: IpAddr) -> Vec<PairId> {
        let bases = self.gatherer.relayed_by(relay);
        let pairs = self.list.iter();
        let through = pairs.filter(|pair| pair.path.remote.ip() == peer && bases.contains(&pair.path.local));
        through.map(|pair| pair.id).collect()
    }

    /// A TURN server relays for us: its addresses are candidates, and what it sees us as is another.
    fn on_allocated(&mut self, id: RelayId, path: Path, allocated: &Allocated) {
        // The path is chosen: this one is given back with the others that are not needed.
        if self.nominated.is_some() {
            return;
        }
        let Some(server) = self.relays.server(id) else {
            return;
        };
        if let Some(mapped) = allocated.mapped {
            let index = u16::try_from(self.config.stun_servers.len()).unwrap_or(u16::MAX);
            self.gatherer
                .add_reflexive(path.local, server.0, index, mapped, &self.config);
        }
        let remotes = self.remote.clone();
        for relayed in std::iter::once(allocated.relayed).chain(allocated.additional) {
            self.gatherer
                .add_relayed(id, relayed, allocated.mapped, server, &self.config);
            let base = self.gatherer.base(relayed, Transport::Udp).cloned();
            self.form_pairs(base.as_slice(), &remotes);
        }
    }

    /// Where datagrams of a pair's path go; `None` when its base is gone.
    pub(crate) fn route(&self, path: Path) -> Option<Route> {
        let relay = self.gatherer.base(path.local, path.transport)?.relay;
        let wire = match relay {
            Some(relay) => self.relays.path(relay)?,
            None => path,
        };
        Some(Route { path, relay, wire })
    }

    /// RFC 8445, section 8.3: candidates that were not selected are freed. The relay of this pair stays, with the
    /// permission that the pair needs.
    pub(crate) fn release_relays(&mut self, keep: PairId) {
        if self.relays.is_empty() {
            return;
        }
        let Some(kept) = self.list.get(keep) else { return };
        let (local, remote) = (kept.path.local, kept.path.remote.ip());
        let relay = self
            .gatherer
            .base(local, kept.path.transport)
            .and_then(|base| base.relay);
        if let Some(relay) = relay {
            let others = self
                .list
                .iter()
                .filter(|pair| pair.path.local == local && pair.path.remote.ip() != remote);
            for peer in others.map(|pair| pair.path.remote.ip()).collect::<Vec<_>>() {
                self.relays.forget(relay, peer);
            }
        }
        for address in self.gatherer.relayed_by_others(relay) {
            self.drop_base(address);
        }
        self.relays.release_all_but(relay);
        self.pump_relays();
    }

    /// A restart gathers anew (RFC 8445, section 9): relays that are there stay candidates, the others are asked
    /// again.
    pub(crate) fn restart_relays(&mut self) {
        if self.config.lite {
            return;
        }
        let told = self.relays.mapped();
        for (local, server, mapped) in told {
            let index = u16::try_from(self.config.stun_servers.len()).unwrap_or(u16::MAX);
            self.gatherer
                .add_reflexive(local, server, index, mapped, &self.config);
        }
        self.relays.forget_failures();
        self.stun_ways.forget_answers();
        self.gather_by_ways();
        if !self.are_ways_settled() {
            self.gatherer.resume();
        }
    }
}
