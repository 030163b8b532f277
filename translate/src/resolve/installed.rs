//! What the cluster of an object has installed. Without a cluster, all that we know is there.

use proto::{Kind, ResourceKey, literal};

use crate::cx::Cx;
use crate::env::Placement;
use crate::model::CustomResourceDefinition;

/// True if the Gateway API has the fields of its experimental channel.
pub(crate) fn experimental_channel(cx: &mut Cx<'_>, near: &ResourceKey) -> bool {
    if cx.env().placement != Placement::Pods {
        return true;
    }
    let gateways = CustomResourceDefinition::of_gateways(near);
    cx.object::<CustomResourceDefinition>(&gateways).is_some_and(|definition| definition.is_experimental())
}

/// True if the API server serves ClusterTrustBundles.
pub(crate) fn trust_bundles(cx: &mut Cx<'_>, near: &ResourceKey) -> bool {
    if cx.env().placement != Placement::Pods {
        return true;
    }
    cx.exists(&near.sibling(Kind::API_RESOURCE, "", literal!("clustertrustbundles.certificates.k8s.io")))
}
