//! The finalizer of GatewayClasses that Gateways refer to: without it one that is deleted would be gone while they serve
//! (<https://gateway-api.sigs.k8s.io/reference/spec/#gatewayclass>).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt;
use ingest::kubernetes::source::Seen;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::runtime::watcher::{Event, watcher};
use kube::{Client, ResourceExt};
use proto::{ArcStr, Kind};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::watching;

/// Its name, of the Gateway API.
const FINALIZER: &str = "gateway-exists-finalizer.gateway.networking.k8s.io";
/// Pause after something failed, and between looks whether GatewayClasses are defined.
const PAUSE: Duration = Duration::from_secs(2);

/// Names of the classes that Gateways refer to; none before the source has been read.
pub(crate) type InUse = Option<BTreeSet<ArcStr>>;

/// Sets and takes away the finalizer of our classes until it is dropped.
pub(crate) async fn finalize(
    client: Client,
    controller: ArcStr,
    seen: Seen,
    mut in_use: watch::Receiver<InUse>,
) {
    let api: ApiResource = loop {
        match seen.api(&Kind::GATEWAY_CLASS) {
            Some(api) => break api,
            None => tokio::time::sleep(PAUSE).await,
        }
    };
    let api: Api<DynamicObject> = Api::all_with(client, &api);
    let mut events = watcher(api.clone(), watching()).boxed();
    let mut classes: BTreeMap<String, DynamicObject> = BTreeMap::new();
    let mut told: BTreeSet<String> = BTreeSet::new();
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Apply(class) | Event::InitApply(class))) => {
                    classes.insert(class.name_any(), class);
                }
                Some(Ok(Event::Delete(class))) => drop(classes.remove(&class.name_any())),
                Some(Ok(Event::Init)) => {
                    classes.clear();
                    continue;
                }
                Some(Ok(Event::InitDone)) => {}
                Some(Err(error)) => {
                    tracing::debug!("GatewayClasses cannot be watched: {error}; it is tried again");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                None => return,
            },
            changed = in_use.changed() => if changed.is_err() { return },
        }
        let Some(used) = in_use.borrow_and_update().clone() else { continue };
        for (name, class) in &mut classes {
            let used = used.contains(name.as_str());
            if used && class.metadata.deletion_timestamp.is_some() && told.insert(name.clone()) {
                tracing::warn!(
                    "GatewayClass {name} is deleted, and Gateways refer to it: it stays, and they serve, until they \
                     are gone or name another class"
                );
            }
            let Some(patch) = wanted(class, &controller, used) else { continue };
            match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                // What the watch tells of it comes later.
                Ok(patched) => *class = patched,
                // It tells of a newer one soon, or of its end.
                Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
                Err(error) => {
                    tracing::warn!(
                        "the finalizer of GatewayClass {name} cannot be written: {error}; it is tried again"
                    );
                    tokio::time::sleep(PAUSE).await;
                    in_use.mark_changed();
                }
            }
        }
    }
}

/// What has to be changed of a class.
fn wanted(class: &DynamicObject, controller: &str, used: bool) -> Option<Value> {
    if class.data["spec"]["controllerName"] != controller {
        return None;
    }
    let has = class.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    // The API server takes no new finalizers of an object that is deleted.
    if has == used || (used && class.metadata.deletion_timestamp.is_some()) {
        return None;
    }
    let others = class.finalizers().iter().filter(|finalizer| *finalizer != FINALIZER).cloned();
    let finalizers: Vec<String> = others.chain(used.then(|| FINALIZER.to_owned())).collect();
    Some(json!({"metadata": {"finalizers": finalizers, "resourceVersion": class.resource_version()}}))
}

#[cfg(test)]
mod tests {
    use kube::api::DynamicObject;
    use serde_json::{Value, json};

    use super::{FINALIZER, wanted};

    fn class(finalizers: &[&str], deleted: bool) -> DynamicObject {
        let mut metadata = json!({"name": "c", "resourceVersion": "7", "finalizers": finalizers});
        if deleted {
            metadata["deletionTimestamp"] = "2026-01-02T00:00:00Z".into();
        }
        serde_json::from_value(json!({"metadata": metadata, "spec": {"controllerName": "us"}})).unwrap()
    }

    #[test]
    fn a_used_class_of_ours_has_the_finalizer_and_others_keep_theirs() {
        let finalizers = |patch: Option<Value>| patch.map(|patch| patch["metadata"]["finalizers"].clone());
        assert_eq!(finalizers(wanted(&class(&["a"], false), "us", true)), Some(json!(["a", FINALIZER])));
        assert_eq!(finalizers(wanted(&class(&[FINALIZER, "a"], true), "us", false)), Some(json!(["a"])));
        assert_eq!(wanted(&class(&[FINALIZER], false), "us", true), None);
        assert_eq!(wanted(&class(&[], false), "us", false), None);
        assert_eq!(wanted(&class(&[], true), "us", true), None, "too late");
        assert_eq!(wanted(&class(&[], false), "them", true), None);
    }
}
