//! `fleetgate standalone`: the whole pipeline in one process.

mod classes;
mod directory;
mod held;
mod kubernetes;
mod leading;
mod outputs;
mod pipeline;
mod wiring;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::prelude::*;

use crate::args::{LogLevel, Standalone};
use crate::hardening;

/// Runs until SIGTERM or ctrl-c.
///
/// # Errors
/// If it cannot start: nothing has been acknowledged then.
pub(super) fn run(args: Standalone) -> anyhow::Result<()> {
    share_one_heap();
    log_to_stderr(args.log);
    hardening::begin();
    // A change goes from task to task; with a second worker each step may wake it. What takes long makes room for others.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    match args.config.clone() {
        Some(config) => runtime.block_on(directory::run(args, config)),
        None => runtime.block_on(kubernetes::run(args)),
    }
}

/// Bounds of the source, with the translator's schema: what an API server would refuse is refused here.
pub(super) fn limits() -> ingest::Limits {
    ingest::Limits { schema: translate::validate, ..ingest::Limits::default() }
}

/// glibc gives each thread a heap of its own, and what one thread allocates and another frees stays
/// there: a fifth more memory at 10,000 routes. It takes the limit from the environment alone, so the
/// process starts once more with it, under the same pid.
fn share_one_heap() {
    use std::os::unix::process::CommandExt;
    const ARENAS: &str = "MALLOC_ARENA_MAX";
    if std::env::var_os(ARENAS).is_none()
        && let Ok(program) = std::env::current_exe()
    {
        // It returns only if it failed; then things go on with more memory.
        let _ = std::process::Command::new(program).args(std::env::args_os().skip(1)).env(ARENAS, "1").exec();
    }
}

fn log_to_stderr(level: LogLevel) {
    let level = match level {
        LogLevel::Error => tracing::Level::ERROR,
        LogLevel::Warn => tracing::Level::WARN,
        LogLevel::Info => tracing::Level::INFO,
        LogLevel::Debug => tracing::Level::DEBUG,
        LogLevel::Trace => tracing::Level::TRACE,
    };
    // Each failed request at level ERROR, without saying which: whoever makes it tells what it means.
    let of_requests = if level >= tracing::Level::DEBUG { level.into() } else { LevelFilter::OFF };
    let targets = Targets::new().with_default(level).with_target("kube_client::client::builder", of_requests);
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(level)
        .finish()
        .with(targets)
        .init();
}
