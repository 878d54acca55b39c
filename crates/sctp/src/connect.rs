//! The handshake (RFC 9260, section 5): INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, in every state they may come in.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::association::Association;
use crate::config::MIN_DATAGRAM;
use crate::cookie::Cookie;
use crate::event::{CloseReason, Event};
use crate::packet::cause::Cause;
use crate::packet::cause::code::USER_INITIATED_ABORT;
use crate::packet::data::DataKind;
use crate::packet::init::{Capabilities, Init, ReceivedInit};
use crate::packet::parameter;
use crate::packet::{CHUNK_HEADER_LEN, FLAG_REFLECTED, HEADER_LEN, Header, RawChunk, kind, write_chunk};
use crate::receive::{Receiver, window};
use crate::state::{CookieEcho, CookieWait, Phase, State};
use crate::tcb::Tcb;
use crate::timer::Timer;
use crate::types::{StreamId, Tsn};

/// Section 3.3.2: "The Advertised Receiver Window Credit MUST NOT be smaller than 1500."
const LEAST_WINDOW: u32 = 1500;
/// The longest extension of a cookie's life that a peer may ask for (section 5.2.6: "no more than 1 second beyond
/// the measured RTT").
const MAX_PRESERVATIVE: Duration = Duration::from_secs(5);

/// How the tags of a cookie relate to those of the association (section 5.2.4, Table 12).
enum Relation {
    /// Action A.
    Restart,
    /// Action B.
    Collision,
    /// Action C, and every case that is not in the table.
    Discard,
    /// Action D.
    Duplicate,
}

impl Association {
    /// Starts the handshake. In WebRTC both sides do.
    pub fn connect(&mut self, now: Instant) {
        self.advance_clock(now);
        if !matches!(self.state, State::Closed) {
            return;
        }
        let local = self.new_init();
        self.state = State::CookieWait(CookieWait {
            local,
            retransmissions: 0,
            plain: false,
            stale: 0,
            carried: None,
        });
        log::info!("sctp: connecting");
        self.send_init();
    }

    fn new_init(&mut self) -> Init {
        Init {
            // "The Initiate Tag is allowed to have any value except 0."
            tag: self.rng.random_range(1..=u32::MAX),
            window: u32::try_from(window::first(&self.config)).unwrap_or(u32::MAX),
            outbound_streams: self.config.streams,
            inbound_streams: self.config.streams,
            initial_tsn: self.config.initial_tsn.unwrap_or_else(|| Tsn(self.rng.random())),
            capabilities: Capabilities {
                partial_reliability: true,
                reconfiguration: true,
                interleaving: self.config.interleaving,
                interleaved_partial_reliability: self.config.interleaving,
                zero_checksum: self.config.zero_checksum,
                padding: self.config.max_path_datagram > 0,
                ecn: self.config.ecn,
            },
        }
    }

    /// Queues the INIT and starts T1-init.
    ///
    /// A receiver that does not know a parameter of type 0x8000 or 0x8001 is to "skip this parameter and continue processing"
    /// (RFC 9260, section 3.2.1, Table 3); some drop the whole INIT or abort instead. An INIT that was not answered may have
    /// been lost, or dropped for that: it is sent again as it was, and once more without those parameters right behind. Whoever
    /// takes the first answers it first, and its second INIT ACK is none for the state we are in then (section 5.2.3). After
    /// an ABORT only the plainer one is sent.
    fn send_init(&mut self) {
        let State::CookieWait(wait) = &self.state else {
            return;
        };
        let (mut local, backed_off) = (wait.local, wait.retransmissions);
        let offers = (local.capabilities.zero_checksum || local.capabilities.ecn) && !wait.plain;
        if offers {
            self.send_packet(self.header(0), |out| local.write(out, kind::INIT, None, &[]));
        }
        if !offers || backed_off > 0 {
            local.capabilities.zero_checksum = false;
            local.capabilities.ecn = false;
            self.send_packet(self.header(0), |out| local.write(out, kind::INIT, None, &[]));
        }
        self.start_handshake_timer(backed_off);
    }

    fn start_handshake_timer(&mut self, retransmissions: u32) {
        let factor = 1u32.checked_shl(retransmissions).unwrap_or(u32::MAX);
        let wait = self
            .config
            .rto_initial
            .saturating_mul(factor)
            .min(self.config.rto_max);
        self.timers.set(Timer::Handshake, self.now + wait);
    }

