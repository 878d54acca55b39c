//! Changes of streams (RFC 6525): resets, which are how a data channel is closed (RFC 8831, section 6.7), resets of the
//! whole association, and more streams.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::association::Association;
use crate::config::Config;
use crate::event::{Event, Reconfiguration};
use crate::packet::HEADER_LEN;
use crate::packet::RawChunk;
use crate::packet::cause::Cause;
use crate::packet::reconfig::{
    RESPONSE_CHUNK_LEN, Reconfig, Request, RequestNumber, ResetResult, Response, StreamList, max_streams,
    parse_reconfig, write_responses,
};
use crate::receive::reassembly::Violation;
use crate::state::{Phase, State};
use crate::tcb::Tcb;
use crate::timer::Timer;
use crate::types::{Place, StreamId, Tsn};

/// Answers that wait; a chunk holds two requests at most.
const MAX_RESPONSES: usize = 4;
/// Streams in events that wait for the reader, beyond which the peer's requests are denied: each of all streams twice.
const MAX_NOTICES: usize = 1 << 17;
/// How often the peer may say "in progress" to one request before it counts as refused.
const MAX_IN_PROGRESS: u32 = 60;
/// Retransmissions of a request that a peer, alive otherwise, may leave unanswered before it counts as refused.
const MAX_UNANSWERED: u32 = 20;

/// "Only one SSN/TSN Reset Request SHOULD be sent within 30 seconds" (section 5.1.4).
const ASSOCIATION_RESET_INTERVAL: Duration = Duration::from_secs(30);
/// "The value SHOULD be the smallest TSN not acknowledged by the receiver of the request plus 2^31" (section 5.2.4, G1).
const THEIR_LEAP: u32 = 1 << 31;
/// Where we go on ourselves. "The value SHOULD be the highest TSN sent by the receiver of the request plus 1" (G2), but then a
/// peer that has not had our answer would take what we send for what came before. So it is further ahead than a FORWARD TSN
/// may reach, and by less than 2^31, so that serial arithmetic tells it from the past. See docs/decisions/0016.
const OUR_LEAP: u32 = 3 << 29;
const _: () = assert!(OUR_LEAP as usize > crate::receive::tracker::MAX_FORWARD + MAX_UNDER_WAY as usize);

/// TSNs that may be under way, and some more: a gap ack block reaches 65,535.
const MAX_UNDER_WAY: u32 = 1 << 20;

/// Both directions of changes of streams.
#[derive(Debug)]
pub(crate) struct StreamReset {
    /// The number of our next request.
    next_request: RequestNumber,
    /// Streams whose queue has drained, and the place of the last chunk sent then: the request waits until that is
    /// acknowledged or abandoned, so that the peer need not defer it.
    drained: VecDeque<(StreamId, Place)>,
    /// Other requests that wait for their turn.
    asked: VecDeque<Asked>,
    under_way: Option<UnderWay>,
    /// When the association was last to be reset.
    association_reset_at: Option<Instant>,
    /// The number that the peer's next request must have.
    expected: RequestNumber,
    /// The answer to the peer's last request.
    last: Response,
    /// The answer to the one before, when both came in one chunk: it comes again with the last one's.
    before_last: Option<Box<Response>>,
    /// The peer's request that waits for data.
    deferred: Option<RequestNumber>,
    /// The peer's request to reset the association, which waits until our data has arrived.
    deferred_association: Option<RequestNumber>,
    /// The last reset that had to wait, and when it was performed: a peer that was told "in progress" may ask again under a
    /// new number (dcSCTP does), and that may cross our answer.
    waited: Option<Box<Waited>>,
    responses: VecDeque<Response>,
    /// The chunk at hand has had an answer.
    answered: bool,
}

/// What the peer's reset waits for, and which streams it resets: all when there are none.
type Reset = (Tsn, Vec<StreamId>);

#[derive(Debug)]
struct Waited {
    reset: Reset,
    performed: Option<Instant>,
}

#[derive(Debug)]
struct Asked {
    request: Request,
    /// By the application, which wants to know what becomes of it.
    by_us: bool,
}

/// Our request that is under way.
#[derive(Debug)]
struct UnderWay {
    number: RequestNumber,
    request: Request,
    by_us: bool,
    /// To be sent with the next packet.
    due: bool,
    /// How often it was sent again since the peer last said something about it.
    unanswered: u32,
    /// How often the peer said "in progress": the wait is not the path's fault.
    in_progress: u32,
}

