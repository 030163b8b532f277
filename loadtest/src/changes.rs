//! Propagation and churn: the same steps through fleetgate and through the floor, in turns.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::bed::Bed;
use crate::floor::{Update, encoded_len};
use crate::metrics::Metrics;
use crate::record::Record;
use crate::scenario::{Kind, Step};
use crate::stats::percentile;
use crate::watch::Watch;

/// Steps of one side before it is the other's turn, so that a drift of the machine hits both.
const BLOCK: usize = 20;
/// Work after the answer, e.g. the ACK, is done after this.
const TRAILING: Duration = Duration::from_millis(50);
/// A verified step has settled on the metrics after this.
const SETTLED: Duration = Duration::from_millis(300);
const RECOMPUTED: &str = "fleetgate_nodes_recomputed_total";
const BYTES: &str = "fleetgate_xds_bytes_total";

/// Latencies in ms by kind of step.
type Samples = BTreeMap<Kind, Vec<f64>>;

/// Both sides of the comparison, and what was found so far.
struct Sides<'a> {
    bed: &'a mut Bed,
    steps: &'a [Step],
    updates: Vec<Update>,
    watches: [Watch; 2],
    samples: [Samples; 2],
    cpu_ns: BTreeMap<Kind, Vec<u64>>,
    /// Smallest time between two steps.
    pace: Duration,
}

/// Measures `total` steps on each side, going round in `steps`.
///
/// # Errors
/// If a process ends, or a change never shows.
pub(crate) fn measure(
    bed: &mut Bed,
    steps: &[Step],
    total: usize,
    pace: Duration,
    progress: &ProgressBar,
    record: &mut Record,
) -> anyhow::Result<()> {
    let watches = bed.ports.map(|port| Watch::new(port, bed.side.steady()));
    let samples = [Samples::new(), Samples::new()];
    let mut sides =
        Sides { bed, steps, updates: Vec::new(), watches, samples, cpu_ns: BTreeMap::new(), pace };
    progress.set_message("recording");
    sides.record()?;
    let before = sides.bed.side.control_plane.metrics()?;
    progress.set_message("measuring");
    progress.set_length(2 * total as u64);
    for start in (0..total).step_by(BLOCK) {
        let block = start..(start + BLOCK).min(total);
        let done = block.len() as u64;
        sides.fleetgate(block.clone())?;
        progress.inc(done);
        sides.floor(block)?;
        progress.inc(done);
    }
    std::thread::sleep(SETTLED);
    let after = sides.bed.side.control_plane.metrics()?;
    note_totals(record, &before, &after, total);
    sides.finish_cycle(total)?;
    sides.verify(record)?;
    sides.note(record);
    Ok(())
}

