//! A GRPCRoute as an HTTPRoute: a gRPC request is an HTTP/2 request for `/SERVICE/METHOD`.

use proto::{ArcStr, literal};

use super::RuleCx;
use super::rule::check_regex;
use crate::model::{
    GrpcMatch, GrpcRoute, GrpcRule, HttpRoute, Match, MethodMatch, PathMatch, Rpc, Rule, Spec,
};

/// A segment of a path, where any will do.
const ANY: &str = "[^/]+";
/// Longest name of a service or method (`GRPCMethodMatch`).
const LONGEST: usize = 1024;

/// The route in the form that all kinds are served in. A rule without matches gets one for all gRPC requests,
/// and so does a route without rules.
pub(crate) fn as_http(route: GrpcRoute) -> HttpRoute {
    let rules =
        route.spec.rules.filter(|rules| !rules.is_empty()).unwrap_or_else(|| vec![GrpcRule::default()]);
    HttpRoute {
        metadata: route.metadata,
        spec: Spec {
            parent_refs: route.spec.parent_refs,
            hostnames: route.spec.hostnames,
            rules: Some(rules.into_iter().map(rule).collect()),
            use_default_gateways: route.spec.use_default_gateways,
        },
    }
}

fn rule(rule: GrpcRule) -> Rule {
    let mut matches: Vec<Match> = rule.matches.into_iter().map(matched).collect();
    if matches.is_empty() {
        matches.push(matched(GrpcMatch::default()));
    }
    Rule {
        name: rule.name,
        matches,
        filters: rule.filters,
        backend_refs: rule.backend_refs,
        session_persistence: rule.session_persistence,
        ..Rule::default()
    }
}

fn matched(matched: GrpcMatch) -> Match {
    let path = matched.method.as_ref().map(path).unwrap_or_default();
    let rpc = matched.method.map_or(Rpc::Any, Rpc::Method);
    Match { path, headers: matched.headers, rpc: Some(rpc), ..Match::default() }
}

fn path(method: &MethodMatch) -> PathMatch {
    let (service, name) = (written(&method.service), written(&method.method));
    let regex = method.kind.as_deref() == Some("RegularExpression");
    let (kind, value) = match (service, name) {
        (None, None) => return PathMatch::default(),
        (Some(service), Some(name)) if !regex => (literal!("Exact"), format!("/{service}/{name}")),
        (Some(service), None) if !regex => (literal!("PathPrefix"), format!("/{service}")),
        (service, name) => {
            // A bar in it must not split the whole.
            let part = |text: Option<&str>| text.map_or_else(|| ANY.to_owned(), |text| format!("(?:{text})"));
            (literal!("RegularExpression"), format!("/{}/{}", part(service), part(name)))
        }
    };
    PathMatch { kind, value: value.into() }
}

/// An empty name is as good as none.
fn written(name: &Option<ArcStr>) -> Option<&str> {
    name.as_deref().filter(|name| !name.is_empty())
}

/// Checks a match of service and method.
pub(crate) fn check(cx: &mut RuleCx<'_, '_>, field: &str, method: &MethodMatch) {
    let parts = [("service", written(&method.service)), ("method", written(&method.method))];
    if parts.iter().all(|(_, text)| text.is_none()) {
        cx.refuse(field, "has neither service nor method", "name one of them or remove it");
    }
    for (name, text) in parts {
        let Some(text) = text else { continue };
        let field = format!("{field}.{name}");
        match method.kind.as_deref().unwrap_or("Exact") {
            "Exact" if !is_name(text, name == "service") => {
                let problem = format!("{text:?} is no name of a gRPC {name}");
                cx.refuse(field, problem, "use letters, digits and '_', in a service also dots");
            }
            "RegularExpression" => check_regex(cx, field, text),
            _ => {}
        }
    }
    let kind = method.kind.as_deref().unwrap_or("Exact");
    if !["Exact", "RegularExpression"].contains(&kind) {
        let problem = format!("{kind:?} is no type of match");
        cx.refuse(format!("{field}.type"), problem, "use Exact or RegularExpression");
    }
}

