//! Where a TURN server listens, and what it relays from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use dunlin_turn::server;

/// A certificate chain and its key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificates, the server's own first.
    pub certificates: Vec<u8>,
    /// The key: PKCS #8, PKCS #1 or SEC 1.
    pub key: Vec<u8>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// An address that relays are opened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayAddress {
    /// The address of this host.
    pub ip: IpAddr,
    /// The address that peers send to, where a 1:1 NAT stands before this host. Ports are the same on both sides.
    pub external: Option<IpAddr>,
}

/// What a [`TurnServer`](super::TurnServer) is told.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// Users, limits and rules of the protocol core. Of its fields the server itself sets `ipv4`, `ipv6`, `tcp_relays`,
    /// `instance`, `dont_fragment`, `reservations_outside` and `unix_time`, and adds this host's addresses to `access.own`.
    pub server: server::Config,
    /// Where UDP is listened on. Default `0.0.0.0:3478`.
    pub udp: Vec<SocketAddr>,
    /// Where TCP is listened on. Default `0.0.0.0:3478`.
    pub tcp: Vec<SocketAddr>,
    /// Where TLS over TCP is listened on. Default nowhere.
    pub tls: Vec<SocketAddr>,
    /// Where DTLS over UDP is listened on. Default nowhere.
    pub dtls: Vec<SocketAddr>,
    /// What TLS and DTLS show. Default none.
    pub identity: Option<Identity>,
    /// Addresses for relays; of several of one family they are used in turn. Default none: the addresses of the
    /// listeners or, where those are unspecified, the first address of this host of each family.
    pub relay: Vec<RelayAddress>,
    /// Ports of relays. Default 49152 to 65535 (RFC 8656, section 7.2).
    pub ports: RangeInclusive<u16>,
    /// Threads, each with its own listeners on the same ports, among which the kernel spreads the clients. 0: one per
    /// core. Default 1.
    ///
    /// A client meets the worker that its address and port lead to. With more than one worker an allocation can therefore
    /// not move to another address (`server.mobility` is off).
    pub workers: usize,
    /// Size of the socket buffers of listeners, in bytes, as far as the system allows. Default 4 MiB.
    pub listener_buffer: usize,
    /// The same for relays. Default 1 MiB.
    pub relay_buffer: usize,
    /// How long a worker may wait, under load, for more datagrams of the same flows, which costs it less then: of a hundred
    /// flows, half as much. It bounds the delay that is added; nothing is added below 40,000 datagrams per second and
    /// worker. Zero: never. Default 1 ms.
    pub rest: Duration,
    /// Whether clients that come by TCP or TLS get relays that speak TCP to peers (RFC 6062). Default true.
    pub tcp_relays: bool,
    /// TCP and TLS connections in all. Default 10,000.
    pub max_streams: usize,
    /// DTLS associations in all. Default 10,000.
    pub max_dtls: usize,
    /// Bytes that wait for a client that reads its connection too slowly; what comes beyond it is dropped. Default 256
    /// KiB.
    pub max_backlog: usize,
    /// How long a TCP, TLS or DTLS connection may stay silent without an allocation. Default 60 s.
    pub idle: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 3478));
        Self {
            server: server::Config::default(),
            udp: vec![any],
            tcp: vec![any],
            tls: Vec::new(),
            dtls: Vec::new(),
            identity: None,
            relay: Vec::new(),
            ports: 49152..=65535,
            workers: 1,
            listener_buffer: 4 << 20,
            relay_buffer: 1 << 20,
            rest: Duration::from_millis(1),
            tcp_relays: true,
            max_streams: 10_000,
            max_dtls: 10_000,
            max_backlog: 256 << 10,
            idle: Duration::from_secs(60),
        }
    }
}
