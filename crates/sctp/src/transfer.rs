//! Data both ways (RFC 9260, section 6): what a packet is filled with, DATA and SACK that come in, T3-rtx, and
//! partial reliability (RFC 3758).

use std::time::Instant;

use crate::association::Association;
use crate::config::Config;
use crate::event::Event;
use crate::packet::cause::Cause;
use crate::packet::data::{DataHeader, DataKind, I_DATA_HEADER_LEN};
use crate::packet::forward_tsn::{
    FORWARD_TSN_MIN_LEN, ForwardTsn, IForwardTsn, skipped_len, write_forward_tsn,
};
use crate::packet::sack::Sack;
use crate::packet::{CHUNK_HEADER_LEN, HEADER_LEN, RawChunk, kind, seal, write_chunk};
use crate::receive::Ack;
use crate::receive::reassembly::Violation;
use crate::recovery::abandon;
use crate::send::Limit;
use crate::send::outstanding::Mark;
use crate::state::{Phase, State};
use crate::tcb::Tcb;
use crate::timer::Timer;
use crate::types::Tsn;

/// A fragment shorter than this is not cut from a message just to fill up a packet.
const MIN_FRAGMENT: usize = 256;
/// The same where packets are larger than usual: what is left then is padded, since packets of unequal size cannot leave
/// together in one train (UDP GSO).
const MIN_FRAGMENT_IN_LARGE: usize = 64;
/// Bytes of a SHUTDOWN chunk.
const SHUTDOWN_LEN: usize = 8;
/// The packet that is being filled.
struct Packet<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    end: usize,
}

impl Packet<'_> {
    fn room(&self) -> usize {
        self.end.saturating_sub(self.out.len())
    }

    /// Fills what a fragment was too large for with a PAD chunk (RFC 4820). Who answered a probe of the path knows it.
    fn fill_up(&mut self) {
        let room = self.room();
        if let Some(padding) = room.checked_sub(CHUNK_HEADER_LEN)
            && padding < MIN_FRAGMENT_IN_LARGE + I_DATA_HEADER_LEN
        {
            write_chunk(self.out, kind::PAD, 0, |out| out.resize(out.len() + padding, 0));
        }
    }

    fn is_empty(&self) -> bool {
        self.out.len() == self.start + HEADER_LEN
    }
}

impl Association {
    /// Appends one packet of the association; `false` when nothing is due.
    pub(crate) fn build_packet(&mut self, out: &mut Vec<u8>) -> bool {
        if let Some(Phase::ShutdownPending | Phase::ShutdownReceived) = self.state.phase() {
            // What expires unsent is no reason to wait, and no SACK will tell of it.
            let _ = self.queue.next_len(self.now, 1);
            self.stats.abandoned += self.queue.take_abandoned();
            self.continue_shutdown();
        }
        if self.write_path_probe(out) {
            return true;
        }
        let Some(tcb) = self.state.tcb() else { return false };
        let (start, zero_checksum) = (out.len(), tcb.sends_zero_checksum());
        tcb.header(&self.config).write(out);
        let mut packet = Packet {
            start,
            end: start + self.config.max_datagram,
            out,
        };
        // RFC 9653, section 5.2: a packet with a COOKIE ECHO carries a correct CRC32c.
        let with_cookie = self.write_cookie_echo(packet.out);
        if with_cookie {
            // RFC 9260, section 3.2.2: what is not known in the INIT ACK is reported along with the COOKIE ECHO.
            self.write_replies(&mut packet);
        }
        if let State::Open(_, phase) = &self.state {
            let phase = *phase;
            self.write_control(&mut packet, phase);
        }
        if with_cookie || self.state.phase().is_some_and(Phase::sends_data) {
            self.write_data(&mut packet);
        }
        if packet.is_empty() {
            out.truncate(start);
            return false;
        }
        if with_cookie || !zero_checksum {
            seal(out, start);
        }
        true
    }

