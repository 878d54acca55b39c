//! When reports are due, and what waits to go out in RTCP (RFC 3550, section 6.2 and 6.3).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dunlin_rtp::rtcp::{
    Bye, FullIntraRequest, Nack, ReceiverReport, Remb, ReportBlock, SenderReport, SourceDescription,
    TransportFeedback,
};
use dunlin_rtp::{NtpTime, SequenceNumber, Ssrc, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;

use crate::SenderId;

/// What waits, and buffers that are used again and again.
#[derive(Debug)]
pub(crate) struct Outbox {
    pub(crate) next_report: Option<Instant>,
    /// Senders whose report is due.
    pub(crate) senders: VecDeque<SenderId>,
    /// What is to be said of received streams.
    pub(crate) blocks: VecDeque<ReportBlock>,
    pub(crate) byes: Vec<Ssrc>,
    pub(crate) remb: Option<u64>,
    pub(crate) nack: Nack,
    pub(crate) fir: FullIntraRequest,
    pub(crate) transport: TransportFeedback,
    pub(crate) sender_report: SenderReport,
    pub(crate) receiver_report: ReceiverReport,
    pub(crate) names: SourceDescription,
    pub(crate) bye: Bye,
    pub(crate) remb_packet: Remb,
}

impl Outbox {
    pub(crate) fn new(cname: &str) -> Self {
        let none = Ssrc(0);
        Self {
            next_report: None,
            senders: VecDeque::new(),
            blocks: VecDeque::new(),
            byes: Vec::new(),
            remb: None,
            nack: Nack::new(none, none),
            fir: FullIntraRequest {
                sender: none,
                entries: Vec::new(),
            },
            transport: TransportFeedback {
                sender: none,
                media: none,
                base_sequence: SequenceNumber(0),
                reference_time: 0,
                feedback_count: 0,
                statuses: Vec::new(),
            },
            sender_report: SenderReport {
                ssrc: none,
                ntp: NtpTime(0),
                timestamp: Timestamp(0),
                packet_count: 0,
                octet_count: 0,
                reports: Vec::new(),
            },
            receiver_report: ReceiverReport {
                ssrc: none,
                reports: Vec::new(),
            },
            names: SourceDescription::cname(none, cname),
            bye: Bye::default(),
            remb_packet: Remb {
                sender: none,
                bitrate: 0,
                sources: Vec::new(),
            },
        }
    }

    pub(crate) fn has_reports(&self) -> bool {
        !self.senders.is_empty() || !self.blocks.is_empty()
    }

    pub(crate) fn has_immediate(&self) -> bool {
        self.has_reports() || !self.byes.is_empty() || self.remb.is_some()
    }

    /// Starts the rhythm of reports if it rests: RFC 3550, section 6.2: the first interval is half as long.
    pub(crate) fn start(&mut self, now: Instant, interval: Duration, rng: &mut StdRng) {
        if self.next_report.is_none() {
            self.next_report = Some(now + randomised(interval / 2, rng));
        }
    }

    /// The next report, or rest.
    pub(crate) fn schedule(&mut self, now: Instant, interval: Duration, rng: &mut StdRng) {
        self.next_report = self.has_reports().then(|| now + randomised(interval, rng));
    }
}

/// RFC 3550, section 6.3.1: "T is set to a number uniformly distributed between 0.5 and 1.5 times the ... interval".
fn randomised(interval: Duration, rng: &mut StdRng) -> Duration {
    let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX / 2).max(2);
    Duration::from_millis(rng.random_range(millis / 2..=millis + millis / 2))
}
