//! Which Gateways a Service leads to: what is sent there may come back.

use core::net::IpAddr;
use std::collections::BTreeSet;

use proto::{ArcStr, Kind, ResourceKey};

use crate::cx::Cx;
use crate::env::Placement;
use crate::ir::IndexKey;
use crate::model::{EndpointSlice, Gateway, ListenerSet, Service};

/// The Gateways whose proxies are a Service's endpoints, as far as objects tell: in a cluster by the label that
/// proxies and their Service have (GEP-1762), on one machine by the addresses and ports of listeners.
pub(crate) fn of(
    cx: &mut Cx<'_>,
    key: &ResourceKey,
    service: &Service,
    port_name: &ArcStr,
) -> BTreeSet<ResourceKey> {
    let Placement::Local { address } = cx.env().placement.clone() else {
        let named = service.gateways();
        return named.map(|name| key.sibling(Kind::GATEWAY, key.namespace.clone(), name.clone())).collect();
    };
    let mut gateways = BTreeSet::new();
    for (ip, port) in addresses(cx, key, port_name) {
        let bound: Vec<_> = cx.members(IndexKey::BoundAt(key.cluster.clone(), port)).collect();
        for owner in bound {
            let gateway = match cx.object::<ListenerSet>(owner) {
                Some(set) => set.gateway(owner),
                None => Some(owner.clone()),
            };
            if let Some(gateway) = gateway.filter(|gateway| binds(cx, gateway, &address, &ip)) {
                gateways.insert(gateway);
            }
        }
    }
    gateways
}

/// True if connections to an address are a Gateway's, given its port.
fn binds(cx: &mut Cx<'_>, gateway: &ResourceKey, otherwise: &str, ip: &str) -> bool {
    let Some(gateway) = cx.object::<Gateway>(gateway) else { return false };
    let asked: Vec<&str> =
        gateway.spec.addresses.iter().filter_map(|address| address.value.as_deref()).collect();
    let bound = if asked.is_empty() { vec![otherwise] } else { asked };
    let ip = ip.parse::<IpAddr>().ok();
    bound.iter().filter_map(|bound| bound.parse::<IpAddr>().ok()).any(|bound| {
        // Whether an address is one of the machine's is not known here.
        bound.is_unspecified() || Some(bound) == ip
    })
}

/// Addresses with their ports.
type Addresses = BTreeSet<(ArcStr, u16)>;

/// Addresses of a Service's endpoints, at the port of its port name.
pub(crate) fn addresses(cx: &mut Cx<'_>, service: &ResourceKey, port_name: &ArcStr) -> Addresses {
    let (mut ready, mut ending): (Addresses, Addresses) = Default::default();
    let slices: Vec<_> = cx.members(IndexKey::SlicesOf(service.clone())).collect();
    for slice in slices {
        if let Some(slice) = cx.object::<EndpointSlice>(slice) {
            collect(&slice, port_name, &mut ready, &mut ending);
        }
    }
    // As kube-proxy does it (KEP-1669): better an endpoint that is about to end than none.
    if ready.is_empty() { ending } else { ready }
}

/// Addresses of a slice, at the port of the Service's port name: those that are ready, and those that still serve
/// while they end.
fn collect(slice: &EndpointSlice, port_name: &ArcStr, ready: &mut Addresses, ending: &mut Addresses) {
    if slice.address_type == "FQDN" {
        return;
    }
    let mut ports = slice.ports.iter().filter(|port| port.is_tcp() && port.name == *port_name);
    let Some(port) = ports.find_map(|port| port.port) else { return };
    for endpoint in &slice.endpoints {
        let Some(address) = endpoint.addresses.first() else { continue };
        if endpoint.conditions.is_ready() {
            ready.insert((address.clone(), port));
        } else if endpoint.conditions.serves_to_the_end() {
            ending.insert((address.clone(), port));
        }
    }
}
