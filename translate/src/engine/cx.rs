//! The only way for a node to read anything.

use std::sync::Arc;

use proto::{Fault, Name, ResourceKey};

use super::dependency::Dependency;
use super::{Bucket, Engine};
use crate::env::Env;
use crate::graph::{IndexKey, Member, NodeKey, Value};
use crate::model::Model;

/// Reads, recorded. What is absent is recorded too, so that its arrival wakes the reader.
pub(crate) struct Cx<'a> {
    engine: &'a Engine,
    level: usize,
    pub(super) reads: Vec<Dependency>,
}

impl<'a> Cx<'a> {
    pub(super) fn new(engine: &'a Engine, level: usize) -> Self {
        Cx { engine, level, reads: Vec::with_capacity(8) }
    }

    /// Settings: constant for the life of the engine, so not recorded.
    pub(crate) fn env(&self) -> &'a Env {
        &self.engine.env
    }

    /// An object of a kind; none if there is none or if it does not decode.
    pub(crate) fn object<M: Model>(&mut self, key: &ResourceKey) -> Option<Arc<M>> {
        self.reads.push(Dependency::Object(key.clone()));
        self.engine.objects.model(key)
    }

    /// Decodes an object of a kind that is not kept decoded.
    pub(crate) fn decode<M: Model>(&mut self, key: &ResourceKey) -> Option<Result<M, Fault>> {
        self.reads.push(Dependency::Object(key.clone()));
        self.engine.objects.decode(key)
    }

    /// An object beside `near`, in another namespace and of another kind.
    pub(crate) fn sibling<M: Model>(
        &mut self,
        near: &ResourceKey,
        namespace: &Name,
        name: &Name,
    ) -> Option<Arc<M>> {
        self.object(&near.sibling(M::KIND, namespace.clone(), name.clone()))
    }

    /// True if there is such an object, even one that does not decode.
    pub(crate) fn exists(&mut self, key: &ResourceKey) -> bool {
        self.reads.push(Dependency::Object(key.clone()));
        self.engine.objects.get(key).is_some()
    }

    /// `metadata.generation` of an object, 0 if there is none.
    pub(crate) fn generation(&mut self, key: &ResourceKey) -> i64 {
        self.reads.push(Dependency::Object(key.clone()));
        self.engine.objects.get(key).map_or(0, |event| event.generation)
    }

    /// The members of a bucket, in order.
    pub(crate) fn members(&mut self, index: IndexKey) -> impl Iterator<Item = &'a Member> + use<'a> {
        let bucket = self.engine.indexes.get(&index);
        self.reads.push(Dependency::Index(index));
        bucket.into_iter().flat_map(Bucket::members)
    }

    /// How many members a bucket has.
    pub(crate) fn count(&mut self, index: IndexKey) -> usize {
        let count = self.engine.indexes.get(&index).map_or(0, Bucket::len);
        self.reads.push(Dependency::Index(index));
        count
    }

    /// The value of a node of a lower level; none if nothing demands it.
    pub(crate) fn node(&mut self, key: NodeKey) -> Option<&'a Value> {
        debug_assert!(key.level() < self.level, "{key:?} is not below level {}", self.level);
        let value = self
            .engine
            .ids
            .get(&key)
            .and_then(|id| self.engine.nodes[*id as usize].as_ref())
            .map(|node| &node.output.value);
        self.reads.push(Dependency::Node(key));
        value
    }
}
