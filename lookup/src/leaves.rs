//! The leaves of an extendible hashing directory: which part of the hash space each table has.

use std::fmt;

/// Deepest leaf: a split looks at no more bits of a hash.
pub const MAX_DEPTH: u8 = 24;

/// A part of the hash space: all hashes that begin with the first `depth` bits of `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Leaf {
    /// Its lowest hash.
    pub start: u32,
    /// How many bits all its hashes share.
    pub depth: u8,
}

impl Leaf {
    /// All hashes.
    pub const ALL: Leaf = Leaf { start: 0, depth: 0 };

    /// Its highest hash.
    pub fn end(self) -> u32 {
        self.start | u32::MAX.checked_shr(u32::from(self.depth)).unwrap_or(0)
    }

    /// True if the hash is one of its.
    pub fn contains(self, hash: u32) -> bool {
        (self.start..=self.end()).contains(&hash)
    }

    /// Its two halves.
    pub fn halves(self) -> [Leaf; 2] {
        let depth = self.depth + 1;
        [self.start, self.start | 1u32.rotate_right(u32::from(depth))].map(|start| Leaf { start, depth })
    }

    /// The leaf that this is a half of.
    pub fn whole(self) -> Option<Leaf> {
        let depth = self.depth.checked_sub(1)?;
        let below = u32::MAX.checked_shr(u32::from(depth)).unwrap_or(0);
        Some(Leaf { start: self.start & !below, depth })
    }

    /// Its shared bits as digits, for the name of its table.
    pub fn bits(self) -> impl Iterator<Item = char> {
        (0..self.depth).map(move |at| if self.start << at & 1 << 31 == 0 { '0' } else { '1' })
    }
}

/// Leaves that cover the hash space without overlap, by start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves(Vec<Leaf>);

impl Leaves {
    /// Leaves in order; none if they do not cover the hash space exactly.
    pub fn new(leaves: impl IntoIterator<Item = u8>) -> Option<Leaves> {
        let mut all = Vec::new();
        let mut start = Some(0u32);
        for depth in leaves {
            let leaf = Leaf { start: start?, depth };
            let below = Leaf { start: 0, depth }.end();
            if depth > MAX_DEPTH || leaf.start & below != 0 {
                return None;
            }
            start = leaf.end().checked_add(1);
            all.push(leaf);
        }
        (start.is_none() && !all.is_empty()).then_some(Leaves(all))
    }

    /// Reads the text form; none if it is anything else.
    pub(crate) fn parse(depths: &str) -> Option<Leaves> {
        Leaves::new(depths.bytes().map(|letter| letter.wrapping_sub(b'a')))
    }

    /// The leaf of a hash.
    pub fn find(&self, hash: u32) -> Leaf {
        let after = self.0.partition_point(|leaf| leaf.start <= hash);
        self.0[after.saturating_sub(1)]
    }

    /// The leaves in order.
    pub fn iter(&self) -> impl Iterator<Item = Leaf> {
        self.0.iter().copied()
    }
}

/// The text form: a letter (`a` = 0) for the depth of each leaf in order.
impl fmt::Display for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|leaf| write!(f, "{}", char::from(b'a' + leaf.depth)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Leaf, Leaves};

    #[test]
    fn halves_make_the_whole() {
        let mut leaf = Leaf::ALL;
        for bit in [1, 0, 1, 1] {
            let halves = leaf.halves();
            assert_eq!((halves[0].start, halves[1].end()), (leaf.start, leaf.end()));
            assert_eq!(halves[0].end() + 1, halves[1].start);
            assert!(halves.iter().all(|half| half.whole() == Some(leaf)));
            leaf = halves[bit];
        }
        assert_eq!(leaf.bits().collect::<String>(), "1011");
        assert_eq!(Leaf::ALL.whole(), None);
    }

    #[test]
    fn a_hash_has_one_leaf() {
        let leaves = Leaves::new([1, 3, 3, 2]).unwrap();
        for (hash, bits) in
            [(0, "0"), (0x7fff_ffff, "0"), (0x8000_0000, "100"), (0xa000_0001, "101"), (u32::MAX, "11")]
        {
            assert_eq!(leaves.find(hash).bits().collect::<String>(), bits, "{hash:x}");
        }
        assert_eq!(Leaves::new([0]).unwrap().find(77), Leaf::ALL);
    }

    #[test]
    fn gaps_and_overlaps_are_refused() {
        for bad in [&[][..], &[1], &[1, 1, 1], &[2, 1, 2], &[0, 0], &[25]] {
            assert_eq!(Leaves::new(bad.iter().copied()), None, "{bad:?}");
        }
    }
}
