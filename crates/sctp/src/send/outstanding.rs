//! Chunks sent and not yet cumulatively acknowledged, by TSN, and what a SACK does to them (RFC 9260, sections
//! 6.2.1 and 7.2.4; RFC 3758, section 3.5).
//!
//! The chunks lie in a `VecDeque` indexed by TSN. A SACK costs what it newly acknowledges: the gap ack blocks of
//! the last SACK are kept, and only what differs from them is looked at.

mod cut;
mod mark;
mod ranges;
mod report;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Limit;
use super::delivery::{CROWD, Delivery, Newest, RateSample, Stamp};
use super::queue::Fragment;
use super::rack::Rack;
use crate::packet::data::{DataHeader, DataKind};
use crate::packet::forward_tsn::Skipped;
use crate::packet::padded;
use crate::packet::sack::Sack;
use crate::types::{Mid, Place, Ppid, StreamId, Tsn};
pub(crate) use mark::Mark;
use ranges::{covers, for_each_difference};
use report::Report;

/// Chunks outstanding at most. A receiver tells an early message from a late one by serial arithmetic on 16 bits of SSN,
/// and a gap ack block cannot reach further than 65,535 TSNs.
const MAX_CHUNKS: usize = 1 << 15;
/// RFC 9260, section 7.2.4: the third miss indication makes a chunk lost.
const MISSES: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InFlight,
    /// In a gap ack block.
    Acked,
    /// To be sent again.
    Lost,
    /// Given up (RFC 3758).
    Abandoned,
}

#[derive(Debug)]
struct Chunk {
    data: Bytes,
    ppid: Ppid,
    stream: StreamId,
    mid: Mid,
    fsn: u32,
    kind: DataKind,
    unordered: bool,
    beginning: bool,
    ending: bool,
    state: State,
    misses: u8,
    /// The peer has reported it once: if it takes that back, the next report says nothing of the round trip.
    reported: bool,
    /// It lay beyond the usual size in its packet.
    beyond: bool,
    mark: Mark,
    transmissions: u16,
    sent_at: Instant,
    stamp: Stamp,
    limit: Limit,
}

impl Chunk {
    /// Bytes in a packet, which is what congestion control counts.
    fn wire_len(&self) -> usize {
        self.kind.header_len() + padded(self.data.len())
    }

    fn header(&self, place: Place, immediate: bool) -> DataHeader {
        DataHeader {
            immediate,
            unordered: self.unordered,
            beginning: self.beginning,
            ending: self.ending,
            tsn: place.tsn(),
            stream: self.stream,
            mid: self.mid,
            fsn: self.fsn,
            ppid: self.ppid,
        }
    }
}

/// A range of TSNs, both ends in it.
type Range = (Place, Place);

/// What a SACK brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Outcome {
    /// Bytes acknowledged for the first time.
    pub(crate) bytes: usize,
    /// The cumulative TSN moved.
    pub(crate) advanced: bool,
    /// Bytes of chunks that were found lost.
    pub(crate) lost: usize,
    /// Something arrived that lay beyond the usual size in its packet.
    pub(crate) beyond_arrived: bool,
    /// Chunks of that kind that were found lost.
    pub(crate) beyond_lost: u32,
    /// Packets with ECT that arrived, and whether something without did.
    pub(crate) ect_arrived: u32,
    pub(crate) plain_arrived: bool,
    /// A round-trip time from a chunk sent only once.
    pub(crate) rtt: Option<Duration>,
    /// The first acknowledgement of something sent since the last round began.
    pub(crate) new_round: bool,
    /// How fast data arrives.
    pub(crate) rate: Option<RateSample>,
    /// Something arrived that T3-rtx had called lost and that was not sent again since: the timeout was spurious.
    pub(crate) late: bool,
    /// Retransmissions that the peer reports as duplicates.
    pub(crate) duplicates: u32,
    /// When more may turn out to be lost.
    pub(crate) reorder_deadline: Option<Instant>,
    /// Messages given up.
    pub(crate) abandoned: u64,
}

/// What is known about the path while a SACK is taken in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    pub(crate) min_rtt: Duration,
    pub(crate) smoothed_rtt: Duration,
    /// Fast recovery is on.
    pub(crate) recovering: bool,
}

/// Why a SACK was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadSack {
    /// Its cumulative TSN is before the last one.
    Old,
    /// It acknowledges what was never sent, or its blocks overlap or run backwards.
    Lies,
}

