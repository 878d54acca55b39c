//! Data channels of two sides over two associations and a bad network in virtual time: no ICE, no DTLS.

// As it reads outside of the crate, where `Config` is non-exhaustive.
#![allow(clippy::field_reassign_with_default)]

mod model;
mod rules;
mod scale;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_sctp::{Association, Ppid, SendOptions, StreamId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::config::Config;
use crate::data_channel::{ChannelId, DataChannelInit, Message, Piece};
use crate::data_channel_table::{Channels, Parity};
use crate::error::{CreateChannelError, PieceError, SendMessageError};
use crate::event::Event;
use crate::peer_connection::pump_channels;
use crate::state::ChannelState;

pub(super) const A: usize = 0;
pub(super) const B: usize = 1;

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

/// One peer from the association upwards.
pub(super) struct Side {
    pub(super) sctp: Option<Association>,
    pub(super) channels: Channels,
    pub(super) events: VecDeque<Event>,
    /// What was told, in order.
    pub(super) told: Vec<Event>,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) sides: [Side; 2],
    pub(super) rng: StdRng,
    pub(super) loss: f64,
    pub(super) reorder: f64,
    pub(super) delay: Duration,
    wire: VecDeque<(Instant, usize, Bytes)>,
    config: Config,
}

pub(super) fn init() -> DataChannelInit {
    DataChannelInit::default()
}

impl World {
    /// A is the DTLS client. Nothing is connected.
    pub(super) fn new(config: Config, seed: u64) -> Self {
        let side = || Side {
            sctp: None,
            channels: Channels::new(&config),
            events: VecDeque::new(),
            told: Vec::new(),
        };
        Self {
            now: start(),
            sides: [side(), side()],
            rng: StdRng::seed_from_u64(seed),
            loss: 0.0,
            reorder: 0.0,
            delay: Duration::from_millis(10),
            wire: VecDeque::new(),
            config,
        }
    }

    pub(super) fn connected() -> Self {
        let mut world = Self::new(Config::default(), 1);
        world.connect();
        world
    }

    /// The descriptions are exchanged: both know their roles.
    pub(super) fn set_roles(&mut self) {
        for (side, parity) in self.sides.iter_mut().zip([Parity::Even, Parity::Odd]) {
            side.channels.set_parity(parity, &mut side.events);
        }
    }

    pub(super) fn connect(&mut self) {
        self.connect_with_streams(65_535, 65_535);
    }

    /// B takes so many streams; A grants no more than so many to who asks for more.
    pub(super) fn connect_with_streams(&mut self, streams: u16, granted: u16) {
        self.set_roles();
        let (now, config) = (
            self.now,
            crate::peer_connection::sctp_config(crate::peer_connection::Kept::of(&self.config)),
        );
        for (side, (streams, granted)) in self.sides.iter_mut().zip([(65_535, granted), (streams, 65_535)]) {
            let mut config = config.clone();
            config.streams = streams;
            config.max_streams = granted;
            let mut sctp = Association::new(config, self.rng.random(), now);
            sctp.connect(now);
            side.sctp = Some(sctp);
        }
        self.run(Duration::from_secs(1));
        assert!(self.sides.iter().all(|side| side.channels.is_connected()));
    }

    pub(super) fn create(
        &mut self,
        side: usize,
        label: &str,
        init: DataChannelInit,
    ) -> Result<ChannelId, CreateChannelError> {
        let now = self.now;
        let side = &mut self.sides[side];
        let id = side.channels.create(label, init)?;
        if side.channels.is_connected()
            && let Some(sctp) = &mut side.sctp
        {
            side.channels.open(now, id, sctp, &mut side.events);
        }
        Ok(id)
    }

    pub(super) fn send(
        &mut self,
        side: usize,
        id: ChannelId,
        message: impl Into<Message>,
    ) -> Result<(), SendMessageError> {
        let side = &mut self.sides[side];
        side.channels
            .send(self.now, id, message.into(), side.sctp.as_mut())
    }

