//! One sent stream: from queued packets to bytes, and again when they are asked for.

use std::time::{Duration, Instant};

use dunlin_rtp::rtcp::{ReportBlock, SenderReport};
use dunlin_rtp::{
    Csrcs, ExtendedSequence, ExtensionKind, Header, HeaderFields, NtpTime, SequenceNumber, Ssrc, Timestamp,
    write_header,
};

use super::sequencer::{Place, Sequencer};
use super::{Elements, History, HopExtensions};
use crate::clock::units;
use crate::feedback::IncomingKeyframeRequests;
use crate::stats::{RemoteReceiver, SendStats};
use crate::{OutgoingPacket, SenderConfig, SenderId};

/// A sender that sent nothing for so long is none any more, and reports as a receiver.
const ACTIVE: Duration = Duration::from_secs(10);

/// One sent stream.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) id: SenderId,
    pub(crate) config: SenderConfig,
    pub(crate) keyframes: IncomingKeyframeRequests,
    pub(crate) nack_count: u64,
    pub(crate) pli_count: u64,
    pub(crate) fir_count: u64,
    sequencer: Sequencer,
    history: Option<History>,
    rtx_sequence: i64,
    /// The highest number written.
    highest: Option<ExtendedSequence>,
    last: Option<Last>,
    totals: Totals,
    remote: Option<RemoteReceiver>,
}

/// The last packet that was queued: where the media clock stands.
#[derive(Debug, Clone, Copy)]
struct Last {
    timestamp: Timestamp,
    at: Instant,
    clock_rate: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    packets: u64,
    bytes: u64,
    header_bytes: u64,
    repeated: u64,
    repeated_bytes: u64,
    /// What sender reports say: the media's own SSRC only.
    reported_packets: u32,
    reported_bytes: u32,
}

/// Where streams of the same SSRCs ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resumed {
    pub(crate) media: Option<i64>,
    pub(crate) rtx: Option<i64>,
}

/// A packet to send again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeat {
    pub(crate) sender: SenderId,
    pub(crate) sequence: ExtendedSequence,
}

impl Sender {
    /// A sender that begins at random numbers, or goes on where streams of its SSRCs ended.
    pub(crate) fn new(
        id: SenderId,
        config: SenderConfig,
        max_history: usize,
        random: [u16; 2],
        resumed: Resumed,
    ) -> Self {
        let mut sender = Self {
            id,
            config,
            keyframes: IncomingKeyframeRequests::default(),
            nack_count: 0,
            pli_count: 0,
            fir_count: 0,
            sequencer: resumed
                .media
                .map_or_else(|| Sequencer::new(random[0]), Sequencer::resume),
            history: None,
            rtx_sequence: resumed.rtx.unwrap_or(i64::from(random[1] & 0x7fff)),
            highest: None,
            last: None,
            totals: Totals::default(),
            remote: None,
        };
        sender.configured(max_history);
        sender
    }

    /// Follows a change of `config`.
    pub(crate) fn configured(&mut self, max_history: usize) {
        let keeps = self.config.codecs.iter().any(|codec| codec.feedback.nack);
        self.history = match self.history.take() {
            _ if !keeps => None,
            Some(history) => Some(history),
            None => Some(History::new(max_history)),
        };
    }

    pub(crate) fn has_sent(&self) -> bool {
        self.highest.is_some()
    }

    /// The number and timestamp of a packet that is queued now, or `None` when it is too late.
    pub(crate) fn place(&mut self, now: Instant, packet: &OutgoingPacket, clock_rate: u32) -> Option<Place> {
        let expected = self.last.map(|last| last.at(now));
        let place = self
            .sequencer
            .place(packet.sequence, packet.timestamp, expected)?;
        if self
            .last
            .is_none_or(|last| place.timestamp.is_newer_than(last.timestamp))
        {
            self.last = Some(Last {
                timestamp: place.timestamp,
                at: now,
                clock_rate,
            });
        }
        Some(place)
    }

