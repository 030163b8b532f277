//! What nodes read, and who reads it.

use std::hash::Hash;

use proto::ResourceKey;
use rustc_hash::FxHashMap;

use crate::NodeId;

/// Something that a node can read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dependency<N, I> {
    /// An object, present or absent.
    Object(ResourceKey),
    /// Membership of a bucket of an index.
    Index(I),
    /// The value of a node, present or absent.
    Node(N),
}

#[derive(Debug)]
struct Entry<N, I> {
    dependency: Dependency<N, I>,
    /// Sorted.
    readers: Vec<NodeId>,
}

/// Dependencies by small id, each with its readers. One without readers is forgotten.
#[derive(Debug)]
pub(crate) struct Dependencies<N, I> {
    ids: FxHashMap<Dependency<N, I>, u32>,
    entries: Vec<Option<Entry<N, I>>>,
    free: Vec<u32>,
}

impl<N, I> Default for Dependencies<N, I> {
    fn default() -> Self {
        Dependencies { ids: FxHashMap::default(), entries: Vec::new(), free: Vec::new() }
    }
}

impl<N: Clone + Eq + Hash, I: Clone + Eq + Hash> Dependencies<N, I> {
    /// The dependency with an id.
    pub(crate) fn get(&self, id: u32) -> Option<&Dependency<N, I>> {
        self.entries.get(id as usize)?.as_ref().map(|entry| &entry.dependency)
    }

    /// Nodes that read a dependency.
    pub(crate) fn readers(&self, dependency: &Dependency<N, I>) -> &[NodeId] {
        self.ids
            .get(dependency)
            .and_then(|id| self.entries[*id as usize].as_ref())
            .map_or(&[], |entry| &entry.readers)
    }

    /// Replaces what a node reads; returns the ids, sorted, to be handed in as `old` next time.
    pub(crate) fn replace(&mut self, reader: NodeId, old: &[u32], reads: Vec<Dependency<N, I>>) -> Vec<u32> {
        let mut new: Vec<u32> = reads.into_iter().map(|dependency| self.intern(dependency)).collect();
        new.sort_unstable();
        new.dedup();
        for id in &new {
            if old.binary_search(id).is_err()
                && let Some(entry) = self.entries[*id as usize].as_mut()
                && let Err(place) = entry.readers.binary_search(&reader)
            {
                entry.readers.insert(place, reader);
            }
        }
        for id in old {
            if new.binary_search(id).is_err() {
                self.unread(*id, reader);
            }
        }
        new.shrink_to_fit();
        new
    }

    /// Forgets a reader.
    pub(crate) fn release(&mut self, reader: NodeId, reads: &[u32]) {
        for id in reads {
            self.unread(*id, reader);
        }
    }

    fn unread(&mut self, id: u32, reader: NodeId) {
        let Some(entry) = self.entries[id as usize].as_mut() else { return };
        if let Ok(place) = entry.readers.binary_search(&reader) {
            entry.readers.remove(place);
        }
        if entry.readers.is_empty() {
            if let Some(entry) = self.entries[id as usize].take() {
                self.ids.remove(&entry.dependency);
            }
            self.free.push(id);
        }
    }

    fn intern(&mut self, dependency: Dependency<N, I>) -> u32 {
        if let Some(id) = self.ids.get(&dependency) {
            return *id;
        }
        let entry = Some(Entry { dependency: dependency.clone(), readers: Vec::new() });
        let id = if let Some(id) = self.free.pop() {
            self.entries[id as usize] = entry;
            id
        } else {
            self.entries.push(entry);
            u32::try_from(self.entries.len() - 1).expect("invariant: fewer than 2^32 dependencies")
        };
        self.ids.insert(dependency, id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::{Dependencies, Dependency};
    use proto::{Kind, ResourceKey};

    fn object(name: &str) -> Dependency<(), ()> {
        Dependency::Object(ResourceKey::local(Kind::SERVICE, "default", name))
    }

    #[test]
    fn readers_follow_the_last_reads() {
        let mut dependencies = Dependencies::default();
        let first = dependencies.replace(1, &[], vec![object("a"), object("b"), object("a")]);
        let second = dependencies.replace(2, &[], vec![object("b")]);
        assert_eq!(dependencies.readers(&object("b")), [1, 2]);
        let first = dependencies.replace(1, &first, vec![object("c")]);
        assert_eq!(dependencies.readers(&object("a")), [0_u32; 0]);
        assert_eq!(dependencies.readers(&object("b")), [2]);
        dependencies.release(1, &first);
        dependencies.release(2, &second);
        assert!(dependencies.ids.is_empty(), "a dependency without readers is forgotten");
    }
}
