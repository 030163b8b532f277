//! Route tables against a plain search through all routes: any walk must find what one table would.

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteConfiguration, VirtualHost, route_match::PathSpecifier,
};
use envoy_types::pb::envoy::extensions::filters::http::dynamic_modules::v3::DynamicModuleFilterPerRoute;
use envoy_types::pb::google::protobuf::StringValue;
use lookup::{Request, Step, Walk};
use proptest::prelude::*;
use prost::Message;
use proto::{ContentHash, RouteEntry, RouteSet, Routing};

use super::{PieceId, RouteTables};
use crate::piece::Content;

const DOMAINS: [&str; 10] =
    ["*", "*.com", "*.b.com", "*.a.b.com", "a.b.com", "b.b.com", "c.b.com", "x.a.b.com", "b.org", "*.org"];
const STARTS: [Option<&str>; 12] = [
    None,
    Some("a"),
    Some("b"),
    Some("c"),
    Some("d"),
    Some("long-segment"),
    Some(""),
    Some("a/b"),
    Some("a/b/c"),
    Some("a/b/d"),
    Some("a/c"),
    Some("b/c/d/e/f/g/h/i/j"),
];
const HOSTS: [&str; 14] = [
    "a.b.com",
    "B.b.com:80",
    "c.b.com",
    "d.b.com",
    "x.a.b.com",
    "y.x.a.b.com",
    "y.c.b.com",
    "a.y.org",
    "b.com",
    "com",
    "b.org",
    "c.org",
    "localhost",
    "",
];
const PATHS: [&str; 16] = [
    "/",
    "/a",
    "/a/",
    "/a/b",
    "/a/b/c",
    "/a/b/d/x",
    "/a/b?c/d",
    "/a/c",
    "/b?c",
    "/b/c/d/e/f/g/h/i/j/k",
    "/c",
    "/d/",
    "/long-segment/x",
    "/e",
    "/e/b/c",
    "//a",
];

fn content(body: Vec<u8>, routing: Option<Routing>) -> Content {
    let version = match &routing {
        Some(Routing::Routes(set)) => set.version(),
        _ => ContentHash::of(&body),
    };
    Content { version, body: body.into(), private_key: None, routing }
}

fn header() -> Content {
    content(RouteConfiguration { name: "t".into(), ..Default::default() }.encode_to_vec(), None)
}

fn host(domain: &str, up_to: &str) -> Content {
    let host = VirtualHost { name: domain.into(), domains: vec![domain.into()], ..Default::default() };
    content(host.encode_to_vec(), Some(Routing::UpTo(up_to.into())))
}

