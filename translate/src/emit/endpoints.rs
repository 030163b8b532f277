//! Endpoints of a backend, from its Service's EndpointSlices.

use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints,
};
use proto::{ArcStr, ResourceKey, XdsKey, XdsKind};

use super::{put, socket_address};
use crate::cx::{Cx, Output};
use crate::ir::{BackendIr, ClusterKey, NodeKey, Value};
use crate::resolve::backend::cluster_name;
use crate::resolve::to_gateways::addresses;

pub(crate) fn compute(gateway: &ResourceKey, key: &ClusterKey, cx: &mut Cx<'_>) -> Output {
    let mut output = Output::of(Value::Absent);
    let Some(Value::Backend(backend)) = cx.node(NodeKey::Backend(key.backend.clone())) else { return output };
    let BackendIr::Usable { policy, port_name, .. } = backend.as_ref() else { return output };
    let name = cluster_name(key, policy.as_ref());
    let addresses = addresses(cx, &key.backend.service(), port_name);
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
