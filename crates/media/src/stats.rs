//! Counters, in the terms of the W3C statistics they feed.

use std::time::{Duration, Instant};

use dunlin_rtp::{NtpTime, PayloadType, Ssrc, Timestamp};

/// Packets that a session dropped, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Drops {
    /// RTP that belongs to no receiver.
    pub unroutable: u64,
    /// RTP with a MID that no receiver has.
    pub unknown_mid: u64,
    /// RTP with a payload type that its receiver does not have.
    pub unknown_payload_type: u64,
    /// RTP that was received before, or is too old to tell.
    pub duplicate: u64,
    /// Padding and retransmissions without content: nothing was lost by it.
    pub empty: u64,
    /// Retransmissions of a stream that is not known.
    pub unknown_rtx: u64,
    /// RTP of one SSRC more than may be received.
    pub streams_full: u64,
    /// Events that did not fit the queue.
    pub events_full: u64,
    /// Retransmissions that did not fit the queue.
    pub queue_full: u64,
    /// RTCP that cannot be read.
    pub malformed_rtcp: u64,
    /// RTCP feedback that names no stream of ours.
    pub unknown_feedback: u64,
}

/// What a remote sender says of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteSender {
    /// Packets sent.
    pub packets_sent: u32,
    /// Payload bytes sent.
    pub bytes_sent: u32,
    /// When it said so, in its clock.
    pub ntp: NtpTime,
    /// The same instant in its media clock.
    pub timestamp: Timestamp,
    /// When that arrived.
    pub arrived: Instant,
    /// Reports received.
    pub reports: u64,
}

/// One received stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveStats {
    /// The stream.
    pub ssrc: Ssrc,
    /// Its encoding.
    pub rid: Option<String>,
    /// The payload type of its last packet.
    pub payload_type: PayloadType,
    /// Packets received, those of the retransmission stream not counted.
    pub packets_received: u64,
    /// Payload bytes received, padding not counted.
    pub bytes_received: u64,
    /// Header and padding bytes received.
    pub header_bytes_received: u64,
    /// Packets expected less packets received.
    pub packets_lost: i64,
    /// The interarrival jitter.
    pub jitter: Duration,
    /// Packets that came as retransmissions.
    pub retransmitted_packets_received: u64,
    /// Packets dropped as duplicates.
    pub packets_duplicated: u64,
    /// NACK packets sent.
    pub nack_count: u64,
    /// PLI packets sent.
    pub pli_count: u64,
    /// FIR packets sent.
    pub fir_count: u64,
    /// When the last packet arrived.
    pub last_packet: Instant,
    /// What its sender says.
    pub remote: Option<RemoteSender>,
}

/// What a remote receiver says of our stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteReceiver {
    /// The part lost since its last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost.
    pub packets_lost: i32,
    /// The jitter it sees.
    pub jitter: Duration,
    /// The last round trip measured.
    pub round_trip: Option<Duration>,
    /// The sum of the round trips measured.
    pub total_round_trip: Duration,
    /// How many were measured.
    pub round_trips: u64,
}

/// One sent stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendStats {
    /// The stream.
    pub ssrc: Ssrc,
    /// Packets sent, retransmissions included.
    pub packets_sent: u64,
    /// Payload bytes sent, retransmissions included.
    pub bytes_sent: u64,
    /// Header bytes sent.
    pub header_bytes_sent: u64,
    /// Retransmissions sent.
    pub retransmitted_packets_sent: u64,
    /// Payload bytes of retransmissions sent.
    pub retransmitted_bytes_sent: u64,
    /// NACK packets received.
    pub nack_count: u64,
    /// PLI packets received.
    pub pli_count: u64,
    /// FIR packets received.
    pub fir_count: u64,
    /// What its receiver says.
    pub remote: Option<RemoteReceiver>,
}
