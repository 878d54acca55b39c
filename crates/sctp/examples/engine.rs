//! The engine alone: two associations in memory, both on one core, zero checksum, 1,200-byte packets.
//!
//! `cargo run --release -p dunlin-sctp --example engine [message bytes] [queue bytes] [seconds] [messages]` prints MB/s, and
//! stops after so many messages, if there is a number, so that a profiler can compare runs.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use dunlin_sctp::{Association, Config, Event, Ppid, SendOptions, StreamId};

/// Packets of one turn share a buffer, as a batch from the socket does.
const BATCH: usize = 64 << 10;

/// Bytes and messages.
#[derive(Clone, Copy, Default)]
struct Received {
    bytes: u64,
    messages: u64,
}

/// Carries all that is due, and takes the events after each batch, as a driver does.
fn carry(from: &mut Association, to: &mut Association, now: Instant, received: &mut Received) -> bool {
    let mut any = false;
    loop {
        let mut batch = Vec::with_capacity(BATCH);
        let mut ends = [0; 64];
        let mut count = 0;
        while count < ends.len() && batch.len() + 1200 <= BATCH && from.poll_transmit(now, &mut batch) {
            ends[count] = batch.len();
            count += 1;
        }
        if count == 0 {
            return any;
        }
        any = true;
        let batch = Bytes::from(batch);
        let mut start = 0;
        for &end in &ends[..count] {
            to.handle_datagram(now, batch.slice(start..end));
            start = end;
        }
        while let Some(event) = to.poll_event() {
            if let Event::Message { data, .. } = event {
                received.bytes += data.len() as u64;
                received.messages += 1;
            }
        }
    }
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<usize>().ok());
    let size = arguments.next().unwrap_or(65_536);
    let queue = arguments.next().unwrap_or(2 << 20);
    let seconds = arguments.next().unwrap_or(3) as u64;
    let messages = arguments.next().map_or(u64::MAX, |messages| messages as u64);
    let mut config = Config::default();
    config.max_datagram = 1200;
    config.max_message_size = size.max(65_536);
    config.max_receive_message_size = size.max(65_536);
    config.max_send_buffer = queue.max(size);
    let base = Instant::now();
    let mut now = base;
    let mut a = Association::new(config.clone(), [1; 32], now);
    let mut b = Association::new(config, [2; 32], now);
    a.connect(now);
    let message = Bytes::from(vec![7u8; size]);
    let mut received = Received::default();
    let mut measured: Option<(Instant, Received)> = None;
    let wall = Instant::now();
    loop {
        while a
            .send(
                now,
                StreamId(1),
                Ppid(53),
                message.clone(),
                SendOptions::default(),
            )
            .is_ok()
        {}
        let mut any = carry(&mut a, &mut b, now, &mut received);
        any |= carry(&mut b, &mut a, now, &mut received);
        if !any {
            let next = a
                .poll_timeout()
                .into_iter()
                .chain(b.poll_timeout())
                .min()
                .expect("a timer runs");
            now = now.max(next);
            a.handle_timeout(now);
            b.handle_timeout(now);
        }
        if received.messages >= messages {
            return;
        }
        match measured {
            None if wall.elapsed() > Duration::from_millis(300) => {
                measured = Some((Instant::now(), received));
            }
            Some((since, before)) if since.elapsed() > Duration::from_secs(seconds) => {
                let elapsed = since.elapsed().as_secs_f64();
                let bytes = (received.bytes - before.bytes) as f64;
                let count = (received.messages - before.messages) as f64;
                println!(
                    "{size} B messages, {queue} B queued: {:.0} MB/s, {:.2} M messages/s, virtual time {:?}",
                    bytes / elapsed / 1e6,
                    count / elapsed / 1e6,
                    now - base
                );
                return;
            }
            _ => {}
        }
    }
}
