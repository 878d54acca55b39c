//! What was tried, what came back, and what such a pattern usually means: written for a person.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use dunlin_net::Transport;

use crate::agent::Agent;
use crate::candidate::{Candidate, Protocol};
use crate::pair::{Outcome, Pair};
use crate::server::{ServerReport, ServerState, TransportPolicy};
use crate::stats::DropReason;

/// Of more pairs than this, the others are only counted when a report is written.
const PAIRS_WRITTEN: usize = 20;

/// Why there is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureReason {
    /// No pair was answered in time.
    NoPath,
    /// The path worked, then went silent for the consent time (RFC 7675, section 5.1).
    ConsentExpired,
    /// The path worked, then the peer said that it wants no more (RFC 7675, section 5.2).
    ConsentRevoked,
}

/// What was tried and what came back.
///
/// `{}` writes one line for each server, candidate and pair.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Report {
    /// Which candidates may be used.
    pub policy: TransportPolicy,
    /// The STUN and TURN servers.
    pub servers: Vec<ServerReport>,
    /// Our candidates.
    pub local: Vec<Candidate>,
    /// The peer's candidates.
    pub remote: Vec<Candidate>,
    /// What became of each pair.
    pub pairs: Vec<PairReport>,
    /// Remote candidates that were left out: names, TCP, denied by the filter.
    pub ignored_remote: u64,
    /// Remote candidates whose name nobody on this network answers to; they are among those left out.
    pub unresolved_names: u64,
    /// Requests that were refused because of their username or password.
    pub refused_requests: u64,
}

/// Why a session has failed.
///
/// `{}` writes the reason, what it usually means, and an extract of the report in one line; `{:#}` the whole.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FailureReport {
    /// Why there is no path.
    pub reason: FailureReason,
    /// What was tried.
    pub tried: Report,
}

/// One pair of a [`Report`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PairReport {
    /// Our base.
    pub local: SocketAddr,
    /// Whether that is the address of a relay.
    pub relayed: bool,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Checks sent, retransmissions included.
    pub requests_sent: u32,
    /// Answers received.
    pub responses_received: u32,
    /// The peer's checks received.
    pub requests_received: u32,
    /// What became of it.
    pub outcome: Outcome,
}

impl Agent {
    /// What was tried so far and what came back. (After a failure, its [`FailureReport`] knows more: the pairs are
    /// forgotten then.)
    #[must_use]
    pub fn report(&self) -> Report {
        self.report_at(self.now)
    }

    /// The same at this time: how long servers have been silent grows without any call.
    #[must_use]
    pub fn report_at(&self, now: Instant) -> Report {
        let of_pair = |pair: &Pair| PairReport {
            local: pair.path.local,
            relayed: self.route(pair.path).is_some_and(|route| route.relay.is_some()),
            remote: pair.path.remote,
            requests_sent: pair.requests_sent,
            responses_received: pair.responses_received,
            requests_received: pair.requests_received,
            outcome: pair.outcome,
        };
        let connects = self.failed_connects().map(|(local, remote, outcome)| PairReport {
            local: SocketAddr::new(local, 0),
            relayed: false,
            remote,
            requests_sent: 0,
            responses_received: 0,
            requests_received: 0,
            outcome,
        });
        let drops = &self.stats.drops;
        let count = |reasons: &[DropReason]| reasons.iter().map(|reason| drops.get(*reason)).sum();
        Report {
            policy: self.config.transport_policy,
            servers: self.server_reports_at(now),
            local: self.gatherer.candidates().cloned().collect(),
            remote: self.remote.clone(),
            pairs: self.list.iter().map(of_pair).chain(connects).collect(),
            ignored_remote: count(&[
                DropReason::CandidateName,
                DropReason::CandidateProtocol,
                DropReason::CandidateDenied,
            ]),
            unresolved_names: self.names.failed,
            refused_requests: count(&[DropReason::UnknownUfrag, DropReason::WrongPassword]),
        }
    }
}

