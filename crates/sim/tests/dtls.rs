//! The laws, for `dunlin_dtls::Connection`.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::BytesMut;
use dunlin_dtls::{Certificate, Config, Connection, Event, Fingerprint, PeerIdentity, Role, Version};
use dunlin_net::{Path, Transmit};
use dunlin_sim::Node;
use dunlin_sim::laws::{self, Subject};

/// A connection of one version, the path that it rides on, and what it sealed.
struct Party<const THIRTEEN: bool> {
    connection: Connection,
    path: Path,
    sealed: VecDeque<Vec<u8>>,
    heard: u64,
}

impl<const THIRTEEN: bool> Party<THIRTEEN> {
    fn new(
        role: Role,
        side: usize,
        own: &Certificate,
        peer: &Certificate,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let fingerprint = Fingerprint::of(dunlin_crypto::hash::HashAlgorithm::Sha256, peer.der());
        let mut config = Config::new(role, own.clone(), PeerIdentity::Fingerprints(vec![fingerprint]));
        let version = if THIRTEEN {
            Version::Dtls13
        } else {
            Version::Dtls12
        };
        (config.min_version, config.max_version) = (version, version);
        let connection = Connection::new(config, seed, now);
        Self {
            connection,
            path: laws::path(side),
            sealed: VecDeque::new(),
            heard: 0,
        }
    }
}

impl<const THIRTEEN: bool> Node for Party<THIRTEEN> {
    type Event = Event;

    fn handle_datagram(&mut self, now: Instant, _path: Path, data: BytesMut) {
        self.connection.handle_datagram(now, data);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.connection.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let sent = self.connection.poll_transmit(now, out);
        let sealed = if sent { None } else { self.sealed.pop_front() };
        if let Some(sealed) = &sealed {
            out.extend_from_slice(sealed);
        }
        (sent || sealed.is_some()).then(|| Transmit::new(self.path))
    }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.connection.poll_event()?;
        if let Event::Data(data) = &event {
            assert_eq!(data[..], b"talk"[..], "forged or corrupted data was handed over");
            self.heard += 1;
        }
        Some(event)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.connection.poll_timeout()
    }
}

impl<const THIRTEEN: bool> Subject for Party<THIRTEEN> {
    const WITHSTANDS_FORGERY: bool = true;

    fn pair(seed: [u8; 32], now: Instant) -> [Self; 2] {
        let [a, b] = [(); 2].map(|()| Certificate::generate().unwrap());
        let other_seed = seed.map(|byte| byte ^ 0x55);
        [
            Self::new(Role::Client, 0, &a, &b, seed, now),
            Self::new(Role::Server, 1, &b, &a, other_seed, now),
        ]
    }

    fn established(&self) -> bool {
        self.connection.is_connected()
    }

    fn talk(&mut self, _now: Instant) {
        let mut out = Vec::new();
        if self.connection.seal(&mut out, |out| {
            out.extend_from_slice(b"talk");
            true
        }) {
            self.sealed.push_back(out);
        }
    }

    fn heard(&self) -> u64 {
        self.heard
    }

    fn close(&mut self, now: Instant) {
        self.connection.close(now);
    }
}

#[test]
fn the_connection_keeps_the_laws_in_dtls_1_2() {
    for seed in 0..2 {
        laws::check::<Party<false>>(seed);
    }
}

#[test]
fn the_connection_keeps_the_laws_in_dtls_1_3() {
    for seed in 0..2 {
        laws::check::<Party<true>>(seed);
    }
}

#[test]
fn a_flood_leaves_little_behind() {
    leaves_little_behind::<Party<false>>();
    leaves_little_behind::<Party<true>>();
}

fn leaves_little_behind<S: Subject>() {
    for side in 0..2 {
        let [a, b] = S::pair([1; 32], dunlin_sim::epoch());
        let mut node = if side == 0 { a } else { b };
        let kept = allocation_counter::measure(|| laws::flood(&mut node, side, 1, 20_000));
        // Half-received messages may wait for their other half: `Config::max_reassembly`.
        assert!(kept.bytes_current < 64_000, "side {side}: {kept:?}");
    }
}
