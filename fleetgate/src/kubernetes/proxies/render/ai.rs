//! The extension for requests to language models, and the ConfigMap that it reads, as k8sgateway has them.

use serde_json::{Value, json};

use super::Ingredients;
use super::container::{field, given, hardened};
use crate::kubernetes::proxies::names;
use crate::kubernetes::proxies::owned::What;
use crate::kubernetes::proxies::parameters::Parameters;

const VOLUME: &str = "ai-stats-config";

/// None unless it is enabled.
pub(super) fn container(parameters: &Parameters) -> Option<Value> {
    let own = &parameters.ai_extension;
    if !own.enabled {
        return None;
    }
    let env = [field("POD_NAME", "metadata.name"), field("POD_NAMESPACE", "metadata.namespace")];
    let mut security = hardened();
    // It is not known what it writes.
    security["readOnlyRootFilesystem"] = false.into();
    let mut made = json!({
        "name": "gloo-ai-extension",
        "image": own.image.or(""),
        "env": env.into_iter().chain(own.env.iter().map(|one| json!(one))).collect::<Vec<_>>(),
        "ports": own.ports,
        "securityContext": security,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": VOLUME, "mountPath": "/var/run/stats", "readOnly": true}],
    });
    given(&mut made, &own.image, own.security_context.as_ref(), own.resources.as_ref());
    Some(made)
}

pub(super) fn volume(from: &Ingredients<'_>) -> Option<Value> {
    let enabled = from.parameters.ai_extension.enabled;
    enabled.then(|| json!({"name": VOLUME, "configMap": {"name": name(from)}}))
}

/// Which labels its metrics have.
pub(super) fn stats(from: &Ingredients<'_>) -> Option<(String, Value)> {
    let own = &from.parameters.ai_extension;
    if !own.enabled {
        return None;
    }
    let name = name(from);
    let mut object = from.named(What::ConfigMap, &name);
    object["data"] = json!({"stats.json": json!(own.stats.clone().unwrap_or_default()).to_string()});
    Some((name, object))
}

fn name(from: &Ingredients<'_>) -> String {
    names::fit(&format!("{}-{VOLUME}", names::proxy(from.gateway)))
}
