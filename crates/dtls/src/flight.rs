//! Flights of messages: cut and packed into datagrams, and sent again when time is up (RFC 6347, section 4.2.4) or
//! when the peer says what of it arrived (RFC 9147, section 7.2).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::fragment::{self, put_header};
use crate::message::HandshakeType;
use crate::ranges::Ranges;
use crate::record::header::{ContentType, HEADER_LEN as RECORD_HEADER_LEN};
use crate::record::{RecordNumber, Records};

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
/// However short the round trip was, the peer's machine may be busy.
const SHORTEST_ESTIMATE: Duration = Duration::from_millis(50);
/// Records that an ACK can still name. The longest flight that we send has a fraction of it.
const MAX_SENT: usize = 256;
/// Places where a transmission may begin, of those where the last one was cut.
const MAX_CUTS: usize = 32;
/// Datagrams that even a tunnel in a tunnel carries: what a flight is cut to when larger ones vanish.
///
/// > If repeated retransmissions do not result in a response, and the PMTU is unknown, subsequent retransmissions
/// > SHOULD back off to a smaller record size [...] 2-3 seems appropriate. (RFC 9147, section 4.4)
///
/// That is said of timers of a second. With a round trip to go by they are twenty times faster, and a peer that is
/// only slow must not get its flights in crumbs: the silence has to last as well.
const BACKED_OFF: [BackOff; 2] = [
    BackOff {
        timeouts: 2,
        silence: Duration::from_secs(1),
        bytes: 548,
    },
    BackOff {
        timeouts: 4,
        silence: Duration::from_secs(3),
        bytes: 256,
    },
];

/// From so many time-outs and so long a silence on, datagrams have so many bytes.
#[derive(Debug)]
struct BackOff {
    timeouts: u32,
    silence: Duration,
    bytes: usize,
}

#[derive(Debug)]
enum Item {
    /// `bytes`: the header as of a single fragment, then the body.
    Message {
        epoch: u64,
        message_seq: u16,
        bytes: Vec<u8>,
        /// What of the body the peer has.
        acked: Ranges,
        /// Messages that are acknowledged together: the handshake's flight, or one message after it.
        group: u32,
    },
    ChangeCipherSpec,
}

impl Item {
    fn is_acked(&self) -> bool {
        match self {
            Item::Message { bytes, acked, .. } => {
                let len = bytes.len() - fragment::HEADER_LEN;
                len > 0 && acked.covers(len)
            }
            Item::ChangeCipherSpec => false,
        }
    }
}

/// Where the transmission stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Somebody else's turn: no flight is out, or the last flight of a DTLS 1.2 handshake is.
    Off,
    Armed {
        at: Instant,
        interval: Duration,
    },
}

/// Which piece of which message a record carried.
#[derive(Debug, Clone, Copy)]
struct Sent {
    number: RecordNumber,
    message_seq: u16,
    start: usize,
    end: usize,
}

/// What an acknowledgement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acked {
    /// It says nothing new.
    Nothing,
    /// Some of the flight is still missing: that goes out again.
    Partly,
    /// The peer has all of it.
    All,
}

/// The flight that is out, until the peer's next one is there or all of it is acknowledged.
#[derive(Debug)]
pub(crate) struct Flight {
    items: Vec<Item>,
    /// `None`: all of it was sent.
    cursor: Option<Cursor>,
    /// Where the transmission began, and ends when it has gone round.
    begin: Cursor,
    gone_round: bool,
    /// Where the datagrams of the transmission began, but for the first.
    cuts: Vec<Cursor>,
    /// Chooses among them.
    dice: StdRng,
    timer: Timer,
    /// The number of the peer's last message before this flight: if that one comes again, the peer has not
    /// received all of this flight.
    answers: Option<u16>,
    /// When it went out last.
    started: Instant,
    /// When it went out first.
    began: Instant,
    /// How often it went out again because nothing was heard.
    timeouts: u32,
    /// What it is cut to as nothing is heard.
    backed_off: usize,
    /// How often any of it went out again at all, for whatever reason.
    repeats: u32,
    /// How long the next ACK that says nothing new has to wait before it is obeyed.
    patience: Duration,
    next_message_seq: u16,
    group: u32,
    initial: Duration,
    max: Duration,
    max_datagram: usize,
    /// DTLS 1.3: records are remembered for ACKs.
    tracks: bool,
    sent: VecDeque<Sent>,
}

