//! A few steps of a session by hand.

use bytes::Bytes;
use envoy_types::pb::{
    envoy::{
        config::cluster::v3::{
            Cluster,
            cluster::{ClusterDiscoveryType, DiscoveryType},
        },
        service::discovery::v3::DeltaDiscoveryRequest,
    },
    google::rpc::Status,
};
use prost::Message;
use proto::{ContentHash, Kind, PrivateKeyRef, Put, ResourceKey, Revision, XdsKey, XdsKind};

use super::{Input, Mark, Notice, Output, Session, Touched};
use crate::{PrivateKeys, resource::ResourceType, scope::Scope};

struct NoKeys;

impl PrivateKeys for NoKeys {
    fn private_key(&self, _: &PrivateKeyRef) -> Option<Bytes> {
        None
    }
}

fn gateway() -> ResourceKey {
    ResourceKey::local(Kind::GATEWAY, "default", "web")
}

fn put(kind: XdsKind, name: &str, domain: &str, body: impl Into<Bytes>) -> Put {
    let body = body.into();
    let mut key = XdsKey::new(gateway(), kind, name);
    key.domain = domain.into();
    Put { key, version: ContentHash::of(&body), body, private_key: None }
}

fn cluster(name: &str) -> Put {
    let kind = Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into()));
    let body = Cluster { name: name.into(), cluster_discovery_type: kind, ..Default::default() };
    put(XdsKind::Cluster, name, "", body.encode_to_vec())
}

struct Bench {
    scope: Scope,
    session: Session,
}

impl Bench {
    fn new() -> Self {
        Bench { scope: Scope::new(gateway()), session: Session::default() }
    }

    fn publish(&mut self, revision: u64, puts: &[Put], removes: &[XdsKey]) -> Output {
        let (puts, removes): (Vec<_>, Vec<_>) = (puts.iter().collect(), removes.iter().collect());
        let effect = self.scope.apply(Revision(revision), &puts, &removes);
        let mark = Mark::at(Revision(revision));
        let touched = effect.touched.into_iter().map(|id| Touched { id, mark }).collect();
        self.session.step(Input::Changed(touched), &mut self.scope, &NoKeys)
    }

    fn request(&mut self, kind: ResourceType, names: &[&str], nonce: u64, error: Option<&str>) -> Output {
        let request = DeltaDiscoveryRequest {
            type_url: kind.url().into(),
            resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
            response_nonce: if nonce == 0 { String::new() } else { nonce.to_string() },
            error_detail: error.map(|message| Status { message: message.into(), ..Default::default() }),
            ..Default::default()
        };
        self.session.step(Input::Request(&request), &mut self.scope, &NoKeys)
    }

    /// ACKs every response, and those that follow, and says which went out.
    fn ack_all(&mut self, out: Output) -> Vec<String> {
        let (mut log, mut queue) = (Vec::new(), vec![out]);
        while let Some(out) = queue.pop() {
            for one in out.responses {
                log.push(shown(&one));
                queue.push(self.request(one.kind, &[], one.nonce, None));
            }
        }
        log
    }

    /// A fresh Envoy that has taken in cluster `a`, listener `l` and table `t` with host `h`.
    fn started() -> Self {
        let mut bench = Bench::new();
        let puts = [
            cluster("a"),
            put(XdsKind::Endpoints, "a", "", "a1"),
            put(XdsKind::Listener, "l", "", "l1"),
            put(XdsKind::RouteTable, "t", "", "\x0a\x01t"),
            put(XdsKind::VirtualHost, "t", "h", "h1"),
        ];
        bench.publish(1, &puts, &[]);
        for (kind, names) in [
            (ResourceType::Cluster, &[][..]),
            (ResourceType::Endpoints, &["a"]),
            (ResourceType::Listener, &[]),
            (ResourceType::Route, &["t"]),
        ] {
            let out = bench.request(kind, names, 0, None);
            assert_eq!(bench.ack_all(out).len(), 1, "{kind:?}");
        }
        assert_eq!(bench.session.acked, Revision(1));
        bench
    }
}

fn shown(one: &super::Response) -> String {
    let names: Vec<_> = one.resources.iter().map(|resource| resource.name.as_str()).collect();
    let removed: Vec<_> = one.removed.iter().map(|name| format!("-{name}")).collect();
    format!("{} {}{}", one.kind.label(), names.join(","), removed.join(","))
}

#[test]
fn a_route_waits_for_its_new_cluster_and_the_old_cluster_for_the_route() {
    let mut bench = Bench::started();
    let puts =
        [cluster("b"), put(XdsKind::Endpoints, "b", "", "b1"), put(XdsKind::VirtualHost, "t", "h", "h2")];
    let out = bench.publish(2, &puts, &[XdsKey::new(gateway(), XdsKind::Cluster, "a")]);
    assert_eq!(out.responses.iter().map(shown).collect::<Vec<_>>(), ["cds b"]);
    let cds = out.responses[0].nonce;
    assert_eq!(bench.request(ResourceType::Cluster, &[], cds, None).responses.len(), 0);
    let out = bench.request(ResourceType::Endpoints, &["b"], 0, None);
    assert_eq!(bench.ack_all(out), ["eds b", "rds t", "cds -a"]);
    assert_eq!(bench.session.acked, Revision(2));
}

#[test]
fn one_bad_host_falls_back_alone_and_heals() {
    let mut bench = Bench::started();
    let hosts = |bad: &'static str| {
        [put(XdsKind::VirtualHost, "t", "h", bad), put(XdsKind::VirtualHost, "t", "i", "i1")]
    };
    let mut out = bench.publish(2, &hosts("bad"), &[]);
    let (mut blamed, mut pushes) = (Vec::new(), 0);
    while let Some(one) = out.responses.pop() {
        pushes += 1;
        assert!(pushes < 10, "does not settle");
        let is_bad = one.resources[0].body.windows(3).any(|window| window == b"bad");
        out = bench.request(ResourceType::Route, &[], one.nonce, is_bad.then_some("no"));
        for notice in &out.notices {
            if let Notice::Nacked { keys, .. } = notice {
                blamed.extend(keys.iter().map(|key| key.domain.to_string()));
            }
        }
    }
    assert_eq!(blamed, ["h"]);
    let (body, _) = bench.scope.body(ResourceType::Route, &"t".into()).unwrap();
    assert_eq!(&body[..], b"\x0a\x01t\x12\x02h1\x12\x02i1");
    let out = bench.publish(3, &hosts("h3")[..1], &[]);
    let out = bench.request(ResourceType::Route, &[], out.responses[0].nonce, None);
    assert!(out.notices.iter().any(|notice| matches!(notice, Notice::Healed(_))), "{:?}", out.notices);
    assert_eq!(bench.session.acked, Revision(3));
}

#[test]
fn a_reconnect_resends_nothing_and_removes_what_is_gone() {
    let mut bench = Bench::started();
    let crate::scope::Offer::Ready { version, .. } = bench.scope.offer(ResourceType::Listener, &"l".into())
    else {
        panic!("no listener");
    };
    bench.session = Session::default();
    let mut request =
        DeltaDiscoveryRequest { type_url: ResourceType::Listener.url().into(), ..Default::default() };
    request.initial_resource_versions.insert("l".into(), version.to_string());
    request.initial_resource_versions.insert("gone".into(), version.to_string());
    let out = bench.session.step(Input::Request(&request), &mut bench.scope, &NoKeys);
    assert_eq!(out.responses.iter().map(shown).collect::<Vec<_>>(), ["lds -gone"]);
}
