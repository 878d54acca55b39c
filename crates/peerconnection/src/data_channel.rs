//! A data channel (RFC 8831; webrtc-pc, section 6): what it is like, its state, its messages.
//! [`table`](crate::data_channel_table) has all channels of a connection.

use std::time::Duration;

use bytes::Bytes;
use dunlin_sctp::{Ppid, Reliability, SendOptions, StreamId};

use crate::data_channel_inbox::Inbox;
use crate::state::ChannelState;

/// Payload protocol identifiers (RFC 8831, section 8; RFC 8832, section 8.1).
pub(crate) const PPID_DCEP: Ppid = Ppid(50);
const PPID_STRING: Ppid = Ppid(51);
const PPID_BINARY: Ppid = Ppid(53);
const PPID_STRING_EMPTY: Ppid = Ppid(56);
const PPID_BINARY_EMPTY: Ppid = Ppid(57);

/// A data channel of one peer connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub(crate) u32);

/// How a channel behaves (webrtc-pc, section 6.1.1, `RTCDataChannelInit`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataChannelInit {
    /// Whether messages arrive in the order they were sent. Default true.
    pub ordered: bool,
    /// For how many milliseconds a message is retried. Exclusive with `max_retransmits`. Default: without limit.
    pub max_packet_life_time: Option<u16>,
    /// How many times a message is retransmitted. Exclusive with `max_packet_life_time`. Default: without limit.
    pub max_retransmits: Option<u16>,
    /// The subprotocol, for the application. Default empty.
    pub protocol: String,
    /// Whether the other side creates the channel by itself, with the same `id`. Default false.
    pub negotiated: bool,
    /// The stream identifier, 0 to 65534; needed when `negotiated`, and ignored otherwise.
    pub id: Option<u16>,
    /// What share of the bytes the channel gets beside others: 128, 256, 512 or 1024 for W3C's "very-low", "low",
    /// "medium" and "high" (RFC 8831, section 6.4). Default 256.
    pub priority: u16,
}

impl Default for DataChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            max_packet_life_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated: false,
            id: None,
            priority: 256,
        }
    }
}

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// Text, in UTF-8.
    Text,
    /// Bytes.
    Binary,
}

impl MessageKind {
    pub(crate) fn ppid(self) -> Ppid {
        match self {
            MessageKind::Text => PPID_STRING,
            MessageKind::Binary => PPID_BINARY,
        }
    }

    /// What the first piece of a message says; `None` when no message that is not empty is like that.
    pub(crate) fn of(ppid: Ppid) -> Option<Self> {
        match ppid {
            PPID_STRING => Some(MessageKind::Text),
            PPID_BINARY => Some(MessageKind::Binary),
            _ => None,
        }
    }
}

/// What [`receive_piece`](crate::PeerConnection::receive_piece) answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The next bytes of a message; none at all when the message is empty.
    Data {
        /// What the message is. The bytes of a text are UTF-8 only as a whole, and nobody has looked whether they are.
        kind: MessageKind,
        /// The bytes.
        data: Bytes,
        /// Whether the message ends here.
        last: bool,
    },
    /// The peer gave the message up in the middle: no more of it comes.
    Aborted,
}

/// Why a channel was closed by something else than `close`, of either side (webrtc-pc, section 6.2: what an `error` event
/// would say).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelFailure {
    /// All stream identifiers of our parity are in use.
    #[error("no stream identifier was left for the channel")]
    NoIdLeft,
    /// The peer takes fewer streams than the identifier needs.
    #[error("the peer does not accept so many streams")]
    NoSuchStream,
    /// The connection's data transport ended without a goodbye.
    #[error("the data transport failed")]
    Transport,
    /// The peer began the association anew, and knows nothing of the channel (RFC 9260, section 5.2).
    #[error("the peer restarted the data transport")]
    Restarted,
    /// The peer tried to open a channel on a stream that is in use, or sent rubbish with the identifier of the Data Channel
    /// Establishment Protocol (RFC 8832, section 6).
    #[error("the peer broke the channel establishment protocol")]
    Establishment,
    /// A message with an identifier that is no data channel's (RFC 8831, section 6.6).
    #[error("the peer sent a message of an unknown kind: {ppid}")]
    UnknownMessage {
        /// The payload protocol identifier.
        ppid: u32,
    },
    /// A text that is not UTF-8.
    #[error("the peer sent a text that is not UTF-8")]
    NotText,
    /// A message larger than was announced, or too large to be received as a whole.
    #[error("the peer sent a message of more than {limit} bytes")]
    MessageTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
}