/// The retransmissions of one recovery, to see whether all of them were in vain (RFC 3708 tells of the idea).
#[derive(Debug, Clone, Copy)]
struct Resent {
    first: Place,
    end: Place,
    chunks: u32,
    in_vain: u32,
}

/// All outstanding chunks.
#[derive(Debug)]
pub(crate) struct Outstanding {
    kind: DataKind,
    /// The TSN of the first chunk: one after the cumulative TSN.
    base: Place,
    chunks: VecDeque<Chunk>,
    /// Gap ack blocks of the last SACK, in order.
    gaps: Vec<Range>,
    /// When a block last brought something new.
    gaps_at: Option<Instant>,
    report: Report,
    /// Bytes in flight that have arrived unreported, as it seems.
    unreported: usize,
    /// Blocks of the SACK at hand; kept for its capacity.
    scratch: Vec<Range>,
    lost: BTreeSet<Place>,
    /// The last packet with ECT that was found lost, until that is taken.
    vanished: Option<Place>,
    /// Bytes of packets in flight.
    flight: usize,
    /// Bytes of user data in flight.
    flight_data: usize,
    /// Bytes of user data that are kept.
    held: usize,
    /// All before this one have been acknowledged or abandoned ("Advanced.Peer.Ack.Point" plus one).
    forward: Place,
    rack: Rack,
    delivery: Delivery,
    /// What was sent before this place was sent again since the last recovery began: how many chunks.
    resent: Resent,
    round_end: Place,
    /// Messages that were abandoned before all of them was sent.
    cut: Vec<Skipped>,
}

impl Outstanding {
    pub(crate) fn new(kind: DataKind, first: Place) -> Self {
        Self {
            kind,
            base: first,
            chunks: VecDeque::new(),
            gaps: Vec::new(),
            gaps_at: None,
            report: Report::default(),
            unreported: 0,
            scratch: Vec::new(),
            lost: BTreeSet::new(),
            vanished: None,
            flight: 0,
            flight_data: 0,
            held: 0,
            forward: first,
            rack: Rack::default(),
            delivery: Delivery::new(),
            resent: Resent {
                first,
                end: first,
                chunks: 0,
                in_vain: 0,
            },
            round_end: first,
            cut: Vec::new(),
        }
    }

    /// Which chunks carry data from now on, also when they are sent again.
    pub(crate) fn set_kind(&mut self, kind: DataKind) {
        self.kind = kind;
        self.chunks.iter_mut().for_each(|chunk| chunk.kind = kind);
    }

    /// The place of the next chunk that is sent for the first time.
    pub(crate) fn next(&self) -> Place {
        self.base.plus(self.chunks.len() as u64)
    }

    /// The last place acknowledged cumulatively.
    pub(crate) fn cumulative(&self) -> Place {
        self.base.previous()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Bytes in flight, as packets carry them.
    pub(crate) fn flight(&self) -> usize {
        self.flight
    }

    /// Bytes of user data in flight.
    pub(crate) fn flight_data(&self) -> usize {
        self.flight_data
    }

    /// Whether as many chunks are outstanding as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.chunks.len() >= MAX_CHUNKS - 1
    }

    /// Bytes of user data that are kept until acknowledged.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn has_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether something waits for an acknowledgement or a FORWARD TSN does.
    pub(crate) fn needs_timer(&self) -> bool {
        self.flight > 0 || self.has_lost() || self.forward > self.base
    }

    fn at(&mut self, place: Place) -> Option<&mut Chunk> {
        if place < self.base {
            return None;
        }
        self.chunks.get_mut(place.since(self.base))
    }

    /// Sends a fragment for the first time: appends its DATA chunk.
    pub(crate) fn send_new(
        &mut self,
        now: Instant,
        fragment: Fragment,
        immediate: bool,
        (beyond, mark): (bool, Mark),
        out: &mut Vec<u8>,
    ) {
        let place = self.next();
        let chunk = Chunk {
            data: fragment.data,
            ppid: fragment.ppid,
            stream: fragment.stream,
            mid: fragment.mid,
            fsn: fragment.fsn,
            kind: self.kind,
            unordered: fragment.unordered,
            beginning: fragment.beginning,
            ending: fragment.ending,
            state: State::InFlight,
            misses: 0,
            reported: false,
            beyond,
            mark,
            transmissions: 1,
            sent_at: now,
            stamp: self.delivery.stamp(now, self.flight == 0),
            limit: fragment.limit,
        };
        chunk.header(place, immediate).write(chunk.kind, out, &chunk.data);
        self.flight += chunk.wire_len();
        self.flight_data += chunk.data.len();
        self.held += chunk.data.len();
        self.chunks.push_back(chunk);
    }

