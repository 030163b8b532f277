//! What a backend remembers between requests.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Echo, Options};

/// Identity and memory of one backend, shared by its connections.
#[derive(Debug)]
pub(super) struct Memory {
    name: String,
    namespace: String,
    service: String,
    remember: usize,
    seen: Mutex<VecDeque<Echo>>,
    arrivals: watch::Sender<u64>,
    attempts: Mutex<HashMap<String, u32>>,
    websockets: Mutex<JoinSet<()>>,
}

impl Memory {
    pub(super) fn new(options: &Options) -> Self {
        Memory {
            name: options.name.clone(),
            namespace: options.namespace.clone(),
            service: options.service.clone(),
            remember: options.remember,
            seen: Mutex::default(),
            arrivals: watch::Sender::new(0),
            attempts: Mutex::default(),
            websockets: Mutex::default(),
        }
    }

    /// Puts the backend's names on an echo and remembers it.
    pub(super) fn sign(&self, echo: &mut Echo) {
        echo.pod.clone_from(&self.name);
        echo.namespace.clone_from(&self.namespace);
        echo.service.clone_from(&self.service);
        let mut seen = lock(&self.seen);
        seen.push_back(echo.clone());
        while seen.len() > self.remember {
            seen.pop_front();
        }
        drop(seen);
        self.arrivals.send_modify(|count| *count += 1);
    }

    pub(super) fn seen(&self) -> Vec<Echo> {
        lock(&self.seen).iter().cloned().collect()
    }

    pub(super) fn forget(&self) {
        lock(&self.seen).clear();
    }

    pub(super) async fn wait_for(&self, wanted: impl Fn(&Echo) -> bool) -> Echo {
        let mut arrivals = self.arrivals.subscribe();
        loop {
            // Marked before looking, so that what arrives while looking wakes the wait below.
            arrivals.borrow_and_update();
            if let Some(found) = lock(&self.seen).iter().find(|echo| wanted(echo)) {
                return found.clone();
            }
            // The sender lives as long as self, so this cannot fail.
            let _ = arrivals.changed().await;
        }
    }

    /// Counts a request of a retry id; returns how many came before it.
    pub(super) fn attempt(&self, id: &str) -> u32 {
        let mut attempts = lock(&self.attempts);
        let count = attempts.entry(id.to_owned()).or_default();
        let before = *count;
        *count = count.saturating_add(1);
        before
    }

    /// Runs a WebSocket until its peer closes it or this backend is gone.
    pub(super) fn keep(&self, websocket: impl Future<Output = ()> + Send + 'static) {
        let mut websockets = lock(&self.websockets);
        while websockets.try_join_next().is_some() {}
        websockets.spawn(websocket);
    }
}

/// A thread that panicked leaves plain data whole, so poisoning means nothing here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
