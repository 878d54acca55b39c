//! Where one message ends and the next begins on a TCP or TLS connection to a server (RFC 8489, section 6.2.2;
//! RFC 8656, section 12.5): there is no other framing than the lengths in the messages.

use dunlin_stun::{MAGIC_COOKIE, is_stun};

use crate::channel_data::{ChannelNumber, HEADER_LEN};

/// What the front of a stream's buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// Not yet a whole message.
    Incomplete,
    /// A STUN message of this many bytes.
    Stun(usize),
    /// A ChannelData message of this many bytes, its padding included.
    ChannelData(usize),
    /// Neither: the stream is out of step and has to be closed.
    Invalid,
}

/// Looks at the front of `buffer`. No message is longer than 65,555 bytes, so neither need the buffer be.
#[must_use]
pub fn next_frame(buffer: &[u8]) -> Frame {
    let Some(head) = buffer.first_chunk::<HEADER_LEN>() else {
        return Frame::Incomplete;
    };
    let kind = u16::from_be_bytes([head[0], head[1]]);
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if ChannelNumber::new(kind).is_some() {
        let whole = (HEADER_LEN + len).next_multiple_of(4);
        return if buffer.len() < whole {
            Frame::Incomplete
        } else {
            Frame::ChannelData(whole)
        };
    }
    let cookie = buffer.get(4..8.min(buffer.len())).unwrap_or_default();
    if kind & 0xC000 != 0 || !len.is_multiple_of(4) || !MAGIC_COOKIE.to_be_bytes().starts_with(cookie) {
        return Frame::Invalid;
    }
    match buffer.get(..dunlin_stun::HEADER_LEN + len) {
        None => Frame::Incomplete,
        Some(message) if is_stun(message) => Frame::Stun(message.len()),
        Some(_) => Frame::Invalid,
    }
}
