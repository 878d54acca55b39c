//! What acknowledgements, and the lack of them, do to what is outstanding (RFC 9260, sections 6.2.1, 6.3 and 7.2;
//! RFC 8985): SACK, T3-rtx, tail-loss probes, and taking back what was taken for lost.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::association::Association;
use crate::packet::sack::Sack;
use crate::send::congestion::Acked;
use crate::send::outstanding::BadSack;
use crate::send::queue::SendQueue;
use crate::state::{Phase, State};
use crate::tcb::Tcb;
use crate::timer::Timer;

impl Association {
    pub(crate) fn restart_retransmission_timer(&mut self) {
        if let Some(tcb) = self.state.tcb() {
            self.timers
                .set(Timer::Retransmission, self.now + tcb.rto.current());
        }
    }

    /// T3-rtx (section 6.3.3), also the timer of window probes.
    pub(crate) fn on_retransmission_timer(&mut self) {
        let nothing_waits = !self.queue.wants_to_send();
        let Some(tcb) = self.state.tcb_mut() else { return };
        if !tcb.outstanding.needs_timer() && nothing_waits {
            return;
        }
        self.timers.stop(Timer::Probe);
        self.timers.stop(Timer::Reorder);
        // Section 6.1: "If the sender continues to receive SACK chunks from the peer while doing zero window probing, the
        // unacknowledged window probes SHOULD NOT increment the error counter".
        let probing = tcb.peer_window < self.config.max_datagram;
        let heard = std::mem::take(&mut tcb.heard);
        let excused = probing && heard || tcb.outstanding.is_empty();
        if !excused && self.count_error() {
            return;
        }
        let now = self.now;
        let Some(tcb) = self.state.tcb_mut() else { return };
        tcb.rto.back_off();
        tcb.probe_due = false;
        if tcb.outstanding.is_empty() {
            tcb.window_probe = true;
        } else {
            self.stats.timeouts += 1;
            // E1, E3: "set cwnd = PMDCS"; all that is in flight is to be sent again, one packet of it now.
            if !probing {
                tcb.congestion.on_timeout();
            }
            tcb.path_mtu.fall_back(now);
            tcb.outstanding.lose_all();
            tcb.outstanding.begin_recovery();
            tcb.recovery_exit = None;
            tcb.timeout_in_doubt = Some(tcb.outstanding.next());
            tcb.rescue = true;
            let in_a_row = tcb.errors > 1;
            self.stats.abandoned += abandon(tcb, &mut self.queue, now);
            tcb.forward_due |= tcb.outstanding.forward_point().is_some();
            if in_a_row && self.config.heartbeat_interval.is_some() {
                self.measure_beside_retransmissions();
            }
        }
        self.restart_retransmission_timer();
    }

    /// What is sent again measures no round trip (rule C5), so that the time-out would stay as long as the silence made it,
    /// for whatever is lost next. Section 6.3.3: a new measurement comes when "new data has been sent and acknowledged or
    /// when a measurement has been made from a HEARTBEAT chunk".
    fn measure_beside_retransmissions(&mut self) {
        let nonce = self.rng.random();
        if let State::Open(tcb, Phase::Established | Phase::ShutdownPending | Phase::ShutdownReceived) =
            &mut self.state
        {
            tcb.heartbeat.ask(nonce);
        }
    }

    /// Nothing has been heard of what is in flight for longer than a round trip: ask about it (RFC 8985, section 7.3).
    pub(crate) fn on_probe_timer(&mut self) {
        let now = self.now;
        let State::Open(tcb, phase) = &mut self.state else {
            return;
        };
        if phase.sends_data() && !tcb.outstanding.has_lost() {
            tcb.probe_due = tcb.outstanding.probe_len(now).is_some();
        }
    }

