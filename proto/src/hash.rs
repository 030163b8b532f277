//! Content hashes: the version of every xDS resource.

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

/// 128-bit content hash (XXH3). Equal content has an equal hash on every replica and in every run,
/// so a reconnect or a failover pushes nothing that the proxy already has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub u128);

impl ContentHash {
    /// Hash of one byte string.
    pub fn of(bytes: &[u8]) -> Self {
        ContentHash(xxh3_128(bytes))
    }

    /// Its high and its low half.
    pub fn halves(self) -> [u64; 2] {
        [(self.0 >> 64) as u64, self.0 as u64]
    }

    /// Hash of a named part of a whole. The name is part of the hash, so that a part that moves under
    /// another name changes the whole.
    pub fn of_named(name: &str, bytes: &[u8]) -> Self {
        ContentHash(xxh3_128(name.as_bytes()).rotate_left(64) ^ xxh3_128(bytes))
    }

    /// Adds a part to a hash over an unordered set of parts; [`ContentHash::without`] takes it out
    /// again, so a set of any size is rehashed in constant time.
    #[must_use]
    pub fn with(self, part: ContentHash) -> Self {
        ContentHash(self.0.wrapping_add(part.mixed()))
    }

    /// Takes a part out of a hash over an unordered set.
    #[must_use]
    pub fn without(self, part: ContentHash) -> Self {
        ContentHash(self.0.wrapping_sub(part.mixed()))
    }

    fn mixed(self) -> u128 {
        xxh3_128(&self.0.to_le_bytes())
    }
}

/// Fixed-width hex: the text form used as xDS resource version.
impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::ContentHash;

    #[test]
    fn a_set_hash_forgets_order_and_removed_parts() {
        let (a, b, c) = (ContentHash::of(b"a"), ContentHash::of(b"b"), ContentHash::of(b"c"));
        let all = ContentHash::default().with(a).with(b).with(c);
        assert_eq!(all, ContentHash::default().with(c).with(a).with(b));
        assert_eq!(all.without(b), ContentHash::default().with(a).with(c));
        assert_ne!(all.without(b), ContentHash::default().with(a).with(b));
    }

    #[test]
    fn a_named_part_depends_on_its_name() {
        assert_ne!(ContentHash::of_named("x", b"1"), ContentHash::of_named("y", b"1"));
    }
}
