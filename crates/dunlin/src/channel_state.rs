//! What the handles of one data channel share with the core of its connection.

use std::sync::atomic::{AtomicUsize, Ordering};

use dunlin_peerconnection as peer;
use dunlin_peerconnection::ChannelId;
use tokio::sync::Notify;

use crate::wakers::Wakers;

/// No one waits for room.
const NOBODY: usize = 0;

/// The constant facts of a channel and its two signals.
#[derive(Debug)]
pub(crate) struct ChannelShared {
    pub(crate) id: ChannelId,
    pub(crate) label: String,
    pub(crate) init: peer::DataChannelInit,
    /// There may be a message, or the state changed.
    pub(crate) readable: Notify,
    /// There may be room, or the state changed.
    pub(crate) room: Notify,
    /// Those who wait by polling, for the one and for the other.
    pub(crate) readers: Wakers,
    pub(crate) writers: Wakers,
    /// One more than the buffered amount at or below which somebody wants to be woken.
    wake_below: AtomicUsize,
}

impl ChannelShared {
    pub(crate) fn new(id: ChannelId, channel: &peer::DataChannel) -> Self {
        Self {
            id,
            label: channel.label().to_owned(),
            init: channel.init().clone(),
            readable: Notify::new(),
            room: Notify::new(),
            readers: Wakers::default(),
            writers: Wakers::default(),
            wake_below: AtomicUsize::new(NOBODY),
        }
    }

    /// Somebody waits until at most `amount` is buffered; `true` when nobody did before. Called under the connection's lock.
    pub(crate) fn wake_at(&self, amount: usize) -> bool {
        let before = self
            .wake_below
            .fetch_max(amount.saturating_add(1), Ordering::Relaxed);
        before == NOBODY
    }

    /// Wakes those who wait for room, if there is what they wait for; `true` when nobody waits any more. Called under the
    /// connection's lock.
    pub(crate) fn wake_if_room(&self, peer: &peer::PeerConnection) -> bool {
        let there_is = peer.buffered_amount(self.id) < self.wake_below.load(Ordering::Relaxed);
        if there_is {
            self.wake_below.store(NOBODY, Ordering::Relaxed);
            self.wake_writers();
        }
        there_is
    }

    pub(crate) fn wake_readers(&self) {
        self.readable.notify_waiters();
        self.readers.wake();
    }

    pub(crate) fn wake_writers(&self) {
        self.room.notify_waiters();
        self.writers.wake();
    }

    pub(crate) fn wake_all(&self) {
        self.wake_readers();
        self.wake_writers();
    }
}
