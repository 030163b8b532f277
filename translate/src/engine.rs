//! The engine of this graph.

use proto::{Delta, Event, ResourceKey, Revision, XdsKey};

use crate::Snapshot;
use crate::cx::GatewayApi;
use crate::env::Env;

/// Incremental translation of one partition.
#[derive(Debug)]
pub struct Engine(engine::Engine<GatewayApi>);

impl Engine {
    /// An engine without any objects.
    pub fn new(env: Env) -> Self {
        Engine(engine::Engine::new(env))
    }

    /// Applies a batch of events and returns all that it changes, at one revision: that of the last
    /// event of the batch.
    pub fn apply(&mut self, revision: Revision, batch: &[Event]) -> Delta {
        self.0.apply(revision, batch)
    }

    /// Events that fold to the state: the newest of each live object, in key order, then those that this build
    /// cannot read.
    pub fn objects(&self) -> impl Iterator<Item = &Event> {
        self.0.objects()
    }

    /// True if there is such an object, even one that does not decode.
    pub fn has(&self, key: &ResourceKey) -> bool {
        self.0.has(key)
    }

    /// The revision at which an object became what it is: that of its batch.
    pub fn revision_of(&self, object: &ResourceKey) -> Option<Revision> {
        self.0.revision_of(object)
    }

    /// Counts of nodes, and of the work of the last batch.
    pub fn stats(&self) -> &engine::Stats {
        self.0.stats()
    }

    /// The objects whose content went into a piece.
    pub fn owners(&self, piece: &XdsKey) -> Vec<ResourceKey> {
        self.0.owners(piece)
    }

    /// Recomputes all from what is there and names what comes out different. For tests and verify mode.
    pub fn verify(&self) -> Vec<String> {
        self.0.verify()
    }

    /// All live pieces and statuses.
    pub fn snapshot(&self) -> Snapshot {
        self.0.snapshot()
    }
}
