//! The bootstrap of an Envoy 1.40 that serves one Gateway.

use std::path::Path;

use lookup::{METADATA_KEY, MODULE_VERSION};
use serde_json::{Value, json};

use crate::listen::Listen;
use crate::pki::Issued;

/// Name of the cluster that leads to fleetgate.
const XDS_CLUSTER: &str = "xds_cluster";
/// Name of the secret with the token: Envoy shows no secret in what it dumps, but it does show a stream's metadata.
const XDS_TOKEN: &str = "xds_token";
/// Connections a proxy accepts before it refuses more: a flood must not end in the kernel's OOM killer.
const MAX_CONNECTIONS: u32 = 50_000;
/// Instructions of a regular expression. Envoy's own limit of 100 is less than a few words with `|` between them need;
/// this is enough for the longest value that the API takes.
const MAX_REGEX_PROGRAM: u32 = 32_768;

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

/// Where fleetgate is, and how an Envoy says who it is.
#[derive(Clone, Copy)]
pub(crate) enum Xds<'a> {
    /// On the same machine; a token is proof.
    Local {
        /// Where it listens.
        address: &'a Listen,
        /// Sent with each stream.
        token: &'a str,
    },
    /// Anywhere; both sides show a certificate.
    Remote {
        /// Name or IP address; the server's certificate is for it.
        host: &'a str,
        /// Its port.
        port: u16,
        /// The Envoy's certificate.
        issued: &'a Issued,
    },
    /// Anywhere; the certificates are in files that Envoy reads again when they change.
    Files {
        /// Name or IP address; the server's certificate is for it.
        host: &'a str,
        /// Its port.
        port: u16,
        /// The folder of `xds-certificate.yaml` and `xds-authority.yaml`.
        dir: &'a str,
    },
}

/// Bootstrap for an Envoy of `gateway` (`namespace/name`) that asks fleetgate for everything. It has no admin endpoint:
/// whoever reaches that can read the whole configuration and end the process.
pub(crate) fn bootstrap(gateway: &str, xds: Xds<'_>, module: Module<'_>) -> Value {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    json!({
        "node": {"id": gateway, "cluster": "fleetgate", "metadata": module.metadata()},
        "dynamic_resources": {
            "ads_config": ads_config(),
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": static_resources(xds),
        "stats_config": stats_config(),
        "deferred_stat_options": {"enable_deferred_creation_stats": true},
        "layered_runtime": {"layers": [{
            "name": "fleetgate",
            "static_layer": {"re2.max_program_size.error_level": MAX_REGEX_PROGRAM},
        }]},
        "overload_manager": {"resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": MAX_CONNECTIONS,
            },
        }]},
    })
}

/// An admin endpoint on a Unix socket; a relative path counts from Envoy's working directory. Who may enter the
/// socket's directory may use it.
pub(crate) fn admin_socket(path: &str) -> Value {
    json!({"address": {"pipe": {"path": path, "mode": 0o600}}})
}

fn static_resources(xds: Xds<'_>) -> Value {
    let mut resources = json!({"clusters": [xds_cluster(xds)]});
    if let Xds::Local { token, .. } = xds {
        let secret = json!({"inline_string": format!("Bearer {token}")});
        resources["secrets"] = json!([{"name": XDS_TOKEN, "generic_secret": {"secret": secret}}]);
    }
    resources
}

/// Sends the token with each request to fleetgate.
fn token_filters() -> Value {
    json!([
        {
            "name": "envoy.filters.http.credential_injector",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
                "credential": {
                    "name": "envoy.http.injected_credentials.generic",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
                        "credential": {"name": XDS_TOKEN},
                    },
                },
            },
        },
        {
            "name": "envoy.filters.http.upstream_codec",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"},
        },
    ])
}

fn ads_config() -> Value {
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
            "initial_metadata": [],
        }],
    })
}