/// Identifiers of protobuf; those of a service with dots between and, if wanted, one in front.
fn is_name(text: &str, dots: bool) -> bool {
    let identifier = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if text.len() > LONGEST {
        return false;
    }
    if !dots {
        return identifier(text);
    }
    text.strip_prefix('.').unwrap_or(text).split('.').all(identifier)
}

/// Precedence (`GRPCRouteRule.matches`), the lesser goes first: the longer service, then the longer method, then
/// more headers. Of either, one written out goes before a regular expression: their lengths say nothing of each
/// other. Always less than that of an HTTPRoute's match.
pub(crate) fn rank(rpc: &Rpc, headers: usize) -> u64 {
    let mut rank = 0;
    let (exact, service, method) = match rpc {
        Rpc::Any => (true, None, None),
        Rpc::Method(method) => (
            method.kind.as_deref() != Some("RegularExpression"),
            written(&method.service),
            written(&method.method),
        ),
    };
    for text in [service, method] {
        let class = if text.is_none() { 2 } else { u64::from(!exact) };
        rank = rank << 13 | class << 11 | few(text.map_or(0, str::len), 11);
    }
    rank << 5 | few(headers, 5)
}

/// The more, the less, in so many bits.
fn few(count: usize, bits: u32) -> u64 {
    let most = (1 << bits) - 1;
    most - u64::try_from(count).unwrap_or(most).min(most)
}

#[cfg(test)]
mod tests {
    use super::{is_name, matched, rank};
    use crate::attach::rule;
    use crate::model::{GrpcMatch, Match, MethodMatch, PathMatch, Rpc};

    fn method(kind: &str, service: &str, method: &str) -> MethodMatch {
        MethodMatch { kind: Some(kind.into()), service: Some(service.into()), method: Some(method.into()) }
    }

    #[test]
    fn matches_become_paths() {
        for (kind, service, name, wanted_kind, wanted) in [
            ("Exact", "a.B", "C", "Exact", "/a.B/C"),
            ("Exact", "a.B", "", "PathPrefix", "/a.B"),
            ("Exact", "", "C", "RegularExpression", "/[^/]+/(?:C)"),
            ("RegularExpression", "a|b", "C.*", "RegularExpression", "/(?:a|b)/(?:C.*)"),
            ("RegularExpression", "a.*", "", "RegularExpression", "/(?:a.*)/[^/]+"),
        ] {
            let path =
                matched(GrpcMatch { method: Some(method(kind, service, name)), ..Default::default() }).path;
            assert_eq!((path.kind.as_str(), path.value.as_str()), (wanted_kind, wanted));
        }
    }

    #[test]
    fn names_of_services_and_methods() {
        for good in ["a", "a.B", ".a.b_1", "_a"] {
            assert!(is_name(good, true), "{good}");
        }
        for bad in ["", ".", "a..b", "1a", "a/b", "a.", "a-b", "..a"] {
            assert!(!is_name(bad, true), "{bad}");
        }
        assert!(is_name("Get_1", false) && !is_name("a.B", false));
    }

    #[test]
    fn precedence_is_service_then_method_then_headers() {
        let of = |kind: &str, service: &str, name: &str| Rpc::Method(method(kind, service, name));
        let (exact, regex) = ("Exact", "RegularExpression");
        let ordered = [
            rank(&of(exact, "a.Service", "M"), 0),
            rank(&of(exact, "a.S", "Method"), 0),
            rank(&of(exact, "a.S", "M"), 1),
            rank(&of(exact, "a.S", "M"), 0),
            rank(&of(exact, "a.S", ""), 3),
            rank(&of(regex, "a\\.Service.*", "M"), 0),
            rank(&of(regex, "a.*", "M.*"), 0),
            rank(&of(regex, "a.*", ""), 0),
            rank(&of(exact, "", "M"), 0),
            rank(&of(regex, "", "M.*"), 0),
            rank(&Rpc::Any, 16),
            rank(&Rpc::Any, 0),
            rule::rank(&exact_path(&"/x".repeat(512))),
        ];
        assert!(ordered.is_sorted_by(|one, next| one < next), "{ordered:x?}");
    }

    fn exact_path(path: &str) -> Match {
        let path = PathMatch { kind: "Exact".into(), value: path.into() };
        Match { path, method: Some("GET".into()), ..Match::default() }
    }
}
