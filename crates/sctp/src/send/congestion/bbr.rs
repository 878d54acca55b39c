//! A controller that models the path, after BBR (draft-ietf-ccwg-bbr): its bandwidth is the best delivery rate seen
//! lately, its length the shortest round trip; data goes out at that bandwidth, and little more than their product is
//! under way. Loss by itself means nothing; loss together with a queue, or of much of a round, bounds the window.
//!
//! Where it differs from the draft: the queue it may build is bounded in time and not only in round trips, and the
//! short way of leaving startup looks at the round-trip time. See docs/decisions/0010-bbr-by-default.md.

use std::time::{Duration, Instant};

use super::cubic::Cubic;
use super::share::Share;
use super::swing::Swing;
use super::{Acked, LEAST_PACKETS};
use crate::send::delivery::RateSample;

/// A round's data goes out in less than half of it. With the draft's 2.77 that alone makes half a round trip of queue.
const STARTUP_GAIN: f64 = 2.4;
const DRAIN_GAIN: f64 = 0.35;
const DOWN_GAIN: f64 = 0.75;
/// At the bandwidth, while there is a queue: flows that share a path overestimate their shares.
const YIELD_GAIN: f64 = 0.8;
/// A queue that appears while a flow goes at its bandwidth is someone else's: so much of what it gets from then on is its
/// bandwidth.
const GIVE_WAY: f64 = 0.8;
/// A flow that seems to have more of the path than this lets such a queue pass for a round before it tries for more.
const LARGE_SHARE: f64 = 0.8;
/// What goes out stays a little below what is thought to fit, so that a queue drains.
const PACING_MARGIN: f64 = 0.99;
/// In startup, the window in bandwidth-delay products.
const STARTUP_WINDOW_GAIN: f64 = 2.0;
/// The same once acknowledgements are late: a window of a round trip more than the path would overrun the queue before the
/// first loss is known.
const FULL_WINDOW_GAIN: f64 = 1.5;
/// So many acknowledgements in a row are late by 4 ms, or a twenty-fifth of the round trip.
const LATE_ACKS: u32 = 8;
const LATE: Duration = Duration::from_millis(4);
const LATE_PART: u32 = 25;
/// Startup goes on while the bandwidth grows by this factor in a round.
const FULL_GROWTH: f64 = 1.25;
const FULL_ROUNDS: u32 = 3;
/// The longest queue that the window allows, beyond one more round trip.
const MAX_QUEUE: Duration = Duration::from_millis(25);
/// The window holds what drivers and their timers hold back: a millisecond, half a socket buffer at most.
const DRIVER_DELAY: f64 = 0.001;
const MAX_DRIVER_BYTES: f64 = 98_304.0;
/// In competition the window, and not the pacer, sets the rate.
const COMPETE_PACING: f64 = 1.25;
/// Cycles in a row with a queue that never empties before someone else is held to be there.
const COMPETITOR_CYCLES: u32 = 2;
/// How long a flow that finds a competitor catches up with a curve this many times as steep as CUBIC's, since it yielded
/// until then; after that the curve is half as steep, for what it leaves out of holding back is more than it costs.
const CATCH_UP: Duration = Duration::from_secs(12);
const CATCH_UP_PACE: f64 = 10.0;
const COMPETE_PACE: f64 = 0.5;
/// The rounds of a cycle in competition.
const COMPETE_ROUNDS: u32 = 8;
/// How long the shortest round trip is believed in, and how long a flow holds back to measure it again.
const MIN_RTT_LIFETIME: Duration = Duration::from_secs(10);
const COMPETE_RTT_LIFETIME: Duration = Duration::from_secs(30);
const PROBE_RTT_TIME: Duration = Duration::from_millis(200);
const PROBE_RTT_GAIN: f64 = 0.5;
/// A round with a queue that loses this share was too much; so is one that loses that share without a queue.
const LOSS_WITH_QUEUE: f64 = 0.02;
const LOSS_WITHOUT: f64 = 0.15;
/// What is left of the window after such a round.
const LOSS_FACTOR: f64 = 0.7;
/// A queue that stays longer than this is someone else's.
const COMPETITOR_QUEUE: Duration = Duration::from_millis(15);
/// After competition that rival is expected back for so many cycles, and recognised sooner.
const RIVAL_CYCLES: u32 = 6;
const RIVAL_QUEUE: Duration = Duration::from_millis(8);
const MIN_QUEUE_SIGN: Duration = Duration::from_millis(4);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// Doubling until the bandwidth no longer grows.
    Startup,
    /// Emptying the queue that startup built.
    Drain,
    /// Emptying the queue that [`Phase::Up`] built.
    Down,
    /// At the bandwidth, for some rounds.
    Cruise(u32),
    /// Trying for more.
    Up,
    /// Someone else keeps the queue full: CUBIC among its like, since a model of the path would be starved.
    Compete,
    /// Holding back, to see the shortest round trip.
    ProbeRtt { until: Instant, least: Option<Duration> },
}

