//! SHA-1 (RFC 3174) around a compression function: what HMAC-SHA1 of a STUN message or of an SRTP packet is made of.
//!
//! Only the padding is here. It is a copy and one or two blocks, where a general-purpose hasher's costs as much as the
//! hash of a short message does (decision 21).

use sha1::block_api::compress;

use crate::hash::Digest;

const BLOCK: usize = 64;
/// Where the length stands in the last block.
const LENGTH_AT: usize = BLOCK - 8;

/// A SHA-1 being computed. It is a plain value: cloning it forks the computation.
#[derive(Clone)]
pub(crate) struct Sha1 {
    state: [u32; 5],
    /// The bytes that do not fill a block yet: `len % 64` of them.
    rest: [u8; BLOCK],
    /// Bytes so far.
    len: u64,
}

impl Sha1 {
    pub(crate) fn new() -> Self {
        Self {
            // RFC 3174, section 6.1.
            state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0],
            rest: [0; BLOCK],
            len: 0,
        }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        let filled = self.filled();
        self.len = self.len.wrapping_add(bytes.len() as u64);
        if filled > 0 {
            let (head, tail) = bytes.split_at(bytes.len().min(BLOCK - filled));
            self.rest[filled..filled + head.len()].copy_from_slice(head);
            bytes = tail;
            if filled + head.len() < BLOCK {
                return;
            }
            compress(&mut self.state, &[self.rest]);
        }
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        if !blocks.is_empty() {
            compress(&mut self.state, blocks);
        }
        self.rest[..rest.len()].copy_from_slice(rest);
    }

    /// The state after one block, to be hashed on from.
    pub(crate) fn after(block: &[u8; BLOCK]) -> Keyed {
        let mut hash = Self::new();
        compress(&mut hash.state, &[*block]);
        Keyed(hash.state)
    }

    pub(crate) fn finish(self) -> Digest {
        Digest::from_slice(self.finish_words().map(u32::to_be_bytes).as_flattened())
    }

    /// RFC 3174, section 4: a one, zeros, and the length in bits make the message whole blocks.
    fn finish_words(mut self) -> [u32; 5] {
        let filled = self.filled();
        self.rest[filled] = 0x80;
        self.rest[filled + 1..].fill(0);
        if filled + 1 > LENGTH_AT {
            compress(&mut self.state, &[self.rest]);
            self.rest.fill(0);
        }
        self.rest[LENGTH_AT..].copy_from_slice(&self.len.wrapping_mul(8).to_be_bytes());
        compress(&mut self.state, &[self.rest]);
        self.state
    }

    fn filled(&self) -> usize {
        (self.len % BLOCK as u64) as usize
    }
}

/// The state after one block: what a key of HMAC is made of, 20 bytes for each pad.
#[derive(Clone, Copy)]
pub(crate) struct Keyed([u32; 5]);

impl Keyed {
    /// Hashes on from here.
    pub(crate) fn start(self) -> Sha1 {
        Sha1 {
            state: self.0,
            rest: [0; BLOCK],
            len: BLOCK as u64,
        }
    }

    /// Takes the digest of the inner hash, which with its padding is one block.
    pub(crate) fn finish(self, inner: Sha1) -> Digest {
        const BITS: u64 = (BLOCK as u64 + 20) * 8;
        let mut block = [0; BLOCK];
        block[..20].copy_from_slice(inner.finish_words().map(u32::to_be_bytes).as_flattened());
        block[20] = 0x80;
        block[LENGTH_AT..].copy_from_slice(&BITS.to_be_bytes());
        let mut state = self.0;
        compress(&mut state, &[block]);
        Digest::from_slice(state.map(u32::to_be_bytes).as_flattened())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length around the edges of blocks, in pieces of every size, against another implementation.
    #[test]
    fn any_length_in_any_pieces_is_what_openssl_says() {
        let message: Vec<u8> = (0..300u32).map(|n| (n * 7) as u8).collect();
        for len in 0..=message.len() {
            let expected = openssl::sha::sha1(&message[..len]);
            for piece in [1, 20, 63, 64, 65, 300] {
                let mut hash = Sha1::new();
                for part in message[..len].chunks(piece) {
                    hash.update(part);
                }
                assert_eq!(*hash.finish(), expected, "{len} bytes in pieces of {piece}");
            }
        }
    }

    /// RFC 3174, section 7.3: the third test, a million times "a".
    #[test]
    fn a_million_letters() {
        let mut hash = Sha1::new();
        (0..1000).for_each(|_| hash.update(&[b'a'; 1000]));
        assert_eq!(hash.finish()[..4], [0x34, 0xaa, 0x97, 0x3c]);
    }
}
