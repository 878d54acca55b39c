//! What the peer does to our data channels: messages, and the Data Channel Establishment Protocol (RFC 8832, section 6).

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use dunlin_sctp::{Association, MessageKey, Ppid, StreamId};
use log::{debug, info};

use crate::data_channel::{
    ChannelFailure, ChannelId, DataChannel, DataChannelInit, Message, MessageKind, Origin, PPID_DCEP, Piece,
};
use crate::data_channel_inbox::Nothing;
use crate::data_channel_table::{Channels, STREAM_LIMIT};
use crate::dcep::{DcepMessage, MAX_OPEN_LEN, Open};
use crate::event::Event;
use crate::state::ChannelState;

impl Channels {
    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        stream: StreamId,
        ppid: Ppid,
        data: Bytes,
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        if ppid == PPID_DCEP {
            self.handle_dcep(now, stream, &data, sctp, events);
            return;
        }
        let Some(id) = self.listener(stream) else { return };
        if data.len() > self.max_receive_size {
            let limit = self.max_receive_size;
            return self.close_for(id, ChannelFailure::MessageTooLarge { limit }, sctp, events);
        }
        let Some(message) = Message::from_wire(ppid, data) else {
            // "If a message with an unsupported PPID is received or some error condition related to the received message is
            // detected by the receiver …, the receiver SHOULD close the corresponding data channel" (RFC 8831, section 6.6).
            self.dropped += 1;
            return self.close_for(id, ChannelFailure::of(ppid), sctp, events);
        };
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.counters.messages_received += 1;
            channel.counters.bytes_received += message.len() as u64;
            self.unread += message.len();
            channel.inbox.push(message);
            tell_readable(id, channel, events);
        }
    }

    /// Who gets what comes on a stream; `None` drops it.
    fn listener(&mut self, stream: StreamId) -> Option<ChannelId> {
        let id = self.by_stream.get(&stream).copied();
        let channel = id.and_then(|id| self.channels.get_mut(&id));
        match channel {
            // A channel that the other side negotiated and we have not created yet cannot be told from an error, so nothing
            // is reset here; what comes on a stream that was refused is expected.
            None => {
                debug!("dropped a message on stream {}, which is no channel", stream.0);
                self.dropped += 1;
                None
            }
            // "If channel.[[ReadyState]] is not "open", abort these steps and discard" (webrtc-pc, section 6.2, on messages).
            Some(channel) if channel.unheard || channel.state == ChannelState::Closing => None,
            Some(channel) => {
                channel.confirmed = true;
                id
            }
        }
    }

    /// A message that is too large to be kept comes in pieces.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of it is the one piece and where it goes"
    )]
    pub(crate) fn handle_piece(
        &mut self,
        now: Instant,
        key: MessageKey,
        ppid: Ppid,
        data: Bytes,
        last: bool,
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        if ppid == PPID_DCEP {
            return self.handle_dcep_piece(now, key, &data, last, sctp, events);
        }
        let Some(id) = self.listener(key.stream) else {
            return;
        };
        let Some(kind) = MessageKind::of(ppid) else {
            self.dropped += 1;
            return self.close_for(id, ChannelFailure::of(ppid), sctp, events);
        };
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.counters.messages_received += u64::from(last);
            channel.counters.bytes_received += data.len() as u64;
            self.unread += channel.inbox.push_piece(key, kind, data, last);
            tell_readable(id, channel, events);
        }
    }

    /// The peer gave a message up of which pieces have come.
    pub(crate) fn handle_abort(&mut self, key: MessageKey, events: &mut VecDeque<Event>) {
        if let Some(parts) = self.dcep_parts.remove(&key) {
            self.unread -= parts.len();
        }
        let id = self.by_stream.get(&key.stream).copied();
        if let Some(id) = id
            && let Some(channel) = self.channels.get_mut(&id)
        {
            self.unread -= channel.inbox.abort(key);
            tell_readable(id, channel, events);
        }
    }

    /// The next message of a channel.
    pub(crate) fn receive(
        &mut self,
        id: ChannelId,
        sctp: Option<&mut Association>,
        events: &mut VecDeque<Event>,
    ) -> Option<Message> {
        let channel = self.channels.get_mut(&id)?;
        self.unread -= channel.inbox.skip();
        match channel.inbox.take() {
            Ok(message) => {
                self.unread -= message.len();
                return Some(message);
            }
            Err(Nothing::Yet) => {}
            Err(Nothing::NotText { bytes }) => {
                self.unread -= bytes;
                if let Some(sctp) = sctp {
                    self.close_for(id, ChannelFailure::NotText, sctp, events);
                }
                return None;
            }
            // It would never end: its rest has no room.
            Err(Nothing::Unfinished(bytes)) if bytes >= self.receive_buffer / 2 => {
                let limit = self.receive_buffer / 2;
                self.unread -= channel.inbox.clear();
                if let Some(sctp) = sctp {
                    self.close_for(id, ChannelFailure::MessageTooLarge { limit }, sctp, events);
                }
                return None;
            }
            Err(Nothing::Unfinished(_)) => {}
        }
        channel.readable_told = false;
        None
    }

    /// The next bytes of the next message of a channel.
    pub(crate) fn receive_piece(&mut self, id: ChannelId) -> Option<Piece> {
        let channel = self.channels.get_mut(&id)?;
        let piece = channel.inbox.take_piece();
        match &piece {
            Some(Piece::Data { data, .. }) => self.unread -= data.len(),
            Some(Piece::Aborted) => {}
            None => channel.readable_told = false,
        }
        piece
    }

    /// Drops the rest of the message of which pieces were received.
    pub(crate) fn skip_message(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(&id) {
            self.unread -= channel.inbox.skip();
        }
    }

    fn handle_dcep_piece(
        &mut self,
        now: Instant,
        key: MessageKey,
        data: &[u8],
        last: bool,
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        let parts = self.dcep_parts.entry(key).or_default();
        let before = parts.len();
        // One byte too many is enough to make it malformed.
        let room = (MAX_OPEN_LEN + 1).saturating_sub(before);
        parts.extend_from_slice(&data[..data.len().min(room)]);
        self.unread += parts.len() - before;
        if last && let Some(parts) = self.dcep_parts.remove(&key) {
            self.unread -= parts.len();
            self.handle_dcep(now, key.stream, &parts, sctp, events);
        }
    }

    fn handle_dcep(
        &mut self,
        now: Instant,
        stream: StreamId,
        data: &[u8],
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        let known = self.by_stream.get(&stream).copied();
        let state = known
            .and_then(|id| self.channels.get(&id))
            .map(|channel| channel.state);
        match (DcepMessage::parse(data), known) {
            (Ok(DcepMessage::Ack), Some(id)) => {
                if let Some(channel) = self.channels.get_mut(&id) {
                    channel.confirmed = true;
                }
            }
            // A channel that was refused while the answer to something before was on its way.
            (Ok(DcepMessage::Ack), None) => self.dropped += 1,
            (Ok(DcepMessage::Open(open)), None) if self.may_be_opened_by_peer(stream) => {
                self.accept(now, stream, open, sctp, events);
            }
            // The peer has reset its side, and would not use the stream anew if we had not reset ours: only the word that it
            // did so has not come yet.
            (Ok(DcepMessage::Open(open)), Some(id)) if self.is_over_for_peer(id, stream) => {
                self.remove(id, events);
                self.accept(now, stream, open, sctp, events);
            }
            // "the receiver MUST close the corresponding data channel using the procedure described in [RFC8831] and MUST
            // NOT send a DATA_CHANNEL_ACK message" (RFC 8832, section 6).
            (result, known) => {
                debug!("refused a DCEP message on stream {}: {result:?}", stream.0);
                self.dropped += 1;
                match known {
                    Some(id) if state == Some(ChannelState::Closing) => {
                        debug!("{id:?} is being closed anyway");
                    }
                    Some(id) => self.close_for(id, ChannelFailure::Establishment, sctp, events),
                    None => {
                        if self.refused.insert(stream) {
                            sctp.reset_stream(stream);
                        }
                    }
                }
            }
        }
    }

    fn is_over_for_peer(&self, id: ChannelId, stream: StreamId) -> bool {
        let over = |channel: &DataChannel| channel.state == ChannelState::Closing && channel.reset_by_peer;
        self.get(id).is_some_and(over) && self.is_peers(stream)
    }

    fn is_peers(&self, stream: StreamId) -> bool {
        let ours = self.parity.map(|parity| parity.first());
        stream.0 < STREAM_LIMIT && ours.is_some_and(|ours| stream.0 % 2 != ours)
    }

    fn may_be_opened_by_peer(&self, stream: StreamId) -> bool {
        self.is_peers(stream) && self.channels.len() < self.max_channels && !self.refused.contains(&stream)
    }

    fn accept(
        &mut self,
        now: Instant,
        stream: StreamId,
        open: Open,
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        // The W3C limits are 16 bits; a larger value of the wire means no less.
        let clamp = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        let init = DataChannelInit {
            ordered: open.ordered,
            max_packet_life_time: open.max_packet_life_time.map(clamp),
            max_retransmits: open.max_retransmits.map(clamp),
            protocol: open.protocol,
            negotiated: false,
            id: Some(stream.0),
            priority: open.priority,
        };
        info!("the peer opens channel {:?} on stream {}", open.label, stream.0);
        let id = self.insert(DataChannel::new(open.label, init, Origin::Theirs, Some(stream)));
        self.open(now, id, sctp, events);
    }
}

impl ChannelFailure {
    /// What a message that is not understood means.
    fn of(ppid: Ppid) -> Self {
        match MessageKind::of(ppid) {
            Some(_) => ChannelFailure::NotText,
            None => ChannelFailure::UnknownMessage { ppid: ppid.0 },
        }
    }
}

/// Something has come.
fn tell_readable(id: ChannelId, channel: &mut DataChannel, events: &mut VecDeque<Event>) {
    if channel.state != ChannelState::Connecting && !channel.readable_told {
        channel.readable_told = true;
        events.push_back(Event::ChannelReadable(id));
    }
}
