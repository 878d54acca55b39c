//! A received message as a borrowed view (RFC 8489, section 5): parsing checks the frame once and copies nothing.

use std::fmt;
use std::ops::Range;

use rand::Rng;
use rand::rngs::StdRng;

use crate::attribute;
use crate::error::{IntegrityError, ParseError};
use crate::integrity::{IntegrityKey, Kind};
use crate::{HEADER_LEN, MAGIC_COOKIE, fingerprint};

/// Whether `data` has the shape of a STUN message: two zero bits, the cookie and a fitting length. It costs a few
/// nanoseconds and is what a demultiplexer asks (RFC 7983, section 7).
#[must_use]
pub fn is_stun(data: &[u8]) -> bool {
    check_header(data).is_ok()
}

/// What identifies a request and its response: 96 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub [u8; 12]);

impl TransactionId {
    /// A new id. RFC 8489, section 5: it "MUST be uniformly and randomly chosen from the interval 0 .. 2**96-1,
    /// and MUST be cryptographically random".
    #[must_use]
    pub fn random(rng: &mut StdRng) -> Self {
        let mut id = [0; 12];
        rng.fill_bytes(&mut id);
        Self(id)
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The class of a message: the two bits 0x0110 of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Expects a response.
    Request,
    /// Expects none.
    Indication,
    /// Answers a request that was granted.
    Success,
    /// Answers a request that was refused.
    Error,
}

impl Class {
    const fn bits(self) -> u16 {
        match self {
            Class::Request => 0x000,
            Class::Indication => 0x010,
            Class::Success => 0x100,
            Class::Error => 0x110,
        }
    }
}

/// The method of a message: 12 bits. Unknown ones survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Method(u16);

impl Method {
    /// Binding (RFC 8489).
    pub const BINDING: Method = Method(0x001);
    /// Allocate (RFC 8656).
    pub const ALLOCATE: Method = Method(0x003);
    /// Refresh (RFC 8656).
    pub const REFRESH: Method = Method(0x004);
    /// Send, an indication (RFC 8656).
    pub const SEND: Method = Method(0x006);
    /// Data, an indication (RFC 8656).
    pub const DATA: Method = Method(0x007);
    /// CreatePermission (RFC 8656).
    pub const CREATE_PERMISSION: Method = Method(0x008);
    /// ChannelBind (RFC 8656).
    pub const CHANNEL_BIND: Method = Method(0x009);
    /// Connect (RFC 6062).
    pub const CONNECT: Method = Method(0x00A);
    /// ConnectionBind (RFC 6062).
    pub const CONNECTION_BIND: Method = Method(0x00B);
    /// ConnectionAttempt, an indication (RFC 6062).
    pub const CONNECTION_ATTEMPT: Method = Method(0x00C);
    /// GOOG-PING (registered by Google).
    pub const GOOG_PING: Method = Method(0x080);

    /// The method with the low 12 bits of `value`.
    #[must_use]
    pub const fn new(value: u16) -> Self {
        Self(value & 0x0FFF)
    }

    /// The 12-bit number.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }
}

/// RFC 8489, section 5, figure 3: M11..M7 C1 M6 M5 M4 C0 M3..M0.
pub(crate) const fn message_type(class: Class, method: Method) -> u16 {
    let m = method.0;
    (m & 0x000F) | ((m & 0x0070) << 1) | ((m & 0x0F80) << 2) | class.bits()
}

/// One attribute as it stands in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    /// The type; the constants are in [`attribute`].
    pub kind: u16,
    /// The value without its padding.
    pub value: &'a [u8],
}

/// A message that was received: a view of its bytes.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    data: &'a [u8],
    /// Where each of these attributes starts; 0 for none. A message is at most 65,552 bytes long.
    integrity: u32,
    integrity_sha256: u32,
    fingerprint: u32,
}

impl<'a> Message<'a> {
    /// Reads the frame of a message: the header, and that every attribute lies inside. Values are looked at by the
    /// getters. `data` is one whole datagram, or one message cut from a stream.
    ///
    /// # Errors
    /// When `data` is not exactly one well-formed message.
    pub fn parse(data: &'a [u8]) -> Result<Self, ParseError> {
        check_header(data)?;
        let mut message = Self {
            data,
            integrity: 0,
            integrity_sha256: 0,
            fingerprint: 0,
        };
        let mut offset = HEADER_LEN;
        while let Some((kind, value_len)) = attribute_header(data, offset) {
            let next = offset + 4 + padded(value_len);
            if next > data.len() {
                return Err(ParseError::Attribute { kind });
            }
            message.note(kind, offset, next == data.len());
            offset = next;
        }
        Ok(message)
    }

