//! Reassembly of handshake messages (RFC 6347, sections 4.2.2 and 4.2.3): fragments in any order, overlapping,
//! repeated and interleaved come in; whole messages in order come out.
//!
//! Nothing here is authenticated while it happens, so everything is bounded, and whoever lies cannot block the
//! truth for longer than until the true sender's next retransmission: a fragment that contradicts what is there
//! throws that away and starts anew.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::codec::{Malformed, Reader, put_u16, put_u24};
use crate::message::HandshakeType;
use crate::ranges::Ranges;

/// Bytes of the header of a handshake message.
pub(crate) const HEADER_LEN: usize = 12;
/// Messages that are kept ahead of the one that is due. The longest flight has five.
const WINDOW: u16 = 8;
/// Separate pieces that are kept of one message: enough for 16 KiB in fragments of 16 bytes, every other one lost.
const MAX_RANGES: usize = 512;

/// A piece of a handshake message, as it comes in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment<'a> {
    pub(crate) kind: HandshakeType,
    /// Bytes of the whole message's body.
    pub(crate) total: usize,
    pub(crate) message_seq: u16,
    pub(crate) offset: usize,
    pub(crate) body: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Takes the fragment at the front of what is left of a record.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let kind = HandshakeType(reader.u8()?);
        let total = reader.u24()? as usize;
        let message_seq = reader.u16()?;
        let offset = reader.u24()? as usize;
        let body = reader.vec24()?;
        if offset + body.len() > total {
            return Err(Malformed);
        }
        Ok(Self {
            kind,
            total,
            message_seq,
            offset,
            body,
        })
    }

    pub(crate) fn is_end(&self) -> bool {
        self.offset + self.body.len() == self.total
    }
}

/// Appends the header of a fragment.
pub(crate) fn put_header(
    out: &mut Vec<u8>,
    kind: HandshakeType,
    total: usize,
    message_seq: u16,
    offset: usize,
    len: usize,
) {
    out.push(kind.0);
    put_u24(out, total);
    put_u16(out, message_seq);
    put_u24(out, offset);
    put_u24(out, len);
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HandshakeMessage {
    pub(crate) kind: HandshakeType,
    pub(crate) message_seq: u16,
    pub(crate) body: Vec<u8>,
}

impl HandshakeMessage {
    /// Appends the message as the transcript of DTLS 1.2 has it.
    ///
    /// > in order to remove sensitivity to handshake message fragmentation, the Finished MAC MUST be computed as
    /// > if each handshake message had been sent as a single fragment (RFC 6347, section 4.2.6)
    pub(crate) fn append_to(&self, transcript: &mut Vec<u8>) {
        let len = self.body.len();
        put_header(transcript, self.kind, len, self.message_seq, 0, len);
        transcript.extend_from_slice(&self.body);
    }
}

/// What became of a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    Kept,
    /// It contradicts earlier ones of its message, which were thrown away.
    KeptAgainstOthers,
    /// Of a message that came before.
    Repeated,
    /// Of a message far ahead.
    NotDue,
    /// Beyond a bound.
    Oversized,
}

/// Bounds, from the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) message: usize,
    pub(crate) total: usize,
}

/// The messages that are due next, in all stages of completeness.
#[derive(Debug)]
pub(crate) struct Reassembler {
    limits: Limits,
    next: u16,
    /// Index 0 is the message that is due.
    slots: VecDeque<Option<Slot>>,
    /// Bytes in all slots.
    held: usize,
}

#[derive(Debug)]
struct Slot {
    epoch: u64,
    kind: HandshakeType,
    total: usize,
    body: Vec<u8>,
    /// Which bytes are there.
    ranges: Ranges,
}

impl Slot {
    fn new(epoch: u64, fragment: &Fragment<'_>) -> Self {
        let (kind, total) = (fragment.kind, fragment.total);
        Self {
            epoch,
            kind,
            total,
            body: Vec::new(),
            ranges: Ranges::default(),
        }
    }

    fn is_complete(&self) -> bool {
        self.ranges.covers(self.total)
    }

    /// Whether the fragment says the same as what is there, where both say something.
    fn agrees(&self, epoch: u64, fragment: &Fragment<'_>) -> bool {
        let (start, end) = (fragment.offset, fragment.offset + fragment.body.len());
        epoch == self.epoch
            && fragment.kind == self.kind
            && fragment.total == self.total
            && self.ranges.iter().all(|(from, to)| {
                let (from, to) = (from.max(start), to.min(end));
                from >= to || self.body[from..to] == fragment.body[from - start..to - start]
            })
    }

    /// Takes over the fragment's bytes; answers by how many bytes the slot grew.
    fn insert(&mut self, fragment: &Fragment<'_>) -> usize {
        let before = self.body.len();
        let (start, end) = (fragment.offset, fragment.offset + fragment.body.len());
        if start == end {
            return 0;
        }
        self.body.resize(before.max(end), 0);
        self.body[start..end].copy_from_slice(fragment.body);
        self.ranges.insert(start, end);
        self.body.len() - before
    }
}

