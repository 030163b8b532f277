//! CORS (GEP-1767).

use envoy_types::pb::envoy::config::route::v3::Route;
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::{Cors as CorsFilter, CorsPolicy as Policy};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_filter::ConfigType;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};
use envoy_types::pb::google::protobuf::BoolValue;
use envoy_types::util::pack_any;

use super::{At, EmitAt, Feature, Stage};
use crate::attach::RuleCx;

const NAME: &str = "envoy.filters.http.cors";

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
        let join = |list: &[proto::ArcStr]| list.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(",");
        Some(Policy {
            allow_origin_string_match,
            allow_methods: join(&cors.allow_methods),
            allow_headers: join(&cors.allow_headers),
            expose_headers: join(&cors.expose_headers),
            max_age: cors.max_age.map(|seconds| seconds.to_string()).unwrap_or_else(|| "5".to_owned()),
            allow_credentials: cors.allow_credentials.filter(|allow| *allow).map(|value| BoolValue { value }),
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

    fn on_route(policy: &Policy, route: &mut Route, _: &EmitAt<'_>) {
        route.typed_per_filter_config.insert(NAME.to_owned(), pack_any(policy.clone()));
    }
}

/// `*` matches any origin; a host `*.example.com` any host below it, over several labels; a port `*` any
/// port.
fn origin_matcher(origin: &str) -> Option<StringMatcher> {
    if origin == "*" {
        return Some(regex(".*".to_owned()));
    }
    let (scheme, rest) = origin.split_once("://")?;
    let good_scheme =
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !good_scheme || rest.is_empty() || rest.contains(['/', '?', '#', '@', ' ']) {
        return None;
    }
    if !rest.contains('*') {
        return Some(StringMatcher {
            match_pattern: Some(MatchPattern::Exact(origin.to_owned())),
            ..Default::default()
        });
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (rest, None),
    };
    let host = match host.strip_prefix('*') {
        Some("") => r"[^:/]+(:[0-9]+)?".to_owned(),
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
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) && !port.is_empty() => format!(":{port}"),
        Some(_) => return None,
    };
    Some(regex(format!("{}://{host}{port}", regex_syntax::escape(scheme))))
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
    fn origins() {
        assert_eq!(pattern("*").as_deref(), Some(".*"));
        assert_eq!(pattern("https://a.com:8443").as_deref(), Some("=https://a.com:8443"));
        assert_eq!(pattern("https://*.a.com").as_deref(), Some(r"https://[^:/]+\.a\.com"));
        assert_eq!(pattern("https://a.com:*").as_deref(), Some(r"https://a\.com(:[0-9]+)?"));
        assert_eq!(pattern("https://*").as_deref(), Some("https://[^:/]+(:[0-9]+)?"));
        for wrong in [
            "",
            "a.com",
            "https://",
            "https://a.com/",
            "https://a.*.com",
            "https://*a.com",
            "https://a.com:x*",
        ] {
            assert_eq!(pattern(wrong), None, "{wrong}");
        }
    }
}
