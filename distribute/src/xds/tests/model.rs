//! A model Envoy that applies what it is sent, against random scripts of changes and answers.

use std::collections::BTreeMap;

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
const HOSTS: [&str; 3] = ["x", "y", "z"];

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// Hosts now use these clusters (none: the host is gone); clusters follow from that.
    Publish([Option<usize>; 3], u8),
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
        3 => ([host(), host(), host()], 0..3u8).prop_map(|(hosts, listener)| Step::Publish(hosts, listener)),
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
    held: [Held; 5],
    unread: Vec<Response>,
}

struct World {
    bench: Bench,
    envoy: Envoy,
    revision: u64,
    /// Version of the endpoints of each cluster that there is.
    clusters: BTreeMap<usize, u8>,
    hosts: [Option<usize>; 3],
}

impl World {
    fn new() -> World {
        let mut world = World {
            bench: Bench::new(),
            envoy: Envoy::default(),
            revision: 0,
            clusters: BTreeMap::new(),
            hosts: [None; 3],
        };
        world.publish_with([None; 3], 0, vec![put(XdsKind::RouteTable, "t", "", "\x0a\x01t")]);
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

    fn publish_with(&mut self, hosts: [Option<usize>; 3], listener: u8, mut puts: Vec<Put>) {
        let mut removes = Vec::new();
        puts.push(put(XdsKind::Listener, "l", "", format!("l{listener}")));
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
        self.bench.session = Session::default();
        self.envoy.unread.clear();
        let watched: Vec<String> = self.names(ResourceType::Cluster);
        for (kind, names) in [
            (ResourceType::Cluster, Vec::new()),
            (ResourceType::Endpoints, watched),
            (ResourceType::Listener, Vec::new()),
            (ResourceType::Route, vec!["t".to_owned()]),
        ] {
            if kind == ResourceType::Endpoints && names.is_empty() {
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

    fn names(&self, kind: ResourceType) -> Vec<String> {
        self.envoy.held[kind as usize].0.keys().map(ToString::to_string).collect()
    }

    /// Applies the oldest response, asks for what follows from it, then ACKs.
    fn read(&mut self) {
        if self.envoy.unread.is_empty() {
            return;
        }
        let response = self.envoy.unread.remove(0);
        let before = self.names(ResourceType::Cluster);
        // Envoy drops what it does not watch.
        let watched =
            |name: &ArcStr| response.kind != ResourceType::Endpoints || before.contains(&name.to_string());
        let held = &mut self.envoy.held[response.kind as usize].0;
        for one in response.resources.iter().filter(|one| watched(&one.name)) {
            held.insert(one.name.clone(), (one.version, one.body.to_vec()));
        }
        for name in &response.removed {
            held.remove(name);
        }
        let after = self.names(ResourceType::Cluster);
        let fresh: Vec<_> = after.iter().filter(|name| !before.contains(name)).cloned().collect();
        let gone: Vec<_> = before.iter().filter(|name| !after.contains(name)).cloned().collect();
        for name in &gone {
            self.envoy.held[ResourceType::Endpoints as usize].0.remove(name.as_str());
        }
        if !fresh.is_empty() || !gone.is_empty() {
            self.ask(&DeltaDiscoveryRequest {
                type_url: ResourceType::Endpoints.url().into(),
                resource_names_subscribe: fresh,
                resource_names_unsubscribe: gone,
                ..Default::default()
            });
        }
        let out = self.bench.request(response.kind, &[], response.nonce, None);
        self.take(out);
    }

    /// Never a route to a cluster that is not there with its endpoints.
    fn check(&self) {
        let held = |kind: ResourceType| &self.envoy.held[kind as usize].0;
        let Some((_, table)) = held(ResourceType::Route).get("t") else { return };
        for name in CLUSTERS.iter().filter(|name| uses(table, name)) {
            assert!(held(ResourceType::Cluster).contains_key(*name), "a route to {name}, which is missing");
            assert!(held(ResourceType::Endpoints).contains_key(*name), "{name} has no endpoints");
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
        assert_eq!(self.bench.session.acked.0, self.revision, "something is owed for ever");
        for kind in ResourceType::ALL {
            let names: Vec<ArcStr> = self.bench.scope.names(kind).cloned().collect();
            assert_eq!(self.names(kind), names.iter().map(ToString::to_string).collect::<Vec<_>>());
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

/// True if a host of the table has the cluster's name as its body.
fn uses(table: &[u8], cluster: &str) -> bool {
    table.windows(3).any(|part| part == [0x12, 1, cluster.as_bytes()[0]])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_envoy_ends_with_the_scope_and_never_lacks_a_cluster(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.settle();
    }
}
