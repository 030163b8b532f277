//! The API server as a source of events.
//!
//! ```text
//! one Watch a kind:  requests ─Protocol─▶ objects ─decode, trim─▶ Objects ─compare with last─▶ events
//!                                                  └── private keys ──▶ KeyStore, never an event
//! Batches:           events of all kinds, the first complete listing as one batch, then as they come
//! Waiting:           routes that come before the Services that they name
//! Seen:              what the server has, status included, for who writes it
//! ```

mod announcement;
mod batches;
mod decode;
mod discovery;
mod exchange;
mod lines;
mod objects;
mod protocol;
mod seen;
mod server;
#[cfg(test)]
mod tests;
mod waiting;
mod watch;

use std::sync::Arc;

use kube::Client;
use proto::{ClusterId, Epoch};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::kinds::KINDS;
use crate::{Batch, KeyStore, Known, Limits};
use announcement::Announcement;
use batches::Batches;
use objects::{Objects, deletion};
use watch::{Progress, Scope, Watch};

pub use seen::{Observed, Seen};

/// Updates of all watches that may wait for a slow receiver.
const BACKLOG: usize = 64;

/// What to watch.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster that the objects belong to.
    pub cluster: ClusterId,
    /// The listing that the events belong to.
    pub epoch: Epoch,
    /// What the log already has, so that a restart emits only true differences.
    pub known: Vec<Known>,
    /// Bounds; of them the bytes of a file (here: of an object), the depth and the schema.
    pub limits: Limits,
    /// The namespaces whose objects are read; empty for all.
    pub namespaces: Vec<String>,
}

impl Default for Options {
    /// All namespaces of the local cluster, with nothing known of it.
    fn default() -> Options {
        Options {
            cluster: ClusterId::LOCAL,
            epoch: Epoch(1),
            known: Vec::new(),
            limits: Limits::default(),
            namespaces: Vec::new(),
        }
    }
}

/// A running source. Dropping it ends the watches.
#[derive(Debug)]
pub struct Handle {
    seen: Seen,
    /// Ends them when it is dropped.
    _tasks: JoinSet<()>,
}

impl Handle {
    /// What the server has of the objects whose status is written.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// Watches an API server; must be called within a tokio runtime. The first batch with events is the
/// listing of all kinds; before it there may be some with faults only. When the receiver is slow the
/// source waits and loses nothing; when it is dropped the source ends. An API server that does not
/// answer is a fault of a batch, and what it said before stays in effect.
pub fn start(client: Client, options: Options, keys: Arc<KeyStore>) -> (mpsc::Receiver<Batch>, Handle) {
    let Options { cluster, epoch, mut known, limits, namespaces } = options;
    known.retain(|known| known.key.cluster == cluster);
    let (seen, mut tasks) = (Seen::default(), JoinSet::new());
    let (updates, receiver) = mpsc::channel(BACKLOG);
    let scopes = scopes(&namespaces);
    let count = scopes.len();
    for (number, scope) in scopes.into_iter().enumerate() {
        let announcement = scope
            .known
            .announced
            .then(|| Announcement::new(&scope.known.resource(), (cluster.clone(), epoch), &mut known));
        let mine = known.extract_if(.., |known| scope.has(&known.key)).collect::<Vec<_>>();
        let status = scope.known.has_status.then(|| seen.clone());
        let kind = scope.known.kind.clone();
        let objects = Objects::new(kind, (cluster.clone(), epoch), mine, keys.clone(), status);
        let watch = Watch {
            number,
            scope,
            client: client.clone(),
            limits: limits.clone(),
            objects,
            announcement,
            seen: seen.clone(),
            updates: updates.clone(),
            progress: Progress::default(),
        };
        tasks.spawn(async move {
            // It ends with its listeners only.
            let _ = watch.run().await;
        });
    }
    let orphans = known.into_iter().map(|known| deletion(known, epoch)).collect();
    let batches = Batches::new(cluster, epoch, count, orphans);
    // One at a time: what comes while it is not taken goes out together.
    let (sender, taken) = mpsc::channel(1);
    tasks.spawn(batches.run(receiver, sender));
    (taken, Handle { seen, _tasks: tasks })
}

/// One scope a kind, or one a kind and namespace; GatewayClasses have none.
fn scopes(namespaces: &[String]) -> Vec<Scope> {
    let mut scopes = Vec::new();
    for known in &KINDS {
        let per_namespace = !known.kind.is_cluster_scoped() || known.kind == proto::Kind::NAMESPACE;
        if namespaces.is_empty() || !per_namespace {
            scopes.push(Scope { known, namespace: None });
        } else {
            scopes.extend(namespaces.iter().map(|name| Scope { known, namespace: Some(name.clone()) }));
        }
    }
    scopes
}
