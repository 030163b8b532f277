//! One rule of a route: matches checked, filters and backends resolved.

use proto::ArcStr;

use super::{RuleCx, grpc, path};
use crate::features::{self, At, FeatureIr};
use crate::model::{BackendRef, Match, NameMatch, PathMatch, Rpc, Rule};

/// Largest weight of a backend (`BackendRef.weight`).
const HEAVIEST: u32 = 1_000_000;

/// A rule, ready to be written.
#[derive(Clone, Debug)]
pub(crate) struct RuleIr {
    pub(crate) name: ArcStr,
    /// Valid matches with their precedence.
    pub(crate) matches: Vec<(u64, Match)>,
    pub(crate) features: Vec<FeatureIr>,
    pub(crate) backends: Vec<BackendUse>,
    /// Something in it cannot be done: it answers 500 rather than do the rest.
    pub(crate) refused: bool,
    /// It leads to a Gateway, perhaps its own: requests may come back to it.
    pub(crate) to_gateway: bool,
}

/// One backend of a rule, with a weight above zero.
#[derive(Clone, Debug)]
pub(crate) struct BackendUse {
    pub(crate) weight: u32,
    /// None: its share of the requests fails.
    pub(crate) cluster: Option<ArcStr>,
    pub(crate) features: Vec<FeatureIr>,
}

/// Resolves a rule.
pub(crate) fn resolve(index: usize, rule: &Rule, cx: &mut RuleCx<'_, '_>) -> RuleIr {
    let field = format!("spec.rules[{index}]");
    let mut matches = Vec::new();
    if rule.matches.is_empty() {
        let all = Match::default();
        matches.push((rank(&all), all));
    }
    for (number, matched) in rule.matches.iter().enumerate() {
        let refusals = cx.refusals();
        check_match(cx, &format!("{field}.matches[{number}]"), matched);
        // A match that cannot be expressed matches nothing; the rule's others still do.
        if cx.refusals() == refusals {
            matches.push((rank(matched), in_normal_form(matched)));
        }
    }
    let refusals = cx.refusals();
    let at = At { field: field.clone(), filters: &rule.filters, rule, backend: false };
    features::check_filters(cx, &at);
    let rule_features = features::resolve(cx, &at);
    let backends = backends(&field, rule, cx);
    RuleIr {
        name: rule.name.clone().unwrap_or_else(|| ArcStr::from(index.to_string())),
        matches,
        features: rule_features,
        backends,
        refused: cx.refusals() > refusals,
        to_gateway: !std::mem::take(&mut cx.gateways).is_empty(),
    }
}

fn backends(field: &str, rule: &Rule, cx: &mut RuleCx<'_, '_>) -> Vec<BackendUse> {
    let mut backends = Vec::new();
    for (number, backend) in rule.backend_refs.iter().enumerate() {
        let field = format!("{field}.backendRefs[{number}]");
        let cluster = cx.cluster_of(&backend.reference(), &field);
        let at = At { field, filters: &backend.filters, rule, backend: true };
        features::check_filters(cx, &at);
        let features = features::resolve(cx, &at);
        let weight = weight(cx, backend, &at.field);
        if weight > 0 {
            backends.push(BackendUse { weight, cluster, features });
        }
    }
    backends
}

/// The share of a backend. Envoy adds those of a rule up in 32 bits.
pub(crate) fn weight(cx: &mut RuleCx<'_, '_>, backend: &BackendRef, field: &str) -> u32 {
    let weight = backend.weight.unwrap_or(1);
    if weight > HEAVIEST {
        let problem = format!("is more than {HEAVIEST}");
        cx.refuse(format!("{field}.weight"), problem, "make the weights of the rule smaller");
    }
    weight.min(HEAVIEST)
}

/// Precedence; a GRPCRoute's matches go before those of HTTPRoutes with the same hostname, which would hide
/// them: they take no other requests from these than gRPC.
pub(crate) fn rank(matched: &Match) -> u64 {
    match &matched.rpc {
        Some(rpc) => grpc::rank(rpc, matched.headers.len()),
        None => http_rank(matched),
    }
}

