//! A network address translator, in the terms of RFC 4787: mapping, filtering, expiry, hairpinning.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transmit, Transport};

use crate::node::Node;

/// What a mapping or a filter looks at (RFC 4787, sections 4.1 and 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependence {
    /// Nothing of the far end.
    EndpointIndependent,
    /// The far end's address.
    AddressDependent,
    /// The far end's address and port.
    AddressAndPortDependent,
}

impl Dependence {
    fn same(self, a: SocketAddr, b: SocketAddr) -> bool {
        match self {
            Dependence::EndpointIndependent => true,
            Dependence::AddressDependent => a.ip() == b.ip(),
            Dependence::AddressAndPortDependent => a == b,
        }
    }
}

/// How a translator behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NatKind {
    /// When an inside address keeps its outside port.
    pub mapping: Dependence,
    /// Who may send to an outside port.
    pub filtering: Dependence,
    /// How long a mapping lasts without outbound datagrams. RFC 4787, section 4.3: "MUST NOT expire in less than
    /// two minutes".
    pub expiry: Duration,
    /// Whether inside hosts reach each other through their outside addresses.
    pub hairpin: bool,
    /// Whether UDP passes: without, it is the firewall of an office that knows only the web.
    pub udp: bool,
}

impl NatKind {
    /// What two translators one behind the other look like from outside.
    #[must_use]
    pub fn behind(self, outer: Self) -> Self {
        Self {
            mapping: self.mapping.max(outer.mapping),
            filtering: self.filtering.max(outer.filtering),
            expiry: self.expiry.min(outer.expiry),
            hairpin: outer.hairpin,
            udp: self.udp && outer.udp,
        }
    }

    /// Whether two hosts, each behind one of these, can reach each other once both have sent.
    #[must_use]
    pub fn can_reach(self, other: Self) -> bool {
        self.udp && other.udp && (self.lets_in(other) || other.lets_in(self))
    }

    /// Whether what the far end sends to the address that a STUN server saw of us gets in, and an exchange follows.
    fn lets_in(self, far: Self) -> bool {
        use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        let keeps = |nat: Self| nat.mapping == EndpointIndependent;
        // What we send opens our filter at that address only if it leaves from there.
        let gets_in = match self.filtering {
            EndpointIndependent => true,
            AddressDependent => keeps(self),
            AddressAndPortDependent => keeps(self) && keeps(far),
        };
        // Our answer may come from an address that the far end has not sent to.
        let answered = keeps(self) || far.filtering != AddressAndPortDependent;
        // Two that map each port anew never see an answer from where they sent to.
        let settles = self.mapping != AddressAndPortDependent || far.mapping != AddressAndPortDependent;
        gets_in && answered && settles
    }
}

/// The least outside port.
const FIRST_PORT: u16 = 20_000;
/// Mappings and waiting datagrams; more are dropped.
const MAX_MAPPINGS: usize = 1024;

/// The translator: put hosts behind it with [`World::put_behind`](crate::World::put_behind).
#[derive(Debug)]
pub struct Nat {
    kind: NatKind,
    outside: IpAddr,
    mappings: Vec<Mapping>,
    next_port: u16,
    queue: VecDeque<(Path, Vec<u8>)>,
}

#[derive(Debug)]
struct Mapping {
    inside: SocketAddr,
    /// The far end that the mapping was made for.
    made_for: SocketAddr,
    port: u16,
    /// The far ends that were sent to.
    contacted: Vec<SocketAddr>,
    last_used: Instant,
}

impl Nat {
    /// A translator with this outside address.
    #[must_use]
    pub fn new(kind: NatKind, outside: IpAddr) -> Self {
        Self {
            kind,
            outside,
            mappings: Vec::new(),
            next_port: FIRST_PORT,
            queue: VecDeque::new(),
        }
    }

    /// Forgets all mappings, as after a power cut.
    pub fn reboot(&mut self) {
        self.mappings.clear();
    }

    /// The outside address from which `inside` speaks to `far`; `None` when there is no room for a mapping.
    fn outbound(&mut self, now: Instant, inside: SocketAddr, far: SocketAddr) -> Option<SocketAddr> {
        let kind = self.kind;
        self.mappings
            .retain(|mapping| now.saturating_duration_since(mapping.last_used) < kind.expiry);
        let fits = |mapping: &Mapping| mapping.inside == inside && kind.mapping.same(mapping.made_for, far);
        let index = match self.mappings.iter().position(fits) {
            Some(index) => index,
            None if self.mappings.len() >= MAX_MAPPINGS => return None,
            None => {
                self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
                let contacted = Vec::new();
                let port = self.next_port;
                self.mappings.push(Mapping {
                    inside,
                    made_for: far,
                    port,
                    contacted,
                    last_used: now,
                });
                self.mappings.len() - 1
            }
        };
        let mapping = &mut self.mappings[index];
        mapping.last_used = now;
        if !mapping.contacted.contains(&far) && mapping.contacted.len() < MAX_MAPPINGS {
            mapping.contacted.push(far);
        }
        Some(SocketAddr::new(self.outside, mapping.port))
    }

