//! A few steps of a session by hand.

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use proto::{XdsKey, XdsKind};

use super::bench::{Bench, cluster, gateway, put, shown};
use crate::{
    resource::ResourceType,
    xds::{Input, Notice, Session},
};

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
    assert_eq!(bench.session.acked.0, 2);
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
    assert_eq!(bench.session.acked.0, 3);
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
    let out = bench.session.step(Input::Request(&request), &mut bench.scope, &super::bench::NoKeys);
    assert_eq!(out.responses.iter().map(shown).collect::<Vec<_>>(), ["lds -gone"]);
}

#[test]
fn a_proxy_that_lacks_only_a_bad_new_host_is_known_to_have_the_rest() {
    let mut bench = Bench::new();
    let table = put(XdsKind::RouteTable, "t", "", "\x0a\x01t");
    let hosts = ["h", "i"].map(|host| put(XdsKind::VirtualHost, "t", host, "good"));
    bench.publish(1, &[&[table][..], &hosts].concat(), &[]);
    bench.scope.want(ResourceType::Route, &"t".into());
    let crate::scope::Offer::Ready { version, .. } = bench.scope.offer(ResourceType::Route, &"t".into())
    else {
        panic!("no table");
    };
    bench.publish(2, &[put(XdsKind::VirtualHost, "t", "j", "bad")], &[]);
    let _ = bench.request(ResourceType::Cluster, &[], 0, None);
    let cds = bench.request(ResourceType::Cluster, &[], 1, None);
    assert!(cds.responses.is_empty());
    let mut request = DeltaDiscoveryRequest {
        type_url: ResourceType::Route.url().into(),
        resource_names_subscribe: vec!["t".into()],
        ..Default::default()
    };
    request.initial_resource_versions.insert("t".into(), version.to_string());
    let out = bench.session.step(Input::Request(&request), &mut bench.scope, &super::bench::NoKeys);
    let out = bench.request(ResourceType::Route, &[], out.responses[0].nonce, Some("no"));
    let blamed = out.notices.iter().find_map(|notice| match notice {
        Notice::Nacked { keys, .. } => Some(keys.clone()),
        _ => None,
    });
    assert_eq!(blamed.unwrap(), [XdsKey::virtual_host(gateway(), "t", "j")]);
    assert!(out.responses.is_empty(), "it has the table without j");
    let out = bench.publish(3, &[put(XdsKind::VirtualHost, "t", "i", "newer")], &[]);
    assert_eq!(out.responses.len(), 1, "the other hosts go on");
}
