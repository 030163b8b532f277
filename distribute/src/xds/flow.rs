//! The order in which changes go out: make before break.
//!
//! Clusters, their endpoints and secrets go first. Listeners, then routes wait until every cluster
//! that is new to the proxy is ACKed together with the endpoints that it needs. Removals of
//! clusters come when no listener or route is owed any more. A type that is not concerned never waits.

use proto::ArcStr;

use super::{
    push::{Item, Push},
    response::{Resource, Response},
    secret::joined,
    session::{Mark, Output, Session},
    subscriptions::{Sent, Subscriptions},
    turns::Turns,
    wire::endpoints_of,
};
use crate::{
    auth::PrivateKeys,
    resource::ResourceType,
    scope::{Effect, Offer, Scope},
};

/// The push that a step is for.
#[derive(Clone, Copy)]
struct At {
    nonce: u64,
    may_remove: bool,
}

/// What to do about one name that may have changed.
enum Step {
    /// The proxy has what it should have.
    Nothing,
    /// Not yet.
    Wait,
    /// Not before the proxy has these tables.
    WaitFor(Vec<String>),
    Remove,
    Put(Resource, u64),
}

impl Session {
    /// Sends all that may go now.
    pub(crate) fn flow(&mut self, scope: &mut Scope, keys: &dyn PrivateKeys, out: &mut Output) {
        if !scope.is_complete() {
            return;
        }
        loop {
            for kind in ResourceType::ALL {
                self.push(kind, scope, keys, out);
            }
            // Once more for the removals that waited for the types after them.
            for kind in [
                ResourceType::Secret,
                ResourceType::Route,
                ResourceType::Scope,
                ResourceType::Cluster,
                ResourceType::Endpoints,
            ] {
                self.push(kind, scope, keys, out);
            }
            if !self.start_trial(scope, out) {
                return;
            }
        }
    }

    fn push(&mut self, kind: ResourceType, scope: &mut Scope, keys: &dyn PrivateKeys, out: &mut Output) {
        if !self.get(kind).open || self.get(kind).inflight.is_some() || !self.may_put(kind, scope) {
            return;
        }
        let may_remove = self.may_remove(kind, scope);
        let nonce = self.next_nonce();
        let mut push = Push { nonce, revision: scope.revision, items: Vec::new(), mark: None };
        let mut response = Response {
            kind,
            nonce,
            revision: scope.revision,
            resources: Vec::new(),
            removed: Vec::new(),
            observed: 0,
        };
        let mut effect = Effect::default();
        let mut turns = Turns::default();
        for (name, mark) in turns.ordered(std::mem::take(&mut self.of(kind).dirty), kind, scope) {
            if !turns.has_come(&name, scope) {
                self.of(kind).dirty.insert(name, mark);
                continue;
            }
            self.of(kind).prove_inherited(kind, &name, scope, &mut effect);
            match self.of(kind).step(kind, &name, mark, At { may_remove, nonce }, scope, keys) {
                Step::Nothing => continue,
                Step::Wait => {
                    self.of(kind).dirty.insert(name, mark);
                    continue;
                }
                Step::WaitFor(lacks) => {
                    turns.waits(&name, lacks, scope);
                    self.of(kind).dirty.insert(name, mark);
                    continue;
                }
                Step::Remove => {
                    self.of(kind).sent.remove(&name);
                    self.removed(kind, &name, mark);
                    response.removed.push(name);
                }
                Step::Put(resource, seq) => {
                    turns.goes(&resource.name, scope);
                    push.items.push(self.item(kind, &resource, seq, nonce, mark, scope));
                    response.resources.push(resource);
                }
            }
            push.mark = Some(push.mark.map_or(mark, |first| first.merged(mark)));
        }
        self.settle(effect, scope.revision, out);
        let greet = std::mem::take(&mut self.of(kind).greet);
        if greet || push.mark.is_some() {
            response.observed = push.mark.map_or(0, |mark| mark.observed);
            self.of(kind).inflight = Some(push);
            out.responses.push(response);
        }
    }

    /// A cluster whose endpoints went needs them again if they come back.
    fn removed(&mut self, kind: ResourceType, name: &ArcStr, mark: Mark) {
        match kind {
            ResourceType::Cluster => {
                self.awaited.remove(name);
            }
            ResourceType::Endpoints if self.get(ResourceType::Cluster).sent.contains_key(name) => {
                self.awaited.insert(name.clone(), mark.revision);
            }
            _ => {}
        }
    }

