//! The tables of a domain with many routes: by the first segment of the path, and where too many share that, by
//! the next.

use std::collections::{BTreeMap, BTreeSet};

use lookup::{Leaf, MAX_SEGMENTS};
use proto::ArcStr;

use super::directory::{Directory, Load};
use super::hosts::{Hosts, Part, PathKey};

/// Which tables there are for the paths that begin with some segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathDirectory {
    leaves: Directory,
    /// By the next segment, for segments that have more routes than a table.
    deeper: BTreeMap<u32, PathDirectory>,
}

/// The routes that a directory is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Routes<'a> {
    pub(super) hosts: &'a Hosts,
    pub(super) domain: &'a ArcStr,
    /// As many fit into a table.
    pub(super) limit: usize,
}

impl PathDirectory {
    /// The directory of the routes for paths that begin so.
    pub(super) fn of(routes: Routes<'_>, start: &[u32]) -> Self {
        let leaves = Directory::of(routes.limit, |leaf| routes.load(start, leaf));
        let mut directory = PathDirectory { leaves, deeper: BTreeMap::new() };
        let leaves: Vec<Leaf> = directory.leaves.iter().collect();
        for leaf in leaves {
            if let Some(hash) = routes.too_many(start, leaf) {
                directory.deeper.insert(hash, Self::of(routes, &[start, &[hash]].concat()));
            }
        }
        directory
    }

    /// Splits or merges after a route for this path came or went; true if the tables are others now.
    pub(super) fn refit(&mut self, routes: Routes<'_>, path: &PathKey) -> bool {
        self.refit_at(routes, path, 0)
    }

    fn refit_at(&mut self, routes: Routes<'_>, path: &PathKey, level: usize) -> bool {
        let Some(&hash) = path.get(level) else { return false };
        let start = &path[..level];
        let mut changed = self.leaves.refit(hash, routes.limit, |leaf| routes.load(start, leaf));
        let leaf = self.leaves.find(hash);
        let many = routes.too_many(start, leaf);
        let before = self.deeper.len();
        self.deeper.retain(|hash, _| !leaf.contains(*hash) || many == Some(*hash));
        changed |= self.deeper.len() != before;
        let Some(many) = many else { return changed };
        match self.deeper.get_mut(&many) {
            Some(deeper) if many == hash => changed | deeper.refit_at(routes, path, level + 1),
            Some(_) => changed,
            None => {
                self.deeper.insert(many, Self::of(routes, &[start, &[many]].concat()));
                true
            }
        }
    }

    /// All tables, by what they hold.
    pub(super) fn parts(&self) -> BTreeSet<Part> {
        let mut parts = BTreeSet::new();
        self.add_parts(&[], &mut parts);
        parts
    }

    /// Adds the tables that have routes for this path.
    pub(super) fn parts_of(&self, path: &PathKey, parts: &mut BTreeSet<Part>) {
        let mut directory = self;
        for (level, hash) in path.iter().enumerate() {
            let leaf = directory.leaves.find(*hash);
            parts.insert(directory.part(&path[..level], leaf));
            match directory.deeper.get(hash) {
                Some(deeper) => directory = deeper,
                None => return,
            }
        }
        directory.add_parts(path, parts);
    }

    /// For the module.
    pub(super) fn paths(&self) -> lookup::Paths {
        let deeper = self.deeper.iter().map(|(hash, deeper)| (*hash, deeper.paths())).collect();
        lookup::Paths { leaves: self.leaves.leaves(), deeper }
    }

    fn part(&self, start: &[u32], next: Leaf) -> Part {
        let rest = self.deeper.range(next.start..=next.end()).next().is_some();
        Part { start: start.to_vec(), next, rest }
    }

    fn add_parts(&self, start: &[u32], parts: &mut BTreeSet<Part>) {
        parts.extend(self.leaves.iter().map(|leaf| self.part(start, leaf)));
        for (hash, deeper) in &self.deeper {
            deeper.add_parts(&[start, &[*hash]].concat(), parts);
        }
    }
}

impl Routes<'_> {
    fn load(self, start: &[u32], leaf: Leaf) -> Load {
        self.hosts.load(self.domain, start, leaf, self.limit.saturating_add(1))
    }

    /// The one segment of a leaf, if more routes than a table can have are for paths that go on after it.
    fn too_many(self, start: &[u32], leaf: Leaf) -> Option<u32> {
        let (hash, highest) = self.load(start, leaf).span?;
        let is_last = start.len() + 1 >= MAX_SEGMENTS;
        if hash != highest || is_last {
            return None;
        }
        (self.load(&[start, &[hash]].concat(), Leaf::ALL).weight > self.limit).then_some(hash)
    }
}