    pub(super) fn send_piece(
        &mut self,
        side: usize,
        id: ChannelId,
        piece: Bytes,
        last: bool,
    ) -> Result<(), PieceError> {
        let side = &mut self.sides[side];
        side.channels
            .send_piece(self.now, id, piece, last, side.sctp.as_mut())
    }

    pub(super) fn close(&mut self, side: usize, id: ChannelId) {
        let side = &mut self.sides[side];
        side.channels.close(id, side.sctp.as_mut(), &mut side.events);
    }

    /// Something that our own channels would not send.
    pub(super) fn send_raw(&mut self, side: usize, stream: u16, ppid: u32, data: impl Into<Bytes>) {
        let sctp = self.sides[side].sctp.as_mut().unwrap();
        sctp.send(
            self.now,
            StreamId(stream),
            Ppid(ppid),
            data.into(),
            SendOptions::default(),
        )
        .unwrap();
    }

    pub(super) fn receive(&mut self, side: usize, id: ChannelId) -> Option<Message> {
        let side = &mut self.sides[side];
        side.channels.receive(id, side.sctp.as_mut(), &mut side.events)
    }

    pub(super) fn all(&mut self, side: usize, id: ChannelId) -> Vec<Message> {
        std::iter::from_fn(|| self.receive(side, id)).collect()
    }

    pub(super) fn receive_piece(&mut self, side: usize, id: ChannelId) -> Option<Piece> {
        self.sides[side].channels.receive_piece(id)
    }

    pub(super) fn state(&self, side: usize, id: ChannelId) -> Option<ChannelState> {
        self.sides[side].channels.get(id).map(|channel| channel.state)
    }

    pub(super) fn buffered(&self, side: usize, id: ChannelId) -> usize {
        let side = &self.sides[side];
        side.channels.buffered_amount(id, side.sctp.as_ref())
    }

    /// The channels that the other side opened, in the order in which that was told.
    pub(super) fn accepted(&self, side: usize) -> Vec<ChannelId> {
        let accepted = |event: &Event| match event {
            Event::DataChannel(id) => Some(*id),
            _ => None,
        };
        self.sides[side].told.iter().filter_map(accepted).collect()
    }

    pub(super) fn count(&self, side: usize, what: impl Fn(&Event) -> bool) -> usize {
        self.sides[side].told.iter().filter(|event| what(event)).count()
    }

    fn drain(&mut self) {
        for index in [A, B] {
            loop {
                let side = &mut self.sides[index];
                pump_channels(self.now, &mut side.channels, &mut side.sctp, &mut side.events);
                side.told.extend(side.events.drain(..));
                let Some(sctp) = &mut side.sctp else { break };
                let mut packet = Vec::new();
                if !sctp.poll_transmit(self.now, &mut packet) {
                    pump_channels(self.now, &mut side.channels, &mut side.sctp, &mut side.events);
                    side.told.extend(side.events.drain(..));
                    break;
                }
                if self.loss > 0.0 && self.rng.random_bool(self.loss) {
                    continue;
                }
                let mut arrives = self.now + self.delay;
                if self.reorder > 0.0 && self.rng.random_bool(self.reorder) {
                    arrives += self.delay.mul_f64(self.rng.random_range(0.0..3.0));
                }
                let at = self.wire.partition_point(|(other, ..)| *other <= arrives);
                self.wire.insert(at, (arrives, 1 - index, packet.into()));
            }
        }
    }

    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.drain();
            let timers = self
                .sides
                .iter()
                .filter_map(|side| side.sctp.as_ref()?.poll_timeout());
            let arrival = self.wire.front().map(|(at, ..)| *at);
            let Some(next) = timers.chain(arrival).min().filter(|next| *next <= end) else {
                break;
            };
            self.now = self.now.max(next);
            while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
                let Some((_, to, packet)) = self.wire.pop_front() else {
                    break;
                };
                if let Some(sctp) = &mut self.sides[to].sctp {
                    sctp.handle_datagram(self.now, packet);
                }
                self.drain();
            }
            for side in &mut self.sides {
                if let Some(sctp) = &mut side.sctp {
                    sctp.handle_timeout(self.now);
                }
            }
        }
        self.now = end;
        self.drain();
    }
}