    /// Notes where the attributes stand that others depend on: the first of each.
    #[inline]
    fn note(&mut self, kind: u16, offset: usize, is_last: bool) {
        let slot = match kind {
            attribute::MESSAGE_INTEGRITY if self.integrity_sha256 == 0 => &mut self.integrity,
            attribute::MESSAGE_INTEGRITY_SHA256 => &mut self.integrity_sha256,
            // RFC 8489, section 14.7: it "MUST be the last attribute in the message".
            attribute::FINGERPRINT if is_last => &mut self.fingerprint,
            _ => return,
        };
        if *slot == 0 {
            *slot = offset as u32;
        }
    }

    /// Whether the attribute at `offset` counts: see [`attributes`](Self::attributes).
    #[inline]
    fn counts(&self, offset: usize) -> bool {
        let at = |position: u32| position as usize == offset;
        let behind = |position: u32| position != 0 && offset > position as usize;
        let last_words = at(self.integrity_sha256) || at(self.fingerprint);
        last_words || !(behind(self.integrity) || behind(self.integrity_sha256))
    }

    /// The whole message.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.data
    }

    /// The class.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.message_type() & 0x0110 {
            0x0000 => Class::Request,
            0x0010 => Class::Indication,
            0x0100 => Class::Success,
            _ => Class::Error,
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        let t = self.message_type();
        Method((t & 0x000F) | ((t & 0x00E0) >> 1) | ((t & 0x3E00) >> 2))
    }

    /// The transaction id.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.data[8..HEADER_LEN]);
        TransactionId(id)
    }

    /// The attributes in order, those that follow an integrity attribute left out: they are not authentic.
    ///
    /// RFC 8489, section 9: "agents MUST ignore all attributes that follow MESSAGE-INTEGRITY, with the exception of
    /// the MESSAGE-INTEGRITY-SHA256 and FINGERPRINT attributes."
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes {
            message: *self,
            offset: HEADER_LEN,
        }
    }

    /// The value of the first attribute of this type.
    #[must_use]
    pub fn attribute(&self, kind: u16) -> Option<&'a [u8]> {
        let mut offset = HEADER_LEN;
        loop {
            let (found, value_len) = attribute_header(self.data, offset)?;
            if found == kind && self.counts(offset) {
                return self.data.get(offset + 4..offset + 4 + value_len);
            }
            offset += 4 + padded(value_len);
        }
    }

    /// Where the value of the first attribute of this type stands in the message: for payload that is to be cut out
    /// of its buffer and not copied.
    #[must_use]
    pub fn range_of(&self, kind: u16) -> Option<Range<usize>> {
        let mut attributes = self.attributes();
        let found = attributes.by_ref().find(|attribute| attribute.kind == kind)?;
        let start = attributes.offset - padded(found.value.len());
        Some(start..start + found.value.len())
    }

    /// The comprehension-required types (below 0x8000) that are neither in `known` nor defined by RFC 8489 itself: of
    /// those, section 6.3 says "Known-but-unexpected attributes SHOULD be ignored by the agent."
    ///
    /// RFC 8489, section 6.3: a request that has some is answered with 420 and an UNKNOWN-ATTRIBUTES list, an
    /// indication is discarded, and a response ends its transaction as failed.
    pub fn unknown_required(&self, known: &'a [u16]) -> impl Iterator<Item = u16> + 'a {
        self.attributes()
            .map(|attribute| attribute.kind)
            .filter(move |kind| *kind < 0x8000 && !attribute::is_base(*kind) && !known.contains(kind))
    }

    /// Whether there is a MESSAGE-INTEGRITY attribute.
    #[must_use]
    pub fn has_integrity(&self) -> bool {
        self.integrity != 0
    }

    /// Whether there is a MESSAGE-INTEGRITY-SHA256 attribute.
    #[must_use]
    pub fn has_integrity_sha256(&self) -> bool {
        self.integrity_sha256 != 0
    }

    /// Whether the last attribute is a FINGERPRINT.
    #[must_use]
    pub fn has_fingerprint(&self) -> bool {
        self.fingerprint != 0
    }

    /// Checks the message integrity over the bytes as they were received.
    ///
    /// RFC 8489, section 9.1.3: "If the MESSAGE-INTEGRITY-SHA256 attribute is present, compute the value for the
    /// message integrity as described in Section 14.6 [...] If the MESSAGE-INTEGRITY-SHA256 attribute is not
    /// present, then use the same password to compute the value [...] as described in Section 14.5."
    ///
    /// # Errors
    /// When there is no integrity attribute, or it does not fit.
    pub fn verify_integrity(&self, key: &IntegrityKey) -> Result<(), IntegrityError> {
        let (kind, offset) = match (self.integrity_sha256, self.integrity) {
            (0, 0) => return Err(IntegrityError::Missing),
            (0, offset) => (Kind::Sha1, offset as usize),
            (offset, _) => (Kind::Sha256, offset as usize),
        };
        let (before, from) = self.data.split_at(offset);
        key.verify(kind, before, value_at(from, 0).unwrap_or_default())
    }

    /// Whether the FINGERPRINT fits; `None` when there is none.
    #[must_use]
    pub fn verify_fingerprint(&self) -> Option<bool> {
        let offset = self.fingerprint as usize;
        if offset == 0 {
            return None;
        }
        let (before, from) = self.data.split_at(offset);
        Some(value_at(from, 0) == Some(&fingerprint::value(before).to_be_bytes()[..]))
    }

    fn message_type(&self) -> u16 {
        u16::from_be_bytes([self.data[0], self.data[1]])
    }

    /// A value of exactly `N` bytes.
    pub(crate) fn fixed<const N: usize>(&self, kind: u16) -> Option<[u8; N]> {
        self.attribute(kind)?.try_into().ok()
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} {:?} {:?} [",
            self.class(),
            self.method(),
            self.transaction_id()
        )?;
        for (i, attribute) in self.attributes().enumerate() {
            let gap = if i == 0 { "" } else { " " };
            write!(f, "{gap}{:#06x}({})", attribute.kind, attribute.value.len())?;
        }
        f.write_str("]")
    }
}

