//! The contents of test messages: both ends make them from a seed, so only a hash travels back.

use sha2::{Digest, Sha256};

/// A prime, so that messages of a round size swapped or lost change the whole.
const PERIOD: usize = 65521;

/// A linear congruential sequence (the top byte of each step), repeated after a period.
pub fn binary(size: usize, seed: u32) -> Vec<u8> {
    let mut x = seed;
    let block: Vec<u8> = (0..size.min(PERIOD))
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        })
        .collect();
    block.iter().copied().cycle().take(size).collect()
}

/// Exactly `size` bytes of UTF-8: a euro sign where it fits, then printable ASCII.
pub fn text(size: usize, seed: u32) -> String {
    let mut text = String::with_capacity(size);
    if size >= 3 {
        text.push('€');
    }
    for index in text.len()..size {
        let letter = 32 + (u64::from(seed) + index as u64 * 7) % 95;
        text.push(char::from(letter as u8));
    }
    text
}

/// SHA-256 as hexadecimal digits.
pub fn sha256(data: &[u8]) -> String {
    Sha256::digest(data)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What the hash of a message made here must be.
pub fn hash(kind: &str, size: usize, seed: u32) -> String {
    if kind == "text" {
        sha256(text(size, seed).as_bytes())
    } else {
        sha256(&binary(size, seed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_exactly_its_size_in_bytes() {
        for size in [0, 1, 2, 3, 4, 1200] {
            assert_eq!(text(size, 5).len(), size);
        }
        assert_eq!(text(5, 0), "€5<");
    }

    #[test]
    fn the_binary_pattern_repeats_after_a_prime() {
        let bytes = binary(PERIOD + 10, 7);
        assert_eq!(bytes[..10], bytes[PERIOD..]);
        assert_eq!(
            sha256(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
