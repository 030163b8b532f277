//! Runs one container: prepares, starts, watches, stops and restarts it.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, LifecycleHandler};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::watch;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::handler;
use super::probe::{self, Probing};
use super::state::{Doing, Ended, Shared};
use super::status::is_final;
use crate::node::container::command;
use crate::node::container::env;
use crate::node::container::links;
use crate::node::container::mounts;
use crate::node::container::process::{Exit, Process};
use crate::node::container::script::Launch;
use crate::node::container::security::Security;
use crate::node::context::Context;
use crate::node::images;
use crate::node::logs::Log;
use crate::node::volumes::Sources;

/// What the containers of a pod have in common.
#[derive(Clone)]
pub(super) struct Pod {
    pub(super) cx: Arc<Context>,
    pub(super) shared: Shared,
    pub(super) sources: Arc<Sources>,
    pub(super) uid: String,
    /// The process that holds the pod's namespaces.
    pub(super) pause: u32,
    /// Until when containers must have ended, once the pod is to stop.
    pub(super) stop: watch::Receiver<Option<Instant>>,
}

/// How an attempt to run a container ended.
enum Outcome {
    /// It could not be started: reason and sentence.
    NotStarted(&'static str, String),
    Ended(Ended),
}

impl Pod {
    /// Runs the container until it is over for good or the pod stops. Says whether it succeeded.
    pub(super) async fn supervise(mut self, container: Container, policy: Option<String>) -> bool {
        let name = container.name.clone();
        let mut backoff = Backoff::default();
        while !self.is_stopping() {
            let (wait, again) = match Box::pin(self.run_once(&container)).await {
                Outcome::NotStarted(reason, message) => {
                    self.warn(reason_of_event(reason), format!("container {name}: {message}")).await;
                    let message = Some(message);
                    self.shared.update(&name, |view| view.doing = Doing::Waiting { reason, message });
                    let wait = backoff.after(Duration::ZERO);
                    (wait.clamp(Duration::from_secs(1), Duration::from_secs(8)), false)
                }
                Outcome::Ended(ended) => {
                    let over = self.is_stopping() || is_final(policy.as_deref(), ended.code);
                    self.shared.update(&name, |view| {
                        (view.started, view.ready) = (false, false);
                        view.doing = Doing::Ended(ended.clone());
                    });
                    if over {
                        return ended.code == 0;
                    }
                    (self.before_restart(&name, ended, &mut backoff).await, true)
                }
            };
            self.pause_for(wait).await;
            if again && !self.is_stopping() {
                self.shared.update(&name, |view| view.restarts += 1);
            }
        }
        false
    }

    async fn before_restart(&self, name: &str, ended: Ended, backoff: &mut Backoff) -> Duration {
        let wait = backoff
            .after(Duration::try_from(ended.finished.duration_since(ended.started)).unwrap_or_default());
        let message = format!("back-off {} s restarting failed container {name}", wait.as_secs());
        self.shared.update(name, |view| {
            view.last = Some(ended);
            let reason = if wait.is_zero() { "ContainerCreating" } else { "CrashLoopBackOff" };
            view.doing = Doing::Waiting { reason, message: (!wait.is_zero()).then(|| message.clone()) };
        });
        if !wait.is_zero() {
            self.warn("BackOff", message).await;
        }
        wait
    }

    async fn run_once(&mut self, container: &Container) -> Outcome {
        let launch = match self.prepare(container) {
            Ok(launch) => launch,
            Err((reason, message)) => return Outcome::NotStarted(reason, message),
        };
        let name = &container.name;
        let run = self.shared.view(name).restarts;
        let log = match Log::create(&self.cx.log_dir(&self.uid, name), run) {
            Ok(log) => log,
            Err(error) => return Outcome::NotStarted("CreateContainerError", format!("no log: {error}")),
        };
        let dir = self.cx.pod_dir(&self.uid).join("run").join(name);
        let mut process = match Process::start(self.pause, &dir, launch, log, &self.cx.args.dir).await {
            Ok(process) => process,
            Err(message) => return Outcome::NotStarted("RunContainerError", message),
        };
        let _open = self.cx.inside.open(&self.uid, name, process.entrance());
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        if let Some(hook) = hook
            && let Err(why) = self.hook(container, hook, &process, Duration::from_secs(600)).await
        {
            self.warn("FailedPostStartHook", format!("container {name}: {why}")).await;
            let exit = process.kill().await;
            return Outcome::Ended(self.ended(container, exit, &process));
        }
        let since = process.started;
        let ready = container.startup_probe.is_none() && container.readiness_probe.is_none();
        self.shared.update(name, |view| {
            view.doing = Doing::Running { since };
            view.started = container.startup_probe.is_none();
            view.ready = ready;
        });
        let exit = self.watch(container, &mut process).await;
        Outcome::Ended(self.ended(container, exit, &process))
    }