    /// Control chunks, which "MUST come before DATA chunks in the packet".
    fn write_control(&mut self, packet: &mut Packet<'_>, phase: Phase) {
        let State::Open(tcb, _) = &mut self.state else {
            return;
        };
        // Section 5.1.5: "the COOKIE ACK chunk MUST be the first chunk in the SCTP packet".
        if std::mem::take(&mut tcb.cookie_ack_due) {
            write_chunk(packet.out, kind::COOKIE_ACK, 0, |_| ());
        }
        self.write_replies(packet);
        self.write_shutdown(packet, phase);
        let State::Open(tcb, _) = &mut self.state else {
            return;
        };
        if let Some(urgent) = tcb.marking.cwr_due()
            && (urgent
                || !packet.is_empty()
                || phase.sends_data() && may_send(tcb, &mut self.queue, self.now))
        {
            tcb.marking.write_cwr(packet.room(), packet.out);
        }
        let due = match tcb.receiver.ack() {
            Ack::None => false,
            // It goes along with data.
            Ack::Delayed => phase.sends_data() && may_send(tcb, &mut self.queue, self.now),
            Ack::Now => true,
        };
        if due {
            tcb.echo.write(packet.room(), packet.out);
            let (room, max) = (packet.room(), self.config.max_datagram);
            if tcb.receiver.write_sack(&self.inbox, room, max, packet.out) {
                self.timers.stop(Timer::Sack);
            }
        }
        if !tcb.reset.is_silent() && phase != Phase::ShutdownAckSent {
            let (cumulative, next) = (tcb.outstanding.cumulative(), tcb.outstanding.next());
            let quiet = tcb.outstanding.is_empty() && !self.queue.wants_to_send() && !self.queue.has_begun();
            if matches!(phase, Phase::Established | Phase::ShutdownPending) {
                tcb.reset
                    .start_request(&self.config, cumulative, next.previous().tsn(), quiet);
            }
            let is_alone = packet.is_empty();
            if tcb.reset.write(packet.room(), packet.out, is_alone) {
                self.start_reconfig_timer();
            }
        }
        let State::Open(tcb, _) = &mut self.state else {
            return;
        };
        tcb.heartbeat.write(self.now, packet.room(), packet.out);
        if tcb.forward_due && phase.sends_data() && packet.room() >= FORWARD_TSN_MIN_LEN {
            tcb.forward_due = false;
            let kind = tcb.data_kind();
            let max = (packet.room() - FORWARD_TSN_MIN_LEN) / skipped_len(kind);
            let place = tcb.outstanding.forward_tsn(max, &mut self.skipped);
            tcb.forward_sent = Some((place, self.now));
            write_forward_tsn(kind, packet.out, place.tsn(), &self.skipped);
            // Rule C5: "the sender MUST assure that at least one T3-rtx timer is running".
            if !self.timers.is_running(Timer::Retransmission) {
                self.timers
                    .set(Timer::Retransmission, self.now + tcb.rto.current());
            }
        }
    }

