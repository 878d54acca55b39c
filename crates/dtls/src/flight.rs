//! Flights of messages: cut and packed into datagrams, and sent again when time is up (RFC 6347, section 4.2.4).

use std::time::{Duration, Instant};

use dunlin_crypto::aead::TAG_LEN;

use crate::fragment::{self, put_header};
use crate::message::HandshakeType;
use crate::record::Records;
use crate::record::header::{ContentType, HEADER_LEN as RECORD_HEADER_LEN};

/// The smallest datagram that we cut to: below it, headers would be all there is.
pub(crate) const MIN_DATAGRAM: usize = 64;
/// No fragment shorter than this is put at the end of a datagram, unless it ends its message.
const MIN_FRAGMENT: usize = 32;
/// A flight goes out at most this often in answer to a repeated flight of the peer: datagrams that the network
/// duplicates, and forged ones, must not become a stream.
const MIN_ANSWER_INTERVAL: Duration = Duration::from_millis(25);
/// How long a peer gets from its path being ready to its DTLS being so. libdatachannel fails the handshake when our
/// certificate comes while it still takes our description in another thread; libwebrtc begins with 50 ms, too.
const SOON: Duration = Duration::from_millis(50);
/// A time-out of nothing would be a loop.
const SHORTEST: Duration = Duration::from_millis(1);
/// Beyond this, waiting is not waiting any more.
const LONGEST: Duration = Duration::from_secs(3600);

#[derive(Debug)]
enum Item {
    /// `bytes`: the header as of a single fragment, then the body.
    Message {
        epoch: u16,
        message_seq: u16,
        bytes: Vec<u8>,
    },
    ChangeCipherSpec,
}

/// Where the transmission stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    item: usize,
    offset: usize,
}

impl Cursor {
    fn at(item: usize) -> Self {
        Self { item, offset: 0 }
    }
}

/// What happens when the peer stays silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    /// Somebody else's turn: no flight is out, or the last flight of the handshake is.
    Off,
    Armed {
        at: Instant,
        interval: Duration,
    },
}

/// The flight that is out, until the peer's next one is there.
#[derive(Debug)]
pub(crate) struct Flight {
    items: Vec<Item>,
    /// `None`: all of it was sent.
    cursor: Option<Cursor>,
    timer: Timer,
    /// The number of the peer's last message before this flight: if that one comes again, the peer has not
    /// received all of this flight.
    answers: Option<u16>,
    started: Instant,
    next_message_seq: u16,
    initial: Duration,
    max: Duration,
    max_datagram: usize,
}

impl Flight {
    pub(crate) fn new(now: Instant, initial: Duration, max: Duration) -> Self {
        Self {
            items: Vec::new(),
            cursor: None,
            timer: Timer::Off,
            answers: None,
            started: now,
            next_message_seq: 0,
            initial: initial.clamp(SHORTEST, LONGEST),
            max: max.max(initial).clamp(SHORTEST, LONGEST),
            max_datagram: MIN_DATAGRAM,
        }
    }

    pub(crate) fn set_max_datagram(&mut self, bytes: usize) {
        self.max_datagram = bytes.max(MIN_DATAGRAM);
    }

    pub(crate) fn max_datagram(&self) -> usize {
        self.max_datagram
    }

    /// > it buffers them up for transmission (emptying the buffer first) (RFC 6347, section 4.2.4)
    pub(crate) fn clear(&mut self) {
        self.items = Vec::new();
        self.cursor = None;
        self.timer = Timer::Off;
        self.answers = None;
    }

    /// Adds a message; answers with it as the transcript has it.
    pub(crate) fn push(&mut self, epoch: u16, kind: HandshakeType, body: &[u8]) -> &[u8] {
        let message_seq = self.next_message_seq;
        self.next_message_seq += 1;
        let mut bytes = Vec::with_capacity(fragment::HEADER_LEN + body.len());
        put_header(&mut bytes, kind, body.len(), message_seq, 0, body.len());
        bytes.extend_from_slice(body);
        self.items.push(Item::Message {
            epoch,
            message_seq,
            bytes,
        });
        match self.items.last() {
            Some(Item::Message { bytes, .. }) => bytes,
            _ => &[],
        }
    }

    pub(crate) fn push_change_cipher_spec(&mut self) {
        self.items.push(Item::ChangeCipherSpec);
    }

    /// Sends what was pushed. `answers`: the number of the peer's message that it answers, if any. `last`: the
    /// peer has nothing to send that would stop a timer, so there is none.
    pub(crate) fn start(&mut self, now: Instant, answers: Option<u16>, last: bool) {
        self.cursor = Some(Cursor { item: 0, offset: 0 });
        self.answers = answers;
        self.started = now;
        self.timer = if last {
            Timer::Off
        } else {
            Timer::Armed {
                at: now + self.initial,
                interval: self.initial,
            }
        };
    }

    /// The peer's next flight is whole, or the handshake is over: nothing is sent again.
    pub(crate) fn stop_timer(&mut self) {
        self.timer = Timer::Off;
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        match self.timer {
            Timer::Off => None,
            Timer::Armed { at, .. } => Some(at),
        }
    }

    pub(crate) fn is_sending(&self) -> bool {
        self.cursor.is_some()
    }

