//! Summaries of the last deltas, and when the proxies had them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::{Delta, Feedback, ResourceKey, Revision};
use serde::Serialize;

use crate::counts::{kind_name, now};

const KEPT: usize = 256;
/// Resources that one summary names; the first delta of a start has all of them.
const NAMED: usize = 256;

/// The last deltas, oldest first.
#[derive(Debug, Default)]
pub struct Recent {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    deltas: VecDeque<Entry>,
    /// How many of them no ACK has closed.
    open: usize,
    /// What each connected proxy has ACKed, by scope.
    proxies: BTreeMap<ResourceKey, BTreeMap<String, Revision>>,
}

#[derive(Debug)]
struct Entry {
    summary: RecentDelta,
    scopes: BTreeSet<ResourceKey>,
}

/// One delta, without its content.
#[derive(Clone, Debug, Serialize)]
pub struct RecentDelta {
    /// Its revision.
    pub revision: Revision,
    /// When the oldest event in it was observed; 0 for the state that a start found.
    pub observed_unix_nanos: i64,
    /// Pieces that are new or changed; of many only the first ones.
    pub resources: Vec<RecentResource>,
    /// Names of pieces that are gone; of many only the first ones.
    pub removed: Vec<String>,
    /// Number of new and changed pieces.
    pub puts: usize,
    /// Number of pieces that are gone.
    pub removes: usize,
    /// Encoded size of all new and changed pieces.
    pub bytes: usize,
    /// Milliseconds from observed to the ACK of the last connected proxy concerned; none until then.
    pub acked_ms: Option<f64>,
}

/// One piece of a delta.
#[derive(Clone, Debug, Serialize)]
pub struct RecentResource {
    /// Its kind, e.g. `VirtualHost`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Gateway, name, and domain of a virtual host.
    pub name: String,
    /// Encoded size.
    pub bytes: usize,
}

impl RecentDelta {
    fn is_open(&self) -> bool {
        self.acked_ms.is_none() && self.observed_unix_nanos > 0
    }
}

impl Recent {
    /// Summaries of the deltas after a revision, oldest first.
    pub fn since(&self, revision: Revision) -> Vec<RecentDelta> {
        let inner = self.lock();
        inner
            .deltas
            .iter()
            .map(|entry| &entry.summary)
            .filter(|delta| delta.revision > revision)
            .cloned()
            .collect()
    }

    pub(crate) fn add(&self, delta: &Delta) {
        if delta.puts.is_empty() && delta.removes.is_empty() {
            return;
        }
        let keys = delta.puts.iter().map(|put| &put.key).chain(&delta.removes);
        let mut scopes = BTreeSet::new();
        for key in keys {
            if !scopes.contains(&key.scope) {
                scopes.insert(key.scope.clone());
            }
        }
        let mut inner = self.lock();
        if inner.deltas.len() == KEPT
            && let Some(oldest) = inner.deltas.pop_front()
        {
            inner.open -= usize::from(oldest.summary.is_open());
        }
        let summary = summary(delta);
        inner.open += usize::from(summary.is_open());
        inner.deltas.push_back(Entry { summary, scopes });
    }

    pub(crate) fn feedback(&self, feedback: &Feedback) {
        let mut inner = self.lock();
        match feedback {
            Feedback::Connected { proxy, scope, .. } => {
                inner.proxies.entry(scope.clone()).or_default().insert(proxy.clone(), Revision::NONE);
            }
            Feedback::Disconnected { proxy, scope } => {
                if let Some(proxies) = inner.proxies.get_mut(scope) {
                    proxies.remove(proxy);
                }
            }
            Feedback::Acked { proxy, scope, revision } => {
                inner.proxies.entry(scope.clone()).or_default().insert(proxy.clone(), *revision);
                inner.settle(now());
            }
            _ => {}
        }
    }

    /// A summary half made is never stored, so a poisoned lock does no harm.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn settle(&mut self, now: i64) {
        let proxies = &self.proxies;
        let has = |scope: &ResourceKey, revision: Revision| {
            proxies.get(scope).is_none_or(|proxies| proxies.values().all(|acked| *acked >= revision))
        };
        // The newest first: hardly ever is an older one open.
        let mut open = self.open;
        for Entry { summary, scopes } in self.deltas.iter_mut().rev() {
            if open == 0 {
                break;
            }
            if !summary.is_open() {
                continue;
            }
            open -= 1;
            let anyone = scopes.iter().any(|scope| proxies.get(scope).is_some_and(|all| !all.is_empty()));
            if anyone && scopes.iter().all(|scope| has(scope, summary.revision)) {
                summary.acked_ms = Some((now - summary.observed_unix_nanos) as f64 / 1e6);
                self.open -= 1;
            }
        }
    }
}

fn summary(delta: &Delta) -> RecentDelta {
    let name = |key: &proto::XdsKey| {
        let scope = key.scope.namespaced_name();
        if key.domain.is_empty() {
            format!("{scope} {}", key.name)
        } else {
            format!("{scope} {} {}", key.name, key.domain)
        }
    };
    let resource = |put: &proto::Put| RecentResource {
        kind: kind_name(put.key.kind),
        name: name(&put.key),
        bytes: put.size(),
    };
    RecentDelta {
        revision: delta.revision,
        observed_unix_nanos: delta.observed_unix_nanos,
        resources: delta.puts.iter().take(NAMED).map(resource).collect(),
        removed: delta.removes.iter().take(NAMED).map(name).collect(),
        puts: delta.puts.len(),
        removes: delta.removes.len(),
        bytes: delta.puts.iter().map(proto::Put::size).sum(),
        acked_ms: None,
    }
}
