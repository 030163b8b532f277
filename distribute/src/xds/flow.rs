//! The order in which changes go out: make before break.
//!
//! Clusters, their endpoints and secrets go first. Listeners, then routes wait until every cluster
//! that is new to the proxy is ACKed together with the endpoints that it needs. Removals of
//! clusters come when no listener or route is owed any more. A type that is not concerned never waits.

use proto::{ArcStr, ContentHash, XdsKey};

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
    quarantine::ProxyId,
    resource::ResourceType,
    scope::{Effect, Offer, Scope},
};

/// The push that a step is for.
#[derive(Clone, Copy)]
struct At<'a> {
    /// To whom it goes.
    proxy: ProxyId,
    nonce: u64,
    may_remove: bool,
    turns: &'a Turns,
}

/// What to do about one name that may have changed.
enum Step {
    /// The proxy has what it should have.
    Nothing,
    /// It has the version that is served.
    Has,
    /// Not yet.
    Wait,
    Remove,
    Put(Resource, u64),
}

impl Session {
    /// Sends all that may go now.
    pub(crate) fn flow(&mut self, scope: &mut Scope, keys: &dyn PrivateKeys, out: &mut Output) {
        if !scope.is_complete() {
            return;
        }
        self.trial = None;
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
            let Some(trial) = self.start_trial(scope, out) else { return };
            self.trial = trial;
        }
    }

    fn push(&mut self, kind: ResourceType, scope: &mut Scope, keys: &dyn PrivateKeys, out: &mut Output) {
        if !self.get(kind).open || self.get(kind).inflight.is_some() || !self.may_put(kind, scope) {
            return;
        }
        let nonce = self.next_nonce();
        let mut push = Push { nonce, revision: scope.revision, items: Vec::new(), mark: None, solo: None };
        let mut response = Response {
            kind,
            nonce,
            revision: scope.revision,
            resources: Vec::new(),
            removed: Vec::new(),
            observed: 0,
        };
        let mut effect = Effect::default();
        self.of(kind).dirty_again();
        let turns = Turns::of(kind, self.id, self.get(kind), scope);
        let waits = self.fill(&turns, &mut push, &mut response, scope, keys, &mut effect);
        if turns.hold_back() && !waits && push.mark.is_none() {
            // Nothing is on its way that the others could wait for.
            self.fill(&Turns::default(), &mut push, &mut response, scope, keys, &mut effect);
        }
        self.settle(effect, scope.revision, out);
        let greet = std::mem::take(&mut self.of(kind).greet);
        if greet || push.mark.is_some() {
            let solo = self.trial.take_if(|(of, _)| *of == kind).map(|(_, key)| key);
            push.solo = solo.filter(|_| push.items.iter().all(|item| !item.interim));
            response.observed = push.mark.map_or(0, |mark| mark.observed);
            self.of(kind).inflight = Some(push);
            out.responses.push(response);
        }
    }

    /// Puts all that may go into a push; true if something waits for what the proxy lacks.
    fn fill(
        &mut self,
        turns: &Turns,
        push: &mut Push,
        response: &mut Response,
        scope: &mut Scope,
        keys: &dyn PrivateKeys,
        effect: &mut Effect,
    ) -> bool {
        let (kind, nonce) = (response.kind, push.nonce);
        let at = At { proxy: self.id, may_remove: self.may_remove(kind, scope), nonce, turns };
        let (mut waits, mut is_full) = (false, false);
        for (name, mark) in std::mem::take(&mut self.of(kind).dirty) {
            let is_alone = self.get(kind).alone.contains(&name);
            if is_full || is_alone && !push.items.is_empty() || turns.are_later(&name) {
                self.of(kind).dirty.insert(name, mark);
                continue;
            }
            if scope.offer(kind, &name) == Offer::Absent {
                self.of(kind).alone.remove(&name);
                self.relent(kind, &name, scope, effect);
            }
            self.of(kind).prove_inherited(kind, &name, scope, effect);
            match self.of(kind).step(kind, &name, mark, at, scope, keys) {
                Step::Nothing => continue,
                Step::Has => {
                    self.of(kind).alone.remove(&name);
                    self.relent(kind, &name, scope, effect);
                    if turns.interim(&name).is_none() {
                        // Its answer came while some of it was suspected, or gone.
                        scope.prove_held(kind, &name, effect);
                    }
                    continue;
                }
                Step::Wait => {
                    waits = true;
                    self.of(kind).dirty.insert(name, mark);
                    continue;
                }
                Step::Remove => {
                    self.of(kind).sent.remove(&name);
                    self.removed(kind, &name, mark);
                    response.removed.push(name);
                }
                Step::Put(resource, seq) => {
                    let mut item = self.item(kind, &resource, seq, nonce, mark, scope);
                    let interim = turns.interim(&name);
                    item.interim = interim.is_some();
                    if kind == ResourceType::Route {
                        item.table = interim.or_else(|| scope.table(&name)).cloned();
                        // A version on the way may lack some of the pieces.
                        let proven_by_it = if item.interim { &[] } else { &item.unproven[..] };
                        scope.note_pushed(&name, item.version, seq, proven_by_it);
                    }
                    if item.interim {
                        self.of(kind).dirty.insert(name, mark);
                    }
                    push.items.push(item);
                    response.resources.push(resource);
                    is_full = is_alone;
                }
            }
            push.mark = Some(push.mark.map_or(mark, |first| first.merged(mark)));
        }
        waits
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
        scope: &mut Scope,
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
        let (since, unproven) = (self.get(kind).since(&name), scope.unproven(kind, &name));
        let (table, interim) = (None, false);
        Item { name, version, seq, previous, endpoints, since, unproven, table, interim }
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
            ResourceType::Route => done(self.listeners()),
            ResourceType::Secret => {
                done(self.listeners()) && !scope.serves_old_routes() && !self.has_old_routes()
            }
            // Until then a table may lead there.
            ResourceType::Scope => done(ResourceType::Route),
            ResourceType::Cluster => {
                let routes = self.get(ResourceType::Route);
                let routed = routes.is_idle() && (routes.len() > 0 || !scope.has_tables());
                done(self.listeners()) && routed && !scope.serves_old_routes() && !self.has_old_routes()
            }
            ResourceType::Endpoints => done(ResourceType::Cluster),
        }
    }

    /// When all else is sent, serves the next suspects: the kind and, if it is one alone, the piece.
    fn start_trial(&mut self, scope: &mut Scope, out: &mut Output) -> Option<Option<(ResourceType, XdsKey)>> {
        if !scope.has_trials() {
            return None;
        }
        for kind in ResourceType::ALL {
            if !self.is_done(kind, scope) {
                continue;
            }
            loop {
                scope.end_trial(kind, self.id);
                let can_judge = |scope: &Scope, key: &XdsKey| self.can_judge(kind, key, scope);
                let (touched, mut pieces) = scope.next_trial(kind, self.id, can_judge);
                let Some(piece) = pieces.pop() else { break };
                if !touched.is_empty() {
                    self.settle(Effect { touched, healed: Vec::new() }, scope.revision, out);
                    return Some(pieces.is_empty().then_some((kind, piece)));
                }
            }
        }
        None
    }

    /// True if the proxy has answered to all that it gets of a type. Removals may wait.
    fn is_done(&mut self, kind: ResourceType, scope: &Scope) -> bool {
        let gated = kind == self.listeners() || kind == ResourceType::Route;
        let scopes = self.get(ResourceType::Scope);
        let scoped = kind != ResourceType::Route || !self.walks() || scopes.inflight.is_none();
        let state = self.get(kind);
        let done = state.open && state.inflight.is_none() && (!gated || state.dirty.is_empty()) && scoped;
        done && self.may_put(kind, scope)
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
        at: At<'_>,
        scope: &mut Scope,
        keys: &dyn PrivateKeys,
    ) -> Step {
        if !self.wants(name) {
            self.sent.remove(name);
            return Step::Nothing;
        }
        match scope.offer(kind, name) {
            Offer::Withheld => {
                if mark.forced
                    && let Some(sent) = self.sent.get_mut(name)
                {
                    // It is to go out again as soon as it is served, whatever the proxy has.
                    sent.version = None;
                }
                Step::Nothing
            }
            Offer::Absent => self.absent(kind, name, at.may_remove),
            Offer::Ready { version, seq } => {
                self.told_absent.remove(name);
                let interim = at.turns.interim(name);
                let version = interim.map_or(version, |table| table.version);
                let has = self.sent.get(name).is_some_and(|sent| sent.version == Some(version));
                if has && !mark.forced {
                    return Step::Has;
                }
                if self.refuses(name, version) {
                    return Step::Nothing;
                }
                if self.is_held_back(kind, name, at.proxy, scope) {
                    self.held_back.insert(name.clone(), mark);
                    return Step::Nothing;
                }
                if kind == ResourceType::Route
                    && let Some(table) = interim.or_else(|| scope.table(name))
                    && table.leads_to().iter().any(|next| self.lacks(next, at, scope))
                {
                    return Step::Wait;
                }
                let body = match interim {
                    Some(table) => Some((table.body.clone(), None)),
                    None => scope.body(kind, name),
                };
                let Some((body, key)) = body else { return Step::Nothing };
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

    /// True if the proxy has not accepted a table, neither since it is there nor as it is now. Call while no push
    /// is unanswered but the one that is being made.
    fn lacks(&self, table: &str, at: At<'_>, scope: &Scope) -> bool {
        if at.turns.are_later(table) {
            // What it has of it is right for now.
            return false;
        }
        let Offer::Ready { version: now, .. } = scope.offer(ResourceType::Route, &table.into()) else {
            // It goes: only what the proxy has leads there, and until then it is as good as it was.
            return false;
        };
        let Some(sent) = self.sent.get(table) else { return true };
        let is_old = sent.nonce == 0 && sent.version != Some(now) && !self.tables.contains_key(table);
        let is_unknown = is_old && !self.keeps(&table.into(), now, at.proxy, scope);
        sent.nonce == at.nonce || is_unknown || at.turns.prepare(table)
    }

    /// True if the proxy stays on what it has of a table, though this version is served.
    fn keeps(&self, table: &ArcStr, version: ContentHash, proxy: ProxyId, scope: &Scope) -> bool {
        self.refuses(table, version) || self.is_held_back(ResourceType::Route, table, proxy, scope)
    }

    /// True while a proxy keeps what it brought along: it may serve a good version of just what is left out now,
    /// until somebody has told what is bad.
    pub(super) fn is_held_back(
        &self,
        kind: ResourceType,
        name: &ArcStr,
        proxy: ProxyId,
        scope: &Scope,
    ) -> bool {
        self.sent.get(name).is_some_and(|sent| sent.inherited) && scope.is_held_back(kind, name, proxy)
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
