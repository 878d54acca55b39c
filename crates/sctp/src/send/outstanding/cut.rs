//! A message that its sender gives up in the middle (RFC 3758, section 3.5: abandoning is the sender's own decision).

use std::time::Instant;

use bytes::Bytes;

use super::{Chunk, Mark, Outstanding, State};
use crate::packet::forward_tsn::Skipped;
use crate::types::{Place, Ppid};

impl Outstanding {
    /// Abandons what was sent of a message that has no end yet. Its end gets a TSN that is never sent: a FORWARD TSN past
    /// it makes the peer drop the rest, even if every fragment has been acknowledged.
    pub(crate) fn cut(&mut self, message: Skipped, now: Instant) {
        let is_of_it = |chunk: &Chunk| {
            (chunk.stream, chunk.unordered, chunk.mid) == (message.stream, message.unordered, message.mid)
        };
        let known = self.chunks.iter().rposition(is_of_it);
        if let Some(index) = known {
            let place: Place = self.base.plus(index as u64);
            if self.chunks[index].state != State::Abandoned {
                self.abandon_message(place);
                self.cut.pop();
            }
        }
        let end = Chunk {
            data: Bytes::new(),
            ppid: Ppid(0),
            stream: message.stream,
            mid: message.mid,
            fsn: 0,
            kind: self.kind,
            unordered: message.unordered,
            beginning: false,
            ending: true,
            state: State::Abandoned,
            misses: 0,
            reported: false,
            beyond: false,
            mark: Mark::Plain,
            transmissions: 0,
            sent_at: now,
            stamp: self.delivery.stamp(now, self.flight == 0),
            limit: crate::send::Limit::None,
        };
        self.chunks.push_back(end);
        self.move_forward_point();
    }
}
