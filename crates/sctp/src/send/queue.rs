//! Messages that wait to be sent, stream by stream.
//!
//! With DATA chunks the fragments of one message must have consecutive TSNs (RFC 9260, section 6.9), so a message that
//! has begun is finished first. With I-DATA chunks streams may take turns at each fragment (RFC 8260, section 2.2.2);
//! within a stream they may not. Only streams in use have a slot.
//!
//! A message may be handed over in [`pieces`].

mod pieces;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::Limit;
use super::scheduler::{Share, Turns};
use crate::config::Scheduler;
use crate::types::{Mid, Ppid, StreamId};
pub(crate) use pieces::Open;

/// A piece of a message, ready for a TSN.
#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    pub(crate) stream: StreamId,
    pub(crate) mid: Mid,
    pub(crate) fsn: u32,
    pub(crate) ppid: Ppid,
    pub(crate) unordered: bool,
    pub(crate) beginning: bool,
    pub(crate) ending: bool,
    pub(crate) limit: Limit,
    pub(crate) data: Bytes,
}

/// A message that waits, or the rest of it, or a piece of it.
#[derive(Debug)]
struct Waiting {
    data: Bytes,
    ppid: Ppid,
    unordered: bool,
    limit: Limit,
    /// The message goes on after this: with the next one that waits, or with one still to come.
    more: bool,
    /// Which message of the association this is.
    arrival: u64,
}

/// The message of a stream that has begun to be sent.
#[derive(Debug, Clone, Copy)]
struct Begun {
    next_fsn: u32,
    size: Size,
    /// Bytes of it that count against what may be in progress at once; none when all went out in one piece.
    counted: usize,
    unordered: bool,
}

/// Messages of a size wait for each other only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Small,
    Large,
}

impl Size {
    /// By what may be in progress at once.
    fn of(len: usize, limit: Option<usize>) -> Self {
        match limit {
            Some(limit) if len <= limit / SMALL_ONES => Size::Small,
            _ => Size::Large,
        }
    }
}

/// Where a stream is on the way to being reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reset {
    None,
    /// No new messages; those that wait are still sent.
    Requested,
    /// Nothing waits any more; the rest is the business of the RE-CONFIG request.
    UnderWay,
}

#[derive(Debug)]
struct Slot {
    id: StreamId,
    next_ordered: Mid,
    next_unordered: Mid,
    waiting: VecDeque<Waiting>,
    begun: Option<Begun>,
    /// The message whose last piece has not been handed over.
    open: Option<Box<pieces::Open>>,
    buffered: usize,
    low_threshold: usize,
    reset: Reset,
    share: Share,
    /// It is in the line, or parked.
    in_line: bool,
}

impl Slot {
    fn new(id: StreamId) -> Self {
        Self {
            id,
            next_ordered: Mid(0),
            next_unordered: Mid(0),
            waiting: VecDeque::new(),
            begun: None,
            open: None,
            buffered: 0,
            low_threshold: 0,
            reset: Reset::None,
            share: Share::default(),
            in_line: false,
        }
    }

    fn arrival(&self) -> u64 {
        self.waiting.front().map_or(0, |message| message.arrival)
    }

    /// The counter of the messages that are like this one.
    fn counter(&mut self, unordered: bool) -> &mut Mid {
        if unordered {
            &mut self.next_unordered
        } else {
            &mut self.next_ordered
        }
    }
}

/// All waiting messages of an association.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    slots: Vec<Slot>,
    index: BTreeMap<StreamId, usize>,
    free: Vec<usize>,
    last: Option<(StreamId, usize)>,
    turns: Turns,
    /// The stream of which `next_len` told last, and whose fragment is taken right after.
    chosen: Option<usize>,
    /// Streams whose next message is large and must not begin before another has ended.
    parked: Vec<usize>,
    /// `Some`: the association uses I-DATA, and so many bytes of messages of a size may be in progress at once.
    interleaving: Option<usize>,
    in_progress: [usize; 2],
    /// No message begins; those that have are finished.
    paused: bool,
    /// Messages that have begun.
    begun: usize,
    /// Those of them whose next piece has not been handed over.
    starved: usize,
    messages: usize,
    arrivals: u64,
    buffered: usize,
    /// Streams to be reset in which nothing waits any more.
    drained: BTreeSet<StreamId>,
    /// Streams whose buffered amount fell to the threshold since the last look.
    low: VecDeque<StreamId>,
    abandoned: u64,
}

