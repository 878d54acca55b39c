//! Two peers behind translators and firewalls of every kind meet, with and without TURN servers.
//!
//! The oracle: they connect if and only if there is a path, and a message goes there and back; who fails says why. That
//! there is a path is told by the translators' kinds alone.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dunlin_net::Transport;
use dunlin_peerconnection::{
    CandidateInit, Certificate, ChannelId, Config, ConnectionState, DataChannelInit, Event,
    IceConnectionState, IceGatheringState, Message, PeerConnection, SessionDescription, TransportPolicy,
    TurnCredentials,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::laws::seed_of;
use crate::link::{Link, Loss};
use crate::nat::{Dependence, Nat, NatKind};
use crate::node::NodeId;
use crate::peer::{Party, Peer};
use crate::stun_server::StunServer;
use crate::turn_server::TurnServer;
use crate::world::World;

/// The default of the configuration, and what a TURN server puts round a datagram of the other peer.
const MAX_DATAGRAM: usize = 1200 + 36;
/// The delay of a link, unless a topology says otherwise.
const DELAY: Duration = Duration::from_millis(20);
/// Connected by then, if there is a path: the loss of a plan costs a few repetitions on each layer.
const MEET_WITHIN: Duration = Duration::from_secs(60);
/// A pair chosen by then.
const CHOOSE_WITHIN: Duration = Duration::from_secs(30);
/// Failed by then, if there is none: twice the PAC timer, and some.
const FAIL_WITHIN: Duration = Duration::from_secs(100);

/// Where one of the two is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// The translator before it; `None` for a public address.
    pub nat: Option<NatKind>,
    /// How it reaches the TURN server, if it knows one.
    pub turn: Option<Transport>,
    /// Whether it uses nothing but relayed candidates.
    pub relay_only: bool,
}

/// Where both are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Topology {
    /// The two.
    pub sides: [Side; 2],
    /// A carrier's translator behind which both are.
    pub carrier: Option<NatKind>,
    /// How often a datagram between the two, or between one and a server, is lost.
    pub loss: f64,
    /// The delay of each side's link: a round trip between the two takes four of them, one to a server two.
    pub delay: Duration,
    /// Whether candidates are told one by one as they are found; else the descriptions have them all, and each side makes
    /// its own when its servers have answered.
    pub trickle: bool,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    /// When both had the other's description.
    pub described: Duration,
    /// When a message had gone there and back; `None` when they could not meet.
    pub after: Option<Duration>,
    /// When ICE was done on both sides: a pair chosen.
    pub chosen: Option<Duration>,
    /// Which sides used their relay at the end.
    pub relayed: [bool; 2],
    /// Why there was no connection, as each side says it.
    pub reasons: [Option<String>; 2],
}

impl Side {
    /// A translator that maps and filters like this.
    #[must_use]
    pub fn behind(mapping: Dependence, filtering: Dependence) -> Self {
        Self {
            nat: Some(kind(mapping, filtering)),
            turn: None,
            relay_only: false,
        }
    }

    /// A public address.
    #[must_use]
    pub fn open() -> Self {
        Self {
            nat: None,
            turn: None,
            relay_only: false,
        }
    }

    /// A firewall that lets no UDP through.
    #[must_use]
    pub fn without_udp() -> Self {
        let mut strict = kind(
            Dependence::AddressAndPortDependent,
            Dependence::AddressAndPortDependent,
        );
        strict.udp = false;
        Self {
            nat: Some(strict),
            ..Self::open()
        }
    }

    /// The same with a TURN server.
    #[must_use]
    pub fn with_turn(self, transport: Transport) -> Self {
        Self {
            turn: Some(transport),
            ..self
        }
    }

    /// What it is behind, in short: mapping and filtering as RFC 4787 calls them, endpoint-independent (EI),
    /// address-dependent (AD), address-and-port-dependent (APD).
    #[must_use]
    pub fn name(&self) -> String {
        let short = |dependence| match dependence {
            Dependence::EndpointIndependent => "EI",
            Dependence::AddressDependent => "AD",
            Dependence::AddressAndPortDependent => "APD",
        };
        match self.nat {
            None => "public".to_owned(),
            Some(nat) if !nat.udp => "no UDP".to_owned(),
            Some(nat) => format!("{}/{}", short(nat.mapping), short(nat.filtering)),
        }
    }

    fn has_udp(&self) -> bool {
        self.nat.is_none_or(|nat| nat.udp)
    }

    fn has_relay(&self) -> bool {
        self.turn
            .is_some_and(|transport| transport != Transport::Udp || self.has_udp())
    }
}

