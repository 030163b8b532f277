//! The objects that hints are looked for in.

use std::collections::{BTreeMap, BTreeSet};

use proto::{Change, Event, Kind, ResourceKey};
use serde_json::Value;

const ROUTES: [Kind; 4] = [Kind::HTTP_ROUTE, Kind::GRPC_ROUTE, Kind::TLS_ROUTE, Kind::TCP_ROUTE];

/// The kinds that are looked at, and which Services have somebody behind them.
pub(crate) struct Objects {
    pub(super) controller: String,
    of: BTreeMap<ResourceKey, Value>,
    /// Services with a ready endpoint.
    serving: BTreeSet<ResourceKey>,
}

impl Objects {
    pub(super) fn of(events: impl IntoIterator<Item = Event>, controller: &str) -> Objects {
        let mut objects =
            Objects { controller: controller.to_owned(), of: BTreeMap::new(), serving: BTreeSet::new() };
        for event in events {
            let Change::Upsert(payload) = &event.change else { continue };
            let kind = &event.key.kind;
            let looked_at = ROUTES.contains(kind)
                || [
                    Kind::GATEWAY_CLASS,
                    Kind::GATEWAY,
                    Kind::LISTENER_SET,
                    Kind::SERVICE,
                    Kind::ENDPOINT_SLICE,
                ]
                .contains(kind);
            if !looked_at {
                continue;
            }
            let Ok(object) = serde_json::from_slice::<Value>(payload) else { continue };
            if *kind == Kind::ENDPOINT_SLICE {
                objects.serving.extend(served_by(&event.key, &object));
                continue;
            }
            // Of a Service only that it is there is of interest.
            let object = if *kind == Kind::SERVICE { object["spec"]["type"].clone() } else { object };
            objects.of.insert(event.key, object);
        }
        objects
    }

    pub(super) fn get(&self, key: &ResourceKey) -> Option<&Value> {
        self.of.get(key)
    }

    /// All objects of a kind.
    pub(super) fn all<'a>(&'a self, kind: &'a Kind) -> impl Iterator<Item = (&'a ResourceKey, &'a Value)> {
        self.of.iter().filter(move |(key, _)| key.kind == *kind)
    }

    /// All routes.
    pub(super) fn routes(&self) -> impl Iterator<Item = (&ResourceKey, &Value)> {
        self.of.iter().filter(|(key, _)| ROUTES.contains(&key.kind))
    }

    /// False of a Service that is there, and has no ready endpoint.
    pub(super) fn is_served(&self, service: &ResourceKey) -> bool {
        let named_elsewhere = self.of.get(service).is_none_or(|kind| kind == "ExternalName");
        named_elsewhere || self.serving.contains(service)
    }
}

/// The Service of a slice that has a ready endpoint.
fn served_by(slice: &ResourceKey, object: &Value) -> Option<ResourceKey> {
    let service = object["metadata"]["labels"]["kubernetes.io/service-name"].as_str()?;
    let is_ready = |one: &Value| {
        one["conditions"]["ready"] != false && one["addresses"].as_array().is_some_and(|all| !all.is_empty())
    };
    let ready = list(&object["endpoints"]).iter().any(is_ready);
    ready.then(|| slice.sibling(Kind::SERVICE, slice.namespace.clone(), service))
}

/// The elements of a list; none of what is no list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text, or what it is if it is missing.
pub(super) fn text<'a>(value: &'a Value, default: &'a str) -> &'a str {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or(default)
}

/// What a reference names, which is in the namespace of who refers if it says no other.
pub(super) fn referred(from: &ResourceKey, reference: &Value, group: &str, kind: &str) -> ResourceKey {
    let group = reference["group"].as_str().unwrap_or(group);
    let kind = Kind::new(group, text(&reference["kind"], kind));
    from.sibling(kind, text(&reference["namespace"], &from.namespace), text(&reference["name"], ""))
}
