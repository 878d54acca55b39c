//! Numbers about a connection, under the names of W3C webrtc-stats.

use serde::Serialize;

use crate::PeerConnection;
use crate::state::DtlsState;
use crate::transport::TransportDrops;
use dunlin_ice::PairStats;
use dunlin_sctp::EcnState;
use std::time::Instant;

/// Everything that is counted, at one moment. Serialises with the names of webrtc-stats.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Stats {
    /// `RTCTransportStats` of the one transport.
    pub transport: TransportStats,
    /// `RTCIceCandidatePairStats` of the pair in use.
    pub candidate_pair: Option<CandidatePairStats>,
    /// Those of every pair that there is, the one in use among them.
    pub candidate_pairs: Vec<CandidatePairStats>,
    /// The SCTP association, once there is one.
    pub sctp: Option<SctpStats>,
    /// `RTCDataChannelStats`, a channel each.
    pub data_channels: Vec<DataChannelStats>,
    /// `RTCInboundRtpStreamStats`, one for each SSRC received.
    pub inbound_rtp: Vec<InboundRtpStats>,
    /// `RTCOutboundRtpStreamStats`, one for each SSRC sent.
    pub outbound_rtp: Vec<OutboundRtpStats>,
}

/// `RTCTransportStats` (webrtc-stats, section 7.14), and what was dropped.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TransportStats {
    /// The state of ICE.
    pub ice_state: &'static str,
    /// `controlling` or `controlled`.
    pub ice_role: &'static str,
    /// Our username fragment.
    pub ice_local_username_fragment: String,
    /// The state of DTLS.
    pub dtls_state: &'static str,
    /// `client`, `server` or `unknown`.
    pub dtls_role: &'static str,
    /// Four hexadecimal digits: `FEFD` is DTLS 1.2.
    pub tls_version: Option<String>,
    /// The IANA name of the cipher suite.
    pub dtls_cipher: Option<String>,
    /// The name of the group that the keys were agreed in, as in the IANA registry.
    pub tls_group: Option<&'static str>,
    /// The IANA name of the SRTP protection profile.
    pub srtp_cipher: Option<&'static str>,
    /// Datagrams of DTLS and SRTP sent.
    pub packets_sent: u64,
    /// Datagrams of DTLS and SRTP received.
    pub packets_received: u64,
    /// Their payload bytes sent.
    pub bytes_sent: u64,
    /// Their payload bytes received.
    pub bytes_received: u64,
    /// How often the path changed.
    pub selected_candidate_pair_changes: u64,
    /// Datagrams that were dropped, by reason.
    pub drops: TransportDrops,
    /// STUN messages and datagrams that ICE dropped.
    pub ice_drops: u64,
    /// Records that DTLS dropped.
    pub dtls_drops: u64,
}

/// `RTCIceCandidatePairStats` (webrtc-stats, section 7.18). Packets are the datagrams of DTLS and SRTP, bytes theirs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct CandidatePairStats {
    /// Our candidate, as in a description.
    pub local: String,
    /// The peer's candidate, as in a description.
    pub remote: String,
    /// Whether both sides agreed on it.
    pub nominated: bool,
    /// Where its checks are: `frozen`, `waiting`, `in-progress`, `failed` or `succeeded`.
    pub state: &'static str,
    /// Datagrams sent.
    pub packets_sent: u64,
    /// Datagrams received.
    pub packets_received: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// When the last datagram was sent, in milliseconds: since 1970 with [`wall_clock`](crate::Config::wall_clock), else
    /// since the connection was made.
    pub last_packet_sent_timestamp: Option<f64>,
    /// When the last datagram was received.
    pub last_packet_received_timestamp: Option<f64>,
    /// All round trips that checks and consent checks have shown, in seconds.
    pub total_round_trip_time: f64,
    /// The last of them, in seconds.
    pub current_round_trip_time: Option<f64>,
    /// Checks sent, without retransmissions.
    pub requests_sent: u64,
    /// Checks and consent checks received.
    pub requests_received: u64,
    /// Responses sent.
    pub responses_sent: u64,
    /// Responses received.
    pub responses_received: u64,
    /// Consent checks sent.
    pub consent_requests_sent: u64,
    /// Datagrams that a socket refused.
    pub packets_discarded_on_send: u64,
    /// Their bytes.
    pub bytes_discarded_on_send: u64,
}