    /// What was overtaken has had its time to arrive late.
    pub(crate) fn on_reorder_timer(&mut self) {
        let (now, round_trip) = (self.now, self.round_trip());
        let State::Open(tcb, phase) = &mut self.state else {
            return;
        };
        if !phase.sends_data() {
            return;
        }
        let mut outcome = tcb.outstanding.on_reorder_timer(now, tcb.path(round_trip));
        tcb.set_old_path_aside(now, &mut outcome);
        tcb.lost_unreported += outcome.lost;
        tcb.path_mtu.on_sack(now, false, outcome.beyond_lost);
        if outcome.lost > 0 {
            self.stats.fast_recoveries += u64::from(enter_recovery(tcb, now, round_trip));
        }
        self.stats.abandoned += outcome.abandoned;
        close_abandoned(tcb, &mut self.queue);
        consider_forward(tcb, now, round_trip);
        if let Some(deadline) = outcome.reorder_deadline {
            self.timers.set(Timer::Reorder, deadline);
        }
    }

    /// Section 6.2.1.
    pub(crate) fn take_sack(&mut self, sack: &Sack<'_>) {
        let now = self.now;
        let round_trip = self.round_trip();
        let Some(tcb) = self.state.tcb_mut() else { return };
        let mut outcome = match tcb.outstanding.on_sack(now, sack, tcb.path(round_trip)) {
            Ok(outcome) => outcome,
            Err(BadSack::Old) => {
                self.stats.drops.old_sack += 1;
                return;
            }
            Err(BadSack::Lies) => {
                self.stats.drops.lying_sack += 1;
                log::debug!("sctp: dropped a SACK for what was not sent");
                return;
            }
        };
        let arrived = tcb.set_old_path_aside(now, &mut outcome);
        tcb.path_mtu
            .on_sack(now, outcome.beyond_arrived, outcome.beyond_lost);
        let vanished = tcb.outstanding.take_vanished();
        let (next, min_rtt) = (
            tcb.outstanding.next(),
            tcb.rto.min_rtt().or(outcome.rtt).unwrap_or_default(),
        );
        let misled = tcb.marking.on_sack(&outcome, vanished, next, min_rtt);
        tcb.heard = true;
        tcb.peer_window = sack.window as usize;
        self.queue.note_peer_window(tcb.peer_window);
        if outcome.bytes > 0 {
            tcb.errors = 0;
        }
        tcb.rtt_due |= outcome.new_round;
        if let Some(rtt) = outcome.rtt {
            tcb.rto.note_minimum(rtt);
            // Rule C4: "new RTT measurements SHOULD be made no more than once per round trip".
            if std::mem::take(&mut tcb.rtt_due) {
                tcb.rto.measure(rtt);
            }
        }
        if outcome.advanced && outcome.bytes == 0 {
            // The answer to a FORWARD TSN.
            tcb.rto.restore();
        }
        self.stats.spurious_recoveries += u64::from(take_back(tcb, outcome.late, outcome.duplicates));
        if tcb
            .recovery_exit
            .is_some_and(|exit| tcb.outstanding.cumulative() >= exit)
        {
            tcb.recovery_exit = None;
            tcb.outstanding.end_recovery();
        }
        let acked = Acked {
            bytes: arrived,
            lost: outcome.lost + std::mem::take(&mut tcb.lost_unreported),
            flight: tcb.outstanding.under_way(),
            delivered: tcb.outstanding.delivered(),
            limited_by_window: tcb.limited_by_window,
            rtt: outcome.rtt,
            smoothed_rtt: round_trip,
            new_round: outcome.new_round,
            recovering: tcb.recovery_exit.is_some(),
            rate: outcome.rate,
        };
        tcb.congestion.on_ack(now, &acked);
        if outcome.lost > 0 {
            self.stats.fast_recoveries += u64::from(enter_recovery(tcb, now, round_trip));
        }
        if misled {
            tcb.congestion.search_again(now);
        }
        self.stats.abandoned += outcome.abandoned;
        close_abandoned(tcb, &mut self.queue);
        consider_forward(tcb, now, round_trip);
        match outcome.reorder_deadline {
            Some(deadline) => self.timers.set(Timer::Reorder, deadline),
            None => self.timers.stop(Timer::Reorder),
        }
        self.after_sack(outcome.advanced, outcome.bytes > 0);
    }

