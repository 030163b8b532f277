//! `loadtest`: measures fleetgate through real Envoys. See README.md.

mod args;
mod bed;
mod changes;
mod coldstart;
mod control_plane;
mod directory;
mod envoy;
mod floor;
mod metrics;
mod plot;
mod probe;
mod process;
mod record;
mod scenario;
mod stats;
mod table;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{Cli, Command, Form};
use crate::bed::{Bed, Plan};
use crate::record::Record;

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
    let (name, load) = command.parts();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("cannot start tokio")?;
    runtime.spawn(interrupts());
    let plan = bed::plan(&runtime, load)?;
    let mut records = Vec::new();
    for routes in &load.routes {
        let record = one(command, name, &plan, *routes as usize);
        let record = record.with_context(|| format!("{name} with {routes} routes"))?;
        if load.output == Form::Json {
            println!("{}", serde_json::to_string(&record).context("cannot write JSON")?);
        }
        records.push(record);
    }
    if load.output == Form::Table {
        print!("{}", table::render(&records));
    }
    if let Some(file) = &load.plot {
        let title = format!("{name}: change written to new answer, {} hosts", record::name_of(load.hosts));
        std::fs::write(file, plot::svg(&title, &records))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let met = records.iter().all(|record| record.checks().iter().all(|check| check.ok));
    Ok(if load.check && !met { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn one(command: &Command, name: &'static str, plan: &Plan<'_>, routes: usize) -> anyhow::Result<Record> {
    let progress = ProgressBar::new(1).with_prefix(format!("{name} {routes}")).with_message("starting");
    if let Ok(style) = ProgressStyle::with_template("{prefix} {msg:10} {bar:40} {pos}/{len} {elapsed}") {
        progress.set_style(style);
    }
    progress.enable_steady_tick(Duration::from_millis(250));
    let mut record = Record { scenario: name, ..Record::default() };
    let mut bed = Bed::start(plan, routes, &mut record)?;
    let changes = plan.load.changes as usize;
    match command {
        Command::Propagation(_) => {
            record.changes = changes;
            let steps = scenario::propagation(&bed.directory, &bed.pods[0]);
            changes::measure(&mut bed, &steps, 2 * changes, Duration::ZERO, &progress, &mut record)?;
            bed.note_memory(&mut record);
        }
        Command::Churn(load) => {
            record.changes = changes;
            let steps = scenario::churn(&bed.directory, &bed.pods);
            let pace = Duration::from_secs(1) / load.rate;
            changes::measure(&mut bed, &steps, 2 * changes, pace, &progress, &mut record)?;
            bed.note_memory(&mut record);
        }
        Command::Coldstart(_) => {
            progress.set_message("restarting");
            coldstart::measure(&mut bed, &mut record)?;
        }
    }
    progress.finish_and_clear();
    Ok(record.with_ratios())
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
