//! `fold(apply) == translate`: random scripts of events, incremental against from scratch.

use std::collections::BTreeMap;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_assert_eq, prop_oneof, proptest};
use proto::{Change, ClusterId, Epoch, Event, Kind, ObjectStatus, ResourceKey, Revision};
use serde_json::{Value, json};
use translate::{Engine, Env, Snapshot};

/// One change in the small world below.
#[derive(Clone, Debug)]
enum Step {
    /// Object, variant.
    Put(usize, usize),
    /// Object.
    Delete(usize),
    /// A relist of a kind in which only every other object is still there.
    Relist(usize),
}

fn world() -> Vec<ResourceKey> {
    let key =
        |kind: Kind, namespace: &'static str, name: &'static str| ResourceKey::local(kind, namespace, name);
    vec![
        key(Kind::GATEWAY_CLASS, "", "fleetgate"),
        key(Kind::GATEWAY, "infra", "one"),
        key(Kind::GATEWAY, "infra", "two"),
        key(Kind::HTTP_ROUTE, "apps", "a"),
        key(Kind::HTTP_ROUTE, "apps", "b"),
        key(Kind::HTTP_ROUTE, "infra", "c"),
        key(Kind::GRPC_ROUTE, "apps", "g"),
        key(Kind::GRPC_ROUTE, "infra", "h"),
        key(Kind::TLS_ROUTE, "apps", "k"),
        key(Kind::TLS_ROUTE, "infra", "l"),
        key(Kind::TCP_ROUTE, "apps", "m"),
        key(Kind::TCP_ROUTE, "infra", "n"),
        key(Kind::SERVICE, "apps", "x"),
        key(Kind::SERVICE, "infra", "y"),
        key(Kind::ENDPOINT_SLICE, "apps", "x-1"),
        key(Kind::ENDPOINT_SLICE, "apps", "x-2"),
        key(Kind::REFERENCE_GRANT, "infra", "grant"),
        key(Kind::NAMESPACE, "", "apps"),
        key(Kind::BACKEND_TLS_POLICY, "apps", "tls"),
        key(Kind::BACKEND_TLS_POLICY, "apps", "older"),
        key(Kind::CONFIG_MAP, "apps", "ca"),
        key(Kind::SECRET, "infra", "cert"),
        key(Kind::SECRET, "apps", "client"),
        key(Kind::CONFIG_MAP, "infra", "ca"),
        key(Kind::REFERENCE_GRANT, "apps", "gateways"),
        key(Kind::LISTENER_SET, "apps", "s"),
        key(Kind::LISTENER_SET, "infra", "t"),
        key(Kind::GATEWAY_PARAMETERS, "infra", "p"),
        key(Kind::CLUSTER_TRUST_BUNDLE, "", "ca"),
        key(Kind::API_RESOURCE, "", "clustertrustbundles.certificates.k8s.io"),
        key(Kind::CUSTOM_RESOURCE_DEFINITION, "", "gateways.gateway.networking.k8s.io"),
    ]
}

fn pick<'a>(list: &[&'a str], variant: usize) -> &'a str {
    list[variant % list.len()]
}

