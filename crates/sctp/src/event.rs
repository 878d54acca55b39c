//! What an association reports, and the reasons of its end.

use bytes::Bytes;

use crate::packet::cause;
use crate::types::{Ppid, StreamId};

/// Something that happened, from [`Association::poll_event`](crate::Association::poll_event).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is done. Messages sent before are under way.
    Connected,
    /// A message arrived whole.
    Message {
        /// The stream it came on.
        stream: StreamId,
        /// What it is, to the layer above.
        ppid: Ppid,
        /// Its bytes: a slice of the datagram when one fragment held it all.
        data: Bytes,
    },
    /// A piece of a message that is being delivered in part, because it outgrew
    /// [`Config::partial_delivery`](crate::Config::partial_delivery).
    Piece {
        /// Which message.
        message: MessageKey,
        /// What it is, to the layer above.
        ppid: Ppid,
        /// The next bytes of it.
        data: Bytes,
        /// Whether the message ends here.
        last: bool,
    },
    /// The peer gave up a message of which pieces were delivered: no more of it comes.
    MessageAborted(MessageKey),
    /// The peer reset its outgoing streams: no more messages come on them until they are used anew.
    StreamsReset {
        /// Those streams; of all when the peer said "all", the ones that it had used.
        streams: Vec<StreamId>,
    },
    /// The peer performed the reset that [`reset_stream`](crate::Association::reset_stream) asked for: the stream
    /// can be used anew.
    StreamResetDone(StreamId),
    /// The peer refused that reset, or cannot reset streams at all.
    StreamResetFailed(StreamId),
    /// The peer performed what [`reset_incoming`](crate::Association::reset_incoming),
    /// [`add_streams`](crate::Association::add_streams) and the like asked for.
    ReconfigurationDone(Reconfiguration),
    /// The peer refused it, or cannot do such things at all.
    ReconfigurationFailed(Reconfiguration),
    /// The number of streams has grown, at the request of either side.
    StreamsAdded {
        /// Streams to send on.
        outgoing: u16,
        /// Streams to receive on.
        incoming: u16,
    },
    /// All streams of both directions begin anew, at the request of either side (RFC 6525, section 5.2.4).
    AssociationReset,
    /// The peer accepts fewer streams than [`Config::streams`](crate::Config::streams) (RFC 9260, section 5.1.1): what was
    /// queued on this one before that was known is gone.
    StreamRefused(StreamId),
    /// What waits on this stream fell to its low threshold.
    BufferedAmountLow(StreamId),
    /// The peer lost the association and made a new one (RFC 9260, section 5.2.4, action A): everything queued or
    /// under way is gone, all streams start anew.
    Restarted,
    /// The end. Nothing follows.
    Closed(CloseReason),
}

/// Tells messages apart that are delivered in part. Within a stream one ordered message follows the other; unordered ones
/// may be under way at the same time. Keys of finished messages are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey {
    /// The stream it comes on.
    pub stream: StreamId,
    /// Whether it is unordered.
    pub unordered: bool,
    /// Its Message Identifier, or with DATA chunks what stands for it.
    pub id: u32,
}

/// A change of streams that the peer was asked for (RFC 6525).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reconfiguration {
    /// To reset what it sends on these streams; all when there are none.
    IncomingReset(Vec<StreamId>),
    /// To begin all streams of both directions anew.
    AssociationReset,
    /// To take so many more streams.
    AddOutgoing(u16),
    /// To send on so many more streams.
    AddIncoming(u16),
}

/// Why an association ended. Displays as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// A graceful shutdown, by either side: all data was delivered.
    #[error("the SCTP association was shut down after all data had been delivered")]
    Shutdown,
    /// [`abort`](crate::Association::abort) was called.
    #[error("the SCTP association was aborted by this side: {reason}")]
    Aborted {
        /// What the caller said.
        reason: String,
    },
    /// The peer sent an ABORT.
    #[error("the peer aborted the SCTP association{}", said(*code, reason))]
    AbortedByPeer {
        /// The first error cause (RFC 9260, section 3.3.10), 0 when there was none.
        code: u16,
        /// The peer's words, if it had any.
        reason: String,
    },
    /// INIT or COOKIE ECHO went unanswered.
    #[error("the peer did not answer the SCTP handshake")]
    HandshakeTimeout,
    /// Too many retransmissions in a row went unanswered.
    #[error("the peer stopped acknowledging SCTP packets")]
    Unreachable,
    /// The peer broke the protocol in a way that leaves no way on.
    #[error("the peer broke the SCTP protocol: {0}")]
    ProtocolViolation(&'static str),
}

