//! The order of streams: whole messages on their way up (RFC 9260, sections 6.5 and 6.6), and the reset of streams
//! (RFC 6525, section 5.2.2).
//!
//! Both kinds of data chunks come here: a Stream Sequence Number is first turned into the Message Identifier that it
//! is the low half of.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;

use super::OVERHEAD;
use super::inbox::Inbox;
use crate::event::Event;
use crate::stats::Drops;
use crate::types::{Mid, Place, Ppid, Ssn, StreamId};

/// A message that waits for earlier ones of its stream.
#[derive(Debug)]
struct Whole {
    ppid: Ppid,
    data: Bytes,
}

/// RFC 6525, section 5.2.2, step E2: deferred reset processing.
#[derive(Debug)]
struct DeferredReset {
    last: Place,
    /// `None`: all of them.
    streams: Option<Vec<StreamId>>,
}

/// What each stream expects, and what waits for it.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// The message that each stream expects; streams that were never used are not in it.
    next: BTreeMap<StreamId, Mid>,
    /// The entry of `next` used last, which may be ahead of the one in the map.
    current: Option<(StreamId, Mid)>,
    waiting: BTreeMap<(StreamId, Mid), Whole>,
    deferred: Option<DeferredReset>,
    charged: usize,
}

impl Order {
    /// Bytes that waiting messages occupy.
    pub(crate) fn charged(&self) -> usize {
        self.charged
    }

    /// The message identifier of an SSN that comes with a TSN `ahead` places beyond the cumulative one; `None` when it
    /// is of a message that was delivered.
    ///
    /// Serial arithmetic on 16 bits can tell 32,767 messages ahead. A peer may have twice as many under way: each has a
    /// TSN of its own, and none of them has arrived before. So what is not further ahead than its TSN is new.
    pub(crate) fn identify(&mut self, stream: StreamId, ssn: Ssn, ahead: usize) -> Option<Mid> {
        let expected = self.expected(stream);
        let distance = ssn.0.wrapping_sub(expected.low());
        (distance < 1 << 15 || usize::from(distance) <= ahead).then(|| expected.plus(distance.into()))
    }

    /// A message is whole: deliver it, or let it wait for its turn.
    pub(crate) fn complete(
        &mut self,
        (stream, mid): (StreamId, Mid),
        ppid: Ppid,
        data: Bytes,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) {
        let expected = self.expected(stream);
        if mid == expected {
            inbox.push_message(stream, ppid, data);
            self.expect(stream, expected.next());
            if !self.waiting.is_empty() {
                self.release(stream, inbox);
            }
        } else if mid.precedes(expected) {
            drops.stale_message += 1;
        } else {
            let charge = data.len() + OVERHEAD;
            match self.waiting.entry((stream, mid)) {
                Entry::Vacant(entry) => {
                    entry.insert(Whole { ppid, data });
                    self.charged += charge;
                }
                Entry::Occupied(_) => drops.stale_message += 1,
            }
        }
    }

    /// Whether an ordered message goes up as soon as it is whole.
    pub(crate) fn is_next(&mut self, stream: StreamId, mid: Mid) -> bool {
        self.expected(stream) == mid
    }

    /// The message that a stream expects.
    pub(crate) fn next(&mut self, stream: StreamId) -> Mid {
        self.expected(stream)
    }

    /// Whether an ordered message was delivered or skipped before, or waits whole.
    pub(crate) fn is_stale(&mut self, stream: StreamId, mid: Mid) -> bool {
        mid.precedes(self.expected(stream))
            || !self.waiting.is_empty() && self.waiting.contains_key(&(stream, mid))
    }

    /// Delivers what waited for the message that the stream now expects.
    fn release(&mut self, stream: StreamId, inbox: &mut Inbox) {
        let mut expected = self.expected(stream);
        while let Some(whole) = self.waiting.remove(&(stream, expected)) {
            self.charged -= whole.data.len() + OVERHEAD;
            inbox.push_message(stream, whole.ppid, whole.data);
            expected = expected.next();
        }
        self.expect(stream, expected);
    }

    fn expected(&mut self, stream: StreamId) -> Mid {
        if let Some((current, mid)) = self.current {
            if current == stream {
                return mid;
            }
            self.next.insert(current, mid);
        }
        let mid = *self.next.entry(stream).or_insert(Mid(0));
        self.current = Some((stream, mid));
        mid
    }

    fn expect(&mut self, stream: StreamId, mid: Mid) {
        match &mut self.current {
            Some((current, expected)) if *current == stream => *expected = mid,
            _ => {
                self.next.insert(stream, mid);
            }
        }
    }

