//! What runs events.

use proto::{Delta, Event, ResourceKey, Revision, XdsKey};

/// Incremental translation of one partition: that of `translate`, or one that a test makes fail.
pub trait Machine: Send + Sync + 'static {
    /// Its settings.
    type Env: Clone + Send + Sync;

    /// One without any objects.
    fn new(env: &Self::Env) -> Self;
    /// See [`translate::Engine::apply`].
    fn apply(&mut self, revision: Revision, events: &[Event]) -> Delta;
    /// Events that fold to the state.
    fn objects(&self) -> impl Iterator<Item = &Event> + Send;
    /// True if there is such an object.
    fn has(&self, object: &ResourceKey) -> bool;
    /// The revision at which an object became what it is.
    fn revision_of(&self, object: &ResourceKey) -> Option<Revision>;
    /// The objects whose content went into a piece.
    fn owners(&self, piece: &XdsKey) -> Vec<ResourceKey>;
    /// Counts of the last batch.
    fn stats(&self) -> &translate::Stats;
}

impl Machine for translate::Engine {
    type Env = translate::Env;

    fn new(env: &translate::Env) -> Self {
        translate::Engine::new(env.clone())
    }
    fn apply(&mut self, revision: Revision, events: &[Event]) -> Delta {
        self.apply(revision, events)
    }
    fn objects(&self) -> impl Iterator<Item = &Event> + Send {
        self.objects()
    }
    fn has(&self, object: &ResourceKey) -> bool {
        self.has(object)
    }
    fn revision_of(&self, object: &ResourceKey) -> Option<Revision> {
        self.revision_of(object)
    }
    fn owners(&self, piece: &XdsKey) -> Vec<ResourceKey> {
        self.owners(piece)
    }
    fn stats(&self) -> &translate::Stats {
        self.stats()
    }
}
