//! Messages that wait to be sent, stream by stream, and the turn of each stream.
//!
//! Round robin at message boundaries: without I-DATA the fragments of one message must have consecutive TSNs
//! (RFC 9260, section 6.9), so a message that has begun is finished first. Only streams in use have a slot.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::Limit;
use crate::types::{Ppid, Ssn, StreamId};

/// A piece of a message, ready for a TSN.
#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    pub(crate) stream: StreamId,
    pub(crate) ssn: Ssn,
    pub(crate) ppid: Ppid,
    pub(crate) unordered: bool,
    pub(crate) beginning: bool,
    pub(crate) ending: bool,
    pub(crate) limit: Limit,
    pub(crate) data: Bytes,
}

/// A message that waits, or the rest of it.
#[derive(Debug)]
struct Waiting {
    data: Bytes,
    ppid: Ppid,
    unordered: bool,
    limit: Limit,
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
    next_ssn: Ssn,
    waiting: VecDeque<Waiting>,
    buffered: usize,
    low_threshold: usize,
    reset: Reset,
}

/// All waiting messages of an association.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    slots: Vec<Slot>,
    index: BTreeMap<StreamId, usize>,
    free: Vec<usize>,
    last: Option<(StreamId, usize)>,
    /// Slots with waiting messages, in the order of their turns.
    turns: VecDeque<usize>,
    /// The front of `turns` has begun a message.
    mid_message: bool,
    buffered: usize,
    /// Streams to be reset in which nothing waits any more.
    drained: BTreeSet<StreamId>,
    /// Streams whose buffered amount fell to the threshold since the last look.
    low: VecDeque<StreamId>,
    abandoned: u64,
}

/// Slots above this keep no spare capacity when they run empty.
const KEPT_CAPACITY: usize = 64;

impl SendQueue {
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
        self.index.get(&id).map(|&at| &self.slots[at])
    }

    fn find_or_create(&mut self, id: StreamId) -> usize {
        if let Some(at) = self.find(id) {
            return at;
        }
        let slot = Slot {
            id,
            next_ssn: Ssn(0),
            waiting: VecDeque::new(),
            buffered: 0,
            low_threshold: 0,
            reset: Reset::None,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = slot;
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
            self.free.push(at);
            self.last = None;
        }
    }

    /// Whether the stream is being reset and takes no messages.
    pub(crate) fn is_closing(&self, id: StreamId) -> bool {
        self.get(id).is_some_and(|slot| slot.reset != Reset::None)
    }

    /// Queues a message that is not empty.
    pub(crate) fn push(&mut self, stream: StreamId, ppid: Ppid, data: Bytes, unordered: bool, limit: Limit) {
        let at = self.find_or_create(stream);
        let slot = &mut self.slots[at];
        if slot.waiting.is_empty() {
            self.turns.push_back(at);
        }
        slot.buffered += data.len();
        self.buffered += data.len();
        slot.waiting.push_back(Waiting {
            data,
            ppid,
            unordered,
            limit,
        });
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
        self.turns.is_empty()
    }

    /// Takes a stream that fell to its low threshold.
    pub(crate) fn take_low(&mut self) -> Option<StreamId> {
        self.low.pop_front()
    }

    /// Takes the number of messages that expired before they were sent.
    pub(crate) fn take_abandoned(&mut self) -> u64 {
        std::mem::take(&mut self.abandoned)
    }

    /// Bytes of the next fragment when `room` are free; `None` when nothing waits. Drops what expired unsent: no
    /// TSN and no SSN was spent on it, so the peer need not know.
    pub(crate) fn next_len(&mut self, now: Instant, room: usize) -> Option<usize> {
        loop {
            let slot = &self.slots[*self.turns.front()?];
            let message = slot.waiting.front()?;
            if self.mid_message || !message.limit.has_expired(now) {
                return Some(message.data.len().min(room));
            }
            self.abandoned += 1;
            self.pop_message();
        }
    }

    /// Takes a fragment of at most `room` bytes from the stream whose turn it is.
    pub(crate) fn take_fragment(&mut self, room: usize) -> Option<Fragment> {
        let slot = &mut self.slots[*self.turns.front()?];
        let message = slot.waiting.front_mut()?;
        let beginning = !self.mid_message;
        let ending = message.data.len() <= room;
        let data = if ending {
            std::mem::take(&mut message.data)
        } else {
            message.data.split_to(room)
        };
        let fragment = Fragment {
            stream: slot.id,
            ssn: if message.unordered { Ssn(0) } else { slot.next_ssn },
            ppid: message.ppid,
            unordered: message.unordered,
            beginning,
            ending,
            limit: message.limit,
            data,
        };
        self.uncharge(fragment.data.len());
        self.mid_message = !ending;
        if ending {
            if !fragment.unordered {
                let at = *self.turns.front()?;
                self.slots[at].next_ssn = fragment.ssn.next();
            }
            self.pop_message();
        }
        Some(fragment)
    }

    /// Drops the rest of the message that has begun: it was abandoned. Its SSN is spent.
    pub(crate) fn abandon_rest(&mut self) {
        let Some(&at) = self.turns.front().filter(|_| self.mid_message) else {
            return;
        };
        let slot = &mut self.slots[at];
        if slot.waiting.front().is_some_and(|message| !message.unordered) {
            slot.next_ssn = slot.next_ssn.next();
        }
        self.mid_message = false;
        self.pop_message();
    }

    /// The stream whose message has begun and is not finished.
    pub(crate) fn unfinished(&self) -> bool {
        self.mid_message
    }

    fn uncharge(&mut self, bytes: usize) {
        let Some(&at) = self.turns.front() else { return };
        let slot = &mut self.slots[at];
        let was_above = slot.buffered > slot.low_threshold;
        slot.buffered -= bytes;
        self.buffered -= bytes;
        if was_above && slot.buffered <= slot.low_threshold {
            self.low.push_back(slot.id);
        }
    }

    /// Removes the front message of the stream whose turn it is, and passes the turn on.
    fn pop_message(&mut self) {
        let Some(&at) = self.turns.front() else { return };
        let rest = self.slots[at]
            .waiting
            .front()
            .map_or(0, |message| message.data.len());
        if rest > 0 {
            self.uncharge(rest);
        }
        let slot = &mut self.slots[at];
        slot.waiting.pop_front();
        if slot.waiting.is_empty() {
            if slot.reset == Reset::Requested {
                self.drained.insert(slot.id);
            }
            if slot.waiting.capacity() > KEPT_CAPACITY {
                slot.waiting = VecDeque::new();
            }
            self.turns.pop_front();
        } else if self.turns.len() > 1 {
            self.turns.rotate_left(1);
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

    /// Forgets everything: the peer restarted.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn queue(messages: &[(u16, &'static str)]) -> SendQueue {
        let mut queue = SendQueue::default();
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
            .map(|f| (f.stream.0, f.ssn.0, String::from_utf8(f.data.to_vec()).unwrap()))
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