impl Flight {
    pub(crate) fn new(now: Instant, initial: Duration, max: Duration, dice: StdRng) -> Self {
        Self {
            items: Vec::new(),
            cursor: None,
            begin: Cursor::at(0),
            gone_round: false,
            cuts: Vec::new(),
            dice,
            timer: Timer::Off,
            answers: None,
            started: now,
            began: now,
            timeouts: 0,
            backed_off: usize::MAX,
            repeats: 0,
            patience: MIN_ANSWER_INTERVAL,
            next_message_seq: 0,
            group: 0,
            initial: initial.clamp(SHORTEST, LONGEST),
            max: max.max(initial).clamp(SHORTEST, LONGEST),
            max_datagram: MIN_DATAGRAM,
            tracks: false,
            sent: VecDeque::new(),
        }
    }

    pub(crate) fn set_max_datagram(&mut self, bytes: usize) {
        self.max_datagram = bytes.max(MIN_DATAGRAM);
    }

    /// As configured, or less if datagrams of that size do not seem to arrive.
    pub(crate) fn max_datagram(&self) -> usize {
        self.max_datagram.min(self.backed_off)
    }

    /// > In settings where there is external information (for instance, from an ICE handshake [...]) about the RTT,
    /// > implementations SHOULD use 1.5 times that RTT estimate as the retransmit timer. (RFC 9147, section 5.8.2)
    pub(crate) fn set_round_trip(&mut self, round_trip: Duration) {
        let timeout = round_trip.saturating_mul(3) / 2;
        self.initial = timeout.max(SHORTEST_ESTIMATE).min(self.max);
        // What went out for the first time waits no longer than that either.
        if self.repeats == 0 && self.timer != Timer::Off {
            self.timer = self.armed(self.started);
        }
    }

    /// Time before the first retransmission.
    pub(crate) fn initial_timeout(&self) -> Duration {
        self.initial
    }

    /// From now on records are remembered, so that ACKs can name them.
    pub(crate) fn track_records(&mut self) {
        self.tracks = true;
    }

    /// A server that kept nothing of the first ClientHello goes on counting from the client's number.
    pub(crate) fn continue_from(&mut self, message_seq: u16) {
        self.next_message_seq = self.next_message_seq.max(message_seq);
    }

    /// > it buffers them up for transmission (emptying the buffer first) (RFC 6347, section 4.2.4)
    pub(crate) fn clear(&mut self) {
        self.items = Vec::new();
        self.sent = VecDeque::new();
        self.cursor = None;
        self.begin_at(Cursor::at(0));
        self.cursor = None;
        self.timer = Timer::Off;
        self.answers = None;
        self.timeouts = 0;
        self.backed_off = usize::MAX;
        self.repeats = 0;
        self.patience = MIN_ANSWER_INTERVAL;
    }

    /// The peer answers the flight, which is thereby acknowledged.
    ///
    /// > Implementations SHOULD retain the current timer value until a message is transmitted and acknowledged without
    /// > having to be retransmitted, at which time the value SHOULD be adjusted to 1.5 times the measured round trip
    /// > time for that message. (RFC 9147, section 5.8.2)
    pub(crate) fn answered(&mut self, now: Instant) {
        if self.repeats == 0 && !self.items.is_empty() && !self.is_sending() {
            self.set_round_trip(now.saturating_duration_since(self.started));
        }
        self.clear();
    }

