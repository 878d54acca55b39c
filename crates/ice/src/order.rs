//! Which pairs are likely to work, from what their addresses say.

use std::net::IpAddr;

use crate::agent::Agent;
use crate::candidate::{Candidate, Kind, is_private};
use crate::event::GatheringState;
use crate::pair::Pair;

/// Whether a pair leads to an address that can be reached from everywhere: a reflexive or relayed one, mostly. Private ones
/// are most often those of somebody else's network.
pub(crate) fn is_likely(pair: &Pair) -> bool {
    !is_private(pair.path.remote.ip())
}

impl Agent {
    /// Whether a pair leads to a private address of a peer that is behind another translator than we are, so that its network
    /// is most likely not ours: servers see it at another public address than us, or, as long as none has told us ours, the
    /// address is no neighbour of one of ours. Such a pair is checked after those that lead to public addresses, one Ta later
    /// than RFC 8445, section 6.1.4.2 has it, and loses nothing else: where two private networks are joined, it still is the
    /// better pair.
    pub(crate) fn is_elsewhere(&self, pair: &Pair) -> bool {
        let ip = pair.path.remote.ip();
        // A name is found on our own network only.
        if pair.remote.kind != Kind::Host || !is_private(ip) || self.names.hid(ip) {
            return false;
        }
        let theirs: Vec<IpAddr> = self.remote.iter().filter_map(|their| public(their, ip)).collect();
        let mut ours = self
            .gatherer
            .candidates()
            .filter_map(|own| public(own, ip))
            .peekable();
        if theirs.is_empty() {
            return false;
        }
        if ours.peek().is_some() {
            return ours.all(|ip| !theirs.contains(&ip));
        }
        let hosts = self.gatherer.host_ips();
        let may_learn = self.gatherer.state() == GatheringState::Gathering;
        may_learn && !hosts.iter().any(|own| are_neighbours(*own, ip))
    }
}

/// Whether two addresses are those of one subnet, most likely.
fn are_neighbours(a: IpAddr, b: IpAddr) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets()[..3] == b.octets()[..3],
        (IpAddr::V6(a), IpAddr::V6(b)) => a.octets()[..8] == b.octets()[..8],
        _ => false,
    }
}

/// The address under which the world sees a host itself, and not a relay of it, in the family of `like`.
fn public(candidate: &Candidate, like: IpAddr) -> Option<IpAddr> {
    let own = matches!(candidate.kind, Kind::Host | Kind::ServerReflexive);
    let ip = candidate.address.socket()?.ip();
    (own && ip.is_ipv4() == like.is_ipv4() && !is_private(ip)).then_some(ip)
}
