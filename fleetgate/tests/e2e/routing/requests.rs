//! Random requests, most of them made to hit something or to miss it narrowly.

use super::config::{Condition, Config, HttpRoute, Listener, Match, PORTS, PathMatch, Value};
use super::generate::{HEADERS, METHODS, QUERY_PARAMS, SEGMENTS, VALUES};
use super::random::Random;

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Index of the port that it goes to.
    pub(super) port: usize,
    /// Over HTTP/2 rather than HTTP/1.1.
    pub(super) http2: bool,
    pub(super) method: &'static str,
    /// The Host header or `:authority`.
    pub(super) host: String,
    /// Path and query.
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
}

/// A segment of 8,000 characters.
fn long() -> String {
    "0123456789abcdef".repeat(500)
}

/// A request to one of the ports in use.
pub(super) fn request(random: &mut Random, config: &Config) -> Request {
    let listener = random.of(&config.listeners);
    let aimed = (!config.routes.is_empty() && random.percent(90)).then(|| random.of(&config.routes));
    let empty = Match::default();
    let matched = aimed.map_or(&empty, |route| {
        let rule = random.of(&route.rules);
        if rule.matches.is_empty() { &empty } else { random.of(&rule.matches) }
    });
    let mut target = path(random, matched);
    let query = query(random, matched);
    if !query.is_empty() || random.percent(3) {
        target = format!("{target}?{query}");
    }
    if random.percent(1) {
        target.push_str("#f");
    }
    let method = matched.method.filter(|_| random.percent(85));
    let host = host(random, listener, aimed);
    // What the client's library cannot put into a URI goes over HTTP/1.1.
    let http2 = random.percent(20)
        && !target.contains('#')
        && hyper::Uri::try_from(format!("http://{host}{target}"))
            .is_ok_and(|uri| uri.authority().is_some_and(|authority| authority.as_str() == host));
    Request {
        port: listener.port.min(PORTS - 1),
        http2,
        method: method.unwrap_or_else(|| if random.percent(70) { "GET" } else { *random.of(&METHODS) }),
        host,
        target,
        headers: headers(random, matched),
    }
}

fn host(random: &mut Random, listener: &Listener, aimed: Option<&HttpRoute>) -> String {
    let own = listener.hostname.clone().unwrap_or_else(|| "*".to_owned());
    let route = aimed.filter(|route| !route.hostnames.is_empty()).map(|route| random.of(&route.hostnames));
    let hostname = match route {
        Some(hostname) if random.percent(85) => hostname.clone(),
        _ => own,
    };
    let mut host = match hostname.strip_prefix('*') {
        None => hostname.clone(),
        Some("") => format!("{}.example.com", random.of(&["a", "unknown", "h1", "one"])),
        Some(suffix) => {
            let label = *random.of(&["a", "www", "x.y", "deep.er.still", "h3"]);
            if random.percent(90) { format!("{label}{suffix}") } else { suffix[1..].to_owned() }
        }
    };
    if random.percent(15) {
        host = odd_host(random, &host);
    }
    host
}

fn odd_host(random: &mut Random, host: &str) -> String {
    match random.below(12) {
        0 => host.to_ascii_uppercase(),
        1 => format!("{host}:80"),
        2 => format!("{host}:99999"),
        3 => format!("{host}:x"),
        4 => format!("{host}:"),
        5 => format!("{host}."),
        6 => format!("sub.{host}"),
        7 => host.split_once('.').map_or(host, |(_, rest)| rest).to_owned(),
        8 => format!(".{host}"),
        9 => (*random.of(&[".", ":80", "unknown.invalid", "localhost", "127.0.0.1"])).to_owned(),
        10 => (*random.of(&["[::1]", "[::1]:8080", "[2001:db8::a]:80", "[::ffff:1.2.3.4]"])).to_owned(),
        _ => format!("{}x", host.to_ascii_uppercase()),
    }
}

fn path(random: &mut Random, matched: &Match) -> String {
    let path = match &matched.path {
        Some(PathMatch::Exact(path)) => path.clone(),
        Some(PathMatch::Prefix(path)) if random.percent(50) => path.clone(),
        Some(PathMatch::Prefix(path)) => {
            format!("{}/{}", path.strip_suffix('/').unwrap_or(path), random.of(&SEGMENTS))
        }
        Some(PathMatch::Regex(pattern)) => pattern.sample(random),
        None => format!("/{}", random.of(&SEGMENTS)),
    };
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    if random.percent(30) { odd_path(random, &path) } else { path }
}

fn odd_path(random: &mut Random, path: &str) -> String {
    let segment = *random.of(&SEGMENTS);
    match random.below(18) {
        0 => format!("{path}/"),
        1 => path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path).to_owned(),
        2 => format!("{path}x"),
        3 => format!("{path}/{segment}"),
        4 => format!("/{path}"),
        5 => path.replacen('/', "//", 2),
        6 => format!("{path}//"),
        7 => format!("/{}", path[1..].replacen('/', "%2F", 1)),
        8 => format!("{path}%2F{segment}"),
        9 => format!("{path};p=1"),
        10 => format!("{path}/{}", long()),
        11 => format!("/{}{path}", long()),
        12 => with_one_character_changed(random, path),
        13 => format!("/./{segment}/..{path}"),
        14 => format!("{path}/../{segment}"),
        15 => path.to_ascii_uppercase(),
        16 => path.replacen('a', "%61", 1),
        _ => "/".to_owned(),
    }
}

fn with_one_character_changed(random: &mut Random, path: &str) -> String {
    let mut bytes = path.as_bytes().to_vec();
    let letters: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_lowercase()).collect();
    if !letters.is_empty() {
        let at = *random.of(&letters);
        bytes[at] = if bytes[at] == b'z' { b'y' } else { bytes[at] + 1 };
    }
    String::from_utf8(bytes).unwrap()
}

fn query(random: &mut Random, matched: &Match) -> String {
    let mut pairs: Vec<String> = Vec::new();
    for condition in &matched.query_params {
        if random.percent(90) {
            pairs.push(format!("{}={}", condition.name, value(random, condition)));
        }
    }
    for _ in 0..[0, 0, 0, 1][random.below(4)] {
        let pair = format!("{}={}", random.of(&QUERY_PARAMS), random.of(&VALUES));
        pairs.insert(random.below(pairs.len() + 1), pair);
    }
    if random.percent(3) {
        pairs.push("flag".to_owned());
    }
    pairs.join("&")
}

fn headers(random: &mut Random, matched: &Match) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for condition in &matched.headers {
        if random.percent(90) {
            let name = condition.name.clone();
            let name = if random.percent(20) { name.to_ascii_lowercase() } else { name };
            all.push((name, value(random, condition)));
        }
    }
    if random.percent(15) {
        all.push(((*random.of(&HEADERS)).to_owned(), (*random.of(&VALUES)).to_owned()));
    }
    all
}

fn value(random: &mut Random, condition: &Condition) -> String {
    if random.percent(10) {
        return (*random.of(&VALUES)).to_owned();
    }
    match &condition.value {
        Value::Exact(value) => value.clone(),
        Value::Regex(pattern) => pattern.sample(random),
    }
}