    /// Adds a message; answers with its number.
    pub(crate) fn push(&mut self, epoch: u64, kind: HandshakeType, body: &[u8]) -> u16 {
        let message_seq = self.next_message_seq;
        self.next_message_seq = message_seq.wrapping_add(1);
        let mut bytes = Vec::with_capacity(fragment::HEADER_LEN + body.len());
        put_header(&mut bytes, kind, body.len(), message_seq, 0, body.len());
        bytes.extend_from_slice(body);
        self.items.push(Item::Message {
            epoch,
            message_seq,
            bytes,
            acked: Ranges::default(),
            group: self.group,
        });
        message_seq
    }

    /// The message that was pushed last, as the transcript of DTLS 1.2 has it: header and body.
    pub(crate) fn last_message(&self) -> &[u8] {
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
        self.begin_at(Cursor::at(0));
        self.answers = answers;
        self.began = now;
        self.started = now;
        self.timer = if last { Timer::Off } else { self.armed(now) };
    }

    /// Pushes and sends a message after the handshake, beside what may still be out; answers with its number.
    ///
    /// > Messages of each category can be sent independently, and reliability is established via independent state
    /// > machines (RFC 9147, section 5.8.4)
    pub(crate) fn send_one(&mut self, now: Instant, epoch: u64, kind: HandshakeType, body: &[u8]) -> u16 {
        self.group = self.group.wrapping_add(1);
        let number = self.push(epoch, kind, body);
        if self.cursor.is_none() {
            self.begin_at(Cursor::at(self.items.len().saturating_sub(1)));
            self.gone_round = true;
            self.begin = Cursor::at(0);
        }
        if self.timer == Timer::Off {
            self.began = now;
            self.started = now;
            self.timer = self.armed(now);
        }
        number
    }

    fn armed(&self, now: Instant) -> Timer {
        Timer::Armed {
            at: now + self.initial,
            interval: self.initial,
        }
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

    /// Whether there is no flight.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether a message of the peer is one that the flight answers, or one before that.
    pub(crate) fn answers(&self, message_seq: u16) -> bool {
        self.answers.is_some_and(|last| message_seq <= last)
    }

    /// Sends all that was not acknowledged again if it is time to; true if so.
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
        // The rest may not go out before the peer has sent more: begun anew, it never would.
        if self.is_sending() {
            self.rearm(now);
            return false;
        }
        let interval = (interval * 2).min(self.max);
        self.timer = Timer::Armed {
            at: now + interval,
            interval,
        };
        self.timeouts = self.timeouts.saturating_add(1);
        let silence = now.saturating_duration_since(self.began);
        for step in &BACKED_OFF {
            if self.timeouts >= step.timeouts && silence >= step.silence {
                self.backed_off = step.bytes;
            }
        }
        // Anybody can have written an ACK without protection: it saves bytes for a while, and no more than that.
        for item in &mut self.items {
            if let Item::Message { epoch: 0, acked, .. } = item {
                *acked = Ranges::default();
            }
        }
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
        self.rearm(now);
        self.restart(now);
        true
    }

