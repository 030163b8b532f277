use proto::{ClusterId, Epoch, Event, Kind, ResourceKey};
use serde_json::{Value, json};

use super::{Hinted, find};

const CONTROLLER: &str = "fleetgate.dev/gateway";

fn event(kind: &Kind, name: &str, object: &Value) -> Event {
    let key = ResourceKey::local(kind.clone(), if kind.is_cluster_scoped() { "" } else { "a" }, name);
    let mut event = Event::synced(ClusterId::LOCAL, kind.clone(), Epoch(1), Epoch(0), 0);
    event.key = key;
    event.change = proto::Change::Upsert(serde_json::to_vec(object).unwrap().into());
    event
}

fn class(name: &str, controller: &str) -> Event {
    event(&Kind::GATEWAY_CLASS, name, &json!({"spec": {"controllerName": controller}}))
}

fn gateway(name: &str, class: &str) -> Event {
    event(&Kind::GATEWAY, name, &json!({"spec": {"gatewayClassName": class}}))
}

/// A route, and when it was made.
fn route(kind: &Kind, name: &str, created: &str, spec: Value) -> Event {
    event(kind, name, &json!({"metadata": {"creationTimestamp": created}, "spec": spec}))
}

fn hints(events: Vec<Event>) -> Vec<String> {
    let shown = |hinted: Hinted| {
        let of = format!("{} {}", hinted.kind, hinted.name);
        hinted
            .hints
            .into_iter()
            .map(move |hint| format!("{of} {} {}: {}", hint.reason, hint.field, hint.problem))
    };
    find(events, CONTROLLER, &|_| true).into_iter().flat_map(shown).collect()
}

#[test]
fn parents_that_are_not_there_are_told() {
    let parents = |parents: Value| json!({"parentRefs": parents});
    let told = hints(vec![
        class("ours", CONTROLLER),
        class("theirs", "example.com/theirs"),
        gateway("good", "ours"),
        gateway("lost", "nowhere"),
        gateway("other", "theirs"),
        event(&Kind::LISTENER_SET, "set", &json!({"spec": {"parentRef": {"name": "gone"}}})),
        route(&Kind::HTTP_ROUTE, "fine", "", parents(json!([{"name": "good"}]))),
        route(&Kind::HTTP_ROUTE, "foreign", "", parents(json!([{"name": "other"}]))),
        route(
            &Kind::TCP_ROUTE,
            "half",
            "",
            parents(json!([{"name": "good"}, {"name": "gone", "namespace": "b"}])),
        ),
        route(&Kind::TLS_ROUTE, "of-lost", "", parents(json!([{"name": "lost"}]))),
        route(&Kind::GRPC_ROUTE, "of-set", "", parents(json!([{"kind": "ListenerSet", "name": "set"}]))),
        route(
            &Kind::HTTP_ROUTE,
            "of-service",
            "",
            parents(json!([{"group": "", "kind": "Service", "name": "x"}])),
        ),
    ]);
    assert_eq!(
        told,
        [
            "GRPCRoute of-set NoMatchingParent spec.parentRefs[0]: Gateway a/gone does not exist, which ListenerSet a/set \
             belongs to",
            "Gateway lost NoSuchClass spec.gatewayClassName: GatewayClass nowhere does not exist: nobody serves this \
             Gateway",
            "Gateway other ClassOfAnother spec.gatewayClassName: GatewayClass theirs is of controller \
             example.com/theirs, not of this fleetgate",
            "ListenerSet set NoMatchingParent spec.parentRef: Gateway a/gone does not exist",
            "TCPRoute half NoMatchingParent spec.parentRefs[1]: Gateway b/gone does not exist",
            "TLSRoute of-lost NoMatchingParent spec.parentRefs[0]: GatewayClass nowhere does not exist, which is the \
             class of Gateway a/lost",
        ]
    );
}

