//! What of an object goes into an event.

use proto::Kind;
use serde_json::{Map, Value};

use super::holds_private_key;

/// A ConfigMap keeps more than `ca.crt`, which alone is read, only up to this many bytes.
const SMALL: usize = 4096;

/// Drops what a file cannot know or an event must not carry.
pub(super) fn metadata(metadata: &mut Map<String, Value>) {
    for field in ["resourceVersion", "uid", "generation", "managedFields", "selfLink", "ownerReferences"] {
        metadata.remove(field);
    }
    if let Some(Value::Object(annotations)) = metadata.get_mut("annotations") {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        annotations.remove("endpoints.kubernetes.io/last-change-trigger-time");
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
        config_map(map);
    }
    // Its schemas are large, and nobody reads them.
    if *kind == Kind::CUSTOM_RESOURCE_DEFINITION {
        map.remove("spec");
    }
}

fn config_map(map: &mut Map<String, Value>) {
    map.remove("binaryData");
    if let Some(Value::Object(data)) = map.get_mut("data") {
        let size: usize =
            data.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
        let has_key =
            data.values().any(|value| value.as_str().is_some_and(|text| holds_private_key(text.as_bytes())));
        // Some keep an authority's key beside its certificate.
        if size > SMALL || (has_key && data.contains_key("ca.crt")) {
            data.retain(|key, _| key == "ca.crt");
        }
    }
}
