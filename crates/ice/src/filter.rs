//! Which remote addresses checks may be sent to: a peer names them, so a server that checks them all can be made
//! to probe its own network (RFC 8445, section 19.5.1; RFC 8826, section 4.2.4).

use std::net::{IpAddr, SocketAddr};

use crate::candidate::Candidate;

/// A range of addresses: all that share the first `prefix` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// An address of the range.
    pub address: IpAddr,
    /// How many leading bits count.
    pub prefix: u8,
}

impl Subnet {
    /// The range of `address` and all that share its first `prefix` bits.
    #[must_use]
    pub const fn new(address: IpAddr, prefix: u8) -> Self {
        Self { address, prefix }
    }

    /// Whether `ip` is in the range.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(range), IpAddr::V4(ip)) => {
                let shift = 32 - u32::from(self.prefix.min(32));
                (range.to_bits() ^ ip.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(range), IpAddr::V6(ip)) => {
                let shift = 128 - u32::from(self.prefix.min(128));
                (range.to_bits() ^ ip.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// Which remote candidates are checked. The default lets everything pass that can be a peer at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteFilter {
    /// No check is sent to these.
    pub denied: Vec<Subnet>,
}

impl RemoteFilter {
    /// For servers: nothing that is not routed on the public internet (private, loopback, link-local, carrier-grade
    /// NAT, benchmarking, documentation; and IPv6 addresses that embed an IPv4 address).
    #[must_use]
    pub fn public_only() -> Self {
        let v4 = |a, b, c, d, prefix| Subnet::new(IpAddr::from([a, b, c, d]), prefix);
        let v6 = |a: u16, b: u16, prefix| Subnet::new(IpAddr::from([a, b, 0, 0, 0, 0, 0, 0]), prefix);
        Self {
            denied: vec![
                v4(0, 0, 0, 0, 8),
                v4(10, 0, 0, 0, 8),
                v4(100, 64, 0, 0, 10),
                v4(127, 0, 0, 0, 8),
                v4(169, 254, 0, 0, 16),
                v4(172, 16, 0, 0, 12),
                v4(192, 0, 0, 0, 24),
                v4(192, 0, 2, 0, 24),
                v4(192, 88, 99, 0, 24),
                v4(192, 168, 0, 0, 16),
                v4(198, 18, 0, 0, 15),
                v4(198, 51, 100, 0, 24),
                v4(203, 0, 113, 0, 24),
                v4(240, 0, 0, 0, 4),
                v6(0, 0, 16),          // unspecified, loopback, IPv4-compatible and IPv4-mapped
                v6(0x64, 0xff9b, 32),  // NAT64
                v6(0x100, 0, 64),      // discard-only
                v6(0x2001, 0, 32),     // Teredo
                v6(0x2001, 0xdb8, 32), // documentation
                v6(0x2002, 0, 16),     // 6to4
                v6(0xfc00, 0, 7),      // unique local
                v6(0xfe80, 0, 10),     // link-local
                v6(0xfec0, 0, 10),     // site-local
            ],
        }
    }

    /// Whether checks may go to `address`.
    #[must_use]
    pub fn allows(&self, address: SocketAddr) -> bool {
        can_be_a_peer(address) && !self.denied.iter().any(|range| range.contains(address.ip()))
    }

    pub(crate) fn allows_candidate(&self, candidate: &Candidate) -> bool {
        candidate
            .address
            .socket()
            .is_none_or(|address| self.allows(address))
    }
}

/// What no peer can have: no port, no address, many addresses, or an IPv4 address in IPv6 clothes, which RFC 8445,
/// section 5.1.1.1 bars ("IPv4-mapped IPv6 addresses SHOULD NOT be included").
fn can_be_a_peer(address: SocketAddr) -> bool {
    let ip = address.ip();
    let odd = match ip {
        IpAddr::V4(ip) => ip.is_broadcast(),
        IpAddr::V6(ip) => ip.to_ipv4_mapped().is_some(),
    };
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !odd
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(filter: &RemoteFilter, text: &str) -> bool {
        filter.allows(text.parse().unwrap())
    }

    #[test]
    fn nothing_is_sent_to_addresses_that_no_peer_has() {
        let filter = RemoteFilter::default();
        for text in [
            "0.0.0.0:5",
            "10.0.0.1:0",
            "224.0.0.1:5",
            "255.255.255.255:5",
            "[::]:5",
            "[ff02::1]:5",
        ] {
            assert!(!allows(&filter, text), "{text}");
        }
        assert!(!allows(&filter, "[::ffff:127.0.0.1]:5"));
        for text in ["10.0.0.1:5", "127.0.0.1:5", "[::1]:5", "[fe80::1]:5"] {
            assert!(allows(&filter, text), "{text}");
        }
    }

    #[test]
    fn threat_24_a_server_does_not_probe_its_own_network() {
        let filter = RemoteFilter::public_only();
        for text in [
            "127.0.0.1:5",
            "10.1.2.3:5",
            "172.31.255.255:5",
            "192.168.0.1:5",
            "169.254.169.254:80",
            "100.100.1.1:5",
            "[::1]:5",
            "[::127.0.0.1]:5",
            "[64:ff9b::a00:1]:5",
            "[2002:7f00:1::]:5",
            "[2001::1]:5",
            "[fd00::1]:5",
            "[fe80::1]:5",
        ] {
            assert!(!allows(&filter, text), "{text}");
        }
        for text in [
            "8.8.8.8:5",
            "172.32.0.1:5",
            "100.128.0.1:5",
            "[2606:4700::1]:5",
            "[2a00:1450::1]:5",
        ] {
            assert!(allows(&filter, text), "{text}");
        }
    }
}
