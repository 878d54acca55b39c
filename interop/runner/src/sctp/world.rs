//! Our association, usrsctp's, and a network between them in virtual time.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_sctp::{Association, Config, Event, Ppid, Reliability, SendOptions, StreamId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::peer::{Frame, Peer};

/// usrsctp's timers tick so often.
const TICK: Duration = Duration::from_millis(10);

/// Values of the ECN field (RFC 3168, section 5).
const ECT: u8 = 0b10;
const CE: u8 = 0b11;

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Ours,
    Theirs,
}

#[derive(Debug)]
pub struct World {
    now: Instant,
    /// The time that usrsctp knows.
    their_now: Instant,
    pub rng: StdRng,
    pub ours: Association,
    pub events: Vec<Event>,
    theirs: Peer,
    pub words: Vec<String>,
    /// Messages that usrsctp has begun to deliver, in that order: with I-DATA it delivers a later one of the same stream
    /// between the pieces of a large one.
    theirs_begun: Vec<(u16, Option<Bytes>)>,
    /// Those without an end: where they are among them, and what has come.
    unfinished: HashMap<(u16, u32), (usize, Vec<u8>)>,
    refused: bool,
    /// Times that a mark has reduced usrsctp's congestion window, as it says.
    pub their_reductions: u32,
    /// The share of packets with ECT that a router marks.
    pub marked: f64,
    /// Echoes of marks on the wire, whoever sent them, and answers to them by usrsctp.
    pub echoes: u64,
    pub their_answers: u64,
    pub loss: f64,
    pub duplicate: f64,
    pub reorder: f64,
    pub delay: Duration,
    /// When, to whom, what.
    wire: VecDeque<(Instant, Side, u8, Bytes)>,
}

pub fn config(interleaving: bool) -> Config {
    let mut config = Config::default();
    config.interleaving = interleaving;
    config.max_receive_message_size = 4 << 20;
    config.max_message_size = 4 << 20;
    config.max_init_retransmits = None;
    config.max_retransmits = None;
    config
}

/// The types of a packet's chunks.
fn kinds(packet: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = packet.get(12..).unwrap_or_default();
    std::iter::from_fn(move || {
        let &[kind, _, a, b] = rest.first_chunk()?;
        let len = usize::from(u16::from_be_bytes([a, b])).max(4).next_multiple_of(4);
        rest = rest.get(len..).unwrap_or_default();
        Some(kind)
    })
}

impl World {
    pub fn new(program: &Path, seed: u64, interleaving: bool, ecn: bool) -> Result<Self, String> {
        let now = Instant::now();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = Self {
            now,
            their_now: now,
            ours: Association::new(config(interleaving), rng.random(), now),
            rng,
            events: Vec::new(),
            theirs: Peer::start(program)?,
            words: Vec::new(),
            theirs_begun: Vec::new(),
            unfinished: HashMap::new(),
            refused: false,
            their_reductions: 0,
            marked: 0.0,
            echoes: 0,
            their_answers: 0,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            delay: Duration::from_millis(10),
            wire: VecDeque::new(),
        };
        world.ask(b'n', &[&[u8::from(interleaving) | u8::from(ecn) << 1]])?;
        Ok(world)
    }

    fn push(&mut self, to: Side, mut ecn: u8, packet: Bytes) {
        for kind in kinds(&packet) {
            self.echoes += u64::from(kind == 12);
            self.their_answers += u64::from(kind == 13 && to == Side::Ours);
        }
        if self.marked > 0.0 && ecn == ECT && self.rng.random_bool(self.marked) {
            ecn = CE;
        }
        if self.rng.random_bool(self.loss) {
            return;
        }
        for _ in 0..1 + usize::from(self.rng.random_bool(self.duplicate)) {
            let mut arrives = self.now + self.delay;
            if self.rng.random_bool(self.reorder) {
                arrives += self.delay.mul_f64(self.rng.random_range(0.0..2.0));
            }
            let at = self.wire.partition_point(|(other, ..)| *other <= arrives);
            self.wire.insert(at, (arrives, to, ecn, packet.clone()));
        }
    }

    fn ask(&mut self, kind: u8, parts: &[&[u8]]) -> Result<(), String> {
        self.refused = false;
        for frame in self.theirs.ask(kind, parts)? {
            match frame {
                Frame::Packet(ecn, packet) => self.push(Side::Ours, ecn, packet),
                Frame::Reductions(times) => self.their_reductions = times,
                Frame::Word(word) => self.words.push(word),
                Frame::Refused => self.refused = true,
                Frame::Piece {
                    end,
                    stream,
                    tsn,
                    data,
                } => {
                    let key = (stream, tsn);
                    let (_, message) = self.unfinished.entry(key).or_insert_with(|| {
                        self.theirs_begun.push((stream, None));
                        (self.theirs_begun.len() - 1, Vec::new())
                    });
                    message.extend_from_slice(&data);
                    if end && let Some((at, message)) = self.unfinished.remove(&key) {
                        self.theirs_begun[at].1 = Some(message.into());
                    }
                }
            }
        }
        Ok(())
    }

    fn drain(&mut self) {
        let mut packet = Vec::new();
        while self.ours.poll_transmit(self.now, &mut packet) {
            let ecn = if self.ours.ecn_capable() { ECT } else { 0 };
            self.push(Side::Theirs, ecn, std::mem::take(&mut packet).into());
        }
        while let Some(event) = self.ours.poll_event() {
            self.events.push(event);
        }
    }