    fn item(
        &mut self,
        kind: ResourceType,
        resource: &Resource,
        seq: u64,
        nonce: u64,
        mark: Mark,
        scope: &Scope,
    ) -> Item {
        let sent = Sent { version: Some(resource.version), nonce, inherited: false };
        let previous = self.of(kind).sent.insert(resource.name.clone(), sent);
        let mut endpoints = None;
        if kind == ResourceType::Cluster {
            endpoints = endpoints_of(&resource.body);
        }
        if let Some(name) = &endpoints {
            self.resend_endpoints(name, nonce, scope.revision);
            if previous.is_none() && is_ready(scope, ResourceType::Endpoints, name) {
                self.awaited.insert(name.clone(), mark.revision);
            }
        }
        let (name, version) = (resource.name.clone(), resource.version);
        Item { name, version, seq, previous, endpoints }
    }

    /// Listeners and routes wait for clusters that the proxy does not have; routes also for listeners.
    fn may_put(&mut self, kind: ResourceType, scope: &Scope) -> bool {
        match kind {
            // A scope is nothing to requests until a table leads to it.
            ResourceType::Cluster | ResourceType::Endpoints | ResourceType::Secret | ResourceType::Scope => {
                true
            }
            ResourceType::Listener | ResourceType::ScopedListener => self.has_clusters(scope),
            ResourceType::Route => self.get(self.listeners()).is_idle() && self.has_clusters(scope),
        }
    }

    fn has_clusters(&mut self, scope: &Scope) -> bool {
        let clusters = self.get(ResourceType::Cluster);
        let is_new =
            |name: &ArcStr| !clusters.sent.contains_key(name) && is_ready(scope, ResourceType::Cluster, name);
        let awaits = self.awaited.keys().any(|name| is_ready(scope, ResourceType::Endpoints, name));
        let ready = !awaits
            && clusters.inflight.as_ref().is_none_or(|push| !push.adds())
            && !clusters.dirty.keys().any(is_new)
            && !self.owes_secrets(scope);
        let open = ready || self.stalled;
        self.stalled &= !ready;
        open
    }

    /// True while secrets that exist are on their way. Their removals wait for listeners instead.
    fn owes_secrets(&self, scope: &Scope) -> bool {
        let secrets = self.get(ResourceType::Secret);
        secrets.inflight.is_some()
            || secrets.dirty.keys().any(|name| is_ready(scope, ResourceType::Secret, name))
    }

    /// A proxy that came back may use what it has not yet spoken of, so a type that it has not opened
    /// counts as not done.
    fn may_remove(&self, kind: ResourceType, scope: &Scope) -> bool {
        let done = |kind| self.get(kind).open && self.get(kind).is_idle();
        match kind {
            ResourceType::Listener | ResourceType::ScopedListener => true,
            ResourceType::Secret | ResourceType::Route => done(self.listeners()),
            // Until then a table may lead there.
            ResourceType::Scope => done(ResourceType::Route),
            ResourceType::Cluster => {
                let routes = self.get(ResourceType::Route);
                let routed = routes.is_idle() && (routes.len() > 0 || !scope.has_tables());
                done(self.listeners()) && routed && !scope.serves_old_routes()
            }
            ResourceType::Endpoints => done(ResourceType::Cluster),
        }
    }

    /// When all else is sent, serves the next suspects; true if there are any.
    fn start_trial(&mut self, scope: &mut Scope, out: &mut Output) -> bool {
        for kind in ResourceType::ALL {
            let gated = kind == self.listeners() || kind == ResourceType::Route;
            let state = self.get(kind);
            if !state.open || state.inflight.is_some() || (gated && !state.dirty.is_empty()) {
                continue;
            }
            for lane in scope.lanes(kind) {
                let touched = scope.next_trial(&lane);
                if !touched.is_empty() {
                    self.settle(Effect { touched, healed: Vec::new() }, scope.revision, out);
                    return true;
                }
            }
        }
        false
    }
}

