//! One proxy's stream: requests and changes in, responses out.

use std::{collections::BTreeMap, time::Duration};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proto::{ArcStr, Cause, Revision, XdsKey};

use super::{flow::is_ready, push::Push, response::Response, subscriptions::Subscriptions};
use crate::{
    auth::PrivateKeys,
    quarantine::ProxyId,
    resource::{ResourceId, ResourceType},
    scope::{Effect, Offer, Scope},
};

/// When a change that a proxy lacks was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) revision: Revision,
    /// Nanoseconds since the Unix epoch; 0 if unknown.
    pub(crate) observed: i64,
    /// Send even if the proxy should have it.
    pub(crate) forced: bool,
}

impl Mark {
    pub(crate) fn at(revision: Revision) -> Self {
        Mark { revision, observed: 0, forced: false }
    }

    /// The earlier of two changes, both of which are owed.
    pub(crate) fn merged(self, other: Mark) -> Self {
        let observed = match (self.observed, other.observed) {
            (0, one) | (one, 0) => one,
            (one, two) => one.min(two),
        };
        let revision = self.revision.min(other.revision);
        Mark { revision, observed, forced: self.forced || other.forced }
    }
}

/// A resource of the scope that changed.
#[derive(Clone, Debug)]
pub(crate) struct Touched {
    pub(crate) id: ResourceId,
    pub(crate) mark: Mark,
}

/// What a session reacts to.
pub(crate) enum Input<'a> {
    /// A message of the proxy.
    Request(&'a DeltaDiscoveryRequest),
    /// Resources of the scope changed.
    Changed(Vec<Touched>),
    /// Listeners or routes have waited too long for clusters: go on without.
    Stalled,
    /// What was refused for a reason that may have passed is tried again, if its time has come.
    Retry,
}

/// What the rest of the process should know.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The proxy has everything up to here.
    Acked(Revision),
    /// The proxy cannot load the module, as it says, and is given whole route tables.
    FellBack(String),
    /// The proxy refused a push.
    PushNacked { kind: ResourceType },
    /// What was to blame for it; no keys if it is not yet known which piece is.
    Nacked { revision: Revision, keys: Vec<XdsKey>, message: String, cause: Cause },
    /// These pieces are no longer refused.
    Healed(Vec<XdsKey>),
    /// A push was ACKed; when its oldest change was observed.
    PushAcked { kind: ResourceType, observed: i64 },
}

/// What a step gives.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) responses: Vec<Response>,
    /// Resources whose served version this step changed, for the other sessions of the scope.
    pub(crate) touched: Vec<Touched>,
    pub(crate) notices: Vec<Notice>,
}

impl Output {
    /// Adds what a later step gave.
    pub(crate) fn append(&mut self, later: Output) {
        self.responses.extend(later.responses);
        self.touched.extend(later.touched);
        self.notices.extend(later.notices);
    }
}

/// Protocol state of one stream.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// Number of the stream in its scope.
    pub(super) id: ProxyId,
    /// The proxy's `node.id`.
    node: ArcStr,
    /// Time since any moment, as of the last [`Session::at`].
    pub(super) now: Duration,
    types: [Subscriptions; 7],
    /// True if the proxy walks route tables.
    walks: bool,
    nonce: u64,
    /// Everything up to here was ACKed.
    pub(crate) acked: Revision,
    /// The scope's, when this was ACKed.
    era: u64,
    /// Endpoint sets that clusters of the proxy need and that it has not ACKed since; those that the scope
    /// lacks may come back, but nothing waits for them.
    pub(crate) awaited: BTreeMap<ArcStr, Revision>,
    pub(crate) stalled: bool,
    /// The next push of this type is on trial for the piece, and for nothing else.
    pub(super) trial: Option<(ResourceType, XdsKey)>,
}