/// The attributes of a message, in order: see [`Message::attributes`].
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    message: Message<'a>,
    offset: usize,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = RawAttribute<'a>;

    fn next(&mut self) -> Option<RawAttribute<'a>> {
        let data = self.message.data;
        loop {
            let offset = self.offset;
            let (kind, value_len) = attribute_header(data, offset)?;
            self.offset = offset + 4 + padded(value_len);
            if self.message.counts(offset) {
                return Some(RawAttribute {
                    kind,
                    value: data.get(offset + 4..offset + 4 + value_len)?,
                });
            }
        }
    }
}

fn check_header(data: &[u8]) -> Result<(), ParseError> {
    let Some(header) = data.first_chunk::<HEADER_LEN>() else {
        return Err(ParseError::TooShort(data.len()));
    };
    // RFC 8489, section 5: "The most significant 2 bits of every STUN message MUST be zeroes."
    if header[0] & 0xC0 != 0 || header[4..8] != MAGIC_COOKIE.to_be_bytes() {
        return Err(ParseError::NotStun);
    }
    // RFC 8489, section 5: the length is "not including the 20-byte STUN header", and "the last 2 bits of this
    // field are always zero".
    let announced = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let actual = data.len() - HEADER_LEN;
    if announced != actual || !announced.is_multiple_of(4) {
        return Err(ParseError::Length { announced, actual });
    }
    Ok(())
}

/// The type and the value length of the attribute at `offset`, if there is one more.
fn attribute_header(data: &[u8], offset: usize) -> Option<(u16, usize)> {
    let header = u32::from_be_bytes(*data.get(offset..)?.first_chunk::<4>()?);
    Some(((header >> 16) as u16, (header & 0xFFFF) as usize))
}

fn value_at(data: &[u8], offset: usize) -> Option<&[u8]> {
    let (_, value_len) = attribute_header(data, offset)?;
    data.get(offset + 4..offset + 4 + value_len)
}

/// RFC 8489, section 14: attributes are padded "so that its value contains a multiple of 4 bytes".
pub(crate) const fn padded(len: usize) -> usize {
    (len + 3) & !3
}
