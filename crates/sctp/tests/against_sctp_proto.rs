//! Our association against one that we did not write: the crate `sctp-proto`, in virtual time, over networks that lose,
//! duplicate and reorder. Every reliable message arrives once, unharmed and in order, both ways; of the others nothing
//! arrives twice or harmed. It knows neither I-DATA nor zero checksums, so this is DATA with CRC32c.
//!
//! `SEEDS=10000 cargo test -p dunlin-sctp --release --test against_sctp_proto` runs more of them; `SEED=7` runs one.

// What sctp-proto wants.
#![allow(clippy::disallowed_types)]

mod common;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::wire::{Sent, Wire, check, content, received, seeds};
use common::{millis, start};
use dunlin_sctp::{Association, Config, Event, Ppid, Reliability, SendOptions, StreamId};
use rand::RngExt;
use sctp_proto as other;

fn address() -> SocketAddr {
    "127.0.0.1:5000".parse().unwrap()
}

fn transport() -> Arc<other::TransportConfig> {
    Arc::new(
        other::TransportConfig::default()
            .with_max_send_message_size(200_000)
            .with_max_receive_message_size(200_000),
    )
}

/// The other association and the endpoint that it needs. Each INIT that comes, be it for the second time, makes the endpoint
/// begin another one; the one whose cookie we echo is the one.
struct Theirs {
    endpoint: other::Endpoint,
    associations: Vec<(other::AssociationHandle, other::Association)>,
    connected: Option<other::AssociationHandle>,
    lost: bool,
    messages: Vec<(u16, Bytes)>,
    finished: BTreeSet<u16>,
}

impl Theirs {
    fn new() -> Self {
        let mut endpoint = other::EndpointConfig::new();
        endpoint.max_payload_size(1172);
        let mut server = other::ServerConfig::new();
        server.transport = transport();
        Self {
            endpoint: other::Endpoint::new(endpoint.into(), Some(server.into())),
            associations: Vec::new(),
            connected: None,
            lost: false,
            messages: Vec::new(),
            finished: BTreeSet::new(),
        }
    }

    fn connect(&mut self) {
        let mut client = other::ClientConfig::new();
        client.transport = transport();
        self.associations
            .push(self.endpoint.connect(client, address()).unwrap());
    }

    fn handle(&mut self, now: Instant, packet: Bytes) {
        match self.endpoint.handle(now, address(), None, None, packet) {
            Some((handle, other::DatagramEvent::NewAssociation(association))) => {
                self.associations.push((handle, association));
            }
            Some((handle, other::DatagramEvent::AssociationEvent(event))) => {
                let mut all = self.associations.iter_mut();
                if let Some((_, association)) = all.find(|(other, _)| *other == handle) {
                    association.handle_event(event);
                }
            }
            None => {}
        }
        self.drain();
    }

    fn drain(&mut self) {
        for (handle, association) in &mut self.associations {
            while association.accept_stream().is_some() {}
            for id in association.stream_ids() {
                let Ok(mut stream) = association.stream(id) else {
                    continue;
                };
                while let Ok(Some(chunks)) = stream.read_sctp() {
                    let mut data = vec![0; chunks.len()];
                    let len = chunks.read(&mut data).unwrap();
                    assert_eq!(len, data.len());
                    self.messages.push((id, data.into()));
                }
            }
            while let Some(event) = association.poll() {
                match event {
                    other::Event::Connected => self.connected = Some(*handle),
                    other::Event::AssociationLost { .. } | other::Event::HandshakeFailed { .. } => {
                        self.lost = true
                    }
                    other::Event::Stream(other::StreamEvent::Finished { id }) => {
                        self.finished.insert(id);
                    }
                    _ => {}
                }
            }
            while let Some(event) = association.poll_endpoint_event() {
                self.endpoint.handle_event(*handle, event);
            }
        }
    }

