//! One side, and what was found on it.

use std::time::Instant;

use super::record::Figures;
use crate::scenario::{Kind, Pod, Step, propagation};
use crate::side::{ColdStart, Side};
use crate::stats::percentile;
use crate::watch::{Watch, Wrong};

/// Routes that come and go: so many that they fall into different tables.
const EXTRAS: usize = 30;
const BYTES: &str = "fleetgate_xds_bytes_total";

/// A side that is measured.
pub(super) struct Measured {
    side: Side,
    steps: Vec<Step>,
    next: usize,
    watch: Watch,
    added_ms: Vec<f64>,
    cpu_ns: u64,
    /// Bytes sent by fleetgate when it was started and had become quiet.
    bytes_before: f64,
    /// Envoy's memory then, MiB.
    envoy_rss_mib: f64,
    colds: Vec<ColdStart>,
}

impl Measured {
    /// Waits until the side has become quiet, and checks that it answers as it should; `colds` are its starts
    /// so far.
    ///
    /// # Errors
    /// If it does not.
    pub(super) fn new(mut side: Side, pod: &Pod, colds: &[ColdStart]) -> anyhow::Result<Measured> {
        side.wait_quiet()?;
        side.check_routes()?;
        side.wait_quiet()?;
        let steps = propagation(&side.directory, pod, EXTRAS);
        let watch = Watch::new(side.port, side.steady());
        let bytes_before = side.control_plane.metrics()?.sum(BYTES);
        let envoy_rss_mib = side.envoy.memory_mib().now;
        let (next, added_ms, cpu_ns, colds) = (0, Vec::new(), 0, colds.to_vec());
        Ok(Measured { side, steps, next, watch, added_ms, cpu_ns, bytes_before, envoy_rss_mib, colds })
    }

    /// Lets `changes` routes appear and disappear.
    ///
    /// # Errors
    /// If a process ends, or a change never shows.
    pub(super) fn turn(&mut self, changes: usize) -> anyhow::Result<()> {
        for _ in 0..2 * changes {
            self.step()?;
        }
        Ok(())
    }

    /// The clock starts when all is quiet: what the change before left to do, such as the release of the old
    /// table, belongs to none.
    fn step(&mut self) -> anyhow::Result<()> {
        let step = &self.steps[self.next % self.steps.len()];
        self.next += 1;
        let cpu = self.side.control_plane.process.cpu_ns();
        let start = Instant::now();
        step.apply(&self.side.directory)?;
        let latency = self.watch.settle(step, start)?;
        if step.kind == Kind::Add {
            self.added_ms.push(latency.as_secs_f64() * 1e3);
        }
        self.side.wait_quiet()?;
        self.cpu_ns += self.side.control_plane.process.cpu_ns().saturating_sub(cpu);
        Ok(())
    }

    /// What the turns so far have shown.
    ///
    /// # Errors
    /// If fleetgate does not answer.
    pub(super) fn figures(&self, changes: u32) -> anyhow::Result<Figures> {
        let steps = self.next.max(1) as f64;
        let bytes = self.side.control_plane.metrics()?.sum(BYTES) - self.bytes_before;
        let cold = |figure: fn(&ColdStart) -> f64| {
            percentile(&self.colds.iter().map(figure).collect::<Vec<_>>(), 50.0).unwrap_or(0.0)
        };
        let memory = self.side.control_plane.process.memory_mib();
        Ok(Figures {
            changes,
            p50_ms: percentile(&self.added_ms, 50.0),
            p99_ms: percentile(&self.added_ms, 99.0),
            xds_bytes_per_change: bytes / steps,
            xds_bytes_worst: None,
            cpu_ms_per_change: self.cpu_ns as f64 / steps / 1e6,
            envoy_rss_mib: self.envoy_rss_mib,
            envoy_rss_after_mib: self.side.envoy.memory_mib().now,
            rss_mib: memory.now,
            cold_start_s: cold(|cold| cold.answers_s),
            cold_start_cpu_s: cold(|cold| cold.cpu_s),
            answers: self.watch.answers,
            wrong_answers: self.watch.wrong.values().sum(),
        })
    }

    /// One cycle with the metrics read around each change: the most that one of them makes fleetgate send.
    ///
    /// # Errors
    /// If a process ends, or a change never shows.
    pub(super) fn worst_bytes(&mut self) -> anyhow::Result<Option<f64>> {
        let mut worst = None;
        for _ in 0..self.steps.len() {
            let before = self.side.control_plane.metrics()?.sum(BYTES);
            self.step()?;
            let sent = self.side.control_plane.metrics()?.sum(BYTES) - before;
            worst = Some(worst.map_or(sent, |worst: f64| worst.max(sent)));
        }
        Ok(worst)
    }

    /// Wrong answers so far.
    pub(super) fn wrong(&self) -> &Wrong {
        &self.watch.wrong
    }
}
