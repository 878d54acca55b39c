//! Transceivers at work: what was negotiated is carried to the media session, and packets to and from it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use dunlin_media::{
    Codec, Event as MediaEvent, Feedback, OutgoingPacket, ReceiverConfig, ReceiverId, SenderConfig, SenderId,
    Session, SourceSequence,
};
use dunlin_rtp::extension::ExtensionMap;
use dunlin_rtp::{Packet, PayloadType, Ssrc};
use log::debug;

use crate::PeerConnection;
use crate::error::TransceiverError;
use crate::event::Event;
use crate::jsep::{
    CodecCapability, Direction, MediaKind, MediaSection, NegotiatedCodec, ReceiveParameters, SendParameters,
    State, Transceiver, TransceiverId, TransceiverInit,
};
use crate::stats::{InboundRtpStats, OutboundRtpStats};

/// A received RTP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpPacket {
    /// The packet, decrypted.
    pub packet: Packet,
    /// Its place in the stream, for who forwards it.
    pub sequence: SourceSequence,
}

impl RtpPacket {
    /// The packet to send in order to pass this one on with the same payload type.
    #[must_use]
    pub fn forward(&self) -> OutgoingPacket {
        OutgoingPacket::forward(&self.packet, self.sequence)
    }
}

/// What a transceiver uses of the media session.
#[derive(Debug, Default)]
struct Track {
    sending: Option<(SendParameters, SenderId)>,
    receiving: Option<(ReceiveParameters, ReceiverId)>,
}

/// The tracks of all transceivers.
#[derive(Debug, Default)]
pub(crate) struct Tracks {
    tracks: BTreeMap<TransceiverId, Track>,
    /// `Event::Rtp`s that wait for `poll_event`.
    pub(crate) queued_packets: usize,
    /// Packets dropped because too many waited.
    pub(crate) dropped_packets: u64,
}

impl Tracks {
    /// Makes the media session do what the descriptions now say, and nothing else.
    pub(crate) fn apply(&mut self, sections: &[MediaSection], state: &State, media: &mut Session) {
        for section in sections {
            let Some(kind) = state
                .transceiver(section.transceiver)
                .map(|transceiver| media_kind(transceiver.kind()))
            else {
                continue;
            };
            let track = self.tracks.entry(section.transceiver).or_default();
            track.set_receiving(section.receive.as_ref(), kind, media);
            track.set_sending(section.send.as_ref(), kind, media);
        }
        let mut reduced = sections
            .iter()
            .filter_map(|section| Some(section.send.as_ref()?.reduced_size));
        media.set_reduced_size(
            reduced
                .next()
                .is_some_and(|first| first && reduced.all(|size| size)),
        );
        for (id, track) in &mut self.tracks {
            if !sections.iter().any(|section| section.transceiver == *id) {
                track.set_receiving(None, dunlin_media::MediaKind::Audio, media);
                track.set_sending(None, dunlin_media::MediaKind::Audio, media);
            }
        }
    }

    fn by_receiver(&self, wanted: ReceiverId) -> Option<TransceiverId> {
        self.tracks.iter().find_map(|(id, track)| {
            (track.receiving.as_ref().map(|(_, receiver)| *receiver) == Some(wanted)).then_some(*id)
        })
    }

    fn by_sender(&self, wanted: SenderId) -> Option<TransceiverId> {
        self.tracks.iter().find_map(|(id, track)| {
            (track.sending.as_ref().map(|(_, sender)| *sender) == Some(wanted)).then_some(*id)
        })
    }

