//! Endpoints of a backend, from its Service's EndpointSlices.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use proto::{ArcStr, ResourceKey, XdsKey, XdsKind};

use super::{put, socket_address};
use crate::attach::backend::cluster_name;
use crate::engine::{Cx, Output};
use crate::graph::{BackendIr, ClusterKey, IndexKey, NodeKey, Value};
use crate::model::EndpointSlice;

pub(crate) fn compute(gateway: &ResourceKey, key: &ClusterKey, cx: &mut Cx<'_>) -> Output {
    let mut output = Output::of(Value::Absent);
    let Some(Value::Backend(backend)) = cx.node(NodeKey::Backend(key.backend.clone())) else { return output };
    let BackendIr::Usable { policy, port_name, .. } = backend.as_ref() else { return output };
    let name = cluster_name(key, policy.as_ref());
    let (mut ready, mut ending): (Addresses, Addresses) = Default::default();
    let slices: Vec<_> = cx.members(IndexKey::SlicesOf(key.backend.service())).collect();
    for slice in slices {
        if let Some(slice) = cx.object::<EndpointSlice>(slice) {
            collect(&slice, port_name, &mut ready, &mut ending);
        }
    }
    // As kube-proxy does it (KEP-1669): better an endpoint that is about to end than none.
    let addresses = if ready.is_empty() { ending } else { ready };
    let endpoint = |(address, port): (ArcStr, u16)| LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
            address: Some(socket_address(&address, port)),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    };
    let lb_endpoints: Vec<_> = addresses.into_iter().map(endpoint).collect();
    let endpoints = if lb_endpoints.is_empty() {
        Vec::new()
    } else {
        vec![LocalityLbEndpoints { lb_endpoints, ..LocalityLbEndpoints::default() }]
    };
    // An empty assignment is sent too: the cluster is ready and answers 503.
    let message = ClusterLoadAssignment {
        cluster_name: name.to_string(),
        endpoints,
        ..ClusterLoadAssignment::default()
    };
    output.puts.push(put(XdsKey::new(gateway.clone(), XdsKind::Endpoints, name), &message));
    output
}

type Addresses = BTreeSet<(ArcStr, u16)>;

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
