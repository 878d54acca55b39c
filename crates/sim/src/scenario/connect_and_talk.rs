//! Two peer connections find each other over a bad network, talk over data channels, and part.
//!
//! Oracles: connected within 30 s; every reliable message exactly once and, where asked, in order; nothing over
//! 1,200 bytes; a closed channel is closed at both ends; after close no timer is left. The world adds its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use dunlin_net::Transport;
use dunlin_peerconnection::{
    CandidateInit, ChannelId, Config, ConnectionState, Event, IceGatheringState, PeerConnection,
    SendMessageError, SessionDescription,
};
use log::info;

use super::Outcome;
use super::ledger::Ledger;
use super::plan::{Families, Plan};
use crate::laws::seed_of;
use crate::link::{Fate, Link, Loss};
use crate::nat::Nat;
use crate::node::NodeId;
use crate::peer::{Party, Peer};
use crate::stun_server::StunServer;
use crate::world::World;

/// What `poll_transmit` may append: the default of the configuration.
const MAX_DATAGRAM: usize = 1200;
/// Two sizes, three times each, for each path that a peer selects and sends much on.
const MAX_PROBES: usize = 48;
/// RFC 8489's retransmissions, DTLS's and the losses of a plan leave much room below this.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// How long the slowest plan may take for its messages.
const TALK_WITHIN: Duration = Duration::from_secs(600);
/// How long after a channel was closed both ends know.
const CLOSE_WITHIN: Duration = Duration::from_secs(120);
/// How long nothing may come back before a path is given up, less what a round trip takes.
const CONSENT: Duration = Duration::from_secs(29);
/// How often the two try to say more.
const TICK: Duration = Duration::from_millis(20);

/// Something that the script does at its time.
#[derive(Debug)]
enum Step {
    Offer,
    Describe(usize, SessionDescription),
    Candidate(usize, CandidateInit),
    Speak,
    Outage(bool),
}

/// The run.
struct Script<'a> {
    world: &'a mut World<Party>,
    plan: Plan,
    peers: [NodeId; 2],
    agenda: BTreeMap<(Instant, u64), Step>,
    entries: u64,
    ledger: Ledger,
    /// The channels of each side, by their index in the plan.
    channels: [BTreeMap<usize, ChannelId>; 2],
    open: [BTreeSet<usize>; 2],
    closed: [BTreeSet<usize>; 2],
    described: [bool; 2],
    connected: [Option<Duration>; 2],
    /// One side has closed.
    parting: bool,
    /// Consent expired as it has to: the line was too bad for too long.
    cut_off: bool,
}

/// Runs the scenario of this seed in an empty world.
///
/// # Panics
/// When an oracle is not content.
pub fn connect_and_talk(seed: u64, world: &mut World<Party>) -> Outcome {
    let plan = Plan::draw(seed);
    info!("{plan:#?}");
    let mut script = Script::set_the_stage(seed, plan, world);
    script.connect();
    script.talk();
    script.close_a_channel();
    script.part();
    let connected = script.connected.into_iter().flatten().max().unwrap_or_default();
    let messages = script.ledger.heard;
    let trace = world.trace();
    let datagrams = [Fate::Sent, Fate::Lost, Fate::Corrupted, Fate::Duplicated].map(|fate| trace.count(fate));
    Outcome {
        hash: trace.hash(),
        connected,
        elapsed: world.elapsed(),
        messages,
        datagrams: datagrams.iter().sum(),
    }
}

impl<'a> Script<'a> {
    fn set_the_stage(seed: u64, plan: Plan, world: &'a mut World<Party>) -> Self {
        world.max_datagram = MAX_DATAGRAM;
        world.max_probes = MAX_PROBES;
        let stun: SocketAddr = (IpAddr::from([203, 0, 113, 1]), 3478).into();
        if plan.stun {
            world.add(Party::Stun(StunServer::default()), &[stun.ip()], &Link::default());
        }
        let now = world.now();
        let peers = [0, 1].map(|side| {
            let mut config = Config::default();
            config.answer_setup = plan.setup;
            config.stun_servers.extend(plan.stun.then_some(stun));
            let mut peer = PeerConnection::new(config, seed_of(seed, 20 + side as u8), now);
            let addresses = addresses(side, plan.families[side]);
            for address in &addresses {
                peer.add_local_address(now, (*address, 5000).into(), Transport::Udp);
            }
            let id = world.add(
                Party::Peer(Box::new(Peer::new(peer, (addresses[0], 5000).into()))),
                &addresses,
                &plan.links[side],
            );
            if let Some(kind) = plan.nats[side] {
                let outside = IpAddr::from([198, 51, 100, 1 + side as u8]);
                let nat = world.add(Party::Nat(Nat::new(kind, outside)), &[outside], &Link::default());
                world.put_behind(id, nat);
            }
            id
        });
        Self {
            ledger: Ledger::new(&plan.channels),
            world,
            plan,
            peers,
            agenda: BTreeMap::new(),
            entries: 0,
            channels: Default::default(),
            open: Default::default(),
            closed: Default::default(),
            described: [false; 2],
            connected: [None; 2],
            parting: false,
            cut_off: false,
        }
    }

