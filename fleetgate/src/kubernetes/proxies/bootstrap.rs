//! What the Envoy of a pod starts with.

use proto::{PROXY_METRICS_PORT, PROXY_READINESS_PORT, ResourceKey};
use serde_json::{Value, json};

use super::parameters::Parameters;
use super::{Settings, names};
use crate::envoy::{Module, Xds, bootstrap, server_names};

/// Where Envoy's admin interface is, for nobody outside the pod.
pub(super) const ADMIN_PORT: u16 = 19000;
/// Where the ConfigMap is in the pod.
pub(super) const CONFIG_DIR: &str = "/etc/envoy";
/// Where the Secret with the proxy's identity is.
pub(super) const IDENTITY_DIR: &str = "/etc/fleetgate/xds";
/// Where the container `sds` hands out a mesh's certificates.
pub(super) const SDS_PORT: u16 = 8234;
const ADMIN_CLUSTER: &str = "admin_port_cluster";
const SDS_CLUSTER: &str = "gateway_proxy_sds";
/// Where readiness probes of k8sgateway's users ask.
const HEALTH_PATH: &str = "/envoy-hc";
/// The HTTP filters in a [`listener`].
const FILTERS: &str = "/filter_chains/0/filters/0/typed_config/http_filters";

/// The files of the ConfigMap, by name.
pub(super) fn files(
    gateway: &ResourceKey,
    settings: &Settings,
    parameters: &Parameters,
) -> Vec<(&'static str, Value)> {
    vec![
        ("envoy.yaml", envoy(gateway, settings, parameters)),
        ("xds-certificate.yaml", sds("xds_certificate", "tls_certificate", certificate())),
        ("xds-authority.yaml", sds("xds_authority", "validation_context", authority(&settings.xds_host))),
    ]
}

fn envoy(gateway: &ResourceKey, settings: &Settings, parameters: &Parameters) -> Value {
    let xds = Xds::Files { host: &settings.xds_host, port: settings.xds_port, dir: CONFIG_DIR };
    let mut made = bootstrap(&gateway.namespaced_name(), xds, Module::Elsewhere);
    // The pod's name is the node's id, and comes from the command line.
    if let Some(node) = made["node"].as_object_mut() {
        node.remove("id");
        node.insert("cluster".to_owned(), format!("{}.{}", names::proxy(gateway), gateway.namespace).into());
    }
    made["admin"] = json!({"address": socket("127.0.0.1", ADMIN_PORT)});
    for config in ["cds_config", "lds_config"] {
        // A proxy that has no configuration yet is not ready, however long it takes.
        made["dynamic_resources"][config]["initial_fetch_timeout"] = "0s".into();
    }
    made["static_resources"]["listeners"] = listeners(parameters).into();
    if let Some(clusters) = made["static_resources"]["clusters"].as_array_mut() {
        clusters.push(cluster(ADMIN_CLUSTER, ADMIN_PORT));
        if parameters.istio.is_on() {
            let mut sds = cluster(SDS_CLUSTER, SDS_PORT);
            sds["typed_extension_protocol_options"] = http2();
            clusters.push(sds);
        }
    }
    made
}

/// Those that are there whatever the Gateway has.
fn listeners(parameters: &Parameters) -> Vec<Value> {
    let stats = &parameters.stats;
    let mut readiness = listener("readiness_listener", PROXY_READINESS_PORT, &[("/ready", "/ready")]);
    if parameters.pod_template.readiness_probe.is_some()
        && let Some(filters) = readiness.pointer_mut(FILTERS).and_then(Value::as_array_mut)
    {
        filters.insert(0, health_check());
    }
    let mut listeners = vec![readiness];
    if stats.enabled {
        let mut routes = vec![("/ready", "/ready"), ("/metrics", stats.route_prefix_rewrite.as_str())];
        if stats.enable_stats_route {
            routes.push(("/stats", &stats.stats_route_prefix_rewrite));
        }
        listeners.push(listener("prometheus_listener", PROXY_METRICS_PORT, &routes));
    }
    listeners
}

/// A cluster of one endpoint in the pod.
fn cluster(name: &str, port: u16) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket("127.0.0.1", port)}}]}],
        },
    })
}

fn http2() -> Value {
    json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }})
}

/// Answers by itself: 200, and 503 once the proxy drains.
fn health_check() -> Value {
    json!({
        "name": "envoy.filters.http.health_check",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck",
            "pass_through_mode": false,
            "headers": [{"name": ":path", "string_match": {"exact": HEALTH_PATH}}],
        },
    })
}

fn socket(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

/// A listener that lets GET requests for some paths through to the admin interface.
fn listener(name: &str, port: u16, routes: &[(&str, &str)]) -> Value {
    let route = |(path, rewritten): &(&str, &str)| {
        json!({
            "match": {"path": path, "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
            "route": {"cluster": ADMIN_CLUSTER, "prefix_rewrite": rewritten},
        })
    };
    json!({
        "name": name,
        "address": socket("0.0.0.0", port),
        "ignore_global_conn_limit": true,
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": name,
                "codec_type": "AUTO",
                "route_config": {
                    "name": name,
                    "virtual_hosts": [{
                        "name": name,
                        "domains": ["*"],
                        "routes": routes.iter().map(route).collect::<Vec<_>>(),
                    }],
                },
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
                }],
            },
        }]}],
    })
}

/// A file from which Envoy reads a secret; it looks again when the folder with the parts is swapped.
fn sds(name: &str, kind: &str, content: Value) -> Value {
    json!({"resources": [{
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": name,
        kind: content,
    }]})
}

fn certificate() -> Value {
    json!({
        "certificate_chain": {"filename": format!("{IDENTITY_DIR}/tls.crt")},
        "private_key": {"filename": format!("{IDENTITY_DIR}/tls.key")},
        "watched_directory": {"path": IDENTITY_DIR},
    })
}

fn authority(host: &str) -> Value {
    json!({
        "trusted_ca": {"filename": format!("{IDENTITY_DIR}/ca.crt")},
        "watched_directory": {"path": IDENTITY_DIR},
        "match_typed_subject_alt_names": server_names(host),
    })
}
