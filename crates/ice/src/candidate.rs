//! Candidates: the value of a `candidate:` line (RFC 8839, section 5.1), and their priorities and foundations
//! (RFC 8445, sections 5.1.1.3 and 5.1.2).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

pub use crate::grammar::ParseCandidateError;

/// The protocol that a candidate is reached with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP (RFC 6544).
    Tcp,
    /// Another token, kept as it was written.
    Other(String),
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
            Protocol::Other(token) => token,
        })
    }
}

/// How a candidate was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An address of an interface.
    Host,
    /// An address that a STUN server saw.
    ServerReflexive,
    /// An address that the other peer saw during the checks.
    PeerReflexive,
    /// An address of a TURN server.
    Relayed,
}

impl Kind {
    /// RFC 8445, section 5.1.2.2: "The RECOMMENDED values for type preferences are 126 for host candidates,
    /// 110 for peer-reflexive candidates", 100 for server-reflexive and 0 for relayed ones.
    #[must_use]
    pub const fn type_preference(self) -> u8 {
        match self {
            Kind::Host => 126,
            Kind::PeerReflexive => 110,
            Kind::ServerReflexive => 100,
            Kind::Relayed => 0,
        }
    }

    /// The word after `typ`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Host => "host",
            Kind::ServerReflexive => "srflx",
            Kind::PeerReflexive => "prflx",
            Kind::Relayed => "relay",
        }
    }
}

/// Which side opens the connection of a TCP candidate (RFC 6544, section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcpType {
    /// The candidate's owner connects.
    Active,
    /// The candidate's owner listens.
    Passive,
    /// Both connect at once.
    SimultaneousOpen,
}

impl TcpType {
    /// The word after `tcptype`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TcpType::Active => "active",
            TcpType::Passive => "passive",
            TcpType::SimultaneousOpen => "so",
        }
    }
}

/// Where a candidate is: an address, or a name that hides one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Socket(SocketAddr),
    /// A name, as browsers write it (`8f2b….local`, resolved through multicast DNS), and a port.
    Name {
        /// The name as it was written.
        name: String,
        /// The port.
        port: u16,
    },
}

impl Address {
    /// The address, when it is not a name.
    #[must_use]
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Address::Socket(address) => Some(*address),
            Address::Name { .. } => None,
        }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Address::Socket(address) => address.port(),
            Address::Name { port, .. } => *port,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Socket(address)
    }
}

/// A transport address that a peer may be reached at.
///
/// `FromStr` and `Display` are the value of the SDP attribute, which is also the browser's
/// `RTCIceCandidate.candidate`: `candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// The same for candidates of one kind, base, protocol and server.
    pub foundation: String,
    /// 1 for RTP (and everything that is multiplexed with it), 2 for separate RTCP.
    pub component: u16,
    /// UDP or TCP.
    pub protocol: Protocol,
    /// The larger the better.
    pub priority: u32,
    /// Where it is.
    pub address: Address,
    /// How it was found.
    pub kind: Kind,
    /// `raddr` and `rport`: the base of a reflexive candidate, for diagnosis only.
    pub related: Option<Address>,
    /// For TCP: who connects.
    pub tcp_type: Option<TcpType>,
    /// What follows, name and value, in order and not interpreted.
    pub extensions: Vec<(String, String)>,
}

impl Candidate {
    /// A UDP candidate of component 1.
    #[must_use]
    pub fn udp(kind: Kind, address: SocketAddr, priority: u32, foundation: impl Into<String>) -> Self {
        Self {
            foundation: foundation.into(),
            component: 1,
            protocol: Protocol::Udp,
            priority,
            address: address.into(),
            kind,
            related: None,
            tcp_type: None,
            extensions: Vec::new(),
        }
    }