/// What happened since the round began.
#[derive(Debug, Clone, Copy, Default)]
struct Round {
    /// It ends when more than this is delivered before a chunk is sent.
    end: u64,
    delivered: usize,
    lost: usize,
    least_rtt: Option<Duration>,
    most_flight: usize,
    app_limited: bool,
    /// The best delivery rate, bytes per second.
    rate: f64,
}

/// The model, and what follows from it.
#[derive(Debug)]
pub(crate) struct Bbr {
    packet: usize,
    initial: usize,
    window: usize,
    /// The window before a timeout.
    before: Option<usize>,
    phase: Phase,
    phase_began: Instant,
    /// Best delivery rate, bytes per second, of the last probing cycle and of this one.
    rates: [f64; 2],
    min_rtt: Option<(Duration, Instant)>,
    round: Round,
    /// Whether the round that ended last saw a queue.
    queue: bool,
    /// A router has marked something in this round.
    marked: bool,
    /// Startup: the bandwidth last time it grew, and rounds since.
    full: (f64, u32),
    /// What the round trip swings by, whoever sends.
    swing: Swing,
    /// Acknowledgements in a row that came late.
    late: u32,
    /// What [`Phase::Up`] brings, and the share of the path that follows from it.
    share: Share,
    /// A queue was let pass before this try for more.
    waited: bool,
    /// The least round trip since the last cycle ended.
    cycle_least: Option<Duration>,
    /// Cycles in a row in which the queue was never empty, and rounds of this one in competition.
    standing: u32,
    compete_rounds: u32,
    /// Cycles for which a rival that was there is expected back.
    rival: u32,
    /// When it was noticed first.
    rival_since: Instant,
    /// After a loss in competition: holding back to see whether the queue empties.
    yield_until: Option<Instant>,
    cubic: Cubic,
    /// In flight at most, since a round lost too much.
    ceiling: Option<usize>,
    /// Varies the length of the cycles, so that flows do not probe in step.
    turn: u32,
}

impl Bbr {
    pub(crate) fn new(packet: usize, initial: usize, now: Instant) -> Self {
        Self {
            packet,
            initial,
            window: initial,
            before: None,
            phase: Phase::Startup,
            phase_began: now,
            rates: [0.0; 2],
            min_rtt: None,
            round: Round::default(),
            queue: false,
            marked: false,
            full: (0.0, 0),
            swing: Swing::default(),
            late: 0,
            share: Share::new(),
            waited: false,
            cycle_least: None,
            standing: 0,
            compete_rounds: 0,
            rival: 0,
            rival_since: now,
            yield_until: None,
            cubic: Cubic::new(packet, initial),
            ceiling: None,
            turn: 0,
        }
    }

    pub(crate) fn window(&self) -> usize {
        self.window
    }

    pub(crate) fn set_packet_size(&mut self, packet: usize) {
        self.packet = packet;
        self.window = self.window.max(packet);
    }

    /// The bandwidth, in bytes per second; zero before there is one.
    fn bandwidth(&self) -> f64 {
        self.rates[0].max(self.rates[1])
    }