impl Session {
    /// Takes one input and says what to send.
    pub(crate) fn step(&mut self, input: Input<'_>, scope: &mut Scope, keys: &dyn PrivateKeys) -> Output {
        let mut out = Output::default();
        if self.id == 0 {
            self.id = scope.new_proxy();
        }
        match input {
            Input::Request(request) => self.request(request, scope, &mut out),
            Input::Changed(changes) => {
                for change in changes {
                    self.of(change.id.kind).changed(&change.id, change.mark);
                }
            }
            Input::Stalled => {
                self.stalled = true;
                self.awaited.clear();
            }
            Input::Retry => self.retry(scope.revision),
        }
        self.flow(scope, keys, &mut out);
        self.report_acked(scope, &mut out);
        out
    }

    /// Sets the clock for the next steps: the time since some fixed moment.
    pub(crate) fn at(&mut self, now: Duration) {
        self.now = now;
    }

    /// When [`Input::Retry`] is due next, on the session's clock.
    pub(crate) fn next_retry(&self) -> Option<Duration> {
        let refused = self.types.iter().flat_map(|one| one.refused.values()).filter(|one| !one.is_due);
        let pauses = self.types.iter().filter_map(|one| one.refusals.next());
        refused.filter_map(|one| one.retry).map(|retry| retry.at).chain(pauses).min()
    }

    fn retry(&mut self, revision: Revision) {
        for state in &mut self.types {
            let mut due = state.refusals.take_due(self.now);
            for (name, refused) in &mut state.refused {
                if !refused.is_due && refused.retry.is_some_and(|retry| retry.at <= self.now) {
                    refused.is_due = true;
                    due.push(name.clone());
                }
            }
            due.iter().for_each(|name| state.touch(name, Mark::at(revision)));
        }
    }

    /// The stream ended.
    pub(crate) fn close(&self, scope: &mut Scope) -> Effect {
        let mut doubts = BTreeMap::new();
        for kind in ResourceType::ALL {
            let id = |name: &ArcStr| ResourceId { kind, name: name.clone() };
            let state = self.get(kind);
            let unknown = state.sent.iter().filter(|(_, sent)| sent.version.is_none());
            doubts.extend(unknown.map(|(name, _)| (id(name), None)));
            let unanswered = state.inflight.iter().filter(|push| push.items.len() > 1);
            let items = unanswered.flat_map(|push| &push.items);
            doubts.extend(items.map(|item| (id(&item.name), Some(item.version))));
        }
        scope.doubt(&self.node, doubts);
        scope.proxy_gone(self.id)
    }

    /// The same session, of a proxy with this `node.id`.
    pub(crate) fn of_node(self, node: &str) -> Self {
        Session { node: node.into(), ..self }
    }

    /// True if listeners or routes wait for an answer about clusters.
    pub(crate) fn waits(&self) -> bool {
        let owed = |kind| self.get(kind).inflight.is_none() && !self.get(kind).dirty.is_empty();
        owed(self.listeners()) || owed(ResourceType::Route)
    }

    /// For a proxy that walks route tables.
    pub(crate) fn walking() -> Self {
        Session { walks: true, ..Session::default() }
    }

    /// True if it is given route tables to walk.
    pub(crate) fn walks(&self) -> bool {
        self.walks
    }

    /// The kind of listeners that the proxy gets.
    pub(crate) fn listeners(&self) -> ResourceType {
        if self.walks { ResourceType::ScopedListener } else { ResourceType::Listener }
    }

    /// The proxy cannot load the module: from now on it is given whole tables.
    fn stop_walking(&mut self, scope: &mut Scope, effect: &mut Effect) {
        let state = std::mem::take(self.of(ResourceType::ScopedListener));
        self.walks = false;
        for refused in state.refused.values() {
            scope.assent(&refused.key, self.id, effect);
        }
        *self.of(ResourceType::Listener) = state.for_other_resources(ResourceType::Listener, scope);
    }

    /// Names subscribed to in all types.
    pub(crate) fn subscribed(&self) -> usize {
        self.types.iter().map(Subscriptions::len).sum()
    }

    pub(crate) fn of(&mut self, kind: ResourceType) -> &mut Subscriptions {
        &mut self.types[kind as usize]
    }

    pub(crate) fn get(&self, kind: ResourceType) -> &Subscriptions {
        &self.types[kind as usize]
    }

