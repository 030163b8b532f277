//! What every source has in common.

use bytes::Bytes;
use proto::{Change, ContentHash, Event, Kind, ResourceKey};

use crate::SourceFault;
use crate::kinds::rank;

/// The newest state of an object in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The object.
    pub key: ResourceKey,
    /// Its resource version, as this source gave it.
    pub resource_version: String,
    /// Its generation.
    pub generation: i64,
    /// [`crate::spec_hash`] of its payload. Without it, any change counts as one of the spec.
    pub spec_hash: Option<ContentHash>,
    /// Hash of its payload.
    pub payload_hash: Option<ContentHash>,
    /// Of a Secret with a private key: its state as long as nobody has read the key again.
    pub without_key: Option<Bytes>,
}

impl Known {
    /// What an upsert says; none for other events.
    pub fn of(event: &Event) -> Option<Known> {
        let Change::Upsert(payload) = &event.change else { return None };
        Some(Known {
            key: event.key.clone(),
            resource_version: event.resource_version.to_string(),
            generation: event.generation,
            spec_hash: crate::spec_hash(payload),
            payload_hash: Some(ContentHash::of(payload)),
            without_key: (event.key.kind == Kind::SECRET)
                .then(|| crate::object::without_key(payload))
                .flatten()
                .map(Bytes::from),
        })
    }
}

/// What changed at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Upserts, what is referred to first; then deletes, the other way round; then `Synced`.
    pub events: Vec<Event>,
    /// The full current list of faults, if it changed.
    pub faults: Option<Vec<SourceFault>>,
    /// True if the first complete listing ends with this batch.
    pub listed: bool,
}

/// Puts events into the order of a [`Batch`].
pub(crate) fn order(mut upserts: Vec<Event>, mut deletes: Vec<Event>) -> Vec<Event> {
    fn place(event: &Event) -> (usize, &ResourceKey) {
        (rank(&event.key.kind), &event.key)
    }
    upserts.sort_by(|a, b| place(a).cmp(&place(b)));
    deletes.sort_by(|a, b| place(b).cmp(&place(a)));
    upserts.append(&mut deletes);
    upserts
}

/// Now, in nanoseconds since the Unix epoch.
pub(crate) fn unix_nanos() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
