//! What an association costs: bytes when it is idle, whatever the number of streams, and allocations per packet when it
//! is not.

#![allow(clippy::print_stdout)]

mod common;

use std::time::Instant;

use allocation_counter::measure;
use bytes::Bytes;
use common::{A, B, Forge, World, millis};
use dunlin_sctp::{Association, Config, Event, Ppid, SendOptions, StreamId, Tsn};

/// Bytes that are allocated and not freed by what a closure does.
fn bytes_kept(what: impl FnOnce()) -> i64 {
    measure(what).bytes_current
}

/// Two ends with a wire that costs nothing.
struct Pair {
    now: Instant,
    ends: [Association; 2],
    batch: Vec<u8>,
    received: u64,
    packets: u64,
}

impl Pair {
    fn new(config: &Config) -> Self {
        let now = common::start();
        Self {
            now,
            ends: [1, 2].map(|seed| Association::new(config.clone(), [seed; 32], now)),
            batch: Vec::with_capacity(2000),
            received: 0,
            packets: 0,
        }
    }

    fn connected(config: &Config) -> Self {
        let mut pair = Self::new(config);
        pair.ends[0].connect(pair.now);
        pair.carry();
        assert!(pair.ends.iter().all(Association::is_connected));
        pair
    }

    fn carry(&mut self) {
        loop {
            let mut any = false;
            for side in [0, 1] {
                self.batch.clear();
                while self.ends[side].poll_transmit(self.now, &mut self.batch) {
                    any = true;
                    self.packets += 1;
                    // One allocation: what the socket would do for a batch.
                    let packet = Bytes::copy_from_slice(&self.batch);
                    self.ends[1 - side].handle_datagram(self.now, packet);
                    self.batch.clear();
                    while let Some(event) = self.ends[1 - side].poll_event() {
                        self.received += u64::from(matches!(event, Event::Message { .. }));
                    }
                }
            }
            if !any {
                return;
            }
        }
    }

    fn send(&mut self, stream: u16, data: Bytes) {
        self.ends[0]
            .send(self.now, StreamId(stream), Ppid(53), data, SendOptions::default())
            .unwrap();
    }

    /// Time goes on, and the timers run.
    fn rest(&mut self, millis: u64) {
        self.now += common::millis(millis);
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
        self.carry();
    }
}

/// The bar of the product for an idle connection is 40 kB, all layers together.
#[test]
fn an_idle_association_is_small_and_streams_that_nobody_uses_cost_nothing() {
    let sizes = [1, u16::MAX].map(|streams| {
        let mut config = Config::default();
        config.streams = streams;
        let mut pair = None;
        let bytes = bytes_kept(|| pair = Some(Pair::connected(&config)));
        let pair = pair.unwrap();
        // The buffer of the wire is not theirs.
        let wire = pair.batch.capacity() as i64;
        (bytes - wire) / 2 + size_of::<Association>() as i64
    });
    println!(
        "an idle association: {} bytes with 1 stream, {} with 65,535",
        sizes[0], sizes[1]
    );
    assert_eq!(sizes[0], sizes[1]);
    assert!(sizes[0] < 8 << 10, "{sizes:?}");
}

#[test]
fn what_a_transfer_took_is_given_back() {
    let mut pair = Pair::connected(&Config::default());
    pair.send(1, Bytes::from_static(b"first"));
    pair.carry();
    let kept = bytes_kept(|| {
        for _ in 0..60 {
            pair.send(1, Bytes::from(vec![7; 256 << 10]));
        }
        pair.carry();
        pair.rest(1000);
    });
    println!("kept after 15 MiB: {kept} bytes");
    assert_eq!(pair.received, 61);
    assert!(kept < 4 << 20, "{kept}");
}

#[test]
fn a_stream_in_use_costs_little_and_a_reset_one_nothing() {
    let mut pair = Pair::connected(&Config::default());
    let kept = bytes_kept(|| {
        for stream in 0..10_000 {
            pair.send(stream, Bytes::from_static(b"hello"));
            if stream % 100 == 0 {
                pair.carry();
            }
        }
        pair.carry();
        pair.rest(1000);
    });
    let each = kept / 10_000;
    println!("a stream that was used, both ends together: {each} bytes");
    assert!(each < 1000, "{each}");
}

/// "0 allocations per packet in steady state": only messages cost some, to be put together.
#[test]
fn packets_cost_no_allocation() {
    for interleaving in [true, false] {
        let mut config = Config::default();
        config.interleaving = interleaving;
        let mut pair = Pair::connected(&config);
        let message = Bytes::from(vec![7; 64 << 10]);
        let mut run = |messages: u64| {
            let before = pair.packets;
            let allocations = measure(|| {
                for _ in 0..messages {
                    pair.send(1, message.clone());
                    pair.carry();
                }
            });
            let packets = pair.packets - before;
            (packets, allocations.count_total - packets)
        };
        run(100);
        let (packets, allocations) = run(1000);
        println!("interleaving {interleaving}: {packets} packets, {allocations} allocations");
        assert!(packets > 57_000);
        // The message, the table that finds it, and what makes Bytes of it.
        assert!(allocations <= 4000, "{allocations}");
    }
}

/// THREATS 11: what a liar can make us keep is bounded by the receive window: single bytes, alone in large packets, cost
/// less than three times what they are charged.
#[test]
fn what_a_liar_makes_us_keep_is_bounded_by_the_window() {
    let window = 1 << 20;
    // Whole messages, beginnings, ends, single fragments far from each other; ordered and not.
    for (name, bits, step, streams) in [
        ("whole, ordered, behind a gap", 3u8, 1u32, 1u32),
        ("beginnings", 2, 1, 1000),
        ("unordered beginnings", 6, 2, 1000),
        ("ends", 1, 1, 1000),
        ("middles with holes", 0, 2, 7),
    ] {
        for interleaving in [true, false] {
            let mut config = Config::default();
            config.receive_window = window;
            config.max_receive_message_size = 64 << 10;
            config.interleaving = interleaving;
            config.initial_tsn = Some(Tsn(1000));
            let mut world = World::connected(config);
            world.record = false;
            world.send(A, 9, "what is your tag?");
            let tag = common::u32_at(&world.take_packet(A).unwrap(), 4);
            let kept = bytes_kept(|| {
                for i in 0..40_000u32 {
                    let (tsn, stream) = (1001 + i * step, (i % streams) as u16);
                    let forge = Forge::new(tag);
                    let forge = if interleaving {
                        forge.i_data(bits, tsn, stream, i + 1, if bits & 2 != 0 { 53 } else { 1 }, b"a")
                    } else {
                        forge.data(bits, tsn, stream, (i + 1) as u16, b"a")
                    };
                    world.inject(B, forge.chunk(132, 0, &[0; 1100]).packet);
                    while world.take_packet(B).is_some() {}
                    if !world.ends[B].is_connected() {
                        break;
                    }
                }
            });
            println!("{name}, interleaving {interleaving}: {kept} bytes kept");
            assert!(kept < 3 * window as i64, "{name} {interleaving}: {kept}");
            world.run(millis(1));
        }
    }
}