    fn packets(&mut self, now: Instant) -> Vec<Bytes> {
        let mut packets = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            gather(transmit, &mut packets);
        }
        for (_, association) in &mut self.associations {
            while let Some(transmit) = association.poll_transmit(now) {
                gather(transmit, &mut packets);
            }
        }
        self.drain();
        packets
    }

    /// The association that is connected.
    fn current(&mut self) -> Option<&mut other::Association> {
        let connected = self.connected?;
        let mut all = self.associations.iter_mut();
        all.find(|(handle, _)| *handle == connected)
            .map(|(_, association)| association)
    }

    fn send(&mut self, stream: u16, data: &Bytes, options: SendOptions) -> bool {
        let Some(association) = self.current() else {
            return false;
        };
        if association.stream(stream).is_err() {
            let opened = association.open_stream(stream, other::PayloadProtocolIdentifier::Binary);
            if opened.is_err() {
                return false;
            }
        }
        let Ok(mut stream) = association.stream(stream) else {
            return false;
        };
        let (kind, value) = match options.reliability {
            Reliability::Reliable => (other::ReliabilityType::Reliable, 0),
            Reliability::MaxRetransmits(count) => (other::ReliabilityType::Rexmit, u32::from(count)),
            Reliability::MaxLifetime(time) => (other::ReliabilityType::Timed, time.as_millis() as u32),
        };
        stream
            .set_reliability_params(options.unordered, kind, value)
            .unwrap();
        stream
            .write_sctp(data, other::PayloadProtocolIdentifier::Binary)
            .is_ok()
    }
}

fn gather(transmit: other::Transmit, packets: &mut Vec<Bytes>) {
    if let other::Payload::RawEncode(all) = transmit.payload {
        packets.extend(all);
    }
}

struct World {
    now: Instant,
    ours: Association,
    events: Vec<Event>,
    theirs: Theirs,
    wire: Wire,
}

fn config() -> Config {
    let mut config = Config::default();
    config.max_datagram = 1172;
    config.max_message_size = 200_000;
    config.max_init_retransmits = None;
    config.max_retransmits = None;
    config
}

impl World {
    fn new(seed: u64) -> Self {
        let now = start();
        let mut wire = Wire::new(seed);
        Self {
            now,
            ours: Association::new(config(), wire.rng.random(), now),
            events: Vec::new(),
            theirs: Theirs::new(),
            wire,
        }
    }

