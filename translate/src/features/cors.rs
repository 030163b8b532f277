//! CORS (GEP-1767).
//!
//! A browser asks with a preflight whether it may send a request: with method OPTIONS, the request's own method and
//! the names of its headers in headers of the preflight (Fetch standard, "CORS-preflight fetch"). It must find the
//! rule that the request itself would find, so a rule with CORS is matched by such preflights as well.

use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::{Cors as CorsFilter, CorsPolicy as Policy};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::BoolValue;
use envoy_types::util::pack_any;

use super::{At, EmitAt, Feature, Stage, headers, is_token};
use crate::ir::Scheme;
use crate::model::{Cors, Match, NameMatch};
use crate::resolve::RuleCx;

const NAME: &str = "envoy.filters.http.cors";
const REQUEST_HEADERS: &str = "access-control-request-headers";
const REQUEST_METHOD: &str = "access-control-request-method";
/// Headers that a preflight does not announce: browsers set them, or send them without asking.
const UNANNOUNCED: [&str; 9] = [
    "accept",
    "accept-language",
    "content-language",
    "content-type",
    "cookie",
    "host",
    "origin",
    "referer",
    "user-agent",
];

pub(crate) struct CorsPolicy;

impl Feature for CorsPolicy {
    type Ir = Policy;

    fn resolve(cx: &mut RuleCx<'_, '_>, at: &At<'_>) -> Option<Policy> {
        let (field, cors) = at.all("CORS", "cors", |filter| filter.cors.as_ref()).next()?;
        let mut allow_origin_string_match = Vec::new();
        for (index, origin) in cors.allow_origins.iter().enumerate() {
            match origin_matcher(origin) {
                Some(matcher) => allow_origin_string_match.push(matcher),
                None => cx.refuse(
                    format!("{field}.allowOrigins[{index}]"),
                    format!("{origin:?} is not an origin"),
                    "write * or scheme://host[:port], the host if wanted with *. in front",
                ),
            }
        }
        check_lists(cx, &field, cors);
        let join = |list: &[proto::ArcStr]| list.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(",");
        let credentials = cors.allow_credentials == Some(true);
        // Beside credentials `*` would be the name of a header, and stands for none (`exposeHeaders`).
        let mut exposed = cors.expose_headers.clone();
        exposed.retain(|name| !credentials || name != "*");
        Some(Policy {
            allow_origin_string_match,
            allow_methods: join(&cors.allow_methods),
            allow_headers: join(&cors.allow_headers),
            expose_headers: join(&exposed),
            max_age: cors.max_age.map(|seconds| seconds.to_string()).unwrap_or_else(|| "5".to_owned()),
            allow_credentials: credentials.then_some(BoolValue { value: true }),
            // A preflight must never reach the backend.
            forward_not_matching_preflights: Some(BoolValue { value: false }),
            ..Default::default()
        })
    }

    fn http_filter() -> Option<(Stage, HttpFilter)> {
        let config = pack_any(CorsFilter {});
        let filter = HttpFilter {
            name: NAME.to_owned(),
            config_type: Some(ConfigType::TypedConfig(config)),
            ..Default::default()
        };
        Some((Stage::Cors, filter))
    }

    fn also_matched(policy: &Policy, matched: &Match) -> Vec<Match> {
        let finds_it_anyway =
            matched.headers.is_empty() && matched.method.as_deref().is_none_or(|method| method == "OPTIONS");
        if finds_it_anyway && !echoes_headers(policy) {
            return Vec::new();
        }
        let preflight = preflight(matched);
        let mut preflights = Vec::new();
        if echoes_headers(policy) && !names_headers(&preflight) {
            let mut with_headers = preflight.clone();
            with_headers.headers.push(matching(REQUEST_HEADERS, ".+"));
            preflights.push(with_headers);
        }
        if !finds_it_anyway {
            preflights.push(preflight);
        }
        preflights
    }

