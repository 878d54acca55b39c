//! An independent referee: the translators of webrtc-util's vnet, which were not written by us, between two of our agents.
//!
//! Whether two kinds of translators let their hosts meet is told by [`Topology::has_path`], to which the simulator holds
//! its own translators. Here the same answer has to come out of somebody else's.

mod network;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use dunlin_ice::{
    Agent, Config, Event, FailureReport, Renomination, Role, State, TurnCredentials, TurnServer,
};
use dunlin_net::{Path, Transport};
use dunlin_sim::laws::seed_of;
use dunlin_sim::scenario::nat::{Side, Topology, sides};
use dunlin_sim::{Dependence, Node, StunServer, TurnServer as TurnNode, epoch};
use network::{Network, Wire};

/// Longer than an agent without a path waits.
const PATIENCE: Duration = Duration::from_secs(120);
/// A first byte of RTP, so that nobody takes it for STUN.
const WORDS: &[u8] = b"\x80words";

/// Two agents, the servers, and their sockets.
struct Meeting {
    start: Instant,
    agents: [Agent; 2],
    hosts: [SocketAddr; 2],
    stun: (SocketAddr, StunServer),
    turn: (IpAddr, TurnNode),
    network: Network,
    heard: [bool; 2],
    failed: [Option<FailureReport>; 2],
}

/// How two agents came out of it.
struct Outcome {
    met: bool,
    relayed: bool,
    failed: [Option<FailureReport>; 2],
}

fn address(ip: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::from((ip, port))
}

impl Meeting {
    async fn prepare(topology: &Topology, seed: u64) -> Self {
        let start = epoch();
        let (stun, turn) = (address([203, 0, 113, 1], 3478), address([203, 0, 113, 2], 3478));
        let network = Network::new(topology, &[stun, turn]).await;
        let hosts = network.hosts;
        let mut agents = [Role::Controlling, Role::Controlled].map(|role| {
            let index = usize::from(role == Role::Controlled);
            let mut config = Config::default();
            config.role = role;
            config.stun_servers = vec![stun];
            config.turn_servers = topology.sides[index]
                .turn
                .map(|_| turn_at(turn))
                .into_iter()
                .collect();
            Agent::new(config, seed_of(seed, 40 + index as u8), start)
        });
        for (agent, host) in agents.iter_mut().zip(hosts) {
            agent.add_local_address(start, host, Transport::Udp).unwrap();
            // Every second meeting is one of peers that nominate once.
            agent.set_remote_renomination(seed.is_multiple_of(2).then_some(Renomination::Draft));
        }
        let [a, b] = &mut agents;
        a.set_remote_credentials(b.local_credentials().clone(), false);
        b.set_remote_credentials(a.local_credentials().clone(), false);
        Self {
            start,
            agents,
            hosts,
            stun: (stun, StunServer::default()),
            turn: (turn.ip(), TurnNode::new(turn, seed_of(seed, 42), start)),
            network,
            heard: [false; 2],
            failed: [None, None],
        }
    }

    /// Runs until both have heard the other on a pair that both have chosen, or both have failed.
    async fn run(mut self) -> Outcome {
        let clock = tokio::time::Instant::now();
        loop {
            let now = self.start + clock.elapsed();
            self.settle(now).await;
            let completed = self.agents.iter().all(|agent| agent.state() == State::Completed);
            let met = completed && self.heard == [true; 2];
            if met || self.failed.iter().all(Option::is_some) {
                let relayed = self.agents.iter().any(|agent| agent.path_mtu_overhead() > 0);
                return Outcome {
                    met,
                    relayed,
                    failed: self.failed,
                };
            }
            assert!(clock.elapsed() < PATIENCE, "neither met nor failed");
            if completed {
                self.talk().await;
            }
            let due = self.agents.iter().filter_map(Agent::poll_timeout);
            let due = due.chain(self.turn.1.poll_timeout()).min();
            // When nothing is due, a second is as good as any.
            let wait = due.map_or(Duration::from_secs(1), |at| at.saturating_duration_since(now));
            if let Ok(Some(wire)) = tokio::time::timeout(wait, self.network.receive()).await {
                self.deliver(self.start + clock.elapsed(), wire);
            } else {
                let now = self.start + clock.elapsed();
                self.agents.iter_mut().for_each(|agent| agent.handle_timeout(now));
                self.turn.1.handle_timeout(now);
            }
        }
    }

