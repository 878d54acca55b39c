//! The association: its five verbs, its commands, and the way of a packet to the chunk's own file.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::config::{Config, usable_datagram};
use crate::cookie::CookieJar;
use crate::event::{CloseReason, Event, SendError};
use crate::packet::cause::{self, Cause};
use crate::packet::data::DataKind;
use crate::packet::forward_tsn::Skipped;
use crate::packet::parameter::Unknown;
use crate::packet::{
    CHUNK_HEADER_LEN, Checksum, Chunks, FLAG_REFLECTED, HEADER_LEN, Header, RawChunk, checksum, crc_is_zero,
    kind,
};
use crate::receive::inbox::Inbox;
use crate::send::queue::SendQueue;
use crate::send::{Limit, SendOptions};
use crate::state::{Phase, State};
use crate::stats::Stats;
use crate::timer::{Timer, Timers};
use crate::types::{Ppid, StreamId};

/// One end of an SCTP association.
///
/// It does no I/O and has no clock: packets and time come in through `handle_datagram` and `handle_timeout`,
/// packets, events and the next deadline go out through `poll_transmit`, `poll_event` and `poll_timeout`.
/// Any order of calls is legal, and `poll_transmit` may cause events.
#[derive(Debug)]
pub struct Association {
    pub(crate) config: Config,
    pub(crate) rng: StdRng,
    /// The latest time seen.
    pub(crate) now: Instant,
    pub(crate) jar: CookieJar,
    pub(crate) state: State,
    pub(crate) queue: SendQueue,
    pub(crate) inbox: Inbox,
    pub(crate) timers: Timers,
    /// Packets that are complete: INIT, ABORT, answers to what came out of the blue.
    pub(crate) outbox: VecDeque<Vec<u8>>,
    pub(crate) stats: Stats,
    /// `poll_transmit` found nothing to send, and nothing has happened since.
    pub(crate) idle: bool,
    /// What lies below hands on ECN marks.
    pub(crate) marks_carried: bool,
    /// The packet sent last may be marked.
    pub(crate) capable: bool,
    /// The packet at hand came with a mark.
    pub(crate) marked: bool,
    /// Kept for its capacity.
    pub(crate) skipped: Vec<Skipped>,
}

/// What to do with a packet, after a look at its header and its first chunk.
enum Verdict {
    /// Its chunks are for us.
    Process,
    Drop,
}

