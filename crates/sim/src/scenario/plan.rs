//! What the seed of a run decides: the network, the signalling, the channels and what is said on them.

use std::time::Duration;

use dunlin_peerconnection::{AnswerSetup, DataChannelInit};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::laws::seed_of;
use crate::link::{Link, Loss, Rate};
use crate::nat::{Dependence, NatKind};

/// One run of `connect_and_talk`.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The links of the two sides.
    pub links: [Link; 2],
    /// What the links become once both are connected.
    pub later: [Link; 2],
    /// How long signalling takes.
    pub signalling: Duration,
    /// Whether candidates are signalled one by one; else the descriptions wait for all of them.
    pub trickle: bool,
    /// Which address families each side has.
    pub families: [Families; 2],
    /// Whether there is a STUN server that the two know.
    pub stun: bool,
    /// What each side is behind. Only such as leave a way: there is no relay.
    pub nats: [Option<NatKind>; 2],
    /// The DTLS role of the answerer.
    pub setup: AnswerSetup,
    /// The channels.
    pub channels: Vec<Channel>,
    /// When everything is down for how long, after the connection.
    pub outage: Option<(Duration, Duration)>,
    /// Who closes a channel and then the connection.
    pub closer: usize,
}

/// The addresses that a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Both,
}

/// A data channel and what is said on it.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Who creates it; the other is told, unless it is negotiated.
    pub creator: usize,
    /// Its options.
    pub init: DataChannelInit,
    /// The sizes of the messages from each side.
    pub messages: [Vec<usize>; 2],
}

impl Channel {
    /// Whether every message has to arrive.
    #[must_use]
    pub fn is_reliable(&self) -> bool {
        self.init.max_retransmits.is_none() && self.init.max_packet_life_time.is_none()
    }
}

impl Plan {
    /// The plan of this seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = StdRng::from_seed(seed_of(seed, 10));
        let rng = &mut rng;
        let links = [link(rng), link(rng)];
        let mut later = links.clone();
        for link in &mut later {
            // Only once all is encrypted: nothing but the UDP checksum protects the first messages of a handshake.
            link.corrupt = if rng.random_bool(0.3) {
                rng.random_range(0.0..0.02)
            } else {
                0.0
            };
            link.loss = loss(rng);
            link.delay = milliseconds(rng, 0..150);
        }
        let nats = nats(rng);
        let behind_nat = nats.iter().any(Option::is_some);
        let families = match rng.random_range(0..6) {
            // The translators here know no IPv6.
            _ if behind_nat => [Families::V4, Families::V4],
            0 => [Families::V6, Families::V6],
            1 => [Families::Both, Families::V4],
            2 => [Families::V6, Families::Both],
            3 => [Families::Both, Families::Both],
            _ => [Families::V4, Families::V4],
        };
        let channels = (0..rng.random_range(1..6))
            .map(|index| channel(rng, index))
            .collect();
        let outage = rng
            .random_bool(0.25)
            .then(|| (milliseconds(rng, 0..3000), milliseconds(rng, 100..5000)));
        Self {
            links,
            later,
            signalling: milliseconds(rng, 0..400),
            trickle: rng.random_bool(0.6),
            families,
            stun: behind_nat || rng.random_bool(0.3),
            nats,
            setup: if rng.random_bool(0.5) {
                AnswerSetup::Active
            } else {
                AnswerSetup::Passive
            },
            channels,
            outage,
            closer: rng.random_range(0..2),
        }
    }
}

fn nats(rng: &mut StdRng) -> [Option<NatKind>; 2] {
    let dependence = |rng: &mut StdRng| match rng.random_range(0..3) {
        0 => Dependence::EndpointIndependent,
        1 => Dependence::AddressDependent,
        _ => Dependence::AddressAndPortDependent,
    };
    loop {
        let nats = [(); 2].map(|()| {
            rng.random_bool(0.4).then(|| NatKind {
                mapping: dependence(rng),
                filtering: dependence(rng),
                expiry: Duration::from_secs(120),
                hairpin: rng.random(),
                udp: true,
            })
        });
        if let [Some(a), Some(b)] = nats
            && !a.can_reach(b)
        {
            continue;
        }
        return nats;
    }
}

fn milliseconds(rng: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

fn link(rng: &mut StdRng) -> Link {
    let rate = rng.random_bool(0.3).then(|| Rate {
        bytes_per_second: rng.random_range(50_000..5_000_000),
        burst: rng.random_range(3_000..30_000),
        queue: rng.random_range(15_000..200_000),
    });
    Link {
        delay: milliseconds(rng, 0..150),
        jitter: if rng.random_bool(0.5) {
            milliseconds(rng, 0..40)
        } else {
            Duration::ZERO
        },
        reorder: if rng.random_bool(0.5) {
            rng.random_range(0.0..0.1)
        } else {
            0.0
        },
        duplicate: if rng.random_bool(0.5) {
            rng.random_range(0.0..0.05)
        } else {
            0.0
        },
        corrupt: 0.0,
        loss: loss(rng),
        rate,
        mtu: rng.random_range(1200..1500),
    }
}

fn loss(rng: &mut StdRng) -> Loss {
    match rng.random_range(0..4) {
        0 => Loss::None,
        1 => Loss::Random(rng.random_range(0.0..0.02)),
        2 => Loss::Random(rng.random_range(0.0..0.10)),
        _ => Loss::Bursts {
            enter: rng.random_range(0.001..0.02),
            leave: rng.random_range(0.1..0.5),
            good: 0.0,
            bad: rng.random_range(0.3..1.0),
        },
    }
}

fn channel(rng: &mut StdRng, index: u16) -> Channel {
    let mut init = DataChannelInit {
        ordered: rng.random_bool(0.6),
        ..DataChannelInit::default()
    };
    match rng.random_range(0..6) {
        0 => init.max_retransmits = Some(rng.random_range(0..4)),
        1 => init.max_packet_life_time = Some(rng.random_range(0..500)),
        _ => {}
    }
    if rng.random_bool(0.3) {
        init.negotiated = true;
        init.id = Some(100 + index);
    }
    let mut messages = || {
        let count = rng.random_range(0..25);
        (0..count).map(|_| size(rng)).collect()
    };
    let messages = [messages(), messages()];
    Channel {
        creator: rng.random_range(0..2),
        init,
        messages,
    }
}

fn size(rng: &mut StdRng) -> usize {
    match rng.random_range(0..10) {
        0..=5 => rng.random_range(12..100),
        6 | 7 => rng.random_range(100..1_300),
        8 => rng.random_range(1_300..20_000),
        _ => rng.random_range(20_000..100_000),
    }
}
