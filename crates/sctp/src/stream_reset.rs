//! Stream resets (RFC 6525): how a data channel is closed (RFC 8831, section 6.7).

use std::collections::VecDeque;

use crate::association::Association;
use crate::config::Config;
use crate::event::Event;
use crate::packet::HEADER_LEN;
use crate::packet::RawChunk;
use crate::packet::cause::Cause;
use crate::packet::reconfig::{
    OUTGOING_RESET_MIN_LEN, RESPONSE_LEN, Reconfig, RequestNumber, ResetResult, StreamList, parse_reconfig,
    write_outgoing_reset, write_response,
};
use crate::receive::reassembly::Violation;
use crate::state::{Phase, State};
use crate::timer::Timer;
use crate::types::{Place, StreamId, Tsn};

/// Answers that wait; a chunk holds two requests at most.
const MAX_RESPONSES: usize = 4;
/// How often the peer may say "in progress" to one request before it counts as refused.
const MAX_IN_PROGRESS: u32 = 60;
/// Retransmissions of a request that a peer, alive otherwise, may leave unanswered before it counts as refused.
const MAX_UNANSWERED: u32 = 10;

/// Both directions of stream resets.
#[derive(Debug)]
pub(crate) struct StreamReset {
    /// The number of our next request.
    next_request: RequestNumber,
    /// Streams whose queue has drained, and the place of the last chunk sent then: the request waits until that is
    /// acknowledged or abandoned, so that the peer need not defer it.
    drained: VecDeque<(StreamId, Place)>,
    request: Option<Request>,
    /// The number that the peer's next request must have.
    expected: RequestNumber,
    /// The answer to the peer's last request.
    last_result: ResetResult,
    /// The peer's request that waits for data.
    deferred: Option<RequestNumber>,
    /// The last reset that had to wait: a peer that was told "in progress" may ask again under a new number.
    waited: Option<(Tsn, Vec<StreamId>)>,
    responses: VecDeque<(RequestNumber, ResetResult)>,
}

/// Our request that is under way.
#[derive(Debug)]
struct Request {
    number: RequestNumber,
    last_tsn: Tsn,
    streams: Vec<StreamId>,
    /// To be sent with the next packet.
    due: bool,
    /// How often it was sent again since the peer last said something about it.
    unanswered: u32,
    /// How often the peer said "in progress": the wait is not the path's fault.
    in_progress: u32,
}

impl StreamReset {
    /// RFC 6525, section 4.1: request numbers are "initialized to the same value as the initial TSN".
    pub(crate) fn new(local: Tsn, peer: Tsn) -> Self {
        Self {
            next_request: RequestNumber(local.0),
            drained: VecDeque::new(),
            request: None,
            expected: RequestNumber(peer.0),
            last_result: ResetResult::NOTHING_TO_DO,
            deferred: None,
            waited: None,
            responses: VecDeque::new(),
        }
    }

    /// Nothing was queued after `last` on this stream.
    pub(crate) fn add_drained(&mut self, stream: StreamId, last: Place) {
        self.drained.push_back((stream, last));
    }

    /// Makes a request of the streams whose data is acknowledged, unless one is under way: "there MUST NOT be more
    /// than one request in flight".
    fn start_request(&mut self, config: &Config, cumulative: Place, last_tsn: Tsn) {
        if self.request.is_some() || self.drained.is_empty() {
            return;
        }
        let max = (config.max_datagram - HEADER_LEN - OUTGOING_RESET_MIN_LEN - RESPONSE_LEN) / 2;
        let mut streams = Vec::new();
        self.drained.retain(|&(stream, last)| {
            let ready = last <= cumulative && streams.len() < max;
            if ready {
                streams.push(stream);
            }
            !ready
        });
        if streams.is_empty() {
            return;
        }
        let number = self.next_request;
        self.next_request = number.next();
        self.request = Some(Request {
            number,
            last_tsn,
            streams,
            due: true,
            unanswered: 0,
            in_progress: 0,
        });
    }

    /// Appends what is due; `true` when that was a request, so that the timer must run.
    pub(crate) fn write(
        &mut self,
        config: &Config,
        cumulative: Place,
        last_tsn: Tsn,
        room: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let end = out.len() + room;
        while out.len() + RESPONSE_LEN <= end
            && let Some((number, result)) = self.responses.pop_front()
        {
            write_response(out, number, result);
        }
        self.start_request(config, cumulative, last_tsn);
        let answers = self.expected.previous();
        let Some(request) = self.request.as_mut().filter(|request| request.due) else {
            return false;
        };
        if out.len() + OUTGOING_RESET_MIN_LEN + request.streams.len().next_multiple_of(2) * 2 > end {
            return false;
        }
        request.due = false;
        write_outgoing_reset(out, request.number, answers, request.last_tsn, &request.streams);
        true
    }

    fn respond(&mut self, number: RequestNumber, result: ResetResult) {
        if self.responses.len() < MAX_RESPONSES {
            self.responses.push_back((number, result));
        }
    }

    /// Whether the peer's request is new; answers it when it is not.
    fn is_new(&mut self, number: RequestNumber) -> bool {
        if number == self.expected {
            self.expected = number.next();
            return true;
        }
        // "(i.e., a retransmission), the same RE-CONFIG chunk MUST to be sent back in response, as it was earlier".
        let result = if number == self.expected.previous() {
            self.last_result
        } else {
            ResetResult::BAD_SEQUENCE_NUMBER
        };
        self.respond(number, result);
        false
    }