fn xds_cluster(xds: Xds<'_>) -> Value {
    let address = match xds {
        Xds::Local { address: Listen::Tcp(address), .. } => json!({"socket_address": {
            "address": address.ip().to_string(),
            "port_value": address.port(),
        }}),
        Xds::Local { address: Listen::Unix(path), .. } => json!({"pipe": {"path": path.to_string_lossy()}}),
        Xds::Remote { host, port, .. } | Xds::Files { host, port, .. } => {
            json!({"socket_address": {"address": host, "port_value": port}})
        }
    };
    let remote = match xds {
        Xds::Local { .. } => None,
        Xds::Remote { host, issued, .. } => Some((host, inline(host, issued))),
        Xds::Files { host, dir, .. } => Some((host, in_files(dir))),
    };
    let mut cluster = json!({
        "name": XDS_CLUSTER,
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": XDS_CLUSTER,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {
                // A half-dead connection must not look like a quiet control plane.
                "connection_keepalive": {"interval": "3s", "timeout": "5s"},
            }},
        }},
    });
    if let Xds::Local { .. } = xds {
        cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"]
            ["http_filters"] = token_filters();
    }
    if let Some((host, context)) = remote {
        cluster["transport_socket"] = mutual_tls(host, context);
        if !is_ip(host) {
            cluster["cluster_type"] = by_name();
            return cluster;
        }
    }
    cluster["type"] = "STATIC".into();
    cluster
}

/// How a name is resolved. A control plane that is installed anew has another address, and nobody tells; jitter keeps
/// proxies from asking at the same moment.
fn by_name() -> Value {
    json!({
        "name": "envoy.clusters.dns",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster",
            "dns_refresh_rate": "2s",
            "dns_failure_refresh_rate": {"base_interval": "0.5s", "max_interval": "2s"},
            "dns_jitter": "1s",
            // Envoy's own default would take IPv6 alone where a name has both.
            "dns_lookup_family": "V4_PREFERRED",
            // Envoy's own resolver reads /etc/hosts once a minute, and waits up to 75 s for a DNS server that is silent.
            "typed_dns_resolver_config": {
                "name": "envoy.network.dns_resolver.getaddrinfo",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig",
                    "num_retries": 1,
                },
            },
        },
    })
}

fn is_ip(host: &str) -> bool {
    host.parse::<std::net::IpAddr>().is_ok()
}

/// The names that the xDS server's certificate must have.
pub(crate) fn server_names(host: &str) -> Value {
    let kind = if is_ip(host) { "IP_ADDRESS" } else { "DNS" };
    json!([{"san_type": kind, "matcher": {"exact": host}}])
}

fn mutual_tls(host: &str, mut context: Value) -> Value {
    context["tls_params"] =
        json!({"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"});
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": if is_ip(host) { "" } else { host },
            "common_tls_context": context,
        },
    })
}

fn inline(host: &str, issued: &Issued) -> Value {
    json!({
        "tls_certificates": [{
            "certificate_chain": {"inline_string": issued.chain},
            "private_key": {"inline_string": issued.key},
        }],
        "validation_context": {
            "trusted_ca": {"inline_string": issued.authorities},
            "match_typed_subject_alt_names": server_names(host),
        },
    })
}

fn in_files(dir: &str) -> Value {
    let secret = |name: &str, file: &str| {
        json!({
            "name": name,
            "sds_config": {
                "path_config_source": {"path": format!("{dir}/{file}")},
                "resource_api_version": "V3",
            },
        })
    };
    json!({
        "tls_certificate_sds_secret_configs": [secret("xds_certificate", "xds-certificate.yaml")],
        "validation_context_sds_secret_config": secret("xds_authority", "xds-authority.yaml"),
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
    use super::{Module, Xds, bootstrap};
    use crate::listen::Listen;

    fn local<'a>(address: &'a Listen, token: &'a str) -> Xds<'a> {
        Xds::Local { address, token }
    }

    #[test]
    fn the_bootstrap_is_the_golden_one() {
        let golden = include_str!("bootstrap.golden.json");
        let made = bootstrap(
            "default/web",
            local(&"127.0.0.1:18000".parse().unwrap(), "default/web.TOKEN"),
            Module::None,
        );
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
            let made = bootstrap("a/b", local(&"127.0.0.1:1".parse().unwrap(), "t"), module);
            made["node"]["metadata"].clone()
        };
        assert_eq!(node(Module::None), serde_json::json!({}));
        assert_eq!(node(Module::Elsewhere)["fleetgate.dev/proxy-module"], "1");
        assert_ne!(node(Module::In("/a".as_ref())), node(Module::In("/b".as_ref())));
    }

    #[test]
    fn a_unix_socket_becomes_a_pipe() {
        let made = bootstrap("a/b", local(&"unix:/run/x.sock".parse().unwrap(), "t"), Module::None);
        let endpoint = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0/endpoint";
        assert_eq!(made.pointer(endpoint).unwrap()["address"]["pipe"]["path"], "/run/x.sock");
    }
}
