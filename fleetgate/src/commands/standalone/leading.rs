//! What only the leading replica does: write statuses, deploy proxies.

use std::collections::HashMap;
use std::sync::Arc;

use ingest::kubernetes::source::Seen;
use ingest::kubernetes::status::{self, StatusUpdate};
use kube::Client;
use proto::{ArcStr, Kind, ObjectStatus, Proxies, ResourceKey};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::kubernetes::classes::{InUse, finalize};
use crate::kubernetes::events::{Events, Reporter};
use crate::kubernetes::proxies::{Ask, Controller, Settings, Wanted, deploy};
use crate::pki::Authority;
use crate::status::Statuses;

/// All that it takes.
#[derive(Clone)]
pub(super) struct Leading {
    pub(super) client: Client,
    /// Our `controllerName`.
    pub(super) controller: ArcStr,
    /// Whose Kubernetes Events.
    pub(super) reporter: Reporter,
    /// The namespaces that are watched; empty for all.
    pub(super) namespaces: Vec<String>,
    pub(super) seen: Seen,
    pub(super) statuses: Arc<Statuses>,
    pub(super) settings: Settings,
    pub(super) authorities: watch::Receiver<Arc<Authority>>,
    /// Namespace and name of the Lease that says who leads.
    pub(super) lease: String,
    /// The GatewayClasses that Gateways refer to.
    pub(super) classes: watch::Receiver<InUse>,
}

impl Leading {
    /// Does it whenever this replica leads, until nobody says any more whether it does.
    pub(super) async fn whenever(self, mut leads: watch::Receiver<bool>) {
        loop {
            if leads.wait_for(|leads| *leads).await.is_err() {
                return;
            }
            tokio::select! {
                () = self.clone().lead() => {}
                lost = leads.wait_for(|leads| !leads) => if lost.is_err() { return },
            }
        }
    }

    async fn lead(self) {
        let (updates, receiver) = mpsc::channel(64);
        let (wanted, proxies) = mpsc::channel(64);
        let (statuses, ours) = (Arc::clone(&self.statuses), Arc::clone(&self.statuses));
        let controller = Controller {
            client: self.client.clone(),
            settings: self.settings,
            namespaces: self.namespaces,
            seen: self.seen.clone(),
            authorities: self.authorities,
            tell: Box::new(move |gateway, deployed| statuses.deployed(gateway, deployed)),
            is_ours: Box::new(move |gateway| ours.has(gateway)),
        };
        let (events, write_events) = self.reporter.start(self.seen.clone());
        tokio::join!(
            finalize(self.client.clone(), self.controller.clone(), self.seen.clone(), self.classes),
            status::write(self.client, self.controller, self.seen, receiver),
            forward_statuses(self.statuses, &self.lease, events, updates, wanted),
            write_events,
            deploy(controller, proxies),
        );
    }
}

/// Hands changed statuses to their writer, and what Gateways need to whoever deploys it, until one of them ends.
async fn forward_statuses(
    statuses: Arc<Statuses>,
    lease: &str,
    mut events: Events,
    updates: mpsc::Sender<StatusUpdate>,
    deploy: mpsc::Sender<Ask>,
) {
    let mut changes = statuses.changes();
    let mut deployed: HashMap<ResourceKey, Proxies> = HashMap::new();
    let mut told_all = false;
    loop {
        // Asked before: what was listed then has been taken below.
        let all = statuses.is_listed();
        for (key, mut status) in statuses.take_changed() {
            if let Some(status) = &mut status {
                say_how_fresh(status, lease);
            }
            if key.kind == Kind::GATEWAY
                && let Some(wanted) = wanted(&mut deployed, &key, status.as_ref())
                && deploy.send(Ask::Gateway(key.clone(), wanted)).await.is_err()
            {
                return;
            }
            events.observe(&key, status.as_ref());
            if updates.send(StatusUpdate { key, status }).await.is_err() {
                return;
            }
        }
        if all && !told_all && deploy.send(Ask::Prune).await.is_err() {
            return;
        }
        told_all |= all;
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Nobody takes back what a status says when there is no fleetgate: it says itself where that shows. (A time in it would
/// be written again and again, for each Gateway.)
fn say_how_fresh(status: &mut ObjectStatus, lease: &str) {
    for condition in status.conditions.iter_mut().filter(|one| one.kind == "Programmed" && one.holds()) {
        condition.message =
            format!("{}; this is current while Lease {lease} is renewed", condition.message).into();
    }
}

/// What has to be deployed now, if that is another thing than before.
fn wanted(
    before: &mut HashMap<ResourceKey, Proxies>,
    gateway: &ResourceKey,
    status: Option<&ObjectStatus>,
) -> Option<Wanted> {
    let Some(status) = status else {
        return before.remove(gateway).map(|_| Wanted::moved());
    };
    // Of a Gateway that is not accepted all stays as it is.
    let now = status.proxies.clone()?;
    let old = before.insert(gateway.clone(), now.clone());
    match now {
        _ if old.as_ref() == Some(&now) => None,
        Proxies::SelfManaged => Some(Wanted::Nothing(Instant::now())),
        Proxies::Managed(spec) => Some(Wanted::Managed(spec)),
    }
}
