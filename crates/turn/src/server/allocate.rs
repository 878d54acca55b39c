//! Allocate requests (RFC 8656, section 7.2): the checks in the order of the RFC, the relays that the parent opens, the
//! answer when they are open.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dunlin_net::Transport;
use dunlin_stun::attribute::{
    ADDITIONAL_ADDRESS_FAMILY, EVEN_PORT, LIFETIME, REQUESTED_ADDRESS_FAMILY, RESERVATION_TOKEN,
};
use dunlin_stun::{AddressFamily, ErrorCode, Message, code as stun_code};
use log::info;
use rand::Rng;

use super::allocation::{Allocation, Made, Pending};
use super::auth::quota_name;
use super::event::{Event, PortPolicy, RelayId, Release};
use super::limit::TokenBucket;
use super::relay::{Owner, Relay};
use super::request::{Origin, Session};
use super::{Key, Server, Timer};
use crate::attribute::{
    AdditionalAddressFamily, AddressErrorCode, DontFragment, EvenPort, Lifetime, MobilityTicket,
    RequestedAddressFamily, RequestedTransport, ReservationToken, is_malformed,
};
use crate::code;

/// How long the parent has to open a relay.
const OPENING_TIME: Duration = Duration::from_secs(10);
/// RFC 8656, section 7.2: "The server MUST hold this reservation for at least 30 seconds".
const RESERVATION_TIME: Duration = Duration::from_secs(30);

/// What a request asks for, after the checks.
struct Wish {
    transport: RequestedTransport,
    /// IPv4, IPv6.
    families: [bool; 2],
    missing: Option<(AddressFamily, u16)>,
    even_port: Option<EvenPort>,
    reserved: Option<(ReservationToken, RelayId)>,
    /// The token of a port that the parent keeps.
    kept: Option<ReservationToken>,
    mobile: bool,
    lifetime: Duration,
}

impl Server {
    pub(super) fn allocate(&mut self, origin: Origin, request: &Message<'_>, session: Session) {
        if let Some(key) = self.by_client.get(&origin.path) {
            // The "stateless stack approach" for retransmissions.
            let known = self.allocations.get(key);
            return match known
                .filter(|known| known.made_by == origin.id && known.username == session.username)
            {
                Some(known) if known.pending.is_some() => {}
                Some(_) => self.answer_allocated(key, origin, &session),
                None => self.refuse(origin, &session, code::ALLOCATION_MISMATCH),
            };
        }
        let wish = match self.read_wish(origin, request) {
            Ok(wish) => wish,
            Err(code) => return self.refuse(origin, &session, code),
        };
        if let Err(code) = self.check_capacity(&session) {
            // RFC 8489, section 10: the address is of the family "of the source IP address of the request message".
            let same_family = |server: &SocketAddr| server.is_ipv4() == origin.path.remote.is_ipv4();
            let alternate = self
                .config
                .alternate_server
                .filter(|_| self.draining)
                .filter(same_family);
            return match alternate {
                Some(server) => {
                    self.stats.refused += 1;
                    self.reply(origin, &session, Some(stun_code::TRY_ALTERNATE), |writer| {
                        writer.alternate_server(server);
                    });
                }
                None => self.refuse(origin, &session, code),
            };
        }
        *self
            .in_use
            .entry(quota_name(&session.username).into())
            .or_default() += 1;
        let expires = self.now + OPENING_TIME;
        let rate = self.config.max_bytes_per_second.unwrap_or_default();
        let key = self.allocations.insert(Allocation::new(Made {
            transport: wish.transport,
            missing: wish.missing,
            pending: Pending {
                session,
                origin,
                lifetime: wish.lifetime,
            },
            mobile: wish.mobile,
            expires,
            bucket: TokenBucket::new(rate, self.now),
        }));
        self.by_client.insert(origin.path, key);
        self.timers.insert((expires, Timer::Allocation(key)));
        self.open_relays(key, &wish);
        self.finish_allocation(key);
    }

