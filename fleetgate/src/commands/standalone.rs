//! `fleetgate standalone`: the whole pipeline in one process.

mod outputs;
mod wiring;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use distribute::Distributor;
use distribute::shard::{Options, Shard};
use ingest::{KeyStore, directory};
use proto::{ClusterId, Epoch};
use store::{EventLog, FileSnapshots, SledLog};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::admin::{self, Admin};
use crate::args::{LogLevel, Standalone};
use crate::envoy::{self, Fleet};
use crate::listen::Listen;
use crate::state_dir::{self, StateDir};
use crate::status::Statuses;
use crate::token::Tokens;
use outputs::Wired;
use wiring::{Authenticator, Keys, forward};

/// Runs until SIGTERM or ctrl-c.
///
/// # Errors
/// If it cannot start: nothing has been acknowledged then.
pub(super) fn run(args: Standalone) -> anyhow::Result<()> {
    share_one_heap();
    log_to_stderr(args.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(serve(args))
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
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(level)
        .init();
}

async fn serve(args: Standalone) -> anyhow::Result<()> {
    let mut stop_signals = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let prometheus = crate::metrics::install()?;
    // Everything that can refuse to start comes before the first event is taken.
    std::fs::read_dir(&args.config).with_context(|| {
        format!("cannot read the config directory {}: create it or correct --config", args.config.display())
    })?;
    let program = envoy::find(&args.envoy)?;
    let module = envoy::find_module(&args.proxy_module)?;
    let state = StateDir::lock(&state_dir::resolve(args.state_dir.as_deref(), &args.config)?)?;
    let tokens = Tokens::open(&state.join("secret"))?;
    let (xds_listener, xds) = wiring::bind_xds(&args.xds).await?;
    let admin_listener = admin::bind(args.admin).await?;
    let log: Arc<dyn EventLog> = Arc::new(SledLog::open(&state.join("log"))?);
    let snapshots = Arc::new(FileSnapshots::open(&state.join("snapshot"))?);

    let env = translate::Env::default();
    let (feedback, feedback_receiver) = mpsc::unbounded_channel();
    let keys = Arc::new(KeyStore::new());
    let options =
        distribute::Options { route_table_size: args.route_table_size as usize, ..Default::default() };
    let distributor = Distributor::new(options, Arc::new(Keys(Arc::clone(&keys))), feedback);
    let statuses = Arc::new(Statuses::new(env.controller_name.clone(), program.is_some()));
    let outputs = Arc::new(Wired { distributor: distributor.clone(), statuses: Arc::clone(&statuses) });
    let options = Options { history: args.history as usize, ..Options::default() };
    let shard = Shard::restore(Arc::clone(&log), snapshots, env.clone(), options, outputs).await?;
    tracing::info!("restored {} objects at revision {}", shard.objects().count(), shard.revision());

    // The source says which objects it knows, so that a restart makes no events for unchanged ones.
    let source = directory::Options {
        epoch: Epoch(shard.objects().map(|event| event.epoch.0).max().unwrap_or_default() + 1),
        known: shard.objects().filter_map(directory::Known::of).collect(),
        cluster: ClusterId::LOCAL,
        limits: limits(),
        ..directory::Options::new(&args.config)
    };
    let (batches, handle) = directory::start(source, keys)?;

    let admin = Admin {
        statuses: Arc::clone(&statuses),
        recent: shard.recent(),
        log,
        env,
        prometheus: prometheus.clone(),
        log_dir: state.join("log"),
    };
    announce(&state, &xds, &admin_listener)?;
    let admin_server = tokio::spawn(admin::serve(admin_listener, Arc::new(admin)));
    let (stop, stopped) = watch::channel(false);
    let (events, events_receiver) = mpsc::channel(64);
    let source = tokio::spawn(forward(batches, handle, events, Arc::clone(&statuses), distributor.clone()));
    let authenticator = Arc::new(Authenticator(tokens.clone()));
    let mut xds_server =
        tokio::spawn(wiring::serve_xds(distributor, xds_listener, authenticator, stopped.clone()));
    let (end_envoys, envoys_ended) = watch::channel(false);
    let envoys = program.map(|program| {
        let fleet = Fleet {
            program,
            concurrency: args.envoy_concurrency,
            module,
            dir: state.join("envoy"),
            xds,
            tokens,
        };
        tokio::spawn(envoy::supervise(fleet, statuses.wanted(), envoys_ended, args.keep_envoys))
    });
    let shard = tokio::spawn(shard.run(events_receiver, feedback_receiver, stopped));

    let upkeep = tokio::spawn(async move {
        // Histograms keep every sample until somebody asks or this is called.
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            prometheus.run_upkeep();
        }
    });
    let failure = tokio::select! {
        _ = stop_signals.0.recv() => None,
        _ = stop_signals.1.recv() => None,
        served = &mut xds_server => Some(served),
    };
    tracing::info!("stopping");
    end_envoys.send_replace(true);
    if let Some(envoys) = envoys {
        envoys.await?;
    }
    stop.send_replace(true);
    shard.await?;
    source.abort();
    admin_server.abort();
    upkeep.abort();
    // The log must be closed before the lock on the state directory goes.
    let _ = (source.await, admin_server.await);
    drop(state);
    match failure {
        Some(served) => served?.context("the xDS server ended"),
        None => Ok(()),
    }
}

/// Says where everything is, in the log and in the state directory.
fn announce(state: &StateDir, xds: &Listen, admin: &tokio::net::TcpListener) -> anyhow::Result<()> {
    let admin = admin.local_addr()?;
    let file = state.join("admin.address");
    std::fs::write(&file, admin.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    tracing::info!("xDS at {xds}, admin at http://{admin}, state in {}", state.path().display());
    Ok(())
}
