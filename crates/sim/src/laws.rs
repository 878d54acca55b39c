//! The laws of the contract, as tests that run against any pair of nodes that talk to each other.
//!
//! A crate proves itself by one [`Subject`] and one call of [`check`]. The world itself watches for busy loops and
//! empty or oversized datagrams in every run.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::Path;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use crate::link::{Fate, Link, Loss};
use crate::node::{Node, NodeId};
use crate::trace::TraceHash;
use crate::world::{Manners, World, epoch};

/// The addresses of the two.
pub const ADDRESSES: [&str; 2] = ["192.0.2.1:5000", "192.0.2.2:5000"];

/// Where one of the two lives.
#[must_use]
pub fn address(side: usize) -> SocketAddr {
    SocketAddr::new(IpAddr::from([192, 0, 2, 1 + side as u8]), 5000)
}

/// The path from one of the two to the other.
#[must_use]
pub fn path(side: usize) -> Path {
    Path::udp(address(side), address(1 - side))
}

/// Two nodes of a crate that talk to each other, and what a law has to know about them.
pub trait Subject: Node + Sized {
    /// The two, at [`address`] 0 and 1. All that they draw comes from `seed`.
    fn pair(seed: [u8; 32], now: Instant) -> [Self; 2];
    /// Whether it has set up what it is for.
    fn established(&self) -> bool;
    /// Sends the other something, if it can.
    fn talk(&mut self, now: Instant);
    /// How often it has heard from the other's [`talk`](Self::talk).
    fn heard(&self) -> u64;
    /// Ends it.
    fn close(&mut self, now: Instant);
    /// Makes a forged datagram pass whatever anyone could make it pass, such as a checksum.
    fn repair(_data: &mut [u8]) {}
    /// Whether it stays established whatever anyone who does not have its keys sends.
    const WITHSTANDS_FORGERY: bool;
}

/// Every law, with seeds made from `seed`.
pub fn check<S: Subject>(seed: u64) {
    extra_calls_change_nothing::<S>(seed);
    the_same_seed_gives_the_same_trace::<S>(seed);
    any_one_datagram_may_be_lost::<S>(seed);
    hostile_input_does_no_harm::<S>(seed);
    alone_it_stays_quiet::<S>(seed);
    after_close_nothing_happens::<S>(seed);
    fresh_it_takes_any_call::<S>(seed);
}

