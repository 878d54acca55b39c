//! Data channels over one SCTP association (RFC 8831; webrtc-pc, section 6).

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_sctp::{Association, Ppid, Reliability, SendError, SendOptions, StreamId};
use log::{debug, info};

use crate::dcep::{DcepMessage, Open};
use crate::error::{CreateChannelError, SendMessageError};
use crate::event::Event;
use crate::state::ChannelState;

/// Payload protocol identifiers (RFC 8831, section 8; RFC 8832, section 8.1).
const PPID_DCEP: Ppid = Ppid(50);
const PPID_STRING: Ppid = Ppid(51);
const PPID_BINARY: Ppid = Ppid(53);
const PPID_STRING_EMPTY: Ppid = Ppid(56);
const PPID_BINARY_EMPTY: Ppid = Ppid(57);

/// Stream 65535 is never used (RFC 8832, section 6: identifiers 0 to 65534).
const STREAM_LIMIT: u16 = 65535;
/// The longest label or protocol, in bytes of UTF-8 (webrtc-pc, section 6.1).
const MAX_NAME_LEN: usize = 65535;

/// A data channel of one peer connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub(crate) u32);

/// How a channel behaves (webrtc-pc, section 6.1.1, `RTCDataChannelInit`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataChannelInit {
    /// Whether messages arrive in the order they were sent. Default true.
    pub ordered: bool,
    /// For how many milliseconds a message is retried. Exclusive with `max_retransmits`. Default: without limit.
    pub max_packet_life_time: Option<u16>,
    /// How many times a message is retransmitted. Exclusive with `max_packet_life_time`. Default: without limit.
    pub max_retransmits: Option<u16>,
    /// The subprotocol, for the application. Default empty.
    pub protocol: String,
    /// Whether the other side creates the channel by itself, with the same `id`. Default false.
    pub negotiated: bool,
    /// The stream identifier, 0 to 65534; needed when `negotiated`.
    pub id: Option<u16>,
    /// What share of the bytes the channel gets beside others: 128, 256, 512 or 1024 for W3C's "very-low", "low",
    /// "medium" and "high" (RFC 8831, section 6.4). Default 256.
    pub priority: u16,
}

impl Default for DataChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            max_packet_life_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated: false,
            id: None,
            priority: 256,
        }
    }
}

/// A message of a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// Bytes of its payload.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Message::Text(text) => text.len(),
            Message::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it carries nothing, which is legal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn from_wire(ppid: Ppid, data: Bytes) -> Option<Self> {
        match ppid {
            PPID_STRING => String::from_utf8(data.into()).ok().map(Message::Text),
            PPID_BINARY => Some(Message::Binary(data)),
            // "a single zero byte is sent ... the receiver MUST ignore it" (RFC 8831, section 6.6).
            PPID_STRING_EMPTY => Some(Message::Text(String::new())),
            PPID_BINARY_EMPTY => Some(Message::Binary(Bytes::new())),
            _ => None,
        }
    }

    fn into_wire(self) -> (Ppid, Bytes) {
        const EMPTY: Bytes = Bytes::from_static(&[0]);
        match self {
            Message::Text(text) if text.is_empty() => (PPID_STRING_EMPTY, EMPTY),
            Message::Text(text) => (PPID_STRING, Bytes::from(text)),
            Message::Binary(bytes) if bytes.is_empty() => (PPID_BINARY_EMPTY, EMPTY),
            Message::Binary(bytes) => (PPID_BINARY, bytes),
        }
    }

    fn from_refused(ppid: Ppid, data: Bytes) -> Self {
        Message::from_wire(ppid, data).unwrap_or(Message::Binary(Bytes::new()))
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Message::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Message::Text(text.to_owned())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Message::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Message::Binary(bytes.into())
    }
}

/// One channel.
#[derive(Debug)]
pub struct DataChannel {
    label: String,
    init: DataChannelInit,
    stream: Option<StreamId>,
    state: ChannelState,
    /// Until ACK or data arrives, user messages go ordered (RFC 8832, section 6).
    confirmed: bool,
    reset_by_us: bool,
    reset_by_peer: bool,
    inbox: VecDeque<Message>,
    /// `ChannelReadable` was told and `receive` has not answered `None` since.
    readable_told: bool,
    low_threshold: usize,
    messages_sent: u64,
    bytes_sent: u64,
    messages_received: u64,
    bytes_received: u64,
}

impl DataChannel {
    fn new(label: String, init: DataChannelInit, stream: Option<StreamId>) -> Self {
        Self {
            label,
            init,
            stream,
            state: ChannelState::Connecting,
            confirmed: false,
            reset_by_us: false,
            reset_by_peer: false,
            inbox: VecDeque::new(),
            readable_told: false,
            low_threshold: 0,
            messages_sent: 0,
            bytes_sent: 0,
            messages_received: 0,
            bytes_received: 0,
        }
    }

