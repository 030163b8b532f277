//! Rules that get no request, since a rule that goes first takes the same ones.
//!
//! Of equal matches for the same hostname at the same parent the older route's counts, then the one whose name comes
//! first, then the earlier rule (`HTTPRouteRule`, `GRPCRouteRule`, `TLSRoute`, `TCPRoute` of the Gateway API). What
//! matches only in part is not looked for.

use std::collections::HashMap;

use proto::{Kind, ResourceKey};
use serde_json::{Value, json};

use super::Hint;
use super::objects::{Objects, list, referred, text};
use super::parents::named;

/// Which requests: parent, section and port of it, hostname, match.
type Place = (ResourceKey, String, String, String);
/// Who goes first is less: time, name of the route, rule.
type Order = (String, ResourceKey, usize);

/// A rule, with all places that it wants.
struct Claim {
    order: Order,
    places: Vec<Place>,
}

pub(super) fn find(
    objects: &Objects,
    accepted: &dyn Fn(&ResourceKey) -> bool,
    hints: &mut Vec<(ResourceKey, Hint)>,
) {
    let claims: Vec<Claim> = objects
        .routes()
        .filter(|(key, _)| accepted(key))
        .flat_map(|(key, route)| claims(key, route))
        .collect();
    let mut first: HashMap<&Place, &Order> = HashMap::new();
    for claim in &claims {
        for place in &claim.places {
            let holder = first.entry(place).or_insert(&claim.order);
            if claim.order < **holder {
                *holder = &claim.order;
            }
        }
    }
    for Claim { order, places } in &claims {
        // What is written for a whole Gateway takes the requests of each of its listeners, too.
        let taken = |place: &Place| {
            let whole = (place.0.clone(), String::new(), place.2.clone(), place.3.clone());
            let holders = [first.get(place), first.get(&whole)];
            holders.into_iter().flatten().copied().filter(|holder| *holder < order).min()
        };
        let takers: Option<Vec<&Order>> = places.iter().map(taken).collect();
        let Some(taker) = takers.and_then(|takers| takers.into_iter().min()) else { continue };
        let (_, key, rule) = order;
        let by = if taker.1 == *key {
            format!("rule {} of the same route, which goes first", taker.2)
        } else {
            format!("rule {} of {}, which is older or comes first by name", taker.2, named(&taker.1))
        };
        let problem = format!("it gets no requests: all that it matches are those of {by}");
        let hint =
            Hint::new("Shadowed", format!("spec.rules[{rule}]"), problem, "remove it or change its matches");
        hints.push((key.clone(), hint));
    }
}

fn claims(key: &ResourceKey, route: &Value) -> Vec<Claim> {
    let spec = &route["spec"];
    let created = text(&route["metadata"]["creationTimestamp"], "").to_owned();
    let hostnames: Vec<String> = match list(&spec["hostnames"]) {
        [] => vec![String::new()],
        all => all.iter().map(|name| text(name, "").to_ascii_lowercase()).collect(),
    };
    let parents: Vec<(ResourceKey, String)> = list(&spec["parentRefs"])
        .iter()
        .map(|reference| {
            let parent = referred(key, reference, "gateway.networking.k8s.io", "Gateway");
            let part = match (reference["sectionName"].as_str(), reference["port"].as_u64()) {
                (None, None) => String::new(),
                (section, port) => format!("{}:{}", section.unwrap_or_default(), port.unwrap_or_default()),
            };
            (parent, part)
        })
        .collect();
    let one = [Value::Null];
    let rules = match list(&spec["rules"]) {
        [] => &one,
        rules => rules,
    };
    let claim = |(index, rule): (usize, &Value)| {
        let mut places = Vec::new();
        for matched in matches(&key.kind, rule) {
            for (parent, part) in &parents {
                for hostname in &hostnames {
                    places.push((parent.clone(), part.clone(), hostname.clone(), matched.clone()));
                }
            }
        }
        Claim { order: (created.clone(), key.clone(), index), places }
    };
    rules.iter().enumerate().map(claim).filter(|claim| !claim.places.is_empty()).collect()
}

/// What a rule matches, each in one form for all ways to write it.
fn matches(kind: &Kind, rule: &Value) -> Vec<String> {
    let any = [Value::Null];
    let written = match list(&rule["matches"]) {
        [] => &any,
        all => all,
    };
    let one = |matched: &Value| match kind {
        kind if *kind == Kind::HTTP_ROUTE => http(matched),
        kind if *kind == Kind::GRPC_ROUTE => grpc(matched),
        _ => json!({}),
    };
    let name = kind.kind();
    written.iter().map(|matched| format!("{name} {}", one(matched))).collect()
}

fn http(matched: &Value) -> Value {
    let path = &matched["path"];
    let kind = text(&path["type"], "PathPrefix");
    let value = text(&path["value"], "/");
    // A prefix is one of whole segments: what ends it does not count.
    let value = if kind == "PathPrefix" { value.trim_end_matches('/') } else { value };
    json!([
        kind,
        value,
        matched["method"],
        pairs(&matched["headers"], true),
        pairs(&matched["queryParams"], false),
    ])
}

fn grpc(matched: &Value) -> Value {
    let method = &matched["method"];
    json!([
        text(&method["type"], "Exact"),
        text(&method["service"], ""),
        text(&method["method"], ""),
        pairs(&matched["headers"], true),
    ])
}

/// Names with what they must be, in order; of a name that comes twice the first counts.
fn pairs(all: &Value, ignore_case: bool) -> Vec<(String, String, String)> {
    let mut pairs: Vec<(String, String, String)> = Vec::new();
    for one in list(all) {
        let name = text(&one["name"], "");
        let name = if ignore_case { name.to_ascii_lowercase() } else { name.to_owned() };
        if pairs.iter().all(|(known, ..)| *known != name) {
            pairs.push((name, text(&one["type"], "Exact").to_owned(), text(&one["value"], "").to_owned()));
        }
    }
    pairs.sort();
    pairs
}