    /// Tells usrsctp what time it is, to the millisecond.
    fn tell_time(&mut self) -> Result<(), String> {
        let passed = u32::try_from((self.now - self.their_now).as_millis()).unwrap_or(u32::MAX);
        if passed > 0 {
            self.their_now += Duration::from_millis(passed.into());
            self.ask(b't', &[&passed.to_be_bytes()])?;
        }
        Ok(())
    }

    pub fn run(&mut self, time: Duration) -> Result<(), String> {
        let end = self.now + time;
        loop {
            self.drain();
            let arrival = self.wire.front().map(|(at, ..)| *at);
            let tick = Some(self.their_now + TICK);
            let next = [self.ours.poll_timeout(), tick, arrival]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return Ok(());
            };
            self.now = self.now.max(next);
            if self.now >= self.their_now + TICK || arrival.is_some_and(|at| at <= self.now) {
                self.tell_time()?;
            }
            while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
                let Some((_, to, ecn, packet)) = self.wire.pop_front() else {
                    break;
                };
                match to {
                    Side::Ours if ecn == CE => self.ours.handle_marked_datagram(self.now, packet),
                    Side::Ours => self.ours.handle_datagram(self.now, packet),
                    Side::Theirs => self.ask(b'p', &[&[ecn], &packet])?,
                }
                self.drain();
            }
            self.ours.handle_timeout(self.now);
        }
    }

    /// Runs until `done`, for `limit` at most.
    pub fn run_until(
        &mut self,
        limit: Duration,
        what: &str,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        let end = self.now + limit;
        while !done(self) {
            if self.now >= end {
                return Err(format!(
                    "{what}: not within {limit:?}; they say {:?}; {:?}",
                    self.words,
                    self.ours.stats()
                ));
            }
            self.run(TICK * 5)?;
        }
        Ok(())
    }

    /// Who does not begin listens.
    pub fn connect(&mut self, we_begin: bool, they_begin: bool) -> Result<(), String> {
        self.ask(if they_begin { b'c' } else { b'l' }, &[])?;
        if we_begin {
            self.ours.connect(self.now);
        }
        self.run_until(Duration::from_secs(120), "connecting", |world| {
            world.ours.is_connected() && world.words.iter().any(|word| word == "up")
        })
    }

    /// Asks usrsctp how often a mark has reduced its congestion window.
    pub fn count_reductions(&mut self) -> Result<(), String> {
        self.ask(b'w', &[])
    }

    /// `true` when it was taken.
    pub fn send(
        &mut self,
        by: Side,
        stream: u16,
        data: &Bytes,
        options: SendOptions,
    ) -> Result<bool, String> {
        if by == Side::Ours {
            let sent = self
                .ours
                .send(self.now, StreamId(stream), Ppid(53), data.clone(), options);
            return Ok(sent.is_ok());
        }
        // SCTP_PR_SCTP_TTL is 1, SCTP_PR_SCTP_RTX 3.
        let (policy, value) = match options.reliability {
            Reliability::Reliable => (0, 0),
            Reliability::MaxLifetime(time) => (1, u32::try_from(time.as_millis()).unwrap_or(u32::MAX)),
            Reliability::MaxRetransmits(count) => (3, u32::from(count)),
        };
        self.tell_time()?;
        let how = [u8::from(options.unordered), policy];
        self.ask(b's', &[&stream.to_be_bytes(), &how, &value.to_be_bytes(), data])?;
        Ok(!self.refused)
    }

    /// `true` when it was taken.
    pub fn reset(&mut self, by: Side, stream: u16) -> Result<bool, String> {
        if by == Side::Ours {
            self.ours.reset_stream(StreamId(stream));
            return Ok(true);
        }
        self.tell_time()?;
        self.ask(b'r', &[&stream.to_be_bytes()])?;
        Ok(!self.refused)
    }

    pub fn shut_down(&mut self, by: Side) -> Result<(), String> {
        match by {
            Side::Ours => {
                self.ours.shutdown(self.now);
                Ok(())
            }
            Side::Theirs => self.tell_time().and_then(|()| self.ask(b'x', &[])),
        }
    }

    /// We lose everything and begin anew.
    pub fn restart(&mut self, interleaving: bool) {
        self.ours = Association::new(config(interleaving), self.rng.random(), self.now);
        self.events.clear();
        self.ours.connect(self.now);
    }

    /// Forgets what usrsctp has received.
    pub fn clear_theirs(&mut self) {
        self.theirs_begun.clear();
        self.unfinished.clear();
    }

    /// Whole messages that usrsctp has received: stream and content.
    pub fn their_messages(&self) -> Vec<(u16, Bytes)> {
        let whole = |(stream, data): &(u16, Option<Bytes>)| Some((*stream, data.clone()?));
        self.theirs_begun.iter().filter_map(whole).collect()
    }

    pub fn received(&self) -> Vec<(u16, Bytes)> {
        let message = |event: &Event| match event {
            Event::Message { stream, data, .. } => Some((stream.0, data.clone())),
            _ => None,
        };
        self.events.iter().filter_map(message).collect()
    }

    pub fn has_word(&self, word: &str) -> bool {
        self.words.iter().any(|said| said == word)
    }
}
