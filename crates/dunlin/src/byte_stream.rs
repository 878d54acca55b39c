//! A channel as a stream of bytes, for everything that speaks over TCP.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use dunlin_peerconnection::{ChannelState, Message, MessageKind, Piece};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::data_channel::{DataChannel, channel_state};
use crate::error::{SendError, WriteError};
use crate::message_stream::{PIECE, aborted};

/// A [`DataChannel`] as a stream of bytes. From [`DataChannel::into_stream`].
///
/// What is written goes out as binary messages of up to 64 KiB, at once: collect small writes with
/// [`BufWriter`](tokio::io::BufWriter). What is read is the bytes of the binary messages that arrive, whatever their sizes;
/// a text is an error of the kind `InvalidData`. So the other side may be a browser that knows nothing of streams. It should
/// be an ordered, reliable channel.
///
/// `flush` waits until everything has been handed to the network, `shutdown` closes the channel and waits until the other
/// side has, too: what was written arrives, and nothing is received any more, since channels close both ways at once.
/// [`tokio::io::split`] makes two halves of it.
#[derive(Debug)]
pub struct ByteStream {
    channel: DataChannel,
    piece: Bytes,
}

impl ByteStream {
    pub(crate) fn new(channel: DataChannel) -> Self {
        Self {
            channel,
            piece: Bytes::new(),
        }
    }

    /// The channel: its label, its state, its numbers.
    #[must_use]
    pub fn channel(&self) -> &DataChannel {
        &self.channel
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(self.channel.poll_piece(context))? {
                None => return Poll::Ready(Ok(())),
                Some(Piece::Data {
                    kind: MessageKind::Binary,
                    data,
                    ..
                }) => self.piece = data,
                Some(Piece::Data { .. }) => {
                    let text = io::Error::new(io::ErrorKind::InvalidData, "a text in a stream of bytes");
                    return Poll::Ready(Err(text));
                }
                Some(Piece::Aborted) => return Poll::Ready(Err(aborted())),
            }
        }
        let len = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece[..len]);
        self.piece.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let (core, shared) = (self.channel.core(), self.channel.shared());
        let mut state = core.lock();
        let len = bytes.len().min(PIECE).min(state.peer.max_message_size());
        let full = self.channel.full_at(&state, len);
        let connecting = channel_state(&state, shared) == ChannelState::Connecting && state.ended().is_none();
        if full.is_none() && !connecting {
            let message = Message::Binary(Bytes::copy_from_slice(&bytes[..len]));
            match self.channel.attempt(&mut state, core, message) {
                Ok(()) => return Poll::Ready(Ok(len)),
                Err(SendError::Full { .. } | SendError::NotOpen { .. } | SendError::MessageOpen { .. }) => {}
                Err(SendError::TooLarge { size, limit, .. }) => {
                    return Poll::Ready(Err(WriteError::TooLarge { size, limit }.into()));
                }
                Err(SendError::Closed { .. }) => return Poll::Ready(Err(WriteError::Closed.into())),
                Err(SendError::Connection { reason, .. }) => {
                    return Poll::Ready(Err(WriteError::Connection(reason).into()));
                }
            }
        }
        state.want_room(shared, self.channel.room_for(len));
        shared.writers.register(context);
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = self.channel.shared();
        let mut state = self.channel.core().lock();
        if let Some(reason) = state.ended() {
            return Poll::Ready(Err(WriteError::Connection(reason).into()));
        }
        if state.peer.buffered_amount(shared.id) == 0 {
            return Poll::Ready(Ok(()));
        }
        state.want_room(shared, 0);
        shared.writers.register(context);
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shared = self.channel.shared();
        if self.channel.ready_state() != ChannelState::Closed {
            self.channel.close();
        }
        let state = self.channel.core().lock();
        if state.ended().is_some() || channel_state(&state, shared) == ChannelState::Closed {
            return Poll::Ready(Ok(()));
        }
        shared.writers.register(context);
        Poll::Pending
    }
}
