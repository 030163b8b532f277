//! What of a status counts when it is compared.

use proto::{ContentHash, ObjectStatus};

/// Equal on all replicas, also of different builds, as long as the status reads the same; routes that come and go
/// make no other one.
pub(super) fn hash(status: &ObjectStatus) -> u64 {
    // What is not shown is not compared: it follows from what is.
    let text = serde_json::to_vec(&without_routes(status)).unwrap_or_default();
    let [.., low] = ContentHash::of(&text).halves();
    low
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

#[cfg(test)]
mod tests {
    use proto::{Condition, ListenerStatus, ObjectStatus};

    use super::hash;

    /// Replicas of two builds compare them while one takes over from the other.
    #[test]
    fn a_hash_is_the_same_in_every_build() {
        let listener = |attached_routes| ListenerStatus {
            name: "http".into(),
            resource: "8080".into(),
            attached_routes,
            supported_kinds: Vec::new(),
            conditions: vec![Condition::new("Programmed", true, "Programmed", "")],
        };
        let status = |attached_routes| ObjectStatus {
            observed_generation: 3,
            conditions: vec![Condition::new("Accepted", true, "Accepted", "a message")],
            listeners: vec![listener(attached_routes)],
            ..ObjectStatus::default()
        };
        assert_eq!([hash(&status(0)), hash(&status(7))], [4_024_212_808_530_812_355; 2]);
        assert_ne!(hash(&ObjectStatus::default()), hash(&status(0)));
    }
}
