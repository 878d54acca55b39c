//! Packets larger than any path carries: datagram packetization layer path MTU discovery (RFC 8899; RFC 8261, section 5),
//! probing with a HEARTBEAT and a PAD chunk (RFC 4820).
//!
//! Only packets grow. Fragments are cut to fit [`Config::max_datagram`](crate::Config), since "once a message is
//! fragmented, it cannot be re-fragmented" (RFC 9260, section 6.9), and what is sent again goes in packets of that
//! size. So nothing is ever stuck, whatever becomes of the path.

use std::time::{Duration, Instant};

use rand::RngExt;

use crate::association::Association;
use crate::heartbeat::write_heartbeat;
use crate::packet::{HEADER_LEN, kind, seal, write_chunk};
use crate::state::{Phase, State};
use crate::timer::Timer;

/// The sizes to try between the largest and the usual one: what fits a jumbo frame of 9,000 bytes under IPv6, UDP and DTLS
/// headers. An Ethernet frame would not hold a second fragment.
const SIZES: [usize; 1] = [8_880];
/// RFC 8899, section 5.1.2: "The default value of MAX_PROBES is 3." Here for each size.
const MAX_PROBES: u8 = 3;
/// Section 5.1.1: the PROBE_TIMER "MUST NOT be smaller than 1 second". It "SHOULD be larger than 15 seconds" for the
/// sake of paths that are slow to answer; the round trip is known here.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// Section 5.1.1: the PMTU_RAISE_TIMER "has a period of 600 seconds".
const RAISE_AFTER: Duration = Duration::from_secs(600);
/// How long the search rests after the first black hole; twice as long after the next.
const FIRST_REST: Duration = Duration::from_secs(5);
/// Whoever has sent less than this gains nothing from larger packets.
const WORTHWHILE: u64 = 1 << 17;
/// So many chunks at the far end of large packets may be lost in a row: those of three packets of 16 KiB.
const SUSPICIOUS: u32 = 40;

#[derive(Debug, Clone, Copy)]
enum Search {
    /// Not before this, and not before so many bytes have been sent.
    Resting { until: Option<Instant>, sent: u64 },
    /// A packet of this size is to be sent, or is under way.
    Probing {
        size: usize,
        nonce: u64,
        count: u8,
        due: bool,
    },
}

/// What is known about the size of packets on a path.
#[derive(Debug)]
pub(crate) struct PathMtu {
    /// The largest size that has arrived; 0 when nothing but the usual is known.
    confirmed: usize,
    search: Search,
    /// When that was found.
    since: Option<Instant>,
    /// How long to rest after the next black hole.
    rest: Duration,
    /// Chunks at the far end of large packets that were lost since one arrived.
    lost: u32,
}

impl PathMtu {
    /// A path of which nothing is known, when so many bytes of data have been sent.
    pub(crate) fn new(sent: u64) -> Self {
        Self {
            confirmed: 0,
            search: Search::Resting {
                until: None,
                sent: sent + WORTHWHILE,
            },
            since: None,
            rest: FIRST_REST,
            lost: 0,
        }
    }

    /// The largest packet that is known to arrive; 0 when that is the usual one.
    pub(crate) fn confirmed(&self) -> usize {
        self.confirmed
    }

    /// Whether a probe waits to be sent.
    pub(crate) fn is_due(&self) -> bool {
        matches!(self.search, Search::Probing { due: true, .. })
    }

    /// Data flows: begins to look for something larger than `usual`, up to `max`, when it is time.
    #[inline]
    pub(crate) fn on_data_sent(&mut self, now: Instant, total: u64, usual: usize, max: usize) {
        let Search::Resting { until, sent } = self.search else {
            return;
        };
        let known = self.confirmed.max(usual);
        if total < sent || max <= known || until.is_some_and(|until| now < until) {
            return;
        }
        self.search = Search::Probing {
            size: max,
            nonce: 0,
            count: 0,
            due: true,
        };
    }

    /// A probe of the size that it returns goes out, with `nonce`.
    fn take_due(&mut self, fresh: u64) -> Option<usize> {
        match &mut self.search {
            Search::Probing {
                size,
                nonce,
                count,
                due,
            } if *due => {
                *due = false;
                *count += 1;
                *nonce = fresh;
                Some(*size)
            }
            _ => None,
        }
    }

    /// The probe was not answered.
    fn on_timer(&mut self, now: Instant, usual: usize) {
        let known = self.confirmed.max(usual);
        let Search::Probing { size, count, due, .. } = &mut self.search else {
            return;
        };
        if *count < MAX_PROBES {
            *due = true;
            return;
        }
        match SIZES.into_iter().find(|next| next < size && *next > known) {
            Some(next) => (*size, *count, *due) = (next, 0, true),
            None => self.search = resting(now, RAISE_AFTER),
        }
    }

    /// Whether this HEARTBEAT ACK answers the probe: then its size is known to arrive.
    pub(crate) fn accept(&mut self, now: Instant, answered: u64) -> bool {
        match self.search {
            Search::Probing {
                size,
                nonce,
                due: false,
                ..
            } if nonce == answered => {
                log::debug!("sctp: the path carries packets of {size} bytes");
                self.confirmed = size;
                self.since = Some(now);
                self.lost = 0;
                self.search = resting(now, RAISE_AFTER);
                true
            }
            _ => false,
        }
    }

