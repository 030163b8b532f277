//! Edits that move routes between tables, and tables that split and join: whatever an Envoy has applied of a push,
//! and in whatever order, a request is answered as before the edit or as after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteConfiguration, RouteMatch, VirtualHost, route_match::PathSpecifier,
};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use lookup::Request;
use proptest::prelude::*;
use prost::Message;
use proto::{Put, RouteEntry, RouteSet, Routing, XdsKey, XdsKind};

use super::bench::{Bench, NoKeys, gateway, put};
use super::walked::{Held, Table, walk};
use crate::{
    resource::ResourceType,
    scope::Scope,
    xds::{Input, Output, Response, Session},
};

const TABLES: [&str; 2] = ["t", "u"];
const DOMAINS: [&str; 9] =
    ["*", "*.com", "*.b.com", "*.a.b.com", "a.b.com", "b.b.com", "x.a.b.com", "b.org", "*.c.org"];
const HOSTS: [&str; 9] =
    ["a.b.com", "b.b.com", "d.b.com", "x.a.b.com", "y.a.b.com", "c.com", "b.org", "x.c.org", "localhost"];
const STARTS: [&str; 5] = ["", "a", "b", "a/b", "a/c"];
const PATHS: [&str; 6] = ["/", "/a", "/a/b/x", "/a/c", "/b", "/e"];
/// Hosts of the routes that only fill tables.
const FILLED: [&str; 4] = ["e0.fill.com", "e1.fill.com", "x.w0.net", "x.w1.net"];

/// An HTTPRoute: its domains, its paths, and which version of it.
#[derive(Clone, Debug, Default, PartialEq)]
struct HttpRoute {
    domains: BTreeSet<usize>,
    starts: BTreeSet<usize>,
    version: u8,
}

/// All routes of a listener; and how many exact hosts and wildcards have a route each beside these.
#[derive(Clone, Debug, Default, PartialEq)]
struct Config {
    routes: BTreeMap<usize, HttpRoute>,
    exact: usize,
    wild: usize,
}

type Configs = [Config; 2];

impl Config {
    fn puts(&self, table: &str) -> BTreeMap<XdsKey, Put> {
        let mut puts = BTreeMap::new();
        let mut add = |put: Put| drop(puts.insert(put.key.clone(), put));
        let header = RouteConfiguration { name: table.into(), ..Default::default() };
        add(put(XdsKind::RouteTable, table, "", header.encode_to_vec()));
        let filled = (0..self.exact).map(|n| format!("e{n}.fill.com"));
        let filled = filled.chain((0..self.wild).map(|n| format!("*.w{n}.net")));
        let filled = filled.map(|domain| (domain, "filler".to_owned(), BTreeSet::from([0]), 0));
        let routes = self.routes.iter().flat_map(|(number, route)| {
            let all = route.domains.is_empty().then_some(0);
            let domains = route.domains.iter().copied().chain(all);
            domains.map(move |at| {
                (DOMAINS[at].to_owned(), format!("r{number}"), route.starts.clone(), route.version)
            })
        });
        for (domain, name, starts, version) in routes.chain(filled) {
            add(virtual_host(table, &domain));
            add(routes_of(table, &domain, &name, &starts, version));
        }
        puts
    }
}

fn virtual_host(table: &str, domain: &str) -> Put {
    let host = VirtualHost { name: domain.into(), domains: vec![domain.into()], ..Default::default() };
    let mut put = put(XdsKind::VirtualHost, table, domain, host.encode_to_vec());
    // Domains under *.a.b.com are of a listener of their own.
    let up_to = if domain.ends_with(".a.b.com") { "*.a.b.com" } else { "*" };
    put.routing = Some(Routing::UpTo(up_to.into()));
    put
}

fn routes_of(table: &str, domain: &str, name: &str, starts: &BTreeSet<usize>, version: u8) -> Put {
    let entries: Vec<RouteEntry> = starts
        .iter()
        .rev()
        .map(|&at| {
            let path = match STARTS[at] {
                "" => PathSpecifier::Prefix("/".into()),
                start => PathSpecifier::PathSeparatedPrefix(format!("/{start}")),
            };
            let matched = RouteMatch { path_specifier: Some(path), ..Default::default() };
            let route = Route {
                name: format!("{name}/{at}.{version}"),
                r#match: Some(matched),
                ..Default::default()
            };
            let path = Some(STARTS[at]).filter(|start| !start.is_empty()).map(Into::into);
            RouteEntry { order: 100 - at as u64, path, body: route.encode_to_vec().into() }
        })
        .collect();
    let set = RouteSet { specificity: 0, created: "".into(), entries: entries.into() };
    let mut put = put(XdsKind::Routes, table, domain, Vec::new());
    put.key.route = name.into();
    put.version = set.version();
    put.routing = Some(Routing::Routes(Arc::new(set)));
    put
}

