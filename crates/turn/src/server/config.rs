//! What a server is told at its start, and what it counts.

use std::net::SocketAddr;
use std::time::Duration;

use dunlin_stun::{BindingServer, PasswordAlgorithm};

use super::access::AccessList;
use super::auth::User;

/// What a [`Server`](super::Server) is to do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The realm of the users: mostly a domain name, fewer than 128 characters. Short is good: it is part of every
    /// challenge. Default `dunlin`.
    pub realm: String,
    /// SOFTWARE of answers to authenticated Allocate and Refresh requests. Default none: attackers read it too.
    pub software: Option<String>,
    /// Users by name. Default none.
    pub users: Vec<User>,
    /// Secrets that make ephemeral credentials (draft-uberti-behave-turn-rest); all are good, which lets one replace
    /// another. Default none. Without users and secrets nobody can use the server.
    pub shared_secrets: Vec<Vec<u8>>,
    /// Unix time in seconds at the server's start, for the expiry of ephemeral credentials. Default 0, which makes
    /// them everlasting: the parent fills it in.
    pub unix_time: u64,
    /// Password algorithms to offer (RFC 8489, section 14.11); empty for RFC 5389's MD5 alone. Default SHA-256, MD5.
    pub algorithms: Vec<PasswordAlgorithm>,
    /// Asks clients for USERHASH (RFC 8489, section 9.2); holders of ephemeral credentials cannot be found by it.
    /// Default off.
    pub anonymity: bool,
    /// How long a nonce lives. Default 3600 s (RFC 8656, section 5: "at least once every hour").
    pub nonce_age: Duration,
    /// Who may be a peer.
    pub access: AccessList,
    /// Relays IPv4. Default on.
    pub ipv4: bool,
    /// Relays IPv6. Default off.
    pub ipv6: bool,
    /// Relays TCP (RFC 6062). Default off.
    pub tcp_relays: bool,
    /// Which of several servers this is, from 0 on, and how many there are. A client's data connection (RFC 6062) may come
    /// to any of them; the [`ConnectionId`](crate::attribute::ConnectionId) that it asks for tells whose it is. Default
    /// the only one.
    pub instance: (u32, u32),
    /// The parent can set the DF bit. Default off: DONT-FRAGMENT is then answered with 420.
    pub dont_fragment: bool,
    /// Hands out mobility tickets (RFC 8016). Default on.
    pub mobility: bool,
    /// The parent keeps the ports that EVEN-PORT reserves, under their tokens, so that several servers give them to each
    /// other's clients. Default off.
    pub reservations_outside: bool,
    /// Accepts the channel numbers 0x5000 to 0x7FFF of RFC 5766 too. Default off: RFC 8656, section 12.2, has them
    /// refused with 400, because of what else a port may carry; a port of its own carries nothing else.
    pub rfc5766_channels: bool,
    /// Answers Binding requests, with NAT behaviour discovery where it has two addresses. Default on, without.
    pub binding: Option<BindingServer>,
    /// Where clients are sent (300) while the server drains. Default nowhere: 508.
    pub alternate_server: Option<SocketAddr>,
    /// Lifetime of an allocation whose client asks for none or less. Default 600 s (RFC 8656, section 3.2).
    pub default_lifetime: Duration,
    /// The longest lifetime. Default 3600 s (RFC 8656, section 7.2).
    pub max_lifetime: Duration,
    /// Allocations in all. Default 10,000.
    pub max_allocations: usize,
    /// Allocations of one user. Default 100.
    pub max_allocations_per_user: usize,
    /// Permissions of an allocation. Default 64.
    pub max_permissions: usize,
    /// Channels of an allocation. Default 32.
    pub max_channels: usize,
    /// TCP connections of an allocation. Default 16.
    pub max_connections: usize,
    /// Bytes per second that an allocation relays, in each direction. Default `None`: as many as come.
    pub max_bytes_per_second: Option<u64>,
    /// Bytes of answers that a source (an IPv4 address, an IPv6 /64) gets before authentication beyond those it sends.
    /// Default 4096: thirty challenges at once.
    pub unauthenticated_burst: u32,
    /// How fast that comes back, in bytes per second. Default 1024.
    pub unauthenticated_rate: u32,
    /// Sources that are told apart for it: 8 bytes each. Default 65,536.
    pub limiter_slots: usize,
    /// Answers that wait to be polled, in bytes; beyond it they are dropped and counted. Default 1 MiB.
    pub max_queued_bytes: usize,
    /// Events that wait to be polled; beyond it no new allocation is made. Default 4096.
    pub max_events: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            realm: "dunlin".to_owned(),
            software: None,
            users: Vec::new(),
            shared_secrets: Vec::new(),
            unix_time: 0,
            algorithms: vec![PasswordAlgorithm::SHA256, PasswordAlgorithm::MD5],
            anonymity: false,
            nonce_age: Duration::from_secs(3600),
            access: AccessList::default(),
            ipv4: true,
            ipv6: false,
            tcp_relays: false,
            instance: (0, 1),
            dont_fragment: false,
            mobility: true,
            reservations_outside: false,
            rfc5766_channels: false,
            binding: Some(BindingServer::default()),
            alternate_server: None,
            default_lifetime: crate::DEFAULT_LIFETIME,
            max_lifetime: Duration::from_secs(3600),
            max_allocations: 10_000,
            max_allocations_per_user: 100,
            max_permissions: 64,
            max_channels: 32,
            max_connections: 16,
            max_bytes_per_second: None,
            unauthenticated_burst: 4096,
            unauthenticated_rate: 1024,
            limiter_slots: 65_536,
            max_queued_bytes: 1 << 20,
            max_events: 4096,
        }
    }
}