/// The association below the data channels.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SctpStats {
    /// Smoothed round-trip time in seconds.
    pub smoothed_round_trip_time: Option<f64>,
    /// Whether messages of different channels are interleaved (RFC 8260); unknown before the handshake is done.
    pub interleaving: Option<bool>,
    /// Congestion window in bytes.
    pub congestion_window: usize,
    /// The window that the peer last offered, in bytes.
    pub receiver_window: usize,
    /// Bytes sent and not acknowledged.
    pub bytes_in_flight: usize,
    /// DATA chunks sent again.
    pub retransmissions: u64,
    /// Retransmission timers that ran out.
    pub timeouts: u64,
    /// Whether datagrams say that routers may mark them instead of dropping them (ECN): `off`, `testing`, `capable`,
    /// `black-hole` (the path swallowed those that did) or `false-marks` (it marked nearly all, without a queue).
    pub ecn: &'static str,
    /// Packets sent that said so.
    pub ect_packets_sent: u64,
    /// Packets that came with a router's mark.
    pub ce_packets_received: u64,
    /// Packets of ours that came to the peer with a mark, as far as it tells.
    pub ecn_marks_reported: u64,
    /// Times that sending gave way because of a mark: once in a round trip at most.
    pub ecn_reactions: u64,
}

/// `RTCDataChannelStats` (webrtc-stats, section 7.13).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DataChannelStats {
    /// Its name.
    pub label: String,
    /// Its subprotocol.
    pub protocol: String,
    /// Its stream identifier.
    pub data_channel_identifier: Option<u16>,
    /// Its state.
    pub state: &'static str,
    /// Messages accepted by `send`.
    pub messages_sent: u64,
    /// Payload bytes accepted by `send`.
    pub bytes_sent: u64,
    /// Messages that arrived.
    pub messages_received: u64,
    /// Payload bytes that arrived.
    pub bytes_received: u64,
}

/// `RTCInboundRtpStreamStats` (webrtc-stats, section 7.6).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InboundRtpStats {
    /// The SSRC.
    pub ssrc: u32,
    /// `audio` or `video`.
    pub kind: &'static str,
    /// The media section.
    pub mid: Option<String>,
    /// Packets received.
    pub packets_received: u64,
    /// Packets lost by the reckoning of RFC 3550; duplicates can make it negative.
    pub packets_lost: i64,
    /// Jitter in seconds.
    pub jitter: f64,
    /// Payload bytes received.
    pub bytes_received: u64,
    /// Generic NACKs sent.
    pub nack_count: u64,
    /// PLIs sent.
    pub pli_count: u64,
    /// FIRs sent.
    pub fir_count: u64,
}

/// `RTCOutboundRtpStreamStats` (webrtc-stats, section 7.8) and what the peer reports of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct OutboundRtpStats {
    /// The SSRC.
    pub ssrc: u32,
    /// `audio` or `video`.
    pub kind: &'static str,
    /// The media section.
    pub mid: Option<String>,
    /// Packets sent.
    pub packets_sent: u64,
    /// Payload bytes sent.
    pub bytes_sent: u64,
    /// Packets sent again.
    pub retransmitted_packets_sent: u64,
    /// Generic NACKs received.
    pub nack_count: u64,
    /// PLIs received.
    pub pli_count: u64,
    /// FIRs received.
    pub fir_count: u64,
    /// Round-trip time in seconds by the peer's reports.
    pub round_trip_time: Option<f64>,
    /// Packets lost by the peer's reports.
    pub remote_packets_lost: Option<i64>,
}

impl PeerConnection {
    /// Numbers about everything, now.
    #[must_use]
    pub fn stats(&self, _now: Instant) -> Stats {
        let ice = &self.transport.ice;
        let pairs = ice.pair_stats().into_iter().map(|pair| self.pair_stats(&pair));
        let (jsep, media) = (&self.negotiation.jsep, self.transport.media.get());
        Stats {
            transport: self.transport_stats(),
            candidate_pair: ice.selected_pair_stats().map(|pair| self.pair_stats(&pair)),
            candidate_pairs: pairs.collect(),
            sctp: self.transport.sctp.as_ref().map(|sctp| {
                let stats = sctp.stats();
                SctpStats {
                    interleaving: sctp.interleaves(),
                    smoothed_round_trip_time: stats.smoothed_rtt.map(|rtt| rtt.as_secs_f64()),
                    congestion_window: stats.congestion_window,
                    receiver_window: stats.peer_window,
                    bytes_in_flight: stats.bytes_in_flight,
                    retransmissions: stats.retransmissions,
                    timeouts: stats.timeouts,
                    ecn: match stats.ecn {
                        EcnState::Testing => "testing",
                        EcnState::Capable => "capable",
                        EcnState::BlackHole => "black-hole",
                        EcnState::FalseMarks => "false-marks",
                        _ => "off",
                    },
                    ect_packets_sent: stats.ect_packets_sent,
                    ce_packets_received: stats.ce_packets_received,
                    ecn_marks_reported: stats.ecn_marks_reported,
                    ecn_reactions: stats.ecn_reactions,
                }
            }),
            data_channels: self
                .channels()
                .map(|(_, channel)| DataChannelStats::of(channel))
                .collect(),
            inbound_rtp: media.map_or_else(Vec::new, |media| self.tracks.inbound_stats(jsep, media)),
            outbound_rtp: media.map_or_else(Vec::new, |media| self.tracks.outbound_stats(jsep, media)),
        }
    }

