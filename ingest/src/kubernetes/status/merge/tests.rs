use proto::report::{ListenerStatus, ParentStatus};
use proto::{Condition, GatewayAddress, JsonText, Kind, ObjectStatus, Routability, literal};
use serde_json::{Value, json};

use super::{Writer, merge};

const NOW: Writer<'_> = Writer { controller: "fleetgate.dev/gateway", now: "2026-01-02T00:00:00Z" };
const LATER: Writer<'_> = Writer { controller: "fleetgate.dev/gateway", now: "2027-01-02T00:00:00Z" };

fn accepted(holds: bool) -> Vec<Condition> {
    vec![Condition::new("Accepted", holds, if holds { "Accepted" } else { "NoMatchingParent" }, "m")]
}

fn route(parents: &[Value], holds: bool) -> ObjectStatus {
    let parent = |of: &Value| ParentStatus {
        parent_ref: JsonText::of(of),
        gateway: None,
        conditions: accepted(holds),
    };
    ObjectStatus {
        observed_generation: 3,
        parents: parents.iter().map(parent).collect(),
        ..ObjectStatus::default()
    }
}

fn foreign() -> Value {
    json!({"parentRef": {"name": "theirs"}, "controllerName": "example.com/other", "x": [1, {"y": null}],
           "conditions": [{"type": "Odd", "status": "Maybe"}]})
}

#[test]
fn a_route_gets_our_entries_and_keeps_those_of_others() {
    let live = json!({"parents": [foreign()]});
    let ours = route(&[json!({"name": "web"})], true);
    let merged = merge(&Kind::HTTP_ROUTE, NOW, &live, Some(&ours)).unwrap();
    assert_eq!(merged["parents"][0], foreign());
    let entry = json!({
        "parentRef": {"name": "web"}, "controllerName": "fleetgate.dev/gateway",
        "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "m",
                        "observedGeneration": 3, "lastTransitionTime": "2026-01-02T00:00:00Z"}],
    });
    assert_eq!(merged["parents"][1], entry);
    // The server fills in defaults; that is no reason to write again.
    let mut defaulted = merged;
    defaulted["parents"][1]["parentRef"] =
        json!({"name": "web", "group": "gateway.networking.k8s.io", "kind": "Gateway"});
    assert_eq!(merge(&Kind::HTTP_ROUTE, LATER, &defaulted, Some(&ours)), None);
    // A transition time changes with the status alone.
    let mut newer = route(&[json!({"name": "web"})], true);
    newer.observed_generation = 4;
    let again = merge(&Kind::HTTP_ROUTE, LATER, &defaulted, Some(&newer)).unwrap();
    let condition = &again["parents"][1]["conditions"][0];
    assert_eq!(
        (&condition["observedGeneration"], &condition["lastTransitionTime"]),
        (&json!(4), &json!(NOW.now))
    );
    let lost =
        merge(&Kind::HTTP_ROUTE, LATER, &again, Some(&route(&[json!({"name": "web"})], false))).unwrap();
    assert_eq!(lost["parents"][1]["conditions"][0]["lastTransitionTime"], LATER.now);
    // And when nothing is ours any more, nothing of ours is left.
    assert_eq!(merge(&Kind::HTTP_ROUTE, LATER, &again, None), Some(live.clone()));
    assert_eq!(merge(&Kind::HTTP_ROUTE, LATER, &live, None), None);
    assert_eq!(merge(&Kind::HTTP_ROUTE, LATER, &Value::Null, None), None);
}

#[test]
fn parents_with_different_sections_are_different() {
    let [a, b] = ["a", "b"].map(|section| json!({"name": "web", "sectionName": section}));
    let first = merge(&Kind::HTTP_ROUTE, NOW, &Value::Null, Some(&route(&[a, b.clone()], true))).unwrap();
    assert_eq!(first["parents"].as_array().unwrap().len(), 2);
    let second = merge(&Kind::HTTP_ROUTE, NOW, &first, Some(&route(std::slice::from_ref(&b), true))).unwrap();
    assert_eq!(second["parents"].as_array().unwrap().len(), 1);
    assert_eq!(second["parents"][0]["parentRef"], b);
}

