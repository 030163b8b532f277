//! The addresses that a Gateway's Services were given, and whether there is a pod behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::{ArcStr, AskedAddress, Condition, GatewayAddress, ProxySpec, ResourceKey, Routability, literal};
use serde_json::Value;

use super::owned::{Objects, Observed, What};
use super::{Deployed, names};

/// Services that the API server refuses, with what it says.
pub(super) type Refused = BTreeMap<String, String>;

/// An entry of `spec.addresses` that no address was given for.
struct Missing {
    reason: ArcStr,
    message: String,
    /// True if the Gateway is of use without it: it asks for more than the user's own network knows.
    optional: bool,
}

/// What its Services say of a Gateway's addresses; they are in the order of `spec.addresses`.
pub(super) fn deployed(
    gateway: &ResourceKey,
    spec: &ProxySpec,
    refused: &Refused,
    objects: &Objects,
) -> Deployed {
    let mut deployed = Deployed::default();
    let mut missing = Vec::new();
    for (index, asked) in entries(spec).iter().enumerate() {
        let name = names::service(gateway, index);
        let service = objects.get(&(What::Service, name.clone())).map(|observed| &observed.service);
        let mut given = service.map(|service| given(service, asked)).unwrap_or_default();
        if spec.tells_routability && !spec.addresses.is_empty() {
            // One for each entry (GEP-5093).
            given.truncate(1);
        }
        if given.is_empty() {
            missing.push(lacking(&format!("{}/{name}", gateway.namespace), index, asked, refused.get(&name)));
        }
        deployed.addresses.extend(given);
    }
    if spec.tells_routability {
        deployed.assigned = Some(assigned(&missing, deployed.addresses.is_empty()));
    } else {
        deployed.addresses.iter_mut().for_each(|address| address.routability = None);
    }
    let nothing = deployed.addresses.is_empty();
    let problem = missing.into_iter().find(|one| nothing || !one.optional);
    deployed.problem = problem.map(|one| (one.reason, one.message));
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

/// What is asked for; any one address if nothing is.
pub(super) fn entries(spec: &ProxySpec) -> Vec<AskedAddress> {
    if spec.addresses.is_empty() { vec![AskedAddress::default()] } else { spec.addresses.clone() }
}

fn lacking(service: &str, index: usize, asked: &AskedAddress, refused: Option<&String>) -> Missing {
    let AskedAddress { value, routability } = asked;
    let field = format!("spec.addresses[{index}]");
    let optional = !routability.is_any();
    let (reason, message) = match value {
        _ if !routability.is_known() => {
            let message = format!("{field}: there is no address of routability {}", routability.0);
            (literal!("AddressNotAssigned"), message)
        }
        _ if refused.is_some() => {
            let said = refused.map(String::as_str).unwrap_or_default();
            (literal!("AddressNotAssigned"), format!("{field}: {said}"))
        }
        Some(address) if !optional => {
            let message = format!(
                "{field}: Service {service} has not been given {address}; use an address that the cluster's load \
                 balancer has, or see the Service's events"
            );
            (literal!("AddressNotUsable"), message)
        }
        _ => {
            let message =
                format!("Service {service} has not been given an address yet; see its events if that lasts");
            (literal!("AddressNotAssigned"), message)
        }
    };
    Missing { reason, message, optional }
}

/// `AddressesAssigned` (GEP-5093, with the reasons of the API's own constants).
fn assigned(missing: &[Missing], nothing: bool) -> Condition {
    let kind = literal!("AddressesAssigned");
    if missing.is_empty() {
        return Condition::new(kind.clone(), true, kind, literal!("each address that is asked for is there"));
    }
    let reason = if nothing { literal!("NotAssigned") } else { literal!("PartiallyAssigned") };
    let messages: Vec<&str> = missing.iter().map(|one| one.message.as_str()).collect();
    Condition::new(kind, false, reason, messages.join("; "))
}

/// The addresses of a Service that are as asked.
fn given(service: &Value, asked: &AskedAddress) -> Vec<GatewayAddress> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(ArcStr::from);
    let (values, routability): (Vec<ArcStr>, _) = if service["spec"]["type"] == "LoadBalancer" {
        let ingress = service["status"]["loadBalancer"]["ingress"].as_array();
        let address = |one: &Value| text(&one["ip"]).or_else(|| text(&one["hostname"]));
        (ingress.into_iter().flatten().filter_map(address).collect(), Routability::ANY)
    } else {
        let ip = text(&service["spec"]["clusterIP"]).filter(|ip| ip != "None");
        (ip.into_iter().collect(), Routability::CLUSTER)
    };
    let routability = match &asked.routability {
        // It promises nothing, so any address will do.
        sentinel if *sentinel == Routability::SENTINEL => sentinel.clone(),
        any if any.is_any() => routability,
        wanted if *wanted == routability => routability,
        _ => return Vec::new(),
    };
    let as_asked = |value: &ArcStr| asked.value.as_ref().is_none_or(|wanted| wanted == value);
    let address = |value| GatewayAddress { value, routability: Some(routability.clone()) };
    values.into_iter().filter(as_asked).map(address).collect()
}

#[cfg(test)]
mod tests;
