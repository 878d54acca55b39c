//! The allocation from the client's side (RFC 8656, sections 7 and 8; RFC 8016): the attributes of Allocate and Refresh
//! requests, and what their answers mean.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use dunlin_stun::attribute::{DONT_FRAGMENT, XOR_RELAYED_ADDRESS};
use dunlin_stun::{AddressFamily, Message, Writer, code as stun_code};

use super::{Allocated, Config, Failure};
use crate::attribute::{
    AdditionalAddressFamily, AddressErrorCode, DontFragment, Lifetime, MobilityTicket,
    RequestedAddressFamily, ReservationToken,
};
use crate::code;

/// RFC 8656, section 8: "It is suggested that the client refresh the allocation roughly 1 minute before it expires."
const REFRESH_MARGIN: Duration = Duration::from_secs(60);

/// The longest ticket that is kept. RFC 8016, section 3.1.2, has servers "use a ticket length in accordance with the
/// published guidance on STUN UDP fragmentation", which is less; and it must fit a request.
const MAX_TICKET_LEN: usize = 1024;

/// Where an allocation stands.
#[derive(Debug)]
pub(super) enum State {
    /// Asked for.
    Asking,
    /// There.
    Active(Active),
    /// Being given back, or not wanted any more before it was there; and what to tell when that is done.
    Closing(Failure),
    /// Over.
    Closed,
}

/// An allocation that is there.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) relayed: [Option<SocketAddr>; 2],
    pub(super) refresh_at: Instant,
    pub(super) refreshing: bool,
    pub(super) ticket: Option<Vec<u8>>,
}

impl Active {
    /// Whether a relayed address of this family is there.
    pub(super) fn relays_to(&self, peer: std::net::IpAddr) -> bool {
        let mut relayed = self.relayed.iter().flatten();
        relayed.any(|relayed| relayed.is_ipv4() == peer.is_ipv4())
    }
}

/// When to refresh what lives for `lifetime`: a minute before its end, or in the middle of a short life.
pub(super) fn refresh_at(now: Instant, lifetime: Duration) -> Instant {
    now + lifetime.saturating_sub(REFRESH_MARGIN).max(lifetime / 2)
}

/// Appends the attributes of an Allocate request.
pub(super) fn write_allocate(config: &Config, writer: &mut Writer<'_>) {
    config.transport.write(writer);
    Lifetime(config.lifetime).write(writer);
    if let Some(token) = config.reservation {
        token.write(writer);
    } else {
        if let Some(even_port) = config.even_port {
            even_port.write(writer);
        }
        match config.family {
            Some(family) => RequestedAddressFamily(Ok(family)).write(writer),
            None if config.additional_ipv6 => AdditionalAddressFamily(Ok(AddressFamily::Ipv6)).write(writer),
            None => {}
        }
    }
    if config.dont_fragment {
        DontFragment.write(writer);
    }
    if config.mobility {
        MobilityTicket(&[]).write(writer);
    }
}

/// Reads an Allocate success response.
pub(super) fn read_allocated(message: &Message<'_>, now: Instant) -> Option<(Allocated, Active)> {
    let mut relayed = message.xor_addresses(XOR_RELAYED_ADDRESS);
    let first = relayed.next()??;
    let additional = relayed
        .next()
        .flatten()
        .filter(|second| second.is_ipv4() != first.is_ipv4());
    let lifetime = Lifetime::read(message)?.0;
    let ticket = read_ticket(message);
    let allocated = Allocated {
        relayed: first,
        additional,
        missing: AddressErrorCode::read(message).map(|missing| (missing.family, missing.error.code)),
        mapped: message.xor_mapped_address(),
        lifetime,
        reservation: ReservationToken::read(message),
        mobile: ticket.is_some(),
    };
    let active = Active {
        relayed: [Some(first), additional],
        refresh_at: refresh_at(now, lifetime),
        refreshing: false,
        ticket,
    };
    Some((allocated, active))
}

/// Reads the ticket of a response, if it can be of use.
pub(super) fn read_ticket(message: &Message<'_>) -> Option<Vec<u8>> {
    let ticket = MobilityTicket::read(message)?.0;
    (1..=MAX_TICKET_LEN)
        .contains(&ticket.len())
        .then(|| ticket.to_vec())
}

/// What to give up so that a refused Allocate request may be accepted: RFC 8656, section 7.4, 420: "The client [...]
/// MAY choose to retry the Allocate request without the DONT-FRAGMENT attribute"; RFC 8016, section 3.1.4, 405.
pub(super) fn concede(config: &mut Config, message: &Message<'_>, code: u16) -> bool {
    match code {
        stun_code::UNKNOWN_ATTRIBUTE if message.unknown_attributes().any(|kind| kind == DONT_FRAGMENT) => {
            std::mem::take(&mut config.dont_fragment)
        }
        code::MOBILITY_FORBIDDEN => std::mem::take(&mut config.mobility),
        _ => false,
    }
}

/// Why an Allocate request was refused, in words (RFC 8656, section 7.4).
pub(super) fn refusal(message: &Message<'_>, code: u16, authentic: bool) -> Failure {
    match code {
        // RFC 8489, section 6.3.4: an error without a code, or with attributes that must be understood and are not.
        0 => Failure::NotUnderstood,
        // RFC 8489, section 14.8: receivers "MUST validate" the integrity "before redirecting themselves".
        stun_code::TRY_ALTERNATE if authentic => match message.alternate_server() {
            Some(server) => Failure::Redirected {
                server,
                domain: message.alternate_domain().map(str::to_owned),
            },
            None => Failure::NotUnderstood,
        },
        stun_code::UNAUTHENTICATED | code::WRONG_CREDENTIALS => Failure::WrongCredentials,
        code::FORBIDDEN => Failure::Forbidden,
        code::ALLOCATION_MISMATCH => Failure::AddressInUse,
        code::ADDRESS_FAMILY_NOT_SUPPORTED => Failure::FamilyNotSupported,
        code::UNSUPPORTED_TRANSPORT_PROTOCOL => Failure::TransportNotSupported,
        code::ALLOCATION_QUOTA_REACHED => Failure::QuotaReached,
        code::INSUFFICIENT_CAPACITY => Failure::InsufficientCapacity,
        _ => Failure::Refused {
            code,
            reason: message.error_code().map_or("", |error| error.reason).to_owned(),
        },
    }
}
