//! What of an object goes into an event.

use proto::Kind;
use serde_json::{Map, Value};

use super::authorities;

/// Annotations that are read, by kind. All others stay where they are: tools keep whole objects in them, Secrets too.
const ANNOTATIONS: [(Kind, &[&str]); 3] = [
    (Kind::GATEWAY_CLASS, &["fleetgate.dev/kept"]),
    (Kind::GATEWAY, &["gateway.gloo.solo.io/gateway-parameters-name"]),
    (
        Kind::CUSTOM_RESOURCE_DEFINITION,
        &["gateway.networking.k8s.io/channel", "gateway.networking.k8s.io/bundle-version"],
    ),
];

/// Metadata that is read.
const METADATA: [&str; 5] = ["name", "namespace", "labels", "annotations", "creationTimestamp"];

/// Drops what a file cannot know or an event must not carry.
pub(super) fn metadata(metadata: &mut Map<String, Value>, kind: &Kind) {
    // Nobody asks these for more than their names.
    let named_only = [Kind::SECRET, Kind::CONFIG_MAP].contains(kind);
    let fields = if named_only { &METADATA[..2] } else { &METADATA[..] };
    metadata.retain(|field, _| fields.contains(&field.as_str()));
    let read = ANNOTATIONS.iter().find(|(of, _)| of == kind).map_or(&[][..], |(_, names)| names);
    match metadata.get_mut("annotations") {
        Some(Value::Object(annotations)) => annotations.retain(|name, _| read.contains(&name.as_str())),
        Some(_) if read.is_empty() => drop(metadata.remove("annotations")),
        _ => {}
    }
    metadata.retain(|_, value| !value.is_null() && !value.as_object().is_some_and(Map::is_empty));
}

/// Trims an object that is not a Secret.
pub(super) fn trim(map: &mut Map<String, Value>, kind: &Kind) {
    let status = map.remove("status");
    if *kind == Kind::SERVICE
        && let Some(balancer) = status.and_then(|mut status| status.get_mut("loadBalancer").map(Value::take))
        && balancer.as_object().is_some_and(|fields| !fields.is_empty())
    {
        map.insert("status".to_owned(), serde_json::json!({ "loadBalancer": balancer }));
    }
    if *kind == Kind::CONFIG_MAP {
        authorities::config_map(map);
    }
    if *kind == Kind::CLUSTER_TRUST_BUNDLE {
        authorities::trust_bundle(map);
    }
    // Its schemas are large, and nobody reads them.
    if *kind == Kind::CUSTOM_RESOURCE_DEFINITION {
        map.remove("spec");
    }
}
