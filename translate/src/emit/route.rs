//! Rules of a route as Envoy routes.

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::RuntimeFractionalPercent;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterNotFoundResponseCode, ClusterSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route_match::{GrpcRouteMatchOptions, PathSpecifier};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, HeaderMatcher, QueryParameterMatcher, Route, RouteAction, RouteMatch,
    WeightedCluster,
};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::envoy::r#type::v3::FractionalPercent;
use envoy_types::pb::envoy::r#type::v3::fractional_percent::DenominatorType;
use envoy_types::pb::google::protobuf::UInt32Value;
use prost::Message;
use proto::{ArcStr, Kind, ResourceKey, RouteEntry};

use super::{loop_guard, query};
use crate::attach::rule::{BackendUse, RuleIr};
use crate::features::{EmitAt, FeatureIr};
use crate::ir::Context;
use crate::model::{Match, NameMatch};

/// Never defined as a cluster: its share of requests fails.
pub(crate) const NOWHERE: &str = "fleetgate.dev/unresolved";

/// Begins the names of a kind's routes.
const PREFIXES: [(&str, Kind); 2] = [("httproute/", Kind::HTTP_ROUTE), ("grpcroute/", Kind::GRPC_ROUTE)];

/// Name of an object's routes.
pub(crate) fn name_of(key: &ResourceKey) -> String {
    let prefix = PREFIXES.into_iter().find(|(_, kind)| *kind == key.kind).map_or("", |(prefix, _)| prefix);
    format!("{prefix}{}/{}", key.namespace, key.name)
}

/// The object that such a name was made of.
pub(crate) fn object_of(gateway: &ResourceKey, name: &str) -> Option<ResourceKey> {
    let (kind, name) =
        PREFIXES.into_iter().find_map(|(prefix, kind)| Some((kind, name.strip_prefix(prefix)?)))?;
    let (namespace, name) = name.split_once('/')?;
    Some(gateway.sibling(kind, ArcStr::from(namespace), ArcStr::from(name)))
}

/// The segments that all paths of a match begin with, if the match says so.
fn path(matched: &Match) -> Option<ArcStr> {
    let path = matched.path.value.strip_prefix('/')?;
    match matched.path.kind.as_str() {
        "Exact" => Some(path.into()),
        "RegularExpression" => None,
        // As it is emitted: a prefix of slashes matches every path.
        _ => Some(path.trim_end_matches('/')).filter(|path| !path.is_empty()).map(Into::into),
    }
}

/// The encoded routes of a route's rules, in order of precedence.
pub(crate) fn entries(key: &ResourceKey, rules: &[RuleIr], context: Context) -> Vec<RouteEntry> {
    let mut entries = Vec::new();
    for rule in rules {
        let name = format!("{}/{}", name_of(key), rule.name);
        for (order, matched) in &rule.matches {
            let path = path(matched);
            let also: Vec<Match> =
                rule.features.iter().flat_map(|feature| feature.also_matched(matched)).collect();
            for matched in also.iter().chain([matched]) {
                let mut written = routes(rule, &EmitAt { matched, context });
                if rule.to_gateway && !rule.refused {
                    written = written.into_iter().flat_map(loop_guard::guarded).collect();
                }
                for route in written {
                    let route = Route { name: name.clone(), ..route };
                    let body = Bytes::from(route.encode_to_vec());
                    entries.push(RouteEntry { order: *order, path: path.clone(), body });
                }
            }
        }
    }
    // Stable: equal ranks stay in the order of rules and matches.
    entries.sort_by_key(|entry| entry.order);
    entries
}

