//! Extendible hashing: which leaves a directory has. Follows from what is in it alone, so every replica and
//! every replay comes to the same: a leaf is there if it fits and the whole that it is a half of does not.

use std::collections::BTreeMap;

use lookup::{Leaf, Leaves, MAX_DEPTH};

/// What a part of the hash space holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Number of routes.
    pub(super) weight: usize,
    /// The lowest and the highest hash; a single hash cannot be split.
    pub(super) span: Option<(u32, u32)>,
}

impl Load {
    /// Adds what has this hash.
    pub(super) fn add(&mut self, hash: u32, weight: usize) {
        self.weight += weight;
        self.span = Some(self.span.map_or((hash, hash), |(low, high)| (low.min(hash), high.max(hash))));
    }

    /// True if there is more than one hash.
    pub(super) fn can_split(&self) -> bool {
        self.span.is_some_and(|(low, high)| low != high)
    }

    fn fits(&self, leaf: Leaf, limit: usize) -> bool {
        self.weight <= limit || !self.can_split() || leaf.depth == MAX_DEPTH
    }
}

/// The leaves, depth by start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directory(BTreeMap<u32, u8>);

impl Default for Directory {
    fn default() -> Self {
        Directory(BTreeMap::from([(0, 0)]))
    }
}

impl Directory {
    /// The directory of all that `load` speaks of.
    pub(super) fn of(limit: usize, load: impl Fn(Leaf) -> Load) -> Self {
        let mut directory = Directory::default();
        if !load(Leaf::ALL).fits(Leaf::ALL, limit) {
            directory.split(Leaf::ALL, limit, &load);
        }
        directory
    }

    /// Splits or merges after something with this hash came, went or changed its weight; true if the leaves
    /// changed.
    pub(super) fn refit(&mut self, hash: u32, limit: usize, load: impl Fn(Leaf) -> Load) -> bool {
        let mut leaf = self.find(hash);
        if !load(leaf).fits(leaf, limit) {
            self.split(leaf, limit, &load);
            return true;
        }
        let mut changed = false;
        while let Some(whole) = leaf.whole() {
            let both = whole.halves().iter().all(|half| self.0.get(&half.start) == Some(&half.depth));
            if !both || !load(whole).fits(whole, limit) {
                break;
            }
            self.0.remove(&whole.halves()[1].start);
            self.0.insert(whole.start, whole.depth);
            (leaf, changed) = (whole, true);
        }
        changed
    }

    fn split(&mut self, leaf: Leaf, limit: usize, load: &impl Fn(Leaf) -> Load) {
        for half in leaf.halves() {
            self.0.insert(half.start, half.depth);
            if !load(half).fits(half, limit) {
                self.split(half, limit, load);
            }
        }
    }

    /// The leaf of a hash.
    pub(super) fn find(&self, hash: u32) -> Leaf {
        let found = self.0.range(..=hash).next_back();
        found.map_or(Leaf::ALL, |(&start, &depth)| Leaf { start, depth })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Leaf> {
        self.0.iter().map(|(&start, &depth)| Leaf { start, depth })
    }

    /// For the module.
    pub(super) fn leaves(&self) -> Leaves {
        Leaves::new(self.0.values().copied()).expect("invariant: the leaves cover the hash space")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Directory, Leaf, Load};

    fn load(items: &BTreeMap<u32, usize>) -> impl Fn(Leaf) -> Load {
        |leaf| {
            let mut load = Load::default();
            items.range(leaf.start..=leaf.end()).for_each(|(hash, weight)| load.add(*hash, *weight));
            load
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_leaves_follow_from_the_content(
            changes in proptest::collection::vec((any::<u32>(), 0..6usize, any::<bool>()), 1..200),
            limit in 1..12usize,
        ) {
            let mut items = BTreeMap::new();
            let mut directory = Directory::default();
            for (hash, weight, spread) in changes {
                // Few hashes, or hashes with a long common prefix, too.
                let hash = if spread { hash } else { hash & 0x7 };
                if weight == 0 { items.remove(&hash); } else { items.insert(hash, weight); }
                let before = directory.clone();
                let changed = directory.refit(hash, limit, load(&items));
                prop_assert_eq!(changed, before != directory);
                prop_assert_eq!(&directory, &Directory::of(limit, load(&items)));
                prop_assert_eq!(directory.leaves().find(hash), directory.find(hash));
            }
        }
    }

    #[test]
    fn one_hash_is_never_split() {
        let items = BTreeMap::from([(7, 1000)]);
        assert_eq!(Directory::of(1, load(&items)), Directory::default());
    }
}