    /// The value of the extension `name`, as in `extension("ufrag")`, in whatever case it is written.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

/// Whether an address means something on its own network only: RFC 1918, RFC 6598 (what a carrier's translator hands out),
/// RFC 4193, and loopback and link-local ones.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// RFC 8445, section 5.1.2.1: "priority = (2^24)*(type preference) + (2^8)*(local preference) +
/// (2^0)*(256 - component ID)".
#[must_use]
pub(crate) fn priority(kind: Kind, local_preference: u16, component: u16) -> u32 {
    (u32::from(kind.type_preference()) << 24)
        | (u32::from(local_preference) << 8)
        | u32::from(256u16.saturating_sub(component)).min(255)
}

/// The priority of a TCP candidate. RFC 6544, section 4.2: where one transport is preferred, "the preferred transport
/// protocol candidates SHOULD have type preference higher than the other transport protocol candidates", while "relayed
/// candidates are still preferred lower"; and "local preference = (2^13) * direction-pref + other-pref", with 6 for
/// active and 4 for passive.
#[must_use]
pub(crate) fn tcp_priority(kind: Kind, tcp_type: TcpType, other_preference: u16, component: u16) -> u32 {
    let kind: u32 = match kind {
        Kind::Host => 90,
        Kind::PeerReflexive => 80,
        Kind::ServerReflexive => 70,
        Kind::Relayed => 0,
    };
    let direction: u16 = match tcp_type {
        TcpType::Active => 6,
        TcpType::Passive => 4,
        TcpType::SimultaneousOpen => 2,
    };
    let local = (direction << 13) | other_preference.min(8191);
    (kind << 24) | (u32::from(local) << 8) | u32::from(256u16.saturating_sub(component)).min(255)
}

/// RFC 8445, section 5.1.1.3: two candidates have the same foundation when "they have the same type", "their
/// bases have the same IP address", "they were obtained using" the same server, and the same protocol.
///
/// The salt, random per agent, keeps a foundation from telling addresses that are otherwise hidden.
#[must_use]
pub(crate) fn foundation(kind: Kind, base: IpAddr, server: Option<IpAddr>, salt: u64) -> String {
    let mut hash = Fnv::new(salt);
    hash.write(kind.as_str().as_bytes());
    hash.write_ip(base);
    if let Some(server) = server {
        hash.write_ip(server);
    }
    hash.finish().to_string()
}

/// FNV-1a: spreads a few bytes over 64 bits. Nothing secret depends on it.
struct Fnv(u64);

impl Fnv {
    fn new(salt: u64) -> Self {
        let mut hash = Self(0xcbf2_9ce4_8422_2325);
        hash.write(&salt.to_be_bytes());
        hash
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn write_ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.write(&ip.octets()),
            IpAddr::V6(ip) => self.write(&ip.octets()),
        }
    }

    fn finish(&self) -> u32 {
        (self.0 ^ (self.0 >> 32)) as u32
    }
}

/// Whether the address is an IPv6 link-local one.
pub(crate) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Whether two addresses are the same on the wire. The scope of a link-local address and the flow label are
/// knowledge of one host, not of the network.
pub(crate) fn same_address(a: SocketAddr, b: SocketAddr) -> bool {
    match (a, b) {
        (SocketAddr::V4(a), SocketAddr::V4(b)) => a == b,
        (SocketAddr::V6(a), SocketAddr::V6(b)) => a.port() == b.port() && a.ip() == b.ip(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_the_formula() {
        // RFC 8445, section 15: the host candidates of its examples have 2130706431.
        assert_eq!(priority(Kind::Host, 65535, 1), 2_130_706_431);
        assert_eq!(priority(Kind::ServerReflexive, 65535, 1), 1_694_498_815);
        assert_eq!(priority(Kind::PeerReflexive, 65535, 1), 1_862_270_975);
        assert_eq!(priority(Kind::Relayed, 65535, 2), 16_777_214);
    }

    #[test]
    fn tcp_is_below_every_direct_udp_candidate_and_above_relays() {
        let host = tcp_priority(Kind::Host, TcpType::Active, 8191, 1);
        assert_eq!(host, (90 << 24) + (57_343 << 8) + 255);
        assert!(host < priority(Kind::ServerReflexive, 0, 256));
        assert!(
            tcp_priority(Kind::PeerReflexive, TcpType::Passive, 0, 1) > priority(Kind::Relayed, 65_535, 1)
        );
    }

    #[test]
    fn foundations_tell_kind_base_and_server_apart() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let a = foundation(Kind::Host, ip("10.0.0.1"), None, 1);
        assert_eq!(a, foundation(Kind::Host, ip("10.0.0.1"), None, 1));
        assert_ne!(a, foundation(Kind::Host, ip("10.0.0.2"), None, 1));
        assert_ne!(a, foundation(Kind::ServerReflexive, ip("10.0.0.1"), None, 1));
        assert_ne!(a, foundation(Kind::Host, ip("10.0.0.1"), None, 2));
        let server = foundation(Kind::ServerReflexive, ip("10.0.0.1"), Some(ip("192.0.2.1")), 1);
        assert_ne!(
            server,
            foundation(Kind::ServerReflexive, ip("10.0.0.1"), Some(ip("192.0.2.2")), 1)
        );
        assert!(a.len() <= 32 && a.bytes().all(|b| b.is_ascii_digit()));
    }
}
