//! Changes of Kubernetes objects.

use bytes::Bytes;
use prost::Message;

use crate::{ArcStr, ClusterId, Epoch, Kind, ResourceKey};

mod wire {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/fleetgate.v1.rs"));
}

/// Newest envelope version that this build writes and reads.
pub const SCHEMA: u32 = 1;

/// One change of one object in one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The object; for [`Change::Synced`] only cluster and kind are set.
    pub key: ResourceKey,
    /// `metadata.uid`; empty where the source has none.
    pub uid: ArcStr,
    /// `metadata.resourceVersion`, or a content hash where the source has none.
    pub resource_version: ArcStr,
    /// `metadata.generation`.
    pub generation: i64,
    /// The listing of the source that this belongs to.
    pub epoch: Epoch,
    /// When the source saw it, nanoseconds since the Unix epoch.
    pub observed_unix_nanos: i64,
    /// W3C trace parent, or empty.
    pub trace_parent: ArcStr,
    /// What happened.
    pub change: Change,
}

/// What happened to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is now this: trimmed canonical JSON, never with a private key.
    Upsert(Bytes),
    /// It is gone.
    Delete,
    /// Every object of the kind has been sent. Those whose last event has an epoch below
    /// `sweep_before` are gone. A source that lists without memory sweeps before its own epoch; one
    /// that knows what the log has sends exact deletes and sweeps before `Epoch(0)`, that is, nothing.
    Synced {
        /// See above.
        sweep_before: Epoch,
    },
    /// Written by a newer version; kept, and skipped with a report.
    Unknown,
}

/// Why bytes are not an event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not the protobuf envelope.
    #[error("not a resource event: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// Written by a newer fleetgate.
    #[error("event has envelope version {0}, this build reads up to {SCHEMA}: upgrade fleetgate")]
    Newer(u32),
}

impl Event {
    /// The end of a listing of one kind.
    pub fn synced(cluster: ClusterId, kind: Kind, epoch: Epoch, sweep_before: Epoch, observed: i64) -> Event {
        Event {
            key: ResourceKey { cluster, kind, namespace: ArcStr::new(), name: ArcStr::new() },
            uid: ArcStr::new(),
            resource_version: ArcStr::new(),
            generation: 0,
            epoch,
            observed_unix_nanos: observed,
            trace_parent: ArcStr::new(),
            change: Change::Synced { sweep_before },
        }
    }

    /// The wire and log form.
    pub fn encode(&self) -> Vec<u8> {
        use wire::resource_event::Change as Wire;
        let change = match &self.change {
            Change::Upsert(json) => Some(Wire::Upsert(json.clone())),
            Change::Delete => Some(Wire::Delete(wire::Delete {})),
            Change::Synced { sweep_before } => {
                Some(Wire::Synced(wire::Synced { sweep_before: sweep_before.0 }))
            }
            Change::Unknown => None,
        };
        wire::ResourceEvent {
            schema: SCHEMA,
            cluster: self.key.cluster.0.to_string(),
            kind: self.key.kind.0.to_string(),
            namespace: self.key.namespace.to_string(),
            name: self.key.name.to_string(),
            uid: self.uid.to_string(),
            resource_version: self.resource_version.to_string(),
            generation: self.generation,
            epoch: self.epoch.0,
            observed_unix_nanos: self.observed_unix_nanos,
            trace_parent: self.trace_parent.to_string(),
            change,
        }
        .encode_to_vec()
    }

    /// Reads what [`Event::encode`] wrote; the payload shares `bytes`.
    ///
    /// # Errors
    /// If the bytes are no event, or one of a newer version.
    pub fn decode(bytes: Bytes) -> Result<Event, DecodeError> {
        use wire::resource_event::Change as Wire;
        let event = wire::ResourceEvent::decode(bytes)?;
        if event.schema > SCHEMA {
            return Err(DecodeError::Newer(event.schema));
        }
        Ok(Event {
            key: ResourceKey {
                cluster: ClusterId(event.cluster.into()),
                kind: Kind(event.kind.into()),
                namespace: event.namespace.into(),
                name: event.name.into(),
            },
            uid: event.uid.into(),
            resource_version: event.resource_version.into(),
            generation: event.generation,
            epoch: Epoch(event.epoch),
            observed_unix_nanos: event.observed_unix_nanos,
            trace_parent: event.trace_parent.into(),
            change: match event.change {
                Some(Wire::Upsert(json)) => Change::Upsert(json),
                Some(Wire::Delete(_)) => Change::Delete,
                Some(Wire::Synced(synced)) => Change::Synced { sweep_before: Epoch(synced.sweep_before) },
                None => Change::Unknown,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Event};
    use crate::{ClusterId, Epoch, Kind, ResourceKey};

    fn event(change: Change) -> Event {
        Event {
            key: ResourceKey::local(Kind::HTTP_ROUTE, "default", "web"),
            uid: "u".into(),
            resource_version: "7".into(),
            generation: 3,
            epoch: Epoch(2),
            observed_unix_nanos: 5,
            trace_parent: "00-0-0-01".into(),
            change,
        }
    }

    #[test]
    fn every_change_survives_the_wire() {
        let synced = Event::synced(ClusterId::LOCAL, Kind::SERVICE, Epoch(2), Epoch(1), 9);
        for event in
            [event(Change::Upsert("{}".into())), event(Change::Delete), event(Change::Unknown), synced]
        {
            assert_eq!(Event::decode(event.encode().into()).unwrap(), event);
        }
    }

    #[test]
    fn a_newer_envelope_is_refused_by_its_version() {
        let error = Event::decode(vec![8, 99].into()).unwrap_err();
        assert!(error.to_string().contains("99"), "{error}");
    }
}