#[test]
fn a_gateway_keeps_conditions_of_types_that_are_not_ours() {
    let odd = json!({"type": "example.com/Odd", "status": "True", "note": 1});
    let live = json!({
        "conditions": [
            {"type": "Accepted", "status": "Unknown", "reason": "Pending", "lastTransitionTime": "1970-01-01T00:00:00Z"},
            odd, {"type": "Scheduled", "status": "True"},
        ],
        "listeners": [
            {"name": "http", "attachedRoutes": 0, "supportedKinds": [], "conditions": [odd]},
            {"name": "gone", "attachedRoutes": 1},
        ],
        "attachedListenerSets": 2,
    });
    let listener = ListenerStatus {
        resource: "listener/80".into(),
        name: "http".into(),
        attached_routes: 4,
        supported_kinds: vec![json!({"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"})],
        conditions: accepted(true),
    };
    let inside = GatewayAddress { value: literal!("192.0.2.1"), routability: Some(Routability::CLUSTER) };
    let ours = ObjectStatus {
        observed_generation: 1,
        conditions: accepted(true),
        listeners: vec![listener],
        attached_listener_sets: 3,
        addresses: vec![inside, literal!("lb.example.com").into()],
        ..ObjectStatus::default()
    };
    let merged = merge(&Kind::GATEWAY, NOW, &live, Some(&ours)).unwrap();
    let types: Vec<&str> =
        merged["conditions"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["Accepted", "example.com/Odd"]);
    assert_eq!(merged["conditions"][0]["lastTransitionTime"], NOW.now);
    assert_eq!(merged["listeners"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&merged["listeners"][0]["conditions"][0], &merged["listeners"][0]["attachedRoutes"]),
        (&odd, &json!(4))
    );
    let inside = json!({"type": "IPAddress", "value": "192.0.2.1", "routability": "Cluster"});
    assert_eq!(merged["addresses"][0], inside);
    assert_eq!(merged["addresses"][1], json!({"type": "Hostname", "value": "lb.example.com"}));
    assert_eq!(merged["attachedListenerSets"], 3);
    let none = ObjectStatus { attached_listener_sets: 0, ..ours.clone() };
    let without = merge(&Kind::GATEWAY, LATER, &merged, Some(&none)).unwrap();
    assert_eq!(without["attachedListenerSets"], 0);
    assert_eq!(merge(&Kind::GATEWAY, LATER, &merged, Some(&ours)), None);
    assert_eq!(merge(&Kind::GATEWAY, LATER, &merged, None), None, "a Gateway that is not ours is left alone");
}

#[test]
fn a_listener_set_has_its_listeners_unless_its_gateway_is_not_ours() {
    let listener = ListenerStatus {
        resource: "listener/80".into(),
        name: "http".into(),
        attached_routes: 1,
        supported_kinds: Vec::new(),
        conditions: accepted(true),
    };
    let ours =
        ObjectStatus { conditions: accepted(true), listeners: vec![listener], ..ObjectStatus::default() };
    let merged = merge(&Kind::LISTENER_SET, NOW, &json!({}), Some(&ours)).unwrap();
    assert_eq!(merged["listeners"][0]["attachedRoutes"], 1);
    assert_eq!(merged["conditions"][0]["type"], "Accepted");
    assert_eq!(merge(&Kind::LISTENER_SET, LATER, &merged, Some(&ours)), None);
    let nobodys = ObjectStatus::default();
    assert_eq!(merge(&Kind::LISTENER_SET, LATER, &merged, Some(&nobodys)), None);
    assert_eq!(merge(&Kind::LISTENER_SET, LATER, &merged, None), None);
}

#[test]
fn a_class_lists_its_features_and_a_long_message_is_cut() {
    let long = Condition::new("Accepted", true, "Accepted", "é".repeat(20_000));
    let ours = ObjectStatus {
        conditions: vec![long],
        supported_features: vec!["Gateway".into()],
        ..ObjectStatus::default()
    };
    let merged = merge(&Kind::GATEWAY_CLASS, NOW, &json!({}), Some(&ours)).unwrap();
    assert_eq!(merged["supportedFeatures"], json!([{"name": "Gateway"}]));
    assert!(merged["conditions"][0]["message"].as_str().unwrap().len() <= super::MESSAGE);
}