/// Slots above this keep no spare capacity when they run empty.
const KEPT_CAPACITY: usize = 64;
/// Messages up to this are in progress so shortly that they never wait for others.
const TINY: usize = 1024;
/// A message is large when so many do not fit into what may be in progress at once.
const SMALL_ONES: usize = 16;

impl SendQueue {
    pub(crate) fn new(scheduler: Scheduler) -> Self {
        Self {
            turns: Turns::new(scheduler),
            ..Self::default()
        }
    }

    /// Says which chunks the association uses. With I-DATA, `window` is what the peer can hold: no more messages are in
    /// progress at once than fit in half of it, or else none of them could ever be finished. Half of that is for small
    /// messages, which thus do not wait for large ones.
    pub(crate) fn set_interleaving(&mut self, window: Option<usize>) {
        self.interleaving = window.map(|window| window / 4);
    }

    /// The peer offers this much: its window grows with what its reader takes.
    pub(crate) fn note_peer_window(&mut self, window: usize) {
        if let Some(limit) = &mut self.interleaving {
            *limit = (*limit).max(window / 4);
        }
    }

    /// Whether a message must not begin before another has ended.
    fn must_wait(&self, len: usize) -> bool {
        let Some(limit) = self.interleaving.filter(|_| len > TINY) else {
            return false;
        };
        let in_progress = self.in_progress[Size::of(len, self.interleaving) as usize];
        in_progress > 0 && in_progress.saturating_add(len) > limit
    }

    fn find(&mut self, id: StreamId) -> Option<usize> {
        if let Some((last, at)) = self.last
            && last == id
        {
            return Some(at);
        }
        let at = *self.index.get(&id)?;
        self.last = Some((id, at));
        Some(at)
    }

    fn get(&self, id: StreamId) -> Option<&Slot> {
        if let Some((last, at)) = self.last
            && last == id
        {
            return self.slots.get(at);
        }
        self.index.get(&id).map(|&at| &self.slots[at])
    }

