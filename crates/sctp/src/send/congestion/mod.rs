//! How many bytes may be under way, and how fast they go out. Two controllers: [`cubic`] and [`bbr`].

mod bbr;
mod cubic;
mod share;
mod swing;

use std::time::{Duration, Instant};

use super::delivery::RateSample;
use crate::config::CongestionControl;
use bbr::Bbr;
use cubic::Cubic;

/// RFC 9260, section 7.2.3: "ssthresh = max(cwnd / 2, 4 * PMDCS)"
const LEAST_PACKETS: usize = 4;

/// What a SACK says to congestion control.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acked {
    /// Bytes acknowledged for the first time.
    pub(crate) bytes: usize,
    /// Bytes found lost.
    pub(crate) lost: usize,
    /// Bytes still in flight.
    pub(crate) flight: usize,
    /// Bytes delivered since the association began.
    pub(crate) delivered: u64,
    /// The window or the pacer was what kept more from being sent.
    pub(crate) limited_by_window: bool,
    pub(crate) rtt: Option<Duration>,
    pub(crate) smoothed_rtt: Duration,
    /// The first acknowledgement of data sent after the previous round ended.
    pub(crate) new_round: bool,
    /// Fast recovery is on.
    pub(crate) recovering: bool,
    pub(crate) rate: Option<RateSample>,
}

/// The controller of one association.
#[derive(Debug)]
pub(crate) enum Congestion {
    Cubic(Box<Cubic>),
    Bbr(Box<Bbr>),
}

impl Congestion {
    pub(crate) fn new(which: CongestionControl, packet: usize, initial_packets: u32, now: Instant) -> Self {
        let initial = packet * initial_packets as usize;
        match which {
            CongestionControl::Cubic => Congestion::Cubic(Box::new(Cubic::new(packet, initial))),
            CongestionControl::Bbr => Congestion::Bbr(Box::new(Bbr::new(packet, initial, now))),
        }
    }

    /// Bytes that may be in flight.
    pub(crate) fn window(&self) -> usize {
        match self {
            Congestion::Cubic(cubic) => cubic.window(),
            Congestion::Bbr(bbr) => bbr.window(),
        }
    }

    /// Bytes per second; `None`: as fast as the window allows.
    pub(crate) fn pacing_rate(&self, smoothed_rtt: Option<Duration>) -> Option<f64> {
        match self {
            Congestion::Cubic(cubic) => cubic.pacing_rate(smoothed_rtt?),
            Congestion::Bbr(bbr) => bbr.pacing_rate(smoothed_rtt),
        }
    }

    pub(crate) fn set_packet_size(&mut self, packet: usize) {
        match self {
            Congestion::Cubic(cubic) => cubic.set_packet_size(packet),
            Congestion::Bbr(bbr) => bbr.set_packet_size(packet),
        }
    }

    pub(crate) fn on_ack(&mut self, now: Instant, acked: &Acked) {
        match self {
            Congestion::Cubic(cubic) => cubic.on_ack(now, acked),
            Congestion::Bbr(bbr) => bbr.on_ack(now, acked),
        }
    }

    /// A HEARTBEAT was answered after this time.
    pub(crate) fn on_heartbeat(&mut self, now: Instant, rtt: Duration) {
        if let Congestion::Bbr(bbr) = self {
            bbr.on_heartbeat(now, rtt);
        }
    }

    /// Data was lost: once per recovery.
    pub(crate) fn on_loss(&mut self, now: Instant, smoothed_rtt: Duration) {
        match self {
            Congestion::Cubic(cubic) => cubic.on_loss(),
            Congestion::Bbr(bbr) => bbr.on_loss(now, smoothed_rtt),
        }
    }

    /// A router marked a packet instead of dropping it (RFC 3168): once per round trip. While it recovers from a loss
    /// a flow that takes losses for congestion has given way already.
    pub(crate) fn on_congestion_experienced(
        &mut self,
        now: Instant,
        smoothed_rtt: Duration,
        recovering: bool,
    ) {
        match self {
            Congestion::Cubic(_) if recovering => {}
            Congestion::Cubic(cubic) => cubic.on_congestion_experienced(),
            Congestion::Bbr(bbr) => bbr.on_congestion_experienced(now, smoothed_rtt),
        }
    }

    /// The marks, or the losses, of late were not about congestion: the search for what the path carries begins anew.
    pub(crate) fn search_again(&mut self, now: Instant) {
        match self {
            Congestion::Cubic(cubic) => cubic.search_again(),
            Congestion::Bbr(bbr) => bbr.search_again(now),
        }
    }

    /// T3-rtx expired (RFC 9260, section 6.3.3, rule E1): "set cwnd = PMDCS".
    pub(crate) fn on_timeout(&mut self) {
        match self {
            Congestion::Cubic(cubic) => cubic.on_timeout(),
            Congestion::Bbr(bbr) => bbr.on_timeout(),
        }
    }

    /// The last loss or timeout was none: all of it had arrived.
    pub(crate) fn undo(&mut self) {
        match self {
            Congestion::Cubic(cubic) => cubic.undo(),
            Congestion::Bbr(bbr) => bbr.undo(),
        }
    }

    /// Sending begins again after this many retransmission timeouts without any.
    pub(crate) fn on_idle(&mut self, timeouts: u128) {
        match self {
            Congestion::Cubic(cubic) => cubic.on_idle(timeouts),
            // Its model of the path keeps: what goes out is paced, and the estimates age by themselves.
            Congestion::Bbr(_) => {}
        }
    }
}
