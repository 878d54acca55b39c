//! A data channel (webrtc-pc, section 6).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use dunlin_peerconnection as peer;
use dunlin_peerconnection::{
    ChannelCounters, ChannelFailure, ChannelState, Message, MessageKind, Piece, PieceError, SendMessageError,
};

use crate::byte_stream::ByteStream;
use crate::channel_state::ChannelShared;
use crate::core::{Connection, Core, State};
use crate::error::{ConnectionError, SendError, WriteError};
use crate::message_stream::{MessageReader, MessageWriter};

/// A bidirectional channel of messages.
///
/// It is a handle: cloning makes another one of the same channel, and each message is received through one of
/// them. Dropping the last one closes the channel; what was sent before is still delivered.
#[derive(Debug, Clone)]
pub struct DataChannel {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    connection: Arc<Connection>,
    shared: Arc<ChannelShared>,
    low_threshold: AtomicUsize,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let id = self.shared.id;
        self.connection.core.command(|state, now| {
            state.channels.remove(&id);
            state.peer.close_channel(now, id);
            // What it has received and will receive is dropped, lest it fill what all channels share.
            state.peer.forget_channel(id);
        });
    }
}

impl DataChannel {
    pub(crate) fn new(connection: Arc<Connection>, shared: Arc<ChannelShared>) -> Self {
        Self {
            inner: Arc::new(Inner {
                connection,
                shared,
                low_threshold: AtomicUsize::new(0),
            }),
        }
    }

    pub(crate) fn core(&self) -> &Core {
        &self.inner.connection.core
    }

    pub(crate) fn shared(&self) -> &Arc<ChannelShared> {
        &self.inner.shared
    }

    pub(crate) fn channel_buffer(&self) -> usize {
        self.inner.connection.channel_buffer
    }

    /// How the connection ended, if it did.
    pub(crate) fn end(&self, state: &State) -> Option<ConnectionError> {
        state.ended()
    }

