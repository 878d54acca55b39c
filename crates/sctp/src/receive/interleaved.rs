//! I-DATA chunks: fragments to messages (RFC 8260, section 2.2.3), told apart by stream, message identifier and
//! fragment number, whatever their TSNs. Whole messages go through [`super::order`].
//!
//! All that is kept is charged against the receive window.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::inbox::Inbox;
use super::order::Order;
use super::reassembly::{TOO_LARGE, Violation};
use super::{Limits, OVERHEAD, kept};
use crate::event::{Event, MessageKey};
use crate::packet::data::DataHeader;
use crate::packet::forward_tsn::IForwardTsn;
use crate::stats::Drops;
use crate::types::{Mid, Place, Ppid, StreamId};

const BAD_FRAGMENT: Violation = Violation("fragments of a message contradict each other");
/// What a message in progress costs beside its bytes.
const MESSAGE_OVERHEAD: usize = 2 * OVERHEAD;
/// No more messages than TSNs are under way: what is further back than this was not skipped, but is new.
const MAX_BEHIND: u32 = 1 << 16;

/// Which message: its stream, whether it is unordered, its identifier.
type Key = (StreamId, bool, Mid);

/// What a message that is delivered in part is called.
fn named((stream, unordered, mid): Key) -> MessageKey {
    MessageKey {
        stream,
        unordered,
        id: mid.0,
    }
}

/// A message in progress. Fragment numbers are counted without the wrap.
#[derive(Debug, Default)]
struct Message {
    ppid: Ppid,
    /// The fragments before `next`, joined, but for what has been delivered.
    data: Vec<u8>,
    /// Bytes that have been.
    delivered: usize,
    next: u64,
    /// Fragments beyond a gap, and the bytes in them.
    later: BTreeMap<u64, Bytes>,
    later_len: usize,
    /// The number of the last fragment.
    last: Option<u64>,
    charge: usize,
}

impl Message {
    fn len(&self) -> usize {
        self.delivered + self.data.len() + self.later_len
    }

    /// Takes in a fragment that has not come before; `true` when the message is whole.
    fn take(
        &mut self,
        header: &DataHeader,
        datagram: &Bytes,
        range: Range<usize>,
    ) -> Result<bool, Violation> {
        let ahead = header.fsn.wrapping_sub(low(self.next));
        let number = self.next + u64::from(ahead);
        let behind_the_end = self.last.is_some_and(|last| header.ending || number > last);
        if ahead >= 1 << 31 || header.beginning != (number == 0) || behind_the_end {
            return Err(BAD_FRAGMENT);
        }
        if header.beginning {
            self.ppid = header.ppid;
        }
        if header.ending {
            if self
                .later
                .last_key_value()
                .is_some_and(|(&last, _)| last > number)
            {
                return Err(BAD_FRAGMENT);
            }
            self.last = Some(number);
        }
        if ahead > 0 {
            self.later_len += range.len();
            self.charge += range.len() + OVERHEAD;
            return match self.later.insert(number, kept(datagram, range)) {
                None => Ok(false),
                Some(_) => Err(BAD_FRAGMENT),
            };
        }
        self.append(&datagram[range]);
        while let Some(entry) = self.later.first_entry()
            && *entry.key() == self.next
        {
            let fragment = entry.remove();
            self.later_len -= fragment.len();
            self.charge -= fragment.len() + OVERHEAD;
            self.append(&fragment);
        }
        Ok(self.last.is_some_and(|last| self.next > last))
    }

    fn append(&mut self, fragment: &[u8]) {
        let before = self.data.capacity();
        self.data.extend_from_slice(fragment);
        self.charge += self.data.capacity() - before;
        self.next += 1;
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the low half is what goes on the wire"
)]
fn low(number: u64) -> u32 {
    number as u32
}

/// Everything received in I-DATA chunks and not yet delivered.
#[derive(Debug)]
pub(crate) struct Interleaved {
    pub(crate) order: Order,
    /// Where each message in progress is.
    index: BTreeMap<Key, usize>,
    messages: Vec<Message>,
    free: Vec<usize>,
    /// The message in progress used last.
    current: Option<(Key, usize)>,
    /// The last unordered message skipped of each stream: fragments of it may still come.
    skipped: BTreeMap<StreamId, Mid>,
    /// What came after a reset of its stream that has to wait.
    held: BTreeMap<Place, (DataHeader, Bytes)>,
    charged: usize,
    limits: Limits,
    /// Room is short: what can be delivered in part is, however little it is.
    pressed: bool,
    /// The length of the last message of several fragments: a guess at the next one's.
    usual_len: usize,
}

