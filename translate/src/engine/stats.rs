//! Counts for metrics and for tests that assert what was not recomputed.

use std::collections::BTreeMap;

use crate::graph::NodeKey;

/// Work and size of one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageStats {
    /// Live nodes.
    pub nodes: usize,
    /// Nodes marked dirty in the last batch.
    pub dirty: usize,
    /// Nodes computed in the last batch.
    pub recomputed: usize,
    /// Of these, nodes whose value changed.
    pub changed: usize,
}

/// Counts by stage, and faults of the engine itself.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// By stage name.
    pub stages: BTreeMap<&'static str, StageStats>,
    /// Panics of node computations caught since the start; each is a bug.
    pub panics: u64,
}

impl Stats {
    pub(super) fn begin_batch(&mut self) {
        for stage in self.stages.values_mut() {
            *stage = StageStats { nodes: stage.nodes, ..StageStats::default() };
        }
    }

    pub(super) fn stage(&mut self, key: &NodeKey) -> &mut StageStats {
        self.stages.entry(key.stage()).or_default()
    }
}
