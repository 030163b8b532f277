//! Counts for metrics and for tests that assert what was not recomputed.

use std::collections::BTreeMap;

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
    /// Computations of the last batch that panicked; each is a bug.
    pub failed: usize,
}

/// Counts by stage.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// By stage name.
    pub stages: BTreeMap<&'static str, StageStats>,
}

impl Stats {
    pub(crate) fn begin_batch(&mut self) {
        for stage in self.stages.values_mut() {
            *stage = StageStats { nodes: stage.nodes, ..StageStats::default() };
        }
    }

    pub(crate) fn stage(&mut self, stage: &'static str) -> &mut StageStats {
        self.stages.entry(stage).or_default()
    }
}
