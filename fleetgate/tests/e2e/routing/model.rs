//! How the Gateway API says that a request is routed, in plain code without tables or trees.
//!
//! Where the API leaves it open, the product's choice: regular expressions stand between exact paths and
//! prefixes, the longer first; of a header given several times any value will do, of a query
//! parameter given several times the first counts; paths are compared in the normal form of RFC 3986
//! without dot segments and escaped unreserved characters, all else as sent.

use std::cmp::Reverse;

use super::config::{BACKENDS, Condition, Config, HttpRoute, Listener, Match, PathMatch, Rule, Value};
use super::requests::Request;

/// What a request should be answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// A redirect of this rule.
    Redirect(String),
    /// The answer of one of these backends, by this rule.
    Backend(String, Vec<&'static str>),
    /// 404
    Nothing,
    /// 400: no request that has a meaning.
    Refused,
}

/// The lesser goes first.
type Rank<'a> = (
    // Characters of an exact hostname, then of any, as written; none for a route without hostnames.
    Reverse<(usize, usize)>,
    // Exact, regular expression, prefix; of the latter two the longer.
    (u8, Reverse<usize>),
    // With a method.
    Reverse<bool>,
    // Headers, then query parameters.
    Reverse<(usize, usize)>,
    // Age, then name, then place.
    (&'a str, String, usize),
);

/// Routes one request.
pub(super) fn answer(config: &Config, request: &Request) -> Expected {
    if request.target.contains('#') {
        return Expected::Refused;
    }
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let path = normal(path);
    let host = without_port(&request.host).to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host).to_owned();
    let Some(listener) = listener(config, request.port, &host) else { return Expected::Nothing };
    let mut best: Option<(Rank<'_>, &Rule)> = None;
    for route in config.routes.iter().filter(|route| attaches(route, listener)) {
        let Some(specificity) = specificity(route, &host) else { continue };
        for (place, rule) in route.rules.iter().enumerate() {
            let all = [Match::default()];
            let matches: &[Match] = if rule.matches.is_empty() { &all } else { &rule.matches };
            for matched in matches.iter().filter(|matched| matches_request(matched, request, &path, query)) {
                let name = format!("{}/{}", route.namespace, route.name);
                let rank = (
                    Reverse(specificity),
                    path_rank(matched.path.as_ref()),
                    Reverse(matched.method.is_some()),
                    Reverse((matched.headers.len(), matched.query_params.len())),
                    (route.created.as_str(), name, place),
                );
                if best.as_ref().is_none_or(|(other, _)| rank < *other) {
                    best = Some((rank, rule));
                }
            }
        }
    }
    best.map_or(Expected::Nothing, |(_, rule)| of_rule(rule))
}

fn of_rule(rule: &Rule) -> Expected {
    match rule.weights {
        None => Expected::Redirect(rule.id.clone()),
        Some(weights) => {
            let chosen = BACKENDS.iter().zip(weights).filter(|(_, weight)| *weight > 0);
            Expected::Backend(rule.id.clone(), chosen.map(|(name, _)| *name).collect())
        }
    }
}

/// A host without `:` and what follows; the colons of an IPv6 literal are in brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// A wildcard stands for one label or more.
fn hostname_matches(hostname: &str, host: &str) -> bool {
    hostname
        .strip_prefix('*')
        .map_or(hostname == host, |suffix| host.strip_suffix(suffix).is_some_and(|labels| !labels.is_empty()))
}

/// Characters of a non-wildcard hostname, then characters of a hostname.
fn weight(hostname: &str) -> (usize, usize) {
    let exact = if hostname.starts_with('*') { 0 } else { hostname.len() };
    (exact, hostname.len())
}

/// A host belongs to the port's listener of the most specific hostname, and to no other.
fn listener<'a>(config: &'a Config, port: usize, host: &str) -> Option<&'a Listener> {
    config
        .listeners
        .iter()
        .filter(|listener| listener.port == port)
        .filter(|listener| listener.hostname.as_ref().is_none_or(|name| hostname_matches(name, host)))
        .max_by_key(|listener| listener.hostname.as_deref().map_or((0, 0), weight))
}

