//! A liar in the middle of a DTLS connection, driven by bytes: it drops, swaps, flips, replays, reflects, cuts records
//! anew and writes its own. A test and the simulator make the bytes from seeds; a fuzzer makes them as it likes.
//!
//! Whatever it does: no panic, no busy loop, nothing but what was sent is ever heard and that once, both ends have the
//! same keys or end with a reason, and once both ends are connected no lie ends that.

mod lies;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_dtls::{
    Certificate, ClientAddress, ClientAuth, CloseReason, Config, Connection, CookieSecret, Event,
    Fingerprint, Group, HashAlgorithm, PeerIdentity, Role, Version,
};

use crate::laws::seed_of;
use crate::world::epoch;
use lies::Liar;

/// One way through the network.
const DELAY: Duration = Duration::from_millis(10);
/// Longer than a handshake may take, with all its doubts.
const LIMIT: Duration = Duration::from_secs(60);
/// Deliveries and timers of a run; more is a loop.
const MAX_STEPS: usize = 20_000;
/// Datagrams that two honest ends may send in a minute between liars; more is a stream.
const MAX_DATAGRAMS: usize = 3_000;
/// Times that each end says something.
const SENTENCES: u32 = 12;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(250);

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The version that both ends agreed on, if both were connected.
    pub version: Option<Version>,
    /// Why each end ended, if it did before it was told to.
    pub reasons: [Option<CloseReason>; 2],
    /// Datagrams that the two ends sent.
    pub datagrams: usize,
    /// Times that the liar lied.
    pub lies: usize,
}

/// Who plays, in run after run: two certificates, which are slow to make.
#[derive(Debug)]
pub struct Stage {
    certificates: [Certificate; 2],
}

impl Stage {
    /// # Panics
    /// When the crypto backend makes no certificates.
    #[must_use]
    #[allow(
        clippy::new_without_default,
        reason = "it is expensive, and says so by being called"
    )]
    pub fn new() -> Self {
        let certificates = [(); 2].map(|()| Certificate::generate().expect("the backend makes certificates"));
        Self { certificates }
    }

    /// A run with bytes made from a seed.
    #[must_use]
    pub fn run_seed(&self, seed: u64) -> Outcome {
        use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
        let mut rng = StdRng::from_seed(seed_of(seed, 9));
        let mut bytes = vec![0; rng.random_range(0..4096)];
        rng.fill_bytes(&mut bytes);
        self.run(&bytes)
    }

    /// A run with a liar that these bytes drive: the first few choose the two ends, the others the lies. When they are
    /// used up it lies no more.
    ///
    /// # Panics
    /// When a rule of this module's documentation is broken.
    #[must_use]
    pub fn run(&self, bytes: &[u8]) -> Outcome {
        let mut liar = Liar::new(bytes);
        let [client, server] = self.configs(&mut liar);
        let now = epoch();
        let mut play = Play {
            start: now,
            now,
            ends: [
                End::new(Connection::new(client, [1; 32], now)),
                End::new(Connection::new(server, [2; 32], now)),
            ],
            on_the_way: BTreeMap::new(),
            tie: 0,
            datagrams: 0,
            next_sentence: None,
            sentences: 0,
            were_connected: false,
            liar,
        };
        play.perform();
        play.finish()
    }

    fn configs(&self, liar: &mut Liar<'_>) -> [Config; 2] {
        let [shape, extras, sizes] = [liar.byte(), liar.byte(), liar.byte()];
        let mut configs = [Role::Client, Role::Server].map(|role| {
            let (own, peer) = match role {
                Role::Client => (&self.certificates[0], &self.certificates[1]),
                Role::Server => (&self.certificates[1], &self.certificates[0]),
            };
            let fingerprint = Fingerprint::of(HashAlgorithm::Sha256, peer.der());
            let mut config = Config::new(role, own.clone(), PeerIdentity::Fingerprints(vec![fingerprint]));
            config.max_datagram = [1200, 1200, 300, 100][usize::from(sizes & 3)];
            if shape & 4 != 0 {
                config.groups = vec![Group::X25519, Group::P256];
            }
            config.key_update_after = if shape & 8 != 0 { 5 } else { 1 << 23 };
            config
        });
        let [client, server] = &mut configs;
        let (v12, v13) = (Version::Dtls12, Version::Dtls13);
        (client.min_version, client.max_version) =
            [(v12, v12), (v13, v13), (v12, v13), (v12, v13)][usize::from(shape & 3)];
        if extras & 1 != 0 {
            client.connection_id = Some(vec![0xC1; 4]);
            server.connection_id = Some(vec![0x5E; usize::from(extras >> 6) * 5]);
        }
        if extras & 2 != 0 {
            server.groups = vec![Group::P256, Group::P384];
            client.groups.push(Group::P384);
        }
        server.client_auth = if extras & 4 != 0 {
            ClientAuth::Optional
        } else {
            ClientAuth::Required
        };
        if extras & 4 != 0 && extras & 8 != 0 {
            client.certificate = None;
        }
        server.client_address = match extras >> 4 & 3 {
            0 | 1 => ClientAddress::Proved,
            2 => ClientAddress::Unproved,
            _ => ClientAddress::Cookie {
                secret: CookieSecret([7; 32]),
                address: b"client".to_vec(),
            },
        };
        configs
    }
}