    /// RFC 8656, section 7.2, checks 3 to 9.
    fn read_wish(&self, origin: Origin, request: &Message<'_>) -> Result<Wish, u16> {
        let transport = RequestedTransport::read(request).ok_or(stun_code::BAD_REQUEST)?;
        let stream = matches!(origin.path.transport, Transport::Tcp | Transport::Tls);
        match transport {
            RequestedTransport::UDP => {}
            RequestedTransport::TCP if self.config.tcp_relays => {
                // RFC 6062, section 5.1: "The client connection transport MUST be TCP or TLS"; EVEN-PORT,
                // RESERVATION-TOKEN and DONT-FRAGMENT have no place there.
                let misplaced = request.attribute(EVEN_PORT).is_some()
                    || request.attribute(RESERVATION_TOKEN).is_some()
                    || DontFragment::read(request).is_some();
                if !stream || misplaced {
                    return Err(stun_code::BAD_REQUEST);
                }
            }
            _ => return Err(code::UNSUPPORTED_TRANSPORT_PROTOCOL),
        }
        let family = RequestedAddressFamily::read(request);
        let additional = AdditionalAddressFamily::read(request);
        let even_port = EvenPort::read(request);
        let token = ReservationToken::read(request);
        if is_malformed(request, LIFETIME, Lifetime::read(request))
            || is_malformed(request, REQUESTED_ADDRESS_FAMILY, family)
            || is_malformed(request, EVEN_PORT, even_port)
            || is_malformed(request, RESERVATION_TOKEN, token)
        {
            return Err(stun_code::BAD_REQUEST);
        }
        let mut kept = None;
        let reserved = match token {
            Some(_) if even_port.is_some() || family.is_some() || additional.is_some() => {
                return Err(stun_code::BAD_REQUEST);
            }
            Some(token) if self.config.reservations_outside => {
                kept = Some(token);
                None
            }
            Some(token) => {
                let relay = self.reservations.get(&token).ok_or(code::INSUFFICIENT_CAPACITY)?;
                Some((token, *relay))
            }
            None => None,
        };
        if family.is_some() && additional.is_some() {
            return Err(stun_code::BAD_REQUEST);
        }
        let (mut families, mut missing) = ([false; 2], None);
        let offered = |family| match family {
            AddressFamily::Ipv4 => self.config.ipv4,
            AddressFamily::Ipv6 => self.config.ipv6,
        };
        let wanted = match family {
            Some(RequestedAddressFamily(family)) => family.map_err(|_| code::ADDRESS_FAMILY_NOT_SUPPORTED)?,
            None => AddressFamily::Ipv4,
        };
        families[usize::from(wanted == AddressFamily::Ipv6)] = offered(wanted);
        if additional.is_some() || request.attribute(ADDITIONAL_ADDRESS_FAMILY).is_some() {
            let reserves = even_port.is_some_and(|even| even.reserve_next);
            // "If yes, and the attribute value is 0x01 (IPv4 address family), then the server rejects the request".
            if reserves || additional != Some(AdditionalAddressFamily(Ok(AddressFamily::Ipv6))) {
                return Err(stun_code::BAD_REQUEST);
            }
            families[1] = offered(AddressFamily::Ipv6);
            for (family, given) in [
                (AddressFamily::Ipv4, families[0]),
                (AddressFamily::Ipv6, families[1]),
            ] {
                if !given {
                    missing = Some((family, code::ADDRESS_FAMILY_NOT_SUPPORTED));
                }
            }
        }
        if families == [false; 2] && reserved.is_none() && kept.is_none() {
            return Err(code::ADDRESS_FAMILY_NOT_SUPPORTED);
        }
        // RFC 8016, section 3.1.2.
        let mobile = match MobilityTicket::read(request) {
            Some(MobilityTicket([])) if !self.config.mobility => return Err(code::MOBILITY_FORBIDDEN),
            Some(MobilityTicket([])) => true,
            Some(_) => return Err(stun_code::BAD_REQUEST),
            None => false,
        };
        let lifetime = self.desired_lifetime(Lifetime::read(request));
        Ok(Wish {
            transport,
            families,
            missing,
            even_port,
            reserved,
            kept,
            mobile,
            lifetime,
        })
    }