    #[expect(clippy::cast_precision_loss, reason = "a window is far below 2^52 bytes")]
    pub(crate) fn pacing_rate(&self, smoothed_rtt: Option<Duration>) -> Option<f64> {
        let gain = match self.phase {
            // The queue is there; what the bandwidth is shows by the end of the round.
            Phase::Startup if self.marked => 1.0,
            Phase::Startup => STARTUP_GAIN,
            Phase::Drain => DRAIN_GAIN,
            Phase::Down => DOWN_GAIN,
            Phase::Up => self.share.gain(),
            Phase::Cruise(_) if self.queue && self.rival == 0 => YIELD_GAIN,
            Phase::Cruise(_) | Phase::ProbeRtt { .. } => 1.0,
            Phase::Compete => {
                let rtt = smoothed_rtt.filter(|rtt| !rtt.is_zero())?;
                return Some(self.window as f64 * COMPETE_PACING / rtt.as_secs_f64());
            }
        };
        let bandwidth = if self.bandwidth() > 0.0 {
            self.bandwidth() * PACING_MARGIN
        } else {
            let rtt = smoothed_rtt.filter(|rtt| !rtt.is_zero())?;
            self.initial as f64 / rtt.as_secs_f64()
        };
        let rate = bandwidth * gain;
        // A startup that was app-limited knows little: at least the first window of a round trip may go.
        match (self.phase, smoothed_rtt) {
            (Phase::Startup, Some(rtt)) if !rtt.is_zero() => {
                Some(rate.max(self.initial as f64 * gain / rtt.as_secs_f64()))
            }
            _ => Some(rate),
        }
    }

    /// Bytes under way at the bandwidth during `gain` times the round trip without a queue.
    fn product(&self, gain: f64) -> f64 {
        self.bandwidth() * self.length().as_secs_f64() * gain
    }

    /// The round trip without a queue: the shortest, and what every round trip swings by; zero before there is one.
    fn length(&self) -> Duration {
        self.min_rtt
            .map_or(Duration::ZERO, |(least, _)| least + self.swing.get().min(least))
    }

    pub(crate) fn on_ack(&mut self, now: Instant, acked: &Acked) {
        let round_ended = acked.rate.is_some_and(|rate| self.note_rate(rate));
        self.note_rtt(now, acked.rtt);
        self.note_lateness(acked.rtt);
        let round = &mut self.round;
        round.delivered += acked.bytes;
        round.lost += acked.lost;
        round.most_flight = round.most_flight.max(acked.flight + acked.bytes);
        if round_ended {
            self.end_round(acked);
        }
        if self.phase == Phase::Compete {
            self.cubic.on_ack(now, acked);
        }
        // Startup does not wait for the end of a round in which the queue overflows.
        if self.phase == Phase::Startup
            && acked.lost > 0
            && self.is_too_much(&self.round, self.is_queue(acked.rtt))
        {
            self.full.1 = FULL_ROUNDS;
        }
        self.move_on(now, acked, round_ended);
        self.set_window(acked);
    }

    /// A HEARTBEAT was answered: where all that is acknowledged was sent twice, nothing else tells how long the path is.
    pub(crate) fn on_heartbeat(&mut self, now: Instant, rtt: Duration) {
        self.note_rtt(now, Some(rtt));
    }

    /// Takes in a sample; `true` when it ends a round.
    fn note_rate(&mut self, sample: RateSample) -> bool {
        let rate = sample.rate();
        if !sample.crowded && (!sample.app_limited || rate >= self.bandwidth()) {
            self.rates[1] = self.rates[1].max(rate);
            self.round.rate = self.round.rate.max(rate);
            self.share.on_rate(rate);
        }
        self.round.app_limited |= sample.app_limited;
        sample.prior_delivered >= self.round.end
    }

    fn note_rtt(&mut self, now: Instant, rtt: Option<Duration>) {
        let Some(rtt) = rtt else { return };
        self.swing.on_rtt(rtt);
        self.round.least_rtt = Some(self.round.least_rtt.map_or(rtt, |least| least.min(rtt)));
        self.cycle_least = Some(self.cycle_least.map_or(rtt, |least| least.min(rtt)));
        if let Phase::ProbeRtt { least, .. } = &mut self.phase {
            *least = Some(least.map_or(rtt, |least| least.min(rtt)));
        }
        match &mut self.min_rtt {
            Some((least, at)) if rtt > *least => {
                // As good as the shortest: it is still true.
                if rtt <= *least + (*least / 32).max(self.swing.get() / 2) {
                    *at = now;
                }
            }
            min_rtt => *min_rtt = Some((rtt, now)),
        }
    }