    /// What became of chunks that lay beyond the usual size in their packets. Section 4.3: "to detect excessive loss of data
    /// sent with a specific packet size and then conclude that this excessive loss could be a result of an invalid PLPMTU".
    pub(crate) fn on_sack(&mut self, now: Instant, arrived: bool, lost: u32) {
        if arrived {
            self.lost = 0;
        } else {
            self.lost += lost;
            if self.lost >= SUSPICIOUS {
                self.fall_back(now);
            }
        }
    }

    /// Nothing was heard for a whole timeout: only what any path carries is sent.
    pub(crate) fn fall_back(&mut self, now: Instant) {
        if self.confirmed == 0 {
            return;
        }
        log::debug!("sctp: back from packets of {} bytes", self.confirmed);
        self.confirmed = 0;
        self.lost = 0;
        if self.since.is_some_and(|since| since + RAISE_AFTER <= now) {
            self.rest = FIRST_REST;
        }
        self.search = resting(now, self.rest);
        self.rest = (self.rest * 2).min(RAISE_AFTER);
    }
}

fn resting(now: Instant, rest: Duration) -> Search {
    Search::Resting {
        until: Some(now + rest),
        sent: 0,
    }
}

impl Association {
    /// Appends the probe that is due, a packet of its own: "Probe packets consist of an SCTP common header followed by a
    /// HEARTBEAT chunk and a PAD chunk" (RFC 8899, section 6.2.1.2).
    pub(crate) fn write_path_probe(&mut self, out: &mut Vec<u8>) -> bool {
        let State::Open(tcb, Phase::Established) = &mut self.state else {
            return false;
        };
        if !tcb.path_mtu.is_due() {
            return false;
        }
        let nonce = self.rng.random();
        let Some(size) = tcb.path_mtu.take_due(nonce) else {
            return false;
        };
        let start = out.len();
        tcb.header(&self.config).write(out);
        write_heartbeat(nonce, out);
        let padding = size - (out.len() - start) - crate::packet::CHUNK_HEADER_LEN;
        write_chunk(out, kind::PAD, 0, |out| out.resize(out.len() + padding, 0));
        debug_assert_eq!(out.len() - start, size);
        if !tcb.sends_zero_checksum() {
            seal(out, start);
        }
        let wait = LEAST_WAIT.max(tcb.rto.current());
        self.timers.set(Timer::PathProbe, self.now + wait);
        true
    }

    pub(crate) fn on_path_probe_timer(&mut self) {
        let (now, usual) = (self.now, self.config.max_datagram);
        if let State::Open(tcb, _) = &mut self.state {
            tcb.path_mtu.on_timer(now, usual);
        }
    }

    /// Bytes that a packet may have where it is known that they arrive.
    pub(crate) fn packet_limit(&self) -> usize {
        match &self.state {
            State::Open(tcb, _) => self.config.max_datagram.max(tcb.path_mtu.confirmed()),
            _ => self.config.max_datagram,
        }
    }
}

const _: () = assert!(SIZES[0] > HEADER_LEN + 256);

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: usize = 1200;

    fn start() -> Instant {
        #[allow(clippy::disallowed_methods)]
        Instant::now()
    }

    /// The sizes that are tried on a path that carries `capacity`.
    fn search(capacity: usize) -> (Vec<usize>, usize) {
        let mut now = start();
        let mut path = PathMtu::new(0);
        path.on_data_sent(now, WORTHWHILE - 1, USUAL, 16_000);
        assert!(!path.is_due());
        path.on_data_sent(now, WORTHWHILE, USUAL, 16_000);
        let mut tried = Vec::new();
        while let Some(size) = path.take_due(7) {
            tried.push(size);
            assert!(!path.accept(now, 8));
            if size <= capacity {
                assert!(path.accept(now, 7));
                assert!(!path.accept(now, 7));
            }
            now += LEAST_WAIT;
            path.on_timer(now, USUAL);
        }
        path.on_data_sent(now + RAISE_AFTER / 2, u64::MAX, USUAL, 16_000);
        assert!(!path.is_due());
        (tried, path.confirmed())
    }

    #[test]
    fn the_largest_is_tried_first_and_each_size_three_times() {
        assert_eq!(search(65_536), (vec![16_000], 16_000));
        assert_eq!(search(9_000), (vec![16_000, 16_000, 16_000, 8_880], 8_880));
        assert_eq!(
            search(1_500),
            (vec![16_000, 16_000, 16_000, 8_880, 8_880, 8_880], 0)
        );
    }

    #[test]
    fn a_black_hole_shows_by_what_was_lost_in_a_row_and_the_search_begins_again_later_and_later() {
        let mut now = start();
        let mut path = PathMtu::new(0);
        for rest in [FIRST_REST, FIRST_REST * 2] {
            path.on_data_sent(now, u64::MAX, USUAL, 16_000);
            assert_eq!(path.take_due(1), Some(16_000));
            assert!(path.accept(now, 1));
            path.on_sack(now, false, SUSPICIOUS - 1);
            path.on_sack(now, true, 0);
            path.on_sack(now, false, SUSPICIOUS - 1);
            assert_eq!(path.confirmed(), 16_000);
            path.on_sack(now, false, 1);
            assert_eq!(path.confirmed(), 0);
            path.on_data_sent(now + rest - LEAST_WAIT / 2, u64::MAX, USUAL, 16_000);
            assert!(!path.is_due());
            now += rest;
        }
    }
}
