//! Steps of a session and what it answers to each.
//!
//! ```text
//! publish rev=N        lines `+kind name [domain] body`, `-kind name [domain]`, `+host table domain body up-to`,
//!                      `+routes table domain object body`
//! ask type=T           sub=(…) unsub=(…); has=(…) in the version served now, old=(…) in another one; `all` is the wildcard
//! ack type=T           the push that has no answer; `stale` answers another one
//! nack type=T          the message is the input
//! stalled              clusters have taken too long
//! reconnect            a new stream
//! ```
//! A resource is shown as `name:body`, a route table as `name[host bodies]`, a removal as `-name`.

use std::{collections::BTreeMap, fmt::Write as _};

use datadriven::TestCase;
use envoy_types::pb::envoy::{
    config::cluster::v3::{
        Cluster,
        cluster::{ClusterDiscoveryType, DiscoveryType},
    },
    service::discovery::v3::DeltaDiscoveryRequest,
};
use prost::Message;
use proto::{ArcStr, Cause, Put, RouteEntry, RouteSet, Routing, XdsKey, XdsKind};

use super::bench::{Bench, NoKeys, gateway, put};
use crate::{
    resource::ResourceType,
    scope::Offer,
    xds::{Input, Notice, Output, Response, Session},
};

#[test]
fn scripts() {
    datadriven::walk("testdata/sessions", |file| {
        let mut script = Script { bench: Bench::new(), nonces: BTreeMap::new() };
        file.run(|case| script.step(case));
    });
}

struct Script {
    bench: Bench,
    nonces: BTreeMap<ResourceType, u64>,
}

impl Script {
    fn step(&mut self, case: &TestCase) -> String {
        let arg = |name: &str| -> Vec<String> {
            let values = case.args.get(name).into_iter().flatten();
            values.map(|value| if value == "all" { "*".into() } else { value.clone() }).collect()
        };
        let of = || {
            let label = arg("type").remove(0);
            ResourceType::ALL.into_iter().find(|one| one.label() == label).expect("a type")
        };
        let out = match case.directive.as_str() {
            "publish" => self.publish(arg("rev")[0].parse().unwrap(), &case.input),
            "ask" => self.ask(of(), arg("sub"), arg("unsub"), &arg("has"), &arg("old")),
            "ack" => {
                let nonce = if case.args.contains_key("stale") { 999 } else { self.nonce(of()) };
                self.bench.request(of(), &[], nonce, None)
            }
            "nack" => self.bench.request(of(), &[], self.nonce(of()), Some(case.input.trim())),
            "stalled" => self.bench.session.step(Input::Stalled, &mut self.bench.scope, &NoKeys),
            "reconnect" => {
                self.bench.session = Session::default();
                Output::default()
            }
            other => panic!("no step is called {other}"),
        };
        self.shown(out)
    }

    fn nonce(&self, kind: ResourceType) -> u64 {
        self.nonces.get(&kind).copied().unwrap_or(998)
    }

    fn publish(&mut self, revision: u64, lines: &str) -> Output {
        let (mut puts, mut removes) = (Vec::new(), Vec::new());
        for line in lines.lines() {
            let (sign, line) = line.split_at(1);
            let words: Vec<&str> = line.split_whitespace().collect();
            match sign {
                "+" => puts.push(piece(&words)),
                _ => removes.push(piece(&[&words[..], &["gone"]].concat()).key),
            }
        }
        self.bench.publish(revision, &puts, &removes)
    }

