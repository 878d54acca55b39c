//! What data channels send: whole messages, and messages piece by piece.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use dunlin_sctp::{Association, SendError, StreamId};

use crate::data_channel::{ChannelId, DataChannel, Message, MessageKind, Writing};
use crate::data_channel_table::Channels;
use crate::error::{PieceError, SendMessageError};
use crate::event::Event;
use crate::state::ChannelState;

impl Channels {
    /// Whether so many bytes more would be too many.
    fn is_full(&self, sctp: &Association, size: usize) -> bool {
        let buffered = sctp.total_buffered();
        buffered > 0 && buffered.saturating_add(size) > self.send_buffer
    }

    pub(crate) fn send(
        &mut self,
        now: Instant,
        id: ChannelId,
        message: Message,
        sctp: Option<&mut Association>,
    ) -> Result<(), SendMessageError> {
        let Some(sctp) = sctp else {
            return Err(SendMessageError::NotOpen { message });
        };
        let full = self.is_full(sctp, message.len());
        let Some((channel, stream)) = open_channel(self.channels.get_mut(&id).map(Box::as_mut)) else {
            return Err(SendMessageError::NotOpen { message });
        };
        let size = message.len();
        if size > self.max_message_size {
            return Err(SendMessageError::TooLarge {
                size,
                limit: self.max_message_size,
                message,
            });
        }
        if channel.writing.is_some() {
            return Err(SendMessageError::MessageOpen { message });
        }
        if full {
            return Err(SendMessageError::Full { message });
        }
        let (ppid, data) = message.into_wire();
        match sctp.send(now, stream, ppid, data, channel.send_options()) {
            Ok(()) => {
                channel.counters.messages_sent += 1;
                channel.counters.bytes_sent += size as u64;
                Ok(())
            }
            Err(refused) => {
                let message = Message::from_refused(ppid, refused.into_data());
                Err(SendMessageError::NotOpen { message })
            }
        }
    }

    /// Begins a message whose bytes come later.
    pub(crate) fn begin_message(
        &mut self,
        id: ChannelId,
        kind: MessageKind,
        len: Option<usize>,
    ) -> Result<(), PieceError> {
        let limit = self.max_message_size;
        let Some((channel, _)) = open_channel(self.channels.get_mut(&id).map(Box::as_mut)) else {
            return Err(PieceError::NotOpen);
        };
        if let Some(size) = len.filter(|&len| len > limit) {
            return Err(PieceError::TooLarge { size, limit });
        }
        if channel.writing.is_some() {
            return Err(PieceError::MessageOpen);
        }
        channel.writing = Some(Writing { kind, sent: 0 });
        Ok(())
    }

    /// The next piece of the message that was begun.
    pub(crate) fn send_piece(
        &mut self,
        now: Instant,
        id: ChannelId,
        piece: Bytes,
        last: bool,
        sctp: Option<&mut Association>,
    ) -> Result<(), PieceError> {
        let limit = self.max_message_size;
        let Some(sctp) = sctp else {
            return Err(PieceError::NotOpen);
        };
        let full = self.is_full(sctp, piece.len());
        let Some((channel, stream)) = open_channel(self.channels.get_mut(&id).map(Box::as_mut)) else {
            return Err(PieceError::NotOpen);
        };
        let Some(writing) = channel.writing else {
            return Err(PieceError::GivenUp);
        };
        let (len, options) = (piece.len(), channel.send_options());
        let size = writing.sent.saturating_add(len);
        if size > limit {
            return Err(PieceError::TooLarge { size, limit });
        }
        if full {
            return Err(PieceError::Full { piece });
        }
        if writing.sent == 0 && last {
            // All of it: nothing that needs pieces.
            let message = match writing.kind {
                MessageKind::Binary => Message::Binary(piece),
                MessageKind::Text => {
                    Message::Text(String::from_utf8(piece.into()).map_err(|_| PieceError::NotText)?)
                }
            };
            channel.writing = None;
            return self
                .send(now, id, message, Some(sctp))
                .map_err(|_| PieceError::NotOpen);
        }
        if piece.is_empty() {
            return Err(PieceError::Empty);
        }
        if writing.sent == 0 {
            sctp.begin_message(now, stream, writing.kind.ppid(), options)
                .map_err(|error| match error {
                    SendError::NoPartialReliability => PieceError::NoPartialReliability,
                    _ => PieceError::NotOpen,
                })?;
        }
        match sctp.send_piece(now, stream, piece, last) {
            Ok(()) => {
                channel.counters.messages_sent += u64::from(last);
                channel.counters.bytes_sent += len as u64;
                channel.writing = (!last).then_some(Writing {
                    sent: size,
                    ..writing
                });
                Ok(())
            }
            Err(SendError::NoMessage { .. }) => {
                channel.writing = None;
                Err(PieceError::GivenUp)
            }
            Err(_) => Err(PieceError::NotOpen),
        }
    }

    /// Gives up the message that was begun.
    pub(crate) fn abandon_message(&mut self, now: Instant, id: ChannelId, sctp: Option<&mut Association>) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        if channel.writing.take().is_some()
            && let (Some(stream), Some(sctp)) = (channel.stream, sctp)
        {
            sctp.abandon_message(now, stream);
        }
    }

    /// Bytes of messages that wait, without what opens the channel: that is first in its stream.
    pub(crate) fn buffered_amount(&self, id: ChannelId, sctp: Option<&Association>) -> usize {
        let (Some(channel), Some(sctp)) = (self.channels.get(&id), sctp) else {
            return 0;
        };
        let sent = usize::try_from(channel.counters.bytes_sent).unwrap_or(usize::MAX);
        let waiting = |stream| sctp.buffered_amount(stream);
        channel.stream.map_or(0, waiting).min(sent)
    }

    pub(crate) fn set_low_threshold(&mut self, id: ChannelId, bytes: usize, sctp: Option<&mut Association>) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.low_threshold = bytes;
        if let (ChannelState::Open, Some(stream), Some(sctp)) = (channel.state, channel.stream, sctp) {
            sctp.set_buffered_amount_low_threshold(stream, bytes);
        }
    }

    pub(crate) fn handle_buffered_amount_low(&mut self, stream: StreamId, events: &mut VecDeque<Event>) {
        let Some(&id) = self.by_stream.get(&stream) else {
            return;
        };
        // What opens a channel is no message.
        if self
            .channels
            .get(&id)
            .is_some_and(|channel| channel.counters.bytes_sent > 0)
        {
            events.push_back(Event::BufferedAmountLow(id));
        }
    }
}

/// A channel on which something can be sent.
fn open_channel(channel: Option<&mut DataChannel>) -> Option<(&mut DataChannel, StreamId)> {
    let channel = channel?;
    let stream = channel.stream?;
    (channel.state == ChannelState::Open).then_some((channel, stream))
}
