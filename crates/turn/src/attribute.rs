//! The attributes of TURN as values (RFC 8656, section 18; RFC 6062, section 6.2; RFC 8016, section 3): each is read
//! from a message and written to one. Addresses and data are methods of the message itself
//! ([`Message::xor_peer_address`], [`Message::xor_relayed_address`], [`Message::data`]).
//!
//! Reserved bits are written as zero and ignored when read. A value of the wrong length is as good as absent.

use std::time::Duration;

use dunlin_stun::attribute::{
    ADDITIONAL_ADDRESS_FAMILY, ADDRESS_ERROR_CODE, CHANNEL_NUMBER, CONNECTION_ID, DONT_FRAGMENT, EVEN_PORT,
    ICMP, LIFETIME, MOBILITY_TICKET, REQUESTED_ADDRESS_FAMILY, REQUESTED_TRANSPORT, RESERVATION_TOKEN,
};
use dunlin_stun::{AddressFamily, Class, ErrorCode, Message, Method, Writer};

use crate::channel_data::ChannelNumber;

impl ChannelNumber {
    /// Reads CHANNEL-NUMBER; a number outside 0x4000 to 0x4FFF is an error that the caller answers with 400, so it
    /// is told apart from an absent one.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Option<Result<ChannelNumber, u16>> {
        let [a, b, _, _] = fixed(message, CHANNEL_NUMBER)?;
        let number = u16::from_be_bytes([a, b]);
        Some(ChannelNumber::new(number).ok_or(number))
    }

    /// Appends CHANNEL-NUMBER.
    pub fn write(self, writer: &mut Writer<'_>) {
        let [a, b] = self.get().to_be_bytes();
        writer.attribute(CHANNEL_NUMBER, &[a, b, 0, 0]);
    }
}

/// LIFETIME: whole seconds until an allocation expires. Zero in a Refresh deletes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(pub Duration);

impl Lifetime {
    /// Reads LIFETIME.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Option<Self> {
        fixed(message, LIFETIME).map(|seconds| Self(Duration::from_secs(u32::from_be_bytes(seconds).into())))
    }

    /// Appends LIFETIME.
    pub fn write(self, writer: &mut Writer<'_>) {
        let seconds = u32::try_from(self.0.as_secs()).unwrap_or(u32::MAX);
        writer.attribute(LIFETIME, &seconds.to_be_bytes());
    }
}

/// REQUESTED-TRANSPORT: the IP protocol between the relay and its peers. Unknown ones survive, to be answered
/// with 442.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedTransport(pub u8);

impl RequestedTransport {
    /// UDP.
    pub const UDP: RequestedTransport = RequestedTransport(17);
    /// TCP (RFC 6062).
    pub const TCP: RequestedTransport = RequestedTransport(6);

    /// Reads REQUESTED-TRANSPORT.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Option<Self> {
        fixed(message, REQUESTED_TRANSPORT).map(|[protocol, _, _, _]| Self(protocol))
    }

    /// Appends REQUESTED-TRANSPORT.
    pub fn write(self, writer: &mut Writer<'_>) {
        writer.attribute(REQUESTED_TRANSPORT, &[self.0, 0, 0, 0]);
    }
}

/// REQUESTED-ADDRESS-FAMILY: which kind of relayed address is wanted, or which one a Refresh is about. An unknown
/// family is kept as its number, to be answered with 440.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestedAddressFamily(pub Result<AddressFamily, u8>);

impl RequestedAddressFamily {
    /// Reads REQUESTED-ADDRESS-FAMILY.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Option<Self> {
        family(message, REQUESTED_ADDRESS_FAMILY).map(Self)
    }

    /// Appends REQUESTED-ADDRESS-FAMILY.
    pub fn write(self, writer: &mut Writer<'_>) {
        write_family(writer, REQUESTED_ADDRESS_FAMILY, self.0);
    }
}

/// ADDITIONAL-ADDRESS-FAMILY: a second relayed address is wanted. Only IPv6 is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdditionalAddressFamily(pub Result<AddressFamily, u8>);

impl AdditionalAddressFamily {
    /// Reads ADDITIONAL-ADDRESS-FAMILY.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Option<Self> {
        family(message, ADDITIONAL_ADDRESS_FAMILY).map(Self)
    }

    /// Appends ADDITIONAL-ADDRESS-FAMILY.
    pub fn write(self, writer: &mut Writer<'_>) {
        write_family(writer, ADDITIONAL_ADDRESS_FAMILY, self.0);
    }
}

/// EVEN-PORT: an even relayed port is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvenPort {
    /// The R bit: the next higher port is to be held in reserve.
    pub reserve_next: bool,
}

impl EvenPort {
    /// Reads EVEN-PORT.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Option<Self> {
        fixed(message, EVEN_PORT).map(|[bits]| Self {
            reserve_next: bits & 0x80 != 0,
        })
    }

    /// Appends EVEN-PORT.
    pub fn write(self, writer: &mut Writer<'_>) {
        writer.attribute(EVEN_PORT, &[u8::from(self.reserve_next) << 7]);
    }
}

/// DONT-FRAGMENT: the relay is to set the DF bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DontFragment;

impl DontFragment {
    /// Reads DONT-FRAGMENT.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Option<Self> {
        message.attribute(DONT_FRAGMENT).map(|_| Self)
    }

    /// Appends DONT-FRAGMENT.
    pub fn write(self, writer: &mut Writer<'_>) {
        writer.attribute(DONT_FRAGMENT, &[]);
    }
}