/// One match of one rule: one route, or one for each backend where a backend does what Envoy can do only
/// on a route.
fn routes(rule: &RuleIr, at: &EmitAt<'_>) -> Vec<Route> {
    let matched = Some(route_match(at.matched));
    if rule.refused {
        return vec![Route { r#match: matched, action: Some(answer(500)), ..Route::default() }];
    }
    if !fits_weighted_clusters(rule) {
        return split_routes(rule, at);
    }
    let action = action(&rule.backends, unroutable(at.matched));
    let mut route = Route { r#match: matched, action: Some(action), ..Route::default() };
    apply(&rule.features, &mut route, at);
    vec![route]
}

/// True if weighted clusters can do what a rule's backends do. Where the rule changes headers too they cannot: Envoy does
/// the route's changes after a cluster's, and a backend has the last word (`HTTPBackendRef.filters`).
fn fits_weighted_clusters(rule: &RuleIr) -> bool {
    let mut of_backends = rule.backends.iter().flat_map(|backend| &backend.features).peekable();
    if of_backends.peek().is_some() && rule.features.iter().any(FeatureIr::changes_headers) {
        return false;
    }
    let mut probe = ClusterWeight::default();
    of_backends.all(|feature| feature.on_backend(&mut probe))
}

fn apply(features: &[FeatureIr], route: &mut Route, at: &EmitAt<'_>) {
    for feature in features {
        feature.on_route(route, at);
    }
}

/// One route a backend. Envoy draws one random number a request, so the shares are cumulative: the first
/// route takes what is below its weight, the next what is below the sum of both, the last takes the rest.
fn split_routes(rule: &RuleIr, at: &EmitAt<'_>) -> Vec<Route> {
    let total: u64 = rule.backends.iter().map(|backend| u64::from(backend.weight)).sum();
    let mut below = 0;
    let mut routes = Vec::new();
    for (index, backend) in rule.backends.iter().enumerate() {
        below += u64::from(backend.weight);
        let mut matched = route_match(at.matched);
        if index + 1 < rule.backends.len() {
            let numerator = u32::try_from(below * 1_000_000 / total).unwrap_or(1_000_000);
            matched.runtime_fraction = Some(RuntimeFractionalPercent {
                default_value: Some(FractionalPercent {
                    numerator,
                    denominator: DenominatorType::Million.into(),
                }),
                ..Default::default()
            });
        }
        let action = to_one(backend, unroutable(at.matched));
        let mut route = Route { r#match: Some(matched), action: Some(action), ..Route::default() };
        apply(&rule.features, &mut route, at);
        apply(&backend.features, &mut route, at);
        routes.push(route);
    }
    routes
}

/// The status of requests whose backend is not valid. Envoy makes UNAVAILABLE of 503, and UNKNOWN of 500, where
/// they are gRPC.
fn unroutable(matched: &Match) -> u32 {
    if matched.rpc.is_some() { 503 } else { 500 }
}

/// Where requests go.
fn action(backends: &[BackendUse], unroutable: u32) -> Action {
    if let [only] = backends
        && only.features.is_empty()
    {
        return to_one(only, unroutable);
    }
    if backends.iter().all(|backend| backend.cluster.is_none()) {
        return answer(unroutable);
    }
    let clusters = backends
        .iter()
        .map(|backend| {
            let mut weight = ClusterWeight {
                name: backend.cluster.as_deref().unwrap_or(NOWHERE).to_owned(),
                weight: Some(UInt32Value { value: backend.weight }),
                ..Default::default()
            };
            for feature in &backend.features {
                feature.on_backend(&mut weight);
            }
            weight
        })
        .collect();
    let mut action = RouteAction {
        cluster_specifier: Some(ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters,
            ..Default::default()
        })),
        ..RouteAction::default()
    };
    // Without it Envoy answers 503.
    if unroutable == 500 && backends.iter().any(|backend| backend.cluster.is_none()) {
        action.cluster_not_found_response_code = ClusterNotFoundResponseCode::InternalServerError.into();
    }
    Action::Route(action)
}

/// All requests go to one backend; its features are left to the route.
fn to_one(backend: &BackendUse, unroutable: u32) -> Action {
    backend.cluster.as_ref().map_or_else(
        || answer(unroutable),
        |cluster| {
            Action::Route(RouteAction {
                cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.to_string())),
                ..RouteAction::default()
            })
        },
    )
}

/// Envoy answers itself.
pub(crate) fn answer(status: u32) -> Action {
    Action::DirectResponse(DirectResponseAction { status, ..DirectResponseAction::default() })
}

fn route_match(matched: &Match) -> RouteMatch {
    let path = matched.path.value.as_str();
    let path_specifier = match matched.path.kind.as_str() {
        "Exact" => PathSpecifier::Path(path.to_owned()),
        "RegularExpression" => PathSpecifier::SafeRegex(regex(path)),
        // A trailing slash of a prefix does not count.
        _ => match path.trim_end_matches('/') {
            "" => PathSpecifier::Prefix("/".to_owned()),
            prefix => PathSpecifier::PathSeparatedPrefix(prefix.to_owned()),
        },
    };
    let mut headers: Vec<HeaderMatcher> = Vec::new();
    if let Some(method) = &matched.method {
        headers.push(header(":method", exact(method)));
    }
    for (index, condition) in matched.headers.iter().enumerate() {
        // Of conditions on one header, the first counts.
        let before = &matched.headers[..index];
        if !before.iter().any(|other| other.name.eq_ignore_ascii_case(&condition.name)) {
            headers.push(header(&condition.name, string_matcher(condition)));
        }
    }
    let mut query_parameters: Vec<QueryParameterMatcher> = Vec::new();
    for (index, condition) in matched.query_params.iter().enumerate() {
        if !matched.query_params[..index].iter().any(|other| other.name == condition.name) {
            query_parameters.push(QueryParameterMatcher {
                name: condition.name.to_string(),
                query_parameter_match_specifier: Some(QueryParameterMatchSpecifier::StringMatch(
                    query::string_matcher(condition),
                )),
            });
        }
    }
    RouteMatch {
        path_specifier: Some(path_specifier),
        headers,
        query_parameters,
        grpc: matched.rpc.as_ref().map(|_| GrpcRouteMatchOptions::default()),
        ..RouteMatch::default()
    }
}

fn header(name: &str, matcher: StringMatcher) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(matcher)),
        ..HeaderMatcher::default()
    }
}

pub(crate) fn string_matcher(condition: &NameMatch) -> StringMatcher {
    match condition.kind.as_deref() {
        Some("RegularExpression") => StringMatcher {
            match_pattern: Some(MatchPattern::SafeRegex(regex(&condition.value))),
            ..StringMatcher::default()
        },
        _ => exact(&condition.value),
    }
}

fn exact(value: &str) -> StringMatcher {
    StringMatcher { match_pattern: Some(MatchPattern::Exact(value.to_owned())), ..StringMatcher::default() }
}

fn regex(regex: &str) -> RegexMatcher {
    RegexMatcher { regex: regex.to_owned(), ..RegexMatcher::default() }
}