    fn find_or_create(&mut self, id: StreamId) -> usize {
        if let Some(at) = self.find(id) {
            return at;
        }
        let slot = Slot::new(id);
        let at = match self.free.pop() {
            Some(at) => {
                let in_line = self.slots[at].in_line;
                self.slots[at] = Slot { in_line, ..slot };
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        self.index.insert(id, at);
        self.last = Some((id, at));
        at
    }

    fn remove(&mut self, id: StreamId) {
        if let Some(at) = self.index.remove(&id) {
            self.slots[at].waiting = VecDeque::new();
            self.free.push(at);
            self.last = None;
        }
    }

    /// Whether the stream is being reset and takes no messages.
    pub(crate) fn is_closing(&self, id: StreamId) -> bool {
        self.get(id).is_some_and(|slot| slot.reset != Reset::None)
    }

    /// Sets the priority, or weight, of a stream.
    pub(crate) fn set_priority(&mut self, id: StreamId, priority: u16) {
        let at = self.find_or_create(id);
        self.slots[at].share.set_priority(priority);
        self.turns.reprioritize(at, &self.slots[at].share);
    }

    /// Queues a message that is not empty.
    pub(crate) fn push(&mut self, stream: StreamId, ppid: Ppid, data: Bytes, unordered: bool, limit: Limit) {
        self.chosen = None;
        let at = self.find_or_create(stream);
        self.enqueue(at, ppid, data, unordered, limit, false);
    }

    fn enqueue(&mut self, at: usize, ppid: Ppid, data: Bytes, unordered: bool, limit: Limit, more: bool) {
        let slot = &mut self.slots[at];
        self.arrivals += 1;
        self.messages += 1;
        slot.buffered += data.len();
        self.buffered += data.len();
        slot.waiting.push_back(Waiting {
            data,
            ppid,
            unordered,
            limit,
            more,
            arrival: self.arrivals,
        });
        if !std::mem::replace(&mut slot.in_line, true) {
            self.turns.enter(at, &mut slot.share, self.arrivals);
        }
    }

    /// Bytes that wait in all streams.
    pub(crate) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Bytes that wait in one stream.
    pub(crate) fn buffered_in(&self, id: StreamId) -> usize {
        self.get(id).map_or(0, |slot| slot.buffered)
    }

    pub(crate) fn set_low_threshold(&mut self, id: StreamId, bytes: usize) {
        let at = self.find_or_create(id);
        self.slots[at].low_threshold = bytes;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// Whether something waits that only the window, the peer or the pacer can keep from being sent.
    pub(crate) fn wants_to_send(&self) -> bool {
        if self.paused {
            self.begun > self.starved
        } else {
            self.messages > 0 && !self.is_stalled()
        }
    }

    /// Keeps messages from beginning, or no longer.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
        if !paused {
            self.unpark();
        }
    }

    /// All streams begin anew. No message has begun.
    pub(crate) fn restart_streams(&mut self) {
        for slot in &mut self.slots {
            slot.next_ordered = Mid(0);
            slot.next_unordered = Mid(0);
        }
    }

    fn unpark(&mut self) {
        for at in self.parked.drain(..) {
            let slot = &mut self.slots[at];
            let arrival = slot.arrival();
            self.turns.enter(at, &mut slot.share, arrival);
        }
    }

    /// Takes a stream that fell to its low threshold.
    pub(crate) fn take_low(&mut self) -> Option<StreamId> {
        self.low.pop_front()
    }

    /// Takes the number of messages that expired before they were sent.
    pub(crate) fn take_abandoned(&mut self) -> u64 {
        std::mem::take(&mut self.abandoned)
    }

    /// The stream whose turn it is.
    fn front(&mut self) -> Option<usize> {
        if let Some(at) = self.turns.only() {
            let slot = &self.slots[at];
            if slot.begun.is_some() && !slot.waiting.is_empty() {
                return Some(at);
            }
            if let Some(message) = slot.waiting.front()
                && !self.paused
                && !self.must_wait(message.data.len())
            {
                return Some(at);
            }
        }
        self.choose()
    }

    fn choose(&mut self) -> Option<usize> {
        let interleaves = self.interleaving.is_some() && self.turns.interleaves();
        let mut stay = false;
        loop {
            // The turn passes in the middle of a message only if fragments may be interleaved.
            if !interleaves {
                stay = self
                    .turns
                    .front(true)
                    .is_some_and(|at| self.slots[at].begun.is_some());
            }
            let at = self.turns.front(stay)?;
            let slot = &mut self.slots[at];
            let Some(message) = slot.waiting.front() else {
                if slot.begun.is_some() && self.interleaving.is_none() {
                    return None;
                }
                slot.in_line = false;
                self.turns.leave();
                continue;
            };
            let len = message.data.len();
            if slot.begun.is_some() || !self.paused && !self.must_wait(len) {
                return Some(at);
            }
            self.parked.push(at);
            self.turns.leave();
        }
    }

    /// Bytes of the next fragment when `room` are free; `None` when nothing waits. Drops what expired unsent: no
    /// TSN and no SSN was spent on it, so the peer need not know.
    pub(crate) fn next_len(&mut self, now: Instant, room: usize) -> Option<usize> {
        self.chosen = None;
        loop {
            let at = self.front()?;
            let slot = &self.slots[at];
            let message = slot.waiting.front()?;
            if slot.begun.is_some() || !message.limit.has_expired(now) {
                let len = message.data.len().min(room);
                self.chosen = Some(at);
                return Some(len);
            }
            self.abandoned += 1;
            self.drop_front(at);
            self.pass_turn(at);
        }
    }

    /// Takes a fragment of at most `room` bytes from the stream whose turn it is.
    pub(crate) fn take_fragment(&mut self, room: usize) -> Option<Fragment> {
        let at = match self.chosen.take() {
            Some(at) => at,
            None => self.front()?,
        };
        let interleaving = self.interleaving;
        let slot = &mut self.slots[at];
        let message = slot.waiting.front_mut()?;
        let len = message.data.len();
        let exhausts = len <= room;
        let ending = exhausts && !message.more;
        let beginning = slot.begun.is_none();
        let begun = slot.begun.get_or_insert_with(|| {
            let size = Size::of(len, interleaving);
            let counted = if ending { 0 } else { len };
            self.in_progress[size as usize] += counted;
            self.begun += 1;
            Begun {
                next_fsn: 0,
                size,
                counted,
                unordered: message.unordered,
            }
        });
        let fsn = begun.next_fsn;
        begun.next_fsn = fsn.wrapping_add(1);
        let data = if exhausts {
            std::mem::take(&mut message.data)
        } else {
            message.data.split_to(room)
        };
        let (ppid, unordered, limit) = (message.ppid, message.unordered, message.limit);
        let fragment = Fragment {
            stream: slot.id,
            mid: *slot.counter(unordered),
            fsn,
            ppid,
            unordered,
            beginning,
            ending,
            limit,
            data,
        };
        self.turns.sent(fragment.data.len(), &mut slot.share);
        self.uncharge(at, fragment.data.len());
        if ending {
            self.end_message(at);
        }
        if exhausts {
            self.pop_message(at);
        }
        if exhausts && !ending {
            self.next_piece(at);
        }
        self.pass_turn(at);
        Some(fragment)
    }

    /// The message that has begun has ended: its number is spent.
    fn end_message(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let Some(begun) = slot.begun.take() else { return };
        let counter = slot.counter(begun.unordered);
        *counter = counter.next();
        self.in_progress[begun.size as usize] -= begun.counted;
        self.begun -= 1;
        if begun.counted > 0 {
            self.unpark();
        }
    }

    /// Something of the stream whose turn it was is gone.
    fn pass_turn(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        if slot.waiting.is_empty() {
            // With DATA chunks nobody else may go before the message is finished.
            if slot.begun.is_none() || self.interleaving.is_some() {
                slot.in_line = false;
                self.turns.leave();
            }
        } else {
            self.turns.requeue(&slot.share, slot.arrival());
        }
    }

    /// Drops the rest of a stream's message that has begun: it was abandoned. `false` when there is none.
    pub(crate) fn abandon_rest(&mut self, stream: StreamId) -> bool {
        let Some(at) = self.find(stream).filter(|&at| self.slots[at].begun.is_some()) else {
            return false;
        };
        if self.slots[at].waiting.is_empty() {
            self.starved -= 1;
        }
        self.end_message(at);
        self.drop_front(at);
        true
    }

    fn uncharge(&mut self, at: usize, bytes: usize) {
        let slot = &mut self.slots[at];
        let was_above = slot.buffered > slot.low_threshold;
        slot.buffered -= bytes;
        self.buffered -= bytes;
        if was_above && slot.buffered <= slot.low_threshold {
            self.low.push_back(slot.id);
        }
    }

    /// Removes the front message of a stream.
    fn pop_message(&mut self, at: usize) {
        let Some(message) = self.slots[at].waiting.pop_front() else {
            return;
        };
        self.messages -= 1;
        if !message.data.is_empty() {
            self.uncharge(at, message.data.len());
        }
        let slot = &mut self.slots[at];
        if slot.waiting.is_empty() {
            if slot.reset == Reset::Requested && slot.open.is_none() {
                self.drained.insert(slot.id);
            }
            if slot.waiting.capacity() > KEPT_CAPACITY {
                slot.waiting = VecDeque::new();
            }
        }
    }

    /// Stops the stream from taking messages and asks for its reset; `false` when that was asked before.
    pub(crate) fn request_reset(&mut self, id: StreamId) -> bool {
        let at = self.find_or_create(id);
        let slot = &mut self.slots[at];
        if slot.reset != Reset::None {
            return false;
        }
        slot.reset = Reset::Requested;
        if slot.waiting.is_empty() {
            self.drained.insert(id);
        }
        true
    }

    /// Takes a stream that is to be reset and in which nothing waits any more.
    pub(crate) fn take_drained(&mut self) -> Option<StreamId> {
        if self.drained.is_empty() {
            return None;
        }
        let id = self.drained.pop_first()?;
        if let Some(at) = self.find(id) {
            self.slots[at].reset = Reset::UnderWay;
        }
        Some(id)
    }

    /// The peer performed the reset: the stream begins anew.
    pub(crate) fn reset_done(&mut self, id: StreamId) {
        self.remove(id);
    }

    /// The peer refused the reset: the stream goes on as it was.
    pub(crate) fn reset_failed(&mut self, id: StreamId) {
        if let Some(at) = self.find(id) {
            self.slots[at].reset = Reset::None;
            self.drained.remove(&id);
        }
    }

    /// Streams that were used for sending and are not being reset.
    pub(crate) fn open_streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.index
            .iter()
            .filter(|&(_, &at)| self.slots[at].reset == Reset::None)
            .map(|(&id, _)| id)
    }

    /// Whether the stream was used for sending and is not being reset.
    pub(crate) fn is_open(&self, id: StreamId) -> bool {
        self.get(id).is_some_and(|slot| slot.reset == Reset::None)
    }

    /// Drops what waits unsent on this stream and those after it, which do not exist; answers which of them had something.
    pub(crate) fn refuse_from(&mut self, first: StreamId) -> Vec<StreamId> {
        let of_no_stream = self.index.range(first..).map(|(&id, &at)| (id, at));
        let refused: Vec<(StreamId, usize)> = of_no_stream
            .filter(|&(_, at)| self.slots[at].begun.is_none() && !self.slots[at].waiting.is_empty())
            .collect();
        for &(_, at) in &refused {
            while !self.slots[at].waiting.is_empty() {
                self.pop_message(at);
            }
        }
        refused.into_iter().map(|(id, _)| id).collect()
    }

    /// Forgets everything: the peer restarted.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.turns.scheduler());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn queue(messages: &[(u16, &'static str)]) -> SendQueue {
        let mut queue = SendQueue::new(Scheduler::RoundRobin);
        for &(stream, text) in messages {
            queue.push(
                StreamId(stream),
                Ppid(51),
                Bytes::from_static(text.as_bytes()),
                false,
                Limit::None,
            );
        }
        queue
    }

