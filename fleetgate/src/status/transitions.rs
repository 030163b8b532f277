//! When each condition last changed its status.

use proto::{ArcStr, Condition, ContentHash, ObjectStatus};

/// The times of one object's conditions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transitions(Vec<Transition>);

#[derive(Clone, Debug)]
struct Transition {
    place: u128,
    kind: ArcStr,
    status: ArcStr,
    since: i64,
}

/// Where a condition stands: on the object itself, a listener, a parent or an ancestor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// `status.conditions`
    Object,
    /// `status.listeners[name]`
    Listener(&'a str),
    /// `status.parents[parentRef]` or `status.ancestors[ancestorRef]`
    Parent(&'a proto::JsonText),
}

impl Place<'_> {
    fn hash(self) -> u128 {
        match self {
            Place::Object => 0,
            Place::Listener(name) => ContentHash::of_named("listener", name.as_bytes()).0,
            Place::Parent(reference) => ContentHash::of_named("parent", reference.as_str().as_bytes()).0,
        }
    }
}

impl Transitions {
    /// Takes over the conditions of `status`; those whose status differs changed `now`.
    pub(crate) fn update(&mut self, status: &ObjectStatus, now: i64) {
        let mut next = Vec::with_capacity(self.0.len());
        let mut add = |place: Place<'_>, conditions: &[Condition]| {
            let place = place.hash();
            for condition in conditions {
                let before = self.0.iter().find(|known| known.place == place && known.kind == condition.kind);
                let since = match before {
                    Some(known) if known.status == condition.status => known.since,
                    _ => now,
                };
                let (kind, status) = (condition.kind.clone(), condition.status.clone());
                next.push(Transition { place, kind, status, since });
            }
        };
        add(Place::Object, &status.conditions);
        for listener in &status.listeners {
            add(Place::Listener(&listener.name), &listener.conditions);
        }
        for parent in status.parents.iter().chain(&status.ancestors) {
            add(Place::Parent(&parent.parent_ref), &parent.conditions);
        }
        next.shrink_to_fit();
        self.0 = next;
    }

    /// When a condition got its present status, nanoseconds since the Unix epoch.
    pub(crate) fn since(&self, place: Place<'_>, kind: &str) -> i64 {
        let place = place.hash();
        self.0.iter().find(|known| known.place == place && known.kind == kind).map_or(0, |known| known.since)
    }
}

#[cfg(test)]
mod tests {
    use proto::{Condition, ObjectStatus};

    use super::{Place, Transitions};

    fn status(holds: bool, reason: &str) -> ObjectStatus {
        ObjectStatus {
            conditions: vec![Condition::new("Accepted", holds, reason, "")],
            ..ObjectStatus::default()
        }
    }

    #[test]
    fn the_time_changes_only_when_the_status_flips() {
        let mut times = Transitions::default();
        times.update(&status(true, "Accepted"), 1);
        times.update(&status(true, "Other"), 2);
        assert_eq!(times.since(Place::Object, "Accepted"), 1);
        times.update(&status(false, "Other"), 3);
        assert_eq!(times.since(Place::Object, "Accepted"), 3);
        assert_eq!(times.since(Place::Listener("http"), "Accepted"), 0);
    }
}
