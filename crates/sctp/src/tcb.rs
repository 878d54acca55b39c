//! What an association knows once both sides have said who they are: the Transmission Control Block.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::config::Config;
use crate::ecn::{Echo, Marking};
use crate::heartbeat::Heartbeat;
use crate::packet::data::DataKind;
use crate::packet::init::Init;
use crate::packet::{HEADER_LEN, Header};
use crate::path_change::Moved;
use crate::path_mtu::PathMtu;
use crate::receive::Receiver;
use crate::send::congestion::Congestion;
use crate::send::outstanding::{Outstanding, Path};
use crate::send::pacer::Pacer;
use crate::send::rto::Rto;
use crate::stream_reset::StreamReset;
use crate::types::{Place, StreamId};

/// A Transmission Control Block.
#[derive(Debug)]
pub(crate) struct Tcb {
    /// What our INIT or INIT ACK said; the tag in it is ours.
    pub(crate) local: Init,
    /// What the peer's said; the tag in it goes into the packets we send.
    pub(crate) peer: Init,
    /// Section 5.2.2: what a cookie must carry to prove that its INIT came while this association was there.
    pub(crate) tie_tags: [u32; 2],
    pub(crate) outstanding: Outstanding,
    pub(crate) congestion: Congestion,
    pub(crate) pacer: Pacer,
    pub(crate) rto: Rto,
    pub(crate) path_mtu: PathMtu,
    /// ECN, for what is sent.
    pub(crate) marking: Marking,
    /// ECN, for what is received.
    pub(crate) echo: Echo,
    /// Something sent along another path is not acknowledged yet.
    pub(crate) moved: Option<Moved>,
    /// The next packet that measures a round trip is welcome.
    pub(crate) rtt_due: bool,
    /// The window in the peer's last SACK.
    pub(crate) peer_window: usize,
    /// Fast recovery lasts until this is acknowledged.
    pub(crate) recovery_exit: Option<Place>,
    /// T3-rtx expired, and no SACK has said yet whether that was right (F-RTO).
    pub(crate) timeout_in_doubt: Option<Place>,
    /// Bytes found lost that congestion control has not been told of.
    pub(crate) lost_unreported: usize,
    /// One packet of retransmissions may go beyond the congestion window.
    pub(crate) rescue: bool,
    /// One packet may go beyond the peer's window.
    pub(crate) window_probe: bool,
    /// A tail-loss probe is due.
    pub(crate) probe_due: bool,
    /// The last attempt to send was stopped by the congestion window or the pacer.
    pub(crate) limited_by_window: bool,
    pub(crate) last_data_sent: Instant,
    /// A FORWARD TSN is due.
    pub(crate) forward_due: bool,
    pub(crate) forward_sent: Option<(Place, Instant)>,
    pub(crate) receiver: Receiver,
    pub(crate) reset: StreamReset,
    pub(crate) heartbeat: Heartbeat,
    /// Timeouts in a row (section 8.1).
    pub(crate) errors: u32,
    /// A SACK has come since the last timeout.
    pub(crate) heard: bool,
    pub(crate) cookie_ack_due: bool,
    /// SHUTDOWN or SHUTDOWN ACK is due, by the phase.
    pub(crate) shutdown_due: bool,
    /// Whole chunks that answer something.
    pub(crate) replies: VecDeque<Vec<u8>>,
}

impl Tcb {
    pub(crate) fn new(config: &Config, rng: &mut StdRng, now: Instant, local: Init, peer: Init) -> Self {
        let kind = data_kind(&local, &peer);
        let first = Place::first(local.initial_tsn);
        Self {
            local,
            peer,
            tie_tags: [rng.random_range(1..=u32::MAX), rng.random_range(1..=u32::MAX)],
            outstanding: Outstanding::new(kind, first),
            congestion: Congestion::new(
                config.congestion,
                config.max_datagram - HEADER_LEN,
                config.initial_window,
                now,
            ),
            pacer: Pacer::default(),
            rto: Rto::new(config),
            path_mtu: PathMtu::new(0),
            marking: Marking::new(false, first),
            echo: Echo::default(),
            moved: None,
            rtt_due: true,
            peer_window: peer.window as usize,
            recovery_exit: None,
            timeout_in_doubt: None,
            lost_unreported: 0,
            rescue: false,
            window_probe: false,
            probe_due: false,
            limited_by_window: false,
            last_data_sent: now,
            forward_due: false,
            forward_sent: None,
            receiver: Receiver::new(config, kind, peer.initial_tsn),
            reset: StreamReset::new(local.initial_tsn, peer.initial_tsn),
            heartbeat: Heartbeat::default(),
            errors: 0,
            heard: false,
            cookie_ack_due: false,
            shutdown_due: false,
            replies: VecDeque::new(),
        }
    }