fn object(key: &ResourceKey, v: usize) -> Value {
    match key.kind.kind() {
        "GatewayClass" => json!({"spec": {"controllerName":
            pick(&["fleetgate.dev/gateway", "fleetgate.dev/gateway", "other.example/controller"], v)}}),
        "Gateway" => gateway(v),
        "HTTPRoute" => route(v),
        "GRPCRoute" => grpc_route(v),
        "TLSRoute" => l4_route(v, hostnames(v / 2)),
        "TCPRoute" => l4_route(v, json!([])),
        "ListenerSet" => listener_set(v),
        "GatewayParameters" => {
            let replicas = json!({"kube": {"deployment": {"replicas": v % 3}}});
            json!({"spec": if v.is_multiple_of(3) { json!({"selfManaged": {}}) } else { replicas }})
        }
        "ClusterTrustBundle" => {
            json!({"spec": {"trustBundle": pick(&["A", "B", ""], v)}, "authorities": authorities(v)})
        }
        "APIResource" => json!({"name": "clustertrustbundles"}),
        "CustomResourceDefinition" => json!({"metadata": {"annotations": {
            "gateway.networking.k8s.io/channel": pick(&["experimental", "experimental", "standard"], v)}}}),
        "Service" => json!({"spec": {"ports": [
            {"name": "http", "port": pick_port(v), "appProtocol": pick(&["http", "kubernetes.io/h2c", "kubernetes.io/odd", "kubernetes.io/ws"], v / 3)}]}}),
        "EndpointSlice" => json!({
            "metadata": {"labels": {"kubernetes.io/service-name": pick(&["x", "x", "z"], v)}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [format!("10.0.0.{}", v % 5)], "conditions": {"ready": !v.is_multiple_of(4)}}],
            "ports": [{"name": "http", "port": 8080 + v % 2}]}),
        "ReferenceGrant" if key.namespace == "apps" => json!({"spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "infra"}],
            "to": [{"group": "", "kind": pick(&["ConfigMap", "Secret"], v)}, {"group": "", "kind": pick(&["Secret", "Odd"], v / 2)}]}}),
        "ReferenceGrant" => json!({"spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": pick(&["apps", "other"], v)},
                {"group": "gateway.networking.k8s.io", "kind": "GRPCRoute", "namespace": pick(&["other", "apps"], v / 2)}],
            "to": [{"group": "", "kind": pick(&["Service", "Secret"], v / 2)}]}}),
        "Namespace" => json!({"metadata": {"labels": {"team": pick(&["a", "b"], v)}}}),
        "BackendTLSPolicy" => json!({
            "metadata": {"creationTimestamp": pick(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"], v)},
            "spec": {"targetRefs": [{"kind": "Service", "name": "x"}],
                "validation": {"hostname": pick(&["x.example", "y.example"], v / 2),
                    "caCertificateRefs": [ca_reference(v / 4)]}}}),
        "ConfigMap" => {
            json!({"data": {"ca.crt": pick(&["A", "B", "none"], v)}, "authorities": authorities(v)})
        }
        "Secret" => json!({"data": {"tls.crt": pick(&["QQ==", "Qg=="], v)},
            "privateKey": {"state": pick(&["Valid", "Valid", "Mismatch", "Unread"], v / 2)}}),
        other => panic!("no object of kind {other}"),
    }
}

fn authorities(v: usize) -> Value {
    json!({"state": pick(&["Valid", "Valid", "Malformed", "Missing"], v), "message": "why"})
}

fn ca_reference(v: usize) -> Value {
    let bundle = json!({"group": "certificates.k8s.io", "kind": "ClusterTrustBundle", "name": "ca"});
    [json!({"kind": "ConfigMap", "name": "ca"}), bundle, json!({"kind": "Odd", "name": "ca"})][v % 3].clone()
}

fn pick_port(v: usize) -> u16 {
    [80, 80, 81][v % 3]
}

