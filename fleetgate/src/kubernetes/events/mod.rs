//! Kubernetes Events for what changes state: Gateways, routes and policies that are accepted, refused (by us or by a
//! proxy) or mended, and a replica that leads. Only the leader tells them. Telling never waits: what is too much is
//! counted and left out, for the statuses have it all.

mod budget;
mod changes;
mod writer;

use std::collections::HashMap;
use std::time::Instant;

use ingest::kubernetes::source::Seen;
use kube::{Client, ResourceExt};
use proto::{ArcStr, Kind, ObjectStatus, ResourceKey};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::lease;
use super::proxies::is_system;
use crate::metrics::KUBERNETES_EVENTS;
use budget::Budget;
use changes::{Note, Told};
use writer::Writer;

/// Events that may wait to be written.
const BACKLOG: usize = 256;

/// Tells Events of objects whose status it is shown.
pub(crate) struct Events {
    sender: mpsc::Sender<writer::Told>,
    budget: Budget,
    told: HashMap<ResourceKey, Told>,
    seen: Seen,
    controller: ArcStr,
    namespaces: Vec<String>,
}

/// Whose Events, and where they may be.
#[derive(Clone)]
pub(crate) struct Reporter {
    /// To the API server.
    pub(crate) client: Client,
    /// Our `controllerName`.
    pub(crate) controller: ArcStr,
    /// This replica.
    pub(crate) identity: String,
    /// Fleetgate's own namespace.
    pub(crate) namespace: String,
    /// The Lease there that says who leads.
    pub(crate) lease: String,
    /// Those that are watched; empty for all.
    pub(crate) namespaces: Vec<String>,
}

impl Reporter {
    /// Writes what the [`Events`] tell, until they are dropped; the first says that this replica leads.
    pub(crate) fn start(self, seen: Seen) -> (Events, impl Future<Output = ()> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        let Reporter { client, controller, identity, namespace, lease, namespaces } = self;
        let events = Events {
            sender: sender.clone(),
            budget: Budget::default(),
            told: HashMap::new(),
            seen,
            controller: controller.clone(),
            namespaces,
        };
        let writer =
            Writer { client: client.clone(), controller: controller.to_string(), instance: identity.clone() };
        let write = async move {
            let lead = lease_reference(&client, &namespace, &lease).await;
            let note = Note {
                is_warning: false,
                action: "Leading".to_owned(),
                reason: "LeaderElection".to_owned(),
                text: format!("{identity} leads: it writes statuses and deploys proxies"),
            };
            // A full queue is told of by who fills it.
            let _ = sender.try_send(writer::Told { regarding: lead, note });
            drop(sender);
            writer.run(receiver).await;
        };
        (events, write)
    }
}

async fn lease_reference(client: &Client, namespace: &str, name: &str) -> Value {
    let found = lease::leases(client.clone(), namespace).get_opt(name).await;
    let uid = found.ok().flatten().and_then(|lease| lease.uid()).unwrap_or_default();
    json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "namespace": namespace,
        "name": name,
        "uid": uid,
    })
}

impl Events {
    /// Takes in an object's status; none if it has none any more.
    pub(crate) fn observe(&mut self, key: &ResourceKey, status: Option<&ObjectStatus>) {
        let Some(status) = status else {
            self.told.remove(key);
            return;
        };
        if !self.may_be_told(key) {
            return;
        }
        let (seen, controller) = (&self.seen, &self.controller);
        let told = self.told.entry(key.clone()).or_insert_with(|| {
            let status = seen.get(key).map(|observed| observed.status).unwrap_or_default();
            Told::of_server(&status, controller)
        });
        let notes = told.take(status);
        if notes.is_empty() {
            return;
        }
        // An object that is gone takes no Events.
        let Some(regarding) = self.reference(key) else { return };
        let now = Instant::now();
        for note in notes {
            let may = self.budget.take(key, now);
            let told = writer::Told { regarding: regarding.clone(), note };
            if !may || self.sender.try_send(told).is_err() {
                metrics::counter!(KUBERNETES_EVENTS, "result" => "left_out").increment(1);
            }
        }
    }

    /// Nothing is written where nothing may be.
    fn may_be_told(&self, key: &ResourceKey) -> bool {
        // The Events of what has no namespace are there.
        let namespace = if key.namespace.is_empty() { "default" } else { key.namespace.as_str() };
        let is_watched = self.namespaces.is_empty() || self.namespaces.iter().any(|one| one == namespace);
        is_watched && !is_system(namespace)
    }

    fn reference(&self, key: &ResourceKey) -> Option<Value> {
        let (observed, api) = (self.seen.get(key)?, self.seen.api(&key.kind)?);
        let mut reference = json!({
            "apiVersion": api.api_version,
            "kind": key.kind.kind(),
            "name": key.name.as_str(),
            "uid": observed.uid.as_str(),
        });
        if key.kind != Kind::GATEWAY_CLASS {
            reference["namespace"] = key.namespace.as_str().into();
        }
        Some(reference)
    }
}