    /// Timers after a SACK.
    fn after_sack(&mut self, advanced: bool, acknowledged: bool) {
        let nothing_waits = self.queue.is_empty();
        let State::Open(tcb, _) = &mut self.state else {
            return;
        };
        if !tcb.outstanding.needs_timer() {
            // Rule R2: "Whenever all outstanding data sent to an address have been acknowledged, turn off the T3-rtx timer".
            self.timers.stop(Timer::Probe);
            self.timers.stop(Timer::Retransmission);
        } else if advanced || !self.timers.is_running(Timer::Retransmission) {
            // Rules R3 and R4.
            self.timers
                .set(Timer::Retransmission, self.now + tcb.rto.current());
        }
        if acknowledged {
            self.restart_probe_timer();
        }
        if nothing_waits && self.state.tcb().is_some_and(|tcb| tcb.outstanding.is_empty()) {
            self.continue_shutdown();
        }
    }

    /// Arms the probe of what is in flight, unless something is to be sent again anyway.
    pub(crate) fn restart_probe_timer(&mut self) {
        let State::Open(tcb, _) = &self.state else { return };
        if tcb.outstanding.has_lost() || tcb.outstanding.flight() == 0 {
            self.timers.stop(Timer::Probe);
        } else if let Some(wait) = tcb.rto.probe_timeout()
            && wait < tcb.rto.current()
        {
            self.timers.set(Timer::Probe, self.now + wait);
        }
    }
}

/// Takes back a timeout or a recovery that proves to have been a mistake; `true` when there was one.
fn take_back(tcb: &mut Tcb, late: bool, duplicates: u32) -> bool {
    let cumulative = tcb.outstanding.cumulative();
    if let Some(end) = tcb.timeout_in_doubt {
        if late {
            // RFC 5682 by TSNs: something from before the timeout arrived that was not sent again since.
            tcb.timeout_in_doubt = None;
            tcb.outstanding.unlose();
            tcb.congestion.undo();
            return true;
        }
        if cumulative.next() >= end {
            tcb.timeout_in_doubt = None;
        }
    }
    if duplicates > 0 && tcb.outstanding.all_in_vain() {
        tcb.recovery_exit = None;
        tcb.congestion.undo();
        return true;
    }
    false
}

/// Something was found lost; `true` when that begins a fast recovery.
fn enter_recovery(tcb: &mut Tcb, now: Instant, round_trip: Duration) -> bool {
    if tcb.recovery_exit.is_some() {
        return false;
    }
    tcb.recovery_exit = Some(tcb.outstanding.next().previous());
    tcb.outstanding.begin_recovery();
    tcb.congestion.on_loss(now, round_trip);
    // "When a Fast Retransmit is being performed, the sender SHOULD ignore the value of cwnd and SHOULD NOT delay
    // retransmission for this single packet."
    tcb.rescue = true;
    true
}

/// Gives up what must not be sent again, and the unsent rest of it; the number of messages.
pub(crate) fn abandon(tcb: &mut Tcb, queue: &mut SendQueue, now: Instant) -> u64 {
    if !tcb.outstanding.has_lost() {
        return 0;
    }
    let abandoned = tcb.outstanding.abandon_expired(now);
    if abandoned > 0 {
        close_abandoned(tcb, queue);
        tcb.outstanding.move_forward_point();
        tcb.forward_due |= tcb.outstanding.forward_point().is_some();
    }
    abandoned
}

/// Abandoned messages of which some was never sent end here.
fn close_abandoned(tcb: &mut Tcb, queue: &mut SendQueue) {
    while let Some(cut) = tcb.outstanding.take_cut() {
        if queue.abandon_rest(cut.stream) {
            tcb.outstanding.close_abandoned(cut);
        }
    }
}

/// RFC 3758, rule C3, with the note on F2: a FORWARD TSN that says nothing new waits a round trip.
fn consider_forward(tcb: &mut Tcb, now: Instant, round_trip: Duration) {
    if let Some(point) = tcb.outstanding.forward_point() {
        let repeated = tcb
            .forward_sent
            .is_some_and(|(place, at)| place >= point && now < at + round_trip);
        tcb.forward_due |= !repeated;
    } else {
        tcb.forward_due = false;
    }
}