impl Interleaved {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            order: Order::default(),
            index: BTreeMap::new(),
            messages: Vec::new(),
            free: Vec::new(),
            current: None,
            skipped: BTreeMap::new(),
            held: BTreeMap::new(),
            charged: 0,
            limits,
            pressed: false,
            usual_len: 0,
        }
    }

    /// Bytes that fragments and waiting messages occupy.
    pub(crate) fn charged(&self) -> usize {
        self.charged + self.order.charged()
    }

    /// Takes in a fragment.
    pub(crate) fn push(
        &mut self,
        place: Place,
        header: &DataHeader,
        datagram: &Bytes,
        range: Range<usize>,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        if self.order.is_held_back(place, header.stream) {
            self.charged += range.len() + MESSAGE_OVERHEAD;
            self.held.insert(place, (*header, kept(datagram, range)));
            return Ok(());
        }
        let key = (header.stream, header.unordered, header.mid);
        let known = self.find(key);
        if header.beginning && header.ending && known.is_none() {
            return self.push_whole(key, header.ppid, datagram, range, inbox, drops);
        }
        if known.is_none() && self.is_over(key) {
            drops.stale_message += 1;
            return Ok(());
        }
        let at = known.unwrap_or_else(|| self.begin(key, range.len()));
        let message = &mut self.messages[at];
        let before = message.charge;
        if message.len() + range.len() > self.limits.message {
            return Err(TOO_LARGE);
        }
        let whole = message.take(header, datagram, range)?;
        self.charged = self.charged + message.charge - before;
        if !whole {
            if message.data.len() >= self.least_piece() {
                self.deliver_piece(key, at, inbox);
            }
        } else {
            let message = self.remove(key, at);
            if message.delivered > 0 {
                self.deliver_end(key, message, inbox);
                return Ok(());
            }
            let mut data = message.data;
            self.usual_len = data.len();
            if data.len() < data.capacity() / 2 {
                data.shrink_to_fit();
            }
            self.complete(key, message.ppid, data.into(), inbox, drops);
        }
        Ok(())
    }

    /// Delivers what has come of a message, if it is the next of its stream.
    fn deliver_piece(&mut self, key: Key, at: usize, inbox: &mut Inbox) {
        let (stream, unordered, mid) = key;
        if !unordered && !self.order.is_next(stream, mid) {
            return;
        }
        let message = &mut self.messages[at];
        let room = Vec::with_capacity(self.limits.piece.min(message.data.len()));
        let (before, after) = (message.data.capacity(), room.capacity());
        message.charge = message.charge - before + after;
        self.charged = self.charged - before + after;
        let mut data = std::mem::replace(&mut message.data, room);
        data.shrink_to_fit();
        message.delivered += data.len();
        inbox.push_piece(named(key), message.ppid, data.into(), false);
    }

    /// Delivers the last piece of a message, and what waited for it.
    fn deliver_end(&mut self, key: Key, message: Message, inbox: &mut Inbox) {
        inbox.push_piece(named(key), message.ppid, message.data.into(), true);
        let (stream, unordered, mid) = key;
        if !unordered {
            self.order.skip(stream, mid, inbox);
            self.deliver_next(stream, inbox);
        }
    }

    /// Delivers in part every message that can be, and from now on whatever can be as it comes: that all are looked at once is
    /// enough.
    pub(crate) fn deliver_what_there_is(&mut self, inbox: &mut Inbox) {
        if self.limits.piece == usize::MAX || std::mem::replace(&mut self.pressed, true) {
            return;
        }
        let begun: Vec<(Key, usize)> = self.index.iter().map(|(&key, &at)| (key, at)).collect();
        for (key, at) in begun {
            if !self.messages[at].data.is_empty() {
                self.deliver_piece(key, at, inbox);
            }
        }
    }

    /// There is room again.
    pub(crate) fn relieve(&mut self) {
        self.pressed = false;
    }

    /// The bytes of a message that are delivered before the rest has come.
    fn least_piece(&self) -> usize {
        if self.pressed { 1 } else { self.limits.piece }
    }

    /// A stream expects another message than before: if much of it has come, that can be delivered.
    fn deliver_next(&mut self, stream: StreamId, inbox: &mut Inbox) {
        if self.limits.piece == usize::MAX || self.index.is_empty() {
            return;
        }
        let key = (stream, false, self.order.next(stream));
        if let Some(&at) = self.index.get(&key)
            && self.messages[at].data.len() >= self.least_piece()
        {
            self.deliver_piece(key, at, inbox);
        }
    }

    /// Takes in a message of one fragment.
    fn push_whole(
        &mut self,
        key: Key,
        ppid: Ppid,
        datagram: &Bytes,
        range: Range<usize>,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        let (stream, unordered, mid) = key;
        if range.len() > self.limits.message {
            return Err(TOO_LARGE);
        }
        if unordered && self.is_over(key) {
            drops.stale_message += 1;
        } else if unordered || self.order.is_next(stream, mid) {
            self.complete(key, ppid, datagram.slice(range), inbox, drops);
        } else {
            self.complete(key, ppid, kept(datagram, range), inbox, drops);
        }
        Ok(())
    }

    fn find(&mut self, key: Key) -> Option<usize> {
        match self.current {
            Some((current, at)) if current == key => Some(at),
            _ if self.index.is_empty() => None,
            _ => {
                let at = *self.index.get(&key)?;
                self.current = Some((key, at));
                Some(at)
            }
        }
    }

    /// Whether a message was delivered, skipped, or waits whole, so that no fragment of it can be new.
    fn is_over(&mut self, (stream, unordered, mid): Key) -> bool {
        if unordered {
            let skipped = self.skipped.get(&stream);
            return skipped.is_some_and(|skipped| skipped.since(mid) < MAX_BEHIND);
        }
        self.order.is_stale(stream, mid)
    }

    fn begin(&mut self, key: Key, len: usize) -> usize {
        // A guess is worth its memory while there are few; many small beginnings must not reserve much.
        let guess = if self.index.len() < 4 { self.usual_len } else { 0 };
        let data = Vec::with_capacity(guess.min(self.limits.message).max(len));
        let message = Message {
            charge: MESSAGE_OVERHEAD + data.capacity(),
            data,
            ..Message::default()
        };
        self.charged += message.charge;
        let at = match self.free.pop() {
            Some(at) => {
                self.messages[at] = message;
                at
            }
            None => {
                self.messages.push(message);
                self.messages.len() - 1
            }
        };
        self.index.insert(key, at);
        self.current = Some((key, at));
        at
    }

    fn remove(&mut self, key: Key, at: usize) -> Message {
        self.index.remove(&key);
        self.current.take_if(|current| current.0 == key);
        let message = std::mem::take(&mut self.messages[at]);
        self.charged -= message.charge;
        if self.index.is_empty() {
            // A crowd leaves no memory behind.
            self.messages = Vec::new();
            self.free = Vec::new();
        } else {
            self.free.push(at);
        }
        message
    }

    fn complete(
        &mut self,
        (stream, unordered, mid): Key,
        ppid: Ppid,
        data: Bytes,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) {
        if unordered {
            inbox.push_message(stream, ppid, data);
        } else {
            self.order.complete((stream, mid), ppid, data, inbox, drops);
            self.deliver_next(stream, inbox);
        }
    }

    /// The cumulative TSN moved: performs a reset that waited for it, and takes up what waited for the reset.
    pub(crate) fn advance(
        &mut self,
        cumulative: Place,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        if !self.order.awaits_reset() {
            return Ok(());
        }
        let Some(streams) = self.order.perform_reset(cumulative, inbox) else {
            return Ok(());
        };
        for stream in streams {
            // "the two counters … used for the MIDs MUST be reset to 0" (RFC 8260, section 2.3.2).
            self.skipped.remove(&stream);
            for unordered in [false, true] {
                self.drop_messages((stream, unordered), (Mid(0), Mid(u32::MAX)), inbox);
            }
        }
        for (place, (header, data)) in std::mem::take(&mut self.held) {
            self.charged -= data.len() + MESSAGE_OVERHEAD;
            self.push(place, &header, &data, 0..data.len(), inbox, drops)?;
        }
        Ok(())
    }

    /// Drops the messages in progress of one kind whose identifiers lie from `first` to `last`.
    fn drop_messages(
        &mut self,
        (stream, unordered): (StreamId, bool),
        (first, last): (Mid, Mid),
        inbox: &mut Inbox,
    ) {
        for (from, to) in first.spans_to(last) {
            let span = (stream, unordered, from)..=(stream, unordered, to);
            while let Some((&key, &at)) = self.index.range(span.clone()).next() {
                if self.remove(key, at).delivered > 0 {
                    inbox.push(Event::MessageAborted(named(key)));
                }
            }
        }
    }

    /// "the largest Message Identifier for ordered or unordered messages indicated by the U bit that was skipped for the
    /// stream" (section 2.3.1).
    pub(crate) fn forward(&mut self, chunk: &IForwardTsn<'_>, inbox: &mut Inbox) {
        for skipped in chunk.skipped() {
            let first = skipped.mid.plus(1 << 31);
            let which = (skipped.stream, skipped.unordered);
            self.drop_messages(which, (first, skipped.mid), inbox);
            if skipped.unordered {
                self.skipped.insert(skipped.stream, skipped.mid);
            } else {
                self.order.skip(skipped.stream, skipped.mid, inbox);
                self.deliver_next(skipped.stream, inbox);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::types::Tsn;

    fn fragment(mid: u32, fsn: u32, bits: &str) -> DataHeader {
        DataHeader {
            immediate: false,
            unordered: bits.contains('U'),
            beginning: bits.contains('B'),
            ending: bits.contains('E'),
            tsn: Tsn(0),
            stream: StreamId(1),
            mid: Mid(mid),
            fsn,
            ppid: Ppid(if bits.contains('B') { 53 } else { 0 }),
        }
    }

    const LIMITS: Limits = Limits {
        message: 100,
        piece: usize::MAX,
    };

    struct Bench(Interleaved, Inbox, Drops, Place);

    impl Bench {
        fn new() -> Self {
            let place = Place::first(Tsn(1));
            Self(
                Interleaved::new(LIMITS),
                Inbox::default(),
                Drops::default(),
                place,
            )
        }

        fn push(&mut self, mid: u32, fsn: u32, bits: &str, text: &'static str) -> Result<(), Violation> {
            let data = Bytes::from_static(text.as_bytes());
            self.0.push(
                self.3,
                &fragment(mid, fsn, bits),
                &data,
                0..data.len(),
                &mut self.1,
                &mut self.2,
            )
        }

        fn texts(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.1.pop())
                .filter_map(|event| match event {
                    Event::Message { data, .. } => Some(String::from_utf8(data.to_vec()).unwrap()),
                    _ => None,
                })
                .collect()
        }
    }

    #[test]
    fn messages_of_one_stream_are_put_together_whatever_the_order_of_their_fragments() {
        let mut bench = Bench::new();
        for (mid, fsn, bits, text) in [
            (1, 1, "E", "d"),
            (0, 2, "E", "c"),
            (0, 0, "UB", "x"),
            (0, 1, "", "b"),
            (1, 0, "B", "two "),
            (0, 1, "UE", "y"),
            (0, 0, "B", "a"),
        ] {
            bench.push(mid, fsn, bits, text).unwrap();
        }
        assert_eq!(bench.texts(), ["xy", "abc", "two d"]);
        assert_eq!((bench.0.charged(), bench.0.messages.len()), (0, 0));
    }

    /// What is delivered in part, and when: `(text, last)`.
    fn pieces(bench: &mut Bench) -> Vec<(String, bool)> {
        std::iter::from_fn(|| bench.1.pop())
            .filter_map(|event| match event {
                Event::Piece { data, last, .. } => Some((String::from_utf8(data.to_vec()).unwrap(), last)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn where_room_is_short_what_comes_of_the_next_message_is_delivered_at_once() {
        let mut bench = Bench::new();
        bench.0.limits.piece = 50;
        let piece = |text: &str, last| (text.to_owned(), last);
        bench.push(0, 0, "B", "a").unwrap();
        bench.push(1, 0, "B", "later ").unwrap();
        assert_eq!(pieces(&mut bench), []);
        bench.0.deliver_what_there_is(&mut bench.1);
        assert_eq!(pieces(&mut bench), [piece("a", false)]);
        // Nobody looks at all of them again.
        bench.0.deliver_what_there_is(&mut bench.1);
        bench.push(0, 2, "E", "c").unwrap();
        bench.push(0, 1, "", "b").unwrap();
        assert_eq!(pieces(&mut bench), [piece("bc", true), piece("later ", false)]);
        bench.push(1, 1, "", "on").unwrap();
        bench.push(0, 0, "UB", "unordered").unwrap();
        assert_eq!(
            pieces(&mut bench),
            [piece("on", false), piece("unordered", false)]
        );
        bench.0.relieve();
        bench.push(1, 2, "", "kept").unwrap();
        assert_eq!(pieces(&mut bench), []);
    }

    #[test]
    fn what_is_skipped_lies_in_two_spans_where_the_identifiers_wrap() {
        let mut bench = Bench::new();
        for mid in [u32::MAX - 1, u32::MAX, 0, 1, 2, 1 << 31] {
            bench.push(mid, 0, "UB", "x").unwrap();
            bench.push(mid, 0, "B", "x").unwrap();
        }
        let of = |bench: &Bench| {
            bench
                .0
                .index
                .keys()
                .map(|key| (key.1, key.2.0))
                .collect::<Vec<_>>()
        };
        bench
            .0
            .drop_messages((StreamId(1), true), (Mid(1 << 31), Mid(1)), &mut bench.1);
        let ordered = [0, 1, 2, 1 << 31].map(|mid| (false, mid));
        assert_eq!(of(&bench), [&ordered[..], &[(true, 2)]].concat());
        bench
            .0
            .drop_messages((StreamId(1), false), (Mid(0), Mid(u32::MAX)), &mut bench.1);
        assert_eq!(of(&bench), [(true, 2)]);
    }

    #[test]
    fn fragment_numbers_wrap() {
        let mut bench = Bench::new();
        bench.push(0, 0, "B", "begins ").unwrap();
        bench.0.messages[0].next = u64::from(u32::MAX);
        bench.push(0, 1, "E", "c").unwrap();
        bench.push(0, 0, "", "b").unwrap();
        bench.push(0, u32::MAX, "", "a").unwrap();
        assert_eq!(bench.texts(), ["begins abc"]);
    }

    #[test]
    fn fragments_that_contradict_each_other_end_it() {
        for pair in [
            [(0, "B"), (0, "B")],
            [(1, ""), (1, "")],
            [(1, "E"), (2, "")],
            [(2, ""), (1, "E")],
            [(1, "E"), (2, "E")],
            [(0, "B"), (0, "BE")],
            [(0, "B"), (0, "")],
        ] {
            let mut bench = Bench::new();
            bench.push(7, pair[0].0, pair[0].1, "a").unwrap();
            let second = bench.push(7, pair[1].0, pair[1].1, "b");
            assert_eq!(second, Err(BAD_FRAGMENT), "{pair:?}");
        }
        let mut bench = Bench::new();
        bench.push(0, 0, "UB", "a").unwrap();
        let long = "0123456789".repeat(10).leak();
        assert_eq!(bench.push(0, 1, "U", long), Err(TOO_LARGE));
    }

    #[test]
    fn what_was_skipped_is_dropped_and_its_late_fragments_too_across_the_wrap() {
        for first in [0, u32::MAX - 1] {
            let mut bench = Bench::new();
            // Serial arithmetic gets there in steps.
            for quarter in (1..=4).filter(|_| first > 0) {
                let last = if quarter == 4 {
                    first - 1
                } else {
                    first / 4 * quarter
                };
                bench.0.order.skip(StreamId(1), Mid(last), &mut bench.1);
            }
            let mid = |offset: u32| first.wrapping_add(offset);
            for bits in ["B", "UB"] {
                bench.push(mid(0), 0, bits, "a").unwrap();
                bench.push(mid(2), 0, bits, "c").unwrap();
            }
            bench.push(mid(3), 0, "BE", "d").unwrap();
            let mut value = vec![0; 4];
            for unordered in [0, 1] {
                value.extend([0, 1, 0, unordered]);
                value.extend(mid(1).to_be_bytes());
            }
            let chunk = IForwardTsn::parse(&value).unwrap();
            bench.0.forward(&chunk, &mut bench.1);
            for bits in ["E", "UE"] {
                bench.push(mid(0), 1, bits, "z").unwrap();
                bench.push(mid(2), 1, bits, "c").unwrap();
            }
            bench.push(mid(4), 0, "UBE", "u").unwrap();
            assert_eq!(bench.texts(), ["cc", "d", "cc", "u"]);
            assert_eq!((bench.2.stale_message, bench.0.charged()), (2, 0));
        }
    }

    #[test]
    fn many_small_beginnings_reserve_little() {
        let mut bench = Bench::new();
        bench.0.limits.message = 256 << 10;
        bench.0.usual_len = 256 << 10;
        for mid in 0..10_000 {
            bench.push(mid, 0, "UB", "a").unwrap();
        }
        let reserved: usize = bench
            .0
            .messages
            .iter()
            .map(|message| message.data.capacity())
            .sum();
        assert!(reserved < 2 << 20, "{reserved}");
        assert!(bench.0.charged() >= reserved + 10_000 * size_of::<Message>());
    }
}
