//! The addresses that a Gateway's Services were given, and whether there is a pod behind them.

use std::sync::Arc;

use proto::{ArcStr, ProxySpec, ResourceKey, literal};
use serde_json::Value;

use super::owned::{Objects, Observed, What};
use super::{Deployed, names};

/// What its Services say of a Gateway's addresses; they are in the order of `spec.addresses`.
pub(super) fn deployed(
    gateway: &ResourceKey,
    spec: &ProxySpec,
    services: &[String],
    objects: &Objects,
) -> Deployed {
    let mut deployed = Deployed::default();
    for (index, name) in services.iter().enumerate() {
        let asked = spec.addresses.get(index);
        let service = objects.get(&(What::Service, name.clone())).map(|observed| &observed.service);
        let mut given = service.map(given).unwrap_or_default();
        if let Some(asked) = asked {
            given.retain(|address| address == asked);
        }
        if given.is_empty() && deployed.problem.is_none() {
            deployed.problem = Some(problem(gateway, name, asked));
        }
        deployed.addresses.extend(given);
    }
    let is_available = |((what, _), observed): (&(What, String), &Arc<Observed>)| {
        *what == What::Deployment && observed.is_available
    };
    if deployed.problem.is_none() && !objects.iter().any(is_available) {
        let message =
            format!("no pod of Deployment {}/{} is ready yet", gateway.namespace, names::proxy(gateway));
        deployed.problem = Some((literal!("Pending"), message));
    }
    deployed
}

fn problem(gateway: &ResourceKey, service: &str, asked: Option<&ArcStr>) -> (ArcStr, String) {
    let service = format!("Service {}/{service}", gateway.namespace);
    match asked {
        Some(address) => {
            let message = format!(
                "spec.addresses: {service} has not been given {address}; use an address that the cluster's load \
                 balancer has, or see the Service's events"
            );
            (literal!("AddressNotUsable"), message)
        }
        None => {
            let message =
                format!("{service} has not been given an address yet; see its events if that lasts");
            (literal!("AddressNotAssigned"), message)
        }
    }
}

fn given(service: &Value) -> Vec<ArcStr> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(ArcStr::from);
    if service["spec"]["type"] == "LoadBalancer" {
        let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
        let address = |one: &Value| text(&one["ip"]).or_else(|| text(&one["hostname"]));
        return ingress.into_iter().flatten().filter_map(address).collect();
    }
    text(&service["spec"]["clusterIP"]).filter(|ip| ip != "None").into_iter().collect()
}