impl Association {
    /// An association that waits for [`Association::connect`] or for the peer. The same seed and the same calls give
    /// the same packets.
    #[must_use]
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let secret: [u8; 32] = rng.random();
        let config = config.sanitized();
        Self {
            stats: Stats {
                rto: config.rto_initial,
                ..Stats::default()
            },
            queue: SendQueue::new(config.scheduler),
            config,
            rng,
            now,
            jar: CookieJar::new(&secret, now),
            state: State::Closed,
            inbox: Inbox::default(),
            timers: Timers::default(),
            outbox: VecDeque::new(),
            idle: true,
            marks_carried: true,
            capable: false,
            marked: false,
            skipped: Vec::new(),
        }
    }

    pub(crate) fn advance_clock(&mut self, now: Instant) {
        self.now = self.now.max(now);
        self.idle = false;
    }

    /// Takes in one packet of the peer that a router marked with CE, "congestion experienced" (RFC 3168, section 5).
    pub fn handle_marked_datagram(&mut self, now: Instant, data: Bytes) {
        self.marked = true;
        self.handle_datagram(now, data);
        self.marked = false;
    }

    /// Takes in one packet of the peer.
    pub fn handle_datagram(&mut self, now: Instant, data: Bytes) {
        self.advance_clock(now);
        let Some((header, _)) = Header::parse(&data) else {
            self.stats.drops.truncated += 1;
            return;
        };
        if header.source_port != self.config.remote_port || header.destination_port != self.config.local_port
        {
            self.stats.drops.wrong_port += 1;
            return;
        }
        let mut chunks = Chunks::new(&data);
        let Some(Ok(first)) = chunks.next() else {
            self.stats.drops.truncated += 1;
            return;
        };
        if !self.is_checksum_good(&data, first.kind) {
            self.stats.drops.bad_checksum += 1;
            return;
        }
        if matches!(self.state, State::Ended) {
            return self.answer_after_the_end(header.verification_tag, &first, &chunks);
        }
        match self.judge(header, &first, chunks.clone()) {
            Verdict::Process => {
                self.stats.packets_received += 1;
                self.process(header, first, chunks, &data);
            }
            Verdict::Drop => {}
        }
    }

    /// RFC 9653, section 5.3: who announced it "MUST accept" packets with a zero checksum besides correct ones, and who did not
    /// takes correct ones only. An INIT comes before anything was announced.
    fn is_checksum_good(&self, packet: &[u8], first: u8) -> bool {
        match checksum(packet) {
            Checksum::Correct => true,
            Checksum::Wrong => false,
            Checksum::Zero => {
                let announced = match self.state.tcb() {
                    Some(tcb) => tcb.local.capabilities.zero_checksum,
                    None => self.config.zero_checksum,
                };
                announced && first != kind::INIT || crc_is_zero(packet)
            }
        }
    }

    /// The rules of the verification tag (RFC 9260, section 8.5) and of packets out of the blue (section 8.4).
    fn judge(&mut self, header: Header, first: &RawChunk<'_>, mut rest: Chunks<'_>) -> Verdict {
        let tag = header.verification_tag;
        let ours = self.state.local_tag();
        let reflected = first.flags & FLAG_REFLECTED != 0;
        let theirs = self.state.tcb().map(|tcb| tcb.peer.tag);
        let fits = match first.kind {
            // "When an endpoint receives an SCTP packet with the Verification Tag set to 0, it SHOULD verify that the
            // packet contains only an INIT chunk. Otherwise, the receiver MUST silently discard the packet."
            kind::INIT => tag == 0 && rest.next().is_none(),
            _ if tag == 0 => false,
            // "INIT, INIT ACK, and SHUTDOWN COMPLETE chunks MUST NOT be bundled with any other chunk" (section 3).
            kind::INIT_ACK | kind::SHUTDOWN_COMPLETE if rest.clone().next().is_some() => false,
            // The cookie itself says which tag is right.
            kind::COOKIE_ECHO => true,
            // "If the Verification Tag field of the packet matches its own tag and the T bit is not set OR if it is set
            // to its Peer's Tag and the T bit is set in the Chunk Flags."
            kind::ABORT | kind::SHUTDOWN_COMPLETE if reflected => theirs == Some(tag),
            _ if matches!(self.state, State::CookieWait(_) | State::CookieEchoed(..))
                && contains(kind::SHUTDOWN_ACK, first, &rest) =>
            {
                self.answer_stray_shutdown_ack(tag);
                return Verdict::Drop;
            }
            _ if ours.is_none() => {
                self.answer_out_of_the_blue(tag, first, &rest);
                return Verdict::Drop;
            }
            _ => ours == Some(tag),
        };
        if fits {
            return Verdict::Process;
        }
        self.stats.drops.wrong_tag += 1;
        log::debug!(
            "sctp: dropped a packet with the tag {tag:#010x}, first chunk {}",
            first.kind
        );
        Verdict::Drop
    }

    /// A header with any tag, for answers outside an association.
    pub(crate) fn header(&self, verification_tag: u32) -> Header {
        Header {
            source_port: self.config.local_port,
            destination_port: self.config.remote_port,
            verification_tag,
        }
    }

    /// Section 8.4, whose rules look at the whole packet.
    fn answer_out_of_the_blue(&mut self, tag: u32, first: &RawChunk<'_>, rest: &Chunks<'_>) {
        self.stats.drops.out_of_the_blue += 1;
        let has = |wanted| contains(wanted, first, rest);
        // "If the OOTB packet contains an ABORT chunk, the receiver MUST silently discard the OOTB packet".
        if has(kind::ABORT) {
            return;
        }
        if has(kind::SHUTDOWN_ACK) {
            return self.answer_stray_shutdown_ack(tag);
        }
        // "If the packet contains an ERROR chunk with the "Stale Cookie" error cause or a COOKIE ACK chunk, the SCTP packet
        // SHOULD be silently discarded."
        let is_stale_cookie = |chunk: &RawChunk<'_>| {
            let mut causes = cause::causes(chunk.value);
            chunk.kind == kind::ERROR && causes.any(|cause| cause.code == cause::code::STALE_COOKIE)
        };
        let stale = is_stale_cookie(first) || rest.clone().flatten().any(|chunk| is_stale_cookie(&chunk));
        if stale || first.kind == kind::INIT_ACK || has(kind::SHUTDOWN_COMPLETE) || has(kind::COOKIE_ACK) {
            return;
        }
        let header = self.header(tag);
        let cause = Cause::ProtocolViolation("no association here");
        self.send_packet(header, |out| cause.write_chunk(out, kind::ABORT, FLAG_REFLECTED));
    }

    /// Of what is out of the blue (section 8.4) only the SHUTDOWN ACK of a peer that missed our SHUTDOWN COMPLETE is answered:
    /// the driver has been told that this is over.
    fn answer_after_the_end(&mut self, tag: u32, first: &RawChunk<'_>, rest: &Chunks<'_>) {
        let has = |wanted| contains(wanted, first, rest);
        if has(kind::SHUTDOWN_ACK) && !has(kind::ABORT) && tag != 0 {
            self.answer_stray_shutdown_ack(tag);
        }
    }

    fn process(&mut self, header: Header, first: RawChunk<'_>, rest: Chunks<'_>, datagram: &Bytes) {
        for chunk in std::iter::once(Ok(first)).chain(rest) {
            let Ok(chunk) = chunk else {
                self.stats.drops.truncated += 1;
                break;
            };
            if !self.handle_chunk(header, &chunk, datagram) || matches!(self.state, State::Ended) {
                break;
            }
        }
        self.end_of_packet();
    }

    /// Handles one chunk; `false` says that the rest of the packet must not be looked at.
    fn handle_chunk(&mut self, header: Header, chunk: &RawChunk<'_>, datagram: &Bytes) -> bool {
        log::trace!("sctp: chunk {} of {} bytes", chunk.kind, chunk.len());
        let is_first = chunk.offset == HEADER_LEN + CHUNK_HEADER_LEN;
        match chunk.kind {
            // Section 12.3: "The receiver of an INIT chunk MUST silently discard the INIT chunk and all further chunks if the
            // INIT chunk is bundled with other chunks or the packet has a non-zero Verification Tag."
            kind::INIT | kind::INIT_ACK if !is_first => {
                self.stats.drops.unexpected_chunk += 1;
                return false;
            }
            // The packet was judged by its first chunk, whose tag is ours.
            kind::ABORT | kind::SHUTDOWN_COMPLETE if !is_first && chunk.flags & FLAG_REFLECTED != 0 => {
                self.stats.drops.wrong_tag += 1;
                return false;
            }
            kind::DATA => self.on_data(DataKind::Data, chunk, datagram),
            kind::I_DATA => self.on_data(DataKind::IData, chunk, datagram),
            kind::SACK => self.on_sack(chunk),
            kind::INIT => self.on_init(chunk),
            kind::INIT_ACK => self.on_init_ack(chunk),
            kind::COOKIE_ECHO => return self.on_cookie_echo(header, chunk),
            kind::COOKIE_ACK => self.on_cookie_ack(),
            kind::HEARTBEAT => self.on_heartbeat(chunk),
            kind::HEARTBEAT_ACK => self.on_heartbeat_ack(chunk),
            kind::ABORT => self.on_abort(chunk),
            kind::SHUTDOWN => self.on_shutdown(chunk),
            kind::SHUTDOWN_ACK => self.on_shutdown_ack(),
            kind::SHUTDOWN_COMPLETE => self.on_shutdown_complete(),
            kind::ERROR => self.on_error(chunk),
            kind::RE_CONFIG => self.on_reconfig(chunk),
            kind::ECNE => self.on_ecne(chunk),
            kind::CWR => self.on_cwr(chunk),
            kind::FORWARD_TSN => return self.on_forward_tsn(DataKind::Data, chunk),
            kind::I_FORWARD_TSN => return self.on_forward_tsn(DataKind::IData, chunk),
            kind::PAD => {}
            _ => return self.on_unknown_chunk(chunk),
        }
        true
    }

    /// Section 3.2, Table 2: the two highest bits of an unknown type say what to do.
    pub(crate) fn on_unknown_chunk(&mut self, chunk: &RawChunk<'_>) -> bool {
        self.stats.drops.unknown_chunk += 1;
        let unknown = Unknown::chunk(chunk.kind);
        if unknown.report
            && let Some(tcb) = self.state.tcb_mut()
        {
            let quoted = [&[chunk.kind, chunk.flags][..], &length(chunk), chunk.value].concat();
            let mut reply = Vec::with_capacity(quoted.len() + 8);
            Cause::UnrecognizedChunk(&quoted).write_chunk(&mut reply, kind::ERROR, 0);
            if !tcb.reply(&self.config, reply) {
                self.stats.drops.reply_overflow += 1;
            }
        }
        !unknown.stop
    }

    /// Runs the timers that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance_clock(now);
        while let Some(timer) = self.timers.expire(self.now) {
            log::trace!("sctp: timer {timer:?}");
            match timer {
                Timer::Handshake => self.on_handshake_timer(),
                Timer::Shutdown => self.on_shutdown_timer(),
                Timer::ShutdownGuard => self.on_shutdown_guard(),
                Timer::Retransmission => self.on_retransmission_timer(),
                Timer::Probe => self.on_probe_timer(),
                Timer::Reorder => self.on_reorder_timer(),
                // What was held back goes out with the next poll.
                Timer::Pace => {}
                Timer::Sack => {
                    if let Some(tcb) = self.state.tcb_mut() {
                        tcb.receiver.acknowledge_now();
                    }
                }
                Timer::Heartbeat => self.on_heartbeat_timer(),
                Timer::Reconfig => self.on_reconfig_timer(),
                Timer::PathProbe => self.on_path_probe_timer(),
            }
        }
    }

    /// Appends one packet to `out`, or nothing: `false`.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        self.now = self.now.max(now);
        self.capable = false;
        let sent = match self.outbox.pop_front() {
            Some(packet) => {
                out.extend_from_slice(&packet);
                true
            }
            None => self.build_packet(out),
        };
        self.stats.packets_sent += u64::from(sent);
        self.idle = !sent;
        sent
    }

    /// What happened.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        let before = self.inbox.charged();
        let event = self.inbox.pop()?;
        let taken = before - self.inbox.charged();
        let (now, round_trip) = (self.now, self.round_trip());
        if taken > 0
            && let Some(tcb) = self.state.tcb_mut()
        {
            tcb.receiver.on_consumed(now, taken, round_trip, &self.inbox);
            if tcb.receiver.ack() == crate::receive::Ack::Now {
                self.idle = false;
            }
        }
        Some(event)
    }

    /// When to call [`Association::handle_timeout`]; a time already past when packets wait.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            _ if self.has_output() => Some(self.now),
            State::Ended => None,
            _ => self.timers.next(),
        }
    }

    /// Whether [`Association::poll_transmit`] may have something: it has not been asked since something happened.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.idle && (!matches!(self.state, State::Ended) || !self.outbox.is_empty())
    }

    /// Sets the largest packet to send, in bytes. What was already cut into larger fragments keeps its size; answers that no
    /// longer fit are dropped.
    pub fn set_max_datagram(&mut self, bytes: usize) {
        self.config.max_datagram = usable_datagram(bytes);
        if let Some(tcb) = self.state.tcb_mut() {
            let room = self.config.max_datagram - HEADER_LEN;
            tcb.congestion.set_packet_size(room);
            tcb.replies.retain(|reply| reply.len() <= room);
        }
    }

    /// Sets the largest message that may be sent: what the peer's description says.
    pub fn set_max_message_size(&mut self, bytes: usize) {
        self.config.max_message_size = bytes;
    }

    /// Queues a message. Before the handshake is done it waits.
    ///
    /// # Errors
    /// [`SendError`] says why the message was refused, and hands it back.
    pub fn send(
        &mut self,
        now: Instant,
        stream: StreamId,
        ppid: Ppid,
        data: Bytes,
        options: SendOptions,
    ) -> Result<(), SendError> {
        self.advance_clock(now);
        let closed = match &self.state {
            State::Open(_, phase) => *phase != Phase::Established,
            state => matches!(state, State::Ended),
        };
        let streams = self
            .state
            .tcb()
            .map_or(self.config.streams, |tcb| tcb.outbound_streams());
        let (size, limit) = (data.len(), self.config.max_message_size);
        if closed {
            Err(SendError::Closed { data })
        } else if data.is_empty() {
            Err(SendError::Empty)
        } else if size > limit {
            Err(SendError::MessageTooLarge { size, limit, data })
        } else if stream.0 >= streams {
            let (stream, limit) = (stream.0, streams);
            Err(SendError::NoSuchStream { stream, limit, data })
        } else if self.queue.is_closing(stream) {
            Err(SendError::StreamClosing { data })
        } else if self.queue.has_open(stream) {
            Err(SendError::MessageOpen { data })
        } else if self.has_no_room(size) {
            Err(self.buffer_full(data))
        } else {
            let limit = Limit::new(options.reliability, self.now);
            self.queue.push(stream, ppid, data, options.unordered, limit);
            Ok(())
        }
    }

    /// A buffer that is empty takes any message.
    pub(crate) fn has_no_room(&self, size: usize) -> bool {
        let buffered = self.queue.buffered();
        buffered > 0 && buffered.saturating_add(size) > self.config.max_send_buffer
    }

    pub(crate) fn buffer_full(&self, data: Bytes) -> SendError {
        SendError::BufferFull {
            size: data.len(),
            buffered: self.queue.buffered(),
            limit: self.config.max_send_buffer,
            data,
        }
    }

    /// Bytes that wait on a stream to be sent for the first time.
    #[must_use]
    pub fn buffered_amount(&self, stream: StreamId) -> usize {
        self.queue.buffered_in(stream)
    }

    /// Bytes that wait on all streams.
    #[must_use]
    pub fn total_buffered(&self) -> usize {
        self.queue.buffered()
    }

    /// Sets the level at which [`Event::BufferedAmountLow`] is reported for a stream. Zero at first.
    pub fn set_buffered_amount_low_threshold(&mut self, stream: StreamId, bytes: usize) {
        self.queue.set_low_threshold(stream, bytes);
    }

    /// Sets the priority of a stream, 256 at first: with [`Scheduler::WeightedFair`](crate::Scheduler) its weight. A stream
    /// that is reset and used anew has the first one again.
    pub fn set_priority(&mut self, stream: StreamId, priority: u16) {
        self.queue.set_priority(stream, priority);
    }

    /// Whether messages of different streams are interleaved (RFC 8260); `None` before the peer said what it can.
    #[must_use]
    pub fn interleaves(&self) -> Option<bool> {
        self.state.tcb().map(|tcb| tcb.data_kind() == DataKind::IData)
    }

    /// Whether messages flow.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Open(..))
    }

    /// Streams that the peer accepts; `None` before it said so.
    #[must_use]
    pub fn outbound_streams(&self) -> Option<u16> {
        self.state.tcb().map(|tcb| tcb.outbound_streams())
    }

    /// Counters and gauges.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        (stats.messages_received, stats.bytes_received) = self.inbox.totals();
        stats.packet_limit = self.packet_limit();
        if let Some(tcb) = self.state.tcb() {
            stats.smoothed_rtt = tcb.rto.smoothed();
            stats.rto = tcb.rto.current();
            stats.congestion_window = tcb.congestion.window();
            stats.bytes_in_flight = tcb.outstanding.flight();
            stats.peer_window = tcb.peer_window;
            stats.ecn = tcb.marking.state();
        }
        stats
    }

    /// Keeps the gauges of an association that is about to end.
    pub(crate) fn gather_stats(&mut self) {
        self.stats = Stats {
            bytes_in_flight: 0,
            ..self.stats()
        };
    }

    /// The association now carries data.
    pub(crate) fn on_established(&mut self, first_time: bool) {
        self.timers.stop(Timer::Handshake);
        log::info!("sctp: established");
        self.inbox.push(if first_time {
            Event::Connected
        } else {
            Event::Restarted
        });
        self.collect_drained();
        self.schedule_heartbeat();
    }

    /// Too many timeouts in a row?
    pub(crate) fn count_error(&mut self) -> bool {
        let Some(tcb) = self.state.tcb_mut() else {
            return false;
        };
        tcb.errors += 1;
        let errors = tcb.errors;
        let unreachable = self.config.max_retransmits.is_some_and(|max| errors > max);
        if unreachable {
            self.close(CloseReason::Unreachable);
        }
        unreachable
    }

    /// The smoothed round trip, or the initial timeout before there is one.
    pub(crate) fn round_trip(&self) -> Duration {
        self.state
            .tcb()
            .and_then(|tcb| tcb.rto.smoothed())
            .unwrap_or(self.config.rto_initial)
    }
}

/// Whether a packet has a chunk of this type.
fn contains(wanted: u8, first: &RawChunk<'_>, rest: &Chunks<'_>) -> bool {
    first.kind == wanted || rest.clone().flatten().any(|chunk| chunk.kind == wanted)
}

fn length(chunk: &RawChunk<'_>) -> [u8; 2] {
    u16::try_from(chunk.len()).unwrap_or(u16::MAX).to_be_bytes()
}
