//! The end: graceful SHUTDOWN (RFC 9260, section 9.2) and ABORT (section 9.1).

use byteorder::{BigEndian, ByteOrder};

use crate::association::Association;
use crate::event::{CloseReason, Event};
use crate::packet::cause::{self, Cause};
use crate::packet::parameter::PARAMETER_HEADER_LEN;
use crate::packet::{
    CHUNK_HEADER_LEN, FLAG_REFLECTED, HEADER_LEN, Header, RawChunk, kind, seal, write_chunk,
};
use crate::state::{Phase, State};
use crate::timer::Timer;
use crate::types::Tsn;

/// Bytes of a reason, at most: ours and the peer's.
const MAX_REASON: usize = 256;
/// Bytes of a packet with an ABORT before its reason.
const ABORT_LEN: usize = HEADER_LEN + CHUNK_HEADER_LEN + PARAMETER_HEADER_LEN;

impl Association {
    /// Shuts down gracefully: takes no more messages, delivers what waits and what is under way, then ends with
    /// [`CloseReason::Shutdown`]. Before the handshake is done it ends at once.
    pub fn shutdown(&mut self, now: std::time::Instant) {
        self.advance_clock(now);
        match &mut self.state {
            State::Closed | State::CookieWait(_) => self.close(CloseReason::Shutdown),
            State::CookieEchoed(..) => {
                self.send_abort(Cause::UserInitiatedAbort("shut down"));
                self.close(CloseReason::Shutdown);
            }
            State::Open(_, phase @ Phase::Established) => {
                *phase = Phase::ShutdownPending;
                log::info!("sctp: shutting down");
                self.continue_shutdown();
            }
            State::Open(..) | State::Ended => {}
        }
    }

    /// Ends the association at once: tells the peer with an ABORT, and drops what waits. Of the reason 256 bytes at most go
    /// out, or what fits into a packet.
    pub fn abort(&mut self, now: std::time::Instant, reason: &str) {
        self.advance_clock(now);
        if matches!(self.state, State::Ended) {
            return;
        }
        let most = MAX_REASON.min(self.config.max_datagram - ABORT_LEN);
        let end = (0..=reason.len().min(most))
            .rev()
            .find(|&end| reason.is_char_boundary(end))
            .unwrap_or(0);
        let reason = &reason[..end];
        self.send_abort(Cause::UserInitiatedAbort(reason));
        self.close(CloseReason::Aborted {
            reason: reason.to_owned(),
        });
    }

    /// Queues an ABORT when there is a peer to tell.
    pub(crate) fn send_abort(&mut self, cause: Cause<'_>) {
        let Some(tcb) = self.state.tcb() else { return };
        let header = tcb.header(&self.config);
        self.send_packet(header, |out| cause.write_chunk(out, kind::ABORT, 0));
    }

    /// The peer broke the protocol: ABORT, and the end.
    pub(crate) fn fail(&mut self, cause: Cause<'_>, what: &'static str) {
        self.send_abort(cause);
        self.close(CloseReason::ProtocolViolation(what));
    }

    /// Queues one packet of its own, with a checksum.
    pub(crate) fn send_packet(&mut self, header: Header, write: impl FnOnce(&mut Vec<u8>)) {
        if self.outbox.len() >= self.config.max_pending_replies {
            self.stats.drops.reply_overflow += 1;
            return;
        }
        let mut packet = Vec::new();
        header.write(&mut packet);
        write(&mut packet);
        seal(&mut packet, 0);
        if packet.len() > self.config.max_datagram {
            self.stats.drops.reply_overflow += 1;
            return;
        }
        self.outbox.push_back(packet);
    }