/// What a [`Server`](super::Server) has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Allocations now.
    pub allocations: u64,
    /// Allocations that were made.
    pub allocations_made: u64,
    /// Allocations that expired.
    pub allocations_expired: u64,
    /// Binding requests that were answered.
    pub bindings: u64,
    /// Requests that were granted.
    pub granted: u64,
    /// Requests that were refused with an error of TURN.
    pub refused: u64,
    /// Challenges (401) to requests without credentials.
    pub challenges: u64,
    /// Requests of unknown users, of users with a wrong password, or of ended ephemeral credentials.
    pub wrong_credentials: u64,
    /// Requests with a stale nonce.
    pub stale_nonces: u64,
    /// Requests of users for which the quota was reached.
    pub quota_reached: u64,
    /// Peers that the access list refused.
    pub peers_refused: u64,
    /// Datagrams from clients to peers.
    pub to_peers: u64,
    /// Bytes in them.
    pub bytes_to_peers: u64,
    /// Datagrams from peers to clients.
    pub to_clients: u64,
    /// Bytes in them.
    pub bytes_to_clients: u64,
    /// Dropped: neither STUN nor ChannelData, or malformed.
    pub dropped_malformed: u64,
    /// Dropped: data or an indication without an allocation.
    pub dropped_no_allocation: u64,
    /// Dropped: data on a channel that is not bound, or to or from a peer without permission.
    pub dropped_no_permission: u64,
    /// Dropped: over the allocation's bandwidth.
    pub dropped_bandwidth: u64,
    /// Not answered: the source is over its limit before authentication.
    pub dropped_limited: u64,
    /// Dropped: an answer, because too many waited.
    pub dropped_queue_full: u64,
}

/// The counts of two servers together.
impl std::ops::AddAssign for Stats {
    fn add_assign(&mut self, other: Self) {
        // Without `..`: a new count cannot be forgotten.
        let Stats {
            allocations,
            allocations_made,
            allocations_expired,
            bindings,
            granted,
            refused,
            challenges,
            wrong_credentials,
            stale_nonces,
            quota_reached,
            peers_refused,
            to_peers,
            bytes_to_peers,
            to_clients,
            bytes_to_clients,
            dropped_malformed,
            dropped_no_allocation,
            dropped_no_permission,
            dropped_bandwidth,
            dropped_limited,
            dropped_queue_full,
        } = other;
        self.allocations += allocations;
        self.allocations_made += allocations_made;
        self.allocations_expired += allocations_expired;
        self.bindings += bindings;
        self.granted += granted;
        self.refused += refused;
        self.challenges += challenges;
        self.wrong_credentials += wrong_credentials;
        self.stale_nonces += stale_nonces;
        self.quota_reached += quota_reached;
        self.peers_refused += peers_refused;
        self.to_peers += to_peers;
        self.bytes_to_peers += bytes_to_peers;
        self.to_clients += to_clients;
        self.bytes_to_clients += bytes_to_clients;
        self.dropped_malformed += dropped_malformed;
        self.dropped_no_allocation += dropped_no_allocation;
        self.dropped_no_permission += dropped_no_permission;
        self.dropped_bandwidth += dropped_bandwidth;
        self.dropped_limited += dropped_limited;
        self.dropped_queue_full += dropped_queue_full;
    }
}
