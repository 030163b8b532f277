//! What objects put into indexes, and which nodes they root.

use proto::{Kind, ResourceKey};

use crate::cx::IndexEntry;
use crate::ir::{BackendKey, IndexKey, NodeKey};
use crate::model::Decoded;

/// What an object puts into indexes, and which nodes live as long as it does.
pub(super) fn roots(key: &ResourceKey, decoded: &Decoded) -> (Vec<IndexEntry>, Vec<NodeKey>) {
    let mut entries = Vec::new();
    let mut nodes = Vec::new();
    match decoded {
        Decoded::GatewayClass(_) => nodes.push(NodeKey::Class(key.clone())),
        Decoded::Gateway(gateway) => {
            let ports = gateway.spec.listeners.iter().map(|listener| listener.port);
            entries.extend(ports.map(|port| (IndexKey::BoundAt(key.cluster.clone(), port), key.clone())));
            nodes.push(NodeKey::Gateway(key.clone()));
            nodes.push(NodeKey::GatewayStatus(key.clone()));
        }
        Decoded::ListenerSet(set) => {
            nodes.push(NodeKey::ListenerSetStatus(key.clone()));
            let ports = set.spec.listeners.iter().map(|listener| listener.port);
            entries.extend(ports.map(|port| (IndexKey::BoundAt(key.cluster.clone(), port), key.clone())));
            entries.extend(set.gateway(key).map(|gateway| (IndexKey::ListenerSetsOf(gateway), key.clone())));
        }
        Decoded::OnDemand => nodes.push(NodeKey::Route(key.clone())),
        Decoded::Service(service) => {
            nodes.extend(service.spec.ports.iter().map(|port| {
                NodeKey::Backend(BackendKey {
                    cluster: key.cluster.clone(),
                    namespace: key.namespace.clone(),
                    name: key.name.clone(),
                    port: port.port,
                })
            }));
        }
        Decoded::ReferenceGrant(_) => {
            let index = IndexKey::GrantsIn(key.cluster.clone(), key.namespace.clone());
            entries.push((index, key.clone()));
        }
        Decoded::EndpointSlice(slice) => {
            if let Some(service) = slice.service() {
                let service = key.sibling(Kind::SERVICE, key.namespace.clone(), service.clone());
                entries.push((IndexKey::SlicesOf(service), key.clone()));
            }
        }
        Decoded::BackendTlsPolicy(policy) => {
            nodes.push(NodeKey::PolicyStatus(key.clone()));
            for target in &policy.spec.target_refs {
                if target.group.is_empty() && target.kind == "Service" {
                    let service = key.sibling(Kind::SERVICE, key.namespace.clone(), target.name.clone());
                    entries.push((IndexKey::PoliciesOf(service), key.clone()));
                }
            }
        }
        _ => {}
    }
    entries.sort();
    entries.dedup();
    nodes.sort();
    nodes.dedup();
    (entries, nodes)
}
