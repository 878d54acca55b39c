//! The Data Channel Establishment Protocol (RFC 8832).

use bytes::Bytes;

use crate::data_channel::DataChannelInit;

/// DATA_CHANNEL_ACK (RFC 8832, section 8.2.1).
const MESSAGE_ACK: u8 = 0x02;
/// DATA_CHANNEL_OPEN (RFC 8832, section 8.2.1).
const MESSAGE_OPEN: u8 = 0x03;

const CHANNEL_RELIABLE: u8 = 0x00;
const CHANNEL_MAX_RETRANSMITS: u8 = 0x01;
const CHANNEL_MAX_LIFETIME: u8 = 0x02;
/// The high bit of the channel type says unordered (RFC 8832, section 5.1).
const CHANNEL_UNORDERED: u8 = 0x80;

const OPEN_HEADER_LEN: usize = 12;
/// The longest message: "A receiver must be prepared to receive DATA_CHANNEL_OPEN messages where these fields have the
/// maximum length of 65535 bytes" (RFC 8832, section 7).
pub(crate) const MAX_OPEN_LEN: usize = OPEN_HEADER_LEN + 2 * 65_535;

/// A message of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DcepMessage {
    /// Opens a channel on the stream it arrives on.
    Open(Open),
    /// Confirms the opening.
    Ack,
}

/// The fields of DATA_CHANNEL_OPEN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// Whether messages keep their order.
    pub ordered: bool,
    /// How many retransmissions a message gets; exclusive with `max_packet_life_time`.
    pub max_retransmits: Option<u32>,
    /// How many milliseconds a message is retried; exclusive with `max_retransmits`.
    pub max_packet_life_time: Option<u32>,
    /// 128, 256, 512 or 1024 by convention (RFC 8831, section 6.4).
    pub priority: u16,
    /// The channel's name.
    pub label: String,
    /// The subprotocol.
    pub protocol: String,
}

/// Why a message of the protocol was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DcepError {
    /// Shorter or longer than its length fields say.
    #[error("the message is {actual} bytes, its fields need {needed}")]
    Length {
        /// Bytes there are.
        actual: usize,
        /// Bytes there should be.
        needed: usize,
    },
    /// A message type other than OPEN and ACK.
    #[error("message type {0:#04x} is unknown")]
    MessageType(u8),
    /// A channel type of none of the six kinds.
    #[error("channel type {0:#04x} is unknown")]
    ChannelType(u8),
    /// The label or the protocol is not UTF-8.
    #[error("the {0} is not UTF-8")]
    NotUtf8(&'static str),
}

impl DcepMessage {
    /// Reads a message that arrived with PPID 50.
    ///
    /// # Errors
    /// When it is malformed: the stream is then reset (RFC 8832, section 6).
    pub fn parse(data: &[u8]) -> Result<Self, DcepError> {
        match data.first() {
            Some(&MESSAGE_ACK) => Ok(DcepMessage::Ack),
            Some(&MESSAGE_OPEN) => Ok(DcepMessage::Open(parse_open(data)?)),
            Some(&other) => Err(DcepError::MessageType(other)),
            None => Err(DcepError::Length { actual: 0, needed: 1 }),
        }
    }

    /// The message as bytes to send with PPID 50.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        match self {
            DcepMessage::Ack => Bytes::from_static(&[MESSAGE_ACK]),
            DcepMessage::Open(open) => open.to_bytes(),
        }
    }
}

fn parse_open(data: &[u8]) -> Result<Open, DcepError> {
    if data.len() < OPEN_HEADER_LEN {
        return Err(DcepError::Length {
            actual: data.len(),
            needed: OPEN_HEADER_LEN,
        });
    }
    let u16_at = |at: usize| u16::from_be_bytes([data[at], data[at + 1]]);
    let reliability = u32::from_be_bytes([data[4], data[5], data[6], data[7]]);
    let (label_len, protocol_len) = (usize::from(u16_at(8)), usize::from(u16_at(10)));
    let needed = OPEN_HEADER_LEN + label_len + protocol_len;
    if data.len() != needed {
        return Err(DcepError::Length {
            actual: data.len(),
            needed,
        });
    }
    let (label, protocol) = data[OPEN_HEADER_LEN..].split_at(label_len);
    let text = |bytes: &[u8], what| {
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| DcepError::NotUtf8(what))
    };
    let (max_retransmits, max_packet_life_time) = match data[1] & !CHANNEL_UNORDERED {
        // "The Reliability Parameter ... MUST be ignored" for reliable channels (RFC 8832, section 5.1).
        CHANNEL_RELIABLE => (None, None),
        CHANNEL_MAX_RETRANSMITS => (Some(reliability), None),
        CHANNEL_MAX_LIFETIME => (None, Some(reliability)),
        _ => return Err(DcepError::ChannelType(data[1])),
    };
    Ok(Open {
        ordered: data[1] & CHANNEL_UNORDERED == 0,
        max_retransmits,
        max_packet_life_time,
        priority: u16_at(2),
        label: text(label, "label")?,
        protocol: text(protocol, "protocol")?,
    })
}

