//! DATA chunks: fragments to messages (RFC 9260, section 6.9).
//!
//! Fragments of a message have consecutive TSNs. What arrives in TSN order is appended to the one message in
//! progress. What arrives beyond a gap is kept in runs of consecutive fragments; a run that is a whole message is
//! delivered at once if its stream allows it, so that a loss on one stream does not hold up another. Whole messages
//! go through [`super::order`].
//!
//! All that is kept is charged against the receive window, with [`OVERHEAD`] for each piece.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use super::inbox::Inbox;
use super::order::Order;
use super::{Limits, OVERHEAD, kept};
use crate::event::{Event, MessageKey};
use crate::packet::data::DataHeader;
use crate::packet::forward_tsn::ForwardTsn;
use crate::stats::Drops;
use crate::types::{Mid, Place, Ppid, Ssn, StreamId};

/// The peer's fragments cannot be put together: the association must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) &'static str);

const BAD_SEQUENCE: Violation = Violation("fragments of a message do not follow each other");
pub(super) const TOO_LARGE: Violation = Violation("a message is larger than this side accepts");

/// Which message a fragment belongs to, next to its TSN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Label {
    stream: StreamId,
    /// Zero when unordered: "the receiver MUST ignore the Stream Sequence Number field".
    ssn: Ssn,
    unordered: bool,
}

impl Label {
    fn of(header: &DataHeader) -> Self {
        let ssn = if header.unordered { 0 } else { header.mid.low() };
        Self {
            stream: header.stream,
            ssn: Ssn(ssn),
            unordered: header.unordered,
        }
    }
}

/// The message in progress, all of whose fragments so far came in TSN order.
#[derive(Debug)]
struct Partial {
    label: Label,
    ppid: Ppid,
    next: Place,
    /// What has not been delivered yet.
    data: Vec<u8>,
    /// Bytes that have been.
    delivered: usize,
    /// A FORWARD TSN ended right behind it: its rest may have been abandoned unsent.
    perhaps_abandoned: bool,
}

/// Consecutive fragments of one message, beyond a gap.
#[derive(Debug)]
struct Run {
    label: Label,
    ppid: Ppid,
    last: Place,
    beginning: bool,
    ending: bool,
    parts: VecDeque<Bytes>,
    len: usize,
}

impl Run {
    fn charge(&self) -> usize {
        self.len + self.parts.len() * OVERHEAD
    }
}

/// What a message that is delivered in part is called; `None` while it is not the next of its stream.
fn key(order: &mut Order, label: Label) -> Option<MessageKey> {
    let Label {
        stream,
        ssn,
        unordered,
    } = label;
    let id = if unordered {
        0
    } else {
        let mid = order.identify(stream, ssn, 0)?;
        order.is_next(stream, mid).then_some(mid.0)?
    };
    Some(MessageKey {
        stream,
        unordered,
        id,
    })
}

/// Everything received and not yet delivered.
#[derive(Debug)]
pub(crate) struct Reassembly {
    pub(crate) order: Order,
    cumulative: Place,
    partial: Option<Partial>,
    runs: BTreeMap<Place, Run>,
    /// Fragments without a beginning are the rest of something that a FORWARD TSN skipped.
    skipping: bool,
    charged: usize,
    limits: Limits,
    /// The length of the last message of several fragments: a guess at the next one's.
    usual_len: usize,
}

impl Reassembly {
    pub(crate) fn new(limits: Limits, cumulative: Place) -> Self {
        Self {
            order: Order::default(),
            cumulative,
            partial: None,
            runs: BTreeMap::new(),
            skipping: false,
            charged: 0,
            limits,
            usual_len: 0,
        }
    }

    /// Bytes that fragments and waiting messages occupy.
    pub(crate) fn charged(&self) -> usize {
        self.charged + self.order.charged()
    }

