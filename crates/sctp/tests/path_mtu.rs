//! Packets grow where the path carries larger ones, and nothing is lost where it does not, or no longer does (RFC 8899).
// The filter of the wire counts for the test.
#![allow(clippy::disallowed_types)]

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::*;
use dunlin_sctp::Config;

const USUAL: usize = 1188;
const LARGE: usize = 16_000;

/// What a test sees of a path that carries packets of so many bytes.
struct Path {
    world: World,
    capacity: Rc<Cell<usize>>,
    /// Packets with data beyond the usual size that got through.
    large: Rc<Cell<usize>>,
    refused: Rc<Cell<usize>>,
    /// The tag of what A receives.
    tag: Rc<Cell<u32>>,
}

fn path(capacity: usize) -> Path {
    let mut config = Config::default();
    config.max_path_datagram = LARGE;
    let mut world = World::connected(config);
    world.record = false;
    for link in &mut world.links {
        link.rate = 100e6;
        link.queue = millis(50);
    }
    let capacity = Rc::new(Cell::new(capacity));
    let (large, refused) = (Rc::default(), Rc::default());
    let counters: (Rc<Cell<usize>>, Rc<Cell<usize>>) = (Rc::clone(&large), Rc::clone(&refused));
    let limit = Rc::clone(&capacity);
    let tag: Rc<Cell<u32>> = Rc::default();
    let seen = Rc::clone(&tag);
    world.filter = Some(Box::new(move |side, packet| {
        if side == B {
            seen.set(u32_at(packet, 4));
        }
        let fits = packet.len() <= limit.get();
        if !fits {
            counters.1.set(counters.1.get() + 1);
        } else if packet.len() > USUAL && has_data(packet) {
            counters.0.set(counters.0.get() + 1);
        }
        for (kind, _, value) in chunks(packet) {
            let data = matches!(kind, 0 | 64);
            assert!(
                !data || value.len() + 4 + 12 <= USUAL,
                "a fragment that not every path carries"
            );
        }
        fits
    }));
    Path {
        world,
        capacity,
        large,
        refused,
        tag,
    }
}

impl Path {
    /// Sends messages until so many have arrived, and checks them.
    fn transfer(&mut self, count: usize) -> Duration {
        let begin = self.world.now;
        self.world.events[B].clear();
        for i in 0..count {
            self.world
                .send(A, 1, vec![u8::try_from(i % 251).unwrap(); 65_536]);
        }
        self.world.run_until_received(B, count, Duration::from_secs(60));
        for (i, (_, data)) in self.world.messages(B).iter().enumerate() {
            assert!(data.len() == 65_536 && data.iter().all(|byte| usize::from(*byte) == i % 251));
        }
        self.world.now - begin
    }

    fn large(&self) -> usize {
        self.large.replace(0)
    }

    fn refused(&self) -> usize {
        self.refused.replace(0)
    }
}

#[test]
fn packets_grow_to_what_the_path_carries_and_fragments_do_not() {
    for (capacity, largest) in [(LARGE, LARGE), (9000, 8880)] {
        let mut path = path(capacity);
        path.transfer(20);
        path.world.run(Duration::from_secs(5));
        path.transfer(100);
        assert!(path.large() > 400 * LARGE / largest / 2, "{capacity}");
        assert_eq!(path.refused(), if capacity == LARGE { 0 } else { 3 });
        let stats = path.world.ends[A].stats();
        assert_eq!((stats.retransmissions, stats.packet_limit), (0, largest));
    }
}

#[test]
fn a_path_of_the_usual_size_sees_six_probes_and_loses_nothing_by_them() {
    let mut path = path(1500);
    path.transfer(100);
    path.world.run(Duration::from_secs(20));
    path.transfer(100);
    assert_eq!((path.large(), path.refused()), (0, 6));
    let stats = path.world.ends[A].stats();
    assert_eq!(
        (stats.retransmissions, stats.timeouts, stats.fast_recoveries),
        (0, 0, 0)
    );
}

#[test]
fn who_is_not_told_to_look_sends_no_larger_packets() {
    let mut world = World::connected(Config::default());
    for _ in 0..20 {
        world.send(A, 1, vec![7; 65_536]);
    }
    world.run_until_received(B, 20, Duration::from_secs(10));
    assert!(world.largest <= USUAL);
}

/// Some stacks end the connection when a packet is larger than their buffer.
#[test]
fn who_does_not_list_pad_is_sent_no_larger_packets() {
    for listing in [A, B] {
        let mut configs = [Config::default(), Config::default()];
        configs[listing].max_path_datagram = LARGE;
        let [a, b] = configs;
        let mut world = World::with(a, b, 7);
        world.ends[A].connect(world.now);
        world.run(millis(200));
        for _ in 0..20 {
            world.send(listing, 1, vec![7; 65_536]);
        }
        world.run_until_received(1 - listing, 20, Duration::from_secs(10));
        assert!(world.largest <= USUAL);
    }
}

/// What was cut for the large packets still fits the small ones: nothing has to be fragmented again.
#[test]
fn a_path_that_carries_less_all_at_once_is_noticed_and_everything_arrives() {
    let mut path = path(LARGE);
    path.transfer(20);
    for i in 0..100 {
        path.world.send(A, 1, vec![i; 65_536]);
    }
    path.world.run(millis(60));
    assert!(path.large() > 0);
    path.capacity.set(1400);
    path.world.run_until_received(B, 120, Duration::from_secs(20));
    let refused = path.refused();
    assert!((1..200).contains(&refused), "{refused}");
    // From now on only a probe once in a while is too large.
    path.world.run(Duration::from_secs(3));
    path.refused();
    let took = path.transfer(100);
    assert!(path.refused() <= 1);
    assert!(took < Duration::from_secs(1), "{took:?}");
    // The larger packets come back when the path carries them again.
    path.capacity.set(LARGE);
    path.world.run(Duration::from_secs(30));
    path.transfer(20);
    path.world.run(Duration::from_secs(2));
    path.transfer(20);
    assert!(path.large() > 50);
}

#[test]
fn another_path_begins_with_the_usual_size_at_once() {
    let mut path = path(LARGE);
    path.transfer(20);
    path.capacity.set(1400);
    let now = path.world.now;
    path.world.ends[A].handle_path_change(now, LARGE);
    path.transfer(20);
    path.world.run(Duration::from_secs(20));
    // The probes. Nothing was lost: at most the last chunk went out again, to ask whether the other end is there.
    assert_eq!(path.refused(), 6);
    let stats = path.world.ends[A].stats();
    assert!(stats.retransmissions <= 1 && stats.timeouts == 0, "{stats:?}");
}

/// A HEARTBEAT ACK that nobody asked for proves no size.
#[test]
fn a_forged_answer_to_a_probe_is_not_believed() {
    let mut path = path(1500);
    path.world.record = true;
    path.world.send(A, 1, vec![7; 200_000]);
    path.world.run_until_received(B, 1, Duration::from_secs(5));
    assert!(
        path.world
            .diagram
            .iter()
            .any(|line| line == "A> HEARTBEAT + PAD (lost)")
    );
    let tag = path.tag.get();
    for nonce in [0u64, 1, u64::MAX] {
        let mut value = vec![0, 1, 0, 12];
        value.extend(nonce.to_be_bytes());
        path.world.inject(A, Forge::new(tag).chunk(5, 0, &value).packet);
    }
    assert_eq!(path.world.ends[A].stats().drops.unknown_heartbeat, 3);
    path.large();
    path.transfer(20);
    assert_eq!(path.large(), 0);
}
