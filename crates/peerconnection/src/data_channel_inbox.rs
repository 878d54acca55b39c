//! What has arrived on a channel and nobody has received yet: whole messages, and pieces of those that are delivered in part.

use std::collections::VecDeque;

use bytes::Bytes;
use dunlin_sctp::MessageKey;

use crate::data_channel::{Message, MessageKind, Piece};

/// The messages that wait, in order.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: VecDeque<Incoming>,
    /// Messages under way of which nobody wants the rest.
    skipped: Vec<MessageKey>,
}

#[derive(Debug)]
enum Incoming {
    Whole(Message),
    Parts(Box<Parts>),
}

/// A message that comes in pieces.
#[derive(Debug)]
struct Parts {
    key: MessageKey,
    kind: MessageKind,
    parts: VecDeque<Bytes>,
    bytes: usize,
    /// Its last piece has come.
    ended: bool,
    aborted: bool,
    /// Some of it was received as a piece: it can no longer be received as a whole.
    begun: bool,
}

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// None has come to its end.
    Yet,
    /// A text of so many bytes is not UTF-8; it is gone.
    NotText { bytes: usize },
    /// The first message has not ended, and it has so many bytes.
    Unfinished(usize),
}

impl Inbox {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn push(&mut self, message: Message) {
        self.waiting.push_back(Incoming::Whole(message));
    }

    /// Takes in a piece; answers by how much what waits grew.
    pub(crate) fn push_piece(
        &mut self,
        key: MessageKey,
        kind: MessageKind,
        data: Bytes,
        last: bool,
    ) -> usize {
        if self.skipped.contains(&key) {
            self.skipped.retain(|skipped| !last || *skipped != key);
            return 0;
        }
        let at = self
            .waiting
            .iter()
            .rposition(|incoming| is_under_way(incoming, key));
        let at = at.unwrap_or_else(|| {
            self.waiting.push_back(Incoming::Parts(Box::new(Parts {
                key,
                kind,
                parts: VecDeque::new(),
                bytes: 0,
                ended: false,
                aborted: false,
                begun: false,
            })));
            self.waiting.len() - 1
        });
        let Some(Incoming::Parts(parts)) = self.waiting.get_mut(at) else {
            return 0;
        };
        parts.ended = last;
        let len = data.len();
        parts.bytes += len;
        parts.parts.push_back(data);
        len
    }

    /// The peer gave a message up; answers how many bytes are gone.
    pub(crate) fn abort(&mut self, key: MessageKey) -> usize {
        self.skipped.retain(|skipped| *skipped != key);
        let at = self
            .waiting
            .iter()
            .rposition(|incoming| is_under_way(incoming, key));
        let Some(at) = at else { return 0 };
        let Some(Incoming::Parts(parts)) = self.waiting.get_mut(at) else {
            return 0;
        };
        let gone = parts.bytes;
        parts.bytes = 0;
        parts.parts.clear();
        parts.aborted = true;
        if !parts.begun {
            self.waiting.remove(at);
        }
        gone
    }

    /// Drops everything; answers how many bytes that is.
    pub(crate) fn clear(&mut self) -> usize {
        let bytes = self.waiting.iter().map(|incoming| match incoming {
            Incoming::Whole(message) => message.len(),
            Incoming::Parts(parts) => parts.bytes,
        });
        let bytes = bytes.sum();
        self.waiting = VecDeque::new();
        bytes
    }

    /// The next message as a whole. One that was begun in pieces must be skipped first.
    pub(crate) fn take(&mut self) -> Result<Message, Nothing> {
        match self.waiting.front() {
            None => Err(Nothing::Yet),
            Some(Incoming::Parts(parts)) if parts.begun || !parts.ended => {
                Err(Nothing::Unfinished(parts.bytes))
            }
            Some(_) => match self.waiting.pop_front() {
                Some(Incoming::Whole(message)) => Ok(message),
                Some(Incoming::Parts(parts)) => parts.join(),
                None => Err(Nothing::Yet),
            },
        }
    }

    /// The next bytes of the next message.
    pub(crate) fn take_piece(&mut self) -> Option<Piece> {
        let piece = match self.waiting.front_mut()? {
            Incoming::Whole(_) => match self.waiting.pop_front()? {
                Incoming::Whole(Message::Text(text)) => whole(MessageKind::Text, text.into()),
                Incoming::Whole(Message::Binary(data)) => whole(MessageKind::Binary, data),
                Incoming::Parts(_) => return None,
            },
            Incoming::Parts(parts) => {
                parts.begun = true;
                match parts.parts.pop_front() {
                    _ if parts.aborted => Piece::Aborted,
                    None => return None,
                    Some(data) => {
                        parts.bytes -= data.len();
                        Piece::Data {
                            kind: parts.kind,
                            data,
                            last: parts.ended && parts.parts.is_empty(),
                        }
                    }
                }
            }
        };
        let over = matches!(piece, Piece::Aborted | Piece::Data { last: true, .. });
        if over && matches!(self.waiting.front(), Some(Incoming::Parts(parts)) if parts.begun) {
            self.waiting.pop_front();
        }
        Some(piece)
    }

    /// Nobody wants the rest of the message that was begun in pieces; answers how many bytes are gone.
    pub(crate) fn skip(&mut self) -> usize {
        match self.waiting.front() {
            Some(Incoming::Parts(parts)) if parts.begun => {
                let (gone, key) = (parts.bytes, parts.key);
                if !parts.ended && !parts.aborted {
                    self.skipped.push(key);
                }
                self.waiting.pop_front();
                gone
            }
            _ => 0,
        }
    }
}

impl Parts {
    fn join(self) -> Result<Message, Nothing> {
        let mut joined = Vec::with_capacity(self.bytes);
        self.parts.iter().for_each(|part| joined.extend_from_slice(part));
        match self.kind {
            MessageKind::Binary => Ok(Message::Binary(joined.into())),
            MessageKind::Text => String::from_utf8(joined)
                .map(Message::Text)
                .map_err(|_| Nothing::NotText { bytes: self.bytes }),
        }
    }
}

fn whole(kind: MessageKind, data: Bytes) -> Piece {
    Piece::Data {
        kind,
        data,
        last: true,
    }
}

fn is_under_way(incoming: &Incoming, key: MessageKey) -> bool {
    matches!(incoming, Incoming::Parts(parts) if parts.key == key && !parts.ended && !parts.aborted)
}
