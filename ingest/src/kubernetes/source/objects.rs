//! What is known of the objects of one resource, and what a change of one means.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::{ArcStr, Change, ClusterId, ContentHash, Epoch, Event, Kind, ResourceKey};
use rustc_hash::{FxHashMap, FxHashSet};

use super::decode::{Content, Decoded};
use super::{Observed, Seen};
use crate::object::{Fresh, Refusal};
use crate::source::unix_nanos;
use crate::{KeyStore, Known, Place, SourceFault};

/// What was last sent of an object.
struct Sent {
    /// None if the log could not tell.
    hash: Option<ContentHash>,
    generation: i64,
    uid: ArcStr,
}

/// The objects of one resource.
pub(super) struct Objects {
    pub(super) kind: Kind,
    pub(super) cluster: ClusterId,
    epoch: Epoch,
    sent: FxHashMap<ResourceKey, Sent>,
    /// Objects of the listing that is under way.
    listing: Option<FxHashSet<ResourceKey>>,
    /// True if the listing has something that cannot be told from what is missing in it.
    obscure: bool,
    faults: BTreeMap<ResourceKey, Vec<Refusal>>,
    faults_changed: bool,
    keys: Arc<KeyStore>,
    /// None for kinds without a status of ours, with the resource versions that were seen.
    seen: Option<(Seen, FxHashMap<ResourceKey, ArcStr>)>,
    announced: Vec<ResourceKey>,
}

impl Objects {
    pub(super) fn new(
        kind: Kind,
        (cluster, epoch): (ClusterId, Epoch),
        known: impl IntoIterator<Item = Known>,
        keys: Arc<KeyStore>,
        seen: Option<Seen>,
    ) -> Objects {
        let sent = known.into_iter().map(|known| {
            let sent = Sent { hash: known.payload_hash, generation: known.generation, uid: ArcStr::new() };
            (known.key, sent)
        });
        Objects {
            kind,
            cluster,
            epoch,
            sent: sent.collect(),
            listing: None,
            obscure: false,
            faults: BTreeMap::new(),
            faults_changed: false,
            keys,
            seen: seen.map(|seen| (seen, FxHashMap::default())),
            announced: Vec::new(),
        }
    }

    /// A listing begins; one that was under way is forgotten.
    pub(super) fn begin(&mut self) {
        self.listing = Some(FxHashSet::default());
        self.obscure = false;
    }

    /// The listing is complete: what is not in it is gone.
    pub(super) fn complete(&mut self) -> Vec<Event> {
        let Some(listing) = self.listing.take() else { return Vec::new() };
        if self.obscure {
            return Vec::new();
        }
        self.keep_only(&listing)
    }

    /// The resource is not there any more.
    pub(super) fn clear(&mut self) -> Vec<Event> {
        self.listing = None;
        self.keep_only(&FxHashSet::default())
    }

    /// True if nothing would be lost with the resource.
    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    fn keep_only(&mut self, listing: &FxHashSet<ResourceKey>) -> Vec<Event> {
        let seen = self.seen.iter().flat_map(|(_, versions)| versions.keys());
        let all = self.sent.keys().chain(self.faults.keys()).chain(seen);
        let gone: FxHashSet<ResourceKey> = all.filter(|key| !listing.contains(*key)).cloned().collect();
        gone.iter().filter_map(|key| self.delete(key, "")).collect()
    }

    /// An object is there.
    pub(super) fn apply(&mut self, decoded: Decoded) -> Option<Event> {
        let Decoded { key, observed, content } = decoded;
        let Some(key) = key else {
            self.obscure = true;
            return None;
        };
        if let Some(listing) = &mut self.listing {
            listing.insert(key.clone());
        }
        let version = observed.resource_version.clone();
        match content {
            Content::Useless => {
                self.mend(&key);
                self.drop_sent(&key, &version)
            }
            Content::Refused(refusals) => {
                self.see(&key, observed);
                self.refuse(key, refusals);
                None
            }
            Content::Fresh(fresh) => {
                self.mend(&key);
                let (uid, generation) = (observed.uid.clone(), observed.generation);
                self.see(&key, observed);
                self.upsert(key, *fresh, (uid, version, generation))
            }
        }
    }

    /// An object is there and cannot be taken.
    pub(super) fn refuse(&mut self, key: ResourceKey, refusals: Vec<Refusal>) {
        if let Some(listing) = &mut self.listing {
            listing.insert(key.clone());
        }
        self.faults.insert(key, refusals);
        self.faults_changed = true;
    }