    fn note_lateness(&mut self, rtt: Option<Duration>) {
        if let Some(rtt) = rtt {
            let length = self.length();
            let is_late = rtt > length + LATE.max(length / LATE_PART).max(self.swing.get());
            self.late = if is_late { self.late.saturating_add(1) } else { 0 };
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a window is far below 2^52 bytes"
    )]
    fn end_round(&mut self, acked: &Acked) {
        let round = std::mem::take(&mut self.round);
        self.round.end = acked.delivered;
        self.swing.end_round();
        let was_queue = self.queue;
        self.queue = self.is_queue(round.least_rtt);
        let too_much = self.is_too_much(&round, self.queue);
        if too_much {
            let ceiling =
                (round.most_flight.min(self.window) as f64 * LOSS_FACTOR).max(self.product(LOSS_FACTOR));
            self.ceiling = Some(ceiling as usize);
        } else if let Some(ceiling) = self.ceiling
            && !self.marked
        {
            let raised = ceiling + ceiling / 4;
            self.ceiling = (raised < self.target() as usize).then_some(raised);
        }
        if self.phase == Phase::Startup && !round.app_limited {
            let bandwidth = self.bandwidth();
            if bandwidth >= self.full.0 * FULL_GROWTH && !too_much {
                self.full = (bandwidth, 0);
            } else {
                self.full.1 += 1;
            }
            if self.full.1 >= FULL_ROUNDS || self.full.1 >= 2 && self.queue || too_much || self.marked {
                self.full.1 = FULL_ROUNDS;
            }
        }
        self.marked = false;
        if let Phase::Cruise(rounds) = &mut self.phase {
            *rounds = rounds.saturating_sub(1);
            self.share.end();
            let is_new = self.queue && !was_queue && self.rival == 0;
            if is_new && round.rate > 0.0 && !round.app_limited {
                let rate = round.rate.max(self.bandwidth() / 2.0);
                self.rates = [rate * GIVE_WAY, 0.0];
            }
        }
    }

    /// Whether a round lost more than a path without congestion would.
    #[expect(clippy::cast_precision_loss, reason = "a window is far below 2^52 bytes")]
    fn is_too_much(&self, round: &Round, queue: bool) -> bool {
        let limit = if queue { LOSS_WITH_QUEUE } else { LOSS_WITHOUT };
        let packets = (round.lost + round.delivered) as f64 / self.packet_f64();
        let expected = limit * packets;
        // In a short round chance alone can lose many: twice the deviation is allowed for.
        round.lost as f64 / self.packet_f64() > expected + 2.0 * expected.sqrt().max(1.0)
    }

    /// Whether the least of some round trips tells of a queue: of an eighth of a round trip, 4 ms, or three packets.
    fn is_queue(&self, least: Option<Duration>) -> bool {
        self.is_longer(least, MIN_QUEUE_SIGN, 3.0)
    }

    fn is_longer(&self, least: Option<Duration>, queue: Duration, packets: f64) -> bool {
        let length = self.length();
        let packets = packets * self.packet_f64() / self.bandwidth().max(1.0);
        let queue = queue
            .max(length / 8)
            .max(Duration::from_secs_f64(packets.min(1.0)));
        least.is_some_and(|least| least > length + queue)
    }

    /// A cycle is over: was the queue always longer than flows of this kind leave it?
    fn end_cycle(&mut self) {
        let least = self.cycle_least.take();
        let queue = if self.rival > 0 {
            RIVAL_QUEUE
        } else {
            COMPETITOR_QUEUE
        };
        let stands = self.is_longer(least, queue, 6.0);
        self.standing = if stands { self.standing + 1 } else { 0 };
        self.rival = self.rival.saturating_sub(1);
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.phase_began = now;
    }

    /// Forgets the rates of the cycle before the last, if there are newer ones.
    fn age_rates(&mut self) {
        if self.rates[1] > 0.0 {
            self.rates = [self.rates[1], 0.0];
        }
    }

    /// A cycle begins.
    fn cruise(&mut self, now: Instant) {
        self.age_rates();
        self.cruise_on(now);
    }

