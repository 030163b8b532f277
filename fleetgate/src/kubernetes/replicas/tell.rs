//! What a replica tells the others: its Leases as it writes them.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use proto::ResourceKey;
use serde_json::json;
use tokio::sync::watch;

use super::parts::{PARTS, parts};
use super::{ADDRESS, LABEL, PROGRAMMED, REFUSED, RENEW, Replica};
use crate::kubernetes::lease::{leases, micro_time};
use crate::status::{Refused, Statuses};

/// Bytes of what is refused that the first Lease has room for: an object's annotations end at 256 KiB.
const REFUSED_BYTES: usize = 64 << 10;
/// Bytes of what a proxy said that are told.
const MESSAGE_BYTES: usize = 512;
/// Changes that come close together are told together.
const SETTLE: Duration = Duration::from_millis(50);
/// How long the end of a process may wait for its Lease to go.
const PATIENCE: Duration = Duration::from_secs(2);

/// What its proxies have made true, and what they refuse.
type ToTell = (BTreeMap<ResourceKey, u64>, Vec<Refused>);

impl Replica {
    /// Tells the others, until it is dropped.
    pub(super) async fn tell(
        &self,
        leases: &Api<DynamicObject>,
        statuses: &Statuses,
        mut leads: watch::Receiver<bool>,
    ) {
        let mut changes = statuses.programmed_changes();
        let mut written = Vec::new();
        loop {
            changes.mark_unchanged();
            let leading = *leads.borrow_and_update();
            // Who leads writes statuses itself.
            let told = (!leading).then(|| (statuses.programmed(), statuses.refused()));
            self.write(leases, &mut written, told).await;
            tokio::select! {
                () = tokio::time::sleep(RENEW) => {}
                changed = changes.changed(), if !leading => if changed.is_err() { return },
                changed = leads.changed() => if changed.is_err() { return },
            }
            tokio::time::sleep(SETTLE).await;
        }
    }

    /// Renews the first Lease, writes those of the others that are different now, and deletes what is too many.
    async fn write(&self, leases: &Api<DynamicObject>, written: &mut Vec<String>, told: Option<ToTell>) {
        let (programmed, refused) = match told {
            Some((programmed, refused)) => {
                let hashes = programmed.into_iter().map(|(key, hash)| (written_key(&key), hash)).collect();
                let (parts, left_out) = parts(hashes, written.len());
                if left_out > 0 {
                    tracing::warn!(
                        "{left_out} Gateways have no room in {PARTS} Leases: while their proxies are connected to this \
                         replica and another one leads, their Programmed may be False"
                    );
                }
                (parts.iter().map(|part| json!(part).to_string()).collect(), Some(bounded(refused)))
            }
            None => (Vec::new(), None),
        };
        written.resize(written.len().max(programmed.len()), String::new());
        // The later ones first: with more of them a hash goes into a later one, and is never missing.
        for (index, part) in programmed.iter().enumerate().skip(1).rev() {
            if written[index] != *part && self.apply(leases, index, [(PROGRAMMED, part.clone())].into()).await
            {
                written[index].clone_from(part);
            }
        }
        let mut first = BTreeMap::new();
        if let (Some(part), Some(refused)) = (programmed.first(), refused) {
            first.extend([(PROGRAMMED, part.clone()), (REFUSED, json!(refused).to_string())]);
        }
        self.apply(leases, 0, first).await;
        for index in programmed.len().max(1)..written.len() {
            // If it fails, it is forgotten with the first.
            let _ = leases.delete(&lease_of(&self.identity, index), &DeleteParams::default()).await;
        }
        written.truncate(programmed.len());
    }

    /// True if that is written.
    async fn apply(
        &self,
        leases: &Api<DynamicObject>,
        index: usize,
        mut annotations: BTreeMap<&str, String>,
    ) -> bool {
        let name = lease_of(&self.identity, index);
        annotations.insert(ADDRESS, self.address.to_string());
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
        let parameters = PatchParams::apply(&self.installation.field_manager()).force();
        let answer = leases.patch(&name, &parameters, &Patch::Apply(&lease)).await;
        if let Err(error) = &answer {
            tracing::warn!("Lease {name} cannot be written: {error}; it is tried again");
        }
        answer.is_ok()
    }
}