    /// "the server computes the minimum of the client's proposed lifetime and the server's maximum allowed lifetime.
    /// If this computed value is greater than the default lifetime, then the server uses the computed lifetime [...].
    /// Otherwise, the server uses the default lifetime."
    pub(super) fn desired_lifetime(&self, asked: Option<Lifetime>) -> Duration {
        let default = self.config.default_lifetime.max(Duration::from_secs(1));
        let asked = asked.map_or(default, |asked| asked.0.min(self.config.max_lifetime));
        // LIFETIME has 32 bits (section 18.2), and no more is promised than it says.
        asked.max(default).min(Duration::from_secs(u32::MAX.into()))
    }

    fn check_capacity(&mut self, session: &Session) -> Result<(), u16> {
        let full = self.allocations.len() + self.elsewhere >= self.config.max_allocations;
        if self.draining || full || self.events.len() >= self.config.max_events {
            return Err(code::INSUFFICIENT_CAPACITY);
        }
        let used = self.in_use.get(quota_name(&session.username)).copied();
        if used.unwrap_or_default() >= self.config.max_allocations_per_user {
            self.stats.quota_reached += 1;
            return Err(code::ALLOCATION_QUOTA_REACHED);
        }
        Ok(())
    }

    fn open_relays(&mut self, key: Key, wish: &Wish) {
        if let Some((token, relay)) = wish.reserved {
            self.reservations.remove(&token);
            if let Some(reserved) = self.relays.get_mut(relay.0) {
                reserved.owner = Owner::Allocation(key);
                let family = usize::from(reserved.family == AddressFamily::Ipv6);
                if let Some(allocation) = self.allocations.get_mut(key) {
                    allocation.relays[family] = Some(relay);
                }
            }
            return;
        }
        if let Some(token) = wish.kept {
            // Of which family it is, its address will say.
            return self.open_relay(
                key,
                AddressFamily::Ipv4,
                PortPolicy::Reserved(token),
                wish.transport,
            );
        }
        for (index, family) in [AddressFamily::Ipv4, AddressFamily::Ipv6].into_iter().enumerate() {
            if !wish.families[index] {
                continue;
            }
            let port = match wish.even_port {
                None => PortPolicy::Any,
                Some(EvenPort { reserve_next: false }) => PortPolicy::Even,
                Some(EvenPort { reserve_next: true }) => self.reserve(key, family),
            };
            self.open_relay(key, family, port, wish.transport);
        }
    }

    /// Makes a token for the port behind an even one, and a relay for it where we keep it.
    fn reserve(&mut self, key: Key, family: AddressFamily) -> PortPolicy {
        let mut token = [0; 8];
        self.rng.fill_bytes(&mut token);
        let token = ReservationToken(token);
        if !self.config.reservations_outside {
            let relay = Relay::new(Owner::Reservation(token), family);
            return PortPolicy::EvenAndNext(RelayId(self.relays.insert(relay)));
        }
        if let Some(allocation) = self.allocations.get_mut(key) {
            allocation.reservation = Some(token);
        }
        PortPolicy::EvenAndReserve(token)
    }

    fn open_relay(
        &mut self,
        key: Key,
        family: AddressFamily,
        port: PortPolicy,
        transport: RequestedTransport,
    ) {
        let mut opening = Relay::new(Owner::Allocation(key), family);
        if let PortPolicy::EvenAndNext(next) = port {
            opening.next = Some(next);
        }
        let relay = RelayId(self.relays.insert(opening));
        if let Some(allocation) = self.allocations.get_mut(key) {
            allocation.relays[usize::from(family == AddressFamily::Ipv6)] = Some(relay);
        }
        self.events.push_back(Event::OpenRelay {
            relay,
            family,
            port,
            transport,
        });
    }