fn kind(mapping: Dependence, filtering: Dependence) -> NatKind {
    NatKind {
        mapping,
        filtering,
        expiry: Duration::from_secs(120),
        hairpin: true,
        udp: true,
    }
}

/// Every mapping with every filtering, a public address, and no UDP at all.
#[must_use]
pub fn sides() -> Vec<Side> {
    const ALL: [Dependence; 3] = [
        Dependence::EndpointIndependent,
        Dependence::AddressDependent,
        Dependence::AddressAndPortDependent,
    ];
    let translators = ALL
        .iter()
        .flat_map(|mapping| ALL.map(|filtering| Side::behind(*mapping, filtering)));
    translators.chain([Side::open(), Side::without_udp()]).collect()
}

impl Topology {
    /// Two sides without a carrier's translator and without loss.
    #[must_use]
    pub fn of(a: Side, b: Side) -> Self {
        Self {
            sides: [a, b],
            carrier: None,
            loss: 0.0,
            delay: DELAY,
            trickle: true,
        }
    }

    /// The topology of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = StdRng::from_seed(seed_of(seed, 30));
        let all = sides();
        let turn = [
            None,
            Some(Transport::Udp),
            Some(Transport::Tcp),
            Some(Transport::Tls),
        ];
        let mut side = || {
            let mut side = all[rng.random_range(0..all.len())];
            side.turn = turn[rng.random_range(0..turn.len())];
            side.relay_only = side.turn.is_some() && rng.random_bool(0.2);
            side
        };
        let mut sides = [side(), side()];
        let plain = kind(Dependence::EndpointIndependent, Dependence::EndpointIndependent);
        let mut carrier = rng.random_bool(0.3).then_some(NatKind {
            hairpin: rng.random(),
            ..plain
        });
        // Of two layers one does as it likes, so that both together do just that.
        if let Some(carrier) = carrier.as_mut().filter(|_| rng.random()) {
            let drawn = all[rng.random_range(0..9)].nat.unwrap_or(plain);
            (carrier.mapping, carrier.filtering) = (drawn.mapping, drawn.filtering);
            for side in &mut sides {
                side.nat = side.nat.map(|nat| NatKind {
                    udp: nat.udp,
                    ..plain
                });
            }
        }
        Self {
            sides,
            carrier,
            loss: [0.0, rng.random_range(0.0..0.2)][rng.random_range(0..2)],
            delay: DELAY,
            trickle: true,
        }
    }

    /// Whether the two can meet.
    #[must_use]
    pub fn has_path(&self) -> bool {
        let [a, b] = &self.sides;
        let to_relay = |own: &Side, other: &Side| {
            // A relay reaches whoever sends to it; who has no UDP needs one too.
            own.has_relay() && (other.has_relay() || (other.has_udp() && !other.relay_only))
        };
        let direct = !a.relay_only && !b.relay_only && self.is_direct();
        direct || to_relay(a, b) || to_relay(b, a)
    }

    fn is_direct(&self) -> bool {
        let [a, b] = [0, 1].map(|side| self.sides[side].nat);
        match (a, b, self.carrier) {
            (None, None, _) => true,
            // The one in front of which nothing but the carrier's translator stands is public for the other.
            (Some(nat), None, _) | (None, Some(nat), _) => nat.udp,
            (Some(a), Some(b), None) => a.can_reach(b),
            // Both are behind the same outside address: it takes a hairpin.
            (Some(a), Some(b), Some(carrier)) => {
                carrier.hairpin && a.behind(carrier).can_reach(b.behind(carrier))
            }
        }
    }
}

/// The run.
struct Script<'a> {
    world: &'a mut World<Party>,
    topology: &'a Topology,
    peers: [NodeId; 2],
    channels: [Option<ChannelId>; 2],
    /// Candidates of each side that wait for the other's description.
    candidates: [Vec<CandidateInit>; 2],
    described: bool,
    answered: bool,
    reasons: [Option<String>; 2],
    /// When ICE was done.
    chosen: [Option<Duration>; 2],
}