impl FailureReport {
    /// What such a failure usually means, as a sentence that a user can act on.
    #[must_use]
    pub fn explanation(&self) -> String {
        match self.reason {
            FailureReason::ConsentRevoked => "the peer ended the connection".to_owned(),
            FailureReason::ConsentExpired => {
                "the path worked and then went silent: the peer is gone, or its network changed; an ICE restart may help"
                    .to_owned()
            }
            FailureReason::NoPath => self.tried.explanation(),
        }
    }
}

impl Report {
    /// Why there is no path.
    fn explanation(&self) -> String {
        let any = |f: fn(&PairReport) -> bool| self.pairs.iter().any(f);
        let text = if self.local.is_empty() {
            return self.no_candidate();
        } else if any(|pair| matches!(pair.outcome, Outcome::Refused(400..=401)))
            || any(|pair| pair.outcome == Outcome::Unauthentic)
            || self.refused_requests > 0
        {
            "the peers reach each other but their usernames or passwords differ: one side has an old or another \
             connection's description"
        } else if self.pairs.is_empty() && self.unresolved_names > 0 {
            "the peer hides its addresses behind names (.local), and nobody on this network answers to them: the peers \
             are on different networks and need a STUN or TURN server, or the network carries no multicast"
        } else if self.pairs.is_empty() && self.ignored_remote > 0 {
            "none of the peer's candidates could be used: they were names (.local), TCP, or denied by the filter"
        } else if self.remote.is_empty() {
            "the peer sent no candidate: look at the signalling"
        } else if self.pairs.is_empty() && self.remote.iter().all(|c| c.protocol == Protocol::Tcp) {
            "the peer can only be reached over TCP, and only by a connection that it opens itself: this side does not \
             listen for one"
        } else if self.pairs.is_empty() {
            "no local address has the same IP version as any of the peer's"
        } else if any(|pair| pair.outcome == Outcome::NotSymmetric) {
            "checks are answered from other addresses than they were sent to: both sides are behind NATs that take a new \
             port for each address, and need a TURN server"
        } else if any(|pair| pair.requests_received > 0) {
            "the peer's checks arrive here but ours are not answered: a firewall blocks one direction"
        } else if self
            .pairs
            .iter()
            .all(|pair| matches!(pair.outcome, Outcome::NotRelayed(_)))
        {
            "the TURN server does not relay to any of the peer's addresses: its rules forbid them; the peer may need a \
             TURN server too"
        } else {
            return self.no_answer();
        };
        text.to_owned()
    }

    fn no_candidate(&self) -> String {
        if self.policy == TransportPolicy::All {
            return "this side has no address: no network interface was found or allowed".to_owned();
        }
        let mut turn = self.servers.iter().filter(|server| server.relays).peekable();
        if turn.peek().is_none() {
            return "only relayed paths are allowed (policy \"relay\") and no TURN server is configured"
                .to_owned();
        }
        let failures = self.turn_failures(|_| true);
        format!(
            "only relayed paths are allowed (policy \"relay\") and no TURN server gave an address{failures}"
        )
    }

    /// No pair was answered, and nothing else tells why.
    fn no_answer(&self) -> String {
        let on_udp = |transport| matches!(transport, Transport::Udp | Transport::Dtls);
        let over_udp = |server: &&ServerReport| on_udp(server.transport);
        let silent = |server: &ServerReport| server.error().is_some_and(crate::ServerError::is_silence);
        let mut udp = self.servers.iter().filter(over_udp).peekable();
        let relayed = |server: &ServerReport| matches!(&server.state, ServerState::Answered { relayed, .. } if !relayed.is_empty());
        let has_relay = self.servers.iter().any(relayed);
        let stream = |server: &ServerReport| server.relays && !on_udp(server.transport);
        if udp.peek().is_some() && udp.all(silent) {
            let blocked =
                "UDP is blocked: nothing came back over UDP, neither from a server nor from the peer";
            return if has_relay {
                format!(
                    "{blocked}; a TURN server was reached over TCP, but the peer does not answer through it"
                )
            } else if self.servers.iter().any(stream) {
                let failures = self.turn_failures(|server| !on_udp(server.transport));
                format!("{blocked}; TURN over TCP did not help{failures}")
            } else {
                format!("{blocked}, and no TURN server over TCP or TLS is configured")
            };
        }
        if has_relay {
            return "nothing came back from any of the peer's addresses, not even through our relay: the peer does not \
                    have our candidates, or is gone"
                .to_owned();
        }
        let needed = "nothing came back from any of the peer's addresses: a firewall blocks UDP, or both sides are \
                      behind NATs that need a TURN server";
        if self.servers.iter().any(|server| server.relays) {
            format!(
                "{needed}, and none gave an address{}",
                self.turn_failures(|_| true)
            )
        } else {
            format!("{needed}, and none is configured")
        }
    }