    pub(crate) fn handle_media_event(
        &mut self,
        event: MediaEvent,
        max_rtp_events: usize,
        events: &mut VecDeque<Event>,
    ) {
        match event {
            MediaEvent::Packet {
                receiver,
                packet,
                sequence,
            } => {
                let Some(transceiver) = self.by_receiver(receiver) else {
                    return;
                };
                if self.queued_packets >= max_rtp_events {
                    self.dropped_packets += 1;
                    return;
                }
                self.queued_packets += 1;
                events.push_back(Event::Rtp {
                    transceiver,
                    packet: RtpPacket { packet, sequence },
                });
            }
            MediaEvent::KeyframeRequest(sender) => {
                if let Some(transceiver) = self.by_sender(sender) {
                    events.push_back(Event::KeyframeRequest(transceiver));
                }
            }
            other => debug!("{other:?}"),
        }
    }

    pub(crate) fn inbound_stats(&self, state: &State, media: &Session) -> Vec<InboundRtpStats> {
        let mut all = Vec::new();
        for (id, track) in &self.tracks {
            let (Some((_, receiver)), Some(transceiver)) = (&track.receiving, state.transceiver(*id)) else {
                continue;
            };
            for stats in media.receiver_stats(*receiver) {
                all.push(InboundRtpStats {
                    ssrc: stats.ssrc.0,
                    kind: transceiver.kind().as_str(),
                    mid: transceiver.mid().map(str::to_owned),
                    packets_received: stats.packets_received,
                    packets_lost: stats.packets_lost,
                    jitter: stats.jitter.as_secs_f64(),
                    bytes_received: stats.bytes_received,
                    nack_count: stats.nack_count,
                    pli_count: stats.pli_count,
                    fir_count: stats.fir_count,
                });
            }
        }
        all
    }

    pub(crate) fn outbound_stats(&self, state: &State, media: &Session) -> Vec<OutboundRtpStats> {
        let mut all = Vec::new();
        for (id, track) in &self.tracks {
            let (Some((_, sender)), Some(transceiver)) = (&track.sending, state.transceiver(*id)) else {
                continue;
            };
            let Some(stats) = media.sender_stats(*sender) else {
                continue;
            };
            all.push(OutboundRtpStats {
                ssrc: stats.ssrc.0,
                kind: transceiver.kind().as_str(),
                mid: transceiver.mid().map(str::to_owned),
                packets_sent: stats.packets_sent,
                bytes_sent: stats.bytes_sent,
                retransmitted_packets_sent: stats.retransmitted_packets_sent,
                nack_count: stats.nack_count,
                pli_count: stats.pli_count,
                fir_count: stats.fir_count,
                round_trip_time: stats
                    .remote
                    .and_then(|remote| remote.round_trip)
                    .map(|rtt| rtt.as_secs_f64()),
                remote_packets_lost: stats.remote.map(|remote| i64::from(remote.packets_lost)),
            });
        }
        all
    }
}

impl Track {
    fn set_receiving(
        &mut self,
        wanted: Option<&ReceiveParameters>,
        kind: dunlin_media::MediaKind,
        media: &mut Session,
    ) {
        match (&mut self.receiving, wanted) {
            (Some((current, _)), Some(wanted)) if current == wanted => {}
            (Some((current, id)), Some(wanted)) => {
                media.update_receiver(*id, receiver_config(wanted, kind));
                *current = wanted.clone();
            }
            (None, Some(wanted)) => {
                let id = media.add_receiver(receiver_config(wanted, kind));
                self.receiving = Some((wanted.clone(), id));
            }
            (Some((_, id)), None) => {
                media.remove_receiver(*id);
                self.receiving = None;
            }
            (None, None) => {}
        }
    }

    fn set_sending(
        &mut self,
        wanted: Option<&SendParameters>,
        kind: dunlin_media::MediaKind,
        media: &mut Session,
    ) {
        match (&mut self.sending, wanted) {
            (Some((current, _)), Some(wanted)) if current == wanted => {}
            (Some((current, id)), Some(wanted)) => {
                media.update_sender(*id, sender_config(wanted, kind));
                *current = wanted.clone();
            }
            (None, Some(wanted)) => {
                let id = media.add_sender(sender_config(wanted, kind));
                self.sending = Some((wanted.clone(), id));
            }
            (Some((_, id)), None) => {
                media.remove_sender(*id);
                self.sending = None;
            }
            (None, None) => {}
        }
    }
}

