//! The receiving half: [`tracker`] knows which TSNs have arrived, [`reassembly`] makes messages of DATA chunks and
//! [`interleaved`] of I-DATA chunks, [`order`] puts the messages of a stream in order, and this file decides when to acknowledge (RFC 9260, section 6.2) and what window to offer.

pub(crate) mod inbox;
pub(crate) mod interleaved;
pub(crate) mod order;
pub(crate) mod reassembly;
pub(crate) mod tracker;
pub(crate) mod window;

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::config::Config;
use crate::packet::data::{DataHeader, DataKind};
use crate::packet::forward_tsn::{ForwardTsn, IForwardTsn};
use crate::packet::sack::{SACK_ITEM_LEN, SACK_MIN_LEN, write_sack};
use crate::stats::Drops;
use crate::types::{Place, StreamId, Tsn};
use inbox::Inbox;
use interleaved::Interleaved;
use order::Order;
use reassembly::{Reassembly, Violation};
use tracker::{Arrival, Tracker};
use window::Window;

/// Fragments and messages are charged this much beyond their bytes, so that tiny ones cannot fill the memory.
pub(crate) const OVERHEAD: usize = 96;

/// A fragment that has to wait for others: a slice of its datagram, or a copy where it would keep in memory more than it is
/// charged for.
fn kept(datagram: &Bytes, range: std::ops::Range<usize>) -> Bytes {
    if range.len() * 2 < datagram.len() {
        Bytes::copy_from_slice(&datagram[range])
    } else {
        datagram.slice(range)
    }
}

/// What is owed to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ack {
    /// Nothing.
    None,
    /// An acknowledgement, when the timer says so.
    Delayed,
    /// An acknowledgement with the next packet.
    Now,
}

/// How large a message may be, and how much of it is kept before it is delivered in part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) message: usize,
    pub(crate) piece: usize,
}

/// Makes messages of fragments.
#[derive(Debug)]
enum Assembly {
    Data(Reassembly),
    IData(Interleaved),
}

impl Assembly {
    fn new(kind: DataKind, config: &Config, cumulative: Place) -> Self {
        let limits = Limits {
            message: config.max_receive_message_size,
            piece: config.partial_delivery.unwrap_or(usize::MAX),
        };
        match kind {
            DataKind::Data => Assembly::Data(Reassembly::new(limits, cumulative)),
            DataKind::IData => Assembly::IData(Interleaved::new(limits)),
        }
    }

    fn charged(&self) -> usize {
        match self {
            Assembly::Data(reassembly) => reassembly.charged(),
            Assembly::IData(interleaved) => interleaved.charged(),
        }
    }

    /// Delivers in part what can be, however little there is of it.
    fn deliver_what_there_is(&mut self, inbox: &mut Inbox) {
        match self {
            Assembly::Data(reassembly) => reassembly.deliver_what_there_is(inbox),
            Assembly::IData(interleaved) => interleaved.deliver_what_there_is(inbox),
        }
    }

    /// There is room again.
    fn relieve(&mut self) {
        if let Assembly::IData(interleaved) = self {
            interleaved.relieve();
        }
    }

    fn order(&mut self) -> &mut Order {
        match self {
            Assembly::Data(reassembly) => &mut reassembly.order,
            Assembly::IData(interleaved) => &mut interleaved.order,
        }
    }

    fn advance(&mut self, to: Place, inbox: &mut Inbox, drops: &mut Drops) -> Result<(), Violation> {
        match self {
            Assembly::Data(reassembly) => reassembly.advance(to, inbox, drops),
            Assembly::IData(interleaved) => interleaved.advance(to, inbox, drops),
        }
    }
}

/// The receiving half of an association.
#[derive(Debug)]
pub(crate) struct Receiver {
    tracker: Tracker,
    assembly: Assembly,
    window: Window,
    /// The window in the last SACK.
    advertised: usize,
    ack: Ack,
    /// Packets with DATA since the last SACK.
    packets: u8,
    /// The packet at hand brought something that must be acknowledged at once.
    urgent: bool,
    /// The packet at hand brought DATA.
    has_data: bool,
    /// The first of its chunks that was new.
    fresh: Option<Place>,
    /// Some packet has.
    received: bool,
}

impl Receiver {
    pub(crate) fn new(config: &Config, kind: DataKind, initial_tsn: Tsn) -> Self {
        let first = Place::first(initial_tsn);
        Self {
            tracker: Tracker::new(first, config.max_gaps),
            assembly: Assembly::new(kind, config, first.previous()),
            window: Window::new(config),
            advertised: window::first(config),
            ack: Ack::None,
            packets: 0,
            urgent: false,
            has_data: false,
            fresh: None,
            received: false,
        }
    }

    pub(crate) fn cumulative(&self) -> Tsn {
        self.tracker.cumulative().tsn()
    }

