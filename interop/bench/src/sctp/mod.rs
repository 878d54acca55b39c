//! The SCTP engine in memory: two associations on one thread, packets of 1,200 B, no DTLS and no sockets, beside those of
//! the peers, with the checksum of RFC 9260 and, where an engine can, without (RFC 9653).

mod ours;
#[cfg(feature = "peers")]
mod theirs;

use crate::figures::Figures;
use crate::{cpu, limits};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// The largest packet of SCTP: what peers that know no path MTU send.
const PACKET: usize = 1200;
/// Bytes that wait to be sent: what a sender without pause keeps there.
const QUEUE: usize = 2 << 20;

/// One end of an association.
trait Engine {
    /// Begins the handshake.
    fn connect(&mut self, now: Instant);
    /// Queues a message, unless more than `QUEUE` bytes wait then.
    fn send(&mut self, now: Instant, message: &Bytes) -> bool;
    /// Takes the packets that are due, some dozens at most.
    fn output(&mut self, now: Instant, packets: &mut Vec<Bytes>);
    fn input(&mut self, now: Instant, packet: Bytes);
    /// Bytes of messages that came whole since the last call.
    fn received(&mut self) -> u64;
    fn timeout(&mut self) -> Option<Instant>;
    fn handle_timeout(&mut self, now: Instant);
}

/// Two ends, and the virtual time in which they meet.
struct Pair<E> {
    ends: [E; 2],
    now: Instant,
    message: Bytes,
    wire: Vec<Bytes>,
    received: u64,
    packets: u64,
}

impl<E: Engine> Pair<E> {
    fn new(mut ends: [E; 2], size: usize) -> Self {
        let now = Instant::now();
        ends[0].connect(now);
        Self {
            ends,
            now,
            message: Bytes::from(vec![7; size]),
            wire: Vec::with_capacity(256),
            received: 0,
            packets: 0,
        }
    }

    /// Carries what one end has, and answers whether that was anything.
    fn carry(&mut self, from: usize) -> bool {
        let [a, b] = &mut self.ends;
        let (from, to) = if from == 0 { (a, b) } else { (b, a) };
        let mut any = false;
        loop {
            from.output(self.now, &mut self.wire);
            if self.wire.is_empty() {
                return any;
            }
            any = true;
            for packet in self.wire.drain(..) {
                self.packets += 1;
                to.input(self.now, packet);
            }
            self.received += to.received();
        }
    }

    fn turn(&mut self) -> Result<(), String> {
        while self.ends[0].send(self.now, &self.message) {}
        if self.carry(0) | self.carry(1) {
            return Ok(());
        }
        let due = self.ends.iter_mut().filter_map(Engine::timeout).min();
        self.now = self.now.max(due.ok_or("both ends wait for nothing")?);
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
        Ok(())
    }

    /// Bytes per second of processor time, after a while of warming up.
    fn rate(&mut self, time: Duration) -> Result<f64, String> {
        let (mut from, mut bytes) = (cpu::used_by_thread(), 0);
        let mut warm = false;
        loop {
            for _ in 0..32 {
                self.turn()?;
            }
            let took = cpu::used_by_thread() - from;
            if !warm && took > time / 4 {
                (from, bytes, warm) = (cpu::used_by_thread(), self.received, true);
            } else if warm && took > time {
                return Ok((self.received - bytes) as f64 / took.as_secs_f64());
            }
        }
    }
}

/// What is measured: a name, the size of the messages, the bar in MB/s.
const SIZES: [(&str, usize, Option<f64>); 3] = [
    ("64 KiB", 65_536, Some(2500.0)),
    ("16 KiB", 16_384, None),
    ("100 B", 100, None),
];

pub fn measure(time: Duration, figures: &mut Figures) -> Result<(), String> {
    limits::copying(time / 4, figures);
    for (name, size, bar) in SIZES {
        let mut best: Option<(&str, f64)> = None;
        for (who, rate) in peers(time, size)? {
            let rate = rate / 1e6;
            figures.add(&format!("{who} {name}"), rate, "MB/s", "CRC32c");
            if best.is_none_or(|(_, other)| rate > other) {
                best = Some((who, rate));
            }
        }
        for (zero, suffix) in [(true, ""), (false, " crc32c")] {
            let mut pair = Pair::new(ours::ends(zero), size);
            let rate = pair.rate(time)? / 1e6;
            let mut notes = vec![figures.share(rate, "copying")];
            if let Some(bar) = bar.filter(|_| zero) {
                notes.push(format!("the bar is {bar}, {:.2} of it", rate / bar));
            }
            if let Some((who, other)) = best {
                notes.push(format!("{:.2} times {who}", rate / other));
            }
            if size < 1000 {
                notes.push(format!("{:.2} M messages/s", rate / size as f64));
            }
            figures.add(&format!("sctp {name}{suffix}"), rate, "MB/s", notes.join("; "));
            if zero {
                let (packets, bytes) = (pair.packets, pair.received);
                let counted = allocation_counter::measure(|| {
                    while pair.received < bytes + (8 << 20) && pair.turn().is_ok() {}
                });
                figures.add(
                    &format!("sctp {name} allocations"),
                    counted.count_total as f64 / (pair.packets - packets) as f64,
                    "a packet",
                    "one for each 64 KiB of packets is the wire's",
                );
            }
        }
    }
    Ok(())
}

/// Names, and bytes per second of processor time.
#[cfg(feature = "peers")]
fn peers(time: Duration, size: usize) -> Result<Vec<(&'static str, f64)>, String> {
    Ok(vec![
        ("sctp-proto", Pair::new(theirs::sctp_proto(), size).rate(time)?),
        ("rtc-sctp", Pair::new(theirs::rtc_sctp(), size).rate(time)?),
    ])
}

#[cfg(not(feature = "peers"))]
fn peers(_: Duration, _: usize) -> Result<Vec<(&'static str, f64)>, String> {
    Ok(Vec::new())
}