/// Routes that tell their object's name and place; `order` decides between them.
fn routes(name: &str, entries: &[(u64, usize)]) -> Content {
    let mut entries: Vec<(u64, usize)> = entries.to_vec();
    entries.sort_unstable();
    let entries: Vec<RouteEntry> = entries
        .iter()
        .map(|&(order, start)| {
            let start = STARTS[start];
            let path = match start {
                Some(start) => PathSpecifier::PathSeparatedPrefix(format!("/{start}")),
                None => PathSpecifier::Prefix("/".into()),
            };
            let matched = envoy_types::pb::envoy::config::route::v3::RouteMatch {
                path_specifier: Some(path),
                ..Default::default()
            };
            let route =
                Route { name: format!("{name}/{order}"), r#match: Some(matched), ..Default::default() };
            RouteEntry { order, path: start.map(Into::into), body: route.encode_to_vec().into() }
        })
        .collect();
    let set = RouteSet { specificity: 0, created: "".into(), entries: entries.into() };
    content(Vec::new(), Some(Routing::Routes(Arc::new(set))))
}

/// All tables of a listener.
type Decoded = BTreeMap<String, RouteConfiguration>;

fn decoded(tables: &mut RouteTables) -> Decoded {
    let names: Vec<_> = tables.ids.keys().cloned().collect();
    let body = |name: proto::ArcStr| {
        Some((name.to_string(), RouteConfiguration::decode(tables.body(&name)?).unwrap()))
    };
    names.into_iter().filter_map(body).collect()
}

/// One table as Envoy matches it: the most specific domain, then its first route that matches.
fn matched(tables: &Decoded, table: &str, request: &Request<'_>) -> Option<Route> {
    let config = tables.get(table)?;
    assert_eq!(config.name, table);
    let host = String::from_utf8(lookup::host_of(request.authority).into_owned()).unwrap();
    let fits = |domain: &str| {
        domain == "*"
            || domain == host
            || domain
                .strip_prefix('*')
                .is_some_and(|suffix| host.ends_with(suffix) && host.len() > suffix.len())
    };
    let hosts = config.virtual_hosts.iter().filter(|one| fits(&one.domains[0]));
    let found = hosts.max_by_key(|one| (!one.domains[0].starts_with('*'), one.domains[0].len()))?;
    let path = std::str::from_utf8(request.path).unwrap().split('?').next().unwrap();
    let found = found.routes.iter().find(|route| {
        match route.r#match.as_ref().unwrap().path_specifier.as_ref().unwrap() {
            PathSpecifier::Prefix(prefix) => path.starts_with(prefix.as_str()),
            PathSpecifier::PathSeparatedPrefix(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            other => panic!("{other:?}"),
        }
    });
    found.cloned()
}

fn step(route: &Route) -> Option<Step> {
    let any = route.typed_per_filter_config.get(lookup::FILTER_NAME)?;
    let config = DynamicModuleFilterPerRoute::decode(any.value.as_slice()).unwrap();
    let text = StringValue::decode(config.filter_config.unwrap().value.as_slice()).unwrap().value;
    Some(Step::parse(text.as_bytes()).unwrap())
}

fn walk(tables: &Decoded, request: &Request<'_>) -> Option<String> {
    let mut table = lookup::root("t");
    let mut state = Walk::default();
    for _ in 0..20 {
        let route = matched(tables, &table, request)?;
        match step(&route) {
            None => return Some(route.name),
            Some(step) => step.take(request, &mut state, &mut table),
        }
    }
    panic!("the walk does not end");
}

#[derive(Clone, Debug)]
enum Edit {
    Host(usize, bool),
    Put(usize, usize, Vec<(u64, usize)>),
    Remove(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let domain = 0..DOMAINS.len();
    let entries = proptest::collection::vec((0..40u64, 0..STARTS.len()), 1..6);
    prop_oneof![
        1 => (domain.clone(), prop::bool::weighted(0.8)).prop_map(|(domain, there)| Edit::Host(domain, there)),
        4 => (domain.clone(), 0..6usize, entries).prop_map(|(domain, route, entries)| Edit::Put(domain, route, entries)),
        1 => (domain, 0..6usize).prop_map(|(domain, route)| Edit::Remove(domain, route)),
    ]
}

fn id(domain: usize, route: &str) -> PieceId {
    PieceId { domain: DOMAINS[domain].into(), route: route.into() }
}

fn put(tables: &mut RouteTables, id: PieceId, content: Content, seq: u64) {
    if tables.piece(&id).is_some() {
        tables.change(&id, seq, |piece| piece.replace(content));
    } else {
        tables.add_piece(id, content, seq);
    }
}

fn apply(tables: &mut RouteTables, edit: &Edit, seq: u64) {
    match edit {
        // Domains under *.a.b.com are of a listener of their own.
        Edit::Host(domain, true) => {
            let up_to = if DOMAINS[*domain].ends_with(".a.b.com") { "*.a.b.com" } else { "*" };
            put(tables, id(*domain, ""), host(DOMAINS[*domain], up_to), seq);
        }
        Edit::Host(domain, false) => drop(tables.remove_piece(&id(*domain, ""))),
        Edit::Put(domain, route, entries) => {
            let name = format!("r{domain}.{route}");
            put(tables, id(*domain, &name), routes(&name, entries), seq);
        }
        Edit::Remove(domain, route) => drop(tables.remove_piece(&id(*domain, &format!("r{domain}.{route}")))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_walk_finds_what_one_table_has(
        edits in proptest::collection::vec(proptest::collection::vec(edit(), 1..6), 1..20),
        limit in prop_oneof![Just(1), Just(2), Just(5), Just(10), Just(1000)],
    ) {
        let mut tables = RouteTables::new("t".into(), limit, true);
        tables.add_piece(PieceId::HEADER, header(), 0);
        for domain in 0..DOMAINS.len() {
            apply(&mut tables, &Edit::Host(domain, true), 0);
        }
        let mut applied: Vec<Edit> = (0..DOMAINS.len()).map(|domain| Edit::Host(domain, true)).collect();
        for (seq, batch) in (1..).zip(edits) {
            let before: Vec<_> = tables.ids.keys().map(|name| (name.clone(), tables.version(name))).collect();
            for edit in &batch {
                apply(&mut tables, edit, seq);
            }
            applied.extend(batch);
            let touched = tables.settle(seq);
            for (name, version) in before {
                let changed = tables.version(&name) != version;
                prop_assert_eq!(changed, touched.contains(&name), "{}", name);
            }
            let decoded = decoded(&mut tables);
            for host in HOSTS {
                for path in PATHS {
                    let request = Request { authority: host.as_bytes(), path: path.as_bytes() };
                    let whole = matched(&decoded, "t", &request).map(|route| route.name);
                    prop_assert_eq!(walk(&decoded, &request), whole, "{}{}", host, path);
                }
            }
        }
        // From the content alone: made in one go, it is the same.
        let mut fresh = RouteTables::new("t".into(), limit, true);
        fresh.add_piece(PieceId::HEADER, header(), 0);
        applied.iter().for_each(|edit| apply(&mut fresh, edit, 1));
        fresh.settle(1);
        let all = |tables: &RouteTables| -> BTreeMap<_, _> {
            tables.ids.keys().map(|name| (name.clone(), tables.version(name).map(|(version, _)| version))).collect()
        };
        prop_assert_eq!(decoded(&mut tables), decoded(&mut fresh));
        prop_assert_eq!(all(&tables), all(&fresh));
    }
}

/// What tells many routes apart.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Host,
    FirstSegment,
    ThirdSegment,
}

const ALL: [By; 3] = [By::Host, By::FirstSegment, By::ThirdSegment];

fn many(count: usize, by: By) -> RouteTables {
    let mut tables = RouteTables::new("t".into(), 128, false);
    tables.add_piece(PieceId::HEADER, header(), 0);
    for number in 0..count {
        put_one(&mut tables, number, by, 0);
    }
    tables.settle(0);
    tables
}

fn put_one(tables: &mut RouteTables, number: usize, by: By, seq: u64) {
    let (domain, path) = match by {
        By::Host => (format!("h{number}.example.com"), "p".to_owned()),
        By::FirstSegment => ("one.example.com".to_owned(), format!("p{number}/x")),
        By::ThirdSegment => ("one.example.com".to_owned(), format!("api/v1/p{number}")),
    };
    let header = PieceId { domain: domain.as_str().into(), route: "".into() };
    if tables.piece(&header).is_none() {
        tables.add_piece(header, host(&domain, "*"), seq);
    }
    let route = Route { name: format!("{number} of {seq}"), ..Default::default() }.encode_to_vec();
    let entry = RouteEntry { order: seq, path: Some(path.as_str().into()), body: route.into() };
    let set = RouteSet { specificity: 0, created: "".into(), entries: [entry].into() };
    let id = PieceId { domain: domain.as_str().into(), route: number.to_string().into() };
    put(tables, id, content(Vec::new(), Some(Routing::Routes(Arc::new(set)))), seq);
}

#[test]
fn one_change_touches_one_small_table() {
    for by in ALL {
        let mut tables = many(5000, by);
        assert!(tables.names().count() > 5000 / 128, "{by:?}");
        for number in [0, 777, 4999] {
            put_one(&mut tables, number, by, 1 + number as u64);
            let touched = tables.settle(1 + number as u64);
            assert_eq!(touched.len(), 1, "{by:?}: {touched:?}");
            assert!(tables.body(&touched[0]).unwrap().len() < 16 << 10);
        }
    }
}

#[test]
fn a_small_configuration_is_one_table() {
    for by in ALL {
        let tables = many(60, by);
        assert_eq!(tables.names().collect::<Vec<_>>(), ["t#root"]);
    }
}

#[test]
fn a_table_leads_to_all_that_its_steps_name() {
    let leads_to = |tables: &RouteTables, name: &str| tables.table(name).unwrap().leads_to();
    for by in [By::FirstSegment, By::ThirdSegment] {
        let tables = many(5000, by);
        let paths: Vec<String> = leads_to(&tables, "t#root");
        assert!(paths.len() > 5000 / 128);
        assert_eq!(paths.len() + 1, tables.names().count());
        assert!(paths.iter().all(|name| tables.has(name) && leads_to(&tables, name).is_empty()));
    }
    let tables = many(5000, By::Host);
    let hosts = leads_to(&tables, "t#root");
    assert!(hosts.iter().all(|name| leads_to(&tables, name) == ["t#wildcard"]));
}

#[test]
fn a_route_beside_many_others_leaves_their_tables_alone() {
    let mut tables = many(5000, By::ThirdSegment);
    put_one(&mut tables, 9999, By::FirstSegment, 1);
    let touched = tables.settle(1);
    let of_api = format!("t#path/one.example.com/{:08x}/", lookup::hash(b"api"));
    assert!(tables.names().filter(|name| name.starts_with(&of_api)).count() > 5000 / 128);
    assert!(!touched.iter().any(|name| name.starts_with(&of_api)), "{touched:?}");
}
