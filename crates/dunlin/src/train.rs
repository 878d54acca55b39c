//! Trains: consecutive datagrams of one path and one size, which leave in one system call (UDP GSO).

use std::cell::RefCell;
use std::ops::Range;

use dunlin_net::{Ecn, Path, Transmit};

/// The kernel builds a train as one datagram, and takes it apart again before the interface when with its headers (62 bytes:
/// Ethernet's, IPv6's, UDP's) it has 65,536 bytes (`gso_max_size`): four times the work, and as many wakeups.
const MAX_BYTES: usize = 65_535 - 62;
/// Payloads up to this fit an Ethernet frame.
const USUAL: usize = 1_472;

/// Datagrams of one path: all of `segment` bytes, except the last, which may be shorter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Train {
    pub(crate) path: Path,
    pub(crate) ecn: Ecn,
    pub(crate) segment: usize,
    pub(crate) count: usize,
    pub(crate) bytes: Range<usize>,
    /// A shorter datagram was appended: nothing can follow it.
    complete: bool,
}

thread_local! {
    /// Room that no driver of this thread uses now.
    static SPARE: RefCell<Trains> = RefCell::default();
}

/// Datagrams that wait to be sent: their bytes, one after the other, and the trains they form. While nothing waits, the
/// room for them is the thread's: 200 drivers cost no more memory than one.
#[derive(Debug, Default)]
pub(crate) struct Trains {
    bytes: Vec<u8>,
    trains: Vec<Train>,
    next: usize,
}

impl Trains {
    /// With memory for so many bytes and trains, all of it there from the start.
    #[cfg(feature = "turn-server")]
    pub(crate) fn with_room(bytes: usize, trains: usize) -> Self {
        let mut room = vec![0xFF; bytes];
        room.clear();
        let nowhere = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        let mut this = Self {
            bytes: room,
            ..Self::default()
        };
        for _ in 0..trains {
            this.trains.push(Train {
                path: Path::udp(nowhere, nowhere),
                ecn: Ecn::NotEct,
                segment: 0,
                count: 0,
                bytes: 0..0,
                complete: true,
            });
        }
        this.trains.clear();
        this
    }

