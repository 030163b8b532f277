//! The ways into the containers that run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::container::process::Entrance;

/// By the pod's uid and the container's name.
type Entrances = BTreeMap<(String, String), Entrance>;

/// Who wants in finds the way here.
#[derive(Clone, Default)]
pub(super) struct Inside(Arc<Mutex<Entrances>>);

/// A container that runs, until it is dropped.
pub(super) struct Open {
    inside: Inside,
    key: (String, String),
}

impl Inside {
    /// Notes a container that runs.
    pub(super) fn open(&self, uid: &str, container: &str, entrance: Entrance) -> Open {
        let key = (uid.to_owned(), container.to_owned());
        self.lock().insert(key.clone(), entrance);
        Open { inside: self.clone(), key }
    }

    /// The way into a container.
    pub(super) fn container(&self, uid: &str, name: &str) -> Option<Entrance> {
        self.lock().get(&(uid.to_owned(), name.to_owned())).cloned()
    }

    /// The way into a pod: that of any of its containers.
    pub(super) fn pod(&self, uid: &str) -> Option<Entrance> {
        self.lock().iter().find(|((of, _), _)| of == uid).map(|(_, entrance)| entrance.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Entrances> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.inside.lock().remove(&self.key);
    }
}