/// `HTTPRouteRule.matches`, the lesser goes first: exact paths, then regular expressions, then
/// prefixes; of each the longer first; with a method first; more headers first; more query parameters first.
fn http_rank(matched: &Match) -> u64 {
    let few = |list: &[NameMatch]| u64::from(u8::MAX - u8::try_from(list.len()).unwrap_or(u8::MAX));
    let path = matched.path.value.as_str();
    let kind = match matched.path.kind.as_str() {
        "Exact" => 0,
        "RegularExpression" => 1,
        _ => 2,
    };
    let short = u64::from(u16::MAX - u16::try_from(path.len()).unwrap_or(u16::MAX));
    let without_method = u64::from(matched.method.is_none());
    kind << 33 | short << 17 | without_method << 16 | few(&matched.headers) << 8 | few(&matched.query_params)
}

fn check_match(cx: &mut RuleCx<'_, '_>, field: &str, matched: &Match) {
    match &matched.rpc {
        None => check_path(cx, format!("{field}.path"), &matched.path),
        Some(Rpc::Any) => {}
        Some(Rpc::Method(method)) => grpc::check(cx, &format!("{field}.method"), method),
    }
    for (list, name) in [(&matched.headers, "headers"), (&matched.query_params, "queryParams")] {
        for (number, condition) in list.iter().enumerate() {
            check_condition(cx, &format!("{field}.{name}[{number}]"), condition);
        }
    }
    if let Some(method) = &matched.method
        && !METHODS.contains(&method.as_str())
    {
        cx.refuse(
            format!("{field}.method"),
            format!("{method:?} is no method"),
            "use one of HTTP's, in capitals",
        );
    }
}

fn check_path(cx: &mut RuleCx<'_, '_>, path_field: String, path: &PathMatch) {
    match path.kind.as_str() {
        "Exact" | "PathPrefix" => {
            let bad = ["//", "/./", "/../", "%2f", "%2F", "#", "?"];
            let bad = bad.iter().find(|part| path.value.contains(**part));
            let bad = bad.or_else(|| ["/.", "/.."].iter().find(|end| path.value.ends_with(**end)));
            if !path.value.starts_with('/') || path.value.len() > 1024 {
                let problem = format!("{:?} does not begin with / or is longer than 1024 bytes", path.value);
                cx.refuse(format!("{path_field}.value"), problem, "write an absolute path");
            } else if let Some(bad) = bad {
                let problem = format!("{:?} contains {bad:?}", path.value);
                cx.refuse(format!("{path_field}.value"), problem, "write the path in its normal form");
            } else if !path::is_valid(&path.value) {
                let problem = format!("{:?} has characters that no path has as they are", path.value);
                cx.refuse(
                    format!("{path_field}.value"),
                    problem,
                    "write them as % and two hexadecimal digits",
                );
            }
        }
        "RegularExpression" => check_regex(cx, format!("{path_field}.value"), &path.value),
        other => {
            let problem = format!("{other:?} is no type of path match");
            cx.refuse(format!("{path_field}.type"), problem, "use Exact, PathPrefix or RegularExpression");
        }
    }
}

/// The match for requests as they are matched: in their normal form.
fn in_normal_form(matched: &Match) -> Match {
    let mut matched = matched.clone();
    if matched.path.kind != "RegularExpression" {
        matched.path.value = path::in_normal_form(&matched.path.value).into();
    }
    matched
}

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

fn check_condition(cx: &mut RuleCx<'_, '_>, field: &str, condition: &NameMatch) {
    if !features::is_token(&condition.name) {
        let problem = format!("{:?} is not a name of a header or query parameter", condition.name);
        cx.refuse(format!("{field}.name"), problem, "use letters, digits and '-'");
    }
    match condition.kind.as_deref().unwrap_or("Exact") {
        "Exact" => {}
        "RegularExpression" => check_regex(cx, format!("{field}.value"), &condition.value),
        other => {
            cx.refuse(
                format!("{field}.type"),
                format!("{other:?} is no type of match"),
                "use Exact or RegularExpression",
            );
        }
    }
}

/// Envoy's RE2 and this parser agree on what a regular expression is, but for rarities that Envoy then
/// refuses itself.
pub(crate) fn check_regex(cx: &mut RuleCx<'_, '_>, field: String, regex: &str) {
    if regex.is_empty() {
        return cx.refuse(field, "is empty, which matches no request", "write an expression, such as .*");
    }
    if let Err(error) = regex_syntax::parse(regex) {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let problem = format!("{regex:?} is not a regular expression: {reason}");
        cx.refuse(field, problem, "write it in RE2 syntax");
    }
}
