//! What the handles of one transceiver's tracks share with the core of their connection.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dunlin_peerconnection::{RtpPacket, TransceiverId};
use tokio::sync::Notify;

/// What arrived for a transceiver and was not taken yet.
#[derive(Debug)]
pub(crate) struct TrackShared {
    pub(crate) id: TransceiverId,
    inbox: Mutex<Inbox>,
    /// There may be a packet, or the track ended.
    pub(crate) readable: Notify,
    /// There may be feedback.
    pub(crate) feedback: Notify,
}

#[derive(Debug, Default)]
struct Inbox {
    packets: VecDeque<RtpPacket>,
    receivers: usize,
    dropped: u64,
    ended: bool,
    keyframe_requested: bool,
}

impl TrackShared {
    pub(crate) fn new(id: TransceiverId) -> Self {
        Self {
            id,
            inbox: Mutex::default(),
            readable: Notify::new(),
            feedback: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A packet arrived. It is dropped when nobody receives, and the oldest is when too many wait.
    pub(crate) fn push(&self, packet: RtpPacket, limit: usize) {
        let mut inbox = self.lock();
        if inbox.receivers == 0 {
            return;
        }
        if inbox.packets.len() >= limit.max(1) {
            inbox.packets.pop_front();
            inbox.dropped += 1;
        }
        inbox.packets.push_back(packet);
        if inbox.packets.len() == 1 {
            self.readable.notify_waiters();
        }
    }

    pub(crate) fn pop(&self) -> Option<RtpPacket> {
        self.lock().packets.pop_front()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.lock().ended
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    pub(crate) fn set_ended(&self, ended: bool) {
        self.lock().ended = ended;
        self.readable.notify_waiters();
    }

    pub(crate) fn request_keyframe(&self) {
        self.lock().keyframe_requested = true;
        self.feedback.notify_waiters();
    }

    pub(crate) fn take_keyframe_request(&self) -> bool {
        std::mem::take(&mut self.lock().keyframe_requested)
    }

    pub(crate) fn wake_all(&self) {
        self.readable.notify_waiters();
        self.feedback.notify_waiters();
    }
}

/// Somebody receives the track, or will: packets are kept meanwhile.
#[derive(Debug)]
pub(crate) struct Listening(pub(crate) Arc<TrackShared>);

impl Listening {
    pub(crate) fn new(track: Arc<TrackShared>) -> Self {
        track.lock().receivers += 1;
        Self(track)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut inbox = self.0.lock();
        inbox.receivers -= 1;
        if inbox.receivers == 0 {
            inbox.packets.clear();
        }
    }
}
