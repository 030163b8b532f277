//! What the node knows of a pod's containers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use tokio::sync::watch;

/// A run that is over.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ended {
    /// Restarts before it.
    pub(super) run: u32,
    pub(super) code: i32,
    pub(super) signal: Option<i32>,
    pub(super) reason: &'static str,
    pub(super) message: Option<String>,
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
}

/// What a container is doing.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Doing {
    Waiting { reason: &'static str, message: Option<String> },
    Running { since: Timestamp },
    Ended(Ended),
}

/// One container, as its status will tell it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) doing: Doing,
    /// The run before.
    pub(super) last: Option<Ended>,
    pub(super) restarts: u32,
    /// The startup probe succeeded, or there is none and the program runs.
    pub(super) started: bool,
    pub(super) ready: bool,
}

impl Default for View {
    fn default() -> View {
        let doing = Doing::Waiting { reason: "ContainerCreating", message: None };
        View { doing, last: None, restarts: 0, started: false, ready: false }
    }
}

/// The pod's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct State {
    pub(super) address: Option<Ipv4Addr>,
    /// When the node took the pod.
    pub(super) since: Option<Timestamp>,
    pub(super) containers: BTreeMap<String, View>,
    /// Init containers are through.
    pub(super) initialized: bool,
    /// Version of the pod's object that was seen last.
    pub(super) seen: Option<String>,
}

/// The state, shared by the tasks of one pod; whoever waits hears of each change.
#[derive(Clone)]
pub(super) struct Shared(Arc<watch::Sender<State>>, Arc<Mutex<Arc<Pod>>>);

impl Shared {
    /// The state at the start: restart counts go on from the status that an earlier run of the node wrote.
    pub(super) fn new(pod: Arc<Pod>) -> Shared {
        let mut state = State { since: Some(Timestamp::now()), ..State::default() };
        if let Some(status) = &pod.status {
            state.since = status.start_time.as_ref().map(|time| time.0).or(state.since);
            let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
            for old in all.filter(|old| old.container_id.is_some()) {
                let restarts = u32::try_from(old.restart_count).unwrap_or(0) + 1;
                state.containers.insert(old.name.clone(), View { restarts, ..View::default() });
            }
        }
        Shared(Arc::new(watch::Sender::new(state)), Arc::new(Mutex::new(pod)))
    }

    /// Changes a container's view.
    pub(super) fn update(&self, container: &str, change: impl FnOnce(&mut View)) {
        self.set(|state| change(state.containers.entry(container.to_owned()).or_default()));
    }

    /// Changes the state; tells waiters only if something is different.
    pub(super) fn set(&self, change: impl FnOnce(&mut State)) {
        self.0.send_if_modified(|state| {
            let before = state.clone();
            change(state);
            *state != before
        });
    }

    /// The state now.
    pub(super) fn get(&self) -> State {
        self.0.borrow().clone()
    }

    /// A container's view now.
    pub(super) fn view(&self, container: &str) -> View {
        self.0.borrow().containers.get(container).cloned().unwrap_or_default()
    }

    /// Hears of changes.
    pub(super) fn subscribe(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }

    /// The newest version of the pod's object, with the addresses that it has whether its status tells them yet or not.
    pub(super) fn addressed_pod(&self, host: Ipv4Addr) -> Pod {
        let mut pod = Pod::clone(&self.pod());
        let status = pod.status.get_or_insert_default();
        status.host_ip = Some(host.to_string());
        status.pod_ip = self.0.borrow().address.map(|address| address.to_string());
        pod
    }

    /// The newest version of the pod's object.
    pub(super) fn pod(&self) -> Arc<Pod> {
        self.1.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// There is a newer version of the pod's object.
    pub(super) fn renew(&self, pod: Arc<Pod>) {
        let version = pod.metadata.resource_version.clone();
        *self.1.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = pod;
        self.set(|state| state.seen = version);
    }
}