    /// Gives up lost chunks at the front of the line that must not be sent again; the number of messages.
    pub(crate) fn abandon_expired(&mut self, now: Instant) -> u64 {
        let mut abandoned = 0;
        while let Some(&place) = self.lost.first() {
            let Some(chunk) = self.at(place) else {
                self.lost.pop_first();
                continue;
            };
            if !chunk.limit.forbids_another(chunk.transmissions, now) {
                break;
            }
            self.abandon_message(place);
            abandoned += 1;
        }
        abandoned
    }

    /// Bytes in a packet of the lost chunk that is to be sent next, and whether it is the earliest outstanding.
    pub(crate) fn next_lost(&mut self) -> Option<(usize, bool)> {
        let place = *self.lost.first()?;
        let earliest = place == self.base;
        self.at(place).map(|chunk| (chunk.wire_len(), earliest))
    }

    /// Sends the first lost chunk again.
    pub(crate) fn send_lost(&mut self, now: Instant, out: &mut Vec<u8>) {
        let Some(place) = self.lost.pop_first() else {
            return;
        };
        self.send_again(place, now, false, out);
    }

    fn send_again(&mut self, place: Place, now: Instant, immediate: bool, out: &mut Vec<u8>) {
        let stamp = self.delivery.stamp(now, self.flight == 0);
        if place < self.resent.end {
            self.resent.chunks += 1;
        }
        let Some(chunk) = self.at(place) else { return };
        let (wire, data) = (chunk.wire_len(), chunk.data.len());
        let was_in_flight = chunk.state == State::InFlight;
        chunk.state = State::InFlight;
        chunk.stamp = stamp;
        chunk.transmissions = chunk.transmissions.saturating_add(1);
        chunk.misses = 0;
        chunk.beyond = false;
        chunk.mark = Mark::Plain;
        chunk.sent_at = now;
        chunk.header(place, immediate).write(chunk.kind, out, &chunk.data);
        if !was_in_flight {
            self.flight += wire;
            self.flight_data += data;
        }
    }

    /// The chunk to ask about: the last one, whose arrival tells the most, or else the first that is missing.
    fn probe_place(&self) -> Option<Place> {
        let flies = |chunk: Option<&Chunk>| chunk.is_some_and(|chunk| chunk.state == State::InFlight);
        if flies(self.chunks.back()) {
            return Some(self.next().previous());
        }
        flies(self.chunks.front()).then_some(self.base)
    }

    /// The chunk to be sent again as a probe: its bytes in a packet. `None` when there is none, or its message allows
    /// no other transmission.
    pub(crate) fn probe_len(&self, now: Instant) -> Option<usize> {
        let chunk = self.chunks.get(self.probe_place()?.since(self.base))?;
        (!chunk.limit.forbids_another(chunk.transmissions, now)).then(|| chunk.wire_len())
    }

    /// Sends the probe, to be acknowledged at once.
    pub(crate) fn send_probe(&mut self, now: Instant, out: &mut Vec<u8>) {
        if let Some(place) = self.probe_place() {
            self.send_again(place, now, true, out);
        }
    }

    /// The application, or the peer's window, keeps more from being sent.
    pub(crate) fn on_app_limited(&mut self) {
        self.delivery.on_app_limited(self.flight);
    }