    pub(crate) fn next_nonce(&mut self) -> u64 {
        self.nonce += 1;
        self.nonce
    }

    fn request(&mut self, request: &DeltaDiscoveryRequest, scope: &mut Scope, out: &mut Output) {
        let Some(kind) = ResourceType::from_url(&request.type_url) else { return };
        let kind = if kind == ResourceType::Listener { self.listeners() } else { kind };
        let mut effect = Effect::default();
        let node = self.node.clone();
        self.of(kind).request(kind, &node, request, scope, &mut effect);
        self.forget_unwanted(kind, request, scope, &mut effect);
        if kind == ResourceType::Endpoints {
            // A cluster that went out before this request waits for those that the proxy brought along, too.
            for name in &request.resource_names_subscribe {
                if self.awaited.contains_key(name.as_str()) {
                    self.resend_endpoints(&ArcStr::from(name.as_str()), 1, scope.revision);
                }
            }
        }
        let nonce = request.response_nonce.as_str();
        let answered = |push: &mut Push| push.nonce.to_string() == nonce;
        if let Some(push) = self.of(kind).inflight.take_if(answered) {
            match &request.error_detail {
                None => self.ack(kind, push, scope, &mut effect, out),
                Some(status) if self.walks && kind == self.listeners() && lacks_module(&status.message) => {
                    self.stop_walking(scope, &mut effect);
                    out.notices.push(Notice::FellBack(status.message.clone()));
                }
                Some(status) => {
                    out.notices.extend(self.nack(kind, &push, &status.message, scope, &mut effect));
                }
            }
        }
        self.settle(effect, scope.revision, out);
    }

    /// What it refused of names that it does not want any more is over.
    fn forget_unwanted(
        &mut self,
        kind: ResourceType,
        request: &DeltaDiscoveryRequest,
        scope: &mut Scope,
        effect: &mut Effect,
    ) {
        for name in &request.resource_names_unsubscribe {
            let name = ArcStr::from(name.as_str());
            if !self.get(kind).wants(&name) {
                self.of(kind).alone.remove(&name);
                self.relent(kind, &name, scope, effect);
                if kind == ResourceType::Route && !self.walks {
                    scope.drop_suspicions(self.id, &name, effect);
                }
            }
        }
    }

    fn ack(
        &mut self,
        kind: ResourceType,
        push: Push,
        scope: &mut Scope,
        effect: &mut Effect,
        out: &mut Output,
    ) {
        for item in &push.items {
            if !item.interim {
                self.accepted(kind, item, scope, effect);
            }
            if let Some(table) = &item.table {
                self.of(kind).has_table(&item.name, table, push.nonce);
            }
            // Endpoints that went out before their cluster did are not those that it waits for.
            let clusters = &self.get(ResourceType::Cluster).sent;
            let is_later = clusters.get(&item.name).is_none_or(|cluster| cluster.nonce < push.nonce);
            if kind == ResourceType::Endpoints && is_later {
                self.awaited.remove(&item.name);
            }
        }
        let observed = push.mark.map_or(0, |mark| mark.observed);
        out.notices.push(Notice::PushAcked { kind, observed });
    }

    /// A changed cluster warms until its endpoints come, but Envoy does not ask again for a set that
    /// it already watches. It does not ACK the cluster either before it is warm, so this cannot wait.
    pub(super) fn resend_endpoints(&mut self, name: &ArcStr, since: u64, revision: Revision) {
        let endpoints = self.of(ResourceType::Endpoints);
        if endpoints.names(name) && endpoints.sent.get(name).is_none_or(|sent| sent.nonce < since) {
            endpoints.touch(name, Mark { forced: true, ..Mark::at(revision) });
        }
    }

    /// Spreads an effect on the scope to this session and to the output.
    pub(crate) fn settle(&mut self, effect: Effect, revision: Revision, out: &mut Output) {
        for id in effect.touched {
            let mark = Mark::at(revision);
            self.of(id.kind).changed(&id, mark);
            out.touched.push(Touched { id, mark });
        }
        if !effect.healed.is_empty() {
            out.notices.push(Notice::Healed(effect.healed));
        }
    }