impl UnderWay {
    /// A reset of the association that nobody has refused may still be performed by the peer, and then it must be by us.
    fn may_be_given_up(&self) -> bool {
        self.request != Request::AssociationReset
    }
}

impl StreamReset {
    /// RFC 6525, section 4.1: request numbers are "initialized to the same value as the initial TSN".
    pub(crate) fn new(local: Tsn, peer: Tsn) -> Self {
        Self {
            next_request: RequestNumber(local.0),
            drained: VecDeque::new(),
            asked: VecDeque::new(),
            under_way: None,
            association_reset_at: None,
            expected: RequestNumber(peer.0),
            last: Response {
                number: RequestNumber(peer.0).previous(),
                result: ResetResult::NOTHING_TO_DO,
                next: None,
                joined: false,
            },
            before_last: None,
            deferred: None,
            deferred_association: None,
            waited: None,
            responses: VecDeque::new(),
            answered: false,
        }
    }

    /// Nothing was queued after `last` on this stream.
    pub(crate) fn add_drained(&mut self, stream: StreamId, last: Place) {
        self.drained.push_back((stream, last));
    }

    /// Another path: a request that was not answered goes out once more.
    pub(crate) fn repeat_request(&mut self) {
        if let Some(under_way) = &mut self.under_way {
            under_way.due = true;
            under_way.unanswered = 0;
        }
    }

    /// Whether nothing is to be sent: most of the time.
    pub(crate) fn is_silent(&self) -> bool {
        let due = self.under_way.as_ref().is_some_and(|under_way| under_way.due);
        !due && self.responses.is_empty() && self.drained.is_empty() && self.asked.is_empty()
    }

    /// Makes the next request, unless one is under way: "there MUST NOT be more than one request in flight". First come
    /// the streams whose data is acknowledged. `quiet`: no message has begun, and nothing is outstanding.
    pub(crate) fn start_request(&mut self, config: &Config, cumulative: Place, last_tsn: Tsn, quiet: bool) {
        if self.under_way.is_some() || self.drained.is_empty() && self.asked.is_empty() {
            return;
        }
        let max = max_streams(config.max_datagram - HEADER_LEN);
        let mut streams = Vec::new();
        self.drained.retain(|&(stream, last)| {
            let ready = last <= cumulative && streams.len() < max;
            if ready {
                streams.push(stream);
            }
            !ready
        });
        let asked = if streams.is_empty() {
            self.asked
                .pop_front_if(|asked| quiet || asked.request != Request::AssociationReset)
        } else {
            Some(Asked {
                request: Request::OutgoingReset { last_tsn, streams },
                by_us: true,
            })
        };
        let Some(Asked { request, by_us }) = asked else {
            return;
        };
        let number = self.next_request;
        self.next_request = number.next();
        self.under_way = Some(UnderWay {
            number,
            request,
            by_us,
            due: true,
            unanswered: 0,
            in_progress: 0,
        });
    }

    /// Appends what is due; `true` when that was a request, so that the timer must run. One that was made for larger packets
    /// than there are now stays as it is, and goes alone.
    pub(crate) fn write(&mut self, room: usize, out: &mut Vec<u8>, is_alone: bool) -> bool {
        let (start, end) = (out.len(), out.len() + room);
        while !self.responses.is_empty() && out.len() + RESPONSE_CHUNK_LEN * MAX_RESPONSES <= end {
            let joined = self
                .responses
                .iter()
                .skip(1)
                .take_while(|response| response.joined);
            let count = 1 + joined.count();
            write_responses(out, self.responses.drain(..count));
        }
        let seen = self.expected.previous();
        let Some(under_way) = self.under_way.as_mut().filter(|under_way| under_way.due) else {
            return false;
        };
        let is_alone = is_alone && out.len() == start;
        if out.len() + under_way.request.chunk_len() > end && !is_alone {
            return false;
        }
        under_way.due = false;
        under_way.request.write(out, under_way.number, seen);
        true
    }

    fn respond(&mut self, response: Response) {
        if self.responses.len() < MAX_RESPONSES {
            let joined = std::mem::replace(&mut self.answered, true) && !self.responses.is_empty();
            self.responses.push_back(Response { joined, ..response });
        }
    }

