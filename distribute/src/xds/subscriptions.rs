//! What one proxy asked for of one type, and what it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proto::{ArcStr, ContentHash, Revision};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    push::Push,
    refused::{Refusals, Refused},
    session::Mark,
};
use crate::{
    resource::{ResourceId, ResourceType},
    scope::{Effect, Scope},
    tables::TableVersion,
};

const WILDCARD: &str = "*";

/// What a proxy has of a resource, or will have when it ACKs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// None if it has some version that is not known.
    pub(crate) version: Option<ContentHash>,
    /// The push that carried it; 0 if the proxy brought it along from an earlier stream.
    pub(crate) nonce: u64,
    /// It brought it along, and this server cannot know what is in it.
    pub(crate) inherited: bool,
}

/// State of one type in a session.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    /// True after the first request of the type.
    pub(crate) open: bool,
    /// True while a first empty answer is owed: Envoy waits for one before it goes on.
    pub(crate) greet: bool,
    /// Number of the request that asked for everything.
    wildcard: Option<u64>,
    /// By number of the request that asked for the name last.
    names: FxHashMap<ArcStr, u64>,
    requests: u64,
    /// What the proxy has.
    pub(crate) sent: FxHashMap<ArcStr, Sent>,
    /// Names to compare with the scope when the next push goes out.
    pub(crate) dirty: BTreeMap<ArcStr, Mark>,
    /// The one push that has no answer yet.
    pub(crate) inflight: Option<Push>,
    /// Names that the proxy was told do not exist.
    pub(crate) told_absent: FxHashSet<ArcStr>,
    /// What this proxy alone lacks.
    pub(crate) refused: FxHashMap<ArcStr, Refused>,
    /// Which versions it refused lately.
    pub(crate) refusals: Refusals,
    /// Names to send in pushes of their own: one of them was refused, though others took all of them.
    pub(crate) alone: FxHashSet<ArcStr>,
    /// Route tables that do not go out as they are now: the proxy keeps what it brought along.
    pub(crate) held_back: BTreeMap<ArcStr, Mark>,
    /// Route tables that the proxy accepted and still watches, also those that there are no more.
    pub(crate) tables: FxHashMap<ArcStr, Arc<TableVersion>>,
}

impl Subscriptions {
    /// True if nothing is owed and no answer is awaited.
    pub(crate) fn is_idle(&self) -> bool {
        self.inflight.is_none() && self.dirty.is_empty()
    }

    /// True if the proxy wants to know about the name.
    pub(crate) fn wants(&self, name: &ArcStr) -> bool {
        self.since(name).is_some()
    }

    /// Which subscription the proxy holds to the name: equal only while it is held without a break.
    pub(crate) fn since(&self, name: &ArcStr) -> Option<u64> {
        self.names.get(name).copied().or(self.wildcard)
    }

    /// True if this proxy alone does not take a version, and is not to be asked again now.
    pub(crate) fn refuses(&self, name: &str, version: ContentHash) -> bool {
        self.refused.get(name).is_some_and(|one| one.version == version && !one.is_due)
            || self.refusals.pause(name, version)
    }

    /// True if the proxy asked for this very name.
    pub(crate) fn names(&self, name: &ArcStr) -> bool {
        self.names.contains_key(name)
    }

    /// Number of names subscribed to.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// The proxy accepted a table of this push, unless it has left it since.
    pub(crate) fn has_table(&mut self, name: &ArcStr, table: &Arc<TableVersion>, nonce: u64) {
        if self.sent.get(name).is_some_and(|sent| sent.nonce == nonce) {
            self.tables.insert(name.clone(), Arc::clone(table));
        }
    }

    /// Notes that a name must be compared with the scope.
    pub(crate) fn touch(&mut self, name: &ArcStr, mark: Mark) {
        self.dirty.entry(name.clone()).and_modify(|old| *old = old.merged(mark)).or_insert(mark);
    }

    /// What was held back is compared with the scope once more.
    pub(crate) fn dirty_again(&mut self) {
        for (name, mark) in std::mem::take(&mut self.held_back) {
            self.touch(&name, mark);
        }
    }

