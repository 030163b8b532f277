//! Istio: an agent that fetches the mesh's certificates, and `sds`, which hands them to Envoy, as k8sgateway has them.

use serde_json::{Value, json};

use super::container::{field, given, hardened};
use crate::kubernetes::proxies::bootstrap::SDS_PORT;
use crate::kubernetes::proxies::parameters::{IstioProxyContainer, Parameters, SdsContainer};

/// Its tag is that of the k8sgateway whose fields we have.
const SDS_IMAGE: &str = "quay.io/solo-io/sds:1.18.0";
const AGENT_IMAGE: &str = "docker.io/istio/proxyv2:1.22.0";
const DISCOVERY: &str = "istiod.istio-system.svc:15012";
/// Where the agent puts the certificates.
const CERTIFICATES: &str = "/etc/istio-certs";
/// How long a token for Istio's authority holds, seconds.
const TOKEN_LIFE: u32 = 12 * 60 * 60;

/// None without a mesh.
pub(super) fn containers(parameters: &Parameters) -> Vec<Value> {
    let istio = &parameters.istio;
    if !istio.is_on() {
        return Vec::new();
    }
    let mut containers = vec![sds(&parameters.sds_container)];
    match &istio.istio_proxy_container {
        Some(own) if istio.custom_sidecars.is_empty() => containers.push(agent(own)),
        _ => containers.extend(istio.custom_sidecars.iter().cloned().map(Value::from)),
    }
    containers
}

/// Volumes of those containers, also of the user's own.
pub(super) fn volumes(parameters: &Parameters) -> Vec<Value> {
    if !parameters.istio.is_on() {
        return Vec::new();
    }
    let token = json!({"audience": "istio-ca", "expirationSeconds": TOKEN_LIFE, "path": "istio-token"});
    vec![
        json!({"name": "istio-certs", "emptyDir": {"medium": "Memory"}}),
        json!({"name": "istio-envoy", "emptyDir": {"medium": "Memory"}}),
        json!({"name": "istiod-ca-cert", "configMap": {"name": "istio-ca-root-cert"}}),
        json!({"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": token}]}}),
        json!({"name": "credential-socket", "emptyDir": {}}),
        json!({"name": "workload-socket", "emptyDir": {}}),
        json!({"name": "workload-certs", "emptyDir": {}}),
    ]
}

fn sds(own: &SdsContainer) -> Value {
    let mut made = json!({
        "name": "sds",
        "image": own.image.or(SDS_IMAGE),
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            {"name": "ISTIO_MTLS_SDS_ENABLED", "value": "true"},
            {"name": "LOG_LEVEL", "value": own.bootstrap.log_level.as_deref().unwrap_or("info")},
        ],
        "ports": [{"name": "sds", "containerPort": SDS_PORT}],
        "readinessProbe": {"tcpSocket": {"port": SDS_PORT}, "initialDelaySeconds": 3},
        "securityContext": hardened(),
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "istio-certs", "mountPath": CERTIFICATES, "readOnly": true}],
    });
    given(&mut made, &own.image, own.security_context.as_ref(), own.resources.as_ref());
    made
}

/// Istio's agent without an Envoy of its own.
fn agent(own: &IstioProxyContainer) -> Value {
    let discovery = own.istio_discovery_address.as_deref().unwrap_or(DISCOVERY);
    let level = own.log_level.as_deref().unwrap_or("warning");
    let text = |name: &str, value: &str| json!({"name": name, "value": value});
    let mut made = json!({
        "name": "istio-proxy",
        "image": own.image.or(AGENT_IMAGE),
        "args": [
            "proxy",
            "sidecar",
            "--domain",
            "$(POD_NAMESPACE).svc.cluster.local",
            format!("--proxyLogLevel={level}"),
            "--proxyComponentLogLevel=misc:error",
        ],
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("INSTANCE_IP", "status.podIP"),
            field("HOST_IP", "status.hostIP"),
            field("SERVICE_ACCOUNT", "spec.serviceAccountName"),
            field("ISTIO_META_POD_NAME", "metadata.name"),
            field("ISTIO_META_CONFIG_NAMESPACE", "metadata.namespace"),
            text("ISTIO_META_MESH_ID", own.istio_meta_mesh_id.as_deref().unwrap_or("cluster.local")),
            text("ISTIO_META_CLUSTER_ID", own.istio_meta_cluster_id.as_deref().unwrap_or("Kubernetes")),
            text("CA_ADDR", discovery),
            text("PILOT_CERT_PROVIDER", "istiod"),
            text("JWT_POLICY", "third-party-jwt"),
            text("PROXY_CONFIG", &json!({"discoveryAddress": discovery}).to_string()),
            text("OUTPUT_CERTS", CERTIFICATES),
            text("DISABLE_ENVOY", "true"),
        ],
        "securityContext": hardened(),
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "volumeMounts": [
            {"name": "istio-certs", "mountPath": CERTIFICATES},
            {"name": "istio-envoy", "mountPath": "/etc/istio/proxy"},
            {"name": "istiod-ca-cert", "mountPath": "/var/run/secrets/istio", "readOnly": true},
            {"name": "istio-token", "mountPath": "/var/run/secrets/tokens", "readOnly": true},
            {"name": "credential-socket", "mountPath": "/var/run/secrets/credential-uds"},
            {"name": "workload-socket", "mountPath": "/var/run/secrets/workload-spiffe-uds"},
            {"name": "workload-certs", "mountPath": "/var/run/secrets/workload-spiffe-credentials"},
        ],
    });
    given(&mut made, &own.image, own.security_context.as_ref(), own.resources.as_ref());
    made
}