    /// The name its creator gave it.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Its options, as given by its creator.
    #[must_use]
    pub fn init(&self) -> &DataChannelInit {
        &self.init
    }

    /// The stream identifier, once there is one.
    #[must_use]
    pub fn stream(&self) -> Option<u16> {
        self.stream.map(|stream| stream.0)
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> ChannelState {
        self.state
    }

    /// Messages sent and received, bytes sent and received.
    #[must_use]
    pub fn counters(&self) -> ChannelCounters {
        ChannelCounters {
            messages_sent: self.messages_sent,
            bytes_sent: self.bytes_sent,
            messages_received: self.messages_received,
            bytes_received: self.bytes_received,
        }
    }

    fn send_options(&self) -> SendOptions {
        let reliability = match (self.init.max_retransmits, self.init.max_packet_life_time) {
            (Some(count), _) => Reliability::MaxRetransmits(count),
            (None, Some(millis)) => Reliability::MaxLifetime(Duration::from_millis(u64::from(millis))),
            (None, None) => Reliability::Reliable,
        };
        SendOptions {
            unordered: !self.init.ordered && self.confirmed,
            reliability,
        }
    }
}

/// What went through a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChannelCounters {
    /// Messages accepted by `send`.
    pub messages_sent: u64,
    /// Payload bytes accepted by `send`.
    pub bytes_sent: u64,
    /// Messages that arrived.
    pub messages_received: u64,
    /// Payload bytes that arrived.
    pub bytes_received: u64,
}

/// Which stream identifiers are ours: even for the DTLS client, odd for the server (RFC 8832, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parity {
    Even,
    Odd,
}

/// All channels of a connection.
#[derive(Debug)]
pub(crate) struct Channels {
    channels: BTreeMap<ChannelId, DataChannel>,
    by_stream: BTreeMap<StreamId, ChannelId>,
    next_id: u32,
    parity: Option<Parity>,
    /// Where the search for a free stream of our parity begins.
    next_stream: u16,
    connected: bool,
    max_channels: usize,
    max_message_size: usize,
    /// Bytes that wait in inboxes for `receive`.
    unread: usize,
    /// Messages that fit no channel, or were not what they claimed.
    pub(crate) dropped: u64,
}

