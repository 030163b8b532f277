//! The status of every object and proxy: reports of the translator, joined with what the proxies say.

mod compare;
mod elsewhere;
mod fault_lines;
mod faults;
mod gateway;
mod join;
mod programming;
mod transitions;
pub(crate) mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ingest::SourceFault;
use proto::{
    ArcStr, Base, Blame, Delta, Feedback, Kind, ObjectStatus, Report, ResourceKey, Revision, XdsKey,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use compare::{differs_in_routes_only, is_accepted};
pub(crate) use elsewhere::{Elsewhere, Refused};
use faults::FaultLog;
pub(crate) use faults::{Field, Locate};
use gateway::Gateway;
use join::{Programming, Refusal, Refusals, RefusedListeners, effective};
use transitions::Transitions;

use crate::kubernetes::proxies::Deployed;
use crate::time::now;

/// Shared by the loop that changes it and the admin endpoint that shows it.
pub(crate) struct Statuses {
    inner: Mutex<Inner>,
    wanted: watch::Sender<BTreeSet<ResourceKey>>,
    published: watch::Sender<Revision>,
    /// Tells that [`Statuses::take_changed`] has something.
    changed: watch::Sender<()>,
    /// Tells that [`Statuses::programmed`] or [`Statuses::refused`] is another one.
    programmed: watch::Sender<()>,
    controller: ArcStr,
    needs_proxies: bool,
}

#[derive(Default)]
struct Inner {
    revision: Revision,
    listed: bool,
    log_error: Option<String>,
    state_directory: Option<String>,
    objects: BTreeMap<ResourceKey, Entry>,
    /// Gateways that are ours and valid: each gets proxies.
    accepted: BTreeSet<ResourceKey>,
    gateways: BTreeMap<ResourceKey, Gateway>,
    refusals: BTreeMap<ResourceKey, Refusals>,
    /// What came of the deployment of Gateways' proxies.
    deployed: BTreeMap<ResourceKey, Deployed>,
    /// Hashes of statuses that are true here, by what they are of.
    programmed: BTreeMap<ResourceKey, u64>,
    programmed_changed: bool,
    /// What other replicas say.
    elsewhere: Elsewhere,
    /// ListenerSets by the Gateway whose proxies serve them.
    sets: BTreeMap<ResourceKey, BTreeSet<ResourceKey>>,
    /// Objects whose status may be another since it was taken; none while nobody takes them.
    changed: Option<BTreeSet<ResourceKey>>,
    faults: FaultLog,
}

struct Entry {
    status: ObjectStatus,
    times: Transitions,
    /// Gateways and ListenerSets: the revision that a proxy must ACK before it is programmed.
    needs: Revision,
}

impl Statuses {
    /// `needs_proxies`: a Gateway without a connected proxy is not ready.
    pub(crate) fn new(controller: ArcStr, needs_proxies: bool) -> Statuses {
        Statuses {
            inner: Mutex::default(),
            wanted: watch::Sender::default(),
            published: watch::Sender::default(),
            changed: watch::Sender::default(),
            programmed: watch::Sender::default(),
            controller,
            needs_proxies,
        }
    }

    /// The accepted Gateways.
    pub(crate) fn wanted(&self) -> watch::Receiver<BTreeSet<ResourceKey>> {
        self.wanted.subscribe()
    }

    /// The revision published last.
    pub(crate) fn revisions(&self) -> watch::Receiver<Revision> {
        self.published.subscribe()
    }

    /// From now on changes are kept for [`Statuses::take_changed`], at first all that there is; the receiver wakes
    /// when there are some.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        let mut inner = self.lock();
        inner.changed = Some(inner.objects.keys().cloned().collect());
        self.changed.subscribe()
    }

    /// The statuses that changed since this was asked last; none for objects that have none any more.
    pub(crate) fn take_changed(&self) -> Vec<(ResourceKey, Option<ObjectStatus>)> {
        let mut inner = self.lock();
        let changed = inner.changed.as_mut().map(std::mem::take).unwrap_or_default();
        let status = |key: ResourceKey| {
            let status = inner.objects.get(&key).map(|entry| inner.effective(&key, entry));
            (key, status)
        };
        changed.into_iter().map(status).collect()
    }

    /// Lets whoever writes statuses, or tells other replicas, know, once the lock is free.
    fn tell(&self, mut inner: MutexGuard<'_, Inner>) {
        let some = inner.changed.as_ref().is_some_and(|changed| !changed.is_empty());
        let programmed = std::mem::take(&mut inner.programmed_changed);
        drop(inner);
        if some {
            self.changed.send_replace(());
        }
        if programmed {
            self.programmed.send_replace(());
        }
    }

    /// Every write leaves a whole state, so a poisoned lock does no harm.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new revision is on its way to the proxies.
    pub(crate) fn published(&self, delta: &Delta) {
        let mut inner = self.lock();
        inner.revision = delta.revision;
        inner.touch(delta);
        if delta.base == Base::Nothing {
            inner.forget_others(delta);
        }
        for report in &delta.reports {
            inner.report(report, delta.revision);
        }
        metrics::gauge!(crate::metrics::FAULTS).set(inner.faults.count() as f64);
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != inner.accepted;
            if changed {
                wanted.clone_from(&inner.accepted);
            }
            changed
        });
        self.tell(inner);
        self.published.send_replace(delta.revision);
    }

    /// What a proxy said.
    pub(crate) fn feedback(&self, feedback: &Feedback, blamed: &[Blame]) {
        let mut inner = self.lock();
        let (Feedback::Connected { scope, .. }
        | Feedback::FellBack { scope, .. }
        | Feedback::Disconnected { scope, .. }
        | Feedback::Acked { scope, .. }
        | Feedback::Nacked { scope, .. }
        | Feedback::Healed { scope, .. }) = feedback;
        let gateway = inner.gateways.entry(scope.clone()).or_default();
        let acked = gateway.acked();
        gateway.feedback(feedback, now());
        if let Feedback::Healed { keys, .. } = feedback {
            inner.heal(keys);
        }
        for Blame { object, piece, message, cause } in blamed {
            let refusal = Refusal { message: message.clone(), cause: *cause };
            inner.refusals.entry(object.clone()).or_default().insert(piece.clone(), refusal);
            inner.settle(object);
            inner.programmed_changed = true;
        }
        // Most ACKs are of changes that no status waits for.
        if !matches!(feedback, Feedback::Acked { .. }) || inner.waits_for_more_than(acked, scope) {
            inner.settle_proxied(scope);
        }
        metrics::gauge!(crate::metrics::FAULTS).set(inner.faults.count() as f64);
        self.tell(inner);
    }

    /// Something came of the deployment of a Gateway's proxies; none if they are not deployed any more.
    pub(crate) fn deployed(&self, gateway: &ResourceKey, deployed: Option<Deployed>) {
        let mut inner = self.lock();
        let changed = match deployed {
            Some(deployed) => inner.deployed.insert(gateway.clone(), deployed.clone()) != Some(deployed),
            None => inner.deployed.remove(gateway).is_some(),
        };
        if changed {
            inner.settle_proxied(gateway);
        }
        self.tell(inner);
    }

    /// Hashes of the statuses of Gateways and ListenerSets that proxies of this replica have made true.
    pub(crate) fn programmed(&self) -> BTreeMap<ResourceKey, u64> {
        self.lock().programmed.clone()
    }

    /// Wakes when they, or what is [`Statuses::refused`], are others.
    pub(crate) fn programmed_changes(&self) -> watch::Receiver<()> {
        self.programmed.subscribe()
    }

    /// The translator failed on an object, or the log did not take it.
    pub(crate) fn internal_fault(&self, key: &ResourceKey, problem: &str, remedy: &str) {
        let fault = proto::Fault {
            object: key.clone(),
            field: String::new(),
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
        };
        self.lock().faults.internal(key, fault);
    }

    /// The log does not append, or does again.
    pub(crate) fn log_failing(&self, error: Option<String>) {
        let mut inner = self.lock();
        match &error {
            Some(error) if inner.log_error.as_ref() != Some(error) => {
                tracing::error!(
                    "nothing is acknowledged or published until the event log works again: {error}"
                );
            }
            None => tracing::info!("mended: the event log works again"),
            Some(_) => {}
        }
        inner.log_error = error;
    }

    /// What is wrong with the state directory, if something is.
    pub(crate) fn state_directory(&self, problem: Option<String>) {
        let mut inner = self.lock();
        if inner.state_directory == problem {
            return;
        }
        match &problem {
            Some(problem) => tracing::error!("{problem}"),
            None => tracing::info!("mended: the state directory can be written again"),
        }
        inner.state_directory = problem;
    }

    /// What is wrong with the files of the source, all of it.
    pub(crate) fn source_faults(&self, faults: Vec<SourceFault>) {
        metrics::gauge!(crate::metrics::SOURCE_FAULTS).set(faults.len() as f64);
        self.lock().faults.source(faults);
    }

    /// The source has been read once: from now on faults are logged, with their places.
    pub(crate) fn listed(&self, locate: Box<Locate>) {
        let mut inner = self.lock();
        inner.listed = true;
        inner.faults.open(locate);
        drop(inner);
        self.changed.send_replace(());
    }

    /// True once the source has been read: an object without a status is not ours, or not there.
    pub(crate) fn is_listed(&self) -> bool {
        self.lock().listed
    }

    /// It is ours, or has a mistake that we tell.
    pub(crate) fn has(&self, key: &ResourceKey) -> bool {
        self.lock().objects.contains_key(key)
    }

    /// True if a parent has taken the route.
    pub(crate) fn accepts(&self, route: &ResourceKey) -> bool {
        let inner = self.lock();
        let parents =
            inner.objects.get(route).map(|entry| entry.status.parents.as_slice()).unwrap_or_default();
        let mut conditions = parents.iter().flat_map(|parent| &parent.conditions);
        conditions.any(|condition| condition.kind == "Accepted" && condition.holds())
    }

    /// What is missing until proxies can be served; empty if nothing. That does not hang on the proxies: in a
    /// cluster they find a server only once it is ready.
    pub(crate) fn missing_to_serve(&self) -> Vec<String> {
        self.lock().missing()
    }

    /// What is missing until everything that was asked for is live; empty if nothing.
    pub(crate) fn missing(&self) -> Vec<String> {
        let inner = self.lock();
        let mut missing = inner.missing();
        for key in &inner.accepted {
            let state = inner.gateways.get(key);
            let why = match state {
                Some(gateway) => gateway.missing(self.needs_proxies),
                None => Gateway::default().missing(self.needs_proxies),
            };
            missing.extend(why.map(|why| format!("Gateway {}: {why}", key.namespaced_name())));
        }
        missing
    }

    /// `/status`
    pub(crate) fn to_json(&self) -> Value {
        let inner = self.lock();
        let object = |(key, entry): (&ResourceKey, &Entry)| {
            view::object(key, &inner.effective(key, entry), &self.controller, Some(&entry.times))
        };
        let proxies = inner.gateways.iter().flat_map(|(key, gateway)| gateway.proxies_json(key));
        let faults = inner.faults.all();
        let mut status = json!({
            "revision": inner.revision.0,
            "objects": inner.objects.iter().map(object).collect::<Vec<_>>(),
            "proxies": proxies.collect::<Vec<_>>(),
        });
        // Files are read for it: nobody must wait for the lock meanwhile.
        drop(inner);
        status["faults"] = faults.to_json().into();
        status
    }
}

