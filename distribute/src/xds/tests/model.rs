//! A model Envoy that applies what it is sent, against random scripts of changes and answers.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proptest::prelude::*;
use proto::{ArcStr, ContentHash, Put, XdsKey, XdsKind};

use super::bench::{Bench, NoKeys, cluster, gateway, put};
use crate::{
    resource::ResourceType,
    scope::Offer,
    xds::{Input, Output, Response, Session},
};

const CLUSTERS: [&str; 4] = ["a", "b", "c", "d"];
const HOSTS: [&str; 4] = ["x", "y", "*.y", "*.z"];

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// Hosts now use these clusters (none: the host is gone); clusters follow from that.
    Publish([Option<usize>; 4], u8),
    /// Endpoints change.
    Endpoints(usize, u8),
    /// The proxy takes the oldest response that it has not read, and answers.
    Read,
    /// The stream breaks; unread responses are lost.
    Reconnect,
}

fn step() -> impl Strategy<Value = Step> {
    let host = || proptest::option::of(0..CLUSTERS.len());
    prop_oneof![
        3 => ([host(), host(), host(), host()], 0..3u8).prop_map(|(hosts, listener)| Step::Publish(hosts, listener)),
        1 => (0..CLUSTERS.len(), 0..5u8).prop_map(|(cluster, version)| Step::Endpoints(cluster, version)),
        6 => Just(Step::Read),
        1 => Just(Step::Reconnect),
    ]
}

#[derive(Clone, Default)]
struct Held(BTreeMap<ArcStr, (ContentHash, Vec<u8>)>);

/// What an Envoy has, and what it asks for because of that.
#[derive(Default)]
struct Envoy {
    held: [Held; 7],
    unread: Vec<Response>,
}

struct World {
    bench: Bench,
    envoy: Envoy,
    revision: u64,
    /// Version of the endpoints of each cluster that there is.
    clusters: BTreeMap<usize, u8>,
    hosts: [Option<usize>; 4],
    /// True if the Envoy walks from one route table to another.
    walks: bool,
}