impl Sides<'_> {
    /// Runs one cycle with the floor attached, and keeps what each step made fleetgate send.
    fn record(&mut self) -> anyhow::Result<()> {
        for step in self.steps {
            self.bed.check_alive()?;
            self.bed.floor.start_recording();
            let start = Instant::now();
            step.apply(&self.bed.side.directory)?;
            for watch in &mut self.watches {
                watch.settle(step, start)?;
            }
            self.updates.push(self.bed.floor.recording()?);
        }
        self.bed.floor.detach(self.bed.base.clone());
        Ok(())
    }

    fn fleetgate(&mut self, block: std::ops::Range<usize>) -> anyhow::Result<()> {
        let last = block.end;
        for number in block {
            self.bed.check_alive()?;
            let step = &self.steps[number % self.steps.len()];
            let cpu = self.bed.side.control_plane.process.cpu_ns();
            let start = Instant::now();
            step.apply(&self.bed.side.directory)?;
            let latency = self.watches[0].settle(step, start)?;
            self.samples[0].entry(step.kind).or_default().push(latency.as_secs_f64() * 1e3);
            std::thread::sleep(self.pace.saturating_sub(start.elapsed()));
            if number + 1 == last {
                // What the last change leaves to do must not fall into the floor's turn.
                std::thread::sleep(TRAILING);
            }
            let used = self.bed.side.control_plane.process.cpu_ns().saturating_sub(cpu);
            self.cpu_ns.entry(step.kind).or_default().push(used);
        }
        Ok(())
    }

    fn floor(&mut self, block: std::ops::Range<usize>) -> anyhow::Result<()> {
        for number in block {
            self.bed.check_alive()?;
            let number = number % self.steps.len();
            let (step, update) = (&self.steps[number], self.updates[number].clone());
            let start = Instant::now();
            self.bed.floor.push(update)?;
            let latency = self.watches[1].settle(step, start)?;
            self.samples[1].entry(step.kind).or_default().push(latency.as_secs_f64() * 1e3);
            std::thread::sleep(self.pace.saturating_sub(start.elapsed()));
        }
        Ok(())
    }

    /// Brings fleetgate back to where a cycle begins.
    fn finish_cycle(&mut self, done: usize) -> anyhow::Result<()> {
        let rest = self.steps.len() - done % self.steps.len();
        for step in &self.steps[self.steps.len() - rest % self.steps.len()..] {
            let start = Instant::now();
            step.apply(&self.bed.side.directory)?;
            self.watches[0].settle(step, start)?;
        }
        Ok(())
    }

    /// One more cycle, with the metrics read around each step.
    fn verify(&mut self, record: &mut Record) -> anyhow::Result<()> {
        let mut by_kind: BTreeMap<Kind, Vec<BTreeMap<String, f64>>> = BTreeMap::new();
        for step in self.steps {
            let before = self.bed.side.control_plane.metrics()?;
            let start = Instant::now();
            step.apply(&self.bed.side.directory)?;
            self.watches[0].settle(step, start)?;
            std::thread::sleep(SETTLED);
            let after = self.bed.side.control_plane.metrics()?;
            // Without the metric nothing is known; an empty growth would pass for "nothing recomputed".
            if after.has(RECOMPUTED) {
                by_kind.entry(step.kind).or_default().push(after.growth(&before, RECOMPUTED, "stage"));
            }
        }
        // The worst step counts, not the mean: "one virtual host" must hold for each of them.
        let worst = |kinds: &[Kind], stage: fn(&str) -> bool| {
            let steps = kinds.iter().filter_map(|kind| by_kind.get(kind)).flatten();
            steps
                .map(|stages| stages.iter().filter(|(name, _)| stage(name)).fold(0.0, |sum, (_, n)| sum + n))
                .reduce(f64::max)
        };
        record.vhosts_recomputed_per_change = worst(&[Kind::Add, Kind::Edit], is_virtual_host);
        record.route_nodes_recomputed_per_endpoint_change = worst(&[Kind::Endpoint], is_route);
        Ok(())
    }

    fn note(&self, record: &mut Record) {
        let main = if self.samples[0].contains_key(&Kind::Add) { Kind::Add } else { Kind::Edit };
        let figure = |side: usize, kind, p| percentile(self.samples[side].get(&kind)?, p);
        (record.p50_ms, record.p99_ms) = (figure(0, main, 50.0), figure(0, main, 99.0));
        (record.floor_p50_ms, record.floor_p99_ms) = (figure(1, main, 50.0), figure(1, main, 99.0));
        record.endpoint_p50_ms = figure(0, Kind::Endpoint, 50.0);
        record.endpoint_p99_ms = figure(0, Kind::Endpoint, 99.0);
        record.endpoint_floor_p50_ms = figure(1, Kind::Endpoint, 50.0);
        record.endpoint_floor_p99_ms = figure(1, Kind::Endpoint, 99.0);
        record.cpu_ms_per_change = self.mean_cpu_ms(|kind| kind != Kind::Endpoint);
        record.endpoint_cpu_ms = self.mean_cpu_ms(|kind| kind == Kind::Endpoint);
        record.endpoint_bytes = self.mean_bytes(Kind::Endpoint);
        if main == Kind::Edit {
            record.xds_bytes_per_change = self.mean_bytes(Kind::Edit);
        }
        let [ours, floor] = &self.watches;
        record.wrong = ours.wrong.clone();
        record.wrong_answers = ours.wrong.values().sum();
        record.floor_wrong_answers = floor.wrong.values().sum();
        record.answers = ours.answers;
    }

    fn mean_cpu_ms(&self, wanted: fn(Kind) -> bool) -> Option<f64> {
        let used: Vec<u64> = self
            .cpu_ns
            .iter()
            .filter(|(kind, _)| wanted(**kind))
            .flat_map(|(_, used)| used)
            .copied()
            .collect();
        (!used.is_empty()).then(|| used.iter().sum::<u64>() as f64 / used.len() as f64 / 1e6)
    }

    fn mean_bytes(&self, kind: Kind) -> Option<f64> {
        let steps = self.steps.iter().zip(&self.updates).filter(|(step, _)| step.kind == kind);
        let sizes: Vec<usize> = steps.map(|(_, update)| encoded_len(update)).collect();
        (!sizes.is_empty()).then(|| sizes.iter().sum::<usize>() as f64 / sizes.len() as f64)
    }
}

fn note_totals(record: &mut Record, before: &Metrics, after: &Metrics, steps: usize) {
    let steps = steps as f64;
    if after.has(BYTES) {
        record.xds_bytes_per_change = Some((after.sum(BYTES) - before.sum(BYTES)) / steps);
    }
    let recomputed = after.growth(before, RECOMPUTED, "stage");
    record.nodes_recomputed_per_change =
        recomputed.into_iter().map(|(stage, n)| (stage, n / steps)).collect();
}

fn is_virtual_host(stage: &str) -> bool {
    stage.contains("virtual") || stage.contains("vhost")
}

fn is_route(stage: &str) -> bool {
    is_virtual_host(stage) || stage.contains("route") || stage.contains("table")
}
