//! The laws themselves: a node that keeps them passes, and one for each way of breaking them does not.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use dunlin_net::{Path, Transmit};
use dunlin_sim::Node;
use dunlin_sim::laws::{self, Subject};

const NONE: u8 = 0;
const BUSY_LOOP: u8 = 1;
const SENDS_ON_SPURIOUS_TIMEOUT: u8 = 2;
const BELIEVES_OLD_CLOCK: u8 = 3;
const TIMER_AFTER_CLOSE: u8 = 4;
const PANICS_ON_SHORT: u8 = 5;
const NEVER_RETRIES: u8 = 6;
const FLOODS: u8 = 7;
const BELIEVES_FORGERY: u8 = 8;
const EMPTY_DATAGRAM: u8 = 9;
const UNSEEDED: u8 = 10;

/// Says hello until it is answered, then now and then.
struct Party<const FAULT: u8> {
    path: Path,
    now: Instant,
    next: Option<Instant>,
    queued: u32,
    established: bool,
    heard: u64,
    sent: u64,
}

const HELLO: &[u8] = b"\xffhello";

impl<const FAULT: u8> Node for Party<FAULT> {
    type Event = ();

    fn handle_datagram(&mut self, now: Instant, _path: Path, data: BytesMut) {
        self.tell(now);
        assert!(FAULT != PANICS_ON_SHORT || data.len() >= 4);
        if self.next.is_none() {
            return;
        }
        if data[..] == *HELLO {
            self.heard += 1;
            self.established = true;
        } else if FAULT == BELIEVES_FORGERY && !data.is_empty() {
            self.established = false;
            self.next = None;
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.tell(now);
        let Some(next) = self.next else { return };
        if FAULT == SENDS_ON_SPURIOUS_TIMEOUT && now < next {
            self.queued += 1;
        }
        if next <= self.now {
            self.queued += if FAULT == FLOODS { 100 } else { 1 };
            let gap = Duration::from_millis(if FAULT == BUSY_LOOP { 0 } else { 1000 });
            self.next = Some(self.now + gap);
            if FAULT == NEVER_RETRIES {
                self.next = Some(self.now + Duration::from_secs(100_000));
            }
        }
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.tell(now);
        self.queued = self.queued.checked_sub(1)?;
        self.sent += 1;
        if FAULT != EMPTY_DATAGRAM {
            out.extend_from_slice(HELLO);
        }
        Some(Transmit::new(self.path))
    }

    fn poll_event(&mut self) -> Option<()> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        if self.queued > 0 {
            Some(self.now)
        } else {
            self.next
        }
    }
}

impl<const FAULT: u8> Party<FAULT> {
    fn tell(&mut self, now: Instant) {
        let before = self.now;
        self.now = self.now.max(now);
        if FAULT == BELIEVES_OLD_CLOCK && now < before && self.next.is_some() {
            self.queued += 1;
        }
    }
}

impl<const FAULT: u8> Subject for Party<FAULT> {
    const WITHSTANDS_FORGERY: bool = true;

    fn pair(_seed: [u8; 32], now: Instant) -> [Self; 2] {
        let offset = if FAULT == UNSEEDED {
            u64::from(std::process::id()) + fastish()
        } else {
            7
        };
        [0, 1].map(|side| Party {
            path: laws::path(side),
            now,
            next: Some(now + Duration::from_nanos(offset)),
            queued: 0,
            established: false,
            heard: 0,
            sent: 0,
        })
    }

    fn established(&self) -> bool {
        self.established
    }

    fn talk(&mut self, _now: Instant) {
        self.queued += u32::from(self.next.is_some() && FAULT != NEVER_RETRIES);
    }

    fn heard(&self) -> u64 {
        self.heard
    }

    fn close(&mut self, _now: Instant) {
        self.established = false;
        self.queued = 0;
        if FAULT != TIMER_AFTER_CLOSE {
            self.next = None;
        }
    }
}

/// Another number each time.
fn fastish() -> u64 {
    COUNT.with(|count| count.replace(count.get() + 1))
}

thread_local! {
    static COUNT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

#[test]
fn a_good_node_passes() {
    laws::check::<Party<NONE>>(1);
}

fn breaks<const FAULT: u8>(expected: &str) {
    let panic =
        std::panic::catch_unwind(|| laws::check::<Party<FAULT>>(1)).expect_err("the fault was not noticed");
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default();
    assert!(text.contains(expected), "{text}");
}

#[test]
fn every_fault_is_noticed() {
    breaks::<BUSY_LOOP>("busy loop");
    breaks::<SENDS_ON_SPURIOUS_TIMEOUT>("not due");
    breaks::<BELIEVES_OLD_CLOCK>("clock that went back");
    breaks::<TIMER_AFTER_CLOSE>("after close");
    breaks::<PANICS_ON_SHORT>("data.len() >= 4");
    breaks::<NEVER_RETRIES>("set up in");
    breaks::<FLOODS>("datagrams to nobody");
    breaks::<BELIEVES_FORGERY>("forged datagrams");
    breaks::<EMPTY_DATAGRAM>("appended none");
    breaks::<UNSEEDED>("left == right");
}
