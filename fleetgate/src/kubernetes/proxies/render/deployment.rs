//! The Deployment: a hardened Envoy that is ready once it has its configuration, and drains before it ends.

use proto::{PROXY_METRICS_PORT, PROXY_READINESS_PORT};
use serde_json::{Map, Value, json};

use super::Ingredients;
use crate::kubernetes::proxies::bootstrap::{ADMIN_PORT, CONFIG_DIR, IDENTITY_DIR};
use crate::kubernetes::proxies::names;
use crate::kubernetes::proxies::owned::What;
use crate::kubernetes::proxies::parameters::{GracefulShutdown, Parameters};

/// Name of the container, as k8sgateway has it.
const CONTAINER: &str = "gloo-gateway";
/// The user that Envoy runs as.
const USER: u32 = 10101;
/// Time for the drained connections to end after the pause, seconds.
const GRACE: u32 = 20;

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
    labels.extend(names::labels(from.gateway, from.spec));
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
    let shutdown = &template.graceful_shutdown;
    let pause = if shutdown.enabled { shutdown.sleep_time_seconds } else { 0 };
    let mut spec = json!({
        "serviceAccountName": name,
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": template.termination_grace_period_seconds.unwrap_or(pause + GRACE),
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container(from)],
        "volumes": [
            {"name": "envoy-config", "configMap": {"name": name}},
            {"name": "xds-identity", "secret": {"secretName": name}},
        ],
    });
    let given = [
        ("securityContext", template.security_context.as_ref().map(|value| json!(value))),
        ("affinity", template.affinity.as_ref().map(|value| json!(value))),
        ("imagePullSecrets", some(&template.image_pull_secrets, template.image_pull_secrets.is_empty())),
        ("nodeSelector", some(&template.node_selector, template.node_selector.is_empty())),
        ("tolerations", some(&template.tolerations, template.tolerations.is_empty())),
    ];
    for (field, value) in given {
        if let Some(value) = value {
            spec[field] = value;
        }
    }
    if from.parameters.floating_user_id {
        without_user(&mut spec);
    }
    spec
}

fn some(value: &impl serde::Serialize, is_empty: bool) -> Option<Value> {
    (!is_empty).then(|| json!(value))
}

/// OpenShift chooses the user itself.
fn without_user(spec: &mut Value) {
    let contexts = ["/securityContext", "/containers/0/securityContext"];
    for context in contexts {
        if let Some(fields) = spec.pointer_mut(context).and_then(Value::as_object_mut) {
            fields.remove("runAsUser");
        }
    }
}

fn container(from: &Ingredients<'_>) -> Value {
    let Parameters { envoy_container, pod_template, .. } = from.parameters;
    let probe = json!({
        "httpGet": {"path": "/ready", "port": i32::from(PROXY_READINESS_PORT)},
        "periodSeconds": 2,
        "failureThreshold": 2,
    });
    let field =
        |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
    let mut made = json!({
        "name": CONTAINER,
        "image": envoy_container.image.or(&from.settings.image),
        "args": arguments(from.parameters),
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            {"name": "ENVOY_UID", "value": "0"},
        ],
        // The Gateway's own ports are not listed: they come and go without a restart.
        "ports": [
            {"name": "http-monitoring", "containerPort": PROXY_METRICS_PORT},
            {"name": "readiness", "containerPort": PROXY_READINESS_PORT},
        ],
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "runAsUser": USER,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "readinessProbe": pod_template.readiness_probe.as_ref().map_or(probe, |given| json!(given)),
        "volumeMounts": [
            {"name": "envoy-config", "mountPath": CONFIG_DIR, "readOnly": true},
            {"name": "xds-identity", "mountPath": IDENTITY_DIR, "readOnly": true},
        ],
    });
    let given = [
        ("securityContext", envoy_container.security_context.as_ref().map(|value| json!(value))),
        ("resources", envoy_container.resources.as_ref().map(|value| json!(value))),
        ("imagePullPolicy", envoy_container.image.pull_policy.as_ref().map(|value| json!(value))),
        ("livenessProbe", pod_template.liveness_probe.as_ref().map(|value| json!(value))),
        ("lifecycle", drain(&pod_template.graceful_shutdown)),
    ];
    let fields: Map<String, Value> =
        given.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?))).collect();
    if let Some(made) = made.as_object_mut() {
        made.extend(fields);
    }
    made
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

/// Not ready any more, connections asked to close, and time for all to notice. `bash` is in Envoy's image; a probe
/// from outside cannot reach the admin interface.
fn drain(shutdown: &GracefulShutdown) -> Option<Value> {
    let seconds = shutdown.sleep_time_seconds;
    let script = format!(
        "post() {{ exec 3<>/dev/tcp/127.0.0.1/{ADMIN_PORT} && printf 'POST %s HTTP/1.1\\r\\nHost: localhost\\r\\n\
         Content-Length: 0\\r\\nConnection: close\\r\\n\\r\\n' \"$1\" >&3 && cat <&3 >/dev/null; }}; \
         post /healthcheck/fail; post '/drain_listeners?graceful&skip_exit'; sleep {seconds}"
    );
    shutdown.enabled.then(|| json!({"preStop": {"exec": {"command": ["/bin/bash", "-c", script]}}}))
}