    /// T1-init or T1-cookie expired.
    pub(crate) fn on_handshake_timer(&mut self) {
        let retransmissions = match &mut self.state {
            State::CookieWait(CookieWait { retransmissions, .. })
            | State::CookieEchoed(_, CookieEcho { retransmissions, .. }) => {
                *retransmissions += 1;
                *retransmissions
            }
            _ => return,
        };
        if self
            .config
            .max_init_retransmits
            .is_some_and(|max| retransmissions > max)
        {
            return self.close(CloseReason::HandshakeTimeout);
        }
        match &mut self.state {
            State::CookieEchoed(tcb, echo) => {
                echo.due = true;
                tcb.outstanding.lose_all();
                self.start_handshake_timer(retransmissions);
            }
            State::CookieWait(_) => self.send_init(),
            _ => {}
        }
    }

    /// What is under way of the handshake goes out once more, and its timer begins anew.
    pub(crate) fn repeat_handshake(&mut self) {
        match &mut self.state {
            State::CookieEchoed(tcb, echo) => {
                echo.due = true;
                echo.retransmissions = 0;
                tcb.outstanding.lose_all();
                self.start_handshake_timer(0);
            }
            State::CookieWait(wait) => {
                wait.retransmissions = 0;
                self.send_init();
            }
            _ => {}
        }
    }

    /// The peer answered our INIT with an ABORT: `true` when it may take a plainer one, which is on its way.
    pub(crate) fn retry_plainer(&mut self, code: Option<u16>) -> bool {
        let State::CookieWait(wait) = &mut self.state else {
            return false;
        };
        let offers = wait.local.capabilities.zero_checksum || wait.local.capabilities.ecn;
        if wait.plain || !offers || code == Some(USER_INITIATED_ABORT) {
            return false;
        }
        log::info!("sctp: the peer refused our INIT: trying a plainer one");
        wait.plain = true;
        // Whoever answers must not think that the other knows.
        wait.local.capabilities.ecn = false;
        self.send_init();
        true
    }

    /// Sections 5.1, 5.2.1 and 5.2.2.
    pub(crate) fn on_init(&mut self, chunk: &RawChunk<'_>) {
        let Some(received) = ReceivedInit::parse(chunk.value) else {
            self.stats.drops.malformed_chunk += 1;
            return;
        };
        let peer = received.init;
        // "If the value of the Initiate Tag in a received INIT chunk is found to be 0, the receiver MUST silently
        // discard the packet."
        if peer.tag == 0 {
            self.stats.drops.malformed_chunk += 1;
            return;
        }
        let refusal = if peer.outbound_streams == 0 || peer.inbound_streams == 0 || peer.window < LEAST_WINDOW
        {
            Some(Cause::InvalidMandatoryParameter)
        } else if received.host_name {
            Some(Cause::UnresolvableAddress(&[]))
        } else {
            None
        };
        if let Some(cause) = refusal {
            self.stats.drops.malformed_chunk += 1;
            return self.send_packet(self.header(peer.tag), |out| {
                cause.write_chunk(out, kind::ABORT, 0)
            });
        }
        let (mut local, tie_tags) = match &mut self.state {
            State::Ended => return,
            State::Closed => (self.new_init(), [0; 2]),
            // 5.2.1: "using the same parameters it sent in its original INIT chunk (including its Initiate Tag,
            // unchanged)"
            State::CookieWait(wait) => (wait.local, [0; 2]),
            // "For an endpoint that is in the COOKIE-ECHOED state, it MUST populate its Tie-Tags within both the
            // association TCB and inside the State Cookie."
            State::CookieEchoed(tcb, _) => (tcb.local, tcb.tie_tags),
            // 9.2: "If an endpoint is in the SHUTDOWN-ACK-SENT state and receives an INIT chunk …, it SHOULD discard the
            // INIT chunk and retransmit the SHUTDOWN ACK chunk."
            State::Open(tcb, Phase::ShutdownAckSent) => {
                tcb.shutdown_due = true;
                return;
            }
            // 5.2.2: "the INIT ACK chunk MUST contain a new Initiate Tag (randomly generated …). Other parameters for the
            // endpoint SHOULD be copied from the existing parameters of the association".
            State::Open(tcb, _) => {
                let local = Init {
                    tag: self.rng.random_range(1..=u32::MAX),
                    ..tcb.local
                };
                (
                    Init {
                        initial_tsn: Tsn(self.rng.random()),
                        ..local
                    },
                    tcb.tie_tags,
                )
            }
        };
        local.window = u32::try_from(window::first(&self.config)).unwrap_or(u32::MAX);
        // 3.3.3: "the value MUST NOT be greater than the MIS value sent in the INIT chunk".
        local.outbound_streams = local.outbound_streams.min(peer.inbound_streams);
        // Who did not say that it knows this parameter may drop an INIT ACK with it, and would not use it anyway.
        local.capabilities.zero_checksum = self.config.zero_checksum && peer.capabilities.zero_checksum;
        local.capabilities.ecn &= peer.capabilities.ecn;
        local.capabilities.interleaving &= peer.capabilities.interleaving;
        let longer = received.cookie_preservative.map_or(Duration::ZERO, |millis| {
            Duration::from_millis(millis.into()).min(MAX_PRESERVATIVE)
        });
        let cookie = self.jar.bake(&Cookie {
            local,
            peer,
            tie_tags,
            ports: [self.config.local_port, self.config.remote_port],
            created: self.now,
            lifetime: self.config.cookie_lifetime + longer,
        });
        // Reports of unknown parameters must not keep the INIT ACK from being sent.
        let spare = self.config.max_datagram - MIN_DATAGRAM;
        let reports = if received.unrecognized.len() * 2 <= spare {
            &received.unrecognized[..]
        } else {
            &[]
        };
        self.send_packet(self.header(peer.tag), |out| {
            local.write(out, kind::INIT_ACK, Some(&cookie), reports);
        });
    }

