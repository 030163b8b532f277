//! The only way for a node to read anything.

use std::sync::Arc;

use proto::{Event, Fault, Name, ResourceKey};

use crate::bucket::Bucket;
use crate::dependency::Dependency;
use crate::{Engine, Graph, Model};

/// Reads, recorded. What is absent is recorded too, so that its arrival wakes the reader.
pub struct Cx<'a, G: Graph> {
    engine: &'a Engine<G>,
    level: usize,
    pub(crate) reads: Vec<Dependency<G::Node, G::Index>>,
}

impl<'a, G: Graph> Cx<'a, G> {
    pub(crate) fn new(engine: &'a Engine<G>, level: usize) -> Self {
        Cx { engine, level, reads: Vec::with_capacity(8) }
    }

    /// Settings: constant for the life of the engine, so not recorded.
    pub fn env(&self) -> &'a G::Env {
        &self.engine.env
    }

    /// An object of a kind; none if there is none or if it does not decode.
    pub fn object<M: Model<G>>(&mut self, key: &ResourceKey) -> Option<Arc<M>> {
        self.reads.push(Dependency::Object(key.clone()));
        self.engine.objects.model(key)
    }

    /// Decodes an object of a kind that is not kept decoded.
    pub fn decode<M: Model<G>>(&mut self, key: &ResourceKey) -> Option<Result<M, Fault>> {
        self.reads.push(Dependency::Object(key.clone()));
        self.engine.objects.decode(key)
    }

    /// An object beside `near`, in another namespace and of another kind.
    pub fn sibling<M: Model<G>>(
        &mut self,
        near: &ResourceKey,
        namespace: &Name,
        name: &Name,
    ) -> Option<Arc<M>> {
        self.object(&near.sibling(M::KIND, namespace.clone(), name.clone()))
    }

    /// True if there is such an object, even one that does not decode.
    pub fn exists(&mut self, key: &ResourceKey) -> bool {
        self.event(key).is_some()
    }

    /// `metadata.generation` of an object, 0 if there is none.
    pub fn generation(&mut self, key: &ResourceKey) -> i64 {
        self.event(key).map_or(0, |event| event.generation)
    }

    fn event(&mut self, key: &ResourceKey) -> Option<&'a Event> {
        self.reads.push(Dependency::Object(key.clone()));
        self.engine.objects.get(key)
    }

    /// The members of a bucket, in order.
    pub fn members(&mut self, index: G::Index) -> impl Iterator<Item = &'a ResourceKey> + use<'a, G> {
        let bucket = self.engine.indexes.get(&index);
        self.reads.push(Dependency::Index(index));
        bucket.into_iter().flat_map(Bucket::members)
    }

    /// How many members a bucket has.
    pub fn count(&mut self, index: G::Index) -> usize {
        let count = self.engine.indexes.get(&index).map_or(0, Bucket::len);
        self.reads.push(Dependency::Index(index));
        count
    }

    /// The value of a node of a lower level; none if nothing demands it.
    ///
    /// # Panics
    /// In debug builds, if the node's level is not lower.
    pub fn node(&mut self, key: G::Node) -> Option<&'a G::Value> {
        debug_assert!(G::level(&key) < self.level, "{key:?} is not below level {}", self.level);
        let value = self.engine.node(&key).map(|node| &node.output.value);
        self.reads.push(Dependency::Node(key));
        value
    }
}
