//! Transport addresses, plain and XORed (RFC 8489, sections 14.1, 14.2, 14.15; RFC 5780, sections 7.3, 7.4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::message::{Message, TransactionId};
use crate::writer::Writer;
use crate::{MAGIC_COOKIE, attribute};

/// The family field of an address (RFC 8489, section 14.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AddressFamily {
    /// IPv4.
    Ipv4 = 1,
    /// IPv6.
    Ipv6 = 2,
}

impl AddressFamily {
    /// The family with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(AddressFamily::Ipv4),
            2 => Some(AddressFamily::Ipv6),
            _ => None,
        }
    }

    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => AddressFamily::Ipv4,
            IpAddr::V6(_) => AddressFamily::Ipv6,
        }
    }
}

impl Message<'_> {
    /// XOR-MAPPED-ADDRESS: where the sender of the request appeared to the sender of this response.
    #[must_use]
    pub fn xor_mapped_address(&self) -> Option<SocketAddr> {
        self.xor_address(attribute::XOR_MAPPED_ADDRESS)
    }

    /// MAPPED-ADDRESS, which servers of the days of RFC 3489 send instead.
    #[must_use]
    pub fn mapped_address(&self) -> Option<SocketAddr> {
        self.address(attribute::MAPPED_ADDRESS)
    }

    /// ALTERNATE-SERVER.
    #[must_use]
    pub fn alternate_server(&self) -> Option<SocketAddr> {
        self.address(attribute::ALTERNATE_SERVER)
    }

    /// The first attribute of this type, read as a plain address.
    #[must_use]
    pub fn address(&self, kind: u16) -> Option<SocketAddr> {
        decode(self.attribute(kind)?, [0; 16])
    }

    /// The first attribute of this type, read as an XORed address.
    #[must_use]
    pub fn xor_address(&self, kind: u16) -> Option<SocketAddr> {
        decode(self.attribute(kind)?, mask(self.transaction_id()))
    }

    /// All attributes of this type, each read as an XORed address: `None` for a malformed one. CreatePermission
    /// (RFC 8656) repeats XOR-PEER-ADDRESS.
    pub fn xor_addresses(&self, kind: u16) -> impl Iterator<Item = Option<SocketAddr>> {
        let mask = mask(self.transaction_id());
        self.attributes()
            .filter(move |found| found.kind == kind)
            .map(move |found| decode(found.value, mask))
    }
}

impl Writer<'_> {
    /// Appends XOR-MAPPED-ADDRESS.
    pub fn xor_mapped_address(&mut self, address: SocketAddr) -> &mut Self {
        self.xor_address(attribute::XOR_MAPPED_ADDRESS, address)
    }

    /// Appends MAPPED-ADDRESS.
    pub fn mapped_address(&mut self, address: SocketAddr) -> &mut Self {
        self.address(attribute::MAPPED_ADDRESS, address)
    }

    /// Appends ALTERNATE-SERVER.
    pub fn alternate_server(&mut self, address: SocketAddr) -> &mut Self {
        self.address(attribute::ALTERNATE_SERVER, address)
    }

    /// Appends an attribute of this type that holds a plain address.
    pub fn address(&mut self, kind: u16, address: SocketAddr) -> &mut Self {
        let (value, len) = encode(address, [0; 16]);
        self.attribute(kind, &value[..len])
    }

    /// Appends an attribute of this type that holds an XORed address.
    pub fn xor_address(&mut self, kind: u16, address: SocketAddr) -> &mut Self {
        let (value, len) = encode(address, mask(self.transaction_id()));
        self.attribute(kind, &value[..len])
    }
}

/// RFC 8489, section 14.2: IPv4 is XORed with the magic cookie, IPv6 "with the concatenation of the magic cookie
/// and the 96-bit transaction ID", the port "with the most significant 16 bits of the magic cookie".
fn mask(id: TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(&id.0);
    mask
}

fn decode(value: &[u8], mask: [u8; 16]) -> Option<SocketAddr> {
    // RFC 8489, section 14.1: "The first 8 bits [...] MUST be ignored by receivers."
    let (&[_, family, p0, p1], address) = value.split_first_chunk::<4>()?;
    let port = u16::from_be_bytes([p0 ^ mask[0], p1 ^ mask[1]]);
    let ip = match AddressFamily::from_number(family)? {
        AddressFamily::Ipv4 => IpAddr::V4(Ipv4Addr::from(xor::<4>(address.try_into().ok()?, mask))),
        AddressFamily::Ipv6 => IpAddr::V6(Ipv6Addr::from(xor::<16>(address.try_into().ok()?, mask))),
    };
    Some(SocketAddr::new(ip, port))
}

fn encode(address: SocketAddr, mask: [u8; 16]) -> ([u8; 20], usize) {
    let mut value = [0; 20];
    value[1] = AddressFamily::of(address.ip()) as u8;
    let [p0, p1] = address.port().to_be_bytes();
    (value[2], value[3]) = (p0 ^ mask[0], p1 ^ mask[1]);
    match address.ip() {
        IpAddr::V4(ip) => {
            value[4..8].copy_from_slice(&xor(ip.octets(), mask));
            (value, 8)
        }
        IpAddr::V6(ip) => {
            value[4..].copy_from_slice(&xor(ip.octets(), mask));
            (value, 20)
        }
    }
}

fn xor<const N: usize>(mut bytes: [u8; N], mask: [u8; 16]) -> [u8; N] {
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// THREATS 16: an XOR-MAPPED-ADDRESS that is too short, too long or of no family is no address.
    #[test]
    fn addresses_of_the_wrong_length_or_family_are_none() {
        let whole = encode("192.0.2.1:32853".parse().unwrap(), [7; 16]).0;
        for len in 0..=20 {
            assert_eq!(
                decode(&whole[..len], [7; 16]).is_some(),
                len == 8,
                "{len} bytes of IPv4"
            );
        }
        let whole = encode("[2001:db8::1]:1".parse().unwrap(), [7; 16]).0;
        for len in 0..=20 {
            assert_eq!(
                decode(&whole[..len], [7; 16]).is_some(),
                len == 20,
                "{len} bytes of IPv6"
            );
        }
        for family in [0, 3, 255] {
            assert_eq!(decode(&[0, family, 0, 1, 1, 2, 3, 4], [0; 16]), None);
        }
    }

    #[test]
    fn the_first_byte_is_ignored() {
        let address = decode(&[0xff, 1, 0x12, 0x34, 10, 0, 0, 1], [0; 16]);
        assert_eq!(address, Some("10.0.0.1:4660".parse().unwrap()));
    }
}