    fn drain(&mut self) {
        let mut packet = Vec::new();
        while self.ours.poll_transmit(self.now, &mut packet) {
            self.wire
                .push(self.now, false, std::mem::take(&mut packet).into());
        }
        while let Some(event) = self.ours.poll_event() {
            self.events.push(event);
        }
        for packet in self.theirs.packets(self.now) {
            self.wire.push(self.now, true, packet);
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..5_000_000 {
            self.drain();
            let timers = self.theirs.associations.iter();
            let their_timer = timers.filter_map(|(_, a)| a.poll_timeout()).min();
            let next = [self.ours.poll_timeout(), their_timer, self.wire.next()]
                .into_iter()
                .flatten()
                .min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while let Some((to_us, packet)) = self.wire.pop(self.now) {
                if to_us {
                    self.ours.handle_datagram(self.now, packet);
                } else {
                    self.theirs.handle(self.now, packet);
                }
                self.drain();
            }
            self.ours.handle_timeout(self.now);
            for (_, association) in &mut self.theirs.associations {
                association.handle_timeout(self.now);
            }
            self.theirs.drain();
        }
        panic!("no end");
    }

    fn connect(&mut self, we_begin: bool, they_begin: bool) {
        if we_begin {
            self.ours.connect(self.now);
        }
        if they_begin {
            self.theirs.connect();
        }
        for _ in 0..1000 {
            if self.ours.is_connected() && self.theirs.connected.is_some() {
                return;
            }
            self.run(millis(100));
        }
        panic!("not connected");
    }
}

fn random(seed: u64) {
    let mut world = World::new(seed);
    world.wire.worsen();
    // Its endpoint knows no simultaneous opening.
    let we_begin = world.wire.rng.random_bool(0.5);
    world.connect(we_begin, !we_begin);
    let mut sent: Vec<Sent> = Vec::new();
    for _ in 0..world.wire.rng.random_range(10..80) {
        let message = Sent::random(&mut world.wire.rng);
        let Sent {
            by_us,
            stream,
            len,
            options,
        } = message;
        let data = content(sent.len() as u32, len);
        let now = world.now;
        let taken = if by_us {
            world
                .ours
                .send(now, StreamId(stream), Ppid(53), data, options)
                .is_ok()
        } else {
            world.theirs.send(stream, &data, options)
        };
        if taken {
            sent.push(message);
        }
        if world.wire.rng.random_bool(0.6) {
            let time = world.wire.rng.random_range(0..100);
            world.run(millis(time));
        }
    }
    world.run(Duration::from_secs(600));
    assert!(!world.theirs.lost && world.ours.is_connected());
    check(&sent, &world.theirs.messages, true);
    check(&sent, &received(&world.events), false);
    assert_eq!(world.ours.stats().bytes_in_flight, 0);
}

#[test]
fn messages_of_all_kinds_cross_bad_networks_both_ways() {
    for seed in seeds(100) {
        if std::panic::catch_unwind(|| random(seed)).is_err() {
            panic!("failed: SEED={seed} cargo test -p dunlin-sctp --test against_sctp_proto");
        }
    }
}

/// Streams closed by either side while messages are under way: those arrive, then the stream can be used anew.
#[test]
fn either_side_resets_streams_and_uses_them_anew() {
    for seed in 0..30 {
        for by_us in [true, false] {
            let mut world = World::new(seed);
            world.connect(true, false);
            world.wire.loss = [0.0, 0.05, 0.1][seed as usize % 3];
            for round in 0..3u32 {
                world.theirs.finished.clear();
                let before = world.events.len();
                let now = world.now;
                let mut sent = 0;
                for id in 0..5 {
                    let data = content(id, 3000);
                    let taken = if by_us {
                        world
                            .ours
                            .send(now, StreamId(1), Ppid(53), data, SendOptions::default())
                            .is_ok()
                    } else {
                        world.theirs.send(1, &data, SendOptions::default())
                    };
                    sent += usize::from(taken);
                }
                assert_eq!(sent, 5, "seed {seed} {by_us}, round {round}");
                if by_us {
                    world.ours.reset_stream(StreamId(1));
                } else {
                    let association = world.theirs.current().unwrap();
                    association.stream(1).unwrap().close().unwrap();
                }
                // Who sees that the peer closes closes, too (RFC 8831, section 6.7).
                for _ in 0..600 {
                    world.run(millis(100));
                    let seen = |event: &Event| matches!(event, Event::StreamsReset { .. });
                    if !by_us && world.events[before..].iter().any(seen) {
                        world.ours.reset_stream(StreamId(1));
                    }
                }
                let name = format!("seed {seed}, by us {by_us}, round {round}");
                let got = if by_us {
                    std::mem::take(&mut world.theirs.messages)
                } else {
                    received(&world.events)[5 * round as usize..].to_vec()
                };
                let expected: Vec<_> = (0..5).map(|id| (1, content(id, 3000))).collect();
                assert!(got == expected, "{name}: {} messages", got.len());
                assert!(world.theirs.finished.contains(&1), "{name}");
                let done = Event::StreamResetDone(StreamId(1));
                assert!(world.events[before..].contains(&done), "{name}");
            }
        }
    }
}

/// We lose everything and begin anew, with the same ports (RFC 9260, section 5.2.4, action A).
#[test]
fn a_restart_is_survived_or_ends_the_old_association() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        world.connect(true, false);
        let now = world.now;
        world
            .ours
            .send(
                now,
                StreamId(1),
                Ppid(53),
                content(0, 50_000),
                SendOptions::default(),
            )
            .unwrap();
        let time = world.wire.rng.random_range(0..40);
        world.run(millis(time));
        world.ours = Association::new(config(), world.wire.rng.random(), now);
        world.events.clear();
        world.ours.connect(world.now);
        world.run(Duration::from_secs(120));
        if world.ours.is_connected() {
            world.theirs.messages.clear();
            let now = world.now;
            world
                .ours
                .send(
                    now,
                    StreamId(2),
                    Ppid(53),
                    content(1, 5000),
                    SendOptions::default(),
                )
                .unwrap();
            world.run(Duration::from_secs(60));
            let got = world.theirs.messages.contains(&(2, content(1, 5000)));
            assert!(got || world.theirs.lost, "seed {seed}");
        } else {
            // It answers with an ABORT, or not at all, and we keep trying or end: without a busy loop or a panic.
            assert!(received(&world.events).is_empty(), "seed {seed}");
        }
    }
}