    /// The parent has opened the relay; peers reach it at `address`, which behind a 1:1 NAT is the outer one.
    pub fn relay_opened(&mut self, now: Instant, relay: RelayId, address: SocketAddr) {
        self.now = self.now.max(now);
        let Some(opened) = self.relays.get_mut(relay.0) else {
            // The client did not wait; the event that says so is under way.
            return;
        };
        opened.address = Some(address);
        let family = if address.is_ipv4() {
            AddressFamily::Ipv4
        } else {
            AddressFamily::Ipv6
        };
        if opened.family != family {
            // A reserved port, whose family nobody knew.
            opened.family = family;
            if let Owner::Allocation(key) = opened.owner
                && let Some(allocation) = self.allocations.get_mut(key)
            {
                allocation.relays.swap(0, 1);
            }
        }
        self.config.access.learn_own(address.ip());
        let (owner, next) = (opened.owner, opened.next.take());
        self.by_relayed.insert(address, relay);
        if let Some(reserved) = next.and_then(|next| self.relays.get_mut(next.0)) {
            let next_address = SocketAddr::new(address.ip(), address.port().wrapping_add(1));
            reserved.address = Some(next_address);
            if let (Some(next), Owner::Reservation(token)) = (next, reserved.owner) {
                self.by_relayed.insert(next_address, next);
                self.reservations.insert(token, next);
                self.timers
                    .insert((self.now + RESERVATION_TIME, Timer::Reservation(token)));
                if let Owner::Allocation(key) = owner
                    && let Some(allocation) = self.allocations.get_mut(key)
                {
                    allocation.reservation = Some(token);
                }
            }
        }
        if let Owner::Allocation(key) = owner {
            self.finish_allocation(key);
        }
    }

    /// The parent could not open the relay.
    pub fn relay_failed(&mut self, now: Instant, relay: RelayId) {
        self.now = self.now.max(now);
        let Some(failed) = self.relays.remove(relay.0) else {
            return;
        };
        if let Some(next) = failed.next {
            self.relays.remove(next.0);
        }
        let Owner::Allocation(key) = failed.owner else {
            return;
        };
        let Some(allocation) = self.allocations.get_mut(key) else {
            return;
        };
        allocation.relays[usize::from(failed.family == AddressFamily::Ipv6)] = None;
        allocation.missing = Some((failed.family, code::INSUFFICIENT_CAPACITY));
        if allocation.relays != [None, None] {
            return self.finish_allocation(key);
        }
        if let Some(pending) = allocation.pending.take() {
            self.refuse(pending.origin, &pending.session, code::INSUFFICIENT_CAPACITY);
        }
        self.release(key, Release::NoRelay);
    }

    /// Answers an Allocate request when all its relays are open.
    fn finish_allocation(&mut self, key: Key) {
        let Some(allocation) = self.allocations.get_mut(key) else {
            return;
        };
        let relays = &self.relays;
        let is_open = |relay: &RelayId| relays.get(relay.0).is_some_and(|relay| relay.address.is_some());
        if !allocation.relays.iter().flatten().all(is_open) {
            return;
        }
        let Some(pending) = allocation.pending.take() else {
            return;
        };
        let (username, client) = (allocation.username.to_vec(), allocation.client);
        self.set_expiry(key, self.now + pending.lifetime);
        self.stats.allocations_made += 1;
        if let Some(relayed) = self.relayed_addresses(key).next() {
            info!("turn: {relayed} relays for {client}");
            self.events.push_back(Event::Allocated {
                client,
                username,
                relayed,
            });
        }
        self.answer_allocated(key, pending.origin, &pending.session);
    }

    pub(super) fn relayed_addresses(&self, key: Key) -> impl Iterator<Item = SocketAddr> + use<> {
        let relays = self.allocations.get(key).map(|allocation| allocation.relays);
        let address = |relay: RelayId| self.relays.get(relay.0)?.address;
        relays
            .unwrap_or_default()
            .map(|relay| relay.and_then(address))
            .into_iter()
            .flatten()
    }

    fn answer_allocated(&mut self, key: Key, origin: Origin, session: &Session) {
        let Some(allocation) = self.allocations.get(key) else {
            return;
        };
        let lifetime = allocation.expires.saturating_duration_since(self.now);
        let (reservation, missing) = (allocation.reservation, allocation.missing);
        let ticket = allocation
            .mobile
            .then(|| self.tickets.make(key, allocation.moves));
        let relayed = self.relayed_addresses(key);
        self.stats.granted += 1;
        self.reply(origin, session, None, |writer| {
            for address in relayed {
                writer.xor_relayed_address(address);
            }
            Lifetime(lifetime).write(writer);
            writer.xor_mapped_address(origin.path.remote);
            if let Some(token) = reservation {
                token.write(writer);
            }
            if let Some((family, code)) = missing {
                let error = ErrorCode { code, reason: "" };
                AddressErrorCode { family, error }.write(writer);
            }
            if let Some(ticket) = ticket {
                MobilityTicket(&ticket).write(writer);
            }
        });
    }
}
