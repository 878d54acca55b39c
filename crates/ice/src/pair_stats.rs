//! What is counted of each pair, with the meanings of W3C webrtc-stats, section 8.23 (RTCIceCandidatePairStats).

use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::candidate::Candidate;
use crate::pair::{Pair, PairId, PairState};

/// RTCStatsIceCandidatePairState: where the checks of a pair are (RFC 8445, section 6.1.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CheckState {
    /// Not checked before a pair of the same foundation has succeeded.
    Frozen,
    /// To be checked when its turn comes.
    Waiting,
    /// A check is on its way.
    InProgress,
    /// A check was refused or never answered.
    Failed,
    /// A check was answered.
    Succeeded,
}

impl CheckState {
    /// The name of webrtc-stats.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            CheckState::Frozen => "frozen",
            CheckState::Waiting => "waiting",
            CheckState::InProgress => "in-progress",
            CheckState::Failed => "failed",
            CheckState::Succeeded => "succeeded",
        }
    }
}

/// One pair and its counters. Packets and bytes are those of the application: no checks, and no framing of relays or TCP.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PairStats {
    /// Our end; once the pair works, as the peer sees it.
    pub local: Candidate,
    /// The peer's end.
    pub remote: Candidate,
    /// Where its checks are.
    pub state: CheckState,
    /// Both sides agreed on it, or the peer has nominated it.
    pub nominated: bool,
    /// Datagrams go out on it now.
    pub selected: bool,
    /// Its priority (RFC 8445, section 6.1.2.3).
    pub priority: u64,
    /// Datagrams that [`Agent::send`] wrote for it.
    pub packets_sent: u64,
    /// Datagrams that `handle_datagram` handed back.
    pub packets_received: u64,
    /// Bytes of `packets_sent`.
    pub bytes_sent: u64,
    /// Bytes of `packets_received`.
    pub bytes_received: u64,
    /// Datagrams that the socket refused ([`Agent::datagram_discarded`]).
    pub packets_discarded_on_send: u64,
    /// Their bytes.
    pub bytes_discarded_on_send: u64,
    /// When the last datagram was written; to the nearest call with a time before it.
    pub last_packet_sent: Option<Instant>,
    /// When the last datagram was handed back.
    pub last_packet_received: Option<Instant>,
    /// Connectivity checks sent, without retransmissions.
    pub requests_sent: u64,
    /// The peer's authentic requests, retransmissions and consent checks included: they look the same.
    pub requests_received: u64,
    /// Responses sent to them.
    pub responses_sent: u64,
    /// Authentic responses received, to checks and to consent checks.
    pub responses_received: u64,
    /// Consent checks sent (RFC 7675).
    pub consent_requests_sent: u64,
    /// The sum of the round trips that responses have shown. Those to requests that were sent more than once show none.
    pub total_round_trip_time: Duration,
    /// The last of them.
    pub current_round_trip_time: Option<Duration>,
}

/// The counters of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counters {
    pub(crate) received: Traffic,
    pub(crate) sent: Traffic,
    pub(crate) discarded: Traffic,
    pub(crate) checks_begun: u64,
    pub(crate) requests_received: u64,
    pub(crate) responses_sent: u64,
    pub(crate) responses_received: u64,
    pub(crate) consent_checks: u64,
    pub(crate) total_round_trip: Duration,
    pub(crate) last_round_trip: Option<Duration>,
}

/// Datagrams of the application in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Traffic {
    packets: u64,
    bytes: u64,
    last: Option<Instant>,
}

impl Traffic {
    pub(crate) fn count(&mut self, now: Instant, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
        self.last = Some(now);
    }

    fn add(&mut self, more: Self) {
        self.packets += more.packets;
        self.bytes += more.bytes;
        self.last = more.last.or(self.last);
    }
}

impl Counters {
    pub(crate) fn round_trip(&mut self, sample: Duration) {
        self.total_round_trip += sample;
        self.last_round_trip = Some(sample);
    }
}

impl Agent {
    /// Every pair that there is at the moment, in no particular order.
    #[must_use]
    pub fn pair_stats(&self) -> Vec<PairStats> {
        self.list.iter().map(|pair| self.stats_of(pair)).collect()
    }

    /// The pair that [`send`](Self::send) uses, with its counters.
    #[must_use]
    pub fn selected_pair_stats(&self) -> Option<PairStats> {
        let pair = self.list.get(self.selected?)?;
        Some(self.stats_of(pair))
    }

    /// Tells that a datagram of `bytes` bytes, which [`send`](Self::send) has written for the pair in use, was not taken
    /// by its socket. It stays among those sent, as webrtc-stats has it.
    pub fn datagram_discarded(&mut self, now: Instant, bytes: usize) {
        self.now = self.now.max(now);
        let now = self.now;
        if let Some(pair) = self.selected.and_then(|id| self.list.get_mut(id)) {
            pair.counters.discarded.count(now, bytes);
        }
    }

    /// What was sent since the pair in use was chosen becomes its own: it is counted beside the list, which `send` does
    /// not look into.
    pub(crate) fn book_sent(&mut self, id: Option<PairId>) {
        let sent = std::mem::take(&mut self.sent_on_selected);
        if let Some(pair) = id.and_then(|id| self.list.get_mut(id)) {
            pair.counters.sent.add(sent);
        }
    }

    fn stats_of(&self, pair: &Pair) -> PairStats {
        let Counters {
            received,
            mut sent,
            discarded,
            ..
        } = pair.counters;
        let counters = &pair.counters;
        let selected = self.selected == Some(pair.id);
        if selected {
            sent.add(self.sent_on_selected);
        }
        PairStats {
            local: Candidate::clone(&pair.local),
            remote: Candidate::clone(&pair.remote),
            state: match pair.state {
                PairState::Frozen => CheckState::Frozen,
                PairState::Waiting => CheckState::Waiting,
                PairState::InProgress => CheckState::InProgress,
                PairState::Succeeded => CheckState::Succeeded,
                PairState::Failed => CheckState::Failed,
            },
            nominated: self.nominated == Some(pair.id) || pair.use_candidate_at.is_some(),
            selected,
            priority: pair.priority,
            packets_sent: sent.packets,
            packets_received: received.packets,
            bytes_sent: sent.bytes,
            bytes_received: received.bytes,
            packets_discarded_on_send: discarded.packets,
            bytes_discarded_on_send: discarded.bytes,
            last_packet_sent: sent.last,
            last_packet_received: received.last,
            requests_sent: counters.checks_begun,
            requests_received: counters.requests_received,
            responses_sent: counters.responses_sent,
            responses_received: counters.responses_received,
            consent_requests_sent: counters.consent_checks,
            total_round_trip_time: counters.total_round_trip,
            current_round_trip_time: counters.last_round_trip,
        }
    }
}
