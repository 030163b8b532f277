//! Services: one, or one for each address that is asked for.

use proto::{AskedAddress, Routability};
use serde_json::{Value, json};

use super::Ingredients;
use crate::kubernetes::proxies::owned::What;
use crate::kubernetes::proxies::{addresses, names};

/// Names and Services, in the order of the addresses; none for one that cannot be had.
pub(super) fn services(from: &Ingredients<'_>) -> Vec<(String, Value)> {
    let entries = addresses::entries(from.spec).into_iter().enumerate();
    entries
        .filter(|(_, asked)| asked.routability.is_known())
        .map(|(index, asked)| {
            let name = names::service(from.gateway, index);
            let service = service(from, &name, &asked);
            (name, service)
        })
        .collect()
}

fn service(from: &Ingredients<'_>, name: &str, asked: &AskedAddress) -> Value {
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
    let in_cluster = asked.routability == Routability::CLUSTER;
    let kind = if in_cluster { "ClusterIP" } else { given.kind.as_deref().unwrap_or("LoadBalancer") };
    let mut spec = json!({
        "type": kind,
        "selector": names::selector(from.gateway),
        "ports": from.spec.ports.iter().map(port).collect::<Vec<_>>(),
    });
    match (&asked.value, &given.cluster_ip) {
        (Some(ip), _) if in_cluster => spec["clusterIP"] = ip.as_str().into(),
        (_, Some(ip)) if !in_cluster && !ip.is_empty() => spec["clusterIP"] = ip.as_str().into(),
        _ => {}
    }
    if let Some(address) = asked.value.as_ref().filter(|_| !in_cluster) {
        // Deprecated, and still what load balancers agree on.
        spec["loadBalancerIP"] = address.as_str().into();
    }
    object["spec"] = spec;
    object
}