    fn connect(&mut self) {
        for (index, channel) in self.plan.channels.clone().into_iter().enumerate() {
            for side in 0..2 {
                if channel.creator == side || channel.init.negotiated {
                    let (label, init) = (format!("{index}"), channel.init.clone());
                    let id = self.peer(side, |peer, now| peer.create_data_channel(now, &label, init));
                    self.channels[side].insert(index, id.expect("the plan's options are valid"));
                }
            }
        }
        if self.channels[0].is_empty() {
            // An offer without a channel would have no data section.
            let init = dunlin_peerconnection::DataChannelInit::default();
            let _ = self.peer(0, |peer, now| peer.create_data_channel(now, "extra", init));
        }
        self.schedule(Duration::ZERO, Step::Offer);
        // From when both have each other's description.
        let all = self.run(CONNECT_WITHIN + self.plan.signalling * 3, |script| {
            script.connected.iter().all(Option::is_some)
        });
        assert!(
            all && !self.cut_off,
            "not connected within 30 s: {:?}",
            self.states()
        );
    }

    fn talk(&mut self) {
        for side in 0..2 {
            *self.world.uplink(self.peers[side]) = self.plan.later[side].clone();
            *self.world.downlink(self.peers[side]) = self.plan.later[side].clone();
        }
        if let Some((after, duration)) = self.plan.outage {
            self.schedule(after, Step::Outage(true));
            self.schedule(after + duration, Step::Outage(false));
        }
        self.schedule(TICK, Step::Speak);
        let all = self.run(TALK_WITHIN, |script| {
            let all_open = |open: &BTreeSet<usize>| open.len() == script.plan.channels.len();
            script.ledger.is_complete() && script.open.iter().all(all_open)
        });
        let states = self.states();
        assert!(all, "{}; open {:?}; {states:?}", self.ledger.missing(), self.open);
    }

    /// RFC 8831, section 6.7: closing a channel resets its streams in both directions.
    fn close_a_channel(&mut self) {
        let closer = self.plan.closer;
        if self.cut_off {
            return;
        }
        let Some((&index, &id)) = self.channels[closer].first_key_value() else {
            return;
        };
        self.peer(closer, |peer, now| peer.close_channel(now, id));
        let all = self.run(CLOSE_WITHIN, |script| {
            script.closed.iter().all(|closed| closed.contains(&index))
        });
        assert!(
            all,
            "channel {index} was not closed at both ends: {:?}",
            self.closed
        );
    }

    fn part(&mut self) {
        self.agenda.clear();
        (self.parting, self.cut_off) = (true, false);
        let closer = self.plan.closer;
        self.peer(closer, |peer, now| peer.close(now));
        // The other learns it from the goodbye, or when the path stays silent.
        self.run(Duration::from_secs(60), |_| false);
        let other = self.peer(1 - closer, |peer, _| peer.connection_state());
        assert_ne!(
            other,
            ConnectionState::Connected,
            "the other side never learnt that it is alone"
        );
        self.peer(1 - closer, |peer, now| peer.close(now));
        self.run(Duration::from_secs(10), |_| false);
        assert!(self.world.is_quiet(), "timers are left after close");
    }