/// What the peer gave as its reason: nothing (aiortc), a cause (usrsctp), or words as well (dcSCTP).
fn said(code: u16, reason: &str) -> String {
    match (code, reason) {
        (0, _) => String::new(),
        (code, "") => format!(" ({})", cause::name(code)),
        (code, reason) => format!(" ({}): {reason}", cause::name(code)),
    }
}

/// Why a message was refused; hands the message back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Larger than [`Config::max_message_size`](crate::Config::max_message_size).
    #[error("a message of {size} bytes is larger than the peer accepts ({limit})")]
    MessageTooLarge {
        /// Bytes of the message.
        size: usize,
        /// Bytes allowed.
        limit: usize,
        /// The message.
        data: Bytes,
    },
    /// [`Config::max_send_buffer`](crate::Config::max_send_buffer) is reached; try again after
    /// [`Event::BufferedAmountLow`].
    #[error("{size} bytes have no room in the send buffer: {buffered} of {limit} are taken")]
    BufferFull {
        /// Bytes of the message.
        size: usize,
        /// Bytes that wait.
        buffered: usize,
        /// Bytes that may wait.
        limit: usize,
        /// The message.
        data: Bytes,
    },
    /// The association is shutting down or has ended.
    #[error("the SCTP association is closed")]
    Closed {
        /// The message.
        data: Bytes,
    },
    /// The stream is being reset.
    #[error("the stream is being closed")]
    StreamClosing {
        /// The message.
        data: Bytes,
    },
    /// The stream does not exist: the peer accepts fewer.
    #[error("there is no stream {stream}: {limit} are accepted")]
    NoSuchStream {
        /// The stream.
        stream: u16,
        /// The first that does not exist.
        limit: u16,
        /// The message.
        data: Bytes,
    },
    /// A message is open on the stream: its last piece has to come first.
    #[error("the message that was begun on the stream has not been ended")]
    MessageOpen {
        /// The message.
        data: Bytes,
    },
    /// No message is open on the stream to which a piece could belong: it was given up.
    #[error("no message is open on the stream")]
    NoMessage {
        /// The piece.
        data: Bytes,
    },
    /// A message of pieces needs a peer that can be told that it was given up (RFC 3758).
    #[error("the peer does not know partial reliability")]
    NoPartialReliability,
    /// SCTP cannot carry empty messages (RFC 9260, section 6.2); data channels have PPIDs of their own for them.
    #[error("SCTP cannot carry an empty message")]
    Empty,
}

impl SendError {
    /// The refused message.
    #[must_use]
    pub fn into_data(self) -> Bytes {
        match self {
            SendError::MessageTooLarge { data, .. }
            | SendError::BufferFull { data, .. }
            | SendError::Closed { data }
            | SendError::StreamClosing { data }
            | SendError::NoSuchStream { data, .. }
            | SendError::MessageOpen { data }
            | SendError::NoMessage { data } => data,
            SendError::Empty | SendError::NoPartialReliability => Bytes::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abort_is_told_with_what_the_peer_said_and_no_more() {
        let told = |code, reason: &str| {
            let reason = reason.to_owned();
            CloseReason::AbortedByPeer { code, reason }.to_string()
        };
        assert_eq!(told(0, ""), "the peer aborted the SCTP association");
        assert_eq!(
            told(12, ""),
            "the peer aborted the SCTP association (user-initiated abort)"
        );
        assert_eq!(
            told(12, "bye"),
            "the peer aborted the SCTP association (user-initiated abort): bye"
        );
    }
}
