//! Candidates whose address is hidden behind a name (draft-ietf-mmusic-mdns-ice-candidates): the parent asks the local
//! network who answers to it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use log::debug;

use crate::agent::Agent;
use crate::candidate::{Address, Candidate};
use crate::event::{Event, State};
use crate::server::TransportPolicy;
use crate::stats::DropReason;

/// Names that wait for an answer, and what came of the others.
#[derive(Debug, Default)]
pub(crate) struct Names {
    waiting: Vec<Candidate>,
    /// Addresses that were hidden.
    found: Vec<IpAddr>,
    /// Names asked for in this generation.
    asked: usize,
    /// Names that nobody answers to.
    pub(crate) failed: u64,
}

impl Names {
    /// Whether the address was hidden behind a name.
    pub(crate) fn hid(&self, ip: IpAddr) -> bool {
        self.found.contains(&ip)
    }
}

impl Agent {
    /// Takes a candidate with a name: it waits for an address, if the name is one that may be resolved.
    pub(crate) fn take_name(&mut self, candidate: Candidate) {
        // "If the ICE candidate policy is "relay", as defined in [JSEP], ignore the candidate." (section 3.2.1)
        let allowed = self.config.resolve_names && self.config.transport_policy == TransportPolicy::All;
        let Address::Name { name, .. } = &candidate.address else {
            return;
        };
        let room = self.names.asked < self.config.max_names;
        if !allowed || !room || !is_hidden_name(name) {
            debug!("ice: left out {candidate}");
            return self.stats.drops.count(DropReason::CandidateName);
        }
        let name = name.clone();
        let known = |waiting: &Candidate| matches!(&waiting.address, Address::Name { name: other, .. } if *other == name);
        let is_new = !self.names.waiting.iter().any(known);
        self.names.waiting.push(candidate);
        self.names.asked += 1;
        if is_new {
            self.push_event(Event::ResolveName(name));
        }
    }

    /// The answer to [`Event::ResolveName`]: the one address that the name has. The candidates with this name are used
    /// now, if their address may be.
    pub fn name_resolved(&mut self, now: Instant, name: &str, address: IpAddr) {
        self.now = self.now.max(now);
        for mut candidate in self.take_waiting(name) {
            debug!("ice: {name} is {address}");
            candidate.address = Address::Socket(SocketAddr::new(address, candidate.address.port()));
            if !self.names.hid(address) {
                self.names.found.push(address);
            }
            // What is wrong with it is counted.
            let _refused = self.add_remote_candidate(now, candidate);
        }
    }

    /// The answer to [`Event::ResolveName`] when nobody answers to the name, or several do: "An ICE agent SHOULD ignore
    /// candidates where the hostname resolution returns more than one IP address." (section 3.2.2)
    pub fn name_not_resolved(&mut self, now: Instant, name: &str) {
        self.now = self.now.max(now);
        for _candidate in self.take_waiting(name) {
            debug!("ice: {name} is nobody's");
            self.names.failed += 1;
            self.stats.drops.count(DropReason::CandidateName);
        }
    }

    fn take_waiting(&mut self, name: &str) -> Vec<Candidate> {
        if matches!(self.state, State::Closed) {
            return Vec::new();
        }
        let has_it = |candidate: &mut Candidate| matches!(&candidate.address, Address::Name { name: other, .. } if other == name);
        self.names.waiting.extract_if(.., has_it).collect()
    }

    pub(crate) fn forget_names(&mut self) {
        self.names = Names::default();
    }
}

/// "ICE agents SHOULD NOT resolve mDNS names if they are not in the format defined by" section 3.1: "a version 4 UUID as
/// defined in [RFC4122], followed by ".local"". Printers and other devices have other names.
pub(crate) fn is_hidden_name(name: &str) -> bool {
    // Names are the same in any case (RFC 6762, section 16).
    let Some((uuid, _)) = name
        .rsplit_once('.')
        .filter(|(_, suffix)| suffix.eq_ignore_ascii_case("local"))
    else {
        return false;
    };
    let byte = |at: usize| uuid.as_bytes()[at];
    uuid.len() == 36
        && uuid.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
        && byte(14) == b'4'
        && matches!(byte(19).to_ascii_lowercase(), b'8' | b'9' | b'a' | b'b')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_hide_an_address_are_resolved() {
        assert!(is_hidden_name("6f4d2d3a-4b9b-4a0e-9f3e-0d2c9f2f1a11.local"));
        assert!(is_hidden_name("6F4D2D3A-4B9B-4A0E-9F3E-0D2C9F2F1A11.Local"));
        for other in [
            "printer.local",
            "6f4d2d3a-4b9b-1a0e-9f3e-0d2c9f2f1a11.local",
            "6f4d2d3a-4b9b-4a0e-cf3e-0d2c9f2f1a11.local",
            "6f4d2d3a-4b9b-4a0e-9f3e-0d2c9f2f1a11.example",
            "a.6f4d2d3a-4b9b-4a0e-9f3e-0d2c9f2f1a11.local",
            "6f4d2d3a-4b9b-4a0e-9f3e-0d2c9f2f1a1é.local",
            ".local",
        ] {
            assert!(!is_hidden_name(other), "{other}");
        }
    }
}