    /// Writes a queued packet. `forwarded` tells the kinds of the elements of the packet it was received as.
    pub(crate) fn write<'a>(
        &mut self,
        packet: &'a OutgoingPacket,
        place: Place,
        forwarded: impl Iterator<Item = (ExtensionKind, &'a [u8])>,
        hop: &HopExtensions,
        out: &mut Vec<u8>,
    ) -> bool {
        let map = &self.config.extensions;
        let level = packet.audio_level.map(|level| level.to_bytes());
        let mut elements = Elements::new();
        elements.push(map, ExtensionKind::Mid, self.config.mid.as_bytes());
        if let Some(rid) = &self.config.rid {
            elements.push(map, ExtensionKind::Rid, rid.as_bytes());
        }
        hop.push_to(map, &mut elements);
        if let Some(level) = &level {
            elements.push(map, ExtensionKind::AudioLevel, level);
        }
        elements.pass_on(map, forwarded);
        let fields = HeaderFields {
            marker: packet.marker,
            padding: false,
            payload_type: packet.payload_type,
            sequence: place.sequence.low(),
            timestamp: place.timestamp,
            ssrc: self.config.ssrc,
            csrcs: Csrcs::NONE,
        };
        let start = out.len();
        if write_header(out, &fields, elements.as_slice()).is_err() {
            return false;
        }
        let header_len = out.len() - start;
        out.extend_from_slice(&packet.payload);
        self.highest = self.highest.max(Some(place.sequence));
        if let Some(history) = &mut self.history
            && self
                .config
                .codec(packet.payload_type)
                .is_some_and(|codec| codec.feedback.nack)
        {
            history.keep(place.sequence, &out[start..]);
        }
        let payload_len = packet.payload.len();
        self.totals.count(header_len, payload_len);
        self.totals.reported_packets = self.totals.reported_packets.wrapping_add(1);
        self.totals.reported_bytes = self.totals.reported_bytes.wrapping_add(payload_len as u32);
        true
    }

    /// The packet with this number, if it may be sent again now.
    pub(crate) fn may_repeat(
        &mut self,
        sequence: SequenceNumber,
        now: Instant,
        interval: Duration,
    ) -> Option<Repeat> {
        let highest = self.highest?;
        let sequence = ExtendedSequence(highest.0 + i64::from(sequence.distance_from(highest.low())));
        let history = self.history.as_mut()?;
        history.may_repeat(sequence, now, interval).then_some(Repeat {
            sender: self.id,
            sequence,
        })
    }

    /// The numbers that follow those that were used, by SSRC.
    pub(crate) fn used(&self) -> impl Iterator<Item = (Ssrc, i64)> {
        let media = self
            .has_sent()
            .then_some((self.config.ssrc, self.sequencer.next()));
        let rtx = self.config.rtx_ssrc.map(|ssrc| (ssrc, self.rtx_sequence));
        media.into_iter().chain(rtx)
    }

    /// Whether retransmissions have a stream of their own.
    pub(crate) fn repeats_on_rtx(&self) -> bool {
        self.config.rtx_ssrc.is_some() && self.config.codecs.iter().any(|codec| codec.rtx.is_some())
    }

