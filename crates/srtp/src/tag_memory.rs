//! Which packet was sent with an index: an index may be used again only for the very same packet.
//!
//! A packet that is retransmitted on its own SSRC is protected under the index it had. That is harmless if it is
//! the same packet, byte for byte, because the result is then the same too; any other packet under that index
//! would give its plaintext away, and under GCM the key of the tags as well. RFC 7714, section 6: "such a
//! reuse compromises GCM's integrity mechanism not only for the current packet stream but for all future uses of
//! the current encryption_key."

use crate::cipher::ShortTag;

/// Packets whose tags are remembered, per stream.
pub(crate) const REMEMBERED: usize = 1024;

/// The tags of the last packets of one stream, by index.
pub(crate) struct TagMemory {
    entries: Box<[(u64, ShortTag)]>,
}

/// Whether an index was used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    First,
    Again(ShortTag),
    /// So long ago that nothing is known of it.
    Forgotten,
}

impl TagMemory {
    pub(crate) fn new() -> Self {
        Self {
            entries: vec![(u64::MAX, ShortTag::default()); REMEMBERED].into_boxed_slice(),
        }
    }

    /// What is known of `index` in a stream whose highest is `highest`.
    pub(crate) fn look_up(&self, index: u64, highest: u64) -> Use {
        if index > highest {
            return Use::First;
        }
        if highest - index >= REMEMBERED as u64 {
            return Use::Forgotten;
        }
        match self.entries[slot(index)] {
            (stored, tag) if stored == index => Use::Again(tag),
            _ => Use::First,
        }
    }

    pub(crate) fn remember(&mut self, index: u64, tag: ShortTag) {
        self.entries[slot(index)] = (index, tag);
    }
}

fn slot(index: u64) -> usize {
    (index % REMEMBERED as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_until_its_slot_is_taken() {
        let mut memory = TagMemory::new();
        memory.remember(5000, [1; 8]);
        assert_eq!(memory.look_up(5000, 5000), Use::Again([1; 8]));
        assert_eq!(memory.look_up(5001, 5000), Use::First);
        assert_eq!(
            memory.look_up(4999, 5000),
            Use::First,
            "left out at first, sent late"
        );
        assert_eq!(memory.look_up(5000, 5000 + 1023), Use::Again([1; 8]));
        assert_eq!(memory.look_up(5000, 5000 + 1024), Use::Forgotten);
    }
}
