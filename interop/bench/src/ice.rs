//! Two agents with ten addresses each, in virtual time: what an hour without a datagram of the application costs.

use crate::cpu;
use crate::figures::Figures;
use bytes::BytesMut;
use dunlin_ice::{Agent, Config, Event, Outcome, Role, State};
use dunlin_net::Transport;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Addresses of each side: their pairs are a hundred.
const ADDRESSES: u8 = 10;
/// The idle time that is measured.
const IDLE: Duration = Duration::from_secs(3600);
/// No nomination before every pair was checked.
const ALL_CHECKED: Duration = Duration::from_secs(60);

pub fn measure(figures: &mut Figures) -> Result<(), String> {
    // The default lets go of the other pairs after three seconds; "kept" is an agent that keeps them all, with consent.
    for (name, kept) in [("ice idle", false), ("ice idle, 100 pairs kept", true)] {
        let mut two = Two::connect(kept)?;
        let pairs = two.agents[0].stats().pairs;
        let start = cpu::used_by_thread();
        two.run(IDLE, |_| false);
        // Both ends ran.
        let used = (cpu::used_by_thread() - start) / 2;
        if !two.completed() {
            return Err(format!("{name}: the connection was lost"));
        }
        let per_second = used.as_secs_f64() * 1e6 / IDLE.as_secs_f64();
        let sent = two.agents[0].stats().consent_checks_sent as f64 / IDLE.as_secs_f64();
        let note = format!("{pairs} pairs, {sent:.1} consent checks a second each way (bar 20)");
        figures.add(name, per_second, "us/s", note);
    }
    Ok(())
}

struct Two {
    agents: [Agent; 2],
    now: Instant,
    /// Nothing passes between the two addresses that are preferred, so that nobody nominates before all pairs work.
    best_is_silent: bool,
    buffer: Vec<u8>,
}

impl Two {
    fn connect(kept: bool) -> Result<Self, String> {
        let now = Instant::now();
        let agent = |role, seed: u8| {
            let mut config = Config::default();
            config.role = role;
            config.nomination_wait_host = ALL_CHECKED;
            if kept {
                config.release_delay = IDLE * 2;
            }
            Agent::new(config, [seed; 32], now)
        };
        let mut two = Self {
            agents: [agent(Role::Controlling, 1), agent(Role::Controlled, 2)],
            now,
            best_is_silent: true,
            buffer: Vec::with_capacity(1500),
        };
        for (side, agent) in two.agents.iter_mut().enumerate() {
            for host in 1..=ADDRESSES {
                let address = SocketAddr::from(([10, side as u8, 0, host], 5000));
                agent
                    .add_local_address(now, address, Transport::Udp)
                    .map_err(|error| error.to_string())?;
            }
        }
        let [a, b] = &mut two.agents;
        b.set_remote_credentials(a.local_credentials().clone(), false);
        a.set_remote_credentials(b.local_credentials().clone(), false);
        two.signal()?;
        let every_pair = usize::from(ADDRESSES) * usize::from(ADDRESSES);
        let valid = |two: &Two| {
            let pairs = two.agents[0].report().pairs;
            pairs.iter().filter(|pair| pair.outcome == Outcome::Valid).count()
        };
        two.run(ALL_CHECKED / 2, |two| valid(two) == every_pair - 1);
        two.best_is_silent = false;
        two.run(ALL_CHECKED / 2, |two| valid(two) == every_pair);
        if valid(&two) < every_pair {
            return Err(format!("ice: {} of {every_pair} pairs work", valid(&two)));
        }
        two.run(ALL_CHECKED * 2, |two| two.completed());
        // Until the others are let go of.
        two.run(Duration::from_secs(5), |_| false);
        match two.completed() {
            true => Ok(two),
            false => Err("ice: not connected".to_owned()),
        }
    }

    fn signal(&mut self) -> Result<(), String> {
        let [a, b] = &mut self.agents;
        for _ in 0..2 {
            while let Some(event) = a.poll_event() {
                if let Event::LocalCandidate(candidate) = event {
                    b.add_remote_candidate(self.now, candidate)
                        .map_err(|error| error.to_string())?;
                }
            }
            std::mem::swap(a, b);
        }
        Ok(())
    }

    fn completed(&self) -> bool {
        self.agents.iter().all(|agent| agent.state() == State::Completed)
    }

    /// Lets virtual time pass; every datagram arrives at once.
    fn run(&mut self, time: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + time;
        while !done(self) {
            while self.exchange() {}
            let next = self.agents.iter().filter_map(Agent::poll_timeout).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            for agent in &mut self.agents {
                // Who has nothing to do sleeps on.
                if agent.poll_timeout().is_some_and(|at| at <= self.now) {
                    agent.handle_timeout(self.now);
                }
                while agent.poll_event().is_some() {}
            }
        }
    }

    fn exchange(&mut self) -> bool {
        let [a, b] = &mut self.agents;
        let there = deliver(self.now, &mut self.buffer, self.best_is_silent, a, b);
        let back = deliver(self.now, &mut self.buffer, self.best_is_silent, b, a);
        there || back
    }
}

fn deliver(
    now: Instant,
    buffer: &mut Vec<u8>,
    best_is_silent: bool,
    from: &mut Agent,
    to: &mut Agent,
) -> bool {
    let mut sent = false;
    buffer.clear();
    while let Some(transmit) = from.poll_transmit(now, buffer) {
        let ends = [transmit.path.local, transmit.path.remote];
        if !best_is_silent || ends.iter().any(|end| !is_first(*end)) {
            let data = BytesMut::from(&buffer[..]);
            let _none = to.handle_datagram(now, transmit.path.reversed(), data);
        }
        buffer.clear();
        sent = true;
    }
    sent
}

fn is_first(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V4(address) if address.ip().octets()[3] == 1)
}
