//! The Deployment: pods with Envoy, and with the containers beside it that are asked for.

use proto::PROXY_METRICS_PORT;
use serde_json::{Value, json};

use super::container::{USER, overlay};
use super::{Ingredients, ai, drain, envoy, istio};
use crate::kubernetes::proxies::names;
use crate::kubernetes::proxies::owned::What;
use crate::kubernetes::proxies::parameters::Parameters;

/// `config` is another one when the pods must start anew.
pub(super) fn deployment(from: &Ingredients<'_>, config: &str) -> Value {
    let mut object = from.plain(What::Deployment);
    let selector = names::selector(from.gateway);
    let mut spec = json!({
        "selector": {"matchLabels": selector},
        // The old pods serve until the new ones do.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
        "template": {"metadata": pod_metadata(from, config), "spec": pod_spec(from)},
    });
    // Without a number it is left to whoever scales it: an autoscaler, or a person.
    if let Some(replicas) = from.parameters.deployment.replicas
        && from.parameters.horizontal_pod_autoscaler.is_none()
    {
        spec["replicas"] = replicas.into();
    }
    object["spec"] = spec;
    object
}

fn pod_metadata(from: &Ingredients<'_>, config: &str) -> Value {
    let template = &from.parameters.pod_template;
    let mut labels = template.extra_labels.clone();
    labels.extend(names::labels(from.gateway, from.spec, from.settings));
    let mut annotations = names::annotations(from.spec);
    if from.parameters.stats.enabled {
        annotations.extend(
            [
                ("prometheus.io/path", "/metrics".to_owned()),
                ("prometheus.io/port", PROXY_METRICS_PORT.to_string()),
                ("prometheus.io/scrape", "true".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
    }
    annotations.extend(template.extra_annotations.clone());
    annotations.insert("fleetgate.dev/bootstrap".to_owned(), config.to_owned());
    json!({"labels": labels, "annotations": annotations})
}

fn pod_spec(from: &Ingredients<'_>) -> Value {
    let name = names::proxy(from.gateway);
    let template = &from.parameters.pod_template;
    let mut volumes = vec![
        json!({"name": "envoy-config", "configMap": {"name": name}}),
        json!({"name": "xds-identity", "secret": {"secretName": name}}),
    ];
    volumes.extend(istio::volumes(from.parameters));
    volumes.extend(ai::volume(from));
    let mut spec = json!({
        "serviceAccountName": name,
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": drain::grace_period(template),
        "securityContext": pod_security(from.parameters),
        "containers": containers(from),
        "volumes": volumes,
    });
    overlay(
        &mut spec,
        [
            ("affinity", template.affinity.as_ref().map(|value| json!(value))),
            ("imagePullSecrets", some(&template.image_pull_secrets, template.image_pull_secrets.is_empty())),
            ("nodeSelector", some(&template.node_selector, template.node_selector.is_empty())),
            ("tolerations", some(&template.tolerations, template.tolerations.is_empty())),
        ],
    );
    if from.parameters.floating_user_id {
        without_user(&mut spec);
    }
    spec
}

fn containers(from: &Ingredients<'_>) -> Vec<Value> {
    let mut containers = vec![envoy::container(from)];
    containers.extend(istio::containers(from.parameters));
    containers.extend(ai::container(from.parameters));
    containers
}

fn pod_security(parameters: &Parameters) -> Value {
    if let Some(given) = &parameters.pod_template.security_context {
        return json!(given);
    }
    let mut security = json!({"seccompProfile": {"type": "RuntimeDefault"}});
    // A token of the mesh is its user's only, unless the pod has a group.
    if parameters.istio.is_on() && !parameters.floating_user_id {
        security["fsGroup"] = USER.into();
    }
    security
}

fn some(value: &impl serde::Serialize, is_empty: bool) -> Option<Value> {
    (!is_empty).then(|| json!(value))
}

/// OpenShift chooses the user itself.
fn without_user(spec: &mut Value) {
    let remove = |owner: &mut Value| {
        if let Some(fields) = owner.get_mut("securityContext").and_then(Value::as_object_mut) {
            fields.remove("runAsUser");
        }
    };
    spec["containers"].as_array_mut().into_iter().flatten().for_each(remove);
    remove(spec);
}
