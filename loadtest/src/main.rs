//! `loadtest`: measures fleetgate through real Envoys. See README.md.

mod args;
mod asked;
mod bed;
mod changes;
mod check;
mod cluster;
mod coldstart;
mod control_plane;
mod directory;
mod envoy;
mod floor;
mod metrics;
mod objects;
mod plot;
mod probe;
mod process;
mod programs;
mod record;
mod refusals;
mod report;
mod requests;
mod scenario;
mod side;
mod stats;
mod tables;
mod text_table;
mod watch;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{Cli, Command, Load, Outcome, RefusalsLoad, RequestsLoad, Tables, TablesLoad};
use crate::bed::Bed;
use crate::plot::{Axis, Line};
use crate::programs::Programs;
use crate::record::{Record, name_of};
use crate::report::Run;
use crate::tables::TablesRecord;

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Propagation(load) => against_floor(load, "propagation", propagation),
        Command::Churn(load) => against_floor(load, "churn", churn),
        Command::Coldstart(load) => against_floor(load, "coldstart", coldstart),
        Command::Tables(load) => compare_tables(load),
        Command::Cluster(load) => cluster::run(load),
        Command::Requests(load) => compare_requests(load),
        Command::Refusals(load) => refuse(load),
    }
}

/// What a scenario does with a bed.
type Scenario = fn(&mut Bed, &Load, &ProgressBar, &mut Record) -> anyhow::Result<()>;

fn against_floor(load: &Load, name: &'static str, scenario: Scenario) -> anyhow::Result<ExitCode> {
    let programs = programs(&load.outcome)?;
    let one = |routes: usize| {
        let progress = progress(name, &routes.to_string());
        let mut record = Record { scenario: name, ..Record::default() };
        let mut bed = Bed::start(&programs, load, routes, &mut record)?;
        scenario(&mut bed, load, &progress, &mut record)?;
        progress.finish_and_clear();
        Ok(record.with_ratios())
    };
    let runs = load.content.routes.iter().map(|routes| {
        let record: anyhow::Result<Record> = one(*routes as usize);
        record.with_context(|| format!("{name} with {routes} routes"))
    });
    let (records, code) = report::print(&load.outcome, runs)?;
    let title = format!("{name}: change written to new answer, {} hosts", name_of(load.content.hosts));
    draw(load.plot.as_deref(), &title, &record::LINES, Axis::Linear, &records)?;
    Ok(code)
}

fn propagation(
    bed: &mut Bed,
    load: &Load,
    progress: &ProgressBar,
    record: &mut Record,
) -> anyhow::Result<()> {
    record.changes = load.changes as usize;
    let steps = scenario::propagation(&bed.side.directory, &bed.pods[0], scenario::EXTRAS);
    changes::measure(bed, &steps, 2 * record.changes, Duration::ZERO, progress, record)?;
    bed.note_memory(record);
    Ok(())
}

fn churn(bed: &mut Bed, load: &Load, progress: &ProgressBar, record: &mut Record) -> anyhow::Result<()> {
    record.changes = load.changes as usize;
    let steps = scenario::churn(&bed.side.directory, &bed.pods);
    let pace = Duration::from_secs(1) / load.rate;
    changes::measure(bed, &steps, 2 * record.changes, pace, progress, record)?;
    bed.note_memory(record);
    Ok(())
}

fn coldstart(bed: &mut Bed, _: &Load, progress: &ProgressBar, record: &mut Record) -> anyhow::Result<()> {
    progress.set_message("restarting");
    coldstart::measure(bed, record)
}

fn compare_tables(load: &TablesLoad) -> anyhow::Result<ExitCode> {
    let programs = programs(&load.outcome)?;
    // The fewest routes first: the others' growth is against them.
    let mut sizes = load.content.routes.clone();
    sizes.sort_unstable();
    let mut smallest: Option<TablesRecord> = None;
    let runs = sizes.into_iter().map(|routes| {
        let progress = progress("tables", &routes.to_string());
        let record = tables::run(&programs, load, routes as usize, smallest.as_ref(), &progress);
        progress.finish_and_clear();
        let record = record.with_context(|| format!("tables with {routes} routes"))?;
        smallest.get_or_insert_with(|| record.clone());
        Ok(record)
    });
    let (records, code) = report::print(&load.outcome, runs)?;
    let title =
        format!("a new route: file written to first answer, p50, {} hosts", name_of(load.content.hosts));
    draw(load.plot.as_deref(), &title, &tables::LINES, Axis::Logarithmic, &records)?;
    Ok(code)
}

fn compare_requests(load: &RequestsLoad) -> anyhow::Result<ExitCode> {
    let programs = programs(&load.outcome)?;
    let runs = load.cases.iter().map(|case| {
        let name = name_of(*case);
        let progress = progress("requests", name);
        let record = requests::run(&programs, load, *case, &progress);
        progress.finish_and_clear();
        record.with_context(|| format!("requests, case {name}"))
    });
    let (_, code) = report::print(&load.outcome, runs)?;
    Ok(code)
}

fn refuse(load: &RefusalsLoad) -> anyhow::Result<ExitCode> {
    let programs = programs(&load.outcome)?;
    let ways = load.tables.map_or_else(|| vec![Tables::Scoped, Tables::Rds], |one| vec![one]);
    let runs = ways.into_iter().map(|tables| {
        let progress = progress("refusals", name_of(tables));
        let record = refusals::run(&programs, load, tables, &progress);
        progress.finish_and_clear();
        record.with_context(|| format!("refusals, {} tables", name_of(tables)))
    });
    let (_, code) = report::print(&load.outcome, runs)?;
    Ok(code)
}

fn programs(outcome: &Outcome) -> anyhow::Result<Programs> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("cannot start tokio")?;
    runtime.spawn(interrupts());
    Programs::find(runtime, outcome.keep)
}

fn draw<R: Run>(
    file: Option<&Path>,
    title: &str,
    lines: &[Line<R>],
    axis: Axis,
    runs: &[R],
) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, plot::svg(title, lines, axis, runs))
        .with_context(|| format!("cannot write {}", file.display()))
}

fn progress(scenario: &str, what: &str) -> ProgressBar {
    let progress = ProgressBar::new(1).with_prefix(format!("{scenario} {what}")).with_message("starting");
    if let Ok(style) = ProgressStyle::with_template("{prefix} {msg:10} {bar:40} {pos}/{len} {elapsed}") {
        progress.set_style(style);
    }
    progress.enable_steady_tick(Duration::from_millis(250));
    progress
}

/// Ctrl-C or SIGTERM: the loops end, and what they own is dropped in order.
async fn interrupts() {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    match terminate {
        Ok(mut terminate) => tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        },
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
    process::interrupt();
}