    /// The same cycle goes on.
    fn cruise_on(&mut self, now: Instant) {
        self.turn = self.turn.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.enter(Phase::Cruise(2 + (self.turn >> 30)), now);
    }

    /// From phase to phase.
    #[expect(clippy::cast_precision_loss, reason = "a window is far below 2^52 bytes")]
    fn move_on(&mut self, now: Instant, acked: &Acked, round_ended: bool) {
        let Some((min_rtt, _)) = self.min_rtt else {
            return;
        };
        let flight = acked.flight as f64;
        let elapsed = now.saturating_duration_since(self.phase_began);
        match self.phase {
            Phase::Startup => {
                if self.full.1 >= FULL_ROUNDS {
                    self.share.begin_after_startup(self.bandwidth());
                    self.enter(Phase::Drain, now);
                }
            }
            Phase::Drain => {
                if flight <= self.product(1.0) {
                    self.cruise(now);
                }
            }
            Phase::Down => {
                if flight <= self.product(1.0) || elapsed > min_rtt * 3 {
                    self.cruise(now);
                }
            }
            Phase::Cruise(0) if self.lets_pass() => {
                self.waited = true;
                self.phase = Phase::Cruise(1);
            }
            Phase::Cruise(0) => {
                self.waited = false;
                self.end_cycle();
                if self.standing >= COMPETITOR_CYCLES || self.rival > 0 && self.standing > 0 {
                    if self.rival == 0 {
                        self.rival_since = now;
                    }
                    self.rival = RIVAL_CYCLES;
                    self.cubic = Cubic::avoiding(self.packet, self.window, self.compete_pace(now));
                    self.compete_rounds = 0;
                    self.ceiling = None;
                    return self.enter(Phase::Compete, now);
                }
                self.share.begin(self.bandwidth());
                self.enter(Phase::Up, now);
            }
            Phase::Cruise(_) => {}
            Phase::Up => {
                let grew = self.bandwidth() >= self.share.from() * 1.15;
                if round_ended && grew && !self.queue {
                    self.share.raise(self.bandwidth());
                    self.enter(Phase::Up, now);
                } else if elapsed > min_rtt
                    && (flight
                        >= self
                            .product(self.share.gain())
                            .min(self.window as f64 - self.packet as f64)
                        || acked.lost > 0
                        || !acked.limited_by_window
                        || elapsed > min_rtt * 4)
                {
                    self.enter(Phase::Down, now);
                }
            }
            Phase::Compete => {
                self.compete_rounds += u32::from(round_ended);
                let held_back = self.yield_until.is_some_and(|until| now >= until);
                if held_back || self.compete_rounds >= COMPETE_ROUNDS {
                    self.yield_until = None;
                    self.compete_rounds = 0;
                    self.age_rates();
                    self.rival = RIVAL_CYCLES;
                    self.end_cycle();
                    if self.standing == 0 {
                        self.cruise(now);
                    }
                }
            }
            Phase::ProbeRtt { until, least } => {
                if now >= until {
                    // What was delivered meanwhile says nothing about the bandwidth: no rate is forgotten for it.
                    self.min_rtt = Some((least.unwrap_or(min_rtt), now));
                    self.cruise_on(now);
                }
            }
        }
        let probing = matches!(self.phase, Phase::ProbeRtt { .. } | Phase::Startup);
        let lifetime = if self.phase == Phase::Compete {
            COMPETE_RTT_LIFETIME
        } else {
            MIN_RTT_LIFETIME
        };
        if !probing
            && self
                .min_rtt
                .is_some_and(|(_, measured)| now > measured + lifetime)
        {
            let until = now + PROBE_RTT_TIME.max(min_rtt * 2);
            self.enter(Phase::ProbeRtt { until, least: None }, now);
        }
    }

    /// Whether to leave a queue alone for one more round: what comes new is to see what the path has.
    fn lets_pass(&self) -> bool {
        self.queue && !self.waited && self.rival == 0 && self.standing == 0 && self.share.get() > LARGE_SHARE
    }

    /// How steep the curve is in competition, in CUBIC's.
    fn compete_pace(&self, now: Instant) -> f64 {
        if now < self.rival_since + CATCH_UP {
            CATCH_UP_PACE
        } else {
            COMPETE_PACE
        }
    }