fn gateway(v: usize) -> Value {
    let hostnames = ["", "*.example.com", "a.example.com"];
    let from = [
        json!({"from": "All"}),
        json!({"from": "Same"}),
        json!({"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}),
    ];
    let auth = json!({"type": "ExternalAuth", "externalAuth": {"protocol": pick(&["HTTP", "GRPC"], v),
        "backendRef": {"name": "y", "port": pick_port(v)}}});
    let requests = [json!([]), json!([auth]), json!([auth, {"type": "ExtensionRef"}]), json!([])];
    let kinds = json!([[], [{"kind": "HTTPRoute"}], [{"kind": "GRPCRoute"}, {"kind": "TCPRoute"}]]);
    let mut listeners = vec![json!({"name": "first", "port": 80, "protocol": "HTTP",
        "filters": {"requests": requests[v / 3 % 4]}, "allowedRoutes": {"namespaces": from[v % 3], "kinds": kinds[v / 4 % 3]}})];
    if v.is_multiple_of(2) {
        listeners
            .push(json!({"name": "second", "port": 80, "protocol": "HTTP", "hostname": hostnames[v / 2 % 3],
            "allowedRoutes": {"namespaces": {"from": "All"}}}));
    }
    if v.is_multiple_of(3) {
        for (name, hostname) in [("tls-any", ""), ("tls-a", hostnames[v / 3 % 3])] {
            listeners.push(json!({"name": name, "port": 443, "protocol": "HTTPS", "hostname": hostname,
                "tls": {"certificateRefs": [{"name": "cert"}]}, "allowedRoutes": {"namespaces": {"from": "All"}}}));
        }
    }
    if v.is_multiple_of(2) {
        for (name, hostname, mode) in [
            ("pass", hostnames[v / 2 % 3], "Passthrough"),
            ("end", "*.com", pick(&["Terminate", "Passthrough"], v / 4)),
        ] {
            listeners.push(json!({"name": name, "port": 8443, "protocol": "TLS", "hostname": hostname,
                "tls": {"mode": mode, "certificateRefs": [{"name": "cert"}]}, "allowedRoutes": {"namespaces": from[v / 2 % 3]}}));
        }
    }
    if v.is_multiple_of(7) {
        listeners.push(json!({"name": "odd", "port": 9, "protocol": pick(&["TCP", "TCP", "UDP"], v / 7)}));
    }
    let allowed = json!([null, {"namespaces": from[v % 3]}, {"namespaces": {"from": "All"}}]);
    let parameters = json!({"group": "gateway.gloo.solo.io", "kind": "GatewayParameters", "name": "p"});
    let infrastructure = if v.is_multiple_of(5) { json!({"parametersRef": parameters}) } else { json!(null) };
    let addresses = [
        json!([]),
        json!([{"value": "192.0.2.1"}]),
        json!([{}, {"routability": "Cluster"}, {"routability": "example.com/elsewhere"}]),
    ];
    json!({"spec": {"gatewayClassName": "fleetgate", "listeners": listeners, "addresses": addresses[v % 3], "tls": gateway_tls(v),
        "allowedListeners": allowed[v / 2 % 3], "infrastructure": infrastructure}})
}

fn listener_set(v: usize) -> Value {
    let hostname = pick(&["", "a.example.com", "s.example.com"], v);
    json!({
        "metadata": {"creationTimestamp": pick(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"], v)},
        "spec": {
            "parentRef": {"name": pick(&["one", "one", "two", "none"], v / 2), "namespace": "infra"},
            "listeners": [
                {"name": "first", "port": 80, "protocol": pick(&["HTTP", "HTTP", "TCP", "TLS"], v / 3), "hostname": hostname},
                {"name": "own", "port": 443, "protocol": "HTTPS", "hostname": "s.example.com",
                    "tls": {"certificateRefs": [{"name": "cert", "namespace": "infra"}]},
                    "allowedRoutes": {"namespaces": {"from": "All"}}},
            ],
        },
    })
}

fn gateway_tls(v: usize) -> Value {
    let certificates = [
        json!(null),
        json!({"name": "cert"}),
        json!({"name": "client", "namespace": "apps"}),
        json!({"name": "ca", "kind": "ConfigMap"}),
    ];
    let here = json!({"name": "ca"});
    let there = json!({"kind": "ConfigMap", "name": "ca", "namespace": "apps"});
    let odd = json!({"kind": "Odd", "name": "ca"});
    let bundle = ca_reference(1);
    let frontends = [
        json!(null),
        json!({"default": {"validation": {"caCertificateRefs": [here]}}}),
        json!({"default": {"validation": {"caCertificateRefs": [there, here], "mode": "AllowInsecureFallback"}}}),
        json!({"default": {}, "perPort": [{"port": 443, "tls": {"validation": {"caCertificateRefs": [there]}}}]}),
        json!({"default": {"validation": {"caCertificateRefs": [odd]}},
            "perPort": [{"port": 80, "tls": {"validation": {"caCertificateRefs": [here]}}}]}),
        json!({"default": {"validation": {"caCertificateRefs": [bundle]}}}),
    ];
    json!({"backend": {"clientCertificateRef": certificates[v % 4]}, "frontend": frontends[v % 6]})
}

fn hostnames(v: usize) -> Value {
    let hostnames =
        json!([[], ["a.example.com"], ["*.example.com"], ["b.example.com", "*.com"], ["bad host"]]);
    hostnames[v % 5].clone()
}

fn parents(v: usize) -> Value {
    let parents = [
        json!([{"name": "one", "namespace": "infra"}]),
        json!([{"name": "one", "namespace": "infra", "sectionName": "second"}, {"name": "two", "namespace": "infra"}]),
        json!([{"name": "two", "namespace": "infra", "port": 443}, {"kind": "ListenerSet", "name": "s"}]),
        json!([{"kind": "ListenerSet", "name": "t", "namespace": "infra", "sectionName": "own"}]),
    ];
    parents[v % 4].clone()
}

fn grpc_route(v: usize) -> Value {
    let methods = json!([null, {"service": "a.S", "method": "M"}, {"method": "M"},
        {"type": "RegularExpression", "service": pick(&["a.*", "(bad"], v / 5)}, {}]);
    let filters = json!([[],
        [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "y", "namespace": "infra", "port": 80}}}],
        [{"type": "URLRewrite", "urlRewrite": {"hostname": "z.example"}}]]);
    let version = json!([{"name": "version", "value": "2"}]);
    json!({"spec": {"parentRefs": parents(v / 3), "hostnames": hostnames(v / 2),
        "rules": [{"matches": [{"method": methods[v % 5], "headers": version}], "filters": filters[v / 2 % 3],
                "backendRefs": [{"name": "x", "port": 80, "weight": v % 3}, {"name": "y", "namespace": "infra", "port": 80}]},
            {"backendRefs": [{"name": "x", "port": pick_port(v)}]}]}})
}

fn l4_route(v: usize, hostnames: Value) -> Value {
    let parents = [
        json!([{"name": "one", "namespace": "infra"}]),
        json!([{"name": "one", "namespace": "infra", "sectionName": "end"}, {"name": "two", "namespace": "infra", "port": 8443}]),
        json!([{"kind": "ListenerSet", "name": "s", "namespace": "apps"}]),
    ];
    json!({"metadata": {"creationTimestamp": pick(&["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"], v)},
        "spec": {"parentRefs": parents[v % 3], "hostnames": hostnames,
            "rules": [{"backendRefs": [{"name": "x", "port": pick_port(v), "weight": v % 3},
                {"name": "y", "namespace": "infra", "port": 80}]}]}})
}

fn route(v: usize) -> Value {
    let paths = [
        json!({"type": "PathPrefix", "value": "/"}),
        json!({"type": "Exact", "value": "/a"}),
        json!({"type": "RegularExpression", "value": pick(&["/r.*", "/(bad"], v / 5)}),
    ];
    let filters = [
        json!([]),
        json!([{"type": "RequestRedirect", "requestRedirect": {"hostname": "z.example"}}]),
        json!([{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/q"}}}]),
        json!([{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "y", "namespace": "infra", "port": 80}}}]),
    ];
    let filter = v / 3 % 4;
    let backends = if filter == 1 {
        json!([])
    } else {
        json!([{"name": "x", "port": 80, "weight": v % 3},
            {"name": "y", "namespace": "infra", "port": pick_port(v / 2), "filters": filters[[0, 2][v % 2]]}])
    };
    json!({"spec": {"parentRefs": parents(v / 2), "hostnames": hostnames(v),
        "rules": [{"matches": [{"path": paths[v % 3]}], "filters": filters[filter], "backendRefs": backends},
            {"matches": [{"path": {"type": "PathPrefix", "value": "/b"}, "method": "GET"}], "backendRefs": [{"name": "x", "port": 80}]}]}})
}

fn step(objects: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..objects, 0..64_usize).prop_map(|(object, variant)| Step::Put(object, variant)),
        2 => (0..objects).prop_map(Step::Delete),
        1 => (0..objects).prop_map(Step::Relist),
        1 => Just(Step::Put(0, 0)),
    ]
}

