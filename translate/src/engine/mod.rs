//! The incremental engine: a push engine with recorded reads.
//!
//! A node is a pure function of what it reads through [`Cx`]; reading is declaring. There are three
//! kinds of dependency, each with a reverse key: an object (also an absent one), a bucket of a declared
//! index, and a node of a lower level. A batch of events marks nodes dirty and runs the levels in
//! order; a node whose value comes out equal wakes nobody. Nodes live as long as something demands
//! them: an object (a root) or a node of a lower level.

mod bucket;
mod contribution;
mod cx;
mod dependency;
mod objects;
mod schedule;
mod stats;

use std::collections::BTreeMap;

use proto::{Delta, Event, Partition, Put, Report, ResourceKey, Revision, XdsKey};
use rustc_hash::FxHashMap;

use bucket::Bucket;
pub(crate) use contribution::{IndexEntry, Output};
pub(crate) use cx::Cx;
use dependency::Dependencies;
use objects::Objects;
pub use stats::{StageStats, Stats};

use crate::env::Env;
use crate::graph::{IndexKey, NodeKey};

type NodeId = u32;

#[derive(Debug)]
struct Node {
    key: NodeKey,
    output: Output,
    /// Ids of the dependencies of the last computation, sorted.
    reads: Vec<u32>,
    /// How many objects and lower nodes demand this one.
    demand: u32,
    dirty: bool,
}

/// Incremental translation of one partition.
#[derive(Debug)]
pub struct Engine {
    env: Env,
    objects: Objects,
    indexes: FxHashMap<IndexKey, Bucket>,
    nodes: Vec<Option<Node>>,
    free: Vec<NodeId>,
    ids: FxHashMap<NodeKey, NodeId>,
    dependencies: Dependencies,
    /// Dirty nodes by level.
    dirty: Vec<Vec<NodeId>>,
    changes: Changes,
    stats: Stats,
}

/// What the running batch changes, by key: the old version (none if new) and what it is now.
#[derive(Debug, Default)]
struct Changes {
    xds: BTreeMap<XdsKey, Option<Put>>,
    reports: BTreeMap<ResourceKey, Report>,
}

impl Engine {
    /// An engine without any objects.
    pub fn new(env: Env) -> Self {
        Engine {
            env,
            objects: Objects::default(),
            indexes: FxHashMap::default(),
            nodes: Vec::new(),
            free: Vec::new(),
            ids: FxHashMap::default(),
            dependencies: Dependencies::default(),
            dirty: vec![Vec::new(); crate::graph::LEVELS],
            changes: Changes::default(),
            stats: Stats::default(),
        }
    }

    /// Applies a batch of events and returns all that it changes, at one revision: that of the last
    /// event of the batch.
    pub fn apply(&mut self, revision: Revision, batch: &[Event]) -> Delta {
        self.stats.begin_batch();
        let mut observed = 0;
        for event in batch {
            if event.observed_unix_nanos > 0 && (observed == 0 || event.observed_unix_nanos < observed) {
                observed = event.observed_unix_nanos;
            }
            self.take(event);
        }
        self.run_levels();
        let changes = std::mem::take(&mut self.changes);
        let mut delta = Delta {
            partition: Partition::default(),
            revision,
            observed_unix_nanos: observed,
            puts: Vec::new(),
            removes: Vec::new(),
            reports: changes.reports.into_values().collect(),
        };
        for (key, put) in changes.xds {
            match put {
                Some(put) => delta.puts.push(put),
                None => delta.removes.push(key),
            }
        }
        delta
    }

    /// The newest event of each live object, in key order.
    pub fn objects(&self) -> impl Iterator<Item = &Event> {
        self.objects.events()
    }

    /// True if there is an object of this key.
    pub fn has(&self, key: &ResourceKey) -> bool {
        self.objects.get(key).is_some()
    }

    /// Counts of nodes, and of the work of the last batch.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The objects whose content went into a piece, found by following what its node read.
    pub fn owners(&self, key: &XdsKey) -> Vec<ResourceKey> {
        let Some(id) = crate::graph::node_of(key).and_then(|node| self.ids.get(&node)) else {
            return Vec::new();
        };
        let mut owners = std::collections::BTreeSet::new();
        let mut pending = vec![*id];
        let mut seen = rustc_hash::FxHashSet::default();
        while let Some(id) = pending.pop() {
            if !seen.insert(id) {
                continue;
            }
            let Some(node) = self.nodes.get(id as usize).and_then(Option::as_ref) else { continue };
            for read in &node.reads {
                match self.dependencies.get(*read) {
                    Some(dependency::Dependency::Object(object)) if self.objects.get(object).is_some() => {
                        owners.insert(object.clone());
                    }
                    Some(dependency::Dependency::Node(node)) => pending.extend(self.ids.get(node)),
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
            let (output, _) = self.compute(&node.key);
            if output != node.output {
                different.push(format!("{:?}", node.key));
            }
        }
        different
    }

    /// All live pieces and reports, for comparison with a translation from scratch.
    pub fn snapshot(&self) -> crate::Snapshot {
        let mut snapshot = crate::Snapshot::default();
        for node in self.nodes.iter().flatten() {
            for put in &node.output.puts {
                snapshot.puts.insert(put.key.clone(), put.clone());
            }
            if let Some(report) = &node.output.report
                && let Some(status) = &report.status
            {
                snapshot.reports.insert(report.key.clone(), status.clone());
            }
        }
        for report in self.objects.reports() {
            if let Some(status) = report.status {
                snapshot.reports.insert(report.key, status);
            }
        }
        snapshot
    }
}
