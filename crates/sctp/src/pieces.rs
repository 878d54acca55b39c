//! Messages larger than any buffer: sent piece by piece, as RFC 6458 has it with SCTP_EXPLICIT_EOR, and received by partial
//! delivery (RFC 9260, section 11.1.8, and RFC 6458, section 8.1.20).

use std::time::Instant;

use bytes::Bytes;

use crate::association::Association;
use crate::event::SendError;
use crate::packet::forward_tsn::Skipped;
use crate::send::queue::Open;
use crate::send::{Limit, SendOptions};
use crate::state::{Phase, State};
use crate::types::{Ppid, StreamId};

impl Association {
    /// Begins a message on a stream whose bytes come later, with [`Association::send_piece`]. Until its last piece has been
    /// handed over, the stream takes no other message. How large it may be is for the caller to know.
    ///
    /// Where messages are not [interleaved](Association::interleaves), nothing else can be sent between the first piece
    /// and the last: the fragments of a message must have consecutive TSNs (RFC 9260, section 6.9).
    ///
    /// # Errors
    /// When the association is not established, the peer does not know partial reliability and could not be told that a
    /// message was given up, the stream is being reset or does not exist, or a message is open on it already.
    pub fn begin_message(
        &mut self,
        now: Instant,
        stream: StreamId,
        ppid: Ppid,
        options: SendOptions,
    ) -> Result<(), SendError> {
        self.advance_clock(now);
        let data = Bytes::new();
        let State::Open(tcb, Phase::Established) = &self.state else {
            return Err(SendError::Closed { data });
        };
        if !tcb.partial_reliability() {
            return Err(SendError::NoPartialReliability);
        }
        let limit = tcb.outbound_streams();
        if stream.0 >= limit {
            let stream = stream.0;
            return Err(SendError::NoSuchStream { stream, limit, data });
        }
        if self.queue.is_closing(stream) {
            return Err(SendError::StreamClosing { data });
        }
        if self.queue.has_open(stream) {
            return Err(SendError::MessageOpen { data });
        }
        let open = Open {
            ppid,
            unordered: options.unordered,
            limit: Limit::new(options.reliability, self.now),
        };
        self.queue.open(stream, open);
        Ok(())
    }

    /// Queues the next piece of the open message of a stream; `last` ends the message.
    ///
    /// # Errors
    /// The piece comes back when no message is open, as when its reliability ran out, or when the buffer is full. A piece
    /// without bytes is refused, the last one, too: SCTP has no way to end a message without data.
    pub fn send_piece(
        &mut self,
        now: Instant,
        stream: StreamId,
        data: Bytes,
        last: bool,
    ) -> Result<(), SendError> {
        self.advance_clock(now);
        if !matches!(self.state, State::Open(_, Phase::Established)) {
            Err(SendError::Closed { data })
        } else if data.is_empty() {
            Err(SendError::Empty)
        } else if !self.queue.has_open(stream) {
            Err(SendError::NoMessage { data })
        } else if self.has_no_room(data.len()) {
            Err(self.buffer_full(data))
        } else {
            self.queue.push_piece(stream, data, last);
            Ok(())
        }
    }

    /// Whether a message was begun on this stream that has not been ended or given up.
    #[must_use]
    pub fn has_open_message(&self, stream: StreamId) -> bool {
        self.queue.has_open(stream)
    }

    /// Gives up the open message of a stream: the peer drops what it has of it.
    pub fn abandon_message(&mut self, now: Instant, stream: StreamId) {
        self.advance_clock(now);
        if !self.queue.has_open(stream) || self.queue.withdraw(stream) {
            return;
        }
        let Some((unordered, mid)) = self.queue.begun_message(stream) else {
            return;
        };
        self.queue.abandon_rest(stream);
        self.stats.abandoned += 1;
        let now = self.now;
        if let Some(tcb) = self.state.tcb_mut() {
            let message = Skipped {
                stream,
                unordered,
                mid,
            };
            tcb.outstanding.cut(message, now);
            tcb.forward_due |= tcb.outstanding.forward_point().is_some();
        }
    }
}
