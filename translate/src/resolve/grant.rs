//! ReferenceGrants: may this object refer to that one.

use proto::{Kind, Name, ResourceKey};

use crate::cx::Cx;
use crate::ir::IndexKey;
use crate::model::ReferenceGrant;

/// True if `from` may refer to `to`: within a namespace always, across namespaces if a ReferenceGrant in
/// the namespace of `to` says so.
pub(crate) fn permits(cx: &mut Cx<'_>, from: &ResourceKey, to: &ResourceKey) -> bool {
    if from.namespace == to.namespace {
        return true;
    }
    let grants: Vec<_> = cx.members(IndexKey::GrantsIn(to.cluster.clone(), to.namespace.clone())).collect();
    // No early exit: which grants are read must not depend on their order.
    let mut permitted = false;
    for key in grants {
        permitted |= cx.object::<ReferenceGrant>(key).is_some_and(|grant| grants_one(&grant, from, to));
    }
    permitted
}

fn grants_one(grant: &ReferenceGrant, from: &ResourceKey, to: &ResourceKey) -> bool {
    let is = |kind: &Kind, group: &str, name: &str| kind.group() == group && kind.kind() == name;
    grant.spec.from.iter().any(|f| is(&from.kind, &f.group, &f.kind) && f.namespace == from.namespace)
        && grant.spec.to.iter().any(|t| {
            is(&to.kind, &t.group, &t.kind) && t.name.as_ref().is_none_or(|name: &Name| *name == to.name)
        })
}