    /// Writes a packet again: as a retransmission on its own SSRC (RFC 4588), or where that was not negotiated
    /// as it was, byte for byte, since it is protected under the index it had.
    pub(crate) fn write_repeat(
        &mut self,
        sequence: ExtendedSequence,
        hop: &HopExtensions,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(packet) = self.history.as_ref().and_then(|history| history.get(sequence)) else {
            return false;
        };
        let Ok(header) = Header::parse(packet) else {
            return false;
        };
        let payload = &packet[header.header_len..];
        let rtx = self.config.codec(header.payload_type).and_then(|codec| codec.rtx);
        let start = out.len();
        let payload_len = payload.len();
        if let (Some(payload_type), Some(ssrc)) = (rtx, self.config.rtx_ssrc) {
            let map = &self.config.extensions;
            let mut elements = Elements::new();
            elements.push(map, ExtensionKind::Mid, self.config.mid.as_bytes());
            if let Some(rid) = &self.config.rid {
                elements.push(map, ExtensionKind::RepairedRid, rid.as_bytes());
            }
            hop.push_to(map, &mut elements);
            let passed = header
                .extensions(packet)
                .filter_map(|(id, data)| Some((map.kind(id)?, data)));
            elements.pass_on(map, passed);
            let fields = HeaderFields {
                marker: header.marker,
                padding: false,
                payload_type,
                sequence: ExtendedSequence(self.rtx_sequence).low(),
                timestamp: header.timestamp,
                ssrc,
                csrcs: Csrcs::NONE,
            };
            if write_header(out, &fields, elements.as_slice()).is_err() {
                return false;
            }
            // RFC 4588, section 4: "The length of the retransmission payload header is 2 octets. This payload
            // header contains only one field, OSN (original sequence number)".
            out.extend_from_slice(&header.sequence.0.to_be_bytes());
            out.extend_from_slice(payload);
            self.rtx_sequence += 1;
        } else {
            out.extend_from_slice(packet);
        }
        self.totals.count(out.len() - start - payload_len, payload_len);
        self.totals.repeated += 1;
        self.totals.repeated_bytes += payload_len as u64;
        true
    }

    /// Fills a sender report, if this stream was sent lately. The report blocks are left as they are.
    pub(crate) fn fill_report(&self, now: Instant, ntp: NtpTime, report: &mut SenderReport) -> bool {
        let Some(last) = self.last.filter(|_| self.is_active(now)) else {
            return false;
        };
        report.ssrc = self.config.ssrc;
        report.ntp = ntp;
        report.timestamp = last.at(now);
        report.packet_count = self.totals.reported_packets;
        report.octet_count = self.totals.reported_bytes;
        true
    }

    pub(crate) fn is_active(&self, now: Instant) -> bool {
        self.has_sent()
            && self
                .last
                .is_some_and(|last| now.saturating_duration_since(last.at) < ACTIVE)
    }

    /// Takes in what the peer says of this stream, and answers with the round trip if it tells one.
    pub(crate) fn reported(&mut self, block: &ReportBlock, now: NtpTime) -> Option<Duration> {
        let clock_rate = self.last.map_or(90_000, |last| last.clock_rate.max(1));
        let round_trip = block.round_trip(now);
        let before = self.remote.take();
        let measured = u64::from(round_trip.is_some());
        self.remote = Some(RemoteReceiver {
            fraction_lost: block.fraction_lost,
            packets_lost: block.cumulative_lost,
            jitter: Duration::from_nanos(
                u64::from(block.jitter).saturating_mul(1_000_000_000) / u64::from(clock_rate),
            ),
            round_trip: round_trip.or(before.and_then(|before| before.round_trip)),
            total_round_trip: before
                .map_or(Duration::ZERO, |before| before.total_round_trip)
                .saturating_add(round_trip.unwrap_or_default()),
            round_trips: before.map_or(0, |before| before.round_trips) + measured,
        });
        round_trip
    }

    pub(crate) fn stats(&self) -> SendStats {
        SendStats {
            ssrc: self.config.ssrc,
            packets_sent: self.totals.packets,
            bytes_sent: self.totals.bytes,
            header_bytes_sent: self.totals.header_bytes,
            retransmitted_packets_sent: self.totals.repeated,
            retransmitted_bytes_sent: self.totals.repeated_bytes,
            nack_count: self.nack_count,
            pli_count: self.pli_count,
            fir_count: self.fir_count,
            remote: self.remote,
        }
    }
}

impl Last {
    /// The media time of `now`.
    fn at(&self, now: Instant) -> Timestamp {
        self.timestamp
            .wrapping_add(units(now.saturating_duration_since(self.at), self.clock_rate))
    }
}

impl Totals {
    fn count(&mut self, header_len: usize, payload_len: usize) {
        self.packets += 1;
        self.header_bytes += header_len as u64;
        self.bytes += payload_len as u64;
    }
}