impl Subscriptions {
    /// What a proxy brought along in the version served now, or in one that differs by one host, is proven.
    fn prove_inherited(&mut self, kind: ResourceType, name: &ArcStr, scope: &mut Scope, effect: &mut Effect) {
        if let Some(sent) = self.sent.get_mut(name).filter(|sent| sent.inherited)
            && let Some(version) = sent.version
        {
            scope.prove_inherited(kind, name, version, effect);
            let known = |now| matches!(now, Offer::Ready { version: now, .. } if now == version);
            sent.inherited = !known(scope.offer(kind, name));
        }
    }

    fn step(
        &mut self,
        kind: ResourceType,
        name: &ArcStr,
        mark: Mark,
        at: At,
        scope: &mut Scope,
        keys: &dyn PrivateKeys,
    ) -> Step {
        if !self.wants(name) {
            self.sent.remove(name);
            return Step::Nothing;
        }
        match scope.offer(kind, name) {
            Offer::Withheld => Step::Nothing,
            Offer::Absent => self.absent(kind, name, at.may_remove),
            Offer::Ready { version, seq } => {
                self.told_absent.remove(name);
                let has = self.sent.get(name).is_some_and(|sent| sent.version == Some(version));
                if (has && !mark.forced) || self.refused.get(name) == Some(&version) {
                    return Step::Nothing;
                }
                // What it brought along may contain a good version of just what is left out.
                let inherited = self.sent.get(name).is_some_and(|sent| sent.inherited);
                if inherited && scope.leaves_out(kind, name) {
                    return Step::Nothing;
                }
                if kind == ResourceType::Route {
                    let lacks = self.lacks(scope.leads_to(name), at.nonce, scope);
                    if !lacks.is_empty() {
                        return Step::WaitFor(lacks);
                    }
                }
                let Some((body, key)) = scope.body(kind, name) else { return Step::Nothing };
                let body = match key {
                    None => Some(body),
                    Some(key) => keys.private_key(&key).and_then(|pem| joined(&body, &pem)),
                };
                let Some(body) = body else { return self.keyless(name, keys) };
                Step::Put(Resource { name: name.clone(), version, body }, seq)
            }
        }
    }

    /// A certificate whose private key is not known: the proxy keeps what it has of it. One that has nothing is told that
    /// there is none, for it would keep all listeners of the port closed while it waits.
    fn keyless(&mut self, name: &ArcStr, keys: &dyn PrivateKeys) -> Step {
        let waits = self.names(name) && !self.sent.contains_key(name) && keys.are_all_read();
        if waits && self.told_absent.insert(name.clone()) { Step::Remove } else { Step::Nothing }
    }

    /// The tables that the proxy has not accepted, neither since they are there nor as they are now. Call while no
    /// push is unanswered but the one that is being made.
    fn lacks(&self, mut tables: Vec<String>, nonce: u64, scope: &Scope) -> Vec<String> {
        tables.retain(|table| {
            let Some(sent) = self.sent.get(table.as_str()) else { return true };
            let offer = || scope.offer(ResourceType::Route, &table.as_str().into());
            let is_now = |version| matches!(offer(), Offer::Ready { version: now, .. } if now == version);
            sent.nonce == nonce || (sent.nonce == 0 && !sent.version.is_some_and(is_now))
        });
        tables
    }

    /// A proxy is told of a removal if it has the resource. It is told that something it asked for
    /// does not exist only for endpoints: with that answer Envoy finishes warming the cluster at once
    /// instead of after a timeout, while for the other types it would but log an error.
    fn absent(&mut self, kind: ResourceType, name: &ArcStr, may_remove: bool) -> Step {
        if kind == ResourceType::Route && lookup::routes_of(name).is_some() {
            // It goes with its scope; and should it come back before that, it counts as new.
            self.sent.remove(name);
            return Step::Nothing;
        }
        let asked = kind == ResourceType::Endpoints && self.names(name) && !self.told_absent.contains(name);
        if self.sent.contains_key(name) {
            if !may_remove {
                return Step::Wait;
            }
        } else if !asked {
            return Step::Nothing;
        }
        self.told_absent.insert(name.clone());
        Step::Remove
    }
}

pub(super) fn is_ready(scope: &Scope, kind: ResourceType, name: &ArcStr) -> bool {
    matches!(scope.offer(kind, name), Offer::Ready { .. })
}