    fn report_acked(&mut self, scope: &Scope, out: &mut Output) {
        if self.era != scope.era {
            (self.era, self.acked) = (scope.era, Revision::NONE);
        }
        let Some(acked) = self.acked_now(scope) else { return };
        if acked > self.acked {
            self.acked = acked;
            out.notices.push(Notice::Acked(acked));
        }
    }

    /// The highest revision below the first change that is still owed; none while the proxy has not
    /// asked for all that a Gateway consists of.
    fn acked_now(&self, scope: &Scope) -> Option<Revision> {
        let complete = scope.is_complete()
            && self.get(ResourceType::Cluster).open
            && self.get(self.listeners()).open
            && (!scope.has_tables() || self.get(ResourceType::Route).len() > 0);
        let tries = || {
            let tries = |kind| scope.is_trying(kind, |key| self.can_judge(kind, key, scope));
            scope.has_trials() && ResourceType::ALL.into_iter().any(tries)
        };
        if !complete || tries() {
            return None;
        }
        let dirty = ResourceType::ALL.into_iter().flat_map(|kind| {
            let counts = move |name: &ArcStr| !self.is_postponed(kind, name, scope);
            let state = self.get(kind);
            let dirty = state.dirty.iter().chain(&state.held_back).filter(move |(name, _)| counts(name));
            dirty.map(|(_, mark)| mark.revision)
        });
        let pushes = self.types.iter().filter_map(|one| one.inflight.as_ref());
        let inflight = pushes.map(|push| push.mark.map_or(push.revision, |mark| mark.revision));
        let awaited = self.awaited.iter().filter(|(name, _)| is_ready(scope, ResourceType::Endpoints, name));
        let owed = dirty.chain(inflight).chain(awaited.map(|(_, revision)| *revision)).min();
        // What is owed since a time of other revisions may have a higher one.
        Some(owed.map_or(scope.revision, |first| Revision(first.0.saturating_sub(1)).min(scope.revision)))
    }

    /// True if the proxy can tell whether a piece is good. It cannot if it lacks a table with it, though others took
    /// that, or must not have it now.
    pub(super) fn can_judge(&self, kind: ResourceType, key: &XdsKey, scope: &Scope) -> bool {
        let state = self.get(kind);
        if kind != ResourceType::Route {
            return state.wants(&key.name);
        }
        let refused = state.refused.iter().filter(|(_, one)| !one.is_due).map(|(table, _)| table);
        let mut lacks = state.held_back.keys().chain(refused);
        (self.walks || state.wants(&key.name)) && !lacks.any(|table| scope.may_have(table, key))
    }

    /// Route tables that the proxy had before this server knew it: it is not known what is in them.
    pub(super) fn inherited(&self) -> impl Iterator<Item = &ArcStr> {
        let sent = &self.get(ResourceType::Route).sent;
        sent.iter().filter(|(_, sent)| sent.inherited).map(|(name, _)| name)
    }

    /// True while the proxy serves older listeners or routes than the scope does.
    pub(super) fn has_old_routes(&self) -> bool {
        [self.listeners(), ResourceType::Route].iter().any(|kind| !self.get(*kind).refused.is_empty())
    }

    /// A removal that waits for a quarantine to end.
    fn is_postponed(&self, kind: ResourceType, name: &ArcStr, scope: &Scope) -> bool {
        (scope.serves_old_routes() || self.has_old_routes())
            && matches!(kind, ResourceType::Cluster | ResourceType::Endpoints | ResourceType::Secret)
            && scope.offer(kind, name) == Offer::Absent
    }
}

/// True if Envoy refused a listener because the module is not there, does not load, or has no such filter: in that
/// case the listener is as good without it.
fn lacks_module(message: &str) -> bool {
    message.contains("dynamic module") && message.contains(lookup::MODULE_NAME)
        || ["Failed to load dynamic module", "Failed to create filter config"]
            .iter()
            .any(|words| message.contains(words))
}
