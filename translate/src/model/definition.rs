//! CustomResourceDefinitions, for what they say of the Gateway API that is installed.

use proto::{ResourceKey, literal};
use serde::Deserialize;

use super::gateway::Annotated;

/// Without its spec: sources leave that out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct CustomResourceDefinition {
    #[serde(default)]
    metadata: Annotated,
}

impl CustomResourceDefinition {
    /// The definition of Gateways in the cluster of an object.
    pub(crate) fn of_gateways(near: &ResourceKey) -> ResourceKey {
        let name = literal!("gateways.gateway.networking.k8s.io");
        near.sibling(proto::Kind::CUSTOM_RESOURCE_DEFINITION, "", name)
    }

    /// True if it has the fields of the experimental channel.
    pub(crate) fn is_experimental(&self) -> bool {
        self.metadata
            .annotations
            .get("gateway.networking.k8s.io/channel")
            .is_some_and(|channel| channel == "experimental")
    }
}
