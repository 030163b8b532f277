//! The newest state of the objects that get a status, as the API server has told it.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::core::ApiResource;
use proto::{ArcStr, Kind, ResourceKey};
use rustc_hash::FxHashMap;
use serde_json::Value;
use tokio::sync::broadcast;

/// Messages that a slow receiver may be behind before it is told [`broadcast::error::RecvError::Lagged`].
const BACKLOG: usize = 1024;

/// An object as the server has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// `metadata.uid`.
    pub uid: ArcStr,
    /// `metadata.resourceVersion`.
    pub resource_version: ArcStr,
    /// `metadata.generation`; 0 if it has none.
    pub generation: i64,
    /// The whole status, with every controller's entries; null if it has none.
    pub status: Value,
}

/// A shared view of the kinds whose status is written (see `kinds.rs`): every watch event updates it,
/// also one that makes no [`proto::Event`]. Clones share the same view.
#[derive(Clone)]
pub struct Seen {
    shared: Arc<Shared>,
}

struct Shared {
    objects: RwLock<FxHashMap<ResourceKey, Compact>>,
    apis: RwLock<FxHashMap<Kind, ApiResource>>,
    changed: broadcast::Sender<Arc<[ResourceKey]>>,
}

/// Statuses are many and seldom read: they are kept as text.
struct Compact {
    uid: ArcStr,
    resource_version: ArcStr,
    generation: i64,
    status: Box<[u8]>,
}

impl Default for Seen {
    fn default() -> Seen {
        Seen {
            shared: Arc::new(Shared {
                objects: RwLock::default(),
                apis: RwLock::default(),
                changed: broadcast::channel(BACKLOG).0,
            }),
        }
    }
}

impl Seen {
    /// An object; none if it is not there, or of a kind without a status of ours.
    pub fn get(&self, key: &ResourceKey) -> Option<Observed> {
        let objects = self.objects();
        let compact = objects.get(key)?;
        Some(Observed {
            uid: compact.uid.clone(),
            resource_version: compact.resource_version.clone(),
            generation: compact.generation,
            status: serde_json::from_slice(&compact.status).unwrap_or_default(),
        })
    }

    /// All objects of a kind, in no order.
    pub fn of_kind(&self, kind: &Kind) -> Vec<ResourceKey> {
        self.objects().keys().filter(|key| key.kind == *kind).cloned().collect()
    }

    /// Keys of objects that came, changed or went, our own writes included, in the order of the server.
    /// A receiver that is told that it lagged must look at all objects again.
    pub fn changed(&self) -> broadcast::Receiver<Arc<[ResourceKey]>> {
        self.shared.changed.subscribe()
    }

    /// Group, served version and plural of a kind that is installed, whether it has a status or not.
    pub fn api(&self, kind: &Kind) -> Option<ApiResource> {
        self.shared.apis.read().unwrap_or_else(PoisonError::into_inner).get(kind).cloned()
    }

    /// Puts an object in, or takes it out, and tells nobody yet. For sources, and tests of writers.
    pub fn put(&self, key: &ResourceKey, observed: Option<Observed>) {
        let Some(observed) = observed else {
            self.objects_mut().remove(key);
            return;
        };
        let status = if observed.status.is_null() { Vec::new() } else { observed.status.to_string().into() };
        let compact = Compact {
            uid: observed.uid,
            resource_version: observed.resource_version,
            generation: observed.generation,
            status: status.into(),
        };
        self.objects_mut().insert(key.clone(), compact);
    }

    /// Tells that objects have changed.
    pub fn announce(&self, keys: &[ResourceKey]) {
        if !keys.is_empty() {
            // An error means that nobody listens.
            let _ = self.shared.changed.send(keys.into());
        }
    }

    /// Notes where a kind is served; none if it is not.
    pub fn serve(&self, kind: &Kind, api: Option<ApiResource>) {
        let mut apis = self.shared.apis.write().unwrap_or_else(PoisonError::into_inner);
        match api {
            Some(api) => drop(apis.insert(kind.clone(), api)),
            None => drop(apis.remove(kind)),
        }
    }

    fn objects(&self) -> RwLockReadGuard<'_, FxHashMap<ResourceKey, Compact>> {
        self.shared.objects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn objects_mut(&self) -> RwLockWriteGuard<'_, FxHashMap<ResourceKey, Compact>> {
        self.shared.objects.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seen({} objects)", self.objects().len())
    }
}

#[cfg(test)]
mod tests {
    use super::{Observed, Seen};
    use proto::{Kind, ResourceKey};
    use serde_json::{Value, json};

    #[test]
    fn clones_share_what_is_put_and_announced() {
        let (seen, key) = (Seen::default(), ResourceKey::local(Kind::HTTP_ROUTE, "default", "web"));
        let mut changed = seen.changed();
        for status in [Value::Null, json!({"parents": [{"controllerName": "x"}]})] {
            let observed = Observed { uid: "u".into(), resource_version: "7".into(), generation: 3, status };
            seen.clone().put(&key, Some(observed.clone()));
            assert_eq!(seen.get(&key), Some(observed));
        }
        seen.announce(std::slice::from_ref(&key));
        assert_eq!(changed.try_recv().unwrap()[0], key);
        assert_eq!(seen.of_kind(&Kind::HTTP_ROUTE)[0], key);
        seen.put(&key, None);
        assert_eq!(seen.get(&key), None);
    }
}
