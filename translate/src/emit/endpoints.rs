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
    let mut addresses: BTreeSet<(ArcStr, u16)> = BTreeSet::new();
    let slices: Vec<_> = cx.members(IndexKey::SlicesOf(key.backend.service())).collect();
    for slice in slices {
        if let Some(slice) = cx.object::<EndpointSlice>(slice) {
            collect(&slice, port_name, &mut addresses);
        }
    }
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

/// Ready addresses of a slice, at the port of the Service's port name.
fn collect(slice: &EndpointSlice, port_name: &ArcStr, addresses: &mut BTreeSet<(ArcStr, u16)>) {
    if slice.address_type == "FQDN" {
        return;
    }
    let Some(port) = slice.ports.iter().find(|port| port.name == *port_name).and_then(|port| port.port)
    else {
        return;
    };
    for endpoint in &slice.endpoints {
        if endpoint.conditions.ready != Some(false) {
            addresses.extend(endpoint.addresses.iter().take(1).map(|address| (address.clone(), port)));
        }
    }
}
