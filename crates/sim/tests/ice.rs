//! The laws, for `dunlin_ice::Agent`.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::BytesMut;
use dunlin_ice::{Agent, Config, Event, Role, State};
use dunlin_net::{Path, Transmit, Transport};
use dunlin_sim::Node;
use dunlin_sim::laws::{self, Subject};

/// An agent, and what it framed.
struct Party {
    agent: Agent,
    framed: VecDeque<(Transmit, Vec<u8>)>,
    heard: u64,
}

/// A first byte of RTP, so that nobody takes it for STUN.
const TALK: &[u8] = b"\x80talk";

impl Node for Party {
    type Event = Event;

    fn handle_datagram(&mut self, now: Instant, path: Path, data: BytesMut) {
        let data = self.agent.handle_datagram(now, path, data);
        self.heard += u64::from(data.is_some_and(|data| data[..] == *TALK));
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.agent.poll_transmit(now, out).or_else(|| {
            let (transmit, framed) = self.framed.pop_front()?;
            out.extend_from_slice(&framed);
            Some(transmit)
        })
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.agent.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.agent.poll_timeout()
    }
}

impl Subject for Party {
    const WITHSTANDS_FORGERY: bool = true;

    fn pair(seed: [u8; 32], now: Instant) -> [Self; 2] {
        let agent = |role, seed, side| {
            let mut config = Config::default();
            config.role = role;
            let mut agent = Agent::new(config, seed, now);
            agent
                .add_local_address(now, laws::address(side), Transport::Udp)
                .unwrap();
            agent
        };
        let mut a = agent(Role::Controlling, seed, 0);
        let mut b = agent(Role::Controlled, seed.map(|byte| byte ^ 0x55), 1);
        introduce(&mut a, &b, now);
        introduce(&mut b, &a, now);
        [a, b].map(|agent| Party {
            agent,
            framed: VecDeque::new(),
            heard: 0,
        })
    }

    fn established(&self) -> bool {
        matches!(self.agent.state(), State::Connected | State::Completed)
    }

    fn talk(&mut self, _now: Instant) {
        let mut out = Vec::new();
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(TALK);
            true
        };
        if let Some(transmit) = self.agent.send(&mut out, write) {
            self.framed.push_back((transmit, out));
        }
    }

    fn heard(&self) -> u64 {
        self.heard
    }

    fn close(&mut self, _now: Instant) {
        self.agent.close();
    }
}

/// Tells `agent` what signalling would tell it about `peer`.
fn introduce(agent: &mut Agent, peer: &Agent, now: Instant) {
    agent.set_remote_credentials(peer.local_credentials().clone(), false);
    for candidate in peer.local_candidates() {
        agent.add_remote_candidate(now, candidate.clone()).unwrap();
    }
    agent.end_of_remote_candidates(now);
}

#[test]
fn the_agent_keeps_the_laws() {
    for seed in 0..4 {
        laws::check::<Party>(seed);
    }
}

#[test]
fn a_flood_leaves_little_behind() {
    let [mut agent, _] = Party::pair([1; 32], dunlin_sim::epoch());
    let kept = allocation_counter::measure(|| laws::flood(&mut agent, 0, 1, 20_000));
    assert!(kept.bytes_current < 64_000, "{kept:?}");
}
