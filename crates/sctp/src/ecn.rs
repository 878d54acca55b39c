//! Explicit Congestion Notification (RFC 3168; RFC 4960, appendix A; draft-stewart-tsvwg-sctpecn): what a router would drop to
//! hold back a flow it marks instead, where the packet says that its ends understand that (ECT).
//!
//! [`Marking`] is the sender's half: which packets say so, what an echo of a mark means, and whether the path can be
//! trusted with any of it. [`Echo`] is the receiver's half. See docs/decisions/0030-ecn-where-the-path-carries-it.md.

use std::time::{Duration, Instant};

use crate::association::Association;
use crate::packet::RawChunk;
use crate::packet::ecn::{CWR_LEN, Cwr, ECNE_LEN, Ecne};
use crate::packet::sack::SACK_MIN_LEN;
use crate::send::outstanding::Outcome;
use crate::types::Place;

/// Packets that ask whether ECT gets through: few enough that those after them are missed early if it does not.
const TESTS: u8 = 4;
/// So many times in a row all with ECT vanished and something without arrived: before any with ECT did, and after.
const HOLES_AT_FIRST: u8 = 2;
const HOLES_LATER: u8 = 3;
/// Rounds in a row in which more than half came marked, and the queue was empty.
const FALSE_ROUNDS: u8 = 8;
/// A round with fewer packets than this says nothing about the share of marks.
const LEAST_OF_ROUND: u32 = 4;
/// A queue is empty when the round trip is so much, or an eighth, above the least.
const EMPTY: Duration = Duration::from_millis(1);

/// Whether packets with data say that routers may mark them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum EcnState {
    /// They do not: switched off, not agreed on with the peer, or not carried by what lies below.
    #[default]
    Off,
    /// A few do, to see whether such packets arrive.
    Testing,
    /// All that are sent for the first time do.
    Capable,
    /// They do not: the path swallowed those that did.
    BlackHole,
    /// They do not: nearly all came marked although there was no queue.
    FalseMarks,
}

/// What an echo says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// There is congestion that has not been reacted to.
    Congestion,
    /// Nothing new.
    Known,
    /// It is for what was never sent.
    NotSent,
    /// It is for what was sent without ECT.
    NotCapable,
    /// It came sooner after the last reaction than anything sent since can have been echoed.
    TooSoon,
}

/// What became of packets in a round trip.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    arrived: u32,
    marks: u32,
    least_rtt: Option<Duration>,
}

/// The sender's half.
#[derive(Debug)]
pub(crate) struct Marking {
    state: EcnState,
    /// Packets that may still go out to test the path.
    tests: u8,
    /// The first and the last chunk that went out with ECT.
    capable: Option<(Place, Place)>,
    /// Packets that did, less the marks that were reported.
    unmarked: u64,
    /// Marks up to here have been reacted to.
    reacted: Place,
    reacted_at: Option<Instant>,
    /// The last echo: its TSN and its count.
    last: Option<(Place, u32)>,
    /// A CWR is due, and whether it waits for data to go along with.
    due: Option<Place>,
    urgent: bool,
    /// Something with ECT was lost since anything with it arrived, and not before this place.
    vanished: bool,
    since: Place,
    holes: u8,
    round: Round,
    false_rounds: u8,
}

impl Marking {
    /// For what is sent from `next` on.
    pub(crate) fn new(enabled: bool, next: Place) -> Self {
        let mut marking = Self {
            state: EcnState::Off,
            tests: TESTS,
            capable: None,
            unmarked: 0,
            reacted: next.previous(),
            reacted_at: None,
            last: None,
            due: None,
            urgent: false,
            vanished: false,
            since: next,
            holes: 0,
            round: Round::default(),
            false_rounds: 0,
        };
        marking.begin_path(enabled, next);
        marking
    }

    /// Another path: nothing is known of it, and marks of the old one are no news.
    pub(crate) fn begin_path(&mut self, enabled: bool, next: Place) {
        self.state = if enabled { EcnState::Testing } else { EcnState::Off };
        self.tests = TESTS;
        self.reacted = next.previous();
        self.vanished = false;
        self.since = next;
        self.holes = 0;
        self.round = Round::default();
        self.false_rounds = 0;
    }

    pub(crate) fn state(&self) -> EcnState {
        self.state
    }

    /// Whether the next packet with nothing but new data says that it may be marked.
    pub(crate) fn wants(&self) -> bool {
        match self.state {
            EcnState::Testing => self.tests > 0,
            EcnState::Capable => true,
            EcnState::Off | EcnState::BlackHole | EcnState::FalseMarks => false,
        }
    }

    /// A packet with these chunks went out with ECT.
    pub(crate) fn on_sent(&mut self, first: Place, last: Place) {
        self.tests = self.tests.saturating_sub(1);
        self.unmarked += 1;
        let earliest = self.capable.map_or(first, |(earliest, _)| earliest);
        self.capable = Some((earliest, last));
    }