impl Open {
    /// What opens a channel with these options.
    #[must_use]
    pub fn new(label: &str, init: &DataChannelInit) -> Self {
        Self {
            ordered: init.ordered,
            max_retransmits: init.max_retransmits.map(u32::from),
            max_packet_life_time: init.max_packet_life_time.map(u32::from),
            priority: init.priority,
            label: label.to_owned(),
            protocol: init.protocol.clone(),
        }
    }

    fn to_bytes(&self) -> Bytes {
        let (kind, reliability) = match (self.max_retransmits, self.max_packet_life_time) {
            (Some(count), _) => (CHANNEL_MAX_RETRANSMITS, count),
            (None, Some(millis)) => (CHANNEL_MAX_LIFETIME, millis),
            (None, None) => (CHANNEL_RELIABLE, 0),
        };
        let unordered = if self.ordered { 0 } else { CHANNEL_UNORDERED };
        // Both lengths were limited to 65,535 bytes when the channel was created.
        let len = |text: &str| u16::try_from(text.len()).unwrap_or(u16::MAX);
        let (label_len, protocol_len) = (len(&self.label), len(&self.protocol));
        let mut out = Vec::with_capacity(OPEN_HEADER_LEN + self.label.len() + self.protocol.len());
        out.extend_from_slice(&[MESSAGE_OPEN, kind | unordered]);
        out.extend_from_slice(&self.priority.to_be_bytes());
        out.extend_from_slice(&reliability.to_be_bytes());
        out.extend_from_slice(&label_len.to_be_bytes());
        out.extend_from_slice(&protocol_len.to_be_bytes());
        out.extend_from_slice(&self.label.as_bytes()[..usize::from(label_len)]);
        out.extend_from_slice(&self.protocol.as_bytes()[..usize::from(protocol_len)]);
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Open {
        Open {
            ordered: true,
            max_retransmits: None,
            max_packet_life_time: None,
            priority: 256,
            label: "chat ☕".to_owned(),
            protocol: "v1".to_owned(),
        }
    }

    #[test]
    fn every_channel_type_survives_the_wire() {
        for ordered in [true, false] {
            for (max_retransmits, max_packet_life_time) in [(None, None), (Some(0), None), (None, Some(1500))]
            {
                let message = DcepMessage::Open(Open {
                    ordered,
                    max_retransmits,
                    max_packet_life_time,
                    ..open()
                });
                assert_eq!(DcepMessage::parse(&message.to_bytes()), Ok(message));
            }
        }
        assert_eq!(
            DcepMessage::parse(&DcepMessage::Ack.to_bytes()),
            Ok(DcepMessage::Ack)
        );
    }

    /// The OPEN that Chromium sends for `createDataChannel("a")`.
    #[test]
    fn an_open_of_a_browser() {
        let bytes = [3, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, b'a'];
        let DcepMessage::Open(open) = DcepMessage::parse(&bytes).unwrap() else {
            panic!("not an OPEN")
        };
        assert_eq!(
            (open.label.as_str(), open.priority, open.ordered),
            ("a", 256, true)
        );
    }

    #[test]
    fn lying_lengths_and_unknown_types_are_named() {
        let bytes = DcepMessage::Open(open()).to_bytes();
        for len in 0..bytes.len() {
            assert!(
                matches!(DcepMessage::parse(&bytes[..len]), Err(DcepError::Length { .. })),
                "{len}"
            );
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(matches!(
            DcepMessage::parse(&longer),
            Err(DcepError::Length { .. })
        ));
        let mut unknown = bytes.to_vec();
        unknown[1] = 0x03;
        assert_eq!(DcepMessage::parse(&unknown), Err(DcepError::ChannelType(3)));
        assert_eq!(DcepMessage::parse(&[9]), Err(DcepError::MessageType(9)));
        let mut not_text = bytes.to_vec();
        not_text[12] = 0xff;
        assert_eq!(DcepMessage::parse(&not_text), Err(DcepError::NotUtf8("label")));
    }
}
