//! What writer and translator have in common.

use proto::{Event, Revision};

/// Durable events that are translated together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// That of its last event.
    pub revision: Revision,
    /// In the order of the log.
    pub events: Vec<Event>,
}