    /// What the TURN servers said, to end a sentence with.
    fn turn_failures(&self, which: impl Fn(&ServerReport) -> bool) -> String {
        let turn = self
            .servers
            .iter()
            .filter(|server| server.relays && which(server));
        let failures: Vec<String> = turn
            .filter(|server| server.error().is_some() || matches!(server.state, ServerState::Asked { .. }))
            .map(ToString::to_string)
            .collect();
        if failures.is_empty() {
            String::new()
        } else {
            format!(" ({})", failures.join("; "))
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for server in &self.servers {
            writeln!(f, "server {server}")?;
        }
        for (whose, candidates) in [("our", &self.local), ("the peer's", &self.remote)] {
            match candidates.is_empty() {
                true => writeln!(f, "{whose} candidates: none")?,
                false => writeln!(f, "{whose} candidates:")?,
            }
            for candidate in candidates {
                writeln!(f, "  {}", Brief(candidate))?;
            }
        }
        match self.pairs.len() {
            0 => f.write_str("pairs: none")?,
            _ => f.write_str("pairs:")?,
        }
        for pair in self.pairs.iter().take(PAIRS_WRITTEN) {
            write!(f, "\n  {pair}")?;
        }
        if let more @ 1.. = self.pairs.len().saturating_sub(PAIRS_WRITTEN) {
            write!(f, "\n  and {more} more")?;
        }
        if self.ignored_remote > 0 {
            write!(f, "\ncandidates of the peer left out: {}", self.ignored_remote)?;
        }
        Ok(())
    }
}

/// A candidate in a report: what it is and where.
struct Brief<'a>(&'a Candidate);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Candidate { kind, protocol, .. } = self.0;
        write!(f, "{} {protocol} ", kind.as_str())?;
        match &self.0.address {
            crate::Address::Socket(address) => write!(f, "{address}"),
            crate::Address::Name { name, port } => write!(f, "{name}:{port}"),
        }
    }
}

impl fmt::Display for PairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { local, remote, .. } = self;
        let by = if self.relayed { " (relay)" } else { "" };
        write!(f, "{local}{by} to {remote}: {}", self.outcome)?;
        match (self.outcome, self.requests_sent) {
            (Outcome::Untried | Outcome::Valid | Outcome::NotRelayed(_) | Outcome::NotConnected, _)
            | (_, 0) => {}
            (_, 1) => f.write_str(", 1 check sent")?,
            (_, sent) => write!(f, ", {sent} checks sent")?,
        }
        match self.requests_received {
            0 => Ok(()),
            received => write!(f, ", {received} of the peer's received"),
        }
    }
}

