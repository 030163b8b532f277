//! The incremental engine: a push engine with recorded reads.
//!
//! A node is a pure function of what it reads through [`Cx`]; reading is declaring. There are three
//! kinds of dependency, each with a reverse key: an object (also an absent one), a bucket of a declared
//! index, and a node of a lower level. A batch of events marks nodes dirty and runs the levels in
//! order; a node whose value comes out equal wakes nobody. Nodes live as long as something demands
//! them: an object (a root) or a node of a lower level.
//!
//! What is computed is a [`Graph`]; the engine knows nothing of it. A node whose computation panics keeps its last
//! good output, and the object that it is for learns of it.

mod bucket;
mod contribution;
mod cx;
mod dependency;
mod failure;
mod graph;
mod objects;
mod report;
mod schedule;
mod stats;

use std::collections::{BTreeMap, BTreeSet};

use proto::{Base, Delta, Event, ObjectStatus, Put, ResourceKey, Revision, XdsKey};
use rustc_hash::{FxHashMap, FxHashSet};

use bucket::Bucket;
pub use contribution::{IndexEntry, Output};
pub use cx::Cx;
use dependency::{Dependencies, Dependency};
use failure::Failure;
pub use graph::{Graph, Model};
use objects::Objects;
pub use stats::{StageStats, Stats};

type NodeId = u32;

#[derive(Debug)]
struct Node<G: Graph> {
    key: G::Node,
    output: Output<G>,
    /// Ids of the dependencies of the last computation, sorted.
    reads: Vec<u32>,
    /// How many objects and lower nodes demand this one.
    demand: u32,
    dirty: bool,
}

/// Incremental computation of one partition.
#[derive(Debug)]
pub struct Engine<G: Graph> {
    env: G::Env,
    /// Of the last batch.
    revision: Revision,
    objects: Objects<G>,
    indexes: FxHashMap<G::Index, Bucket>,
    nodes: Vec<Option<Node<G>>>,
    free: Vec<NodeId>,
    ids: FxHashMap<G::Node, NodeId>,
    dependencies: Dependencies<G::Node, G::Index>,
    /// Dirty nodes by level.
    dirty: Vec<Vec<NodeId>>,
    /// Nodes whose last computation panicked, by the object that learns of it.
    failures: BTreeMap<ResourceKey, BTreeMap<G::Node, Failure>>,
    changes: Changes,
    stats: Stats,
}

/// What the running batch changes.
#[derive(Debug, Default)]
struct Changes {
    /// What each piece is now; none if it is gone.
    xds: BTreeMap<XdsKey, Option<Put>>,
    /// Objects whose report is to be made anew.
    reports: BTreeSet<ResourceKey>,
}

/// All pieces and statuses of one state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Every xDS piece.
    pub puts: BTreeMap<XdsKey, Put>,
    /// Every status.
    pub reports: BTreeMap<ResourceKey, ObjectStatus>,
}

impl<G: Graph> Engine<G> {
    /// An engine without any objects.
    pub fn new(env: G::Env) -> Self {
        Engine {
            env,
            revision: Revision::NONE,
            objects: Objects::default(),
            indexes: FxHashMap::default(),
            nodes: Vec::new(),
            free: Vec::new(),
            ids: FxHashMap::default(),
            dependencies: Dependencies::default(),
            dirty: vec![Vec::new(); G::LEVELS],
            failures: BTreeMap::new(),
            changes: Changes::default(),
            stats: Stats::default(),
        }
    }

    /// Applies a batch of events and returns all that it changes, at one revision: that of the last
    /// event of the batch.
    pub fn apply(&mut self, revision: Revision, batch: &[Event]) -> Delta {
        self.stats.begin_batch();
        for event in batch {
            self.take(revision, event);
        }
        self.run_levels();
        let changes = std::mem::take(&mut self.changes);
        let mut delta = Delta {
            revision,
            base: Base::At(std::mem::replace(&mut self.revision, revision)),
            observed_unix_nanos: oldest(batch),
            reports: changes.reports.into_iter().map(|key| self.report(key)).collect(),
            ..Delta::default()
        };
        for (key, put) in changes.xds {
            match put {
                Some(put) => delta.puts.push(put),
                None => delta.removes.push(key),
            }
        }
        delta
    }

    /// Events that fold to the state: the newest of each live object, in key order, then those that this build
    /// cannot read.
    pub fn objects(&self) -> impl Iterator<Item = &Event> {
        self.objects.events()
    }

    /// True if there is such an object, even one that does not decode.
    pub fn has(&self, key: &ResourceKey) -> bool {
        self.objects.get(key).is_some()
    }

    /// The revision at which an object became what it is: that of its batch.
    pub fn revision_of(&self, object: &ResourceKey) -> Option<Revision> {
        self.objects.revision(object)
    }

    /// Counts of nodes, and of the work of the last batch.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The objects whose content went into a piece, found by following what its node read.
    pub fn owners(&self, piece: &XdsKey) -> Vec<ResourceKey> {
        let Some(id) = G::node_of(piece).and_then(|node| self.ids.get(&node).copied()) else {
            return Vec::new();
        };
        let mut owners = BTreeSet::new();
        let mut pending = vec![id];
        let mut seen = FxHashSet::default();
        while let Some(id) = pending.pop() {
            if !seen.insert(id) {
                continue;
            }
            let Some(node) = self.nodes.get(id as usize).and_then(Option::as_ref) else { continue };
            for read in &node.reads {
                match self.dependencies.get(*read) {
                    Some(Dependency::Object(object)) if self.objects.get(object).is_some() => {
                        owners.insert(object.clone());
                    }
                    Some(Dependency::Node(node)) => pending.extend(self.ids.get(node)),
                    _ => {}
                }
            }
        }
        owners.into_iter().collect()
    }

    /// Recomputes every node from what is there and names those that come out different: a
    /// dependency that was read around [`Cx`]. For tests and verify mode.
    pub fn verify(&self) -> Vec<String> {
        let mut different = Vec::new();
        for node in self.nodes.iter().flatten() {
            if self.compute(&node.key).0.is_ok_and(|output| output != node.output) {
                different.push(format!("{:?}", node.key));
            }
        }
        different
    }

    /// All live pieces and reports, for comparison with a computation from scratch.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut reported: BTreeSet<&ResourceKey> =
            self.objects.faulty().chain(self.failures.keys()).collect();
        for node in self.nodes.iter().flatten() {
            for put in &node.output.puts {
                snapshot.puts.insert(put.key.clone(), put.clone());
            }
            reported.extend(node.output.report.as_ref().map(|report| &report.key));
        }
        for report in reported.into_iter().map(|key| self.report(key.clone())) {
            if let Some(status) = report.status {
                snapshot.reports.insert(report.key, status);
            }
        }
        snapshot
    }

    fn node(&self, key: &G::Node) -> Option<&Node<G>> {
        self.ids.get(key).and_then(|id| self.nodes[*id as usize].as_ref())
    }
}

/// When the oldest event of a batch was observed; 0 if unknown.
fn oldest(batch: &[Event]) -> i64 {
    batch.iter().map(|event| event.observed_unix_nanos).filter(|&at| at > 0).min().unwrap_or_default()
}