    /// The association is over.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        if matches!(self.state, State::Ended) {
            return;
        }
        log::info!("sctp: {reason}");
        self.gather_stats();
        self.state = State::Ended;
        self.timers.stop_all();
        self.queue.clear();
        self.inbox.push(Event::Closed(reason));
    }

    /// Takes the next step of a shutdown when all data has been acknowledged.
    pub(crate) fn continue_shutdown(&mut self) {
        let nothing_waits = self.queue.is_empty();
        let State::Open(tcb, phase) = &mut self.state else {
            return;
        };
        // While the association is being reset, only one of both sets of TSNs is right, and we do not know which.
        let in_doubt = *phase == Phase::ShutdownPending && tcb.reset.wants_quiet();
        if !nothing_waits || !tcb.is_all_acknowledged() || in_doubt {
            return;
        }
        match phase {
            // "Once all its outstanding data has been acknowledged, the endpoint sends a SHUTDOWN chunk to its peer …
            // It SHOULD then start the T2-shutdown timer and enter the SHUTDOWN-SENT state."
            Phase::ShutdownPending => {
                *phase = Phase::ShutdownSent;
                // T5-shutdown-guard: "SHOULD be set to the RECOMMENDED value of 5 times 'RTO.Max'".
                self.timers
                    .set(Timer::ShutdownGuard, self.now + self.config.rto_max * 5);
            }
            // "If the receiver of the SHUTDOWN chunk has no more outstanding DATA chunks, the SHUTDOWN chunk receiver
            // MUST send a SHUTDOWN ACK chunk and start a T2-shutdown timer of its own".
            Phase::ShutdownReceived => *phase = Phase::ShutdownAckSent,
            Phase::Established | Phase::ShutdownSent | Phase::ShutdownAckSent => return,
        }
        tcb.shutdown_due = true;
        tcb.errors = 0;
        for timer in [
            Timer::Heartbeat,
            Timer::Retransmission,
            Timer::Probe,
            Timer::Reconfig,
        ] {
            self.timers.stop(timer);
        }
        self.restart_shutdown_timer();
    }

    /// (Re)starts T2-shutdown.
    pub(crate) fn restart_shutdown_timer(&mut self) {
        if let Some(tcb) = self.state.tcb() {
            self.timers.set(Timer::Shutdown, self.now + tcb.rto.current());
        }
    }

    pub(crate) fn on_shutdown_timer(&mut self) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        tcb.rto.back_off();
        tcb.errors += 1;
        tcb.shutdown_due = true;
        let errors = tcb.errors;
        if self.config.max_retransmits.is_some_and(|max| errors > max) {
            return self.close(CloseReason::Unreachable);
        }
        self.restart_shutdown_timer();
    }

    /// "At the expiration of this timer, the sender SHOULD abort the association by sending an ABORT chunk."
    pub(crate) fn on_shutdown_guard(&mut self) {
        self.send_abort(Cause::UserInitiatedAbort("the shutdown took too long"));
        self.close(CloseReason::Unreachable);
    }

    pub(crate) fn on_shutdown(&mut self, chunk: &RawChunk<'_>) {
        let [a, b, c, d] = *chunk.value else {
            self.stats.drops.malformed_chunk += 1;
            return;
        };
        let cumulative = Tsn(u32::from_be_bytes([a, b, c, d]));
        match self.state.phase() {
            // "If a SHUTDOWN chunk is received in the COOKIE-WAIT or COOKIE ECHOED state, the SHUTDOWN chunk SHOULD be
            // silently discarded."
            None => self.stats.drops.unexpected_chunk += 1,
            Some(Phase::Established | Phase::ShutdownPending | Phase::ShutdownReceived) => {
                self.on_cumulative(cumulative);
                if let State::Open(_, phase) = &mut self.state
                    && *phase != Phase::ShutdownReceived
                {
                    log::info!("sctp: the peer shuts down");
                    *phase = Phase::ShutdownReceived;
                    self.give_up_requests();
                }
                self.continue_shutdown();
            }
            // "If an endpoint is in the SHUTDOWN-SENT state and receives a SHUTDOWN chunk from its peer, the endpoint
            // SHOULD respond immediately with a SHUTDOWN ACK chunk to its peer and move into the SHUTDOWN-ACK-SENT
            // state, restarting its T2-shutdown timer."
            Some(Phase::ShutdownSent | Phase::ShutdownAckSent) => {
                if let State::Open(tcb, phase) = &mut self.state {
                    *phase = Phase::ShutdownAckSent;
                    tcb.shutdown_due = true;
                }
                self.restart_shutdown_timer();
            }
        }
    }

    /// The packet was for us or, before there is an association, came out of the blue.
    pub(crate) fn on_shutdown_ack(&mut self) {
        match &mut self.state {
            // "Upon the receipt of the SHUTDOWN ACK chunk, the sender of the SHUTDOWN chunk MUST stop the T2-shutdown
            // timer, send a SHUTDOWN COMPLETE chunk to its peer, and remove all record of the association." Likewise in
            // SHUTDOWN-ACK-SENT.
            State::Open(tcb, Phase::ShutdownSent | Phase::ShutdownAckSent) => {
                let header = tcb.header(&self.config);
                self.send_packet(header, |out| write_chunk(out, kind::SHUTDOWN_COMPLETE, 0, |_| ()));
                self.close(CloseReason::Shutdown);
            }
            _ => self.stats.drops.unexpected_chunk += 1,
        }
    }

    /// Section 8.4, rule 5, also for COOKIE-WAIT and COOKIE-ECHOED (section 8.5.1, rule E).
    pub(crate) fn answer_stray_shutdown_ack(&mut self, tag: u32) {
        let header = self.header(tag);
        self.send_packet(header, |out| {
            write_chunk(out, kind::SHUTDOWN_COMPLETE, FLAG_REFLECTED, |_| ())
        });
    }

    pub(crate) fn on_shutdown_complete(&mut self) {
        if self.state.phase() == Some(Phase::ShutdownAckSent) {
            self.close(CloseReason::Shutdown);
        } else {
            self.stats.drops.unexpected_chunk += 1;
        }
    }

    pub(crate) fn on_abort(&mut self, chunk: &RawChunk<'_>) {
        let first = cause::causes(chunk.value).next();
        if self.retry_plainer(first.map(|cause| cause.code)) {
            return;
        }
        let reason = first
            .filter(|cause| matches!(cause.code, cause::code::USER_INITIATED_ABORT | 13))
            .map(|cause| {
                String::from_utf8_lossy(&cause.info[..cause.info.len().min(MAX_REASON)]).into_owned()
            });
        self.close(CloseReason::AbortedByPeer {
            code: first.map_or(0, |cause| cause.code),
            reason: reason.unwrap_or_default(),
        });
    }

    pub(crate) fn on_error(&mut self, chunk: &RawChunk<'_>) {
        for cause in cause::causes(chunk.value) {
            log::debug!("sctp: the peer reports an error: {}", cause::name(cause.code));
            if cause.code == cause::code::STALE_COOKIE {
                let staleness = if cause.info.len() == 4 {
                    BigEndian::read_u32(cause.info)
                } else {
                    0
                };
                self.on_stale_cookie(staleness);
                return;
            }
        }
    }
}
