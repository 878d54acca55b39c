//! The addresses of this host that make host candidates (RFC 8445, section 5.1.1.1).

use std::io;
use std::net::IpAddr;

/// The addresses of the interfaces that are up.
///
/// Loopback addresses come only on request, or when the host has nothing else: two peers on a laptop without
/// a network still find each other.
pub(crate) fn local_addresses(include_loopback: bool) -> io::Result<Vec<IpAddr>> {
    let interfaces = if_addrs::get_if_addrs()?;
    let found = interfaces.iter().filter(|interface| {
        // Unknown is what tunnels and containers report.
        !matches!(
            interface.oper_status,
            if_addrs::IfOperStatus::Down
                | if_addrs::IfOperStatus::NotPresent
                | if_addrs::IfOperStatus::LowerLayerDown
        )
    });
    Ok(select(found.map(if_addrs::Interface::ip), include_loopback))
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
    fn this_host_has_an_address() {
        assert!(!local_addresses(true).unwrap().is_empty());
    }
}
