//! The data-channel commands of a connection.

use std::time::Instant;

use bytes::Bytes;

use crate::PeerConnection;
use crate::data_channel::{ChannelId, DataChannel, DataChannelInit, Message, MessageKind, Piece};
use crate::error::{CreateChannelError, PieceError, SendMessageError};

impl PeerConnection {
    /// Creates a channel (webrtc-pc, section 6.1). It opens when the transport is up: `Event::ChannelOpen`.
    ///
    /// # Errors
    /// When the options contradict each other, an identifier is taken, or a limit is reached.
    pub fn create_data_channel(
        &mut self,
        now: Instant,
        label: &str,
        init: DataChannelInit,
    ) -> Result<ChannelId, CreateChannelError> {
        if self.is_closed() {
            return Err(CreateChannelError::Closed);
        }
        let now = self.advance(now);
        let id = self.channels.create(label, init)?;
        if self.channels.is_connected()
            && let Some(sctp) = &mut self.transport.sctp
        {
            self.channels.open(now, id, sctp, &mut self.events);
        }
        self.check_negotiation_needed();
        Ok(id)
    }

    /// A channel, until it was forgotten.
    #[must_use]
    pub fn channel(&self, id: ChannelId) -> Option<&DataChannel> {
        self.channels.get(id)
    }

    /// All channels with their ids.
    pub fn channels(&self) -> impl Iterator<Item = (ChannelId, &DataChannel)> {
        self.channels.iter()
    }

    /// Queues a message on an open channel.
    ///
    /// # Errors
    /// When the channel is not open, the message is too large for the peer, the send buffer is full, or a message that was
    /// begun on the channel has not ended. The message is in the error.
    pub fn send(&mut self, now: Instant, id: ChannelId, message: Message) -> Result<(), SendMessageError> {
        let now = self.advance(now);
        self.channels.send(now, id, message, self.transport.sctp.as_mut())
    }

    /// The largest message that the peer takes, in bytes; `usize::MAX` when it names no limit, or none yet
    /// (webrtc-pc, section 6.1.2, `maxMessageSize`).
    #[must_use]
    pub fn max_message_size(&self) -> usize {
        self.channels.max_message_size
    }

    /// The next message of a channel. After `Event::ChannelReadable`, call it until it answers `None`.
    pub fn receive(&mut self, now: Instant, id: ChannelId) -> Option<Message> {
        let now = self.advance(now);
        let message = self
            .channels
            .receive(id, self.transport.sctp.as_mut(), &mut self.events);
        self.pump_sctp(now);
        message
    }

    /// Whether the data transport has something to send that it had not when `poll_transmit` last had nothing: after
    /// [`PeerConnection::receive`] that is the news that there is room again. Cheaper than a look at all timers.
    #[must_use]
    pub fn owes_data_packet(&self) -> bool {
        self.transport
            .sctp
            .as_ref()
            .is_some_and(dunlin_sctp::Association::has_output)
    }

    /// The next bytes of the next message of a channel: messages may be larger than what is kept in memory, if
    /// [`Config::max_message_size`](crate::Config::max_message_size) allows it. After `Event::ChannelReadable`, call it
    /// until it answers `None`. Once a piece of a message was taken, [`PeerConnection::receive`] drops the rest of it.
    pub fn receive_piece(&mut self, now: Instant, id: ChannelId) -> Option<Piece> {
        let now = self.advance(now);
        let piece = self.channels.receive_piece(id);
        self.pump_sctp(now);
        piece
    }

    /// Drops the rest, the part still to come as well, of the message of which the last piece was taken.
    pub fn skip_message(&mut self, now: Instant, id: ChannelId) {
        let now = self.advance(now);
        self.channels.skip_message(id);
        self.pump_sctp(now);
    }

    /// Begins a message that is handed over piece by piece, and may be larger than memory. Until its last piece the
    /// channel takes no other message. `len`, in bytes, if it is known.
    ///
    /// Where the peer does not know I-DATA (RFC 8260), nothing else can be sent on any channel between the first piece
    /// and the last.
    ///
    /// # Errors
    /// When the channel is not open, a message is open on it already, or the peer takes no message of that length.
    pub fn begin_message(
        &mut self,
        now: Instant,
        id: ChannelId,
        kind: MessageKind,
        len: Option<usize>,
    ) -> Result<(), PieceError> {
        self.advance(now);
        self.channels.begin_message(id, kind, len)
    }

    /// Queues the next piece of the message that was begun; `last` ends it.
    ///
    /// # Errors
    /// When there is no such message (any more), the send buffer is full, the message becomes larger than the peer takes,
    /// or the piece is empty: only a message without any bytes has an empty last piece.
    pub fn send_piece(
        &mut self,
        now: Instant,
        id: ChannelId,
        piece: Bytes,
        last: bool,
    ) -> Result<(), PieceError> {
        let now = self.advance(now);
        let sctp = self.transport.sctp.as_mut();
        self.channels.send_piece(now, id, piece, last, sctp)
    }

    /// Gives up the message that was begun: the peer drops what it has of it.
    pub fn abandon_message(&mut self, now: Instant, id: ChannelId) {
        let now = self.advance(now);
        let sctp = self.transport.sctp.as_mut();
        self.channels.abandon_message(now, id, sctp);
    }

    /// Bytes of messages that were sent on a channel and have not been given to the network for the first time; none when
    /// the connection has ended.
    #[must_use]
    pub fn buffered_amount(&self, id: ChannelId) -> usize {
        self.channels.buffered_amount(id, self.transport.sctp.as_ref())
    }

    /// Asks for `Event::BufferedAmountLow` when the buffered amount falls to `bytes` or below.
    pub fn set_buffered_amount_low_threshold(&mut self, id: ChannelId, bytes: usize) {
        self.channels
            .set_low_threshold(id, bytes, self.transport.sctp.as_mut());
    }

    /// Closes a channel after what is queued has been delivered: `Event::ChannelClosed` says when.
    pub fn close_channel(&mut self, now: Instant, id: ChannelId) {
        let now = self.advance(now);
        self.channels
            .close(id, self.transport.sctp.as_mut(), &mut self.events);
        self.pump(now);
    }

    /// Drops what a channel received and nobody read, and what it still may receive. A channel that is closed is freed;
    /// another one is when it is forgotten again after it was closed.
    pub fn forget_channel(&mut self, id: ChannelId) {
        self.channels.forget(id);
        self.pump_sctp(self.now);
    }
}
