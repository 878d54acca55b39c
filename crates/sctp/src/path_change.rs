//! The datagrams go another way from now on: ICE has moved to another pair. What was learned of the old path, its round
//! trip, its bandwidth, its MTU and how long it has been silent, says nothing about the new one.
//!
//! RFC 9260 knows paths as addresses, each with its own estimates (sections 6.3.1 and 7.2: "The sender keeps a separate
//! congestion control parameter set for each of the destination addresses"), and RFC 8261, section 5, leaves moving to the
//! layers below. So this is what RFC 9000, section 9.4, says of the same case: "an endpoint MUST immediately reset the
//! congestion controller and round-trip time estimator for the new path to initial values".

use std::time::Instant;

use rand::RngExt;

use crate::association::Association;
use crate::config::{Config, usable_path_datagram};
use crate::ecn::Echo;
use crate::packet::HEADER_LEN;
use crate::path_mtu::PathMtu;
use crate::send::congestion::Congestion;
use crate::send::outstanding::Outcome;
use crate::send::pacer::Pacer;
use crate::send::rto::Rto;
use crate::state::{Phase, State};
use crate::tcb::Tcb;
use crate::timer::Timer;
use crate::types::Place;

/// A path was left, and what was sent along it is not all acknowledged yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moved {
    at: Instant,
    /// The first chunk that knows only the new path.
    next: Place,
    /// Bytes in flight on the old path, whose fate says nothing about the new one.
    flight: usize,
}

impl Association {
    /// The path is another one: forgets what was learned of the old one, asks at once whether the peer is there, and sends
    /// what waits without serving the rest of a time-out that grew while the old one was silent. `max_path_datagram` is the
    /// largest packet to look for on it, as in [`Config`](crate::Config).
    ///
    /// What is under way may still arrive by the old path: nothing is taken for lost until the peer's answer to a probe
    /// says so, one round trip later.
    pub fn handle_path_change(&mut self, now: Instant, max_path_datagram: usize) {
        self.advance_clock(now);
        self.config.max_path_datagram = usable_path_datagram(max_path_datagram);
        match &mut self.state {
            State::Closed | State::Ended => {}
            State::CookieWait(_) | State::CookieEchoed(..) => self.repeat_handshake(),
            State::Open(..) => self.begin_path(),
        }
    }

    fn begin_path(&mut self) {
        let (now, sent, nonce) = (self.now, self.stats.bytes_sent, self.rng.random());
        let carried = self.marks_carried;
        let State::Open(tcb, phase) = &mut self.state else {
            return;
        };
        let phase = *phase;
        tcb.forget_path(&self.config, now, sent);
        tcb.errors = 0;
        let (enabled, next) = (carried && tcb.uses_ecn(), tcb.outstanding.next());
        tcb.marking.begin_path(enabled, next);
        tcb.echo = Echo::default();
        // SACKs may have been lost with the old path.
        tcb.receiver.repeat_ack();
        for timer in [Timer::PathProbe, Timer::Reorder, Timer::Pace, Timer::Probe] {
            self.timers.stop(timer);
        }
        if phase.sends_data() {
            tcb.probe_due = tcb.outstanding.probe_len(now).is_some();
            tcb.rescue |= tcb.outstanding.has_lost();
            tcb.window_probe |= tcb.outstanding.is_empty();
        }
        tcb.forward_sent = None;
        tcb.forward_due |= tcb.outstanding.forward_point().is_some();
        tcb.reset.repeat_request();
        let needs_timer = tcb.outstanding.needs_timer();
        if matches!(phase, Phase::ShutdownSent | Phase::ShutdownAckSent) {
            tcb.shutdown_due = true;
            self.restart_shutdown_timer();
        } else if self.config.heartbeat_interval.is_some() {
            self.ask_for_answer(nonce);
        }
        if needs_timer || self.timers.is_running(Timer::Retransmission) {
            self.restart_retransmission_timer();
        }
    }
}

impl Tcb {
    /// Everything that was measured.
    fn forget_path(&mut self, config: &Config, now: Instant, sent: u64) {
        self.path_mtu = PathMtu::new(sent);
        self.rto = Rto::new(config);
        self.rtt_due = true;
        self.congestion = Congestion::new(
            config.congestion,
            config.max_datagram - HEADER_LEN,
            config.initial_window,
            now,
        );
        self.pacer = Pacer::default();
        self.pacer
            .restart((config.max_datagram - HEADER_LEN) * config.initial_window as usize);
        self.recovery_exit = None;
        self.timeout_in_doubt = None;
        self.lost_unreported = 0;
        self.moved = (!self.outstanding.is_empty()).then(|| Moved {
            at: now,
            next: self.outstanding.next(),
            flight: self.outstanding.flight(),
        });
    }

    /// Takes out of what acknowledgements, or their absence, say what is about the path that was left; the bytes that count
    /// as delivered along the new one.
    pub(crate) fn set_old_path_aside(&mut self, now: Instant, outcome: &mut Outcome) -> usize {
        let Some(moved) = &mut self.moved else {
            return outcome.bytes;
        };
        let known = now.saturating_duration_since(moved.at);
        let bytes = outcome.bytes - moved.take(outcome.bytes);
        outcome.lost -= moved.take(outcome.lost);
        outcome.rtt = outcome.rtt.filter(|&rtt| rtt <= known);
        outcome.rate = outcome.rate.filter(|rate| rate.interval <= known);
        if self.outstanding.cumulative() >= moved.next.previous() {
            self.moved = None;
        }
        bytes
    }
}

impl Moved {
    /// Of so many bytes that arrived or were lost, those that were under way on the old path.
    fn take(&mut self, bytes: usize) -> usize {
        let old = bytes.min(self.flight);
        self.flight -= old;
        old
    }
}