#[test]
fn services_without_a_ready_endpoint_are_told() {
    let slice = |service: &str, endpoints: Value| {
        let labels = json!({"kubernetes.io/service-name": service});
        event(
            &Kind::ENDPOINT_SLICE,
            service,
            &json!({"metadata": {"labels": labels}, "endpoints": endpoints}),
        )
    };
    let service = |name: &str| event(&Kind::SERVICE, name, &json!({"spec": {}}));
    let rules = json!([{
        "filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "empty"}}}],
        "backendRefs": [
            {"name": "ready"}, {"name": "not-ready"}, {"name": "not-ready"}, {"name": "missing"},
            {"name": "no-slice", "weight": 0},
        ],
    }]);
    let told = hints(vec![
        class("ours", CONTROLLER),
        gateway("g", "ours"),
        service("ready"),
        service("not-ready"),
        service("empty"),
        service("no-slice"),
        slice("ready", json!([{"addresses": ["10.0.0.1"]}])),
        slice("not-ready", json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": false}}])),
        slice("empty", Value::Null),
        route(&Kind::HTTP_ROUTE, "r", "", json!({"parentRefs": [{"name": "g"}], "rules": rules})),
    ]);
    // Of one that is missing a condition speaks.
    let fails = "has no ready endpoint: its part of the requests fails";
    assert_eq!(
        told,
        [
            format!(
                "HTTPRoute r NoEndpoints spec.rules[0].filters[0].requestMirror.backendRef: Service a/empty {fails}"
            ),
            format!("HTTPRoute r NoEndpoints spec.rules[0].backendRefs[1]: Service a/not-ready {fails}"),
        ]
    );
}

#[test]
fn rules_that_get_no_request_are_told() {
    let spec = |hostnames: Value, rules: Value| json!({"parentRefs": [{"name": "g"}], "hostnames": hostnames, "rules": rules});
    let path = |kind: &str, value: &str| json!({"path": {"type": kind, "value": value}});
    let (old, young) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    let told = hints(vec![
        class("ours", CONTROLLER),
        gateway("g", "ours"),
        route(
            &Kind::HTTP_ROUTE,
            "z-old",
            old,
            spec(
                json!(["x.example.com"]),
                json!([{"matches": [path("PathPrefix", "/a")]}, {}, {"matches": [path("PathPrefix", "/a/")]}]),
            ),
        ),
        // One of its two hostnames is nobody else's.
        route(&Kind::HTTP_ROUTE, "more", young, spec(json!(["x.example.com", "y.example.com"]), json!([{}]))),
        route(
            &Kind::HTTP_ROUTE,
            "same",
            young,
            json!({"parentRefs": [{"name": "g", "sectionName": "http"}], "hostnames": ["X.example.com"], "rules": [
                {"matches": [path("PathPrefix", "/a"), {}]},
                {"matches": [path("Exact", "/a")]},
                {"matches": [{"path": {"value": "/a"}, "headers": [{"name": "H", "value": "v"}]}]},
            ]}),
        ),
        route(
            &Kind::TCP_ROUTE,
            "tcp-b",
            "",
            json!({"parentRefs": [{"name": "g", "port": 1}], "rules": [{}]}),
        ),
        route(
            &Kind::TCP_ROUTE,
            "tcp-a",
            "",
            json!({"parentRefs": [{"name": "g", "port": 1}], "rules": [{}]}),
        ),
        route(
            &Kind::TCP_ROUTE,
            "tcp-c",
            "",
            json!({"parentRefs": [{"name": "g", "port": 2}], "rules": [{}]}),
        ),
    ]);
    let nothing = "it gets no requests: all that it matches are those of rule";
    assert_eq!(
        told,
        [
            format!(
                "HTTPRoute same Shadowed spec.rules[0]: {nothing} 0 of HTTPRoute a/z-old, which is older or comes first by name"
            ),
            format!(
                "HTTPRoute z-old Shadowed spec.rules[2]: {nothing} 0 of the same route, which goes first"
            ),
            format!(
                "TCPRoute tcp-b Shadowed spec.rules[0]: {nothing} 0 of TCPRoute a/tcp-a, which is older or comes first by name"
            ),
        ]
    );
}