    /// Whether the peer's request is new; answers it when it is not.
    fn is_new(&mut self, number: RequestNumber) -> bool {
        if number == self.expected {
            self.expected = number.next();
            // Whoever asks for something else no longer waits for this.
            self.deferred_association = None;
            return true;
        }
        // "(i.e., a retransmission), the same RE-CONFIG chunk MUST to be sent back in response, as it was earlier".
        let before = self
            .before_last
            .as_deref()
            .filter(|before| before.number == number);
        let response = match before {
            Some(before) => *before,
            None if number == self.expected.previous() => Response { number, ..self.last },
            None => Response {
                number,
                result: ResetResult::BAD_SEQUENCE_NUMBER,
                next: None,
                joined: false,
            },
        };
        self.respond(response);
        false
    }

    fn conclude(&mut self, number: RequestNumber, result: ResetResult) {
        self.conclude_with(number, result, None);
    }

    fn conclude_with(&mut self, number: RequestNumber, result: ResetResult, next: Option<[Tsn; 2]>) {
        if number != self.last.number {
            self.before_last = self.answered.then(|| Box::new(self.last));
        }
        self.last = Response {
            number,
            result,
            next,
            joined: false,
        };
        self.respond(self.last);
    }

    /// Whether the association is to be reset, at the request of either side, so that no message must begin.
    pub(crate) fn wants_quiet(&self) -> bool {
        let asked = self.asked.iter().map(|asked| &asked.request);
        let under_way = self.under_way.iter().map(|under_way| &under_way.request);
        let mut requests = asked.chain(under_way);
        self.deferred_association.is_some() || requests.any(|request| *request == Request::AssociationReset)
    }
}

impl Association {
    /// Closes the outgoing half of a stream: what waits on it is still sent, but for a message that was not ended, then the peer is asked to reset it.
    /// [`Event::StreamResetDone`] or [`Event::StreamResetFailed`] follows; until then the stream takes no messages.
    pub fn reset_stream(&mut self, stream: StreamId) {
        if matches!(self.state, State::Ended) {
            return;
        }
        self.idle = false;
        self.abandon_message(self.now, stream);
        self.queue.request_reset(stream);
        self.collect_drained();
    }

    /// Asks the peer to reset these streams of its own, or all when there are none. [`Event::ReconfigurationDone`] or
    /// [`Event::ReconfigurationFailed`] says whether it will, and [`Event::StreamsReset`] when it has.
    pub fn reset_incoming(&mut self, streams: &[StreamId]) {
        let max = max_streams(self.config.max_datagram - HEADER_LEN);
        if streams.is_empty() {
            return self.ask(Request::IncomingReset(Vec::new()));
        }
        for streams in streams.chunks(max) {
            self.ask(Request::IncomingReset(streams.to_vec()));
        }
    }

    /// Asks the peer to begin all streams of both directions anew, and the TSNs as well (RFC 6525, section 5.1.4): messages
    /// that have begun are finished first, and others wait. [`Event::AssociationReset`] and
    /// [`Event::ReconfigurationDone`], or [`Event::ReconfigurationFailed`] follows; that at once when it was asked for
    /// less than 30 seconds ago.
    pub fn reset_association(&mut self) {
        self.ask(Request::AssociationReset);
    }

    /// Asks the peer to take so many more streams. [`Event::ReconfigurationDone`] or [`Event::ReconfigurationFailed`]
    /// follows; only then may they be used.
    pub fn add_streams(&mut self, count: u16) {
        self.ask(Request::AddOutgoing(count));
    }

    /// Asks the peer to send on so many more streams. [`Event::ReconfigurationDone`] or
    /// [`Event::ReconfigurationFailed`] follows.
    pub fn add_incoming_streams(&mut self, count: u16) {
        self.ask(Request::AddIncoming(count));
    }

    fn ask(&mut self, request: Request) {
        self.idle = false;
        let (now, max) = (self.now, self.config.max_pending_replies);
        match &mut self.state {
            State::Ended => {}
            State::Open(tcb, Phase::Established)
                if tcb.reconfiguration() && tcb.reset.asked.len() < max && may_ask(tcb, &request, now) =>
            {
                if request == Request::AssociationReset {
                    tcb.reset.association_reset_at = Some(now);
                }
                tcb.reset.asked.push_back(Asked { request, by_us: true });
                self.update_pause();
            }
            _ => self.report(request, false),
        }
    }