    fn on_route(policy: &Policy, route: &mut Route, at: &EmitAt<'_>) {
        let mut policy = policy.clone();
        if echoes_headers(&policy) && !names_headers(at.matched) {
            // Envoy would answer with a header without value (`allowHeaders`: "must omit").
            policy.allow_headers.clear();
        }
        route.typed_per_filter_config.insert(NAME.to_owned(), pack_any(policy));
        // The answer has the request's own origin, or none: caches must not take one for the other.
        route.response_headers_to_add.push(headers::option(
            "vary",
            "Origin",
            HeaderAppendAction::AppendIfExistsOrAdd,
        ));
    }
}

/// True if Envoy answers with the headers that the preflight names: `*` beside credentials.
fn echoes_headers(policy: &Policy) -> bool {
    policy.allow_headers == "*" && policy.allow_credentials.is_some()
}

/// True if only preflights match that name headers.
fn names_headers(matched: &Match) -> bool {
    matched.headers.iter().any(|condition| condition.name == REQUEST_HEADERS)
}

/// The preflights of the requests that match.
fn preflight(matched: &Match) -> Match {
    let method = matched.method.as_ref().filter(|method| *method != "OPTIONS");
    let method =
        method.map_or_else(|| matching(REQUEST_METHOD, ".+"), |method| exactly(REQUEST_METHOD, method));
    let mut headers = vec![matching("origin", ".+"), method];
    let announced = |name: &str| !UNANNOUNCED.iter().any(|other| other.eq_ignore_ascii_case(name));
    let named: Vec<&NameMatch> = matched.headers.iter().filter(|one| announced(&one.name)).collect();
    if !named.is_empty() {
        headers.push(matching(REQUEST_HEADERS, &all_of(&named)));
    }
    Match { method: Some("OPTIONS".into()), headers, ..matched.clone() }
}

/// A list of names that has all of these. Browsers sort the names, in lower case.
fn all_of(conditions: &[&NameMatch]) -> String {
    let mut names: Vec<String> = conditions.iter().map(|one| one.name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    names.dedup();
    let names: Vec<String> = names.iter().map(|name| regex_syntax::escape(name)).collect();
    format!("(.*,)?[ \\t]*{}[ \\t]*(,.*)?", names.join("[ \\t]*,(.*,)?[ \\t]*"))
}

fn matching(name: &'static str, expression: &str) -> NameMatch {
    NameMatch { kind: Some("RegularExpression".into()), name: name.into(), value: expression.into() }
}

fn exactly(name: &'static str, value: &str) -> NameMatch {
    NameMatch { kind: None, name: name.into(), value: value.into() }
}

/// The API server lets header names and methods be anything; they stand in headers of the answer.
fn check_lists(cx: &mut RuleCx<'_, '_>, field: &str, cors: &Cors) {
    let lists = [
        ("allowMethods", &cors.allow_methods),
        ("allowHeaders", &cors.allow_headers),
        ("exposeHeaders", &cors.expose_headers),
    ];
    for (name, list) in lists {
        for (index, item) in list.iter().enumerate().filter(|(_, item)| !is_token(item)) {
            let problem = format!("{item:?} is not a name of a header or method");
            cx.refuse(format!("{field}.{name}[{index}]"), problem, "use letters, digits and '-', or * alone");
        }
    }
}

/// `*` matches any origin; a host `*` any host, and `*.example.com` any below it, over several labels; a port `*` any
/// port. Without a port it is that of the scheme (`allowOrigins`).
fn origin_matcher(origin: &str) -> Option<StringMatcher> {
    if origin == "*" {
        return Some(regex(".*".to_owned()));
    }
    let (scheme, rest) = origin.split_once("://")?;
    let good_scheme =
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !good_scheme
        || rest.is_empty()
        || rest.contains(|c: char| "/?#@".contains(c) || c.is_whitespace() || c.is_control())
    {
        return None;
    }
    let (host, port) = match rest.rsplit_once(':') {
        // Browsers leave out the port that a scheme has anyway (`allowOrigins`).
        Some((host, port)) if is_default_port(scheme, port) => (host, None),
        Some((host, port)) if !host.ends_with(':') && !port.contains(']') => (host, Some(port)),
        _ => (rest, None),
    };
    if port.is_some_and(|port| port != "*" && port.parse::<u16>().is_err()) {
        return None;
    }
    if !rest.contains('*') {
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        let origin = format!("{scheme}://{host}{port}").to_ascii_lowercase();
        return Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(origin)),
            ..Default::default()
        });
    }
    let host = match host.strip_prefix('*') {
        Some("") => r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/]+)".to_owned(),
        Some(suffix) if suffix.starts_with('.') && !suffix.contains('*') => {
            format!("[^:/]+{}", regex_syntax::escape(suffix))
        }
        Some(_) => return None,
        None if host.contains('*') => return None,
        None => regex_syntax::escape(host),
    };
    let port = match port {
        None => String::new(),
        Some("*") => "(:[0-9]+)?".to_owned(),
        Some(port) => format!(":{port}"),
    };
    Some(regex(format!("{}://{host}{port}", regex_syntax::escape(scheme))))
}