    fn deliver(&mut self, now: Instant, Wire { path, data }: Wire) {
        if path.local == self.stun.0 {
            self.stun.1.handle_datagram(now, path, data);
        } else if path.local.ip() == self.turn.0 {
            self.turn.1.handle_datagram(now, path, data);
        } else if let Some(side) = self.hosts.iter().position(|host| *host == path.local) {
            let words = self.agents[side].handle_datagram(now, path, data);
            self.heard[side] |= words.is_some_and(|words| words[..] == *WORDS);
        }
    }

    /// Everything that any of them has to say, is said.
    async fn settle(&mut self, now: Instant) {
        for side in [0, 1] {
            while let Some(event) = self.agents[side].poll_event() {
                match event {
                    Event::LocalCandidate(candidate) => {
                        let _known = self.agents[1 - side].add_remote_candidate(now, candidate);
                    }
                    Event::OpenPath(open) => {
                        let way = Path::udp(self.hosts[side], open.server);
                        self.agents[side].relay_path_opened(now, open.id, way);
                    }
                    Event::Failed(report) => self.failed[side] = Some(report),
                    _ => {}
                }
            }
        }
        let relayed: Vec<_> = self.turn.1.relayed().collect();
        for relayed in relayed {
            self.network.serve(relayed).await;
        }
        let mut out = Vec::new();
        loop {
            out.clear();
            let [a, b] = &mut self.agents;
            let next = a.poll_transmit(now, &mut out);
            let next = next.or_else(|| b.poll_transmit(now, &mut out));
            let next = next.or_else(|| self.stun.1.poll_transmit(now, &mut out));
            let next = next.or_else(|| self.turn.1.poll_transmit(now, &mut out));
            match next {
                Some(transmit) => self.network.send(transmit.path, &out).await,
                None => return,
            }
        }
    }

    async fn talk(&mut self) {
        for agent in &mut self.agents {
            let mut out = Vec::new();
            let write = |out: &mut Vec<u8>| {
                out.extend_from_slice(WORDS);
                true
            };
            if let Some(transmit) = agent.send(&mut out, write) {
                self.network.send(transmit.path, &out).await;
            }
        }
    }
}

fn turn_at(address: SocketAddr) -> TurnServer {
    TurnServer {
        address,
        transport: Transport::Udp,
        name: None,
        credentials: TurnCredentials {
            username: TurnNode::USER.to_owned(),
            password: TurnNode::PASSWORD.to_owned(),
        },
        url: format!("turn:{address}?transport=udp"),
    }
}

/// Lets two agents meet, in time that passes only when everybody waits, and compares with what the kinds promise.
fn judge(topology: &Topology, seed: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let outcome = runtime.block_on(async { Meeting::prepare(topology, seed).await.run().await });
    assert_eq!(
        outcome.met,
        topology.has_path(),
        "{topology:#?}: {:#?}",
        outcome.failed
    );
    outcome
}

/// All pairs of kinds, with or without a TURN server on each side: how many met, and how many of those by a relay.
fn matrix(turn: [bool; 2]) -> [usize; 2] {
    let mut counts = [0, 0];
    for (row, a) in sides().into_iter().enumerate() {
        for (column, b) in sides().into_iter().enumerate() {
            let mut topology = Topology::of(a, b);
            for (side, turn) in topology.sides.iter_mut().zip(turn) {
                side.turn = turn.then_some(Transport::Udp);
            }
            let outcome = judge(&topology, (row * 20 + column) as u64);
            counts[0] += usize::from(outcome.met);
            counts[1] += usize::from(outcome.met && outcome.relayed);
        }
    }
    counts
}

#[test]
fn without_turn_the_referee_sees_the_same_pairs_meet() {
    assert_eq!(matrix([false, false]), [61, 0]);
}

#[test]
fn with_turn_on_one_side_the_referee_sees_all_meet_that_have_udp() {
    assert_eq!(matrix([true, false])[0], 100);
}

#[test]
fn with_turn_on_both_sides_no_relay_is_used_where_none_is_needed() {
    assert_eq!(matrix([true, true]), [100, 39]);
}

/// vnet hairpins between the hosts of its inner translators: what they send to the carrier's address comes back.
#[test]
fn behind_one_carrier_the_referee_sees_them_meet_by_hairpin() {
    let kinds = [
        Dependence::EndpointIndependent,
        Dependence::AddressAndPortDependent,
    ];
    for mapping in kinds {
        for filtering in kinds {
            let side = Side::behind(mapping, filtering);
            let mut topology = Topology::of(side, side);
            topology.carrier = side.nat;
            judge(&topology, 7);
        }
    }
}