impl World {
    fn new(walks: bool) -> World {
        let mut world = World {
            bench: if walks { Bench::walking() } else { Bench::new() },
            walks,
            envoy: Envoy::default(),
            revision: 0,
            clusters: BTreeMap::new(),
            hosts: [None; 4],
        };
        world.publish_with([None; 4], 0, vec![put(XdsKind::RouteTable, "t", "", "\x0a\x01t")]);
        world.connect();
        world
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Publish(hosts, listener) => self.publish_with(*hosts, *listener, Vec::new()),
            Step::Endpoints(cluster, version) => {
                if self.clusters.contains_key(cluster) {
                    self.clusters.insert(*cluster, *version);
                    self.publish(vec![endpoints(*cluster, *version)], Vec::new());
                }
            }
            Step::Read => self.read(),
            Step::Reconnect => self.connect(),
        }
        self.check();
    }

    fn publish_with(&mut self, hosts: [Option<usize>; 4], listener: u8, mut puts: Vec<Put>) {
        let mut removes = Vec::new();
        for kind in [XdsKind::Listener, XdsKind::ScopedListener] {
            puts.push(put(kind, "l", "", format!("{kind:?}{listener}")));
        }
        for (host, (old, new)) in HOSTS.iter().zip(self.hosts.iter().zip(hosts)) {
            match new {
                Some(cluster) => puts.push(put(XdsKind::VirtualHost, "t", host, CLUSTERS[cluster])),
                None if old.is_some() => removes.push(XdsKey::virtual_host(gateway(), "t", *host)),
                None => {}
            }
        }
        for (index, name) in CLUSTERS.iter().enumerate() {
            let used = hosts.contains(&Some(index));
            if used && !self.clusters.contains_key(&index) {
                self.clusters.insert(index, 0);
                puts.extend([cluster(name), endpoints(index, 0)]);
            } else if !used && self.clusters.remove(&index).is_some() {
                removes.push(XdsKey::new(gateway(), XdsKind::Cluster, *name));
                removes.push(XdsKey::new(gateway(), XdsKind::Endpoints, *name));
            }
        }
        self.hosts = hosts;
        self.publish(puts, removes);
    }

    fn publish(&mut self, puts: Vec<Put>, removes: Vec<XdsKey>) {
        self.revision += 1;
        let out = self.bench.publish(self.revision, &puts, &removes);
        self.take(out);
    }

    fn take(&mut self, out: Output) {
        self.envoy.unread.extend(out.responses);
    }

    fn ask(&mut self, request: &DeltaDiscoveryRequest) {
        let out = self.bench.session.step(Input::Request(request), &mut self.bench.scope, &NoKeys);
        self.take(out);
    }

    /// A new stream: asks for all that it needs, and says what it has.
    fn connect(&mut self) {
        self.bench.session = if self.walks { Session::walking() } else { Session::default() };
        self.envoy.unread.clear();
        let watched: Vec<String> = self.names(ResourceType::Cluster);
        let tables = if self.walks { self.names(ResourceType::Scope) } else { vec!["t".to_owned()] };
        for (kind, names) in [
            (ResourceType::Cluster, Vec::new()),
            (ResourceType::Endpoints, watched),
            (self.listeners(), Vec::new()),
            (ResourceType::Scope, Vec::new()),
            (ResourceType::Route, tables),
        ] {
            if names.is_empty() && matches!(kind, ResourceType::Endpoints | ResourceType::Route)
                || kind == ResourceType::Scope && !self.walks
            {
                continue;
            }
            let held = self.envoy.held[kind as usize].0.iter();
            let request = DeltaDiscoveryRequest {
                type_url: kind.url().into(),
                resource_names_subscribe: names,
                initial_resource_versions: held
                    .map(|(name, (version, _))| (name.to_string(), version.to_string()))
                    .collect(),
                ..Default::default()
            };
            self.ask(&request);
        }
    }

    fn listeners(&self) -> ResourceType {
        if self.walks { ResourceType::ScopedListener } else { ResourceType::Listener }
    }

    fn names(&self, kind: ResourceType) -> Vec<String> {
        self.envoy.held[kind as usize].0.keys().map(ToString::to_string).collect()
    }

    /// Applies the oldest response, asks for what follows from it, then ACKs.
    fn read(&mut self) {
        if self.envoy.unread.is_empty() {
            return;
        }
        let response = self.envoy.unread.remove(0);
        let (before, scopes) = (self.names(ResourceType::Cluster), self.names(ResourceType::Scope));
        // Envoy drops what it does not watch.
        let watched = |name: &ArcStr| match response.kind {
            ResourceType::Endpoints => before.contains(&name.to_string()),
            ResourceType::Route if self.walks => scopes.contains(&name.to_string()),
            _ => true,
        };
        let held = &mut self.envoy.held[response.kind as usize].0;
        for one in response.resources.iter().filter(|one| watched(&one.name)) {
            held.insert(one.name.clone(), (one.version, one.body.to_vec()));
        }
        for name in &response.removed {
            held.remove(name);
        }
        self.follow(ResourceType::Cluster, &before, ResourceType::Endpoints);
        self.follow(ResourceType::Scope, &scopes, ResourceType::Route);
        let out = self.bench.request(response.kind, &[], response.nonce, None);
        self.take(out);
    }

    /// Subscribes to what new resources need, and no longer to what those needed that are gone.
    fn follow(&mut self, kind: ResourceType, before: &[String], needed: ResourceType) {
        let after = self.names(kind);
        let fresh: Vec<_> = after.iter().filter(|name| !before.contains(name)).cloned().collect();
        let gone: Vec<_> = before.iter().filter(|name| !after.contains(name)).cloned().collect();
        for name in &gone {
            self.envoy.held[needed as usize].0.remove(name.as_str());
        }
        if !fresh.is_empty() || !gone.is_empty() {
            self.ask(&DeltaDiscoveryRequest {
                type_url: needed.url().into(),
                resource_names_subscribe: fresh,
                resource_names_unsubscribe: gone,
                ..Default::default()
            });
        }
    }

    /// Never a route to a cluster that is not there with its endpoints, nor a step to a table that is not there.
    fn check(&self) {
        let held = |kind: ResourceType| &self.envoy.held[kind as usize].0;
        let mut seen = BTreeSet::new();
        let mut pending = vec![if self.walks { "t#root".to_owned() } else { "t".to_owned() }];
        while let Some(name) = pending.pop() {
            let Some((_, table)) = held(ResourceType::Route).get(name.as_str()) else {
                assert!(name.ends_with("root") || name == "t", "a step to {name}, which is missing");
                continue;
            };
            if !seen.insert(name) {
                continue;
            }
            for name in CLUSTERS.iter().filter(|name| uses(table, name)) {
                assert!(
                    held(ResourceType::Cluster).contains_key(*name),
                    "a route to {name}, which is missing"
                );
                assert!(held(ResourceType::Endpoints).contains_key(*name), "{name} has no endpoints");
            }
            pending.extend(steps(table).iter().flat_map(lookup::Step::targets));
        }
    }

    /// Reads all, then compares with the scope.
    fn settle(&mut self) {
        let mut steps = 0;
        while !self.envoy.unread.is_empty() {
            self.step(&Step::Read);
            steps += 1;
            assert!(steps < 1000, "never at rest");
        }
        let owed = |kind| (kind, self.bench.session.get(kind).dirty.keys().collect::<Vec<_>>());
        let owed = ResourceType::ALL.map(owed);
        assert_eq!(self.bench.session.acked.0, self.revision, "something is owed for ever: {owed:?}");
        for kind in ResourceType::ALL {
            let is_asked_for = match kind {
                ResourceType::Listener | ResourceType::ScopedListener => kind == self.listeners(),
                ResourceType::Scope => self.walks,
                _ => true,
            };
            if !is_asked_for {
                continue;
            }
            let names = self.bench.scope.names(kind);
            let is_of_kind = |name: &&ArcStr| kind != ResourceType::Route || name.contains('#') == self.walks;
            let names: Vec<ArcStr> = names.filter(is_of_kind).cloned().collect();
            let mut sorted: Vec<String> = names.iter().map(ToString::to_string).collect();
            sorted.sort_unstable();
            assert_eq!(self.names(kind), sorted);
            for name in names {
                let (body, _) = self.bench.scope.body(kind, &name).unwrap();
                let Offer::Ready { version, .. } = self.bench.scope.offer(kind, &name) else {
                    panic!("{name} is withheld");
                };
                assert_eq!(self.envoy.held[kind as usize].0[&name], (version, body.to_vec()));
            }
        }
    }
}

