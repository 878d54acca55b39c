//! The last packets of a sent stream, as they were written, to be sent again (RFC 4585, section 6.2.1).

use std::time::{Duration, Instant};

use dunlin_rtp::ExtendedSequence;

/// A ring of packets. Its buffers are reused, so that keeping a packet allocates nothing after the first round.
#[derive(Debug, Clone)]
pub(crate) struct History {
    slots: Vec<Slot>,
}

#[derive(Debug, Clone)]
struct Slot {
    sequence: i64,
    packet: Vec<u8>,
    repeated: Option<Instant>,
}

/// Room for a packet of an Ethernet path, so that buffers do not grow step by step.
const SLOT_BYTES: usize = 1500;

impl History {
    /// A history of at most `max` packets.
    pub(crate) fn new(max: usize) -> Self {
        let slot = Slot {
            sequence: i64::MIN,
            packet: Vec::new(),
            repeated: None,
        };
        Self {
            slots: vec![slot; max.clamp(1, 1024)],
        }
    }

    fn slot(&self, sequence: i64) -> usize {
        sequence.rem_euclid(self.slots.len() as i64) as usize
    }

    pub(crate) fn keep(&mut self, sequence: ExtendedSequence, packet: &[u8]) {
        let at = self.slot(sequence.0);
        let slot = &mut self.slots[at];
        if slot.sequence > sequence.0 {
            return;
        }
        slot.sequence = sequence.0;
        slot.repeated = None;
        slot.packet.clear();
        slot.packet.reserve(packet.len().max(SLOT_BYTES));
        slot.packet.extend_from_slice(packet);
    }

    /// Whether the packet is there and was not repeated within `interval`; it counts as repeated now.
    pub(crate) fn may_repeat(
        &mut self,
        sequence: ExtendedSequence,
        now: Instant,
        interval: Duration,
    ) -> bool {
        let at = self.slot(sequence.0);
        let slot = &mut self.slots[at];
        if slot.sequence != sequence.0 || slot.repeated.is_some_and(|last| now < last + interval) {
            return false;
        }
        slot.repeated = Some(now);
        true
    }

    pub(crate) fn get(&self, sequence: ExtendedSequence) -> Option<&[u8]> {
        let slot = &self.slots[self.slot(sequence.0)];
        (slot.sequence == sequence.0).then_some(&slot.packet[..])
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;

    #[test]
    fn the_last_packets_are_kept_and_not_repeated_too_often() {
        let now = Instant::now();
        let interval = Duration::from_millis(20);
        let mut history = History::new(4);
        (0..6).for_each(|i| history.keep(ExtendedSequence(i), &[i as u8]));
        assert_eq!(history.get(ExtendedSequence(5)), Some(&[5][..]));
        assert_eq!(history.get(ExtendedSequence(1)), None);
        assert!(history.may_repeat(ExtendedSequence(5), now, interval));
        assert!(!history.may_repeat(ExtendedSequence(5), now + interval / 2, interval));
        assert!(history.may_repeat(ExtendedSequence(5), now + interval, interval));
        assert!(!history.may_repeat(ExtendedSequence(1), now, interval));
        history.keep(ExtendedSequence(1), &[1]);
        assert_eq!(
            history.get(ExtendedSequence(5)),
            Some(&[5][..]),
            "an older packet does not displace it"
        );
    }
}
