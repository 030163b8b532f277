//! The handle: deltas in, views out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use bytes::Bytes;
use proto::{Base, Delta, Feedback, Kind, Partition, Put, Report, ResourceKey, Revision, XdsKey};
use rustc_hash::{FxHashMap, FxHashSet};
use tokio::sync::{Notify, mpsc};

use crate::{
    auth::PrivateKeys,
    positions::{Positions, Unfit},
    registry::{ProxyState, Registry},
    resource::{ResourceId, ResourceType},
    scope::{Effect, Offer, Scope},
    server::Peers,
    xds::{Mark, Touched},
};

/// Limits of the server.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Largest request in bytes; a reconnecting proxy lists all that it has.
    pub max_request_bytes: usize,
    /// Most names that one stream may subscribe to.
    pub max_subscriptions: usize,
    /// Most streams at a time, of all proxies and of those of one Gateway.
    pub max_streams: usize,
    /// See `max_streams`.
    pub max_streams_per_gateway: usize,
    /// Most connections without a stream of a known proxy. One more takes the place of the oldest of the address
    /// that has most of them.
    pub max_unknown_connections: usize,
    /// Bytes of requests above 64 KiB that are under way or being handled, of all proxies; of those of one
    /// Gateway `max_request_bytes`. More have to wait.
    pub request_bytes_in_all: usize,
    /// How long a connection may be without a stream of a known proxy.
    pub unknown_timeout: Duration,
    /// How long a stream may be silent before its first request and in the midst of one; one may take six times as
    /// long in all.
    pub request_timeout: Duration,
    /// How long listeners and routes wait for an answer about new clusters.
    pub cluster_timeout: Duration,
    /// Routes that one table has at the most for proxies that walk tables, if they can be told apart by host
    /// or path.
    pub route_table_size: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            max_request_bytes: 32 << 20,
            max_subscriptions: 200_000,
            max_streams: 10_000,
            max_streams_per_gateway: 1000,
            max_unknown_connections: 1024,
            request_bytes_in_all: 128 << 20,
            unknown_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            cluster_timeout: Duration::from_secs(15),
            route_table_size: 128,
        }
    }
}

/// A resource as proxies get it, without private keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its type.
    pub kind: ResourceType,
    /// Its name.
    pub name: proto::ArcStr,
    /// Its version.
    pub version: proto::ContentHash,
    /// The encoded message, assembled.
    pub body: Bytes,
}

/// The delta ADS server. Clones are handles to the same one.
#[derive(Clone)]
pub struct Distributor {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) keys: Arc<dyn PrivateKeys>,
    pub(crate) feedback: mpsc::UnboundedSender<Feedback>,
    pub(crate) registry: Mutex<Registry>,
    pub(crate) peers: Peers,
    scopes: Mutex<FxHashMap<ResourceKey, Arc<Shared>>>,
    positions: Mutex<Positions>,
}

/// A scope and the sessions that serve it.
pub(crate) struct Shared {
    pub(crate) scope: Mutex<Scope>,
    /// Whose it is; none before its first delta.
    partition: OnceLock<Partition>,
    inboxes: Mutex<Vec<Weak<Inbox>>>,
}

/// Changes that a session has not seen; at most one a resource.
#[derive(Default)]
pub(crate) struct Inbox {
    changes: Mutex<BTreeMap<ResourceId, Mark>>,
    pub(crate) wake: Notify,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inbox {
    pub(crate) fn take(&self) -> Vec<Touched> {
        std::mem::take(&mut *lock(&self.changes)).into_iter().map(|(id, mark)| Touched { id, mark }).collect()
    }

    fn deliver(&self, touched: &[Touched]) {
        let mut changes = lock(&self.changes);
        for Touched { id, mark } in touched {
            changes.entry(id.clone()).and_modify(|old| *old = old.merged(*mark)).or_insert(*mark);
        }
        drop(changes);
        self.wake.notify_one();
    }
}

impl Shared {
    /// An inbox for a new session. Taken before its first look at the scope, so that it misses nothing.
    pub(crate) fn register(&self) -> Arc<Inbox> {
        let inbox = Arc::new(Inbox::default());
        let mut inboxes = lock(&self.inboxes);
        inboxes.retain(|one| one.strong_count() > 0);
        inboxes.push(Arc::downgrade(&inbox));
        inbox
    }