/// A message of a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// Bytes of its payload.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it carries nothing, which is legal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn from_wire(ppid: Ppid, data: Bytes) -> Option<Self> {
        match ppid {
            PPID_STRING => String::from_utf8(data.into()).ok().map(Message::Text),
            PPID_BINARY => Some(Message::Binary(data)),
            // "a single zero byte is sent ... the receiver MUST ignore it" (RFC 8831, section 6.6).
            PPID_STRING_EMPTY => Some(Message::Text(String::new())),
            PPID_BINARY_EMPTY => Some(Message::Binary(Bytes::new())),
            _ => None,
        }
    }

    pub(crate) fn into_wire(self) -> (Ppid, Bytes) {
        const EMPTY: Bytes = Bytes::from_static(&[0]);
        match self {
            Message::Text(text) if text.is_empty() => (PPID_STRING_EMPTY, EMPTY),
            Message::Text(text) => (PPID_STRING, Bytes::from(text)),
            Message::Binary(bytes) if bytes.is_empty() => (PPID_BINARY_EMPTY, EMPTY),
            Message::Binary(bytes) => (PPID_BINARY, bytes),
        }
    }

    pub(crate) fn from_refused(ppid: Ppid, data: Bytes) -> Self {
        Message::from_wire(ppid, data).unwrap_or(Message::Binary(Bytes::new()))
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Message::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Message::Text(text.to_owned())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Message::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Message::Binary(bytes.into())
    }
}

/// One channel.
#[derive(Debug)]
pub struct DataChannel {
    pub(crate) label: String,
    pub(crate) init: DataChannelInit,
    pub(crate) stream: Option<StreamId>,
    pub(crate) state: ChannelState,
    pub(crate) failure: Option<ChannelFailure>,
    /// Who announces it.
    pub(crate) origin: Origin,
    /// Until ACK or data arrives, user messages go ordered (RFC 8832, section 6).
    pub(crate) confirmed: bool,
    pub(crate) reset_by_us: bool,
    pub(crate) reset_by_peer: bool,
    /// Nobody will receive what comes.
    pub(crate) unheard: bool,
    pub(crate) inbox: Inbox,
    /// The message that is being sent piece by piece.
    pub(crate) writing: Option<Writing>,
    /// `ChannelReadable` was told and `receive` has not answered `None` since.
    pub(crate) readable_told: bool,
    pub(crate) low_threshold: usize,
    pub(crate) counters: ChannelCounters,
}

/// Who says that a channel exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// We do, with DATA_CHANNEL_OPEN.
    Ours,
    /// The peer did, and gets a DATA_CHANNEL_ACK.
    Theirs,
    /// Neither does.
    Negotiated,
}

/// A message that is being sent piece by piece.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writing {
    pub(crate) kind: MessageKind,
    /// Bytes so far.
    pub(crate) sent: usize,
}

impl DataChannel {
    pub(crate) fn new(
        label: String,
        init: DataChannelInit,
        origin: Origin,
        stream: Option<StreamId>,
    ) -> Self {
        Self {
            label,
            init,
            stream,
            state: ChannelState::Connecting,
            failure: None,
            origin,
            confirmed: origin != Origin::Ours,
            reset_by_us: false,
            reset_by_peer: false,
            unheard: false,
            inbox: Inbox::default(),
            writing: None,
            readable_told: false,
            low_threshold: 0,
            counters: ChannelCounters::default(),
        }
    }

    /// The name its creator gave it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its options, as given by its creator.
    #[must_use]
    pub fn init(&self) -> &DataChannelInit {
        &self.init
    }

    /// The stream identifier, once there is one.
    #[must_use]
    pub fn stream(&self) -> Option<u16> {
        self.stream.map(|stream| stream.0)
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> ChannelState {
        self.state
    }

    /// Messages sent and received, bytes sent and received.
    #[must_use]
    pub fn counters(&self) -> ChannelCounters {
        self.counters
    }

    /// Why it was closed, if not by `close`.
    #[must_use]
    pub fn failure(&self) -> Option<ChannelFailure> {
        self.failure
    }

    pub(crate) fn send_options(&self) -> SendOptions {
        let reliability = match (self.init.max_retransmits, self.init.max_packet_life_time) {
            (Some(count), _) => Reliability::MaxRetransmits(count),
            (None, Some(millis)) => Reliability::MaxLifetime(Duration::from_millis(u64::from(millis))),
            (None, None) => Reliability::Reliable,
        };
        SendOptions {
            unordered: !self.init.ordered && self.confirmed,
            reliability,
        }
    }
}

/// What went through a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelCounters {
    /// Messages accepted by `send`.
    pub messages_sent: u64,
    /// Payload bytes accepted by `send`.
    pub bytes_sent: u64,
    /// Messages that arrived.
    pub messages_received: u64,
    /// Payload bytes that arrived.
    pub bytes_received: u64,
}
