//! Which records of the peer's flight to acknowledge, and when (RFC 9147, section 7.1).

use std::time::{Duration, Instant};

use crate::codec::{Malformed, Reader, put_vec};
use crate::record::RecordNumber;

/// Records that an ACK of ours names at most: 8 + 64 * 16 bytes fit into any datagram of a handshake that is not cut
/// down; see [`Acks::content`].
const MAX_NUMBERS: usize = 64;
/// How long a piece that is missing may still be on its way, when a later one came first.
const REORDERING: Duration = Duration::from_millis(10);
/// How long it takes at first, and at most, until the same is asked for again.
const FIRST_PATIENCE: Duration = Duration::from_millis(100);
const MAX_PATIENCE: Duration = Duration::from_secs(10);

/// Records that came, and when that is to be said.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    /// In the order in which they came, and whether an ACK named them already.
    numbers: Vec<(RecordNumber, bool)>,
    at: Option<Instant>,
    /// When records were asked for that make others readable, and how long not to ask again.
    asked: Option<(Instant, Duration)>,
}

impl Acks {
    /// A record of the flight that is coming in was processed or kept.
    pub(crate) fn add(&mut self, number: RecordNumber) {
        if self.numbers.iter().any(|(known, _)| *known == number) {
            return;
        }
        if self.numbers.len() >= MAX_NUMBERS {
            self.numbers.remove(0);
        }
        self.numbers.push((number, false));
    }

    /// An ACK goes out at once.
    pub(crate) fn now(&mut self, now: Instant) {
        self.at = Some(now);
    }

    /// Records came that cannot be read before others; asked for at once, and then ever more rarely.
    ///
    /// > a client might receive an EncryptedExtensions message prior to receiving a ServerHello [...] Having the client
    /// > send an empty ACK shortcuts this process. (RFC 9147, section 7.1)
    pub(crate) fn unreadable(&mut self, now: Instant) {
        if self.at.is_none() && self.asked.is_none_or(|(last, patience)| now >= last + patience) {
            let patience = self.asked.map_or(FIRST_PATIENCE, |(_, patience)| 2 * patience);
            self.asked = Some((now, patience.min(MAX_PATIENCE)));
            self.by(now + REORDERING);
        }
    }

    /// Something is missing from the middle.
    ///
    /// > When they receive a message or fragment which is out of order [...] (RFC 9147, section 7.1)
    pub(crate) fn out_of_order(&mut self, now: Instant) {
        self.by(now + REORDERING);
    }

    /// Some of the flight is there.
    ///
    /// > One approach is to set a timer for 1/4 the current retransmit timer value when the first record in the flight
    /// > is received and then send an ACK when that timer expires. (RFC 9147, section 7.1)
    pub(crate) fn partial(&mut self, now: Instant, retransmit: Duration) {
        if self.at.is_none() {
            self.by(now + retransmit / 4);
        }
    }

    fn by(&mut self, at: Instant) {
        self.at = Some(self.at.map_or(at, |sooner| sooner.min(at)));
    }

    /// Whether something came that no ACK named yet.
    pub(crate) fn has_unnamed(&self) -> bool {
        self.numbers.iter().any(|(_, named)| !named)
    }

    /// The flight is answered, which acknowledges it.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.at
    }

    /// Takes the content of an ACK that is due; `room`: bytes that it may have.
    pub(crate) fn content(&mut self, now: Instant, room: usize) -> Option<Vec<u8>> {
        if self.at? > now {
            return None;
        }
        let fits = room.saturating_sub(2) / 16;
        // "if space is limited, implementations SHOULD favor including records which have not yet been acknowledged"
        self.numbers.sort_by_key(|(_, named)| *named);
        let fresh = self.numbers.iter().filter(|(_, named)| !named).count();
        let mut named = Vec::new();
        for (number, known) in self.numbers.iter_mut().take(fits) {
            named.push(*number);
            *known = true;
        }
        // What does not fit goes into another one.
        self.at = self.at.filter(|_| fresh > fits && fits > 0);
        // "in numerically increasing order"
        named.sort_unstable();
        let mut out = Vec::with_capacity(2 + named.len() * 16);
        put_vec(&mut out, 2, |out| {
            for number in named {
                out.extend_from_slice(&number.epoch.to_be_bytes());
                out.extend_from_slice(&number.sequence.to_be_bytes());
            }
        });
        Some(out)
    }
}

/// The numbers that an ACK of the peer names.
pub(crate) fn parse(content: &[u8]) -> Result<Vec<RecordNumber>, Malformed> {
    let mut reader = Reader::new(content);
    let mut list = Reader::new(reader.vec16()?);
    reader.finish()?;
    let mut numbers = Vec::new();
    while !list.is_empty() {
        numbers.push(RecordNumber {
            epoch: u64::from_be_bytes(list.array()?),
            sequence: u64::from_be_bytes(list.array()?),
        });
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(sequence: u64) -> RecordNumber {
        RecordNumber { epoch: 2, sequence }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test has to begin somewhere")]
    fn an_ack_names_the_newest_records_in_order_and_once() {
        let start = Instant::now();
        let mut acks = Acks::default();
        for sequence in [3, 1, 3, 2] {
            acks.add(number(sequence));
        }
        assert_eq!(acks.content(start, 1000), None, "nothing is due");
        acks.partial(start, Duration::from_millis(400));
        acks.out_of_order(start);
        acks.partial(start, Duration::from_millis(4));
        assert_eq!(acks.timeout(), Some(start + REORDERING));
        let content = acks.content(start + REORDERING, 1000).unwrap();
        assert_eq!(parse(&content), Ok(vec![number(1), number(2), number(3)]));
        assert_eq!(acks.timeout(), None);
        acks.add(number(9));
        acks.now(start);
        assert_eq!(
            parse(&acks.content(start, 40).unwrap()),
            Ok(vec![number(3), number(9)]),
            "the new one first"
        );
        acks.clear();
        (1..=5).for_each(|sequence| acks.add(number(sequence)));
        acks.now(start);
        for expected in [vec![number(1), number(2)], vec![number(3), number(4)]] {
            assert_eq!(parse(&acks.content(start, 40).unwrap()), Ok(expected));
        }
        assert_eq!(
            parse(&acks.content(start, 40).unwrap()),
            Ok(vec![number(3), number(5)])
        );
        assert_eq!(acks.content(start, 40), None);
        for sequence in 10..200 {
            acks.add(number(sequence));
        }
        acks.now(start);
        assert_eq!(
            parse(&acks.content(start, 9000).unwrap()).unwrap().len(),
            MAX_NUMBERS
        );
        acks.clear();
        acks.now(start);
        assert_eq!(
            acks.content(start, 9000).unwrap(),
            [0, 0],
            "an empty one is an ACK, too"
        );
        assert_eq!(parse(&[0, 15, 0]), Err(Malformed));
        assert_eq!(parse(&[0, 1, 0]), Err(Malformed));
    }
}