/// One end, and what it said and heard.
struct End {
    connection: Connection,
    said: BTreeSet<Vec<u8>>,
    heard: BTreeSet<Vec<u8>>,
    reason: Option<CloseReason>,
}

impl End {
    fn new(connection: Connection) -> Self {
        Self {
            connection,
            said: BTreeSet::new(),
            heard: BTreeSet::new(),
            reason: None,
        }
    }
}

/// A run.
struct Play<'a> {
    start: Instant,
    now: Instant,
    /// The client, then the server.
    ends: [End; 2],
    /// By time and tie-break: to whom, and what.
    on_the_way: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    tie: u64,
    datagrams: usize,
    next_sentence: Option<Instant>,
    sentences: u32,
    /// Both at the same time.
    were_connected: bool,
    liar: Liar<'a>,
}

impl Play<'_> {
    fn perform(&mut self) {
        for _ in 0..MAX_STEPS {
            for side in [0, 1] {
                self.drain(side);
            }
            if !self.step() {
                return;
            }
        }
        panic!("no end in sight after {MAX_STEPS} steps");
    }

    /// Lets the next thing happen; false: nothing does any more.
    fn step(&mut self) -> bool {
        let timers = [0, 1].map(|side| self.ends[side].connection.poll_timeout());
        let arrival = self.on_the_way.keys().next().map(|(at, _)| *at);
        let next = timers
            .into_iter()
            .chain([arrival, self.next_sentence])
            .flatten()
            .min();
        let Some(next) = next.filter(|next| *next <= self.start + LIMIT) else {
            return false;
        };
        self.now = next.max(self.now);
        if self.next_sentence == Some(next) {
            self.speak();
        } else if arrival == Some(next) {
            let Some((_, (to, data))) = self.on_the_way.pop_first() else {
                return false;
            };
            self.ends[to]
                .connection
                .handle_datagram(self.now, BytesMut::from(&data[..]));
        } else {
            for end in &mut self.ends {
                end.connection.handle_timeout(self.now);
            }
        }
        true
    }

    fn drain(&mut self, side: usize) {
        let mut out = Vec::new();
        // A datagram may arrive at the very time that a timer fires.
        self.ends[side].connection.handle_timeout(self.now);
        while self.ends[side].connection.poll_transmit(self.now, &mut out) {
            assert!(
                !out.is_empty() && out.len() <= 1200,
                "a datagram of {} bytes",
                out.len()
            );
            self.post(1 - side, std::mem::take(&mut out));
        }
        while let Some(event) = self.ends[side].connection.poll_event() {
            self.note(side, event);
        }
        let timeout = self.ends[side].connection.poll_timeout();
        assert!(
            timeout.is_none_or(|at| at > self.now),
            "drained, and still something is due"
        );
        if self.ends.iter().all(|end| end.connection.is_connected()) && !self.were_connected {
            self.were_connected = true;
            self.assert_same_keys();
            self.next_sentence = Some(self.now + PAUSE);
        }
    }

    /// Hands a datagram to the liar.
    fn post(&mut self, to: usize, data: Vec<u8>) {
        self.datagrams += 1;
        assert!(self.datagrams < MAX_DATAGRAMS, "{} datagrams", self.datagrams);
        for (to, delay, data) in self.liar.carry(to, data) {
            self.tie += 1;
            self.on_the_way
                .insert((self.now + DELAY + delay, self.tie), (to, data));
        }
    }

    fn note(&mut self, side: usize, event: Event) {
        assert!(self.ends[side].reason.is_none(), "{event:?} after the end");
        match event {
            Event::Data(data) => {
                let data = data.to_vec();
                assert!(self.ends[1 - side].said.contains(&data), "nobody said {data:?}");
                assert!(self.ends[side].heard.insert(data), "the same was heard twice");
            }
            Event::Closed(reason) => {
                assert!(!self.were_connected, "a lie ended a connection: {reason}");
                self.ends[side].reason = Some(reason);
            }
            _ => {}
        }
    }

    /// Both ends say something, and now and then change their keys or connection IDs.
    fn speak(&mut self) {
        self.sentences += 1;
        self.next_sentence = (self.sentences < SENTENCES).then_some(self.now + PAUSE);
        for side in [0, 1] {
            let text = format!("sentence {} of {side}", self.sentences).into_bytes();
            let whim = self.liar.byte();
            let end = &mut self.ends[side];
            if whim & 3 == 1 {
                let _ = end.connection.update_keys(self.now, whim & 4 != 0);
            }
            let cid_len = end.connection.connection_id().len();
            if whim & 0x18 == 8 && cid_len > 0 {
                let _ = end
                    .connection
                    .change_connection_id(self.now, &vec![whim; cid_len]);
            }
            let mut out = Vec::new();
            let sealed = end.connection.seal(&mut out, |out| {
                out.extend_from_slice(&text);
                true
            });
            assert!(sealed, "{text:?} is too much to say");
            end.said.insert(text);
            self.post(1 - side, out);
        }
    }

    fn assert_same_keys(&self) {
        let [ours, theirs] = [0, 1].map(|side| {
            let connection = &self.ends[side].connection;
            let mut out = [0; 60];
            let exported = connection.export("EXTRACTOR-dtls_srtp", None, &mut out);
            assert_eq!(exported, Ok(()));
            (
                out,
                connection.version(),
                connection.cipher_suite(),
                connection.group(),
                connection.srtp_profile(),
            )
        });
        assert_eq!(ours, theirs, "the two ends do not agree");
    }

    /// The liar is gone: what is connected works, and nothing has a timer.
    fn finish(mut self) -> Outcome {
        for side in [0, 1] {
            let connection = &mut self.ends[side].connection;
            assert!(
                connection.is_connected() || connection.is_closed(),
                "side {side} is neither"
            );
            let timeout = connection.poll_timeout().filter(|at| *at <= self.start + LIMIT);
            assert_eq!(timeout, None, "a timer is left");
        }
        if self.were_connected {
            self.assert_same_keys();
            for side in [0, 1] {
                let mut out = Vec::new();
                let sealed = self.ends[side].connection.seal(&mut out, |out| {
                    out.extend_from_slice(b"the last word");
                    true
                });
                assert!(sealed);
                self.ends[side].said.insert(b"the last word".to_vec());
                self.ends[1 - side]
                    .connection
                    .handle_datagram(self.now, BytesMut::from(&out[..]));
                self.drain(1 - side);
                assert!(
                    self.ends[1 - side].heard.contains(&b"the last word"[..]),
                    "side {side} is not heard: {:?}",
                    self.ends[1 - side].connection.stats()
                );
            }
        }
        Outcome {
            version: self.ends[0].connection.version().filter(|_| self.were_connected),
            reasons: self.ends.map(|end| end.reason),
            datagrams: self.datagrams,
            lies: self.liar.lies,
        }
    }
}