    /// Bytes delivered since the association began.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivery.delivered()
    }

    /// Takes the place of the last packet with ECT that was found lost.
    pub(crate) fn take_vanished(&mut self) -> Option<Place> {
        self.vanished.take()
    }

    /// A recovery begins: from now on retransmissions are counted.
    pub(crate) fn begin_recovery(&mut self) {
        self.resent = Resent {
            first: self.base,
            end: self.next(),
            chunks: 0,
            in_vain: 0,
        };
    }

    /// A recovery is over.
    pub(crate) fn end_recovery(&mut self) {
        self.rack.on_recovered();
    }

    /// Whether each retransmission of this recovery was in vain.
    pub(crate) fn all_in_vain(&self) -> bool {
        self.resent.chunks > 0 && self.resent.in_vain >= self.resent.chunks
    }

    /// What T3-rtx called lost and was not sent again since is in flight after all (F-RTO, RFC 5682).
    pub(crate) fn unlose(&mut self) {
        for place in std::mem::take(&mut self.lost) {
            let Some(chunk) = self.at(place) else { continue };
            chunk.state = State::InFlight;
            let (wire, data) = (chunk.wire_len(), chunk.data.len());
            self.flight += wire;
            self.flight_data += data;
        }
    }

    /// T3-rtx expired, or the packet with the COOKIE ECHO did: all that is in flight counts as lost.
    pub(crate) fn lose_all(&mut self) {
        for (i, chunk) in self.chunks.iter_mut().enumerate() {
            if chunk.state == State::InFlight {
                chunk.state = State::Lost;
                chunk.misses = 0;
                let place = self.base.plus(i as u64);
                self.lost.insert(place);
                if chunk.mark != Mark::Plain {
                    self.vanished = Some(place);
                }
            }
        }
        self.flight = 0;
        self.flight_data = 0;
    }

    /// Nothing is outstanding, and sending goes on with another TSN (RFC 6525, section 5.2.4).
    pub(crate) fn jump(&mut self, next: Tsn) {
        debug_assert!(self.chunks.is_empty());
        let base = self.base.at_or_after(next);
        self.base = base;
        self.forward = base;
        self.round_end = base;
        self.gaps.clear();
        self.begin_recovery();
    }

    /// Takes in a SACK.
    pub(crate) fn on_sack(&mut self, now: Instant, sack: &Sack<'_>, path: Path) -> Result<Outcome, BadSack> {
        let cumulative = self.base.nearest(sack.cumulative);
        // Section 6.2.1: "If Cumulative TSN Ack is less than the Cumulative TSN Ack Point, then drop the SACK chunk."
        if cumulative < self.cumulative() {
            return Err(BadSack::Old);
        }
        self.read_blocks(cumulative, sack)?;
        if cumulative == self.cumulative() && !covers(&self.scratch, &self.gaps) {
            // With the same Cumulative TSN a SACK that reports less was overtaken by one that reports more, unless the
            // data receiver reneged (section 6.2.1, rule iii): which it is shows when no other follows.
            let recent = self.gaps_at.is_some_and(|at| now < at + path.smoothed_rtt);
            if recent {
                return Err(BadSack::Old);
            }
        }
        if self.scratch.len() >= CROWD {
            self.keep_unreported();
        }
        let mut seen = Seen {
            now,
            min_rtt: path.min_rtt,
            highest: None,
            outcome: Outcome::default(),
            newest: Newest::default(),
            last: None,
        };
        self.note_duplicates(sack, &mut seen);
        self.acknowledge_up_to(cumulative, &mut seen);
        if !self.gaps.is_empty() || !self.scratch.is_empty() {
            self.acknowledge_blocks(&mut seen);
        }
        self.delivery.on_blocks(self.scratch.len());
        let is_new = seen.outcome.bytes > 0 || seen.outcome.duplicates > 0 || seen.outcome.advanced;
        let span = self
            .scratch
            .last()
            .map_or(0, |block| block.1.next().since(self.base));
        self.report.note((self.scratch.len(), span), sack.window, is_new);
        seen.outcome.rate = self
            .delivery
            .on_delivered(now, seen.outcome.bytes, seen.newest, path.min_rtt);
        if let Some(highest) = seen.highest
            && highest >= self.round_end
        {
            seen.outcome.new_round = true;
            self.round_end = self.next();
        }
        std::mem::swap(&mut self.gaps, &mut self.scratch);
        self.count_unreported(now, path.smoothed_rtt);
        let mut outcome = seen.outcome;
        // "For each incoming SACK chunk, miss indications are incremented only for missing TSNs prior to the HTNA in
        // the SACK chunk. … If an endpoint is in Fast Recovery and a SACK chunks arrives that advances the Cumulative
        // TSN Ack Point, the miss indications are incremented for all TSNs reported missing in the SACK chunk."
        let limit = if path.recovering && outcome.advanced {
            self.gaps.last().map(|gap| gap.0)
        } else {
            seen.highest
        };
        self.find_losses(now, limit, path, &mut outcome);
        outcome.abandoned = self.abandon_expired(now);
        self.move_forward_point();
        Ok(outcome)
    }

    /// Checks the gap ack blocks and puts them in `scratch`.
    fn read_blocks(&mut self, cumulative: Place, sack: &Sack<'_>) -> Result<(), BadSack> {
        self.scratch.clear();
        let highest = self.next().previous();
        if cumulative > highest {
            return Err(BadSack::Lies);
        }
        if !sack.is_complete {
            // Section 3.3.8: "the receiver of the SHUTDOWN chunk MUST NOT interpret the lack of a Gap Ack Block as a renege."
            let beyond = self.gaps.iter().filter(|gap| gap.1 > cumulative);
            self.scratch
                .extend(beyond.map(|gap| (gap.0.max(cumulative.next()), gap.1)));
            return Ok(());
        }
        let mut after = cumulative;
        for (first, last) in sack.blocks() {
            let range = (
                cumulative.plus(u64::from(first)),
                cumulative.plus(u64::from(last)),
            );
            if range.0 <= after || range.1 < range.0 || range.1 > highest {
                return Err(BadSack::Lies);
            }
            after = range.1;
            self.scratch.push(range);
        }
        Ok(())
    }

    /// Duplicate TSNs: a retransmission of ours and the first transmission have both arrived.
    fn note_duplicates(&mut self, sack: &Sack<'_>, seen: &mut Seen) {
        for tsn in sack.duplicates() {
            let place = self.base.nearest(tsn);
            if self.resent.chunks > 0 && (self.resent.first..self.resent.end).contains(&place) {
                self.resent.in_vain += 1;
                seen.outcome.duplicates += 1;
            }
        }
        if seen.outcome.duplicates > 0 {
            self.rack.on_spurious(self.base, self.next(), seen.min_rtt);
        }
    }

    fn acknowledge_up_to(&mut self, cumulative: Place, seen: &mut Seen) {
        let mut resent = false;
        while self.base <= cumulative {
            let Some(mut chunk) = self.chunks.pop_front() else {
                break;
            };
            self.held -= chunk.data.len();
            resent |= chunk.transmissions > 1 && matches!(chunk.state, State::InFlight | State::Lost);
            match chunk.state {
                State::InFlight => {
                    self.flight -= chunk.wire_len();
                    self.flight_data -= chunk.data.len();
                    seen.delivered(self.base, &mut chunk, &mut self.rack);
                }
                State::Lost => {
                    self.lost.remove(&self.base);
                    seen.outcome.late = true;
                    seen.delivered(self.base, &mut chunk, &mut self.rack);
                }
                State::Acked | State::Abandoned => {}
            }
            self.base = self.base.next();
            seen.outcome.advanced = true;
        }
        if resent {
            // What comes along with a retransmission may have arrived long before it, and been reported by SACKs that
            // were lost, or not at all for want of room.
            seen.outcome.rtt = None;
        }
        let base = self.base;
        self.forward = self.forward.max(base);
        if self.gaps.first().is_some_and(|gap| gap.0 < base) {
            self.gaps.retain_mut(|gap| {
                gap.0 = gap.0.max(base);
                gap.1 >= base
            });
        }
    }

    /// Compares the blocks of this SACK (`scratch`) with those of the last one (`gaps`), and visits the difference.
    fn acknowledge_blocks(&mut self, seen: &mut Seen) {
        let before = seen.outcome.bytes;
        let (old, new) = (std::mem::take(&mut self.gaps), std::mem::take(&mut self.scratch));
        for_each_difference(&new, &old, |place| {
            let Some(chunk) = self.chunks.get_mut(place.since(self.base)) else {
                return;
            };
            let (state, wire, data) = (chunk.state, chunk.wire_len(), chunk.data.len());
            if matches!(state, State::InFlight | State::Lost) {
                chunk.state = State::Acked;
                seen.delivered(place, chunk, &mut self.rack);
                if state == State::InFlight {
                    self.flight -= wire;
                    self.flight_data -= data;
                } else {
                    seen.outcome.late = true;
                    self.lost.remove(&place);
                }
            }
        });
        if seen.outcome.bytes > before {
            self.gaps_at = Some(seen.now);
        }
        // Section 6.2.1, rule iii: the data receiver reneged. What it has dropped is in flight again and, being
        // missing, will be found lost by miss indications or by T3-rtx.
        for_each_difference(&old, &new, |place| {
            let Some(chunk) = self.at(place) else { return };
            if chunk.state == State::Acked {
                chunk.state = State::InFlight;
                chunk.misses = 1;
                let (wire, data) = (chunk.wire_len(), chunk.data.len());
                self.flight += wire;
                self.flight_data += data;
            }
        });
        (self.gaps, self.scratch) = (old, new);
    }

    /// Finds what is lost among the chunks in flight that something sent later has overtaken, and adds a miss indication
    /// to those before `limit`.
    fn find_losses(&mut self, now: Instant, limit: Option<Place>, path: Path, outcome: &mut Outcome) {
        let window = self.rack.window(path.min_rtt, path.smoothed_rtt, path.recovering);
        let mut place = self.base;
        let gaps = std::mem::take(&mut self.gaps);
        for gap in &gaps {
            while place < gap.0 {
                let missed = limit.is_some_and(|limit| place < limit);
                self.judge(place, now, missed, window, outcome);
                place = place.next();
            }
            place = gap.1.next();
        }
        self.gaps = gaps;
        // Beyond the last gap: as long as what was sent later was acknowledged, as retransmissions are.
        while !self.report.is_short() && self.judge(place, now, false, window, outcome) {
            place = place.next();
        }
    }

    /// Whether the chunk is lost; `false` when nothing sent after it has arrived.
    fn judge(
        &mut self,
        place: Place,
        now: Instant,
        missed: bool,
        window: Duration,
        outcome: &mut Outcome,
    ) -> bool {
        let Some(chunk) = self.chunks.get_mut(place.since(self.base)) else {
            return false;
        };
        if chunk.state != State::InFlight {
            return true;
        }
        chunk.misses = chunk.misses.saturating_add(u8::from(missed));
        let deadline = self.rack.deadline(chunk.sent_at, place, window);
        // RFC 9260, section 7.2.4: the third miss indication makes a chunk lost, once: "Mark the DATA chunk(s) as being
        // fast retransmitted and thus ineligible for a subsequent Fast Retransmit." RFC 8985, section 6.2, step 4, does
        // without that rule once there was reordering.
        let fast = chunk.misses >= MISSES && chunk.transmissions == 1 && !self.rack.reordering_seen();
        if fast || deadline.is_some_and(|deadline| deadline <= now) {
            chunk.state = State::Lost;
            chunk.misses = 0;
            let wire = chunk.wire_len();
            self.flight -= wire;
            self.flight_data -= chunk.data.len();
            self.lost.insert(place);
            if chunk.mark != Mark::Plain {
                self.vanished = self.vanished.max(Some(place));
            }
            outcome.lost += wire;
            outcome.beyond_lost += u32::from(chunk.beyond);
        } else if let Some(deadline) = deadline {
            outcome.reorder_deadline = Some(
                outcome
                    .reorder_deadline
                    .map_or(deadline, |earliest| earliest.min(deadline)),
            );
        }
        deadline.is_some()
    }

    /// The reordering timer: what is overdue is lost (RFC 8985, section 6.3).
    pub(crate) fn on_reorder_timer(&mut self, now: Instant, path: Path) -> Outcome {
        let mut outcome = Outcome::default();
        self.find_losses(now, None, path, &mut outcome);
        outcome.abandoned = self.abandon_expired(now);
        self.move_forward_point();
        outcome
    }

    /// RFC 3758, rule A3: "if it is part of a fragmented message, all other TSN's within that fragmented message MUST
    /// be abandoned at the same time".
    fn abandon_message(&mut self, place: Place) {
        let index = place.since(self.base);
        let Some(Chunk {
            stream,
            unordered,
            mid,
            ..
        }) = self.chunks.get(index)
        else {
            return;
        };
        let message = (*stream, *unordered, *mid);
        let is_of_it = |chunk: &Chunk| (chunk.stream, chunk.unordered, chunk.mid) == message;
        let first = (0..=index).rev().find(|&i| {
            let chunk = &self.chunks[i];
            chunk.beginning && is_of_it(chunk)
        });
        for i in first.unwrap_or(0)..self.chunks.len() {
            let chunk = &mut self.chunks[i];
            if !is_of_it(chunk) {
                continue;
            }
            let ending = chunk.ending;
            match chunk.state {
                State::InFlight => {
                    self.flight -= chunk.wire_len();
                    self.flight_data -= chunk.data.len();
                }
                State::Lost => {
                    self.lost.remove(&self.base.plus(i as u64));
                }
                State::Acked | State::Abandoned => {}
            }
            chunk.state = State::Abandoned;
            self.held -= chunk.data.len();
            chunk.data = Bytes::new();
            if ending {
                return;
            }
        }
        let (stream, unordered, mid) = message;
        self.cut.push(Skipped {
            stream,
            unordered,
            mid,
        });
    }

    /// Takes a message that was abandoned before all of it was sent.
    pub(crate) fn take_cut(&mut self) -> Option<Skipped> {
        self.cut.pop()
    }

    /// Ends an abandoned message whose other fragments were never sent with a chunk that is not sent either: its
    /// TSN makes a FORWARD TSN necessary, that reaches past the end of the message, so that the peer drops all of it even
    /// if every fragment that was sent has arrived.
    pub(crate) fn close_abandoned(&mut self, cut: Skipped) {
        let Some(last) = self.chunks.back() else { return };
        let end = Chunk {
            data: Bytes::new(),
            stream: cut.stream,
            unordered: cut.unordered,
            mid: cut.mid,
            state: State::Abandoned,
            beginning: false,
            ending: true,
            ..*last
        };
        self.chunks.push_back(end);
        self.move_forward_point();
    }

    /// RFC 3758, rule C2.
    pub(crate) fn move_forward_point(&mut self) {
        self.forward = self.forward.max(self.base);
        while self
            .chunks
            .get(self.forward.since(self.base))
            .is_some_and(|chunk| chunk.state == State::Abandoned)
        {
            self.forward = self.forward.next();
        }
    }

    /// The Advanced.Peer.Ack.Point, when it is ahead of the cumulative TSN.
    pub(crate) fn forward_point(&self) -> Option<Place> {
        (self.forward > self.base).then(|| self.forward.previous())
    }

    /// The new cumulative TSN of a FORWARD TSN, and in `skipped` the streams it skips, `max` at most (rule C4: with more
    /// "the sender … SHOULD lower the Advanced.Peer.Ack.Point to the last TSN that will fit"). A FORWARD TSN says nothing
    /// of unordered messages, an I-FORWARD-TSN does.
    pub(crate) fn forward_tsn(&self, max: usize, skipped: &mut Vec<Skipped>) -> Place {
        skipped.clear();
        let mut place = self.base;
        for chunk in self.chunks.iter().take(self.forward.since(self.base)) {
            if !chunk.unordered || chunk.kind == DataKind::IData {
                let (stream, unordered, mid) = (chunk.stream, chunk.unordered, chunk.mid);
                let known = skipped
                    .iter()
                    .position(|known| known.stream == stream && known.unordered == unordered);
                match known {
                    Some(at) => skipped[at].mid = mid,
                    None if skipped.len() < max => skipped.push(Skipped {
                        stream,
                        unordered,
                        mid,
                    }),
                    None => break,
                }
            }
            place = place.next();
        }
        place.previous()
    }
}