    fn conclude(&mut self, number: RequestNumber, result: ResetResult) {
        self.last_result = result;
        self.respond(number, result);
    }
}

impl Association {
    /// Closes the outgoing half of a stream: what waits on it is still sent, then the peer is asked to reset it.
    /// [`Event::StreamResetDone`] or [`Event::StreamResetFailed`] follows; until then the stream takes no messages.
    pub fn reset_stream(&mut self, stream: StreamId) {
        if matches!(self.state, State::Ended) {
            return;
        }
        self.idle = false;
        self.queue.request_reset(stream);
        self.collect_drained();
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
        let unanswered = tcb.reset.request.as_ref().map_or(0, |request| request.unanswered);
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
        let Some(request) = tcb.reset.request.as_mut() else {
            return;
        };
        request.due = true;
        request.unanswered += 1;
        if request.unanswered > MAX_UNANSWERED {
            return self.conclude_request(false);
        }
        if request.in_progress == 0 && self.count_error() {
            return;
        }
        self.start_reconfig_timer();
    }

    pub(crate) fn on_reconfig(&mut self, chunk: &RawChunk<'_>) {
        if !matches!(
            self.state,
            State::Open(_, Phase::Established | Phase::ShutdownPending)
        ) {
            self.stats.drops.unexpected_chunk += 1;
            return;
        }
        for parameter in parse_reconfig(chunk.value) {
            let Some(tcb) = self.state.tcb_mut() else { return };
            match parameter {
                None => {
                    self.stats.drops.malformed_chunk += 1;
                    return;
                }
                Some(Reconfig::OutgoingReset {
                    request,
                    last_tsn,
                    streams,
                }) => {
                    self.on_outgoing_reset(request, last_tsn, streams);
                }
                Some(Reconfig::IncomingReset { request, streams }) => {
                    self.on_incoming_reset(request, streams)
                }
                Some(Reconfig::Response { response, result }) => self.on_reset_response(response, result),
                Some(Reconfig::AddOutgoing { request, count }) => {
                    if tcb.reset.is_new(request) {
                        // Streams cost nothing here, but no more exist than 16 bits can name.
                        let streams = tcb.peer.outbound_streams.checked_add(count);
                        let granted = streams.filter(|&streams| streams <= tcb.local.inbound_streams);
                        tcb.peer.outbound_streams = granted.unwrap_or(tcb.peer.outbound_streams);
                        let result = if granted.is_some() {
                            ResetResult::PERFORMED
                        } else {
                            ResetResult::DENIED
                        };
                        tcb.reset.conclude(request, result);
                    }
                }
                Some(Reconfig::AssociationReset { request } | Reconfig::AddIncoming { request }) => {
                    if tcb.reset.is_new(request) {
                        tcb.reset.conclude(request, ResetResult::DENIED);
                    }
                }
            }
        }
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
        if tcb.reset.waited.as_ref() == Some(&this) {
            let waits = tcb.receiver.awaits_reset();
            tcb.reset.deferred = waits.then_some(number);
            let result = if waits {
                ResetResult::IN_PROGRESS
            } else {
                ResetResult::PERFORMED
            };
            return tcb.reset.conclude(number, result);
        }
        let streams = (!list.is_all()).then(|| this.1.clone());
        let (inbox, drops) = (&mut self.inbox, &mut self.stats.drops);
        match tcb.receiver.reset_streams(last_tsn, streams, inbox, drops) {
            Ok(true) => {
                tcb.reset.deferred = None;
                tcb.reset.conclude(number, ResetResult::PERFORMED);
            }
            Ok(false) => {
                tcb.reset.deferred = Some(number);
                tcb.reset.waited = Some(this);
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
            if number.next() == tcb.reset.expected {
                tcb.reset.conclude(number, ResetResult::PERFORMED);
            }
        }
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
        // The Outgoing SSN Reset Request that follows is the answer, since it carries this number.
        let result = if open.is_empty() {
            ResetResult::NOTHING_TO_DO
        } else {
            ResetResult::IN_PROGRESS
        };
        tcb.reset.conclude(number, result);
        for stream in open {
            self.reset_stream(stream);
        }
    }

    /// Section 5.2.7.
    fn on_reset_response(&mut self, number: RequestNumber, result: ResetResult) {
        let Some(tcb) = self.state.tcb_mut() else { return };
        let Some(request) = tcb
            .reset
            .request
            .as_mut()
            .filter(|request| request.number == number)
        else {
            return;
        };
        tcb.errors = 0;
        match result {
            // H2: "If the Result field indicates "In progress", the timer for the Re-configuration Request Sequence
            // Number is started again. If the timer runs out, the RE-CONFIG chunk MUST be retransmitted but the
            // corresponding error counters MUST NOT be incremented."
            ResetResult::IN_PROGRESS | ResetResult::ALREADY_IN_PROGRESS
                if request.in_progress < MAX_IN_PROGRESS =>
            {
                request.in_progress += 1;
                request.unanswered = 0;
                self.start_reconfig_timer();
            }
            _ => {
                log::debug!("sctp: stream reset: result {}", result.0);
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
        let Some(request) = self.state.tcb_mut().and_then(|tcb| tcb.reset.request.take()) else {
            return;
        };
        for stream in request.streams {
            if done {
                self.queue.reset_done(stream);
                self.inbox.push(Event::StreamResetDone(stream));
            } else {
                self.queue.reset_failed(stream);
                self.inbox.push(Event::StreamResetFailed(stream));
            }
        }
    }
}