    fn ask(
        &mut self,
        kind: ResourceType,
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
        has: &[String],
        old: &[String],
    ) -> Output {
        let version = |name: &String| match self.bench.scope.offer(kind, &ArcStr::from(name.as_str())) {
            Offer::Ready { version, .. } => version.to_string(),
            _ => "?".into(),
        };
        let has = has.iter().map(|name| (name.clone(), version(name)));
        let request = DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            resource_names_subscribe: subscribe,
            resource_names_unsubscribe: unsubscribe,
            initial_resource_versions: has.chain(old.iter().map(|name| (name.clone(), "1".into()))).collect(),
            ..Default::default()
        };
        self.bench.session.step(Input::Request(&request), &mut self.bench.scope, &NoKeys)
    }

    fn shown(&mut self, out: Output) -> String {
        let mut text = String::new();
        for response in &out.responses {
            self.nonces.insert(response.kind, response.nonce);
            writeln!(text, "{}", shown(response)).unwrap();
        }
        for notice in &out.notices {
            match notice {
                Notice::Acked(revision) => writeln!(text, "has all up to {revision}").unwrap(),
                Notice::Healed(keys) => writeln!(text, "healed {}", names(keys)).unwrap(),
                Notice::Nacked { keys, cause, .. } => {
                    let unserved =
                        if *cause == Cause::Unserved { ", of which nothing is served" } else { "" };
                    writeln!(text, "blames {}{unserved}", names(keys)).unwrap();
                }
                Notice::PushAcked { .. } | Notice::PushNacked { .. } => {}
                Notice::FellBack(_) => writeln!(text, "is given whole tables").unwrap(),
            }
        }
        if text.is_empty() { "-\n".into() } else { text }
    }
}

fn piece(words: &[&str]) -> Put {
    match words {
        ["cluster", name, body] => {
            let eds = Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into()));
            let cluster = Cluster {
                name: (*name).into(),
                alt_stat_name: (*body).into(),
                cluster_discovery_type: eds,
                ..Default::default()
            };
            put(XdsKind::Cluster, name, "", cluster.encode_to_vec())
        }
        ["endpoints", name, body] => put(XdsKind::Endpoints, name, "", body.as_bytes().to_vec()),
        ["secret", name, body] => put(XdsKind::Secret, name, "", body.as_bytes().to_vec()),
        ["listener", name, body] => put(XdsKind::Listener, name, "", body.as_bytes().to_vec()),
        ["table", name, body] => put(XdsKind::RouteTable, name, "", body.as_bytes().to_vec()),
        ["host", table, domain, body] => put(XdsKind::VirtualHost, table, domain, body.as_bytes().to_vec()),
        ["host", table, domain, body, up_to] => {
            let mut host = put(XdsKind::VirtualHost, table, domain, body.as_bytes().to_vec());
            host.routing = Some(Routing::UpTo((*up_to).into()));
            host
        }
        ["routes", table, domain, object, body] => {
            let entry = RouteEntry { order: 0, path: None, body: body.as_bytes().to_vec().into() };
            let set = RouteSet { specificity: 0, created: "".into(), entries: [entry].into() };
            let key = XdsKey::routes(gateway(), *table, *domain, *object);
            let version = set.version();
            Put { version, routing: Some(Routing::Routes(set.into())), ..Put::new(key, Vec::new()) }
        }
        _ => panic!("not a piece: {words:?}"),
    }
}

fn names(keys: &[XdsKey]) -> String {
    let prefix = format!("{} ", gateway().namespaced_name());
    let names: Vec<_> = keys.iter().map(|key| key.to_string().replace(&prefix, "")).collect();
    if names.is_empty() { "nobody yet".into() } else { names.join(", ") }
}

/// The text of a host, then those of its routes.
fn shown_host(host: &str) -> String {
    let mut parts = host.split('\u{1a}');
    let own = parts.next().unwrap_or_default().to_owned();
    parts.fold(own, |shown, route| format!("{shown}/{}", &route[1..]))
}

fn shown(response: &Response) -> String {
    let mut words = vec![response.kind.label().to_owned()];
    for one in &response.resources {
        words.push(match response.kind {
            ResourceType::Cluster => {
                format!("{}:{}", one.name, Cluster::decode(one.body.clone()).unwrap().alt_stat_name)
            }
            ResourceType::Route => {
                let text = String::from_utf8(one.body.to_vec()).unwrap();
                let mut parts = text.split('\u{12}');
                let header = parts.next().unwrap();
                let hosts: Vec<_> = parts.map(|part| shown_host(&part[1..])).collect();
                format!("{}:{header}[{}]", one.name, hosts.join(" "))
            }
            _ => format!("{}:{}", one.name, String::from_utf8(one.body.to_vec()).unwrap()),
        });
    }
    words.extend(response.removed.iter().map(|name| format!("-{name}")));
    words.join(" ")
}
