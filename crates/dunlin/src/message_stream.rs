//! One message as a stream of bytes: for messages that are larger than memory, or not known yet when they begin.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use dunlin_peerconnection::{ChannelState, MessageKind, Piece, PieceError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::core::State;
use crate::data_channel::{DataChannel, channel_state};
use crate::error::{ConnectionError, WriteError};

/// Bytes that are handed over at once.
pub(crate) const PIECE: usize = 64 * 1024;

/// Writes one message: its bytes go out while it is being written. From [`DataChannel::begin_message`].
///
/// [`shutdown`](tokio::io::AsyncWriteExt::shutdown) ends the message; dropped before that, the message is given up, and the
/// peer drops what it has of it. `flush` hands over all but the last byte: SCTP ends a message with data.
///
/// Until then the channel sends no other message. And where the peer does not know I-DATA (RFC 8260), no other channel of
/// the connection sends anything either, so do not let it wait.
#[derive(Debug)]
pub struct MessageWriter<'a> {
    channel: &'a DataChannel,
    /// What has not been handed over.
    buffer: BytesMut,
    open: bool,
}

impl<'a> MessageWriter<'a> {
    pub(crate) fn new(channel: &'a DataChannel) -> Self {
        Self {
            channel,
            buffer: BytesMut::new(),
            open: true,
        }
    }

    /// Hands over the first `len` bytes of the buffer as soon as there is room.
    fn poll_hand_over(&mut self, context: &Context<'_>, len: usize, last: bool) -> Poll<io::Result<()>> {
        if !self.open {
            return Poll::Ready(Err(ended()));
        }
        let core = self.channel.core();
        let shared = self.channel.shared();
        let mut state = core.lock();
        if let Some(limit) = self.channel.full_at(&state, len) {
            state.want_room(shared, limit);
            shared.writers.register(context);
            return Poll::Pending;
        }
        let piece = self.buffer.split_to(len).freeze();
        match state.peer.send_piece(Instant::now(), shared.id, piece, last) {
            Ok(()) => {
                core.wake_driver();
                if last {
                    self.open = false;
                    shared.wake_writers();
                }
                Poll::Ready(Ok(()))
            }
            Err(PieceError::Full { piece }) => {
                let mut buffer = BytesMut::from(piece);
                buffer.unsplit(std::mem::take(&mut self.buffer));
                self.buffer = buffer;
                state.want_room(shared, self.channel.room_for(len));
                shared.writers.register(context);
                Poll::Pending
            }
            Err(error) => {
                let error = WriteError::of(error, self.channel.end(&state));
                drop(state);
                self.give_up();
                Poll::Ready(Err(error.into()))
            }
        }
    }

    fn give_up(&mut self) {
        if std::mem::take(&mut self.open) {
            let id = self.channel.shared().id;
            self.channel
                .core()
                .command(|state, now| state.peer.abandon_message(now, id));
            self.channel.shared().wake_writers();
        }
    }
}

impl AsyncWrite for MessageWriter<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.open {
            return Poll::Ready(Err(ended()));
        }
        // The last bytes are kept until it is known whether they are the last.
        if self.buffer.len() >= PIECE && !bytes.is_empty() {
            let len = self.buffer.len();
            ready!(self.poll_hand_over(context, len, false))?;
        }
        let taken = bytes.len().min(PIECE - self.buffer.len().min(PIECE));
        self.buffer.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.buffer.len() {
            0 | 1 => Poll::Ready(Ok(())),
            len => self.poll_hand_over(context, len - 1, false),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.open {
            return Poll::Ready(Ok(()));
        }
        let len = self.buffer.len();
        self.poll_hand_over(context, len, true)
    }
}

impl Drop for MessageWriter<'_> {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Reads one message while it arrives. From [`DataChannel::recv_stream`].
///
/// The end of the stream is the end of the message. An error of the kind `ConnectionAborted` says that the sender gave the
/// message up, `UnexpectedEof` that the channel ended in the middle of it. Dropped before the end, the rest of the message
/// is dropped as it comes.
#[derive(Debug)]
pub struct MessageReader<'a> {
    channel: &'a mut DataChannel,
    kind: MessageKind,
    piece: Bytes,
    /// Nothing comes after `piece`.
    ended: bool,
}

impl<'a> MessageReader<'a> {
    pub(crate) fn new(channel: &'a mut DataChannel, kind: MessageKind, piece: Bytes, ended: bool) -> Self {
        Self {
            channel,
            kind,
            piece,
            ended,
        }
    }

    /// Whether it is text or binary. Text is UTF-8 only if its sender kept to that.
    #[must_use]
    pub fn kind(&self) -> MessageKind {
        self.kind
    }
}

impl AsyncRead for MessageReader<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.piece.is_empty() && !self.ended {
            match ready!(self.channel.poll_piece(context))? {
                Some(Piece::Data { data, last, .. }) => (self.piece, self.ended) = (data, last),
                Some(Piece::Aborted) => {
                    self.ended = true;
                    return Poll::Ready(Err(aborted()));
                }
                None => {
                    self.ended = true;
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
        let len = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece[..len]);
        self.piece.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl Drop for MessageReader<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let id = self.channel.shared().id;
            self.channel
                .core()
                .command(|state, now| state.peer.skip_message(now, id));
        }
    }
}

fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the message has ended")
}

pub(crate) fn aborted() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the peer gave the message up")
}

impl DataChannel {
    /// The next piece of what arrives; `None` at the end of the channel.
    pub(crate) fn poll_piece(&self, context: &Context<'_>) -> Poll<io::Result<Option<Piece>>> {
        let (core, shared) = (self.core(), self.shared());
        let mut state = core.lock();
        let now = Instant::now();
        if let Some(piece) = state.peer.receive_piece(now, shared.id) {
            // The peer may be waiting to hear that there is room again.
            if state.peer.poll_timeout().is_some_and(|due| due <= now) {
                core.wake_driver();
            }
            return Poll::Ready(Ok(Some(piece)));
        }
        match state.ended() {
            Some(failed @ ConnectionError::Failed(_)) => {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::NotConnected, failed)));
            }
            Some(_) => return Poll::Ready(Ok(None)),
            None if channel_state(&state, shared) == ChannelState::Closed => return Poll::Ready(Ok(None)),
            None => {}
        }
        shared.readers.register(context);
        Poll::Pending
    }

    /// How much may be buffered at most before so many bytes more are taken; `None` when they are now.
    pub(crate) fn full_at(&self, state: &State, len: usize) -> Option<usize> {
        let buffered = state.peer.buffered_amount(self.shared().id);
        let full = buffered > 0 && buffered + len > self.channel_buffer();
        full.then(|| self.room_for(len))
    }

    pub(crate) fn room_for(&self, len: usize) -> usize {
        let limit = self.channel_buffer();
        limit.saturating_sub(len).min(limit / 2)
    }
}
