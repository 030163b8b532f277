//! Writes statuses: merged with what the server has, on the version that it was merged with.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use proto::{ArcStr, ObjectStatus, ResourceKey};
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;

use super::merge::{Writer, merge};
use super::queue::Queue;
use crate::kinds::has_status;
use crate::kubernetes::source::Seen;

/// Writes at a time.
const AT_A_TIME: usize = 8;
/// How long to wait for a kind or object that the server has not told us of yet.
const UNSEEN: Duration = Duration::from_secs(1);

/// What an object's status should say.
#[derive(Clone, Debug)]
pub struct StatusUpdate {
    /// The object.
    pub key: ResourceKey,
    /// None if nothing of it is ours any more.
    pub status: Option<ObjectStatus>,
}

/// What came of a write.
enum Outcome {
    Wrote,
    /// The object is gone, or another one of its name has taken its place.
    Gone,
    /// Somebody wrote in between, or the server is busy: again.
    Again(Option<Duration>),
    /// The server will not have it.
    Refused(String),
}

struct State {
    client: Client,
    controller: ArcStr,
    seen: Seen,
    wanted: FxHashMap<ResourceKey, Option<Arc<ObjectStatus>>>,
    /// Versions that our writes have replaced: until the source has seen a newer one there is nothing to compare.
    replaced: FxHashMap<ResourceKey, ArcStr>,
    queue: Queue,
    /// Objects that the server has not told us of.
    unseen: FxHashSet<ResourceKey>,
    /// Objects whose refusal was reported.
    reported: FxHashSet<ResourceKey>,
    writes: JoinSet<(ResourceKey, Outcome)>,
}

