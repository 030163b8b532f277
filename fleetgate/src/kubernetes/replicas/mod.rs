//! What replicas tell each other, by a Lease of each: where it is asked, which Gateways' proxies have ACKed what they
//! should have, and what they refuse. A proxy is connected to one replica only, and another one may write the
//! Gateway's status.
//!
//! What proxies have made true is told as hashes of statuses: replicas translate alike, so equal hashes speak of equal
//! configurations. All the rest is asked of each when somebody wants to see it (`peers`).

mod peers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::runtime::watcher::{Event, watcher};
use kube::{Client, ResourceExt};
use proto::{Kind, ResourceKey};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use super::installation::Installation;
use super::lease::{leases, micro_time};
use super::pod::OwnPod;
use super::watching;
use crate::pki::Sides;
use crate::status::{Elsewhere, Refused, Statuses};
use peers::Addresses;
pub(crate) use peers::{Peers, reached_at};

/// Label of the replicas' Leases.
const LABEL: &str = "fleetgate.dev/replica";
/// Annotation with the hashes.
const PROGRAMMED: &str = "fleetgate.dev/programmed";
/// Annotation with what proxies refuse.
const REFUSED: &str = "fleetgate.dev/refused";
/// Annotation with the address at which the replica is asked.
const ADDRESS: &str = "fleetgate.dev/address";
/// Bytes of what is refused that a Lease has room for: an object's annotations end at 256 KiB.
const REFUSED_BYTES: usize = 64 << 10;
/// Bytes of what a proxy said that are told.
const MESSAGE_BYTES: usize = 512;
/// Changes that come close together are told together.
const SETTLE: Duration = Duration::from_millis(50);
/// A Lease is renewed so often, and forgotten after three times that.
const RENEW: Duration = Duration::from_secs(10);
/// How long the end of a process may wait for its Lease to go.
const PATIENCE: Duration = Duration::from_secs(2);

/// Hashes by Gateway or ListenerSet (`KIND/NAMESPACE/NAME`).
type Hashes = BTreeMap<String, u64>;

/// One of several replicas.
pub(crate) struct Replica {
    client: Client,
    installation: Installation,
    /// A name that no other one has; it begins with the pod's.
    identity: String,
    /// Its Lease goes with it; none outside of a cluster.
    pod: Option<OwnPod>,
    /// Where others ask it.
    address: SocketAddr,
    addresses: watch::Sender<Addresses>,
}

/// What a Lease says.
struct Told {
    identity: String,
    address: Option<SocketAddr>,
    hashes: Hashes,
    refused: Vec<Refused>,
    at: Instant,
}

impl Replica {
    pub(crate) fn new(
        client: Client,
        installation: &Installation,
        (identity, pod): (&str, Option<OwnPod>),
        address: SocketAddr,
    ) -> Replica {
        Replica {
            client,
            installation: installation.clone(),
            identity: identity.to_owned(),
            pod,
            address,
            addresses: watch::Sender::default(),
        }
    }

    /// Value of the label of its Leases and of those of its like.
    fn label(&self) -> String {
        self.installation.label().unwrap_or_else(|| "true".to_owned())
    }

