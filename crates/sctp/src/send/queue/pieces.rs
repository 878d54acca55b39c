//! Messages that are handed over piece by piece, so that they may be larger than any buffer.
//!
//! Each piece waits like a message of its own, marked so that its last fragment does not end the message. A stream whose
//! message has begun and whose next piece has not come is starved. With I-DATA others go on meanwhile. With DATA nobody
//! does, since the fragments of a message must have consecutive TSNs.

use bytes::Bytes;

use super::{SendQueue, Size};
use crate::send::Limit;
use crate::types::{Mid, Ppid, StreamId};

/// What all pieces of a message have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) ppid: Ppid,
    pub(crate) unordered: bool,
    pub(crate) limit: Limit,
}

/// A message of unknown length counts as so many parts of what may be in progress at once: who lets us send more than
/// that in one message takes it piece by piece, and keeps no room for it.
const COUNTED_AT_MOST: usize = 2;

impl SendQueue {
    /// Whether the last piece of a message is still to come on this stream.
    pub(crate) fn has_open(&self, id: StreamId) -> bool {
        self.get(id).is_some_and(|slot| slot.open.is_some())
    }

    /// Begins a message of which only pieces are known.
    pub(crate) fn open(&mut self, id: StreamId, open: Open) {
        let at = self.find_or_create(id);
        self.slots[at].open = Some(Box::new(open));
    }

    /// Queues the next piece, which is not empty, of the stream's open message; `false` when there is none.
    pub(crate) fn push_piece(&mut self, id: StreamId, data: Bytes, last: bool) -> bool {
        let Some(at) = self.find(id) else { return false };
        let slot = &mut self.slots[at];
        let Some(&open) = slot.open.as_deref() else {
            return false;
        };
        if last {
            slot.open = None;
        }
        if slot.waiting.is_empty() && slot.begun.is_some() {
            self.starved -= 1;
            self.count_piece(at, data.len());
        }
        self.enqueue(at, open.ppid, data, open.unordered, open.limit, !last);
        true
    }

    /// With DATA chunks nothing can be sent while a message that has begun waits for its next piece.
    pub(super) fn is_stalled(&self) -> bool {
        self.starved > 0 && self.interleaving.is_none()
    }

