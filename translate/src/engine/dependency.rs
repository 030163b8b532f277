//! What nodes read, and who reads it.

use proto::ResourceKey;
use rustc_hash::FxHashMap;

use super::NodeId;
use crate::graph::{IndexKey, NodeKey};

/// Something that a node can read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Dependency {
    /// An object, present or absent.
    Object(ResourceKey),
    /// Membership of a bucket of an index.
    Index(IndexKey),
    /// The value of a node, present or absent.
    Node(NodeKey),
}

#[derive(Debug)]
struct Entry {
    dependency: Dependency,
    /// Sorted.
    readers: Vec<NodeId>,
}

/// Dependencies by small id, each with its readers. One without readers is forgotten.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    ids: FxHashMap<Dependency, u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
}

impl Dependencies {
    /// The dependency with an id.
    pub(super) fn get(&self, id: u32) -> Option<&Dependency> {
        self.entries.get(id as usize)?.as_ref().map(|entry| &entry.dependency)
    }

    /// Nodes that read a dependency.
    pub(super) fn readers(&self, dependency: &Dependency) -> &[NodeId] {
        self.ids
            .get(dependency)
            .and_then(|id| self.entries[*id as usize].as_ref())
            .map_or(&[], |entry| &entry.readers)
    }

    /// Replaces what a node reads; returns the ids, sorted, to be handed in as `old` next time.
    pub(super) fn replace(&mut self, reader: NodeId, old: &[u32], reads: Vec<Dependency>) -> Vec<u32> {
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
    pub(super) fn release(&mut self, reader: NodeId, reads: &[u32]) {
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
            let dependency = self.entries[id as usize].take().map(|entry| entry.dependency);
            if let Some(dependency) = dependency {
                self.ids.remove(&dependency);
            }
            self.free.push(id);
        }
    }

    fn intern(&mut self, dependency: Dependency) -> u32 {
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

    fn object(name: &str) -> Dependency {
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