    fn pair_stats(&self, pair: &PairStats) -> CandidatePairStats {
        let timestamp = |at: Instant| {
            let since_made = at.saturating_duration_since(self.made);
            (self.kept.wall_clock.unwrap_or_default() + since_made).as_secs_f64() * 1e3
        };
        CandidatePairStats {
            local: pair.local.to_string(),
            remote: pair.remote.to_string(),
            nominated: pair.nominated,
            state: pair.state.as_str(),
            packets_sent: pair.packets_sent,
            packets_received: pair.packets_received,
            bytes_sent: pair.bytes_sent,
            bytes_received: pair.bytes_received,
            last_packet_sent_timestamp: pair.last_packet_sent.map(timestamp),
            last_packet_received_timestamp: pair.last_packet_received.map(timestamp),
            total_round_trip_time: pair.total_round_trip_time.as_secs_f64(),
            current_round_trip_time: pair.current_round_trip_time.map(|rtt| rtt.as_secs_f64()),
            requests_sent: pair.requests_sent,
            requests_received: pair.requests_received,
            responses_sent: pair.responses_sent,
            responses_received: pair.responses_received,
            consent_requests_sent: pair.consent_requests_sent,
            packets_discarded_on_send: pair.packets_discarded_on_send,
            bytes_discarded_on_send: pair.bytes_discarded_on_send,
        }
    }

    fn transport_stats(&self) -> TransportStats {
        let ice = self.transport.ice.stats();
        let dtls = self.transport.dtls();
        TransportStats {
            ice_state: self.ice_state.as_str(),
            ice_role: match self.transport.ice.role() {
                dunlin_ice::Role::Controlling => "controlling",
                dunlin_ice::Role::Controlled => "controlled",
            },
            ice_local_username_fragment: self.local_ufrag().to_owned(),
            dtls_state: self.transport.dtls_state().as_str(),
            dtls_role: match (self.transport.dtls_state(), self.transport.dtls_role()) {
                (DtlsState::New, _) | (_, None) => "unknown",
                (_, Some(dunlin_dtls::Role::Client)) => "client",
                (_, Some(dunlin_dtls::Role::Server)) => "server",
            },
            tls_version: dtls
                .and_then(|dtls| dtls.version())
                .map(|version| format!("{:04X}", version.code())),
            dtls_cipher: dtls
                .and_then(|dtls| dtls.cipher_suite())
                .map(|suite| suite.name().to_owned()),
            tls_group: dtls.and_then(|dtls| dtls.group()).map(dunlin_dtls::Group::name),
            srtp_cipher: self.transport.srtp_profile().map(dunlin_srtp::Profile::name),
            packets_sent: ice.datagrams_sent,
            packets_received: ice.datagrams_received,
            bytes_sent: ice.bytes_sent,
            bytes_received: ice.bytes_received,
            selected_candidate_pair_changes: ice.path_changes,
            drops: self.transport.drops,
            ice_drops: ice.drops.total(),
            dtls_drops: dtls.map_or(0, |dtls| dtls.stats().drops.total()),
        }
    }
}

impl DataChannelStats {
    fn of(channel: &crate::DataChannel) -> Self {
        let counters = channel.counters();
        Self {
            label: channel.label().to_owned(),
            protocol: channel.init().protocol.clone(),
            data_channel_identifier: channel.stream(),
            state: channel.state().as_str(),
            messages_sent: counters.messages_sent,
            bytes_sent: counters.bytes_sent,
            messages_received: counters.messages_received,
            bytes_received: counters.bytes_received,
        }
    }
}