    /// Whether a message has begun that has not been sent to its end.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun > 0
    }

    /// Which message of a stream has begun.
    pub(crate) fn begun_message(&self, id: StreamId) -> Option<(bool, Mid)> {
        let slot = self.get(id)?;
        let unordered = slot.begun.as_ref()?.unordered;
        let mid = if unordered {
            slot.next_unordered
        } else {
            slot.next_ordered
        };
        Some((unordered, mid))
    }

    /// A piece of a message was sent to its end, and the message goes on.
    pub(super) fn next_piece(&mut self, at: usize) {
        match self.slots[at].waiting.front() {
            Some(next) => {
                let len = next.data.len();
                self.count_piece(at, len);
            }
            None => self.starved += 1,
        }
    }

    /// The bytes of a piece count against what may be in progress at once, like those of a whole message.
    fn count_piece(&mut self, at: usize, len: usize) {
        let Some(limit) = self.interleaving else { return };
        let Some(begun) = &mut self.slots[at].begun else {
            return;
        };
        let most = match begun.size {
            Size::Small => limit / super::SMALL_ONES,
            Size::Large => limit / COUNTED_AT_MOST,
        };
        let more = len.min(most.saturating_sub(begun.counted));
        begun.counted += more;
        self.in_progress[begun.size as usize] += more;
    }

    /// Drops the message at the front of a stream, all of its pieces, and those still to come.
    pub(super) fn drop_front(&mut self, at: usize) {
        loop {
            let more = self.slots[at].waiting.front().map(|piece| piece.more);
            if more != Some(false) && self.slots[at].waiting.len() <= 1 {
                self.slots[at].open = None;
            }
            self.pop_message(at);
            if more != Some(true) || self.slots[at].waiting.is_empty() {
                return;
            }
        }
    }

    /// Gives up the open message of a stream before any of it was sent; `false` when some of it was.
    pub(crate) fn withdraw(&mut self, id: StreamId) -> bool {
        let Some(at) = self.find(id) else { return true };
        let slot = &mut self.slots[at];
        // Its pieces are the last that wait; what begun may be a message before it.
        let pieces = slot.waiting.iter().rev().take_while(|piece| piece.more).count();
        let whole_before = slot.waiting.len() - pieces;
        if slot.begun.is_some() && whole_before == 0 {
            return false;
        }
        slot.open = None;
        for _ in 0..pieces {
            if let Some(piece) = self.slots[at].waiting.pop_back() {
                self.messages -= 1;
                self.uncharge(at, piece.data.len());
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Scheduler;

    const OPEN: Open = Open {
        ppid: Ppid(53),
        unordered: false,
        limit: Limit::None,
    };

    fn queue(interleaving: bool) -> SendQueue {
        let mut queue = SendQueue::new(Scheduler::RoundRobin);
        queue.set_interleaving(interleaving.then_some(1 << 20));
        queue.open(StreamId(1), OPEN);
        queue
    }

    fn whole(queue: &mut SendQueue, stream: u16, text: &'static str) {
        queue.push(
            StreamId(stream),
            Ppid(53),
            Bytes::from_static(text.as_bytes()),
            false,
            Limit::None,
        );
    }

    fn piece(queue: &mut SendQueue, text: &'static str, last: bool) -> bool {
        queue.push_piece(StreamId(1), Bytes::from_static(text.as_bytes()), last)
    }

    /// What goes out: the stream, "B" and "E" where they are, and the bytes.
    fn drain(queue: &mut SendQueue) -> Vec<String> {
        std::iter::from_fn(|| queue.take_fragment(3))
            .map(|fragment| {
                let mark = |set, mark| if set { mark } else { "" };
                format!(
                    "{}{}{} {}",
                    fragment.stream.0,
                    mark(fragment.beginning, "B"),
                    mark(fragment.ending, "E"),
                    std::str::from_utf8(&fragment.data).unwrap()
                )
            })
            .collect()
    }

    #[test]
    fn pieces_make_one_message() {
        for interleaving in [true, false] {
            let mut queue = queue(interleaving);
            assert!(piece(&mut queue, "abcd", false));
            assert_eq!(drain(&mut queue), ["1B abc", "1 d"]);
            assert!(!queue.wants_to_send() && queue.has_begun());
            assert!(piece(&mut queue, "ef", false) && piece(&mut queue, "g", true));
            assert!(!piece(&mut queue, "h", true), "the message is complete");
            assert_eq!(drain(&mut queue), ["1 ef", "1E g"]);
            assert!(!queue.has_begun() && queue.is_empty());
            assert_eq!(
                (queue.buffered(), queue.starved, queue.in_progress),
                (0, 0, [0, 0])
            );
        }
    }

    #[test]
    fn others_go_on_while_the_next_piece_is_awaited_only_with_i_data() {
        let mut queue = queue(true);
        piece(&mut queue, "abc", false);
        whole(&mut queue, 2, "xyz");
        assert_eq!(drain(&mut queue), ["1B abc", "2BE xyz"]);
        let mut queue = super::tests::queue(false);
        piece(&mut queue, "abc", false);
        whole(&mut queue, 2, "xyz");
        assert_eq!(drain(&mut queue), ["1B abc"]);
        assert!(!queue.wants_to_send());
        piece(&mut queue, "d", true);
        assert!(queue.wants_to_send());
        assert_eq!(drain(&mut queue), ["1E d", "2BE xyz"]);
    }

    #[test]
    fn what_has_not_begun_is_withdrawn_without_a_trace() {
        let mut queue = super::tests::queue(true);
        queue.slots[0].open = None;
        whole(&mut queue, 1, "abcd");
        queue.open(StreamId(1), OPEN);
        piece(&mut queue, "xy", false);
        piece(&mut queue, "z", false);
        assert!(queue.take_fragment(3).is_some_and(|fragment| fragment.beginning));
        assert!(queue.withdraw(StreamId(1)));
        assert_eq!(drain(&mut queue), ["1E d"]);
        assert!(queue.is_empty() && !queue.has_open(StreamId(1)));
        assert_eq!(queue.buffered(), 0);
    }

    #[test]
    fn what_has_begun_is_abandoned_with_the_pieces_that_wait() {
        for fed in [true, false] {
            let mut queue = super::tests::queue(true);
            piece(&mut queue, "abc", false);
            assert_eq!(drain(&mut queue), ["1B abc"]);
            if fed {
                piece(&mut queue, "defgh", false);
                piece(&mut queue, "i", false);
            }
            assert!(!queue.withdraw(StreamId(1)));
            assert!(queue.abandon_rest(StreamId(1)));
            assert!(!piece(&mut queue, "z", true), "the message is gone");
            whole(&mut queue, 1, "new");
            let fragment = queue.take_fragment(9).unwrap();
            assert_eq!((fragment.mid.low(), fragment.beginning), (1, true));
            assert_eq!((queue.buffered(), queue.starved, queue.begun), (0, 0, 0));
        }
    }
}
