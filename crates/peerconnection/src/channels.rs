//! The data-channel commands of a connection.

use std::time::Instant;

use crate::PeerConnection;
use crate::data_channel::{ChannelId, DataChannel, DataChannelInit, Message};
use crate::error::{CreateChannelError, SendMessageError};

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
            self.channels.open_waiting(now, sctp, &mut self.events);
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
    /// When the channel is not open, the message is too large for the peer, or the send buffer is full. The
    /// message is in the error.
    pub fn send(&mut self, now: Instant, id: ChannelId, message: Message) -> Result<(), SendMessageError> {
        let now = self.advance(now);
        self.channels.send(now, id, message, self.transport.sctp.as_mut())
    }

    /// The next message of a channel. After `Event::ChannelReadable`, call it until it answers `None`.
    pub fn receive(&mut self, now: Instant, id: ChannelId) -> Option<Message> {
        let now = self.advance(now);
        let message = self.channels.receive(id);
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

    /// Bytes that were sent on a channel and have not been given to the network for the first time.
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

    /// Frees a closed channel and what it received but nobody read.
    pub fn forget_channel(&mut self, id: ChannelId) {
        self.channels.forget(id);
        self.pump_sctp(self.now);
    }
}