    /// The name its creator gave it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.inner.shared.label
    }

    /// The subprotocol its creator named; empty when none.
    #[must_use]
    pub fn protocol(&self) -> &str {
        &self.inner.shared.init.protocol
    }

    /// Whether messages arrive in the order they were sent.
    #[must_use]
    pub fn ordered(&self) -> bool {
        self.inner.shared.init.ordered
    }

    /// How many times a message is retransmitted before it is given up; `None`: as often as it takes.
    #[must_use]
    pub fn max_retransmits(&self) -> Option<u16> {
        self.inner.shared.init.max_retransmits
    }

    /// For how many milliseconds a message is retried; `None`: as long as it takes.
    #[must_use]
    pub fn max_packet_life_time(&self) -> Option<u16> {
        self.inner.shared.init.max_packet_life_time
    }

    /// Whether both sides created the channel by themselves.
    #[must_use]
    pub fn negotiated(&self) -> bool {
        self.inner.shared.init.negotiated
    }

    /// The stream identifier; `None` until the roles are known.
    #[must_use]
    pub fn id(&self) -> Option<u16> {
        self.core()
            .lock()
            .peer
            .channel(self.inner.shared.id)
            .and_then(peer::DataChannel::stream)
    }

    /// Its state now.
    #[must_use]
    pub fn ready_state(&self) -> ChannelState {
        channel_state(&self.core().lock(), &self.inner.shared)
    }

    /// Why the channel was closed, when it was not by `close` on either side: what the `error` event of a browser says.
    #[must_use]
    pub fn failure(&self) -> Option<ChannelFailure> {
        let state = self.core().lock();
        state
            .peer
            .channel(self.inner.shared.id)
            .and_then(peer::DataChannel::failure)
    }

    /// Messages and bytes, sent and received.
    #[must_use]
    pub fn counters(&self) -> ChannelCounters {
        let state = self.core().lock();
        state
            .peer
            .channel(self.inner.shared.id)
            .map(peer::DataChannel::counters)
            .unwrap_or_default()
    }

    /// Waits until the channel is open.
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    /// When the channel or the connection ended first.
    pub async fn opened(&self) -> Result<(), ConnectionError> {
        let shared = &self.inner.shared;
        let answer = self
            .core()
            .wait(&shared.room, |state, _| match channel_state(state, shared) {
                ChannelState::Open => Some(Ok(())),
                ChannelState::Connecting => state.ended().map(Err),
                ChannelState::Closing | ChannelState::Closed => {
                    Some(Err(state.ended().unwrap_or(ConnectionError::Closed)))
                }
            });
        answer.await
    }

    /// The next message; `None` when the channel is closed, by whichever side, and everything was received.
    ///
    /// Messages that nobody receives hold the peer back: its sending stops when
    /// [`Config::peer`](crate::Config)`.receive_buffer` bytes wait.
    ///
    /// Cancel-safe: a message is taken only as it is returned.
    ///
    /// # Errors
    /// When the connection failed. Should an ICE restart bring it back, `recv` works again.
    pub async fn recv(&mut self) -> Result<Option<Message>, ConnectionError> {
        let shared = &self.inner.shared;
        let received = self.core().wait(&shared.readable, |state, core| {
            let now = Instant::now();
            if let Some(message) = state.peer.receive(now, shared.id) {
                // The peer may be waiting to hear that there is room again.
                if state.peer.owes_data_packet() {
                    core.wake_driver();
                }
                return Some(Ok(Some(message)));
            }
            match state.ended() {
                Some(failed @ ConnectionError::Failed(_)) => Some(Err(failed)),
                Some(_) => Some(Ok(None)),
                None => (channel_state(state, shared) == ChannelState::Closed).then_some(Ok(None)),
            }
        });
        received.await
    }

    /// The next message as a stream, which may begin before the message has arrived to its end; `None` like
    /// [`DataChannel::recv`]. So messages larger than memory can be received: allow the peer to send them with
    /// [`Config::peer`](crate::Config)`.max_message_size`, where 0 is no limit.
    ///
    /// Cancel-safe: nothing of a message is taken before the reader is returned. Reading is as well. Once the reader is
    /// dropped, what it has not read is gone, and the next call answers the next message.
    ///
    /// # Errors
    /// When the connection failed.
    pub async fn recv_stream(&mut self) -> Result<Option<MessageReader<'_>>, ConnectionError> {
        loop {
            let piece = std::future::poll_fn(|context| self.poll_piece(context)).await;
            match piece {
                Ok(Some(Piece::Data { kind, data, last })) => {
                    return Ok(Some(MessageReader::new(self, kind, data, last)));
                }
                // Of a message whose reader is gone.
                Ok(Some(Piece::Aborted)) => {}
                Ok(None) => return Ok(None),
                Err(_) => return Err(self.core().lock().ended().unwrap_or(ConnectionError::Closed)),
            }
        }
    }

    /// Begins a message that is written piece by piece, and may be larger than memory; `len` in bytes, if it is known,
    /// lets one that the peer would not take be refused at once. Waits until the channel is open, and until a message that
    /// is being written in this way has ended.
    ///
    /// Cancel-safe: a dropped future has begun nothing. So is writing: `write` has taken the bytes that it counts.
    ///
    /// # Errors
    /// When the channel is closed, the connection ended, or the peer takes no message of this length.
    pub async fn begin_message(
        &self,
        kind: MessageKind,
        len: Option<usize>,
    ) -> Result<MessageWriter<'_>, WriteError> {
        let shared = &self.inner.shared;
        let begun = self.core().wait(&shared.room, |state, _| {
            let connecting = channel_state(state, shared) == ChannelState::Connecting;
            let now = Instant::now();
            match state.peer.begin_message(now, shared.id, kind, len) {
                Ok(()) => Some(Ok(())),
                Err(PieceError::MessageOpen) => None,
                Err(PieceError::NotOpen) if connecting && state.ended().is_none() => None,
                Err(error) => Some(Err(WriteError::of(error, state.ended()))),
            }
        });
        begun.await?;
        Ok(MessageWriter::new(self))
    }

    /// The channel as a stream of bytes, carried in binary messages: [`ByteStream`] is `AsyncRead` and `AsyncWrite`.
    #[must_use]
    pub fn into_stream(self) -> ByteStream {
        ByteStream::new(self)
    }

    /// Sends a message, waiting until the channel is open and there is room.
    ///
    /// Cancel-safe: a dropped future has sent the message as a whole or not at all. Which of the two can be
    /// told only by [`DataChannel::try_send`], which does not wait.
    ///
    /// # Errors
    /// When the channel is closed, the connection ended, or the message is larger than the peer takes. The
    /// message comes back in the error.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let mut slot = Some(message.into());
        let shared = &self.inner.shared;
        let sent = self.core().wait(&shared.room, |state, core| {
            let message = slot.take()?;
            match self.attempt(state, core, message) {
                Err(
                    SendError::Full { message }
                    | SendError::NotOpen { message }
                    | SendError::MessageOpen { message },
                ) => {
                    let limit = self.inner.connection.channel_buffer;
                    // Woken when half is empty: a message at a time would cost a task switch each.
                    state.want_room(shared, limit.saturating_sub(message.len()).min(limit / 2));
                    slot = Some(message);
                    None
                }
                other => Some(other),
            }
        });
        sent.await
    }

    /// Sends a message if the channel is open and there is room now.
    ///
    /// # Errors
    /// Also when there is no room, or the channel is not open yet. The message comes back in the error.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let core = self.core();
        self.attempt(&mut core.lock(), core, message.into())
    }

    pub(crate) fn attempt(&self, state: &mut State, core: &Core, message: Message) -> Result<(), SendError> {
        let shared = &self.inner.shared;
        match channel_state(state, shared) {
            ChannelState::Connecting | ChannelState::Open => {}
            ChannelState::Closing | ChannelState::Closed => {
                return Err(match state.ended() {
                    Some(reason) => SendError::Connection { reason, message },
                    None => SendError::Closed { message },
                });
            }
        }
        if let Some(reason) = state.ended() {
            return Err(SendError::Connection { reason, message });
        }
        let buffered = state.peer.buffered_amount(shared.id);
        if buffered > 0 && buffered + message.len() > self.inner.connection.channel_buffer {
            return Err(SendError::Full { message });
        }
        match state.peer.send(Instant::now(), shared.id, message) {
            Ok(()) => {
                core.wake_driver();
                Ok(())
            }
            Err(SendMessageError::TooLarge { size, limit, message }) => {
                Err(SendError::TooLarge { size, limit, message })
            }
            Err(SendMessageError::Full { message }) => Err(SendError::Full { message }),
            Err(SendMessageError::MessageOpen { message }) => Err(SendError::MessageOpen { message }),
            Err(other) => Err(SendError::NotOpen {
                message: other.into_message(),
            }),
        }
    }

    /// Bytes that were sent here and have not been given to the network yet.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        self.core().lock().peer.buffered_amount(self.inner.shared.id)
    }

    /// What [`DataChannel::low`] waits for, in bytes; 0 at first.
    pub fn set_buffered_amount_low_threshold(&self, bytes: usize) {
        self.inner.low_threshold.store(bytes, Ordering::Relaxed);
    }

    /// Waits until the buffered amount is at or below the low threshold, or the channel is closed.
    ///
    /// Cancel-safe.
    pub async fn low(&self) {
        let shared = &self.inner.shared;
        let low = self.core().wait(&shared.room, |state, _| {
            let threshold = self.inner.low_threshold.load(Ordering::Relaxed);
            let done = state.peer.buffered_amount(shared.id) <= threshold
                || state.ended().is_some()
                || channel_state(state, shared) == ChannelState::Closed;
            if !done {
                state.want_room(shared, threshold);
            }
            done.then_some(())
        });
        low.await;
    }

    /// Closes the channel: what was sent before is still delivered, then the peer sees the end.
    pub fn close(&self) {
        let id = self.inner.shared.id;
        self.core()
            .command(|state, now| state.peer.close_channel(now, id));
    }

    /// Waits until the channel is closed on both sides.
    ///
    /// Cancel-safe.
    pub async fn closed(&self) {
        let shared = &self.inner.shared;
        let closed = self.core().wait(&shared.room, |state, _| {
            let closed = state.ended().is_some() || channel_state(state, shared) == ChannelState::Closed;
            closed.then_some(())
        });
        closed.await;
    }
}

pub(crate) fn channel_state(state: &State, shared: &ChannelShared) -> ChannelState {
    state
        .peer
        .channel(shared.id)
        .map_or(ChannelState::Closed, peer::DataChannel::state)
}