    /// The peer has these records. What else there is of the flight goes out again at once.
    ///
    /// > When an implementation receives an ACK, it SHOULD record that the messages or message fragments sent in the
    /// > records being ACKed were received and omit them from any future retransmissions. (RFC 9147, section 7.2)
    pub(crate) fn on_ack(&mut self, now: Instant, numbers: impl Iterator<Item = RecordNumber>) -> Acked {
        if self.items.is_empty() {
            return Acked::Nothing;
        }
        let (mut news, mut none_named) = (Vec::new(), true);
        for number in numbers {
            none_named = false;
            for sent in self.sent.iter().filter(|sent| sent.number == number) {
                for item in &mut self.items {
                    if let Item::Message {
                        message_seq,
                        acked,
                        group,
                        ..
                    } = item
                        && *message_seq == sent.message_seq
                        && acked.gap(sent.start, sent.end).is_some()
                    {
                        acked.insert(sent.start, sent.end);
                        news.push(*group);
                    }
                }
            }
        }
        if self.items.iter().all(Item::is_acked) {
            return Acked::All;
        }
        // An empty ACK asks for everything that was not acknowledged. As it may be asked again and again, and by
        // anybody, each answer takes twice as long, and the timer goes on as if there was none.
        let asks = none_named && now >= self.started + self.patience;
        // Something is missing where something else of the same arrived.
        let missing = |item: &Item| matches!(item, Item::Message { group, .. } if !item.is_acked() && news.contains(group));
        let missing = self.items.iter().any(missing);
        if self.is_sending() || !missing && !asks {
            return Acked::Nothing;
        }
        if missing {
            self.rearm(now);
        } else {
            self.patience = (self.patience * 2).min(self.max);
        }
        self.restart(now);
        Acked::Partly
    }