    /// Answers that wait, as many as fit.
    fn write_replies(&mut self, packet: &mut Packet<'_>) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        while let Some(reply) = tcb.replies.pop_front_if(|reply| reply.len() <= packet.room()) {
            packet.out.extend_from_slice(&reply);
        }
    }

    /// SHUTDOWN or SHUTDOWN ACK, when due.
    fn write_shutdown(&mut self, packet: &mut Packet<'_>, phase: Phase) {
        let State::Open(tcb, _) = &mut self.state else {
            return;
        };
        if packet.room() < SHUTDOWN_LEN || !std::mem::take(&mut tcb.shutdown_due) {
            return;
        }
        match phase {
            Phase::ShutdownSent => {
                let cumulative = tcb.receiver.cumulative();
                write_chunk(packet.out, kind::SHUTDOWN, 0, |out| {
                    out.extend_from_slice(&cumulative.0.to_be_bytes());
                });
            }
            Phase::ShutdownAckSent => write_chunk(packet.out, kind::SHUTDOWN_ACK, 0, |_| ()),
            _ => {}
        }
    }

    /// DATA chunks: first what was lost, then what was never sent (section 6.1, rule C).
    fn write_data(&mut self, packet: &mut Packet<'_>) {
        let (now, limit, usual) = (self.now, self.packet_limit(), self.config.max_datagram);
        let is_open = matches!(self.state, State::Open(..));
        let Some(tcb) = self.state.tcb_mut() else { return };
        let held_before = packet.out.len();
        if tcb.outstanding.is_empty() && self.queue.wants_to_send() {
            let idle = now.saturating_duration_since(tcb.last_data_sent);
            tcb.congestion
                .on_idle(idle.as_micros() / tcb.rto.current().as_micros().max(1));
            let packet = self.config.max_datagram - HEADER_LEN;
            tcb.pacer.restart(packet * self.config.initial_window as usize);
        }
        let mut restart_timer = false;
        let first_new = tcb.outstanding.next();
        if tcb.probe_due {
            let sent = send_probe(tcb, packet, now);
            self.stats.probes += u64::from(sent);
            self.stats.retransmissions += u64::from(sent);
        }
        self.stats.abandoned += abandon(tcb, &mut self.queue, now);
        let ready = tcb.pacer.is_ready(now);
        while let Some((len, earliest)) = tcb.outstanding.next_lost() {
            let flight = tcb.outstanding.flight();
            let fits = flight == 0 || tcb.outstanding.under_way() + len <= tcb.congestion.window();
            let allowed = tcb.rescue || fits && ready;
            if !allowed || len > packet.room() && !packet.is_empty() {
                break;
            }
            tcb.outstanding.send_lost(now, packet.out);
            self.stats.retransmissions += 1;
            restart_timer |= earliest;
            self.stats.abandoned += abandon(tcb, &mut self.queue, now);
        }
        tcb.pacer.set_large(limit > usual);
        let is_all_new = packet.out.len() == held_before;
        let is_large = limit > usual && is_all_new;
        let capable = is_all_new && is_open && !tcb.window_probe && tcb.marking.wants();
        if is_large {
            // What is sent again goes in packets that any path carries, and nothing goes with it.
            packet.end = packet.start + limit;
        }
        while ready
            && !tcb.outstanding.has_lost()
            && let Some(room) = new_data_room(tcb, &mut self.queue, now, packet, &self.config)
            && let Some(mut fragment) = self.queue.take_fragment(room)
        {
            if !tcb.partial_reliability() {
                fragment.limit = Limit::None;
            }
            self.stats.bytes_sent += fragment.data.len() as u64;
            self.stats.messages_sent += u64::from(fragment.ending);
            tcb.window_probe = false;
            // "Whenever the sender of a DATA chunk can benefit from the corresponding SACK chunk being sent back without
            // delay, the sender MAY set the I bit": the last of a burst, which no second packet will follow.
            let immediate = !self.queue.wants_to_send();
            let beyond = is_large && packet.out.len() - packet.start >= usual;
            let mark = match (capable, tcb.outstanding.next() == first_new) {
                (false, _) => Mark::Plain,
                (true, is_first) => Mark::Capable { is_first },
            };
            tcb.outstanding
                .send_new(now, fragment, immediate, (beyond, mark), packet.out);
        }
        if is_large && packet.out.len() - packet.start > usual && self.queue.wants_to_send() {
            packet.fill_up();
        }
        let sent = packet.out.len() - held_before;
        let sent_new = tcb.outstanding.next() > first_new;
        if sent_new && capable {
            tcb.marking.on_sent(first_new, tcb.outstanding.next().previous());
            self.stats.ect_packets_sent += 1;
            self.capable = true;
        }
        if sent > 0 {
            tcb.rescue = false;
            tcb.last_data_sent = now;
            let rate = tcb.congestion.pacing_rate(tcb.rto.smoothed());
            tcb.pacer.on_sent(now, sent, rate);
        }
        let more = tcb.outstanding.has_lost() || self.queue.wants_to_send();
        let window_full = tcb.outstanding.under_way() + packet.room().min(usual) >= tcb.congestion.window();
        tcb.limited_by_window = more && (window_full || !ready);
        if !tcb.limited_by_window && sent == 0 {
            tcb.outstanding.on_app_limited();
        }
        if more
            && !window_full
            && sent == 0
            && let Some(release) = tcb.pacer.release(now)
        {
            self.timers.set(Timer::Pace, release);
        }
        self.stats.abandoned += self.queue.take_abandoned();
        self.after_data(sent > 0, sent_new, restart_timer);
    }

    /// Timers and events after an attempt to send data.
    fn after_data(&mut self, sent: bool, sent_new: bool, restart_timer: bool) {
        while let Some(stream) = self.queue.take_low() {
            self.inbox.push(Event::BufferedAmountLow(stream));
        }
        self.collect_drained();
        let State::Open(tcb, _) = &mut self.state else {
            return;
        };
        let running = self.timers.is_running(Timer::Retransmission);
        // Rule R1; section 6.1: "restart the timer if the earliest (i.e., lowest TSN) outstanding DATA chunk sent to that
        // address is being retransmitted". Without anything outstanding, a closed window is probed "after 1 RTO".
        let waits_for_window = tcb.outstanding.is_empty() && self.queue.wants_to_send();
        if restart_timer || !running && (sent || waits_for_window) {
            self.timers
                .set(Timer::Retransmission, self.now + tcb.rto.current());
        }
        if sent_new {
            if tcb.peer.capabilities.padding {
                let (total, max) = (self.stats.bytes_sent, self.config.max_path_datagram);
                tcb.path_mtu
                    .on_data_sent(self.now, total, self.config.max_datagram, max);
            }
            self.restart_probe_timer();
        }
    }

    pub(crate) fn on_data(&mut self, kind: DataKind, chunk: &RawChunk<'_>, datagram: &bytes::Bytes) {
        let State::Open(tcb, phase) = &mut self.state else {
            self.stats.drops.unexpected_chunk += 1;
            return;
        };
        // RFC 8260, section 2.2.3: "If I-DATA support has been negotiated for an association, the reception of a DATA chunk
        // is a violation of the above rules and therefore the receiver of the DATA chunk MUST abort the association by
        // sending an ABORT chunk. … The same applies if I-DATA support has not been negotiated for an association and an
        // I-DATA chunk is received."
        if kind != tcb.data_kind() {
            let what = match kind {
                DataKind::Data => "a DATA chunk where I-DATA was agreed on",
                DataKind::IData => "an I-DATA chunk that was not agreed on",
            };
            return self.fail(Cause::ProtocolViolation(what), what);
        }
        let Some((header, data)) = DataHeader::parse(kind, chunk.flags, chunk.value) else {
            self.stats.drops.malformed_chunk += 1;
            return;
        };
        if !phase.receives_data() {
            self.stats.drops.unexpected_chunk += 1;
            return;
        }
        // "If an endpoint receives a DATA chunk with no user data …, it SHOULD send an ABORT chunk with a "No User Data"
        // error cause."
        if data.is_empty() {
            return self.fail(Cause::NoUserData(header.tsn), "a DATA chunk without data");
        }
        let valid = tcb.accepts_stream(header.stream);
        if !valid {
            // Section 6.5: "SHOULD acknowledge the reception of the DATA chunk following the normal procedure and immediately
            // send an ERROR chunk with cause set to "Invalid Stream Identifier"".
            self.stats.drops.invalid_stream += 1;
            let mut error = Vec::new();
            Cause::InvalidStream(header.stream).write_chunk(&mut error, kind::ERROR, 0);
            if !tcb.reply(&self.config, error) {
                self.stats.drops.reply_overflow += 1;
            }
        }
        let end = chunk.offset + chunk.value.len();
        let range = end - data.len()..end;
        let result = tcb.receiver.on_data(
            &header,
            datagram,
            range,
            valid,
            &mut self.inbox,
            &mut self.stats.drops,
        );
        self.after_receipt(result);
    }

    fn after_receipt(&mut self, result: Result<(), Violation>) {
        match result {
            Ok(()) => self.finish_deferred_reset(),
            Err(Violation(what)) => self.fail(Cause::ProtocolViolation(what), what),
        }
    }

    pub(crate) fn on_forward_tsn(&mut self, kind: DataKind, chunk: &RawChunk<'_>) -> bool {
        let State::Open(tcb, phase) = &mut self.state else {
            self.stats.drops.unexpected_chunk += 1;
            return true;
        };
        // RFC 8260, section 2.3.1: "The FORWARD-TSN chunk MUST be used in combination with the DATA chunk and MUST NOT be used
        // in combination with the I-DATA chunk", and the other way round; who receives the wrong one "MUST abort the
        // association by sending an ABORT chunk".
        let wrong = match (kind, tcb.data_kind()) {
            (DataKind::Data, DataKind::IData) => Some("a FORWARD TSN where I-DATA was agreed on"),
            (DataKind::IData, DataKind::Data) if tcb.local.capabilities.interleaving => {
                Some("an I-FORWARD-TSN that was not agreed on")
            }
            _ => None,
        };
        if let Some(what) = wrong {
            self.fail(Cause::ProtocolViolation(what), what);
            return false;
        }
        // RFC 3758, section 3.3.1: without the agreement an endpoint "MUST instead act as if it does NOT support the FORWARD
        // TSN chunk, returning an ERROR to the peer".
        if !tcb.partial_reliability() || kind != tcb.data_kind() {
            self.stats.drops.bad_forward_tsn += 1;
            return self.on_unknown_chunk(chunk);
        }
        if !phase.receives_data() {
            return true;
        }
        let (inbox, drops) = (&mut self.inbox, &mut self.stats.drops);
        let result = match kind {
            DataKind::Data => ForwardTsn::parse(chunk.value)
                .map(|forward| tcb.receiver.on_forward_tsn(&forward, inbox, drops)),
            DataKind::IData => IForwardTsn::parse(chunk.value)
                .map(|forward| tcb.receiver.on_i_forward_tsn(&forward, inbox, drops)),
        };
        match result {
            Some(result) => self.after_receipt(result),
            None => self.stats.drops.malformed_chunk += 1,
        }
        true
    }

    /// All chunks of a packet have been looked at.
    pub(crate) fn end_of_packet(&mut self) {
        self.finish_association_reset();
        let State::Open(tcb, phase) = &mut self.state else {
            return;
        };
        let had_data = tcb.receiver.has_new_packet();
        if let Some(fresh) = tcb.receiver.take_fresh()
            && self.marked
            && tcb.uses_ecn()
        {
            self.stats.ce_packets_received += 1;
            tcb.echo.on_mark(fresh);
            tcb.receiver.acknowledge_now();
        }
        match tcb.receiver.end_of_packet() {
            Ack::Delayed if !self.timers.is_running(Timer::Sack) => {
                self.timers.set(Timer::Sack, self.now + self.config.sack_delay);
            }
            Ack::Now => self.timers.stop(Timer::Sack),
            _ => {}
        }
        // Section 9.2: "While in the SHUTDOWN-SENT state, the SHUTDOWN chunk sender MUST immediately respond to each received
        // packet containing one or more DATA chunks with a SHUTDOWN chunk and restart the T2-shutdown timer. If a SHUTDOWN
        // chunk by itself cannot acknowledge all of the received DATA chunks …, then a SACK chunk MUST also be sent."
        if had_data && *phase == Phase::ShutdownSent {
            tcb.shutdown_due = true;
            tcb.errors = 0;
            tcb.receiver.acknowledge_now();
            self.restart_shutdown_timer();
        }
    }

    /// A cumulative TSN without gap ack blocks, from a SHUTDOWN.
    pub(crate) fn on_cumulative(&mut self, cumulative: Tsn) {
        let Some(tcb) = self.state.tcb() else { return };
        let window = u32::try_from(tcb.peer_window).unwrap_or(u32::MAX);
        self.take_sack(&Sack::of_shutdown(cumulative, window));
    }

    pub(crate) fn on_sack(&mut self, chunk: &RawChunk<'_>) {
        let takes = match &self.state {
            State::CookieEchoed(..) => true,
            State::Open(_, phase) => phase.sends_data(),
            _ => false,
        };
        if !takes {
            self.stats.drops.unexpected_chunk += 1;
            return;
        }
        match Sack::parse(chunk.value) {
            Some(sack) => self.take_sack(&sack),
            None => self.stats.drops.malformed_chunk += 1,
        }
    }
}