impl Inner {
    fn missing(&self) -> Vec<String> {
        let mut missing: Vec<String> = Vec::new();
        if !self.listed {
            missing.push("the source has not been read yet".to_owned());
        }
        missing.extend(self.state_directory.clone());
        missing.extend(self.log_error.iter().map(|error| format!("the event log fails: {error}")));
        missing
    }

    fn touch(&mut self, delta: &Delta) {
        let keys = delta.puts.iter().map(|put| &put.key).chain(&delta.removes);
        let mut last: Option<&ResourceKey> = None;
        for key in keys.filter(|key| key.scope.kind == Kind::GATEWAY) {
            if last != Some(&key.scope) {
                self.gateways.entry(key.scope.clone()).or_default().touched = delta.revision;
                last = Some(&key.scope);
            }
        }
    }

    /// What a delta on nothing has no report on is gone.
    fn forget_others(&mut self, delta: &Delta) {
        let reported: BTreeSet<&ResourceKey> = delta.reports.iter().map(|report| &report.key).collect();
        let gone = self.objects.keys().filter(|key| !reported.contains(key)).cloned();
        for key in gone.collect::<Vec<_>>() {
            self.report(&Report { key, status: None }, delta.revision);
        }
    }

    fn report(&mut self, report: &Report, revision: Revision) {
        let key = &report.key;
        let Some(status) = &report.status else {
            self.note(key);
            self.belong(key, None);
            self.objects.remove(key);
            self.accepted.remove(key);
            self.programmed_changed |= self.refusals.remove(key).is_some();
            self.note_programmed(key);
            if self.gateways.get(key).is_some_and(Gateway::is_unused) {
                self.gateways.remove(key);
            }
            self.faults.translated(key, &[]);
            return;
        };
        if key.kind == Kind::GATEWAY && is_accepted(status) {
            self.accepted.insert(key.clone());
        } else {
            self.accepted.remove(key);
        }
        let touched = match key.kind == Kind::GATEWAY {
            // One without any resources is served from its first report on.
            true => {
                self.gateways.entry(key.clone()).or_insert_with(|| Gateway::served_from(revision)).touched
            }
            // Its resources are its Gateway's.
            false => {
                let gateway = status.gateway.as_ref().and_then(|gateway| self.gateways.get(gateway));
                gateway.map_or(revision, |gateway| gateway.touched)
            }
        };
        self.belong(key, status.gateway.as_ref());
        let mut sets_too = false;
        match self.objects.get_mut(key) {
            Some(entry) => {
                if !differs_in_routes_only(&entry.status, status) {
                    entry.needs = touched;
                    sets_too = true;
                }
                entry.status = status.clone();
            }
            None => {
                let entry = Entry { status: status.clone(), times: Transitions::default(), needs: touched };
                self.objects.insert(key.clone(), entry);
                sets_too = true;
            }
        }
        // A count of routes says nothing to ListenerSets.
        if sets_too { self.settle_proxied(key) } else { self.settle(key) }
    }

