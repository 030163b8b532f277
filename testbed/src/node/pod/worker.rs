//! The life of one pod.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::state::{Doing, Shared};
use super::{files, status, supervise};
use crate::node::context::Context;
use crate::node::hosts;
use crate::node::sandbox::Sandbox;
use crate::node::volumes::{Sources, Volumes};

/// What becomes known of a pod.
#[derive(Clone)]
pub(crate) enum Update {
    /// Its object, as it is now.
    Object(Arc<Pod>),
    /// Its object is gone.
    Gone,
}

/// How long containers have when the node ends.
const GRACE_AT_END: Duration = Duration::from_secs(2);

/// Runs a pod until its object is gone, or the node ends.
pub(crate) async fn work(cx: Arc<Context>, pod: Arc<Pod>, mut updates: watch::Receiver<Update>) {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let shared = Shared::new(pod.clone());
    let stop = watch::Sender::new(None);
    let over = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let over = matches!(over, Some("Succeeded" | "Failed"));
    let mut writer = None;
    let mut sandbox = None;
    let mut deleted = false;
    {
        let life = Life { cx: &cx, shared: &shared, uid: &uid, stop: stop.subscribe() };
        let mut life = Box::pin(life.live(&mut sandbox, over));
        if !over {
            writer = Some(tokio::spawn(write_status(cx.clone(), shared.clone())));
        }
        let mut living = true;
        loop {
            tokio::select! {
                () = &mut life, if living => living = false,
                end = next_deadline(&cx, &shared, &mut updates, &stop) => {
                    deleted |= end.by_deletion;
                    stop.send_replace(Some(end.deadline));
                    if end.gone && !living { break }
                }
            }
            if !living && stop.borrow().is_some() {
                break;
            }
        }
    }
    if let Some(sandbox) = sandbox {
        Sandbox::destroy(sandbox).await;
    }
    if let Some(writer) = writer {
        writer.abort();
    }
    clean_up(&cx, &uid);
    if deleted {
        delete(&cx, &shared.pod()).await;
    }
}

struct End {
    deadline: Instant,
    /// The API server waits for the node to delete the object.
    by_deletion: bool,
    gone: bool,
}

/// Waits until the pod is to stop, or to stop earlier than it was told before.
async fn next_deadline(
    cx: &Context,
    shared: &Shared,
    updates: &mut watch::Receiver<Update>,
    stop: &watch::Sender<Option<Instant>>,
) -> End {
    let mut ending = cx.stop.subscribe();
    let told = *stop.borrow();
    loop {
        match updates.borrow_and_update().clone() {
            Update::Gone => {
                if told.is_none_or(|told| told > Instant::now()) {
                    return End { deadline: Instant::now(), by_deletion: false, gone: true };
                }
            }
            Update::Object(pod) => {
                let grace = pod
                    .metadata
                    .deletion_timestamp
                    .as_ref()
                    .map(|_| pod.metadata.deletion_grace_period_seconds);
                shared.renew(pod);
                let deadline = grace
                    .map(|grace| Instant::now() + Duration::from_secs(grace.unwrap_or(0).unsigned_abs()));
                if let Some(deadline) = deadline
                    && told.is_none_or(|told| deadline + Duration::from_secs(1) < told)
                {
                    return End { deadline, by_deletion: true, gone: false };
                }
            }
        }
        tokio::select! {
            () = next(updates) => {}
            () = ended(&mut ending), if told.is_none() => {
                return End { deadline: Instant::now() + GRACE_AT_END, by_deletion: false, gone: false };
            }
        }
    }
}

/// The next change; never, if nobody can make one any more.
async fn next(updates: &mut watch::Receiver<Update>) {
    if updates.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The node ends.
async fn ended(ending: &mut watch::Receiver<bool>) {
    // Its sender lives as long as the node.
    let _ = ending.wait_for(|end| *end).await;
}

struct Life<'a> {
    cx: &'a Arc<Context>,
    shared: &'a Shared,
    uid: &'a str,
    stop: watch::Receiver<Option<Instant>>,
}

