//! The engine on a toy graph: what wakes, what panics, what it reports, what it skips.

#![allow(clippy::unwrap_used, reason = "helpers of tests, outside test functions")]

mod panics;
mod skipped;
mod toy;
mod wakes;

use engine::Engine;
use proto::{Delta, Event, ResourceKey, Revision};
use toy::{Toy, piece};

/// An engine, and what its deltas have come to.
struct Bed {
    engine: Engine<Toy>,
    revision: u64,
    folded: engine::Snapshot,
}

impl Bed {
    fn new() -> Bed {
        Bed { engine: Engine::new(()), revision: 0, folded: engine::Snapshot::default() }
    }

    fn apply(&mut self, batch: &[Event]) -> Delta {
        self.revision += 1;
        let delta = self.engine.apply(Revision(self.revision), batch);
        for put in &delta.puts {
            self.folded.puts.insert(put.key.clone(), put.clone());
        }
        for key in &delta.removes {
            self.folded.puts.remove(key);
        }
        for report in &delta.reports {
            match &report.status {
                Some(status) => self.folded.reports.insert(report.key.clone(), status.clone()),
                None => self.folded.reports.remove(&report.key),
            };
        }
        assert_eq!(self.folded, self.engine.snapshot(), "deltas fold to the state");
        delta
    }

    /// The sum of a group, as a proxy has it.
    fn sum(&self, group: &str) -> Option<String> {
        let put = self.folded.puts.get(&piece(group))?;
        Some(String::from_utf8(put.body.to_vec()).unwrap())
    }

    /// What is wrong with an object.
    fn faults(&self, object: &ResourceKey) -> Vec<String> {
        let status = self.folded.reports.get(object);
        status.into_iter().flat_map(|status| &status.faults).map(ToString::to_string).collect()
    }

    /// How many nodes of a stage the last batch computed.
    fn computed(&self, stage: &str) -> usize {
        self.engine.stats().stages.get(stage).map_or(0, |stage| stage.recomputed)
    }

    /// How many computations of the last batch panicked.
    fn failed(&self) -> usize {
        self.engine.stats().stages.values().map(|stage| stage.failed).sum()
    }
}
