//! Whether the API server serves a resource, told as an object of kind `APIResource`: what refers to a kind that is
//! not there is told apart from what refers to an object that is not there.

use bytes::Bytes;
use kube::core::ApiResource;
use proto::{ArcStr, Change, ClusterId, ContentHash, Epoch, Event, Kind, ResourceKey};
use serde_json::json;

use crate::Known;
use crate::source::unix_nanos;

/// What is told of one resource.
pub(super) struct Announcement {
    key: ResourceKey,
    epoch: Epoch,
    /// Hash of what was told last; none if it is not served.
    sent: Option<ContentHash>,
}

impl Announcement {
    /// Of a resource (`plural.group`); takes what the log has of it out of `known`.
    pub(super) fn new(
        resource: &str,
        (cluster, epoch): (ClusterId, Epoch),
        known: &mut Vec<Known>,
    ) -> Announcement {
        let (kind, name) = (Kind::API_RESOURCE, ArcStr::from(resource));
        let key = ResourceKey { cluster, kind, namespace: ArcStr::new(), name };
        let before = known.extract_if(.., |known| known.key == key).last();
        let sent = before.map(|known| known.payload_hash.unwrap_or_default());
        Announcement { key, epoch, sent }
    }

    /// What is new, now that it is served like this, or not at all.
    pub(super) fn tell(&mut self, api: Option<&ApiResource>) -> Option<Event> {
        let payload = api.map(|api| {
            let resource =
                json!({"group": api.group, "kind": api.kind, "name": api.plural, "version": api.version});
            Bytes::from(resource.to_string())
        });
        let hash = payload.as_ref().map(|payload| ContentHash::of(payload));
        if hash == self.sent {
            return None;
        }
        self.sent = hash;
        Some(Event {
            key: self.key.clone(),
            uid: ArcStr::new(),
            resource_version: hash.map(|hash| hash.to_string()).unwrap_or_default().into(),
            generation: 0,
            epoch: self.epoch,
            observed_unix_nanos: unix_nanos(),
            trace_parent: ArcStr::new(),
            change: payload.map_or(Change::Delete, Change::Upsert),
        })
    }
}
