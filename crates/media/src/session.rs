//! All RTP streams of one transport, in both directions: the contract's verbs on plain packets.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use dunlin_rtp::{ExtensionKind, ExtensionMap, Packet, Ssrc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::clock::Clock;
use crate::demux::{Receiver, Route, Tags, route};
use crate::feedback::TransportRecorder;
use crate::receive::{Accepted, MediaStream, RtxStream, Stream, StreamKind, decapsulate};
use crate::reports::Outbox;
use crate::send::{HopExtensions, Place, Repeat, Resumed, Sender};
use crate::stats::{Drops, ReceiveStats, SendStats};
use crate::{
    Config, Event, OutgoingPacket, ReceiverConfig, ReceiverId, SendError, SenderConfig, SenderId,
    SourceSequence,
};

/// A stream that was silent for so long makes room for a new one when the table is full.
const IDLE: Duration = Duration::from_secs(10);
/// How far a retransmission may be ahead of the stream that it repairs.
const MAX_AHEAD: i64 = 512;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const DEFAULT_ROUND_TRIP: Duration = Duration::from_millis(100);

/// All RTP streams of one transport. Packets go in and out plain; the parent protects them.
#[derive(Debug)]
pub struct Session {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) rng: StdRng,
    pub(crate) state: State,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) senders: Vec<Sender>,
    pub(crate) streams: BTreeMap<Ssrc, Stream>,
    /// The ids of what is received.
    pub(crate) extensions: ExtensionMap,
    pub(crate) recorder: TransportRecorder,
    /// Whether arrival times are to be fed back.
    pub(crate) feeds_back: bool,
    pub(crate) outbox: Outbox,
    pub(crate) repeats: VecDeque<Repeat>,
    /// Not after the first missing packet is due to be asked for.
    pub(crate) nack_due: Option<Instant>,
    /// Not after the first request for a key frame is due.
    pub(crate) keyframe_due: Option<Instant>,
    pub(crate) round_trip: Option<Duration>,
    pub(crate) drops: Drops,
    /// Who speaks in RTCP while nothing is sent.
    pub(crate) own_ssrc: Ssrc,
    queue: VecDeque<Queued>,
    events: VecDeque<Event>,
    transport_sequence: u16,
    next_id: u32,
    /// The next number of each SSRC that was sent and may be sent again: the keys outlive the sender.
    retired: BTreeMap<Ssrc, i64>,
}

/// Whether the session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// The goodbye waits to be sent.
    Closing,
    Closed,
}

#[derive(Debug)]
struct Queued {
    sender: SenderId,
    place: Place,
    packet: OutgoingPacket,
}

