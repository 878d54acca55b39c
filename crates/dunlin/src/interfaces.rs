//! The addresses of this host that make host candidates (RFC 8445, section 5.1.1.1).

use std::io;
use std::net::{IpAddr, SocketAddr};

use dunlin_peerconnection::Subnet;

use crate::config::{AddressPolicy, EndpointConfig};
use crate::relay_path::local_ip;

/// The addresses of the interfaces that are up.
///
/// Loopback addresses come only on request, or when the host has nothing else: two peers on a laptop without
/// a network still find each other.
pub(crate) fn local_addresses(include_loopback: bool) -> io::Result<Vec<IpAddr>> {
    let all = Selection {
        include_loopback,
        ..Selection::default()
    };
    all.addresses()
}

/// Which of them are used.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    include_loopback: bool,
    policy: AddressPolicy,
    interfaces: Vec<String>,
    ignored: Vec<Subnet>,
}

impl Selection {
    pub(crate) fn of(config: &EndpointConfig) -> Self {
        Self {
            include_loopback: config.include_loopback,
            policy: config.policy,
            interfaces: config.interfaces.clone(),
            ignored: config.ignored.clone(),
        }
    }

    pub(crate) fn addresses(&self) -> io::Result<Vec<IpAddr>> {
        let named =
            |name: &str| self.interfaces.is_empty() || self.interfaces.iter().any(|wanted| wanted == name);
        let found = up(named)?.into_iter();
        let used = found.filter(|ip| !self.ignored.iter().any(|range| range.contains(*ip)));
        let used = select(used, self.include_loopback);
        Ok(match self.policy {
            AddressPolicy::All => used,
            AddressPolicy::DefaultRoute | AddressPolicy::DefaultRouteHidden => {
                on_routes(used, &default_routes())
            }
        })
    }
}

/// Those from which the system reaches the internet; without it, all.
fn on_routes(addresses: Vec<IpAddr>, routes: &[IpAddr]) -> Vec<IpAddr> {
    match addresses.iter().any(|ip| routes.contains(ip)) {
        true => addresses.into_iter().filter(|ip| routes.contains(ip)).collect(),
        false => addresses,
    }
}

/// Where packets to the internet leave from: nothing is sent, the system only looks into its table of routes.
fn default_routes() -> Vec<IpAddr> {
    // Of the ranges for documentation (RFC 5737, RFC 3849): they lead where the default route does.
    let outside = [
        SocketAddr::from(([198, 51, 100, 1], 9)),
        SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9)),
    ];
    outside.into_iter().filter_map(|to| local_ip(to).ok()).collect()
}

/// The addresses of the interfaces that are up and have such a name.
fn up(named: impl Fn(&str) -> bool) -> io::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs()?;
    let found = interfaces
        .iter()
        .filter(|interface| named(&interface.name))
        .filter(|interface| {
            // Unknown is what tunnels and containers report.
            !matches!(
                interface.oper_status,
                if_addrs::IfOperStatus::Down
                    | if_addrs::IfOperStatus::NotPresent
                    | if_addrs::IfOperStatus::LowerLayerDown
            )
        });
    Ok(found.map(if_addrs::Interface::ip).collect())
}

fn select(found: impl Iterator<Item = IpAddr>, include_loopback: bool) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = found.filter(|ip| is_candidate(*ip)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    if !include_loopback && addresses.iter().any(|ip| !ip.is_loopback()) {
        addresses.retain(|ip| !ip.is_loopback());
    }
    addresses
}

/// "Deprecated IPv4-compatible IPv6 addresses and IPv6 site-local unicast addresses MUST NOT be included in
/// the address candidates. IPv4-mapped IPv6 addresses SHOULD NOT be included" (RFC 8445, section 5.1.1.1).
/// Link-local addresses need a scope that a candidate cannot carry.
fn is_candidate(ip: IpAddr) -> bool {
    if ip.is_unspecified() || ip.is_multicast() {
        return false;
    }
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        IpAddr::V6(ip) => {
            let site_local = ip.segments()[0] & 0xffc0 == 0xfec0;
            let compatible = ip.segments()[..6] == [0; 6] && !ip.is_loopback();
            !ip.is_unicast_link_local() && !site_local && !compatible && ip.to_ipv4_mapped().is_none()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str], include_loopback: bool) -> Vec<String> {
        let found = texts.iter().map(|text| text.parse().unwrap());
        select(found, include_loopback)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn loopback_is_left_out_unless_asked_for_or_alone() {
        assert_eq!(of(&["127.0.0.1", "10.0.0.1", "::1"], false), ["10.0.0.1"]);
        assert_eq!(of(&["127.0.0.1", "10.0.0.1"], true), ["10.0.0.1", "127.0.0.1"]);
        assert_eq!(of(&["127.0.0.1", "::1"], false), ["127.0.0.1", "::1"]);
    }

    #[test]
    fn addresses_that_make_no_candidates_are_left_out() {
        let odd = [
            "fe80::1",
            "fec0::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "ff02::1",
        ];
        assert_eq!(of(&odd, true), [""; 0]);
        assert_eq!(
            of(&["2001:db8::1", "fd00::1", "2001:db8::1"], false),
            ["2001:db8::1", "fd00::1"]
        );
    }

    #[test]
    fn the_default_route_is_enough_where_there_is_one() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let all = vec![ip("10.0.0.1"), ip("192.168.1.7"), ip("2001:db8::1")];
        assert_eq!(on_routes(all.clone(), &[ip("192.168.1.7")]), [ip("192.168.1.7")]);
        assert_eq!(on_routes(all.clone(), &[]), all);
        assert_eq!(on_routes(all.clone(), &[ip("10.9.9.9")]), all);
    }

    #[test]
    fn interfaces_and_ranges_can_be_left_out() {
        let mut selection = Selection {
            include_loopback: true,
            ..Selection::default()
        };
        let all = selection.addresses().unwrap();
        let loopback = Subnet::new("127.0.0.0".parse().unwrap(), 8);
        assert!(all.iter().any(|ip| loopback.contains(*ip)));
        selection.ignored = vec![loopback];
        let rest: Vec<IpAddr> = all.into_iter().filter(|ip| !loopback.contains(*ip)).collect();
        assert_eq!(selection.addresses().unwrap(), rest);
        selection.interfaces = vec!["no such interface".to_owned()];
        assert!(selection.addresses().unwrap().is_empty());
    }

    #[test]
    fn this_host_has_an_address() {
        assert!(!local_addresses(true).unwrap().is_empty());
    }
}
