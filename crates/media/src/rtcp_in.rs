//! What the peer reports, asks for and ends (RFC 3550, section 6; RFC 4585; RFC 9143, section 9.2).

use std::time::{Duration, Instant};

use dunlin_rtp::Ssrc;
use dunlin_rtp::rtcp::{self, Nack, Packet, ReportBlock, SdesKind, SenderReport, SourceDescription};

use crate::send::Sender;
use crate::session::{Session, State};
use crate::stats::RemoteSender;
use crate::{Event, SenderId};

impl Session {
    /// Takes in a datagram of RTCP, verified and decrypted.
    pub fn handle_rtcp(&mut self, now: Instant, datagram: &[u8]) {
        let now = self.clock.advance(now);
        if self.state != State::Open {
            return;
        }
        for packet in rtcp::parse_compound(datagram) {
            match packet {
                Ok(packet) => self.handle_rtcp_packet(now, packet),
                Err(error) => {
                    log::debug!("dropped RTCP: {error}");
                    self.drops.malformed_rtcp += 1;
                }
            }
        }
    }

    fn handle_rtcp_packet(&mut self, now: Instant, packet: Packet) {
        match packet {
            Packet::SenderReport(report) => {
                self.handle_sender_report(now, &report);
                self.handle_reports(now, &report.reports);
            }
            Packet::ReceiverReport(report) => self.handle_reports(now, &report.reports),
            Packet::SourceDescription(names) => self.handle_names(&names),
            Packet::Bye(bye) => bye.sources.iter().for_each(|ssrc| self.handle_bye(*ssrc)),
            Packet::Nack(nack) => self.handle_nack(now, &nack),
            Packet::PictureLossIndication(pli) => {
                let interval = self.config.keyframe_interval;
                let asked = self.sender_of(pli.media).map(|sender| {
                    sender.pli_count += 1;
                    (sender.id, sender.keyframes.pli(now, interval))
                });
                self.handle_keyframe_request(asked);
            }
            Packet::FullIntraRequest(fir) => {
                let interval = self.config.keyframe_interval;
                for entry in &fir.entries {
                    let asked = self.sender_of(entry.ssrc).map(|sender| {
                        sender.fir_count += 1;
                        (sender.id, sender.keyframes.fir(entry.sequence, now, interval))
                    });
                    self.handle_keyframe_request(asked);
                }
            }
            Packet::Remb(remb) => self.push_event(Event::Remb(remb)),
            Packet::TransportFeedback(feedback) => self.push_event(Event::TransportFeedback(feedback)),
            _ => {}
        }
    }

    fn handle_sender_report(&mut self, now: Instant, report: &SenderReport) {
        let Some(stream) = self.streams.get_mut(&report.ssrc) else {
            return;
        };
        stream.reception.sender_report(report.ntp, now);
        if let Some(media) = stream.media_mut() {
            media.remote = Some(RemoteSender {
                packets_sent: report.packet_count,
                bytes_sent: report.octet_count,
                ntp: report.ntp,
                timestamp: report.timestamp,
                arrived: now,
                reports: media.remote.map_or(0, |before| before.reports) + 1,
            });
        }
    }

    fn handle_reports(&mut self, now: Instant, blocks: &[ReportBlock]) {
        let ntp = self.clock.ntp(now);
        for block in blocks {
            let measured = self
                .sender_of(block.ssrc)
                .and_then(|sender| sender.reported(block, ntp));
            if let Some(measured) = measured {
                // Smoothed as other round trips are: one eighth of the new one (RFC 6298, section 2).
                self.round_trip = Some(
                    self.round_trip
                        .map_or(measured, |before| (before * 7 + measured) / 8),
                );
            }
        }
    }

    /// RFC 9143, section 9.2: "for any SDES MID items contained in these chunks, if the MID is found in the table
    /// mapping a MID to an "m=" section, update the incoming SSRC table".
    fn handle_names(&mut self, names: &SourceDescription) {
        for chunk in &names.chunks {
            let mid = chunk.items.iter().find(|item| item.kind == SdesKind::MID);
            let receiver = mid.and_then(|mid| {
                self.receivers
                    .iter()
                    .find(|receiver| receiver.config.mid.as_bytes() == mid.value)
            });
            if let (Some(receiver), Some(stream)) = (receiver, self.streams.get_mut(&chunk.ssrc)) {
                stream.receiver = receiver.id;
            }
        }
    }

    /// The stream stays for stragglers; a newer packet brings it back.
    fn handle_bye(&mut self, ssrc: Ssrc) {
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            return;
        };
        let receiver = stream.receiver;
        if !std::mem::replace(&mut stream.ended, true) && stream.media().is_some() {
            log::info!("stream {ssrc} ends");
            self.push_event(Event::Bye { receiver, ssrc });
        }
    }

    fn handle_nack(&mut self, now: Instant, nack: &Nack) {
        // A packet is not sent again while the repetition may still be on its way.
        let interval = (self.assumed_round_trip() * 3 / 4).min(Duration::from_millis(200));
        let max = self.config.max_history;
        let Some(index) = self
            .senders
            .iter()
            .position(|sender| sender.config.ssrc == nack.media)
        else {
            return self.drops.unknown_feedback += 1;
        };
        let sender = &mut self.senders[index];
        sender.nack_count += 1;
        for sequence in nack.sequences() {
            if let Some(repeat) = sender.may_repeat(sequence, now, interval) {
                if self.repeats.len() >= max {
                    self.drops.queue_full += 1;
                    break;
                }
                self.repeats.push_back(repeat);
            }
        }
    }

    fn handle_keyframe_request(&mut self, asked: Option<(SenderId, bool)>) {
        match asked {
            Some((sender, true)) => self.push_event(Event::KeyframeRequest(sender)),
            Some((_, false)) => {}
            None => self.drops.unknown_feedback += 1,
        }
    }

    fn sender_of(&mut self, ssrc: Ssrc) -> Option<&mut Sender> {
        self.senders.iter_mut().find(|sender| sender.config.ssrc == ssrc)
    }
}