    /// Takes in the subscriptions of a request. Not those of the answer that it may also be.
    pub(crate) fn request(
        &mut self,
        kind: ResourceType,
        node: &ArcStr,
        request: &DeltaDiscoveryRequest,
        scope: &mut Scope,
        effect: &mut Effect,
    ) {
        let first = !std::mem::replace(&mut self.open, true);
        self.requests += 1;
        if first {
            self.resume(kind, node, request, scope, effect);
            if request.resource_names_subscribe.is_empty() && kind.is_wildcard() {
                self.subscribe_all(kind, scope);
            }
        }
        for name in &request.resource_names_subscribe {
            scope.want(kind, &ArcStr::from(name.as_str()));
            self.subscribe(kind, name, first, scope);
        }
        for name in &request.resource_names_unsubscribe {
            self.unsubscribe(name, scope.revision);
        }
        self.greet |= first && self.wildcard.is_some() && request.initial_resource_versions.is_empty();
        if first && self.wildcard.is_none() {
            self.sent.retain(|name, _| self.names.contains_key(name));
            self.tables.retain(|name, _| self.names.contains_key(name));
        }
    }

    /// A reconnected proxy says what it has. What it holds in the version served now, it accepted.
    fn resume(
        &mut self,
        kind: ResourceType,
        node: &ArcStr,
        request: &DeltaDiscoveryRequest,
        scope: &mut Scope,
        effect: &mut Effect,
    ) {
        for (name, version) in &request.initial_resource_versions {
            let name = ArcStr::from(name.as_str());
            scope.want(kind, &name);
            let version = u128::from_str_radix(version, 16).ok().map(ContentHash);
            let is_route = kind == ResourceType::Route;
            let known = is_route && version.is_some_and(|version| scope.recall(&name, version, effect));
            let id = ResourceId { kind, name: name.clone() };
            let version = version.filter(|_| !scope.take_doubt(node, &id, version));
            if let Some(version) = version {
                scope.prove_inherited(kind, &name, version, effect);
            }
            self.touch(&name, Mark::at(scope.revision));
            if kind == ResourceType::Route
                && let Some(table) = scope.table(&name).filter(|table| Some(table.version) == version)
            {
                self.tables.insert(name.clone(), Arc::clone(table));
            }
            let inherited = !known;
            self.sent.insert(name, Sent { version, nonce: 0, inherited });
        }
    }

    fn subscribe(&mut self, kind: ResourceType, name: &str, first: bool, scope: &Scope) {
        if name == WILDCARD {
            return self.subscribe_all(kind, scope);
        }
        let name = ArcStr::from(name);
        // The proxy may have forgotten what it was sent: whoever asks again gets it again.
        let forced = !first && self.sent.contains_key(&name);
        if forced {
            self.tables.remove(&name);
        }
        self.told_absent.remove(&name);
        if let Some(refused) = self.refused.get_mut(&name) {
            refused.is_due = true;
        }
        self.touch(&name, Mark { forced, ..Mark::at(scope.revision) });
        self.names.insert(name, self.requests);
    }

    fn subscribe_all(&mut self, kind: ResourceType, scope: &Scope) {
        self.wildcard = Some(self.requests);
        for name in scope.names(kind) {
            self.touch(name, Mark::at(scope.revision));
        }
    }

    fn unsubscribe(&mut self, name: &str, revision: Revision) {
        if name == WILDCARD {
            self.wildcard = None;
            self.sent.retain(|name, _| self.names.contains_key(name));
            return;
        }
        let name = ArcStr::from(name);
        self.names.remove(&name);
        self.tables.remove(&name);
        self.told_absent.remove(&name);
        if self.wildcard.is_some() {
            // It still matches the wildcard, so the proxy needs it (or its absence) again.
            self.touch(&name, Mark { forced: true, ..Mark::at(revision) });
        } else {
            self.sent.remove(&name);
            self.dirty.remove(&name);
        }
    }

    /// The same subscriptions, to resources of another kind: of those the proxy has what it has under the same
    /// names, in versions that are not known.
    pub(crate) fn for_other_resources(mut self, kind: ResourceType, scope: &Scope) -> Self {
        self.inflight = None;
        self.dirty.clear();
        self.sent.clear();
        let named: Vec<ArcStr> = self.names.keys().cloned().collect();
        let all = if self.wildcard.is_some() { scope.names(kind).cloned().collect() } else { Vec::new() };
        for name in named.iter().chain(&all) {
            self.touch(name, Mark::at(scope.revision));
        }
        self
    }

    /// Names changed in the scope: notes the one if this proxy is concerned.
    pub(crate) fn changed(&mut self, id: &ResourceId, mark: Mark) {
        if self.open && (self.wants(&id.name) || self.sent.contains_key(&id.name)) {
            self.touch(&id.name, mark);
        }
    }
}
