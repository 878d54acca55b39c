//! HEARTBEAT (RFC 9260, section 8.3): is the peer still there, and how far away?

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::association::Association;
use crate::event::CloseReason;
use crate::packet::parameter::{self, Parameters, write_parameter};
use crate::packet::{RawChunk, kind, write_chunk};
use crate::state::{Phase, State};
use crate::timer::Timer;

/// Bytes of a HEARTBEAT chunk of ours.
const HEARTBEAT_LEN: usize = 16;

/// The HEARTBEAT of one association.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    /// Sent and not answered.
    waiting: Option<Waiting>,
    /// A HEARTBEAT with this nonce goes out with the next packet.
    due: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    nonce: u64,
    sent_at: Instant,
}

impl Heartbeat {
    /// Appends the HEARTBEAT that is due, if `room` allows.
    #[inline]
    pub(crate) fn write(&mut self, now: Instant, room: usize, out: &mut Vec<u8>) {
        let Some(nonce) = self.due.take_if(|_| room >= HEARTBEAT_LEN) else {
            return;
        };
        self.waiting = Some(Waiting { nonce, sent_at: now });
        write_heartbeat(nonce, out);
    }

    /// The next packet asks, whatever was asked before.
    pub(crate) fn ask(&mut self, nonce: u64) {
        self.waiting = None;
        self.due = Some(nonce);
    }

    /// The round trip, when this is the answer to the last HEARTBEAT. The nonce is random: an answer cannot be
    /// made up to feign a short round trip or a living path.
    fn accept(&mut self, now: Instant, nonce: u64) -> Option<Duration> {
        let waiting = self.waiting.filter(|waiting| waiting.nonce == nonce)?;
        self.waiting = None;
        Some(now.saturating_duration_since(waiting.sent_at))
    }
}

/// Appends a HEARTBEAT chunk that carries `nonce`.
pub(crate) fn write_heartbeat(nonce: u64, out: &mut Vec<u8>) {
    write_chunk(out, kind::HEARTBEAT, 0, |out| {
        write_parameter(out, parameter::kind::HEARTBEAT_INFO, &nonce.to_be_bytes());
    });
}

/// The nonce in a HEARTBEAT ACK, if it may be one of ours.
fn read_nonce(value: &[u8]) -> Option<u64> {
    let info = Parameters(value).next()?.ok()?;
    if info.kind != parameter::kind::HEARTBEAT_INFO {
        return None;
    }
    Some(u64::from_be_bytes(info.value.try_into().ok()?))
}

impl Association {
    /// Arms the timer for the next HEARTBEAT, if they are wanted.
    pub(crate) fn schedule_heartbeat(&mut self) {
        let Some(interval) = self.config.heartbeat_interval else {
            return;
        };
        let Some(tcb) = self.state.tcb() else { return };
        // "A HEARTBEAT chunk is sent once per RTO … plus the protocol parameter 'HB.interval', with jittering of +/- 50% of
        // the RTO value and exponential backoff of the RTO if the previous HEARTBEAT chunk is unanswered." What data waits for
        // is left as it is.
        let rto = tcb.rto.backed_off(tcb.errors);
        let wait = interval + rto.mul_f64(self.rng.random_range(0.5..1.5));
        self.timers.set(Timer::Heartbeat, self.now + wait);
    }

    pub(crate) fn on_heartbeat_timer(&mut self) {
        let nonce = self.rng.random();
        let (now, interval) = (self.now, self.config.heartbeat_interval.unwrap_or_default());
        let State::Open(tcb, Phase::Established | Phase::ShutdownPending | Phase::ShutdownReceived) =
            &mut self.state
        else {
            return;
        };
        let unanswered = tcb.heartbeat.waiting.take().is_some();
        // Beside data T3-rtx counts.
        if unanswered && tcb.outstanding.is_empty() {
            // "The endpoint SHOULD increment the respective error counter … each time a HEARTBEAT chunk is sent to that
            // address and not acknowledged within one RTO."
            tcb.errors += 1;
            let errors = tcb.errors;
            if self.config.max_retransmits.is_some_and(|max| errors > max) {
                return self.close(CloseReason::Unreachable);
            }
            return self.schedule_heartbeat();
        }
        if !tcb.outstanding.is_empty() || now < tcb.last_data_sent + interval {
            return self.schedule_heartbeat();
        }
        self.ask_for_answer(nonce);
    }

    /// Asks at once whether the peer is there.
    pub(crate) fn ask_for_answer(&mut self, nonce: u64) {
        if let State::Open(tcb, Phase::Established | Phase::ShutdownPending | Phase::ShutdownReceived) =
            &mut self.state
        {
            tcb.heartbeat.ask(nonce);
            let wait = tcb.rto.current();
            self.timers.set(Timer::Heartbeat, self.now + wait);
        }
    }

    /// "Immediately respond with a HEARTBEAT ACK chunk that contains the Heartbeat Information TLV, together with any
    /// other received TLVs, copied unchanged."
    pub(crate) fn on_heartbeat(&mut self, chunk: &RawChunk<'_>) {
        let answers = match &self.state {
            State::CookieEchoed(..) => true,
            State::Open(_, phase) => !matches!(phase, Phase::ShutdownSent | Phase::ShutdownAckSent),
            _ => false,
        };
        let Some(tcb) = self.state.tcb_mut().filter(|_| answers) else {
            self.stats.drops.unexpected_chunk += 1;
            return;
        };
        let mut reply = Vec::with_capacity(chunk.len() + 3);
        write_chunk(&mut reply, kind::HEARTBEAT_ACK, 0, |out| {
            out.extend_from_slice(chunk.value)
        });
        if !tcb.reply(&self.config, reply) {
            self.stats.drops.reply_overflow += 1;
        }
        // Section 8.3 asks for an answer in COOKIE-ECHOED, too, where section 5.1, step C, allows no packet but this: the peer
        // is there, and its COOKIE ACK was lost.
        if let State::CookieEchoed(_, echo) = &mut self.state {
            echo.due = true;
            // An answer to it no longer measures a round trip.
            echo.retransmissions = echo.retransmissions.max(1);
        }
    }

    pub(crate) fn on_heartbeat_ack(&mut self, chunk: &RawChunk<'_>) {
        let now = self.now;
        let Some(tcb) = self.state.tcb_mut() else { return };
        let answered = read_nonce(chunk.value);
        if answered.is_some_and(|nonce| tcb.path_mtu.accept(now, nonce)) {
            tcb.errors = 0;
            return self.timers.stop(Timer::PathProbe);
        }
        match answered.and_then(|nonce| tcb.heartbeat.accept(now, nonce)) {
            Some(rtt) => {
                tcb.errors = 0;
                tcb.rto.note_minimum(rtt);
                tcb.rto.measure(rtt);
                tcb.congestion.on_heartbeat(now, rtt);
                self.schedule_heartbeat();
            }
            None => self.stats.drops.unknown_heartbeat += 1,
        }
    }
}