/// Writes statuses until the updates end. What others write over ours is put right again.
pub async fn write(
    client: Client,
    controller: ArcStr,
    seen: Seen,
    mut updates: mpsc::Receiver<StatusUpdate>,
) {
    let mut changed = seen.changed();
    let mut state = State {
        client,
        controller,
        seen,
        wanted: FxHashMap::default(),
        replaced: FxHashMap::default(),
        queue: Queue::default(),
        unseen: FxHashSet::default(),
        reported: FxHashSet::default(),
        writes: JoinSet::new(),
    };
    loop {
        state.start();
        let wake = state.queue.wake().filter(|_| state.queue.in_flight() < AT_A_TIME);
        let sleep = async {
            match wake {
                Some(wake) => tokio::time::sleep_until(wake.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            update = updates.recv() => {
                let Some(update) = update else { return };
                state.want(update);
                while let Ok(update) = updates.try_recv() {
                    state.want(update);
                }
            }
            keys = changed.recv() => match keys {
                Ok(keys) => keys.iter().for_each(|key| state.look(key)),
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    let all: Vec<ResourceKey> = state.wanted.keys().cloned().collect();
                    all.iter().for_each(|key| state.look(key));
                }
                Err(broadcast::error::RecvError::Closed) => return,
            },
            Some(Ok((key, outcome))) = state.writes.join_next() => state.ended(&key, outcome),
            () = sleep => {}
        }
    }
}

impl State {
    fn want(&mut self, update: StatusUpdate) {
        let StatusUpdate { key, status } = update;
        if !has_status(&key.kind) {
            return;
        }
        self.queue.changed(&key, Instant::now());
        self.wanted.insert(key, status.map(Arc::new));
    }

    fn look(&mut self, key: &ResourceKey) {
        if self.wanted.contains_key(key) {
            if self.unseen.remove(key) {
                self.queue.forget(key);
            }
            self.queue.look(key, Instant::now());
        }
    }

    /// Starts the writes whose turn has come.
    fn start(&mut self) {
        let now = Instant::now();
        while self.queue.in_flight() < AT_A_TIME {
            let Some(key) = self.queue.next(now) else { return };
            self.one(key, now);
        }
    }

    fn one(&mut self, key: ResourceKey, now: Instant) {
        let Some(wanted) = self.wanted.get(&key).cloned() else { return self.queue.forget(&key) };
        let (observed, api) = (self.seen.get(&key), self.seen.api(&key.kind));
        let (Some(observed), Some(api)) = (observed, api) else {
            match wanted {
                // It comes with a change that is told.
                Some(_) => {
                    self.queue.refused(&key, Some(UNSEEN), now);
                    self.unseen.insert(key);
                }
                None => self.forget(&key),
            }
            return;
        };
        if self.replaced.get(&key) == Some(&observed.resource_version) {
            // The source will tell of our own write, and then this is looked at again.
            return self.queue.done(&key, false, now);
        }
        self.replaced.remove(&key);
        let time = rfc3339(SystemTime::now());
        let writer = Writer { controller: &self.controller, now: &time };
        let Some(status) = merge(&key.kind, writer, &observed.status, wanted.as_deref()) else {
            match wanted {
                Some(_) => self.queue.done(&key, false, now),
                None => self.forget(&key),
            }
            return;
        };
        self.replaced.insert(key.clone(), observed.resource_version.clone());
        let api: Api<DynamicObject> = if key.namespace.is_empty() {
            Api::all_with(self.client.clone(), &api)
        } else {
            Api::namespaced_with(self.client.clone(), &key.namespace, &api)
        };
        let body = body(&observed.status, status, &observed.uid, &observed.resource_version);
        self.writes.spawn(async move {
            let written = api.patch_status(&key.name, &PatchParams::default(), &Patch::Merge(body)).await;
            let outcome = match written {
                Ok(_) => Outcome::Wrote,
                Err(kube::Error::Api(status)) => match status.code {
                    404 => Outcome::Gone,
                    409 | 429 | 500..=599 => {
                        let asked = status.details.as_ref().map(|details| details.retry_after_seconds);
                        Outcome::Again(asked.map(|seconds| Duration::from_secs(seconds.into())))
                    }
                    _ => Outcome::Refused(status.message.clone()),
                },
                Err(_) => Outcome::Again(None),
            };
            (key, outcome)
        });
    }

    fn forget(&mut self, key: &ResourceKey) {
        self.wanted.remove(key);
        self.replaced.remove(key);
        self.unseen.remove(key);
        self.reported.remove(key);
        self.queue.forget(key);
    }

    fn ended(&mut self, key: &ResourceKey, outcome: Outcome) {
        let now = Instant::now();
        let result = match outcome {
            Outcome::Wrote => {
                self.reported.remove(key);
                self.queue.done(key, true, now);
                "written"
            }
            Outcome::Gone => {
                self.replaced.remove(key);
                self.queue.done(key, false, now);
                "gone"
            }
            Outcome::Again(pause) => {
                self.replaced.remove(key);
                self.queue.refused(key, pause, now);
                "again"
            }
            Outcome::Refused(message) => {
                self.replaced.remove(key);
                self.queue.refused(key, Some(Duration::from_secs(10)), now);
                if self.reported.insert(key.clone()) {
                    tracing::warn!(
                        "{key}: its status cannot be written: {message}; give the ServiceAccount `patch` on its status, \
                         or see what refuses it; it is tried again"
                    );
                }
                "refused"
            }
        };
        metrics::counter!("fleetgate_status_writes_total", "kind" => key.kind.0.to_string(), "result" => result)
            .increment(1);
    }
}

/// A merge patch that leaves nothing of the old status which the new one has not.
fn body(live: &Value, status: Value, uid: &str, resource_version: &str) -> Value {
    let mut status = status;
    if let (Some(live), Some(fields)) = (live.as_object(), status.as_object_mut()) {
        for gone in live.keys().filter(|field| !fields.contains_key(*field)).cloned().collect::<Vec<_>>() {
            fields.insert(gone, Value::Null);
        }
    }
    json!({"metadata": {"uid": uid, "resourceVersion": resource_version}, "status": status})
}

fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = k8s_openapi::jiff::Timestamp::from_second(i64::try_from(seconds).unwrap_or_default());
    time.map(|time| time.to_string()).unwrap_or_default()
}
