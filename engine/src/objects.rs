//! The objects of a partition: newest event of each, decoded.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::{Change, Epoch, Event, Fault, ResourceKey, Revision};

use crate::failure::{self, Failure};
use crate::{Graph, IndexEntry, Model};

#[derive(Debug)]
struct Stored<G: Graph> {
    event: Event,
    /// Of the batch that brought it.
    revision: Revision,
    decoded: Result<G::Object, Box<Fault>>,
}

/// All live objects. Ordered, because a sweep walks the objects of one kind.
#[derive(Debug)]
pub(crate) struct Objects<G: Graph> {
    by_key: BTreeMap<ResourceKey, Stored<G>>,
    /// Newest events that this build cannot read, of objects that are there or not. Ordered, as a sweep takes these
    /// too.
    skipped: BTreeMap<ResourceKey, Event>,
}

impl<G: Graph> Default for Objects<G> {
    fn default() -> Self {
        Objects { by_key: BTreeMap::new(), skipped: BTreeMap::new() }
    }
}

impl<G: Graph> Objects<G> {
    /// The newest event of an object that this build can read.
    pub(crate) fn get(&self, key: &ResourceKey) -> Option<&Event> {
        self.by_key.get(key).map(|stored| &stored.event)
    }

    /// The revision at which an object became what it is; that of the first batch if it came before.
    pub(crate) fn revision(&self, key: &ResourceKey) -> Option<Revision> {
        self.by_key.get(key).map(|stored| stored.revision)
    }

    /// Events that fold to the state.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.by_key.values().map(|stored| &stored.event).chain(self.skipped.values())
    }

    /// The decoded object.
    pub(crate) fn model<M: Model<G>>(&self, key: &ResourceKey) -> Option<Arc<M>> {
        M::of(self.by_key.get(key)?.decoded.as_ref().ok()?)
    }

    /// Decodes an object of a kind that is not kept decoded because one node alone reads it.
    pub(crate) fn decode<M: Model<G>>(&self, key: &ResourceKey) -> Option<Result<M, Fault>> {
        let Change::Upsert(json) = &self.by_key.get(key)?.event.change else { return None };
        Some(M::parse(key, json))
    }

    /// What an object puts into indexes and which nodes it roots, sorted; nothing if it does not decode.
    /// One of which that panics counts as one that does not decode.
    pub(crate) fn contribution(&mut self, key: &ResourceKey) -> (Vec<IndexEntry<G>>, Vec<G::Node>) {
        let Some(stored) = self.by_key.get_mut(key) else { return Default::default() };
        let Ok(decoded) = &stored.decoded else { return Default::default() };
        match failure::caught(|| G::roots(key, decoded)) {
            Ok((mut entries, mut nodes)) => {
                entries.sort();
                nodes.sort();
                (entries, nodes)
            }
            Err(message) => {
                stored.decoded = Err(Box::new(undecoded(key, message)));
                Default::default()
            }
        }
    }

    /// Why an object does not decode.
    pub(crate) fn undecoded(&self, key: &ResourceKey) -> Option<&Fault> {
        self.by_key.get(key)?.decoded.as_ref().err().map(Box::as_ref)
    }

    /// The newest event of an object that this build cannot read.
    pub(crate) fn skipped(&self, key: &ResourceKey) -> Option<&Event> {
        self.skipped.get(key)
    }

    /// True if an object has a fault that is known before any node is computed.
    pub(crate) fn is_faulty(&self, key: &ResourceKey) -> bool {
        self.undecoded(key).is_some() || self.skipped(key).is_some()
    }

    /// Objects with a fault that is known before any node is computed.
    pub(crate) fn faulty(&self) -> impl Iterator<Item = &ResourceKey> {
        let undecoded = self.by_key.iter().filter(|(_, stored)| stored.decoded.is_err());
        undecoded.map(|(key, _)| key).chain(self.skipped.keys())
    }

    /// Stores an upsert. False if it brings nothing new: a repeated event of a relist.
    pub(crate) fn upsert(&mut self, revision: Revision, event: &Event, json: &[u8]) -> bool {
        let was_skipped = self.skipped.remove(&event.key).is_some();
        if let Some(stored) = self.by_key.get_mut(&event.key)
            && stored.event.uid == event.uid
            && stored.event.resource_version == event.resource_version
        {
            stored.event.epoch = event.epoch;
            return was_skipped;
        }
        let decoded = decode::<G>(&event.key, json).map_err(Box::new);
        self.by_key.insert(event.key.clone(), Stored { event: event.clone(), revision, decoded });
        true
    }

    /// Takes note of an event that this build cannot read: the object stays as it was. False if it was known.
    pub(crate) fn skip(&mut self, event: &Event) -> bool {
        if let Some(stored) = self.by_key.get_mut(&event.key) {
            stored.event.epoch = event.epoch;
        }
        self.skipped.insert(event.key.clone(), event.clone()).is_none()
    }

    /// Removes an object. False if there was none.
    pub(crate) fn remove(&mut self, key: &ResourceKey) -> bool {
        let was_skipped = self.skipped.remove(key).is_some();
        self.by_key.remove(key).is_some() || was_skipped
    }

    /// The objects that the end of a listing sweeps away.
    pub(crate) fn swept(&self, synced: &ResourceKey, sweep_before: Epoch) -> Vec<ResourceKey> {
        let is_of = |key: &ResourceKey| key.cluster == synced.cluster && key.kind == synced.kind;
        let live = self.by_key.range(synced.clone()..).take_while(|(key, _)| is_of(key));
        let live = live.map(|(key, stored)| (key, &stored.event));
        let skipped = self.skipped.range(synced.clone()..).take_while(|(key, _)| is_of(key));
        let old = live.chain(skipped).filter(|(_, event)| event.epoch < sweep_before);
        old.map(|(key, _)| key.clone()).collect()
    }
}

fn decode<G: Graph>(key: &ResourceKey, json: &[u8]) -> Result<G::Object, Fault> {
    failure::caught(|| G::decode(key, json)).unwrap_or_else(|message| Err(undecoded(key, message)))
}

/// The fault of an object whose decoding panics.
fn undecoded(key: &ResourceKey, message: String) -> Fault {
    Failure { stage: "decoding", message }.fault(key)
}