    /// Takes in the fragment at `range` of `datagram`.
    #[expect(
        clippy::too_many_arguments,
        reason = "all of it is the one chunk and where its message goes"
    )]
    pub(crate) fn push(
        &mut self,
        place: Place,
        cumulative: Place,
        header: &DataHeader,
        datagram: &Bytes,
        range: Range<usize>,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        self.cumulative = cumulative;
        if range.len() > self.limits.message {
            return Err(TOO_LARGE);
        }
        let in_order = place <= cumulative;
        let label = Label::of(header);
        if header.beginning && header.ending && (!in_order || self.partial.is_none()) {
            if in_order {
                self.skipping = false;
            } else if self.order.is_held_back(place, label.stream) {
                return self.insert(place, header, kept(datagram, range), inbox, drops);
            }
            let data = if in_order || label.unordered {
                datagram.slice(range)
            } else {
                kept(datagram, range)
            };
            self.complete(place, label, header.ppid, data, inbox, drops);
            return Ok(());
        }
        if in_order {
            let (beginning, ending) = (header.beginning, header.ending);
            return self.append(
                place,
                label,
                header.ppid,
                beginning,
                ending,
                &datagram[range],
                inbox,
                drops,
            );
        }
        self.insert(place, header, kept(datagram, range), inbox, drops)
    }

    /// Appends a fragment that comes next in TSN order to the message in progress.
    #[expect(clippy::too_many_arguments, reason = "a fragment, and where its message goes")]
    fn append(
        &mut self,
        place: Place,
        label: Label,
        ppid: Ppid,
        beginning: bool,
        ending: bool,
        data: &[u8],
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        if beginning {
            if let Some(partial) = &self.partial {
                if !partial.perhaps_abandoned {
                    return Err(BAD_SEQUENCE);
                }
                self.drop_partial(inbox);
            }
            self.skipping = false;
            let usual = self.usual_len.min(self.limits.message);
            let data = Vec::with_capacity(usual.max(data.len() * 2));
            self.charged += OVERHEAD;
            self.partial = Some(Partial {
                label,
                ppid,
                next: place,
                data,
                delivered: 0,
                perhaps_abandoned: false,
            });
        }
        let Some(partial) = &mut self.partial else {
            return if self.skipping { Ok(()) } else { Err(BAD_SEQUENCE) };
        };
        if partial.next != place || partial.label != label {
            return Err(BAD_SEQUENCE);
        }
        if partial.delivered + partial.data.len() + data.len() > self.limits.message {
            return Err(TOO_LARGE);
        }
        partial.data.extend_from_slice(data);
        partial.next = place.next();
        self.charged += data.len();
        if !ending {
            if partial.data.len() >= self.limits.piece {
                self.deliver_piece(inbox);
            }
        } else if let Some(partial) = self.partial.take() {
            let mut data = partial.data;
            self.charged -= data.len() + OVERHEAD;
            if partial.delivered > 0 {
                self.deliver_end(label, partial.ppid, data.into(), inbox);
                return Ok(());
            }
            self.usual_len = data.len();
            if data.len() < data.capacity() / 2 {
                data.shrink_to_fit();
            }
            self.complete(place, label, partial.ppid, Bytes::from(data), inbox, drops);
        }
        Ok(())
    }

    /// Delivers what has come of the message in progress, if it is the next of its stream.
    fn deliver_piece(&mut self, inbox: &mut Inbox) {
        let Some(partial) = &mut self.partial else { return };
        let Some(message) = key(&mut self.order, partial.label) else {
            return;
        };
        let room = Vec::with_capacity(self.limits.piece.min(partial.data.len()));
        let mut data = std::mem::replace(&mut partial.data, room);
        data.shrink_to_fit();
        self.charged -= data.len();
        partial.delivered += data.len();
        inbox.push_piece(message, partial.ppid, data.into(), false);
    }

    /// Delivers the message in progress in part, if it can be.
    pub(crate) fn deliver_what_there_is(&mut self, inbox: &mut Inbox) {
        let has_some = self
            .partial
            .as_ref()
            .is_some_and(|partial| !partial.data.is_empty());
        if has_some && self.limits.piece < usize::MAX {
            self.deliver_piece(inbox);
        }
    }

    /// Delivers the last piece of a message, and those that waited for it.
    fn deliver_end(&mut self, label: Label, ppid: Ppid, data: Bytes, inbox: &mut Inbox) {
        let Some(message) = key(&mut self.order, label) else {
            return;
        };
        inbox.push_piece(message, ppid, data, true);
        if !label.unordered {
            self.order.skip(label.stream, Mid(message.id), inbox);
        }
    }

    /// Drops the message in progress: nothing more comes of it.
    fn drop_partial(&mut self, inbox: &mut Inbox) {
        let Some(partial) = self.partial.take() else {
            return;
        };
        self.charged -= partial.data.len() + OVERHEAD;
        if partial.delivered > 0
            && let Some(message) = key(&mut self.order, partial.label)
        {
            inbox.push(Event::MessageAborted(message));
        }
    }

    /// Keeps a fragment beyond a gap, joined with its neighbours.
    fn insert(
        &mut self,
        place: Place,
        header: &DataHeader,
        data: Bytes,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        let label = Label::of(header);
        self.charged += data.len() + OVERHEAD;
        let mut first = place;
        let before = self
            .runs
            .range(..place)
            .next_back()
            .map(|(&first, run)| (first, run.last, run));
        let joins_before = !header.beginning
            && before.is_some_and(|(_, last, run)| last.next() == place && !run.ending && run.label == label);
        if joins_before && let Some(before) = before.map(|(first, ..)| first) {
            first = before;
        } else {
            self.runs.insert(
                place,
                Run {
                    label,
                    ppid: header.ppid,
                    last: place,
                    beginning: header.beginning,
                    ending: header.ending,
                    parts: VecDeque::with_capacity(1),
                    len: 0,
                },
            );
        }
        let after = self.runs.get(&place.next());
        let joins_after = !header.ending && after.is_some_and(|run| !run.beginning && run.label == label);
        let after = if joins_after {
            self.runs.remove(&place.next())
        } else {
            None
        };
        let Some(run) = self.runs.get_mut(&first) else {
            return Ok(());
        };
        run.len += data.len();
        run.parts.push_back(data);
        run.last = place;
        run.ending = header.ending;
        if let Some(mut after) = after {
            run.len += after.len;
            run.last = after.last;
            run.ending = after.ending;
            // The shorter list moves: many small fragments in reverse order must not cost their square.
            if after.parts.len() > run.parts.len() {
                while let Some(part) = run.parts.pop_back() {
                    after.parts.push_front(part);
                }
                run.parts = after.parts;
            } else {
                run.parts.append(&mut after.parts);
            }
        }
        if run.len > self.limits.message {
            return Err(TOO_LARGE);
        }
        if run.beginning && run.ending && !self.order.is_held_back(first, label.stream) {
            self.deliver_run(first, inbox, drops);
        }
        Ok(())
    }

    /// Delivers a run that is a whole message.
    fn deliver_run(&mut self, first: Place, inbox: &mut Inbox, drops: &mut Drops) {
        let Some(mut run) = self.runs.remove(&first) else {
            return;
        };
        self.charged -= run.charge();
        let data = match run.parts.pop_front() {
            Some(only) if run.parts.is_empty() => only,
            head => {
                let mut joined = Vec::with_capacity(run.len);
                head.iter()
                    .chain(&run.parts)
                    .for_each(|part| joined.extend_from_slice(part));
                Bytes::from(joined)
            }
        };
        self.complete(run.last, run.label, run.ppid, data, inbox, drops);
    }

    /// A message is whole, its last fragment at `place`.
    fn complete(
        &mut self,
        place: Place,
        label: Label,
        ppid: Ppid,
        data: Bytes,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) {
        if label.unordered {
            return inbox.push_message(label.stream, ppid, data);
        }
        let ahead = place.since(self.cumulative);
        match self.order.identify(label.stream, label.ssn, ahead) {
            Some(mid) => self.order.complete((label.stream, mid), ppid, data, inbox, drops),
            None => drops.stale_message += 1,
        }
    }

    /// The cumulative TSN moved: takes up the runs that it has reached, and performs a reset that waited for it.
    pub(crate) fn advance(
        &mut self,
        cumulative: Place,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        while let Some((&first, _)) = self.runs.first_key_value()
            && first <= cumulative
        {
            self.perform_reset(first.previous(), inbox);
            let Some((_, run)) = self.runs.pop_first() else {
                break;
            };
            self.charged -= run.charge();
            let count = run.parts.len();
            for (i, part) in run.parts.into_iter().enumerate() {
                let place = first.plus(i as u64);
                let (beginning, ending) = (i == 0 && run.beginning, i + 1 == count && run.ending);
                if beginning && ending && self.partial.is_none() {
                    self.skipping = false;
                    self.complete(place, run.label, run.ppid, part, inbox, drops);
                } else {
                    self.append(place, run.label, run.ppid, beginning, ending, &part, inbox, drops)?;
                }
            }
        }
        self.perform_reset(cumulative, inbox);
        Ok(())
    }

    /// Takes in a FORWARD TSN that moved the cumulative TSN, at first to `new`, then on to `cumulative`.
    pub(crate) fn forward(
        &mut self,
        new: Place,
        cumulative: Place,
        chunk: &ForwardTsn<'_>,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        let skipped = new.since(self.cumulative);
        self.cumulative = cumulative;
        // "The receiver MUST remove any partially reassembled message, which is still missing one or more TSNs earlier
        // than or equal to the new cumulative TSN point."
        if self.partial.as_ref().is_some_and(|partial| partial.next <= new) {
            self.drop_partial(inbox);
        }
        if let Some(partial) = &mut self.partial {
            partial.perhaps_abandoned = true;
        }
        self.skipping = true;
        let mut kept = self.runs.split_off(&new.next());
        for (first, run) in std::mem::take(&mut self.runs) {
            let whole_so_far = run.beginning && (run.ending || run.last >= new);
            if whole_so_far {
                kept.insert(first, run);
            } else {
                self.charged -= run.charge();
            }
        }
        self.runs = kept;
        self.advance(cumulative, inbox, drops)?;
        if let Some(partial) = self.partial.as_mut().filter(|partial| partial.next == new.next()) {
            partial.perhaps_abandoned = true;
        }
        for (stream, ssn) in chunk.skipped() {
            if let Some(mid) = self.order.identify(stream, ssn, skipped) {
                self.order.skip(stream, mid, inbox);
            }
        }
        Ok(())
    }

    /// Performs a reset of streams if everything before it has arrived.
    pub(crate) fn perform_reset(&mut self, cumulative: Place, inbox: &mut Inbox) {
        self.order.perform_reset(cumulative, inbox);
    }
}
