//! A backend as an Envoy cluster; its endpoints come by EDS.

use envoy_types::pb::envoy::config::cluster::v3::circuit_breakers::Thresholds;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster};
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType as SocketConfig;
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, Http1ProtocolOptions, Http2ProtocolOptions, TransportSocket,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::common_tls_context::ValidationContextType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, SubjectAltNameMatcher, UpstreamTlsContext,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::google::protobuf::UInt32Value;
use envoy_types::util::pack_any;
use proto::{ArcStr, ResourceKey, XdsKey, XdsKind};

use super::{ads, duration, inline, put, secret};
use crate::cx::{Cx, Output};
use crate::ir::{BackendIr, ClusterKey, NodeKey, TlsIr, UpstreamProtocol, UpstreamTls, Value};
use crate::resolve::backend::cluster_name;

const CONNECT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);
/// Envoy's own limits (1024 connections, 3 retries) bite long before a backend is at its limit.
const UNLIMITED: UInt32Value = UInt32Value { value: u32::MAX };
/// Where the system's trust store lies in the proxy's image.
const SYSTEM_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

pub(crate) fn compute(gateway: &ResourceKey, key: &ClusterKey, cx: &mut Cx<'_>) -> Output {
    let mut output = Output::of(Value::Absent);
    let Some(Value::Backend(backend)) = cx.node(NodeKey::Backend(key.backend.clone())) else { return output };
    let BackendIr::Usable { policy, tls, .. } = backend.as_ref() else { return output };
    let name = cluster_name(key, policy.as_ref());
    let tls = match tls {
        _ if key.protocol == UpstreamProtocol::Passthrough => None,
        UpstreamTls::Plain => None,
        UpstreamTls::Tls(tls) => Some(tls),
        UpstreamTls::Closed => return output,
    };
    let certificate = tls.and_then(|_| client_certificate(gateway, cx));
    let socket = tls.map(|tls| transport_socket(tls, certificate, key.protocol));
    let message = cluster(&name, key.protocol, socket);
    output.puts.push(put(XdsKey::new(gateway.clone(), XdsKind::Cluster, name), &message));
    output.demands.push(NodeKey::Endpoints(gateway.clone(), key.clone()));
    output.demands.extend(certificate.map(|secret| NodeKey::Secret(gateway.clone(), secret.clone())));
    output
}

/// The certificate that a Gateway shows to backends.
fn client_certificate<'a>(gateway: &ResourceKey, cx: &mut Cx<'a>) -> Option<&'a ResourceKey> {
    match cx.node(NodeKey::Gateway(gateway.clone()))? {
        Value::Gateway(ir) => ir.client_certificate.as_ref(),
        _ => None,
    }
}

fn cluster(name: &ArcStr, protocol: UpstreamProtocol, transport_socket: Option<TransportSocket>) -> Cluster {
    let http = match protocol {
        UpstreamProtocol::Http1 => Some(ProtocolConfig::HttpProtocolOptions(Http1ProtocolOptions::default())),
        UpstreamProtocol::Http2 => {
            Some(ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default()))
        }
        UpstreamProtocol::Tcp | UpstreamProtocol::Passthrough => None,
    };
    let options = |protocol_config| HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(protocol_config),
        })),
        ..HttpProtocolOptions::default()
    };
    let options_name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned();
    Cluster {
        name: name.to_string(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig { eds_config: Some(ads()), ..EdsClusterConfig::default() }),
        connect_timeout: Some(duration(CONNECT_TIMEOUT)),
        lb_policy: LbPolicy::LeastRequest.into(),
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![Thresholds {
                max_connections: Some(UNLIMITED),
                max_pending_requests: Some(UNLIMITED),
                max_requests: Some(UNLIMITED),
                max_retries: Some(UNLIMITED),
                ..Thresholds::default()
            }],
            ..CircuitBreakers::default()
        }),
        typed_extension_protocol_options: http
            .map(|http| (options_name, pack_any(options(http))))
            .into_iter()
            .collect(),
        transport_socket,
        ..Cluster::default()
    }
}

fn transport_socket(
    tls: &TlsIr,
    certificate: Option<&ResourceKey>,
    protocol: UpstreamProtocol,
) -> TransportSocket {
    let trusted_ca = match &tls.ca {
        Some(pem) => inline(pem),
        None => DataSource {
            specifier: Some(Specifier::Filename(SYSTEM_CERTIFICATES.to_owned())),
            ..DataSource::default()
        },
    };
    let alpn = match protocol {
        UpstreamProtocol::Http1 => Some("http/1.1"),
        UpstreamProtocol::Http2 => Some("h2"),
        UpstreamProtocol::Tcp | UpstreamProtocol::Passthrough => None,
    };
    let validation = CertificateValidationContext {
        trusted_ca: Some(trusted_ca),
        match_typed_subject_alt_names: names(tls),
        ..CertificateValidationContext::default()
    };
    let context = UpstreamTlsContext {
        sni: tls.hostname.to_string(),
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: alpn.map(str::to_owned).into_iter().collect(),
            tls_certificate_sds_secret_configs: certificate.map(secret::by_name).into_iter().collect(),
            validation_context_type: Some(ValidationContextType::ValidationContext(validation)),
            ..CommonTlsContext::default()
        }),
        ..UpstreamTlsContext::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(SocketConfig::TypedConfig(pack_any(context))),
    }
}

/// The certificate must have the hostname, or one of the alternative names where there are any.
fn names(tls: &TlsIr) -> Vec<SubjectAltNameMatcher> {
    let matcher = |kind: SanType, name: &ArcStr| SubjectAltNameMatcher {
        san_type: kind.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(name.to_string())),
            ..StringMatcher::default()
        }),
        ..SubjectAltNameMatcher::default()
    };
    if tls.dns_names.is_empty() && tls.uris.is_empty() {
        return vec![matcher(SanType::Dns, &tls.hostname)];
    }
    let dns = tls.dns_names.iter().map(|name| matcher(SanType::Dns, name));
    dns.chain(tls.uris.iter().map(|uri| matcher(SanType::Uri, uri))).collect()
}
