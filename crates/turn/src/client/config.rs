//! What a client is told at its start, and what it counts.

use std::time::Duration;

use dunlin_net::Path;
use dunlin_stun::long_term::Credentials;
use dunlin_stun::{AddressFamily, Retransmission};

use crate::attribute::{EvenPort, RequestedTransport, ReservationToken};

/// What a [`Client`](super::Client) is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// From our socket, or connection, to the server, and over what. On TCP and TLS the parent cuts the stream with
    /// [`Frames`](crate::Frames), and nothing is retransmitted.
    pub path: Path,
    /// Who we are.
    pub credentials: Credentials,
    /// UDP to the peers, or TCP (RFC 6062; `path` is then TCP or TLS). Default UDP.
    pub transport: RequestedTransport,
    /// The family of the relayed address. Default `None`: IPv4, the server's choice (RFC 8656, section 7.1).
    pub family: Option<AddressFamily>,
    /// Asks for an IPv6 relayed address beside the IPv4 one. Not with `family` or `reservation`. Default off.
    pub additional_ipv6: bool,
    /// Asks for an even port, and perhaps for the next one in reserve. Default not.
    pub even_port: Option<EvenPort>,
    /// The port that another allocation reserved. Not with `family` or `even_port`. Default none.
    pub reservation: Option<ReservationToken>,
    /// Asks that Send indications go out with the DF bit; given up when the server answers 420. Default off.
    pub dont_fragment: bool,
    /// Asks for a ticket with which the allocation survives a new address of ours (RFC 8016). Default off.
    pub mobility: bool,
    /// How long the allocation is to live between refreshes, in whole seconds. Default 600 s (RFC 8656, section 3.2).
    pub lifetime: Duration,
    /// SOFTWARE of Allocate and Refresh requests. Default none.
    pub software: Option<String>,
    /// The first retransmission interval over UDP and DTLS. Default 500 ms (RFC 8489, section 6.2.1).
    pub initial_rto: Duration,
    /// Rc: requests sent before giving up. Default 7 (RFC 8489, section 6.2.1).
    pub max_requests: u32,
    /// Rm: RTOs to wait after the last request. Default 16 (RFC 8489, section 6.2.1).
    pub final_wait_factor: u32,
    /// Ti: how long to wait for an answer over TCP and TLS. Default 39.5 s (RFC 8489, section 6.2.2).
    pub reliable_timeout: Duration,
    /// Over UDP and DTLS, after this long without traffic of ours a Binding indication keeps the NAT's binding.
    /// Default 15 s (RFC 8445, section 11).
    pub keepalive: Duration,
    /// Peer addresses with a permission, at most. Default 100.
    pub max_permissions: usize,
    /// Peers with a channel, at most. Default 50; there are 4096 numbers.
    pub max_channels: usize,
    /// Requests under way at once; more wait their turn. Default 16.
    pub max_transactions: usize,
    /// Events that wait to be polled; beyond it the oldest are dropped and counted. Default 256.
    pub max_events: usize,
}

impl Config {
    /// The defaults for a server at the far end of `path`.
    #[must_use]
    pub fn new(path: Path, credentials: Credentials) -> Self {
        Self {
            path,
            credentials,
            transport: RequestedTransport::UDP,
            family: None,
            additional_ipv6: false,
            even_port: None,
            reservation: None,
            dont_fragment: false,
            mobility: false,
            lifetime: crate::DEFAULT_LIFETIME,
            software: None,
            initial_rto: Retransmission::MIN_RTO,
            max_requests: Retransmission::MAX_REQUESTS,
            final_wait_factor: Retransmission::FINAL_WAIT_FACTOR,
            reliable_timeout: Retransmission::RELIABLE_TIMEOUT,
            keepalive: Duration::from_secs(15),
            max_permissions: 100,
            max_channels: 50,
            max_transactions: 16,
            max_events: 256,
        }
    }
}

/// What a [`Client`](super::Client) has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Requests sent, retransmissions included.
    pub requests_sent: u64,
    /// Responses that were taken.
    pub responses_received: u64,
    /// Datagrams for peers that were framed.
    pub relayed_sent: u64,
    /// Datagrams of peers that were handed up.
    pub relayed_received: u64,
    /// Not sent: there is neither a channel nor a permission for the peer yet.
    pub dropped_no_permission: u64,
    /// Dropped: neither STUN nor ChannelData, or malformed.
    pub dropped_malformed: u64,
    /// Dropped: data on a channel, or of a peer, that we did not ask for.
    pub dropped_unexpected_peer: u64,
    /// Dropped: a response without the message integrity that our credentials make.
    pub dropped_unauthentic: u64,
    /// Dropped: an event, because nobody polled.
    pub dropped_events: u64,
    /// The last round-trip time that was measured.
    pub round_trip: Option<Duration>,
}