impl Life<'_> {
    /// Sets the pod up and runs its containers until all are over.
    async fn live(mut self, sandbox: &mut Option<Sandbox>, over: bool) {
        let pod = self.shared.pod();
        let Some(spec) = pod.spec.as_ref().filter(|_| !over) else { return };
        let sources = Arc::new(sources(self.cx));
        let mut volumes = Volumes::new(self.cx, self.uid);
        let mut stop = self.stop.clone();
        tokio::select! {
            _ = stop.wait_for(Option::is_some) => return,
            made = self.set_up(&pod, &mut volumes, &sources) => *sandbox = Some(made),
        }
        let Some(pause) = sandbox.as_ref().map(|sandbox| sandbox.pid) else { return };
        let containers = supervise::Pod {
            cx: self.cx.clone(),
            shared: self.shared.clone(),
            sources: sources.clone(),
            uid: self.uid.to_owned(),
            pause,
            stop: self.stop.clone(),
        };
        let (cx, shared) = (self.cx, self.shared);
        tokio::select! {
            () = self.run_containers(spec, containers) => {}
            () = refresh(cx, shared, &mut volumes, &sources) => {}
        }
    }

    /// Address, namespaces, files, volumes: tried until it works.
    async fn set_up(&self, pod: &Pod, volumes: &mut Volumes, sources: &Sources) -> Sandbox {
        let sandbox = loop {
            match self.make_sandbox(pod).await {
                Ok(sandbox) => break sandbox,
                Err(error) => {
                    self.cx.events.warn(pod, "FailedCreatePodSandBox", format!("{error:#}")).await;
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
            }
        };
        let mut changed = self.cx.sources.subscribe();
        let mut told = None;
        loop {
            changed.mark_unchanged();
            let addressed = self.shared.addressed_pod(self.cx.address);
            let Err(why) = volumes.prepare(self.cx, &addressed, sources).await else { return sandbox };
            if told.as_ref() != Some(&why) {
                self.cx.events.warn(pod, "FailedMount", why.clone()).await;
                told = Some(why);
            }
            // A change of any Secret or ConfigMap may be what was missing; a token is asked for again.
            tokio::select! {
                _ = changed.changed() => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    async fn make_sandbox(&self, pod: &Pod) -> anyhow::Result<Sandbox> {
        let has = self.cx.ipam().of(self.uid);
        let address = match has {
            Some(address) => address,
            None => self.cx.ipam().allocate(self.uid)?,
        };
        let security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let sysctls = security.and_then(|security| security.sysctls.as_ref()).into_iter().flatten();
        let sysctls: Vec<_> = sysctls.map(|sysctl| (sysctl.name.clone(), sysctl.value.clone())).collect();
        let sandbox = Sandbox::create(&self.cx.args, address, &files::hostname(pod), &sysctls).await?;
        files::write(&self.cx.pod_dir(self.uid), pod)?;
        hosts::add(self.cx, self.uid, pod, &files::hostname(pod), sandbox.address)?;
        self.shared.set(|state| state.address = Some(address));
        Ok(sandbox)
    }

    async fn run_containers(&mut self, spec: &PodSpec, pod: supervise::Pod) {
        let policy = spec.restart_policy.clone();
        let mut tasks = JoinSet::new();
        for container in spec.init_containers.iter().flatten() {
            if container.restart_policy.as_deref() == Some("Always") {
                tasks.spawn(pod.clone().supervise(container.clone(), None));
                if !self.wait_for_start(container).await {
                    break;
                }
                continue;
            }
            let policy = if policy.as_deref() == Some("Never") { "Never" } else { "OnFailure" };
            let succeeded = pod.clone().supervise(container.clone(), Some(policy.into())).await;
            self.shared.update(&container.name, |view| view.ready = succeeded);
            if !succeeded {
                return stop_all(tasks).await;
            }
        }
        if !self.stop.borrow().is_some() {
            self.shared.set(|state| state.initialized = true);
            let mut main = JoinSet::new();
            for container in &spec.containers {
                main.spawn(pod.clone().supervise(container.clone(), policy.clone()));
            }
            while main.join_next().await.is_some() {}
        }
        if self.stop.borrow().is_none() {
            // Sidecars of a pod that is through.
            return stop_all(tasks).await;
        }
        while tasks.join_next().await.is_some() {}
    }

    /// Waits until a sidecar has started; says no if the pod stops first.
    async fn wait_for_start(&mut self, container: &Container) -> bool {
        let mut state = self.shared.subscribe();
        let started = state.wait_for(|state| {
            state
                .containers
                .get(&container.name)
                .is_some_and(|view| view.started && matches!(view.doing, Doing::Running { .. }))
        });
        tokio::select! {
            started = started => started.is_ok(),
            _ = self.stop.wait_for(Option::is_some) => false,
        }
    }
}

/// Ends tasks at once; their containers end with them.
async fn stop_all(mut tasks: JoinSet<bool>) {
    tasks.shutdown().await;
}

/// Keeps the volumes up to date, until it is dropped.
async fn refresh(cx: &Context, shared: &Shared, volumes: &mut Volumes, sources: &Sources) {
    let mut changed = cx.sources.subscribe();
    loop {
        tokio::select! {
            _ = changed.changed() => {}
            () = tokio::time::sleep_until(volumes.next_renewal().into()) => {}
        }
        // Changes come in groups.
        tokio::time::sleep(Duration::from_millis(50)).await;
        changed.mark_unchanged();
        let pod = shared.addressed_pod(cx.address);
        if let Err(why) = volumes.prepare(cx, &pod, sources).await {
            tracing::debug!("a volume stays as it was: {why}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

fn sources(cx: &Context) -> Sources {
    use kube::runtime::reflector::ObjectRef;
    let (secrets, config_maps) = (cx.secrets.clone(), cx.config_maps.clone());
    Sources {
        secret: Box::new(move |namespace, name| secrets.get(&ObjectRef::new(name).within(namespace))),
        config_map: Box::new(move |namespace, name| config_maps.get(&ObjectRef::new(name).within(namespace))),
    }
}

/// Writes the status whenever it is different, until it is aborted.
async fn write_status(cx: Arc<Context>, shared: Shared) {
    let mut changes = shared.subscribe();
    let mut written: Option<(Value, Pod)> = None;
    loop {
        let state = changes.borrow_and_update().clone();
        let mut pod = Pod::clone(&shared.pod());
        if let (Some((_, ours)), Some(seen)) = (&written, &mut pod.status) {
            // The watch may be behind what was written last.
            let theirs = seen.conditions.take().unwrap_or_default();
            let mut all =
                ours.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
            all.extend(theirs);
            seen.conditions = Some(all);
        }
        let status = status::compute(&pod, &state, cx.address, Timestamp::now());
        if written.as_ref().is_none_or(|(old, _)| *old != status) {
            let patch = json!({ "metadata": { "uid": pod.metadata.uid }, "status": status });
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let api = cx.pods(pod.metadata.namespace.as_deref().unwrap_or_default());
            match api.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
                Ok(answer) => written = Some((status, answer)),
                Err(kube::Error::Api(error)) if matches!(error.code, 404 | 409) => return,
                Err(error) => {
                    tracing::debug!("the status of {name} was not written: {error}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn clean_up(cx: &Context, uid: &str) {
    cx.ipam().release(uid);
    hosts::remove(cx, uid);
    let _ = std::fs::remove_dir_all(cx.pod_dir(uid));
    let _ = std::fs::remove_dir_all(cx.args.dir.join("logs").join(uid));
}

async fn delete(cx: &Context, pod: &Pod) {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let params = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions { uid: pod.metadata.uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    let api = cx.pods(pod.metadata.namespace.as_deref().unwrap_or_default());
    for _ in 0..60 {
        match api.delete(name, &params).await {
            Ok(_) => return,
            Err(kube::Error::Api(error)) if matches!(error.code, 404 | 409) => return,
            Err(error) => tracing::debug!("pod {name} was not deleted: {error}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