    /// Lets the world and the agenda go on until `done` or cut off, or until `limit` has passed: then `false`.
    fn run(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.world.now() + limit;
        while !done(self) && !self.cut_off {
            let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
            match self.world.run_until(next.map_or(end, |next| next.min(end))) {
                Some((node, event)) => self.on_event(node, event),
                None if self.world.now() >= end => return done(self),
                None => {
                    if let Some((_, step)) = self.agenda.pop_first() {
                        self.take(step);
                    }
                }
            }
        }
        true
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Offer => self.describe(0),
            Step::Describe(side, description) => {
                let answer = description.kind == dunlin_peerconnection::SdpType::Offer;
                let result = self.peer(side, |peer, now| peer.set_remote_description(now, description));
                result.expect("the other side's description is understood");
                self.described[side] = true;
                if answer {
                    self.describe(side);
                }
            }
            Step::Candidate(side, candidate) => {
                let result = self.peer(side, |peer, now| peer.add_ice_candidate(now, candidate));
                result.expect("the other side's candidate is understood");
            }
            Step::Speak => {
                self.speak();
                self.schedule(TICK, Step::Speak);
            }
            Step::Outage(down) => {
                for side in 0..2 {
                    let loss = if down {
                        Loss::All
                    } else {
                        self.plan.later[side].loss
                    };
                    self.world.uplink(self.peers[side]).loss = loss;
                }
            }
        }
    }

    /// Makes and applies this side's description, and sends it: at once when trickling, else once it is complete.
    fn describe(&mut self, side: usize) {
        let description = self.peer(side, |peer, now| peer.set_local_description(now, None));
        let description = description.expect("an offer or an answer can be made");
        let gathered = self.peer(side, |peer, _| peer.ice_gathering_state()) == IceGatheringState::Complete;
        if self.plan.trickle {
            self.signal(Step::Describe(1 - side, description));
        } else if gathered {
            self.signal_complete_description(side);
        }
    }

    fn signal_complete_description(&mut self, side: usize) {
        let description = self.peer(side, |peer, _| peer.local_description());
        self.signal(Step::Describe(1 - side, description.expect("it was set")));
    }

    fn on_event(&mut self, node: NodeId, event: Event) {
        let Some(side) = self.peers.iter().position(|peer| *peer == node) else {
            return;
        };
        let at = self.world.elapsed();
        info!("{at:?} side {side}: {event:?}");
        // The name only: what an event carries may come from the crypto backend.
        let name: String = format!("{event:?}")
            .chars()
            .take_while(|c| c.is_alphanumeric())
            .collect();
        self.world.trace_mut().mix(name.as_bytes());
        match event {
            Event::ConnectionState(ConnectionState::Connected) => {
                self.connected[side].get_or_insert(at);
            }
            Event::Failed(reason) if !self.parting => {
                // RFC 7675, section 5.1: without a response for 30 s, consent expires. With one it must not.
                let silent = self.world.last_answered(node).is_some_and(|ago| ago >= CONSENT);
                assert!(silent, "side {side} failed: {reason}");
                self.cut_off = true;
            }
            Event::IceGatheringState(IceGatheringState::Complete) if !self.plan.trickle => {
                let described = self.peer(side, |peer, _| peer.local_description().is_some());
                if described {
                    self.signal_complete_description(side);
                }
            }
            Event::IceCandidate(candidate) if self.plan.trickle => {
                self.signal(Step::Candidate(1 - side, candidate));
            }
            Event::DataChannel(id) => {
                let label = self.peer(side, |peer, _| {
                    peer.channel(id).map(|channel| channel.label().to_owned())
                });
                if let Some(index) = label.and_then(|label| label.parse().ok()) {
                    self.channels[side].insert(index, id);
                    self.open[side].insert(index);
                }
                self.listen(side, id);
            }
            Event::ChannelOpen(id) => {
                self.open[side].extend(self.index_of(side, id));
            }
            Event::ChannelReadable(id) => self.listen(side, id),
            Event::ChannelClosed(id) => {
                let index = self.index_of(side, id);
                self.closed[side].extend(index);
            }
            _ => {}
        }
    }

    fn speak(&mut self) {
        for side in 0..2 {
            for index in self.open[side].clone() {
                let id = self.channels[side][&index];
                while let Some(message) = self.ledger.next(side, index) {
                    match self.peer(side, |peer, now| peer.send(now, id, message)) {
                        Ok(()) => self.ledger.said(side, index),
                        Err(SendMessageError::Full { .. }) => break,
                        Err(other) => panic!("side {side} cannot speak on channel {index}: {other}"),
                    }
                }
            }
        }
    }

    fn listen(&mut self, side: usize, id: ChannelId) {
        let Some(index) = self.index_of(side, id) else {
            return;
        };
        while let Some(message) = self.peer(side, |peer, now| peer.receive(now, id)) {
            self.ledger.hear(side, index, &message);
        }
    }

    fn index_of(&self, side: usize, id: ChannelId) -> Option<usize> {
        self.channels[side]
            .iter()
            .find(|(_, own)| **own == id)
            .map(|(index, _)| *index)
    }

    fn peer<T>(&mut self, side: usize, command: impl FnOnce(&mut PeerConnection, Instant) -> T) -> T {
        self.world
            .command(self.peers[side], |party, now| command(party.peer(), now))
    }

    fn states(&mut self) -> [String; 2] {
        [0, 1].map(|side| {
            self.peer(side, |peer, _| {
                let (ice, dtls) = (peer.ice_connection_state(), peer.dtls_state());
                format!(
                    "signalling {:?}, ice {ice:?}, dtls {dtls:?}",
                    peer.signaling_state()
                )
            })
        })
    }

    fn signal(&mut self, step: Step) {
        self.schedule(self.plan.signalling, step);
    }

    /// Puts a step on the agenda; steps of one moment keep their order.
    fn schedule(&mut self, after: Duration, step: Step) {
        self.entries += 1;
        self.agenda.insert((self.world.now() + after, self.entries), step);
    }
}

fn addresses(side: usize, families: Families) -> Vec<IpAddr> {
    let v4 = IpAddr::from([192, 0, 2, 1 + side as u8]);
    let v6 = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1 + side as u16]);
    match families {
        Families::V4 => vec![v4],
        Families::V6 => vec![v6],
        Families::Both => vec![v4, v6],
    }
}