impl Reassembler {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            next: 0,
            slots: VecDeque::new(),
            held: 0,
        }
    }

    /// Forgets everything, and that the last message came: it will come again, in another form.
    pub(crate) fn expect_again(&mut self, message_seq: u16) {
        *self = Self {
            next: message_seq,
            ..Self::new(self.limits)
        };
    }

    /// Whether the fragment is of the message that is due.
    pub(crate) fn is_due(&self, fragment: &Fragment<'_>) -> bool {
        fragment.message_seq == self.next
    }

    /// Whether the fragment is the next piece of the message that is due, or the first of one that follows whole
    /// ones: what comes when the network neither loses nor reorders.
    pub(crate) fn is_next_piece(&self, fragment: &Fragment<'_>) -> bool {
        let ahead = usize::from(fragment.message_seq.wrapping_sub(self.next));
        let whole = |slot: &Option<Slot>| slot.as_ref().is_some_and(Slot::is_complete);
        let there = self.slots.get(ahead).and_then(Option::as_ref);
        self.slots.iter().take(ahead).all(whole)
            && self.slots.len() >= ahead
            && fragment.offset == there.map_or(0, |slot| slot.ranges.prefix())
    }

    /// Takes another message for the first one, while none was taken: a server that keeps no state until the client has
    /// shown a cookie takes the second ClientHello for the first (RFC 6347, section 4.2.1).
    pub(crate) fn begin_at(&mut self, message_seq: u16) {
        if message_seq != self.next && self.slots.iter().all(Option::is_none) {
            self.expect_again(message_seq);
        }
    }

    pub(crate) fn push(&mut self, epoch: u64, fragment: &Fragment<'_>) -> Pushed {
        let ahead = fragment.message_seq.wrapping_sub(self.next);
        if ahead > u16::MAX / 2 {
            return Pushed::Repeated;
        }
        if ahead >= WINDOW {
            return Pushed::NotDue;
        }
        let ahead = usize::from(ahead);
        if self.slots.len() <= ahead {
            self.slots.resize_with(ahead + 1, || None);
        }
        let mut outcome = Pushed::Kept;
        if self.slots[ahead]
            .as_ref()
            .is_some_and(|slot| !slot.agrees(epoch, fragment))
        {
            // A message without protection says nothing against one with it.
            if self.slots[ahead].as_ref().is_some_and(|slot| slot.epoch > epoch) {
                return Pushed::NotDue;
            }
            self.held -= self.slots[ahead].take().map_or(0, |slot| slot.body.len());
            outcome = Pushed::KeptAgainstOthers;
        }
        let end = fragment.offset + fragment.body.len();
        let grows = end.saturating_sub(self.slots[ahead].as_ref().map_or(0, |slot| slot.body.len()));
        if fragment.total > self.limits.message || self.held + grows > self.limits.total {
            return Pushed::Oversized;
        }
        let slot = self.slots[ahead].get_or_insert_with(|| Slot::new(epoch, fragment));
        // Each range costs more than the byte that a liar pays for it.
        if slot.ranges.count() >= MAX_RANGES {
            return Pushed::Oversized;
        }
        self.held += slot.insert(fragment);
        outcome
    }

    /// The message that is due, if it is complete. One that came in another epoch than `epochs` is thrown away.
    pub(crate) fn pop(&mut self, epochs: RangeInclusive<u64>) -> Option<HandshakeMessage> {
        let first = self.slots.front_mut()?;
        if first.as_ref().is_some_and(|slot| !epochs.contains(&slot.epoch)) {
            self.held -= first.take().map_or(0, |slot| slot.body.len());
        }
        if !first.as_ref()?.is_complete() {
            return None;
        }
        let slot = self.slots.pop_front()??;
        self.held -= slot.body.len();
        if self.slots.is_empty() {
            // After the handshake hardly anything comes any more.
            self.slots = VecDeque::new();
        }
        let message_seq = self.next;
        // A handshake has at most eight in each direction, and the numbers of KeyUpdates are counted elsewhere.
        self.next = self.next.wrapping_add(1);
        Some(HandshakeMessage {
            kind: slot.kind,
            message_seq,
            body: slot.body,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

    const LIMITS: Limits = Limits {
        message: 1000,
        total: 1500,
    };

    fn fragment(message_seq: u16, total: usize, offset: usize, body: &[u8]) -> Fragment<'_> {
        Fragment {
            kind: HandshakeType(11),
            total,
            message_seq,
            offset,
            body,
        }
    }

    #[test]
    fn threat_4_fragments_of_every_size_in_any_order_with_overlaps_make_the_message() {
        let mut rng = StdRng::seed_from_u64(4);
        let body: Vec<u8> = (0..600u32).map(|i| i as u8).collect();
        for size in (1..=40).chain([100, 299, 300, 599, 600]) {
            let mut pieces: Vec<(usize, usize)> = (0..600)
                .step_by(size)
                .map(|at| (at, (at + size).min(600)))
                .collect();
            for _ in 0..rng.random_range(0..10) {
                let from = rng.random_range(0..600);
                pieces.push((from, rng.random_range(from..=600)));
            }
            pieces.shuffle(&mut rng);
            let mut reassembler = Reassembler::new(LIMITS);
            let mut complete = None;
            for (from, to) in pieces {
                if complete.is_some() {
                    break;
                }
                assert_eq!(
                    reassembler.push(0, &fragment(0, 600, from, &body[from..to])),
                    Pushed::Kept
                );
                complete = reassembler.pop(0..=0);
            }
            assert_eq!(complete.unwrap().body, body, "size {size}");
            assert_eq!(reassembler.held, 0);
        }
    }

    #[test]
    fn interleaved_messages_come_out_in_order() {
        let mut reassembler = Reassembler::new(LIMITS);
        assert_eq!(reassembler.push(0, &fragment(1, 4, 0, b"cd")), Pushed::Kept);
        assert_eq!(reassembler.push(0, &fragment(0, 2, 1, b"b")), Pushed::Kept);
        assert_eq!(reassembler.push(0, &fragment(1, 4, 2, b"ef")), Pushed::Kept);
        assert_eq!(reassembler.push(0, &fragment(2, 0, 0, b"")), Pushed::Kept);
        assert_eq!(reassembler.pop(0..=0), None);
        assert_eq!(reassembler.push(0, &fragment(0, 2, 0, b"a")), Pushed::Kept);
        assert_eq!(reassembler.pop(0..=0).unwrap().body, b"ab");
        assert_eq!(reassembler.pop(0..=0).unwrap().body, b"cdef");
        assert_eq!(reassembler.pop(0..=0).unwrap().body, b"");
        assert_eq!(reassembler.pop(0..=0), None);
        assert_eq!(reassembler.push(0, &fragment(1, 4, 0, b"cd")), Pushed::Repeated);
        assert_eq!(
            reassembler.push(0, &fragment(3 + WINDOW, 4, 0, b"cd")),
            Pushed::NotDue
        );
    }

    #[test]
    fn threat_4_a_lie_about_length_or_content_holds_only_until_the_truth_comes_again() {
        let mut reassembler = Reassembler::new(LIMITS);
        assert_eq!(reassembler.push(0, &fragment(0, 900, 0, b"lie")), Pushed::Kept);
        assert_eq!(
            reassembler.push(0, &fragment(0, 4, 0, b"tr")),
            Pushed::KeptAgainstOthers
        );
        assert_eq!(
            reassembler.push(0, &fragment(0, 4, 1, b"xx")),
            Pushed::KeptAgainstOthers
        );
        assert_eq!(
            reassembler.push(0, &fragment(0, 4, 0, b"true")),
            Pushed::KeptAgainstOthers
        );
        assert_eq!(reassembler.pop(0..=0).unwrap().body, b"true");
    }

    #[test]
    fn threat_4_what_is_held_is_bounded() {
        let mut reassembler = Reassembler::new(LIMITS);
        assert_eq!(
            reassembler.push(0, &fragment(0, 1001, 0, b"x")),
            Pushed::Oversized
        );
        assert_eq!(reassembler.push(0, &fragment(0, 1000, 999, b"x")), Pushed::Kept);
        assert_eq!(
            reassembler.push(0, &fragment(1, 1000, 999, b"x")),
            Pushed::Oversized
        );
        assert_eq!(reassembler.push(0, &fragment(1, 1000, 499, b"x")), Pushed::Kept);
        assert_eq!(reassembler.push(0, &fragment(2, 1, 0, b"x")), Pushed::Oversized);
        assert_eq!(reassembler.held, 1500);
    }

    #[test]
    fn protected_messages_win_over_unprotected_ones() {
        let mut reassembler = Reassembler::new(LIMITS);
        assert_eq!(reassembler.push(0, &fragment(0, 4, 0, b"fake")), Pushed::Kept);
        assert_eq!(
            reassembler.push(1, &fragment(0, 4, 0, b"real")),
            Pushed::KeptAgainstOthers
        );
        assert_eq!(reassembler.push(0, &fragment(0, 4, 0, b"fake")), Pushed::NotDue);
        assert_eq!(reassembler.pop(1..=1).unwrap().body, b"real");
        assert_eq!(reassembler.push(0, &fragment(1, 4, 0, b"fake")), Pushed::Kept);
        assert_eq!(reassembler.pop(1..=1), None, "thrown away");
        assert_eq!(reassembler.held, 0);
    }

    #[test]
    fn fragments_that_lie_about_their_place_do_not_parse() {
        let mut bytes = Vec::new();
        put_header(&mut bytes, HandshakeType(1), 4, 7, 2, 2);
        bytes.extend_from_slice(b"cd");
        let parsed = Fragment::read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!(
            parsed,
            Fragment {
                kind: HandshakeType(1),
                total: 4,
                message_seq: 7,
                offset: 2,
                body: b"cd"
            }
        );
        assert!(parsed.is_end());
        for len in 0..bytes.len() {
            assert_eq!(Fragment::read(&mut Reader::new(&bytes[..len])), Err(Malformed));
        }
        bytes[8] = 3;
        assert_eq!(Fragment::read(&mut Reader::new(&bytes)), Err(Malformed));
    }
}
