//! Events on their way to the application. Messages among them occupy the receive window until they are polled.

use std::collections::VecDeque;

use bytes::Bytes;

use super::OVERHEAD;
use crate::event::{Event, MessageKey};
use crate::types::{Ppid, StreamId};

/// The queue behind `poll_event`.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    events: VecDeque<Event>,
    charged: usize,
    /// Events that are no messages, and the streams they name.
    notices: usize,
    messages: u64,
    bytes: u64,
}

impl Inbox {
    pub(crate) fn push(&mut self, event: Event) {
        self.notices += weight(&event);
        self.events.push_back(event);
    }

    pub(crate) fn push_message(&mut self, stream: StreamId, ppid: Ppid, data: Bytes) {
        self.charged += data.len() + OVERHEAD;
        self.messages += 1;
        self.bytes += data.len() as u64;
        self.events.push_back(Event::Message { stream, ppid, data });
    }

    /// A piece of a message; a message counts when it ends.
    pub(crate) fn push_piece(&mut self, message: MessageKey, ppid: Ppid, data: Bytes, last: bool) {
        self.charged += data.len() + OVERHEAD;
        self.messages += u64::from(last);
        self.bytes += data.len() as u64;
        self.events.push_back(Event::Piece {
            message,
            ppid,
            data,
            last,
        });
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        match &event {
            Event::Message { data, .. } | Event::Piece { data, .. } => self.charged -= data.len() + OVERHEAD,
            notice => self.notices -= weight(notice),
        }
        Some(event)
    }

    /// Bytes that messages occupy.
    pub(crate) fn charged(&self) -> usize {
        self.charged
    }

    /// Events that are no messages, each with the streams it names.
    pub(crate) fn notices(&self) -> usize {
        self.notices
    }

    /// Messages, and bytes in them, that ever passed through.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.messages, self.bytes)
    }
}

/// What an event that is no message counts.
fn weight(event: &Event) -> usize {
    match event {
        Event::StreamsReset { streams } => 1 + streams.len(),
        _ => 1,
    }
}