    fn owners(&self) -> serde_json::Value {
        let owner =
            |pod: &OwnPod| json!({"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid});
        self.pod.iter().map(owner).collect()
    }

    /// What it asks the others with.
    pub(crate) fn peers(&self, leads: watch::Receiver<bool>, sides: watch::Receiver<Sides>) -> Peers {
        let name = shown(&self.identity).to_owned();
        Peers { name, leads, others: self.addresses.subscribe(), sides }
    }

    /// Tells the others, listens to them, and answers them, until it is dropped.
    pub(crate) async fn share(
        self,
        statuses: Arc<Statuses>,
        leads: watch::Receiver<bool>,
        listener: TcpListener,
        peers: Arc<Peers>,
    ) {
        let leases = leases(self.client.clone(), &self.installation.namespace);
        tokio::join!(
            self.tell(&leases, &statuses, leads.clone()),
            self.listen(&leases, &statuses, leads),
            peers::serve(listener, peers, Arc::clone(&statuses))
        );
    }

    async fn tell(&self, leases: &Api<DynamicObject>, statuses: &Statuses, mut leads: watch::Receiver<bool>) {
        let name = lease_of(&self.identity);
        let mut changes = statuses.programmed_changes();
        let parameters = PatchParams::apply(&self.installation.field_manager()).force();
        loop {
            changes.mark_unchanged();
            let mut annotations = BTreeMap::from([(ADDRESS, self.address.to_string())]);
            // Who leads writes statuses itself.
            if !*leads.borrow_and_update() {
                let hashes: Hashes =
                    statuses.programmed().into_iter().map(|(key, hash)| (written(&key), hash)).collect();
                annotations.insert(PROGRAMMED, json!(hashes).to_string());
                annotations.insert(REFUSED, json!(bounded(statuses.refused())).to_string());
            }
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": name,
                    "labels": {LABEL: self.label()},
                    "annotations": annotations,
                    "ownerReferences": self.owners(),
                },
                "spec": {
                    "holderIdentity": self.identity,
                    "renewTime": micro_time(),
                    "leaseDurationSeconds": RENEW.as_secs() * 3,
                },
            });
            if let Err(error) = leases.patch(&name, &parameters, &Patch::Apply(&lease)).await {
                tracing::warn!("Lease {name} cannot be written: {error}; it is tried again");
            }
            let leading = *leads.borrow();
            tokio::select! {
                () = tokio::time::sleep(RENEW) => {}
                changed = changes.changed(), if !leading => if changed.is_err() { return },
                changed = leads.changed() => if changed.is_err() { return },
            }
            tokio::time::sleep(SETTLE).await;
        }
    }

    async fn listen(&self, leases: &Api<DynamicObject>, statuses: &Statuses, leads: watch::Receiver<bool>) {
        let own = lease_of(&self.identity);
        let mut told: BTreeMap<String, Told> = BTreeMap::new();
        let label = format!("{LABEL}={}", self.label());
        let mut events = watcher(leases.clone(), watching().labels(&label)).boxed();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(Event::Apply(lease) | Event::InitApply(lease))) if lease.name_any() != own => {
                        told.insert(lease.name_any(), read_lease(&lease));
                    }
                    Some(Ok(Event::Delete(lease))) => drop(told.remove(&lease.name_any())),
                    Some(Ok(_)) => continue,
                    Some(Err(_)) => tokio::time::sleep(RENEW / 5).await,
                    None => return,
                },
                () = tokio::time::sleep(RENEW) => {}
            }
            let gone = told.iter().filter(|(_, told)| told.at.elapsed() > RENEW * 3);
            for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                told.remove(&name);
                if *leads.borrow() {
                    // Whether or not that succeeds, nobody believes it any more.
                    let _ = leases.delete(&name, &DeleteParams::default()).await;
                }
            }
            let mut elsewhere = Elsewhere::default();
            for told in told.values() {
                let hashes = told.hashes.iter().filter_map(|(key, hash)| Some((read(key)?, *hash)));
                elsewhere.add(hashes, &told.refused);
            }
            statuses.elsewhere(elsewhere);
            self.addresses.send_replace(addresses(told.values(), self.address));
        }
    }
}

/// Takes the Lease of a replica that ends away: nobody need ask it any more.
pub(crate) async fn withdraw(client: Client, namespace: &str, identity: &str) {
    let (leases, name) = (leases(client, namespace), lease_of(identity));
    // If it fails, the Lease is forgotten when it is old.
    let _ = tokio::time::timeout(PATIENCE, leases.delete(&name, &DeleteParams::default())).await;
}

fn lease_of(identity: &str) -> String {
    format!("fleetgate-replica-{}", &blake3::hash(identity.as_bytes()).to_hex()[..10])
}

/// Whom to ask, and where. What is told of an address by one that was there before counts no more.
fn addresses<'a>(told: impl Iterator<Item = &'a Told>, own: SocketAddr) -> Addresses {
    let mut all: Vec<&Told> = told.filter(|told| told.address != Some(own)).collect();
    all.sort_by_key(|told| (told.address, std::cmp::Reverse(told.at)));
    all.dedup_by_key(|told| {
        told.address.map_or_else(|| told.identity.clone(), |address| address.to_string())
    });
    all.into_iter().map(|told| (shown(&told.identity).to_owned(), told.address)).collect()
}

