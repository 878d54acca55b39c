//! What a TURN server has counted.

use dunlin_turn::server;

/// What a [`TurnServer`](super::TurnServer) has counted, all workers together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// By the protocol core.
    pub core: server::Stats,
    /// Around it.
    pub sockets: Counters,
}

/// What is counted around the protocol core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Sockets of relays that are open now.
    pub relays: u64,
    /// Relays that could not be opened.
    pub relays_failed: u64,
    /// TCP connections that are open now.
    pub tcp: u64,
    /// TLS connections that are open now, those in their handshake included.
    pub tls: u64,
    /// TLS handshakes that failed.
    pub tls_failed: u64,
    /// DTLS associations that are open now.
    pub dtls: u64,
    /// Connections that were refused because there were too many.
    pub refused_connections: u64,
    /// Datagrams that the system did not take.
    pub dropped_unsent: u64,
    /// Messages for clients that read their connection too slowly.
    pub dropped_backlog: u64,
}

impl Stats {
    pub(super) fn add(&mut self, other: &Stats) {
        self.core += other.core;
        let (ours, theirs) = (&mut self.sockets, &other.sockets);
        ours.relays += theirs.relays;
        ours.relays_failed += theirs.relays_failed;
        ours.tcp += theirs.tcp;
        ours.tls += theirs.tls;
        ours.tls_failed += theirs.tls_failed;
        ours.dtls += theirs.dtls;
        ours.refused_connections += theirs.refused_connections;
        ours.dropped_unsent += theirs.dropped_unsent;
        ours.dropped_backlog += theirs.dropped_backlog;
    }
}