fn attaches(route: &HttpRoute, listener: &Listener) -> bool {
    route.sections.is_empty() || route.sections.contains(&listener.name)
}

/// Weight of the most specific of a route's hostnames that match; none if none does.
fn specificity(route: &HttpRoute, host: &str) -> Option<(usize, usize)> {
    if route.hostnames.is_empty() {
        return Some((0, 0));
    }
    route.hostnames.iter().filter(|name| hostname_matches(name, host)).map(|name| weight(name)).max()
}

fn path_rank(path: Option<&PathMatch>) -> (u8, Reverse<usize>) {
    match path {
        Some(PathMatch::Exact(_)) => (0, Reverse(0)),
        Some(PathMatch::Regex(pattern)) => (1, Reverse(pattern.text().len())),
        Some(PathMatch::Prefix(prefix)) => (2, Reverse(prefix.len())),
        None => (2, Reverse(1)),
    }
}

fn matches_request(matched: &Match, request: &Request, path: &str, query: &str) -> bool {
    matched.path.as_ref().is_none_or(|wanted| path_matches(wanted, path))
        && matched.method.is_none_or(|method| method == request.method)
        && matched.headers.iter().all(|condition| {
            let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case(&condition.name);
            request.headers.iter().filter(named).any(|(_, value)| holds(condition, value))
        })
        && matched.query_params.iter().all(|condition| {
            let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            let value = pairs.into_iter().find(|(name, _)| *name == condition.name);
            value.is_some_and(|(_, value)| holds(condition, value))
        })
}

fn path_matches(wanted: &PathMatch, path: &str) -> bool {
    match wanted {
        PathMatch::Exact(exact) => exact == path,
        PathMatch::Regex(pattern) => pattern.matches(path),
        // Segment by segment; a slash at the end of the prefix does not count.
        PathMatch::Prefix(prefix) => path
            .strip_prefix(prefix.strip_suffix('/').unwrap_or(prefix))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

fn holds(condition: &Condition, value: &str) -> bool {
    match &condition.value {
        Value::Exact(exact) => exact == value,
        Value::Regex(pattern) => pattern.matches(value),
    }
}

/// RFC 3986, 6.2.2.2 and 6.2.2.3.
fn normal(path: &str) -> String {
    let path = without_needless_escapes(path);
    let mut segments: Vec<&str> = Vec::new();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        match *part {
            "." if last => segments.push(""),
            "." => {}
            ".." => {
                segments.pop();
                if last {
                    segments.push("");
                }
            }
            part => segments.push(part),
        }
    }
    format!("/{}", segments.join("/"))
}

fn without_needless_escapes(path: &str) -> String {
    let mut parts = path.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).map(char::from);
        match code {
            Some(c) if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~') => {
                text.push(c);
                text += &part[2..];
            }
            _ => {
                text.push('%');
                text += part;
            }
        }
    }
    text
}

#[test]
fn paths_have_a_normal_form() {
    for (path, expected) in [
        ("/", "/"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/../b", "/b"),
        ("/a/..", "/"),
        ("/a/.", "/a/"),
        ("/a//b/", "/a//b/"),
        ("/a//../b", "/a/b"),
        ("/%61%2F%2e%2E/b", "/a%2F../b"),
        ("/x/%2e%2E/b%", "/b%"),
    ] {
        assert_eq!(normal(path), expected, "{path}");
    }
}

#[test]
fn hosts_lose_their_port() {
    for (host, expected) in
        [("a:80", "a"), ("a:", "a"), ("a", "a"), ("[::1]", "[::1]"), ("[::1]:80", "[::1]"), (":80", "")]
    {
        assert_eq!(without_port(host), expected);
    }
}

#[test]
fn a_wildcard_is_one_label_or_more() {
    for (hostname, host, expected) in [
        ("*.a.b", "x.a.b", true),
        ("*.a.b", "y.x.a.b", true),
        ("*.a.b", "a.b", false),
        ("*.a.b", "xa.b", false),
        ("a.b", "a.b", true),
        ("a.b", "x.a.b", false),
    ] {
        assert_eq!(hostname_matches(hostname, host), expected, "{hostname} {host}");
    }
}
