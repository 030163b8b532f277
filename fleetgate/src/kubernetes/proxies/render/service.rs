//! Services: one, or one for each address that is asked for.

use serde_json::{Value, json};

use super::Ingredients;
use crate::kubernetes::proxies::names;
use crate::kubernetes::proxies::owned::What;

/// Names and Services, in the order of the addresses.
pub(super) fn services(from: &Ingredients<'_>) -> Vec<(String, Value)> {
    let name = names::proxy(from.gateway);
    let addresses = &from.spec.addresses;
    let count = addresses.len().max(1);
    let numbered = |index: usize| match index {
        0 => name.clone(),
        _ => names::fit(&format!("{name}-{}", index + 1)),
    };
    let service = |index: usize| {
        let name = numbered(index);
        let made = service(from, &name, addresses.get(index).map(|address| address.as_str()));
        (name, made)
    };
    (0..count).map(service).collect()
}

fn service(from: &Ingredients<'_>, name: &str, address: Option<&str>) -> Value {
    let given = &from.parameters.service;
    let mut object = from.object(What::Service, name, (&given.extra_labels, &given.extra_annotations));
    let port = |port: &proto::ProxyPort| {
        json!({
            "name": names::port(&port.name),
            "port": port.port,
            "targetPort": port.target,
            "protocol": "TCP",
        })
    };
    let mut spec = json!({
        "type": given.kind.as_deref().unwrap_or("LoadBalancer"),
        "selector": names::selector(from.gateway),
        "ports": from.spec.ports.iter().map(port).collect::<Vec<_>>(),
    });
    if let Some(ip) = given.cluster_ip.as_ref().filter(|ip| !ip.is_empty()) {
        spec["clusterIP"] = ip.as_str().into();
    }
    if let Some(address) = address {
        // Deprecated, and still what load balancers agree on.
        spec["loadBalancerIP"] = address.into();
    }
    object["spec"] = spec;
    object
}