    /// The place of a TSN of this direction.
    pub(crate) fn place(&self, tsn: Tsn) -> Place {
        self.tracker.cumulative().nearest(tsn)
    }

    /// Bytes that are free for new data.
    fn free(&self, inbox: &Inbox) -> usize {
        self.window
            .size()
            .saturating_sub(self.assembly.charged() + inbox.charged())
    }

    /// Bytes that may be occupied when a chunk has been taken in.
    fn limit(&self, arrival: Arrival, inbox: &Inbox) -> usize {
        let window = self.window.size();
        let with_holes_filled = window + window / 16;
        match (arrival, &self.assembly) {
            // "If the new incoming DATA chunk holds a TSN value less than the largest TSN received so far, then the receiver
            // SHOULD drop the largest TSN held for reordering and accept the new incoming DATA chunk." Nothing is
            // dropped here, and a little more is held.
            (Arrival::Between, _) => with_holes_filled,
            // Where the peer interleaves so many messages that none of them can be finished within the window, only more
            // of the same can set anything free.
            (Arrival::InOrder, Assembly::IData(_)) if inbox.charged() == 0 => window * 2,
            (Arrival::InOrder, _) => with_holes_filled + window / 8,
            _ => window,
        }
    }

    /// Takes in a DATA or I-DATA chunk whose user data is `range` of `datagram`.
    pub(crate) fn on_data(
        &mut self,
        header: &DataHeader,
        datagram: &Bytes,
        range: std::ops::Range<usize>,
        valid_stream: bool,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        self.has_data = true;
        self.urgent |= header.immediate;
        let place = self.place(header.tsn);
        let arrival = self.tracker.classify(place);
        match arrival {
            Arrival::InOrder | Arrival::Between | Arrival::Ahead => {}
            Arrival::Duplicate => {
                // "When a packet arrives with duplicate DATA chunk(s) and with no new DATA chunk(s), the endpoint MUST
                // immediately send a SACK chunk with no delay."
                self.tracker.note_duplicate(header.tsn);
                self.urgent = true;
                drops.duplicate_data += 1;
                return Ok(());
            }
            Arrival::TooFar => {
                self.urgent = true;
                drops.no_room += 1;
                return Ok(());
            }
        }
        self.fresh = Some(self.fresh.map_or(place, |fresh| fresh.min(place)));
        let in_order = arrival == Arrival::InOrder;
        // "When the receiver's advertised window is 0, the receiver MUST drop any new incoming DATA chunk with a TSN
        // larger than the largest TSN received so far." What fills holes is let in a little longer, and what comes next in
        // order longer still: it is what sets the rest free.
        let used = self.assembly.charged() + inbox.charged();
        if used > self.window.size() / 2 && inbox.charged() == 0 {
            self.window.on_holes();
            // Messages that outgrow the window together would otherwise wait for each other.
            self.assembly.deliver_what_there_is(inbox);
        } else if used < self.window.size() / 4 {
            self.assembly.relieve();
        }
        while used + range.len() > self.limit(arrival, inbox) {
            // Fragments of messages that are not whole are no fault of the reader's.
            if in_order && inbox.charged() == 0 && self.window.on_stuck() {
                continue;
            }
            self.urgent = true;
            drops.no_room += 1;
            return Ok(());
        }
        // As long as there is a gap, and when it is filled: RFC 5681, section 4.2, for what RFC 9260 leaves open.
        self.urgent |= self.tracker.has_gaps();
        self.tracker.record(place);
        self.window.on_arrival(range.len() + OVERHEAD);
        let cumulative = self.tracker.cumulative();
        if valid_stream {
            match &mut self.assembly {
                Assembly::Data(reassembly) => {
                    reassembly.push(place, cumulative, header, datagram, range, inbox, drops)?;
                }
                Assembly::IData(interleaved) => {
                    interleaved.push(place, header, datagram, range, inbox, drops)?;
                }
            }
        }
        if in_order {
            self.assembly.advance(cumulative, inbox, drops)?;
        }
        Ok(())
    }

    /// A FORWARD TSN: moves the cumulative TSN there and beyond; `None` when it must be ignored.
    fn move_forward(&mut self, new: Tsn, drops: &mut Drops) -> Option<Place> {
        let place = self.place(new);
        self.has_data = true;
        if place <= self.tracker.cumulative() {
            // "the data receiver MUST treat this FORWARD TSN as out-of-date … The receiver SHOULD send a SACK"
            self.urgent = true;
            return None;
        }
        if place.since(self.tracker.cumulative()) > tracker::MAX_FORWARD {
            drops.bad_forward_tsn += 1;
            return None;
        }
        self.tracker.forward(place);
        Some(place)
    }

