//! Records of 1,200 B of application data, sealed and opened in place, and beside them, batch by batch, the cipher alone
//! on as many bytes in buffers of the same kind.

use super::ours::{Kind, configs, pair};
use crate::cpu;
use crate::figures::Figures;
use bytes::BytesMut;
use dunlin_crypto::BackendError;
use dunlin_crypto::aead::{AeadAlgorithm, OpeningKey, SealingKey};
use dunlin_dtls::{Connection, Event};
use std::time::{Duration, Instant};

const CONTENT: usize = 1200;
/// Records that are sealed before they are opened; no more than fit the processor's cache.
const BATCH: usize = 64;
const TAG: usize = 16;

pub fn measure(time: Duration, figures: &mut Figures) -> Result<(), String> {
    // What the cipher must take with it (RFC 9147, section 4): a byte for the type, a header of 5 B; in 1.2 (RFC 6347,
    // section 4.1.2.1) 13 B beside the content.
    for (name, kind, content, aad) in [
        ("dtls 1.2", Kind::V12, CONTENT, 13),
        ("dtls 1.3", Kind::V13, CONTENT + 1, 5),
    ] {
        let mut cipher = Cipher::new(content, aad).map_err(|error| error.to_string())?;
        let mut records = Records::new(kind)?;
        let (mut of_cipher, mut of_records) = (Took::default(), Took::default());
        while of_records.seal + of_records.open < time {
            cipher.batch(&mut of_cipher)?;
            records.batch(&mut of_records)?;
        }
        for (what, took, limit) in [
            ("seal", of_records.seal, of_cipher.seal),
            ("open", of_records.open, of_cipher.open),
        ] {
            let bytes = (of_records.batches * BATCH * CONTENT) as f64;
            let rate = |took: Duration| bytes / took.as_secs_f64() / 1e9;
            let note = format!(
                "{:.1} % of the cipher alone, {:.2} (bars 90 %, 3.5 GB/s); {:.2} allocations a record (bar 0)",
                limit.as_secs_f64() / took.as_secs_f64() * 100.0,
                rate(limit),
                of_records.allocations as f64 / (of_records.batches * BATCH) as f64,
            );
            figures.add(&format!("{name} {what}"), rate(took), "GB/s", note);
        }
    }
    Ok(())
}

/// Processor time, summed up.
#[derive(Debug, Default)]
struct Took {
    seal: Duration,
    open: Duration,
    batches: usize,
    allocations: u64,
}

/// The cipher alone.
struct Cipher {
    seal: SealingKey,
    open: OpeningKey,
    aad: Vec<u8>,
    buffers: Vec<Vec<u8>>,
    next: u64,
}

impl Cipher {
    fn new(content: usize, aad: usize) -> Result<Self, BackendError> {
        let key = [7; 16];
        Ok(Self {
            seal: SealingKey::new(AeadAlgorithm::Aes128Gcm, &key)?,
            open: OpeningKey::new(AeadAlgorithm::Aes128Gcm, &key)?,
            aad: vec![1; aad],
            buffers: vec![vec![9; content + TAG]; BATCH],
            next: 0,
        })
    }

    fn batch(&mut self, took: &mut Took) -> Result<(), String> {
        let (first, content) = (self.next, self.buffers[0].len() - TAG);
        let start = cpu::used_by_thread();
        for buffer in &mut self.buffers {
            let (data, tag) = buffer.split_at_mut(content);
            tag.copy_from_slice(&self.seal.seal_in_place(&nonce(self.next), &self.aad, data));
            self.next += 1;
        }
        took.seal += cpu::used_by_thread() - start;
        let start = cpu::used_by_thread();
        for (number, buffer) in (first..).zip(&mut self.buffers) {
            let (data, tag) = buffer.split_at_mut(content);
            self.open
                .open_in_place(&nonce(number), &self.aad, data, tag)
                .map_err(|error| error.to_string())?;
        }
        took.open += cpu::used_by_thread() - start;
        Ok(())
    }
}

/// Two connected ends.
struct Records {
    client: Connection,
    server: Connection,
    sealed: Vec<Vec<u8>>,
}

impl Records {
    fn new(kind: Kind) -> Result<Self, String> {
        let (client, server, _) = pair(&configs(kind)?, Instant::now())?;
        Ok(Self {
            client,
            server,
            sealed: vec![Vec::new(); BATCH],
        })
    }

    fn batch(&mut self, took: &mut Took) -> Result<(), String> {
        let (content, now) = ([7; CONTENT], Instant::now());
        for record in &mut self.sealed {
            record.clear();
            record.reserve(1500);
        }
        let start = cpu::used_by_thread();
        let sealing = allocation_counter::measure(|| {
            for record in &mut self.sealed {
                let _ = self.client.seal(record, |out| {
                    out.extend_from_slice(&content);
                    true
                });
            }
        });
        took.seal += cpu::used_by_thread() - start;
        // As a driver has them: one buffer that a batch of datagrams came in, cut without copies.
        let mut arena = BytesMut::with_capacity(BATCH * 1500);
        let mut datagrams = Vec::with_capacity(BATCH);
        for record in &self.sealed {
            arena.extend_from_slice(record);
            datagrams.push(arena.split());
        }
        let mut opened = 0;
        let start = cpu::used_by_thread();
        let opening = allocation_counter::measure(|| {
            for datagram in datagrams.drain(..) {
                self.server.handle_datagram(now, datagram);
                opened += usize::from(matches!(self.server.poll_event(), Some(Event::Data(_))));
            }
        });
        took.open += cpu::used_by_thread() - start;
        took.batches += 1;
        took.allocations += sealing.count_total + opening.count_total;
        if opened == BATCH {
            Ok(())
        } else {
            Err(format!("{opened} of {BATCH} records opened"))
        }
    }
}

fn nonce(count: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&count.to_be_bytes());
    nonce
}
