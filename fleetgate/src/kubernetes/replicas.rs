//! What replicas tell each other: which Gateways' proxies have ACKed what they should have. A proxy is connected to one
//! replica only, and another one may write the Gateway's status.
//!
//! Each replica that does not lead keeps a Lease of its own, with hashes of the statuses that its proxies make true.
//! Replicas translate alike, so equal hashes speak of equal configurations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::runtime::watcher::{Event, watcher};
use kube::{Client, ResourceExt};
use proto::{Kind, ResourceKey};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::lease::{leases, micro_time};
use super::proxies::FIELD_MANAGER;
use super::watching;
use crate::status::Statuses;

/// Label of the replicas' Leases.
const LABEL: &str = "fleetgate.dev/replica";
/// Annotation with the hashes.
const PROGRAMMED: &str = "fleetgate.dev/programmed";
/// Changes that come close together are told together.
const SETTLE: Duration = Duration::from_millis(50);
/// A Lease is renewed so often, and forgotten after three times that.
const RENEW: Duration = Duration::from_secs(10);

/// Hashes by Gateway or ListenerSet (`KIND/NAMESPACE/NAME`).
type Hashes = BTreeMap<String, u64>;

/// Tells the others while another replica leads, and listens to them, until it is dropped.
pub(crate) async fn share(
    client: Client,
    namespace: String,
    identity: String,
    statuses: Arc<Statuses>,
    leads: watch::Receiver<bool>,
) {
    let leases = leases(client, &namespace);
    let name = format!("fleetgate-replica-{}", &blake3::hash(identity.as_bytes()).to_hex()[..10]);
    tokio::join!(
        tell(&leases, &name, &identity, &statuses, leads.clone()),
        listen(&leases, &name, &statuses, leads)
    );
}

async fn tell(
    leases: &Api<DynamicObject>,
    name: &str,
    identity: &str,
    statuses: &Statuses,
    mut leads: watch::Receiver<bool>,
) {
    let mut changes = statuses.programmed_changes();
    let mut told = false;
    loop {
        if leads.wait_for(|leads| !leads).await.is_err() {
            return;
        }
        changes.mark_unchanged();
        let hashes: Hashes =
            statuses.programmed().into_iter().map(|(key, hash)| (written(&key), hash)).collect();
        // A replica that is about to lead, or has no proxies, leaves no Lease behind.
        told |= !hashes.is_empty();
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "labels": {LABEL: "true"},
                "annotations": {PROGRAMMED: json!(hashes).to_string()},
            },
            "spec": {"holderIdentity": identity, "renewTime": micro_time(), "leaseDurationSeconds": RENEW.as_secs() * 3},
        });
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        if told && let Err(error) = leases.patch(name, &parameters, &Patch::Apply(&lease)).await {
            tracing::warn!("Lease {name} cannot be written: {error}; it is tried again");
        }
        tokio::select! {
            () = tokio::time::sleep(RENEW) => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
        tokio::time::sleep(SETTLE).await;
    }
}

async fn listen(leases: &Api<DynamicObject>, own: &str, statuses: &Statuses, leads: watch::Receiver<bool>) {
    let mut told: BTreeMap<String, (Hashes, Instant)> = BTreeMap::new();
    let mut events = watcher(leases.clone(), watching().labels(LABEL)).boxed();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Apply(lease) | Event::InitApply(lease))) if lease.name_any() != own => {
                    let text = lease.annotations().get(PROGRAMMED);
                    let hashes = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
                    told.insert(lease.name_any(), (hashes, Instant::now()));
                }
                Some(Ok(Event::Delete(lease))) => drop(told.remove(&lease.name_any())),
                Some(Ok(_)) => continue,
                Some(Err(_)) => tokio::time::sleep(RENEW / 5).await,
                None => return,
            },
            () = tokio::time::sleep(RENEW) => {}
        }
        let gone: Vec<String> = told
            .iter()
            .filter(|(_, (_, at))| at.elapsed() > RENEW * 3)
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            told.remove(&name);
            if *leads.borrow() {
                // Whether or not that succeeds, nobody believes it any more.
                let _ = leases.delete(&name, &DeleteParams::default()).await;
            }
        }
        let mut elsewhere: BTreeMap<ResourceKey, BTreeSet<u64>> = BTreeMap::new();
        for (key, hash) in told.values().flat_map(|(hashes, _)| hashes) {
            if let Some(key) = read(key) {
                elsewhere.entry(key).or_default().insert(*hash);
            }
        }
        statuses.programmed_elsewhere(elsewhere);
    }
}

fn written(key: &ResourceKey) -> String {
    format!("{}/{}", key.kind.kind(), key.namespaced_name())
}

fn read(text: &str) -> Option<ResourceKey> {
    let (kind, name) = text.split_once('/')?;
    let kind = [Kind::GATEWAY, Kind::LISTENER_SET].into_iter().find(|known| known.kind() == kind)?;
    let (namespace, name) = name.split_once('/')?;
    Some(ResourceKey::local(kind, namespace, name))
}

#[cfg(test)]
mod tests {
    use proto::{Kind, ResourceKey};

    #[test]
    fn keys_are_read_as_written() {
        for kind in [Kind::GATEWAY, Kind::LISTENER_SET] {
            let key = ResourceKey::local(kind, "a", "b.c");
            assert_eq!(super::read(&super::written(&key)), Some(key));
        }
        assert_eq!(super::read("Pod/a/b"), None);
    }
}