/// Takes the Leases of a replica that ends away: nobody need ask it any more.
pub(crate) async fn withdraw(client: Client, namespace: &str, identity: &str) {
    let leases = leases(client, namespace);
    // What is not deleted is forgotten when it is old.
    let all = async {
        for index in 0..PARTS {
            let name = lease_of(identity, index);
            if leases.delete(&name, &DeleteParams::default()).await.is_err() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, all).await;
}

/// Name of the first Lease of a replica, or of one of the others, from 1.
fn lease_of(identity: &str, index: usize) -> String {
    let first = format!("fleetgate-replica-{}", &blake3::hash(identity.as_bytes()).to_hex()[..10]);
    if index == 0 { first } else { format!("{first}-{index}") }
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

pub(super) fn written_key(key: &ResourceKey) -> String {
    format!("{}/{}", key.kind.kind(), key.namespaced_name())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use http::{Method, Request, Response};
    use http_body_util::BodyExt;
    use kube::Client;
    use kube::api::DynamicObject;
    use kube::client::Body;
    use proto::{Kind, ResourceKey, XdsKey, XdsKind};
    use serde_json::json;

    use super::{MESSAGE_BYTES, REFUSED_BYTES, Refused, bounded, leases};
    use crate::kubernetes::installation::Installation;
    use crate::kubernetes::replicas::{Replica, read, read_lease};

    /// Leases of an API server by name, and names of those that were written.
    #[derive(Default)]
    struct Server {
        leases: BTreeMap<String, DynamicObject>,
        writes: Vec<String>,
    }

    fn client(server: &Arc<Mutex<Server>>) -> Client {
        let server = Arc::clone(server);
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = Arc::clone(&server);
            async move {
                let (head, body) = request.into_parts();
                let name = head.uri.path().rsplit('/').next().unwrap().to_owned();
                let body = body.collect().await.unwrap().to_bytes();
                let mut server = server.lock().unwrap();
                let known = if head.method == Method::PATCH {
                    server.writes.push(name.clone());
                    server.leases.insert(name, serde_json::from_slice(&body).unwrap());
                    true
                } else {
                    server.leases.remove(&name).is_some()
                };
                let missing =
                    json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"});
                let answer = if known && head.method == Method::PATCH {
                    Body::from(body)
                } else if known {
                    Body::from(json!({"kind": "Status", "status": "Success"}).to_string().into_bytes())
                } else {
                    Body::from(missing.to_string().into_bytes())
                };
                Response::builder().status(if known { 200 } else { 404 }).body(answer)
            }
        });
        Client::new(service, "default")
    }

    fn replica(client: Client) -> Replica {
        let installation =
            Installation { namespace: "a".to_owned(), name: "b".to_owned(), controller: "c.d/e".into() };
        Replica::new(client, &installation, ("pod_1", None), "10.0.0.1:1".parse().unwrap())
    }

    fn programmed(count: usize) -> BTreeMap<ResourceKey, u64> {
        let key = |number| ResourceKey::local(Kind::GATEWAY, format!("n{number}"), "g".repeat(60));
        (0..count).map(|number| (key(number), u64::MAX - number as u64)).collect()
    }

    /// With ten thousand Gateways, too many for one object, all are told; a change is one Lease besides the first, and one
    /// that leads leaves nothing behind.
    #[tokio::test]
    async fn a_large_fleet_is_told_in_leases_that_an_api_server_takes() {
        let server = Arc::new(Mutex::new(Server::default()));
        let client = client(&server);
        let (replica, leases, mut written) = (replica(client.clone()), leases(client, "a"), Vec::new());
        let mut all = programmed(10_000);
        replica.write(&leases, &mut written, Some((all.clone(), Vec::new()))).await;
        {
            let mut server = server.lock().unwrap();
            let size = |lease: &DynamicObject| -> usize {
                lease.metadata.annotations.iter().flatten().map(|(name, text)| name.len() + text.len()).sum()
            };
            assert!(server.leases.values().all(|lease| size(lease) <= (256 << 10) - REFUSED_BYTES));
            let told = server.leases.values().flat_map(|lease| read_lease(lease).hashes);
            let told: BTreeMap<_, _> = told.map(|(key, hash)| (read(&key).unwrap(), hash)).collect();
            assert_eq!(told, all);
            server.writes.clear();
        }
        *all.values_mut().nth(4_321).unwrap() = 1;
        replica.write(&leases, &mut written, Some((all, Vec::new()))).await;
        let writes = std::mem::take(&mut server.lock().unwrap().writes);
        assert!(writes.len() <= 2, "{writes:?}");
        replica.write(&leases, &mut written, None).await;
        let server = server.lock().unwrap();
        let left: Vec<_> = server.leases.values().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(read_lease(left[0]).hashes.is_empty());
    }

    #[test]
    fn what_is_refused_fits_into_a_lease() {
        let gateway = ResourceKey::local(Kind::GATEWAY, "a", "b");
        let refused = |number: usize| Refused {
            object: ResourceKey::local(Kind::HTTP_ROUTE, "a", format!("r{number}")),
            piece: XdsKey::virtual_host(gateway.clone(), "t", "*"),
            message: "é".repeat(1000),
            may_pass: false,
            unserved: false,
        };
        let told = bounded((0..10_000).map(refused).collect());
        assert!(told.len() > 50, "{}", told.len());
        assert!(told.iter().all(|one| one.message.len() <= MESSAGE_BYTES && !one.message.is_empty()));
        let text = serde_json::to_string(&told).unwrap();
        assert!(text.len() <= REFUSED_BYTES + 2, "{}", text.len());
        assert_eq!(serde_json::from_str::<Vec<Refused>>(&text).unwrap(), told);
        assert_eq!(told[0].piece.kind, XdsKind::VirtualHost);
    }
}
