//! Tasks that wait by polling: what `AsyncRead` and `AsyncWrite` need.

use std::sync::{Mutex, PoisonError};
use std::task::{Context, Waker};

/// Who is to be woken.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    waiting: Mutex<Vec<Waker>>,
}

impl Wakers {
    /// Wakes this task the next time. Called under the connection's lock, before which nothing can be missed.
    pub(crate) fn register(&self, context: &Context<'_>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
    }

    /// Wakes all of them, once.
    pub(crate) fn wake(&self) {
        let waiting = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        waiting.into_iter().for_each(Waker::wake);
    }
}
