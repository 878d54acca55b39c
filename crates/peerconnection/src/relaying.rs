//! What the owner does for ICE: it opens ways to TURN servers and asks for names; and what became of the servers.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use dunlin_ice::{FailureReport, RelayId, Report, ServerError, Servers};
use dunlin_net::Path;

use crate::PeerConnection;

impl PeerConnection {
    /// The owner has opened the way that [`Event::OpenPath`](crate::Event::OpenPath) asked for: a UDP socket, or a
    /// connection whose messages, cut out with [`StreamFrames`](crate::StreamFrames), go to `handle_datagram`.
    pub fn relay_path_opened(&mut self, now: Instant, id: RelayId, path: Path) {
        let now = self.advance(now);
        self.transport.ice.relay_path_opened(now, id, path);
        self.pump(now);
    }

    /// The owner could not open the way that [`Event::OpenPath`](crate::Event::OpenPath) asked for.
    pub fn relay_path_failed(&mut self, now: Instant, id: RelayId, error: ServerError) {
        let now = self.advance(now);
        self.transport.ice.relay_path_failed(now, id, error);
        self.pump(now);
    }

    /// The connection of this path has ended.
    pub fn relay_path_lost(&mut self, now: Instant, path: Path, error: ServerError) {
        let now = self.advance(now);
        self.transport.ice.relay_path_lost(now, path, error);
        self.pump(now);
    }

    /// Other STUN and TURN servers, for the next gathering (RFC 9429, section 4.1.18, `setConfiguration`): that of the first
    /// description, or, where there was one, that of [`restart_ice`](Self::restart_ice), which is for the owner to call.
    /// A relay in use goes on until the restart has found another path.
    pub fn set_ice_servers(&mut self, now: Instant, servers: Servers) {
        let now = self.advance(now);
        self.transport.ice.set_servers(now, servers);
        self.pump(now);
    }

    /// The answer to [`Event::ResolveName`](crate::Event::ResolveName): the one address that the name has.
    pub fn name_resolved(&mut self, now: Instant, name: &str, address: IpAddr) {
        let now = self.advance(now);
        self.transport.ice.name_resolved(now, name, address);
        self.pump(now);
    }

    /// The answer to [`Event::ResolveName`](crate::Event::ResolveName) when nobody, or more than one, answers to it.
    pub fn name_not_resolved(&mut self, now: Instant, name: &str) {
        let now = self.advance(now);
        self.transport.ice.name_not_resolved(now, name);
        self.pump(now);
    }

    /// The owner has learned that nobody listens at this UDP port of a STUN or TURN server (ICMP): see
    /// [`Agent::server_port_unreachable`](dunlin_ice::Agent::server_port_unreachable).
    pub fn server_port_unreachable(&mut self, now: Instant, server: SocketAddr) {
        let now = self.advance(now);
        self.transport.ice.server_port_unreachable(now, server);
        self.pump(now);
    }

    /// What ICE has tried until `now`: servers, candidates, pairs. After a failure, as it was then.
    #[must_use]
    pub fn ice_report(&self, now: Instant) -> Report {
        match &self.ice_failure {
            Some(failure) => failure.tried.clone(),
            None => self.transport.ice.report_at(now),
        }
    }

    /// Why ICE has failed, if it has.
    #[must_use]
    pub fn ice_failure(&self) -> Option<&FailureReport> {
        self.ice_failure.as_deref()
    }
}
