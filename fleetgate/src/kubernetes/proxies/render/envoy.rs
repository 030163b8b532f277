//! The container with Envoy: hardened, ready once it has its configuration, drained before it ends.

use proto::{PROXY_METRICS_PORT, PROXY_READINESS_PORT};
use serde_json::{Value, json};

use super::container::{field, given, hardened, overlay};
use super::{Ingredients, drain, startup};
use crate::kubernetes::proxies::bootstrap::{CONFIG_DIR, IDENTITY_DIR};
use crate::kubernetes::proxies::parameters::Parameters;

/// Its name, as k8sgateway has it.
const NAME: &str = "gloo-gateway";

pub(super) fn container(from: &Ingredients<'_>) -> Value {
    let Parameters { envoy_container, pod_template, .. } = from.parameters;
    let probe = json!({
        "httpGet": {"path": "/ready", "port": i32::from(PROXY_READINESS_PORT)},
        "periodSeconds": 2,
        "failureThreshold": 2,
    });
    let mut made = json!({
        "name": NAME,
        "image": envoy_container.image.or(&from.settings.image),
        "args": arguments(from.parameters),
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            {"name": "ENVOY_UID", "value": "0"},
        ],
        "ports": ports(from.parameters.stats.enabled),
        "securityContext": hardened(),
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "readinessProbe": pod_template.readiness_probe.as_ref().map_or(probe, |given| json!(given)),
        "volumeMounts": [
            {"name": "envoy-config", "mountPath": CONFIG_DIR, "readOnly": true},
            {"name": "xds-identity", "mountPath": IDENTITY_DIR, "readOnly": true},
        ],
    });
    let own = envoy_container;
    given(&mut made, &own.image, own.security_context.as_ref(), own.resources.as_ref());
    overlay(
        &mut made,
        [
            ("startupProbe", startup::probe(from)),
            ("livenessProbe", pod_template.liveness_probe.as_ref().map(|value| json!(value))),
            ("lifecycle", drain::lifecycle(pod_template)),
        ],
    );
    made
}

/// The Gateway's own ports are not listed: they come and go without a restart.
fn ports(metrics: bool) -> Vec<Value> {
    let metrics = metrics.then(|| json!({"name": "http-monitoring", "containerPort": PROXY_METRICS_PORT}));
    let readiness = json!({"name": "readiness", "containerPort": PROXY_READINESS_PORT});
    metrics.into_iter().chain([readiness]).collect()
}

fn arguments(parameters: &Parameters) -> Vec<String> {
    let bootstrap = &parameters.envoy_container.bootstrap;
    let level = bootstrap.log_level.as_deref().unwrap_or("info");
    let config = format!("{CONFIG_DIR}/envoy.yaml");
    let mut arguments = [
        "--config-path",
        &config,
        "--disable-hot-restart",
        "--service-node",
        "$(POD_NAME).$(POD_NAMESPACE)",
        // When a listener goes, its connections are asked to close with the next answer, and have ten minutes for it.
        "--drain-strategy",
        "immediate",
        "--log-level",
        level,
    ]
    .map(str::to_owned)
    .to_vec();
    if !bootstrap.component_log_levels.is_empty() {
        let levels = bootstrap.component_log_levels.iter().map(|(name, level)| format!("{name}:{level}"));
        arguments.extend(["--component-log-level".to_owned(), levels.collect::<Vec<_>>().join(",")]);
    }
    arguments
}
