//! One worker per pod of this node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::context::Context;
use super::pod::{Update, work};

/// Runs the pods until the node ends; then all their processes have ended.
pub(super) async fn run(cx: Arc<Context>) {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", cx.args.name));
    let stream = watcher(Api::<Pod>::all(cx.client.clone()), config).default_backoff();
    let mut stream = std::pin::pin!(stream);
    let mut stop = cx.stop.subscribe();
    let mut workers = Workers { cx: cx.clone(), tasks: JoinSet::new(), inboxes: BTreeMap::new() };
    let mut seen = BTreeSet::new();
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            Some(done) = workers.tasks.join_next() => {
                if let Ok(uid) = done {
                    workers.inboxes.remove(&uid);
                }
                continue;
            }
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match event {
            Some(Ok(watcher::Event::Init)) => seen.clear(),
            Some(Ok(watcher::Event::InitApply(pod))) => {
                seen.insert(pod.metadata.uid.clone().unwrap_or_default());
                workers.apply(pod);
            }
            Some(Ok(watcher::Event::InitDone)) => workers.sweep(&seen),
            Some(Ok(watcher::Event::Apply(pod))) => workers.apply(pod),
            Some(Ok(watcher::Event::Delete(pod))) => workers.gone(&pod.metadata.uid.unwrap_or_default()),
            Some(Err(error)) => tracing::debug!("watch of pods: {error}"),
            None => break,
        }
    }
    while workers.tasks.join_next().await.is_some() {}
}

struct Workers {
    cx: Arc<Context>,
    tasks: JoinSet<String>,
    /// By uid: a pod that is made again under its old name is another pod.
    inboxes: BTreeMap<String, watch::Sender<Update>>,
}

impl Workers {
    fn apply(&mut self, pod: Pod) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let pod = Arc::new(pod);
        if let Some(inbox) = self.inboxes.get(&uid) {
            inbox.send_replace(Update::Object(pod));
            return;
        }
        let (inbox, updates) = watch::channel(Update::Object(pod.clone()));
        self.inboxes.insert(uid.clone(), inbox);
        let cx = self.cx.clone();
        self.tasks.spawn(async move {
            Box::pin(work(cx, pod, updates)).await;
            uid
        });
    }

    fn gone(&self, uid: &str) {
        if let Some(inbox) = self.inboxes.get(uid) {
            inbox.send_replace(Update::Gone);
        }
    }

    fn sweep(&self, seen: &BTreeSet<String>) {
        for uid in self.inboxes.keys().filter(|uid| !seen.contains(*uid)) {
            self.gone(uid);
        }
    }
}