/// Lets two peers meet in an empty world.
///
/// # Panics
/// When they do not meet although there is a path, or meet although there is none.
pub fn meet(seed: u64, topology: &Topology, certificate: &Certificate, world: &mut World<Party>) -> Meeting {
    world.max_datagram = MAX_DATAGRAM;
    let mut script = Script::set_the_stage(seed, topology, certificate, world);
    if topology.trickle {
        script.offer();
    } else {
        script.offer_all();
    }
    let described = script.world.elapsed();
    let has_path = topology.has_path();
    let limit = if has_path { MEET_WITHIN } else { FAIL_WITHIN };
    let after = script.run(limit);
    if after.is_some() {
        script.choose();
    }
    let chosen = script.chosen[0].zip(script.chosen[1]).map(|(a, b)| a.max(b));
    let relayed = [0, 1].map(|side| script.is_relayed(side));
    let reasons = std::mem::take(&mut script.reasons);
    let elapsed = script.world.elapsed();
    assert_eq!(
        after.is_some(),
        has_path,
        "{topology:#?}: a path: {has_path}, after {elapsed:?}: {after:?}, {reasons:#?}"
    );
    assert!(
        has_path || reasons.iter().all(Option::is_some),
        "{topology:#?}: who did not say why it failed? {reasons:#?}"
    );
    assert!(
        after.is_none() || chosen.is_some(),
        "{topology:#?}: connected after {after:?}, and no pair chosen"
    );
    Meeting {
        described,
        after,
        chosen,
        relayed,
        reasons,
    }
}

impl<'a> Script<'a> {
    fn set_the_stage(
        seed: u64,
        topology: &'a Topology,
        certificate: &Certificate,
        world: &'a mut World<Party>,
    ) -> Self {
        let stun: SocketAddr = (IpAddr::from([203, 0, 113, 1]), 3478).into();
        let turn: SocketAddr = (IpAddr::from([203, 0, 113, 2]), 3478).into();
        let now = world.now();
        // All delay is on the links of the two.
        let at_once = Link {
            delay: Duration::ZERO,
            ..Link::default()
        };
        world.add(Party::Stun(StunServer::default()), &[stun.ip()], &at_once);
        let server = TurnServer::new(turn, seed_of(seed, 31), now);
        world.add(Party::Turn(Box::new(server)), &[turn.ip()], &at_once);
        let carrier = topology.carrier.map(|kind| {
            let outside = IpAddr::from([198, 51, 100, 9]);
            world.add(Party::Nat(Nat::new(kind, outside)), &[outside], &at_once)
        });
        // Each way passes two links of a peer, or one of them twice.
        let link = Link {
            delay: topology.delay,
            loss: match topology.loss {
                0.0 => Loss::None,
                loss => Loss::Random(1.0 - (1.0 - loss).sqrt()),
            },
            ..Link::default()
        };
        let peers = [0, 1].map(|index| {
            let side = &topology.sides[index];
            let mut config = Config::default();
            config.certificate = Some(certificate.clone());
            config.stun_servers = vec![stun];
            config.turn_servers = side
                .turn
                .map(|transport| turn_server(turn, transport))
                .into_iter()
                .collect();
            if side.relay_only {
                config.ice_transport_policy = TransportPolicy::Relay;
            }
            let number = index as u8 + 1;
            let ip = match (side.nat, carrier) {
                (Some(_), _) => IpAddr::from([10, number, 0, 1]),
                (None, Some(_)) => IpAddr::from([100, 64, 0, number]),
                (None, None) => IpAddr::from([192, 0, 2, number]),
            };
            let mut connection = PeerConnection::new(config, seed_of(seed, 32 + number), now);
            connection.add_local_address(now, (ip, 5000).into(), Transport::Udp);
            let peer = Peer::new(connection, (ip, 5000).into());
            let id = world.add(Party::Peer(Box::new(peer)), &[ip], &link);
            let mut outermost = id;
            if let Some(kind) = side.nat {
                let outside = match carrier {
                    Some(_) => IpAddr::from([100, 64, 0, number]),
                    None => IpAddr::from([198, 51, 100, number]),
                };
                outermost = world.add(Party::Nat(Nat::new(kind, outside)), &[outside], &at_once);
                world.put_behind(id, outermost);
            }
            if let Some(carrier) = carrier {
                world.put_behind(outermost, carrier);
            }
            id
        });
        Self {
            world,
            topology,
            peers,
            channels: [None; 2],
            candidates: Default::default(),
            described: false,
            answered: false,
            reasons: [None, None],
            chosen: [None; 2],
        }
    }

    fn offer(&mut self) {
        let (channel, offer) = self.peer(0, |peer, now| {
            let channel = peer.create_data_channel(now, "meeting", DataChannelInit::default());
            (channel, peer.set_local_description(now, None))
        });
        self.channels[0] = channel.ok();
        self.describe(1, offer.expect("a new connection makes an offer"));
        self.described = true;
        let answer = self.peer(1, |peer, now| peer.set_local_description(now, None));
        self.describe(0, answer.expect("an offer was set"));
        self.answered = true;
        for side in [0, 1] {
            for candidate in std::mem::take(&mut self.candidates[side]) {
                self.tell(1 - side, candidate);
            }
        }
    }