fn is_default_port(scheme: &str, port: &str) -> bool {
    Scheme::of_uri(&scheme.to_ascii_lowercase())
        .is_some_and(|scheme| port.parse() == Ok(scheme.default_port()))
}

fn regex(regex: String) -> StringMatcher {
    StringMatcher {
        match_pattern: Some(MatchPattern::SafeRegex(RegexMatcher { regex, ..Default::default() })),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{MatchPattern, origin_matcher};

    fn pattern(origin: &str) -> Option<String> {
        Some(match origin_matcher(origin)?.match_pattern? {
            MatchPattern::Exact(exact) => format!("={exact}"),
            MatchPattern::SafeRegex(regex) => regex.regex,
            _ => unreachable!("only exact and regex are made"),
        })
    }

    #[test]
    fn a_wildcard_is_any_host_at_the_port_of_the_origin() {
        for (origin, others) in [
            ("https://*", ["https://a.com:8443", "http://a.com", "https://", "https://a.com/"]),
            (
                "https://*:8443",
                ["https://a.com", "https://a.com:443", "https://a.com:84430", "https://:8443"],
            ),
        ] {
            let expression = pattern(origin).expect("it is an origin");
            let expression = regex::Regex::new(&format!("^(?:{expression})$")).expect("it is an expression");
            let port = origin.strip_prefix("https://*").unwrap_or_default();
            for host in ["a", "a.example.com", "192.0.2.1", "[2001:db8::1]"] {
                assert!(expression.is_match(&format!("https://{host}{port}")), "{origin} {host}");
            }
            for other in others {
                assert!(!expression.is_match(other), "{origin} {other}");
            }
        }
    }

    #[test]
    fn origins() {
        assert_eq!(pattern("*").as_deref(), Some(".*"));
        assert_eq!(pattern("https://a.com:8443").as_deref(), Some("=https://a.com:8443"));
        assert_eq!(pattern("https://*.a.com").as_deref(), Some(r"https://[^:/]+\.a\.com"));
        assert_eq!(pattern("https://a.com:*").as_deref(), Some(r"https://a\.com(:[0-9]+)?"));
        assert_eq!(pattern("https://a.com:443").as_deref(), Some("=https://a.com"));
        assert_eq!(pattern("http://a.com:80").as_deref(), Some("=http://a.com"));
        assert_eq!(pattern("http://a.com:443").as_deref(), Some("=http://a.com:443"));
        assert_eq!(pattern("https://*.a.com:443").as_deref(), Some(r"https://[^:/]+\.a\.com"));
        assert_eq!(pattern("HTTPS://A.com").as_deref(), Some("=https://a.com"));
        assert_eq!(pattern("https://[::1]").as_deref(), Some("=https://[::1]"));
        assert_eq!(pattern("https://[::1]:443").as_deref(), Some("=https://[::1]"));
        assert_eq!(pattern("https://[::1]:8443").as_deref(), Some("=https://[::1]:8443"));
        assert_eq!(pattern("HTTPS://a.com:443").as_deref(), Some("=https://a.com"));
        for wrong in [
            "",
            "a.com",
            "https://",
            "https://a.com/",
            "https://a.*.com",
            "https://*a.com",
            "https://a.com:x*",
            "https://a.com:",
            "https://a.com:x",
            "https://*.a.com:99999",
        ] {
            assert_eq!(pattern(wrong), None, "{wrong}");
        }
    }
}
