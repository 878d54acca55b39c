//! Messages larger than any buffer: handed over piece by piece, and delivered in part.

#![allow(clippy::print_stdout)]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use common::*;
use dunlin_sctp::{Config, Event, MessageKey, Ppid, Reliability, SendError, SendOptions, StreamId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const PIECE: usize = 16 << 10;
/// Seeds that failed once.
const FOUND: [u64; 1] = [249];

fn config(interleaving: bool) -> Config {
    let mut config = Config::default();
    config.interleaving = interleaving;
    config.max_receive_message_size = usize::MAX;
    config.partial_delivery = Some(PIECE);
    config.receive_window = 128 << 10;
    config
}

fn begin(world: &mut World, side: usize, stream: u16, options: SendOptions) {
    let now = world.now;
    world.ends[side]
        .begin_message(now, StreamId(stream), Ppid(53), options)
        .unwrap();
}

fn piece(world: &mut World, side: usize, stream: u16, data: Bytes, last: bool) {
    let now = world.now;
    world.ends[side]
        .send_piece(now, StreamId(stream), data, last)
        .unwrap();
}

/// Byte `i` of message `id`.
fn byte(id: u32, i: usize) -> u8 {
    (i as u32)
        .wrapping_mul(2_654_435_761)
        .wrapping_add(id.wrapping_mul(40_503))
        .to_be_bytes()[0]
}

fn content(id: u32, from: usize, len: usize) -> Bytes {
    (from..from + len).map(|i| byte(id, i)).collect()
}

/// The messages of a side, put together; what was given up is not among them.
fn joined(world: &World, side: usize) -> Vec<(u16, Vec<u8>)> {
    let mut under_way: BTreeMap<MessageKey, Vec<u8>> = BTreeMap::new();
    let mut done = Vec::new();
    for event in &world.events[side] {
        match event {
            Event::Message { stream, data, .. } => done.push((stream.0, data.to_vec())),
            Event::Piece {
                message, data, last, ..
            } => {
                under_way.entry(*message).or_default().extend_from_slice(data);
                if *last && let Some(data) = under_way.remove(message) {
                    done.push((message.stream.0, data));
                }
            }
            Event::MessageAborted(message) => {
                assert!(under_way.remove(message).is_some(), "{message:?} was never begun");
            }
            _ => {}
        }
    }
    assert!(under_way.is_empty(), "never ended: {:?}", under_way.keys());
    done
}

/// A message of 64 MiB goes through a window of 128 KiB, whatever is lost; another stream is not held up by it.
#[test]
fn a_message_of_500_windows_arrives_in_pieces() {
    for interleaving in [true, false] {
        let mut world = World::connected(config(interleaving));
        world.record = false;
        for link in &mut world.links {
            link.loss = 0.01;
        }
        let total = 64 << 20;
        begin(&mut world, A, 1, SendOptions::default());
        let (mut handed, mut arrived) = (0, 0);
        let mut largest = 0;
        while arrived < total {
            while handed < total && world.ends[A].total_buffered() < 256 << 10 {
                let len = PIECE.min(total - handed);
                piece(&mut world, A, 1, content(7, handed, len), handed + len == total);
                handed += len;
            }
            world.run(millis(20));
            for event in std::mem::take(&mut world.events[B]) {
                if let Event::Piece { data, last, .. } = event {
                    let expected = data
                        .iter()
                        .enumerate()
                        .all(|(i, &got)| got == byte(7, arrived + i));
                    assert!(expected, "at {arrived}");
                    arrived += data.len();
                    largest = largest.max(data.len());
                    assert_eq!(last, arrived == total);
                }
            }
        }
        println!(
            "interleaving {interleaving}: {:?}, pieces of at most {largest}",
            world.elapsed()
        );
        // What waited behind a gap comes at once.
        assert!((PIECE..128 << 10).contains(&largest), "{largest}");
        assert!(!world.ends[A].has_open_message(StreamId(1)));
    }
}

#[test]
fn a_stream_takes_nothing_else_before_its_message_has_ended() {
    let mut world = World::connected(config(true));
    let now = world.now;
    begin(&mut world, A, 1, SendOptions::default());
    let send = |world: &mut World, stream| {
        let data = Bytes::from_static(b"x");
        world.ends[A].send(now, StreamId(stream), Ppid(51), data, SendOptions::default())
    };
    assert!(matches!(send(&mut world, 1), Err(SendError::MessageOpen { .. })));
    let again = world.ends[A].begin_message(now, StreamId(1), Ppid(53), SendOptions::default());
    assert!(matches!(again, Err(SendError::MessageOpen { .. })));
    let empty = world.ends[A].send_piece(now, StreamId(1), Bytes::new(), true);
    assert_eq!(empty, Err(SendError::Empty));
    let unknown = world.ends[A].send_piece(now, StreamId(2), Bytes::from_static(b"x"), true);
    assert!(matches!(unknown, Err(SendError::NoMessage { .. })));
    send(&mut world, 2).unwrap();
    piece(&mut world, A, 1, Bytes::from_static(b"y"), true);
    send(&mut world, 1).unwrap();
    world.run(millis(100));
    let texts: Vec<_> = joined(&world, B)
        .into_iter()
        .map(|(stream, data)| (stream, data[0]))
        .collect();
    assert_eq!(texts, [(2, b'x'), (1, b'y'), (1, b'x')]);
}

/// "nothing else can be sent between the first piece and the last" with DATA; with I-DATA everything can.
#[test]
fn a_writer_that_pauses_holds_others_up_only_where_tsns_must_be_consecutive() {
    for interleaving in [true, false] {
        let mut world = World::connected(config(interleaving));
        begin(&mut world, A, 1, SendOptions::default());
        piece(&mut world, A, 1, content(1, 0, 5000), false);
        world.run(millis(100));
        world.send(A, 2, "small");
        world.run(Duration::from_secs(100));
        assert_eq!(world.messages(B).len(), usize::from(interleaving));
        assert_eq!(world.ends[A].stats().retransmissions, 0, "a pause is no loss");
        piece(&mut world, A, 1, content(1, 5000, 10), true);
        world.run(millis(100));
        assert_eq!(joined(&world, B).len(), 2);
    }
}

/// Given up before it began, with everything acknowledged, under way, or lost: the peer keeps nothing of it, and the stream
/// goes on.
#[test]
fn a_message_that_is_given_up_leaves_nothing_behind() {
    for interleaving in [true, false] {
        for unordered in [true, false] {
            for (sent, wait, loss) in [
                (0, 0, 0.0),
                (40_000, 500, 0.0),
                (40_000, 0, 0.0),
                (40_000, 15, 0.4),
            ] {
                let mut world = World::connected(config(interleaving));
                world.links[A].loss = loss;
                let options = SendOptions {
                    unordered,
                    reliability: Reliability::Reliable,
                };
                world.send(A, 1, "before");
                begin(&mut world, A, 1, options);
                if sent > 0 {
                    piece(&mut world, A, 1, content(1, 0, sent), false);
                }
                world.run(millis(wait));
                let now = world.now;
                world.ends[A].abandon_message(now, StreamId(1));
                world.send_with(A, 1, "after", options);
                world.send(A, 2, "another");
                world.run(Duration::from_secs(20));
                let name = format!("{interleaving} {unordered} {sent} {wait}");
                let mut texts: Vec<_> = joined(&world, B)
                    .into_iter()
                    .map(|(_, data)| String::from_utf8(data).unwrap())
                    .collect();
                texts.sort();
                assert_eq!(texts, ["after", "another", "before"], "{name}");
                assert_eq!(world.ends[A].stats().bytes_in_flight, 0, "{name}");
                assert_eq!(world.ends[A].total_buffered(), 0, "{name}");
            }
        }
    }
}

/// What was queued before is delivered; what was begun and not ended is not.
#[test]
fn a_reset_gives_up_the_message_that_was_not_ended() {
    for interleaving in [true, false] {
        let mut world = World::connected(config(interleaving));
        world.send(A, 1, "before");
        begin(&mut world, A, 1, SendOptions::default());
        piece(&mut world, A, 1, content(1, 0, 100_000), false);
        world.run(millis(200));
        world.ends[A].reset_stream(StreamId(1));
        world.run(Duration::from_secs(5));
        assert!(world.notices(A).contains(&Event::StreamResetDone(StreamId(1))));
        let aborted = world.events[B]
            .iter()
            .filter(|event| matches!(event, Event::MessageAborted(_)));
        assert_eq!(aborted.count(), 1);
        world.send(A, 1, "anew");
        world.run(millis(200));
        let lengths: Vec<_> = joined(&world, B)
            .into_iter()
            .map(|(_, data)| data.len())
            .collect();
        assert_eq!(lengths, [6, 4]);
    }
}

/// A message whose time is up is given up by the sender itself, and its writer is told.
#[test]
fn pieces_of_a_message_whose_life_time_is_over_are_refused() {
    let mut world = World::connected(config(true));
    let options = SendOptions {
        unordered: false,
        reliability: Reliability::MaxLifetime(millis(300)),
    };
    begin(&mut world, A, 1, options);
    piece(&mut world, A, 1, content(1, 0, 50_000), false);
    world.run(millis(12));
    world.filter = Some(Box::new(|side, packet| side != A || !has_data(packet)));
    piece(&mut world, A, 1, content(1, 50_000, 50_000), false);
    world.run(Duration::from_secs(5));
    world.filter = None;
    world.run(Duration::from_secs(5));
    let now = world.now;
    let refused = world.ends[A].send_piece(now, StreamId(1), Bytes::from_static(b"z"), true);
    assert!(matches!(refused, Err(SendError::NoMessage { .. })), "{refused:?}");
    world.send(A, 1, "after");
    world.run(Duration::from_secs(5));
    assert_eq!(joined(&world, B), [(1, b"after".to_vec())]);
}

/// Several streams at random over a bad network: whole messages, messages of pieces, some given up, resets.
#[test]
fn whatever_happens_messages_of_pieces_arrive_as_they_were_sent() {
    let seeds = std::env::var("SEEDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(60);
    let only: Option<u64> = std::env::var("SEED").ok().and_then(|text| text.parse().ok());
    let all = only.map_or(0..seeds, |seed| seed..seed + 1);
    for seed in FOUND.into_iter().chain(all) {
        if std::panic::catch_unwind(|| random(seed)).is_err() {
            panic!("failed: SEED={seed} cargo test -p dunlin-sctp --test pieces");
        }
    }
}

fn random(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let interleaving = rng.random_bool(0.6);
    let mut config = config(interleaving);
    config.partial_delivery = Some(rng.random_range(1..40_000));
    let mut world = World::with(config.clone(), config, rng.random());
    world.record = false;
    world.connect();
    for link in &mut world.links {
        link.loss = rng.random_range(0.0..0.1);
        link.reorder = rng.random_range(0.0..0.3);
        link.jitter = millis(rng.random_range(1..60));
        link.duplicate = rng.random_range(0.0..0.05);
    }
    const STREAMS: u16 = 4;
    // What each stream has open: its number, how much was handed over, whether it is ordered.
    let mut open: [Option<(u32, usize)>; STREAMS as usize] = [None; STREAMS as usize];
    let mut lengths: BTreeMap<u32, usize> = BTreeMap::new();
    let mut ordered: BTreeMap<u32, bool> = BTreeMap::new();
    let mut next = 0u32;
    let numbered = |id: u32, from: usize, len: usize| {
        let mut data = content(id, from, len).to_vec();
        for (i, byte) in data.iter_mut().enumerate() {
            if from + i < 4 {
                *byte = id.to_be_bytes()[from + i];
            }
        }
        Bytes::from(data)
    };
    for _ in 0..rng.random_range(20..150) {
        let stream = rng.random_range(0..STREAMS);
        let slot = usize::from(stream);
        let now = world.now;
        match open[slot] {
            None => {
                let unordered = rng.random_bool(0.3);
                let options = SendOptions {
                    unordered,
                    reliability: Reliability::Reliable,
                };
                let id = next;
                next += 1;
                ordered.insert(id, !unordered);
                if rng.random_bool(0.4) {
                    let len = rng.random_range(4..30_000);
                    let data = numbered(id, 0, len);
                    world.ends[A]
                        .send(now, StreamId(stream), Ppid(53), data, options)
                        .unwrap();
                    lengths.insert(id, len);
                } else {
                    begin(&mut world, A, stream, options);
                    open[slot] = Some((id, 0));
                }
            }
            Some((id, from)) => {
                if rng.random_bool(0.1) {
                    world.ends[A].abandon_message(now, StreamId(stream));
                    open[slot] = None;
                } else {
                    let len = rng.random_range(4..60_000);
                    let last = rng.random_bool(0.25);
                    piece(&mut world, A, stream, numbered(id, from, len), last);
                    open[slot] = Some((id, from + len));
                    if last {
                        lengths.insert(id, from + len);
                        open[slot] = None;
                    }
                }
            }
        }
        if rng.random_bool(0.5) {
            world.run(millis(rng.random_range(0..100)));
        }
    }
    for stream in 0..STREAMS {
        let now = world.now;
        world.ends[A].abandon_message(now, StreamId(stream));
    }
    for _ in 0..4000 {
        let stats = world.ends[A].stats();
        if stats.bytes_in_flight == 0 && world.ends[A].total_buffered() == 0 {
            break;
        }
        world.run(millis(500));
    }
    world.run(Duration::from_secs(30));
    let mut last: BTreeMap<u16, u32> = BTreeMap::new();
    let mut came = 0;
    for (stream, data) in joined(&world, B) {
        let id = u32_at(&data, 0);
        assert_eq!(lengths.get(&id), Some(&data.len()), "message {id}");
        assert_eq!(data, numbered(id, 0, data.len()), "message {id}");
        came += 1;
        if ordered[&id] {
            let before = last.insert(stream, id);
            assert!(before < Some(id), "message {id} came after {before:?}");
        }
    }
    assert_eq!(came, lengths.len());
    assert_eq!(world.ends[A].stats().bytes_in_flight, 0);
}