    /// "Make available for delivery stream sequence numbers earlier than or equal to the stream sequence number listed
    /// inside the FORWARD TSN" (RFC 3758, section 3.6).
    pub(crate) fn skip(&mut self, stream: StreamId, last: Mid, inbox: &mut Inbox) {
        let expected = self.expected(stream);
        if last.precedes(expected) {
            return;
        }
        for (from, to) in expected.spans_to(last) {
            while let Some((&key, _)) = self.waiting.range((stream, from)..=(stream, to)).next()
                && let Some(whole) = self.waiting.remove(&key)
            {
                self.charged -= whole.data.len() + OVERHEAD;
                inbox.push_message(stream, whole.ppid, whole.data);
            }
        }
        self.expect(stream, last.next());
        self.release(stream, inbox);
    }

    /// The peer resets its outgoing streams once everything up to `last` has arrived.
    pub(crate) fn defer_reset(&mut self, last: Place, streams: Option<Vec<StreamId>>) {
        self.deferred = Some(DeferredReset { last, streams });
    }

    /// Whether a reset waits for data.
    pub(crate) fn awaits_reset(&self) -> bool {
        self.deferred.is_some()
    }

    /// Whether a stream awaits a reset and this TSN comes after it.
    pub(crate) fn is_held_back(&self, place: Place, stream: StreamId) -> bool {
        self.deferred.as_ref().is_some_and(|reset| {
            let affected = reset
                .streams
                .as_ref()
                .is_none_or(|streams| streams.contains(&stream));
            place > reset.last && affected
        })
    }

    /// Performs the reset that waited for no more than this; the streams it reset.
    pub(crate) fn perform_reset(&mut self, cumulative: Place, inbox: &mut Inbox) -> Option<Vec<StreamId>> {
        let reset = self.deferred.take_if(|reset| reset.last <= cumulative)?;
        let streams = match reset.streams {
            Some(streams) => streams,
            None => self.used().collect(),
        };
        for &stream in &streams {
            self.forget(stream);
        }
        inbox.push(Event::StreamsReset {
            streams: streams.clone(),
        });
        Some(streams)
    }

    fn used(&mut self) -> impl Iterator<Item = StreamId> + '_ {
        if let Some((stream, mid)) = self.current.take() {
            self.next.insert(stream, mid);
        }
        self.next.keys().copied()
    }

    /// The stream begins anew.
    fn forget(&mut self, stream: StreamId) {
        self.current.take_if(|current| current.0 == stream);
        self.next.remove(&stream);
        let of_stream = (stream, Mid(0))..=(stream, Mid(u32::MAX));
        while let Some((&key, _)) = self.waiting.range(of_stream.clone()).next() {
            if let Some(whole) = self.waiting.remove(&key) {
                self.charged -= whole.data.len() + OVERHEAD;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: StreamId = StreamId(3);

    fn complete(order: &mut Order, mid: Mid, inbox: &mut Inbox, drops: &mut Drops) {
        let data = Bytes::copy_from_slice(&mid.0.to_be_bytes());
        order.complete((STREAM, mid), Ppid(53), data, inbox, drops);
    }

    fn delivered(inbox: &mut Inbox) -> Vec<u32> {
        std::iter::from_fn(|| inbox.pop())
            .map(|event| match event {
                Event::Message { data, .. } => u32::from_be_bytes(data[..].try_into().unwrap()),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn message_identifiers_wrap() {
        let (mut order, mut inbox, mut drops) = (Order::default(), Inbox::default(), Drops::default());
        order.expect(STREAM, Mid(u32::MAX));
        for mid in [1, 0, u32::MAX, u32::MAX - 1, 0, 4, 2] {
            complete(&mut order, Mid(mid), &mut inbox, &mut drops);
        }
        assert_eq!(delivered(&mut inbox), [u32::MAX, 0, 1, 2]);
        assert_eq!(drops.stale_message, 2);
        order.skip(STREAM, Mid(u32::MAX), &mut inbox);
        assert_eq!(delivered(&mut inbox), []);
        order.skip(STREAM, Mid(3), &mut inbox);
        assert_eq!(delivered(&mut inbox), [4]);
        assert_eq!(order.charged(), 0);
    }

    #[test]
    fn an_ssn_is_told_from_an_old_one_by_how_far_ahead_its_tsn_is() {
        let mut order = Order::default();
        order.expect(STREAM, Mid(70_000));
        let low = Mid(70_000).low();
        assert_eq!(order.identify(STREAM, Ssn(low), 0), Some(Mid(70_000)));
        assert_eq!(order.identify(STREAM, Ssn(low.wrapping_sub(1)), 0), None);
        assert_eq!(
            order.identify(STREAM, Ssn(low.wrapping_add(40_000)), 40_000),
            Some(Mid(110_000))
        );
        assert_eq!(
            order.identify(STREAM, Ssn(low.wrapping_add(40_000)), 39_999),
            None
        );
        assert_eq!(
            order.identify(STREAM, Ssn(low.wrapping_sub(1)), 65_535),
            Some(Mid(70_000 + 65_535))
        );
    }
}
