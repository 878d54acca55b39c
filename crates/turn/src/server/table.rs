//! The two containers of the server: a slab whose keys go stale, and a hash index that nobody can iterate.

#![expect(
    clippy::disallowed_types,
    reason = "the index offers no iteration, so its order cannot show"
)]

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};

/// A place in a [`Slab`]. The generation tells an old key of a place from the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// Values at places that stay the same.
#[derive(Debug)]
pub(super) struct Slab<T> {
    slots: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, value: T) -> Key {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.1 = Some(value);
            let generation = slot.0;
            return Key { index, generation };
        }
        let index = self.slots.len() as u32;
        self.slots.push((0, Some(value)));
        Key { index, generation: 0 }
    }

    pub(super) fn get(&self, key: Key) -> Option<&T> {
        let (generation, value) = self.slots.get(key.index as usize)?;
        value.as_ref().filter(|_| *generation == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, value) = self.slots.get_mut(key.index as usize)?;
        value.as_mut().filter(|_| *generation == key.generation)
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let (generation, value) = self.slots.get_mut(key.index as usize)?;
        if *generation != key.generation {
            return None;
        }
        let removed = value.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(key.index);
        Some(removed)
    }

    /// The keys of all values, in the order of their places.
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, (generation, value))| {
            value.as_ref().map(|_| Key {
                index: index as u32,
                generation: *generation,
            })
        })
    }
}

/// A hash index: one look-up per packet.
#[derive(Debug)]
pub(super) struct Index<K, V>(HashMap<K, V, Seeded>);

impl<K: Hash + Eq, V: Copy> Index<K, V> {
    pub(super) fn new(seed: u64) -> Self {
        Self(HashMap::with_hasher(Seeded(seed)))
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.0.get(key).copied()
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.0.remove(key);
    }
}

/// Makes hashers that outsiders cannot foretell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seeded(pub(super) u64);

impl BuildHasher for Seeded {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded {
            state: self.0,
            secret: self.0 | 1,
        }
    }
}

/// Folds each word in by a 64 x 64 bit multiplication, whose halves are XORed.
pub(super) struct Folded {
    state: u64,
    secret: u64,
}

impl Folded {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.secret ^ 0x9E37_79B9_7F4A_7C15);
        self.state = (product as u64) ^ ((product >> 64) as u64) ^ self.secret.rotate_left(23);
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_ne_bytes(word));
        }
    }

    fn write_u16(&mut self, value: u16) {
        self.fold(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.fold(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }

    // Lengths and discriminants say nothing that the bytes beside them do not.
    fn write_usize(&mut self, _: usize) {}

    fn write_isize(&mut self, value: isize) {
        self.state ^= value as u64;
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_finds_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert(1);
        assert_eq!((slab.remove(first), slab.remove(first)), (Some(1), None));
        let second = slab.insert(2);
        assert_eq!(second.index, first.index);
        assert_eq!(
            (slab.get(first), slab.get(second), slab.len()),
            (None, Some(&2), 1)
        );
        assert_eq!(slab.keys().collect::<Vec<_>>(), [second]);
    }

    #[test]
    fn neighbouring_addresses_spread() {
        let seeded = Seeded(0x1234_5678_9ABC_DEF1);
        let mut buckets = [0_u32; 256];
        for port in 0..=u16::MAX {
            let address = std::net::SocketAddr::new([192, 0, 2, 1].into(), port);
            buckets[seeded.hash_one(address) as usize & 255] += 1;
        }
        assert!(
            buckets.iter().all(|count| (128..=512).contains(count)),
            "{buckets:?}"
        );
    }
}