    /// Waits until the container ends by itself, by its probes, or with its pod.
    async fn watch(&mut self, container: &Container, process: &mut Process) -> Exit {
        let address = self.shared.get().address.unwrap_or(self.cx.address);
        let (shared, events) = (self.shared.clone(), self.cx.events.clone());
        let probing = Probing { shared, events, address, entrance: process.entrance() };
        let mut stop = self.stop.clone();
        let why = tokio::select! {
            exit = process.wait() => return exit,
            why = probing.run(container) => Some(why),
            _ = stop.wait_for(Option::is_some) => None,
        };
        self.shared.update(&container.name, |view| view.ready = false);
        let Some(why) = why else { return self.stop_gracefully(container, process, stop).await };
        self.warn("Killing", why).await;
        let pod = self.shared.pod();
        let of_probe =
            container.liveness_probe.as_ref().and_then(|probe| probe.termination_grace_period_seconds);
        let of_pod = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        let grace = Duration::from_secs(of_probe.or(of_pod).unwrap_or(30).unsigned_abs());
        let (_keep, deadline) = watch::channel(Some(Instant::now() + grace));
        self.stop_gracefully(container, process, deadline).await
    }

    /// preStop, SIGTERM and, when the time is up, SIGKILL.
    async fn stop_gracefully(
        &self,
        container: &Container,
        process: &mut Process,
        mut deadline: watch::Receiver<Option<Instant>>,
    ) -> Exit {
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref());
        if let Some(hook) = hook {
            let limit =
                deadline.borrow().map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
            let inside = process.entrance();
            let mut until = deadline.clone();
            let ran = tokio::select! {
                exit = process.wait() => return exit,
                ran = self.hook_in(container, hook, &inside, limit) => ran,
                () = passed(&mut until) => Err("it took longer than the grace period".to_owned()),
            };
            if let Err(why) = ran {
                self.warn("FailedPreStopHook", format!("container {}: {why}", container.name)).await;
            }
        }
        process.terminate();
        tokio::select! {
            exit = process.wait() => return exit,
            () = passed(&mut deadline) => {}
        }
        process.kill().await
    }

    async fn hook(
        &self,
        container: &Container,
        hook: &LifecycleHandler,
        process: &Process,
        limit: Duration,
    ) -> Result<(), String> {
        self.hook_in(container, hook, &process.entrance(), limit).await
    }

    async fn hook_in(
        &self,
        container: &Container,
        hook: &LifecycleHandler,
        inside: &crate::node::container::process::Entrance,
        limit: Duration,
    ) -> Result<(), String> {
        if let Some(sleep) = &hook.sleep {
            tokio::time::sleep(Duration::from_secs(sleep.seconds.unsigned_abs()).min(limit)).await;
            return Ok(());
        }
        let action =
            probe::of(container, hook.exec.as_ref(), hook.http_get.as_ref(), hook.tcp_socket.as_ref());
        let address = self.shared.get().address.unwrap_or(self.cx.address);
        match action {
            Some(action) => handler::run(&action, address, inside, limit).await,
            None => Ok(()),
        }
    }

    /// All that the container is started with. The error is a waiting reason and a sentence.
    fn prepare(&self, container: &Container) -> Result<Launch, (&'static str, String)> {
        let wrong = |message| ("CreateContainerConfigError", message);
        let pod = self.shared.addressed_pod(self.cx.address);
        let image = container.image.as_deref().unwrap_or_default();
        let image = images::find(&self.cx.args.images, image).map_err(|message| ("ErrImagePull", message))?;
        let service = self.cx.services.get(&ObjectRef::new("kubernetes").within("default"));
        let mut below = image.env.clone();
        below.extend(links::api_server(service.as_deref()).map_err(wrong)?);
        let env = env::resolve(&pod, container, &below, &self.sources).map_err(wrong)?;
        let security = Security::of(&pod, container).map_err(wrong)?;
        let dir = self.cx.pod_dir(&self.uid);
        let binds = mounts::binds(&pod, container, &dir, &image.program, &env).map_err(wrong)?;
        Ok(Launch {
            mount_point: dir.join("run").join(&container.name).join("fs"),
            binds,
            opened: image.private_dirs(),
            words: command::words(container, &image, &env),
            env: env.into_iter().collect(),
            working_dir: container
                .working_dir
                .clone()
                .filter(|dir| !dir.is_empty())
                .unwrap_or_else(|| "/".into()),
            security,
        })
    }

    fn ended(&self, container: &Container, exit: Exit, process: &Process) -> Ended {
        Ended {
            run: self.shared.view(&container.name).restarts,
            code: exit.code,
            signal: exit.signal,
            reason: if exit.code == 0 { "Completed" } else { "Error" },
            message: None,
            started: process.started,
            finished: Timestamp::now(),
        }
    }

    fn is_stopping(&self) -> bool {
        self.stop.borrow().is_some()
    }

    /// Waits so long, or until the pod stops.
    async fn pause_for(&mut self, wait: Duration) {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = self.stop.wait_for(Option::is_some) => {}
        }
    }

    async fn warn(&self, reason: &str, note: String) {
        self.cx.events.warn(&*self.shared.pod(), reason, note).await;
    }
}

/// Waits until the deadline has passed; it may move meanwhile.
async fn passed(deadline: &mut watch::Receiver<Option<Instant>>) {
    loop {
        let end = (*deadline.borrow_and_update()).unwrap_or_else(Instant::now);
        tokio::select! {
            () = tokio::time::sleep_until(end) => return,
            changed = deadline.changed() => if changed.is_err() {
                return tokio::time::sleep_until(end).await;
            },
        }
    }
}

fn reason_of_event(reason: &'static str) -> &'static str {
    if reason == "ErrImagePull" { "FailedToPullImage" } else { "Failed" }
}
