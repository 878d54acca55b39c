//! What is reported, asked for and ended: compounds of RTCP (RFC 3550, section 6.1; RFC 4585, section 3; RFC 5506).

use std::time::{Duration, Instant};

use dunlin_rtp::Ssrc;
use dunlin_rtp::rtcp::{FirEntry, MAX_REPORT_BLOCKS, PictureLossIndication};

use crate::receive::{NackPolicy, Stream};
use crate::session::{Session, State, earlier};

/// There is always room for a report with its name and some feedback.
const MIN_DATAGRAM: usize = 512;
const REPORT_BLOCK_LEN: usize = 24;
const SENDER_REPORT_LEN: usize = 28;
const RECEIVER_REPORT_LEN: usize = 8;
const FEEDBACK_LEN: usize = 12;
/// A feedback of one status, and what one more costs at most.
const TRANSPORT_FEEDBACK_LEN: usize = 28;
const STATUS_LEN: usize = 3;

impl Session {
    /// Does what is due. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.clock.advance(now);
        if self.state != State::Open {
            return;
        }
        if self.outbox.next_report.is_some_and(|due| due <= now) {
            for (ssrc, stream) in &mut self.streams {
                if stream.reception.is_active() {
                    self.outbox.blocks.push_back(stream.reception.report(*ssrc, now));
                }
            }
            let active = self.senders.iter().filter(|sender| sender.is_active(now));
            self.outbox.senders.clear();
            self.outbox.senders.extend(active.map(|sender| sender.id));
            self.outbox
                .schedule(now, self.config.report_interval, &mut self.rng);
        }
        if self.nack_due.is_some_and(|due| due <= now) {
            self.refresh_nack_due();
        }
        if self.keyframe_due.is_some_and(|due| due <= now) {
            self.refresh_keyframe_due(now);
        }
    }

    /// Appends one compound of RTCP if anything is due, and says so.
    #[must_use]
    pub fn poll_rtcp(&mut self, now: Instant, out: &mut Vec<u8>) -> bool {
        let now = self.clock.advance(now);
        if self.state == State::Closed || !self.has_rtcp(now) {
            return false;
        }
        let start = out.len();
        let limit = start + self.config.max_datagram.max(MIN_DATAGRAM);
        let is_report = self.outbox.has_reports();
        // RFC 4585, section 3.1: feedback goes out in a compound, which begins with a report and a name; RFC 5506
        // lifts that where it was negotiated. A goodbye is always in a full compound (RFC 3550, section 6.1).
        if is_report || !self.config.reduced_size || !self.outbox.byes.is_empty() {
            self.write_report(now, out, limit);
        }
        self.write_keyframe_requests(now, out, limit);
        self.write_nacks(now, out, limit);
        self.write_transport_feedback(now, out, limit);
        self.write_remb(out, limit);
        self.write_byes(out, limit);
        if self.state == State::Closing && self.outbox.byes.is_empty() {
            self.state = State::Closed;
        }
        out.len() > start
    }

    fn has_rtcp(&mut self, now: Instant) -> bool {
        if self.state == State::Closing || self.outbox.has_immediate() {
            return true;
        }
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if is_due(self.nack_due) {
            self.refresh_nack_due();
        }
        if is_due(self.keyframe_due) {
            self.refresh_keyframe_due(now);
        }
        is_due(self.nack_due) || is_due(self.keyframe_due) || is_due(self.recorder.due())
    }

    /// Who speaks: the first sender, else a source of our own that never sends.
    fn speaker(&self) -> Ssrc {
        self.senders
            .iter()
            .find(|sender| sender.has_sent())
            .map_or(self.own_ssrc, |sender| sender.config.ssrc)
    }

    /// SR or RR with as many blocks as fit, then SDES.
    fn write_report(&mut self, now: Instant, out: &mut Vec<u8>, limit: usize) {
        let names_len = (4 + 4 + 2 + self.config.cname.len().min(255) + 1).next_multiple_of(4);
        let ntp = self.clock.ntp(now);
        let mut speaker = self.speaker();
        let mut is_sender = false;
        while let Some(id) = self.outbox.senders.pop_front() {
            let sender = self.senders.iter().find(|sender| sender.id == id);
            if let Some(sender) = sender
                && sender.fill_report(now, ntp, &mut self.outbox.sender_report)
            {
                speaker = sender.config.ssrc;
                is_sender = true;
                break;
            }
        }
        let outbox = &mut self.outbox;
        let fixed = names_len
            + if is_sender {
                SENDER_REPORT_LEN
            } else {
                RECEIVER_REPORT_LEN
            };
        let room = limit.saturating_sub(out.len() + fixed) / REPORT_BLOCK_LEN;
        let count = room.clamp(1, MAX_REPORT_BLOCKS).min(outbox.blocks.len());
        let blocks = outbox.blocks.drain(..count);
        if is_sender {
            outbox.sender_report.reports.clear();
            outbox.sender_report.reports.extend(blocks);
            outbox.sender_report.write(out);
        } else {
            outbox.receiver_report.ssrc = speaker;
            outbox.receiver_report.reports.clear();
            outbox.receiver_report.reports.extend(blocks);
            outbox.receiver_report.write(out);
        }
        outbox
            .names
            .chunks
            .iter_mut()
            .for_each(|chunk| chunk.ssrc = speaker);
        outbox.names.write(out);
    }

    fn write_keyframe_requests(&mut self, now: Instant, out: &mut Vec<u8>, limit: usize) {
        if self.keyframe_due.is_none_or(|due| due > now) {
            return;
        }
        let sender = self.speaker();
        let interval = self.config.keyframe_interval;
        for (ssrc, stream) in &mut self.streams {
            let Some(media) = stream.media_mut() else { continue };
            if out.len() + FEEDBACK_LEN + 8 > limit {
                break;
            }
            if !media.keyframes.take(now, interval) {
                continue;
            }
            if media.codec.feedback.pli {
                media.pli_count += 1;
                PictureLossIndication { sender, media: *ssrc }.write(out);
            } else {
                let sequence = media.keyframes.fir_sequence;
                media.keyframes.fir_sequence = sequence.wrapping_add(1);
                media.fir_count += 1;
                self.outbox.fir.sender = sender;
                self.outbox.fir.entries.clear();
                self.outbox.fir.entries.push(FirEntry {
                    ssrc: *ssrc,
                    sequence,
                });
                self.outbox.fir.write(out);
            }
        }
        self.refresh_keyframe_due(now);
    }

    fn write_nacks(&mut self, now: Instant, out: &mut Vec<u8>, limit: usize) {
        if self.nack_due.is_none_or(|due| due > now) {
            return;
        }
        let policy = self.nack_policy();
        self.outbox.nack.sender = self.speaker();
        for (ssrc, stream) in &mut self.streams {
            let Some(media) = stream.media_mut() else { continue };
            let room = limit.saturating_sub(out.len() + FEEDBACK_LEN) / 4;
            if room == 0 {
                break;
            }
            self.outbox.nack.media = *ssrc;
            self.outbox.nack.pairs.clear();
            media.missing.collect(now, room, &policy, &mut self.outbox.nack);
            if !self.outbox.nack.pairs.is_empty() {
                media.nack_count += 1;
                self.outbox.nack.write(out);
            }
        }
        self.refresh_nack_due();
    }

    fn write_transport_feedback(&mut self, now: Instant, out: &mut Vec<u8>, limit: usize) {
        let sender = self.speaker();
        while self.recorder.due().is_some_and(|due| due <= now) {
            let Some(room) = limit.checked_sub(out.len() + TRANSPORT_FEEDBACK_LEN) else {
                return;
            };
            if !self
                .recorder
                .take(sender, 1 + room / STATUS_LEN, &mut self.outbox.transport)
            {
                return;
            }
            self.outbox.transport.write(out);
        }
    }

    fn write_remb(&mut self, out: &mut Vec<u8>, limit: usize) {
        let Some(bitrate) = self.outbox.remb else { return };
        let Some(room) = limit.checked_sub(out.len() + 20) else {
            return;
        };
        let sender = self.speaker();
        let sources = self.streams.iter().filter(|(_, stream)| stream.media().is_some());
        let packet = &mut self.outbox.remb_packet;
        packet.sender = sender;
        packet.bitrate = bitrate;
        packet.sources.clear();
        packet
            .sources
            .extend(sources.map(|(ssrc, _)| *ssrc).take(room / 4));
        packet.write(out);
        self.outbox.remb = None;
    }

    fn write_byes(&mut self, out: &mut Vec<u8>, limit: usize) {
        let room = limit.saturating_sub(out.len() + 4) / 4;
        let count = room.min(31).min(self.outbox.byes.len());
        if count > 0 {
            self.outbox.bye.sources.clear();
            self.outbox.bye.sources.extend(self.outbox.byes.drain(..count));
            self.outbox.bye.write(out);
        }
    }

    pub(crate) fn nack_policy(&self) -> NackPolicy {
        NackPolicy {
            delay: self.config.nack_delay,
            retry: self.assumed_round_trip() + Duration::from_millis(10),
            retries: self.config.nack_retries,
            max: self.config.max_missing,
        }
    }

    pub(crate) fn refresh_nack_due(&mut self) {
        let streams = self.streams.values().filter_map(Stream::media);
        self.nack_due = streams.filter_map(|media| media.missing.due()).min();
    }

    fn refresh_keyframe_due(&mut self, now: Instant) {
        let interval = self.config.keyframe_interval;
        let streams = self.streams.values().filter_map(Stream::media);
        self.keyframe_due = streams
            .map(|media| media.keyframes.due(now, interval))
            .fold(None, earlier);
    }
}