fn requests() -> impl Iterator<Item = (usize, Request<'static>)> {
    let request = |host: &'static str, path: &'static str| Request {
        authority: host.as_bytes(),
        path: path.as_bytes(),
    };
    let requests = HOSTS.iter().flat_map(move |host| PATHS.iter().map(move |path| request(host, path)));
    let requests = requests.chain(FILLED.iter().map(move |host| request(host, "/a")));
    requests.flat_map(|request| (0..TABLES.len()).map(move |table| (table, request)))
}

/// What all requests are answered.
type Answers = Vec<Option<String>>;

fn answers(held: &Held) -> Answers {
    requests().map(|(table, request)| walk(held, TABLES[table], &request)).collect()
}

/// What they should be answered: in one table each.
fn expected(configs: &Configs) -> Answers {
    let mut scope = Scope::new(gateway(), usize::MAX);
    let puts: Vec<Put> =
        configs.iter().zip(TABLES).flat_map(|(config, table)| config.puts(table).into_values()).collect();
    scope.apply(proto::Revision(1), &puts.iter().collect::<Vec<_>>(), &[]);
    let table = |routes: &&str| {
        let name = lookup::root(routes);
        let (body, _) = scope.body(ResourceType::Route, &name.as_str().into()).unwrap();
        (name.clone(), Arc::new(Table::new(&name, &body)))
    };
    answers(&TABLES.iter().map(table).collect())
}

/// An Envoy, its control plane, and what its requests may be answered now.
struct World {
    bench: Bench,
    held: Held,
    unread: Vec<Response>,
    revision: u64,
    configs: Configs,
    allowed: Vec<Answers>,
    /// Pushes of routes that were read since it was last at rest, and tables in them.
    pushes: usize,
    pushed: usize,
    random: u64,
}

impl World {
    fn new(size: usize, configs: Configs) -> World {
        let bench = Bench { scope: Scope::new(gateway(), size), session: Session::walking() };
        let mut world = World {
            bench,
            held: Held::new(),
            unread: Vec::new(),
            revision: 0,
            configs: Configs::default(),
            allowed: Vec::new(),
            pushes: 0,
            pushed: 0,
            random: 1,
        };
        world.allowed.push(answers(&world.held));
        world.edit(&configs);
        for kind in [ResourceType::Cluster, ResourceType::ScopedListener, ResourceType::Scope] {
            world.ask(&DeltaDiscoveryRequest { type_url: kind.url().into(), ..Default::default() });
        }
        world.rest();
        world
    }

    fn ask(&mut self, request: &DeltaDiscoveryRequest) {
        let out = self.bench.session.step(Input::Request(request), &mut self.bench.scope, &NoKeys);
        self.take(out);
    }

    fn take(&mut self, out: Output) {
        self.unread.extend(out.responses);
    }

    fn edit(&mut self, configs: &Configs) {
        let (mut puts, mut removes) = (Vec::new(), Vec::new());
        for ((old, new), table) in self.configs.iter().zip(configs).zip(TABLES) {
            let old = if self.revision == 0 { BTreeMap::new() } else { old.puts(table) };
            let new = new.puts(table);
            removes.extend(old.keys().filter(|key| !new.contains_key(key)).cloned());
            let changed = |put: &&Put| {
                old.get(&put.key).is_none_or(|old| (old.version, &old.routing) != (put.version, &put.routing))
            };
            puts.extend(new.values().filter(changed).cloned());
        }
        if self.revision == 0 {
            puts.push(put(XdsKind::ScopedListener, "l", "", "l"));
        }
        self.revision += 1;
        self.configs = configs.clone();
        self.allowed.push(expected(configs));
        let out = self.bench.publish(self.revision, &puts, &removes);
        self.take(out);
    }

    /// Takes the oldest response: applies it, asks for what follows from it, then ACKs.
    fn read(&mut self) -> bool {
        if self.unread.is_empty() {
            return false;
        }
        let response = self.unread.remove(0);
        match response.kind {
            ResourceType::Scope => self.scopes(&response),
            ResourceType::Route => self.routes(&response),
            _ => {}
        }
        let out = self.bench.request(response.kind, &[], response.nonce, None);
        self.take(out);
        true
    }

