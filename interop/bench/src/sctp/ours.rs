//! dunlin's association.

use super::{Engine, PACKET, QUEUE};
use bytes::Bytes;
use dunlin_sctp::{Association, Config, Event, Ppid, SendOptions, StreamId};
use std::time::Instant;

/// Packets of one turn share a buffer, as a batch from the socket does.
const BATCH: usize = 64 << 10;

pub fn ends(zero_checksum: bool) -> [Association; 2] {
    let mut config = Config::default();
    config.max_datagram = PACKET;
    config.max_send_buffer = QUEUE;
    config.zero_checksum = zero_checksum;
    [1, 2].map(|seed| Association::new(config.clone(), [seed; 32], Instant::now()))
}

impl Engine for Association {
    fn connect(&mut self, now: Instant) {
        Association::connect(self, now);
    }

    fn send(&mut self, now: Instant, message: &Bytes) -> bool {
        let options = SendOptions::default();
        Association::send(self, now, StreamId(1), Ppid(53), message.clone(), options).is_ok()
    }

    fn output(&mut self, now: Instant, packets: &mut Vec<Bytes>) {
        let mut batch = Vec::new();
        let mut ends = [0; BATCH / 512];
        let mut count = 0;
        while count < ends.len() && batch.len() + PACKET <= BATCH {
            if batch.is_empty() && self.has_output() {
                batch.reserve(BATCH);
            }
            if !self.poll_transmit(now, &mut batch) {
                break;
            }
            ends[count] = batch.len();
            count += 1;
        }
        let batch = Bytes::from(batch);
        let mut start = 0;
        for &end in &ends[..count] {
            packets.push(batch.slice(start..end));
            start = end;
        }
    }

    fn input(&mut self, now: Instant, packet: Bytes) {
        self.handle_datagram(now, packet);
    }

    fn received(&mut self) -> u64 {
        let mut bytes = 0;
        while let Some(event) = self.poll_event() {
            if let Event::Message { data, .. } = event {
                bytes += data.len() as u64;
            }
        }
        bytes
    }

    fn timeout(&mut self) -> Option<Instant> {
        self.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        Association::handle_timeout(self, now);
    }
}
