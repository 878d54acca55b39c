//! All data channels of a connection: their identifiers, and how they are opened and closed.
//! [`receive`](crate::data_channel_receive) is what the peer does to them, [`send`](crate::data_channel_send) what they send.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::Instant;

use dunlin_sctp::{Association, MessageKey, SendError, SendOptions, StreamId};
use log::{debug, info};

use crate::config::Config;
use crate::data_channel::{ChannelFailure, ChannelId, DataChannel, DataChannelInit, Origin, PPID_DCEP};
use crate::dcep::{DcepMessage, Open};
use crate::error::CreateChannelError;
use crate::event::Event;
use crate::state::ChannelState;

/// Stream 65535 is never used (RFC 8832, section 6: identifiers 0 to 65534).
pub(crate) const STREAM_LIMIT: u16 = 65535;
/// libwebrtc announces more streams, but refuses a channel beyond these.
const LOW_STREAMS: u16 = 1024;
/// The longest label or protocol, in bytes of UTF-8 (webrtc-pc, section 6.1).
const MAX_NAME_LEN: usize = 65535;

/// Which stream identifiers are ours: even for the DTLS client, odd for the server (RFC 8832, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parity {
    Even,
    Odd,
}

impl Parity {
    pub(crate) fn first(self) -> u16 {
        match self {
            Parity::Even => 0,
            Parity::Odd => 1,
        }
    }
}

/// All channels of a connection.
#[derive(Debug)]
pub(crate) struct Channels {
    /// Boxed: most connections have few, and a node of the map has room for eleven.
    pub(crate) channels: BTreeMap<ChannelId, Box<DataChannel>>,
    pub(crate) by_stream: BTreeMap<StreamId, ChannelId>,
    next_id: u32,
    pub(crate) parity: Option<Parity>,
    /// Where the search for a free stream of our parity begins: below [`LOW_STREAMS`], and beyond.
    next_stream: [u16; 2],
    /// None is free below, unless one was freed since.
    low_streams_taken: bool,
    connected: bool,
    /// Streams that the peer takes, when it has said so.
    streams: u16,
    /// Streams that there will be if the peer grants what it was asked for.
    asked_streams: u16,
    pub(crate) max_channels: usize,
    /// The largest message that the peer takes.
    pub(crate) max_message_size: usize,
    /// The largest that we do.
    pub(crate) max_receive_size: usize,
    /// Bytes that may wait in the send queue.
    pub(crate) send_buffer: usize,
    pub(crate) receive_buffer: usize,
    /// Bytes that wait in inboxes for `receive`.
    pub(crate) unread: usize,
    /// Streams on which the peer's opening was refused, until the peer resets them.
    pub(crate) refused: BTreeSet<StreamId>,
    /// Messages of the establishment protocol that come in pieces.
    pub(crate) dcep_parts: BTreeMap<MessageKey, Vec<u8>>,
    /// Messages that fit no channel, or were not what they claimed.
    pub(crate) dropped: u64,
}