    /// Section 5.1, step C, and 5.2.3.
    pub(crate) fn on_init_ack(&mut self, chunk: &RawChunk<'_>) {
        let State::CookieWait(wait) = &self.state else {
            // "If an INIT ACK chunk is received by an endpoint in any state other than the COOKIE-WAIT or CLOSED state,
            // the endpoint SHOULD discard the INIT ACK chunk."
            self.stats.drops.unexpected_chunk += 1;
            return;
        };
        let (local, stale) = (wait.local, wait.stale);
        let Some(received) = ReceivedInit::parse(chunk.value) else {
            self.stats.drops.malformed_chunk += 1;
            return;
        };
        let peer = received.init;
        // 3.3.3: with an Initiate Tag of 0 "it MUST destroy the TCB and SHOULD send an ABORT chunk with the T bit set".
        let (tag, flags) = match peer.tag {
            0 => (local.tag, FLAG_REFLECTED),
            tag => (tag, 0),
        };
        let refuse = |this: &mut Self, cause: Cause<'_>| {
            this.send_packet(this.header(tag), |out| cause.write_chunk(out, kind::ABORT, flags));
        };
        let abort = |this: &mut Self, cause: Cause<'_>, what| {
            refuse(this, cause);
            this.close(CloseReason::ProtocolViolation(what));
        };
        // 3.3.3, with an OS or MIS value of 0: "it MUST destroy the TCB and SHOULD send an ABORT chunk".
        if peer.tag == 0 || peer.outbound_streams == 0 || peer.inbound_streams == 0 {
            return abort(
                self,
                Cause::InvalidMandatoryParameter,
                "its INIT ACK has an impossible value",
            );
        }
        // 3.3.3, with an a_rwnd smaller than 1500: "MUST discard the packet, SHOULD send a packet in response containing an
        // ABORT chunk …, and MUST NOT change the state of any existing association".
        if peer.window < LEAST_WINDOW {
            self.stats.drops.malformed_chunk += 1;
            return refuse(self, Cause::InvalidMandatoryParameter);
        }
        if received.host_name {
            return abort(
                self,
                Cause::UnresolvableAddress(&[]),
                "its INIT ACK has a host name",
            );
        }
        let Some(cookie) = received.cookie else {
            let missing = [parameter::kind::STATE_COOKIE];
            return abort(
                self,
                Cause::MissingParameters(&missing),
                "its INIT ACK has no state cookie",
            );
        };
        // An echo must fit into a packet.
        if HEADER_LEN + CHUNK_HEADER_LEN + cookie.len() > self.config.max_datagram {
            self.stats.drops.reply_overflow += 1;
            return abort(
                self,
                Cause::OutOfResource,
                "its state cookie is too large to echo",
            );
        }
        let cookie = cookie.to_vec();
        let mut tcb = self.new_tcb(local, peer);
        if !received.unrecognized.is_empty() {
            let mut error = Vec::new();
            Cause::UnrecognizedParameters(&received.unrecognized).write_chunk(&mut error, kind::ERROR, 0);
            tcb.reply(&self.config, error);
        }
        self.state = State::CookieEchoed(
            tcb,
            CookieEcho {
                cookie,
                due: true,
                retransmissions: 0,
                stale,
            },
        );
        self.start_handshake_timer(0);
    }

    /// Sections 5.1.5 and 5.2.4; `false` when the packet must be discarded.
    pub(crate) fn on_cookie_echo(&mut self, header: Header, chunk: &RawChunk<'_>) -> bool {
        let Ok(cookie) = self.jar.open(chunk.value) else {
            // "If this comparison fails, the SCTP packet, including the COOKIE ECHO chunk and any DATA chunks, MUST be
            // silently discarded."
            self.stats.drops.forged_cookie += 1;
            log::debug!("sctp: dropped a state cookie that was not made here");
            return false;
        };
        // "Compare the port numbers and the Verification Tag contained within the COOKIE ECHO chunk to the actual port
        // numbers and the Verification Tag within the SCTP common header of the received packet."
        if header.verification_tag != cookie.local.tag
            || cookie.ports != [self.config.local_port, self.config.remote_port]
        {
            self.stats.drops.wrong_tag += 1;
            return false;
        }
        let age = self.now.saturating_duration_since(cookie.created);
        let known = self.state.tcb().map(|tcb| [tcb.local.tag, tcb.peer.tag]);
        if known != Some([cookie.local.tag, cookie.peer.tag])
            && let Some(staleness) = age.checked_sub(cookie.lifetime).filter(|late| !late.is_zero())
        {
            self.stats.drops.stale_cookie += 1;
            let cause = Cause::StaleCookie(u32::try_from(staleness.as_micros()).unwrap_or(u32::MAX));
            self.send_packet(self.header(cookie.peer.tag), |out| {
                cause.write_chunk(out, kind::ERROR, 0)
            });
            return false;
        }
        let accepted = match &self.state {
            State::Ended => false,
            State::Closed => self.establish(&cookie),
            // The peer's tag is not known yet: row "M 0 A A", action B. Another local tag is no case of the table.
            State::CookieWait(wait) if wait.local.tag == cookie.local.tag => self.establish(&cookie),
            State::CookieWait(_) => {
                self.stats.drops.unexpected_chunk += 1;
                false
            }
            State::CookieEchoed(tcb, _) | State::Open(tcb, _) => match relation(tcb, &cookie) {
                Relation::Restart => self.on_restart(&cookie),
                Relation::Collision => self.on_collision(&cookie),
                Relation::Discard => {
                    self.stats.drops.unexpected_chunk += 1;
                    false
                }
                Relation::Duplicate => self.on_own_cookie(),
            },
        };
        if accepted {
            self.measure_handshake(age);
        }
        accepted
    }

    /// A cookie makes the association.
    fn establish(&mut self, cookie: &Cookie) -> bool {
        let tcb = self.new_tcb(cookie.local, cookie.peer);
        self.open(tcb, true);
        true
    }

    /// A TCB that takes over what an earlier COOKIE ECHO carried.
    fn new_tcb(&mut self, local: Init, peer: Init) -> Box<Tcb> {
        let mut tcb = Tcb::new(&self.config, &mut self.rng, self.now, local, peer);
        if let State::CookieWait(CookieWait { carried, .. }) = &mut self.state
            && let Some(carried) = carried.take()
        {
            tcb.outstanding = carried;
            tcb.outstanding.set_kind(tcb.data_kind());
        }
        self.take_up(&mut tcb);
        Box::new(tcb)
    }

    /// What the peer said decides whether packets may be marked, which chunks fragments go into, and which streams there are.
    fn take_up(&mut self, tcb: &mut Tcb) {
        let (enabled, next) = (self.marks_carried && tcb.uses_ecn(), tcb.outstanding.next());
        tcb.marking.begin_path(enabled, next);
        // Section 5.1.1: "the endpoint MUST use MIS outbound streams and MAY report any shortage to the upper layer".
        for stream in self.queue.refuse_from(StreamId(tcb.outbound_streams())) {
            self.inbox.push(Event::StreamRefused(stream));
        }
        let window = (tcb.data_kind() == DataKind::IData).then_some(tcb.peer.window as usize);
        self.queue.set_interleaving(window);
    }

    fn open(&mut self, mut tcb: Box<Tcb>, first_time: bool) {
        tcb.cookie_ack_due = true;
        self.state = State::Open(tcb, Phase::Established);
        self.on_established(first_time);
    }

    /// Action A: "The existing session is treated the same as if it received an ABORT chunk followed by a new COOKIE
    /// ECHO chunk".
    fn on_restart(&mut self, cookie: &Cookie) -> bool {
        if let State::Open(tcb, Phase::ShutdownAckSent) = &mut self.state {
            // "It MUST NOT set up a new association but instead resend the SHUTDOWN ACK chunk and send an ERROR chunk
            // with a "Cookie Received While Shutting Down" error cause to its peer."
            tcb.shutdown_due = true;
            let mut error = Vec::new();
            Cause::CookieWhileShuttingDown.write_chunk(&mut error, kind::ERROR, 0);
            tcb.reply(&self.config, error);
            return false;
        }
        log::info!("sctp: the peer restarted");
        let first_time = matches!(self.state, State::CookieEchoed(..));
        if !first_time {
            self.queue.clear();
        }
        self.timers.stop_all();
        let mut tcb = Tcb::new(&self.config, &mut self.rng, self.now, cookie.local, cookie.peer);
        self.take_up(&mut tcb);
        self.open(Box::new(tcb), first_time);
        true
    }

    /// Action B: "The endpoint SHOULD stay in or enter the ESTABLISHED state, but it MUST update its peer's
    /// Verification Tag from the State Cookie, stop any T1-init or T1-cookie timers that might be running, and send a
    /// COOKIE ACK chunk."
    fn on_collision(&mut self, cookie: &Cookie) -> bool {
        let (config, state) = (&self.config, std::mem::replace(&mut self.state, State::Closed));
        match state {
            State::CookieEchoed(mut tcb, _) => {
                // What was bundled with our COOKIE ECHO keeps its TSNs; all that the peer said is new.
                tcb.outstanding.lose_all();
                tcb.peer = cookie.peer;
                tcb.peer_window = cookie.peer.window as usize;
                tcb.outstanding.set_kind(tcb.data_kind());
                tcb.receiver = Receiver::new(config, tcb.data_kind(), cookie.peer.initial_tsn);
                tcb.reset =
                    crate::stream_reset::StreamReset::new(tcb.local.initial_tsn, cookie.peer.initial_tsn);
                self.take_up(&mut tcb);
                self.open(tcb, true);
            }
            State::Open(mut tcb, phase) => {
                tcb.peer.tag = cookie.peer.tag;
                tcb.cookie_ack_due = true;
                self.state = State::Open(tcb, phase);
            }
            other => self.state = other,
        }
        true
    }

    /// Action D: our INIT ACK's cookie came back, and both tags are the association's.
    fn on_own_cookie(&mut self) -> bool {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::CookieEchoed(tcb, _) => {
                self.open(tcb, true);
                self.await_what_rode_along();
            }
            State::Open(mut tcb, phase) => {
                tcb.cookie_ack_due = true;
                self.state = State::Open(tcb, phase);
            }
            other => self.state = other,
        }
        true
    }

    /// The handshake was a round trip, too: with it, the first message that is lost need not wait for RTO.Initial.
    fn measure_handshake(&mut self, rtt: Duration) {
        let limit = self.config.rto_initial;
        if let Some(tcb) = self.state.tcb_mut()
            && tcb.rto.smoothed().is_none()
            && !rtt.is_zero()
            && rtt < limit
        {
            tcb.rto.note_minimum(rtt);
            tcb.rto.measure(rtt);
        }
    }

    /// The COOKIE ECHO may have carried data, which from now on is retransmitted like any other.
    fn await_what_rode_along(&mut self) {
        if self.state.tcb().is_some_and(|tcb| !tcb.outstanding.is_empty()) {
            self.restart_retransmission_timer();
        }
    }

    /// Section 5.1, step E, and 5.2.5.
    pub(crate) fn on_cookie_ack(&mut self) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::CookieEchoed(tcb, echo) => {
                // Nothing was sent before the COOKIE ECHO, and nothing since.
                let answered_in = self.now.saturating_duration_since(tcb.last_data_sent);
                self.state = State::Open(tcb, Phase::Established);
                if echo.retransmissions == 0 {
                    self.measure_handshake(answered_in);
                }
                self.on_established(true);
                self.await_what_rode_along();
            }
            other => {
                self.state = other;
                self.stats.drops.unexpected_chunk += 1;
            }
        }
    }

    /// Section 5.2.6, the first alternative: "Send a new INIT chunk to the endpoint to generate a new State Cookie and
    /// reattempt the setup procedure."
    pub(crate) fn on_stale_cookie(&mut self, staleness: u32) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::CookieEchoed(mut tcb, echo) => {
                log::info!("sctp: the peer found our cookie stale by {staleness} us: starting over");
                let stale = echo.stale.saturating_add(1);
                let too_many = |most| u32::from(stale) > most || stale == u8::MAX;
                if self.config.max_init_retransmits.is_some_and(too_many) {
                    return self.close(CloseReason::HandshakeTimeout);
                }
                tcb.outstanding.lose_all();
                self.state = State::CookieWait(CookieWait {
                    local: tcb.local,
                    retransmissions: echo.retransmissions + 1,
                    plain: !tcb.peer.capabilities.zero_checksum,
                    stale,
                    carried: Some(tcb.outstanding),
                });
                self.send_init();
            }
            // "In all cases, if the association is not in the COOKIE-ECHOED state, the ERROR chunk SHOULD be silently
            // discarded."
            other => {
                self.state = other;
                self.stats.drops.unexpected_chunk += 1;
            }
        }
    }

    /// Appends the COOKIE ECHO that is due; `true` when it did.
    pub(crate) fn write_cookie_echo(&mut self, out: &mut Vec<u8>) -> bool {
        let State::CookieEchoed(_, echo) = &mut self.state else {
            return false;
        };
        if !std::mem::take(&mut echo.due) {
            return false;
        }
        write_chunk(out, kind::COOKIE_ECHO, 0, |out| {
            out.extend_from_slice(&echo.cookie)
        });
        true
    }
}

