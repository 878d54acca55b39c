//! What the owner of a connection did wrong, per command.

use bytes::Bytes;

use crate::data_channel::Message;
use crate::description::SdpType;
use crate::state::SignalingState;

/// Why a data channel was not created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateChannelError {
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
    /// The label or the protocol is too long.
    #[error("the {what} is {len} bytes of UTF-8, the limit is {limit}")]
    NameTooLong {
        /// `label` or `protocol`.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Both `max_packet_life_time` and `max_retransmits` are given.
    #[error("max_packet_life_time and max_retransmits exclude each other")]
    TwoLimits,
    /// `negotiated` without an `id`.
    #[error("a negotiated channel needs an id that both sides know")]
    NegotiatedWithoutId,
    /// The identifier is 65535, or the peer takes fewer streams.
    #[error("id {id} is out of range: it must be less than {limit}")]
    IdOutOfRange {
        /// The identifier asked for.
        id: u16,
        /// The first that cannot be used: 65,535, or the number of streams that the peer takes when that is known.
        limit: u16,
    },
    /// All identifiers of the parity that the DTLS role gives us are in use.
    #[error("no stream identifier is left for another channel")]
    NoIdLeft,
    /// Another channel has this identifier.
    #[error("id {id} is used by another channel")]
    IdInUse {
        /// The identifier asked for.
        id: u16,
    },
    /// `Config::max_channels` is reached.
    #[error("there are {limit} channels already, which is the limit of this connection")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

/// Why a message was not sent. The message comes back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendMessageError {
    /// The channel is not open (yet, or any more).
    #[error("the channel is not open")]
    NotOpen {
        /// The message.
        message: Message,
    },
    /// The message is larger than the peer said it takes.
    #[error("the message is {size} bytes, the peer takes {limit} at most")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The peer's limit in bytes.
        limit: usize,
        /// The message.
        message: Message,
    },
    /// The send buffer is full: wait for `BufferedAmountLow`.
    #[error("the send buffer is full")]
    Full {
        /// The message.
        message: Message,
    },
    /// A message that was begun has not been ended.
    #[error("another message is being sent piece by piece")]
    MessageOpen {
        /// The message.
        message: Message,
    },
}

/// Why a message was not begun, or a piece of it not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PieceError {
    /// The channel is not open (yet, or any more).
    #[error("the channel is not open")]
    NotOpen,
    /// Another message that was begun has not been ended.
    #[error("another message is being sent piece by piece")]
    MessageOpen,
    /// The message is larger than the peer said it takes.
    #[error("the message is {size} bytes or more, the peer takes {limit} at most")]
    TooLarge {
        /// Its size so far, in bytes.
        size: usize,
        /// The peer's limit in bytes.
        limit: usize,
    },
    /// The send buffer is full: wait for `BufferedAmountLow`.
    #[error("the send buffer is full")]
    Full {
        /// The piece.
        piece: Bytes,
    },
    /// No message was begun, or it was given up: its life time or its retransmissions are used up.
    #[error("the message was given up")]
    GivenUp,
    /// A piece without bytes that is not all of its message.
    #[error("a piece of a message cannot be empty")]
    Empty,
    /// A text that is not UTF-8.
    #[error("the text is not UTF-8")]
    NotText,
    /// The peer could not be told that a message was given up (RFC 3758).
    #[error("the peer takes whole messages only: it does not know partial reliability")]
    NoPartialReliability,
}

impl SendMessageError {
    /// The message that was not sent.
    #[must_use]
    pub fn into_message(self) -> Message {
        match self {
            SendMessageError::NotOpen { message }
            | SendMessageError::TooLarge { message, .. }
            | SendMessageError::Full { message }
            | SendMessageError::MessageOpen { message } => message,
        }
    }
}

/// Why a description was refused. The connection keeps its former state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptionError {
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
    /// The text is not SDP: which line and attribute, and why.
    #[error(transparent)]
    Sdp(#[from] dunlin_sdp::ParseError),
    /// The text is SDP that JSEP (RFC 9429) refuses, or it came at the wrong moment.
    #[error(transparent)]
    Jsep(#[from] crate::jsep::JsepError),
    /// There is nothing to create: no remote offer to answer.
    #[error("cannot make the {kind} in state {state}")]
    WrongState {
        /// What was asked for.
        kind: SdpType,
        /// Where signalling stands.
        state: SignalingState,
    },
    /// The description names no certificate, or none with a hash that is accepted.
    #[error("the description has no usable a=fingerprint: {0}")]
    Fingerprint(String),
    /// The description's ICE credentials are not usable.
    #[error("the description's ICE credentials are not usable: {0}")]
    IceCredentials(String),
}

/// Why a remote candidate was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddCandidateError {
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
    /// There is no remote description yet.
    #[error("a candidate came before the remote description")]
    NoRemoteDescription,
    /// The text is not a candidate.
    #[error("{candidate:?} is not a candidate: {reason}")]
    Malformed {
        /// The text.
        candidate: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither the mid nor the index names a media section.
    #[error("no media section has mid {mid:?} or index {index:?}")]
    NoSuchSection {
        /// The mid of the candidate.
        mid: Option<String>,
        /// The index of the candidate.
        index: Option<u16>,
    },
}

/// Why RTP was not sent, or a transceiver not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransceiverError {
    /// There is no transceiver of this id.
    #[error("there is no such transceiver")]
    Unknown,
    /// The transceiver is stopped, or the connection closed.
    #[error("the transceiver is stopped")]
    Stopped,
    /// The direction was not negotiated, or the transport is not up yet.
    #[error("the transceiver cannot do this now: not negotiated, or not connected")]
    NotNegotiated,
    /// The media session refused the packet.
    #[error(transparent)]
    Send(#[from] dunlin_media::SendError),
}