    /// The peer shuts down, and takes no more requests. What became of the one under way must still be known: after a reset
    /// of the association only one of both sets of TSNs is right.
    pub(crate) fn give_up_requests(&mut self) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        let asked = std::mem::take(&mut tcb.reset.asked);
        let drained = std::mem::take(&mut tcb.reset.drained);
        for asked in asked.into_iter().filter(|asked| asked.by_us) {
            self.report(asked.request, false);
        }
        for (stream, _) in drained {
            self.queue.reset_failed(stream);
            self.inbox.push(Event::StreamResetFailed(stream));
        }
        self.update_pause();
    }

    /// Lets messages begin, or not.
    fn update_pause(&mut self) {
        let paused = self.state.tcb().is_some_and(|tcb| tcb.reset.wants_quiet());
        self.queue.pause(paused);
    }

    /// Tells the application what became of its request.
    fn report(&mut self, request: Request, done: bool) {
        let what = match request {
            Request::OutgoingReset { streams, .. } => {
                for stream in streams {
                    if done {
                        self.queue.reset_done(stream);
                        self.inbox.push(Event::StreamResetDone(stream));
                    } else {
                        self.queue.reset_failed(stream);
                        self.inbox.push(Event::StreamResetFailed(stream));
                    }
                }
                return;
            }
            Request::IncomingReset(streams) => Reconfiguration::IncomingReset(streams),
            Request::AssociationReset => Reconfiguration::AssociationReset,
            Request::AddOutgoing(count) => Reconfiguration::AddOutgoing(count),
            Request::AddIncoming(count) => Reconfiguration::AddIncoming(count),
        };
        self.inbox.push(if done {
            Event::ReconfigurationDone(what)
        } else {
            Event::ReconfigurationFailed(what)
        });
    }

    /// Moves streams that are to be reset and have nothing waiting to where their request is made.
    pub(crate) fn collect_drained(&mut self) {
        let State::Open(tcb, _) = &mut self.state else {
            return;
        };
        while let Some(stream) = self.queue.take_drained() {
            if tcb.reconfiguration() {
                tcb.reset.add_drained(stream, tcb.outstanding.next().previous());
            } else {
                self.queue.reset_failed(stream);
                self.inbox.push(Event::StreamResetFailed(stream));
            }
        }
    }

    pub(crate) fn start_reconfig_timer(&mut self) {
        let Some(tcb) = self.state.tcb() else { return };
        let under_way = tcb.reset.under_way.as_ref();
        let unanswered = under_way.map_or(0, |under_way| under_way.unanswered);
        let wait = tcb
            .rto
            .current()
            .saturating_mul(1 << unanswered.min(16))
            .min(self.config.rto_max);
        self.timers.set(Timer::Reconfig, self.now + wait);
    }

    /// "If the timer expires, besides doubling the value, the sender MUST retransmit the RE-CONFIG chunk, increment the
    /// appropriate error counts … and perform threshold management."
    pub(crate) fn on_reconfig_timer(&mut self) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        let Some(request) = tcb.reset.under_way.as_mut() else {
            return;
        };
        request.due = true;
        request.unanswered += 1;
        if request.unanswered > MAX_UNANSWERED && request.may_be_given_up() {
            return self.conclude_request(false);
        }
        if request.in_progress == 0 && self.count_error() {
            return;
        }
        self.start_reconfig_timer();
    }

    pub(crate) fn on_reconfig(&mut self, chunk: &RawChunk<'_>) {
        let shuts_down = match self.state.phase() {
            Some(Phase::Established | Phase::ShutdownPending) => false,
            Some(Phase::ShutdownSent | Phase::ShutdownReceived) => true,
            Some(Phase::ShutdownAckSent) | None => {
                self.stats.drops.unexpected_chunk += 1;
                return;
            }
        };
        if let Some(tcb) = self.state.tcb_mut() {
            tcb.reset.answered = false;
        }
        // A reader who has stopped learns of no more changes than this; the peer may ask again later.
        let takes_no_more = shuts_down || self.inbox.notices() > MAX_NOTICES;
        for parameter in parse_reconfig(chunk.value) {
            match parameter {
                None => {
                    self.stats.drops.malformed_chunk += 1;
                    return;
                }
                Some(parameter) if takes_no_more && !matches!(parameter, Reconfig::Response { .. }) => {
                    self.deny(parameter.number());
                }
                Some(Reconfig::OutgoingReset {
                    request,
                    response,
                    last_tsn,
                    streams,
                }) => {
                    self.on_answer_to_incoming(response);
                    self.on_outgoing_reset(request, last_tsn, streams);
                }
                Some(Reconfig::IncomingReset { request, streams }) => {
                    self.on_incoming_reset(request, streams)
                }
                Some(Reconfig::Response {
                    response,
                    result,
                    next,
                }) => self.on_reset_response(response, result, next),
                Some(Reconfig::AddOutgoing { request, count }) => self.on_add_outgoing(request, count),
                Some(Reconfig::AddIncoming { request, count }) => self.on_add_incoming(request, count),
                Some(Reconfig::AssociationReset { request }) => self.on_association_reset(request),
            }
        }
        self.update_pause();
        if let Some(tcb) = self.state.tcb_mut()
            && !tcb.reset.responses.is_empty()
        {
            // "A selective acknowledgment (SACK) chunk SHOULD be sent back".
            tcb.receiver.acknowledge_now();
        }
    }

    /// The peer resets its outgoing streams (section 5.2.2).
    fn on_outgoing_reset(&mut self, number: RequestNumber, last_tsn: Tsn, list: StreamList<'_>) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        if !tcb.reset.is_new(number) {
            return;
        }
        let mut streams: Vec<StreamId> = list.iter().collect();
        streams.sort_unstable();
        streams.dedup();
        if streams.iter().any(|&stream| !tcb.accepts_stream(stream)) {
            return tcb.reset.conclude(number, ResetResult::DENIED);
        }
        let this = (last_tsn, streams);
        // Who knows that it was performed cannot ask for the next one within a round trip.
        let round_trip = tcb.rto.min_rtt().unwrap_or_default();
        match tcb.reset.waited.as_deref() {
            Some(Waited {
                reset,
                performed: None,
            }) if *reset == this => {
                tcb.reset.deferred = Some(number);
                return tcb.reset.conclude(number, ResetResult::IN_PROGRESS);
            }
            Some(Waited {
                reset,
                performed: Some(at),
            }) if *reset == this && self.now < *at + round_trip => {
                return tcb.reset.conclude(number, ResetResult::PERFORMED);
            }
            _ => tcb.reset.waited = None,
        }
        self.perform_or_defer(number, this);
    }

    /// Steps E2 to E5.
    fn perform_or_defer(&mut self, number: RequestNumber, mut what: Reset) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        // So much is never under way: that TSN is from before the association was reset.
        let reached = tcb.receiver.cumulative();
        if what.0.0.wrapping_sub(reached.0) > MAX_UNDER_WAY {
            what.0 = reached;
        }
        // An empty list means all of them.
        let streams = (!what.1.is_empty()).then(|| what.1.clone());
        let (inbox, drops) = (&mut self.inbox, &mut self.stats.drops);
        match tcb.receiver.reset_streams(what.0, streams, inbox, drops) {
            Ok(true) => {
                tcb.reset.deferred = None;
                tcb.reset.conclude(number, ResetResult::PERFORMED);
            }
            Ok(false) => {
                tcb.reset.deferred = Some(number);
                tcb.reset.waited = Some(Box::new(Waited {
                    reset: what,
                    performed: None,
                }));
                tcb.reset.conclude(number, ResetResult::IN_PROGRESS);
            }
            Err(Violation(what)) => self.fail(Cause::ProtocolViolation(what), what),
        }
    }

    /// Section 5.2.2, steps E4 and E5: the data that a reset waited for has come.
    pub(crate) fn finish_deferred_reset(&mut self) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        if let Some(number) = tcb.reset.deferred
            && !tcb.receiver.awaits_reset()
        {
            tcb.reset.deferred = None;
            if let Some(waited) = &mut tcb.reset.waited {
                waited.performed = Some(self.now);
            }
            let before = tcb.reset.before_last.as_deref_mut();
            if number.next() == tcb.reset.expected {
                tcb.reset.conclude(number, ResetResult::PERFORMED);
            } else if let Some(before) = before.filter(|before| before.number == number) {
                before.result = ResetResult::PERFORMED;
                let answer = *before;
                tcb.reset.respond(answer);
            }
        }
    }

    /// No new request is taken; an old one still gets its answer.
    fn deny(&mut self, number: RequestNumber) {
        if let Some(tcb) = self.state.tcb_mut()
            && tcb.reset.is_new(number)
        {
            tcb.reset.conclude(number, ResetResult::DENIED);
        }
    }

    /// Step E1: the peer's own reset answers our request for it.
    fn on_answer_to_incoming(&mut self, number: RequestNumber) {
        let under_way = self.state.tcb().and_then(|tcb| tcb.reset.under_way.as_ref());
        if under_way.is_some_and(|under_way| {
            under_way.number == number && matches!(under_way.request, Request::IncomingReset(_))
        }) {
            self.conclude_request(true);
        }
    }

    /// The peer wants to send on more streams (section 5.2.5).
    fn on_add_outgoing(&mut self, number: RequestNumber, count: u16) {
        let max = self.config.max_streams;
        let Some(tcb) = self.state.tcb_mut() else { return };
        if !tcb.reset.is_new(number) {
            return;
        }
        let result = match tcb.inbound_streams().checked_add(count) {
            _ if count == 0 => ResetResult::NOTHING_TO_DO,
            Some(streams) if streams <= max => {
                tcb.set_inbound_streams(streams);
                self.inbox.push(Event::StreamsAdded {
                    outgoing: tcb.outbound_streams(),
                    incoming: streams,
                });
                ResetResult::PERFORMED
            }
            _ => ResetResult::DENIED,
        };
        tcb.reset.conclude(number, result);
    }

    /// The peer wants us to send on more streams (section 5.2.6): "it MUST either send a response parameter denying the
    /// request or send a corresponding Add Outgoing Streams Request Parameter".
    fn on_add_incoming(&mut self, number: RequestNumber, count: u16) {
        let config = &self.config;
        let Some(tcb) = self.state.tcb_mut() else { return };
        if !tcb.reset.is_new(number) {
            return;
        }
        let streams = tcb.outbound_streams().checked_add(count);
        let granted = streams.is_some_and(|streams| streams <= config.max_streams)
            && tcb.reset.asked.len() < config.max_pending_replies;
        let result = match count {
            0 => ResetResult::NOTHING_TO_DO,
            _ if granted => {
                tcb.reset.asked.push_back(Asked {
                    request: Request::AddOutgoing(count),
                    by_us: false,
                });
                ResetResult::PERFORMED
            }
            _ => ResetResult::DENIED,
        };
        tcb.reset.conclude(number, result);
    }

    /// The peer wants to begin anew (section 5.2.4). What we have begun to send is delivered first. When both sides want
    /// it at once, each would leave the other behind: neither gets it.
    fn on_association_reset(&mut self, number: RequestNumber) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        if !tcb.reset.is_new(number) {
            return;
        }
        if tcb.reset.wants_quiet() {
            return tcb.reset.conclude(number, ResetResult::DENIED);
        }
        tcb.reset.deferred_association = Some(number);
        self.update_pause();
        self.finish_association_reset();
        if let Some(tcb) = self.state.tcb_mut()
            && tcb.reset.deferred_association.is_some()
        {
            tcb.reset.conclude(number, ResetResult::IN_PROGRESS);
        }
    }

    /// Performs the reset of the association that the peer waits for, when all our data has arrived.
    pub(crate) fn finish_association_reset(&mut self) {
        let State::Open(tcb, _) = &mut self.state else {
            return;
        };
        let Some(number) = tcb.reset.deferred_association else {
            return;
        };
        if !tcb.outstanding.is_empty() || self.queue.wants_to_send() {
            return;
        }
        tcb.reset.deferred_association = None;
        let ours = tcb.outstanding.next().tsn().plus(OUR_LEAP);
        let theirs = tcb.receiver.cumulative().plus(1).plus(THEIR_LEAP);
        tcb.reset
            .conclude_with(number, ResetResult::PERFORMED, Some([ours, theirs]));
        self.begin_anew(ours, theirs);
        self.continue_shutdown();
    }

    /// All streams of both directions begin anew, with these TSNs.
    fn begin_anew(&mut self, ours: Tsn, theirs: Tsn) {
        let State::Open(tcb, _) = &mut self.state else {
            return;
        };
        log::info!("sctp: all streams begin anew");
        tcb.outstanding.jump(ours);
        // What a request of ours waits for was counted by the old numbers.
        if let Some(UnderWay {
            request: Request::OutgoingReset { last_tsn, .. },
            ..
        }) = &mut tcb.reset.under_way
        {
            *last_tsn = ours.previous();
        }
        tcb.recovery_exit = None;
        tcb.timeout_in_doubt = None;
        tcb.forward_due = false;
        tcb.forward_sent = None;
        let kind = tcb.data_kind();
        tcb.receiver.restart(&self.config, kind, theirs);
        self.inbox.push(Event::AssociationReset);
        self.queue.restart_streams();
        // Whatever waited for what came before need not wait any more.
        if let (Some(number), Some(waited)) = (tcb.reset.deferred.take(), tcb.reset.waited.take()) {
            self.perform_or_defer(number, waited.reset);
        }
        self.update_pause();
    }

    /// The peer asks us to reset our outgoing streams (section 5.2.3).
    fn on_incoming_reset(&mut self, number: RequestNumber, list: StreamList<'_>) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        if !tcb.reset.is_new(number) {
            return;
        }
        let open: Vec<StreamId> = if list.is_all() {
            self.queue.open_streams().collect()
        } else {
            list.iter().filter(|&stream| self.queue.is_open(stream)).collect()
        };
        // The Outgoing SSN Reset Request follows when the data before it has arrived. "In progress" would keep the peer's
        // request under way until then, and when both sides ask at once, neither could send the other what it waits for.
        let result = if open.is_empty() {
            ResetResult::NOTHING_TO_DO
        } else {
            ResetResult::PERFORMED
        };
        tcb.reset.conclude(number, result);
        for stream in open {
            self.reset_stream(stream);
        }
    }

    /// Section 5.2.7.
    fn on_reset_response(&mut self, number: RequestNumber, result: ResetResult, next: Option<[Tsn; 2]>) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        let Some(under_way) = tcb
            .reset
            .under_way
            .as_mut()
            .filter(|under_way| under_way.number == number)
        else {
            return;
        };
        tcb.errors = 0;
        match (result, &under_way.request) {
            // H2: "If the Result field indicates "In progress", the timer for the Re-configuration Request Sequence
            // Number is started again. If the timer runs out, the RE-CONFIG chunk MUST be retransmitted but the
            // corresponding error counters MUST NOT be incremented."
            (ResetResult::IN_PROGRESS | ResetResult::ALREADY_IN_PROGRESS, _)
                if under_way.in_progress < MAX_IN_PROGRESS || !under_way.may_be_given_up() =>
            {
                under_way.in_progress += 1;
                under_way.unanswered = 0;
                self.start_reconfig_timer();
            }
            // H5: "new data MUST be sent from the Receiver's Next TSN, … The peer will send DATA chunks starting with the
            // Sender's Next TSN."
            (ResetResult::PERFORMED, Request::AssociationReset) => match next {
                Some([theirs, ours]) => {
                    self.conclude_request(true);
                    self.begin_anew(ours, theirs);
                }
                None => self.stats.drops.malformed_chunk += 1,
            },
            _ => {
                log::debug!("sctp: reconfiguration: result {}", result.0);
                self.conclude_request(matches!(
                    result,
                    ResetResult::NOTHING_TO_DO | ResetResult::PERFORMED
                ));
            }
        }
    }

    /// Our request has come to its end, one way or the other.
    fn conclude_request(&mut self, done: bool) {
        self.timers.stop(Timer::Reconfig);
        let Some(tcb) = self.state.tcb_mut() else { return };
        let Some(UnderWay { request, by_us, .. }) = tcb.reset.under_way.take() else {
            return;
        };
        if let Request::AddOutgoing(count) = request
            && done
        {
            let streams = tcb.outbound_streams().saturating_add(count);
            tcb.set_outbound_streams(streams);
            self.inbox.push(Event::StreamsAdded {
                outgoing: streams,
                incoming: tcb.inbound_streams(),
            });
        }
        if by_us {
            self.report(request, done);
        }
        self.update_pause();
        self.continue_shutdown();
    }
}

/// Whether a request makes sense.
fn may_ask(tcb: &Tcb, request: &Request, now: Instant) -> bool {
    let fits = |streams: u16, count| count > 0 && streams.checked_add(count).is_some();
    match *request {
        Request::OutgoingReset { .. } | Request::IncomingReset(_) => true,
        Request::AddOutgoing(count) => fits(tcb.outbound_streams(), count),
        Request::AddIncoming(count) => fits(tcb.inbound_streams(), count),
        Request::AssociationReset => {
            let last = tcb.reset.association_reset_at;
            last.is_none_or(|at| now >= at + ASSOCIATION_RESET_INTERVAL) && !tcb.reset.wants_quiet()
        }
    }
}