    /// Whether the peer acknowledged all of a message that is part of the flight.
    pub(crate) fn has_acked(&self, number: u16) -> bool {
        let of = |item: &&Item| matches!(item, Item::Message { message_seq, .. } if *message_seq == number);
        self.items.iter().find(of).is_some_and(Item::is_acked)
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

    fn rearm(&mut self, now: Instant) {
        if let Timer::Armed { interval, .. } = self.timer {
            self.timer = Timer::Armed {
                at: now + interval,
                interval,
            };
        }
    }

    fn restart(&mut self, now: Instant) {
        let begin = self.next_begin();
        self.begin_at(begin);
        self.started = now;
        self.repeats = self.repeats.saturating_add(1);
    }

    /// Where the next transmission begins: not always where the one before did, because a loss that comes at regular
    /// intervals must not hit the same piece each time (THREATS 5). ChangeCipherSpec keeps its place before what comes
    /// after it, since some peers of DTLS 1.2 drop what overtakes it.
    fn next_begin(&mut self) -> Cursor {
        let fixed = self
            .items
            .iter()
            .any(|item| matches!(item, Item::ChangeCipherSpec));
        if self.repeats == 0 || fixed {
            return Cursor::at(0);
        }
        let at = self.dice.random_range(0..=self.cuts.len());
        self.cuts.get(at).copied().unwrap_or(Cursor::at(0))
    }

    fn begin_at(&mut self, cursor: Cursor) {
        self.cursor = Some(cursor);
        self.begin = cursor;
        self.gone_round = cursor == Cursor::at(0);
        self.cuts = Vec::new();
    }

    /// Appends one datagram of the flight, of at most `limit` bytes; false if all of it was sent, or if nothing fits.
    pub(crate) fn fill(&mut self, records: &mut Records, limit: usize, out: &mut Vec<u8>) -> bool {
        let Some(mut cursor) = self.cursor else {
            return false;
        };
        let max = self.max_datagram().min(limit);
        let start = out.len();
        let mut packer = Packer {
            records,
            start,
            max,
            out,
            open: None,
            pieces: Vec::new(),
            sent: self.tracks.then_some(&mut self.sent),
        };
        // Behind the last message the transmission goes on with the first, up to where it began.
        let end = |gone_round: bool| match gone_round && self.begin > Cursor::at(0) {
            true => self.begin,
            false => Cursor::at(self.items.len()),
        };
        let mut gone_round = self.gone_round;
        loop {
            if cursor >= Cursor::at(self.items.len()) && !gone_round {
                (gone_round, cursor) = (true, Cursor::at(0));
            }
            if cursor >= end(gone_round) {
                break;
            }
            let Some(item) = self.items.get(cursor.item) else {
                break;
            };
            let next = match item {
                Item::ChangeCipherSpec => packer.change_cipher_spec().then_some(Cursor::at(cursor.item + 1)),
                Item::Message {
                    epoch,
                    message_seq,
                    bytes,
                    acked,
                    ..
                } => {
                    let len = bytes.len() - fragment::HEADER_LEN;
                    let until = match end(gone_round) {
                        end if end.item == cursor.item => end.offset,
                        _ => len,
                    };
                    match acked.gap(cursor.offset, until) {
                        None if len > 0 => Some(Cursor::at(cursor.item + 1)),
                        gap => {
                            let (from, to) = gap.unwrap_or((0, 0));
                            packer
                                .message(*epoch, *message_seq, bytes, from, to)
                                .map(|offset| {
                                    if offset >= len {
                                        Cursor::at(cursor.item + 1)
                                    } else {
                                        Cursor { offset, ..cursor }
                                    }
                                })
                        }
                    }
                }
            };
            match next {
                Some(next) => cursor = next,
                None => break,
            }
        }
        packer.close();
        let progressed = out.len() > start;
        // Without progress there never will be any: no keys for what is to be sent, or no numbers left. With a limit
        // there will be, when it is lifted.
        let waits = limit < self.max_datagram();
        let more = cursor < end(gone_round) || !gone_round;
        self.gone_round = gone_round;
        if progressed && more && self.cuts.len() < MAX_CUTS {
            self.cuts.push(cursor);
        }
        self.cursor = (more && (progressed || waits)).then_some(cursor);
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
    open: Option<(u64, usize)>,
    /// What is in that record: number of the message, and from where to where.
    pieces: Vec<(u16, usize, usize)>,
    /// Where to write down what the records carried, for ACKs.
    sent: Option<&'a mut VecDeque<Sent>>,
}

impl Packer<'_> {
    fn room(&self) -> usize {
        let trailer = self.open.map_or(0, |(epoch, _)| self.records.trailer(epoch));
        (self.start + self.max).saturating_sub(self.out.len() + trailer)
    }

    /// > a record size limit [...] applies to [...] all protected records (after RFC 8449, section 4)
    fn content_room(&self, epoch: u64) -> usize {
        let written = self.open.map_or(0, |(epoch, record)| {
            self.out.len() - record - (self.records.overhead(epoch) - self.records.trailer(epoch))
        });
        match epoch {
            0 => usize::MAX,
            _ => self.records.max_content.sent.saturating_sub(written),
        }
    }

    fn close(&mut self) {
        let Some((epoch, record)) = self.open.take() else {
            return;
        };
        let number = self
            .records
            .finish(epoch, ContentType::Handshake, self.out, record);
        let Some(sent) = &mut self.sent else {
            self.pieces.clear();
            return;
        };
        for (message_seq, start, end) in self.pieces.drain(..) {
            if sent.len() >= MAX_SENT {
                sent.pop_front();
            }
            sent.push_back(Sent {
                number,
                message_seq,
                start,
                end,
            });
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

    /// As much as there is room for of the part `from..to` of a message; answers with the new offset.
    fn message(
        &mut self,
        epoch: u64,
        message_seq: u16,
        bytes: &[u8],
        from: usize,
        to: usize,
    ) -> Option<usize> {
        let (header, body) = bytes.split_at(fragment::HEADER_LEN);
        let whole = from == 0 && to == body.len() && bytes.len() <= self.room().min(self.content_room(epoch));
        // Only whole messages share a record: some peers look for the end of a fragment where its message ends.
        let shares = whole && self.open.is_some_and(|(other, _)| other == epoch);
        let mut len = to - from;
        if !shares {
            self.close();
            let room = (self.room().checked_sub(self.records.overhead(epoch)))
                .map(|room| room.min(self.content_room(epoch)))?
                .checked_sub(fragment::HEADER_LEN)?;
            let rest = len;
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
            from,
            len,
        );
        self.out.extend_from_slice(&body[from..from + len]);
        self.pieces.push((message_seq, from, from + len));
        if len < body.len() {
            self.close();
        }
        Some(from + len)
    }
}