    /// Who gets what `far` sends to the outside port.
    fn inbound(&self, now: Instant, port: u16, far: SocketAddr) -> Option<SocketAddr> {
        let alive = |mapping: &&Mapping| {
            mapping.port == port && now.saturating_duration_since(mapping.last_used) < self.kind.expiry
        };
        let mapping = self.mappings.iter().find(alive)?;
        let open = mapping
            .contacted
            .iter()
            .any(|contacted| self.kind.filtering.same(*contacted, far));
        open.then_some(mapping.inside)
    }
}

impl Node for Nat {
    type Event = Infallible;

    fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        if path.transport == Transport::Udp && !self.kind.udp {
            return;
        }
        let to_outside_address = path.local.ip() == self.outside;
        let from_inside = self
            .mappings
            .iter()
            .any(|mapping| mapping.inside.ip() == path.remote.ip());
        let translated = if !to_outside_address {
            // From an inside host to the world.
            self.outbound(now, path.remote, path.local)
                .map(|source| Path::udp(source, path.local))
        } else if !from_inside {
            self.inbound(now, path.local.port(), path.remote)
                .map(|inside| Path::udp(path.remote, inside))
        } else if self.kind.hairpin {
            // RFC 4787, section 6: the source that the other host sees is the outside one.
            self.outbound(now, path.remote, path.local).and_then(|source| {
                self.inbound(now, path.local.port(), source)
                    .map(|inside| Path::udp(source, inside))
            })
        } else {
            None
        };
        let translated = translated.map(|ends| Path {
            transport: path.transport,
            ..ends
        });
        if let Some(translated) = translated.filter(|_| self.queue.len() < MAX_MAPPINGS) {
            self.queue.push_back((translated, data.to_vec()));
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_transmit(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let (path, data) = self.queue.pop_front()?;
        out.extend_from_slice(&data);
        Some(Transmit::new(path))
    }

    fn poll_event(&mut self) -> Option<Infallible> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::epoch;

    const KIND: NatKind = NatKind {
        mapping: Dependence::EndpointIndependent,
        filtering: Dependence::AddressAndPortDependent,
        expiry: Duration::from_secs(120),
        hairpin: true,
        udp: true,
    };

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn pass(nat: &mut Nat, now: Instant, from: &str, to: &str) -> Option<Path> {
        nat.handle_datagram(
            now,
            Path::udp(address(to), address(from)),
            BytesMut::from(&b"x"[..]),
        );
        nat.poll_transmit(now, &mut Vec::new())
            .map(|transmit| transmit.path)
    }

    fn nat(kind: NatKind) -> Nat {
        Nat::new(kind, [198, 51, 100, 1].into())
    }

    #[test]
    fn an_independent_mapping_is_kept_and_a_dependent_one_is_not() {
        let now = epoch();
        for (mapping, same) in [
            (Dependence::EndpointIndependent, true),
            (Dependence::AddressDependent, false),
        ] {
            let mut nat = nat(NatKind { mapping, ..KIND });
            let one = pass(&mut nat, now, "10.0.0.1:5000", "192.0.2.1:1").unwrap();
            let two = pass(&mut nat, now, "10.0.0.1:5000", "192.0.2.2:1").unwrap();
            assert_eq!(one.local == two.local, same);
            assert_eq!(one.remote, address("192.0.2.1:1"));
        }
    }

    #[test]
    fn only_who_was_spoken_to_gets_in_and_only_for_a_while() {
        let now = epoch();
        let mut nat = nat(KIND);
        let outside = pass(&mut nat, now, "10.0.0.1:5000", "192.0.2.1:1")
            .unwrap()
            .local
            .to_string();
        let inbound = pass(&mut nat, now, "192.0.2.1:1", &outside).unwrap();
        assert_eq!(
            inbound,
            Path::udp(address("192.0.2.1:1"), address("10.0.0.1:5000"))
        );
        assert_eq!(pass(&mut nat, now, "192.0.2.1:2", &outside), None);
        assert_eq!(pass(&mut nat, now + KIND.expiry, "192.0.2.1:1", &outside), None);
    }

    #[test]
    fn a_hairpin_shows_the_outside_address() {
        let now = epoch();
        let mut nat = nat(NatKind {
            filtering: Dependence::EndpointIndependent,
            ..KIND
        });
        let one = pass(&mut nat, now, "10.0.0.1:5000", "192.0.2.1:1")
            .unwrap()
            .local
            .to_string();
        let two = pass(&mut nat, now, "10.0.0.2:5000", "192.0.2.1:1").unwrap().local;
        let hairpin = pass(&mut nat, now, "10.0.0.2:5000", &one).unwrap();
        assert_eq!(hairpin, Path::udp(two, address("10.0.0.1:5000")));
    }
}
