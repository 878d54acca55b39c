//! What the liar does to a datagram.

use std::time::Duration;

/// Datagrams that it remembers.
const MEMORY: usize = 64;

/// A liar that bytes drive.
pub(super) struct Liar<'a> {
    bytes: &'a [u8],
    /// Of 256 datagrams, how many it touches.
    zeal: u8,
    /// What went by: to whom, and what.
    seen: Vec<(usize, Vec<u8>)>,
    pub(super) lies: usize,
}

/// To whom, how much later than the network takes, and what.
type Copies = Vec<(usize, Duration, Vec<u8>)>;

impl<'a> Liar<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut this = Self {
            bytes,
            zeal: 0,
            seen: Vec::new(),
            lies: 0,
        };
        this.zeal = this.byte() / 2;
        this
    }

    /// The next byte; 0 when they are used up.
    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else {
            return 0;
        };
        self.bytes = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A number below `end`.
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.short()) % end.max(1)
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.byte()).collect()
    }

    fn remembered(&mut self) -> (usize, Vec<u8>) {
        let at = self.below(self.seen.len());
        self.seen[at].clone()
    }

    pub(super) fn carry(&mut self, to: usize, mut data: Vec<u8>) -> Copies {
        if self.seen.len() < MEMORY {
            self.seen.push((to, data.clone()));
        }
        // An honest one draws no byte for its honesty alone: `zeal` of 0 is an honest network.
        if self.zeal == 0 || self.bytes.is_empty() || self.byte() > self.zeal {
            return vec![(to, Duration::ZERO, data)];
        }
        self.lies += 1;
        let now = Duration::ZERO;
        let later = Duration::from_millis(u64::from(self.byte()) * 6);
        match self.byte() % 16 {
            0 => vec![],
            1 => {
                for _ in 0..=self.byte() % 3 {
                    let at = self.below(data.len());
                    data[at] ^= 1 << (self.byte() % 8);
                }
                vec![(to, now, data)]
            }
            2 => {
                data.truncate(1 + self.below(data.len()));
                vec![(to, now, data)]
            }
            3 => vec![(to, later, data)],
            4 => {
                let (_, old) = self.remembered();
                vec![(to, now, old), (to, later, data)]
            }
            // Back to where it came from.
            5 => vec![(1 - to, now, data.clone()), (to, later, data)],
            6 => vec![(to, now, [&data[..], &data].concat())],
            7 => {
                let (_, old) = self.remembered();
                vec![(to, now, [&old[..], &data].concat())]
            }
            8 | 9 => {
                let most = if self.byte() < 64 { 1200 } else { 100 };
                let size = 1 + self.below(most);
                let mut cut = refragment(&data, size);
                if self.byte() < 128 {
                    cut.reverse();
                }
                let each = cut.into_iter().enumerate();
                each.map(|(index, data)| (to, Duration::from_micros(index as u64), data))
                    .collect()
            }
            10 => {
                // Bytes of its own over a part, which may be a length, a number, a type.
                let (at, len) = (self.below(data.len()), usize::from(self.byte() % 8));
                let new = self.take(len);
                data.iter_mut()
                    .skip(at)
                    .zip(new)
                    .for_each(|(byte, new)| *byte = new);
                vec![(to, now, data)]
            }
            11 => self.changed_message(to, data),
            _ => {
                let lie = self.forged();
                vec![(to, now, lie), (to, now, data)]
            }
        }
    }

    /// A message in clear that went by earlier, ClientHellos above all, with another number or another content; the
    /// true one goes as well.
    fn changed_message(&mut self, to: usize, data: Vec<u8>) -> Copies {
        let mut copies = vec![(to, Duration::ZERO, data)];
        let in_clear =
            |(to, data): &(usize, Vec<u8>)| data.len() > 26 && data[0] == 22 && data[4] == 0 && *to < 2;
        let Some((to, mut lie)) = self.seen.iter().find(|seen| in_clear(seen)).cloned() else {
            return copies;
        };
        // Another number of the record, so that it is not known already, and perhaps of the message.
        lie[9] = 1 + self.byte() % 8;
        lie[10] = self.byte();
        lie[18] = self.byte() % 4;
        for _ in 0..self.byte() % 4 {
            let at = 25 + self.below(lie.len() - 25);
            lie[at] = self.byte();
        }
        copies.push((to, Duration::from_millis(u64::from(self.byte())), lie));
        copies
    }

    /// A record of its own: an alert, an ACK, a fragment, a protected one of either version, or a ClientHello with no
    /// cipher at all.
    fn forged(&mut self) -> Vec<u8> {
        match self.byte() % 6 {
            0 => {
                let alert = [1 + self.byte() % 2, self.byte() % 121];
                self.plain(21, 0, &alert)
            }
            1 => {
                let mut ack = vec![0, 0];
                for _ in 0..self.byte() % 5 {
                    let (epoch, sequence) = (self.byte() % 5, self.byte() % 16);
                    ack.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, epoch, 0, 0, 0, 0, 0, 0, 0, sequence]);
                }
                ack[1] = (ack.len() - 2) as u8;
                self.plain(26, 0, &ack)
            }
            2 => {
                let total = self.below(2000) as u32;
                let offset = self.below(total as usize + 1) as u32;
                let len = usize::from(self.byte()).min((total - offset) as usize);
                let mut content = vec![self.byte() % 26];
                content.extend_from_slice(&total.to_be_bytes()[1..]);
                content.extend_from_slice(&[0, self.byte() % 8]);
                content.extend_from_slice(&offset.to_be_bytes()[1..]);
                content.extend_from_slice(&(len as u32).to_be_bytes()[1..]);
                content.extend(self.take(len));
                self.plain(22, 0, &content)
            }
            3 => {
                let (kind, epoch, len) = (20 + self.byte() % 7, self.byte() % 3, usize::from(self.byte()));
                let content = self.take(len);
                self.plain(kind, epoch, &content)
            }
            4 => {
                let len = usize::from(self.byte());
                let mut record = vec![0x20 | self.byte() & 0x1F];
                record.extend(self.take(2));
                record.extend_from_slice(&(len as u16).to_be_bytes());
                record.extend(self.take(len));
                record
            }
            _ => {
                let mut hello = vec![1, 0, 0, 42, 0, self.byte() % 3, 0, 0, 0, 0, 0, 42, 0xFE, 0xFD];
                hello.extend_from_slice(&[7; 32]);
                hello.extend_from_slice(&[0, 0, 0, 2, 0, 0, 1, 0]);
                self.plain(22, 0, &hello)
            }
        }
    }

    fn plain(&mut self, kind: u8, epoch: u8, content: &[u8]) -> Vec<u8> {
        let mut record = vec![
            kind,
            0xFE,
            0xFD,
            0,
            epoch,
            0,
            0,
            0,
            0,
            self.byte() % 2,
            self.byte(),
        ];
        record.extend_from_slice(&(content.len() as u16).to_be_bytes());
        record.extend_from_slice(content);
        record
    }
}