fn event(key: ResourceKey, variant: Option<usize>, epoch: Epoch) -> Event {
    let mut event = Event::synced(ClusterId::LOCAL, key.kind.clone(), epoch, Epoch(0), 0);
    event.change = match variant {
        Some(variant) => Change::Upsert(object(&key, variant).to_string().into()),
        None => Change::Delete,
    };
    event.resource_version = variant.unwrap_or_default().to_string().into();
    event.generation = i64::try_from(variant.unwrap_or_default()).unwrap();
    event.key = key;
    event
}

/// The plain model: which variant of each object there is.
#[derive(Default)]
struct Model {
    objects: BTreeMap<ResourceKey, usize>,
    epoch: u64,
}

impl Model {
    fn events(&mut self, step: &Step, world: &[ResourceKey]) -> Vec<Event> {
        match step {
            Step::Put(index, variant) => {
                self.objects.insert(world[*index].clone(), *variant);
                vec![event(world[*index].clone(), Some(*variant), Epoch(self.epoch))]
            }
            Step::Delete(index) => {
                self.objects.remove(&world[*index]);
                vec![event(world[*index].clone(), None, Epoch(self.epoch))]
            }
            Step::Relist(index) => {
                let kind = world[*index].kind.clone();
                self.epoch += 1;
                let mut number = 0;
                let mut events = Vec::new();
                self.objects.retain(|key, variant| {
                    if key.kind != kind {
                        return true;
                    }
                    number += 1;
                    if number % 2 == 1 {
                        events.push(event(key.clone(), Some(*variant), Epoch(self.epoch)));
                    }
                    number % 2 == 1
                });
                let epoch = Epoch(self.epoch);
                events.push(Event::synced(ClusterId::LOCAL, kind, epoch, epoch, 0));
                events
            }
        }
    }