    /// Section 5.1.1: "the two endpoints will use the min(requested, offered)".
    pub(crate) fn outbound_streams(&self) -> u16 {
        self.local.outbound_streams.min(self.peer.inbound_streams)
    }

    pub(crate) fn inbound_streams(&self) -> u16 {
        self.local.inbound_streams.min(self.peer.outbound_streams)
    }

    pub(crate) fn accepts_stream(&self, stream: StreamId) -> bool {
        stream.0 < self.inbound_streams()
    }

    pub(crate) fn set_outbound_streams(&mut self, count: u16) {
        self.local.outbound_streams = count;
        self.peer.inbound_streams = count;
    }

    pub(crate) fn set_inbound_streams(&mut self, count: u16) {
        self.local.inbound_streams = count;
        self.peer.outbound_streams = count;
    }

    /// Which chunks carry data, both ways.
    pub(crate) fn data_kind(&self) -> DataKind {
        data_kind(&self.local, &self.peer)
    }

    /// RFC 8260, section 2.3.1: with I-DATA "only if both endpoints indicated their support of user message interleaving
    /// and the I-FORWARD-TSN chunk".
    pub(crate) fn partial_reliability(&self) -> bool {
        let can = match self.data_kind() {
            DataKind::Data => |init: &Init| init.capabilities.partial_reliability,
            DataKind::IData => |init: &Init| init.capabilities.interleaved_partial_reliability,
        };
        can(&self.local) && can(&self.peer)
    }

    pub(crate) fn reconfiguration(&self) -> bool {
        self.local.capabilities.reconfiguration && self.peer.capabilities.reconfiguration
    }

    /// RFC 4960, appendix A: "To indicate that an endpoint is ECN capable, an endpoint SHOULD add to the INIT and or INIT ACK
    /// chunk the TLV reserved for ECN."
    pub(crate) fn uses_ecn(&self) -> bool {
        self.local.capabilities.ecn && self.peer.capabilities.ecn
    }

    /// RFC 9653, section 5.2: a zero checksum is for a peer that said so, where we speak the same method.
    pub(crate) fn sends_zero_checksum(&self) -> bool {
        self.local.capabilities.zero_checksum && self.peer.capabilities.zero_checksum
    }

    pub(crate) fn header(&self, config: &Config) -> Header {
        Header {
            source_port: config.local_port,
            destination_port: config.remote_port,
            verification_tag: self.peer.tag,
        }
    }

    /// What is known about the path.
    pub(crate) fn path(&self, smoothed_rtt: Duration) -> Path {
        Path {
            min_rtt: self.rto.min_rtt().unwrap_or_default(),
            smoothed_rtt,
            recovering: self.recovery_exit.is_some(),
        }
    }

    /// Queues a whole chunk for the next packet; `false` when too many wait or it would never fit.
    pub(crate) fn reply(&mut self, config: &Config, chunk: Vec<u8>) -> bool {
        let fits = self.replies.len() < config.max_pending_replies
            && chunk.len() + HEADER_LEN <= config.max_datagram;
        if fits {
            self.replies.push_back(chunk);
        }
        fits
    }

    /// All data has been acknowledged.
    pub(crate) fn is_all_acknowledged(&self) -> bool {
        self.outstanding.is_empty()
    }
}

/// RFC 8260, section 2.2.1: "User message interleaving has been negotiated for an association if both endpoints have
/// indicated I-DATA support."
fn data_kind(local: &Init, peer: &Init) -> DataKind {
    if local.capabilities.interleaving && peer.capabilities.interleaving {
        DataKind::IData
    } else {
        DataKind::Data
    }
}
