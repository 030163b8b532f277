//! `--config DIR`: objects from files, Envoys as local processes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use ingest::directory;
use proto::ClusterId;
use tokio::sync::watch;

use super::limits;
use super::pipeline::{Mode, Pipeline};
use super::wiring::{Authenticator, XDS_SOCKET, bind_private, bind_xds};
use crate::admin;
use crate::args::Standalone;
use crate::envoy::{self, Fleet, Stop};
use crate::listen::Listen;
use crate::state_dir::{self, StateDir};
use crate::status::Field;
use crate::token::Tokens;

/// Runs until SIGTERM or ctrl-c.
///
/// # Errors
/// If it cannot start.
pub(super) async fn run(args: Standalone, config: PathBuf) -> anyhow::Result<()> {
    // Everything that can refuse to start comes before the first event is taken.
    std::fs::read_dir(&config).with_context(|| {
        format!("cannot read the config directory {}: create it or correct --config", config.display())
    })?;
    let program = envoy::find(&args.envoy)?;
    let module = envoy::find_module(&args.proxy_module)?;
    let state = StateDir::lock(&state_dir::resolve(args.state_dir.as_deref(), &config)?)?;
    let tokens = Tokens::open(&state.join("secret"))?;
    let (listener, xds) = bind_xds(&args.xds).await?;
    let (mut listeners, mut managed) = (vec![listener], xds.clone());
    if let (Some(_), Listen::Tcp(_)) = (&program, &xds) {
        let socket = bind_private(&state)?;
        listeners.push(socket);
        managed = Listen::Unix(PathBuf::from(format!("../{XDS_SOCKET}")));
    }
    let admin = admin::bind(args.admin).await?;
    let pipeline = Pipeline::open(&args, state, translate::Env::default(), program.is_some()).await?;
    let directory_grace = Duration::from_secs(args.directory_grace.into());
    let source = directory::Options {
        epoch: pipeline.epoch(),
        known: pipeline.known(),
        cluster: ClusterId::LOCAL,
        limits: ingest::Limits { directory_grace, ..limits() },
        ..directory::Options::new(&config)
    };
    let (batches, handle) = directory::start(source, Arc::clone(&pipeline.keys))?;
    announce(&pipeline.state, &xds, &admin)?;
    let proxies = program.map(|program| {
        let fleet = Fleet {
            program,
            concurrency: args.envoy_concurrency,
            module,
            dir: pipeline.state.join("envoy"),
            xds: managed,
            tokens: tokens.clone(),
        };
        let (end, ended) = watch::channel(Stop::No);
        let wanted = pipeline.statuses.wanted();
        (end, tokio::spawn(envoy::supervise(fleet, wanted, ended, args.keep_envoys)))
    });
    let locate = move |fields: &[Field]| {
        let places = handle.locate(fields).into_iter();
        places.map(|place| place.map(|location| (location.file, location.line))).collect()
    };
    let mode = Mode {
        batches,
        locate: Box::new(locate),
        listeners,
        authenticator: Arc::new(Authenticator(tokens)),
        admin,
        health: None,
        peers: None,
        proxies,
    };
    pipeline.run(mode).await
}

/// Says where everything is, in the log and in the state directory.
fn announce(state: &StateDir, xds: &Listen, admin: &tokio::net::TcpListener) -> anyhow::Result<()> {
    let admin = admin.local_addr()?;
    let file = state.join("admin.address");
    std::fs::write(&file, admin.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
    tracing::info!("xDS at {xds}, admin at http://{admin}, state in {}", state.path().display());
    Ok(())
}
