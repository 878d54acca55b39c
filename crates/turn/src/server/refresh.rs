//! Refresh requests: longer, over, or elsewhere (RFC 8656, section 8.2; RFC 8016, section 3.2.2).

use std::time::Duration;

use dunlin_net::Transport;
use dunlin_stun::attribute::{LIFETIME, REQUESTED_ADDRESS_FAMILY};
use dunlin_stun::{AddressFamily, Message, code as stun_code};
use log::info;

use super::event::{Event, Release};
use super::request::{Origin, Session};
use super::{Key, Server};
use crate::attribute::{Lifetime, MobilityTicket, RequestedAddressFamily, RequestedTransport, is_malformed};
use crate::code;

impl Server {
    pub(super) fn refresh(&mut self, origin: Origin, request: &Message<'_>, session: &Session) {
        let found = match MobilityTicket::read(request) {
            Some(ticket) => self.find_by_ticket(origin, ticket.0, session),
            None => self.own_allocation(origin, session).map(|key| (key, false)),
        };
        let (key, moves) = match found {
            Ok(found) => found,
            Err(code) => return self.refuse(origin, session, code),
        };
        let relays = self.allocations.get(key).map(|allocation| allocation.relays);
        let relays = relays.unwrap_or_default();
        let family = match RequestedAddressFamily::read(request) {
            // "If the server receives a Refresh Request with a REQUESTED-ADDRESS-FAMILY attribute and the attribute
            // value does not match the address family of the allocation, the server MUST reply with a 443".
            Some(RequestedAddressFamily(Ok(family))) if relays[index(family)].is_some() => Some(family),
            Some(_) => return self.refuse(origin, session, code::PEER_ADDRESS_FAMILY_MISMATCH),
            None if request.attribute(REQUESTED_ADDRESS_FAMILY).is_some() => {
                return self.refuse(origin, session, stun_code::BAD_REQUEST);
            }
            None => None,
        };
        let asked = Lifetime::read(request);
        if is_malformed(request, LIFETIME, asked) {
            return self.refuse(origin, session, stun_code::BAD_REQUEST);
        }
        // Not before all checks have passed: a client whose request is refused stays where it is.
        if moves {
            self.move_allocation(origin, key);
        }
        let lifetime = if asked == Some(Lifetime(Duration::ZERO)) {
            let both = relays.iter().flatten().count() == 2;
            match family.filter(|_| both) {
                Some(family) => self.release_family(key, family),
                None => self.release(key, Release::Client),
            }
            Duration::ZERO
        } else {
            let lifetime = self.desired_lifetime(asked);
            self.set_expiry(key, self.now + lifetime);
            lifetime
        };
        let ticket = self
            .allocations
            .get(key)
            .filter(|_| MobilityTicket::read(request).is_some())
            .map(|allocation| self.tickets.make(key, allocation.moves));
        self.stats.granted += 1;
        self.reply(origin, session, None, |writer| {
            Lifetime(lifetime).write(writer);
            if let Some(ticket) = ticket {
                MobilityTicket(&ticket).write(writer);
            }
        });
    }

    /// "Deleting a single allocation destroys any permissions or channels associated with that particular allocation;
    /// it MUST NOT affect any permissions or channels associated with allocations for the other address family."
    fn release_family(&mut self, key: Key, family: AddressFamily) {
        let Some(allocation) = self.allocations.get_mut(key) else {
            return;
        };
        allocation.forget_family(family == AddressFamily::Ipv6);
        if let Some(relay) = allocation.relays[index(family)].take() {
            self.close_relay(relay);
        }
    }

    /// Finds the allocation by its ticket, and says whether it has still to move to where this request came from.
    fn find_by_ticket(&self, origin: Origin, ticket: &[u8], session: &Session) -> Result<(Key, bool), u16> {
        if !self.config.mobility {
            return Err(code::MOBILITY_FORBIDDEN);
        }
        let (key, moves) = self.tickets.read(ticket).map_err(|_| stun_code::BAD_REQUEST)?;
        let elsewhere = self.by_client.get(&origin.path).is_some_and(|other| other != key);
        let allocation = self.allocations.get(key).ok_or(code::ALLOCATION_MISMATCH)?;
        // "to identify that it is the same user that had previously created the TURN allocation. If the above check is
        // not successful, then the server MUST reject the request with a 441".
        if allocation.username != session.username {
            return Err(code::WRONG_CREDENTIALS);
        }
        // "The old ticket can only be used for the purposes of retransmission."
        if moves.wrapping_add(1) == allocation.moves && allocation.client == origin.path {
            return Ok((key, false));
        }
        let here = allocation.client == origin.path || allocation.old_client == Some(origin.path);
        // RFC 6062, section 4.2: of a TCP allocation "the Refresh MUST be sent on the control connection", which is TCP or TLS.
        let stream = matches!(origin.path.transport, Transport::Tcp | Transport::Tls);
        let astray = allocation.transport == RequestedTransport::TCP && !stream;
        // A 437 would say that there is no allocation any more, which is not so where another one is in the way.
        if moves != allocation.moves || here || elsewhere || astray || !allocation.mobile {
            return Err(stun_code::BAD_REQUEST);
        }
        if allocation.pending.is_some() {
            return Err(code::ALLOCATION_MISMATCH);
        }
        Ok((key, true))
    }

    /// Lets the client go on from where this request came from.
    fn move_allocation(&mut self, origin: Origin, key: Key) {
        let Some(allocation) = self.allocations.get_mut(key) else {
            return;
        };
        let previous = allocation.client;
        match allocation.old_client {
            // It moved on before it sent anything: the place in between is forgotten.
            Some(_) => self.by_client.remove(&previous),
            None => allocation.old_client = Some(previous),
        }
        info!("turn: {previous} moves to {}", origin.path);
        allocation.client = origin.path;
        allocation.moves = allocation.moves.wrapping_add(1);
        self.by_client.insert(origin.path, key);
    }

    /// "until it receives a Send Indication or ChannelData message from the client on the new 5-tuple [...]. After
    /// receiving any of those messages, a TURN server discards [...] the old 5-tuple".
    pub(super) fn settle(&mut self, key: Key) {
        let old = self
            .allocations
            .get_mut(key)
            .and_then(|allocation| allocation.old_client.take());
        if let Some(old) = old {
            self.by_client.remove(&old);
        }
    }

    pub(super) fn close_relay(&mut self, relay: super::RelayId) {
        if let Some(closed) = self.relays.remove(relay.0) {
            if let Some(address) = closed.address {
                self.by_relayed.remove(&address);
            }
            self.events.push_back(Event::CloseRelay(relay));
            if let Some(next) = closed.next {
                self.relays.remove(next.0);
                self.events.push_back(Event::CloseRelay(next));
            }
        }
    }
}

fn index(family: AddressFamily) -> usize {
    usize::from(family == AddressFamily::Ipv6)
}
