use std::sync::Arc;

use kube::api::DynamicObject;
use proto::{Kind, ProxySpec, ResourceKey};
use serde_json::{Value, json};

use super::{Refused, deployed};
use crate::kubernetes::proxies::Deployed;
use crate::kubernetes::proxies::owned::{Objects, Observed, What};

/// What becomes of a spec with these Services and one pod that is ready.
fn told(spec: Value, services: &[Value]) -> Deployed {
    let gateway = ResourceKey::local(Kind::GATEWAY, "default", "web");
    let spec: ProxySpec = serde_json::from_value(spec).unwrap();
    let object = |what: What, name: &str, object: &Value| {
        let object = json!({"metadata": {"name": name}, "spec": object["spec"], "status": object["status"]});
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        ((what, name.to_owned()), Arc::new(Observed::of(what, &object)))
    };
    let names = ["gloo-proxy-web", "gloo-proxy-web-2", "gloo-proxy-web-3"];
    let mut objects: Objects =
        names.iter().zip(services).map(|(name, service)| object(What::Service, name, service)).collect();
    objects.extend([object(What::Deployment, names[0], &json!({"status": {"availableReplicas": 1}}))]);
    let refused: Refused = objects
        .keys()
        .filter(|(what, _)| *what == What::Service)
        .zip(services)
        .filter_map(|((_, name), service)| Some((name.clone(), service["refused"].as_str()?.to_owned())))
        .collect();
    deployed(&gateway, &spec, &refused, &objects)
}

fn balanced(ips: &[&str]) -> Value {
    let ingress: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
    json!({"spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.1"}, "status": {"loadBalancer": {"ingress": ingress}}})
}

fn inside(ip: &str) -> Value {
    json!({"spec": {"type": "ClusterIP", "clusterIP": ip}})
}

/// Addresses with their routabilities, and the conditions.
fn summary(told: &Deployed) -> (Vec<Value>, String, String) {
    let addresses =
        told.addresses.iter().map(|address| json!([address.value, address.routability])).collect();
    let assigned =
        told.assigned.as_ref().map_or_else(String::new, |it| format!("{}: {}", it.reason, it.message));
    let problem = told.problem.as_ref().map_or_else(String::new, |(reason, _)| reason.to_string());
    (addresses, assigned, problem)
}

const ALL: &str = "AddressesAssigned: each address that is asked for is there";

#[test]
fn each_entry_has_an_address_of_its_routability() {
    let asked = json!([{}, {"routability": "Cluster"}, {"routability": "testing.x-k8s.io/sentinel"}]);
    let spec = json!({"addresses": asked, "tellsRoutability": true});
    let services = [balanced(&["192.0.2.1", "192.0.2.2"]), inside("10.96.0.2"), balanced(&["192.0.2.3"])];
    let expected = vec![
        json!(["192.0.2.1", ""]),
        json!(["10.96.0.2", "Cluster"]),
        json!(["192.0.2.3", "testing.x-k8s.io/sentinel"]),
    ];
    assert_eq!(summary(&told(spec, &services)), (expected, ALL.to_owned(), String::new()));
}

#[test]
fn a_cluster_ip_is_told_as_such_though_nobody_asked() {
    let spec = json!({"tellsRoutability": true});
    let told = summary(&told(spec, &[inside("10.96.0.2")]));
    assert_eq!(told, (vec![json!(["10.96.0.2", "Cluster"])], ALL.to_owned(), String::new()));
}

#[test]
fn without_the_field_nothing_is_told_of_it() {
    let told = summary(&told(json!({}), &[balanced(&["192.0.2.1", "192.0.2.2"])]));
    let expected = vec![json!(["192.0.2.1", null]), json!(["192.0.2.2", null])];
    assert_eq!(told, (expected, String::new(), String::new()));
}

#[test]
fn the_gateway_serves_without_an_address_that_cannot_be_had() {
    let asked = json!([{}, {"routability": "example.com/elsewhere"}]);
    let spec = json!({"addresses": asked, "tellsRoutability": true});
    let (addresses, assigned, problem) = summary(&told(spec, &[balanced(&["192.0.2.1"])]));
    assert_eq!((addresses.len(), problem.as_str()), (1, ""));
    let missing = "spec.addresses[1]: there is no address of routability example.com/elsewhere";
    assert_eq!(assigned, format!("PartiallyAssigned: {missing}"));
}

#[test]
fn it_serves_nowhere_without_any() {
    let asked = json!([{"value": "192.0.2.1", "routability": "Cluster"}]);
    let spec = json!({"addresses": asked, "tellsRoutability": true});
    // What was there before is of another kind.
    let mut service = balanced(&["192.0.2.1"]);
    service["refused"] = "not in the valid range".into();
    let (addresses, assigned, problem) = summary(&told(spec, &[service]));
    assert_eq!((addresses.len(), problem.as_str()), (0, "AddressNotAssigned"));
    assert_eq!(assigned, "NotAssigned: spec.addresses[0]: not in the valid range");
}

#[test]
fn an_address_of_the_network_that_is_not_given_is_told_in_programmed() {
    let asked = json!([{"value": "192.0.2.1"}, {"value": "203.0.113.1"}]);
    let spec = json!({"addresses": asked, "tellsRoutability": true});
    let (addresses, assigned, problem) =
        summary(&told(spec, &[balanced(&["192.0.2.1"]), balanced(&["192.0.2.9"])]));
    assert_eq!((addresses.len(), problem.as_str()), (1, "AddressNotUsable"));
    assert!(assigned.starts_with("PartiallyAssigned: spec.addresses[1]: "), "{assigned}");
}