/// Sends the last chunk again; `true` when it did. Where control chunks have left too little room, the next packet has it.
fn send_probe(tcb: &mut Tcb, packet: &mut Packet<'_>, now: Instant) -> bool {
    let len = tcb.outstanding.probe_len(now);
    let fits = len.is_some_and(|len| len <= packet.room() || packet.is_empty());
    tcb.probe_due = len.is_some() && !fits;
    if fits {
        tcb.outstanding.send_probe(now, packet.out);
    }
    fits
}

/// Whether some data can go out now.
fn may_send(tcb: &mut Tcb, queue: &mut crate::send::queue::SendQueue, now: Instant) -> bool {
    let (flight, under_way) = (tcb.outstanding.flight(), tcb.outstanding.under_way());
    let ready = tcb.pacer.is_ready(now);
    match tcb.outstanding.next_lost() {
        Some((len, _)) => tcb.rescue || ready && (flight == 0 || under_way + len <= tcb.congestion.window()),
        None => ready && under_way < tcb.congestion.window() && queue.next_len(now, 1).is_some(),
    }
}

/// Bytes of user data that the next new chunk may hold in the `room` that a packet has left; `None` when it must wait.
fn new_data_room(
    tcb: &Tcb,
    queue: &mut crate::send::queue::SendQueue,
    now: Instant,
    packet: &Packet<'_>,
    config: &Config,
) -> Option<usize> {
    let header_len = tcb.data_kind().header_len();
    let largest = config.max_datagram - HEADER_LEN - header_len;
    let room = packet.room().checked_sub(header_len)?.min(largest) / 4 * 4;
    // Rule B: "The sender MUST NOT transmit new data … if it has cwnd + (PMDCS - 1) or more bytes of data outstanding".
    if room == 0 || tcb.outstanding.under_way() >= tcb.congestion.window() || tcb.outstanding.is_full() {
        return None;
    }
    let len = queue.next_len(now, room)?;
    let is_piece = len == room;
    let is_large = packet.end - packet.start > config.max_datagram;
    let least = if is_large {
        MIN_FRAGMENT_IN_LARGE
    } else {
        MIN_FRAGMENT
    };
    if is_piece && room < least && !packet.is_empty() || tcb.outstanding.held() + len > config.max_outstanding
    {
        return None;
    }
    // Rule A: "The data sender MUST NOT transmit new data … if its peer's rwnd indicates that the peer has no buffer space
    // (i.e., rwnd is smaller than the size of the next DATA chunk; see Section 6.2.1), except for zero window probes."
    let fits = tcb.outstanding.flight_data() + len <= tcb.peer_window;
    (fits || tcb.window_probe && tcb.outstanding.is_empty()).then_some(room)
}
