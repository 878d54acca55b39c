//! One received SSRC: of media, or of retransmissions.

use std::time::Instant;

use dunlin_rtp::{ExtendedSequence, Header, Ssrc};

use super::consumed::Consumed;
use super::missing::{Missing, NackPolicy};
use super::reception::Reception;
use super::window::Window;
use crate::feedback::KeyframeRequests;
use crate::stats::{ReceiveStats, RemoteSender};
use crate::{Codec, ReceiverId};

/// What an SSRC carries.
#[derive(Debug, Clone)]
pub(crate) enum StreamKind {
    Media(Box<MediaStream>),
    Rtx(RtxStream),
}

/// A stream of retransmissions.
#[derive(Debug, Clone, Default)]
pub(crate) struct RtxStream {
    /// The stream that it repairs, once that is known.
    pub(crate) repairs: Option<Ssrc>,
    /// The encoding that it repairs, if it says so.
    pub(crate) repaired_rid: Option<String>,
}

/// One received SSRC.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub(crate) receiver: ReceiverId,
    pub(crate) kind: StreamKind,
    pub(crate) reception: Reception,
    pub(crate) last_packet: Instant,
    /// The extended number of the packet that last said to which section the stream belongs.
    pub(crate) mid_updated: i64,
    /// Whether the peer said goodbye.
    pub(crate) ended: bool,
}

/// What only media has.
#[derive(Debug, Clone)]
pub(crate) struct MediaStream {
    pub(crate) rid: Option<String>,
    pub(crate) codec: Codec,
    pub(crate) missing: Missing,
    pub(crate) keyframes: KeyframeRequests,
    pub(crate) remote: Option<RemoteSender>,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) header_bytes: u64,
    pub(crate) retransmitted: u64,
    pub(crate) duplicates: u64,
    pub(crate) nack_count: u64,
    pub(crate) pli_count: u64,
    pub(crate) fir_count: u64,
    window: Option<Window>,
    consumed: Consumed,
}

/// What became of a packet of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// It carries media and stands at this place.
    Media(ExtendedSequence),
    /// It carries only padding.
    Padding,
    /// It was received before.
    Duplicate,
}

impl MediaStream {
    pub(crate) fn new(rid: Option<String>, codec: Codec) -> Self {
        Self {
            rid,
            codec,
            missing: Missing::default(),
            keyframes: KeyframeRequests::default(),
            remote: None,
            packets: 0,
            bytes: 0,
            header_bytes: 0,
            retransmitted: 0,
            duplicates: 0,
            nack_count: 0,
            pli_count: 0,
            fir_count: 0,
            window: None,
            consumed: Consumed::default(),
        }
    }

    /// Takes in a packet with the number `sequence`, when the highest number before was `highest`.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        sequence: ExtendedSequence,
        highest: Option<ExtendedSequence>,
        payload_len: usize,
        policy: &NackPolicy,
    ) -> Accepted {
        let is_new = match &mut self.window {
            Some(window) => window.insert(sequence.0),
            None => {
                self.window = Some(Window::new(sequence.0));
                true
            }
        };
        if !is_new {
            self.duplicates += 1;
            return Accepted::Duplicate;
        }
        if self.codec.feedback.nack {
            match highest {
                Some(highest) if sequence.0 > highest.0 => {
                    self.missing.gap(highest.0, sequence.0, now, policy);
                }
                _ => self.missing.arrived(sequence.0),
            }
        }
        if payload_len == 0 {
            self.consumed.padding(sequence.0);
            return Accepted::Padding;
        }
        Accepted::Media(ExtendedSequence(self.consumed.media(sequence.0)))
    }
}

impl Stream {
    pub(crate) fn new(receiver: ReceiverId, kind: StreamKind, clock_rate: u32, now: Instant) -> Self {
        Self {
            receiver,
            kind,
            reception: Reception::new(clock_rate),
            last_packet: now,
            mid_updated: i64::MIN,
            ended: false,
        }
    }

    pub(crate) fn media(&self) -> Option<&MediaStream> {
        match &self.kind {
            StreamKind::Media(media) => Some(media),
            StreamKind::Rtx(_) => None,
        }
    }

    pub(crate) fn media_mut(&mut self) -> Option<&mut MediaStream> {
        match &mut self.kind {
            StreamKind::Media(media) => Some(media),
            StreamKind::Rtx(_) => None,
        }
    }

    /// The statistics, if this is a stream of media.
    pub(crate) fn stats(&self, ssrc: Ssrc) -> Option<ReceiveStats> {
        let media = self.media()?;
        Some(ReceiveStats {
            ssrc,
            rid: media.rid.clone(),
            payload_type: media.codec.payload_type,
            packets_received: media.packets,
            bytes_received: media.bytes,
            header_bytes_received: media.header_bytes,
            packets_lost: self.reception.lost(),
            jitter: self.reception.jitter(),
            retransmitted_packets_received: media.retransmitted,
            packets_duplicated: media.duplicates,
            nack_count: media.nack_count,
            pli_count: media.pli_count,
            fir_count: media.fir_count,
            last_packet: self.last_packet,
            remote: media.remote,
        })
    }
}

impl MediaStream {
    /// Counts a packet that came on the stream's own SSRC.
    pub(crate) fn count(&mut self, header: &Header, payload_len: usize) {
        self.packets += 1;
        self.bytes += payload_len as u64;
        self.header_bytes += (header.header_len + header.padding_len) as u64;
    }
}
