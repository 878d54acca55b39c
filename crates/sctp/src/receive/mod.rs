//! The receiving half: [`tracker`] knows which TSNs have arrived, [`reassembly`] makes messages of them, and this
//! file decides when to acknowledge (RFC 9260, section 6.2) and what window to offer.

pub(crate) mod inbox;
pub(crate) mod reassembly;
pub(crate) mod tracker;

use bytes::Bytes;

use crate::config::Config;
use crate::packet::data::DataHeader;
use crate::packet::forward_tsn::ForwardTsn;
use crate::packet::sack::{SACK_ITEM_LEN, SACK_MIN_LEN, write_sack};
use crate::stats::Drops;
use crate::types::{Place, Tsn};
use inbox::Inbox;
use reassembly::{Reassembly, Violation};
use tracker::{Arrival, Tracker};

/// Fragments and messages are charged this much beyond their bytes, so that tiny ones cannot fill the memory.
pub(crate) const OVERHEAD: usize = 96;

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

/// The receiving half of an association.
#[derive(Debug)]
pub(crate) struct Receiver {
    tracker: Tracker,
    pub(crate) reassembly: Reassembly,
    window: usize,
    /// The window in the last SACK.
    advertised: usize,
    ack: Ack,
    /// Packets with DATA since the last SACK.
    packets: u8,
    /// The packet at hand brought something that must be acknowledged at once.
    urgent: bool,
    /// The packet at hand brought DATA.
    has_data: bool,
}

impl Receiver {
    pub(crate) fn new(config: &Config, initial_tsn: Tsn) -> Self {
        let first = Place::first(initial_tsn);
        Self {
            tracker: Tracker::new(first, config.max_gaps),
            reassembly: Reassembly::new(config.max_receive_message_size),
            window: config.receive_window,
            advertised: config.receive_window,
            ack: Ack::None,
            packets: 0,
            urgent: false,
            has_data: false,
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
            .saturating_sub(self.reassembly.charged() + inbox.charged())
    }

    /// Takes in a DATA chunk whose user data is `range` of `datagram`.
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
        let in_order = match self.tracker.classify(place) {
            Arrival::InOrder => true,
            Arrival::Ahead => false,
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
        };
        // "When the receiver's advertised window is 0, the receiver MUST drop any new incoming DATA chunk with a TSN
        // larger than the largest TSN received so far." What comes next in order is let in a little longer: it is
        // what sets the rest free.
        let used = self.reassembly.charged() + inbox.charged();
        let limit = if in_order {
            self.window + self.window / 8
        } else {
            self.window
        };
        if used + range.len() > limit {
            self.urgent = true;
            drops.no_room += 1;
            return Ok(());
        }
        self.tracker.record(place);
        if valid_stream {
            self.reassembly
                .push(place, in_order, header, datagram, range, inbox, drops)?;
        }
        if in_order {
            self.reassembly.advance(self.tracker.cumulative(), inbox, drops)?;
        }
        Ok(())
    }

    /// Takes in a FORWARD TSN (RFC 3758, section 3.6).
    pub(crate) fn on_forward_tsn(
        &mut self,
        chunk: &ForwardTsn<'_>,
        inbox: &mut Inbox,
        drops: &mut Drops,
    ) -> Result<(), Violation> {
        let place = self.place(chunk.new_cumulative);
        self.has_data = true;
        if place <= self.tracker.cumulative() {
            // "the data receiver MUST treat this FORWARD TSN as out-of-date … The receiver SHOULD send a SACK"
            self.urgent = true;
            return Ok(());
        }
        if place.since(self.tracker.cumulative()) > tracker::MAX_FORWARD {
            drops.bad_forward_tsn += 1;
            return Ok(());
        }
        self.tracker.forward(place);
        self.reassembly
            .forward(place, self.tracker.cumulative(), chunk, inbox, drops)
    }

    /// Defers or performs the reset of incoming streams (RFC 6525, section 5.2.2); `true` when it is done already.
    pub(crate) fn reset_streams(
        &mut self,
        last_tsn: Tsn,
        streams: Option<Vec<crate::types::StreamId>>,
        inbox: &mut Inbox,
    ) -> bool {
        let last = self.place(last_tsn);
        self.reassembly
            .reset(last, streams, self.tracker.cumulative(), inbox)
    }

    /// A packet is done: what is owed to the peer now?
    pub(crate) fn end_of_packet(&mut self) -> Ack {
        if std::mem::take(&mut self.has_data) {
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

    /// The application took messages. "Send a window update only if the window can be increased by at least a quarter
    /// of the receive buffer size of the association."
    pub(crate) fn on_consumed(&mut self, inbox: &Inbox) {
        if self.free(inbox) >= self.advertised + self.window / 4 {
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