    /// A listing has something in it that nobody can tell.
    pub(super) fn obscure(&mut self) {
        self.obscure = true;
    }

    fn upsert(
        &mut self,
        key: ResourceKey,
        fresh: Fresh,
        (uid, resource_version, generation): (ArcStr, ArcStr, i64),
    ) -> Option<Event> {
        if let Some((certificate, private_key)) = fresh.private_key {
            self.keys.put(&key, certificate, private_key);
        }
        let now = Sent { hash: Some(fresh.state.hash), generation, uid: uid.clone() };
        let before = self.sent.insert(key.clone(), now);
        if before
            .is_some_and(|before| before.hash == Some(fresh.state.hash) && before.generation == generation)
        {
            return None;
        }
        Some(self.event(key, uid, resource_version, generation, Change::Upsert(fresh.payload)))
    }

    /// An object is gone.
    pub(super) fn delete(&mut self, key: &ResourceKey, resource_version: &str) -> Option<Event> {
        self.mend(key);
        if let Some(listing) = &mut self.listing {
            listing.remove(key);
        }
        if let Some((seen, versions)) = &mut self.seen
            && versions.remove(key).is_some()
        {
            seen.put(key, None);
            self.announced.push(key.clone());
        }
        self.drop_sent(key, resource_version)
    }

    fn drop_sent(&mut self, key: &ResourceKey, resource_version: &str) -> Option<Event> {
        let sent = self.sent.remove(key)?;
        if self.kind == Kind::SECRET {
            self.keys.remove(key);
        }
        Some(self.event(key.clone(), sent.uid, resource_version.into(), sent.generation, Change::Delete))
    }

    fn see(&mut self, key: &ResourceKey, observed: Observed) {
        let Some((seen, versions)) = &mut self.seen else { return };
        let before = versions.insert(key.clone(), observed.resource_version.clone());
        if before.as_ref() != Some(&observed.resource_version) {
            seen.put(key, Some(observed));
            self.announced.push(key.clone());
        }
    }

    fn mend(&mut self, key: &ResourceKey) {
        self.faults_changed |= self.faults.remove(key).is_some();
    }

    fn event(
        &self,
        key: ResourceKey,
        uid: ArcStr,
        resource_version: ArcStr,
        generation: i64,
        change: Change,
    ) -> Event {
        Event {
            key,
            uid,
            resource_version,
            generation,
            epoch: self.epoch,
            observed_unix_nanos: unix_nanos(),
            trace_parent: ArcStr::new(),
            change,
        }
    }

    /// Tells the readers of [`Seen`] what has changed since the last time.
    pub(super) fn announce(&mut self) {
        if let Some((seen, _)) = &self.seen {
            seen.announce(&self.announced);
        }
        self.announced.clear();
    }

    /// All faults of objects, if they have changed since the last time.
    pub(super) fn changed_faults(&mut self) -> Option<Vec<SourceFault>> {
        if !std::mem::take(&mut self.faults_changed) {
            return None;
        }
        let fault = |(key, refusal): (&ResourceKey, &Refusal)| SourceFault {
            place: Place::Object,
            object: Some(key.clone()),
            field: refusal.field.clone(),
            problem: refusal.problem.clone(),
            remedy: refusal.remedy.clone(),
        };
        let all = self.faults.iter().flat_map(|(key, refusals)| refusals.iter().map(move |r| (key, r)));
        Some(all.map(fault).collect())
    }
}

/// What a watch tells the batches.
#[derive(Debug, Default)]
pub(super) struct Update {
    pub(super) events: Vec<Event>,
    /// All faults of the watch, if they have changed.
    pub(super) faults: Option<Vec<SourceFault>>,
    /// True once all objects have been told, or there are none.
    pub(super) listed: bool,
}

impl Update {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.faults.is_none() && !self.listed
    }
}

/// The deletion of an object that no watch is about.
pub(super) fn deletion(known: Known, epoch: Epoch) -> Event {
    Event {
        key: known.key,
        uid: ArcStr::new(),
        resource_version: ArcStr::new(),
        generation: known.generation,
        epoch,
        observed_unix_nanos: unix_nanos(),
        trace_parent: ArcStr::new(),
        change: Change::Delete,
    }
}