    /// Bytes that may be under way when nothing stands against it.
    fn target(&self) -> f64 {
        // A path that swings empties and fills the queue by as much, around what it is taken for.
        let queue = self.min_rtt.map_or(Duration::ZERO, |(rtt, _)| {
            rtt.min(MAX_QUEUE).saturating_sub(self.swing.get() * 3 / 4)
        });
        let room = if self.phase == Phase::Up {
            self.share.room()
        } else {
            1.0
        };
        let queue = self.bandwidth() * queue.as_secs_f64() * room;
        self.product(1.0) + queue + self.driver_bytes() + 3.0 * self.packet_f64()
    }

    /// Bytes that a driver and its timers hold back.
    fn driver_bytes(&self) -> f64 {
        (self.bandwidth() * DRIVER_DELAY).min(MAX_DRIVER_BYTES)
    }

    #[expect(clippy::cast_precision_loss, reason = "a packet is small")]
    fn packet_f64(&self) -> f64 {
        self.packet as f64
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a window is far below 2^52 bytes"
    )]
    fn set_window(&mut self, acked: &Acked) {
        let floor = LEAST_PACKETS * self.packet;
        if self.phase == Phase::Compete {
            self.window = self.cubic.window();
            if self.yield_until.is_some() {
                self.window = self.window.min(self.product(1.0) as usize);
            }
        } else if self.phase == Phase::Startup {
            if acked.limited_by_window || self.window < self.initial {
                self.window += acked.bytes;
            }
            if self.bandwidth() > 0.0 && self.round.end > 0 {
                let gain = if self.late >= LATE_ACKS {
                    FULL_WINDOW_GAIN
                } else {
                    STARTUP_WINDOW_GAIN
                };
                let most = self.product(gain) as usize;
                self.window = self.window.min(most.max(2 * self.initial));
            }
        } else {
            let target = (self.target() as usize).min(self.ceiling.unwrap_or(usize::MAX));
            self.window = (self.window + acked.bytes).min(target);
        }
        if let Phase::ProbeRtt { .. } = self.phase {
            self.window = self.window.min(self.product(PROBE_RTT_GAIN) as usize);
        }
        self.window = self.window.max(floor);
    }

    /// A recovery begins. Alone, how much was lost matters, and not that something was.
    pub(crate) fn on_loss(&mut self, now: Instant, smoothed_rtt: Duration) {
        if self.phase == Phase::Compete {
            self.cubic.on_loss();
            self.cubic.set_pace(self.compete_pace(now));
            self.cycle_least = None;
            self.yield_until = Some(now + smoothed_rtt * 2);
        }
    }

    /// A router marked a packet: the queue stands longer than its owner wants, and the flow that filled it empties it. Nothing
    /// is wrong with the bandwidth that was measured: the window comes down to what the path holds without a queue, for the
    /// rest of this round and until rounds without marks have raised it again.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a window is far below 2^52 bytes"
    )]
    pub(crate) fn on_congestion_experienced(&mut self, now: Instant, smoothed_rtt: Duration) {
        self.marked = true;
        match self.phase {
            // CUBIC among its like.
            Phase::Compete => {
                self.cubic.on_congestion_experienced();
                self.cycle_least = None;
                self.yield_until = Some(now + smoothed_rtt * 2);
            }
            Phase::Startup | Phase::Drain | Phase::ProbeRtt { .. } => {}
            Phase::Down | Phase::Cruise(_) | Phase::Up => {
                let empty = self.product(1.0) + self.driver_bytes() + 3.0 * self.packet_f64();
                self.ceiling = Some(empty as usize);
                self.enter(Phase::Drain, now);
            }
        }
    }

    /// What ended startup was no congestion.
    pub(crate) fn search_again(&mut self, now: Instant) {
        self.ceiling = None;
        self.marked = false;
        self.full = (0.0, 0);
        self.enter(Phase::Startup, now);
    }

    pub(crate) fn on_timeout(&mut self) {
        if self.window > self.packet {
            self.before = Some(self.window);
        }
        self.window = self.packet;
    }

    /// The last timeout was a mistake.
    pub(crate) fn undo(&mut self) {
        if let Some(window) = self.before.take() {
            self.window = self.window.max(window);
        }
    }
}
