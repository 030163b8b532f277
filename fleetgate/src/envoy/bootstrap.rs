//! The bootstrap of an Envoy 1.40 that serves one Gateway.

use std::path::Path;

use lookup::{METADATA_KEY, MODULE_VERSION};
use serde_json::{Value, json};

use crate::listen::Listen;

/// Name of the cluster that leads to fleetgate.
const XDS_CLUSTER: &str = "xds_cluster";
/// Connections a proxy accepts before it refuses more: a flood must not end in the kernel's OOM killer.
const MAX_CONNECTIONS: u32 = 50_000;

/// Statistics that are kept. Envoy makes dozens a cluster and route; with thousands of them that is
/// millions of series, which costs more than the traffic.
const STATS_PREFIXES: [&str; 7] = [
    "server.",
    "cluster_manager.",
    "listener_manager.",
    "control_plane.",
    "http.",
    "listener.",
    "cluster.xds_cluster.",
];
const STATS_SUFFIXES: [&str; 5] = [
    ".upstream_rq_total",
    ".upstream_rq_5xx",
    ".upstream_cx_active",
    ".upstream_cx_connect_fail",
    ".membership_healthy",
];

/// Whether an Envoy has the module that walks route tables.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Module<'a> {
    /// It has not.
    None,
    /// It has, in this folder.
    In(&'a Path),
    /// It has, wherever that is.
    Elsewhere,
}

impl Module<'_> {
    /// What the node says of it. The folder is there so that another one makes another bootstrap, with which
    /// a managed Envoy starts anew.
    fn metadata(self) -> Value {
        match self {
            Module::None => json!({}),
            Module::Elsewhere => json!({METADATA_KEY: MODULE_VERSION}),
            Module::In(folder) => json!({
                METADATA_KEY: MODULE_VERSION,
                "fleetgate.dev/proxy-module-folder": folder.to_string_lossy(),
            }),
        }
    }
}

/// Bootstrap for an Envoy of `gateway` (`namespace/name`) that asks fleetgate at `xds` for everything,
/// with `token` as its proof of who it is.
pub(crate) fn bootstrap(gateway: &str, xds: &Listen, token: &str, module: Module<'_>) -> Value {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    json!({
        "node": {"id": gateway, "cluster": "fleetgate", "metadata": module.metadata()},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": {
            "ads_config": ads_config(token),
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {"clusters": [xds_cluster(xds)]},
        "stats_config": stats_config(),
        "deferred_stat_options": {"enable_deferred_creation_stats": true},
        "overload_manager": {"resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": MAX_CONNECTIONS,
            },
        }]},
    })
}

fn ads_config(token: &str) -> Value {
    json!({
        "api_type": "DELTA_GRPC",
        "transport_api_version": "V3",
        "set_node_on_first_message_only": true,
        "grpc_services": [{
            "envoy_grpc": {
                "cluster_name": XDS_CLUSTER,
                // Envoy's own default backs off to 30 s: too long for a fleetgate that restarted.
                "retry_policy": {"retry_back_off": {"base_interval": "0.05s", "max_interval": "1s"}},
            },
            "initial_metadata": [{"key": "authorization", "value": format!("Bearer {token}")}],
        }],
    })
}

fn xds_cluster(xds: &Listen) -> Value {
    let address = match xds {
        Listen::Tcp(address) => json!({"socket_address": {
            "address": address.ip().to_string(),
            "port_value": address.port(),
        }}),
        Listen::Unix(path) => json!({"pipe": {"path": path.to_string_lossy()}}),
    };
    json!({
        "name": XDS_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {
                // A half-dead connection must not look like a quiet control plane.
                "connection_keepalive": {"interval": "10s", "timeout": "5s"},
            }},
        }},
    })
}

fn stats_config() -> Value {
    let patterns: Vec<Value> = STATS_PREFIXES
        .iter()
        .map(|prefix| json!({"prefix": prefix}))
        .chain(STATS_SUFFIXES.iter().map(|suffix| json!({"suffix": suffix})))
        .collect();
    json!({"stats_matcher": {"inclusion_list": {"patterns": patterns}}})
}

#[cfg(test)]
mod tests {
    use super::{Module, bootstrap};

    #[test]
    fn the_bootstrap_is_the_golden_one() {
        let golden = include_str!("bootstrap.golden.json");
        let made =
            bootstrap("default/web", &"127.0.0.1:18000".parse().unwrap(), "default/web.TOKEN", Module::None);
        let made = serde_json::to_string_pretty(&made).unwrap() + "\n";
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/envoy/bootstrap.golden.json");
            std::fs::write(path, &made).unwrap();
            return;
        }
        assert_eq!(made, golden, "set UPDATE_GOLDEN=1 to rewrite bootstrap.golden.json");
    }

    #[test]
    fn an_envoy_says_whether_it_has_the_module() {
        let node = |module| {
            let made = bootstrap("a/b", &"127.0.0.1:1".parse().unwrap(), "t", module);
            made["node"]["metadata"].clone()
        };
        assert_eq!(node(Module::None), serde_json::json!({}));
        assert_eq!(node(Module::Elsewhere)["fleetgate.dev/proxy-module"], "1");
        assert_ne!(node(Module::In("/a".as_ref())), node(Module::In("/b".as_ref())));
    }

    #[test]
    fn a_unix_socket_becomes_a_pipe() {
        let made = bootstrap("a/b", &"unix:/run/x.sock".parse().unwrap(), "t", Module::None);
        let endpoint = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint";
        assert_eq!(made.pointer(endpoint).unwrap()["address"]["pipe"]["path"], "/run/x.sock");
    }
}
