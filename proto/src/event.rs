//! Changes of Kubernetes objects.

use bytes::Bytes;
use prost::Message;

use crate::{ArcStr, ClusterId, Epoch, Kind, ResourceKey};

mod wire;

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
    /// Written by a newer version: the whole envelope, so that it can be read after an upgrade. Who cannot read it
    /// keeps the object as it was, and reports that.
    Unknown(Bytes),
}

/// Why bytes are not an event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not the protobuf envelope.
    #[error("not a resource event: {0}")]
    Malformed(#[from] prost::DecodeError),
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
        use wire::Change as Wire;
        let change = match &self.change {
            Change::Upsert(json) => Some(Wire::Upsert(json.clone())),
            Change::Delete => Some(Wire::Delete(wire::Delete {})),
            Change::Synced { sweep_before } => {
                Some(Wire::Synced(wire::Synced { sweep_before: sweep_before.0 }))
            }
            Change::Unknown(envelope) => return envelope.to_vec(),
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
    /// Of what a newer version wrote, the object and its version are read: their fields stay what they are in every
    /// version of the envelope.
    ///
    /// # Errors
    /// If the bytes are no event.
    pub fn decode(bytes: Bytes) -> Result<Event, DecodeError> {
        use wire::Change as Wire;
        let event = match wire::ResourceEvent::decode(bytes.clone()) {
            Ok(event) => event,
            Err(error) => newer(&bytes).ok_or(error)?,
        };
        let change = match event.change {
            _ if event.schema > SCHEMA => Change::Unknown(bytes),
            Some(Wire::Upsert(json)) => Change::Upsert(json),
            Some(Wire::Delete(_)) => Change::Delete,
            Some(Wire::Synced(synced)) => Change::Synced { sweep_before: Epoch(synced.sweep_before) },
            None => Change::Unknown(bytes),
        };
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
            change,
        })
    }
}

/// What every version of the envelope says, if it is a newer one, in which other fields have other types.
fn newer(bytes: &Bytes) -> Option<wire::ResourceEvent> {
    let head = wire::Head::decode(bytes.clone()).ok().filter(|head| head.schema > SCHEMA)?;
    Some(wire::ResourceEvent {
        schema: head.schema,
        cluster: head.cluster,
        kind: head.kind,
        namespace: head.namespace,
        name: head.name,
        uid: head.uid,
        resource_version: head.resource_version,
        generation: head.generation,
        epoch: head.epoch,
        ..wire::ResourceEvent::default()
    })
}

#[cfg(test)]
mod tests {
    use prost::encoding::{WireType, decode_key, decode_varint};

    use bytes::Bytes;

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
        for event in [event(Change::Upsert("{}".into())), event(Change::Delete), synced] {
            assert_eq!(Event::decode(event.encode().into()).unwrap(), event);
        }
    }

    /// Number, type and name of the fields of a message in the schema.
    fn fields(message: &str) -> Vec<(u32, &'static str, &'static str)> {
        let schema = include_str!("../proto/event.proto");
        let (_, body) = schema.split_once(&format!("message {message} {{\n")).unwrap();
        let (body, _) = body.split_once("\n}").unwrap();
        let lines = body.lines().filter(|line| !line.contains("//"));
        let fields = lines.filter_map(|line| line.trim().strip_suffix(';')?.split_once(" = "));
        fields
            .map(|(field, number)| {
                let (kind, name) = field.split_once(' ').unwrap();
                (number.parse().unwrap(), kind, name)
            })
            .collect()
    }

    /// The fields of an encoded message: number, and what it holds as text.
    fn encoded(mut message: &[u8]) -> Vec<(u32, String)> {
        let mut fields = Vec::new();
        while !message.is_empty() {
            let (number, wire_type) = decode_key(&mut message).unwrap();
            let value = decode_varint(&mut message).unwrap();
            let content = match wire_type {
                WireType::Varint => value.to_string(),
                WireType::LengthDelimited => {
                    let (content, rest) = message.split_at(value as usize);
                    message = rest;
                    String::from_utf8(content.to_vec()).unwrap()
                }
                other => panic!("{other:?}"),
            };
            fields.push((number, content));
        }
        fields
    }

    #[test]
    fn the_wire_is_as_the_schema_says() {
        let schema = fields("ResourceEvent");
        assert_eq!((schema.len(), fields("Synced")), (14, vec![(1, "uint64", "sweep_before")]));
        // Texts are the names of their fields, and numbers their numbers.
        let all = |change| Event {
            key: ResourceKey {
                cluster: ClusterId("cluster".into()),
                kind: Kind("kind".into()),
                namespace: "namespace".into(),
                name: "name".into(),
            },
            uid: "uid".into(),
            resource_version: "resource_version".into(),
            generation: 8,
            epoch: Epoch(9),
            observed_unix_nanos: 10,
            trace_parent: "trace_parent".into(),
            change,
        };
        let common = schema[..11].iter().map(|(number, kind, name)| match *kind {
            "string" => (*number, (*name).to_owned()),
            "uint32" | "int64" | "uint64" => (*number, number.to_string()),
            other => panic!("{name} is {other}"),
        });
        let common: Vec<(u32, String)> = common.collect();
        for (field, change, content) in [
            ((12, "bytes", "upsert"), Change::Upsert("{}".into()), "{}"),
            ((13, "Delete", "delete"), Change::Delete, ""),
            ((14, "Synced", "synced"), Change::Synced { sweep_before: Epoch(4) }, "\x08\x04"),
        ] {
            assert!(schema.contains(&field), "{field:?}");
            let expected = [&common[..], &[(field.0, content.to_owned())]].concat();
            assert_eq!(encoded(&all(change).encode()), expected);
        }
    }

    #[test]
    fn of_a_newer_envelope_the_object_is_known_and_nothing_is_lost() {
        // A newer version in the envelope; a change that is none of ours; a field of another type.
        let written = event(Change::Upsert("{}".into())).encode();
        let no_change = event(Change::Unknown(Bytes::new()));
        let nothing = event(Change::Delete).encode();
        let nothing = nothing[..nothing.len() - 2].to_vec();
        let tails: [(&[u8], &[u8]); 3] =
            [(&written, &[8, 99]), (&nothing, &[0x7a, 1, 7]), (&written, &[8, 99, 0x6a, 2, 0xff, 0xff])];
        for (start, tail) in tails {
            let bytes = Bytes::from([start, tail].concat());
            let read = Event::decode(bytes.clone()).unwrap();
            assert_eq!(read.key, no_change.key);
            assert_eq!((read.resource_version.as_str(), read.epoch), ("7", Epoch(2)));
            assert_eq!(read.change, Change::Unknown(bytes.clone()));
            assert_eq!(read.encode(), bytes);
        }
        let broken = [&written[..], &[0x6a, 2, 0xff, 0xff]].concat();
        assert!(Event::decode(broken.into()).is_err(), "of this version");
    }
}
