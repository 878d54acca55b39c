//! What is tried: every pair of NATs, every way to a relay, and the loss of an interface, each with both servers and
//! with all peers.

use super::lab::Nat;
use super::meet::Cost;
use super::server::{self, Over};
use crate::peers::Kind;
use std::fmt;

/// What happens in a case.
#[derive(Debug, Clone, Copy)]
pub enum What {
    /// Peers behind these NATs, and the best way there is between them.
    Pair { behind: [Nat; 2], best: Cost },
    /// Relayed candidates only, over one transport.
    Relay(Over),
    /// Two browsers without UDP call the page of `dunlin serve`, which relays for them over this.
    Page(Over),
    /// The host on the left loses an interface; it offers or answers.
    Loss { offers: bool },
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub what: What,
    pub server: server::Kind,
    pub peers: [Kind; 2],
}

/// The pairs, and what has to be the way between them. Where one NAT takes another port for each address, and the other
/// lets in only what it was sent to, the one's candidate is wrong and the other's is closed: a relay is needed, at one
/// end. Without UDP the relay is reached over TCP, at each end that has none.
const PAIRS: [([Nat; 2], Cost); 6] = [
    ([Nat::Cone, Nat::Cone], Cost::DIRECT),
    ([Nat::Symmetric, Nat::Cone], Cost::relayed(1, Over::Udp)),
    ([Nat::Symmetric, Nat::Symmetric], Cost::relayed(1, Over::Udp)),
    ([Nat::Full, Nat::Symmetric], Cost::DIRECT),
    ([Nat::NoUdp, Nat::Cone], Cost::relayed(1, Over::Tcp)),
    ([Nat::NoUdp, Nat::NoUdp], Cost::relayed(2, Over::Tcp)),
];

impl Case {
    /// The NATs before the two.
    pub fn behind(&self) -> [Nat; 2] {
        match self.what {
            What::Pair { behind, .. } => behind,
            What::Page(Over::Tls) => [Nat::WebOnly, Nat::WebOnly],
            What::Page(_) => [Nat::NoUdp, Nat::NoUdp],
            What::Relay(_) | What::Loss { .. } => [Nat::Cone, Nat::Cone],
        }
    }

    /// What happens, in a word.
    pub fn name(&self) -> String {
        match self.what {
            What::Pair { behind: [a, b], .. } => format!("{}/{}", a.name(), b.name()),
            What::Relay(over) => format!("relay-{}", over.name()),
            What::Page(over) => format!("page-{}", over.name()),
            What::Loss { offers: true } => "loss-offerer".to_owned(),
            What::Loss { offers: false } => "loss-answerer".to_owned(),
        }
    }

    /// Who is on which side.
    pub fn peers(&self) -> String {
        format!("{} - {}", self.peers[0].name(), self.peers[1].name())
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, peers) = (self.name(), self.peers());
        write!(f, "{name:<14} {:<7} {peers:<20}", self.server.name())
    }
}

/// All of them.
pub fn all() -> Vec<Case> {
    const OURS: [Kind; 2] = [Kind::Dunlin, Kind::Dunlin];
    const LEFT: [Kind; 2] = [Kind::Chromium, Kind::Dunlin];
    const RIGHT: [Kind; 2] = [Kind::Dunlin, Kind::Chromium];
    let mut cases = Vec::new();
    for (behind, best) in PAIRS {
        for server in [server::Kind::Coturn, server::Kind::Dunlin] {
            for peers in [OURS, LEFT, RIGHT] {
                // It makes no difference who stands where when both stand behind the same.
                if peers == RIGHT && behind[0] == behind[1] {
                    continue;
                }
                let what = What::Pair { behind, best };
                cases.push(Case { what, server, peers });
            }
        }
    }
    for over in [Over::Udp, Over::Tcp, Over::Tls] {
        for server in [server::Kind::Coturn, server::Kind::Dunlin] {
            for peers in [OURS, LEFT] {
                let what = What::Relay(over);
                cases.push(Case { what, server, peers });
            }
        }
    }
    for over in [Over::Tcp, Over::Tls] {
        cases.push(Case {
            what: What::Page(over),
            server: server::Kind::Dunlin,
            peers: [Kind::Chromium, Kind::Chromium],
        });
    }
    for offers in [true, false] {
        for peers in [OURS, RIGHT] {
            cases.push(Case {
                what: What::Loss { offers },
                server: server::Kind::Dunlin,
                peers,
            });
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_servers_meet_all_pairs_with_us_alone_and_with_a_browser_on_one_side() {
        let cases = all();
        let count = |wanted: &dyn Fn(&Case) -> bool| cases.iter().filter(|case| wanted(case)).count();
        let pair = |case: &Case| matches!(case.what, What::Pair { .. });
        assert_eq!(count(&|case| pair(case) && case.peers == [Kind::Dunlin; 2]), 12);
        assert_eq!(count(&|case| pair(case) && case.peers[0] == Kind::Chromium), 12);
        assert_eq!(count(&|case| pair(case) && case.peers[1] == Kind::Chromium), 6);
        assert_eq!(count(&|case| matches!(case.what, What::Relay(_))), 12);
        assert_eq!(count(&|case| matches!(case.what, What::Loss { .. })), 4);
    }
}
