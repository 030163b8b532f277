//! The objects of a partition: newest event of each, decoded.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::{Change, Event, Fault, ObjectStatus, Report, ResourceKey};

use crate::model::{self, Decoded, Model};

#[derive(Debug)]
struct Stored {
    event: Event,
    decoded: Result<Decoded, Box<Fault>>,
}

/// All live objects. Ordered, because a sweep walks the objects of one kind.
#[derive(Debug, Default)]
pub(super) struct Objects {
    by_key: BTreeMap<ResourceKey, Stored>,
}

impl Objects {
    /// The newest event of an object.
    pub(super) fn get(&self, key: &ResourceKey) -> Option<&Event> {
        self.by_key.get(key).map(|stored| &stored.event)
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.by_key.values().map(|stored| &stored.event)
    }

    /// The decoded object.
    pub(super) fn model<M: Model>(&self, key: &ResourceKey) -> Option<Arc<M>> {
        M::of(self.by_key.get(key)?.decoded.as_ref().ok()?)
    }

    /// Decodes an object of a kind that is not kept decoded because one node alone reads it.
    pub(super) fn decode<M: Model>(&self, key: &ResourceKey) -> Option<Result<M, Fault>> {
        let Change::Upsert(json) = &self.by_key.get(key)?.event.change else { return None };
        Some(model::parse(key, json))
    }

    /// What an object puts into indexes and which nodes it roots; nothing if it does not decode.
    pub(super) fn contribution(
        &self,
        key: &ResourceKey,
    ) -> (Vec<super::IndexEntry>, Vec<crate::graph::NodeKey>) {
        match self.by_key.get(key) {
            Some(Stored { decoded: Ok(decoded), .. }) => crate::graph::roots(key, decoded),
            _ => (Vec::new(), Vec::new()),
        }
    }

    /// The fault report of an object that does not decode.
    pub(super) fn report(&self, key: &ResourceKey) -> Option<Report> {
        let stored = self.by_key.get(key)?;
        let fault = stored.decoded.as_ref().err()?;
        let condition = proto::Condition::new("Accepted", false, "Invalid", fault.to_string());
        let status = ObjectStatus {
            observed_generation: stored.event.generation,
            conditions: vec![condition],
            faults: vec![Fault::clone(fault)],
            ..ObjectStatus::default()
        };
        Some(Report { key: key.clone(), status: Some(status) })
    }

    pub(super) fn reports(&self) -> impl Iterator<Item = Report> {
        self.by_key
            .iter()
            .filter(|(_, stored)| stored.decoded.is_err())
            .filter_map(|(key, _)| self.report(key))
    }

    /// Stores an upsert. False if it brings nothing new: a repeated event of a relist.
    pub(super) fn upsert(&mut self, event: &Event, json: &[u8]) -> bool {
        if let Some(stored) = self.by_key.get_mut(&event.key)
            && stored.event.uid == event.uid
            && stored.event.resource_version == event.resource_version
        {
            stored.event.epoch = event.epoch;
            return false;
        }
        let decoded = model::decode(&event.key, json).map_err(Box::new);
        self.by_key.insert(event.key.clone(), Stored { event: event.clone(), decoded });
        true
    }

    /// Removes an object. False if there was none.
    pub(super) fn remove(&mut self, key: &ResourceKey) -> bool {
        self.by_key.remove(key).is_some()
    }

    /// The objects that the end of a listing sweeps away.
    pub(super) fn swept(&self, synced: &Event, sweep_before: proto::Epoch) -> Vec<ResourceKey> {
        self.by_key
            .range(synced.key.clone()..)
            .take_while(|(key, _)| key.cluster == synced.key.cluster && key.kind == synced.key.kind)
            .filter(|(_, stored)| stored.event.epoch < sweep_before)
            .map(|(key, _)| key.clone())
            .collect()
    }
}
