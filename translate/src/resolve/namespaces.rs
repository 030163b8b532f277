//! Whose objects may attach: `namespaces.from` and its selector.

use proto::{Kind, ResourceKey, literal};

use crate::cx::Cx;
use crate::model::{Namespace, RouteNamespaces};

/// True if an object may attach; `same`: it is in the namespace of what it attaches to.
pub(crate) fn allow(
    namespaces: &RouteNamespaces,
    default: &str,
    same: bool,
    object: &ResourceKey,
    cx: &mut Cx<'_>,
) -> bool {
    match namespaces.from.as_deref().unwrap_or(default) {
        "All" => true,
        "Same" => same,
        "Selector" => {
            let Some(selector) = &namespaces.selector else { return false };
            let key = object.sibling(Kind::NAMESPACE, "", object.namespace.clone());
            let mut labels = cx
                .object::<Namespace>(&key)
                .map(|namespace| namespace.metadata.labels.clone())
                .unwrap_or_default();
            // Kubernetes sets this label on every namespace.
            labels.insert(literal!("kubernetes.io/metadata.name"), object.namespace.clone());
            selector.selects(&labels)
        }
        _ => false,
    }
}