    /// Wakes the scope's sessions.
    pub(crate) fn deliver(&self, touched: &[Touched]) {
        for inbox in lock(&self.inboxes).iter().filter_map(Weak::upgrade) {
            inbox.deliver(touched);
        }
    }
}

impl Distributor {
    /// An empty server: nothing is served of a scope before its first revision.
    pub fn new(
        options: Options,
        keys: Arc<dyn PrivateKeys>,
        feedback: mpsc::UnboundedSender<Feedback>,
    ) -> Self {
        let inner = Inner {
            peers: Peers::new(&options),
            options,
            keys,
            feedback,
            registry: Mutex::default(),
            scopes: Mutex::default(),
            positions: Mutex::default(),
        };
        Distributor { inner: Arc::new(inner) }
    }

    /// Applies a delta of a translator in the same process, which always fits.
    pub fn publish(&self, delta: &Delta) {
        if let Err(unfit) = self.apply(delta) {
            tracing::error!("a delta is not served, which is a fault of fleetgate: {unfit}");
        }
    }

    /// Applies a delta and wakes the sessions of the scopes that it touches, no others. Deltas of one partition are
    /// applied one after another.
    ///
    /// # Errors
    /// If it does not fit on what is here: nothing of it is served.
    pub fn apply(&self, delta: &Delta) -> Result<(), Unfit> {
        let begins_anew = lock(&self.inner.positions).advance(delta)?;
        let known = if delta.base == Base::Nothing { self.of_partition(delta.partition) } else { Vec::new() };
        let gone = gone(&known, delta);
        let mut scopes: BTreeMap<&ResourceKey, (Vec<&Put>, Vec<&XdsKey>)> = BTreeMap::new();
        for put in &delta.puts {
            scopes.entry(&put.key.scope).or_default().0.push(put);
        }
        for key in delta.removes.iter().chain(&gone) {
            scopes.entry(&key.scope).or_default().1.push(key);
        }
        // A Gateway may have nothing to serve, and its proxies wait to be told so.
        // Of one whose class is nowhere there are no conditions: nobody knows whose it is, and its proxies keep
        // what they have.
        let is_ours = |report: &&Report| {
            report.key.kind == Kind::GATEWAY
                && report.status.as_ref().is_some_and(|status| !status.conditions.is_empty())
        };
        for report in delta.reports.iter().filter(is_ours) {
            if !scopes.contains_key(&report.key) && !lock(&self.shared(&report.key).scope).is_complete() {
                scopes.entry(&report.key).or_default();
            }
        }
        if begins_anew {
            for (key, _) in &known {
                scopes.entry(key).or_default();
                lock(&self.inner.registry).forget_acked(key);
            }
        }
        for (key, (puts, removes)) in scopes {
            let shared = self.shared(key);
            shared.partition.get_or_init(|| delta.partition);
            // Told under the lock: a session must never see a route without hearing of its cluster.
            let mut scope = lock(&shared.scope);
            if begins_anew {
                scope.begin_anew();
            }
            let effect = scope.apply(delta.revision, &puts, &removes);
            let mark = Mark { observed: delta.observed_unix_nanos, ..Mark::at(delta.revision) };
            self.spread(key, &shared, effect, mark);
        }
        Ok(())
    }

    fn of_partition(&self, partition: Partition) -> Vec<(ResourceKey, Arc<Shared>)> {
        let scopes = lock(&self.inner.scopes);
        let of_it = scopes.iter().filter(|(_, shared)| shared.partition.get() == Some(&partition));
        of_it.map(|(key, shared)| (key.clone(), Arc::clone(shared))).collect()
    }