    fn translated(&self, env: &Env) -> Snapshot {
        let events = self.objects.iter().map(|(key, variant)| event(key.clone(), Some(*variant), Epoch(0)));
        translate::translate(events, env)
    }
}

fn fold(snapshot: &mut Snapshot, delta: proto::Delta) {
    for put in delta.puts {
        snapshot.puts.insert(put.key.clone(), put);
    }
    for key in delta.removes {
        assert!(snapshot.puts.remove(&key).is_some(), "{key} is removed but was never there");
    }
    for report in delta.reports {
        let status: Option<ObjectStatus> = report.status;
        match status {
            Some(status) => snapshot.reports.insert(report.key, status),
            None => snapshot.reports.remove(&report.key),
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn incremental_equals_from_scratch(batches in prop::collection::vec(prop::collection::vec(step(world().len()), 1..5), 1..25), in_pods in any::<bool>()) {
        let world = world();
        let env = if in_pods { Env::pods() } else { Env::default() };
        let mut model = Model::default();
        let mut engine = Engine::new(env.clone());
        let mut folded = Snapshot::default();
        for (number, batch) in batches.iter().enumerate() {
            let events: Vec<Event> = batch.iter().flat_map(|step| model.events(step, &world)).collect();
            fold(&mut folded, engine.apply(Revision(number as u64 + 1), &events));
            let scratch = model.translated(&env);
            prop_assert_eq!(&folded.reports, &scratch.reports, "reports after batch {}: {:?}", number, batch);
            let (folded_puts, scratch_puts): (Vec<_>, Vec<_>) =
                (folded.puts.values().collect(), scratch.puts.values().collect());
            prop_assert_eq!(folded_puts, scratch_puts, "pieces after batch {}: {:?}", number, batch);
            prop_assert_eq!(engine.verify(), Vec::<String>::new(), "nodes that come out different");
            prop_assert_eq!(engine.stats().stages.values().map(|stage| stage.failed).sum::<usize>(), 0);
        }
    }
}

/// `PROPTEST_CASES` sets another number.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(200)
}