    /// An echo came for `place`, and the next chunk will be `next`. The second value is how many marks it tells of.
    pub(crate) fn on_echo(
        &mut self,
        now: Instant,
        place: Place,
        count: Option<u32>,
        next: Place,
        min_rtt: Duration,
    ) -> (Heard, u64) {
        if place >= next {
            return (Heard::NotSent, 0);
        }
        let within = |(first, last)| (first..=last).contains(&place);
        if !self.capable.is_some_and(within) {
            return (Heard::NotCapable, 0);
        }
        let is_new = place > self.reacted && self.wants_echo();
        // RFC 3168, section 6.1.2: "TCP should not react to congestion indications more than once every window of data (or more
        // loosely, more than once every round-trip time)". What was sent since takes a round trip to be echoed.
        if is_new && self.reacted_at.is_some_and(|at| now < at + min_rtt) {
            return (Heard::TooSoon, 0);
        }
        let marks = self.count(place, count);
        self.due = self.due.max(Some(place));
        if !is_new {
            return (Heard::Known, marks);
        }
        self.reacted = next.previous();
        self.reacted_at = Some(now);
        self.urgent = true;
        (Heard::Congestion, marks)
    }

    /// Whether marks mean anything.
    fn wants_echo(&self) -> bool {
        matches!(self.state, EcnState::Testing | EcnState::Capable)
    }

    /// How many marks an echo tells of beyond the one before it.
    fn count(&mut self, place: Place, count: Option<u32>) -> u64 {
        let fresh = match (self.last, count) {
            (Some((last, _)), _) if place < last => return 0,
            (Some((last, _)), None) => u32::from(place > last),
            (None, None) => 1,
            (None, Some(count)) => count,
            // After a CWR the peer begins anew.
            (Some((last, before)), Some(count)) if count <= before => {
                if place > last {
                    count
                } else {
                    0
                }
            }
            (Some((_, before)), Some(count)) => count - before,
        };
        self.last = Some((place, count.unwrap_or_default()));
        // There are no more marks than packets that could be marked.
        let fresh = u64::from(fresh).min(self.unmarked);
        self.unmarked -= fresh;
        self.round.marks = self
            .round
            .marks
            .saturating_add(u32::try_from(fresh).unwrap_or(u32::MAX));
        fresh
    }

    /// What a SACK, or the lack of one, says of packets with ECT; `vanished` is the last of them that was found lost. `true` when
    /// that is the end of ECN on this path.
    pub(crate) fn on_sack(
        &mut self,
        outcome: &Outcome,
        vanished: Option<Place>,
        next: Place,
        min_rtt: Duration,
    ) -> bool {
        if !self.wants_echo() {
            return false;
        }
        self.vanished |= vanished.is_some_and(|place| place >= self.since);
        if outcome.ect_arrived > 0 {
            if self.state == EcnState::Testing {
                log::debug!("sctp: the path carries ECT");
                self.state = EcnState::Capable;
            }
            self.vanished = false;
            self.holes = 0;
        } else if self.vanished && outcome.plain_arrived {
            self.on_hole(next);
        }
        self.round.arrived += outcome.ect_arrived;
        self.round.least_rtt = match (self.round.least_rtt, outcome.rtt) {
            (Some(least), Some(rtt)) => Some(least.min(rtt)),
            (least, rtt) => least.or(rtt),
        };
        if outcome.new_round {
            self.end_round(min_rtt);
        }
        !self.wants_echo()
    }

    /// Nothing with ECT arrived, and something sent after it and without it did.
    fn on_hole(&mut self, next: Place) {
        self.vanished = false;
        self.since = next;
        self.tests = TESTS;
        self.holes += 1;
        let limit = match self.state {
            EcnState::Testing => HOLES_AT_FIRST,
            _ => HOLES_LATER,
        };
        if self.holes >= limit {
            log::debug!("sctp: the path swallows packets with ECT");
            self.state = EcnState::BlackHole;
        }
    }

    fn end_round(&mut self, min_rtt: Duration) {
        let round = std::mem::take(&mut self.round);
        if round.arrived < LEAST_OF_ROUND {
            return;
        }
        let empty = min_rtt + EMPTY.max(min_rtt / 8);
        if round.marks <= round.arrived / 2 {
            self.false_rounds = 0;
        } else if round.least_rtt.is_some_and(|least| least <= empty) {
            self.false_rounds += 1;
            if self.false_rounds >= FALSE_ROUNDS {
                log::debug!("sctp: the path marks without a queue");
                self.state = EcnState::FalseMarks;
            }
        }
    }

    /// Whether a CWR is due, and if so, whether that is urgent; another goes along with what is sent anyway.
    pub(crate) fn cwr_due(&self) -> Option<bool> {
        self.due.map(|_| self.urgent)
    }

    /// Appends the CWR.
    pub(crate) fn write_cwr(&mut self, room: usize, out: &mut Vec<u8>) {
        if room >= CWR_LEN
            && let Some(place) = self.due.take()
        {
            self.urgent = false;
            let (tsn, overrides) = (place.tsn(), false);
            Cwr { tsn, overrides }.write(out);
        }
    }
}