    /// Sends all again if it is time to; true if so.
    ///
    /// > Implementations SHOULD use an initial timer value of 1 second [...] and double the value at each
    /// > retransmission, up to no less than the RFC 6298 maximum of 60 seconds. (RFC 6347, section 4.2.4.1)
    pub(crate) fn on_timeout(&mut self, now: Instant) -> bool {
        let Timer::Armed { at, interval } = self.timer else {
            return false;
        };
        if now < at {
            return false;
        }
        let interval = (interval * 2).min(self.max);
        self.timer = Timer::Armed {
            at: now + interval,
            interval,
        };
        self.restart(now);
        true
    }

    /// > The implementation reads a retransmitted flight from the peer: the implementation transitions to the
    /// > SENDING state, where it retransmits the flight, resets the retransmit timer (RFC 6347, section 4.2.4)
    ///
    /// The peer's flight counts as repeated when the end of its last message is. True if it is sent again.
    pub(crate) fn on_repeated(&mut self, now: Instant, message_seq: u16) -> bool {
        if self.answers != Some(message_seq)
            || self.is_sending()
            || now < self.started + MIN_ANSWER_INTERVAL
            || self.items.is_empty()
        {
            return false;
        }
        if let Timer::Armed { interval, .. } = self.timer {
            self.timer = Timer::Armed {
                at: now + interval,
                interval,
            };
        }
        self.restart(now);
        true
    }

    /// All is sent again soon, and then as if for the first time.
    pub(crate) fn hurry(&mut self, now: Instant) {
        let Timer::Armed { at, .. } = self.timer else {
            return;
        };
        if !self.is_sending() && now + SOON < at {
            // Doubled when it fires, this is the initial interval.
            let interval = (self.initial / 2).max(SHORTEST);
            self.timer = Timer::Armed {
                at: now + SOON,
                interval,
            };
        }
    }

    fn restart(&mut self, now: Instant) {
        self.cursor = Some(Cursor { item: 0, offset: 0 });
        self.started = now;
    }

    /// Appends one datagram of the flight; false if all of it was sent.
    pub(crate) fn fill(&mut self, records: &mut Records, out: &mut Vec<u8>) -> bool {
        let Some(mut cursor) = self.cursor else {
            return false;
        };
        let start = out.len();
        let mut packer = Packer {
            records,
            start,
            max: self.max_datagram,
            out,
            open: None,
        };
        while let Some(item) = self.items.get(cursor.item) {
            let next = match item {
                Item::ChangeCipherSpec => packer.change_cipher_spec().then_some(Cursor::at(cursor.item + 1)),
                Item::Message {
                    epoch,
                    message_seq,
                    bytes,
                } => packer
                    .message(*epoch, *message_seq, bytes, cursor.offset)
                    .map(|offset| {
                        let whole = offset + fragment::HEADER_LEN == bytes.len();
                        if whole {
                            Cursor::at(cursor.item + 1)
                        } else {
                            Cursor { offset, ..cursor }
                        }
                    }),
            };
            match next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        packer.close();
        let progressed = out.len() > start;
        // Without progress there never will be any: no keys for what is to be sent, or no numbers left.
        self.cursor = (cursor.item < self.items.len() && progressed).then_some(cursor);
        progressed
    }
}

/// Puts records into one datagram.
struct Packer<'a> {
    records: &'a mut Records,
    out: &'a mut Vec<u8>,
    start: usize,
    max: usize,
    /// Epoch and begin of the record that further whole messages may go into:
    ///
    /// > multiple handshake messages may be placed in the same DTLS record, provided that there is room and that
    /// > they are part of the same flight (RFC 6347, section 4.2.3)
    open: Option<(u16, usize)>,
}

impl Packer<'_> {
    fn room(&self) -> usize {
        // Closing a protected record appends its tag.
        let tag = if self.open.is_some_and(|(epoch, _)| epoch > 0) {
            TAG_LEN
        } else {
            0
        };
        (self.start + self.max).saturating_sub(self.out.len() + tag)
    }

    fn close(&mut self) {
        if let Some((epoch, record)) = self.open.take() {
            self.records
                .finish(epoch, ContentType::Handshake, self.out, record);
        }
    }

    fn change_cipher_spec(&mut self) -> bool {
        let kind = ContentType::ChangeCipherSpec;
        self.close();
        if self.room() < RECORD_HEADER_LEN + 1 {
            return false;
        }
        let Some(record) = self.records.begin(0, kind, self.out) else {
            return false;
        };
        self.out.push(1);
        self.records.finish(0, kind, self.out, record);
        true
    }

    /// As much as there is room for of a message from `offset` on; answers with the new offset.
    fn message(&mut self, epoch: u16, message_seq: u16, bytes: &[u8], offset: usize) -> Option<usize> {
        let (header, body) = bytes.split_at(fragment::HEADER_LEN);
        let rest = body.len() - offset;
        let whole = offset == 0 && bytes.len() <= self.room();
        // Only whole messages share a record: some peers look for the end of a fragment where its message ends.
        let shares = whole && self.open.is_some_and(|(other, _)| other == epoch);
        let mut len = rest;
        if !shares {
            self.close();
            let room = self
                .room()
                .checked_sub(self.records.overhead(epoch) + fragment::HEADER_LEN)?;
            len = rest.min(room);
            let is_first = self.out.len() == self.start;
            if len < rest && (len == 0 || len < MIN_FRAGMENT && !is_first) {
                return None;
            }
            self.open = Some((
                epoch,
                self.records.begin(epoch, ContentType::Handshake, self.out)?,
            ));
        }
        put_header(
            self.out,
            HandshakeType(header[0]),
            body.len(),
            message_seq,
            offset,
            len,
        );
        self.out.extend_from_slice(&body[offset..offset + len]);
        if len < body.len() {
            self.close();
        }
        Some(offset + len)
    }
}
