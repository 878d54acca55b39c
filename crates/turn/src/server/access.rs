//! Which peers the relay talks to. RFC 8656, section 21.4 warns of relays into the server's own network; so whatever is
//! not plainly somebody else's public address is refused unless it is allowed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// A range of addresses, `192.0.2.0/24` or a single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    ip: IpAddr,
    len: u8,
}

/// Why a text is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address, nor an address, a slash and a prefix length")]
pub struct PrefixError(String);

impl Prefix {
    /// The range of addresses that begin with `len` bits of `ip`; a length that is too large means all bits.
    #[must_use]
    pub const fn new(ip: IpAddr, len: u8) -> Self {
        Self { ip, len }
    }

    /// Whether the address is in the range.
    #[must_use]
    pub fn contains(&self, ip: IpAddr) -> bool {
        let (ours, theirs, bits) = match (self.ip, ip) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => (u32::from(ours).into(), u32::from(theirs).into(), 32),
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (u128::from(ours), u128::from(theirs), 128),
            _ => return false,
        };
        let ignored = bits - self.len.min(bits);
        ignored == 128 || ours >> ignored == theirs >> ignored
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let wrong = || PrefixError(text.to_owned());
        let (ip, len) = match text.split_once('/') {
            Some((ip, len)) => (ip, Some(len)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let len = match len {
            Some(len) => len.parse().ok().filter(|len| *len <= bits).ok_or_else(wrong)?,
            None => bits,
        };
        Ok(Self { ip, len })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.len)
    }
}

/// Ranges of IPv4 that are refused: "this" network, private, shared, loopback, link-local, protocol assignments,
/// benchmarks, multicast, reserved and broadcast (IANA special-purpose registry, RFC 6890).
const REFUSED_V4: [([u8; 4], u8); 11] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// Ranges of IPv6 that are refused: unspecified, loopback and IPv4-compatible; IPv4-mapped, which are never on the wire;
/// the local NAT64 prefix (RFC 8215), discard-only, unique local, link-local, site-local, multicast.
const REFUSED_V6: [(u128, u8); 8] = [
    (0, 96),
    (0xFFFF << 32, 96),
    (0x0064_FF9B_0001 << 80, 48),
    (0x0100 << 112, 64),
    (0xFC00 << 112, 7),
    (0xFE80 << 112, 10),
    (0xFEC0 << 112, 10),
    (0xFF00 << 112, 8),
];

/// Own addresses that are learnt, at most.
const MAX_LEARNT: usize = 256;

/// What the rules say about a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The relay talks to it.
    Allowed,
    /// It is an address of the server itself: the relay talks to its own relayed addresses there, and to
    /// [`AccessList::own_sockets`], nothing else.
    OwnRelaysOnly,
    /// It does not.
    Refused,
}

/// The rules. A denied range wins over an allowed one, that over the server's own addresses, and those over the
/// defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessList {
    /// Allowed although the defaults refuse it: `127.0.0.0/8` for tests. Default none.
    pub allowed: Vec<Prefix>,
    /// Refused although the defaults allow it. Default none.
    pub denied: Vec<Prefix>,
    /// All addresses of this host, the public one of a 1:1 NAT included. The server adds those of listeners and relays
    /// by itself; the parent knows the others. Default none.
    pub own: Vec<IpAddr>,
    /// Sockets of this host that may be peers, although its addresses may not: the media of a program that brings its
    /// own TURN server. Default none.
    pub own_sockets: Vec<SocketAddr>,
}

impl AccessList {
    /// Adds an address that turns out to be ours. Their number is bounded, as those of listeners are.
    pub(super) fn learn_own(&mut self, ip: IpAddr) {
        if self.own.len() < MAX_LEARNT && !self.own.contains(&ip) {
            self.own.push(ip);
        }
    }

    /// What the rules say about this address, in whatever form an IPv4 address may hide in it.
    #[must_use]
    pub fn verdict(&self, peer: IpAddr) -> Verdict {
        let inner = match peer {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => embedded(ip).map(IpAddr::V4),
        };
        let any = |prefixes: &[Prefix]| {
            let contains = |ip: IpAddr| prefixes.iter().any(|prefix| prefix.contains(ip));
            contains(peer) || inner.is_some_and(contains)
        };
        if any(&self.denied) {
            return Verdict::Refused;
        }
        if any(&self.allowed) {
            return Verdict::Allowed;
        }
        let ours = |socket: &SocketAddr| socket.ip() == peer;
        if self.own.contains(&peer) || self.own_sockets.iter().any(ours) {
            return Verdict::OwnRelaysOnly;
        }
        // The server itself behind another form of its address: nobody means well who asks for that.
        let own = inner.is_some_and(|inner| self.own.contains(&inner));
        if own || is_refused(peer) || inner.is_some_and(is_refused) {
            return Verdict::Refused;
        }
        Verdict::Allowed
    }
}

fn is_refused(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => {
            let mut ranges = REFUSED_V4.iter();
            ranges.any(|(range, len)| Prefix::new(IpAddr::from(*range), *len).contains(ip))
        }
        IpAddr::V6(_) => {
            let mut ranges = REFUSED_V6.iter();
            ranges.any(|(range, len)| Prefix::new(Ipv6Addr::from(*range).into(), *len).contains(ip))
        }
    }
}

/// The IPv4 address in an IPv6 address: mapped or compatible (RFC 4291, section 2.5.5), NAT64 (RFC 6052), 6to4
/// (RFC 3056), Teredo (RFC 4380, section 4: the client's, inverted), ISATAP (RFC 5214, section 6.1).
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = u128::from(ip);
    let low = Ipv4Addr::from(bits as u32);
    let top = |len: u32| bits >> (128 - len);
    if top(96) == 0 || top(96) == 0xFFFF || top(96) == 0x0064_FF9B_0000_0000_0000_0000 {
        return Some(low);
    }
    if top(16) == 0x2002 {
        return Some(Ipv4Addr::from((bits >> 80) as u32));
    }
    if top(32) == 0x2001_0000 {
        return Some(Ipv4Addr::from(!(bits as u32)));
    }
    if (bits >> 32) as u32 & 0xFDFF_FFFF == 0x0000_5EFE {
        return Some(low);
    }
    None
}