    fn scopes(&mut self, response: &Response) {
        for name in &response.removed {
            self.held.remove(name.as_str());
        }
        self.check(&self.held, "scopes");
        self.ask(&DeltaDiscoveryRequest {
            type_url: ResourceType::Route.url().into(),
            resource_names_subscribe: response.resources.iter().map(|one| one.name.to_string()).collect(),
            resource_names_unsubscribe: response.removed.iter().map(ToString::to_string).collect(),
            ..Default::default()
        });
    }

    /// Applies tables in all orders that Envoy may choose, or in some if there are many.
    fn routes(&mut self, response: &Response) {
        self.pushes += 1;
        self.pushed += response.resources.len();
        let new: Vec<(String, Arc<Table>)> = response
            .resources
            .iter()
            .map(|one| (one.name.to_string(), Arc::new(Table::new(&one.name, &one.body))))
            .collect();
        let names: Vec<&str> = new.iter().map(|(name, _)| name.as_str()).collect();
        for applied in self.subsets(new.len()) {
            let mut held = self.held.clone();
            held.extend(applied.iter().map(|&at| new[at].clone()));
            let applied: Vec<&str> = applied.iter().map(|&at| names[at]).collect();
            self.check(&held, &format!("{applied:?} of {names:?}"));
        }
        self.held.extend(new);
    }

    /// What may have been applied at some moment of a push of so many tables.
    fn subsets(&mut self, count: usize) -> Vec<Vec<usize>> {
        if count <= 4 {
            let subset = |bits: u32| (0..count).filter(|at| bits >> at & 1 == 1).collect();
            return (1..1 << count).map(subset).collect();
        }
        let mut subsets: Vec<Vec<usize>> = (0..count).map(|at| vec![at]).collect();
        subsets.extend((0..count).map(|left| (0..count).filter(|at| *at != left).collect()));
        for _ in 0..count.min(20) {
            subsets.push((0..count).filter(|_| self.coin()).collect());
        }
        subsets.push((0..count).collect());
        if subsets.len() > 60 {
            let kept = subsets.len() / 60;
            subsets = subsets.into_iter().rev().step_by(kept).collect();
        }
        subsets
    }

    fn coin(&mut self) -> bool {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.random >> 40 & 1 == 1
    }

    fn check(&self, held: &Held, state: &str) {
        let now = answers(held);
        for (at, (table, request)) in requests().enumerate() {
            let is_allowed = self.allowed.iter().any(|answers| answers[at] == now[at]);
            assert!(
                is_allowed,
                "{} of {}: {:?}{:?} is answered by {:?}, allowed {:?}; applied {state}",
                self.revision,
                TABLES[table],
                String::from_utf8_lossy(request.authority),
                String::from_utf8_lossy(request.path),
                now[at],
                self.allowed.iter().map(|answers| &answers[at]).collect::<BTreeSet<_>>(),
            );
        }
    }

    /// Reads all; then only the newest configuration's answers are right.
    fn rest(&mut self) -> (usize, usize) {
        let mut reads = 0;
        while self.read() {
            reads += 1;
            assert!(reads < 1000, "never at rest");
        }
        let owed: Vec<_> = self.bench.session.get(ResourceType::Route).dirty.keys().collect();
        assert_eq!(self.bench.session.acked.0, self.revision, "owed for ever: {owed:?}");
        self.allowed.drain(..self.allowed.len() - 1);
        self.check(&self.held, "all");
        (std::mem::take(&mut self.pushes), std::mem::take(&mut self.pushed))
    }
}

#[derive(Clone, Debug)]
enum Edit {
    /// An HTTPRoute is there with these domains and paths.
    Put(usize, BTreeSet<usize>, BTreeSet<usize>),
    /// An HTTPRoute that is there has other domains.
    Domains(usize, BTreeSet<usize>),
    Remove(usize),
    Fill(usize, usize),
}

/// What happens: edits of a listener made in one write, or something is read.
#[derive(Clone, Debug)]
enum Event {
    Write(Vec<(usize, Edit)>),
    Read,
    Rest,
}

