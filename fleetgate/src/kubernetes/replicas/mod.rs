//! What replicas tell each other, by Leases of each: where it is asked, which Gateways' proxies have ACKed what they
//! should have, and what they refuse. A proxy is connected to one replica only, and another one may write the
//! Gateway's status.
//!
//! What proxies have made true is told as hashes of statuses: replicas translate alike, so equal hashes speak of equal
//! configurations. All the rest is asked of each when somebody wants to see it (`peers`).

mod parts;
mod peers;
mod tell;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kube::api::{Api, DeleteParams, DynamicObject};
use kube::runtime::watcher::{Event, watcher};
use kube::{Client, ResourceExt};
use proto::{Kind, ResourceKey};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use super::installation::Installation;
use super::lease::leases;
use super::pod::OwnPod;
use super::watching;
use crate::pki::Sides;
use crate::status::{Elsewhere, Refused, Statuses};
use peers::Addresses;
pub(crate) use peers::{Peers, reached_at};
pub(crate) use tell::withdraw;

/// Label of the replicas' Leases.
const LABEL: &str = "fleetgate.dev/replica";
/// Annotation with the hashes.
const PROGRAMMED: &str = "fleetgate.dev/programmed";
/// Annotation with what proxies refuse.
const REFUSED: &str = "fleetgate.dev/refused";
/// Annotation with the address at which the replica is asked.
const ADDRESS: &str = "fleetgate.dev/address";
/// A Lease is renewed so often, and forgotten after three times that.
const RENEW: Duration = Duration::from_secs(10);
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

    async fn listen(&self, leases: &Api<DynamicObject>, statuses: &Statuses, leads: watch::Receiver<bool>) {
        let mut told: BTreeMap<String, Told> = BTreeMap::new();
        let label = format!("{LABEL}={}", self.label());
        let mut events = watcher(leases.clone(), watching().labels(&label)).boxed();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(Event::Apply(lease) | Event::InitApply(lease))) => {
                        let one = read_lease(&lease);
                        if one.identity != self.identity {
                            told.insert(lease.name_any(), one);
                        }
                    }
                    Some(Ok(Event::Delete(lease))) => drop(told.remove(&lease.name_any())),
                    Some(Ok(_)) => continue,
                    Some(Err(_)) => tokio::time::sleep(RENEW / 5).await,
                    None => return,
                },
                () = tokio::time::sleep(RENEW) => {}
            }
            for name in silent(&told) {
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

/// Names of the Leases of replicas that have not renewed any for too long: only the first is renewed all the time.
fn silent(told: &BTreeMap<String, Told>) -> Vec<String> {
    let mut last: BTreeMap<&str, Instant> = BTreeMap::new();
    for one in told.values() {
        let at = last.entry(&one.identity).or_insert(one.at);
        *at = one.at.max(*at);
    }
    let is_silent = |one: &Told| last.get(one.identity.as_str()).is_none_or(|at| at.elapsed() > RENEW * 3);
    told.iter().filter(|(_, one)| is_silent(one)).map(|(name, _)| name.clone()).collect()
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

fn read(text: &str) -> Option<ResourceKey> {
    let (kind, name) = text.split_once('/')?;
    let kind = [Kind::GATEWAY, Kind::LISTENER_SET].into_iter().find(|known| known.kind() == kind)?;
    let (namespace, name) = name.split_once('/')?;
    Some(ResourceKey::local(kind, namespace, name))
}

#[cfg(test)]
mod tests {
    use proto::{Kind, ResourceKey};

    use super::{Hashes, Told, addresses, shown};

    #[test]
    fn keys_are_read_as_written() {
        for kind in [Kind::GATEWAY, Kind::LISTENER_SET] {
            let key = ResourceKey::local(kind, "a", "b.c");
            assert_eq!(super::read(&super::tell::written_key(&key)), Some(key));
        }
        assert_eq!(super::read("Pod/a/b"), None);
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
