//! How handles reach the driver: which connections are new, which have something to do, and that no handle of
//! the endpoint is left.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::core::Core;
use crate::routes::Key;

/// Shared by an endpoint's handles, its connections and its driver.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    letters: Mutex<Letters>,
    /// The addresses that new connections announce.
    addresses: Mutex<Vec<SocketAddr>>,
    pub(crate) notify: Notify,
    next_key: AtomicU64,
    /// Datagrams that belonged to no connection.
    pub(crate) unrouted: AtomicU64,
    gone: AtomicBool,
    interfaces_changed: AtomicBool,
}

/// What has been posted since the driver last looked.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    pub(crate) new: Vec<Arc<Core>>,
    pub(crate) dirty: Vec<Key>,
    /// The endpoint has no handle any more: the driver ends with its last connection.
    pub(crate) closing: bool,
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        *self.addresses.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub(crate) fn next_key(&self) -> Key {
        self.next_key.fetch_add(1, Ordering::Relaxed)
    }

    /// A connection for the driver. Answers false when the driver has ended.
    #[must_use]
    pub(crate) fn add(&self, core: Arc<Core>) -> bool {
        self.lock().new.push(core);
        self.notify.notify_one();
        !self.gone.load(Ordering::Acquire)
    }

    /// A connection has something to do.
    pub(crate) fn post(&self, key: Key) {
        self.lock().dirty.push(key);
        self.notify.notify_one();
    }

    /// The interfaces of this host may be different now.
    pub(crate) fn interfaces_changed(&self) {
        self.interfaces_changed.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    /// Whether they may be, since this was last asked.
    pub(crate) fn take_interfaces_changed(&self) -> bool {
        self.interfaces_changed.load(Ordering::Acquire)
            && self.interfaces_changed.swap(false, Ordering::AcqRel)
    }

    /// The last handle of the endpoint is gone.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.notify.notify_one();
    }

    /// Moves what has been posted into the driver's own vectors.
    pub(crate) fn collect(&self, new: &mut Vec<Arc<Core>>, dirty: &mut Vec<Key>) -> bool {
        let mut letters = self.lock();
        new.append(&mut letters.new);
        dirty.append(&mut letters.dirty);
        letters.closing
    }

    /// The driver ends: connections that it has not seen yet are handed back.
    pub(crate) fn end(&self) -> Vec<Arc<Core>> {
        self.gone.store(true, Ordering::Release);
        std::mem::take(&mut self.lock().new)
    }
}