/// The pod's name, of an identity that has some chance behind it.
fn shown(identity: &str) -> &str {
    identity.rsplit_once('_').map_or(identity, |(pod, _)| pod)
}

fn read_lease(lease: &DynamicObject) -> Told {
    let text = |name: &str| lease.annotations().get(name);
    Told {
        identity: lease.data["spec"]["holderIdentity"].as_str().unwrap_or("?").to_owned(),
        address: text(ADDRESS).and_then(|text| text.parse().ok()),
        hashes: text(PROGRAMMED).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
        refused: text(REFUSED).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default(),
        at: Instant::now(),
    }
}

/// As many as there is room for. One who mends these sees the next.
fn bounded(refused: Vec<Refused>) -> Vec<Refused> {
    let mut room = REFUSED_BYTES;
    let shorter = refused.into_iter().map(|mut one| {
        let end =
            (0..=MESSAGE_BYTES.min(one.message.len())).rev().find(|end| one.message.is_char_boundary(*end));
        one.message.truncate(end.unwrap_or_default());
        one
    });
    let fitting = shorter.take_while(|one| {
        let size = serde_json::to_vec(one).map_or(room, |text| text.len() + 1);
        let fits = size < room;
        room = room.saturating_sub(size);
        fits
    });
    fitting.collect()
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
    use proto::{Kind, ResourceKey, XdsKey, XdsKind};

    use super::{Hashes, MESSAGE_BYTES, REFUSED_BYTES, Refused, Told, addresses, bounded, shown};

    #[test]
    fn keys_are_read_as_written() {
        for kind in [Kind::GATEWAY, Kind::LISTENER_SET] {
            let key = ResourceKey::local(kind, "a", "b.c");
            assert_eq!(super::read(&super::written(&key)), Some(key));
        }
        assert_eq!(super::read("Pod/a/b"), None);
    }

    #[test]
    fn what_is_refused_fits_into_a_lease() {
        let gateway = ResourceKey::local(Kind::GATEWAY, "a", "b");
        let refused = |number: usize| Refused {
            object: ResourceKey::local(Kind::HTTP_ROUTE, "a", format!("r{number}")),
            piece: XdsKey::virtual_host(gateway.clone(), "t", "*"),
            message: "é".repeat(1000),
            may_pass: false,
        };
        let told = bounded((0..10_000).map(refused).collect());
        assert!(told.len() > 50, "{}", told.len());
        assert!(told.iter().all(|one| one.message.len() <= MESSAGE_BYTES && !one.message.is_empty()));
        let text = serde_json::to_string(&told).unwrap();
        assert!(text.len() <= REFUSED_BYTES + 2, "{}", text.len());
        assert_eq!(serde_json::from_str::<Vec<Refused>>(&text).unwrap(), told);
        assert_eq!(told[0].piece.kind, XdsKind::VirtualHost);
    }

    #[test]
    fn of_two_at_an_address_the_later_is_asked() {
        let now = tokio::time::Instant::now();
        let told = |identity: &str, address: &str, seconds: u64| Told {
            identity: identity.to_owned(),
            address: address.parse().ok(),
            hashes: Hashes::new(),
            refused: Vec::new(),
            at: now + std::time::Duration::from_secs(seconds),
        };
        let all = [
            told("a_1", "10.0.0.1:1", 0),
            told("b_1", "10.0.0.2:1", 0),
            told("c_2", "10.0.0.2:1", 1),
            told("d_1", "", 0),
            told("e_1", "", 0),
        ];
        let own = "10.0.0.1:1".parse().unwrap();
        let asked = addresses(all.iter(), own);
        let names: Vec<&str> = asked.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["d", "e", "c"], "not itself, and what was at 10.0.0.2 before is no more");
    }

    #[test]
    fn a_replica_is_called_as_its_pod() {
        assert_eq!(shown("fleetgate-5d8c7b9f4-x2x7k_1a2b3c4d"), "fleetgate-5d8c7b9f4-x2x7k");
        assert_eq!(shown("host"), "host");
    }
}
