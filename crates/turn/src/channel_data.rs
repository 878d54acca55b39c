//! ChannelData (RFC 8656, sections 12 and 12.4 to 12.6): four bytes before the data of a peer, instead of a STUN
//! message's thirty-six.

use std::fmt;

/// Bytes before the data.
pub const HEADER_LEN: usize = 4;

/// A channel of an allocation: 0x4000 to 0x4FFF.
///
/// RFC 8656, section 12: "0x4000 through 0x4FFF: These values are the allowed channel numbers"; what RFC 5766
/// allowed above is reserved now, because DTLS and RTP begin there on a shared port (RFC 7983).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The lowest.
    pub const MIN: ChannelNumber = ChannelNumber(0x4000);
    /// The highest.
    pub const MAX: ChannelNumber = ChannelNumber(0x4FFF);

    /// The channel with this number, if it may be one.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number >= Self::MIN.0 && number <= Self::MAX.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// As [`new`](Self::new), with all the numbers of RFC 5766, section 11: 0x4000 to 0x7FFF. For a server whose
    /// listeners carry nothing else, and which old clients use.
    #[must_use]
    pub const fn new_rfc5766(number: u16) -> Option<Self> {
        if number >= Self::MIN.0 && number <= 0x7FFF {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for ChannelNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// A ChannelData message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// Whose data it is.
    pub channel: ChannelNumber,
    /// The data: it may be empty.
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Reads a datagram. `None` when it is none: another protocol, a reserved number, or fewer bytes than it claims
    /// (RFC 8656, section 12.6: "the message is silently discarded").
    ///
    /// A longer datagram is fine: "Over UDP, the padding is not required but MAY be included."
    #[must_use]
    pub fn parse(datagram: &'a [u8]) -> Option<Self> {
        Self::parse_with(datagram, ChannelNumber::new)
    }

    /// As [`parse`](Self::parse), with all the numbers of RFC 5766.
    #[must_use]
    pub fn parse_rfc5766(datagram: &'a [u8]) -> Option<Self> {
        Self::parse_with(datagram, ChannelNumber::new_rfc5766)
    }

    fn parse_with(datagram: &'a [u8], number: impl Fn(u16) -> Option<ChannelNumber>) -> Option<Self> {
        let (header, rest) = datagram.split_first_chunk::<HEADER_LEN>()?;
        let channel = number(u16::from_be_bytes([header[0], header[1]]))?;
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        Some(Self {
            channel,
            data: rest.get(..len)?,
        })
    }

    /// Appends a datagram whose data `write` appends, which is thus not copied twice. When `write` answers `false`,
    /// or appends more than 65,535 bytes, `out` is as before and so is the answer.
    #[must_use]
    pub fn write_datagram(
        out: &mut Vec<u8>,
        channel: ChannelNumber,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> bool {
        let start = out.len();
        out.extend_from_slice(&channel.0.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        let wrote = write(out);
        match u16::try_from(out.len().saturating_sub(start + HEADER_LEN)) {
            Ok(len) if wrote => {
                out[start + 2..start + HEADER_LEN].copy_from_slice(&len.to_be_bytes());
                true
            }
            _ => {
                out.truncate(start);
                false
            }
        }
    }

    /// Appends a message to a stream: as [`write_datagram`](Self::write_datagram), and padded.
    ///
    /// RFC 8656, section 12.5: "Over TCP and TLS-over-TCP, the ChannelData message MUST be padded to a multiple of
    /// four bytes [...] The padding is not reflected in the length field".
    #[must_use]
    pub fn write_stream(
        out: &mut Vec<u8>,
        channel: ChannelNumber,
        write: impl FnOnce(&mut Vec<u8>) -> bool,
    ) -> bool {
        let start = out.len();
        let wrote = Self::write_datagram(out, channel, write);
        let len = out.len() - start;
        out.resize(start + len.next_multiple_of(4), 0);
        wrote
    }
}