/// Section 5.2.4, Table 12.
fn relation(tcb: &Tcb, cookie: &Cookie) -> Relation {
    let local = tcb.local.tag == cookie.local.tag;
    let peer = tcb.peer.tag == cookie.peer.tag;
    match (local, peer) {
        (false, false) if cookie.tie_tags == tcb.tie_tags => Relation::Restart,
        (true, false) => Relation::Collision,
        (true, true) => Relation::Duplicate,
        // Action C and the rest: "The cookie SHOULD be silently discarded."
        _ => Relation::Discard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// Table 12, with all that is not in it: which of the tags in a cookie are the association's, and the tie-tags.
    #[test]
    fn every_row_of_the_table_of_section_5_2_4() {
        #[allow(clippy::disallowed_methods)]
        let now = std::time::Instant::now();
        let init = |tag| Init {
            tag,
            window: 100_000,
            outbound_streams: 1,
            inbound_streams: 1,
            initial_tsn: Tsn(1),
            capabilities: Capabilities::default(),
        };
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let config = crate::Config::default();
        let tcb = Tcb::new(&config, &mut rng, now, init(1), init(2));
        let ours = tcb.tie_tags;
        let row = |local, peer, tie_tags| {
            let cookie = Cookie {
                local: init(local),
                peer: init(peer),
                tie_tags,
                ports: [5000; 2],
                created: now,
                lifetime: Duration::ZERO,
            };
            match relation(&tcb, &cookie) {
                Relation::Restart => 'A',
                Relation::Collision => 'B',
                Relation::Discard => 'C',
                Relation::Duplicate => 'D',
            }
        };
        let (none, half) = ([0; 2], [ours[0], !ours[1]]);
        for (local, peer, tie_tags, action) in [
            (7, 8, ours, 'A'),
            (7, 8, none, 'C'),
            (7, 8, half, 'C'),
            (1, 8, none, 'B'),
            (1, 8, ours, 'B'),
            (7, 2, none, 'C'),
            (7, 2, ours, 'C'),
            (1, 2, none, 'D'),
            (1, 2, ours, 'D'),
        ] {
            assert_eq!(row(local, peer, tie_tags), action, "{local} {peer} {tie_tags:?}");
        }
    }
}
