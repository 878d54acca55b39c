//! Two ICE agents over a network that drops, repeats, cuts and changes datagrams, and an agent that gets bytes
//! from anybody: no panic, bounded tables.
#![no_main]

use bytes::BytesMut;
use dunlin_fuzz::{Dice, carry};
use dunlin_ice::{Agent, Config, Event, Role};
use dunlin_net::{Path, Transport};
use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

fn agent(role: Role, seed: u8, now: Instant) -> Agent {
    let mut config = Config::default();
    config.role = role;
    Agent::new(config, [seed; 32], now)
}

fuzz_target!(|data: &[u8]| {
    let mut dice = Dice::new(data);
    let mut now = Instant::now();
    let mut ends = [agent(Role::Controlling, 1, now), agent(Role::Controlled, 2, now)];
    let addresses: [SocketAddr; 2] = [([10, 0, 0, 1], 5000).into(), ([10, 0, 0, 2], 5000).into()];
    for end in [0, 1] {
        let _ = ends[end].add_local_address(now, addresses[end], Transport::Udp);
        let remote = ends[1 - end].local_credentials().clone();
        ends[end].set_remote_credentials(remote, false);
    }
    let mut out = Vec::new();
    for _round in 0..100 {
        let mut moved = false;
        for from in [0, 1] {
            while let Some(event) = ends[from].poll_event() {
                if let Event::LocalCandidate(candidate) = event {
                    let _ = ends[1 - from].add_remote_candidate(now, candidate);
                }
            }
            loop {
                out.clear();
                let Some(transmit) = ends[from].poll_transmit(now, &mut out) else { break };
                moved = true;
                let path = Path::udp(transmit.path.remote, transmit.path.local);
                let to = &mut ends[1 - from];
                carry(&mut dice, &out, |bytes| {
                    let _ = to.handle_datagram(now, path, BytesMut::from(bytes));
                });
            }
        }
        if !moved {
            let next = ends.iter().filter_map(Agent::poll_timeout).min();
            let Some(next) = next else { return };
            now = next.max(now + Duration::from_millis(1));
            for end in &mut ends {
                end.handle_timeout(now);
            }
        }
    }
});
