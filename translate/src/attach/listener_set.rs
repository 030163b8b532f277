//! ListenerSets of a Gateway: which may attach, and what becomes of their listeners (GEP-1713).

use proto::{Kind, ResourceKey, literal};

use super::{conflicts, listener, namespaces};
use crate::cx::Cx;
use crate::ir::{AttachedSet, GatewayIr, IndexKey, ListenerIr, Verdict};
use crate::model::{Gateway, ListenerSet};

/// Adds the listeners of all ListenerSets that may attach after the Gateway's own: the oldest set first, then by
/// namespace and name. One that may not attach leaves no trace here, so that nobody outside can have the Gateway's
/// routes made anew.
pub(crate) fn attach(
    key: &ResourceKey,
    gateway: &Gateway,
    listeners: &mut Vec<ListenerIr>,
    claims: &mut Vec<usize>,
    cx: &mut Cx<'_>,
) -> Vec<AttachedSet> {
    let keys: Vec<ResourceKey> = cx.members(IndexKey::ListenerSetsOf(key.clone())).cloned().collect();
    let mut sets = Vec::new();
    for set in keys {
        if may_attach(&set, key, gateway, cx) {
            sets.extend(cx.object::<ListenerSet>(&set).map(|object| (object, set)));
        }
    }
    sets.sort_by(|(a, a_key), (b, b_key)| {
        let rank = |set: &ListenerSet| set.metadata.creation_timestamp.clone();
        (rank(a), a_key.namespaced_name()).cmp(&(rank(b), b_key.namespaced_name()))
    });
    let mut attached = Vec::with_capacity(sets.len());
    for (set, set_key) in sets {
        let mut faults = Vec::new();
        let from = listeners.len();
        for (index, listener) in set.spec.listeners.iter().enumerate() {
            listeners.push(listener::resolve(&set_key, index, listener, cx, &mut faults));
        }
        conflicts::find(listeners, from, claims, &mut faults);
        let accepted = Verdict::yes(literal!("Accepted"), literal!("all listeners are accepted"));
        attached.push(AttachedSet { key: set_key, accepted, faults });
    }
    attached
}

fn may_attach(set: &ResourceKey, key: &ResourceKey, gateway: &Gateway, cx: &mut Cx<'_>) -> bool {
    let Some(allowed) = &gateway.spec.allowed_listeners else { return false };
    let same = set.namespace == key.namespace;
    namespaces::allow(&allowed.namespaces, "None", same, set, cx)
}

/// Says which of the allowed sets are accepted, once it is known which listeners serve.
pub(crate) fn accept(gateway: &GatewayIr, sets: &mut [AttachedSet]) {
    for set in sets {
        if !gateway.accepted.holds {
            set.accepted =
                Verdict::no(literal!("ParentNotAccepted"), literal!("its Gateway is not accepted"));
            continue;
        }
        let (good, bad): (Vec<&ListenerIr>, Vec<&ListenerIr>) =
            gateway.of(&set.key).partition(|listener| listener.table.is_some());
        if bad.is_empty() {
            continue;
        }
        let names: Vec<&str> = bad.iter().map(|listener| listener.name.as_str()).collect();
        set.accepted = Verdict {
            holds: !good.is_empty(),
            reason: literal!("ListenersNotValid"),
            message: format!("listeners that are not valid: {}", names.join(", ")).into(),
        };
    }
}

/// The set that a key names, with the Gateway that it wants to attach to.
pub(crate) fn gateway_of(set: &ResourceKey, cx: &mut Cx<'_>) -> Option<ResourceKey> {
    debug_assert_eq!(set.kind, Kind::LISTENER_SET);
    cx.object::<ListenerSet>(set)?.gateway(set)
}