    fn drain(queue: &mut SendQueue, room: usize) -> Vec<(u16, u16, String)> {
        std::iter::from_fn(|| queue.take_fragment(room))
            .map(|f| {
                (
                    f.stream.0,
                    f.mid.low(),
                    String::from_utf8(f.data.to_vec()).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn streams_take_turns_at_message_boundaries() {
        let mut queue = queue(&[(1, "aaaa"), (1, "b"), (2, "c"), (2, "d"), (3, "e")]);
        let expected = [
            (1, 0, "aaa"),
            (1, 0, "a"),
            (2, 0, "c"),
            (3, 0, "e"),
            (1, 1, "b"),
            (2, 1, "d"),
        ];
        assert_eq!(
            drain(&mut queue, 3),
            expected.map(|(id, ssn, text)| (id, ssn, text.to_owned()))
        );
        assert!(queue.is_empty());
        assert_eq!(queue.buffered(), 0);
    }

    #[test]
    fn the_low_threshold_is_reported_once_when_it_is_crossed() {
        let mut queue = SendQueue::default();
        queue.set_low_threshold(StreamId(1), 2);
        queue.push(
            StreamId(1),
            Ppid(51),
            Bytes::from_static(b"abcd"),
            false,
            Limit::None,
        );
        queue.take_fragment(1);
        assert_eq!(queue.take_low(), None);
        queue.take_fragment(1);
        assert_eq!(queue.take_low(), Some(StreamId(1)));
        queue.take_fragment(9);
        assert_eq!(queue.take_low(), None);
    }

    #[test]
    fn what_expires_unsent_costs_no_ssn() {
        #[allow(clippy::disallowed_methods)]
        let now = Instant::now();
        let mut queue = SendQueue::default();
        queue.push(
            StreamId(1),
            Ppid(51),
            Bytes::from_static(b"old"),
            false,
            Limit::Expires(now),
        );
        queue.push(
            StreamId(1),
            Ppid(51),
            Bytes::from_static(b"new"),
            false,
            Limit::None,
        );
        assert_eq!(queue.next_len(now + Duration::from_secs(1), 100), Some(3));
        assert_eq!(drain(&mut queue, 100), [(1, 0, "new".to_owned())]);
        assert_eq!(queue.take_abandoned(), 1);
    }

    #[test]
    fn a_reset_waits_for_the_queue_to_drain_and_then_the_stream_starts_anew() {
        let mut queue = queue(&[(1, "a")]);
        assert!(queue.request_reset(StreamId(1)));
        assert!(!queue.request_reset(StreamId(1)));
        assert!(queue.is_closing(StreamId(1)));
        assert_eq!(queue.take_drained(), None);
        drain(&mut queue, 10);
        assert_eq!(queue.take_drained(), Some(StreamId(1)));
        assert_eq!(queue.take_drained(), None);
        queue.reset_done(StreamId(1));
        assert!(!queue.is_closing(StreamId(1)));
        queue.push(
            StreamId(1),
            Ppid(51),
            Bytes::from_static(b"z"),
            false,
            Limit::None,
        );
        assert_eq!(drain(&mut queue, 10), [(1, 0, "z".to_owned())]);
    }
}
