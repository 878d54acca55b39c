//! How fuzz targets read their input: a string of pieces, each a length and that many bytes.

/// Splits an input into pieces: two bytes of length (big endian, of at most 2,047), then the bytes.
pub fn pieces(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = data.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length)) & 0x7FF;
        let (piece, rest) = rest.split_at(length.min(rest.len()));
        data = rest;
        Some(piece)
    })
}

/// Numbers that the input decides, zero when it is used up.
#[derive(Debug)]
pub struct Dice<'a>(&'a [u8]);

impl<'a> Dice<'a> {
    /// Dice over an input.
    pub fn new(data: &'a [u8]) -> Self {
        Dice(data)
    }

    /// The next byte, while there is one.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next two bytes, while there are.
    pub fn short(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// The next `count` bytes, or as many as there are.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A network that the input decides: what becomes of one datagram.
pub fn carry(dice: &mut Dice<'_>, datagram: &[u8], mut deliver: impl FnMut(&[u8])) {
    let Some(action) = dice.byte() else { return deliver(datagram) };
    let mut changed = datagram.to_vec();
    match action % 16 {
        0..=8 => deliver(datagram),
        9 => {}
        10 => {
            deliver(datagram);
            deliver(datagram);
        }
        11 | 12 => {
            let at = usize::from(dice.short().unwrap_or(0)) % changed.len().max(1);
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= dice.byte().unwrap_or(1).max(1);
            }
            deliver(&changed);
        }
        13 => {
            changed.truncate(usize::from(dice.short().unwrap_or(0)) % (changed.len() + 1));
            deliver(&changed);
        }
        14 => {
            let length = usize::from(dice.byte().unwrap_or(0));
            deliver(dice.bytes(length));
            deliver(datagram);
        }
        _ => {
            // Bytes of the input written over the datagram at some place.
            let at = usize::from(dice.short().unwrap_or(0)) % changed.len().max(1);
            let length = usize::from(dice.byte().unwrap_or(0) % 32);
            for (byte, new) in changed.iter_mut().skip(at).zip(dice.bytes(length)) {
                *byte = *new;
            }
            deliver(&changed);
        }
    }
}
