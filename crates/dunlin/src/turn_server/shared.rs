//! What the workers of one server share: how many allocations each user has, the ports that are reserved, and that they
//! have drained.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use dunlin_dtls::Certificate;
use dunlin_turn::attribute::ReservationToken;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_rustls::TlsAcceptor;

use super::stats::Stats;
use super::stream::Moved;

/// What a worker is told.
pub(super) enum Command {
    /// Look at the news, if nothing else makes you.
    News,
    /// Say what was counted.
    Stats(oneshot::Sender<Stats>),
    /// Show these from now on.
    Identity {
        tls: Option<TlsAcceptor>,
        dtls: Option<Certificate>,
    },
    /// Serve this connection: it asks for one between a peer and a relay of yours.
    Stream(Box<Moved>),
    /// Take no new allocations.
    Drain,
    /// End.
    Close,
}

/// What a worker tells the others.
#[derive(Debug, Clone)]
pub(super) enum News {
    /// An allocation of this user was made or ended: quotas hold over all workers.
    Allocation { username: Vec<u8>, begun: bool },
    /// A relay was opened or closed: clients of all workers may have it as a peer.
    Relay { address: SocketAddr, open: bool },
}

/// What one worker has not been told yet. It looks here before it reads what came in, and a relay is announced here
/// before its client learns of it: nobody can name a relay to a worker that does not know it.
#[derive(Debug, Default)]
struct Inbox {
    filled: AtomicBool,
    news: Mutex<Vec<News>>,
}

/// RFC 8656, section 7.2: "The server MUST hold this reservation for at least 30 seconds".
const RESERVATION: Duration = Duration::from_secs(30);
/// Ports that are reserved at once, at most.
const MAX_RESERVED: usize = 1024;

/// A port that waits for the client that has its token, whichever worker that meets.
#[derive(Debug)]
pub(super) struct Reserved {
    pub(super) socket: UdpSocket,
    /// What its peers will see.
    pub(super) address: SocketAddr,
    until: Instant,
}

/// The way to all workers.
#[derive(Debug)]
pub(super) struct Shared {
    workers: Vec<mpsc::UnboundedSender<Command>>,
    inboxes: Vec<Inbox>,
    waiting: Mutex<Vec<bool>>,
    reserved: Mutex<BTreeMap<ReservationToken, Reserved>>,
    all_drained: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn new(workers: Vec<mpsc::UnboundedSender<Command>>) -> Self {
        Self {
            waiting: Mutex::new(vec![true; workers.len()]),
            inboxes: workers.iter().map(|_| Inbox::default()).collect(),
            workers,
            reserved: Mutex::default(),
            all_drained: watch::Sender::new(false),
        }
    }

    /// Tells the other workers.
    pub(super) fn announce(&self, from: usize, news: &News) {
        let all = self.inboxes.iter().zip(&self.workers).enumerate();
        for (_, (inbox, worker)) in all.filter(|(number, _)| *number != from) {
            lock(&inbox.news).push(news.clone());
            // One that is idle would let them pile up; one that has ended needs none.
            if !inbox.filled.swap(true, Ordering::Release) {
                let _ = worker.send(Command::News);
            }
        }
    }

    /// What the others have told this worker. To ask costs next to nothing while there is nothing.
    pub(super) fn news(&self, number: usize) -> Vec<News> {
        match self.inboxes.get(number) {
            Some(inbox) if inbox.filled.load(Ordering::Relaxed) => {
                inbox.filled.store(false, Ordering::Relaxed);
                std::mem::take(&mut lock(&inbox.news))
            }
            _ => Vec::new(),
        }
    }

    /// How many workers there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.workers.len()).unwrap_or(u32::MAX)
    }

    /// Gives a worker a connection; if it is gone, so is the connection.
    pub(super) fn hand_over(&self, worker: u32, moved: Moved) {
        if let Some(worker) = self.workers.get(worker as usize) {
            let _ = worker.send(Command::Stream(Box::new(moved)));
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
        let mut waiting = lock(&self.waiting);
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

    /// Keeps a port for whoever has its token. Answers whether there was room for it.
    pub(super) fn reserve(&self, token: ReservationToken, socket: UdpSocket, address: SocketAddr) -> bool {
        let mut reserved = lock(&self.reserved);
        let now = Instant::now();
        reserved.retain(|_, port| now < port.until);
        let room = reserved.len() < MAX_RESERVED;
        if room {
            let until = now + RESERVATION;
            let port = Reserved {
                socket,
                address,
                until,
            };
            reserved.insert(token, port);
        }
        room
    }

    /// Gives a reserved port away.
    pub(super) fn claim(&self, token: ReservationToken) -> Option<Reserved> {
        let port = lock(&self.reserved).remove(&token)?;
        (Instant::now() < port.until).then_some(port)
    }
}

/// What a panicked worker left is as good as before: all changes are single steps.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