fn media_kind(kind: MediaKind) -> dunlin_media::MediaKind {
    match kind {
        MediaKind::Audio => dunlin_media::MediaKind::Audio,
        MediaKind::Video => dunlin_media::MediaKind::Video,
    }
}

fn codecs(negotiated: &[NegotiatedCodec]) -> Vec<Codec> {
    let of = |codec: &NegotiatedCodec| {
        Some(Codec {
            payload_type: PayloadType::new(codec.payload_type)?,
            clock_rate: codec.clock_rate,
            rtx: codec.rtx_payload_type.and_then(PayloadType::new),
            feedback: Feedback {
                nack: codec.feedback.nack,
                pli: codec.feedback.pli,
                fir: codec.feedback.fir,
                transport_cc: codec.feedback.transport_cc,
                remb: codec.feedback.remb,
            },
        })
    };
    negotiated.iter().filter_map(of).collect()
}

fn extension_map(negotiated: &[(u8, String)]) -> ExtensionMap {
    let mut map = ExtensionMap::new();
    for (id, uri) in negotiated {
        map.insert(uri, *id);
    }
    map
}

fn receiver_config(parameters: &ReceiveParameters, kind: dunlin_media::MediaKind) -> ReceiverConfig {
    let mut config = ReceiverConfig::new(parameters.mid.clone().unwrap_or_default(), kind);
    config.codecs = codecs(&parameters.codecs);
    config.extensions = extension_map(&parameters.extensions);
    config.ssrcs = parameters.ssrcs.iter().copied().map(Ssrc).collect();
    config.rtx_ssrcs = parameters
        .rtx
        .iter()
        .map(|(media, rtx)| (Ssrc(*media), Ssrc(*rtx)))
        .collect();
    config
}

fn sender_config(parameters: &SendParameters, kind: dunlin_media::MediaKind) -> SenderConfig {
    let mid = parameters.mid.clone().unwrap_or_default();
    let mut config = SenderConfig::new(mid, kind, Ssrc(parameters.ssrc));
    config.rtx_ssrc = parameters.rtx_ssrc.map(Ssrc);
    config.codecs = codecs(&parameters.codecs);
    config.extensions = extension_map(&parameters.extensions);
    config
}

impl PeerConnection {
    /// Makes a transceiver (webrtc-pc, section 5.1, `addTransceiver`); the next offer has a section for it.
    ///
    /// # Errors
    /// [`TransceiverError::Stopped`] when the connection is closed.
    pub fn add_transceiver(
        &mut self,
        kind: MediaKind,
        init: TransceiverInit,
    ) -> Result<TransceiverId, TransceiverError> {
        if self.is_closed() {
            return Err(TransceiverError::Stopped);
        }
        let id = self.negotiation.jsep.add_transceiver(kind, init);
        self.check_negotiation_needed();
        Ok(id)
    }

    /// All transceivers, in the order of their making.
    #[must_use]
    pub fn transceivers(&self) -> &[Transceiver] {
        self.negotiation.jsep.transceivers()
    }

    /// A transceiver.
    #[must_use]
    pub fn transceiver(&self, id: TransceiverId) -> Option<&Transceiver> {
        self.negotiation.jsep.transceiver(id)
    }

    /// Sets what a transceiver is wanted to do; it counts from the next offer or answer on.
    ///
    /// # Errors
    /// When there is no such transceiver, or it is stopped.
    pub fn set_direction(&mut self, id: TransceiverId, direction: Direction) -> Result<(), TransceiverError> {
        self.change_transceiver(id, |transceiver| transceiver.set_direction(direction))
    }

