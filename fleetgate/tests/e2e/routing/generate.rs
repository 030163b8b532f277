//! Random configurations.

use super::config::{
    Condition, Config, HttpRoute, Listener, Match, NAMESPACES, PORTS, PathMatch, Rule, Value,
};
use super::pattern::Pattern;
use super::random::Random;

pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];
pub(super) const HEADERS: [&str; 4] = ["X-Version", "x-colour", "x-id", "x-mode"];
pub(super) const QUERY_PARAMS: [&str; 3] = ["q", "page", "Q"];
pub(super) const VALUES: [&str; 5] = ["one", "two", "One", "blue-1", "a.b"];
pub(super) const SEGMENTS: [&str; 13] =
    ["a", "b", "ab", "A", "api", "v1", "v2", "foo", "foo-bar", "foo.bar", "a;v=1", "%20x", "~u"];
const LABELS: [&str; 5] = ["a", "b", "www", "api", "x-1"];
const DOMAINS: [&str; 4] = ["example.com", "example.org", "example.co.uk", "test"];

/// What a configuration has many of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// A little of everything.
    Mixed,
    /// A host for each route.
    Hosts,
    /// One host with many first segments.
    Segments,
    /// One host, one first segment, much below it.
    Below,
    /// Wildcard hosts, and routes without a host.
    Wide,
}

impl Shape {
    pub(super) const ALL: [Shape; 5] =
        [Shape::Mixed, Shape::Hosts, Shape::Segments, Shape::Below, Shape::Wide];
}

/// A configuration of a shape with up to this many HTTPRoutes.
pub(super) fn config(random: &mut Random, shape: Shape, most: usize) -> Config {
    let listeners = listeners(random, shape);
    let count = if random.percent(15) { random.between(1, 3) } else { random.between(most / 2, most) };
    let routes = (0..count).map(|number| route(random, shape, &listeners, number)).collect();
    Config { listeners, routes }
}

fn listeners(random: &mut Random, shape: Shape) -> Vec<Listener> {
    let mut all: Vec<Listener> = Vec::new();
    for number in 0..random.between(1, 3) {
        let open = matches!(shape, Shape::Hosts | Shape::Segments | Shape::Below) || random.percent(40);
        let hostname = (number > 0 || !open).then(|| hostname(random, 60));
        let port = if random.percent(60) { 0 } else { random.below(PORTS) };
        if !all.iter().any(|other| other.port == port && other.hostname == hostname) {
            all.push(Listener { name: format!("l{number}"), port, hostname });
        }
    }
    all
}

/// A hostname, so often with a wildcard.
fn hostname(random: &mut Random, wildcards: usize) -> String {
    let mut name = (*random.of(&DOMAINS)).to_owned();
    for _ in 0..random.below(3) {
        name = format!("{}.{name}", random.of(&LABELS));
    }
    if random.percent(wildcards) { format!("*.{name}") } else { name }
}

/// One HTTPRoute; the number is in its name and in the names of its rules.
pub(super) fn route(random: &mut Random, shape: Shape, listeners: &[Listener], number: usize) -> HttpRoute {
    let sections = if random.percent(75) {
        Vec::new()
    } else {
        (0..random.between(1, 2)).map(|_| random.of(listeners).name.clone()).collect()
    };
    // Letters in front, so that the order of names is not that of numbers.
    let initial = char::from(b'a' + u8::try_from(random.below(26)).unwrap());
    HttpRoute {
        namespace: NAMESPACES[random.below(NAMESPACES.len())],
        name: format!("{initial}-{number}"),
        created: format!("2026-01-0{}T00:00:00Z", random.between(1, 3)),
        sections: deduplicated(sections),
        hostnames: deduplicated(hostnames(random, shape, number)),
        rules: (0..random.between(1, 3)).map(|place| rule(random, shape, number, place)).collect(),
    }
}

fn deduplicated(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all.dedup();
    all
}

fn hostnames(random: &mut Random, shape: Shape, number: usize) -> Vec<String> {
    match shape {
        Shape::Hosts if random.percent(85) => vec![format!("h{number}.example.com")],
        Shape::Segments | Shape::Below if random.percent(85) => vec!["one.example.com".to_owned()],
        Shape::Wide if random.percent(40) => Vec::new(),
        Shape::Wide => (0..random.between(1, 2)).map(|_| hostname(random, 80)).collect(),
        _ if random.percent(12) => Vec::new(),
        _ => (0..random.between(1, 3)).map(|_| hostname(random, 30)).collect(),
    }
}

fn rule(random: &mut Random, shape: Shape, number: usize, place: usize) -> Rule {
    let matches = if random.percent(8) { 0 } else { random.between(1, 3) };
    let weights = [[1, 1], [3, 1], [0, 1], [1, 0]];
    Rule {
        id: format!("r{number}-{place}"),
        matches: (0..matches).map(|_| one_match(random, shape, number)).collect(),
        weights: random.percent(8).then(|| *random.of(&weights)),
    }
}

fn one_match(random: &mut Random, shape: Shape, number: usize) -> Match {
    let few = |random: &mut Random| match random.below(100) {
        0..75 => 0,
        75..92 => 1,
        _ => 2,
    };
    let (headers, query_params) = (few(random), few(random));
    Match {
        path: (!random.percent(8)).then(|| path_match(random, shape, number)),
        method: random.percent(15).then(|| *random.of(&METHODS)),
        headers: conditions(random, headers, &HEADERS),
        query_params: conditions(random, query_params, &QUERY_PARAMS),
    }
}

fn conditions(random: &mut Random, count: usize, names: &[&str]) -> Vec<Condition> {
    let mut all: Vec<Condition> = Vec::new();
    for _ in 0..count {
        let name = (*random.of(names)).to_owned();
        if all.iter().all(|other| other.name != name) {
            let value = if random.percent(75) {
                Value::Exact((*random.of(&VALUES)).to_owned())
            } else {
                Value::Regex(Pattern::value(random, &VALUES))
            };
            all.push(Condition { name, value });
        }
    }
    all
}

fn path_match(random: &mut Random, shape: Shape, number: usize) -> PathMatch {
    if random.percent(12) {
        return PathMatch::Regex(Pattern::path(random, &SEGMENTS));
    }
    let mut path = match shape {
        Shape::Segments if random.percent(85) => format!("/p{number}"),
        Shape::Below => format!("/shared/p{}", number % 20),
        _ if random.percent(10) => String::new(),
        _ => format!("/{}", random.of(&SEGMENTS)),
    };
    if !path.is_empty() {
        for _ in 0..[0, 0, 1, 1, 2][random.below(5)] {
            path = format!("{path}/{}", random.of(&SEGMENTS));
        }
    }
    if path.is_empty() || random.percent(20) {
        path.push('/');
    }
    if random.percent(35) { PathMatch::Exact(path) } else { PathMatch::Prefix(path) }
}
