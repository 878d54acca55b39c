//! Which of the last packets of a stream were received: retransmissions may double them.

/// Packets that are remembered.
const SIZE: i64 = 1024;

/// A ring of one bit per sequence number.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    highest: i64,
    bits: [u64; (SIZE / 64) as usize],
}

impl Window {
    pub(crate) fn new(first: i64) -> Self {
        let mut window = Self {
            highest: first,
            bits: [0; (SIZE / 64) as usize],
        };
        window.set(first, true);
        window
    }

    /// Notes a packet, and answers whether it is new: not seen, and not too old to tell.
    pub(crate) fn insert(&mut self, sequence: i64) -> bool {
        if sequence > self.highest {
            if sequence - self.highest >= SIZE {
                self.bits.fill(0);
            } else {
                (self.highest + 1..sequence).for_each(|skipped| self.set(skipped, false));
            }
            self.highest = sequence;
        } else if self.highest - sequence >= SIZE || self.get(sequence) {
            return false;
        }
        self.set(sequence, true);
        true
    }

    fn get(&self, sequence: i64) -> bool {
        let at = sequence.rem_euclid(SIZE);
        self.bits[(at / 64) as usize] & (1 << (at % 64)) != 0
    }

    fn set(&mut self, sequence: i64, seen: bool) {
        let at = sequence.rem_euclid(SIZE);
        let (word, bit) = (&mut self.bits[(at / 64) as usize], 1 << (at % 64));
        if seen { *word |= bit } else { *word &= !bit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_is_new_once() {
        let mut window = Window::new(3);
        assert!(!window.insert(3));
        assert!(window.insert(5));
        assert!(window.insert(4));
        assert!(!window.insert(4));
        assert!(window.insert(-3), "before the first wrap");
        assert!(window.insert(2000));
        assert!(!window.insert(5), "too old");
        assert!(window.insert(1999));
    }
}