    /// Sets the codecs that a transceiver may use, in order of preference (webrtc-pc, section 5.4,
    /// `setCodecPreferences`); empty for all of the connection's.
    ///
    /// # Errors
    /// When there is no such transceiver, or it is stopped.
    pub fn set_codec_preferences(
        &mut self,
        id: TransceiverId,
        codecs: Vec<CodecCapability>,
    ) -> Result<(), TransceiverError> {
        self.change_transceiver(id, |transceiver| transceiver.set_codecs(codecs))
    }

    /// Sets the ids of the media streams that a transceiver's sent track belongs to.
    ///
    /// # Errors
    /// When there is no such transceiver, or it is stopped.
    pub fn set_streams(&mut self, id: TransceiverId, streams: Vec<String>) -> Result<(), TransceiverError> {
        self.change_transceiver(id, |transceiver| transceiver.set_streams(streams))
    }

    /// Ends a transceiver in both directions (webrtc-pc, section 5.4, `stop`).
    ///
    /// # Errors
    /// When there is no such transceiver, or it is stopped.
    pub fn stop_transceiver(&mut self, id: TransceiverId) -> Result<(), TransceiverError> {
        self.change_transceiver(id, Transceiver::stop)
    }

    fn change_transceiver(
        &mut self,
        id: TransceiverId,
        change: impl FnOnce(&mut Transceiver),
    ) -> Result<(), TransceiverError> {
        let transceiver = self
            .negotiation
            .jsep
            .transceiver_mut(id)
            .ok_or(TransceiverError::Unknown)?;
        if transceiver.is_stopped() {
            return Err(TransceiverError::Stopped);
        }
        change(transceiver);
        self.check_negotiation_needed();
        Ok(())
    }

    /// What was negotiated for sending on a transceiver: codecs with their payload types, SSRC, extensions.
    #[must_use]
    pub fn send_parameters(&self, id: TransceiverId) -> Option<&SendParameters> {
        self.tracks
            .tracks
            .get(&id)?
            .sending
            .as_ref()
            .map(|(parameters, _)| parameters)
    }

    /// What was negotiated for receiving on a transceiver.
    #[must_use]
    pub fn receive_parameters(&self, id: TransceiverId) -> Option<&ReceiveParameters> {
        self.tracks
            .tracks
            .get(&id)?
            .receiving
            .as_ref()
            .map(|(parameters, _)| parameters)
    }

    /// Sends a packet on a transceiver; its header, extensions and encryption are added here.
    ///
    /// # Errors
    /// When sending was not negotiated, the transport is not up, the payload type is not negotiated, or too
    /// much waits.
    pub fn send_rtp(
        &mut self,
        now: Instant,
        id: TransceiverId,
        packet: OutgoingPacket,
    ) -> Result<(), TransceiverError> {
        let now = self.advance(now);
        if self.transport.srtp_profile().is_none() {
            return Err(TransceiverError::NotNegotiated);
        }
        let track = self.tracks.tracks.get(&id).ok_or(TransceiverError::Unknown)?;
        let (_, sender) = track.sending.as_ref().ok_or(TransceiverError::NotNegotiated)?;
        let media = self
            .transport
            .media
            .get_mut()
            .ok_or(TransceiverError::NotNegotiated)?;
        Ok(media.send(now, *sender, packet)?)
    }

    /// Asks the peer for a key frame on what a transceiver receives (PLI or FIR, as negotiated).
    ///
    /// # Errors
    /// When the transceiver receives nothing.
    pub fn request_keyframe(&mut self, now: Instant, id: TransceiverId) -> Result<(), TransceiverError> {
        let now = self.advance(now);
        let track = self.tracks.tracks.get(&id).ok_or(TransceiverError::Unknown)?;
        let (_, receiver) = track.receiving.as_ref().ok_or(TransceiverError::NotNegotiated)?;
        let media = self
            .transport
            .media
            .get_mut()
            .ok_or(TransceiverError::NotNegotiated)?;
        media.request_keyframe(now, *receiver);
        Ok(())
    }
}
