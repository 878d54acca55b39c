//! What goes into a session to be sent, and what comes out of it.

use bytes::Bytes;
use dunlin_rtp::extension::AudioLevel;
use dunlin_rtp::rtcp::{Remb, TransportFeedback};
use dunlin_rtp::{ExtendedSequence, Packet, PayloadType, Ssrc, Timestamp};

use crate::{ReceiverId, SenderId};

/// The place of a packet in the stream it came from.
///
/// It counts packets that carry media: padding that was consumed leaves no hole, a packet that was lost does. A
/// forwarder passes it on in [`OutgoingPacket::sequence`]; the sender maps it to numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceSequence {
    /// The stream.
    pub ssrc: Ssrc,
    /// The place, unwrapped.
    pub sequence: ExtendedSequence,
}

/// What a session reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The first packet of a stream arrived at a receiver.
    ReceiverStarted {
        /// The receiver.
        receiver: ReceiverId,
        /// The stream.
        ssrc: Ssrc,
        /// The encoding, if the stream says which it is.
        rid: Option<String>,
    },
    /// A packet with media, once, in the order of arrival. Retransmissions look like the packet they replace.
    Packet {
        /// The receiver.
        receiver: ReceiverId,
        /// The packet.
        packet: Packet,
        /// Its place in the stream.
        sequence: SourceSequence,
    },
    /// The peer asks for a key frame.
    KeyframeRequest(SenderId),
    /// The peer ends a stream.
    Bye {
        /// The receiver.
        receiver: ReceiverId,
        /// The stream.
        ssrc: Ssrc,
    },
    /// When the peer received which of our packets.
    TransportFeedback(TransportFeedback),
    /// What bandwidth the peer thinks it has.
    Remb(Remb),
}

/// A packet to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingPacket {
    /// The payload type, one of the sender's.
    pub payload_type: PayloadType,
    /// The marker bit.
    pub marker: bool,
    /// The media timestamp.
    pub timestamp: Timestamp,
    /// Where the packet stands in the stream it is forwarded from; `None`: after the one sent before.
    pub sequence: Option<SourceSequence>,
    /// The payload.
    pub payload: Bytes,
    /// The audio level, if that extension is negotiated.
    pub audio_level: Option<AudioLevel>,
    /// A received packet whose header extension elements are passed on, as far as they are negotiated: those that
    /// belong to a hop (mid, rid, send time, transport sequence) are always our own.
    pub forwarded: Option<Packet>,
}

impl OutgoingPacket {
    /// A packet that follows the one sent before.
    #[must_use]
    pub fn new(payload_type: PayloadType, timestamp: Timestamp, payload: Bytes) -> Self {
        Self {
            payload_type,
            marker: false,
            timestamp,
            sequence: None,
            payload,
            audio_level: None,
            forwarded: None,
        }
    }

    /// A received packet to pass on with the same payload type.
    #[must_use]
    pub fn forward(packet: &Packet, sequence: SourceSequence) -> Self {
        Self {
            payload_type: packet.header.payload_type,
            marker: packet.header.marker,
            timestamp: packet.header.timestamp,
            sequence: Some(sequence),
            payload: packet.payload(),
            audio_level: None,
            forwarded: packet.header.extension.is_some().then(|| packet.clone()),
        }
    }
}

/// Why a packet was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The session is closed.
    #[error("the session is closed")]
    Closed,
    /// There is no such sender.
    #[error("there is no such sender")]
    UnknownSender,
    /// The sender has no codec with this payload type.
    #[error("payload type {0} is not one of this sender")]
    UnknownPayloadType(PayloadType),
    /// As many packets wait as may.
    #[error("{0} packets wait to be sent already")]
    QueueFull(usize),
    /// The packet is so late that its number was given to another, or can no longer be protected.
    #[error("the packet comes too late to be forwarded")]
    TooLate,
}