impl fmt::Display for FailureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            FailureReason::NoPath => "no path was found",
            FailureReason::ConsentExpired => "consent expired",
            FailureReason::ConsentRevoked => "consent was revoked",
        };
        write!(f, "{reason}: {}", self.explanation())?;
        let Report {
            local, remote, pairs, ..
        } = &self.tried;
        if f.alternate() {
            return write!(f, "\n{}", self.tried);
        }
        let (local, remote, count) = (local.len(), remote.len(), pairs.len());
        write!(f, " ({local} local and {remote} remote candidates, {count} pairs")?;
        for pair in pairs.iter().take(4) {
            write!(f, "; {} to {}: {}", pair.local, pair.remote, pair.outcome)?;
        }
        if count > 4 {
            f.write_str("; …")?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::candidate::Kind;
    use crate::server::ServerError;

    fn pair(local: &str, outcome: Outcome) -> PairReport {
        PairReport {
            local: local.parse().unwrap(),
            relayed: false,
            remote: "198.51.100.2:7000".parse().unwrap(),
            requests_sent: 7,
            responses_received: 0,
            requests_received: 0,
            outcome,
        }
    }

    fn server(url: &str, transport: Transport, relays: bool, state: ServerState) -> ServerReport {
        ServerReport {
            url: url.to_owned(),
            address: None,
            transport,
            relays,
            state,
        }
    }

    /// One candidate on each side, one silent pair.
    fn silent(servers: Vec<ServerReport>) -> FailureReport {
        let host = |at: &str| Candidate::udp(Kind::Host, at.parse().unwrap(), 1, "1");
        FailureReport {
            reason: FailureReason::NoPath,
            tried: Report {
                servers,
                local: vec![host("10.0.0.1:5000")],
                remote: vec![host("198.51.100.2:7000")],
                pairs: vec![pair("10.0.0.1:5000", Outcome::TimedOut)],
                ..Report::default()
            },
        }
    }

    fn timeout() -> ServerState {
        ServerState::Failed(ServerError::Timeout(Duration::from_secs(15)))
    }

    fn relaying() -> ServerState {
        ServerState::Answered {
            mapped: None,
            relayed: vec!["203.0.113.1:50000".parse().unwrap()],
        }
    }

    #[test]
    fn the_whole_report_reads_like_this() {
        let refused = ServerState::Failed(ServerError::Turn(dunlin_turn::client::Failure::WrongCredentials));
        let report = silent(vec![
            server("stun:stun.example.org", Transport::Udp, false, timeout()),
            server("turns:turn.example.org", Transport::Tls, true, refused),
        ]);
        assert_eq!(
            format!("{report:#}"),
            "no path was found: UDP is blocked: nothing came back over UDP, neither from a server nor from the peer; \
             TURN over TCP did not help (turns:turn.example.org: the TURN server does not accept the username and \
             password)
server stun:stun.example.org: it did not answer within 15 s
server turns:turn.example.org: the TURN server does not accept the username and password
our candidates:
  host udp 10.0.0.1:5000
the peer's candidates:
  host udp 198.51.100.2:7000
pairs:
  10.0.0.1:5000 to 198.51.100.2:7000: no answer, 7 checks sent"
        );
    }

    #[test]
    fn silence_is_explained_by_what_the_servers_did() {
        let says = |servers: Vec<ServerReport>, what: &str| {
            let text = silent(servers).explanation();
            assert!(text.contains(what), "{text}");
        };
        let stun = |state| server("stun:a", Transport::Udp, false, state);
        let turn = |transport, state| server("turn:b", transport, true, state);
        says(vec![], "NATs that need a TURN server, and none is configured");
        says(
            vec![stun(timeout())],
            "UDP is blocked: nothing came back over UDP, neither from a server nor from the peer, and no TURN server \
             over TCP or TLS is configured",
        );
        says(
            vec![stun(timeout()), turn(Transport::Tls, relaying())],
            "reached over TCP, but the peer does not answer through it",
        );
        let mapped = ServerState::Answered {
            mapped: Some("192.0.2.9:1".parse().unwrap()),
            relayed: vec![],
        };
        says(vec![stun(mapped.clone())], "and none is configured");
        says(
            vec![stun(mapped.clone()), turn(Transport::Udp, timeout())],
            "and none gave an address (turn:b: it did not answer within 15 s)",
        );
        says(
            vec![stun(mapped), turn(Transport::Udp, relaying())],
            "not even through our relay",
        );
    }

    #[test]
    fn a_policy_that_leaves_no_candidate_names_the_servers() {
        let mut report = silent(vec![]);
        report.tried.local.clear();
        assert!(report.explanation().starts_with("this side has no address"));
        report.tried.policy = TransportPolicy::Relay;
        assert!(report.explanation().ends_with("no TURN server is configured"));
        let name = ServerState::Failed(ServerError::Name("no such host".to_owned()));
        report.tried.servers = vec![server("turn:nowhere", Transport::Udp, true, name)];
        assert!(
            report
                .explanation()
                .ends_with("gave an address (turn:nowhere: its name does not resolve: no such host)")
        );
    }
}