/// Cuts the handshake messages in clear into fragments of at most `size` bytes, each in a datagram; everything else
/// stays as it is.
pub(super) fn refragment(datagram: &[u8], size: usize) -> Vec<Vec<u8>> {
    let u24 = |bytes: &[u8]| usize::from(bytes[0]) << 16 | usize::from(bytes[1]) << 8 | usize::from(bytes[2]);
    let mut out = Vec::new();
    let mut rest = datagram;
    while rest.len() >= 13 && rest[0] >> 5 == 0 {
        let len = usize::from(u16::from_be_bytes([rest[11], rest[12]]));
        let (record, behind) = rest.split_at((13 + len).min(rest.len()));
        rest = behind;
        if record[0] != 22 || record[3..5] != [0, 0] {
            out.push(record.to_vec());
            continue;
        }
        let mut messages = &record[13..];
        while messages.len() >= 12 {
            let offset = u24(&messages[6..]);
            let (body, behind) = messages[12..].split_at(u24(&messages[9..]).min(messages.len() - 12));
            let empty = body.is_empty().then_some(&[][..]);
            for (index, piece) in body.chunks(size).chain(empty).enumerate() {
                let mut cut = record[..11].to_vec();
                cut.extend_from_slice(&(12 + piece.len() as u16).to_be_bytes());
                cut.extend_from_slice(&messages[..6]);
                cut.extend_from_slice(&((offset + index * size) as u32).to_be_bytes()[1..]);
                cut.extend_from_slice(&(piece.len() as u32).to_be_bytes()[1..]);
                cut.extend_from_slice(piece);
                out.push(cut);
            }
            messages = behind;
        }
    }
    if !rest.is_empty() {
        out.push(rest.to_vec());
    }
    out
}