    /// Takes in a FORWARD TSN (RFC 3758, section 3.6).
    pub(crate) fn on_forward_tsn(
        &mut self,
        chunk: &ForwardTsn<'_>,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        let Some(place) = self.move_forward(chunk.new_cumulative, drops) else {
            return Ok(());
        };
        let cumulative = self.tracker.cumulative();
        match &mut self.assembly {
            Assembly::Data(reassembly) => reassembly.forward(place, cumulative, chunk, inbox, drops),
            Assembly::IData(_) => Ok(()),
        }
    }

    /// Takes in an I-FORWARD-TSN (RFC 8260, section 2.3.1).
    pub(crate) fn on_i_forward_tsn(
        &mut self,
        chunk: &IForwardTsn<'_>,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        if self.move_forward(chunk.new_cumulative, drops).is_none() {
            return Ok(());
        }
        if let Assembly::IData(interleaved) = &mut self.assembly {
            interleaved.forward(chunk, inbox);
        }
        self.assembly.advance(self.tracker.cumulative(), inbox, drops)
    }

    /// Defers or performs the reset of incoming streams (RFC 6525, section 5.2.2); `true` when it is done already.
    pub(crate) fn reset_streams(
        &mut self,
        last_tsn: Tsn,
        streams: Option<Vec<StreamId>>,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<bool, Violation> {
        let last = self.place(last_tsn);
        self.assembly.order().defer_reset(last, streams);
        self.assembly.advance(self.tracker.cumulative(), inbox, drops)?;
        Ok(!self.awaits_reset())
    }

    /// The peer goes on with another TSN, and all its streams begin anew.
    pub(crate) fn restart(&mut self, config: &Config, kind: DataKind, next: Tsn) {
        self.tracker.jump(next);
        let cumulative = self.tracker.cumulative();
        self.assembly = Assembly::new(kind, config, cumulative);
    }

    /// Whether a reset waits for data.
    pub(crate) fn awaits_reset(&mut self) -> bool {
        self.assembly.order().awaits_reset()
    }

    /// A packet is done: what is owed to the peer now?
    pub(crate) fn end_of_packet(&mut self) -> Ack {
        if std::mem::take(&mut self.has_data) {
            self.received = true;
            self.packets = self.packets.saturating_add(1);
            // "an acknowledgement SHOULD be generated for at least every second packet"; section 7.2.4: with a hole in
            // the TSN sequence, "every time a packet arrives carrying data until the hole is filled".
            let now = std::mem::take(&mut self.urgent) || self.packets >= 2 || self.tracker.has_gaps();
            match self.ack {
                Ack::Now => {}
                _ if now => self.ack = Ack::Now,
                _ => self.ack = Ack::Delayed,
            }
        }
        self.ack
    }

    /// The lowest TSN that the packet at hand has brought for the first time.
    pub(crate) fn take_fresh(&mut self) -> Option<Place> {
        self.fresh.take()
    }

    /// Whether the packet at hand has brought DATA or a FORWARD TSN.
    pub(crate) fn has_new_packet(&self) -> bool {
        self.has_data
    }

    pub(crate) fn ack(&self) -> Ack {
        self.ack
    }

    /// Makes the next packet carry a SACK.
    pub(crate) fn acknowledge_now(&mut self) {
        self.ack = Ack::Now;
    }

    /// Makes the next packet carry a SACK, if there is anything to tell.
    pub(crate) fn repeat_ack(&mut self) {
        if self.received {
            self.ack = Ack::Now;
        }
    }

    /// The application took messages. "Send a window update only if the window can be increased by at least a quarter
    /// of the receive buffer size of the association."
    pub(crate) fn on_consumed(&mut self, now: Instant, bytes: usize, round_trip: Duration, inbox: &Inbox) {
        self.window.on_consumed(now, bytes, round_trip);
        if self.free(inbox) >= self.advertised + self.window.size() / 4 {
            self.ack = Ack::Now;
        }
    }

    /// Appends a SACK of at most `room` bytes; `false` when it does not fit.
    pub(crate) fn write_sack(
        &mut self,
        inbox: &Inbox,
        room: usize,
        packet: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(items) = room.checked_sub(SACK_MIN_LEN).map(|rest| rest / SACK_ITEM_LEN) else {
            return false;
        };
        // Silly window avoidance: a window smaller than a packet is no window.
        let free = self.free(inbox);
        self.advertised = if free < packet { 0 } else { free };
        let cumulative = self.tracker.cumulative();
        let duplicates = self.tracker.take_duplicates();
        let blocks = self.tracker.blocks(items);
        let left = items - blocks.len();
        write_sack(
            out,
            cumulative.tsn(),
            u32::try_from(self.advertised).unwrap_or(u32::MAX),
            blocks,
            &duplicates[..duplicates.len().min(left)],
        );
        self.tracker.give_back(duplicates);
        self.ack = Ack::None;
        self.packets = 0;
        true
    }
}