impl Channels {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            channels: BTreeMap::new(),
            by_stream: BTreeMap::new(),
            next_id: 0,
            parity: None,
            next_stream: [0; 2],
            low_streams_taken: false,
            connected: false,
            streams: STREAM_LIMIT,
            asked_streams: STREAM_LIMIT,
            max_channels: config.max_channels,
            max_message_size: usize::MAX,
            max_receive_size: match config.max_message_size {
                0 => usize::MAX,
                size => size,
            },
            send_buffer: config.send_buffer,
            receive_buffer: config.receive_buffer,
            unread: 0,
            refused: BTreeSet::new(),
            dcep_parts: BTreeMap::new(),
            dropped: 0,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ChannelId, &DataChannel)> {
        self.channels.iter().map(|(id, channel)| (*id, &**channel))
    }

    fn ids_of(&self, wanted: impl Fn(&DataChannel) -> bool) -> Vec<ChannelId> {
        let all = self.iter().filter(|(_, channel)| wanted(channel));
        all.map(|(id, _)| id).collect()
    }

    pub(crate) fn get(&self, id: ChannelId) -> Option<&DataChannel> {
        self.channels.get(&id).map(Box::as_ref)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    pub(crate) fn unread(&self) -> usize {
        self.unread
    }

    /// The largest message the peer takes; 0 means any size (RFC 8841, section 6).
    pub(crate) fn set_max_message_size(&mut self, size: usize) {
        self.max_message_size = if size == 0 { usize::MAX } else { size };
    }

    pub(crate) fn create(
        &mut self,
        label: &str,
        mut init: DataChannelInit,
    ) -> Result<ChannelId, CreateChannelError> {
        for (what, text) in [("label", label), ("protocol", init.protocol.as_str())] {
            if text.len() > MAX_NAME_LEN {
                return Err(CreateChannelError::NameTooLong {
                    what,
                    len: text.len(),
                    limit: MAX_NAME_LEN,
                });
            }
        }
        if init.max_packet_life_time.is_some() && init.max_retransmits.is_some() {
            return Err(CreateChannelError::TwoLimits);
        }
        if self.channels.len() >= self.max_channels {
            return Err(CreateChannelError::TooMany {
                limit: self.max_channels,
            });
        }
        if !init.negotiated {
            // "the id member will be ignored if the data channel is negotiated in-band" (webrtc-pc, section 6.1.1).
            init.id = None;
            let stream = match self.parity {
                // "the DTLS role of the SCTP transport has already been negotiated": the identifier is known at once.
                Some(parity) => Some(self.free_stream(parity).ok_or(CreateChannelError::NoIdLeft)?),
                None => None,
            };
            return Ok(self.insert(DataChannel::new(label.to_owned(), init, Origin::Ours, stream)));
        }
        let id = match init.id {
            None => return Err(CreateChannelError::NegotiatedWithoutId),
            Some(id) if id >= self.streams => {
                let limit = self.streams;
                return Err(CreateChannelError::IdOutOfRange { id, limit });
            }
            Some(id) if self.by_stream.contains_key(&StreamId(id)) => {
                return Err(CreateChannelError::IdInUse { id });
            }
            Some(id) => StreamId(id),
        };
        Ok(self.insert(DataChannel::new(
            label.to_owned(),
            init,
            Origin::Negotiated,
            Some(id),
        )))
    }

    pub(crate) fn insert(&mut self, channel: DataChannel) -> ChannelId {
        let id = ChannelId(self.next_id);
        self.next_id += 1;
        if let Some(stream) = channel.stream {
            self.by_stream.insert(stream, id);
        }
        self.channels.insert(id, Box::new(channel));
        id
    }

    /// The DTLS role is known: channels that wait for it get their identifiers, in the order in which they were created.
    pub(crate) fn set_parity(&mut self, parity: Parity, events: &mut VecDeque<Event>) {
        if self.parity.replace(parity).is_some() {
            return;
        }
        let nameless =
            |channel: &DataChannel| channel.stream.is_none() && channel.state == ChannelState::Connecting;
        for id in self.ids_of(nameless) {
            let Some(stream) = self.free_stream(parity) else {
                self.fail(id, ChannelFailure::NoIdLeft, events);
                continue;
            };
            if let Some(channel) = self.channels.get_mut(&id) {
                channel.stream = Some(stream);
                self.by_stream.insert(stream, id);
            }
        }
    }

    /// The association is up: opens what waits.
    pub(crate) fn open_waiting(
        &mut self,
        now: Instant,
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        self.connected = true;
        self.asked_streams = 0;
        self.learn_streams(sctp);
        for id in self.ids_of(|channel| channel.state == ChannelState::Connecting) {
            self.open(now, id, sctp, events);
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// How many streams there are to send on (webrtc-pc, section 6.1.1, `maxChannels`).
    fn learn_streams(&mut self, sctp: &Association) {
        self.streams = sctp.outbound_streams().unwrap_or(STREAM_LIMIT);
        self.asked_streams = self.asked_streams.max(self.streams);
        self.low_streams_taken = false;
    }

    /// Either side has added streams (RFC 6525).
    pub(crate) fn handle_streams_added(
        &mut self,
        now: Instant,
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        self.learn_streams(sctp);
        for id in self.ids_of(|channel| channel.state == ChannelState::Connecting) {
            self.open(now, id, sctp, events);
        }
    }

    /// The peer adds no streams: what it opened beyond them cannot be answered.
    pub(crate) fn handle_no_more_streams(&mut self, events: &mut VecDeque<Event>) {
        self.asked_streams = self.streams;
        let streams = self.streams;
        let beyond = |channel: &DataChannel| channel.stream.is_some_and(|stream| stream.0 >= streams);
        for id in self.ids_of(|channel| channel.state == ChannelState::Connecting && beyond(channel)) {
            self.fail(id, ChannelFailure::NoSuchStream, events);
        }
    }

    /// Opens a channel: says so to the peer if the peer does not know, and lets messages through.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        id: ChannelId,
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        let (ChannelState::Connecting, Some(stream)) = (channel.state, channel.stream) else {
            return;
        };
        let word = match channel.origin {
            Origin::Ours => Some(DcepMessage::Open(Open::new(&channel.label, &channel.init))),
            Origin::Theirs => Some(DcepMessage::Ack),
            Origin::Negotiated => None,
        };
        if stream.0 >= self.streams {
            if channel.origin != Origin::Theirs {
                return self.fail(id, ChannelFailure::NoSuchStream, events);
            }
            // A peer that sends on more streams than it takes cannot be answered before it takes more.
            if stream.0 >= self.asked_streams {
                sctp.add_streams(stream.0 + 1 - self.asked_streams);
                self.asked_streams = stream.0 + 1;
            }
            return;
        }
        if let Some(word) = word {
            // "All DCEP messages MUST be sent using ordered delivery and reliable transmission" (RFC 8832, section 6).
            match sctp.send(now, stream, PPID_DCEP, word.to_bytes(), SendOptions::default()) {
                Ok(()) => {}
                // What was there before is still being reset: when that is done, this goes on.
                Err(SendError::StreamClosing { .. }) => return,
                Err(error) => {
                    debug!("channel {id:?} cannot be opened: {error}");
                    self.fail(id, ChannelFailure::NoSuchStream, events);
                    return;
                }
            }
        }
        sctp.set_priority(stream, channel.init.priority);
        if channel.low_threshold > 0 {
            sctp.set_buffered_amount_low_threshold(stream, channel.low_threshold);
        }
        info!("channel {:?} is open on stream {}", channel.label, stream.0);
        channel.state = ChannelState::Open;
        if channel.origin == Origin::Theirs {
            events.push_back(Event::DataChannel(id));
            if !channel.inbox.is_empty() {
                channel.readable_told = true;
                events.push_back(Event::ChannelReadable(id));
            }
        } else {
            events.push_back(Event::ChannelOpen(id));
        }
    }

    /// An identifier that is not in use; that of a closed channel comes again as late as may be, when the peer knows, too, that
    /// it is closed. One beyond [`LOW_STREAMS`] only when there is no other.
    fn free_stream(&mut self, parity: Parity) -> Option<StreamId> {
        let first = parity.first();
        if !self.low_streams_taken {
            let low = self.search(first..LOW_STREAMS.min(self.streams), self.next_stream[0]);
            if let Some(free) = low {
                self.next_stream[0] = free.0 + 2;
                return Some(free);
            }
            self.low_streams_taken = true;
        }
        let free = self.search(LOW_STREAMS + first..self.streams, self.next_stream[1])?;
        self.next_stream[1] = free.0.saturating_add(2);
        Some(free)
    }

    /// The first that is free from `next` on, where the last search ended, so that opening thousands does not search
    /// thousands each time.
    fn search(&self, all: Range<u16>, next: u16) -> Option<StreamId> {
        let next = if all.contains(&next) { next } else { all.start };
        let after = (next..all.end).step_by(2);
        let mut all = after.chain((all.start..next).step_by(2)).map(StreamId);
        all.find(|stream| !self.by_stream.contains_key(stream) && !self.refused.contains(stream))
    }

    /// Begins the closing procedure (RFC 8831, section 6.7): what is queued is still delivered.
    pub(crate) fn close(
        &mut self,
        id: ChannelId,
        sctp: Option<&mut Association>,
        events: &mut VecDeque<Event>,
    ) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        match (channel.state, channel.stream, sctp) {
            (ChannelState::Closing | ChannelState::Closed, ..) => {}
            (ChannelState::Open, Some(stream), Some(sctp)) => {
                channel.state = ChannelState::Closing;
                channel.writing = None;
                sctp.reset_stream(stream);
            }
            // One that the peer opened is reset even if we had no word for it yet.
            (ChannelState::Connecting, Some(stream), Some(sctp)) if channel.origin == Origin::Theirs => {
                channel.state = ChannelState::Closing;
                sctp.reset_stream(stream);
            }
            _ => self.remove(id, events),
        }
    }

    /// Closes a channel for a reason.
    pub(crate) fn close_for(
        &mut self,
        id: ChannelId,
        failure: ChannelFailure,
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        debug!("{id:?} is closed: {failure}");
        if let Some(channel) = self.channels.get_mut(&id)
            && matches!(channel.state, ChannelState::Connecting | ChannelState::Open)
        {
            channel.failure.get_or_insert(failure);
            events.push_back(Event::ChannelClosing(id));
        }
        self.close(id, Some(sctp), events);
    }

    /// A channel ends for a reason, at once.
    fn fail(&mut self, id: ChannelId, failure: ChannelFailure, events: &mut VecDeque<Event>) {
        debug!("{id:?} has failed: {failure}");
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.failure.get_or_insert(failure);
        }
        self.remove(id, events);
    }

    pub(crate) fn remove(&mut self, id: ChannelId, events: &mut VecDeque<Event>) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.state = ChannelState::Closed;
        channel.writing = None;
        if let Some(stream) = channel.stream
            && self.by_stream.get(&stream) == Some(&id)
        {
            self.by_stream.remove(&stream);
            self.low_streams_taken = false;
        }
        events.push_back(Event::ChannelClosed(id));
    }

    /// Drops what a channel has received and will receive, and the channel itself if it is closed. Its id is not used again.
    pub(crate) fn forget(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.unheard = true;
        self.unread -= channel.inbox.clear();
        if channel.state == ChannelState::Closed {
            self.channels.remove(&id);
        }
    }

    /// The association ended, or begins anew: every channel is closed.
    pub(crate) fn close_all(&mut self, failure: Option<ChannelFailure>, events: &mut VecDeque<Event>) {
        self.connected = false;
        self.streams = STREAM_LIMIT;
        self.low_streams_taken = false;
        self.refused.clear();
        self.unread -= self.dcep_parts.values().map(Vec::len).sum::<usize>();
        self.dcep_parts.clear();
        for id in self.ids_of(|channel| channel.state != ChannelState::Closed) {
            match failure {
                Some(failure) => self.fail(id, failure, events),
                None => self.remove(id, events),
            }
        }
    }

    /// The peer reset its side of these streams: it closes the channels.
    pub(crate) fn handle_reset_by_peer(
        &mut self,
        streams: &[StreamId],
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        self.low_streams_taken = false;
        // An empty list means all streams (RFC 6525, section 4.1).
        let affected: Vec<ChannelId> = if streams.is_empty() {
            self.refused.clear();
            self.by_stream.values().copied().collect()
        } else {
            // On streams whose opening was refused this ends the refusal.
            let used = streams.iter().filter(|stream| !self.refused.remove(stream));
            used.filter_map(|stream| self.by_stream.get(stream).copied())
                .collect()
        };
        for id in affected {
            let Some(channel) = self.channels.get_mut(&id) else {
                continue;
            };
            channel.reset_by_peer = true;
            if channel.state == ChannelState::Connecting && channel.stream >= Some(StreamId(self.streams)) {
                // It was opened and closed before there was a stream for the answer.
                self.remove(id, events);
                continue;
            }
            if let (ChannelState::Open, Some(stream)) = (channel.state, channel.stream) {
                channel.state = ChannelState::Closing;
                channel.writing = None;
                events.push_back(Event::ChannelClosing(id));
                sctp.reset_stream(stream);
            }
            self.remove_if_both_reset(id, events);
        }
    }

    /// Our side of a stream is reset.
    pub(crate) fn handle_reset_by_us(
        &mut self,
        now: Instant,
        stream: StreamId,
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        let Some(&id) = self.by_stream.get(&stream) else {
            return;
        };
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        if channel.state == ChannelState::Connecting {
            // What was there before is gone.
            self.open(now, id, sctp, events);
            let reset = self
                .channels
                .get(&id)
                .is_some_and(|channel| channel.reset_by_peer);
            if reset {
                // It was opened and closed before we had a word for it.
                self.handle_reset_by_peer(&[stream], sctp, events);
            }
            return;
        }
        channel.reset_by_us = true;
        self.remove_if_both_reset(id, events);
    }

    fn remove_if_both_reset(&mut self, id: ChannelId, events: &mut VecDeque<Event>) {
        if self
            .channels
            .get(&id)
            .is_some_and(|channel| channel.reset_by_us && channel.reset_by_peer)
        {
            self.remove(id, events);
        }
    }
}
