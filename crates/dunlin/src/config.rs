//! What endpoints and connections are made with.

use std::net::{IpAddr, SocketAddr};

pub use dunlin_peerconnection::Config as PeerConfig;
use dunlin_peerconnection::{Subnet, TransportPolicy};

use crate::ice_server::IceServer;
use crate::tls::TlsRoots;

/// Which addresses of this host are used, and whether the peer is told (RFC 8828, section 5.2). Its mode 4, in which all
/// goes through a proxy, is [`Config::ice_transport_policy`] with TURN over TCP or TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AddressPolicy {
    /// Mode 1: those of all interfaces. For programs whose user knows the peer.
    #[default]
    All,
    /// Mode 2: those from which the system reaches the internet; on a host that does not, all.
    DefaultRoute,
    /// Mode 3: the same, but the peer is told only how STUN and TURN servers see them.
    DefaultRouteHidden,
}

/// The sockets of an endpoint, or of a connection that has its own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EndpointConfig {
    /// The addresses to bind to. Default none: any IPv4 address and any IPv6 address, at a port that the
    /// system picks, announced with the addresses of this host's interfaces.
    pub bind: Vec<SocketAddr>,
    /// Whether loopback addresses are announced although there are others. Default false.
    pub include_loopback: bool,
    /// Whether peers may connect over TCP as well (RFC 6544): a socket listens at the port of each UDP socket, where that
    /// is free, for all connections. Default false: who opens a TCP port should have meant to, as servers do for
    /// clients whose networks let no UDP out.
    pub tcp: bool,
    /// Which of this host's addresses are used by sockets that are bound to none. Default all.
    pub policy: AddressPolicy,
    /// Only the interfaces with these names are used. Default none: all are.
    pub interfaces: Vec<String>,
    /// Addresses in these ranges are not used. Default none.
    pub ignored: Vec<Subnet>,
    /// The size asked for the send and the receive buffer of each socket, in bytes; the system may give less.
    /// Default 4 MiB: a burst that does not fit is lost, and read as congestion.
    pub socket_buffer: usize,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            bind: Vec::new(),
            include_loopback: false,
            policy: AddressPolicy::All,
            interfaces: Vec::new(),
            ignored: Vec::new(),
            tcp: false,
            socket_buffer: 4 * 1024 * 1024,
        }
    }
}

impl EndpointConfig {
    /// One socket at this address.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self {
            bind: vec![address],
            include_loopback: address.ip().is_loopback(),
            ..Self::default()
        }
    }
}

/// A connection. `Config::default()` is what a browser would do.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// STUN and TURN servers (`RTCConfiguration.iceServers`). Names are resolved as the connection is made. Default
    /// none: peers on one network or with public addresses need none.
    pub ice_servers: Vec<IceServer>,
    /// `Relay`: only relayed paths, so that the peer learns no address of this host
    /// (`RTCConfiguration.iceTransportPolicy`). Default all.
    pub ice_transport_policy: TransportPolicy,
    /// Who may sign the certificates of TURN servers over TLS. Default: whom the system trusts.
    pub tls_roots: TlsRoots,
    /// The public addresses of a 1:1 NAT in front of this host, announced in place of the local ones.
    /// Default none.
    pub external_ips: Vec<IpAddr>,
    /// The sockets that `PeerConnection::bind` opens; an `Endpoint` has its own.
    pub sockets: EndpointConfig,
    /// How many bytes may wait on one channel before `send` waits for room. Default 1 MiB.
    pub channel_buffer: usize,
    /// How many received RTP packets may wait on one track before the oldest is dropped. Default 1024.
    pub track_queue: usize,
    /// Everything about the protocols: certificate, codecs, limits, timers.
    pub peer: PeerConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ice_servers: Vec::new(),
            ice_transport_policy: TransportPolicy::All,
            tls_roots: TlsRoots::System,
            external_ips: Vec::new(),
            sockets: EndpointConfig::default(),
            channel_buffer: 1024 * 1024,
            track_queue: 1024,
            peer: PeerConfig::default(),
        }
    }
}