/// A 32-byte seed from a number and a purpose.
#[must_use]
pub fn seed_of(seed: u64, purpose: u8) -> [u8; 32] {
    let mut bytes = [purpose; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes
}

/// A world with the two in it.
fn world_of<S: Subject>(seed: u64, link: &Link) -> (World<S>, [NodeId; 2]) {
    let mut world = World::new(seed_of(seed, 1));
    let [a, b] = S::pair(seed_of(seed, 2), world.now());
    let ids = [(a, 0), (b, 1)].map(|(node, side)| world.add(node, &[address(side).ip()], link));
    (world, ids)
}

/// Lets the two set up and talk now and then for this long. Answers which of them were established at some moment.
fn converse<S: Subject>(world: &mut World<S>, ids: [NodeId; 2], duration: Duration) -> [bool; 2] {
    let end = world.now() + duration;
    let mut established = [false; 2];
    while world.now() < end {
        world.run_for(Duration::from_millis(500));
        for (side, id) in ids.into_iter().enumerate() {
            world.command(id, |node, now| {
                if node.established() {
                    established[side] = true;
                    node.talk(now);
                }
            });
        }
    }
    established
}

fn rough_link() -> Link {
    Link {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(10),
        loss: Loss::Random(0.05),
        duplicate: 0.02,
        reorder: 0.05,
        ..Link::default()
    }
}

fn run<S: Subject>(seed: u64, link: &Link, manners: Manners) -> TraceHash {
    let (mut world, ids) = world_of::<S>(seed, link);
    world.manners = manners;
    let established = converse(&mut world, ids, Duration::from_secs(40));
    assert!(established[0], "the two did not set up in 40 s");
    world.trace().hash()
}

/// Laws 1 and 4: extra polls, timeouts that are not due and a clock that goes back change nothing.
pub fn extra_calls_change_nothing<S: Subject>(seed: u64) {
    for link in [Link::default(), rough_link()] {
        let plain = run::<S>(seed, &link, Manners::default());
        let pestered = run::<S>(
            seed,
            &link,
            Manners {
                spurious_calls: true,
                ..Manners::default()
            },
        );
        assert_eq!(
            plain, pestered,
            "calls that were not needed changed what was sent"
        );
        let stale = run::<S>(
            seed,
            &link,
            Manners {
                stale_clock: true,
                ..Manners::default()
            },
        );
        assert_eq!(plain, stale, "a clock that went back changed what was sent");
    }
}

/// Law 6: the same seed and the same calls give the same datagrams.
pub fn the_same_seed_gives_the_same_trace<S: Subject>(seed: u64) {
    let run = || run::<S>(seed, &rough_link(), Manners::default());
    assert_eq!(run(), run());
}

/// A lost message is sent again: whichever datagram is lost, in whichever direction, and whatever the rhythm of losses, the two set up.
pub fn any_one_datagram_may_be_lost<S: Subject>(seed: u64) {
    let cases = (1..=16).map(Loss::Only).chain((2..=5).map(Loss::Every));
    for (loss, side) in cases.flat_map(|loss| [(loss, 0), (loss, 1)]) {
        let (mut world, ids) = world_of::<S>(seed, &Link::default());
        world.uplink(ids[side]).loss = loss;
        let established = converse(&mut world, ids, Duration::from_secs(60));
        assert!(
            established[0],
            "not set up in 60 s with {loss:?} from side {side}"
        );
    }
}

/// Laws 2 and 3: whatever arrives, at whichever moment, nothing panics or spins; and what is set up stays so.
pub fn hostile_input_does_no_harm<S: Subject>(seed: u64) {
    // From the first moment on: set-up may fail, for the first messages of most protocols are not authenticated.
    let (mut world, ids) = world_of::<S>(seed, &Link::default());
    for _ in 0..300 {
        world.run_for(Duration::from_millis(20));
        attack(&mut world, ids, 4);
    }
    // After a set-up in peace.
    let (mut world, ids) = world_of::<S>(seed, &Link::default());
    let established = converse(&mut world, ids, Duration::from_secs(10));
    for _ in 0..300 {
        world.run_for(Duration::from_millis(20));
        attack(&mut world, ids, 4);
    }
    if S::WITHSTANDS_FORGERY {
        converse(&mut world, ids, Duration::from_secs(2));
        let heard = ids.map(|id| world.node(id).heard());
        converse(&mut world, ids, Duration::from_secs(10));
        for (side, id) in ids.into_iter().enumerate().filter(|(side, _)| established[*side]) {
            assert!(world.node(id).established(), "forged datagrams ended side {side}");
            let talks = heard[side] > 0;
            assert!(
                !talks || world.node(id).heard() > heard[side],
                "forged datagrams made side {side} deaf"
            );
        }
    }
}

fn attack<S: Subject>(world: &mut World<S>, ids: [NodeId; 2], count: u32) {
    for _ in 0..count {
        let side = usize::from(world.rng().random::<bool>());
        let recent: Vec<_> = world.recent().cloned().collect();
        let (to, path, mut data) = forge(world.rng(), (ids[side], path(side), side), &recent);
        S::repair(&mut data);
        world.inject(to, path, &data);
    }
}

/// A datagram that means no good: noise, or one of the last that were sent, cut, bent or moved.
fn forge(
    rng: &mut StdRng,
    (to, path, side): (NodeId, Path, usize),
    recent: &[(NodeId, Path, Vec<u8>)],
) -> (NodeId, Path, Vec<u8>) {
    let noise = |rng: &mut StdRng, len: usize| {
        let mut data = vec![0; len];
        rng.fill_bytes(&mut data);
        data
    };
    let kind = rng.random_range(0..10);
    if recent.is_empty() || kind < 2 {
        let len = rng.random_range(0..100);
        return (to, path, noise(rng, len));
    }
    let (to, mut path, mut data) = recent[rng.random_range(0..recent.len())].clone();
    let at = rng.random_range(0..data.len());
    match kind {
        2 => data.truncate(at),
        3 | 4 => data[at] ^= 1 << rng.random_range(0..8),
        5 => {
            let len = rng.random_range(0..64);
            data.truncate(at);
            data.extend(noise(rng, len));
        }
        6 => path.remote.set_port(rng.random_range(1..6000)),
        7 => path.remote.set_ip(IpAddr::from([203, 0, 113, 200 + side as u8])),
        8 => data.extend_from_within(at..),
        // A replay.
        _ => {}
    }
    (to, path, data)
}

/// No amplification: with nobody at the other end it neither spins nor floods.
pub fn alone_it_stays_quiet<S: Subject>(seed: u64) {
    for side in 0..2 {
        let (mut world, ids) = world_of::<S>(
            seed,
            &Link {
                loss: Loss::All,
                ..Link::default()
            },
        );
        let other = ids[1 - side];
        world.command(other, |node, now| node.close(now));
        world.run_for(Duration::from_secs(180));
        let sent = world.trace().count(Fate::Lost);
        assert!(sent < 1000, "{sent} datagrams to nobody in three minutes");
    }
}

/// Law 8: "After Closed every call is a no-op and poll_timeout() is None."
pub fn after_close_nothing_happens<S: Subject>(seed: u64) {
    for after in [0, 1, 30, 200, 5_000] {
        let (mut world, ids) = world_of::<S>(seed, &Link::default());
        world.run_for(Duration::from_millis(after));
        let told: Vec<_> = world.recent().cloned().collect();
        world.command(ids[0], |node, now| node.close(now));
        // An orderly end may take a few messages.
        world.run_for(Duration::from_secs(120));
        assert_eq!(
            world.node(ids[0]).poll_timeout(),
            None,
            "a timer is left after close, {after} ms from the start"
        );
        let sent_by_0 = |world: &World<S>| {
            let last: Vec<_> = world.recent().filter(|(to, ..)| *to == ids[1]).cloned().collect();
            last
        };
        let before = sent_by_0(&world);
        for (_, path, data) in told.iter().filter(|(to, ..)| *to == ids[0]) {
            world.inject(ids[0], *path, data);
        }
        world.command(ids[0], |node, now| {
            node.talk(now);
            node.handle_timeout(now + Duration::from_secs(60));
            node.close(now);
            node.handle_datagram(now, path(0), BytesMut::from(&[22_u8; 40][..]));
        });
        assert_eq!(sent_by_0(&world), before, "something was sent after close");
        assert_eq!(
            world.node(ids[0]).poll_timeout(),
            None,
            "a closed one has a timer again"
        );
    }
}

/// Law 1 for one that has seen nothing yet: the verbs in any order, at odd times.
pub fn fresh_it_takes_any_call<S: Subject>(seed: u64) {
    let now = epoch();
    let mut rng: StdRng = rand::SeedableRng::from_seed(seed_of(seed, 3));
    for mut node in S::pair(seed_of(seed, 2), now) {
        let mut out = Vec::new();
        for _ in 0..2_000 {
            let at = now - Duration::from_secs(10) + Duration::from_millis(rng.random_range(0..60_000));
            match rng.random_range(0..7) {
                0 => node.handle_timeout(at),
                1 => {
                    let mut data = vec![0; rng.random_range(0..64)];
                    rng.fill_bytes(&mut data);
                    S::repair(&mut data);
                    node.handle_datagram(at, path(rng.random_range(0..2)), BytesMut::from(&data[..]));
                }
                2 => drop(node.poll_event()),
                3 => drop(node.poll_timeout()),
                4 => node.talk(at),
                _ => drop(node.poll_transmit(at, &mut out)),
            }
            out.clear();
        }
    }
}

/// Law 5: what a flood of `count` forged datagrams does to one node. Tests measure the memory that it keeps.
pub fn flood<S: Subject>(node: &mut S, side: usize, seed: u64, count: u32) {
    let now = epoch();
    let mut rng: StdRng = rand::SeedableRng::from_seed(seed_of(seed, 4));
    let mut out = Vec::with_capacity(65_536);
    for i in 0..count {
        let at = now + Duration::from_micros(i.into());
        let mut data = [0; 100];
        rng.fill_bytes(&mut data);
        // First bytes that open each protocol's door: STUN, DTLS handshake of epoch 0, SCTP ports 5000.
        match i % 4 {
            0 => data[..8].copy_from_slice(&[0, 1, 0, 80, 0x21, 0x12, 0xA4, 0x42]),
            1 => data[..14].copy_from_slice(&[22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, i as u8, 0, 87, 1]),
            2 => data[..4].copy_from_slice(&[0x13, 0x88, 0x13, 0x88]),
            _ => {}
        }
        S::repair(&mut data);
        let mut from = path(side);
        from.remote.set_port(1024 + (i % 60_000) as u16);
        node.handle_datagram(
            at,
            if i % 2 == 0 { from } else { path(side) },
            BytesMut::from(&data[..]),
        );
        out.clear();
        while node.poll_transmit(at, &mut out).is_some() {
            out.clear();
        }
    }
}