fn endpoints(cluster: usize, version: u8) -> Put {
    put(XdsKind::Endpoints, CLUSTERS[cluster], "", format!("e{version}"))
}

/// The steps that a table's stubs say.
fn steps(table: &[u8]) -> Vec<lookup::Step> {
    let text = String::from_utf8_lossy(table);
    let directory = |start: &str| {
        let (_, rest) = text.split_once(start)?;
        let is_word = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || "=,".contains(one);
        let depths = &rest[..rest.find(|one| !is_word(one)).unwrap_or(rest.len())];
        Some(format!("{start}{depths}"))
    };
    let suffixes = directory("suffixes t#wildcard/ ").map(|step| format!("{step} t#any"));
    let hosts = directory("hosts t#host/ ").into_iter().chain(suffixes);
    let others = ["table t#wildcard", "table t#any"].into_iter();
    let others = others.filter(|step| text.contains(step)).map(str::to_owned);
    hosts.chain(others).map(|step| lookup::Step::parse(step.as_bytes()).unwrap()).collect()
}

/// True if a host of the table has the cluster's name as its body.
fn uses(table: &[u8], cluster: &str) -> bool {
    table.windows(3).any(|part| part == [0x12, 1, cluster.as_bytes()[0]])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_envoy_ends_with_the_scope_and_never_lacks_a_cluster(
        steps in proptest::collection::vec(step(), 1..40), walks: bool
    ) {
        let mut world = World::new(walks);
        for step in &steps {
            world.step(step);
        }
        world.settle();
    }
}

/// A cluster that goes and comes back while its endpoints are on their way needs them once more.
#[test]
fn endpoints_of_before_their_cluster_are_not_enough() {
    use Step::{Endpoints, Publish, Read};
    let publish = |hosts, listener| Publish(hosts, listener);
    let mut steps = vec![publish([Some(2), None, None, Some(0)], 0), Read, Read];
    steps.extend([publish([Some(1), None, None, Some(0)], 0), Read, Read]);
    steps.extend([publish([Some(0), None, None, None], 1), Read, Read, Read, Read]);
    steps.extend([publish([Some(0), Some(0), None, None], 0), Read, Read, Read, Read, Read]);
    steps.extend([Endpoints(0, 1), Read, Read, publish([None, Some(1), None, None], 0)]);
    steps.push(publish([Some(1), Some(0), None, None], 0));
    let mut world = World::new(true);
    world.step(&publish([None; 4], 0));
    for step in &steps {
        world.step(step);
    }
    world.settle();
}
