//! ListenerSet: listeners that others than the Gateway's owner bring.

use proto::Name;
use serde::Deserialize;

use super::{Listener, Meta, Reference};

/// <https://gateway-api.sigs.k8s.io/api-types/listenerset/> (GEP-1713)
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ListenerSet {
    #[serde(default)]
    pub(crate) metadata: Meta,
    pub(crate) spec: ListenerSetSpec,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListenerSetSpec {
    pub(crate) parent_ref: Reference,
    pub(crate) listeners: Vec<Listener>,
}

impl ListenerSet {
    /// The Gateway that it wants to attach to; none if its parent is of another kind.
    pub(crate) fn gateway(&self, key: &proto::ResourceKey) -> Option<proto::ResourceKey> {
        let parent = &self.spec.parent_ref;
        let kind = parent.kind_or("gateway.networking.k8s.io", "Gateway");
        let namespace: Name = parent.namespace.clone().unwrap_or_else(|| key.namespace.clone());
        (kind == proto::Kind::GATEWAY).then(|| key.sibling(kind, namespace, parent.name.clone()))
    }
}