impl Channels {
    pub(crate) fn new(max_channels: usize) -> Self {
        Self {
            channels: BTreeMap::new(),
            by_stream: BTreeMap::new(),
            next_id: 0,
            parity: None,
            next_stream: 0,
            connected: false,
            max_channels,
            max_message_size: usize::MAX,
            unread: 0,
            dropped: 0,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (ChannelId, &DataChannel)> {
        self.channels.iter().map(|(id, channel)| (*id, channel))
    }

    pub(crate) fn get(&self, id: ChannelId) -> Option<&DataChannel> {
        self.channels.get(&id)
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
        init: DataChannelInit,
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
        let stream = match (init.negotiated, init.id) {
            (true, None) => return Err(CreateChannelError::NegotiatedWithoutId),
            (_, Some(id @ STREAM_LIMIT..)) => return Err(CreateChannelError::IdOutOfRange { id }),
            (_, Some(id)) if self.by_stream.contains_key(&StreamId(id)) => {
                return Err(CreateChannelError::IdInUse { id });
            }
            (true, Some(id)) => Some(StreamId(id)),
            // "If negotiated is false, this value is ignored" (webrtc-pc, section 6.1.1).
            (false, _) => None,
        };
        Ok(self.insert(DataChannel::new(label.to_owned(), init, stream)))
    }

    fn insert(&mut self, channel: DataChannel) -> ChannelId {
        let id = ChannelId(self.next_id);
        self.next_id += 1;
        if let Some(stream) = channel.stream {
            self.by_stream.insert(stream, id);
        }
        self.channels.insert(id, channel);
        id
    }

    /// The DTLS role is known: channels may take stream identifiers.
    pub(crate) fn set_parity(&mut self, parity: Parity) {
        self.parity = Some(parity);
    }

    /// The association is up, or a channel was created while it is: opens what waits.
    pub(crate) fn open_waiting(
        &mut self,
        now: Instant,
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        self.connected = true;
        let waiting: Vec<ChannelId> = self
            .channels
            .iter()
            .filter(|(_, channel)| channel.state == ChannelState::Connecting)
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.open(now, id, sctp, events);
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    fn open(&mut self, now: Instant, id: ChannelId, sctp: &mut Association, events: &mut VecDeque<Event>) {
        let stream = match self.channels.get(&id).map(|channel| channel.stream) {
            None => return,
            Some(Some(stream)) => stream,
            Some(None) => match self.free_stream() {
                Some(stream) => stream,
                None => {
                    debug!("no stream identifier is left for {id:?}");
                    self.remove(id, events);
                    return;
                }
            },
        };
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.stream = Some(stream);
        self.by_stream.insert(stream, id);
        sctp.set_priority(stream, channel.init.priority);
        if channel.init.negotiated {
            channel.confirmed = true;
        } else {
            let open = DcepMessage::Open(Open::new(&channel.label, &channel.init)).to_bytes();
            // "DATA_CHANNEL_OPEN ... sent reliably and in order" (RFC 8832, section 6).
            if let Err(error) = sctp.send(now, stream, PPID_DCEP, open, SendOptions::default()) {
                debug!("channel {id:?} cannot be opened: {error:?}");
                self.remove(id, events);
                return;
            }
        }
        info!("channel {:?} is open on stream {}", channel.label, stream.0);
        channel.state = ChannelState::Open;
        events.push_back(Event::ChannelOpen(id));
    }

    fn free_stream(&mut self) -> Option<StreamId> {
        let first = match self.parity? {
            Parity::Even => 0,
            Parity::Odd => 1,
        };
        // From where the last search ended, so that opening thousands does not search thousands each time.
        let start = self.next_stream.max(first);
        let after = (start..STREAM_LIMIT).step_by(2);
        let before = (first..start).step_by(2);
        let mut all = after.chain(before).map(StreamId);
        let free = all.find(|stream| !self.by_stream.contains_key(stream))?;
        self.next_stream = free.0.saturating_add(2);
        Some(free)
    }

    pub(crate) fn send(
        &mut self,
        now: Instant,
        id: ChannelId,
        message: Message,
        sctp: Option<&mut Association>,
    ) -> Result<(), SendMessageError> {
        let (Some(channel), Some(sctp)) = (self.channels.get_mut(&id), sctp) else {
            return Err(SendMessageError::NotOpen { message });
        };
        let (ChannelState::Open, Some(stream)) = (channel.state, channel.stream) else {
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
        let (ppid, data) = message.into_wire();
        match sctp.send(now, stream, ppid, data, channel.send_options()) {
            Ok(()) => {
                channel.messages_sent += 1;
                channel.bytes_sent += size as u64;
                Ok(())
            }
            Err(refused) => {
                let full = matches!(refused, SendError::BufferFull { .. });
                let message = Message::from_refused(ppid, refused.into_data());
                Err(if full {
                    SendMessageError::Full { message }
                } else {
                    SendMessageError::NotOpen { message }
                })
            }
        }
    }

    /// The next message of a channel.
    pub(crate) fn receive(&mut self, id: ChannelId) -> Option<Message> {
        let channel = self.channels.get_mut(&id)?;
        match channel.inbox.pop_front() {
            Some(message) => {
                self.unread -= message.len();
                Some(message)
            }
            None => {
                channel.readable_told = false;
                None
            }
        }
    }

    pub(crate) fn buffered_amount(&self, id: ChannelId, sctp: Option<&Association>) -> usize {
        match (self.channels.get(&id).and_then(|channel| channel.stream), sctp) {
            (Some(stream), Some(sctp)) => sctp.buffered_amount(stream),
            _ => 0,
        }
    }

    pub(crate) fn set_low_threshold(&mut self, id: ChannelId, bytes: usize, sctp: Option<&mut Association>) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.low_threshold = bytes;
        if let (Some(stream), Some(sctp)) = (channel.stream, sctp) {
            sctp.set_buffered_amount_low_threshold(stream, bytes);
        }
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
                sctp.reset_stream(stream);
            }
            _ => self.remove(id, events),
        }
    }

    fn remove(&mut self, id: ChannelId, events: &mut VecDeque<Event>) {
        let Some(channel) = self.channels.get_mut(&id) else {
            return;
        };
        channel.state = ChannelState::Closed;
        if let Some(stream) = channel.stream {
            self.by_stream.remove(&stream);
        }
        events.push_back(Event::ChannelClosed(id));
    }

    /// Drops a closed channel and what it has not delivered. Its id is not used again.
    pub(crate) fn forget(&mut self, id: ChannelId) {
        let closed = self
            .channels
            .get(&id)
            .is_some_and(|channel| channel.state == ChannelState::Closed);
        if closed && let Some(channel) = self.channels.remove(&id) {
            self.unread -= channel.inbox.iter().map(Message::len).sum::<usize>();
        }
    }

    /// The association ended: every channel is closed.
    pub(crate) fn close_all(&mut self, events: &mut VecDeque<Event>) {
        self.connected = false;
        let open: Vec<ChannelId> = self
            .channels
            .iter()
            .filter(|(_, channel)| channel.state != ChannelState::Closed)
            .map(|(id, _)| *id)
            .collect();
        for id in open {
            self.remove(id, events);
        }
    }

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
        let Some((id, channel)) = self
            .by_stream
            .get(&stream)
            .and_then(|id| Some((*id, self.channels.get_mut(id)?)))
        else {
            debug!("dropped a message on stream {}, which is no channel", stream.0);
            self.dropped += 1;
            return;
        };
        channel.confirmed = true;
        let Some(message) = Message::from_wire(ppid, data) else {
            debug!(
                "dropped a message with PPID {} on stream {}: unknown, or text that is not UTF-8",
                ppid.0, stream.0
            );
            self.dropped += 1;
            return;
        };
        channel.messages_received += 1;
        channel.bytes_received += message.len() as u64;
        self.unread += message.len();
        channel.inbox.push_back(message);
        if !channel.readable_told {
            channel.readable_told = true;
            events.push_back(Event::ChannelReadable(id));
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
        match (DcepMessage::parse(data), known) {
            (Ok(DcepMessage::Ack), Some(id)) => {
                if let Some(channel) = self.channels.get_mut(&id) {
                    channel.confirmed = true;
                }
            }
            (Ok(DcepMessage::Open(open)), None) if self.may_be_opened_by_peer(stream) => {
                self.accept(now, stream, open, sctp, events);
            }
            // "If an error occurs ... the receiver MUST close the channel by resetting the stream and MUST
            // NOT send an ACK" (RFC 8832, section 6).
            (result, known) => {
                debug!("refused a DCEP message on stream {}: {result:?}", stream.0);
                self.dropped += 1;
                match known {
                    Some(id) => self.close(id, Some(sctp), events),
                    None => sctp.reset_stream(stream),
                }
            }
        }
    }

    fn may_be_opened_by_peer(&self, stream: StreamId) -> bool {
        let ours = match self.parity {
            Some(Parity::Even) => 0,
            Some(Parity::Odd) => 1,
            None => return false,
        };
        stream.0 < STREAM_LIMIT && stream.0 % 2 != ours && self.channels.len() < self.max_channels
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
        sctp.set_priority(stream, init.priority);
        if let Err(error) = sctp.send(
            now,
            stream,
            PPID_DCEP,
            DcepMessage::Ack.to_bytes(),
            SendOptions::default(),
        ) {
            debug!(
                "a channel on stream {} cannot be acknowledged: {error:?}",
                stream.0
            );
            self.dropped += 1;
            return;
        }
        info!("the peer opened channel {:?} on stream {}", open.label, stream.0);
        let mut channel = DataChannel::new(open.label, init, Some(stream));
        channel.state = ChannelState::Open;
        channel.confirmed = true;
        let id = self.insert(channel);
        events.push_back(Event::DataChannel(id));
    }

    /// The peer reset its side of these streams: it closes the channels.
    pub(crate) fn handle_reset_by_peer(
        &mut self,
        streams: &[StreamId],
        sctp: &mut Association,
        events: &mut VecDeque<Event>,
    ) {
        // An empty list means all streams (RFC 6525, section 4.1).
        let affected: Vec<ChannelId> = if streams.is_empty() {
            self.by_stream.values().copied().collect()
        } else {
            streams
                .iter()
                .filter_map(|stream| self.by_stream.get(stream).copied())
                .collect()
        };
        for id in affected {
            let Some(channel) = self.channels.get_mut(&id) else {
                continue;
            };
            channel.reset_by_peer = true;
            if channel.state == ChannelState::Open {
                channel.state = ChannelState::Closing;
                events.push_back(Event::ChannelClosing(id));
                if let Some(stream) = channel.stream {
                    sctp.reset_stream(stream);
                }
            }
            self.remove_if_both_reset(id, events);
        }
    }

    /// Our side of a stream is reset.
    pub(crate) fn handle_reset_by_us(&mut self, stream: StreamId, events: &mut VecDeque<Event>) {
        let Some(&id) = self.by_stream.get(&stream) else {
            return;
        };
        if let Some(channel) = self.channels.get_mut(&id) {
            channel.reset_by_us = true;
        }
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

    pub(crate) fn handle_buffered_amount_low(&mut self, stream: StreamId, events: &mut VecDeque<Event>) {
        if let Some(&id) = self.by_stream.get(&stream) {
            events.push_back(Event::BufferedAmountLow(id));
        }
    }
}
