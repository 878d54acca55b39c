//! What the workers of one server tell each other: how many allocations each user has, and that they have drained.

use std::sync::Mutex;

use tokio::sync::{mpsc, oneshot, watch};

use super::stats::Stats;

/// What a worker is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Another worker has made or ended an allocation of this user.
    Elsewhere { username: Vec<u8>, change: i8 },
    /// Say what was counted.
    Stats(oneshot::Sender<Stats>),
    /// Take no new allocations.
    Drain,
    /// End.
    Close,
}

/// The way to all workers.
#[derive(Debug)]
pub(super) struct Shared {
    workers: Vec<mpsc::UnboundedSender<Command>>,
    waiting: Mutex<Vec<bool>>,
    all_drained: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn new(workers: Vec<mpsc::UnboundedSender<Command>>) -> Self {
        Self {
            waiting: Mutex::new(vec![true; workers.len()]),
            workers,
            all_drained: watch::Sender::new(false),
        }
    }

    /// Tells the others that an allocation of this user began or ended, so that quotas hold over all workers.
    pub(super) fn count(&self, from: usize, username: &[u8], change: i8) {
        for (number, worker) in self.workers.iter().enumerate() {
            if number != from {
                let username = username.to_vec();
                // A worker that has ended needs no count.
                let _ = worker.send(Command::Elsewhere { username, change });
            }
        }
    }

    /// Sends every worker a command.
    pub(super) fn tell(&self, command: impl Fn() -> Command) {
        for worker in &self.workers {
            let _ = worker.send(command());
        }
    }

    /// What all workers have counted.
    pub(super) async fn stats(&self) -> Stats {
        let mut sum = Stats::default();
        for worker in &self.workers {
            let (sender, answer) = oneshot::channel();
            let _ = worker.send(Command::Stats(sender));
            if let Ok(stats) = answer.await {
                sum.add(&stats);
            }
        }
        sum
    }

    /// A worker has no allocation left, and takes no new one.
    pub(super) fn drained(&self, number: usize) {
        let mut waiting = match self.waiting.lock() {
            Ok(waiting) => waiting,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some(waits) = waiting.get_mut(number) {
            *waits = false;
        }
        if waiting.iter().all(|waits| !waits) {
            self.all_drained.send_replace(true);
        }
    }

    /// Waits until all workers have drained.
    pub(super) async fn all_drained(&self) {
        let mut watch = self.all_drained.subscribe();
        // An error means that the sender is gone, and it is ours.
        let _ = watch.wait_for(|drained| *drained).await;
    }
}