    /// Notes which Gateway a ListenerSet belongs to.
    fn belong(&mut self, key: &ResourceKey, gateway: Option<&ResourceKey>) {
        if key.kind != Kind::LISTENER_SET {
            return;
        }
        let before = self.objects.get(key).and_then(|entry| entry.status.gateway.clone());
        if let Some(before) = before.filter(|before| Some(before) != gateway)
            && let Some(sets) = self.sets.get_mut(&before)
        {
            sets.remove(key);
            if sets.is_empty() {
                self.sets.remove(&before);
            }
        }
        if let Some(gateway) = gateway {
            self.sets.entry(gateway.clone()).or_default().insert(key.clone());
        }
    }

    /// Settles a Gateway and its ListenerSets.
    fn settle_proxied(&mut self, gateway: &ResourceKey) {
        self.settle(gateway);
        for set in self.sets.get(gateway).cloned().unwrap_or_default() {
            self.settle(&set);
        }
    }

    fn note(&mut self, key: &ResourceKey) {
        if let Some(changed) = &mut self.changed {
            changed.insert(key.clone());
        }
    }

    fn heal(&mut self, keys: &[XdsKey]) {
        let mut healed = Vec::new();
        for (object, refusals) in &mut self.refusals {
            let before = refusals.len();
            refusals.retain(|piece, _| !keys.contains(piece));
            if refusals.len() < before {
                healed.push(object.clone());
            }
        }
        self.refusals.retain(|_, refusals| !refusals.is_empty());
        self.programmed_changed |= !healed.is_empty();
        for object in healed {
            self.settle(&object);
        }
    }

    /// Brings transition times and the fault log up to date with an object's status.
    fn settle(&mut self, key: &ResourceKey) {
        self.note_programmed(key);
        let Some(entry) = self.objects.get(key) else {
            let (refusals, none) = (self.refusals_of(key), RefusedListeners::new());
            let status = effective(key, &ObjectStatus::default(), &Programming::Done, &none, Some(&refusals));
            self.faults.translated(key, &status.faults);
            return;
        };
        let status = self.effective(key, entry);
        self.faults.translated(key, &status.faults);
        self.note(key);
        if let Some(entry) = self.objects.get_mut(key) {
            entry.times.update(&status, now());
        }
    }
}

#[cfg(test)]
mod tests;