impl Session {
    /// A session without receivers and senders.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = StdRng::from_seed(seed);
        // RFC 7022, section 4.2: "minimally the least significant 96 bits SHOULD be converted to ASCII using Base64".
        let mut character = || char::from(BASE64[rng.random_range(0..BASE64.len())]);
        let mut config = config.sane();
        if config.cname.is_empty() {
            config.cname = (0..96 / 6).map(|_| character()).collect();
        }
        Self {
            clock: Clock::new(now, config.ntp_start),
            own_ssrc: Ssrc(rng.random_range(1..u32::MAX)),
            outbox: Outbox::new(&config.cname),
            config,
            rng,
            state: State::Open,
            receivers: Vec::new(),
            senders: Vec::new(),
            streams: BTreeMap::new(),
            extensions: ExtensionMap::new(),
            recorder: TransportRecorder::default(),
            feeds_back: false,
            repeats: VecDeque::new(),
            nack_due: None,
            keyframe_due: None,
            round_trip: None,
            drops: Drops::default(),
            queue: VecDeque::new(),
            events: VecDeque::new(),
            transport_sequence: 0,
            next_id: 0,
            retired: BTreeMap::new(),
        }
    }

    /// The canonical name of all our streams.
    #[must_use]
    pub fn cname(&self) -> &str {
        &self.config.cname
    }

    /// Adds a receiver.
    pub fn add_receiver(&mut self, config: ReceiverConfig) -> ReceiverId {
        let id = ReceiverId(self.next_id);
        self.next_id += 1;
        self.receivers.push(Receiver { id, config });
        self.receivers_changed();
        id
    }

    /// Changes what a receiver expects. Its streams go on.
    pub fn update_receiver(&mut self, id: ReceiverId, config: ReceiverConfig) {
        if let Some(receiver) = self.receivers.iter_mut().find(|receiver| receiver.id == id) {
            receiver.config = config;
            self.receivers_changed();
        }
    }

    /// Removes a receiver with its streams.
    pub fn remove_receiver(&mut self, id: ReceiverId) {
        self.receivers.retain(|receiver| receiver.id != id);
        self.streams.retain(|_, stream| stream.receiver != id);
        self.receivers_changed();
    }

    fn receivers_changed(&mut self) {
        self.extensions = ExtensionMap::new();
        for (kind, id) in self
            .receivers
            .iter()
            .flat_map(|receiver| receiver.config.extensions.iter())
        {
            self.extensions.set(kind, id);
        }
        let mut codecs = self.receivers.iter().flat_map(|receiver| &receiver.config.codecs);
        self.feeds_back = codecs.any(|codec| codec.feedback.transport_cc);
    }

    /// Adds a sender.
    pub fn add_sender(&mut self, config: SenderConfig) -> SenderId {
        let id = SenderId(self.next_id);
        self.next_id += 1;
        let sender = self.new_sender(id, config);
        self.senders.push(sender);
        id
    }

    fn new_sender(&mut self, id: SenderId, config: SenderConfig) -> Sender {
        let random = [self.rng.random(), self.rng.random()];
        let resumed = Resumed {
            media: self.retired.get(&config.ssrc).copied(),
            rtx: config.rtx_ssrc.and_then(|ssrc| self.retired.get(&ssrc).copied()),
        };
        Sender::new(id, config, self.config.max_history, random, resumed)
    }

    /// What is left of a sender: a goodbye, and its numbers.
    fn retire(&mut self, sender: &Sender) {
        if sender.has_sent() {
            self.outbox.byes.push(sender.config.ssrc);
        }
        for (ssrc, next) in sender.used() {
            if self.retired.len() >= self.config.max_streams {
                self.retired.pop_first();
            }
            self.retired.insert(ssrc, next);
        }
        self.queue.retain(|queued| queued.sender != sender.id);
        self.repeats.retain(|repeat| repeat.sender != sender.id);
    }

    /// Changes what a sender sends. A stream whose SSRC changes says goodbye, and begins anew.
    pub fn update_sender(&mut self, id: SenderId, config: SenderConfig) {
        let Some(index) = self.senders.iter().position(|sender| sender.id == id) else {
            return;
        };
        let before = &self.senders[index].config;
        if before.ssrc == config.ssrc && (before.rtx_ssrc == config.rtx_ssrc || before.rtx_ssrc.is_none()) {
            self.senders[index].config = config;
            self.senders[index].configured(self.config.max_history);
        } else {
            let sender = self.senders.remove(index);
            self.retire(&sender);
            let sender = self.new_sender(id, config);
            self.senders.insert(index, sender);
        }
    }

    /// Removes a sender; its stream says goodbye.
    pub fn remove_sender(&mut self, id: SenderId) {
        if let Some(index) = self.senders.iter().position(|sender| sender.id == id) {
            let sender = self.senders.remove(index);
            self.retire(&sender);
        }
    }

    /// Bytes that a datagram of RTCP may have before protection.
    pub fn set_max_datagram(&mut self, bytes: usize) {
        self.config.max_datagram = bytes;
    }

    /// Whether `a=rtcp-rsize` was negotiated.
    pub fn set_reduced_size(&mut self, reduced_size: bool) {
        self.config.reduced_size = reduced_size;
    }

    /// What the round trip is, as the path knows it. Reports measure it too.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = Some(round_trip);
    }

    /// The round trip that is assumed.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// For the intervals of retransmission.
    pub(crate) fn assumed_round_trip(&self) -> Duration {
        self.round_trip
            .unwrap_or(DEFAULT_ROUND_TRIP)
            .clamp(Duration::from_millis(10), Duration::from_millis(500))
    }

    /// Takes in an RTP packet, verified and decrypted.
    pub fn handle_rtp(&mut self, now: Instant, packet: Packet) {
        let now = self.clock.advance(now);
        if self.state != State::Open {
            return;
        }
        let header = packet.header;
        let tags = Tags::read(&header, &packet.data, &self.extensions);
        if let Some(sequence) = tags.transport_sequence.filter(|_| self.feeds_back) {
            let at = self.clock.since_start(now);
            let sequence = dunlin_rtp::SequenceNumber(sequence.0);
            let interval = self.config.transport_feedback_interval;
            self.recorder.arrived(sequence, header.ssrc, at, now, interval);
        }
        let newer_than_mid = self
            .streams
            .get(&header.ssrc)
            .is_none_or(|stream| stream.reception.peek(header.sequence).0 > stream.mid_updated);
        let found = route(
            &self.receivers,
            &self.streams,
            header.ssrc,
            header.payload_type,
            tags.mid,
            newer_than_mid,
        );
        let index = match found {
            Route::Receiver(index) => index,
            Route::UnknownMid => return self.drops.unknown_mid += 1,
            Route::UnknownPayloadType => {
                log::debug!(
                    "RTP of SSRC {} has the unknown payload type {}",
                    header.ssrc,
                    header.payload_type
                );
                return self.drops.unknown_payload_type += 1;
            }
            Route::Unroutable => {
                log::debug!(
                    "RTP of SSRC {} with payload type {} belongs nowhere",
                    header.ssrc,
                    header.payload_type
                );
                return self.drops.unroutable += 1;
            }
        };
        if !self.ensure_stream(now, index, &packet, &tags) {
            return self.drops.streams_full += 1;
        }
        self.outbox.start(now, self.config.report_interval, &mut self.rng);
        self.handle_stream(now, index, packet);
    }

    /// Makes the stream of a packet if it is not there, or belongs to another receiver now.
    fn ensure_stream(&mut self, now: Instant, index: usize, packet: &Packet, tags: &Tags<'_>) -> bool {
        let Receiver { id, config } = &self.receivers[index];
        let header = &packet.header;
        let is_rtx = config.codec(header.payload_type).is_none();
        if let Some(stream) = self.streams.get_mut(&header.ssrc) {
            if stream.receiver == *id && stream.media().is_none() == is_rtx {
                if let (Some(media), Some(rid)) = (stream.media_mut(), tags.rid)
                    && media.rid.is_none()
                {
                    media.rid = Some(rid.to_owned());
                }
                if tags.mid.is_some() {
                    stream.mid_updated = stream.mid_updated.max(stream.reception.peek(header.sequence).0);
                }
                return true;
            }
        } else if self.streams.len() >= self.config.max_streams {
            let idle = self.streams.iter().min_by_key(|(_, stream)| stream.last_packet);
            match idle.map(|(ssrc, stream)| (*ssrc, stream.last_packet)) {
                Some((ssrc, last)) if now.saturating_duration_since(last) >= IDLE => {
                    self.streams.remove(&ssrc)
                }
                _ => return false,
            };
        }
        let codec = config
            .codec(header.payload_type)
            .or_else(|| config.codec_of_rtx(header.payload_type));
        let Some(codec) = codec.copied() else { return false };
        let rid = tags.rid.map(str::to_owned);
        let kind = if is_rtx {
            let described = config.rtx_ssrcs.iter().find(|(_, rtx)| *rtx == header.ssrc);
            StreamKind::Rtx(RtxStream {
                repairs: described.map(|(media, _)| *media),
                repaired_rid: tags.repaired_rid.map(str::to_owned),
            })
        } else {
            StreamKind::Media(Box::new(MediaStream::new(rid.clone(), codec)))
        };
        log::info!(
            "stream {} begins at media section {} with payload type {}",
            header.ssrc,
            config.mid,
            header.payload_type
        );
        let mut stream = Stream::new(*id, kind, codec.clock_rate, now);
        if tags.mid.is_some() {
            stream.mid_updated = stream.reception.peek(header.sequence).0;
        }
        self.streams.insert(header.ssrc, stream);
        if !is_rtx {
            let (receiver, ssrc) = (*id, header.ssrc);
            self.push_event(Event::ReceiverStarted { receiver, ssrc, rid });
        }
        true
    }

    /// A packet of a stream that is there, and of the kind that the stream carries.
    fn handle_stream(&mut self, now: Instant, index: usize, packet: Packet) {
        let header = packet.header;
        let receiver = &self.receivers[index];
        let Some(stream) = self.streams.get_mut(&header.ssrc) else {
            return;
        };
        stream.last_packet = now;
        stream.ended = false;
        let highest = stream.reception.highest();
        let sequence = stream.reception.received(header.sequence);
        match &mut stream.kind {
            StreamKind::Media(media) => {
                if let Some(codec) = receiver.config.codec(header.payload_type) {
                    media.codec = *codec;
                }
                let clock_rate = media.codec.clock_rate;
                let arrival = self.clock.since_start(now);
                if highest.is_none_or(|highest| sequence.0 > highest.0) {
                    stream.reception.timed(header.timestamp, arrival, clock_rate);
                }
                media.count(&header, packet.payload_len());
                self.deliver(now, packet, sequence, highest);
            }
            StreamKind::Rtx(_) => self.handle_rtx(now, index, packet),
        }
    }

    fn handle_rtx(&mut self, now: Instant, index: usize, packet: Packet) {
        let header = packet.header;
        let Some(media) = self.repaired_stream(header.ssrc) else {
            return self.drops.unknown_rtx += 1;
        };
        let codec = self.receivers[index]
            .config
            .codec_of_rtx(header.payload_type)
            .copied();
        let Some(codec) = codec else {
            return self.drops.unknown_payload_type += 1;
        };
        let Some(packet) = decapsulate(packet, codec.payload_type, media) else {
            return self.drops.empty += 1;
        };
        let Some(stream) = self.streams.get_mut(&media) else {
            return self.drops.unknown_rtx += 1;
        };
        let sequence = stream.reception.peek(packet.header.sequence);
        // What is repeated was sent before: a number far ahead is a lie, and would make what follows look old.
        if stream
            .reception
            .highest()
            .is_some_and(|highest| sequence.0 - highest.0 > MAX_AHEAD)
        {
            return self.drops.unknown_rtx += 1;
        }
        if let Some(media) = stream.media_mut() {
            media.retransmitted += 1;
        }
        self.deliver(now, packet, sequence, None);
    }

    /// The stream that a stream of retransmissions repairs: as described, by its RepairedRtpStreamId, or the
    /// only one of its media section.
    fn repaired_stream(&mut self, rtx: Ssrc) -> Option<Ssrc> {
        let stream = self.streams.get(&rtx)?;
        let (StreamKind::Rtx(kind), receiver) = (&stream.kind, stream.receiver) else {
            return None;
        };
        if let Some(media) = kind.repairs {
            return Some(media);
        }
        let mut candidates = self.streams.iter().filter(|(_, stream)| {
            let media = stream.media().filter(|_| stream.receiver == receiver);
            media.is_some_and(|media| kind.repaired_rid.is_none() || media.rid == kind.repaired_rid)
        });
        let (Some((ssrc, _)), None) = (candidates.next(), candidates.next()) else {
            return None;
        };
        let ssrc = *ssrc;
        if let Some(Stream {
            kind: StreamKind::Rtx(kind),
            ..
        }) = self.streams.get_mut(&rtx)
        {
            kind.repairs = Some(ssrc);
        }
        Some(ssrc)
    }

    /// A packet of media, received or recovered, becomes an event if it is new and holds any media.
    fn deliver(
        &mut self,
        now: Instant,
        packet: Packet,
        sequence: dunlin_rtp::ExtendedSequence,
        highest: Option<dunlin_rtp::ExtendedSequence>,
    ) {
        let policy = self.nack_policy();
        let ssrc = packet.header.ssrc;
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            return;
        };
        let receiver = stream.receiver;
        let Some(media) = stream.media_mut() else { return };
        match media.accept(now, sequence, highest, packet.payload_len(), &policy) {
            Accepted::Duplicate => self.drops.duplicate += 1,
            Accepted::Padding => self.drops.empty += 1,
            Accepted::Media(place) => {
                let sequence = SourceSequence {
                    ssrc,
                    sequence: place,
                };
                self.push_event(Event::Packet {
                    receiver,
                    packet,
                    sequence,
                });
            }
        }
        if highest.is_some_and(|highest| sequence.0 > highest.0 + 1) {
            self.refresh_nack_due();
        }
    }

    pub(crate) fn push_event(&mut self, event: Event) {
        if self.events.len() >= self.config.max_events {
            self.drops.events_full += 1;
        } else {
            self.events.push_back(event);
        }
    }

    /// Queues a packet.
    ///
    /// # Errors
    /// [`SendError`]; the packet is dropped.
    pub fn send(&mut self, now: Instant, sender: SenderId, packet: OutgoingPacket) -> Result<(), SendError> {
        let now = self.clock.advance(now);
        if self.state != State::Open {
            return Err(SendError::Closed);
        }
        if self.queue.len() >= self.config.max_queue {
            return Err(SendError::QueueFull(self.queue.len()));
        }
        let found = self.senders.iter_mut().find(|candidate| candidate.id == sender);
        let found = found.ok_or(SendError::UnknownSender)?;
        let codec = found.config.codec(packet.payload_type);
        let clock_rate = codec
            .ok_or(SendError::UnknownPayloadType(packet.payload_type))?
            .clock_rate;
        let place = found.place(now, &packet, clock_rate).ok_or(SendError::TooLate)?;
        self.queue.push_back(Queued {
            sender,
            place,
            packet,
        });
        self.outbox.start(now, self.config.report_interval, &mut self.rng);
        Ok(())
    }

    /// Appends one RTP packet if one waits, and says so.
    #[must_use]
    pub fn poll_rtp(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let now = self.clock.advance(now);
        if self.state != State::Open {
            return false;
        }
        let ntp = self.clock.ntp(now);
        while let Some(repeat) = self.repeats.pop_front() {
            let Some(sender) = self.senders.iter_mut().find(|sender| sender.id == repeat.sender) else {
                continue;
            };
            let hop = HopExtensions::new(ntp, self.transport_sequence);
            let numbered = sender.repeats_on_rtx()
                && sender
                    .config
                    .extensions
                    .id(ExtensionKind::TransportSequence)
                    .is_some();
            if sender.write_repeat(repeat.sequence, &hop, out) {
                self.transport_sequence = self.transport_sequence.wrapping_add(u16::from(numbered));
                return true;
            }
        }
        while let Some(Queued {
            sender,
            place,
            packet,
        }) = self.queue.pop_front()
        {
            let Some(sender) = self.senders.iter_mut().find(|candidate| candidate.id == sender) else {
                continue;
            };
            let hop = HopExtensions::new(ntp, self.transport_sequence);
            let numbered = sender
                .config
                .extensions
                .id(ExtensionKind::TransportSequence)
                .is_some();
            let map = &self.extensions;
            let forwarded = packet.forwarded.iter().flat_map(|packet| packet.extensions());
            let forwarded = forwarded.filter_map(|(id, data)| Some((map.kind(id)?, data)));
            if sender.write(&packet, place, forwarded, &hop, out) {
                self.transport_sequence = self.transport_sequence.wrapping_add(u16::from(numbered));
                return true;
            }
        }
        false
    }

    /// Asks the sender of what a receiver receives for a key frame: all of its encodings.
    pub fn request_keyframe(&mut self, now: Instant, receiver: ReceiverId) {
        let now = self.clock.advance(now);
        if self.state != State::Open {
            return;
        }
        let streams = self
            .streams
            .values_mut()
            .filter(|stream| stream.receiver == receiver);
        for media in streams.filter_map(Stream::media_mut) {
            if media.codec.feedback.pli || media.codec.feedback.fir {
                media.keyframes.want();
                let due = media.keyframes.due(now, self.config.keyframe_interval);
                self.keyframe_due = earlier(self.keyframe_due, due);
            }
        }
    }

    /// Tells the senders of all that is received which bandwidth there is (`goog-remb`).
    pub fn send_remb(&mut self, bits_per_second: u64) {
        if self.state == State::Open {
            self.outbox.remb = Some(bits_per_second);
        }
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Session::handle_timeout`] wants to be called: a time that is due already while anything waits to be
    /// sent.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Closing => Some(self.clock.latest()),
            State::Open => {
                if !self.queue.is_empty() || !self.repeats.is_empty() || self.outbox.has_immediate() {
                    return Some(self.clock.latest());
                }
                let timers = [
                    self.outbox.next_report,
                    self.nack_due,
                    self.keyframe_due,
                    self.recorder.due(),
                ];
                timers.into_iter().flatten().min()
            }
        }
    }

    /// Ends the session: the goodbye of what was sent goes out with the next [`Session::poll_rtcp`].
    pub fn close(&mut self, now: Instant) {
        self.clock.advance(now);
        if self.state != State::Open {
            return;
        }
        let sent = self.senders.iter().filter(|sender| sender.has_sent());
        self.outbox.byes.extend(sent.map(|sender| sender.config.ssrc));
        self.state = if self.outbox.byes.is_empty() {
            State::Closed
        } else {
            State::Closing
        };
        self.queue.clear();
        self.repeats.clear();
        self.streams.clear();
    }

    /// The streams of a receiver.
    pub fn receiver_stats(&self, id: ReceiverId) -> impl Iterator<Item = ReceiveStats> + '_ {
        let streams = self
            .streams
            .iter()
            .filter(move |(_, stream)| stream.receiver == id);
        streams.filter_map(|(ssrc, stream)| stream.stats(*ssrc))
    }

    /// The stream of a sender.
    #[must_use]
    pub fn sender_stats(&self, id: SenderId) -> Option<SendStats> {
        self.senders
            .iter()
            .find(|sender| sender.id == id)
            .map(Sender::stats)
    }

    /// What was dropped, by reason.
    #[must_use]
    pub fn drops(&self) -> Drops {
        self.drops
    }
}

/// The earlier of two times, where there are any.
pub(crate) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    a.into_iter().chain(b).min()
}
