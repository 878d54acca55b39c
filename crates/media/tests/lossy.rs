//! A link that loses, delays and reorders: what is asked for arrives, what arrives is right.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

struct Link {
    rng: StdRng,
    loss: f64,
    /// Datagrams under way: when they arrive, whether to Bob, whether RTP.
    under_way: BTreeMap<(Instant, u64), (bool, bool, Vec<u8>)>,
    count: u64,
}

impl Link {
    fn send(&mut self, now: Instant, to_bob: bool, is_rtp: bool, datagram: Vec<u8>) {
        if self.rng.random_bool(self.loss) {
            return;
        }
        let delay = Duration::from_micros(self.rng.random_range(40_000..48_000));
        self.count += 1;
        self.under_way
            .insert((now + delay, self.count), (to_bob, is_rtp, datagram));
    }
}

/// Runs 100 packets a second for 20 s, then a second more, and answers with what arrived and how many were sent
/// again.
fn run(rtx: bool, loss: f64, seed: u8) -> (BTreeSet<u32>, u64) {
    let mut pair = Pair::new(rtx);
    let mut link = Link {
        rng: StdRng::from_seed([seed; 32]),
        loss,
        under_way: BTreeMap::new(),
        count: 0,
    };
    let mut received = BTreeSet::new();
    let mut next = 0;
    let end = pair.now + Duration::from_secs(21);
    let mut next_packet = pair.now;
    while pair.now < end {
        if pair.now >= next_packet && next < 2000 {
            pair.send(next);
            next += 1;
            next_packet += 10 * MS;
        }
        pair.alice.handle_timeout(pair.now);
        pair.bob.handle_timeout(pair.now);
        for datagram in pair.rtp() {
            link.send(pair.now, true, true, datagram);
        }
        let now = pair.now;
        for datagram in drain(|out| pair.alice.poll_rtcp(now, out)) {
            link.send(now, true, false, datagram);
        }
        for datagram in drain(|out| pair.bob.poll_rtcp(now, out)) {
            link.send(now, false, false, datagram);
        }
        while pair.alice.poll_event().is_some() {}
        for number in pair.received() {
            assert!(received.insert(number), "{number} came twice");
        }
        let arrival = link.under_way.first_key_value().map(|((at, _), _)| *at);
        let timers = pair
            .alice
            .poll_timeout()
            .into_iter()
            .chain(pair.bob.poll_timeout());
        pair.now = timers
            .chain(arrival)
            .chain([next_packet.max(now + MS)])
            .min()
            .unwrap()
            .max(now);
        while let Some(entry) = link.under_way.first_entry()
            && entry.key().0 <= pair.now
        {
            match entry.remove() {
                (true, true, datagram) => pair.deliver(&datagram),
                (true, false, datagram) => pair.bob.handle_rtcp(pair.now, &datagram),
                (false, _, datagram) => pair.alice.handle_rtcp(pair.now, &datagram),
            }
        }
    }
    (
        received,
        pair.alice
            .sender_stats(pair.sender)
            .unwrap()
            .retransmitted_packets_sent,
    )
}

#[test]
fn a_tenth_lost_in_both_directions_is_repaired() {
    for rtx in [false, true] {
        for seed in 1..=4 {
            let (received, repeated) = run(rtx, 0.1, seed);
            assert!(
                received.len() >= 1998,
                "{} of 2000, rtx {rtx}, seed {seed}",
                received.len()
            );
            assert!((160..400).contains(&repeated), "{repeated} for about 220 losses");
        }
    }
}

#[test]
fn reordering_alone_repeats_next_to_nothing() {
    let (received, repeated) = run(true, 0.0, 9);
    assert_eq!(received.len(), 2000);
    assert_eq!(repeated, 0);
}