    /// The same with all candidates in the descriptions.
    fn offer_all(&mut self) {
        let channel = self.peer(0, |peer, now| {
            peer.create_data_channel(now, "meeting", DataChannelInit::default())
        });
        self.channels[0] = channel.ok();
        for side in [0, 1] {
            let made = self.peer(side, |peer, now| peer.set_local_description(now, None));
            made.expect("an offer and an answer can be made");
            self.gather(side);
            let whole = self.peer(side, |peer, _| peer.local_description());
            self.describe(1 - side, whole.expect("it was made"));
        }
        (self.described, self.answered) = (true, true);
        self.candidates = Default::default();
    }

    /// Runs until a side has all its candidates.
    fn gather(&mut self, side: usize) {
        let deadline = self.world.now() + MEET_WITHIN;
        while let Some((node, event)) = self.world.run_until(deadline) {
            let complete = matches!(event, Event::IceGatheringState(IceGatheringState::Complete));
            if node == self.peers[side] && complete {
                return;
            }
        }
        panic!("{:?} does not end gathering", self.topology);
    }

    fn describe(&mut self, side: usize, description: SessionDescription) {
        let set = self.peer(side, |peer, now| peer.set_remote_description(now, description));
        set.expect("our descriptions are valid");
    }

    fn tell(&mut self, side: usize, candidate: CandidateInit) {
        let _unusable = self.peer(side, |peer, now| peer.add_ice_candidate(now, candidate));
    }

    fn peer<T>(
        &mut self,
        side: usize,
        command: impl FnOnce(&mut PeerConnection, std::time::Instant) -> T,
    ) -> T {
        self.world
            .command(self.peers[side], |party, now| command(party.peer(), now))
    }

    /// Whether a side's own end of the path is its relay.
    fn is_relayed(&mut self, side: usize) -> bool {
        self.peer(side, |peer, now| {
            let pair = peer.stats(now).candidate_pair;
            pair.is_some_and(|pair| pair.local.contains(" typ relay"))
        })
    }

    /// Runs until a message has gone there and back (then answers when), or both have failed.
    fn run(&mut self, limit: Duration) -> Option<Duration> {
        let deadline = self.world.now() + limit;
        while let Some((node, event)) = self.world.run_until(deadline) {
            let side = usize::from(node == self.peers[1]);
            match event {
                Event::IceConnectionState(IceConnectionState::Completed) => {
                    let elapsed = self.world.elapsed();
                    self.chosen[side].get_or_insert(elapsed);
                }
                Event::IceCandidate(candidate) if self.answered => self.tell(1 - side, candidate),
                Event::IceCandidate(candidate) => self.candidates[side].push(candidate),
                Event::ChannelOpen(id) if side == 0 => {
                    let _sent = self.peer(0, |peer, now| {
                        peer.send(now, id, Message::Text("there".to_owned()))
                    });
                }
                Event::DataChannel(id) => self.channels[1] = Some(id),
                Event::ChannelReadable(id) => {
                    let received = self.peer(side, |peer, now| peer.receive(now, id));
                    match received {
                        Some(_) if side == 0 => return Some(self.world.elapsed()),
                        Some(message) => {
                            let _sent = self.peer(1, |peer, now| peer.send(now, id, message));
                        }
                        None => {}
                    }
                }
                Event::Failed(reason) => self.reasons[side] = Some(reason),
                Event::ConnectionState(ConnectionState::Failed)
                    if !self.topology.has_path() && self.reasons.iter().all(Option::is_some) =>
                {
                    return None;
                }
                _ => {}
            }
        }
        None
    }

    /// Runs on until both have chosen a pair.
    fn choose(&mut self) {
        let deadline = self.world.now() + CHOOSE_WITHIN;
        while self.chosen.contains(&None) {
            let Some((node, event)) = self.world.run_until(deadline) else {
                return;
            };
            if matches!(event, Event::IceConnectionState(IceConnectionState::Completed)) {
                let side = usize::from(node == self.peers[1]);
                let elapsed = self.world.elapsed();
                self.chosen[side].get_or_insert(elapsed);
            }
        }
    }
}

fn turn_server(address: SocketAddr, transport: Transport) -> dunlin_peerconnection::TurnServer {
    dunlin_peerconnection::TurnServer {
        address,
        transport,
        name: None,
        credentials: TurnCredentials {
            username: TurnServer::USER.to_owned(),
            password: TurnServer::PASSWORD.to_owned(),
        },
        url: format!("turn:{address}?transport={transport}"),
    }
}
