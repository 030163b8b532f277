//! Authorization by a server of the user's, before a route is chosen (GEP-1494, GEP-5224).

use envoy_types::pb::envoy::config::common::mutation_rules::v3::HeaderMutationRules;
use envoy_types::pb::envoy::config::core::v3::grpc_service::{EnvoyGrpc, TargetSpecifier};
use envoy_types::pb::envoy::config::core::v3::http_uri::HttpUpstreamType;
use envoy_types::pb::envoy::config::core::v3::{ApiVersion, GrpcService, HttpUri};
use envoy_types::pb::envoy::extensions::filters::http::ext_authz::v3::ext_authz::Services;
use envoy_types::pb::envoy::extensions::filters::http::ext_authz::v3::{
    AuthorizationResponse, BufferSettings, ExtAuthz, HttpService,
};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{ListStringMatcher, RegexMatcher, StringMatcher};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use proto::ArcStr;

use super::duration;
use super::route::NOWHERE;
use crate::ir::ExternalAuthIr;

/// How long the server may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Headers that the server cannot give a request: what speaks of its own answer, and what no configuration writes. Envoy
/// takes no expression of more than 100 instructions; the host and its own headers it keeps by itself.
const OF_THE_ANSWER: &str =
    "cdn-l.*|con(nection|tent-.*)|expect|http2-.*|keep-a.*|proxy-c.*|te|tra(iler|nsf.*)|upgrade|x-fleetg.*";

/// Envoy's filter. The route is chosen anew after it, with the headers that the server adds; the host stays.
pub(crate) fn filter(ir: &ExternalAuthIr) -> ExtAuthz {
    let cluster = ir.cluster.as_deref().unwrap_or(NOWHERE);
    let is_grpc = ir.is_grpc && ir.cluster.is_some();
    ExtAuthz {
        services: Some(if is_grpc { grpc(cluster, ir) } else { http(cluster, ir) }),
        transport_api_version: ApiVersion::V3.into(),
        clear_route_cache: true,
        // Where there is no server to ask, it is not the client's fault.
        status_on_error: ir.cluster.is_none().then_some(HttpStatus { code: 500 }),
        with_request_body: (ir.max_body > 0).then(|| BufferSettings {
            max_request_bytes: ir.max_body,
            pack_as_bytes: is_grpc,
            ..BufferSettings::default()
        }),
        allowed_headers: (!ir.allowed_headers.is_empty()).then(|| names(&ir.allowed_headers)),
        decoder_header_mutation_rules: Some(HeaderMutationRules {
            disallow_expression: Some(regex(OF_THE_ANSWER)),
            ..HeaderMutationRules::default()
        }),
        ..ExtAuthz::default()
    }
}

fn grpc(cluster: &str, ir: &ExternalAuthIr) -> Services {
    let target = EnvoyGrpc {
        cluster_name: cluster.to_owned(),
        // By default the cluster's name, which is no host.
        authority: ir
            .target
            .as_ref()
            .map(|it| format!("{}.{}.svc", it.backend.name, it.backend.namespace))
            .unwrap_or_default(),
        ..EnvoyGrpc::default()
    };
    Services::GrpcService(GrpcService {
        timeout: Some(duration(TIMEOUT)),
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(target)),
        ..GrpcService::default()
    })
}

fn http(cluster: &str, ir: &ExternalAuthIr) -> Services {
    let into_request = match ir.allowed_response_headers.as_slice() {
        [] => ListStringMatcher { patterns: vec![string(MatchPattern::SafeRegex(regex(".*")))] },
        some => names(some),
    };
    Services::HttpService(HttpService {
        server_uri: Some(HttpUri {
            // Its host is that of the request; this one is of no use but must be there.
            uri: "http://authorization".to_owned(),
            timeout: Some(duration(TIMEOUT)),
            http_upstream_type: Some(HttpUpstreamType::Cluster(cluster.to_owned())),
        }),
        path_prefix: ir.path.to_string(),
        authorization_response: Some(AuthorizationResponse {
            allowed_upstream_headers: Some(into_request),
            ..AuthorizationResponse::default()
        }),
        ..HttpService::default()
    })
}

fn names(names: &[ArcStr]) -> ListStringMatcher {
    let pattern =
        |name: &ArcStr| StringMatcher { ignore_case: true, ..string(MatchPattern::Exact(name.to_string())) };
    ListStringMatcher { patterns: names.iter().map(pattern).collect() }
}

fn string(pattern: MatchPattern) -> StringMatcher {
    StringMatcher { match_pattern: Some(pattern), ..StringMatcher::default() }
}

fn regex(regex: &str) -> RegexMatcher {
    RegexMatcher { regex: regex.to_owned(), ..RegexMatcher::default() }
}

#[cfg(test)]
mod tests {
    use super::OF_THE_ANSWER;
    use crate::features::header_names::reserved;

    #[test]
    fn what_no_configuration_writes_no_server_does() {
        let expression = regex::Regex::new(&format!("^({OF_THE_ANSWER})$")).unwrap();
        for name in reserved() {
            assert!(expression.is_match(name), "{name}");
        }
        for name in ["x-user", "authorization", "cookie", "x-fleet", "trace", "keeper"] {
            assert!(!expression.is_match(name), "{name}");
        }
    }
}
