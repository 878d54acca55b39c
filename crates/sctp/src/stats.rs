//! Counters and gauges of an association.

use std::time::Duration;

use crate::ecn::EcnState;

/// What [`Association::stats`](crate::Association::stats) returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Smoothed round-trip time; `None` before the first measurement.
    pub smoothed_rtt: Option<Duration>,
    /// The current retransmission timeout.
    pub rto: Duration,
    /// Congestion window in bytes.
    pub congestion_window: usize,
    /// Bytes sent and neither acknowledged nor given up for lost.
    pub bytes_in_flight: usize,
    /// The window that the peer last offered, in bytes.
    pub peer_window: usize,
    /// The largest packet that is sent now, in bytes: more than usual where the path is known to carry more (RFC 8899).
    pub packet_limit: usize,
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets received that belonged to the association.
    pub packets_received: u64,
    /// Messages whose last fragment was sent for the first time.
    pub messages_sent: u64,
    /// Messages handed up.
    pub messages_received: u64,
    /// Bytes of user data sent for the first time.
    pub bytes_sent: u64,
    /// Bytes of user data handed up.
    pub bytes_received: u64,
    /// DATA chunks sent again.
    pub retransmissions: u64,
    /// Expirations of T3-rtx.
    pub timeouts: u64,
    /// Entries into fast recovery.
    pub fast_recoveries: u64,
    /// Recoveries and timeouts that were taken back: what was called lost had arrived.
    pub spurious_recoveries: u64,
    /// Tail-loss probes sent.
    pub probes: u64,
    /// Messages given up under partial reliability.
    pub abandoned: u64,
    /// Whether packets say that routers may mark them (RFC 3168).
    pub ecn: EcnState,
    /// Packets sent that said so.
    pub ect_packets_sent: u64,
    /// Packets received with new data and a router's mark (CE), where ECN was agreed on.
    pub ce_packets_received: u64,
    /// Echoes of marks that came from the peer (ECNE), repeated ones as well.
    pub ecn_echoes_received: u64,
    /// Packets of ours that came to the peer with a mark, as far as its echoes tell.
    pub ecn_marks_reported: u64,
    /// Times that congestion control gave way because of a mark: once in a round trip at most.
    pub ecn_reactions: u64,
    /// What was dropped, by reason.
    pub drops: Drops,
}

/// What was received and not used, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Drops {
    /// Packets without a whole header and chunk, and ends of packets that are not a chunk.
    pub truncated: u64,
    /// Packets for other ports.
    pub wrong_port: u64,
    /// Packets with a wrong checksum, or a zero one that was not agreed on.
    pub bad_checksum: u64,
    /// Packets with a verification tag that is not ours.
    pub wrong_tag: u64,
    /// Packets that belong to no association here.
    pub out_of_the_blue: u64,
    /// Chunks whose content cannot be read.
    pub malformed_chunk: u64,
    /// Chunks that have no place in the current state.
    pub unexpected_chunk: u64,
    /// Chunks of a type that is not known.
    pub unknown_chunk: u64,
    /// State cookies that this side did not make.
    pub forged_cookie: u64,
    /// State cookies that came too late.
    pub stale_cookie: u64,
    /// SACKs that acknowledge what was not sent, or whose blocks make no sense.
    pub lying_sack: u64,
    /// SACKs older than one seen before.
    pub old_sack: u64,
    /// Echoes of marks on what was never sent.
    pub echo_not_sent: u64,
    /// Echoes of marks on what was sent without saying that it may be marked.
    pub echo_not_capable: u64,
    /// Echoes of marks that came sooner than the round trip allows.
    pub echo_too_soon: u64,
    /// FORWARD TSNs that point too far ahead, and those not agreed on.
    pub bad_forward_tsn: u64,
    /// HEARTBEAT ACKs that answer no HEARTBEAT of ours.
    pub unknown_heartbeat: u64,
    /// DATA that had arrived before.
    pub duplicate_data: u64,
    /// DATA for which there was no room, or too far ahead.
    pub no_room: u64,
    /// DATA on a stream that does not exist.
    pub invalid_stream: u64,
    /// Ordered messages with a stream sequence number that was already delivered.
    pub stale_message: u64,
    /// Answers not sent because too many waited, or because they would not fit in a packet.
    pub reply_overflow: u64,
}