    /// Whether everything was sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.trains.len()
    }

    /// How many bytes are collected.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Where `poll_transmit` appends the next datagram.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            *self = SPARE.take();
        }
        &mut self.bytes
    }

    /// The driver will wait: if nothing waits with it, others may have the room.
    pub(crate) fn lend(&mut self) {
        if self.is_empty() && self.bytes.capacity() > 0 {
            self.clear();
            SPARE.set(std::mem::take(self));
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.trains.clear();
        self.next = 0;
    }

    /// Notes that the bytes from `start` to the buffer's end are one datagram.
    pub(crate) fn push(&mut self, transmit: Transmit, start: usize, max_segments: usize) {
        let size = self.bytes.len() - start;
        if let Some(last) = self.trains.last_mut() {
            // One that is larger than usual may be a probe of the path (RFC 8899): what goes with it is lost with it, and a
            // refusal of the system must not be taken for one of trains.
            let may_be_probe = last.count == 1 && last.segment > USUAL && size < last.segment;
            let fits = !last.complete
                && !may_be_probe
                && last.path == transmit.path
                && last.ecn == transmit.ecn
                && last.bytes.end == start
                && size <= last.segment
                && size > 0
                && last.count < max_segments
                && last.bytes.len() + size <= MAX_BYTES;
            if fits {
                last.count += 1;
                last.complete = size < last.segment;
                last.bytes.end += size;
                return;
            }
        }
        let bytes = start..self.bytes.len();
        let Transmit { path, ecn } = transmit;
        self.trains.push(Train {
            path,
            ecn,
            segment: size,
            count: 1,
            bytes,
            complete: false,
        });
    }

    /// The train to send now.
    pub(crate) fn front(&self) -> Option<(&Train, &[u8])> {
        let train = self.trains.get(self.next)?;
        Some((train, self.bytes.get(train.bytes.clone())?))
    }

    /// How many trains wait.
    #[cfg(feature = "turn-server")]
    pub(crate) fn waiting(&self) -> usize {
        self.trains.len() - self.next
    }

    /// Moves what waits to `other`, the datagrams of each path one behind the other and in their order: datagrams of
    /// many paths that came mixed make longer trains so.
    #[cfg(feature = "turn-server")]
    pub(crate) fn gather(&mut self, other: &mut Trains, max_segments: impl Fn(&Path) -> usize) {
        let waiting = self.trains.get_mut(self.next..).unwrap_or_default();
        // Those of one path stay in their order: they lie in it. (A stable sort would take memory.)
        waiting.sort_unstable_by_key(|train| (train.path, train.bytes.start));
        for train in waiting.iter() {
            let max = max_segments(&train.path);
            let contents = self.bytes.get(train.bytes.clone()).unwrap_or_default();
            // One of no bytes is a datagram too.
            for index in 0..train.count {
                let from = index * train.segment;
                let until = contents.len().min(from + train.segment);
                let start = other.bytes.len();
                other
                    .bytes
                    .extend_from_slice(contents.get(from..until).unwrap_or_default());
                let mut transmit = Transmit::new(train.path);
                transmit.ecn = train.ecn;
                other.push(transmit, start, max);
            }
        }
        self.clear();
    }

    /// The front train was sent, or given up.
    pub(crate) fn pop(&mut self) {
        self.next += 1;
        if self.is_empty() {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        Path::udp(
            "10.0.0.1:1".parse().unwrap(),
            format!("10.0.0.2:{port}").parse().unwrap(),
        )
    }

    fn push(trains: &mut Trains, port: u16, size: usize) {
        let start = trains.buffer().len();
        trains.buffer().resize(start + size, 0);
        trains.push(Transmit::new(path(port)), start, 4);
    }

    fn shape(trains: &mut Trains) -> Vec<(u16, usize, usize, usize)> {
        let mut shape = Vec::new();
        while let Some((train, bytes)) = trains.front() {
            shape.push((train.path.remote.port(), train.segment, train.count, bytes.len()));
            trains.pop();
        }
        shape
    }

    #[test]
    fn equal_sizes_of_one_path_go_together_and_a_shorter_one_ends_the_train() {
        let mut trains = Trains::default();
        for size in [1200, 1200, 700, 1200, 1300, 1300] {
            push(&mut trains, 1, size);
        }
        assert_eq!(
            shape(&mut trains),
            [(1, 1200, 3, 3100), (1, 1200, 1, 1200), (1, 1300, 2, 2600)]
        );
        assert!(trains.is_empty());
        assert_eq!(trains.len(), 0);
    }

    #[test]
    fn room_that_nobody_uses_is_the_threads_and_what_waits_is_not_lent() {
        let mut one = Trains::default();
        push(&mut one, 1, 1200);
        one.lend();
        assert_eq!(shape(&mut one), [(1, 1200, 1, 1200)], "it still waits");
        let room = one.buffer().capacity();
        one.lend();
        let mut other = Trains::default();
        assert_eq!(other.buffer().capacity(), room);
        assert!(other.is_empty());
        push(&mut other, 2, 700);
        assert_eq!(shape(&mut other), [(2, 700, 1, 700)]);
    }

    #[cfg(feature = "turn-server")]
    #[test]
    fn mixed_paths_are_gathered_in_the_order_of_each() {
        let (mut mixed, mut gathered) = (Trains::default(), Trains::default());
        for size in [1200, 1200, 700, 0, 1200] {
            for port in [2, 1] {
                push(&mut mixed, port, size);
            }
        }
        assert_eq!(mixed.waiting(), 10);
        mixed.gather(&mut gathered, |_| 4);
        assert!(mixed.is_empty());
        assert_eq!(mixed.len(), 0);
        let of = |port| [(port, 1200, 3, 3100), (port, 0, 1, 0), (port, 1200, 1, 1200)];
        assert_eq!(shape(&mut gathered), [of(1), of(2)].concat());
    }

    #[test]
    fn nothing_goes_along_with_a_single_datagram_that_is_larger_than_usual() {
        let mut trains = Trains::default();
        for size in [1200, 9000, 1200, 1200, 9000, 9000, 1200] {
            push(&mut trains, 1, size);
        }
        assert_eq!(
            shape(&mut trains),
            [
                (1, 1200, 1, 1200),
                (1, 9000, 1, 9000),
                (1, 1200, 2, 2400),
                (1, 9000, 3, 19_200)
            ]
        );
    }

    #[test]
    fn another_path_or_the_segment_limit_begins_a_new_train() {
        let mut trains = Trains::default();
        for (port, count) in [(1, 5), (2, 1), (1, 1)] {
            for _ in 0..count {
                push(&mut trains, port, 100);
            }
        }
        let expected = [
            (1, 100, 4, 400),
            (1, 100, 1, 100),
            (2, 100, 1, 100),
            (1, 100, 1, 100),
        ];
        assert_eq!(shape(&mut trains), expected);
    }

    /// `gso_max_size` of loopback, and the headers that it counts: Ethernet, IPv6, UDP.
    #[test]
    fn a_train_with_its_headers_is_shorter_than_what_an_interface_takes_apart() {
        let packet = dunlin_peerconnection::Config::default().max_path_datagram;
        for (size, count) in [(packet, 4), (30_000, 2), (1191, 54), (1200, 54)] {
            let mut trains = Trains::default();
            for _ in 0..=count {
                let start = trains.buffer().len();
                trains.buffer().resize(start + size, 0);
                trains.push(Transmit::new(path(1)), start, 64);
            }
            let bytes = count * size;
            assert!(bytes + 14 + 40 + 8 < 65_536);
            assert_eq!(shape(&mut trains), [(1, size, count, bytes), (1, size, 1, size)]);
        }
    }
}
