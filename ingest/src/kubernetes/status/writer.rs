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
use tokio::time::timeout;

use super::merge::{Writer, merge};
use super::queue::Queue;
use crate::kinds::has_status;
use crate::kubernetes::source::Seen;

/// Writes at a time.
const AT_A_TIME: usize = 8;
/// Until a write must be answered: else a connection that nobody closed would keep its place for ever.
const PATIENCE: Duration = Duration::from_secs(30);
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
    /// The object is gone, or its kind is not served in this version any more: the source will tell.
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
        self.queue.changed(&key, now());
        self.wanted.insert(key, status.map(Arc::new));
    }

    fn look(&mut self, key: &ResourceKey) {
        if self.wanted.contains_key(key) {
            if self.unseen.remove(key) {
                self.queue.forget(key);
            }
            self.queue.look(key, now());
        }
    }

    /// Starts the writes whose turn has come.
    fn start(&mut self) {
        let now = now();
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
            let (parameters, patch) = (PatchParams::default(), Patch::Merge(body));
            let written = timeout(PATIENCE, api.patch_status(&key.name, &parameters, &patch)).await;
            let outcome = match written {
                Ok(Ok(_)) => Outcome::Wrote,
                Ok(Err(kube::Error::Api(status))) => match status.code {
                    404 => Outcome::Gone,
                    409 | 429 | 500..=599 => {
                        let asked = status.details.as_ref().map(|details| details.retry_after_seconds);
                        Outcome::Again(asked.map(|seconds| Duration::from_secs(seconds.into())))
                    }
                    _ => Outcome::Refused(status.message.clone()),
                },
                Ok(Err(_)) | Err(_) => Outcome::Again(None),
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
        let now = now();
        let result = match outcome {
            Outcome::Wrote => {
                self.reported.remove(key);
                self.queue.done(key, true, now);
                "written"
            }
            Outcome::Gone => {
                self.replaced.remove(key);
                self.queue.refused(key, Some(UNSEEN), now);
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

/// By the clock that tests can stop.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = k8s_openapi::jiff::Timestamp::from_second(i64::try_from(seconds).unwrap_or_default());
    time.map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use kube::core::{ApiResource, GroupVersionKind};
    use proto::{Condition, Kind, ObjectStatus, ResourceKey};
    use serde_json::{Value, json};
    use tokio::sync::mpsc;

    use super::{AT_A_TIME, StatusUpdate, write};
    use crate::kubernetes::source::{Observed, Seen};

    /// Writes a status for some Gateways; what an answer is asked of are the number of a request and its path.
    async fn write_for<F>(
        gateways: usize,
        answer: impl Fn(usize, String) -> F + Send + 'static,
    ) -> mpsc::Sender<StatusUpdate>
    where
        F: Future<Output = u16> + Send + 'static,
    {
        let asked = AtomicUsize::new(0);
        let service = tower::service_fn(move |request: Request<Body>| {
            let answer = answer(asked.fetch_add(1, Ordering::Relaxed), request.uri().path().to_owned());
            async move {
                let code = answer.await;
                let body = json!({"metadata": {}, "code": code, "message": "no"}).to_string();
                Response::builder().status(code).body(Body::from(body.into_bytes()))
            }
        });
        let seen = Seen::default();
        let kind = GroupVersionKind::gvk(Kind::GATEWAY.group(), "v1", "Gateway");
        seen.serve(&Kind::GATEWAY, Some(ApiResource::from_gvk_with_plural(&kind, "gateways")));
        let (updates, receiver) = mpsc::channel(64);
        tokio::spawn(write(Client::new(service, "default"), "us".into(), seen.clone(), receiver));
        for number in 0..gateways {
            let key = ResourceKey::local(Kind::GATEWAY, "default", format!("g{number}"));
            let (uid, resource_version) = ("u".into(), "1".into());
            seen.put(&key, Some(Observed { uid, resource_version, generation: 1, status: Value::Null }));
            let conditions = vec![Condition::new("Accepted", true, "Accepted", "")];
            let status = ObjectStatus { conditions, ..ObjectStatus::default() };
            updates.send(StatusUpdate { key, status: Some(status) }).await.unwrap();
        }
        updates
    }

    #[tokio::test(start_paused = true)]
    async fn writes_without_an_answer_are_made_again_and_keep_no_others_waiting() {
        let (answers, mut answered) = mpsc::unbounded_channel();
        let answer = move |number, path| {
            let answers = answers.clone();
            async move {
                if number < AT_A_TIME {
                    std::future::pending::<()>().await;
                }
                let _ = answers.send(path);
                200
            }
        };
        let _updates = write_for(AT_A_TIME + 1, answer).await;
        let mut written = BTreeSet::new();
        while written.len() <= AT_A_TIME {
            written.insert(answered.recv().await.unwrap());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_that_is_not_served_for_a_moment_is_written_when_it_is() {
        let (answers, mut answered) = mpsc::unbounded_channel();
        let answer = move |number, _| {
            let code = if number == 0 { 404 } else { 200 };
            let _ = answers.send(code);
            std::future::ready(code)
        };
        let _updates = write_for(1, answer).await;
        for code in [404, 200] {
            assert_eq!(answered.recv().await, Some(code));
        }
    }
}