/// RESERVATION-TOKEN: names a relayed address held in reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReservationToken(pub [u8; 8]);

impl ReservationToken {
    /// Reads RESERVATION-TOKEN.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Option<Self> {
        fixed(message, RESERVATION_TOKEN).map(Self)
    }

    /// Appends RESERVATION-TOKEN.
    pub fn write(self, writer: &mut Writer<'_>) {
        writer.attribute(RESERVATION_TOKEN, &self.0);
    }
}

/// ADDRESS-ERROR-CODE: why one of two wanted address families was not allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressErrorCode<'a> {
    /// The family that there is no relayed address of.
    pub family: AddressFamily,
    /// 440 or 508.
    pub error: ErrorCode<'a>,
}

impl<'a> AddressErrorCode<'a> {
    /// Reads ADDRESS-ERROR-CODE.
    #[must_use]
    pub fn read(message: &Message<'a>) -> Option<Self> {
        let value = message.attribute(ADDRESS_ERROR_CODE)?;
        // The layout is that of ERROR-CODE, with the family in its first reserved byte.
        Some(Self {
            family: AddressFamily::from_number(*value.first()?)?,
            error: ErrorCode::read(value)?,
        })
    }

    /// Appends ADDRESS-ERROR-CODE. The reason is shorter than 128 characters.
    pub fn write(self, writer: &mut Writer<'_>) {
        let code = self.error.code;
        let head = [
            self.family as u8,
            0,
            (code / 100) as u8 & 0b111,
            (code % 100) as u8,
        ];
        writer.attribute_parts(ADDRESS_ERROR_CODE, &[&head, self.error.reason.as_bytes()]);
    }
}

/// ICMP: why a datagram to a peer was dropped. RFC 8656, figure 11 draws 7 bits for the type and 9 for the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp {
    /// The type: below 128, as that of every error message is.
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// The MTU of the next hop where the type and code say "too big", else zero.
    pub data: u32,
}

impl Icmp {
    /// Reads ICMP.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Option<Self> {
        let [_, _, a, b, data @ ..] = fixed::<8>(message, ICMP)?;
        let bits = u16::from_be_bytes([a, b]);
        // A ninth bit of the code has no meaning in either ICMP.
        Some(Self {
            kind: (bits >> 9) as u8,
            code: (bits & 0xFF) as u8,
            data: u32::from_be_bytes(data),
        })
    }

    /// Appends ICMP.
    pub fn write(self, writer: &mut Writer<'_>) {
        let bits = u16::from(self.kind & 0x7F) << 9 | u16::from(self.code);
        writer.attribute_parts(ICMP, &[&[0, 0], &bits.to_be_bytes(), &self.data.to_be_bytes()]);
    }
}

/// CONNECTION-ID (RFC 6062): names a connection between the relay and a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

impl ConnectionId {
    /// Reads CONNECTION-ID.
    #[must_use]
    pub fn read(message: &Message<'_>) -> Option<Self> {
        fixed(message, CONNECTION_ID).map(u32::from_be_bytes).map(Self)
    }

    /// The connection that a ConnectionBind request asks for, if the message is one: it is the first that a client sends
    /// by a data connection (RFC 6062, section 4.3).
    #[must_use]
    pub fn asked_for(message: &[u8]) -> Option<Self> {
        let message = Message::parse(message).ok()?;
        let asks = message.class() == Class::Request && message.method() == Method::CONNECTION_BIND;
        Self::read(&message).filter(|_| asks)
    }

    /// Which of so many servers has made it ([`Config::instance`](crate::server::Config::instance)).
    #[must_use]
    pub fn instance(self, of: u32) -> u32 {
        self.0 % of.max(1)
    }

    /// Appends CONNECTION-ID.
    pub fn write(self, writer: &mut Writer<'_>) {
        writer.attribute(CONNECTION_ID, &self.0.to_be_bytes());
    }
}

/// MOBILITY-TICKET (RFC 8016): empty to ask for one, else opaque.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MobilityTicket<'a>(pub &'a [u8]);

impl<'a> MobilityTicket<'a> {
    /// Reads MOBILITY-TICKET.
    #[must_use]
    pub fn read(message: &Message<'a>) -> Option<Self> {
        message.attribute(MOBILITY_TICKET).map(Self)
    }

    /// Appends MOBILITY-TICKET.
    pub fn write(self, writer: &mut Writer<'_>) {
        writer.attribute(MOBILITY_TICKET, self.0);
    }
}

/// Whether the message has an attribute of this type whose value could not be read: such a request is a bad one, where
/// ignoring the attribute would give something else than was asked for.
pub(crate) fn is_malformed<T>(message: &Message<'_>, kind: u16, value: Option<T>) -> bool {
    value.is_none() && message.attribute(kind).is_some()
}

fn fixed<const N: usize>(message: &Message<'_>, kind: u16) -> Option<[u8; N]> {
    message.attribute(kind)?.try_into().ok()
}

fn family(message: &Message<'_>, kind: u16) -> Option<Result<AddressFamily, u8>> {
    let [number, _, _, _] = fixed(message, kind)?;
    Some(AddressFamily::from_number(number).ok_or(number))
}

fn write_family(writer: &mut Writer<'_>, kind: u16, family: Result<AddressFamily, u8>) {
    let number = family.map_or_else(|number| number, |family| family as u8);
    writer.attribute(kind, &[number, 0, 0, 0]);
}