fn edit(size: usize) -> impl Strategy<Value = Edit> {
    let domains = || proptest::collection::btree_set(0..DOMAINS.len(), 0..3);
    let starts = || proptest::collection::btree_set(0..STARTS.len(), 1..4);
    // Around what a table holds, and half of it.
    let many = || prop_oneof![Just(0), 0..6usize, size / 2 - size / 16..size / 2 + 3, size - 1..size + 2];
    prop_oneof![
        3 => (0..5usize, domains(), starts()).prop_map(|(at, domains, starts)| Edit::Put(at, domains, starts)),
        4 => (0..5usize, domains()).prop_map(|(at, domains)| Edit::Domains(at, domains)),
        1 => (0..5usize).prop_map(Edit::Remove),
        1 => (many(), many()).prop_map(|(exact, wild)| Edit::Fill(exact, wild)),
    ]
}

fn event(size: usize) -> impl Strategy<Value = Event> {
    let edits = |most| proptest::collection::vec((0..TABLES.len(), edit(size)), 1..most);
    prop_oneof![
        3 => edits(2).prop_map(Event::Write),
        2 => edits(6).prop_map(Event::Write),
        4 => Just(Event::Read),
        4 => Just(Event::Rest),
    ]
}

fn edited(configs: &Configs, edits: &[(usize, Edit)]) -> Configs {
    let mut configs = configs.clone();
    for (table, edit) in edits {
        let config = &mut configs[*table];
        match edit {
            Edit::Put(at, domains, starts) => {
                let old = config.routes.entry(*at).or_default();
                let version = old.version.wrapping_add(1);
                *old = HttpRoute { domains: domains.clone(), starts: starts.clone(), version };
            }
            Edit::Domains(at, domains) => {
                if let Some(route) = config.routes.get_mut(at) {
                    route.domains.clone_from(domains);
                }
            }
            Edit::Remove(at) => drop(config.routes.remove(at)),
            Edit::Fill(exact, wild) => (config.exact, config.wild) = (*exact, *wild),
        }
    }
    configs
}

fn sized() -> impl Strategy<Value = (usize, Vec<Event>)> {
    prop_oneof![4 => Just(1usize), 3 => Just(8usize), 1 => Just(128usize)]
        .prop_flat_map(|size| (Just(size), proptest::collection::vec(event(size), 2..16)))
}

fn cases() -> u32 {
    std::env::var("FLEETGATE_MOVES").map_or(100, |cases| cases.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_is_answered_as_before_an_edit_or_as_after_it((size, events) in sized()) {
        let mut world = World::new(size, Configs::default());
        for event in &events {
            match event {
                Event::Write(edits) => {
                    let configs = edited(&world.configs, edits);
                    world.edit(&configs);
                }
                Event::Read => drop(world.read()),
                Event::Rest => drop(world.rest()),
            }
        }
        world.rest();
    }
}

fn route(domains: &[usize]) -> HttpRoute {
    HttpRoute { domains: domains.iter().copied().collect(), starts: BTreeSet::from([0]), version: 0 }
}

/// 63 wildcards and 40 exact hosts fill a table of 128 to the brim: with one more route for all of them they do not
/// fit into it.
#[test]
fn wildcards_split_and_join_with_an_edit() {
    for (exact, wild) in [(40, 63), (140, 63), (40, 130), (0, 63), (64, 0)] {
        let config = |domains: &[usize]| {
            let routes = BTreeMap::from([(0, route(domains)), (1, route(&[4]))]);
            [Config { routes, exact, wild }, Config::default()]
        };
        let mut world = World::new(128, config(&[2]));
        for domains in [&[][..], &[2], &[], &[5], &[], &[6, 8], &[8, 3], &[], &[1, 2, 3]] {
            world.edit(&config(domains));
            world.rest();
        }
    }
}

/// What one edit costs where nothing moves: one push of the tables concerned.
#[test]
fn an_edit_that_moves_nothing_is_one_push() {
    let mut config =
        Config { routes: BTreeMap::from([(0, route(&[4])), (1, route(&[]))]), exact: 300, wild: 0 };
    let mut world = World::new(128, [config.clone(), Config::default()]);
    config.routes.insert(0, HttpRoute { version: 1, ..route(&[4]) });
    world.edit(&[config.clone(), Config::default()]);
    assert_eq!(world.rest(), (1, 1));
    // Another exact host in a table that has room.
    config.routes.insert(0, route(&[5]));
    world.edit(&[config.clone(), Config::default()]);
    let (pushes, _) = world.rest();
    assert_eq!(pushes, 1);
    // A route of all hosts changes: all tables, at once.
    config.routes.insert(1, HttpRoute { version: 1, ..route(&[]) });
    world.edit(&[config, Config::default()]);
    let (pushes, pushed) = world.rest();
    assert!(pushes == 1 && pushed > 3, "{pushes} pushes of {pushed} tables");
}
