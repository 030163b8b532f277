//! The cluster's one node: a kubelet's and a kube-proxy's duties, with pods as local processes.
//!
//! A pod has a network, UTS and IPC namespace of its own (held by a sleeping process) and a veth into the cluster's
//! bridge; each of its containers has a PID and a mount namespace, whose root is an overlay over this machine's root:
//! what a container writes dies with it. Services are nftables rules in the cluster's network namespace. There is no
//! DNS: the names of Services are in each pod's `/etc/hosts`, which is kept current.

mod args;
mod cidr;
mod container;
mod context;
mod events;
mod hosts;
mod images;
mod inside;
mod ipam;
mod leftovers;
mod logs;
mod pod;
mod pods;
mod register;
mod sandbox;
mod schedule;
mod serve;
mod services;
mod streams;
mod tools;
mod volumes;

use std::sync::Arc;

use anyhow::Context as _;
pub(crate) use args::Args;
use context::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// `testbed node`: parses the command line and runs the node until SIGTERM or SIGINT.
///
/// # Errors
/// A command line that lacks something, or whatever [`run`] could not do.
pub(crate) fn main(arguments: pico_args::Arguments) -> anyhow::Result<()> {
    let args = Args::parse(arguments)?;
    // One thread: the node is light, and a process that it starts lives as long as the thread that started it.
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run(args))
}

/// Runs the node until SIGTERM or SIGINT; then all pods' processes have ended.
///
/// # Errors
/// The API server can't be reached, or the network can't be set up: the sentence says which.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    leftovers::end(&args.dir)?;
    std::fs::create_dir_all(&args.dir)
        .with_context(|| format!("the directory {} can't be made", args.dir.display()))?;
    sandbox::set_up_bridge(&args).await?;
    let cx = Arc::new(Context::connect(args).await?);
    let mut tasks = JoinSet::new();
    cx.start_reflectors(&mut tasks);
    let port = serve::listen(&cx, &mut tasks).await?;
    register::register(&cx, port).await?;
    tasks.spawn(register::renew(cx.clone(), port));
    tasks.spawn(schedule::bind_pending(cx.clone()));
    tasks.spawn(services::run(cx.clone()));
    tasks.spawn(hosts::keep_current(cx.clone()));
    let pods = tokio::spawn(pods::run(cx.clone()));
    tracing::info!("node {} is registered, {} is its address", cx.args.name, cx.address);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tasks.shutdown().await;
    cx.stop.send_replace(true);
    let _ = pods.await;
    services::clear().await;
    Ok(())
}
