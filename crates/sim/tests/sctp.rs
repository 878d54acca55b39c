//! The laws, for `dunlin_sctp::Association`, without DTLS below it: the checksum stays on.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use dunlin_net::{Path, Transmit};
use dunlin_sctp::{Association, Config, Event, Ppid, SendOptions, StreamId};
use dunlin_sim::Node;
use dunlin_sim::laws::{self, Subject};

/// An association, and the path that it rides on. With `REPAIRED`, forged packets have the right checksum, as those
/// of a peer that means no good.
struct Party<const REPAIRED: bool> {
    association: Association,
    path: Path,
    connected: bool,
    said: u32,
    heard: u32,
}

impl<const REPAIRED: bool> Node for Party<REPAIRED> {
    type Event = Event;

    fn handle_datagram(&mut self, now: Instant, _path: Path, data: BytesMut) {
        self.association.handle_datagram(now, data.freeze());
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.association.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.association
            .poll_transmit(now, out)
            .then(|| Transmit::new(self.path))
    }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.association.poll_event()?;
        match &event {
            Event::Connected => self.connected = true,
            Event::Closed(_) => self.connected = false,
            Event::Message { data, .. } => {
                assert_eq!(
                    data[..],
                    self.heard.to_be_bytes(),
                    "in order, exactly once, unchanged"
                );
                self.heard += 1;
            }
            _ => {}
        }
        Some(event)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.association.poll_timeout()
    }
}

impl<const REPAIRED: bool> Subject for Party<REPAIRED> {
    /// Nothing in SCTP withstands a forger who knows the verification tag and computes the checksum: that is what
    /// DTLS is for.
    const WITHSTANDS_FORGERY: bool = !REPAIRED;

    fn repair(data: &mut [u8]) {
        if REPAIRED && data.len() >= 12 {
            data[8..12].fill(0);
            let checksum = crc32c::crc32c(data);
            data[8..12].copy_from_slice(&checksum.to_le_bytes());
        }
    }

    fn pair(seed: [u8; 32], now: Instant) -> [Self; 2] {
        [(seed, 0), (seed.map(|byte| byte ^ 0x55), 1)].map(|(seed, side)| {
            let mut config = Config::default();
            config.zero_checksum = false;
            let mut association = Association::new(config, seed, now);
            association.connect(now);
            Party {
                association,
                path: laws::path(side),
                connected: false,
                said: 0,
                heard: 0,
            }
        })
    }

    fn established(&self) -> bool {
        self.connected
    }

    fn talk(&mut self, now: Instant) {
        let data = Bytes::copy_from_slice(&self.said.to_be_bytes());
        if self
            .association
            .send(now, StreamId(1), Ppid(53), data, SendOptions::default())
            .is_ok()
        {
            self.said += 1;
        }
    }

    fn heard(&self) -> u64 {
        self.heard.into()
    }

    fn close(&mut self, now: Instant) {
        self.association.abort(now, "closed");
    }
}

#[test]
fn the_association_keeps_the_laws() {
    for seed in 0..4 {
        laws::check::<Party<false>>(seed);
    }
}

/// THREATS 10 and 11.
#[test]
fn a_hostile_peer_does_no_harm() {
    for seed in 0..20 {
        laws::hostile_input_does_no_harm::<Party<true>>(seed);
        laws::fresh_it_takes_any_call::<Party<true>>(seed);
    }
}

#[test]
fn a_flood_leaves_little_behind() {
    let [mut node, _] = Party::<true>::pair([1; 32], dunlin_sim::epoch());
    let kept = allocation_counter::measure(|| laws::flood(&mut node, 0, 1, 20_000));
    assert!(kept.bytes_current < 64_000, "{kept:?}");
}