/// What the walk over a SACK gathers.
struct Seen {
    now: Instant,
    min_rtt: Duration,
    /// The highest TSN newly acknowledged.
    highest: Option<Place>,
    outcome: Outcome,
    newest: Newest,
    /// When the chunk seen last was sent, and how long ago that is: a burst shares its moment.
    last: Option<(Instant, Duration)>,
}

impl Seen {
    fn rtt(&mut self, sent_at: Instant) -> Duration {
        match self.last {
            Some((at, rtt)) if at == sent_at => rtt,
            _ => {
                let rtt = self.now.saturating_duration_since(sent_at);
                self.last = Some((sent_at, rtt));
                rtt
            }
        }
    }

    fn delivered(&mut self, place: Place, chunk: &mut Chunk, rack: &mut Rack) {
        let first = chunk.transmissions == 1 && !std::mem::replace(&mut chunk.reported, true);
        let rtt = self.rtt(chunk.sent_at);
        self.highest = self.highest.max(Some(place));
        self.outcome.bytes += chunk.wire_len();
        self.outcome.beyond_arrived |= chunk.beyond;
        match chunk.mark {
            Mark::Plain => self.outcome.plain_arrived = true,
            Mark::Capable { is_first } => self.outcome.ect_arrived += u32::from(is_first),
        }
        // Karn's algorithm (section 6.3.1, rule C5); the last of them is the newest.
        if first {
            self.outcome.rtt = Some(rtt);
        }
        // Faster than any round trip: the first transmission arrived, not the one that was measured.
        self.outcome.late |= !first && rtt < self.min_rtt;
        self.newest.note(chunk.sent_at, chunk.stamp);
        rack.on_delivered(place, chunk.sent_at, rtt, first, self.min_rtt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::CHUNK_HEADER_LEN;
    use crate::packet::sack::write_sack;

    const MS: Duration = Duration::from_millis(1);
    const PATH: Path = Path {
        min_rtt: Duration::from_millis(40),
        smoothed_rtt: Duration::from_millis(40),
        recovering: false,
    };

    /// Ten chunks, sent a millisecond apart.
    fn ten(start: Instant) -> Outstanding {
        let mut outstanding = Outstanding::new(DataKind::Data, Place::first(Tsn(1)));
        for i in 0..10 {
            let fragment = Fragment {
                stream: StreamId(1),
                mid: Mid(0),
                fsn: 0,
                ppid: Ppid(53),
                unordered: false,
                beginning: true,
                ending: true,
                limit: Limit::None,
                data: Bytes::from_static(&[0; 1000]),
            };
            outstanding.send_new(
                start + MS * i,
                fragment,
                false,
                (false, Mark::Plain),
                &mut Vec::new(),
            );
        }
        outstanding
    }

    fn sack(
        outstanding: &mut Outstanding,
        now: Instant,
        cumulative: u32,
        blocks: &[(u16, u16)],
    ) -> Result<Outcome, BadSack> {
        let mut chunk = Vec::new();
        write_sack(&mut chunk, Tsn(cumulative), 1 << 20, blocks.iter().copied(), &[]);
        let sack = Sack::parse(&chunk[CHUNK_HEADER_LEN..]).unwrap();
        outstanding.on_sack(now, &sack, PATH)
    }

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods)]
        Instant::now()
    }

    #[test]
    fn a_sack_that_was_overtaken_takes_nothing_back_and_reneging_is_believed_later() {
        let start = start();
        let mut outstanding = ten(start);
        let outcome = sack(&mut outstanding, start + MS * 44, 0, &[(2, 4)]).unwrap();
        assert_eq!(outcome.bytes, 3 * 1016);
        let old = sack(&mut outstanding, start + MS * 45, 0, &[(2, 3)]);
        assert_eq!(old, Err(BadSack::Old));
        assert_eq!(outstanding.flight(), 7 * 1016);
        assert!(sack(&mut outstanding, start + MS * 200, 0, &[(2, 3)]).is_ok());
        assert_eq!(
            outstanding.flight(),
            8 * 1016 - 1016 * usize::from(outstanding.has_lost()) * outstanding.lost.len()
        );
    }

    /// A receiver that reports what it has in turns, or drops it and is sent it again, is no slower for that: found by the
    /// model's seed 102079, where the smoothed round trip became minutes.
    #[test]
    fn what_is_reported_again_after_it_was_taken_back_measures_no_round_trip() {
        let start = start();
        let mut outstanding = ten(start);
        let first = sack(&mut outstanding, start + 45 * MS, 0, &[(3, 4)]).unwrap();
        assert_eq!(first.rtt, Some(42 * MS));
        sack(&mut outstanding, start + 145 * MS, 0, &[(6, 6)]).unwrap();
        let again = sack(&mut outstanding, start + 5000 * MS, 0, &[(3, 4), (6, 6)]).unwrap();
        assert_eq!(again.rtt, None);
    }

    #[test]
    fn a_chunk_is_lost_when_it_had_a_round_trip_and_the_reordering_window() {
        let start = start();
        let mut outstanding = ten(start);
        let outcome = sack(&mut outstanding, start + MS * 41, 0, &[(2, 2)]).unwrap();
        assert_eq!(
            (outcome.lost, outcome.reorder_deadline),
            (0, Some(start + MS * 50))
        );
        assert_eq!(outstanding.on_reorder_timer(start + MS * 49, PATH).lost, 0);
        assert_eq!(outstanding.on_reorder_timer(start + MS * 50, PATH).lost, 1016);
    }

    #[test]
    fn after_a_timeout_what_arrives_unasked_says_that_it_was_a_mistake() {
        let start = start();
        let mut outstanding = ten(start);
        outstanding.lose_all();
        outstanding.send_lost(start + MS * 500, &mut Vec::new());
        let outcome = sack(&mut outstanding, start + MS * 501, 2, &[]).unwrap();
        assert!(outcome.late);
        outstanding.unlose();
        assert_eq!((outstanding.flight(), outstanding.has_lost()), (8 * 1016, false));
    }
}