    /// The newest revision of a scope's partition.
    fn newest(&self, scope: &ResourceKey) -> Revision {
        let partition =
            lock(&self.inner.scopes).get(scope).and_then(|shared| shared.partition.get().copied());
        partition.map_or(Revision::NONE, |partition| lock(&self.inner.positions).revision(partition))
    }

    /// Private keys came or changed: secrets that were withheld for want of one go out.
    pub fn keys_changed(&self) {
        let scopes: Vec<_> = lock(&self.inner.scopes).values().cloned().collect();
        for shared in scopes {
            let scope = lock(&shared.scope);
            let (key, mark) = (scope.key.clone(), Mark::at(scope.revision));
            let effect = Effect { touched: scope.keyed_secrets(), healed: Vec::new() };
            self.spread(&key, &shared, effect, mark);
        }
    }

    /// What a proxy of the scope gets now.
    pub fn resources(&self, scope: &ResourceKey) -> Vec<Served> {
        let Some(shared) = lock(&self.inner.scopes).get(scope).cloned() else { return Vec::new() };
        let mut scope = lock(&shared.scope);
        let mut served = Vec::new();
        for kind in ResourceType::ALL {
            let names: Vec<_> = scope.names(kind).cloned().collect();
            for name in names {
                let Offer::Ready { version, .. } = scope.offer(kind, &name) else { continue };
                if let Some((body, _)) = scope.body(kind, &name) {
                    served.push(Served { kind, name, version, body });
                }
            }
        }
        served
    }

    /// The last revision that touched a scope.
    pub fn current_revision(&self, scope: &ResourceKey) -> Revision {
        let shared = lock(&self.inner.scopes).get(scope).cloned();
        shared.map_or(Revision::NONE, |shared| lock(&shared.scope).revision)
    }

    /// Proxies that are connected or were lately. A proxy that has all of its scope has all revisions.
    pub fn proxies(&self) -> Vec<ProxyState> {
        let mut states = lock(&self.inner.registry).states();
        for state in &mut states {
            state.current = self.current_revision(&state.scope);
            if state.connected && state.acked >= state.current && state.current > Revision::NONE {
                state.acked = state.acked.max(self.newest(&state.scope));
            }
        }
        states
    }

    pub(crate) fn shared(&self, key: &ResourceKey) -> Arc<Shared> {
        let mut scopes = lock(&self.inner.scopes);
        let new = || {
            let scope = Mutex::new(Scope::new(key.clone(), self.inner.options.route_table_size));
            Arc::new(Shared { scope, partition: OnceLock::new(), inboxes: Mutex::default() })
        };
        scopes.entry(key.clone()).or_insert_with(new).clone()
    }

    pub(crate) fn tell(&self, feedback: Feedback) {
        // Nobody listens any more only while the process ends.
        let _ = self.inner.feedback.send(feedback);
    }

    pub(crate) fn spread(&self, scope: &ResourceKey, shared: &Shared, effect: Effect, mark: Mark) {
        if !effect.healed.is_empty() {
            self.tell(Feedback::Healed { scope: scope.clone(), keys: effect.healed });
        }
        // Sessions are woken even if nothing changed for them: the revision moved on.
        let touched: Vec<_> = effect.touched.into_iter().map(|id| Touched { id, mark }).collect();
        shared.deliver(&touched);
    }
}

/// What a delta on nothing takes away: all that its partition has here and it does not have.
fn gone(known: &[(ResourceKey, Arc<Shared>)], delta: &Delta) -> Vec<XdsKey> {
    let mut gone: Vec<XdsKey> = known.iter().flat_map(|(_, shared)| lock(&shared.scope).keys()).collect();
    let kept: FxHashSet<&XdsKey> = delta.puts.iter().map(|put| &put.key).collect();
    gone.retain(|key| !kept.contains(key));
    gone
}
