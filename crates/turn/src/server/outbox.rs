//! Answers that wait to be polled: one buffer for all, used again and again.

use std::collections::VecDeque;

use dunlin_net::{Path, Transmit};

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    /// Where each goes, and where in `bytes` it ends.
    queue: VecDeque<(Path, usize)>,
    /// What of `bytes` has been polled.
    done: usize,
}

impl Outbox {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.done
    }

    /// Queues the datagram that `write` appends.
    pub(super) fn push(&mut self, path: Path, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.queue.push_back((path, self.bytes.len()));
    }

    /// Appends the oldest to `out`.
    pub(super) fn pop(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        let (path, end) = self.queue.pop_front()?;
        out.extend_from_slice(&self.bytes[self.done..end]);
        self.done = end;
        if self.queue.is_empty() {
            self.bytes.clear();
            self.done = 0;
        }
        Some(Transmit::new(path))
    }
}