/// Answers that do not fit after which an echo is given up: usrsctp may take for the TSN of its last reaction one that it
/// has never sent, and names that in every CWR (its issue 595).
const FUTILE: u8 = 8;

/// Marks that the peer has not answered.
#[derive(Debug, Clone, Copy)]
struct Unanswered {
    /// The first new chunk of the packet that was marked last.
    place: Place,
    count: u32,
    /// CWRs for something earlier that came since.
    futile: u8,
}

/// The receiver's half.
#[derive(Debug, Default)]
pub(crate) struct Echo(Option<Unanswered>);

impl Echo {
    /// A packet came with a mark; `lowest` is the first of its chunks that was new.
    pub(crate) fn on_mark(&mut self, lowest: Place) {
        let (place, count) = self.0.map_or((lowest, 0), |marks| (marks.place, marks.count));
        self.0 = Some(Unanswered {
            place: place.max(lowest),
            count: count.saturating_add(1),
            futile: 0,
        });
    }

    /// The peer has reacted up to this place, or says that it did so long ago.
    pub(crate) fn on_cwr(&mut self, place: Place, overrides: bool) {
        let Some(marks) = &mut self.0 else { return };
        marks.futile += 1;
        if overrides || place >= marks.place || marks.futile >= FUTILE {
            self.0 = None;
        }
    }

    /// Appends the echo, before a SACK, which would make the peer forget what it sent.
    pub(crate) fn write(&self, room: usize, out: &mut Vec<u8>) {
        if let Some(marks) = self.0
            && room >= ECNE_LEN + SACK_MIN_LEN
        {
            let (tsn, count) = (marks.place.tsn(), Some(marks.count));
            Ecne { tsn, count }.write(out);
        }
    }
}

impl Association {
    /// Says whether what carries the packets hands on the marks that it is asked for by
    /// [`ecn_capable`](Association::ecn_capable), and those that routers set: UDP does; TCP, or a relay, does not. At first it
    /// is taken to do so, which costs nothing where it does not.
    pub fn set_marks_carried(&mut self, carried: bool) {
        if std::mem::replace(&mut self.marks_carried, carried) != carried
            && let Some(tcb) = self.state.tcb_mut()
        {
            let (enabled, next) = (carried && tcb.uses_ecn(), tcb.outstanding.next());
            tcb.marking.begin_path(enabled, next);
        }
    }

    /// Whether the packet that [`poll_transmit`](Association::poll_transmit) appended last is to be sent with ECT(0)
    /// (RFC 3168, section 5), so that routers may mark it instead of dropping it.
    ///
    /// Those are packets with new data only. What is sent again, and packets without data, must not be (sections 6.1.4 and
    /// 6.1.5), nor window probes (6.1.6), and a handshake would not survive a path that swallows marked packets.
    #[must_use]
    pub fn ecn_capable(&self) -> bool {
        self.capable
    }

    pub(crate) fn on_ecne(&mut self, chunk: &RawChunk<'_>) {
        let (now, round_trip) = (self.now, self.round_trip());
        let Some(tcb) = self.state.tcb_mut().filter(|tcb| tcb.uses_ecn()) else {
            self.stats.drops.unexpected_chunk += 1;
            return;
        };
        let Some(ecne) = Ecne::parse(chunk.value) else {
            self.stats.drops.malformed_chunk += 1;
            return;
        };
        let place = tcb.outstanding.cumulative().nearest(ecne.tsn);
        let next = tcb.outstanding.next();
        let min_rtt = tcb.rto.min_rtt().unwrap_or_default();
        let (heard, marks) = tcb.marking.on_echo(now, place, ecne.count, next, min_rtt);
        let stats = &mut self.stats;
        stats.ecn_echoes_received += 1;
        stats.ecn_marks_reported += marks;
        match heard {
            Heard::Known => {}
            Heard::NotSent => stats.drops.echo_not_sent += 1,
            Heard::NotCapable => stats.drops.echo_not_capable += 1,
            Heard::TooSoon => stats.drops.echo_too_soon += 1,
            Heard::Congestion => {
                stats.ecn_reactions += 1;
                let recovering = tcb.recovery_exit.is_some();
                tcb.congestion
                    .on_congestion_experienced(now, round_trip, recovering);
            }
        }
    }

    pub(crate) fn on_cwr(&mut self, chunk: &RawChunk<'_>) {
        let Some(tcb) = self.state.tcb_mut().filter(|tcb| tcb.uses_ecn()) else {
            self.stats.drops.unexpected_chunk += 1;
            return;
        };
        match Cwr::parse(chunk.flags, chunk.value) {
            Some(cwr) => tcb.echo.on_cwr(tcb.receiver.place(cwr.tsn), cwr.overrides),
            None => self.stats.drops.malformed_chunk += 1,
        }
    }
}
