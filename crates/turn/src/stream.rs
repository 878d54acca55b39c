//! Where one message ends and the next begins on a TCP or TLS connection to a server (RFC 8489, section 6.2.2;
//! RFC 8656, section 12.5): there is no other framing than the lengths in the messages.

use bytes::BytesMut;
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
    frame_with(buffer, ChannelNumber::new)
}

fn frame_with(buffer: &[u8], number: impl Fn(u16) -> Option<ChannelNumber>) -> Frame {
    let Some(head) = buffer.first_chunk::<HEADER_LEN>() else {
        return Frame::Incomplete;
    };
    let kind = u16::from_be_bytes([head[0], head[1]]);
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if number(kind).is_some() {
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

/// The bytes of a stream that have not been taken yet. The parent reads from its connection into
/// [`buffer`](Self::buffer) and takes the messages out, without copying them.
#[derive(Debug, Default)]
pub struct Frames {
    buffer: BytesMut,
    rfc5766: bool,
}

impl Frames {
    /// For a stream on which ChannelData has the numbers of RFC 5766, up to 0x7FFF.
    #[must_use]
    pub fn rfc5766() -> Self {
        Self {
            buffer: BytesMut::new(),
            rfc5766: true,
        }
    }

    fn next(&self) -> Frame {
        let number = if self.rfc5766 {
            ChannelNumber::new_rfc5766
        } else {
            ChannelNumber::new
        };
        frame_with(&self.buffer, number)
    }

    /// Where to read into, behind what is there. It holds at most one message that is not whole when all others have
    /// been taken, so at most 65,555 bytes.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next message, if it is whole: STUN, or ChannelData with its padding.
    #[must_use]
    pub fn take(&mut self) -> Option<BytesMut> {
        match self.next() {
            Frame::Stun(len) | Frame::ChannelData(len) => Some(self.buffer.split_to(len)),
            Frame::Incomplete | Frame::Invalid => None,
        }
    }

    /// Whether what comes next is no message: the connection is to be closed.
    #[must_use]
    pub fn is_out_of_step(&self) -> bool {
        self.next() == Frame::Invalid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_came_in() {
        let (channel, stun) = ([0x40, 0, 0, 1, 7, 0, 0, 0], {
            let mut message = [0; 20];
            message[1] = 1;
            message[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            message
        });
        let stream = [&channel[..], &stun, &channel, b"POST /"].concat();
        let (mut frames, mut taken) = (Frames::default(), Vec::new());
        for byte in stream {
            frames.buffer().extend_from_slice(&[byte]);
            taken.extend(frames.take());
        }
        assert_eq!(taken, [&channel[..], &stun, &channel]);
        assert!(frames.is_out_of_step() && frames.take().is_none());
    }
}
