//! What of a status counts when it is compared.

use std::hash::{DefaultHasher, Hash, Hasher};

use proto::ObjectStatus;

/// Equal on all replicas; routes that come and go make no other one.
pub(super) fn hash(status: &ObjectStatus) -> u64 {
    let mut hasher = DefaultHasher::new();
    without_routes(status).hash(&mut hasher);
    hasher.finish()
}

pub(super) fn is_accepted(status: &ObjectStatus) -> bool {
    status.conditions.iter().any(|condition| condition.kind == "Accepted" && condition.holds())
}

/// A route that comes or goes changes the count in a Gateway's status, not whether it is programmed.
pub(super) fn differs_in_routes_only(old: &ObjectStatus, new: &ObjectStatus) -> bool {
    without_routes(old) == without_routes(new)
}

fn without_routes(status: &ObjectStatus) -> ObjectStatus {
    let mut status = status.clone();
    status.listeners.iter_mut().for_each(|listener| listener.attached_routes = 0);
    status
}
