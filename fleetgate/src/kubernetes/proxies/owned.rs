//! What the API server has of the objects that we deploy.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream::BoxStream};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::{Event, watcher};
use kube::{Client, ResourceExt};
use proto::{Kind, ResourceKey};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::kubernetes::watching;

/// Pause after a watch failed.
const PAUSE: Duration = Duration::from_secs(2);

/// Kinds of objects that are deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum What {
    ServiceAccount,
    Secret,
    ConfigMap,
    Service,
    Deployment,
    HorizontalPodAutoscaler,
    PodDisruptionBudget,
}

impl What {
    pub(super) const ALL: [What; 7] = [
        What::ServiceAccount,
        What::Secret,
        What::ConfigMap,
        What::Service,
        What::Deployment,
        What::HorizontalPodAutoscaler,
        What::PodDisruptionBudget,
    ];

    /// Where the API has it.
    pub(super) fn api(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            What::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            What::Secret => ("", "v1", "Secret", "secrets"),
            What::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            What::Service => ("", "v1", "Service", "services"),
            What::Deployment => ("apps", "v1", "Deployment", "deployments"),
            What::HorizontalPodAutoscaler => {
                ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
            }
            What::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }
}

/// An object as the server has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observed {
    pub(super) uid: String,
    /// Another one when something of it has changed that we may have an interest in; never for a status.
    pub(super) fingerprint: blake3::Hash,
    /// Services: the whole object; else null.
    pub(super) service: Value,
    /// Deployments: a pod is ready.
    pub(super) is_available: bool,
}

impl Observed {
    /// What is noted of an object.
    pub(super) fn of(what: What, object: &DynamicObject) -> Observed {
        let mut shown = serde_json::to_value(object).unwrap_or_default();
        if let Some(metadata) = shown.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|field, _| {
                ["labels", "annotations", "ownerReferences", "deletionTimestamp"].contains(&field.as_str())
            });
        }
        let service = if what == What::Service { shown.clone() } else { Value::Null };
        let is_available = shown["status"]["availableReplicas"].as_u64().is_some_and(|pods| pods > 0);
        if let Some(fields) = shown.as_object_mut() {
            fields.remove("status");
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        let fingerprint = blake3::hash(shown.to_string().as_bytes());
        Observed { uid: object.uid().unwrap_or_default(), fingerprint, service, is_available }
    }
}

/// Of one Gateway: kind and name of each object.
pub(super) type Objects = BTreeMap<(What, String), Arc<Observed>>;

/// All that is ours, by Gateway.
#[derive(Default)]
pub(super) struct Owned {
    gateways: HashMap<ResourceKey, Objects>,
    /// The Gateway of each object.
    owners: HashMap<(What, String, String), ResourceKey>,
}

impl Owned {
    /// The objects of a Gateway.
    pub(super) fn of(&self, gateway: &ResourceKey) -> Objects {
        self.gateways.get(gateway).cloned().unwrap_or_default()
    }

    /// Gateways of which there are objects.
    pub(super) fn gateways(&self) -> impl Iterator<Item = &ResourceKey> {
        self.gateways.iter().filter(|(_, objects)| !objects.is_empty()).map(|(gateway, _)| gateway)
    }

    /// Takes in a change; the Gateway, if it must be looked at.
    pub(super) fn change(&mut self, change: Change) -> Option<ResourceKey> {
        let Change { what, namespace, name, state } = change;
        let place = (what, namespace, name.clone());
        let Some((gateway, observed)) = state else {
            let gateway = self.owners.remove(&place)?;
            self.gateways.get_mut(&gateway)?.remove(&(what, name));
            return Some(gateway);
        };
        if let Some(before) = self.owners.insert(place, gateway.clone()).filter(|before| *before != gateway)
            && let Some(objects) = self.gateways.get_mut(&before)
        {
            objects.remove(&(what, name.clone()));
        }
        let observed = Arc::new(observed);
        let objects = self.gateways.entry(gateway.clone()).or_default();
        let before = objects.insert((what, name), Arc::clone(&observed));
        (before.as_ref() != Some(&observed)).then_some(gateway)
    }
}

/// What a watch tells.
pub(super) struct Change {
    pub(super) what: What,
    pub(super) namespace: String,
    pub(super) name: String,
    /// None: gone.
    pub(super) state: Option<(ResourceKey, Observed)>,
}

/// A kind, in one namespace or in all.
pub(super) type Place = (What, Option<String>);

/// All that is watched: each kind, in these namespaces; in all of them if none is named.
pub(super) fn places(namespaces: &[String]) -> impl Iterator<Item = Place> {
    let in_all = namespaces.is_empty().then_some(None);
    let each = in_all.into_iter().chain(namespaces.iter().cloned().map(Some));
    each.flat_map(|namespace| What::ALL.into_iter().map(move |what| (what, namespace.clone())))
}

/// From the watches to the controller.
pub(super) enum Told {
    Change(Change),
    /// All that there is in a place has been told.
    Listed(Place),
}

/// The Gateway that an object belongs to.
pub(super) fn owner(object: &DynamicObject) -> Option<ResourceKey> {
    let owner = object.owner_references().iter().find(|owner| owner.kind == "Gateway")?;
    Some(ResourceKey::local(Kind::GATEWAY, object.namespace()?, owner.name.as_str()))
}

/// Watches the selected objects of a place until nobody listens.
pub(super) async fn watch(client: Client, place: Place, selector: String, told: mpsc::Sender<Told>) {
    let what = place.0;
    let api: Api<DynamicObject> = match &place.1 {
        Some(namespace) => Api::namespaced_with(client, namespace, &what.api()),
        None => Api::all_with(client, &what.api()),
    };
    let mut events: BoxStream<'_, _> = watcher(api, watching().labels(&selector)).boxed();
    let mut known: HashSet<(String, String)> = HashSet::new();
    // While a listing is under way: what was known before, and is not in it so far.
    let mut missing: HashSet<(String, String)> = HashSet::new();
    while let Some(event) = events.next().await {
        let mut tell = Vec::new();
        let name_of = |object: &DynamicObject| (object.namespace().unwrap_or_default(), object.name_any());
        let gone =
            |(namespace, name): (String, String)| Told::Change(Change { what, namespace, name, state: None });
        match event {
            Ok(Event::Init) => missing.clone_from(&known),
            Ok(Event::InitApply(object) | Event::Apply(object)) => {
                missing.remove(&name_of(&object));
                if let Some(gateway) = owner(&object) {
                    let (namespace, name) = name_of(&object);
                    known.insert((namespace.clone(), name.clone()));
                    let state = Some((gateway, Observed::of(what, &object)));
                    tell.push(Told::Change(Change { what, namespace, name, state }));
                }
            }
            Ok(Event::Delete(object)) => {
                known.remove(&name_of(&object));
                tell.push(gone(name_of(&object)));
            }
            Ok(Event::InitDone) => {
                for one in missing.drain() {
                    known.remove(&one);
                    tell.push(gone(one));
                }
                tell.push(Told::Listed(place.clone()));
            }
            Err(error) => {
                tracing::warn!("managed {} cannot be watched: {error}; it is tried again", what.api().plural);
                tokio::time::sleep(PAUSE).await;
            }
        }
        for one in tell {
            if told.send(one).await.is_err() {
                return;
            }
        }
    }
}
